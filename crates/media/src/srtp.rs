//! SRTP (RFC 3711) with keys from SDP (RFC 4568): suites, keys, and the transform of both directions. Packets change in
//! place; nothing is allocated for one.
//!
//! ```
//! use media::srtp::{Inbound, Key, OVERHEAD, Outbound, Refused, Suite};
//!
//! let key = Key::new(Suite::AesCm128HmacSha1_80, &[7; 30]).ok_or("of another length")?;
//! let (mut ours, mut theirs) = (Outbound::new(&key).ok_or("refused")?, Inbound::new(&key).ok_or("refused")?);
//!
//! let mut buffer = [0; 172 + OVERHEAD];
//! buffer[0] = 0x80; // RTP version 2
//! let length = ours.rtp(&mut buffer, 172).map_err(|_| "not sent")?;
//! let replayed = buffer;
//! assert_eq!(theirs.rtp(&mut buffer[..length]).map(|opened| opened.length), Ok(172));
//! assert_eq!(theirs.rtp(&mut replayed.clone()[..length]), Err(Refused::Replayed));
//! # Ok::<(), &str>(())
//! ```

mod cipher;
mod counter;
mod derive;
mod hmac;
mod inbound;
mod index;
mod outbound;
mod protection;
#[cfg(test)]
mod vectors;

use std::fmt;

use zeroize::Zeroizing;

pub use self::cipher::OVERHEAD;
pub use self::inbound::{INBOUND_SOURCES_MAX, Inbound, Opened, Refused};
pub use self::index::REPLAY_WINDOW;
pub use self::outbound::{OUTBOUND_SOURCES_MAX, Outbound, Unsent};
pub use self::protection::{Protection, REKEY_OVERLAP};
use crate::rtp::HEADER;

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

/// Master key and master salt of one direction, one after the other, of its suite's exact length. Wiped when dropped, never
/// shown.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after their suites")]
pub enum Key {
    AesCm128HmacSha1_80(Zeroizing<[u8; 30]>),
    AesCm128HmacSha1_32(Zeroizing<[u8; 30]>),
    AesCm256HmacSha1_80(Zeroizing<[u8; 46]>),
    AesCm256HmacSha1_32(Zeroizing<[u8; 46]>),
    AeadAes128Gcm(Zeroizing<[u8; 28]>),
    AeadAes256Gcm(Zeroizing<[u8; 44]>),
}

impl Key {
    /// From key and salt, one after the other, as they stand in `inline:` (RFC 4568 §6.1); `None`: not of the suite's
    /// length.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        Some(match suite {
            Suite::AesCm128HmacSha1_80 => Self::AesCm128HmacSha1_80(exactly(key_and_salt)?),
            Suite::AesCm128HmacSha1_32 => Self::AesCm128HmacSha1_32(exactly(key_and_salt)?),
            Suite::AesCm256HmacSha1_80 => Self::AesCm256HmacSha1_80(exactly(key_and_salt)?),
            Suite::AesCm256HmacSha1_32 => Self::AesCm256HmacSha1_32(exactly(key_and_salt)?),
            Suite::AeadAes128Gcm => Self::AeadAes128Gcm(exactly(key_and_salt)?),
            Suite::AeadAes256Gcm => Self::AeadAes256Gcm(exactly(key_and_salt)?),
        })
    }

    /// The suite that it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        match self {
            Self::AesCm128HmacSha1_80(_) => Suite::AesCm128HmacSha1_80,
            Self::AesCm128HmacSha1_32(_) => Suite::AesCm128HmacSha1_32,
            Self::AesCm256HmacSha1_80(_) => Suite::AesCm256HmacSha1_80,
            Self::AesCm256HmacSha1_32(_) => Suite::AesCm256HmacSha1_32,
            Self::AeadAes128Gcm(_) => Suite::AeadAes128Gcm,
            Self::AeadAes256Gcm(_) => Suite::AeadAes256Gcm,
        }
    }

    /// The master key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.bytes()[..self.suite().key_length()]
    }

    /// The master salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.bytes()[self.suite().key_length()..]
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::AesCm128HmacSha1_80(bytes) | Self::AesCm128HmacSha1_32(bytes) => &bytes[..],
            Self::AesCm256HmacSha1_80(bytes) | Self::AesCm256HmacSha1_32(bytes) => &bytes[..],
            Self::AeadAes128Gcm(bytes) => &bytes[..],
            Self::AeadAes256Gcm(bytes) => &bytes[..],
        }
    }
}

fn exactly<const LENGTH: usize>(key_and_salt: &[u8]) -> Option<Zeroizing<[u8; LENGTH]>> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    if key_and_salt.len() != LENGTH {
        return None;
    }
    bytes.copy_from_slice(key_and_salt);
    Some(bytes)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.suite())
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

/// Where an RTP packet's payload begins: behind header, CSRCs and extension, which stay in the clear (RFC 3711 §3.1).
fn payload_at(packet: &[u8]) -> Option<usize> {
    let first = *packet.first().filter(|first| *first >> 6 == 2)?;
    let mut at = HEADER + usize::from(first & 0x0f) * 4;
    if first & 0x10 != 0 {
        let [_, _, l0, l1] = *packet.get(at..)?.first_chunk::<4>()?;
        at += 4 + usize::from(u16::from_be_bytes([l0, l1])) * 4;
    }
    (at <= packet.len()).then_some(at)
}

/// Source and sequence number of an RTP packet.
fn rtp_sender(packet: &[u8]) -> Option<(u32, u16)> {
    let [_, _, q0, q1, _, _, _, _, s0, s1, s2, s3] = *packet.first_chunk::<HEADER>()?;
    Some((u32::from_be_bytes([s0, s1, s2, s3]), u16::from_be_bytes([q0, q1])))
}

/// The sender of an RTCP packet.
fn rtcp_sender(packet: &[u8]) -> Option<u32> {
    let [first, _, _, _, s0, s1, s2, s3] = *packet.first_chunk::<8>()?;
    (first >> 6 == 2).then_some(u32::from_be_bytes([s0, s1, s2, s3]))
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
