//! One direction's decoder, one kind of listener's encoder: whatever a codec remembers from packet to packet.

use crate::codec::{MAX_FRAME, Rate};
use crate::interface::Codec;

/// Longest audio that one packet may hold: 120 ms, as long as Opus has (RFC 6716 §2.1.4).
pub const MAX_DECODED: usize = 6 * MAX_FRAME;

/// Longest payload that an encoder writes for 20 ms. RFC 6716 §3.2.1 allows 1,275 bytes for one Opus frame; we never ask
/// for more than a sixth of that.
pub const MAX_PAYLOAD: usize = 256;

/// A payload that is none of its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Reads one stream, packet after packet. Whatever came, the output is one channel at [`Codec::rate`].
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
}

/// Writes one stream, 20 ms after 20 ms.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
}

impl Decoder {
    /// With nothing heard yet. `None`: this codec cannot be read here.
    #[must_use]
    pub fn new(codec: Codec) -> Option<Self> {
        matches!(codec, Codec::Pcmu | Codec::Pcma).then_some(Self { codec })
    }

    /// Which.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// A packet in its turn: how many samples were written to `out`, which has room for [`MAX_DECODED`].
    ///
    /// # Errors
    ///
    /// The payload is none of this codec; nothing is remembered of it.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Broken> {
        if payload.len() > out.len() {
            return Err(Broken);
        }
        self.codec.decode(payload, out);
        Ok(payload.len())
    }

    /// A packet was lost and the next is here: what that one holds of it (Opus in-band FEC, RFC 6716 §2.1.7). `out` is as
    /// long as what was lost. False: it holds nothing, see [`Decoder::conceal`].
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        let _ = (next, out);
        false
    }

    /// A packet was lost: the codec's own guess, as long as `out`. False: the codec has none (G.711: [`crate::plc`]).
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        let _ = out;
        false
    }
}

impl Encoder {
    /// With nothing said yet. `None`: this codec cannot be written here.
    #[must_use]
    pub fn new(codec: Codec) -> Option<Self> {
        matches!(codec, Codec::Pcmu | Codec::Pcma).then_some(Self { codec })
    }

    /// Which.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// 20 ms, [`Codec::channels`] interleaved: how long the payload is that was written to `out`, at most
    /// [`MAX_PAYLOAD`].
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        self.codec.encode(samples, out);
        samples.len().min(out.len())
    }
}

impl Codec {
    /// At which its samples come and go.
    #[must_use]
    pub const fn rate(self) -> Rate {
        match self {
            Self::Pcmu | Self::Pcma | Self::G729 => Rate::Narrow,
            Self::G722 => Rate::Wide,
            Self::Opus | Self::OpusStereo => Rate::Full,
        }
    }

    /// Ticks a second of its RTP clock. G.722's is half its rate (RFC 3551 §4.5.2).
    #[must_use]
    pub const fn clock(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G729 | Self::G722 => 8_000,
            Self::Opus | Self::OpusStereo => 48_000,
        }
    }

    /// Channels that an encoder takes.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::OpusStereo => 2,
            _ => 1,
        }
    }
}
