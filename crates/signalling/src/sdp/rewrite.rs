//! The same description for the other leg: what names an address, a port or a key is replaced, the rest stays.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::compose::address_of;
use super::{Line, Rewrite, Sdp};

pub(super) fn rewrite(sdp: &Sdp, to: &Rewrite<'_>) -> Bytes {
    let writing = Writing { sdp, to, refused: sdp.rejected() || to.media.port() == 0 || sdp.nothing_left(to.only) };
    let mut out = BytesMut::with_capacity(sdp.text.len() + 128);
    if !sdp.lines.iter().any(|line| line.kind == b'o' && line.section == 0) {
        writing.without_origin(&mut out);
    } else {
        writing.section(0, &mut out);
    }
    let last = sdp.lines.last().map_or(0, |line| line.section);
    for section in 1..=last {
        writing.section(section, &mut out);
    }
    out.freeze()
}

impl Sdp {
    /// The m-line's formats that stay.
    fn formats<'a>(&'a self, line: &'a Line, only: Option<&'a [u8]>) -> impl Iterator<Item = &'a str> + 'a {
        let text = std::str::from_utf8(self.line(line)).unwrap_or_default();
        let stays = move |format: &&str| only.is_none_or(|only| format.parse().is_ok_and(|pt| only.contains(&pt)));
        text.split_ascii_whitespace().skip(3).filter(stays)
    }
    fn nothing_left(&self, only: Option<&[u8]>) -> bool {
        let audio = self.lines.iter().find(|line| line.kind == b'm' && line.section == self.audio.section);
        audio.is_none_or(|line| self.formats(line, only).next().is_none())
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

impl Writing<'_> {
    /// Everything up to the next m-line.
    fn section(&self, section: u16, out: &mut BytesMut) {
        let audio = section == self.sdp.audio.section;
        let mut directed = false;
        for line in self.sdp.lines.iter().filter(|line| line.section == section) {
            if section != 0 && !audio {
                if line.kind == b'm' {
                    self.refused_stream(line, out);
                }
                continue;
            }
            match line.kind {
                b'm' => self.audio_stream(line, out),
                b'o' if section == 0 => self.origin(line, out),
                // In a stream it has no place, and it names whoever wrote it.
                b'o' => {}
                b'c' => self.connection(out),
                // Keys of the other leg (RFC 8866 §5.12, obsolete).
                b'k' => {}
                b'a' => match self.fate(line) {
                    Fate::Stays => self.keep(line, out),
                    Fate::Goes => {}
                    Fate::Rtcp => self.rtcp(out),
                    Fate::Direction if section != 0 && !directed => {
                        self.direction(out);
                        directed = true;
                    }
                    Fate::Direction => {}
                },
                _ => self.keep(line, out),
            }
        }
        if audio && !directed {
            self.direction(out);
        }
        if audio && !self.refused {
            out.put_slice(self.to.protection.lines().as_bytes());
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
        Writing { sdp: &session, to: self.to, refused: self.refused }.section(0, out);
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

    fn connection(&self, out: &mut BytesMut) {
        put(out, format_args!("c={}\r\n", address_of(self.to.media)));
    }

    /// a=rtcp with our port, one above RTP's. Beside a=rtcp-mux it would say nothing that is not the default.
    fn rtcp(&self, out: &mut BytesMut) {
        if !self.refused && !self.to.protection.mux {
            put(
                out,
                format_args!("a=rtcp:{} {}\r\n", self.to.media.port().saturating_add(1), address_of(self.to.media)),
            );
        }
    }

    fn direction(&self, out: &mut BytesMut) {
        put(out, format_args!("a={}\r\n", self.to.direction.as_str()));
    }

    fn audio_stream(&self, line: &Line, out: &mut BytesMut) {
        let text = std::str::from_utf8(self.sdp.line(line)).unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        let (media, proto) =
            (words.next().unwrap_or("m=audio"), self.to.protection.profile(self.sdp.audio.profile.feedback));
        let port = if self.refused { 0 } else { self.to.media.port() };
        put(out, format_args!("{media} {port} {proto}"));
        // A refused stream keeps its formats: an m-line without any is broken (RFC 3264 §6).
        let only = if self.sdp.nothing_left(self.to.only) { None } else { self.to.only };
        for format in self.sdp.formats(line, only) {
            put(out, format_args!(" {format}"));
        }
        out.put_slice(b"\r\n");
        self.missing_connection(line.section, true, out);
    }

    /// Another stream: its m-line with port 0, nothing else.
    fn refused_stream(&self, line: &Line, out: &mut BytesMut) {
        let text = std::str::from_utf8(self.sdp.line(line)).unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        put(out, format_args!("{} 0", words.next().unwrap_or_default()));
        for word in words.skip(1) {
            put(out, format_args!(" {word}"));
        }
        out.put_slice(b"\r\n");
        self.missing_connection(line.section, false, out);
    }

    /// RFC 8866 §5.7: a stream has a c= of its own where the session has none.
    fn missing_connection(&self, section: u16, own_is_written: bool, out: &mut BytesMut) {
        let counts =
            |line: &&Line| line.kind == b'c' && (line.section == 0 || (own_is_written && line.section == section));
        if !self.sdp.lines.iter().any(|line| counts(&line)) {
            self.connection(out);
        }
    }

    fn fate(&self, line: &Line) -> Fate {
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
            "rtpmap" | "fmtp" | "rtcp-fb" if line.section != 0 && !self.sdp.nothing_left(self.to.only) => {
                let value = std::str::from_utf8(value).unwrap_or_default();
                let of = value.trim_start_matches(':').split_ascii_whitespace().next().unwrap_or_default();
                match (self.to.only, of.parse::<u8>()) {
                    (Some(only), Ok(pt)) if !only.contains(&pt) => Fate::Goes,
                    _ => Fate::Stays,
                }
            }
            _ => Fate::Stays,
        }
    }
}

/// Writes text; a buffer in memory takes it always.
fn put(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
