//! Reading a description (RFC 8866 §5): the session's lines and those of RTP streams. The one audio stream must be
//! right; another one that is not is merely none that can be relayed.

use std::net::IpAddr;

use bytes::Bytes;

use super::crypto::{CRYPTO_MAX, Crypto};
use super::{
    self as sdp, Audio, BYTES_MAX, Direction, LINES_MAX, Line, PAYLOADS_MAX, Payload, Profile, STREAMS_MAX, Sdp,
    SdpError,
};

/// `secure`: only streams over SRTP, or only plain ones, are looked at.
pub(super) fn parse(text: &Bytes, secure: Option<bool>) -> Result<Sdp, SdpError> {
    let lines = lines(text)?;
    let content = |line: &Line| {
        std::str::from_utf8(text.get(line.from as usize + 2..line.end as usize).unwrap_or_default()).unwrap_or_default()
    };
    let streams = lines
        .iter()
        .filter(|line| line.kind == b'm')
        .map(|line| Stream::parse(content(line), line.section))
        .collect::<Result<Vec<_>, _>>()?;
    let (stream, profile) = chosen(&streams, secure)?;
    let audio = read(stream, profile, &lines, content)?;
    let streams = streams
        .iter()
        .map(|other| {
            let is_audio = other.section == stream.section;
            let rtp = if is_audio { Some(audio.clone()) } else { read_other(other, &lines, content) };
            sdp::Stream {
                media: other.media.to_ascii_lowercase(),
                rest: format!("{} {}", other.proto, other.formats),
                rtp,
            }
        })
        .collect();
    Ok(Sdp { text: text.clone(), lines, audio, streams })
}

/// The session's part and the stream's own.
fn read<'a>(
    stream: &'a Stream<'a>,
    profile: Profile,
    lines: &[Line],
    content: impl Fn(&Line) -> &'a str,
) -> Result<Audio, SdpError> {
    let mut reading = Reading::new(stream, profile);
    for line in lines {
        if line.section != 0 && line.section != stream.section {
            continue;
        }
        let media_level = line.section != 0;
        match line.kind {
            b'c' => reading.connection(content(line), media_level)?,
            b'a' => reading.attribute(content(line), media_level)?,
            _ => {}
        }
    }
    reading.finish()
}

/// A stream besides the audio stream: nothing of it makes the description a broken one.
fn read_other<'a>(stream: &'a Stream<'a>, lines: &[Line], content: impl Fn(&Line) -> &'a str) -> Option<Audio> {
    read(stream, stream.profile()?, lines, content).ok()
}

/// Splits and checks every line's form. Empty lines are passed over.
fn lines(text: &[u8]) -> Result<Vec<Line>, SdpError> {
    if text.len() > BYTES_MAX {
        return Err(SdpError::Malformed("description too large"));
    }
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let mut lines = Vec::with_capacity(32);
    let (mut from, mut section) = (0, 0_u16);
    while from < text.len() {
        let rest = text.get(from..).unwrap_or_default();
        let end = from + memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let next = match (text.get(end), text.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => end + 2,
            (Some(_), _) => end + 1,
            (None, _) => end,
        };
        match text.get(from..end).unwrap_or_default() {
            [] => {}
            [kind @ b'a'..=b'z', b'=', value @ ..] => {
                if memchr::memchr(0, value).is_some() {
                    return Err(SdpError::Malformed("NUL in the description"));
                }
                if lines.is_empty() && (*kind, value.trim_ascii_end()) != (b'v', b"0".as_slice()) {
                    return Err(SdpError::Malformed("description does not begin with v=0"));
                }
                section += u16::from(*kind == b'm');
                lines.push(Line { from: place(from), end: place(end), next: place(next), kind: *kind, section });
            }
            _ => return Err(SdpError::Malformed("line is not type=value")),
        }
        if lines.len() > LINES_MAX {
            return Err(SdpError::Malformed("too many lines in the description"));
        }
        if usize::from(section) > STREAMS_MAX {
            return Err(SdpError::Malformed("too many m-lines in the description"));
        }
        from = next;
    }
    if lines.is_empty() { Err(SdpError::Malformed("empty description")) } else { Ok(lines) }
}

/// One m-line.
struct Stream<'a> {
    section: u16,
    media: &'a str,
    port: u16,
    proto: &'a str,
    formats: &'a str,
}

impl<'a> Stream<'a> {
    /// `media port[/count] proto fmt …` (RFC 8866 §5.14).
    fn parse(text: &'a str, section: u16) -> Result<Self, SdpError> {
        let broken = SdpError::Malformed("m-line is broken");
        let (media, rest) = text.split_once(' ').ok_or(broken.clone())?;
        let (ports, rest) = rest.trim_start().split_once(' ').ok_or(broken.clone())?;
        let (proto, formats) = rest.trim_start().split_once(' ').ok_or(broken.clone())?;
        let formats = formats.trim_ascii();
        let (port, count) = ports.split_once('/').unwrap_or((ports, "1"));
        let port: u16 = digits(port).ok_or(SdpError::Malformed("port is not 0 to 65535"))?;
        let count: u16 =
            digits(count).filter(|count| *count > 0).ok_or(SdpError::Malformed("number of ports is broken"))?;
        // Each of them takes an RTP and an RTCP port.
        if u32::from(port) + 2 * u32::from(count - 1) > u32::from(u16::MAX) {
            return Err(SdpError::Malformed("number of ports is too large"));
        }
        if media.is_empty() || proto.is_empty() || formats.is_empty() {
            return Err(broken);
        }
        Ok(Self { section, media, port, proto, formats })
    }
    /// `None`: neither plain RTP nor SRTP with keys in the description.
    fn profile(&self) -> Option<Profile> {
        match self.proto.to_ascii_uppercase().as_str() {
            "RTP/AVP" => Some(Profile { secure: false, feedback: false }),
            "RTP/AVPF" => Some(Profile { secure: false, feedback: true }),
            "RTP/SAVP" => Some(Profile { secure: true, feedback: false }),
            "RTP/SAVPF" => Some(Profile { secure: true, feedback: true }),
            _ => None,
        }
    }
}

fn chosen<'a, 'b>(streams: &'b [Stream<'a>], secure: Option<bool>) -> Result<(&'b Stream<'a>, Profile), SdpError> {
    let mut audio = streams.iter().filter(|stream| stream.media.eq_ignore_ascii_case("audio")).peekable();
    if audio.peek().is_none() {
        return Err(SdpError::NotAcceptable("no audio stream"));
    }
    let wanted = |profile: &Profile| secure.is_none_or(|secure| secure == profile.secure);
    let mut known = audio.filter_map(|stream| Some((stream, stream.profile().filter(wanted)?)));
    let first = known.next().ok_or(SdpError::NotAcceptable("audio is not over RTP/AVP or RTP/SAVP"))?;
    if first.0.port > 0 {
        return Ok(first);
    }
    Ok(known.find(|(stream, _)| stream.port > 0).unwrap_or(first))
}

/// The audio stream while its lines come by.
struct Reading<'a> {
    stream: &'a Stream<'a>,
    session_address: Option<Address>,
    media_address: Option<Address>,
    session_direction: Option<Direction>,
    media_direction: Option<Direction>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    maps: Vec<(u8, &'a str)>,
    fmtps: Vec<(u8, &'a str)>,
    profile: Profile,
    crypto: Vec<Crypto>,
    crypto_lines: usize,
    mux: bool,
}

/// What an m-line's payload types are.
struct Formats {
    all: Vec<u8>,
    payloads: Vec<Payload>,
    /// With their clocks.
    events: Vec<(u8, u32)>,
}

#[derive(Clone, Copy)]
enum Address {
    Literal(IpAddr),
    Name,
}

impl<'a> Reading<'a> {
    fn new(stream: &'a Stream<'a>, profile: Profile) -> Self {
        Self {
            stream,
            session_address: None,
            media_address: None,
            session_direction: None,
            media_direction: None,
            rtcp: None,
            maps: Vec::new(),
            fmtps: Vec::new(),
            profile,
            crypto: Vec::new(),
            crypto_lines: 0,
            mux: false,
        }
    }

    fn connection(&mut self, text: &str, media_level: bool) -> Result<(), SdpError> {
        let address = address(text)?;
        let slot = if media_level { &mut self.media_address } else { &mut self.session_address };
        slot.get_or_insert(address);
        Ok(())
    }

    fn attribute(&mut self, text: &'a str, media_level: bool) -> Result<(), SdpError> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim();
        if let Some(direction) = direction(name) {
            // The last one counts, as the line closest to the end is what sloppy writers meant to add.
            let slot = if media_level { &mut self.media_direction } else { &mut self.session_direction };
            *slot = Some(direction);
            return Ok(());
        }
        if !media_level {
            return Ok(());
        }
        match name {
            "rtcp" => self.rtcp = Some(rtcp(value)?),
            "rtpmap" => self.maps.extend(payload_line(value)),
            "fmtp" => self.fmtps.extend(payload_line(value)),
            "crypto" => self.crypto(value),
            "rtcp-mux" | "rtcp-mux-only" => self.mux = true,
            _ => {}
        }
        Ok(())
    }

    /// Of two lines with one tag the first counts: they cannot be told apart in an answer (RFC 4568 §4.1).
    fn crypto(&mut self, value: &str) {
        self.crypto_lines += 1;
        if self.crypto_lines <= CRYPTO_MAX
            && let Some(line) = Crypto::parse(value)
            && self.crypto.iter().all(|known| known.tag != line.tag)
        {
            self.crypto.push(line);
        }
    }

    fn finish(self) -> Result<Audio, SdpError> {
        let address = self.media_address.or(self.session_address);
        let port = self.stream.port;
        let address = match address {
            Some(Address::Literal(address)) => {
                if port > 0 {
                    unicast(address)?;
                }
                Some(address)
            }
            Some(Address::Name) => None,
            None if port == 0 => None,
            None => return Err(SdpError::Malformed("no c= for the audio stream")),
        };
        let Formats { all: formats, payloads, events } = self.formats()?;
        // Events run on the clock of the voice they stand in for (RFC 4733 §2.1).
        let clock = payloads.first().map_or(8000, |first| first.clock);
        let telephone_event = events.iter().find(|(_, own)| *own == clock).or(events.first()).map(|(pt, _)| *pt);
        if let Some((_, Some(address))) = self.rtcp {
            unicast(address)?;
        }
        let direction = self.media_direction.or(self.session_direction).unwrap_or_default();
        Ok(Audio {
            section: self.stream.section,
            port,
            address,
            rtcp: self.rtcp,
            direction,
            formats,
            payloads,
            events: events.into_iter().map(|(pt, _)| pt).collect(),
            telephone_event,
            profile: self.profile,
            crypto: self.crypto,
            names_crypto: self.crypto_lines > 0,
            mux: self.mux,
        })
    }

    fn formats(&self) -> Result<Formats, SdpError> {
        let mut formats = Vec::new();
        let mut payloads: Vec<Payload> = Vec::new();
        let mut events: Vec<(u8, u32)> = Vec::new();
        let mut seen = [false; 128];
        for (at, format) in self.stream.formats.split_ascii_whitespace().enumerate() {
            if at >= PAYLOADS_MAX {
                return Err(SdpError::Malformed("too many formats in the m-line"));
            }
            let pt: u8 = digits(format).filter(|pt| *pt < 128).ok_or(SdpError::Malformed("format is not 0 to 127"))?;
            let Some(slot @ false) = seen.get_mut(usize::from(pt)) else { continue };
            *slot = true;
            formats.push(pt);
            let map = self.maps.iter().find(|(of, _)| *of == pt);
            let meaning = match map {
                Some((_, text)) => Some(encoding(text)?),
                None => static_payload(pt),
            };
            let Some((name, clock, channels)) = meaning else { continue };
            if name.eq_ignore_ascii_case("telephone-event") {
                events.push((pt, clock));
                continue;
            }
            let fmtp = self.fmtps.iter().find(|(of, _)| *of == pt).map_or("", |(_, text)| text);
            payloads.push(Payload { pt, name: name.to_owned(), clock, channels, fmtp: fmtp.to_owned() });
        }
        Ok(Formats { all: formats, payloads, events })
    }
}

fn direction(name: &str) -> Option<Direction> {
    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        .into_iter()
        .find(|direction| name.eq_ignore_ascii_case(direction.as_str()))
}

/// `PT rest`; a line that names no payload type says nothing.
fn payload_line(value: &str) -> Option<(u8, &str)> {
    let value = value.trim();
    let (pt, rest) = value.split_once(' ').unwrap_or((value, ""));
    Some((digits(pt)?, rest.trim()))
}

/// `PCMU/8000[/1]`.
fn encoding(text: &str) -> Result<(&str, u32, u8), SdpError> {
    let broken = SdpError::Malformed("rtpmap is broken");
    let mut parts = text.split('/').map(str::trim);
    let name = parts
        .next()
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))
        .ok_or(broken.clone())?;
    let clock: u32 = parts.next().and_then(digits).filter(|clock| *clock > 0).ok_or(broken.clone())?;
    let channels: u8 = match parts.next() {
        None | Some("") => 1,
        Some(channels) => digits(channels).filter(|channels| *channels > 0).ok_or(broken)?,
    };
    Ok((name, clock, channels))
}

/// Payload types that mean something without an rtpmap (RFC 3551 §6, table 4).
fn static_payload(pt: u8) -> Option<(&'static str, u32, u8)> {
    Some(match pt {
        0 => ("PCMU", 8000, 1),
        3 => ("GSM", 8000, 1),
        4 => ("G723", 8000, 1),
        5 => ("DVI4", 8000, 1),
        6 => ("DVI4", 16_000, 1),
        7 => ("LPC", 8000, 1),
        8 => ("PCMA", 8000, 1),
        9 => ("G722", 8000, 1),
        10 => ("L16", 44_100, 2),
        11 => ("L16", 44_100, 1),
        12 => ("QCELP", 8000, 1),
        13 => ("CN", 8000, 1),
        14 => ("MPA", 90_000, 1),
        15 => ("G728", 8000, 1),
        16 => ("DVI4", 11_025, 1),
        17 => ("DVI4", 22_050, 1),
        18 => ("G729", 8000, 1),
        _ => return None,
    })
}

/// `IN IP4 192.0.2.1[/ttl[/count]]`.
fn address(text: &str) -> Result<Address, SdpError> {
    let broken = SdpError::Malformed("address is broken");
    let mut words = text.split_ascii_whitespace();
    let (Some(net), Some(kind), Some(address), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(broken);
    };
    if !net.eq_ignore_ascii_case("IN") {
        return Err(broken);
    }
    let host = address.split('/').next().unwrap_or_default();
    match (kind.to_ascii_uppercase().as_str(), host.parse::<IpAddr>()) {
        ("IP4", Ok(address @ IpAddr::V4(_))) | ("IP6", Ok(address @ IpAddr::V6(_))) => Ok(Address::Literal(address)),
        ("IP4" | "IP6", Err(_)) if host_name(host) => Ok(Address::Name),
        _ => Err(broken),
    }
}

/// A name as in DNS; what looks like a number in some other form (`127.1`, `0x7f000001`) is none.
fn host_name(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253
        && host.split('.').all(label)
        && host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Audio is sent to one host that a router would take it to.
fn unicast(address: IpAddr) -> Result<(), SdpError> {
    let (many, link) = match address.to_canonical() {
        IpAddr::V4(v4) => (v4.is_multicast() || v4.is_broadcast(), v4.is_link_local()),
        IpAddr::V6(v6) => (v6.is_multicast(), v6.is_unicast_link_local()),
    };
    match (many, link) {
        (true, _) => Err(SdpError::NotAcceptable("address is not unicast")),
        (_, true) => Err(SdpError::NotAcceptable("address is link-local")),
        _ => Ok(()),
    }
}

/// `port [IN IP4 address]` (RFC 3605 §2.1).
fn rtcp(value: &str) -> Result<(u16, Option<IpAddr>), SdpError> {
    let value = value.trim();
    let (port, rest) = value.split_once(' ').unwrap_or((value, ""));
    let port = digits(port).ok_or(SdpError::Malformed("a=rtcp is broken"))?;
    if rest.trim().is_empty() {
        return Ok((port, None));
    }
    match address(rest)? {
        Address::Literal(address) => Ok((port, Some(address))),
        Address::Name => Ok((port, None)),
    }
}

fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
