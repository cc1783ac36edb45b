//! What a tick does: 20 ms out of the queue, after as many packets were decoded, recovered or made up as that takes, and
//! as much of the delay's debt paid as this frame can without being heard.

use std::time::Instant;

use super::delay::Patience;
use super::ring::Slot;
use super::time::{self, FRAME, MS, Units, scale, units};
use super::{Jitter, Missing, Pulled, pitch};
use crate::codec::{FRAME_TIME, Pcm};
use crate::interface::Counters;

/// A voice is cut after its cycles if they are so alike.
const ALIKE: f32 = 0.7;

impl Jitter {
    /// The next frame, at its tick. `is_quiet`: its sender is silent by intent.
    pub fn pull(&mut self, tick: Instant, is_quiet: bool, pcm: &mut Pcm, counters: &mut Counters) -> Pulled {
        self.next_pull = tick + FRAME_TIME;
        let mut pulled = Pulled::default();
        while self.queue.len() < self.queue.rate().frame() {
            pulled.concealed |= self.produce(is_quiet, counters);
        }
        self.pay(tick, counters);
        pcm.reset(self.queue.rate());
        let real = self.queue.len() - self.queue.made_up();
        pulled.real = real > 0;
        self.queue.take(pcm.samples_mut());
        pulled
    }

    /// Ticks that nobody hears: their samples are passed over.
    pub fn skip(&mut self, frames: u64) {
        let passed = frames.min(u64::from(u32::MAX)) as Units * FRAME;
        let waiting = units(self.queue.len(), self.queue.rate()).min(passed);
        self.queue.pass((waiting / scale(self.queue.rate())) as usize);
        self.tail += passed - waiting;
        self.next_pull += time::duration(passed.min(FRAME * 50 * 60));
        while let Some(slot) = self.ring.first().filter(|slot| slot.at < self.tail).map(|slot| slot.sequence) {
            self.next_sequence = slot + 1;
            self.ring.take().into_iter().for_each(|slot| self.ring.give_back(slot));
        }
    }

    /// Some more samples: of the next packet, or in place of one that did not come. True: made up, and heard.
    fn produce(&mut self, is_quiet: bool, counters: &mut Counters) -> bool {
        let rate = self.queue.rate();
        let short = rate.frame() - self.queue.len();
        let Some(next) = self.ring.first() else {
            self.missing.get_or_insert(Missing { from: self.tail, made_up: 0 });
            return self.fill(short, is_quiet);
        };
        let hole = next.at - self.tail;
        if hole < scale(rate) {
            self.decode(counters);
            return false;
        }
        self.missing.get_or_insert(Missing { from: self.tail, made_up: 0 });
        let is_lost = self.lost_before(next) > 0;
        // The next packet may hold the last of those that were lost, and only that.
        let before_last = hole - self.timeline.spacing();
        if is_lost && before_last.abs() < MS {
            let samples = time::samples(hole, rate);
            if self.voice.recover(next, samples, &mut self.queue) {
                self.tail += units(samples, rate);
                return false;
            }
        }
        let hole = if is_lost && before_last >= MS { before_last } else { hole };
        self.fill(time::samples(hole, rate).min(short), is_quiet)
    }

    fn fill(&mut self, samples: usize, is_quiet: bool) -> bool {
        let (filled, is_heard) = self.voice.fill(samples, is_quiet, &mut self.queue);
        let filled = units(filled, self.queue.rate());
        self.tail += filled;
        if let Some(missing) = self.missing.as_mut().filter(|_| is_heard && !is_quiet) {
            missing.made_up += filled;
        }
        is_heard && !is_quiet
    }

    /// The packet whose turn it is.
    fn decode(&mut self, counters: &mut Counters) {
        let Some(slot) = self.ring.take() else { return };
        let lost = self.lost_before(&slot);
        self.next_sequence = slot.sequence + 1;
        if slot.at < self.tail {
            let over = time::samples(self.tail - slot.at, self.queue.rate()).min(self.queue.made_up());
            self.queue.retract(over);
        }
        let waits = self.queue.len();
        match self.voice.decode(&slot, &mut self.queue) {
            Ok(samples) => {
                self.account(slot.at, lost);
                self.tail = slot.at + units(samples, self.queue.rate());
            }
            Err(_) => {
                counters.tap_undecodable += 1;
                self.served.lost += 1;
                self.tail = slot.at.max(self.tail - units(waits, self.queue.rate()));
            }
        }
        self.ring.give_back(slot);
    }

    /// Packets that are missing before one whose turn it is.
    fn lost_before(&self, slot: &Slot) -> i64 {
        if slot.is_anew { 0 } else { self.timeline.unseen(self.next_sequence, slot.sequence) }
    }

    /// Now that a packet came, it is known why others did not: lost, late, or never sent.
    pub(super) fn account(&mut self, at: Units, lost: i64) {
        self.served.lost += lost.unsigned_abs();
        let Some(missing) = self.missing.take() else { return };
        let is_late = lost == 0 && at <= missing.from;
        if (lost > 0 || is_late) && missing.made_up > 0 {
            self.served.gaps += 1;
            self.served.concealed += time::duration(missing.made_up);
        }
    }

    /// Pays what the delay owes, as far as this frame can without being heard.
    fn pay(&mut self, tick: Instant, counters: &mut Counters) {
        let rate = self.queue.rate();
        self.meter.feed(&self.queue.samples()[..rate.frame()]);
        let is_pause = self.meter.is_pause();
        let Some((debt, patience)) = self.delay.debt(tick) else { return };
        if patience == Patience::Pause && !is_pause {
            return;
        }
        let owed = time::samples(debt.abs(), rate);
        // In speech, only 20 ms more help, and whatever exceeds them is taken back later; less helps already.
        let most = if debt < 0 && !is_pause { pitch::longest(rate) } else { owed.min(pitch::longest(rate)) };
        if debt > 0 {
            self.read_ahead(rate.frame() + most, counters);
        }
        if self.queue.rate() != rate || debt > 0 && self.queue.len() < rate.frame() + most {
            return;
        }
        let (lag, likeness) = pitch::cycle(self.queue.samples(), rate, most);
        let lag = match patience {
            _ if is_pause => most,
            Patience::Cycle if likeness < ALIKE => 0,
            _ => lag,
        };
        if !is_pause && most < pitch::shortest(rate) {
            // Too short for a cycle. It costs little, and is seen again.
            self.delay.forgive();
        }
        if lag == 0 {
            return;
        }
        if debt > 0 {
            self.queue.shorten(lag);
        } else {
            self.queue.lengthen(lag);
        }
        self.delay.paid(units(lag, rate) * debt.signum());
    }

    /// Decodes what waits and follows without a gap, until the queue has so much.
    fn read_ahead(&mut self, samples: usize, counters: &mut Counters) {
        let rate = self.queue.rate();
        let tail = |jitter: &Self| jitter.ring.first().map(|slot| slot.at - jitter.tail);
        while self.queue.len() < samples && tail(self).is_some_and(|hole| hole < scale(rate)) {
            self.decode(counters);
            if self.queue.rate() != rate {
                return;
            }
        }
    }
}
