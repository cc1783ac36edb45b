//! The mixer's clock: 20 phases of 1 ms, absolute deadlines. It knows who is due when, and nothing else.

use std::time::{Duration, Instant};

/// Phases of a 20 ms frame.
pub(super) use crate::mixer::PHASES;

/// Ticks that are later than this are passed over, not made up for in a burst: three frames.
const CATCH_UP_MS: u64 = 60;

#[derive(Debug, Default)]
pub(super) struct Beat {
    epoch: Option<Instant>,
    /// The next millisecond to run.
    next_ms: u64,
    phases: [Phase; PHASES],
    /// Listeners in all phases.
    seats: usize,
}

/// Who is due in a phase (slab indices).
#[derive(Debug, Default)]
pub(super) struct Phase {
    pub(super) taps: Vec<usize>,
    /// Listeners without a tap.
    pub(super) alone: Vec<usize>,
    /// Listeners in all.
    load: usize,
}

impl Beat {
    /// The clock begins with the first command. A newcomer's first tick lies ahead, not where nobody was due.
    pub(super) fn begin(&mut self, now: Instant) {
        self.epoch.get_or_insert(now);
        let now_ms = self.now_ms(now);
        if self.next_due().is_none_or(|ms| ms > now_ms) {
            self.next_ms = self.next_ms.max(now_ms);
        }
    }

    /// The instant of a millisecond, and its distance from the beginning.
    pub(super) fn instant(&self, ms: u64) -> (Instant, Duration) {
        let elapsed = Duration::from_millis(ms);
        let epoch = self.epoch.expect("set by the first command, before which nothing is due");
        (epoch + elapsed, elapsed)
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        self.epoch.map_or(Duration::ZERO, |epoch| now.saturating_duration_since(epoch))
    }

    pub(super) fn phase(&self, ms: u64) -> &Phase {
        &self.phases[(ms % PHASES as u64) as usize]
    }

    pub(super) fn phase_mut(&mut self, phase: usize) -> &mut Phase {
        &mut self.phases[phase % PHASES]
    }

    /// The next tick of a phase,
    pub(super) fn next_of(&self, phase: usize) -> Instant {
        self.instant(self.next_ms_of(phase)).0
    }

    /// and its millisecond.
    pub(super) fn next_ms_of(&self, phase: usize) -> u64 {
        let ahead = (phase as u64 + PHASES as u64 - self.next_ms % PHASES as u64) % PHASES as u64;
        self.next_ms + ahead
    }

    /// When the next tick may be.
    pub(super) fn soon(&self) -> Instant {
        self.instant(self.next_ms).0
    }

    /// The phase that ticks at an instant, or just after it.
    pub(super) fn phase_of(&self, at: Instant) -> usize {
        (self.elapsed(at).as_micros().div_ceil(1_000) % PHASES as u128) as usize
    }

    /// A phase for a new listener: the least loaded, the soonest of those.
    pub(super) fn choose(&self) -> usize {
        let soonest = self.next_ms..self.next_ms + PHASES as u64;
        soonest.map(|ms| (ms % PHASES as u64) as usize).min_by_key(|phase| self.phases[*phase].load).unwrap_or(0)
    }

    /// The next tick at which somebody is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next_due().map(|ms| self.instant(ms).0)
    }

    /// Takes the next tick that is due by now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<u64> {
        let ms = self.next_due().filter(|ms| *ms <= self.now_ms(now))?;
        self.next_ms = ms + 1;
        Some(ms)
    }

    /// Passes over what lies too far back, but for the last round. Returns the rounds passed over.
    pub(super) fn catch_up(&mut self, now: Instant) -> u64 {
        let last_round = (self.now_ms(now) + 1).saturating_sub(PHASES as u64);
        if self.next_due().is_none() || self.now_ms(now) <= self.next_ms + CATCH_UP_MS {
            return 0;
        }
        let rounds = (last_round - self.next_ms) / PHASES as u64;
        self.next_ms = last_round;
        rounds
    }

    fn now_ms(&self, now: Instant) -> u64 {
        u64::try_from(self.elapsed(now).as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// A listener joined a phase.
    pub(super) fn seated(&mut self, phase: usize) {
        self.seats += 1;
        self.phase_mut(phase).load += 1;
    }

    /// A listener left a phase.
    pub(super) fn left(&mut self, phase: usize) {
        self.seats = self.seats.saturating_sub(1);
        let phase = self.phase_mut(phase);
        phase.load = phase.load.saturating_sub(1);
    }

    fn next_due(&self) -> Option<u64> {
        if self.seats == 0 {
            return None;
        }
        (self.next_ms..self.next_ms + PHASES as u64).find(|ms| self.phase(*ms).load > 0)
    }
}
