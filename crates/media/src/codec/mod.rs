//! Codecs: G.711 (ITU-T G.711), by 256-entry tables for decoding and arithmetic for encoding.

mod g711;

pub use g711::{alaw_decode, alaw_encode, ulaw_decode, ulaw_encode};

use crate::interface::Codec;

/// Samples of 20 ms at 8 kHz.
pub const FRAME: usize = 160;

/// 20 ms of linear audio, 8 kHz, 16 bit.
pub type Frame = [i16; FRAME];

impl Codec {
    /// One byte to linear.
    #[must_use]
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Pcmu => ulaw_decode(byte),
            Self::Pcma => alaw_decode(byte),
        }
    }

    /// Linear to one byte.
    #[must_use]
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Pcmu => ulaw_encode(sample),
            Self::Pcma => alaw_encode(sample),
        }
    }

    /// The byte that stands for silence.
    #[must_use]
    pub fn silence(self) -> u8 {
        match self {
            Self::Pcmu => 0xFF,
            Self::Pcma => 0xD5,
        }
    }
}
