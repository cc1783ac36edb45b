//! What a remote party sends: authenticated and decrypted in place. A packet changes state only once it is authentic;
//! until then a source that is not known has no state at all.

use std::fmt;

use super::cipher::Cipher;
use super::derive::SessionKeys;
use super::index::{RTP_INDICES, Sources, Window, estimate};
use super::{Key, payload_at, rtcp_sender, rtp_sender};
use crate::rtp::MAX_PACKET;
use crate::shard::Fetch;

/// Sources that one key's packets may come from at a time, for RTP and for RTCP; the one that was silent for longest
/// makes room.
pub const INBOUND_SOURCES_MAX: usize = 4;

/// Why a packet was refused. Nothing has changed then, except the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too short, or its lengths do not add up, or SRTCP that is not encrypted.
    Malformed,
    /// Not authentic, from a source that is known.
    Unauthentic,
    /// Not authentic, from a source that never was.
    Unknown,
    /// Seen before, or too old to tell.
    Replayed,
}

/// An authentic packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Length in the clear.
    pub length: usize,
    /// Its source is new and took another one's place.
    pub displaced: bool,
}

/// One direction's key and what was seen under it.
pub struct Inbound {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_sources: Sources,
    rtcp_sources: Sources,
    /// Where the sources of the key before this one were: roll-over counters go on when keys change (RFC 3711 §3.3.1).
    before: Vec<(u32, u64)>,
}

impl Inbound {
    /// Nothing seen yet. `None`: the library refuses the key.
    #[must_use]
    pub fn new(key: &Key) -> Option<Self> {
        Some(Self::with(Cipher::new(&SessionKeys::rtp(key))?, Cipher::new(&SessionKeys::rtcp(key))?))
    }

    pub(super) fn with(rtp: Cipher, rtcp: Cipher) -> Self {
        Self { rtp, rtcp, rtp_sources: Sources::default(), rtcp_sources: Sources::default(), before: Vec::new() }
    }

    /// Another key for the same remote party.
    #[must_use]
    pub fn rekeyed(&self, key: &Key) -> Option<Self> {
        let mut before: Vec<_> = self.rtp_sources.highest().collect();
        // What was silent under this key may speak under the next.
        before
            .extend(self.before.iter().filter(|(ssrc, _)| self.rtp_sources.highest().all(|(known, _)| known != *ssrc)));
        before.truncate(INBOUND_SOURCES_MAX);
        Some(Self { before, ..Self::new(key)? })
    }

    /// What an SRTP packet needs of it,
    #[inline]
    pub(super) fn ahead(&self, fetch: &mut impl Fetch) {
        self.rtp.ahead(fetch);
        fetch.fetch(&self.rtp_sources, size_of::<Sources>());
    }

    /// and what is found by that.
    #[inline]
    pub(super) fn near(&self, fetch: &mut impl Fetch) {
        self.rtp.near(fetch);
        self.rtp_sources.ahead(fetch);
    }

    /// An SRTP packet becomes an RTP packet.
    ///
    /// # Errors
    /// If it is not authentic or not new.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Result<Opened, Refused> {
        let header = payload_at(packet).ok_or(Refused::Malformed)?;
        let (ssrc, sequence) = rtp_sender(packet).ok_or(Refused::Malformed)?;
        if packet.len() < header + self.rtp.rtp_tag() {
            return Err(Refused::Malformed);
        }
        let Some(window) = self.rtp_sources.find(ssrc) else {
            return self.rtp_of_unknown(ssrc, sequence, packet, header);
        };
        let index = window.estimate(sequence).filter(|index| window.is_new(*index)).ok_or(Refused::Replayed)?;
        let length = self.rtp.open_rtp(ssrc, index, packet, header).ok_or(Refused::Unauthentic)?;
        window.note(index);
        Ok(Opened { length, displaced: false })
    }

    /// An SRTCP packet becomes an RTCP packet.
    ///
    /// # Errors
    /// If it is not authentic or not new.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<Opened, Refused> {
        let ssrc = rtcp_sender(packet).ok_or(Refused::Malformed)?;
        let index = self.rtcp.rtcp_index(packet).ok_or(Refused::Malformed)?;
        let known = self.rtcp_sources.find(ssrc);
        if known.as_ref().is_some_and(|window| !window.is_new(u64::from(index))) {
            return Err(Refused::Replayed);
        }
        let forged = if known.is_some() { Refused::Unauthentic } else { Refused::Unknown };
        let length = self.rtcp.open_rtcp(ssrc, index, packet).ok_or(forged)?;
        let index = u64::from(index);
        let displaced = match known {
            Some(window) => {
                window.note(index);
                false
            }
            None => self.rtcp_sources.displace(ssrc, Window::starting(index), INBOUND_SOURCES_MAX),
        };
        Ok(Opened { length, displaced })
    }

    /// A source is known once one of its packets is authentic. Its roll-over counter is what it was under the key
    /// before this one, or 0 (RFC 4568 §6.4), or 1 if its first packets before a roll-over were lost.
    fn rtp_of_unknown(
        &mut self,
        ssrc: u32,
        sequence: u16,
        packet: &mut [u8],
        header: usize,
    ) -> Result<Opened, Refused> {
        let before = self.before.iter().find(|(other, _)| *other == ssrc);
        let continued = before.and_then(|(_, highest)| estimate(*highest, sequence));
        let first = Some(u64::from(sequence)).filter(|first| continued != Some(*first));
        let rolled = (sequence < 0x8000).then_some(1 << 16 | u64::from(sequence)).filter(|it| continued != Some(*it));
        // A trial that fails may leave nothing of the packet.
        let mut copy = [0; MAX_PACKET];
        let copy = copy.get_mut(..packet.len()).ok_or(Refused::Malformed)?;
        copy.copy_from_slice(packet);
        for index in [continued, first, rolled].into_iter().flatten().filter(|index| *index < RTP_INDICES) {
            packet.copy_from_slice(copy);
            if let Some(length) = self.rtp.open_rtp(ssrc, index, packet, header) {
                let displaced = self.rtp_sources.displace(ssrc, Window::starting(index), INBOUND_SOURCES_MAX);
                return Ok(Opened { length, displaced });
            }
        }
        Err(Refused::Unknown)
    }
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound")
            .field("rtp", &self.rtp_sources)
            .field("rtcp", &self.rtcp_sources)
            .finish_non_exhaustive()
    }
}
