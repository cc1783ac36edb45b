//! All webhooks with their queues. Knows no clock and no store but the one that it is loaded from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use store::{Store, StoreError};
use tokio::sync::Notify;

use super::delivery::{Delivery, DeliveryView, State};
use super::hook::{Hook, PauseReason, Paused};
use super::journal::Journal;
use super::line::Outcome;
use super::queue::{After, Queue};
use super::{DELIVERY, WEBHOOK};

/// How long an owner may be missing: users come from the engine, a moment after the start.
const OWNER_MISSING: SignedDuration = SignedDuration::from_secs(60);

/// Webhooks by id.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: BTreeMap<String, Slot>,
    /// Webhooks that changed by themselves and have to be written down.
    unwritten: BTreeSet<String>,
}

#[derive(Debug)]
struct Slot {
    hook: Arc<Hook>,
    queue: Queue,
    /// For its endpoint's task.
    wake: Arc<Notify>,
    owner_missing: Option<Timestamp>,
}

impl Table {
    pub(super) fn load(store: &dyn Store, journal: &Journal) -> Result<Self, StoreError> {
        let mut table = Self::default();
        for hook in documents::<Hook>(store, WEBHOOK)? {
            table.put(&Arc::new(hook), None);
        }
        // by id, which is by time
        for delivery in documents::<Delivery>(store, DELIVERY)? {
            let id = delivery.id.clone();
            match table.slots.get_mut(&delivery.hook) {
                Some(slot) => slot.queue.put(delivery).into_iter().for_each(|id| journal.write(id, None)),
                None => journal.write(id, None),
            }
        }
        Ok(table)
    }

    pub(super) fn hooks(&self) -> Vec<Arc<Hook>> {
        self.slots.values().map(|slot| Arc::clone(&slot.hook)).collect()
    }

    pub(super) fn hook(&self, id: &str) -> Option<Arc<Hook>> {
        self.slots.get(id).map(|slot| Arc::clone(&slot.hook))
    }

    pub(super) fn wake_of(&self, id: &str) -> Option<Arc<Notify>> {
        self.slots.get(id).map(|slot| Arc::clone(&slot.wake))
    }

    pub(super) fn put(&mut self, hook: &Arc<Hook>, before: Option<&Arc<Hook>>) -> bool {
        match (self.slots.get_mut(&hook.id), before) {
            (Some(slot), Some(before)) if Arc::ptr_eq(&slot.hook, before) => {
                slot.hook = Arc::clone(hook);
                slot.wake.notify_one();
                true
            }
            (None, None) => {
                let slot =
                    Slot { hook: Arc::clone(hook), queue: Queue::default(), wake: Arc::default(), owner_missing: None };
                self.slots.insert(hook.id.clone(), slot);
                true
            }
            _ => false,
        }
    }

    /// The ids of its deliveries.
    pub(super) fn remove(&mut self, id: &str) -> Vec<String> {
        self.unwritten.remove(id);
        let Some(slot) = self.slots.remove(id) else { return Vec::new() };
        slot.wake.notify_one();
        slot.queue.all().map(|delivery| delivery.id.clone()).collect()
    }

    /// `None`: it is gone or paused already.
    pub(super) fn pause(&mut self, id: &str, reason: PauseReason, now: Timestamp) -> Option<Arc<Hook>> {
        let slot = self.slots.get_mut(id).filter(|slot| slot.hook.active)?;
        let paused = Some(Paused { reason, at: now });
        slot.hook = Arc::new(Hook { active: false, paused, changed_at: now, ..Hook::clone(&slot.hook) });
        self.unwritten.insert(id.to_owned());
        Some(Arc::clone(&slot.hook))
    }

    /// Webhooks that have to be written down, as they are now.
    pub(super) fn unwritten(&self) -> Vec<Arc<Hook>> {
        self.unwritten.iter().filter_map(|id| self.hook(id)).collect()
    }

    pub(super) fn written(&mut self, hook: &Arc<Hook>) {
        if self.hook(&hook.id).is_none_or(|now| Arc::ptr_eq(&now, hook)) {
            self.unwritten.remove(&hook.id);
        }
    }

    /// Everything that waits, from the beginning, after one more.
    pub(super) fn resume(&mut self, id: &str, now: Timestamp, first: Delivery) -> Vec<Delivery> {
        let Some(slot) = self.slots.get_mut(id) else { return Vec::new() };
        let mut again = slot.queue.all_again(now);
        slot.queue.put(first.clone());
        again.push(first);
        slot.owner_missing = None;
        slot.wake.notify_one();
        again
    }

    /// Queues what the store has. The ids of those that nobody wants any more.
    pub(super) fn queue(&mut self, deliveries: Vec<Delivery>) -> Vec<String> {
        let mut unwanted = Vec::new();
        for delivery in deliveries {
            match self.slots.get_mut(&delivery.hook) {
                Some(slot) => {
                    slot.wake.notify_one();
                    slot.queue.put(delivery);
                }
                None => unwanted.push(delivery.id),
            }
        }
        unwanted
    }

    /// The next delivery of an active webhook that is due.
    pub(super) fn take(&mut self, id: &str, now: Timestamp) -> Option<(Arc<Hook>, Delivery)> {
        let slot = self.slots.get_mut(id).filter(|slot| slot.hook.active)?;
        let delivery = slot.queue.take(now)?;
        Some((Arc::clone(&slot.hook), delivery))
    }

    pub(super) fn give_back(&mut self, hook: &str, delivery: &str) {
        if let Some(slot) = self.slots.get_mut(hook) {
            slot.queue.give_back(delivery);
        }
    }

    /// When the next delivery is due, if anything is to be sent.
    pub(super) fn next_at(&self, id: &str) -> Option<Timestamp> {
        self.slots.get(id).filter(|slot| slot.hook.active)?.queue.next_at()
    }

    pub(super) fn settle(&mut self, hook: &str, delivery: &str, outcome: &Outcome, now: Timestamp) -> Option<After> {
        self.slots.get_mut(hook)?.queue.settle(delivery, outcome, now)
    }

    pub(super) fn retry(&mut self, hook: &str, delivery: &str, now: Timestamp) -> Option<Delivery> {
        let slot = self.slots.get_mut(hook)?;
        let again = slot.queue.again(delivery, now)?;
        slot.wake.notify_one();
        Some(again)
    }

    pub(super) fn deliveries(&self, id: &str, state: Option<State>) -> Vec<Arc<DeliveryView>> {
        let Some(slot) = self.slots.get(id) else { return Vec::new() };
        let all = slot.queue.all().filter(|delivery| state.is_none_or(|state| state == delivery.state));
        all.map(|delivery| Arc::new(delivery.view(slot.hook.active))).collect()
    }

    pub(super) fn pending(&self, id: &str) -> usize {
        self.slots.get(id).map_or(0, |slot| slot.queue.pending())
    }

    /// Webhooks, active ones, deliveries that wait.
    pub(super) fn figures(&self) -> (usize, usize, usize) {
        let active = self.slots.values().filter(|slot| slot.hook.active).count();
        (self.slots.len(), active, self.slots.values().map(|slot| slot.queue.pending()).sum())
    }

    /// Active webhooks whose owner has been missing for too long.
    pub(super) fn orphans(&mut self, now: Timestamp, is_there: impl Fn(&Hook) -> bool) -> Vec<String> {
        let mut orphans = Vec::new();
        for (id, slot) in self.slots.iter_mut().filter(|(_, slot)| slot.hook.active) {
            if is_there(&slot.hook) {
                slot.owner_missing = None;
            } else if *slot.owner_missing.get_or_insert(now) + OWNER_MISSING <= now {
                orphans.push(id.clone());
            }
        }
        orphans
    }
}

/// Documents that cannot be read stay where they are, and are told.
fn documents<T: DeserializeOwned>(store: &dyn Store, kind: &str) -> Result<Vec<T>, StoreError> {
    let read = |(id, doc): (String, String)| match serde_json::from_str(&doc) {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::error!(kind, id, %error, "a document cannot be read");
            None
        }
    };
    Ok(store.documents(kind)?.into_iter().filter_map(read).collect())
}
