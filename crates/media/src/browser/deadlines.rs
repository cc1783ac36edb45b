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
    /// A leg wants to be woken then, and no more at the time before.
    pub(crate) fn set(&mut self, listener: ListenerId, at: Instant) {
        let epoch = *self.epoch.get_or_insert(at);
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
