//! When which leg wants to be woken: one queue for all, with deadlines near each other made one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::interface::ListenerId;

/// What a leg waits for (reports, retransmissions, consent) may come so much later.
const GRAIN: Duration = Duration::from_millis(5);

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// Deadlines are whole grains after this.
    epoch: Option<Instant>,
    due: BTreeSet<(Instant, ListenerId)>,
    of: BTreeMap<ListenerId, Instant>,
}

impl Deadlines {
    /// A leg wants to be woken then, and no more at the time before. Never at once: whoever wakes legs comes to an end.
    pub(crate) fn set(&mut self, now: Instant, listener: ListenerId, at: Instant) {
        let epoch = *self.epoch.get_or_insert(now);
        let at = at.max(now + Duration::from_nanos(1));
        let grains = at.saturating_duration_since(epoch).as_nanos().div_ceil(GRAIN.as_nanos());
        let at = epoch + GRAIN * u32::try_from(grains).unwrap_or(u32::MAX);
        let before = self.of.insert(listener, at);
        if before != Some(at) {
            before.into_iter().for_each(|before| _ = self.due.remove(&(before, listener)));
            self.due.insert((at, listener));
        }
    }

    /// A leg is not here any more.
    pub(crate) fn clear(&mut self, listener: ListenerId) {
        self.of.remove(&listener).into_iter().for_each(|at| _ = self.due.remove(&(at, listener)));
    }

    /// The next of all.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one whose time has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<ListenerId> {
        let (_, listener) = *self.due.first().filter(|(at, _)| *at <= now)?;
        self.clear(listener);
        Some(listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_deadlines_are_one_and_none_is_early_or_at_once() {
        #[allow(clippy::disallowed_methods, reason = "a base for simulated instants")]
        let now = Instant::now();
        let ms = |n: u64| now + Duration::from_millis(n);
        let mut deadlines = Deadlines::default();
        for (id, at) in [(1, 3_000), (2, 51), (3, 54), (4, 0)] {
            deadlines.set(now, ListenerId(id), ms(at));
        }
        assert_eq!(deadlines.take_due(now), None, "not at once");
        assert_eq!(deadlines.take_due(ms(5)), Some(ListenerId(4)));
        assert_eq!((deadlines.next(), deadlines.take_due(ms(54))), (Some(ms(55)), None));
        assert_eq!(
            (deadlines.take_due(ms(55)), deadlines.take_due(ms(55))),
            (Some(ListenerId(2)), Some(ListenerId(3)))
        );
        deadlines.set(ms(60), ListenerId(1), ms(70));
        assert_eq!(deadlines.next(), Some(ms(70)), "the one before is forgotten");
        deadlines.clear(ListenerId(1));
        assert_eq!(deadlines.next(), None);
    }
}
