//! Silence in each codec: what a listener gets while shielded, or with nothing to hear.
//!
//! It comes from encoders that never heard a call, so nothing of one can be in it. Where the same payload again and again
//! is silence, it is made once for a shard. G.722 is an ADPCM: repeated, its codes would add up to a hum; so an encoder
//! runs on, one for all who hear nothing in the same phase; and who heard something until now has an [`Ending`] first, in
//! G.711 too, where a frame that ends loud and one of silence would click.

use super::kind::{Payload, join};
use crate::codec::{Encoder, MAX_FRAME};
use crate::interface::Codec;

/// Frames of silence until an encoder has forgotten how it began.
const RUN_IN: u32 = 50;
/// A shard's phases (see [`crate::Shard`]): each tick of one has its own frame.
pub(crate) const PHASES: usize = 20;
const CODECS: usize = 6;

/// A shard's silence.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    /// One payload for ever.
    constant: [Option<Box<Payload>>; CODECS],
    g722: [Option<Box<Running>>; PHASES],
}

/// An encoder that hears nothing.
#[derive(Debug)]
struct Running {
    encoder: Encoder,
    payload: Payload,
    /// Of this tick.
    ms: u64,
}

impl Silence {
    /// From now on there is silence in a codec, for this phase. `None`: it cannot be written.
    pub(crate) fn begin(&mut self, codec: Codec, phase: usize) -> Option<()> {
        let place = self.constant.get_mut(codec as usize)?;
        if place.is_none() {
            *place = Some(Box::new(run_in(&mut Encoder::new(codec)?)));
        }
        let running = self.g722.get_mut(phase).filter(|running| codec == Codec::G722 && running.is_none());
        if let Some(running) = running {
            let mut encoder = Encoder::new(codec)?;
            *running = Some(Box::new(Running { payload: run_in(&mut encoder), encoder, ms: 0 }));
        }
        Some(())
    }

    /// The frame of a tick, before [`Silence::of`].
    pub(crate) fn tick(&mut self, codec: Codec, ms: u64) {
        let running = self.g722.get_mut(ms as usize % PHASES).and_then(Option::as_mut);
        if let Some(running) = running.filter(|running| codec == Codec::G722 && running.ms != ms) {
            running.ms = ms;
            running.payload.write(&mut running.encoder, &[0; MAX_FRAME / 3]);
        }
    }

    /// 20 ms in a codec that was begun.
    pub(crate) fn of(&self, codec: Codec, ms: u64) -> &[u8] {
        let running = self.g722.get(ms as usize % PHASES).and_then(Option::as_deref);
        match running.filter(|_| codec == Codec::G722) {
            Some(running) => running.payload.bytes(),
            None => self.constant.get(codec as usize).and_then(Option::as_deref).map_or(&[], Payload::bytes),
        }
    }
}

/// The end of what one track heard: the last frame goes on as it would have, and fades out within 5 ms. In G.722 the phone's
/// decoder rings on with what was sent before, so an encoder in the same state writes it; its band filters hold the last
/// 1.4 ms of that frame, which come first. Nothing that was said after that frame is in either.
#[derive(Debug)]
pub(crate) struct Ending {
    encoder: Encoder,
    /// What it is given next.
    samples: [i16; MAX_FRAME / 3],
    payload: Payload,
    frames: u32,
}

impl Ending {
    /// Of a track that had a kind with this encoder, which wrote `last`. `None`: none is needed.
    pub(super) fn new(encoder: &Encoder, last: &[i16]) -> Option<Box<Self>> {
        let codec = encoder.codec();
        let (encoder, frames) = match codec.law() {
            Some(_) => (Encoder::new(codec)?, 1),
            None => (encoder.fall_silent()?, RUN_IN),
        };
        Some(Box::new(Self { encoder, samples: faded(last), payload: Payload::default(), frames }))
    }

    /// The next 20 ms of a track in that codec. `None`: it is over, or the codec is another by now.
    pub(crate) fn next(&mut self, codec: Codec) -> Option<&[u8]> {
        if codec != self.encoder.codec() {
            self.frames = 0;
        }
        self.frames = self.frames.checked_sub(1)?;
        self.payload.write(&mut self.encoder, &self.samples[..codec.rate().frame()]);
        self.samples.fill(0);
        Some(self.payload.bytes())
    }

    /// There is no next.
    pub(crate) fn is_over(&self) -> bool {
        self.frames == 0
    }
}

/// What goes on where these samples end, and is silent after 5 ms.
fn faded(last: &[i16]) -> [i16; MAX_FRAME / 3] {
    let mut frame = [0.0; MAX_FRAME / 3];
    join(last, &mut frame, 1);
    // What goes on beyond full scale saturates.
    frame.map(|sample| sample.round() as i16)
}

fn run_in(encoder: &mut Encoder) -> Payload {
    let codec = encoder.codec();
    let samples = [0; 2 * MAX_FRAME];
    let frame = &samples[..codec.rate().frame() * codec.channels()];
    let mut payload = Payload::default();
    for _ in 0..RUN_IN {
        payload.write(encoder, frame);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoder, MAX_DECODED};

    #[test]
    fn silence_is_silence_for_ever() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::OpusStereo] {
            let mut silence = Silence::default();
            assert_eq!(silence.begin(codec, 3), Some(()));
            let mut decoder = Decoder::new(codec).expect("a codec that is read");
            for n in 0..500 {
                let mut samples = [0; MAX_DECODED];
                let ms = 3 + n * 20;
                silence.tick(codec, ms);
                let length = decoder.decode(silence.of(codec, ms), &mut samples).expect("a payload");
                let peak = samples[..length].iter().map(|sample| sample.unsigned_abs()).max();
                // A decoder of G.722 that is new here has to find its way.
                assert!(peak <= Some(if n < 50 { 32 } else { 8 }), "{codec:?}: {peak:?} in frame {n}");
            }
        }
        assert_eq!(Silence::default().begin(Codec::G729, 0), None, "read only");
    }

    #[test]
    fn all_who_hear_nothing_in_a_tick_share_it() {
        let mut silence = Silence::default();
        silence.begin(Codec::G722, 0);
        silence.tick(Codec::G722, 20);
        let first = silence.of(Codec::G722, 20).to_vec();
        silence.tick(Codec::G722, 20);
        assert_eq!(silence.of(Codec::G722, 20), first);
        silence.tick(Codec::G722, 40);
        assert_ne!(silence.of(Codec::G722, 40), first, "it runs on");
    }
}
