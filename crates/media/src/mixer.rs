//! Two directions into one frame: saturation-safe sum, encoded once per codec.

use crate::codec::{FRAME, Frame};
use crate::interface::Codec;
use crate::rtp::HEADER;

/// Adds two frames; what would overflow stays at the limit (never wraps into noise).
#[must_use]
pub fn sum(a: &Frame, b: &Frame) -> Frame {
    std::array::from_fn(|n| a[n].saturating_add(b[n]))
}

/// One tick's audio, encoded at most once per codec and shared by every listener.
#[derive(Debug)]
pub struct Encoded {
    frame: Frame,
    packets: [Option<Box<[u8; HEADER + FRAME]>>; 2],
}

impl Encoded {
    /// Of one mixed frame.
    #[must_use]
    pub fn new(frame: Frame) -> Self {
        Self { frame, packets: [None, None] }
    }

    /// A packet with room for the header in front.
    pub fn packet(&mut self, codec: Codec) -> &mut [u8; HEADER + FRAME] {
        let slot = match codec {
            Codec::Pcmu => 0,
            Codec::Pcma => 1,
        };
        let frame = &self.frame;
        self.packets[slot].get_or_insert_with(|| {
            let mut packet = Box::new([0; HEADER + FRAME]);
            for (byte, sample) in packet[HEADER..].iter_mut().zip(frame) {
                *byte = codec.encode(*sample);
            }
            packet
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_loud_voices_stay_at_the_limit() {
        let sum = sum(&[30_000; FRAME], &[30_000; FRAME]);
        assert_eq!(sum, [i16::MAX; FRAME]);
    }

    #[test]
    fn a_codec_is_encoded_once() {
        let mut encoded = Encoded::new([1000; FRAME]);
        encoded.packet(Codec::Pcma)[0] = 7;
        assert_eq!(encoded.packet(Codec::Pcma)[0], 7, "the same packet again");
        let ulaw = encoded.packet(Codec::Pcmu)[HEADER];
        assert_ne!(ulaw, encoded.packet(Codec::Pcma)[HEADER]);
    }
}
