//! The session descriptions of a leg, and what of the relay's is needed.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use crate::generator::{KEY, Suite};

/// One line `a=crypto` (RFC 4568).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crypto {
    /// Its number; an answer has that of the line it takes.
    pub(super) tag: u32,
    pub(super) suite: Suite,
    pub(super) key: [u8; KEY],
}

/// One G.711 stream, encrypted with a key if there is one.
pub(super) fn describe(at: SocketAddrV4, direction: &str, crypto: Option<Crypto>) -> String {
    let (ip, port) = (at.ip(), at.port());
    let profile = if crypto.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let crypto = crypto.map_or_else(String::new, |Crypto { tag, suite, key }| {
        format!("a=crypto:{tag} {} inline:{}\r\n", name(suite), base64(&key))
    });
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} 8\r\n\
         a=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n{crypto}a={direction}\r\n"
    )
}

/// Where the streams of a description are received.
pub(super) fn addresses(sdp: &str) -> Vec<SocketAddr> {
    let ip: Option<IpAddr> = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP")?.get(2..)?.trim().parse().ok());
    let ports = sdp.lines().filter_map(|line| line.strip_prefix("m=audio ")?.split(' ').next()?.parse().ok());
    ip.map_or_else(Vec::new, |ip| ports.map(|port| SocketAddr::new(ip, port)).collect())
}

/// The line of a suite.
pub(super) fn crypto(sdp: &str, suite: Suite) -> Option<Crypto> {
    sdp.lines().find_map(|line| {
        let mut words = line.strip_prefix("a=crypto:")?.split_whitespace();
        let tag = words.next()?.parse().ok()?;
        let is_of_suite = words.next()? == name(suite);
        let key = words.next()?.strip_prefix("inline:")?.split('|').next()?;
        let key = from_base64(key)?.try_into().ok();
        is_of_suite.then_some(Crypto { tag, suite, key: key? })
    })
}

fn name(suite: Suite) -> &'static str {
    match suite {
        Suite::Sha1_80 => "AES_CM_128_HMAC_SHA1_80",
        Suite::Sha1_32 => "AES_CM_128_HMAC_SHA1_32",
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Of whole groups of three bytes, as a key of 30 has.
fn base64(bytes: &[u8; KEY]) -> String {
    let (groups, _) = bytes.as_chunks::<3>();
    let text = groups.iter().flat_map(|[a, b, c]| {
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift) as usize & 63]))
    });
    text.collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    let mut bytes = Vec::new();
    for group in groups {
        let mut bits = 0_u32;
        for letter in group {
            bits = bits << 6 | ALPHABET.iter().position(|known| known == letter)? as u32;
        }
        bytes.extend(&bits.to_be_bytes()[1..]);
    }
    rest.is_empty().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_says_where_and_with_which_key() {
        let at = "127.0.0.3:4000".parse().unwrap();
        let key = std::array::from_fn(|n| n as u8 * 8);
        let line = Crypto { tag: 3, suite: Suite::Sha1_32, key };
        let sdp = describe(at, "sendrecv", Some(line));
        assert_eq!((addresses(&sdp), crypto(&sdp, Suite::Sha1_32)), (vec![SocketAddr::V4(at)], Some(line)));
        assert_eq!(crypto(&sdp, Suite::Sha1_80), None);
    }
}
