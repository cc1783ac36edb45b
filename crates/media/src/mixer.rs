//! Mixer: one 20 ms frame of both directions, encoded once for each codec that somebody listens in.

use crate::codec::{FRAME, Frame, Pcm};
use crate::interface::Codec;
use crate::rtp::HEADER;

/// Room for a listener's header, then the payload that it shares with the others.
pub type Outgoing = [u8; HEADER + FRAME];

const CODECS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

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
    pub fn mix(&mut self, up: &Pcm, down: &Pcm) {
        let both = up.samples().iter().zip(down.samples());
        self.frame.iter_mut().zip(both).for_each(|(frame, (up, down))| *frame = up.saturating_add(*down));
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
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(sample: i16) -> Pcm {
        let mut pcm = Pcm::default();
        pcm.samples_mut().fill(sample);
        pcm
    }

    #[test]
    fn sums_clip_instead_of_wrapping() {
        let mut mixer = Mixer::default();
        for (up, down, sum) in [(30_000, 30_000, i16::MAX), (i16::MIN, -1, i16::MIN), (100, -30, 70)] {
            mixer.mix(&level(up), &level(down));
            assert_eq!(mixer.frame, [sum; FRAME]);
        }
    }

    #[test]
    fn each_codec_has_its_own_encoding_of_the_same_frame() {
        let mut mixer = Mixer::default();
        mixer.mix(&level(1000), &level(24));
        for codec in CODECS {
            let mut samples = [0; FRAME];
            codec.decode(&mixer.mixed(codec)[HEADER..], &mut samples);
            assert!((samples[0] - 1024).abs() <= 32, "{codec:?}: {}", samples[0]);
        }
        mixer.mix(&level(0), &level(0));
        assert_eq!(mixer.mixed(Codec::Pcmu)[HEADER..], [0xff; FRAME]);
        assert_eq!(mixer.silence(Codec::Pcma)[HEADER..], [0xd5; FRAME]);
    }
}
