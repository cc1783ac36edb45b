//! A browser's offer, read for what a listener needs of it (RFC 8829, 8866, 8839): up to two lines of audio that it wants
//! to receive. Everything else is refused line by line, and the WebRTC stack never sees it.

use super::Refusal;

/// An offer or a fragment is so long at most, in bytes. Chromium's with audio and video takes 7,000.
pub(crate) const MAX_OFFER: usize = 32_768;
/// m-lines at most.
pub(crate) const MAX_LINES: usize = 8;
/// Lines that are heard at most: the agent's, and the caller's.
pub(crate) const MAX_TRACKS: usize = 2;

/// RFC 8843 §15: which line a packet belongs to.
const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// What a browser offers, as far as it is wanted. It can be shown again with other credentials (an ICE restart).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) credentials: Credentials,
    pub(super) fingerprint: String,
    pub(super) setup: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// ICE user fragment and password (RFC 8839 §5.4). Never logged.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) fragment: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Credentials").field("fragment", &self.fragment).finish_non_exhaustive()
    }
}

/// One m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Something of the call is sent here.
    Heard(Track),
    /// Nothing is: its answer has port 0 (RFC 3264 §6).
    Refused { media: String, mid: Option<String> },
}

/// A line of audio that the browser wants to receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) mid: String,
    pub(crate) payload_type: u8,
    pub(crate) format: Format,
    mid_extension: Option<u8>,
}

/// In what the browser hears a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// 48 kHz, with two channels where it asked for them: `stereo=1` (RFC 7587 §6.1).
    Opus { is_stereo: bool },
    /// 8 kHz.
    Pcmu,
}

impl Offer {
    /// Reads an offer.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_OFFER {
            return Err(Refusal::TooLong);
        }
        let mut sections = sections(text);
        let session =
            sections.next().filter(|session| session.lines.first() == Some(&"v=0")).ok_or(Refusal::NoOffer)?;
        let sections: Vec<Section<'_>> = sections.take(MAX_LINES + 1).collect();
        if sections.len() > MAX_LINES {
            return Err(Refusal::TooManyLines);
        }
        let bundle: Vec<&str> =
            session.attribute("group:BUNDLE").map(|mids| mids.split(' ').collect()).unwrap_or_default();
        let mut lines: Vec<Line> = Vec::with_capacity(sections.len());
        let mut first = None;
        for section in &sections {
            let heard = lines.iter().filter(|line| matches!(line, Line::Heard(_))).count();
            let is_bundled = |track: &Track| first.is_none() || bundle.contains(&track.mid.as_str());
            let track = section.track().filter(|track| heard < MAX_TRACKS && is_bundled(track));
            first = first.or_else(|| track.is_some().then_some(section));
            lines.push(track.map_or_else(|| section.refused(), |track| Ok(Line::Heard(track)))?);
        }
        let first = first.ok_or(Refusal::NothingToHear)?;
        let find = |name: &str| first.attribute(name).or_else(|| session.attribute(name));
        let credentials = Credentials::of(find("ice-ufrag"), find("ice-pwd"))?;
        let mut fingerprints = first.attributes("fingerprint").chain(session.attributes("fingerprint"));
        let fingerprint = fingerprints.find_map(sha_256).ok_or(Refusal::NoFingerprint)?;
        let setup = match find("setup").unwrap_or("actpass") {
            "actpass" => "actpass",
            "active" => "active",
            _ => return Err(Refusal::WantsToBeAsked),
        };
        if session.has("ice-lite") || first.has("ice-lite") {
            return Err(Refusal::IceLite);
        }
        Ok(Self { credentials, fingerprint, setup, lines })
    }

    /// What is heard, in order.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.lines.iter().filter_map(|line| match line {
            Line::Heard(track) => Some(track),
            Line::Refused { .. } => None,
        })
    }

    /// The same end hears the same lines: a new offer for a leg that there is may change its credentials alone.
    pub(crate) fn is_again(&self, before: &Self) -> bool {
        let heard = |offer: &Self| offer.lines.iter().map(|line| matches!(line, Line::Heard(_))).collect::<Vec<_>>();
        self.fingerprint == before.fingerprint && self.tracks().eq(before.tracks()) && heard(self) == heard(before)
    }

    /// The offer as the WebRTC stack gets it: the lines that are heard, one format each, no candidates. All of it is
    /// written here, of what was read.
    pub(crate) fn shown(&self) -> String {
        let mids: String = self.tracks().flat_map(|track| [" ", &track.mid]).collect();
        let mut text = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{mids}\r\n");
        for track in self.tracks() {
            let Track { mid, payload_type, format, mid_extension } = track;
            let Credentials { fragment, password } = &self.credentials;
            let (name, parameters) = match format {
                Format::Opus { .. } => {
                    ("opus/48000/2", format!("a=fmtp:{payload_type} minptime=10;useinbandfec=1\r\n"))
                }
                Format::Pcmu => ("PCMU/8000", String::new()),
            };
            text += &format!(
                "m=audio 9 UDP/TLS/RTP/SAVPF {payload_type}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{fragment}\r\n\
                 a=ice-pwd:{password}\r\na=fingerprint:sha-256 {}\r\na=setup:{}\r\na=mid:{mid}\r\n",
                self.fingerprint, self.setup
            );
            if let Some(id) = mid_extension {
                text += &format!("a=extmap:{id} {MID_EXTENSION}\r\n");
            }
            text += &format!("a=recvonly\r\na=rtcp-mux\r\na=rtpmap:{payload_type} {name}\r\n{parameters}");
        }
        text
    }
}

impl Credentials {
    /// From an offer, an answer, or a fragment (RFC 8840 §4.4): the first that it names.
    pub(crate) fn named_in(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_OFFER {
            return Err(Refusal::TooLong);
        }
        let named = |name: &str| text.lines().find_map(|line| value(line, name));
        Self::of(named("ice-ufrag"), named("ice-pwd"))
    }

    fn of(fragment: Option<&str>, password: Option<&str>) -> Result<Self, Refusal> {
        let is_ice = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte));
        let within = |text: Option<&str>, least: usize| {
            text.filter(is_ice).filter(|text| (least..=256).contains(&text.len())).map(str::to_owned)
        };
        let (fragment, password) = (within(fragment, 4), within(password, 22));
        fragment.zip(password).map(|(fragment, password)| Self { fragment, password }).ok_or(Refusal::NoCredentials)
    }
}

/// A part of a description: the session's, or an m-line with what follows it.
pub(super) struct Section<'a> {
    pub(super) lines: Vec<&'a str>,
}

/// The session's part, then one for each m-line.
pub(super) fn sections(text: &str) -> impl Iterator<Item = Section<'_>> {
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()).peekable();
    std::iter::from_fn(move || {
        let mut section = vec![lines.next()?];
        while let Some(line) = lines.next_if(|line| !line.starts_with("m=")) {
            section.push(line);
        }
        Some(Section { lines: section })
    })
}

impl<'a> Section<'a> {
    pub(super) fn attributes(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter_map(move |line| value(line, name))
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes(name).next()
    }

    fn has(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.strip_prefix("a=") == Some(name))
    }

    /// What is heard on this line, if it may be.
    fn track(&self) -> Option<Track> {
        let mut words = self.lines.first()?.strip_prefix("m=audio ")?.split(' ');
        let (_, proto) = (words.next()?, words.next()?);
        let wants = !self.has("sendonly") && !self.has("inactive");
        if !matches!(proto, "UDP/TLS/RTP/SAVPF" | "RTP/SAVPF") || !wants {
            return None;
        }
        let mid = self.attribute("mid").filter(|mid| is_token(mid) && mid.len() <= 16)?;
        let (payload_type, format) = words.find_map(|word| self.format(word.parse().ok()?))?;
        let mid_extension = self.attributes("extmap").find_map(|extension| {
            let (id, uri) = extension.split_once(' ')?;
            (uri == MID_EXTENSION).then(|| id.parse().ok()).flatten().filter(|id| (1..15).contains(id))
        });
        Some(Track { mid: mid.to_owned(), payload_type, format, mid_extension })
    }

    /// What a payload type is, if it is one of ours.
    fn format(&self, payload_type: u8) -> Option<(u8, Format)> {
        let of = |name: &str| {
            let mine = self.attributes(name).filter_map(|value| value.split_once(' '));
            mine.filter(|(number, _)| number.parse() == Ok(payload_type)).map(|(_, rest)| rest).next()
        };
        let format = match of("rtpmap") {
            None if payload_type == 0 => Format::Pcmu,
            Some(name) if name.eq_ignore_ascii_case("PCMU/8000") => Format::Pcmu,
            Some(name) if name.eq_ignore_ascii_case("opus/48000/2") => {
                let is_stereo = of("fmtp").is_some_and(|all| all.split(';').any(|one| one.trim() == "stereo=1"));
                Format::Opus { is_stereo }
            }
            _ => return None,
        };
        // 64 to 95 are RTCP's under rtcp-mux (RFC 5761 §4)
        matches!(payload_type, 0..64 | 96..128).then_some((payload_type, format))
    }

    /// The line as its refusal repeats it: port 0.
    fn refused(&self) -> Result<Line, Refusal> {
        let (media, rest) = self.lines.first().and_then(|line| line.split_once(' ')).ok_or(Refusal::NoOffer)?;
        let (_, rest) = rest.split_once(' ').ok_or(Refusal::NoOffer)?;
        let is_plain = |text: &str| text.len() <= 512 && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_plain(media) || !is_plain(rest) {
            return Err(Refusal::NoOffer);
        }
        let mid = self.attribute("mid").filter(|mid| is_token(mid)).map(str::to_owned);
        Ok(Line::Refused { media: format!("{media} 0 {rest}"), mid })
    }
}

/// The value of an attribute's line.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.trim_end_matches('\r').strip_prefix("a=")?.strip_prefix(name)?;
    rest.strip_prefix([':', ' ']).map(str::trim)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+{}".contains(&byte))
}

/// The 32 bytes of a SHA-256 fingerprint as they are written (RFC 8122 §5).
fn sha_256(fingerprint: &str) -> Option<String> {
    let (hash, bytes) = fingerprint.split_once(' ')?;
    let mut count = 0;
    let is_hex =
        bytes.split(':').inspect(|_| count += 1).all(|byte| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok());
    (hash.eq_ignore_ascii_case("sha-256") && is_hex && count == 32).then(|| bytes.to_ascii_uppercase())
}
