//! What we send: encrypted and tagged in place, under indices that no key serves twice.

use std::fmt;

use super::cipher::{Cipher, Plain};
use super::derive::SessionKeys;
use super::index::{RTCP_INDICES, Sources, Window};
use super::{Key, payload_at, rtcp_sender, rtp_sender};
use crate::shard::Fetch;

/// Sources that one key protects. None makes room for another: one that came back would have its indices served a second
/// time, which gives the key stream away, and under AES-GCM the key of its tags too (RFC 3711 §9.1, RFC 7714 §10.1).
pub const OUTBOUND_SOURCES_MAX: usize = 256;

/// Why a packet is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// No RTP or RTCP, or the buffer has no room for what is added.
    Malformed,
    /// Its index was used, or is too old to tell.
    Repeated,
    /// The key serves [`OUTBOUND_SOURCES_MAX`] sources, or all its indices are used.
    Exhausted,
}

/// One direction's key and what was sent under it.
pub struct Outbound {
    rtp: Cipher,
    rtcp: Cipher,
    sources: Sources,
    /// The next SRTCP packet's, whatever its source: the receiver takes any that grows.
    rtcp_index: u64,
}

impl Outbound {
    /// Nothing sent yet. `None`: the library refuses the key.
    #[must_use]
    pub fn new(key: &Key) -> Option<Self> {
        Some(Self::with(Cipher::new(&SessionKeys::rtp(key))?, Cipher::new(&SessionKeys::rtcp(key))?))
    }

    pub(super) fn with(rtp: Cipher, rtcp: Cipher) -> Self {
        // The first index is 1, as it is with everybody else.
        Self { rtp, rtcp, sources: Sources::default(), rtcp_index: 1 }
    }

    /// Another key for the same remote party: neither roll-over counters nor the SRTCP index begin anew (RFC 3711
    /// §3.3.1, §3.4).
    #[must_use]
    pub fn rekeyed(&self, key: &Key) -> Option<Self> {
        Some(Self { sources: self.sources.clone(), rtcp_index: self.rtcp_index, ..Self::new(key)? })
    }

    /// What an RTP packet needs of it,
    #[inline]
    pub(super) fn ahead(&self, fetch: &mut impl Fetch) {
        self.rtp.ahead(fetch);
        fetch.fetch(&self.sources, size_of::<Sources>());
    }

    /// and what is found by that.
    #[inline]
    pub(super) fn near(&self, fetch: &mut impl Fetch) {
        self.rtp.near(fetch);
        self.sources.ahead(fetch);
    }

    /// The RTP packet in the first `length` bytes becomes an SRTP packet of the length that is returned, with the same
    /// header. Behind it there must be room for [`super::OVERHEAD`].
    ///
    /// # Errors
    /// If its index was used already, and in the other cases of [`Unsent`].
    pub fn rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Unsent> {
        let packet = buffer.get(..length).ok_or(Unsent::Malformed)?;
        let header = payload_at(packet).ok_or(Unsent::Malformed)?;
        let (ssrc, sequence) = rtp_sender(packet).ok_or(Unsent::Malformed)?;
        let plain = Plain { buffer, length };
        let Some(window) = self.sources.find(ssrc) else {
            let index = u64::from(sequence);
            if self.sources.len() >= OUTBOUND_SOURCES_MAX {
                return Err(Unsent::Exhausted);
            }
            let length = self.rtp.seal_rtp(ssrc, index, plain, header).ok_or(Unsent::Malformed)?;
            self.sources.displace(ssrc, Window::starting(index), OUTBOUND_SOURCES_MAX);
            return Ok(length);
        };
        let index = window.estimate(sequence).filter(|index| window.is_new(*index)).ok_or(Unsent::Repeated)?;
        // Used up before it is used: what fails half-way must not be sealed again.
        window.note(index);
        self.rtp.seal_rtp(ssrc, index, plain, header).ok_or(Unsent::Malformed)
    }

    /// The RTCP packet in the first `length` bytes becomes an SRTCP packet of the length that is returned. Behind it
    /// there must be room for [`super::OVERHEAD`].
    ///
    /// # Errors
    /// In the cases of [`Unsent`].
    pub fn rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Unsent> {
        let ssrc = buffer.get(..length).and_then(rtcp_sender).ok_or(Unsent::Malformed)?;
        let index = Some(self.rtcp_index).filter(|index| *index < RTCP_INDICES).ok_or(Unsent::Exhausted)?;
        let index = u32::try_from(index).map_err(|_| Unsent::Exhausted)?;
        self.rtcp_index += 1;
        self.rtcp.seal_rtcp(ssrc, index, Plain { buffer, length }).ok_or(Unsent::Malformed)
    }

    #[cfg(test)]
    pub(super) fn set_rtcp_index(&mut self, index: u64) {
        self.rtcp_index = index;
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("rtp", &self.sources).field("rtcp", &self.rtcp_index).finish_non_exhaustive()
    }
}
