//! One direction's packets between their arrival and the mixer's tick: kept encoded, decoded in their order when a tick
//! needs them, and never sooner or later than the network asks for.
//!
//! Read `time` first, then `timeline` (where a packet belongs), `admission` (whether it came in time), `delay` (how long it
//! waits), `ring` and `queue` (before and after decoding), `voice` (decoding and concealment), `playout` (what a tick does),
//! `pitch` (where a clock's drift is made up for) and `wall` (what sender reports add).
//!
//! What is heard lies on one line. `tail` is where the queue ends on it, `head` where it begins: the next sample that a
//! tick reads. Whatever makes the head go back makes the delay grow.

mod admission;
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

use self::delay::{Delay, JUMP};
use self::queue::{Queue, seam};
use self::ring::Ring;
use self::time::{Units, of, units};
use self::timeline::Timeline;
use self::voice::Voice;
pub(crate) use self::voice::rise;
pub use self::wall::SenderClock;
use self::wall::Wall;
use crate::codec::MAX_FRAME;
use crate::level::Meter;
use crate::noise::Comfort;
use crate::rtp::Packet;

/// Longest payload taken: 160 ms of G.711; Opus has 120 ms in 1,275 bytes a frame of 20 ms at most.
pub const MAX_PAYLOAD: usize = 1_280;

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
