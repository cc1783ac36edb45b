//! The packet that every leg sends: 172 bytes of G.711 in RTP, of which leg, sequence and time of sending tell every byte,
//! so that whoever receives it knows whether one was altered.

/// RTP header and 20 ms of G.711.
pub(crate) const LENGTH: usize = 172;
/// The longest that a relay may make of it: authentication tag and header extensions.
pub(crate) const LONGEST: usize = 256;

const HEADER: usize = 12;
const MAGIC: [u8; 4] = *b"mlyt";
const VERSION: u8 = 0x80;
const PCMA: u8 = 8;
const SILENCE: u8 = 0xD5;
/// A square wave of 2 kHz and 6,000, both A-law.
const WORD: [u8; 4] = [0x8A, 0x8A, 0x0A, 0x0A];
/// The first side of a call says a word of one packet so often; apart from words everybody is silent.
const WORD_EVERY: u32 = 50;

/// What a packet says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) leg: u32,
    pub(crate) round: u32,
    /// Nanoseconds of the wall clock, which is what the kernel's stamps of reception count.
    pub(crate) sent: u64,
}

/// Writes the whole packet.
pub(crate) fn write(packet: &mut [u8; LENGTH], stamp: Stamp) {
    packet[0] = VERSION;
    packet[1] = PCMA;
    packet[2..4].copy_from_slice(&(stamp.round as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(stamp.round.wrapping_mul(160)).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc(stamp.leg).to_be_bytes());
    packet[12..16].copy_from_slice(&MAGIC);
    packet[16..20].copy_from_slice(&stamp.leg.to_be_bytes());
    packet[20..24].copy_from_slice(&stamp.round.to_be_bytes());
    packet[24..32].copy_from_slice(&stamp.sent.to_be_bytes());
    packet[32..].fill(SILENCE);
    if is_word(stamp) {
        packet[32..].iter_mut().zip(WORD.iter().cycle()).for_each(|(byte, word)| *byte = *word);
    }
}

/// Whether it is one of those that a listener can tell by ear.
pub(crate) fn is_word(stamp: Stamp) -> bool {
    stamp.leg.is_multiple_of(2) && stamp.round.is_multiple_of(WORD_EVERY)
}

/// Whether a sample in A-law is as loud as those of a word.
pub(crate) fn is_loud(sample: u8) -> bool {
    (sample ^ 0x55) & 0x70 >= 0x40
}

/// What a packet says, if it is one of ours.
pub(crate) fn read(packet: &[u8]) -> Option<Stamp> {
    let body = packet.get(HEADER..HEADER + 20)?;
    let (magic, rest) = body.split_first_chunk::<4>()?;
    let (leg, rest) = rest.split_first_chunk::<4>()?;
    let (round, sent) = rest.split_first_chunk::<4>()?;
    let (sent, _) = sent.split_first_chunk::<8>()?;
    let (leg, round, sent) = (u32::from_be_bytes(*leg), u32::from_be_bytes(*round), u64::from_be_bytes(*sent));
    (*magic == MAGIC).then_some(Stamp { leg, round, sent })
}

/// Whether it is, byte for byte, what was sent.
pub(crate) fn is_unaltered(packet: &[u8], stamp: Stamp) -> bool {
    let mut sent = [0; LENGTH];
    write(&mut sent, stamp);
    packet == sent
}

/// Leg and sequence number from the header alone, which SRTP leaves readable.
pub(crate) fn read_header(packet: &[u8]) -> Option<(u32, u16)> {
    let ssrc = u32::from_be_bytes(*packet.get(8..12)?.first_chunk()?);
    let sequence = u16::from_be_bytes(*packet.get(2..4)?.first_chunk()?);
    Some((ssrc.checked_sub(ssrc_of_first())?, sequence))
}

fn ssrc(leg: u32) -> u32 {
    ssrc_of_first() + leg
}

const fn ssrc_of_first() -> u32 {
    0x1000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_altered_is_seen() {
        let stamp = Stamp { leg: 7, round: 70_000, sent: 42 };
        let mut packet = [0; LENGTH];
        write(&mut packet, stamp);
        assert_eq!(read(&packet), Some(stamp));
        assert_eq!(read_header(&packet), Some((7, 4_464)));
        for index in 0..LENGTH {
            packet[index] ^= 1;
            assert!(!is_unaltered(&packet, stamp), "byte {index}");
            packet[index] ^= 1;
        }
        assert!(is_unaltered(&packet, stamp));
        assert_eq!(read(&packet[..20]), None);
    }
}
