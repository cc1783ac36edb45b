//! Timers are an enum and a table: each timer has one due time; all are monotonic.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use media::ListenerId;

use crate::call::CallKey;
use crate::interaction::InteractionKey;
use crate::monitoring::EarKey;

/// What can become due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// The listener's phone has rung long enough.
    Ring(EarKey),
    /// Whoever answered the listener's phone has not pressed its key.
    Confirm(EarKey),
    /// The media plane has not answered a player's offer.
    Player(ListenerId),
    /// A page whose browser closed its player has not come back.
    Return(EarKey),
    /// A busy listener is tried again; the listening's id.
    BusyRetry(String),
    /// The transferor is gone and no outcome came.
    Linger(InteractionKey),
    /// The shield ends by itself.
    Shield(InteractionKey),
    /// Requests are compared with the wall clock.
    Until,
    /// Figures of a call's streams did not come: the record is written without.
    Record(CallKey),
    /// Last figures of an ear did not come: it heard no more than was told.
    Figures(EarKey),
    /// What nobody waits for is written.
    WriteBehind,
    /// More dialogs of the process before are to be ended.
    Orphans,
    /// Records that the store refused are offered again.
    Unsaved,
    /// What was folded for the audit trail is written.
    Unfold,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<(Instant, u64), Timer>,
    at: HashMap<Timer, (Instant, u64)>,
    sequence: u64,
}

impl Timers {
    /// Sets or moves a timer.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.cancel(&timer);
        self.sequence += 1;
        let key = (at, self.sequence);
        self.at.insert(timer.clone(), key);
        self.due.insert(key, timer);
    }

    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(key) = self.at.remove(timer) {
            self.due.remove(&key);
        }
    }

    pub(crate) fn is_set(&self, timer: &Timer) -> bool {
        self.at.contains_key(timer)
    }

    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next timer that is due.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let key = *self.due.keys().next().filter(|(at, _)| *at <= now)?;
        let timer = self.due.remove(&key)?;
        self.at.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test needs some instant to start from
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_timer_set_again_moves_and_order_is_by_time() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut timers = Timers::default();
        timers.set(Timer::Until, at(5));
        timers.set(Timer::Unsaved, at(3));
        timers.set(Timer::Until, at(1));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.expired(at(0)), None);
        assert_eq!(timers.expired(at(4)), Some(Timer::Until));
        assert_eq!(timers.expired(at(4)), Some(Timer::Unsaved));
        assert_eq!(timers.expired(at(9)), None);
        assert_eq!(timers.next(), None);
    }
}
