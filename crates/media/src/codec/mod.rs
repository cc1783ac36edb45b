//! Codecs: what a payload sounds like and how a frame is written.

mod coder;
pub mod g711;
pub mod g722;
mod opus;
mod pcm;
#[cfg(test)]
mod tests;

pub use coder::{Broken, Decoder, Encoder, MAX_DECODED, MAX_PAYLOAD};
pub use pcm::{MAX_FRAME, Pcm, Rate};

use crate::codec::g711::Law;
use crate::interface::Codec;

/// Samples per second of G.711.
pub const SAMPLE_RATE: u32 = 8_000;

impl Codec {
    /// G.711 only, which needs no [`Decoder`]: linear samples, one for each byte of payload, as far as `out` reaches. Other
    /// codecs leave it alone.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) {
        if let Some(law) = self.law() {
            law.decode(payload, out);
        }
    }

    /// G.711 only, which needs no [`Encoder`]: payload for linear samples, as far as `out` reaches.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) {
        if let Some(law) = self.law() {
            law.encode(samples, out);
        }
    }

    /// G.711 only: the byte that is silence; 0 for others, whose silence is encoded like anything else.
    #[must_use]
    pub fn silence(self) -> u8 {
        self.law().map_or(0, Law::silence)
    }

    /// By which law G.711 is companded; `None`: it is not G.711.
    #[must_use]
    pub const fn law(self) -> Option<Law> {
        match self {
            Self::Pcmu => Some(Law::Mu),
            Self::Pcma => Some(Law::A),
            Self::G722 | Self::G729 | Self::Opus | Self::OpusStereo => None,
        }
    }

    /// What RFC 3551 §6 fixed for a payload type, described or not.
    #[must_use]
    pub const fn of_static_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            9 => Some(Self::G722),
            18 => Some(Self::G729),
            _ => None,
        }
    }

    /// The payload type that RFC 3551 §6 fixed for it; `None`: an offer chooses one (RFC 7587 §7).
    #[must_use]
    pub const fn static_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::G729 => Some(18),
            Self::Opus | Self::OpusStereo => None,
        }
    }
}

/// Samples in a frame of G.711.
pub const FRAME: usize = 160;

/// Length of a frame, and the mixer's tick.
pub const FRAME_TIME: std::time::Duration = std::time::Duration::from_millis(20);

/// 20 ms of linear samples at 8 kHz.
pub type Frame = [i16; FRAME];
