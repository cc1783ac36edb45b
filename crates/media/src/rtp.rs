//! RTP headers, read where they lie and written into a caller's buffer (RFC 3550 §5.1, Appendix A.1; RFC 7983).

use std::ops::Range;

/// Longest RTP or RTCP datagram that is looked at; longer ones are malformed.
pub const MAX_PACKET: usize = 2048;

/// Length of a header without CSRC list and extension.
pub const HEADER: usize = 12;

/// A checked header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Time stamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Where the payload lies in the datagram, padding left out.
    pub payload: Range<usize>,
}

/// Why a datagram on an RTP port is no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// First byte outside 128..=191 (RFC 7983: STUN, DTLS, ZRTP, TURN …).
    NotRtp,
    /// RTCP on the RTP port; there is no rtcp-mux here (RFC 5761 §4).
    Rtcp,
    /// A length that does not add up (RFC 3550 Appendix A.1).
    Malformed,
}

impl Header {
    /// Checks and reads a datagram.
    ///
    /// # Errors
    /// [`Refused`], by whose kind it is counted.
    pub fn parse(data: &[u8]) -> Result<Self, Refused> {
        let (Some(&first), Some(&second)) = (data.first(), data.get(1)) else { return Err(Refused::Malformed) };
        if !(128..=191).contains(&first) {
            return Err(Refused::NotRtp);
        }
        if (192..=223).contains(&second) {
            return Err(Refused::Rtcp);
        }
        let fixed: &[u8; HEADER] = data.first_chunk().ok_or(Refused::Malformed)?;
        if data.len() > MAX_PACKET {
            return Err(Refused::Malformed);
        }
        let mut start = HEADER + 4 * usize::from(first & 0x0F);
        if first & 0x10 != 0 {
            let extension = data.get(start..start + 4).ok_or(Refused::Malformed)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let padding = match first & 0x20 {
            0 => 0,
            _ => usize::from(*data.last().ok_or(Refused::Malformed)?).max(1),
        };
        if first & 0x20 != 0 && data.last() == Some(&0) {
            return Err(Refused::Malformed);
        }
        let end = data.len().checked_sub(padding).filter(|end| *end >= start).ok_or(Refused::Malformed)?;
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            payload: start..end,
        })
    }
}

/// Writes a header without CSRC list, extension and padding into the first 12 bytes.
pub fn write(out: &mut [u8; HEADER], marker: bool, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) {
    out[0] = 0x80;
    out[1] = u8::from(marker) << 7 | (payload_type & 0x7F);
    out[2..4].copy_from_slice(&sequence.to_be_bytes());
    out[4..8].copy_from_slice(&timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.to_be_bytes());
}
