//! A packet that came: is there still time for it, and does its source go on or begin anew?

use std::time::Instant;

use super::delay::{Arrival, GUARD, JUMP};
use super::ring::Coded;
use super::time::{FRAME, Units, between, units};
use super::timeline::Place;
use super::{Jitter, MAX_PAYLOAD};
use crate::interface::{Codec, Counters};
use crate::rtp::Packet;

/// So many packets in a row too late: the network's delay has changed, bound anew.
const LATE_RUN: u32 = 10;
/// When another source begins, what waits of the one before is still said, if it is no longer than this.
const FAREWELL: Units = 3 * FRAME;

impl Jitter {
    /// A packet that came.
    pub fn push(&mut self, now: Instant, packet: &Packet<'_>, codec: Codec, counters: &mut Counters) {
        if packet.payload.is_empty() || packet.payload.len() > MAX_PAYLOAD {
            counters.tap_undecodable += u64::from(!packet.payload.is_empty());
            return;
        }
        match self.timeline.place(now, packet, codec.clock()) {
            Place::At { sequence, at, is_newest } => {
                self.admit(now, packet, codec, (sequence, at, is_newest), counters)
            }
            Place::Unbound => self.bind(now, packet, codec, counters),
            Place::Stray => counters.frames_late += 1,
            Place::Duplicate => {}
        }
    }

    /// A packet with a place on the line: is there still time for it?
    fn admit(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        codec: Codec,
        (sequence, at, is_newest): (i64, Units, bool),
        counters: &mut Counters,
    ) {
        if self.is_idle() {
            self.relocate(now, at);
        }
        if sequence < self.next_sequence {
            counters.frames_late += 1;
            return;
        }
        if at < self.tail - self.made_up() && !self.grow(at) {
            counters.frames_late += 1;
            self.served.lost += 1;
            self.late_run += u32::from(is_newest);
            if self.late_run >= LATE_RUN {
                self.bind(now, packet, codec, counters);
            }
            return;
        }
        self.late_run = 0;
        let arrival = self.arrival(now, at);
        if arrival.slack > JUMP {
            self.ring.clear();
            self.bind(now, packet, codec, counters);
            return;
        }
        // While ticks are overdue, nothing can be told of the network.
        if between(self.next_pull, now) < FRAME / 2 {
            self.delay.follow(now, arrival);
        }
        let coded = Coded { codec, is_anew: false, payload: packet.payload };
        self.store(sequence, at, coded, counters);
    }

    fn store(&mut self, sequence: i64, at: Units, coded: Coded<'_>, counters: &mut Counters) {
        let gone = self.ring.put(sequence, at, coded);
        counters.ring_overflow += gone;
        self.served.lost += gone;
    }

    /// A first packet, or one after which nothing is as before: said as soon as it may be, after what waits.
    fn bind(&mut self, now: Instant, packet: &Packet<'_>, codec: Codec, counters: &mut Counters) {
        let end = self.timeline.end().filter(|_| self.ring.first().is_some());
        let end = end.filter(|end| end - self.head() <= FAREWELL);
        if end.is_none() {
            self.ring.clear();
        }
        let waits = (self.delay.wanted() - between(now, self.next_pull) + FRAME - 1).div_euclid(FRAME).max(0);
        let soonest = (self.head() + waits * FRAME).max(self.tail - self.made_up());
        let soonest = self.wall.place(packet, codec.clock(), soonest).unwrap_or(soonest);
        let at = end.map_or(soonest, |end| end.max(soonest));
        let is_first = !self.timeline.is_bound();
        self.account(Units::MAX, self.timeline.skipped(packet));
        let sequence = self.timeline.bind(now, packet, codec.clock(), at);
        if end.is_none() {
            self.next_sequence = sequence;
        }
        self.late_run = 0;
        self.delay.forget();
        let arrival = self.arrival(now, at);
        self.delay.follow(now, arrival);
        let coded = Coded { codec, is_anew: !is_first, payload: packet.payload };
        self.store(sequence, at, coded, counters);
    }

    /// Nothing is heard and nothing waits: the head may lie anywhere. Where it lay before, if that still serves.
    fn relocate(&mut self, now: Instant, at: Units) {
        let arrival = self.arrival(now, at);
        let wanted = self.delay.wanted();
        let is_late = at < self.tail - self.made_up() || arrival.slack < GUARD;
        if !is_late && arrival.slack <= wanted + FRAME {
            return;
        }
        let waits = (wanted - between(now, self.next_pull) + FRAME - 1).div_euclid(FRAME).max(0);
        let before = self.tail;
        self.tail = at - waits * FRAME + units(self.queue.len(), self.queue.rate());
        self.delay.moved(before - self.tail);
    }

    /// The head goes back for a late packet, whose place was filled with what was made up. False: too far.
    fn grow(&mut self, at: Units) -> bool {
        let late = self.tail - self.made_up() - at;
        if !self.delay.may_grow(late) {
            return false;
        }
        self.tail -= late;
        self.delay.grown(late);
        true
    }

    fn arrival(&self, now: Instant, at: Units) -> Arrival {
        let ahead = at - self.head();
        let offset = ahead.rem_euclid(FRAME);
        Arrival { slack: ahead - offset + between(now, self.next_pull), offset }
    }
}
