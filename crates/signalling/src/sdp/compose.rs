//! Descriptions of our own.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::crypto::Protection;
use super::{Direction, Payload};

/// A description of our own with one audio stream (the listener's offer); events and comfort noise stand among the
/// payloads.
pub fn compose(
    media: SocketAddr,
    session_id: u64,
    version: u64,
    payloads: &[Payload],
    direction: Direction,
    protection: &Protection,
) -> Bytes {
    let mut out = String::with_capacity(512);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "v=0\r\no=- {session_id} {version} {0}\r\ns=-\r\nc={0}\r\nt=0 0\r\nm=audio {1} {2}",
        address_of(media),
        media.port(),
        protection.profile(false)
    );
    for payload in payloads {
        let _ = write!(out, " {}", payload.pt);
    }
    out.push_str("\r\n");
    for payload in payloads {
        let _ = write!(out, "a=rtpmap:{} {}/{}", payload.pt, OneWord(&payload.name), payload.clock);
        if payload.channels > 1 {
            let _ = write!(out, "/{}", payload.channels);
        }
        out.push_str("\r\n");
        if !payload.fmtp.is_empty() {
            let _ = write!(out, "a=fmtp:{} {}\r\n", payload.pt, OneLine(&payload.fmtp));
        }
    }
    let _ = write!(out, "a=ptime:20\r\na={}\r\n", direction.as_str());
    out.push_str(&protection.lines());
    Bytes::from(out)
}

/// `IN IP4 192.0.2.1`, as in o= and c=.
pub(super) fn address_of(media: SocketAddr) -> impl fmt::Display {
    struct Address(IpAddr);
    impl fmt::Display for Address {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "IN {} {}", if self.0.is_ipv4() { "IP4" } else { "IP6" }, self.0)
        }
    }
    Address(media.ip().to_canonical())
}

struct OneLine<'a>(&'a str);
impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}

struct OneWord<'a>(&'a str);
impl fmt::Display for OneWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().filter(|c| c.is_ascii_graphic() && *c != '/').try_for_each(|c| f.write_char(c))
    }
}
