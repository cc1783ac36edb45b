//! One direction's packets between their arrival and the mixer's tick: kept encoded, decoded in their order when a tick
//! needs them, and never sooner or later than the network asks for.
//!
//! Read `time` first, then `timeline` (where a packet belongs), `delay` (how long it waits), `ring` and `queue` (before and
//! after decoding), `voice` (decoding and concealment), `playout` (what a tick does), `pitch` (where a clock's drift is made
//! up for) and `wall` (what sender reports add).
//!
//! What is heard lies on one line. `tail` is where the queue ends on it, `head` where it begins: the next sample that a
//! tick reads. Whatever makes the head go back makes the delay grow.

mod delay;
mod pitch;
mod playout;
mod queue;
mod ring;
#[cfg(test)]
mod tests;
mod time;
mod timeline;
mod voice;
mod wall;

use std::time::{Duration, Instant};

use self::delay::{Arrival, Delay, GUARD, JUMP};
use self::queue::{Queue, seam};
use self::ring::{Coded, Ring};
use self::time::{FRAME, Units, between, of, units};
use self::timeline::{Place, Timeline};
use self::voice::Voice;
pub(crate) use self::voice::rise;
pub use self::wall::SenderClock;
use self::wall::Wall;
use crate::codec::MAX_FRAME;
use crate::interface::{Codec, Counters};
use crate::level::Meter;
use crate::noise::Comfort;
use crate::rtp::Packet;

/// Longest payload taken: 160 ms of G.711; Opus has 120 ms in 1,275 bytes a frame of 20 ms at most.
pub const MAX_PAYLOAD: usize = 1_280;
/// So many packets in a row too late: the network's delay has changed, bound anew.
const LATE_RUN: u32 = 10;
/// When another source begins, what waits of the one before is still said, if it is no longer than this.
const FAREWELL: Units = 3 * FRAME;

/// One direction's packets and their sound.
#[derive(Debug)]
pub struct Jitter {
    timeline: Timeline,
    ring: Ring,
    queue: Queue,
    voice: Voice,
    delay: Delay,
    meter: Meter,
    wall: Wall,
    /// When the next frame is read.
    next_pull: Instant,
    /// Where the queue ends.
    tail: Units,
    /// Of the packet that is decoded next, if none is lost.
    next_sequence: i64,
    late_run: u32,
    /// Where packets were first missing, and how much was made up for them since.
    missing: Option<Missing>,
    served: Served,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    from: Units,
    made_up: Units,
}

/// What became of a direction's packets, since it was tapped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Served {
    /// Stretches in which packets were late or lost.
    pub gaps: u32,
    /// Packets that did not come in time, or not at all.
    pub lost: u64,
    /// What was made up for them.
    pub concealed: Duration,
    /// Interarrival jitter (RFC 3550 A.8).
    pub jitter_ms: f32,
}

/// What a frame was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Some of it came.
    pub real: bool,
    /// Some of it is concealed.
    pub concealed: bool,
}

impl Jitter {
    /// For so many packets at most; the first frame is read at `next_pull`.
    #[must_use]
    pub fn new(max_packets: usize, next_pull: Instant) -> Self {
        Self {
            timeline: Timeline::default(),
            ring: Ring::new(max_packets),
            queue: Queue::new(),
            voice: Voice::new(),
            delay: Delay::new(),
            meter: Meter::default(),
            wall: Wall::default(),
            next_pull,
            tail: 0,
            next_sequence: 0,
            late_run: 0,
            missing: None,
            served: Served::default(),
        }
    }

    /// So much jitter is to be expected from the first packet on.
    pub fn expect(&mut self, jitter: Duration) {
        self.delay.expect(of(jitter));
    }

    /// What became of its packets.
    #[must_use]
    pub fn served(&self) -> Served {
        Served { jitter_ms: self.timeline.jitter_ms(), ..self.served }
    }

    /// How long its earliest packets wait for their tick; `None`: not known yet.
    #[must_use]
    pub fn depth(&self) -> Option<Duration> {
        self.delay.depth().map(time::duration)
    }

    /// How long those of the other side do: neither is heard much sooner than the other.
    pub fn beside(&mut self, other: Option<Duration>) {
        self.delay.beside(other.map(of));
    }

    /// How long what it holds still lasts.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        let end = self.timeline.end().filter(|_| self.ring.first().is_some()).unwrap_or(self.tail);
        time::duration((end - self.head()).clamp(0, JUMP))
    }

    /// Forgets what it holds, and whose it was: the next packet is a first one. What was heard dies away.
    pub fn stop(&mut self) {
        let rate = self.queue.rate();
        let mut ending = [0; MAX_FRAME / 4];
        let ending = &mut ending[..seam(rate)];
        let is_heard = !self.voice.is_silent();
        self.voice.ending(&self.queue, ending);
        let head = self.head();
        self.ring.clear();
        self.queue.clear();
        self.voice = Voice::new();
        self.timeline.unbind();
        self.wall = Wall::default();
        self.delay.forget();
        (self.tail, self.missing, self.late_run) = (head, None, 0);
        if is_heard {
            self.queue.room()[..ending.len()].copy_from_slice(ending);
            self.queue.add_made_up(ending.len());
            self.tail += units(ending.len(), rate);
        }
    }

    /// How what is heard dies away, as long as `out`, if nothing more is to be heard. It goes on unheard.
    pub(crate) fn ending(&mut self, out: &mut [i16]) {
        self.voice.ending(&self.queue, out);
    }

    /// A packet without sound (an event): only its sequence number counts.
    pub fn push_soundless(&mut self, now: Instant, packet: &Packet<'_>) {
        self.timeline.pass(now, packet);
    }

    /// The room of a sender that falls silent (RFC 3389): heard when all that waits has been said, until it speaks again.
    pub fn push_comfort(&mut self, now: Instant, packet: &Packet<'_>) {
        if let (Some(sequence), Some(comfort)) = (self.timeline.pass(now, packet), Comfort::parse(packet.payload)) {
            self.voice.comfort(sequence, comfort);
        }
    }

    /// A sender report (RFC 3550 §6.4.1) of the party that speaks here.
    pub fn report(&mut self, now: Instant, clock: SenderClock) {
        if let Some(late) = self.wall.note(clock, &self.timeline) {
            // Another source, which was placed by its first packet: now it is known how much sooner it should be.
            self.delay.owe(now, -late);
        }
    }

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

    /// Nothing waits and nothing was heard lately.
    fn is_idle(&self) -> bool {
        self.ring.first().is_none() && self.voice.is_silent()
    }

    fn head(&self) -> Units {
        self.tail - units(self.queue.len(), self.queue.rate())
    }

    fn made_up(&self) -> Units {
        units(self.queue.made_up(), self.queue.rate())
    }
}
