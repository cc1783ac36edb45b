//! Where a packet belongs: 16-bit sequence numbers and 32-bit time stamps of any source on one line of our own.
//!
//! Another source, a time stamp that jumps or a sequence that begins anew only bind the line to other numbers: what was
//! heard so far stays where it is.

use std::time::{Duration, Instant};

use super::time::{MS, Units, of};
use crate::rtp::Packet;

/// Without packets for so long, the next one is bound anew.
const LONG_GAP: Duration = Duration::from_millis(500);
/// Further back than the last so many, nobody knows whether a packet came before.
const KNOWN: i64 = 63;

/// See above.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    binding: Option<Binding>,
    jitter: Jitter,
}

#[derive(Debug)]
struct Binding {
    ssrc: u32,
    clock: u32,
    newest: Newest,
    /// Bit n: the packet n before the newest has come.
    seen: u64,
    arrived: Instant,
    /// From one packet to the next.
    spacing: Units,
    /// The newest was without sound.
    is_passed: bool,
    /// What would follow the last packet that was out of all order.
    restart: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: i64,
    at: Units,
    timestamp: u32,
}

/// Interarrival jitter (RFC 3550 A.8).
#[derive(Debug, Default)]
struct Jitter {
    before: Option<(Instant, u32)>,
    units: f32,
}

/// What a packet is by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    At {
        sequence: i64,
        at: Units,
        /// None came later yet.
        is_newest: bool,
    },
    /// It came before.
    Duplicate,
    /// Out of all order; alone, it is a stray one.
    Stray,
    /// To be bound anew: [`Timeline::bind`].
    Unbound,
}

impl Timeline {
    pub(super) fn unbind(&mut self) {
        self.binding = None;
        self.jitter.before = None;
    }

    pub(super) fn is_bound(&self) -> bool {
        self.binding.is_some()
    }

    /// The source that it is bound to.
    pub(super) fn ssrc(&self) -> Option<u32> {
        self.binding.as_ref().map(|binding| binding.ssrc)
    }

    /// Where the newest packet ends, by the spacing of those before it.
    pub(super) fn end(&self) -> Option<Units> {
        self.binding.as_ref().map(|binding| binding.newest.at + binding.spacing)
    }

    /// From one packet to the next; 20 ms until that is known.
    pub(super) fn spacing(&self) -> Units {
        self.binding.as_ref().map_or(super::time::FRAME, |binding| binding.spacing)
    }

    pub(super) fn jitter_ms(&self) -> f32 {
        self.jitter.units / MS as f32
    }

    /// A time stamp of the source that it is bound to, on the line.
    pub(super) fn position(&self, timestamp: u32) -> Option<Units> {
        self.binding.as_ref().map(|binding| binding.position(timestamp))
    }

    /// A packet with sound, whose time stamp runs at `clock`.
    pub(super) fn place(&mut self, now: Instant, packet: &Packet<'_>, clock: u32) -> Place {
        self.jitter.note(now, packet.timestamp, clock);
        let Some(binding) = self.bound_to(packet.ssrc).filter(|binding| binding.is_as_before(now, clock)) else {
            return Place::Unbound;
        };
        let (sequence, place) = binding.order(packet.sequence);
        let Some(is_newest) = place else { return sequence };
        let at = binding.position(packet.timestamp);
        let Place::At { sequence, .. } = sequence else { return sequence };
        binding.arrived = now;
        if is_newest {
            let (step, packets) = (at - binding.newest.at, sequence - binding.newest.sequence);
            if step < 0 {
                return Place::Unbound;
            }
            if packets == 1 && !binding.is_passed && (1..=120 * MS).contains(&step) {
                binding.spacing = step;
            }
            binding.is_passed = false;
            binding.newest = Newest { sequence, at, timestamp: packet.timestamp };
        }
        Place::At { sequence, at, is_newest }
    }

    /// A packet without sound: only its sequence number counts. What that is; `None`: it came before, or never mind.
    pub(super) fn pass(&mut self, now: Instant, packet: &Packet<'_>) -> Option<i64> {
        let Some(binding) = self.bound_to(packet.ssrc) else { return Some(i64::MIN) };
        let (Place::At { sequence, .. }, is_newest) = binding.order(packet.sequence) else { return None };
        binding.arrived = now;
        if is_newest == Some(true) {
            (binding.newest.sequence, binding.is_passed) = (sequence, true);
        }
        Some(sequence)
    }

    /// How many packets from one to before another did not come, not even without sound.
    pub(super) fn unseen(&self, from: i64, to: i64) -> i64 {
        let Some(binding) = &self.binding else { return 0 };
        let is_seen = |sequence: i64| {
            let back = u32::try_from(binding.newest.sequence - sequence).ok();
            back.and_then(|back| binding.seen.checked_shr(back)).is_some_and(|seen| seen & 1 == 1)
        };
        let known = from.max(to - KNOWN);
        (known - from).max(0) + (known..to).filter(|sequence| !is_seen(*sequence)).count() as i64
    }

    /// Packets of the same source between its newest and this one.
    pub(super) fn skipped(&self, packet: &Packet<'_>) -> i64 {
        let Some(binding) = self.binding.as_ref().filter(|binding| binding.ssrc == packet.ssrc) else { return 0 };
        let step = packet.sequence.wrapping_sub(binding.newest.sequence as u16);
        if (1..3000).contains(&step) { i64::from(step) - 1 } else { 0 }
    }

    /// Binds the line to a packet, which belongs at `at`: its sequence number there.
    pub(super) fn bind(&mut self, now: Instant, packet: &Packet<'_>, clock: u32, at: Units) -> i64 {
        let (before, spacing) = (self.binding.as_ref().map(|binding| binding.newest.sequence), self.spacing());
        // The low half is the packet's own number, somewhere above all before it.
        let above = before.map_or(0, |before| ((before >> 16) + 2) << 16);
        let sequence = above + i64::from(packet.sequence);
        let newest = Newest { sequence, at, timestamp: packet.timestamp };
        let (ssrc, arrived, is_passed) = (packet.ssrc, now, false);
        self.jitter.before = Some((now, packet.timestamp));
        self.binding = Some(Binding { ssrc, clock, newest, seen: 1, arrived, spacing, is_passed, restart: None });
        sequence
    }

    fn bound_to(&mut self, ssrc: u32) -> Option<&mut Binding> {
        self.binding.as_mut().filter(|binding| binding.ssrc == ssrc)
    }
}

impl Binding {
    fn is_as_before(&self, now: Instant, clock: u32) -> bool {
        self.clock == clock && now.saturating_duration_since(self.arrived) <= LONG_GAP
    }

    fn position(&self, timestamp: u32) -> Units {
        let step = timestamp.wrapping_sub(self.newest.timestamp) as i32;
        self.newest.at + Units::from(step) * (48_000 / Units::from(self.clock.max(1)))
    }

    /// Where a sequence number lies, and whether it is the newest; or what else it is.
    fn order(&mut self, sequence: u16) -> (Place, Option<bool>) {
        let step = i64::from(sequence.wrapping_sub(self.newest.sequence as u16) as i16);
        if !(-KNOWN..3000).contains(&step) {
            let restarts = self.restart == Some(sequence);
            self.restart = Some(sequence.wrapping_add(1));
            return (if restarts { Place::Unbound } else { Place::Stray }, None);
        }
        self.restart = None;
        let place = Place::At { sequence: self.newest.sequence + step, at: 0, is_newest: step > 0 };
        if step > 0 {
            self.seen = self.seen.checked_shl(step.unsigned_abs() as u32).unwrap_or(0) | 1;
            return (place, Some(true));
        }
        let bit = 1_u64.checked_shl(step.unsigned_abs() as u32).unwrap_or(0);
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        if is_new { (place, Some(false)) } else { (Place::Duplicate, None) }
    }
}

impl Jitter {
    fn note(&mut self, now: Instant, timestamp: u32, clock: u32) {
        if let Some((arrived, before)) = self.before.replace((now, timestamp)) {
            let step = timestamp.wrapping_sub(before) as i32;
            let sent = Units::from(step) * (48_000 / Units::from(clock.max(1)));
            let deviation = (of(now.saturating_duration_since(arrived)) - sent).abs();
            // A time stamp that begins anew, and a pause, are no jitter.
            if deviation < 500 * MS {
                self.units += (deviation as f32 - self.units) / 16.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::time::FRAME;
    use super::*;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Packet<'static> {
        Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: &[0; 160] }
    }

    struct Line(Timeline, Instant);

    impl Line {
        /// Bound to a packet shortly before both numbers roll over.
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin")]
            let now = Instant::now();
            let mut line = Timeline::default();
            assert_eq!(line.place(now, &packet(1, 65_534, u32::MAX - 159), 8000), Place::Unbound);
            line.bind(now, &packet(1, 65_534, u32::MAX - 159), 8000, 0);
            Self(line, now)
        }

        fn place(&mut self, sequence: u16, timestamp: u32) -> Place {
            self.0.place(self.1, &packet(1, sequence, timestamp), 8000)
        }
    }

    fn at(sequence: i64, frames: i64, is_newest: bool) -> Place {
        Place::At { sequence, at: frames * FRAME, is_newest }
    }

    #[test]
    fn numbers_go_on_over_their_roll_over() {
        let mut line = Line::new();
        assert_eq!(line.place(65_535, 0), at(65_535, 1, true));
        assert_eq!(line.place(1, 320), at(65_537, 3, true));
        assert_eq!(line.place(0, 160), at(65_536, 2, false));
        assert_eq!(line.place(0, 160), Place::Duplicate);
        assert_eq!(line.0.unseen(65_534, 65_538), 0);
        assert_eq!(line.place(5, 960), at(65_541, 7, true));
        assert_eq!(line.0.unseen(65_534, 65_541), 3);
        assert_eq!(line.0.end(), Some(8 * FRAME));
    }

    #[test]
    fn packets_without_sound_only_count() {
        let mut line = Line::new();
        assert_eq!(line.0.pass(line.1, &packet(1, 65_535, 0)), Some(65_535));
        assert_eq!(line.0.pass(line.1, &packet(1, 65_535, 0)), None);
        assert_eq!(line.place(0, 1600), at(65_536, 11, true));
        assert_eq!((line.0.unseen(65_534, 65_536), line.0.spacing()), (0, FRAME));
    }

    #[test]
    fn a_stray_packet_is_left_out_and_two_in_a_row_are_a_new_beginning() {
        let mut line = Line::new();
        assert_eq!(line.place(30_000, 5), Place::Stray);
        assert_eq!(line.place(65_535, 0), at(65_535, 1, true));
        assert_eq!((line.place(30_001, 165), line.place(30_002, 325)), (Place::Stray, Place::Unbound));
    }

    #[test]
    fn what_makes_no_sense_is_bound_anew() {
        let mut line = Line::new();
        assert_eq!(line.0.place(line.1, &packet(2, 65_535, 0), 8000), Place::Unbound, "another source");
        assert_eq!(line.0.place(line.1, &packet(1, 65_535, 0), 48_000), Place::Unbound, "another clock");
        assert_eq!(line.0.place(line.1 + LONG_GAP * 2, &packet(1, 65_535, 0), 8000), Place::Unbound, "a long gap");
        assert_eq!(line.place(65_535, u32::MAX - 500), Place::Unbound, "a time stamp that goes back");
    }

    #[test]
    fn jitter_follows_the_formula() {
        let mut line = Line::new();
        line.1 += Duration::from_millis(36);
        line.place(65_535, 0);
        line.1 += Duration::from_millis(4);
        line.place(0, 160);
        let expected = 1.0 + (16.0 - 1.0) / 16.0;
        assert!((line.0.jitter_ms() - expected).abs() < 0.01, "{}", line.0.jitter_ms());
    }
}
