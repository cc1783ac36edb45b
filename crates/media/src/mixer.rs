//! Mixer: one 20 ms frame of both directions, encoded once for each codec that somebody listens in.

use crate::codec::{FRAME, Frame};
use crate::interface::Codec;
use crate::rtp::HEADER;

/// Room for a listener's header, then the payload that it shares with the others.
pub type Outgoing = [u8; HEADER + FRAME];

const CODECS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

/// Sum of both directions, clipped at full scale.
#[must_use]
pub fn sum(up: &Frame, down: &Frame) -> Frame {
    std::array::from_fn(|n| up[n].saturating_add(down[n]))
}

/// The frame of the current tick and its encodings. One is enough for a shard: taps take turns.
#[derive(Debug)]
pub struct Mixer {
    frame: Frame,
    encoded: [Encoded; CODECS.len()],
    silence: [Outgoing; CODECS.len()],
}

#[derive(Debug)]
struct Encoded {
    packet: Outgoing,
    is_current: bool,
}

impl Default for Mixer {
    fn default() -> Self {
        Self {
            frame: [0; FRAME],
            encoded: CODECS.map(|_| Encoded { packet: [0; HEADER + FRAME], is_current: false }),
            silence: CODECS.map(|codec| [codec.silence(); HEADER + FRAME]),
        }
    }
}

impl Mixer {
    /// The next frame.
    pub fn mix(&mut self, up: &Frame, down: &Frame) {
        self.frame = sum(up, down);
        self.encoded.iter_mut().for_each(|encoded| encoded.is_current = false);
    }

    /// The current frame in a codec; encoded when first asked for.
    pub fn mixed(&mut self, codec: Codec) -> &mut Outgoing {
        let encoded = &mut self.encoded[index(codec)];
        if !encoded.is_current {
            codec.encode(&self.frame, &mut encoded.packet[HEADER..]);
            encoded.is_current = true;
        }
        &mut encoded.packet
    }

    /// Silence in a codec.
    pub fn silence(&mut self, codec: Codec) -> &mut Outgoing {
        &mut self.silence[index(codec)]
    }
}

fn index(codec: Codec) -> usize {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_clip_instead_of_wrapping() {
        let loud = sum(&[30_000; FRAME], &[30_000; FRAME]);
        assert_eq!(loud, [i16::MAX; FRAME]);
        assert_eq!(sum(&[i16::MIN; FRAME], &[-1; FRAME]), [i16::MIN; FRAME]);
        assert_eq!(sum(&[100; FRAME], &[-30; FRAME]), [70; FRAME]);
    }

    #[test]
    fn each_codec_has_its_own_encoding_of_the_same_frame() {
        let mut mixer = Mixer::default();
        mixer.mix(&[1000; FRAME], &[24; FRAME]);
        for codec in CODECS {
            let mut samples = [0; FRAME];
            codec.decode(&mixer.mixed(codec)[HEADER..], &mut samples);
            assert!((samples[0] - 1024).abs() <= 32, "{codec:?}: {}", samples[0]);
        }
        mixer.mix(&[0; FRAME], &[0; FRAME]);
        assert_eq!(mixer.mixed(Codec::Pcmu)[HEADER..], [0xff; FRAME]);
        assert_eq!(mixer.silence(Codec::Pcma)[HEADER..], [0xd5; FRAME]);
    }
}
