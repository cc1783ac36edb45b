//! One session key's transform of packets in place: AES counter mode with HMAC-SHA1 (RFC 3711 §4, RFC 6188), or AES-GCM
//! (RFC 7714). Which index a packet has is decided outside.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::Suite;
use super::counter::Aes;
use super::derive::{SALT, SessionKeys};
use super::hmac::HmacSha1;
use crate::shard::Fetch;

/// Tag of AES-GCM (RFC 7714 §14.2).
const GCM_TAG: usize = 16;
/// Rounds of AES and what tells how many they are. What lies behind is for processors without AES, or the tables of a
/// hash, which come while the rounds are worked through.
const EXPANDED_KEY: usize = 15 * 16 + 16;
/// Tag of SRTCP under HMAC-SHA1, the short suites' too (RFC 4568 §6.2, RFC 6188 §4).
const RTCP_HMAC_TAG: usize = 10;
/// What of an SRTCP packet is in the clear: header and sender.
const RTCP_HEADER: usize = 8;
/// Encryption flag and index of SRTCP (RFC 3711 §3.4).
const RTCP_WORD: usize = 4;
/// That flag. What is not encrypted is not taken: nobody negotiates it here (RFC 4568 §6.3.2).
const ENCRYPTED: u32 = 1 << 31;

/// What protection adds to a packet at most.
pub const OVERHEAD: usize = GCM_TAG + RTCP_WORD;

/// A session key for SRTP or SRTCP.
// A leg's four are boxed together; boxing the larger variant alone would cost each packet another place in memory.
#[allow(clippy::large_enum_variant)]
pub(super) enum Cipher {
    Counter(Counter),
    Gcm(Gcm),
}

pub(super) struct Counter {
    aes: Aes,
    hmac: HmacSha1,
    salt: Zeroizing<[u8; SALT]>,
    /// Length of an SRTP tag.
    tag: usize,
}

pub(super) struct Gcm {
    /// The library wipes it when it is dropped.
    key: LessSafeKey,
    salt: Zeroizing<[u8; SALT]>,
}

/// A packet that is being protected: the packet, then room for [`OVERHEAD`].
pub(super) struct Plain<'a> {
    pub(super) buffer: &'a mut [u8],
    /// Of the packet, without room.
    pub(super) length: usize,
}

impl Cipher {
    pub(super) fn new(keys: &SessionKeys) -> Option<Self> {
        let salt = keys.salt.clone();
        let hmac = |tag| {
            let (aes, hmac) = (Aes::new(keys.encryption()), HmacSha1::new(&keys.authentication[..]));
            Self::Counter(Counter { aes, hmac, salt: keys.salt.clone(), tag })
        };
        let algorithm = match keys.suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm256HmacSha1_80 => return Some(hmac(10)),
            Suite::AesCm128HmacSha1_32 | Suite::AesCm256HmacSha1_32 => return Some(hmac(4)),
            Suite::AeadAes128Gcm => &AES_128_GCM,
            Suite::AeadAes256Gcm => &AES_256_GCM,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, keys.encryption()).ok()?);
        Some(Self::Gcm(Gcm { key, salt }))
    }

    /// What a packet needs of it first: which it is, and the expanded key. Nothing is read that is not near.
    #[inline]
    pub(super) fn ahead(&self, fetch: &mut impl Fetch) {
        fetch.fetch(self, EXPANDED_KEY);
    }

    /// And what stands behind that.
    #[inline]
    pub(super) fn near(&self, fetch: &mut impl Fetch) {
        match self {
            Self::Counter(Counter { hmac, salt, tag, .. }) => {
                fetch.fetch(hmac, size_of_val(hmac));
                fetch.fetch(&**salt, SALT);
                fetch.fetch(tag, size_of_val(tag));
            }
            Self::Gcm(Gcm { salt, .. }) => fetch.fetch(&**salt, SALT),
        }
    }

    /// Length of an SRTP tag.
    pub(super) fn rtp_tag(&self) -> usize {
        match self {
            Self::Counter(counter) => counter.tag,
            Self::Gcm(_) => GCM_TAG,
        }
    }

    /// Protects an RTP packet behind its header. The new length; `None`: no room.
    pub(super) fn seal_rtp(&self, ssrc: u32, index: u64, plain: Plain<'_>, header: usize) -> Option<usize> {
        let Plain { buffer, length } = plain;
        let (packet, room) = buffer.split_at_mut_checked(length)?;
        let tag = room.get_mut(..self.rtp_tag())?;
        let (header, payload) = packet.split_at_mut_checked(header)?;
        match self {
            Self::Counter(counter) => {
                counter.aes.apply(counter.block(ssrc, index), payload);
                tag.copy_from_slice(counter.hmac.tag(packet, &rolled(index)).get(..counter.tag)?);
            }
            Self::Gcm(gcm) => {
                let nonce = gcm.rtp_nonce(ssrc, index);
                let sealed = gcm.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload).ok()?;
                tag.copy_from_slice(sealed.as_ref());
            }
        }
        Some(length + self.rtp_tag())
    }

    /// Authenticates an SRTP packet and decrypts it behind its header. The new length; `None`: not authentic, and what
    /// stands behind the header is lost.
    pub(super) fn open_rtp(&self, ssrc: u32, index: u64, packet: &mut [u8], header: usize) -> Option<usize> {
        let length = packet.len().checked_sub(self.rtp_tag()).filter(|length| *length >= header)?;
        match self {
            Self::Counter(counter) => {
                let (plain, tag) = packet.split_at_mut_checked(length)?;
                counter.is_authentic(plain, &rolled(index), tag)?;
                counter.aes.apply(counter.block(ssrc, index), plain.get_mut(header..)?);
            }
            Self::Gcm(gcm) => {
                let (header, sealed) = packet.split_at_mut_checked(header)?;
                gcm.key.open_in_place(gcm.rtp_nonce(ssrc, index), Aad::from(&*header), sealed).ok()?;
            }
        }
        Some(length)
    }

    /// Protects an RTCP packet. The new length; `None`: no room.
    pub(super) fn seal_rtcp(&self, ssrc: u32, index: u32, plain: Plain<'_>) -> Option<usize> {
        let Plain { buffer, length } = plain;
        let word = (ENCRYPTED | index).to_be_bytes();
        match self {
            Self::Counter(counter) => {
                let payload = buffer.get_mut(RTCP_HEADER..length)?;
                counter.aes.apply(counter.block(ssrc, u64::from(index)), payload);
                *buffer.get_mut(length..)?.first_chunk_mut()? = word;
                let (packet, room) = buffer.split_at_mut_checked(length + RTCP_WORD)?;
                let tag = counter.hmac.tag(packet, &[]);
                room.get_mut(..RTCP_HMAC_TAG)?.copy_from_slice(tag.get(..RTCP_HMAC_TAG)?);
                Some(length + RTCP_WORD + RTCP_HMAC_TAG)
            }
            Self::Gcm(gcm) => {
                let (packet, room) = buffer.split_at_mut_checked(length)?;
                let (header, payload) = packet.split_first_chunk_mut::<RTCP_HEADER>()?;
                let aad = Aad::from(rtcp_aad(header, word));
                let tag = gcm.key.seal_in_place_separate_tag(gcm.rtcp_nonce(ssrc, index), aad, payload).ok()?;
                room.get_mut(..GCM_TAG)?.copy_from_slice(tag.as_ref());
                *room.get_mut(GCM_TAG..)?.first_chunk_mut()? = word;
                Some(length + GCM_TAG + RTCP_WORD)
            }
        }
    }

    /// The index that an SRTCP packet carries; `None`: too short for one, or not encrypted.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let behind = match self {
            Self::Counter(_) => RTCP_HMAC_TAG,
            Self::Gcm(_) => 0,
        };
        let word = packet.get(..packet.len().checked_sub(behind)?)?.last_chunk::<RTCP_WORD>()?;
        let word = u32::from_be_bytes(*word);
        (word & ENCRYPTED != 0).then_some(word & !ENCRYPTED)
    }

    /// Authenticates an SRTCP packet and decrypts it. The new length; `None`: not authentic, and what stands behind the
    /// first 8 bytes is lost.
    pub(super) fn open_rtcp(&self, ssrc: u32, index: u32, packet: &mut [u8]) -> Option<usize> {
        let word = (ENCRYPTED | index).to_be_bytes();
        match self {
            Self::Counter(counter) => {
                let (authentic, tag) = packet.split_at_mut_checked(packet.len().checked_sub(RTCP_HMAC_TAG)?)?;
                let length = authentic.len().checked_sub(RTCP_WORD).filter(|length| *length >= RTCP_HEADER)?;
                counter.is_authentic(authentic, &[], tag)?;
                counter.aes.apply(counter.block(ssrc, u64::from(index)), authentic.get_mut(RTCP_HEADER..length)?);
                Some(length)
            }
            Self::Gcm(gcm) => {
                let sealed = packet.len().checked_sub(RTCP_WORD)?;
                let length = sealed.checked_sub(GCM_TAG).filter(|length| *length >= RTCP_HEADER)?;
                let (header, sealed) = packet.get_mut(..sealed)?.split_first_chunk_mut::<RTCP_HEADER>()?;
                let aad = Aad::from(rtcp_aad(header, word));
                gcm.key.open_in_place(gcm.rtcp_nonce(ssrc, index), aad, sealed).ok()?;
                Some(length)
            }
        }
    }
}

impl Counter {
    /// The first counter block: salt, source and index (RFC 3711 §4.1.1).
    fn block(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut block = [0; 16];
        block[4..8].copy_from_slice(&ssrc.to_be_bytes());
        block[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        block.iter_mut().zip(&*self.salt).for_each(|(to, salt)| *to ^= salt);
        block
    }

    fn is_authentic(&self, data: &[u8], trailer: &[u8], tag: &[u8]) -> Option<()> {
        let expected = self.hmac.tag(data, trailer);
        verify_slices_are_equal(expected.get(..tag.len())?, tag).ok()
    }
}

impl Gcm {
    /// RFC 7714 §8.1.
    fn rtp_nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        self.salted(nonce)
    }

    /// RFC 7714 §9.1.
    fn rtcp_nonce(&self, ssrc: u32, index: u32) -> Nonce {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[8..].copy_from_slice(&index.to_be_bytes());
        self.salted(nonce)
    }

    fn salted(&self, mut nonce: [u8; 12]) -> Nonce {
        nonce.iter_mut().zip(&*self.salt).for_each(|(to, salt)| *to ^= salt);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What HMAC covers behind an RTP packet: the roll-over counter (RFC 3711 §4.2).
fn rolled(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// Header, then flag and index (RFC 7714 §9.2).
fn rtcp_aad(header: &[u8; RTCP_HEADER], word: [u8; RTCP_WORD]) -> [u8; RTCP_HEADER + RTCP_WORD] {
    let mut aad = [0; RTCP_HEADER + RTCP_WORD];
    aad[..RTCP_HEADER].copy_from_slice(header);
    aad[RTCP_HEADER..].copy_from_slice(&word);
    aad
}
