//! Fork: a tap on one leg's two directions, fed after the relay has its output, and who listens to it.

use std::time::{Duration, Instant};

use crate::codec::{FRAME_TIME, MAX_FRAME, Pcm};
use crate::interface::{Counters, Settings};
use crate::jitter::{Jitter, SenderClock, Served, rise};
use crate::relay::Sound;
use crate::rtp::{Packet, event_ended};

/// A direction stays mute for so long after an event's end (RFC 4733).
const EVENT_TAIL: Duration = Duration::from_millis(40);
/// The same after a packet of an event that goes on, should its end be lost: updates may be 50 ms apart.
const EVENT_HOLD: Duration = Duration::from_millis(100);
/// A tick is best so long after a packet of one side: what a clean network and the shard's own clock need.
const AFTER_PACKET: Duration = Duration::from_millis(3);

/// A tapped leg. It exists while somebody listens.
#[derive(Debug)]
pub struct Tap {
    /// What the leg's party sends.
    pub up: Direction,
    /// What it is sent.
    pub down: Direction,
    /// Its last tick, and what was heard at it.
    ticked: Option<(Instant, Heard)>,
}

/// Which directions have call audio in their present frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What the leg's party sends.
    pub up: bool,
    /// What it is sent.
    pub down: bool,
}

/// One direction of a tapped leg.
#[derive(Debug)]
pub struct Direction {
    /// The present frame.
    pcm: Pcm,
    jitter: Jitter,
    /// The leg's negotiated direction lets it through.
    is_open: bool,
    /// The sender is silent by intent (comfort noise, an event): no concealment.
    is_soundless: bool,
    muted_until: Option<Instant>,
    was_muted: bool,
    /// When a packet came last.
    arrived: Option<Instant>,
}

impl Tap {
    /// A tap whose first frame is read at `first_tick`.
    #[must_use]
    pub fn new(settings: &Settings, first_tick: Instant) -> Self {
        let direction = || Direction::new(settings.max_ring, first_tick);
        Self { up: direction(), down: direction(), ticked: None }
    }

    /// Both directions' next 20 ms: [`Direction::pcm`] of each. The same again for the same tick, as it comes when a tap
    /// moves to another shard.
    pub fn pull(&mut self, tick: Instant, counters: &mut Counters) -> Heard {
        if let Some((_, heard)) = self.ticked.filter(|(last, _)| *last >= tick) {
            return heard;
        }
        self.up.jitter.beside(self.down.jitter.depth());
        self.down.jitter.beside(self.up.jitter.depth());
        let heard = Heard { up: self.up.pull(tick, counters), down: self.down.pull(tick, counters) };
        self.ticked = Some((tick, heard));
        heard
    }

    /// Passes over ticks that were missed.
    pub fn skip(&mut self, frames: u64) {
        self.up.jitter.skip(frames);
        self.down.jitter.skip(frames);
    }

    /// When its ticks would best come, by when the packets of both sides do: see [`best_tick`].
    #[must_use]
    pub fn best_phase(&self, now: Instant) -> Option<Instant> {
        best_tick(now, [self.up.arrived, self.down.arrived])
    }
}

/// The tick within the next 20 ms at which what both sides last sent waits least, if ticks and packets go on every 20 ms:
/// shortly after the packet of one side, and that one for which the other's has not long been there.
#[must_use]
pub fn best_tick(now: Instant, arrivals: [Option<Instant>; 2]) -> Option<Instant> {
    let sides = || arrivals.into_iter().flatten();
    let waits = |tick: Instant| sides().map(|at| within_frame(at + AFTER_PACKET, tick)).sum::<Duration>();
    let ticks = sides().map(|at| now + within_frame(now, at + AFTER_PACKET));
    ticks.min_by_key(|tick| (waits(*tick), *tick))
}

/// From one instant to the next in another's phase: less than 20 ms.
fn within_frame(from: Instant, phase: Instant) -> Duration {
    let frame = FRAME_TIME.as_nanos();
    let nanos = match phase.checked_duration_since(from) {
        Some(ahead) => ahead.as_nanos() % frame,
        None => (frame - from.saturating_duration_since(phase).as_nanos() % frame) % frame,
    };
    Duration::from_nanos(nanos as u64)
}

impl Direction {
    fn new(max_ring: usize, first_tick: Instant) -> Self {
        Self {
            pcm: Pcm::default(),
            jitter: Jitter::new(max_ring, first_tick),
            is_open: false,
            is_soundless: false,
            muted_until: None,
            was_muted: false,
            arrived: None,
        }
    }

    /// So much interarrival jitter was measured before somebody listened: the first packets wait accordingly.
    pub fn expect(&mut self, jitter_ms: f32) {
        self.jitter.expect(Duration::try_from_secs_f32(jitter_ms / 1000.0).unwrap_or_default());
    }

    /// Opens or shuts the gate. Shut, nothing is kept, so that no backlog plays when it opens again.
    pub fn gate(&mut self, is_open: bool) {
        if self.is_open && !is_open {
            self.start_anew();
        }
        self.is_open = is_open;
    }

    /// Another sender from now on: what the old one said is discarded. An event's muting stays.
    pub fn start_anew(&mut self) {
        self.jitter.stop();
        self.is_soundless = false;
    }

    /// A packet of this direction that was accepted.
    pub(crate) fn feed(
        &mut self,
        now: Instant,
        packet: &Packet<'_>,
        sound: Sound,
        settings: &Settings,
        counters: &mut Counters,
    ) {
        self.arrived = Some(now);
        if !self.is_open {
            return;
        }
        match sound {
            Sound::Coded(codec) => {
                self.is_soundless = false;
                self.jitter.push(now, packet, codec, counters);
                return;
            }
            Sound::Event if !settings.dtmf_to_listener => {
                let hold = if event_ended(packet.payload) == Some(true) { EVENT_TAIL } else { EVENT_HOLD };
                // What waits was said before now, but is heard later.
                self.muted_until = Some(now + self.jitter.lasts() + hold);
            }
            Sound::Noise => {
                self.is_soundless = true;
                self.jitter.push_comfort(now, packet);
                return;
            }
            Sound::Event => {}
            Sound::Unknown => counters.tap_undecodable += 1,
        }
        self.is_soundless = true;
        self.jitter.push_soundless(now, packet);
    }

    /// A sender report of the party that speaks here: see [`SenderClock`].
    pub fn report(&mut self, now: Instant, clock: SenderClock) {
        if self.is_open {
            self.jitter.report(now, clock);
        }
    }

    /// The present frame, at its sender's rate.
    #[must_use]
    pub fn pcm(&self) -> &Pcm {
        &self.pcm
    }

    /// What became of its packets since the tap began.
    #[must_use]
    pub fn served(&self) -> Served {
        self.jitter.served()
    }

    /// The next frame. True: it came, and is heard.
    fn pull(&mut self, tick: Instant, counters: &mut Counters) -> bool {
        let is_muted = self.muted_until.is_some_and(|until| tick < until);
        let was_muted = std::mem::replace(&mut self.was_muted, is_muted);
        let mut ending = [0; MAX_FRAME / 4];
        let seam = self.pcm.rate().frame() / 4;
        if is_muted && !was_muted {
            self.jitter.ending(&mut ending[..seam]);
        }
        let is_quiet = !self.is_open || self.is_soundless;
        let pulled = self.jitter.pull(tick, is_quiet, &mut self.pcm, counters);
        if is_muted {
            let samples = self.pcm.samples_mut();
            samples.fill(0);
            samples.iter_mut().zip(&ending[..seam]).for_each(|(to, from)| *to = *from);
            return false;
        }
        if was_muted {
            rise(self.pcm.samples_mut(), seam);
        }
        self.muted_until = None;
        counters.frames_concealed += u64::from(pulled.concealed);
        pulled.real
    }
}

#[cfg(test)]
mod tests;
