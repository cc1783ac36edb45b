//! One kind: a codec and a mix, with its encoder and the payload of the present tick.

use super::limiter::Limiter;
use super::onward::onward;
use super::silence::Ending;
use super::weights::{CHANNELS, Pair, Weights, blend};
use crate::codec::{Encoder, MAX_FRAME, MAX_PAYLOAD, Pcm};
use crate::fork::Heard;
use crate::interface::{Codec, Layout, Mix, StreamId};

/// Ticks after which an encoder with a memory has forgotten where it began: 200 ms.
const SETTLES: u32 = 10;

/// Ticks after which what listeners have told of loss is made use of: 5 s, in which each reports once or so.
const LOSS_WINDOW: u32 = 250;

/// What a track gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub(super) codec: Codec,
    pub(super) mix: Mix,
}

/// A payload that all tracks of a kind share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Track<'a> {
    /// Encoded, 20 ms.
    pub(crate) payload: &'a [u8],
    /// It holds call audio.
    pub(crate) is_heard: bool,
}

/// Where the samples of a mix are summed up. One is enough for a shard: kinds take turns.
#[derive(Debug)]
pub(crate) struct Scratch([f32; CHANNELS * MAX_FRAME]);

/// Room for what one kind sends in 20 ms.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: [u8; MAX_PAYLOAD],
    length: usize,
}

/// Where a kind's encoder and gains come from: those born of the same in one tick are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Silence,
    Kind(usize),
    /// A kind on another desk: that leg's, and its number there.
    Elsewhere(StreamId, usize, Entry),
}

/// When a track that comes from another desk is sent its first frame here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// At the first tick.
    Now,
    /// At the one after it: the first comes too soon after the last frame from there.
    Next,
}

/// Where a track's sound ended on the desk that it leaves: on the next one it goes on from there.
#[derive(Debug)]
pub(crate) struct Tail {
    of: (StreamId, usize),
    encoder: Encoder,
    samples: Box<[i16]>,
}

impl Tail {
    pub(super) fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    pub(super) fn origin(&self, entry: Entry) -> Origin {
        Origin::Elsewhere(self.of.0, self.of.1, entry)
    }
}

#[derive(Debug)]
pub(super) struct Kind {
    wanted: Wanted,
    /// Tracks that share it.
    pub(super) users: usize,
    /// Until its first tick.
    origin: Option<Origin>,
    encoder: Encoder,
    /// What it wrote last, channels interleaved.
    samples: Box<[i16]>,
    /// Where the last frame ended; a kind that comes from silence fades in.
    weights: Weights,
    limiters: [Limiter; CHANNELS],
    payload: Payload,
    is_heard: bool,
    /// Ticks until it is as any other that wants the same.
    settles_in: u32,
    /// The most of what its listeners lose, in per cent, as told within a window.
    loss: u8,
    window: u32,
}

impl Wanted {
    /// What differs only in what cannot be heard is the same.
    #[must_use]
    pub fn new(codec: Codec, mut mix: Mix) -> Self {
        match mix.layout {
            Layout::Stereo if codec.channels() < CHANNELS => mix.layout = Layout::Mono,
            Layout::Agent => mix.caller_db = 0,
            Layout::Caller => mix.agent_db = 0,
            Layout::Mono | Layout::Stereo => {}
        }
        Self { codec, mix }
    }

    /// Its codec.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }
}

impl Kind {
    /// `before`: the one that its first user had, in the same codec; else it begins in silence. `None`: that codec cannot
    /// be written.
    pub(super) fn new(wanted: Wanted, before: Option<&Self>, origin: Origin) -> Option<Self> {
        Some(Self {
            wanted,
            users: 0,
            origin: Some(origin),
            encoder: match before {
                Some(before) => before.encoder.follow(&before.samples)?,
                None => Encoder::new(wanted.codec)?,
            },
            samples: match before {
                Some(before) => before.samples.clone(),
                None => vec![0; wanted.codec.rate().frame() * wanted.codec.channels()].into(),
            },
            weights: before.map_or_else(Weights::default, |before| before.weights),
            limiters: before.map_or_else(Default::default, |before| before.limiters),
            payload: Payload::default(),
            is_heard: false,
            settles_in: settles_in(wanted.codec),
            loss: 0,
            window: 0,
        })
    }

    /// One that goes on where a track ended on another desk.
    pub(super) fn after(tail: Tail, wanted: Wanted, entry: Entry) -> Option<Self> {
        let mut kind = Self::new(wanted, None, tail.origin(entry))?;
        (kind.encoder, kind.samples) = (tail.encoder, tail.samples);
        Some(kind)
    }

    /// Where it ends, for a track that leaves for another desk. `None`: nothing of it was sent yet.
    pub(super) fn tail(&self, agent: StreamId, key: usize) -> Option<Tail> {
        let encoder = self.encoder.follow(&self.samples).filter(|_| self.origin.is_none())?;
        Some(Tail { of: (agent, key), encoder, samples: self.samples.clone() })
    }

    pub(super) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// Whether it began in this tick from there, and wants that.
    pub(super) fn is_born(&self, origin: Origin, wanted: Wanted) -> bool {
        self.origin == Some(origin) && self.wanted == wanted
    }

    /// What brings a track that had it to rest. `None`: nothing has to, or nothing of it was sent yet.
    pub(super) fn ending(&self) -> Option<Box<Ending>> {
        let is_new = matches!(self.origin, Some(Origin::Silence | Origin::Elsewhere(..)));
        if is_new { None } else { Ending::new(&self.encoder, &self.samples) }
    }

    /// Whether it is as any other that wants the same.
    pub(super) fn is_settled(&self) -> bool {
        self.settles_in == 0
    }

    /// Its only user wants something else in the same codec.
    pub(super) fn turn(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.settles_in = settles_in(wanted.codec);
    }

    /// One of its listeners loses so much. The encoder makes up for that of the worst, where its codec can.
    pub(super) fn expect_loss(&mut self, per_cent: u8) {
        self.loss = self.loss.max(per_cent);
    }

    fn follow_loss(&mut self) {
        self.window += 1;
        if self.window == LOSS_WINDOW {
            self.encoder.expect_loss(self.loss);
            (self.window, self.loss) = (0, 0);
        }
    }

    pub(super) fn track(&self) -> Track<'_> {
        Track { payload: self.payload.bytes(), is_heard: self.is_heard }
    }

    /// One frame of the agent's side and the caller's, at the codec's rate. `levelled`: the factors that bring them to the
    /// same loudness. True: it has just settled.
    /// `is_seam`: a side's codec has another rate than before, and its resampler begins with silence.
    pub(super) fn write(
        &mut self,
        is_seam: bool,
        sides: [&Pcm; 2],
        levelled: Pair,
        heard: Heard,
        scratch: &mut Scratch,
    ) -> bool {
        let is_seam = match self.origin {
            Some(Origin::Elsewhere(leg, key, Entry::Next)) => {
                self.origin = Some(Origin::Elsewhere(leg, key, Entry::Now));
                return false;
            }
            Some(Origin::Elsewhere(..)) => true,
            _ => is_seam,
        };
        let [agent, caller] = sides;
        let Wanted { codec, mix } = self.wanted;
        let channels = codec.channels();
        let weights = Weights::of(mix, channels, if mix.is_levelled { levelled } else { [1.0; 2] });
        if let Some(Origin::Elsewhere(..)) = self.origin {
            // Heard at once: the seam is its ramp.
            self.weights = weights;
        }
        let sums = &mut scratch.0[..self.samples.len()];
        for channel in 0..channels {
            let sum = &mut sums[channel..];
            let (from, to) = (self.weights.0[channel], weights.0[channel]);
            blend(sum, channels, (agent.samples(), caller.samples()), from, to);
            self.limiters[channel].limit(sum, channels);
        }
        if is_seam {
            join(&self.samples, sums, channels);
        }
        // What is left above full scale saturates here, and nothing wraps.
        self.samples.iter_mut().zip(sums).for_each(|(sample, sum)| *sample = sum.round() as i16);
        self.payload.write(&mut self.encoder, &self.samples);
        let (has_agent, has_caller) = weights.sides();
        self.is_heard = heard.up && has_agent || heard.down && has_caller;
        self.weights = weights;
        self.origin = None;
        self.follow_loss();
        let was_settled = self.is_settled();
        self.settles_in = self.settles_in.saturating_sub(1);
        self.is_settled() && !was_settled
    }
}

/// Lets a frame begin where the last one ended: what was last said goes on as it would have, and fades within 5 ms
/// while the new fades in. All channels are interleaved.
pub(super) fn join(last: &[i16], frame: &mut [f32], channels: usize) {
    let of = last.len() / channels / 4;
    let mut room = [0.0; MAX_FRAME];
    let before = &mut room[..of];
    for channel in 0..channels {
        onward(last, channels, channel, before);
        for (n, (sample, before)) in frame[channel..].iter_mut().step_by(channels).zip(before.iter()).enumerate() {
            let new = 0.5 - 0.5 * (std::f32::consts::PI * (n + 1) as f32 / (of + 1) as f32).cos();
            *sample = *sample * new + before * (1.0 - new);
        }
    }
}

/// Where the encoder has no memory, only the gains must have arrived.
fn settles_in(codec: Codec) -> u32 {
    if codec.law().is_some() { 1 } else { SETTLES }
}

impl Payload {
    pub(super) fn write(&mut self, encoder: &mut Encoder, samples: &[i16]) {
        self.length = encoder.encode(samples, &mut self.bytes);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self { bytes: [0; MAX_PAYLOAD], length: 0 }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self([0.0; CHANNELS * MAX_FRAME])
    }
}
