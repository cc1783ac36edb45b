//! Opus (RFC 6716, 7587) over `ropus`, at 48 kHz: one channel is read whatever was sent, one or two are written.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ropus::{Application, Bitrate, Channels, DecodeMode, InbandFec};

use crate::codec::{Broken, MAX_DECODED, MAX_FRAME, Rate};

/// Frames are whole multiples of 2.5 ms.
const STEP: usize = Rate::Full.hertz() as usize / 400;
/// Bits a second: one voice, and two side by side.
const BIT_RATES: [u32; 2] = [32_000, 64_000];
/// Of 0 to 10. From here on the encoder looks for pitch, which makes one voice half a decibel better; above, nothing more
/// is won in low delay (docs/decisions/0011-codecs.md).
const COMPLEXITY: u8 = 5;
/// Redundancy is written from so many per cent of loss on, and until it is less than half of that.
const REDUNDANT_FROM: u8 = 4;

/// What the library guesses is played as it is for 60 ms, and fades within the next 60: its own noise would last.
const GUESSED: usize = 24 * STEP;
const FADED: usize = 48 * STEP;
/// Back from a guess that had faded.
const RAMP: usize = 2 * STEP;

/// One stream's reader.
pub(super) struct Reader {
    decoder: ropus::Decoder,
    /// Samples guessed since the last that came.
    missing: usize,
}

/// One stream's writer.
pub(super) struct Writer {
    encoder: ropus::Encoder,
    channels: Channels,
    bit_rate: u32,
    /// Per cent of packets, if redundancy is written against it.
    loss: Option<u8>,
}

impl Reader {
    pub(super) fn new() -> Option<Self> {
        let decoder = ropus::Decoder::new(Rate::Full.hertz(), Channels::Mono).ok()?;
        Some(Self { decoder, missing: 0 })
    }

    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, Broken> {
        if payload.is_empty() {
            return Err(Broken);
        }
        let room = out.len().min(MAX_DECODED);
        let length = self.guarded(payload, &mut out[..room], DecodeMode::Normal)?;
        self.came(&mut out[..length]);
        Ok(length)
    }

    /// A packet's redundancy is of the 20 ms before it at most; what is missing before those is guessed.
    pub(super) fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        let recovered = is_whole(out) && is_redundant(next) && self.guarded(next, out, DecodeMode::Fec).is_ok();
        if recovered {
            self.came(out);
        }
        recovered
    }

    pub(super) fn conceal(&mut self, out: &mut [i16]) -> bool {
        if !is_whole(out) {
            return false;
        }
        if self.missing >= FADED {
            out.fill(0);
        } else if self.guarded(&[], out, DecodeMode::Normal).is_err() {
            return false;
        }
        for (sample, at) in out.iter_mut().zip(self.missing..) {
            *sample = scaled(*sample, gain(at), FADED - GUESSED);
        }
        self.missing = (self.missing + out.len()).min(FADED);
        true
    }

    fn came(&mut self, samples: &mut [i16]) {
        let missing = std::mem::take(&mut self.missing);
        if missing <= GUESSED {
            return;
        }
        let (from, full) = (gain(missing), FADED - GUESSED);
        for (n, sample) in samples.iter_mut().take(RAMP).enumerate() {
            *sample = scaled(*sample, from + (full - from) * n / RAMP, full);
        }
    }

    /// A payload comes from anybody: should it make the library panic, the stream begins anew and the shard lives on.
    fn guarded(&mut self, payload: &[u8], out: &mut [i16], mode: DecodeMode) -> Result<usize, Broken> {
        match catch_unwind(AssertUnwindSafe(|| self.decoder.decode(payload, out, mode))) {
            Ok(decoded) => decoded.map(|length| length.min(out.len())).map_err(|_| Broken),
            Err(_) => {
                if let Some(anew) = Self::new() {
                    *self = anew;
                }
                Err(Broken)
            }
        }
    }
}

/// How much of a guess is left at so many samples of it: all is the difference of [`FADED`] and [`GUESSED`].
fn gain(at: usize) -> usize {
    FADED.saturating_sub(at.max(GUESSED))
}

fn scaled(sample: i16, by: usize, of: usize) -> i16 {
    (i32::from(sample) * by as i32 / of as i32) as i16
}

impl Writer {
    pub(super) fn new(channels: Channels) -> Option<Self> {
        let bit_rate = BIT_RATES[usize::from(channels == Channels::Stereo)];
        Some(Self { encoder: encoder(channels, bit_rate, None)?, channels, bit_rate, loss: None })
    }

    /// How long the payload is; 0: these are not 20 ms.
    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        if samples.len() != MAX_FRAME * self.channels.count() {
            return 0;
        }
        let Self { encoder, .. } = self;
        match catch_unwind(AssertUnwindSafe(|| encoder.encode(samples, out))) {
            Ok(written) => written.unwrap_or(0),
            Err(_) => {
                self.begin_anew();
                0
            }
        }
    }

    pub(super) fn expect_loss(&mut self, per_cent: u8) {
        let least = if self.loss.is_some() { REDUNDANT_FROM / 2 } else { REDUNDANT_FROM };
        let loss = (per_cent >= least).then_some(per_cent.min(30));
        let changes_mode = loss.is_some() != self.loss.is_some();
        self.loss = loss;
        if changes_mode {
            self.begin_anew();
        } else if let Some(loss) = loss {
            let _ = self.encoder.set_packet_loss_perc(loss);
        }
    }

    pub(super) fn set_bit_rate(&mut self, bits: u32) {
        self.bit_rate = bits;
        let _ = self.encoder.set_bitrate(Bitrate::Bits(bits));
    }

    fn begin_anew(&mut self) {
        if let Some(anew) = encoder(self.channels, self.bit_rate, self.loss) {
            self.encoder = anew;
        }
    }
}

/// Low delay has no redundancy: that is a part of SILK, which costs 4 ms more of delay and three times the work.
fn encoder(channels: Channels, bit_rate: u32, loss: Option<u8>) -> Option<ropus::Encoder> {
    let (application, fec) = match loss {
        Some(_) => (Application::Voip, InbandFec::Enabled),
        None => (Application::RestrictedLowDelay, InbandFec::Disabled),
    };
    ropus::Encoder::builder(Rate::Full.hertz(), channels, application)
        .bitrate(Bitrate::Bits(bit_rate))
        .complexity(COMPLEXITY)
        .inband_fec(fec)
        .packet_loss_perc(loss.unwrap_or(0))
        .build()
        .ok()
}

fn is_whole(out: &[i16]) -> bool {
    !out.is_empty() && out.len().is_multiple_of(STEP) && out.len() <= MAX_DECODED
}

/// The packet's first frame carries redundancy of the frame before (LBRR flags, RFC 6716 §4.2.4).
fn is_redundant(packet: &[u8]) -> bool {
    let Some((toc, rest)) = packet.split_first() else { return false };
    let config = toc >> 3;
    if config >= 16 {
        return false; // CELT alone has none
    }
    // Silk frames of 20 ms in an Opus frame: configurations 2 and 3 of each four are 40 and 60 ms (table 2).
    let frames = match config {
        12.. => 1,
        _ => (config & 3).max(1),
    };
    let is_stereo = toc & 4 != 0;
    let Some(first) = first_byte(toc & 3, rest) else { return false };
    // A flag of voice for each frame, then one of redundancy; the second channel's follow.
    let flag = |bit: u8| first >> bit & 1 == 1;
    flag(7 - frames) || is_stereo && flag(6 - 2 * frames)
}

/// Of the packet's first frame (RFC 6716 §3.2).
fn first_byte(code: u8, rest: &[u8]) -> Option<u8> {
    let (length, rest) = match code {
        0 | 1 => (rest.len(), rest),
        2 => frame_length(rest)?,
        _ => {
            let (count, mut rest) = rest.split_first()?;
            if count & 0x40 != 0 {
                let padded = rest.iter().position(|byte| *byte != 0xff)?;
                rest = &rest[padded + 1..];
            }
            let (frames, is_variable) = (count & 0x3f, count & 0x80 != 0);
            let mut length = rest.len();
            for n in 1..if is_variable { frames } else { 1 } {
                let (own, after) = frame_length(rest)?;
                (length, rest) = (if n == 1 { own } else { length }, after);
            }
            (length, rest)
        }
    };
    rest.first().copied().filter(|_| length > 0)
}

/// A length in one or two bytes (RFC 6716 §3.2.1), and what follows.
fn frame_length(data: &[u8]) -> Option<(usize, &[u8])> {
    match *data {
        [short @ 0..=251, ref rest @ ..] => Some((usize::from(short), rest)),
        [low, high, ref rest @ ..] => Some((usize::from(low) + 4 * usize::from(high), rest)),
        _ => None,
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opus::Reader")
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bit_rate, loss, .. } = self;
        f.debug_struct("opus::Writer").field("bit_rate", bit_rate).field("loss", loss).finish_non_exhaustive()
    }
}
