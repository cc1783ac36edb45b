//! Jitter ring: one direction's packets between their arrival and the mixer's tick.
//!
//! The ring belongs to a direction, not to an SSRC: another source, a jump of the time stamp or a long gap only anchor
//! it anew. Positions are samples on the sender's clock. A packet's *slack* is the time by which it came before the
//! tick that reads its first sample: the earliest ones set the delay, the latest ones may not fall below zero. Since
//! ticks read whole frames, the delay changes by frames.

use std::time::{Duration, Instant};

use crate::codec::{FRAME, FRAME_TIME};
use crate::interface::{Codec, Counters};
use crate::plc::{Plc, blend};
use crate::rtp::Packet;

const MS: i64 = 8; // samples
/// A frame, as a step of the delay.
const STEP: i64 = FRAME as i64;
/// Least slack of the first packet: 20 ms, which with the frame that a tick reads makes a depth of 40 ms.
const SLACK_START: i64 = 20 * MS;
/// The delay shrinks by a frame if the latest packet of a second still has so much slack afterwards.
const SLACK_GUARD: i64 = 4 * MS;
/// It grows by a frame if the latest has less than this: the sender's clock may be slower than ours.
const SLACK_SCARCE: i64 = MS;
/// The delay grows for late packets until the earliest ones wait so long: a depth of 120 ms.
const SLACK_MAX: i64 = 100 * MS;
/// More than that is a backlog or a jump of the time stamp: anchored anew.
const SLACK_JUMP: i64 = 160 * MS;
/// The delay follows the network once in such a window.
const WINDOW: Duration = Duration::from_secs(1);
/// So many windows in a row with a frame to spare, before the delay shrinks by it.
const CALM: u32 = 2;
/// So many frames to spare are a backlog, and go at once.
const BACKLOG: i64 = 3 * STEP;
/// Without packets for so long, the next one anchors anew.
const LONG_GAP: Duration = Duration::from_millis(500);
/// So many packets in a row too late: the network's delay has changed, anchored anew.
const LATE_RUN: u32 = 10;
/// Already read samples are kept for so long, for a delay that grows.
const KEPT: i64 = 20 * MS;
/// Samples over which a change of the delay is blended.
const BLEND: usize = 80;
/// Longest payload taken: 160 ms.
pub const MAX_PAYLOAD: usize = 8 * FRAME;

/// One direction's ring.
#[derive(Debug)]
pub struct Ring {
    slots: Vec<Slot>,
    anchor: Option<Anchor>,
    /// When the next frame is read.
    next_pull: Instant,
}

/// Up to 20 ms of one packet, still encoded.
#[derive(Debug)]
struct Slot {
    at: i64,
    length: usize,
    codec: Codec,
    data: [u8; FRAME],
}

/// How the sender's clock and ours lie to each other.
#[derive(Debug)]
struct Anchor {
    ssrc: u32,
    /// The next sample that is read.
    head: i64,
    newest_at: i64,
    newest_sequence: u16,
    /// Bit n: the packet n before the newest has come.
    seen: u64,
    arrived: Instant,
    late_run: u32,
    window: Window,
}

/// Slack of a second's packets.
#[derive(Debug)]
struct Window {
    since: Instant,
    slack_min: i64,
    slack_max: i64,
    /// Of the window before.
    slack_max_before: i64,
    calm: u32,
    /// The head moves so far at the next tick.
    shift: i64,
}

/// What a frame was made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Some of it came.
    pub real: bool,
    /// Some of it is concealed.
    pub concealed: bool,
}

impl Ring {
    /// For so many packets of 20 ms at most; the first frame is read at `next_pull`.
    #[must_use]
    pub fn new(capacity: usize, next_pull: Instant) -> Self {
        Self { slots: Vec::with_capacity(capacity.max(1)), anchor: None, next_pull }
    }

    /// Forgets what it holds: the next packet is a first one.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.anchor = None;
    }

    /// How long what it holds still lasts.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        let samples = self.anchor.as_ref().map_or(0, |anchor| anchor.newest_at + FRAME as i64 - anchor.head);
        Duration::from_micros(samples.clamp(0, SLACK_JUMP) as u64 * 125)
    }

    /// A packet without sound (comfort noise, an event): only its sequence number counts.
    pub fn push_soundless(&mut self, now: Instant, packet: &Packet<'_>) {
        if let Some(anchor) = self.anchor.as_mut().filter(|anchor| anchor.ssrc == packet.ssrc) {
            anchor.is_new(packet.sequence);
            anchor.arrived = now;
        }
    }

    /// A packet that came.
    pub fn push(&mut self, now: Instant, packet: &Packet<'_>, codec: Codec, counters: &mut Counters) {
        if packet.payload.is_empty() || packet.payload.len() > MAX_PAYLOAD {
            counters.tap_undecodable += u64::from(!packet.payload.is_empty());
            return;
        }
        let until_pull = samples_between(now, self.next_pull);
        let known = self.anchor.as_mut().filter(|anchor| anchor.ssrc == packet.ssrc && !anchor.has_gap(now));
        let at = match known.map(|anchor| anchor.place(packet, until_pull)) {
            Some(Place::At(at)) => at,
            Some(Place::Duplicate) => return,
            Some(Place::Late) => {
                counters.frames_late += 1;
                return;
            }
            Some(Place::Jump) | None => self.anchor_at(now, packet, until_pull),
        };
        if let Some(anchor) = &mut self.anchor {
            anchor.arrived = now;
            anchor.window.follow(now, anchor.slack(at, until_pull));
        }
        self.store(at, packet.payload, codec, counters);
    }

    /// The next frame, at its tick.
    pub fn pull(&mut self, tick: Instant, plc: &mut Plc, conceal: bool, frame: &mut [i16]) -> Pulled {
        self.next_pull = tick + FRAME_TIME;
        let shift = self.anchor.as_mut().map_or(0, |anchor| std::mem::take(&mut anchor.window.shift));
        let mut before = [0; BLEND];
        let blended = shift != 0 && self.read(0, &mut before) == Run::Here(BLEND);
        if let Some(anchor) = &mut self.anchor {
            anchor.head += shift;
        }
        let mut pulled = Pulled::default();
        let mut done = 0;
        while let Some(rest) = frame.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read(done, rest) {
                Run::Here(length) => {
                    let samples = &mut rest[..length];
                    if blended && done == 0 {
                        samples
                            .iter_mut()
                            .zip(before)
                            .enumerate()
                            .for_each(|(n, (new, old))| *new = blend(old, *new, n + 1, BLEND));
                    }
                    plc.heard(samples);
                    pulled.real = true;
                    done += length;
                }
                Run::Missing(length) => {
                    let samples = &mut rest[..length];
                    pulled.concealed |= plc.conceal(samples) && conceal;
                    if !conceal {
                        samples.fill(0);
                    }
                    done += length;
                }
            }
        }
        self.advance(1);
        pulled
    }

    /// Ticks that nobody hears: their samples are passed over.
    pub fn skip(&mut self, frames: u64) {
        self.advance(frames.min(u64::from(u32::MAX)) as i64);
    }

    fn advance(&mut self, frames: i64) {
        if let Some(anchor) = &mut self.anchor {
            anchor.head += frames * FRAME as i64;
            let kept = anchor.head - KEPT;
            self.slots.retain(|slot| slot.at + slot.length as i64 > kept);
        }
    }

    /// The longest run from `offset` after the head that either came or did not; what came is decoded into `out`.
    fn read(&self, offset: usize, out: &mut [i16]) -> Run {
        let Some(anchor) = &self.anchor else { return Run::Missing(out.len()) };
        let from = anchor.head + offset as i64;
        let mut here = 0;
        while let Some(length) = self.read_slot(from + here as i64, &mut out[here..]) {
            here += length;
        }
        if here > 0 {
            return Run::Here(here);
        }
        let next = self.slots.iter().map(|slot| slot.at - from).filter(|ahead| *ahead > 0).min();
        Run::Missing(next.map_or(out.len(), |ahead| out.len().min(ahead as usize)))
    }

    /// What one slot has from a position on.
    fn read_slot(&self, from: i64, out: &mut [i16]) -> Option<usize> {
        if out.is_empty() {
            return None;
        }
        let slot = self.slots.iter().find(|slot| (0..slot.length as i64).contains(&(from - slot.at)))?;
        let samples = slot.data.get((from - slot.at) as usize..slot.length)?;
        slot.codec.decode(samples, out);
        Some(samples.len().min(out.len()))
    }

    fn anchor_at(&mut self, now: Instant, packet: &Packet<'_>, until_pull: i64) -> i64 {
        self.slots.clear();
        let at = i64::from(packet.timestamp);
        let waits = (SLACK_START - until_pull + STEP - 1).div_euclid(STEP).max(0);
        self.anchor = Some(Anchor {
            ssrc: packet.ssrc,
            head: at - waits * STEP,
            newest_at: at,
            newest_sequence: packet.sequence,
            seen: 1,
            arrived: now,
            late_run: 0,
            window: Window::new(now),
        });
        at
    }

    fn store(&mut self, mut at: i64, payload: &[u8], codec: Codec, counters: &mut Counters) {
        for piece in payload.chunks(FRAME) {
            if self.slots.len() == self.slots.capacity() {
                counters.ring_overflow += 1;
                let oldest = self.slots.iter().enumerate().min_by_key(|(_, slot)| slot.at).map(|(n, _)| n);
                oldest.map(|n| self.slots.swap_remove(n));
            }
            let mut data = [0; FRAME];
            data.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            self.slots.push(Slot { at, length: piece.len(), codec, data });
            at += piece.len() as i64;
        }
    }
}

/// A stretch of samples.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    Here(usize),
    Missing(usize),
}

/// Where a packet belongs.
enum Place {
    At(i64),
    Duplicate,
    Late,
    Jump,
}

impl Anchor {
    fn has_gap(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.arrived) > LONG_GAP
    }

    fn place(&mut self, packet: &Packet<'_>, until_pull: i64) -> Place {
        let is_newest = packet.sequence.wrapping_sub(self.newest_sequence) as i16 > 0;
        let Some(new) = self.is_new(packet.sequence) else { return self.late() };
        if !new {
            return Place::Duplicate;
        }
        let step = packet.timestamp.wrapping_sub(self.newest_at as u32) as i32;
        let at = self.newest_at + i64::from(step);
        if is_newest && step < 0 {
            return Place::Jump;
        }
        let slack = self.slack(at, until_pull);
        if slack > SLACK_JUMP {
            return Place::Jump;
        }
        if slack < 0 {
            let growth = (STEP - 1 - slack) / STEP * STEP;
            if self.window.slack_max.max(self.window.slack_max_before) + growth > SLACK_MAX {
                return self.late();
            }
            self.head -= growth;
            self.window.moved(-growth);
        }
        self.late_run = 0;
        self.newest_at = self.newest_at.max(at);
        Place::At(at)
    }

    /// By how much a packet comes before the tick that reads its first sample.
    fn slack(&self, at: i64, until_pull: i64) -> i64 {
        (at - self.head).div_euclid(STEP) * STEP + until_pull
    }

    /// Whether a sequence number was not seen yet; `None`: too old to tell.
    fn is_new(&mut self, sequence: u16) -> Option<bool> {
        let step = sequence.wrapping_sub(self.newest_sequence) as i16;
        if step > 0 {
            self.newest_sequence = sequence;
            self.seen = self.seen.checked_shl(step.unsigned_abs().into()).unwrap_or(0) | 1;
            return Some(true);
        }
        let bit = 1_u64.checked_shl(step.unsigned_abs().into())?;
        let new = self.seen & bit == 0;
        self.seen |= bit;
        Some(new)
    }

    fn late(&mut self) -> Place {
        self.late_run += 1;
        if self.late_run >= LATE_RUN { Place::Jump } else { Place::Late }
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { since: now, slack_min: i64::MAX, slack_max: 0, slack_max_before: 0, calm: 0, shift: 0 }
    }

    /// The head was moved by so much.
    fn moved(&mut self, by: i64) {
        self.slack_min = self.slack_min.saturating_sub(by);
        self.slack_max -= by;
        self.slack_max_before -= by;
        self.calm = 0;
    }

    /// Takes a packet's slack; at the window's end, the delay loses what nobody needed, or grows before anybody is late.
    fn follow(&mut self, now: Instant, slack: i64) {
        self.slack_min = self.slack_min.min(slack);
        self.slack_max = self.slack_max.max(slack);
        if now.saturating_duration_since(self.since) < WINDOW || self.shift != 0 {
            return;
        }
        let spare = (self.slack_min - SLACK_GUARD).max(0) / STEP * STEP;
        let calm = if spare > 0 { self.calm + 1 } else { 0 };
        let shift = match spare {
            0 if self.slack_min < SLACK_SCARCE => -STEP,
            spare if spare >= BACKLOG || calm >= CALM => spare,
            _ => 0,
        };
        *self =
            Self { since: now, slack_min: i64::MAX, slack_max: slack, slack_max_before: self.slack_max, calm, shift };
        if shift != 0 {
            self.moved(shift);
        }
    }
}

/// From one instant to a later one, in samples; negative if it has passed.
fn samples_between(from: Instant, to: Instant) -> i64 {
    let samples = |duration: Duration| (duration.as_micros() / 125).min(1 << 40) as i64;
    match to.checked_duration_since(from) {
        Some(ahead) => samples(ahead),
        None => -samples(from.saturating_duration_since(to)),
    }
}
