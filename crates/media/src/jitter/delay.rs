//! How long a side waits, and when that changes.
//!
//! A packet's *slack* is the time by which it came before the tick that reads its first sample; its *lead*, how long
//! before that sample is heard: both are the same where packets begin with frames. Ticks read whole frames, so that no
//! delay between two multiples of a frame makes any packet less late: it changes by frames, and lies where packets begin
//! with frames. What changes it is a debt of samples to be passed over or said twice, which [`super::Jitter`] pays where
//! it is not heard.

use std::time::{Duration, Instant};

use super::time::{FRAME, MS, Units};

/// A packet has so much slack when the delay is chosen. It is what a clean network and our own clock need.
pub(super) const GUARD: Units = 2 * MS;
/// The delay grows by a frame if the latest packet has less: the sender's clock may be slower than ours.
const SCARCE: Units = MS;
/// It grows for late packets until the earliest ones wait so long: with the frame that a tick reads, 120 ms.
const LONGEST: Units = 100 * MS;
/// More slack is a backlog or a jump of the time stamp.
pub(super) const JUMP: Units = 160 * MS;
/// The delay follows the network once in such a window.
const WINDOW: Duration = Duration::from_secs(1);
/// So many windows in a row with a frame to spare, before the delay shrinks by it: at first, and twice as many each time
/// that it had to grow for a late packet soon after; but no more than these.
const CALM: std::ops::RangeInclusive<u32> = 2..=16;
/// After so many windows without a late packet, half as many again.
const FORGIVEN: u32 = 30;
/// So much to spare is a backlog, and goes at once.
const BACKLOG: Units = 3 * FRAME;
/// Both sides of a tap wait alike, within so much.
const APART: Units = FRAME;
/// Debts are paid in pauses for so long; then also after whole cycles of the voice; after as long again, anyhow.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where somebody will soon be late.
const PATIENCE_SCARCE: Duration = Duration::from_secs(1);

/// See above.
#[derive(Debug)]
pub(super) struct Delay {
    window: Option<Window>,
    /// Windows in a row with a frame to spare,
    calm: u32,
    /// how many of them it takes,
    calm_needed: u32,
    /// and windows since a packet was late.
    in_time: u32,
    debt: Units,
    owed_since: Option<Instant>,
    /// By how much the latest packet of a window came later than the earliest.
    spread: Units,
    /// How long the earliest packets wait.
    depth: Option<Units>,
    /// How long those of the other side do.
    other: Option<Units>,
}

/// How a packet came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) slack: Units,
    /// How far into its frame it begins: the lead is so much more than the slack.
    pub(super) offset: Units,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    slack_min: Units,
    lead_max: Units,
    offset_min: Units,
}

/// Where a debt may be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// In a pause.
    Pause,
    /// After a whole cycle.
    Cycle,
    /// Wherever it shows least.
    Now,
}

impl Delay {
    /// With nothing known but how much jitter is to be expected.
    pub(super) fn new() -> Self {
        Self {
            window: None,
            calm: 0,
            calm_needed: *CALM.start(),
            in_time: 0,
            debt: 0,
            owed_since: None,
            spread: 0,
            depth: None,
            other: None,
        }
    }

    /// So much jitter is to be expected. Mean deviation (RFC 3550 A.8): the latest come later by a few times that.
    pub(super) fn expect(&mut self, jitter: Units) {
        self.spread = (3 * jitter - 2 * MS).clamp(0, 2 * FRAME);
    }

    /// Slack that a first packet is given.
    pub(super) fn wanted(&self) -> Units {
        GUARD + self.spread
    }

    /// How long the earliest packets wait.
    pub(super) fn depth(&self) -> Option<Units> {
        self.depth
    }

    /// How long those of the other side do.
    pub(super) fn beside(&mut self, other: Option<Units>) {
        self.other = other;
    }

    /// What was known of the network is of no use any more.
    pub(super) fn forget(&mut self) {
        (self.window, self.calm, self.depth) = (None, 0, None);
        self.settled();
    }

    /// Whether the delay may grow by so much.
    pub(super) fn may_grow(&self, by: Units) -> bool {
        let lead = self.window.as_ref().map_or(0, |window| window.lead_max).max(self.depth.unwrap_or(0));
        lead + by <= LONGEST
    }

    /// It has grown for a late packet.
    pub(super) fn grown(&mut self, by: Units) {
        self.calm_needed = (self.calm_needed * 2).min(*CALM.end());
        self.in_time = 0;
        self.moved(by);
    }

    /// It has changed by other means than a debt.
    pub(super) fn moved(&mut self, grown: Units) {
        self.depth = self.depth.map(|depth| depth + grown);
        (self.window, self.calm) = (None, 0);
        self.settled();
    }

    /// Takes a packet's arrival; at the window's end, the delay loses what nobody needed, or grows before anybody is
    /// late.
    pub(super) fn follow(&mut self, now: Instant, arrival: Arrival) {
        let window = self.window.get_or_insert_with(|| Window::new(now));
        window.note(arrival);
        if now.saturating_duration_since(window.since) < WINDOW || self.debt != 0 {
            return;
        }
        let window = std::mem::replace(window, Window::new(now));
        self.depth = Some(window.lead_max);
        self.spread = (window.lead_max - window.offset_min - window.slack_min).clamp(0, LONGEST);
        let debt = self.judge(&window);
        self.owe(now, debt);
    }

    fn judge(&mut self, window: &Window) -> Units {
        let least = self.other.map_or(0, |other| other - APART);
        let may_lose = (window.lead_max - least).max(0);
        let spare = (window.slack_min - GUARD).min(may_lose).max(0) / FRAME * FRAME;
        self.calm = if spare > 0 { self.calm + 1 } else { 0 };
        self.in_time += 1;
        if self.in_time >= FORGIVEN {
            (self.calm_needed, self.in_time) = ((self.calm_needed / 2).max(*CALM.start()), 0);
        }
        if window.slack_min < SCARCE || window.lead_max < least {
            return window.offset_min - FRAME;
        }
        let whole = if spare >= BACKLOG || self.calm >= self.calm_needed { spare } else { 0 };
        whole + if window.offset_min >= GUARD { window.offset_min } else { 0 }
    }

    /// So much is to be passed over, or said twice if negative.
    pub(super) fn owe(&mut self, now: Instant, debt: Units) {
        if debt != 0 && self.debt == 0 {
            (self.debt, self.owed_since) = (debt, Some(now));
        }
    }

    /// What is owed at a tick, and how it may be paid.
    pub(super) fn debt(&self, tick: Instant) -> Option<(Units, Patience)> {
        let waited = tick.saturating_duration_since(self.owed_since?);
        let patience = if self.debt < 0 { PATIENCE_SCARCE } else { PATIENCE };
        let patience = match waited {
            _ if self.debt >= BACKLOG || waited > 2 * patience => Patience::Now,
            _ if waited > patience => Patience::Cycle,
            _ => Patience::Pause,
        };
        Some((self.debt, patience))
    }

    /// So much was passed over, or said twice if negative.
    pub(super) fn paid(&mut self, units: Units) {
        let sign = self.debt.signum();
        self.debt -= units;
        self.depth = self.depth.map(|depth| depth - units);
        // Less than a sample of the lowest rate is nothing.
        if self.debt * sign < MS / 8 {
            self.forgive();
        }
    }

    /// The rest is left as it is, until it is seen again.
    pub(super) fn forgive(&mut self) {
        self.settled();
        (self.window, self.calm) = (None, 0);
    }

    fn settled(&mut self) {
        (self.debt, self.owed_since) = (0, None);
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { since: now, slack_min: Units::MAX, lead_max: 0, offset_min: FRAME }
    }

    fn note(&mut self, arrival: Arrival) {
        self.slack_min = self.slack_min.min(arrival.slack);
        self.lead_max = self.lead_max.max(arrival.slack + arrival.offset);
        self.offset_min = self.offset_min.min(arrival.offset);
    }
}
