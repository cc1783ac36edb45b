//! A packet's sound, and what stands for packets that did not come.

use super::queue::{Queue, seam};
use super::ring::Slot;
use super::time::{MS, Units, units};
use crate::codec::{Broken, Decoder, MAX_FRAME};
use crate::interface::Codec;
use crate::noise::{Comfort, Generator};
use crate::plc::Plc;

/// So much is made up at most; then silence.
const MADE_UP: Units = 60 * MS;
/// Of which so much at full level.
const FULL: Units = 20 * MS;

/// One direction's decoder and its concealment.
#[derive(Debug)]
pub(super) struct Voice {
    decoder: Option<Decoder>,
    plc: Plc,
    /// Made up since the last packet.
    made: Units,
    /// The sender's room, as it told it when it fell silent, and after which packet that was.
    room: Option<(i64, Box<Generator>)>,
    /// The last packet said that there is nothing to be said for a while (Opus DTX, RFC 6716 §2.1.9).
    is_pausing: bool,
}

/// Opus packets of no more than a byte and its own are no sound, but where discontinuous transmission begins or lasts.
const PAUSE: usize = 2;
/// Where the noise of rooms begins.
const SEED: u32 = 0x6d65_646c;

impl Voice {
    pub(super) fn new() -> Self {
        Self { decoder: None, plc: Plc::default(), made: MADE_UP, room: None, is_pausing: false }
    }

    /// The sender's room is heard once it has fallen silent, until a packet with another number than those up to here.
    pub(super) fn comfort(&mut self, sequence: i64, comfort: Comfort) {
        let (after, room) = self.room.get_or_insert_with(|| (sequence, Box::new(Generator::new(SEED))));
        *after = sequence;
        room.tell(comfort);
    }

    /// Nothing is heard, nor was before the last frame.
    pub(super) fn is_silent(&self) -> bool {
        self.made >= MADE_UP
    }

    /// The next packet: how many samples. One that does not follow the one before is blended out of what was heard.
    pub(super) fn decode(&mut self, slot: &Slot, queue: &mut Queue) -> Result<usize, Broken> {
        let is_other = self.decoder.as_ref().map(Decoder::codec) != Some(slot.codec);
        if (is_other || slot.is_anew) && !self.is_silent() {
            let length = self.conceal(seam(queue.rate()), queue);
            queue.retract(length);
        } else if self.is_silent() && self.room.is_some() {
            let (length, _) = self.fill(seam(queue.rate()), true, queue);
            queue.retract(length);
        }
        if is_other {
            self.switch(slot.codec, queue);
        }
        let has_plc = self.has_plc();
        if self.is_silent() && !has_plc && self.room.is_none() {
            queue.rises();
        }
        let decoder = self.decoder.as_mut().ok_or(Broken)?;
        let room = queue.room();
        let samples = decoder.decode(&slot.payload, room)?.min(room.len());
        if has_plc {
            self.plc.heard(&mut room[..samples]);
        }
        queue.add(samples);
        self.made = 0;
        self.room = self.room.take().filter(|(after, _)| slot.sequence <= *after);
        self.is_pausing = !has_plc && slot.payload.len() <= PAUSE;
        Ok(samples)
    }

    fn switch(&mut self, codec: Codec, queue: &mut Queue) {
        if self.plc.rate() != codec.rate() {
            self.plc = Plc::new(codec.rate());
            if !self.is_silent() {
                self.plc.heard(&mut [0; 1]);
            }
        }
        queue.convert(codec.rate());
        self.decoder = Decoder::new(codec);
    }

    /// What the next packet holds of a lost one before it. False: nothing.
    pub(super) fn recover(&mut self, next: &Slot, samples: usize, queue: &mut Queue) -> bool {
        let Some(decoder) = self.decoder.as_mut().filter(|decoder| decoder.codec() == next.codec) else { return false };
        let room = queue.room();
        let Some(room) = room.get_mut(..samples).filter(|room| !room.is_empty()) else { return false };
        let is_held = decoder.recover(&next.payload, room);
        if is_held {
            queue.add(samples);
            self.made = 0;
        }
        is_held
    }

    /// Stands for what did not come: how many samples, and whether they are heard. A sender that is silent by intent is
    /// not spoken for.
    pub(super) fn fill(&mut self, samples: usize, is_quiet: bool, queue: &mut Queue) -> (usize, bool) {
        if self.is_silent() {
            let out = &mut queue.room()[..samples];
            match &mut self.room {
                Some((_, room)) => room.fill(out),
                None => out.fill(0),
            }
            queue.add_made_up(samples);
            return (samples, false);
        }
        let filled = self.conceal(samples, queue);
        if is_quiet {
            let steps = seam(queue.rate()).min(filled);
            fall(queue.last_mut(filled), steps);
            self.made = MADE_UP;
        }
        (filled, !self.is_pausing)
    }

    /// Makes up as many samples or a few more, which are then said less loudly the longer it lasts.
    fn conceal(&mut self, samples: usize, queue: &mut Queue) -> usize {
        let rate = queue.rate();
        let length = if self.has_plc() { samples } else { samples.next_multiple_of(rate.frame() / 8) };
        let room = &mut queue.room()[..length];
        let is_own = self.decoder.as_mut().is_some_and(|decoder| decoder.conceal(room));
        if is_own {
            for (n, sample) in room.iter_mut().enumerate() {
                let left = (MADE_UP - self.made - units(n, rate)).clamp(0, MADE_UP - FULL);
                *sample = (i64::from(*sample) * left / (MADE_UP - FULL)) as i16;
            }
        } else {
            self.plc.conceal(room);
        }
        queue.add_made_up(length);
        self.made = (self.made + units(length, rate)).min(MADE_UP);
        length
    }

    /// How what is heard dies away if nothing more is said.
    pub(super) fn ending(&mut self, queue: &Queue, out: &mut [i16]) {
        let waiting = queue.samples();
        let said = waiting.len().min(out.len());
        out[..said].copy_from_slice(&waiting[..said]);
        let rest = &mut out[said..];
        let mut guess = [0; MAX_FRAME / 4];
        let guess = &mut guess[..seam(queue.rate())];
        if self.is_silent() {
            rest.fill(0);
        } else if self.has_plc() {
            self.plc.clone().conceal(rest);
        } else if self.decoder.as_mut().is_some_and(|decoder| decoder.conceal(guess)) {
            rest.iter_mut().zip(guess).for_each(|(to, from)| *to = *from);
        }
        let steps = out.len();
        fall(out, steps);
    }

    /// Opus knows by itself what might have been said; of G.711 and G.722 it is guessed here.
    fn has_plc(&self) -> bool {
        !matches!(self.decoder.as_ref().map(Decoder::codec), Some(Codec::Opus | Codec::OpusStereo))
    }
}

/// Falls from full level to silence within so many samples.
pub(super) fn fall(samples: &mut [i16], steps: usize) {
    for (n, sample) in samples.iter_mut().enumerate() {
        *sample = (i64::from(*sample) * steps.saturating_sub(n + 1) as i64 / steps.max(1) as i64) as i16;
    }
}

/// Rises from silence to full level within so many samples.
pub(crate) fn rise(samples: &mut [i16], steps: usize) {
    for (n, sample) in samples.iter_mut().take(steps).enumerate() {
        *sample = (i64::from(*sample) * (n + 1) as i64 / (steps + 1) as i64) as i16;
    }
}
