//! Session descriptions: what is rewritten is a description again, shows our address and nobody else's, refuses every
//! other stream, keeps no keys, and rewritten once more stays as it is.

use std::net::SocketAddr;

use bytes::Bytes;
use signalling::sdp::crypto::{Crypto, Key, Protection, Suite};
use signalling::sdp::{BYTES_MAX, Direction, LINES_MAX, Rewrite, STREAMS_MAX, Sdp};

/// Attributes that must not pass: they name addresses, ports or keys of the other leg.
const GONE: [&str; 9] =
    ["candidate", "remote-candidates", "crypto", "fingerprint", "setup", "ice-ufrag", "ice-pwd", "rtcp-mux", "group"];

/// See the module.
pub fn body(data: &[u8]) {
    let Ok(sdp) = Sdp::parse(&Bytes::copy_from_slice(data)) else { return };
    let lines = |data: &[u8]| data.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty()).count();
    assert!(data.len() <= BYTES_MAX && lines(data) <= LINES_MAX);
    assert!(sdp.rtp().is_none_or(|rtp| rtp.port() > 0 && !rtp.ip().is_unspecified()));
    assert!(sdp.rtcp().is_none_or(|rtcp| rtcp.port() > 0 && !rtcp.ip().is_multicast()));
    let near_a_limit = data.len() > BYTES_MAX - 8_192 || lines(data) > LINES_MAX - 100;
    let only: Vec<u8> = sdp.payloads().iter().map(|payload| payload.pt).take(1).collect();
    let key = Key::new(Suite::AesCm128HmacSha1_80, &[7; 30]).expect("30 bytes");
    let ours = Protection { secure: true, feedback: None, crypto: vec![Crypto { tag: 1, key }], mux: true };
    let plain = Protection::default();
    for media in ["198.51.100.1:20000", "[2001:db8::1]:20000", "198.51.100.1:0"] {
        for (direction, only, protection) in
            [(Direction::SendRecv, None, &plain), (Direction::Inactive, Some(only.as_slice()), &ours)]
        {
            let media: SocketAddr = media.parse().expect("an address");
            let to = Rewrite { media, session_id: 7, version: 8, direction, only, protection, places: None };
            let out = sdp.rewrite(&to);
            if near_a_limit {
                continue;
            }
            check(&sdp, &to, &out);
        }
    }
}

fn check(sdp: &Sdp, to: &Rewrite<'_>, out: &Bytes) {
    let refused = sdp.rejected() || to.media.port() == 0 || to.only.is_some_and(<[u8]>::is_empty);
    let again = match Sdp::parse(out) {
        Ok(again) => again,
        // Where every stream is refused, one that was never looked at may be broken: it stays as it was written.
        Err(_) if refused => return,
        Err(error) => panic!("{error:?}: {}", String::from_utf8_lossy(out)),
    };
    assert!(again.rtp().is_none_or(|rtp| rtp == to.media), "{:?}", again.rtp());
    assert!(!refused || again.rejected());
    assert!(again.rtcp().is_none_or(|rtcp| rtcp.ip() == to.media.ip() && rtcp.port() == to.media.port() + 1));
    assert!(again.rejected() || again.rewrite(to) == out, "once more changes nothing");
    assert!(again.rejected() || again.direction() == to.direction);
    let protection = (again.secure(), again.crypto(), again.mux());
    assert!(again.rejected() || protection == (to.protection.secure, &to.protection.crypto[..], to.protection.mux));
    assert_eq!(m_lines(out).count(), m_lines(sdp.bytes()).count(), "a stream for each stream");
    assert!(m_lines(out).count() <= STREAMS_MAX);
    let with_port = m_lines(out).filter(|line| line.split(|byte| *byte == b' ').nth(1) != Some(b"0")).count();
    assert!(with_port <= 1, "one stream at most is not refused");
    let host = to.media.ip().to_string();
    for line in lines(out) {
        let text = String::from_utf8_lossy(line);
        if text.starts_with("c=") || text.starts_with("a=rtcp:") {
            assert!(text.trim_end().ends_with(&host), "{text}");
        }
        if text.starts_with("o=") {
            assert!(
                text.ends_with(&format!(" 7 8 IN {} {host}", if to.media.is_ipv4() { "IP4" } else { "IP6" })),
                "{text}"
            );
        }
        assert!(!text.starts_with("k="), "{text}");
        let name = text.strip_prefix("a=").and_then(|rest| rest.split(':').next()).unwrap_or_default().trim();
        let ours = to.protection.mux
            && (text == "a=rtcp-mux" || text.ends_with("inline:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH"));
        assert!(ours || !GONE.iter().any(|gone| name.eq_ignore_ascii_case(gone)), "{text}");
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b'\r' | b'\n')).filter(|line| !line.is_empty())
}

fn m_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(text).filter(|line| line.starts_with(b"m="))
}
