//! Codecs: what a payload sounds like and how a frame is written.

mod coder;
pub mod g711;
mod pcm;

pub use coder::{Broken, Decoder, Encoder, MAX_DECODED, MAX_PAYLOAD};
pub use pcm::{MAX_FRAME, Pcm, Rate};

use crate::interface::Codec;

/// Samples per second of every codec here.
pub const SAMPLE_RATE: u32 = 8_000;

impl Codec {
    /// Linear samples, one for each byte of payload, as far as `out` reaches.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) {
        let table = match self {
            Self::Pcmu => &g711::ULAW,
            _ => &g711::ALAW,
        };
        for (sample, byte) in out.iter_mut().zip(payload) {
            *sample = table[usize::from(*byte)];
        }
    }

    /// Payload for linear samples, as far as `out` reaches.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) {
        let encode = match self {
            Self::Pcmu => g711::ulaw,
            _ => g711::alaw,
        };
        for (byte, sample) in out.iter_mut().zip(samples) {
            *byte = encode(*sample);
        }
    }

    /// The byte that is silence.
    #[must_use]
    pub fn silence(self) -> u8 {
        match self {
            Self::Pcmu => 0xff,
            _ => 0xd5,
        }
    }

    /// What RFC 3551 §6 fixed for a payload type, described or not.
    #[must_use]
    pub fn of_static_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            _ => None,
        }
    }
}

/// Samples in a frame.
pub const FRAME: usize = 160;

/// Length of a frame, and the mixer's tick.
pub const FRAME_TIME: std::time::Duration = std::time::Duration::from_millis(20);

/// 20 ms of linear samples.
pub type Frame = [i16; FRAME];
