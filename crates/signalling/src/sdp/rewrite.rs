//! The same description for the other leg: what names an address, a port or a key is replaced, the rest stays.

use std::fmt::Write as _;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::compose::address_of;
use super::crypto::Protection;
use super::{Direction, Line, Place, Rewrite, Sdp};

pub(super) fn rewrite(sdp: &Sdp, to: &Rewrite<'_>) -> Bytes {
    let writing = Writing { sdp, to, refused: sdp.rejected() || to.media.port() == 0 || sdp.nothing_left(to.only) };
    let mut out = BytesMut::with_capacity(sdp.text.len() + 128);
    if !sdp.lines.iter().any(|line| line.kind == b'o' && line.section == 0) {
        writing.without_origin(&mut out);
    } else {
        writing.session(&mut out);
    }
    match to.places {
        Some(places) => places.iter().for_each(|place| writing.place(place, &mut out)),
        None => (0..sdp.streams.len()).for_each(|place| writing.place(&Place::Kept(place), &mut out)),
    }
    out.freeze()
}

impl Sdp {
    /// The m-line's formats that stay.
    fn formats_of<'a>(&'a self, line: &'a Line, only: Option<&'a [u8]>) -> impl Iterator<Item = &'a str> + 'a {
        let text = std::str::from_utf8(self.line(line)).unwrap_or_default();
        let stays = move |format: &&str| only.is_none_or(|only| format.parse().is_ok_and(|pt| only.contains(&pt)));
        text.split_ascii_whitespace().skip(3).filter(stays)
    }
    fn nothing_left(&self, only: Option<&[u8]>) -> bool {
        let audio = self.lines.iter().find(|line| line.kind == b'm' && line.section == self.audio.section);
        audio.is_none_or(|line| self.formats_of(line, only).next().is_none())
    }
}

struct Writing<'a> {
    sdp: &'a Sdp,
    to: &'a Rewrite<'a>,
    /// The audio stream has port 0.
    refused: bool,
}

/// What becomes of an attribute.
enum Fate {
    Stays,
    Goes,
    Rtcp,
    Direction,
}

/// How one stream is shown.
#[derive(Clone, Copy)]
struct Shown<'a> {
    section: u16,
    media: SocketAddr,
    direction: Direction,
    only: Option<&'a [u8]>,
    /// It has port 0.
    refused: bool,
    /// Encryption and multiplexing; `None`: neither, under the source's own profile.
    protection: Option<&'a Protection>,
}

impl Writing<'_> {
    /// One m-line and what belongs to it.
    fn place(&self, place: &Place, out: &mut BytesMut) {
        let section = |place: usize| u16::try_from(place + 1).unwrap_or(u16::MAX);
        match place {
            Place::Kept(source) if section(*source) == self.sdp.audio.section => self.stream(self.audio(), out),
            Place::Kept(source) => self.refused_stream(section(*source), out),
            Place::Relayed { source, media, direction } => {
                let (media, direction) = (*media, *direction);
                let shown = Shown {
                    section: section(*source),
                    media,
                    direction,
                    only: None,
                    refused: media.port() == 0,
                    protection: None,
                };
                self.stream(shown, out);
            }
            Place::Missing { media, rest } => {
                put(out, format_args!("m={media} 0 {rest}\r\n"));
                self.missing_connection(None, self.to.media, out);
            }
        }
    }

    fn audio(&self) -> Shown<'_> {
        let Rewrite { media, direction, only, .. } = *self.to;
        // A refused stream keeps its formats: an m-line without any is broken (RFC 3264 §6).
        let only = only.filter(|_| !self.sdp.nothing_left(only));
        let (section, protection) = (self.sdp.audio.section, Some(self.to.protection));
        Shown { section, media, direction, only, refused: self.refused, protection }
    }

    /// Everything before the first m-line.
    fn session(&self, out: &mut BytesMut) {
        for line in self.sdp.lines.iter().filter(|line| line.section == 0) {
            match line.kind {
                b'o' => self.origin(line, out),
                b'c' => connection(self.to.media, out),
                // Keys of the other leg (RFC 8866 §5.12, obsolete).
                b'k' => {}
                b'a' => match self.fate(line, None) {
                    Fate::Stays => self.keep(line, out),
                    Fate::Rtcp => self.audio().rtcp(out),
                    Fate::Goes | Fate::Direction => {}
                },
                _ => self.keep(line, out),
            }
        }
    }

    /// An m-line that is not refused for being what it is, up to the next one.
    fn stream(&self, shown: Shown<'_>, out: &mut BytesMut) {
        let mut directed = false;
        for line in self.sdp.lines.iter().filter(|line| line.section == shown.section) {
            match line.kind {
                b'm' => self.stream_line(line, shown, out),
                // In a stream it has no place, and it names whoever wrote it.
                b'o' | b'k' => {}
                b'c' => connection(shown.media, out),
                b'a' => match self.fate(line, shown.only) {
                    Fate::Stays => self.keep(line, out),
                    Fate::Goes => {}
                    Fate::Rtcp => shown.rtcp(out),
                    Fate::Direction if directed => {}
                    Fate::Direction => {
                        shown.direction(out);
                        directed = true;
                    }
                },
                _ => self.keep(line, out),
            }
        }
        if !directed {
            shown.direction(out);
        }
        if let Some(own) = shown.protection.filter(|_| !shown.refused) {
            out.put_slice(own.lines().as_bytes());
        }
    }

    /// A session part whose o= is missing gets one behind v=.
    fn without_origin(&self, out: &mut BytesMut) {
        let mut session = self.sdp.clone();
        session.lines.retain(|line| line.section == 0 && line.kind != b'v');
        if let Some(version) = self.sdp.lines.first() {
            self.keep(version, out);
        }
        self.put_origin("-", out);
        Writing { sdp: &session, to: self.to, refused: self.refused }.session(out);
    }

    fn keep(&self, line: &Line, out: &mut BytesMut) {
        out.put_slice(self.sdp.line(line));
        let line_end = self.sdp.text.get(line.end as usize..line.next as usize).unwrap_or_default();
        out.put_slice(if line_end.is_empty() { b"\r\n" } else { line_end });
    }

    fn origin(&self, line: &Line, out: &mut BytesMut) {
        let user =
            self.sdp.line(line).get(2..).unwrap_or_default().split(|&byte| byte == b' ').next().unwrap_or_default();
        let user = std::str::from_utf8(user).ok().filter(|user| !user.is_empty()).unwrap_or("-");
        self.put_origin(user, out);
    }

    fn put_origin(&self, user: &str, out: &mut BytesMut) {
        let Rewrite { session_id, version, media, .. } = self.to;
        put(out, format_args!("o={user} {session_id} {version} {}\r\n", address_of(*media)));
    }

    fn stream_line(&self, line: &Line, shown: Shown<'_>, out: &mut BytesMut) {
        let text = std::str::from_utf8(self.sdp.line(line)).unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        let (media, source) = (words.next().unwrap_or("m=audio"), words.nth(1).unwrap_or("RTP/AVP"));
        let proto = shown.protection.map_or(source, |own| own.profile(self.sdp.audio.profile.feedback));
        let port = if shown.refused { 0 } else { shown.media.port() };
        put(out, format_args!("{media} {port} {proto}"));
        for format in self.sdp.formats_of(line, shown.only) {
            put(out, format_args!(" {format}"));
        }
        out.put_slice(b"\r\n");
        self.missing_connection(Some(line.section), shown.media, out);
    }

    /// A stream that is refused for being what it is: its m-line with port 0, nothing else.
    fn refused_stream(&self, section: u16, out: &mut BytesMut) {
        let Some(line) = self.sdp.lines.iter().find(|line| line.kind == b'm' && line.section == section) else {
            return;
        };
        let text = std::str::from_utf8(self.sdp.line(line)).unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        put(out, format_args!("{} 0", words.next().unwrap_or_default()));
        for word in words.skip(1) {
            put(out, format_args!(" {word}"));
        }
        out.put_slice(b"\r\n");
        self.missing_connection(None, self.to.media, out);
    }

    /// RFC 8866 §5.7: a stream has a c= of its own where the session has none.
    fn missing_connection(&self, own: Option<u16>, media: SocketAddr, out: &mut BytesMut) {
        let counts = |line: &&Line| line.kind == b'c' && (line.section == 0 || own == Some(line.section));
        if !self.sdp.lines.iter().any(|line| counts(&line)) {
            connection(media, out);
        }
    }

    fn fate(&self, line: &Line, only: Option<&[u8]>) -> Fate {
        let text = self.sdp.line(line).get(2..).unwrap_or_default();
        let name_end = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
        let (name, value) = text.split_at_checked(name_end).unwrap_or((text, &[]));
        let name = std::str::from_utf8(name).unwrap_or_default().trim().to_ascii_lowercase();
        match name.as_str() {
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => Fate::Direction,
            "rtcp" => Fate::Rtcp,
            // Of the other leg alone: ICE (RFC 8839), keys (RFC 4568, 5763), multiplexing (RFC 5761), grouping with streams
            // that are refused (RFC 5888), and other configurations to choose (RFC 5939).
            "candidate" | "remote-candidates" | "end-of-candidates" | "fingerprint" | "setup" | "tls-id"
            | "connection" | "crypto" | "key-mgmt" | "rtcp-mux" | "rtcp-mux-only" | "group" | "bundle-only"
            | "acap" | "tcap" | "pcfg" | "acfg" | "csup" | "creq" => Fate::Goes,
            name if name.starts_with("ice-") => Fate::Goes,
            "rtpmap" | "fmtp" | "rtcp-fb" => {
                let value = std::str::from_utf8(value).unwrap_or_default();
                let of = value.trim_start_matches(':').split_ascii_whitespace().next().unwrap_or_default();
                match (only, of.parse::<u8>()) {
                    (Some(only), Ok(pt)) if !only.contains(&pt) => Fate::Goes,
                    _ => Fate::Stays,
                }
            }
            _ => Fate::Stays,
        }
    }
}

impl Shown<'_> {
    /// a=rtcp with our port, one above RTP's. Beside a=rtcp-mux it would say nothing that is not the default.
    fn rtcp(&self, out: &mut BytesMut) {
        if !self.refused && !self.protection.is_some_and(|own| own.mux) {
            let port = self.media.port().saturating_add(1);
            put(out, format_args!("a=rtcp:{port} {}\r\n", address_of(self.media)));
        }
    }

    fn direction(&self, out: &mut BytesMut) {
        put(out, format_args!("a={}\r\n", self.direction.as_str()));
    }
}

fn connection(media: SocketAddr, out: &mut BytesMut) {
    put(out, format_args!("c={}\r\n", address_of(media)));
}

/// Writes text; a buffer in memory takes it always.
fn put(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
