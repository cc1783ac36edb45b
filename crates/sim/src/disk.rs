//! Where the engine's changes go: written later than asked for, and not at all when the disk is full.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::persist::{Change, RequestRecord};
use engine::view::{CallView, ListeningView};
use store::{MemoryStore, Store as _};

/// A store on the simulated clock.
#[derive(Debug)]
pub struct Disk {
    /// From the order to its acknowledgement.
    pub delay: Duration,
    /// Writes fail.
    pub full: bool,
    /// The store itself.
    pub store: MemoryStore,
    /// Everything that was written, in order.
    pub written: Vec<Change>,
    /// Requests as written last.
    pub requests: BTreeMap<String, RequestRecord>,
    /// Listenings as written last.
    pub listenings: BTreeMap<String, ListeningView>,
    /// Calls as written last.
    pub calls: BTreeMap<String, CallView>,
}

impl Disk {
    pub(crate) fn new(delay: Duration) -> Self {
        Self {
            delay,
            full: false,
            store: MemoryStore::new(),
            written: Vec::new(),
            requests: BTreeMap::new(),
            listenings: BTreeMap::new(),
            calls: BTreeMap::new(),
        }
    }

    /// Writes one change, or not.
    pub(crate) fn write(&mut self, change: Change) -> bool {
        self.store.set_available(!self.full);
        if self.store.apply(std::slice::from_ref(&change)).is_err() {
            return false;
        }
        match &change {
            Change::Request(r) => self.keep_request(r),
            Change::Listening(l) => self.keep_listening(l),
            Change::Heard(l, r) => {
                self.keep_listening(l);
                self.keep_request(r);
            }
            Change::Call(c) => {
                self.calls.insert(c.id.clone(), c.clone());
            }
            Change::Agent(_) | Change::AgentRemoved(_) => {}
        }
        self.written.push(change);
        true
    }

    fn keep_request(&mut self, record: &RequestRecord) {
        self.requests.insert(record.view.id.clone(), record.clone());
    }

    fn keep_listening(&mut self, listening: &ListeningView) {
        self.listenings.insert(listening.id.clone(), listening.clone());
    }
}
