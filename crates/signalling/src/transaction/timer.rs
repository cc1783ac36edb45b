//! Timers: an enum and a table, no tasks (RFC 3261 table 4, RFC 6026 §7).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Timing;

/// The letters of RFC 3261 and RFC 6026, and what they leave to the transaction user but is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Client INVITE: request again; T1, doubling without a ceiling (RFC 3261 §17.1.1.2).
    A,
    /// Client INVITE: no answer at all; 64·T1.
    B,
    /// Client INVITE: absorb repeated 3xx–6xx; at least 32 s.
    D,
    /// Client non-INVITE: request again; T1, doubling up to T2 (RFC 3261 §17.1.2.2).
    E,
    /// Client non-INVITE: no final answer; 64·T1.
    F,
    /// Server INVITE: 3xx–6xx again; T1, doubling up to T2 (RFC 3261 §17.2.1).
    G,
    /// Server INVITE: no ACK for a 3xx–6xx; 64·T1.
    H,
    /// Server INVITE: absorb repeated ACKs; T4.
    I,
    /// Server non-INVITE: absorb repeated requests; 64·T1 (RFC 3261 §17.2.2).
    J,
    /// Client non-INVITE: absorb repeated answers; T4.
    K,
    /// Server INVITE: absorb repeated INVITEs after a 2xx; 64·T1 (RFC 6026 §8.4).
    L,
    /// Client INVITE: pass on further 2xx; 64·T1 (RFC 6026 §7.2).
    M,
    /// Server INVITE: 2xx again; T1, doubling up to T2 (RFC 3261 §13.3.1.4).
    Ok,
    /// Server INVITE: the last 1xx above 100 again, so that no proxy gives up; 1 min (RFC 3261 §13.3.1.1).
    Ringing,
    /// Client INVITE: a cancelled one that never ended; 64·T1 (RFC 3261 §9.1).
    Cancelled,
    /// Server non-INVITE: nobody answered in the time in which the client listens; 64·T1 (RFC 4320 §4.1).
    Unanswered,
}

/// How long a provisional answer lasts (RFC 3261 §13.3.1.1).
pub(super) const RINGING: Duration = Duration::from_secs(60);
/// Shortest Timer D over UDP (RFC 3261 §17.1.1.2).
const TIMER_D_MIN: Duration = Duration::from_secs(32);

impl Timing {
    /// 64·T1: how long anybody listens for an answer.
    pub(super) fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
    /// Timer D.
    pub(super) fn timer_d(&self) -> Duration {
        self.patience().max(TIMER_D_MIN)
    }
    /// The next interval of a timer that doubles up to T2.
    pub(super) fn backoff(&self, interval: Duration) -> Duration {
        interval.saturating_mul(2).min(self.t2)
    }
}

/// The running timers of one transaction: no state has more than two.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    slots: [Option<(Instant, Timer)>; 2],
}

impl Deadlines {
    /// Starts a timer, or starts it anew.
    pub(super) fn start(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        debug_assert!(self.slots.iter().any(Option::is_none), "no state has three timers");
        if let Some(free) = self.slots.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((at, timer));
        }
    }
    /// Stops one timer.
    pub(super) fn stop(&mut self, timer: Timer) {
        for slot in &mut self.slots {
            if slot.is_some_and(|(_, running)| running == timer) {
                *slot = None;
            }
        }
    }
    /// Stops all.
    pub(super) fn clear(&mut self) {
        self.slots = [None; 2];
    }
    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.slots.iter().flatten().map(|(at, _)| *at).min()
    }
    /// Takes the earliest one that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let slot = self
            .slots
            .iter_mut()
            .filter(|slot| slot.is_some_and(|(at, _)| at <= now))
            .min_by_key(|slot| slot.map(|(at, _)| at))?;
        slot.take().map(|(_, timer)| timer)
    }
}

/// When each transaction wakes next: one entry each, removed when it moves, so that nothing stale piles up.
/// Equal times wake in the order in which the transactions began.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeSet<(Instant, u64)>,
}

impl Schedule {
    /// A transaction's next deadline moved.
    pub(super) fn moved(&mut self, id: u64, from: Option<Instant>, to: Option<Instant>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.due.remove(&(from, id));
        }
        if let Some(to) = to {
            self.due.insert((to, id));
        }
    }
    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
    /// The first transaction that is due; it stays until [`Self::moved`].
    pub(super) fn first_due(&self, now: Instant) -> Option<u64> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::tests::start;

    #[test]
    fn due_timers_come_earliest_first_and_once() {
        let t = start();
        let mut deadlines = Deadlines::default();
        deadlines.start(Timer::B, t + Duration::from_secs(2));
        deadlines.start(Timer::A, t + Duration::from_secs(1));
        assert_eq!(deadlines.take_due(t), None);
        let late = t + Duration::from_secs(3);
        assert_eq!(deadlines.take_due(late), Some(Timer::A));
        assert_eq!(deadlines.take_due(late), Some(Timer::B));
        assert_eq!(deadlines.take_due(late), None);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_timer_that_starts_anew_has_one_deadline() {
        let t = start();
        let mut deadlines = Deadlines::default();
        deadlines.start(Timer::A, t + Duration::from_secs(1));
        deadlines.start(Timer::B, t + Duration::from_secs(9));
        deadlines.start(Timer::A, t + Duration::from_secs(5));
        assert_eq!(deadlines.next(), Some(t + Duration::from_secs(5)));
    }

    #[test]
    fn the_schedule_holds_one_entry_for_each_transaction() {
        let t = start();
        let (one, two) = (t + Duration::from_secs(1), t + Duration::from_secs(2));
        let mut schedule = Schedule::default();
        schedule.moved(7, None, Some(one));
        schedule.moved(7, Some(one), Some(two));
        assert_eq!((schedule.next(), schedule.due.len()), (Some(two), 1));
        assert_eq!(schedule.first_due(one), None);
        assert_eq!(schedule.first_due(two), Some(7));
        schedule.moved(7, Some(two), None);
        assert_eq!(schedule.next(), None);
    }
}
