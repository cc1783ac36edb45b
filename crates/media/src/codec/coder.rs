//! One direction's decoder, one kind of listener's encoder: whatever a codec remembers from packet to packet.

use crate::codec::g711::Law;
use crate::codec::{MAX_FRAME, Rate, g722, opus};
use crate::interface::Codec;

/// Longest audio that one packet may hold: 120 ms, as long as Opus has (RFC 6716 §2.1.4).
pub const MAX_DECODED: usize = 6 * MAX_FRAME;

/// Longest payload that an encoder writes for 20 ms. RFC 6716 §3.2.1 allows 1,275 bytes for one Opus frame; we never ask
/// for more than a fifth of that.
pub const MAX_PAYLOAD: usize = 256;

/// A payload that is none of its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Reads one stream, packet after packet. Whatever came, the output is one channel at [`Codec::rate`].
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    state: Reading,
}

/// Writes one stream, 20 ms after 20 ms.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    state: Writing,
}

/// What each codec remembers; boxed, as most streams are G.711, which remembers nothing.
#[derive(Debug)]
enum Reading {
    G711(Law),
    G722(Box<g722::Decoder>),
    Opus(Box<opus::Reader>),
}

#[derive(Debug)]
enum Writing {
    G711(Law),
    G722(Box<g722::Encoder>),
    Opus(Box<opus::Writer>),
}

impl Decoder {
    /// With nothing heard yet. `None`: this codec cannot be read here (G.729: docs/decisions/0011-codecs.md).
    #[must_use]
    pub fn new(codec: Codec) -> Option<Self> {
        let state = match codec {
            Codec::Pcmu => Reading::G711(Law::Mu),
            Codec::Pcma => Reading::G711(Law::A),
            Codec::G722 => Reading::G722(Box::default()),
            Codec::Opus | Codec::OpusStereo => Reading::Opus(Box::new(opus::Reader::new()?)),
            Codec::G729 => return None,
        };
        Some(Self { codec, state })
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
    /// The payload is none of this codec, or longer than `out`; nothing is remembered of it.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Broken> {
        let fits = |samples: usize| if samples <= out.len() { Ok(samples) } else { Err(Broken) };
        match &mut self.state {
            Reading::G711(law) => {
                let samples = fits(payload.len())?;
                law.decode(payload, out);
                Ok(samples)
            }
            Reading::G722(decoder) => {
                let samples = fits(2 * payload.len())?;
                decoder.decode(payload, out);
                Ok(samples)
            }
            Reading::Opus(reader) => reader.decode(payload, out),
        }
    }

    /// A packet was lost and the next is here: what that one holds of it (Opus in-band FEC, RFC 6716 §2.1.7). `out` is as
    /// long as what was lost, in whole 2.5 ms. False: it holds nothing, see [`Decoder::conceal`]; nothing is remembered.
    /// The packet itself is decoded after that, in its turn.
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        match &mut self.state {
            Reading::G711(_) | Reading::G722(_) => false,
            Reading::Opus(reader) => reader.recover(next, out),
        }
    }

    /// A packet was lost: the codec's own guess, as long as `out`, in whole 2.5 ms; it fades from 60 ms
    /// on and is silence after 120. False: the
    /// codec has none (G.711, G.722: [`crate::plc`]).
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        match &mut self.state {
            Reading::G711(_) | Reading::G722(_) => false,
            Reading::Opus(reader) => reader.conceal(out),
        }
    }
}

impl Encoder {
    /// With nothing said yet. `None`: this codec cannot be written here.
    #[must_use]
    pub fn new(codec: Codec) -> Option<Self> {
        let state = match codec {
            Codec::Pcmu => Writing::G711(Law::Mu),
            Codec::Pcma => Writing::G711(Law::A),
            Codec::G722 => Writing::G722(Box::default()),
            Codec::Opus => Writing::Opus(Box::new(opus::Writer::new(ropus::Channels::Mono)?)),
            Codec::OpusStereo => Writing::Opus(Box::new(opus::Writer::new(ropus::Channels::Stereo)?)),
            Codec::G729 => return None,
        };
        Some(Self { codec, state })
    }

    /// Another that goes on from where this one is, for a listener that turns to another mix. `last`: the 20 ms that this
    /// one wrote last. An encoder of Opus cannot be copied: it begins anew, and hears those first.
    #[must_use]
    pub fn follow(&self, last: &[i16]) -> Option<Self> {
        match &self.state {
            Writing::G722(encoder) => Some(Self { codec: self.codec, state: Writing::G722(encoder.clone()) }),
            Writing::G711(_) => Self::new(self.codec),
            Writing::Opus(_) => {
                let mut anew = Self::new(self.codec)?;
                anew.encode(last, &mut [0; MAX_PAYLOAD]);
                Some(anew)
            }
        }
    }

    /// One that brings what this one wrote to an end. `None`: any encoder can (a decoder needs nothing of what was before,
    /// or soon forgets it).
    #[must_use]
    pub fn fall_silent(&self) -> Option<Self> {
        let Writing::G722(encoder) = &self.state else { return None };
        Some(Self { codec: self.codec, state: Writing::G722(encoder.clone()) })
    }

    /// Which.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// 20 ms, [`Codec::channels`] interleaved: how long the payload is that was written to `out`, at most
    /// [`MAX_PAYLOAD`]. 0: there is nothing to send (the samples are not 20 ms, or `out` is shorter than the payload).
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        if samples.len() != self.codec.rate().frame() * self.codec.channels() {
            return 0;
        }
        let bytes = match self.codec {
            Codec::G722 => samples.len() / 2,
            Codec::Opus | Codec::OpusStereo => out.len().min(MAX_PAYLOAD),
            Codec::Pcmu | Codec::Pcma | Codec::G729 => samples.len(),
        };
        let Some(out) = out.get_mut(..bytes) else { return 0 };
        match &mut self.state {
            Writing::G711(law) => law.encode(samples, out),
            Writing::G722(encoder) => encoder.encode(samples, out),
            Writing::Opus(writer) => return writer.encode(samples, out),
        }
        bytes
    }

    /// Per cent of packets that listeners lose by their reports. Opus writes redundancy against it from 4 % on, until it is
    /// below 2 %; others have none. Between, nothing changes; at a change of mode the encoder begins anew, which is not heard
    /// but costs an allocation.
    pub fn expect_loss(&mut self, per_cent: u8) {
        if let Writing::Opus(writer) = &mut self.state {
            writer.expect_loss(per_cent);
        }
    }

    /// Bits a second, for codecs that have a choice: Opus. Its payloads stay within [`MAX_PAYLOAD`] all the same.
    pub fn set_bit_rate(&mut self, bits: u32) {
        if let Writing::Opus(writer) = &mut self.state {
            writer.set_bit_rate(bits);
        }
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

    /// It can be heard here: there is a [`Decoder`] for it, and an [`Encoder`].
    #[must_use]
    pub const fn is_readable(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::Opus | Self::OpusStereo => true,
            Self::G729 => false,
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
            Self::Pcmu | Self::Pcma | Self::G722 | Self::G729 | Self::Opus => 1,
        }
    }
}
