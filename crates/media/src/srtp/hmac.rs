//! HMAC-SHA1 (RFC 2104) with its two padded keys compressed ahead: two chaining values of 20 bytes are all that a key
//! costs, and a packet's whole blocks are hashed where they lie.

use sha1::block_api::compress;
use zeroize::Zeroize;

/// Length of a tag before it is cut.
pub(super) const TAG: usize = 20;
/// Bytes that may stand behind the data: a roll-over counter.
pub(super) const TRAILER: usize = 4;

const BLOCK: usize = 64;
/// RFC 3174 §6.1.
const START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// A key, ready for use. Wiped when dropped.
pub(super) struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl HmacSha1 {
    /// From a key of at most one block.
    pub(super) fn new(key: &[u8]) -> Self {
        let padded = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(key).for_each(|(to, from)| *to ^= from);
            let mut state = START;
            compress(&mut state, &[block]);
            block.zeroize();
            state
        };
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    /// The tag of `data` and, behind it, `trailer`, of which the first [`TRAILER`] bytes count.
    pub(super) fn tag(&self, data: &[u8], trailer: &[u8]) -> [u8; TAG] {
        let trailer = trailer.get(..TRAILER).unwrap_or(trailer);
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        let mut state = self.inner;
        compress(&mut state, blocks);
        // 63 bytes of data, 4 of trailer, 1 that ends the text and 8 of length take two blocks at most.
        let mut last = [[0; BLOCK]; 2];
        let text = rest.len() + trailer.len();
        let bytes = last.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()..text].copy_from_slice(trailer);
        bytes[text] = 0x80;
        let bits = (BLOCK + data.len() + trailer.len()) as u64 * 8;
        let used = if text + 1 + 8 <= BLOCK { &mut last[..1] } else { &mut last[..] };
        if let Some(end) = used.as_flattened_mut().last_chunk_mut::<8>() {
            *end = bits.to_be_bytes();
        }
        compress(&mut state, used);
        self.finish(state)
    }

    fn finish(&self, inner: [u32; 5]) -> [u8; TAG] {
        let mut block = [0; BLOCK];
        block[..TAG].copy_from_slice(&bytes(inner));
        block[TAG] = 0x80;
        block[BLOCK - 2..].copy_from_slice(&(((BLOCK + TAG) * 8) as u16).to_be_bytes());
        let mut state = self.outer;
        compress(&mut state, &[block]);
        bytes(state)
    }
}

fn bytes(state: [u32; 5]) -> [u8; TAG] {
    let mut out = [0; TAG];
    out.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(to, word)| *to = word.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::vectors::hex;

    /// RFC 2202 §3.
    #[test]
    fn the_tags_of_rfc_2202() {
        let tag = |key: &[u8], data: &[u8]| HmacSha1::new(key).tag(data, &[]);
        let cases: [(&[u8], &[u8], &str); 5] = [
            (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (&[0xaa; 20], &[0xdd; 50], "125d7342b9ac11cd91a39af48aa17b4f63f175d3"),
            (
                &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25],
                &[0xcd; 50],
                "4c9007f4026250c6bc8414f9bf50c86c2d7235da",
            ),
            (&[0x0c; 20], b"Test With Truncation", "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"),
        ];
        for (key, data, expected) in cases {
            assert_eq!(tag(key, data)[..], hex(expected));
        }
    }

    #[test]
    fn a_trailer_is_hashed_as_if_it_stood_behind_the_data_whatever_the_length() {
        let key = HmacSha1::new(&[7; 20]);
        let data: Vec<u8> = (0..=255).collect();
        for length in 0..=252 {
            assert_eq!(
                key.tag(&data[..length], &data[length..length + 4]),
                key.tag(&data[..length + 4], &[]),
                "{length}"
            );
        }
    }
}
