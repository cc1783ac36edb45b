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

    /// Writes changes as one, or says why not.
    pub(crate) fn write(&mut self, changes: Vec<Change>) -> Result<(), String> {
        self.store.set_available(!self.full);
        self.store.apply(&changes).map_err(|error| error.reason())?;
        changes.iter().for_each(|change| self.keep(change));
        self.written.extend(changes);
        Ok(())
    }

    fn keep(&mut self, change: &Change) {
        match change {
            Change::Request(r) => self.keep_request(r),
            Change::Listening(l) => self.keep_listening(l),
            Change::Heard(l, r) => {
                self.keep_listening(l);
                self.keep_request(r);
            }
            Change::Call(c) => {
                self.calls.insert(c.id.clone(), c.clone());
            }
            _ => {}
        }
    }

    fn keep_request(&mut self, record: &RequestRecord) {
        self.requests.insert(record.view.id.clone(), record.clone());
    }

    fn keep_listening(&mut self, listening: &ListeningView) {
        self.listenings.insert(listening.id.clone(), listening.clone());
    }
}
