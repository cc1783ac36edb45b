//! As much of RTP (RFC 3550 §5.1), RTCP (§6.4) and telephone events (RFC 4733) as a phone needs.

/// A received packet's view.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Time stamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Payload without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads one; `None` for what is no RTP version 2.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = data.split_at_checked(12)?;
        if head[0] >> 6 != 2 {
            return None;
        }
        rest = rest.get(usize::from(head[0] & 15) * 4..)?;
        if head[0] & 0x10 != 0 {
            let words = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
            rest = rest.get(4 + usize::from(words) * 4..)?;
        }
        if head[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            rest = rest.get(..rest.len().checked_sub(padding)?)?;
        }
        Some(Self {
            payload_type: head[1] & 0x7f,
            marker: head[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([head[2], head[3]]),
            timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            payload: rest,
        })
    }

    /// Writes it with a plain 12-byte header.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(12 + self.payload.len());
        data.extend([0x80, (self.payload_type & 0x7f) | (u8::from(self.marker) << 7)]);
        data.extend(self.sequence.to_be_bytes());
        data.extend(self.timestamp.to_be_bytes());
        data.extend(self.ssrc.to_be_bytes());
        data.extend(self.payload);
        data
    }
}

/// A sender report without report blocks and an SDES with a CNAME, as one compound packet (RFC 3550 §6.1).
#[must_use]
pub fn sender_report(ssrc: u32, timestamp: u32, packets: u32, octets: u32, cname: &str) -> Vec<u8> {
    let mut data = vec![0x80, 200, 0, 6];
    data.extend(ssrc.to_be_bytes());
    data.extend([0; 8]);
    data.extend(timestamp.to_be_bytes());
    data.extend(packets.to_be_bytes());
    data.extend(octets.to_be_bytes());
    let name = &cname.as_bytes()[..cname.len().min(255)];
    let mut chunk = ssrc.to_be_bytes().to_vec();
    chunk.extend([1, name.len() as u8]);
    chunk.extend(name);
    // At least one null octet ends the items, up to the next 32-bit boundary (RFC 3550 §6.5).
    chunk.resize((chunk.len() / 4 + 1) * 4, 0);
    data.extend([0x81, 202]);
    data.extend(((chunk.len() / 4) as u16).to_be_bytes());
    data.extend(chunk);
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let packet =
            Packet { payload_type: 8, marker: true, sequence: 65_535, timestamp: 7, ssrc: 9, payload: &[1, 2, 3] };
        let data = packet.write();
        let read = Packet::parse(&data).expect("it is RTP");
        assert_eq!((read.payload_type, read.marker, read.sequence, read.timestamp, read.ssrc), (8, true, 65_535, 7, 9));
        assert_eq!(read.payload, [1, 2, 3]);
    }

    #[test]
    fn broken_packets_are_refused() {
        assert!(Packet::parse(&[0x80; 11]).is_none());
        assert!(Packet::parse(&[0x00; 12]).is_none());
        let mut padded =
            Packet { payload_type: 0, marker: false, sequence: 0, timestamp: 0, ssrc: 0, payload: &[9] }.write();
        padded[0] |= 0x20;
        assert!(Packet::parse(&padded).is_none(), "padding longer than the packet");
        padded[0] = 0x90;
        assert!(Packet::parse(&padded).is_none(), "an extension that is not there");
    }
}
