//! The session descriptions of a leg, and what of the relay's is needed.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use crate::generator::KEY;

/// One G.711 stream, encrypted with a key if there is one.
pub(super) fn describe(at: SocketAddrV4, direction: &str, key: Option<&[u8; KEY]>) -> String {
    let (ip, port) = (at.ip(), at.port());
    let profile = if key.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let crypto =
        key.map_or_else(String::new, |key| format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}\r\n", base64(key)));
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

/// The key of the first stream.
pub(super) fn key(sdp: &str) -> Option<[u8; KEY]> {
    let line = sdp.lines().find(|line| line.starts_with("a=crypto:") && line.contains("AES_CM_128_HMAC_SHA1_80"))?;
    let (_, text) = line.split_once("inline:")?;
    from_base64(text.split(['|', ' ', '\r']).next()?)?.try_into().ok()
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
        let bytes = std::array::from_fn(|n| n as u8 * 9);
        let sdp = describe(at, "sendrecv", Some(&bytes));
        assert_eq!((addresses(&sdp), key(&sdp)), (vec![SocketAddr::V4(at)], Some(bytes)));
        assert_eq!(key(&describe(at, "sendrecv", None)), None);
    }
}
