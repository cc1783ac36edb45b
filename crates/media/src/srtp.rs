//! SRTP (RFC 3711) with keys from SDP (RFC 4568): suites and keys.

use std::fmt;

use zeroize::Zeroizing;

/// Crypto suites that legs may use, by their names in SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 §6.2.1).
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    /// `AES_256_CM_HMAC_SHA1_80` (RFC 6188 §4).
    AesCm256HmacSha1_80,
    /// `AES_256_CM_HMAC_SHA1_32` (RFC 6188 §4).
    AesCm256HmacSha1_32,
    /// `AEAD_AES_128_GCM` (RFC 7714 §14.2).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714 §14.2).
    AeadAes256Gcm,
}

impl Suite {
    /// Length of the master key in bytes.
    #[must_use]
    pub fn key_length(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt in bytes.
    #[must_use]
    pub fn salt_length(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            _ => 14,
        }
    }
}

/// Master key and master salt of one direction. Wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    suite: Suite,
    bytes: Zeroizing<[u8; 46]>,
}

impl Key {
    /// From key and salt, one after the other, as they stand in `inline:` (RFC 4568 §6.1); `None`: not of the suite's
    /// length.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 46]);
        let length = suite.key_length() + suite.salt_length();
        if key_and_salt.len() != length {
            return None;
        }
        bytes.get_mut(..length)?.copy_from_slice(key_and_salt);
        Some(Self { suite, bytes })
    }

    /// The suite that it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The master key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_length()]
    }

    /// The master salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.bytes[self.suite.key_length()..self.suite.key_length() + self.suite.salt_length()]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.suite)
    }
}

/// A leg's keys: each side encrypts with its own (RFC 4568 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpKeys {
    /// What we send.
    pub ours: Key,
    /// What the remote party sends.
    pub theirs: Key,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_suites_length_and_is_never_shown() {
        let bytes: Vec<u8> = (0..46).collect();
        assert!(Key::new(Suite::AesCm128HmacSha1_80, &bytes[..29]).is_none());
        let key = Key::new(Suite::AeadAes256Gcm, &bytes[..44]).unwrap();
        assert_eq!((key.key(), key.salt()), (&bytes[..32], &bytes[32..44]));
        assert_eq!(format!("{key:?}"), "Key(AeadAes256Gcm)");
    }
}
