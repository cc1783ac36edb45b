//! RTP: a view over the receive buffer, with the validity checks of RFC 3550 A.1 and the demultiplexing of RFC 7983.

/// Longest datagram taken for RTP or RTCP; anything above is malformed. An Ethernet frame holds 1,472.
pub const MAX_PACKET: usize = 2048;

/// Length of the fixed header (RFC 3550 §5.1).
pub const HEADER: usize = 12;

/// Payload type of comfort noise (RFC 3389).
pub const COMFORT_NOISE: u8 = 13;

/// What a datagram on a media port is, by its first two bytes (RFC 7983 §7, RFC 9443 §3, RFC 5761 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demux {
    /// RTP, as far as two bytes can tell.
    Rtp,
    /// RTCP: its packet types are RTP's payload types 64–95.
    Rtcp,
    /// STUN: 0–3.
    Stun,
    /// ZRTP: 16–19, with its magic cookie.
    Zrtp,
    /// DTLS: 20–63.
    Dtls,
    /// TURN channels: 64–79.
    Turn,
    /// QUIC, or nothing known.
    Other,
}

/// "ZRTP" (RFC 6189 §5).
const ZRTP_COOKIE: [u8; 4] = 0x5a52_5450_u32.to_be_bytes();

/// Sorts a datagram by its first two bytes.
#[must_use]
#[inline]
pub fn demux(data: &[u8]) -> Demux {
    match data {
        [128..=191, second, ..] if (64..=95).contains(&(second & 0x7f)) => Demux::Rtcp,
        [128..=191, ..] => Demux::Rtp,
        [0..=3, ..] => Demux::Stun,
        [16..=19, ..] if data.get(4..8) == Some(&ZRTP_COOKIE) => Demux::Zrtp,
        [20..=63, ..] => Demux::Dtls,
        [64..=79, ..] => Demux::Turn,
        _ => Demux::Other,
    }
}

/// Why a datagram is no RTP packet (RFC 3550 A.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Less than the header says.
    Short,
    /// Above [`MAX_PACKET`].
    Long,
    /// Not version 2.
    Version,
    /// The padding count is 0 or reaches into the header.
    Padding,
}

/// A valid packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// First packet of a talk spurt.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Time stamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    /// If its lengths do not add up.
    pub fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        if data.len() > MAX_PACKET {
            return Err(Malformed::Long);
        }
        let (&[first, second, q0, q1, t0, t1, t2, t3, s0, s1, s2, s3], mut rest) =
            data.split_first_chunk::<HEADER>().ok_or(Malformed::Short)?;
        if first >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let csrcs = usize::from(first & 0x0f) * 4;
        rest = rest.get(csrcs..).ok_or(Malformed::Short)?;
        if first & 0x10 != 0 {
            let (&[_, _, l0, l1], after) = rest.split_first_chunk::<4>().ok_or(Malformed::Short)?;
            rest = after.get(usize::from(u16::from_be_bytes([l0, l1])) * 4..).ok_or(Malformed::Short)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(Malformed::Padding)?);
            let end = rest.len().checked_sub(padding).filter(|_| padding > 0).ok_or(Malformed::Padding)?;
            rest = rest.get(..end).ok_or(Malformed::Padding)?;
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([q0, q1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([s0, s1, s2, s3]),
            payload: rest,
        })
    }
}

/// A fixed header without CSRCs, extension and padding.
#[must_use]
pub fn header(marker: bool, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) -> [u8; HEADER] {
    let [q0, q1] = sequence.to_be_bytes();
    let [t0, t1, t2, t3] = timestamp.to_be_bytes();
    let [s0, s1, s2, s3] = ssrc.to_be_bytes();
    [0x80, u8::from(marker) << 7 | payload_type & 0x7f, q0, q1, t0, t1, t2, t3, s0, s1, s2, s3]
}

/// An event packet's payload (RFC 4733 §2.3): whether the event has ended.
///
/// `None`: shorter than the four bytes that it must have.
#[must_use]
pub fn event_ended(payload: &[u8]) -> Option<bool> {
    payload.first_chunk::<4>().map(|[_, flags, ..]| flags & 0x80 != 0)
}

/// Clock of a payload type that RFC 3551 §6 fixed; dynamic ones are unknown here.
#[must_use]
pub fn static_clock_hz(payload_type: u8) -> Option<u32> {
    match payload_type {
        0 | 3 | 4 | 5 | 7 | 8 | 9 | 12 | 13 | 15 | 18 => Some(8_000),
        6 => Some(16_000),
        10 | 11 => Some(44_100),
        14 | 25 | 26 | 28 | 31..=34 => Some(90_000),
        16 => Some(11_025),
        17 => Some(22_050),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = header(true, 8, 65_535, 0xffff_fff0, 0xdead_beef).to_vec();
        bytes[0] = first;
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn header_and_view_agree() {
        let bytes = packet(0x80, &[1, 2, 3]);
        let expected = Packet {
            marker: true,
            payload_type: 8,
            sequence: 65_535,
            timestamp: 0xffff_fff0,
            ssrc: 0xdead_beef,
            payload: &[1, 2, 3],
        };
        assert_eq!(Packet::parse(&bytes), Ok(expected));
    }

    #[test]
    fn csrcs_extension_and_padding_are_not_payload() {
        assert_eq!(Packet::parse(&packet(0x8f, &[0; 61])).map(|p| p.payload.len()), Ok(1));
        assert_eq!(Packet::parse(&packet(0x90, &[0xbe, 0xde, 0, 1, 0, 0, 0, 0, 7])).map(|p| p.payload), Ok(&[7][..]));
        assert_eq!(Packet::parse(&packet(0x90, &[0xbe, 0xde, 0, 0, 7])).map(|p| p.payload), Ok(&[7][..]));
        assert_eq!(Packet::parse(&packet(0xa0, &[7, 0, 0, 3])).map(|p| p.payload), Ok(&[7][..]));
        assert_eq!(Packet::parse(&packet(0xa0, &[0, 0, 3])).map(|p| p.payload), Ok(&[][..]));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_malformed() {
        for length in 0..HEADER {
            assert_eq!(Packet::parse(&packet(0x80, &[])[..length]), Err(Malformed::Short));
        }
        assert_eq!(Packet::parse(&packet(0x00, &[0; 160])), Err(Malformed::Version));
        assert_eq!(Packet::parse(&packet(0x40, &[0; 160])), Err(Malformed::Version));
        assert_eq!(Packet::parse(&packet(0xc0, &[0; 160])), Err(Malformed::Version));
        assert_eq!(Packet::parse(&packet(0x8f, &[0; 59])), Err(Malformed::Short));
        assert_eq!(Packet::parse(&packet(0x90, &[])), Err(Malformed::Short));
        assert_eq!(Packet::parse(&packet(0x90, &[0xbe, 0xde, 0xff, 0xff, 0])), Err(Malformed::Short));
        assert_eq!(Packet::parse(&packet(0xa0, &[])), Err(Malformed::Padding));
        assert_eq!(Packet::parse(&packet(0xa0, &[0])), Err(Malformed::Padding));
        assert_eq!(Packet::parse(&packet(0xa0, &[13])), Err(Malformed::Padding));
        assert_eq!(Packet::parse(&packet(0x80, &[0; MAX_PACKET - HEADER + 1])), Err(Malformed::Long));
        assert!(Packet::parse(&packet(0x80, &[0; MAX_PACKET - HEADER])).is_ok());
    }

    #[test]
    fn the_first_bytes_decide() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => Demux::Stun,
                20..=63 => Demux::Dtls,
                64..=79 => Demux::Turn,
                128..=191 => Demux::Rtp,
                _ => Demux::Other,
            };
            assert_eq!(demux(&[first, 0]), expected, "{first}");
        }
        assert_eq!(demux(b"\x10\0\0\x01ZRTP"), Demux::Zrtp);
        assert_eq!(demux(b"\x10\0\0\x01ZRT"), Demux::Other);
        assert_eq!(demux(b"\x10\0\0\x01ZRTQ"), Demux::Other);
        for second in [64, 72, 76, 95, 192, 200, 204, 223] {
            assert_eq!(demux(&[0x80, second]), Demux::Rtcp, "{second}");
        }
        for second in [0, 63, 96, 127, 128, 191, 224, 255] {
            assert_eq!(demux(&[0x80, second]), Demux::Rtp, "{second}");
        }
        assert_eq!(demux(&[]), Demux::Other);
    }
}
