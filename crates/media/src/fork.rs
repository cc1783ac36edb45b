//! Fork: a tap on one leg's two directions, fed after the relay has its output, and who listens to it.

use std::time::{Duration, Instant};

use crate::codec::Pcm;
use crate::interface::{Counters, Settings};
use crate::jitter::Ring;
use crate::plc::Plc;
use crate::relay::Sound;
use crate::rtp::{Packet, event_ended};

/// A direction stays mute for so long after an event's end (RFC 4733).
const EVENT_TAIL: Duration = Duration::from_millis(40);
/// The same after a packet of an event that goes on, should its end be lost: updates may be 50 ms apart.
const EVENT_HOLD: Duration = Duration::from_millis(100);

/// A tapped leg. It exists while somebody listens.
#[derive(Debug)]
pub struct Tap {
    /// What the leg's party sends.
    pub up: Direction,
    /// What it is sent.
    pub down: Direction,
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
    ring: Ring,
    plc: Plc,
    /// The leg's negotiated direction lets it through.
    is_open: bool,
    /// The sender is silent by intent (comfort noise, an event): no concealment.
    is_soundless: bool,
    muted_until: Option<Instant>,
}

impl Tap {
    /// A tap whose first frame is read at `first_tick`.
    #[must_use]
    pub fn new(settings: &Settings, first_tick: Instant) -> Self {
        Self { up: Direction::new(settings.max_ring, first_tick), down: Direction::new(settings.max_ring, first_tick) }
    }

    /// Both directions' next 20 ms: [`Direction::pcm`] of each.
    pub fn pull(&mut self, tick: Instant, counters: &mut Counters) -> Heard {
        Heard { up: self.up.pull(tick, counters), down: self.down.pull(tick, counters) }
    }

    /// Passes over ticks that were missed.
    pub fn skip(&mut self, frames: u64) {
        self.up.ring.skip(frames);
        self.down.ring.skip(frames);
    }
}

impl Direction {
    fn new(max_ring: usize, first_tick: Instant) -> Self {
        Self {
            pcm: Pcm::default(),
            ring: Ring::new(max_ring, first_tick),
            plc: Plc::default(),
            is_open: false,
            is_soundless: false,
            muted_until: None,
        }
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
        self.ring.clear();
        self.plc = Plc::default();
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
        if !self.is_open {
            return;
        }
        match sound {
            Sound::Coded(codec) => {
                self.is_soundless = false;
                self.ring.push(now, packet, codec, counters);
                return;
            }
            Sound::Event if !settings.dtmf_to_listener => {
                let hold = if event_ended(packet.payload) == Some(true) { EVENT_TAIL } else { EVENT_HOLD };
                // What waits in the ring was said before now, but is heard later.
                self.muted_until = Some(now + self.ring.lasts() + hold);
            }
            Sound::Event | Sound::Noise => {}
            Sound::Unknown => counters.tap_undecodable += 1,
        }
        self.is_soundless = true;
        self.ring.push_soundless(now, packet);
    }

    /// The present frame, at its sender's rate.
    #[must_use]
    pub fn pcm(&self) -> &Pcm {
        &self.pcm
    }

    /// The next frame. True: it came, and is heard.
    fn pull(&mut self, tick: Instant, counters: &mut Counters) -> bool {
        let conceal = self.is_open && !self.is_soundless;
        let pulled = self.ring.pull(tick, &mut self.plc, conceal, self.pcm.samples_mut());
        if self.muted_until.is_some_and(|until| tick < until) {
            self.pcm.samples_mut().fill(0);
            return false;
        }
        self.muted_until = None;
        counters.frames_concealed += u64::from(pulled.concealed);
        pulled.real
    }
}
