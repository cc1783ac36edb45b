//! What waits for one endpoint, what is under way to it, and what became of the last ones. Knows no clock.

use std::collections::{BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;

use super::delivery::{Delivery, Settled, State};
use super::line::Outcome;

/// Deliveries that are over and can still be looked at and tried again, of each webhook.
pub(crate) const FINISHED_MAX: usize = 200;

/// The deliveries of one webhook.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pending: HashMap<String, Delivery>,
    /// Of those that are not under way: when, and in which order they came.
    due: BTreeSet<(Timestamp, String)>,
    finished: VecDeque<Delivery>,
}

/// What has to be written down after an attempt.
#[derive(Debug)]
pub(crate) struct After {
    pub(crate) settled: Settled,
    pub(crate) delivery: Delivery,
    /// One that is forgotten to make room.
    pub(crate) forgotten: Option<String>,
}

impl Queue {
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Puts a delivery where it belongs by its state.
    pub(crate) fn put(&mut self, delivery: Delivery) -> Option<String> {
        if delivery.state != State::Pending {
            return self.finish(delivery);
        }
        self.due.insert((delivery.next_at, delivery.id.clone()));
        self.pending.insert(delivery.id.clone(), delivery);
        None
    }

    /// The next one whose time has come; it is under way until [`Queue::settle`].
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<Delivery> {
        if self.due.first()?.0 > now {
            return None;
        }
        let (_, id) = self.due.pop_first()?;
        self.pending.get(&id).cloned()
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// After an attempt. `None`: it is not known any more.
    pub(crate) fn settle(&mut self, id: &str, outcome: &Outcome, now: Timestamp) -> Option<After> {
        let mut delivery = self.pending.remove(id)?;
        let settled = delivery.settle(outcome, now);
        let forgotten = self.put(delivery.clone());
        Some(After { settled, delivery, forgotten })
    }

    /// Puts back what was under way when its attempt was cut short.
    pub(crate) fn give_back(&mut self, id: &str) {
        if let Some(delivery) = self.pending.get(id) {
            self.due.insert((delivery.next_at, id.to_owned()));
        }
    }

    /// Tries one again from the beginning, now. `None`: no such delivery. One that is under way stays as it is.
    pub(crate) fn again(&mut self, id: &str, now: Timestamp) -> Option<Delivery> {
        if let Some(delivery) = self.pending.get_mut(id) {
            if self.due.remove(&(delivery.next_at, id.to_owned())) {
                delivery.again(now);
                self.due.insert((now, id.to_owned()));
            }
            return Some(delivery.clone());
        }
        let at = self.finished.iter().position(|delivery| delivery.id == id)?;
        let mut delivery = self.finished.remove(at)?;
        delivery.again(now);
        self.put(delivery.clone());
        Some(delivery)
    }

    /// Everything that waits, from the beginning.
    pub(crate) fn all_again(&mut self, now: Timestamp) -> Vec<Delivery> {
        let ids: Vec<String> = self.due.iter().map(|(_, id)| id.clone()).collect();
        ids.iter().filter_map(|id| self.again(id, now)).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Delivery> {
        self.pending.values().chain(&self.finished)
    }

    fn finish(&mut self, delivery: Delivery) -> Option<String> {
        self.finished.push_back(delivery);
        if self.finished.len() <= FINISHED_MAX {
            return None;
        }
        self.finished.pop_front().map(|delivery| delivery.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn delivery(n: i64) -> Delivery {
        Delivery::new("whk_1", "call.ended", &n.to_string(), at(n), "{}".into(), at(0))
    }

    fn answers(status: u16) -> Outcome {
        Outcome { status: Some(status), ..Outcome::default() }
    }

    #[test]
    fn oldest_first_each_once_and_failures_later() {
        let mut queue = Queue::default();
        for n in [2, 1, 3] {
            queue.put(delivery(n));
        }
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(at(0))).map(|delivery| delivery.id).collect();
        assert_eq!(taken, [1, 2, 3].map(|n| delivery(n).id));
        assert_eq!(queue.pending(), 3, "under way is not over");
        assert_eq!(queue.settle(&taken[0], &answers(200), at(0)).unwrap().settled, Settled::Delivered);
        assert_eq!(queue.settle(&taken[1], &answers(500), at(0)).unwrap().settled, Settled::Again);
        queue.give_back(&taken[2]);
        assert_eq!(queue.take(at(0)).unwrap().id, taken[2]);
        assert!(queue.take(at(4)).is_none());
        assert_eq!(queue.take(at(6)).unwrap().id, taken[1]);
        assert!(queue.settle("msg_unknown", &answers(200), at(0)).is_none());
    }

    #[test]
    fn what_is_over_is_kept_for_a_while_and_can_be_tried_again() {
        let mut queue = Queue::default();
        let mut forgotten = Vec::new();
        for n in 0..i64::try_from(FINISHED_MAX).unwrap() + 2 {
            queue.put(delivery(n));
            let id = queue.take(at(0)).unwrap().id;
            forgotten.extend(queue.settle(&id, &answers(204), at(0)).unwrap().forgotten);
        }
        assert_eq!(forgotten, [0, 1].map(|n| delivery(n).id));
        assert!(queue.again(&forgotten[0], at(9)).is_none());
        let id = delivery(5).id;
        assert_eq!(queue.again(&id, at(9)).unwrap().state, State::Pending);
        assert_eq!((queue.pending(), queue.next_at()), (1, Some(at(9))));
        assert_eq!(queue.take(at(9)).unwrap().id, id);
        assert!(queue.again(&id, at(99)).is_some());
        assert!(queue.take(at(99)).is_none(), "what is under way is not sent twice");
    }
}
