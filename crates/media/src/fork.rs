//! Taps on one agent's stream and everybody who listens there; fed after the relay has its output.

use std::time::{Duration, Instant};

use crate::codec::{FRAME, Frame};
use crate::interface::Codec;
use crate::jitter::{Pulled, Pushed, Ring};
use crate::mixer;
use crate::plc::Concealer;
use crate::rtp::Header;

/// After the last packet of an RFC 4733 event its direction stays muted so long, so that no tail of the tone is heard.
const EVENT_TAIL: Duration = Duration::from_millis(60);

/// One direction of a tapped stream.
#[derive(Debug)]
pub struct Tap {
    ring: Ring,
    concealer: Concealer,
    muted_until: Option<Instant>,
}

/// What one direction gave for a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Voice,
    Concealed,
    Silence,
}

impl Tap {
    fn new(limit: usize) -> Self {
        Self { ring: Ring::new(limit), concealer: Concealer::default(), muted_until: None }
    }

    /// Takes an accepted packet of this direction.
    pub fn push(&mut self, now: Instant, header: &Header, codec: Codec, data: &[u8]) -> Pushed {
        self.ring.push(now, header, codec, data)
    }

    /// An RFC 4733 event goes by: nothing of this direction is heard meanwhile.
    pub fn mute(&mut self, now: Instant) {
        self.muted_until = Some(now + EVENT_TAIL);
    }

    fn restart(&mut self) {
        self.ring.restart();
        self.concealer.reset();
    }

    fn pull(&mut self, now: Instant, open: bool, frame: &mut Frame) -> Heard {
        if !open {
            self.restart();
            *frame = [0; FRAME];
            return Heard::Silence;
        }
        let pulled = self.ring.pull(now, frame);
        if self.muted_until.is_some_and(|until| now < until) {
            self.concealer.reset();
            *frame = [0; FRAME];
            return Heard::Silence;
        }
        match pulled {
            Pulled::Voice => {
                self.concealer.good(frame);
                Heard::Voice
            }
            Pulled::Missing => {
                *frame = self.concealer.conceal();
                Heard::Concealed
            }
            Pulled::Nothing => Heard::Silence,
        }
    }
}

/// A mixer on a tapped stream, or the one that is silent. Ticks every 20 ms in its own millisecond.
#[derive(Debug)]
pub struct Fork {
    /// Slot of the tapped stream; `None`: silence for whoever is here.
    pub agent: Option<usize>,
    /// Slots of its listeners.
    pub listeners: Vec<usize>,
    /// 0–19: the millisecond of its tick.
    pub phase: u64,
    /// What the agent sends.
    pub uplink: Tap,
    /// What the agent is sent.
    pub downlink: Tap,
}

/// One tick's mix.
#[derive(Debug)]
pub struct Mixed {
    /// Both directions.
    pub frame: Frame,
    /// At least one direction was really heard.
    pub real: bool,
    /// Directions that were concealed.
    pub concealed: u64,
}

impl Fork {
    /// A fork without listeners.
    #[must_use]
    pub fn new(agent: Option<usize>, phase: u64, limit: usize) -> Self {
        Self { agent, listeners: Vec::new(), phase, uplink: Tap::new(limit), downlink: Tap::new(limit) }
    }

    /// What is waiting is not played: another partner, a long stop.
    pub fn restart(&mut self) {
        self.uplink.restart();
        self.downlink.restart();
    }

    /// Only the downlink starts anew (another partner).
    pub fn restart_downlink(&mut self) {
        self.downlink.restart();
    }

    /// Pulls one frame a side through its gate and adds them.
    pub fn mix(&mut self, now: Instant, uplink_open: bool, downlink_open: bool) -> Mixed {
        let (mut up, mut down) = ([0; FRAME], [0; FRAME]);
        let heard = [self.uplink.pull(now, uplink_open, &mut up), self.downlink.pull(now, downlink_open, &mut down)];
        Mixed {
            frame: mixer::sum(&up, &down),
            real: heard.contains(&Heard::Voice),
            concealed: heard.iter().filter(|h| **h == Heard::Concealed).count() as u64,
        }
    }
}
