//! A packet's sound, and what stands for packets that did not come.

use super::queue::{Queue, seam};
use super::ring::Slot;
use super::time::{MS, Units, units};
use crate::codec::{Broken, Decoder, MAX_FRAME, Rate};
use crate::interface::Codec;
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
}

impl Voice {
    pub(super) fn new() -> Self {
        Self { decoder: None, plc: Plc::default(), made: MADE_UP }
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
        }
        if is_other {
            self.switch(slot.codec, queue);
        }
        if self.is_silent() && !self.has_plc(queue.rate()) {
            queue.rises();
        }
        let has_plc = self.has_plc(queue.rate());
        let decoder = self.decoder.as_mut().ok_or(Broken)?;
        let room = queue.room();
        let samples = decoder.decode(&slot.payload, room)?.min(room.len());
        if has_plc {
            self.plc.heard(&mut room[..samples]);
        }
        queue.add(samples);
        self.made = 0;
        Ok(samples)
    }

    fn switch(&mut self, codec: Codec, queue: &mut Queue) {
        if queue.rate() != codec.rate() {
            self.plc = Plc::default();
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
            queue.room()[..samples].fill(0);
            queue.add_made_up(samples);
            return (samples, false);
        }
        let filled = self.conceal(samples, queue);
        if is_quiet {
            let steps = seam(queue.rate()).min(filled);
            fall(queue.last_mut(filled), steps);
            self.made = MADE_UP;
        }
        (filled, true)
    }

    /// Makes up as many samples or a few more, which are then said less loudly the longer it lasts.
    fn conceal(&mut self, samples: usize, queue: &mut Queue) -> usize {
        let rate = queue.rate();
        let length = match self.decoder.as_ref().map(Decoder::codec) {
            Some(Codec::Opus | Codec::OpusStereo) => samples.next_multiple_of(rate.frame() / 8),
            Some(Codec::G729) => samples.next_multiple_of(rate.frame() / 2),
            _ => samples,
        };
        let room = &mut queue.room()[..length];
        let is_own = self.decoder.as_mut().is_some_and(|decoder| decoder.conceal(room));
        if is_own {
            for (n, sample) in room.iter_mut().enumerate() {
                let left = (MADE_UP - self.made - units(n, rate)).clamp(0, MADE_UP - FULL);
                *sample = (i64::from(*sample) * left / (MADE_UP - FULL)) as i16;
            }
        } else if rate == Rate::Narrow {
            self.plc.conceal(room);
        } else {
            room.fill(0);
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
        } else if self.has_plc(queue.rate()) {
            self.plc.clone().conceal(rest);
        } else if self.decoder.as_mut().is_some_and(|decoder| decoder.conceal(guess)) {
            rest.iter_mut().zip(guess).for_each(|(to, from)| *to = *from);
        }
        let steps = out.len();
        fall(out, steps);
    }

    fn has_plc(&self, rate: Rate) -> bool {
        rate == Rate::Narrow && !matches!(self.decoder.as_ref().map(Decoder::codec), Some(Codec::G729))
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
