//! Where the engine's changes go: written later than asked for, and not at all when the disk is full.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::persist::{AuditEntry, BindingRecord, Change, DialogRecord, RequestRecord, Restored};
use engine::view::{CallView, ListeningView};
use store::{MemoryStore, Store as _};

/// A store on the simulated clock.
#[derive(Debug)]
pub struct Disk {
    /// From the order to its acknowledgement.
    pub delay: Duration,
    /// Writes fail.
    pub full: bool,
    /// The queue to the store has no room: changes are refused at once.
    pub queue_full: bool,
    /// The store itself.
    pub store: MemoryStore,
    /// Everything that was written, in order, but the audit trail.
    pub written: Vec<Change>,
    /// The audit trail, in order.
    pub trail: Vec<AuditEntry>,
    /// Requests as written last.
    pub requests: BTreeMap<String, RequestRecord>,
    /// Listenings as written last.
    pub listenings: BTreeMap<String, ListeningView>,
    /// Calls as written last.
    pub calls: BTreeMap<String, CallView>,
    /// Bindings by SIP user.
    pub registrations: BTreeMap<String, Vec<BindingRecord>>,
    /// Dialogs that another process would have to end, by key.
    pub dialogs: BTreeMap<String, DialogRecord>,
}

impl Disk {
    pub(crate) fn new(delay: Duration) -> Self {
        Self {
            delay,
            full: false,
            queue_full: false,
            store: MemoryStore::new(),
            written: Vec::new(),
            trail: Vec::new(),
            requests: BTreeMap::new(),
            listenings: BTreeMap::new(),
            calls: BTreeMap::new(),
            registrations: BTreeMap::new(),
            dialogs: BTreeMap::new(),
        }
    }

    /// What a process that starts now finds.
    pub(crate) fn restored(&self) -> Restored {
        self.store.set_available(true);
        self.store.restore().expect("it is in memory")
    }

    /// Writes changes as one, or says why not.
    pub(crate) fn write(&mut self, changes: Vec<Change>) -> Result<(), String> {
        self.store.set_available(!self.full);
        self.store.apply(&changes).map_err(|error| error.reason())?;
        changes.iter().for_each(|change| self.keep(change));
        for change in changes {
            match change {
                Change::Audit(entry) => self.trail.push(entry),
                change => self.written.push(change),
            }
        }
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
            Change::Registrations { user, bindings } if bindings.is_empty() => drop(self.registrations.remove(user)),
            Change::Registrations { user, bindings } => drop(self.registrations.insert(user.clone(), bindings.clone())),
            Change::Dialog(record) => drop(self.dialogs.insert(record.key.clone(), record.clone())),
            Change::DialogEnded(key) => drop(self.dialogs.remove(key)),
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
