//! AES in counter mode (RFC 3711 §4.1.1, RFC 6188 §2), its keys expanded ahead.

use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes256Enc};
use ctr::{CtrCore, flavors::Ctr128BE};

/// An expanded key. Wiped when dropped.
pub(super) enum Aes {
    /// With 128 bits.
    Aes128(Aes128Enc),
    /// With 256 bits.
    Aes256(Aes256Enc),
}

impl Aes {
    /// From 16 or 32 bytes; what is missing is zero.
    pub(super) fn new(key: &[u8]) -> Self {
        if let Ok(key) = key.try_into() {
            return Self::Aes128(Aes128Enc::new(key));
        }
        let mut padded = zeroize::Zeroizing::new([0; 32]);
        padded.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        Self::Aes256(Aes256Enc::new((&*padded).into()))
    }

    /// Adds the key stream that begins with this counter block: encrypts, or decrypts.
    pub(super) fn apply(&self, start: [u8; 16], data: &mut [u8]) {
        match self {
            Self::Aes128(aes) => {
                CtrCore::<_, Ctr128BE>::inner_iv_init(aes, &start.into()).apply_keystream_partial(data.into())
            }
            Self::Aes256(aes) => {
                CtrCore::<_, Ctr128BE>::inner_iv_init(aes, &start.into()).apply_keystream_partial(data.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::vectors::hex;

    /// RFC 3711 appendix B.2: the first and the last blocks of the longest key stream that a packet may have.
    #[test]
    fn the_key_stream_of_rfc_3711() {
        let start: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().expect("a block");
        let mut stream = vec![0; 1_044_512];
        Aes::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).apply(start, &mut stream);
        let first =
            "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
        let last = "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE 6A2CC3787889374FBEB4C81B17BA6C44";
        assert_eq!(stream[..48], hex(first));
        assert_eq!(stream[stream.len() - 48..], hex(last));
    }

    /// RFC 6188 §7.1.
    #[test]
    fn the_key_stream_of_rfc_6188() {
        let start: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().expect("a block");
        let mut stream = [0; 48];
        let key = "57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98";
        Aes::new(&hex(key)).apply(start, &mut stream);
        let first =
            "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31";
        assert_eq!(stream[..], hex(first));
    }
}
