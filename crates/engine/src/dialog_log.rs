//! The dialog log: what the store keeps of dialogs that are open, so that another process can end them if this one
//! cannot; and the write-behind of what nobody waits for (SEMANTICS, After a restart).

mod packed;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use signalling::peers::PeerId;
use signalling::transport::{Flow, Transport};
use signalling::{Command, DialogCopy, DialogStage, LegId, OrphanId, ReceiptId};

use crate::call::CallKey;
use crate::engine::{Closing, Core};
use crate::interface::PersistId;
use crate::monitoring::EarKey;
use crate::persist::{BindingRecord, Change, DialogRecord, DialogState};
use crate::timers::Timer;
use crate::view::{CallState, CallView, EndReason};
use packed::Packed;

/// Dialogs and accounts whose last change the store refused, at most; of more, the next process finds an older state.
const UNSAVED_MAX: usize = 20_000;

/// What nobody waits for is written so much later: one commit for many calls.
const WRITE_BEHIND: Duration = Duration::from_millis(20);
/// Or as soon as there is so much of it.
const WRITE_BEHIND_MAX: usize = 256;

/// What is open, what is written of it, and what the process before left.
#[derive(Debug, Default)]
pub(crate) struct DialogLog {
    /// Boxed: a table has room for twice what is in it.
    kept: HashMap<LegId, Box<Kept>>,
    /// The leg whose record carries the call's view.
    carriers: HashMap<CallKey, LegId>,
    /// Keys of dialogs that are over: they go with their call's final record.
    over: HashMap<CallKey, Vec<String>>,
    /// What nobody waits for; written a little later, or with the next write that somebody waits for.
    fresh: Vec<Change>,
    waiting: BTreeMap<PersistId, Written>,
    /// Keys of dialogs, and SIP users, whose last change the store refused.
    unsaved: BTreeSet<Unsaved>,
    /// Accounts that are registered, by their phone; for those that go.
    pub(crate) accounts: BTreeMap<PeerId, String>,
    /// What is known of each account's bindings, by SIP user.
    pub(crate) bindings: BTreeMap<String, Vec<BindingRecord>>,
    /// Dialogs of the process before that nobody has begun to end, with their keys.
    pub(crate) orphans: VecDeque<(DialogCopy, String)>,
    /// Orphans that signalling is ending.
    pub(crate) ending: BTreeMap<OrphanId, String>,
}

/// A dialog as it is kept, without the view of its call.
#[derive(Debug)]
struct Kept {
    dialog: Packed,
    call: Option<CallKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unsaved {
    Dialog(String),
    Account(String),
}

/// Who waits for a write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waits {
    /// A listener's leg: its INVITE or its ACK.
    Listener(LegId),
    /// A phone: the 200 to its REGISTER.
    Phone(ReceiptId),
}

#[derive(Debug)]
struct Written {
    what: Vec<Unsaved>,
    waits: Option<Waits>,
}

impl DialogLog {
    /// Nothing is open that another process would have to end.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.over.is_empty()
    }

    /// These changes behind what has waited, each dialog and account once: an older state never comes after a newer one.
    fn behind(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let mut all = std::mem::take(&mut self.fresh);
        all.extend(changes);
        let mut seen = BTreeSet::new();
        let newest = all.into_iter().rev().filter(|change| unsaved(change).is_none_or(|what| seen.insert(what)));
        let mut newest: Vec<Change> = newest.collect();
        newest.reverse();
        newest
    }
}

/// Listeners.
impl Core {
    /// A listener's leg may go on only when this is kept; its first record is written as one with its listenings'.
    pub(crate) fn record_listener(&mut self, leg: LegId, dialog: DialogCopy) {
        let ear = self.ear_legs.get(&leg).and_then(|key| self.ears.get(key));
        let Some(first) = ear.and_then(|ear| ear.listenings.first()) else { return };
        let owner = self.log.kept.get(&leg).map_or_else(|| first.clone(), |kept| kept.dialog.owner().to_owned());
        let mut changes = Vec::new();
        if !self.log.kept.contains_key(&leg) {
            let listenings = ear.into_iter().flat_map(|ear| &ear.listenings);
            let views = listenings.filter_map(|id| self.listenings.get(id)).map(|open| open.view.clone());
            changes.extend(views.map(Change::Listening));
        }
        let dialog = Packed::new(&owner, dialog);
        changes.push(Change::Dialog(dialog.record()));
        self.log.kept.insert(leg, Box::new(Kept { dialog, call: None }));
        self.log_write(changes, Some(Waits::Listener(leg)));
    }

    /// A new listening on this ear is not written by anybody else.
    pub(crate) fn is_recorded(&self, leg: LegId) -> bool {
        self.log.kept.contains_key(&leg)
    }

    /// The store has the listener's dialog, or not: then nobody listens.
    fn listener_recorded(&mut self, leg: LegId, ok: bool) {
        let Some(ear) = self.ear_legs.get(&leg).copied() else { return };
        if ok {
            self.ring_begins(ear);
            self.sip(Command::Recorded { leg });
        } else {
            self.counters.count("listenings_unavailable");
            self.end_ear_with(ear, EndReason::AuditUnavailable);
        }
    }

    /// The time to ring counts from the INVITE.
    fn ring_begins(&mut self, ear: EarKey) {
        if self.timers.is_set(&Timer::Ring(ear)) && self.ears.get(&ear).is_some_and(|ear| !ear.state.is_up()) {
            let at = self.after(self.settings.ring_timeout);
            self.timers.set(Timer::Ring(ear), at);
        }
    }
}

/// Calls: written without waiting.
impl Core {
    /// We call somebody for a call.
    pub(crate) fn log_calling(&mut self, leg: LegId) {
        let Some(call) = self.legs.get(&leg).map(|leg| leg.call) else { return };
        let Some(dialog) = self.dialog(leg).filter(|dialog| matches!(dialog.stage, DialogStage::Calling { .. })) else {
            return;
        };
        self.log_leg(leg, call, dialog, None);
    }

    /// The two legs of a call, which are up, and its view for the record that it gets if we cannot write one.
    pub(crate) fn log_call(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(&key).filter(|call| call.state == CallState::Up) else { return };
        let (sides, mut view) = (call.sides, Some(call.view()));
        let before = self.log.carriers.remove(&key);
        for leg in sides.into_iter().flatten() {
            if let Some(dialog) = self.dialog(leg) {
                self.log_leg(leg, key, dialog, view.take());
            }
        }
        let now = self.log.carriers.get(&key).copied();
        if let Some(before) = before.filter(|before| Some(*before) != now && !sides.contains(&Some(*before))) {
            let rewritten = self.without_view(before);
            self.log.fresh.extend(rewritten);
        }
    }

    /// A leg's remote target or flow is another, or a listener rings and has a tag.
    pub(crate) fn log_moved(&mut self, leg: LegId) {
        let (Some(kept), Some(dialog)) = (self.log.kept.get(&leg), self.dialog(leg)) else { return };
        match kept.call {
            Some(call) => {
                let carries = self.log.carriers.get(&call) == Some(&leg);
                let view = self.calls.get(&call).filter(|_| carries).map(|call| call.view());
                self.log_leg(leg, call, dialog, view);
            }
            None => {
                let dialog = Packed::new(kept.dialog.owner(), dialog);
                if dialog == kept.dialog {
                    return;
                }
                self.log.fresh.push(Change::Dialog(dialog.record()));
                self.log.kept.insert(leg, Box::new(Kept { dialog, call: None }));
            }
        }
    }

    fn log_leg(&mut self, leg: LegId, call: CallKey, dialog: DialogCopy, view: Option<CallView>) {
        let id = self.calls.get(&call).map(|call| call.id.as_str()).unwrap_or_default();
        let before = self.log.kept.remove(&leg);
        // a leg that came from another call carries that one's view no more
        if let Some(other) = before.as_ref().and_then(|kept| kept.call).filter(|other| *other != call)
            && self.log.carriers.get(&other) == Some(&leg)
        {
            self.log.carriers.remove(&other);
        }
        let dialog = Packed::new(before.as_ref().map_or(id, |kept| kept.dialog.owner()), dialog);
        if view.is_some() {
            self.log.carriers.insert(call, leg);
        }
        self.log.fresh.push(Change::Dialog(DialogRecord { call: view.map(Box::new), ..dialog.record() }));
        self.log.kept.insert(leg, Box::new(Kept { dialog, call: Some(call) }));
    }

    fn without_view(&self, leg: LegId) -> Option<Change> {
        self.log.kept.get(&leg).map(|kept| Change::Dialog(kept.dialog.record()))
    }

    /// Nothing is open on a leg any more.
    pub(crate) fn log_gone(&mut self, leg: LegId) {
        let Some(kept) = self.log.kept.remove(&leg) else { return };
        let ending = |call: &CallKey| self.calls.get(call).is_some_and(|call| call.state == CallState::Ended);
        match kept.call.filter(ending) {
            Some(call) => self.log.over.entry(call).or_default().push(kept.dialog.key()),
            None => self.log.fresh.push(Change::DialogEnded(kept.dialog.key())),
        }
    }

    /// Goes with a call's final record: its dialogs that are over, and that none carries its view any more.
    pub(crate) fn log_recorded(&mut self, call: CallKey) {
        let over = self.log.over.remove(&call).unwrap_or_default();
        let mut changes: Vec<Change> = over.into_iter().map(Change::DialogEnded).collect();
        changes.extend(self.log.carriers.remove(&call).and_then(|leg| self.without_view(leg)));
        self.write_along(changes);
    }
}

/// The store.
impl Core {
    /// Changes that must be whole with the write that was asked for last.
    pub(crate) fn write_along(&mut self, changes: Vec<Change>) {
        let changes = self.log.behind(changes);
        let Some((persist, all)) = self.out.persists.last_mut().filter(|_| !changes.is_empty()) else { return };
        let written = Written { what: changes.iter().filter_map(unsaved).collect(), waits: None };
        self.log.waiting.insert(*persist, written);
        all.extend(changes);
    }

    pub(crate) fn log_write(&mut self, changes: Vec<Change>, waits: Option<Waits>) {
        let changes = self.log.behind(changes);
        let persist = PersistId(self.ids.next());
        let written = Written { what: changes.iter().filter_map(unsaved).collect(), waits };
        self.log.waiting.insert(persist, written);
        self.out.persists.push((persist, changes));
    }

    /// What nobody waits for leaves a little later; at once where there is much of it, and while it ends.
    pub(crate) fn log_flush(&mut self) {
        if self.log.fresh.is_empty() {
            self.timers.cancel(&Timer::WriteBehind);
        } else if self.closing != Closing::Open || self.log.fresh.len() >= WRITE_BEHIND_MAX {
            self.log_now();
        } else if !self.timers.is_set(&Timer::WriteBehind) {
            let at = self.after(WRITE_BEHIND);
            self.timers.set(Timer::WriteBehind, at);
        }
    }

    /// Writes what has waited.
    pub(crate) fn log_now(&mut self) {
        if !self.log.fresh.is_empty() {
            self.log_write(Vec::new(), None);
        }
    }

    /// The store answered.
    pub(crate) fn log_persisted(&mut self, persist: PersistId, ok: bool) {
        let Some(written) = self.log.waiting.remove(&persist) else { return };
        if !ok {
            self.counters.count("dialog_log_refused");
            self.log_later(written.what);
        }
        match written.waits {
            Some(Waits::Listener(leg)) => self.listener_recorded(leg, ok),
            Some(Waits::Phone(receipt)) => self.registration_recorded(receipt, ok),
            None => {}
        }
    }

    fn log_later(&mut self, what: Vec<Unsaved>) {
        for what in what {
            if self.log.unsaved.len() < UNSAVED_MAX {
                self.log.unsaved.insert(what);
            } else {
                self.counters.count("dialog_log_lost");
            }
        }
        if !self.log.unsaved.is_empty() {
            self.arm_unsaved();
        }
    }

    /// Offers again what the store refused, as it is now.
    pub(crate) fn log_again(&mut self) {
        let unsaved = std::mem::take(&mut self.log.unsaved);
        if unsaved.is_empty() {
            return;
        }
        let open: HashMap<String, LegId> = self.log.kept.iter().map(|(leg, kept)| (kept.dialog.key(), *leg)).collect();
        for what in unsaved {
            let change = match what {
                Unsaved::Dialog(key) => match open.get(&key) {
                    Some(leg) => self.log.kept.get(leg).map(|kept| self.whole(*leg, kept)),
                    None => Some(Change::DialogEnded(key)),
                },
                Unsaved::Account(user) => Some(self.account_now(user)),
            };
            self.log.fresh.extend(change);
        }
    }

    fn whole(&self, leg: LegId, kept: &Kept) -> Change {
        let call = kept.call.filter(|call| self.log.carriers.get(call) == Some(&leg));
        let view = call.and_then(|call| self.calls.get(&call)).map(|call| Box::new(call.view()));
        Change::Dialog(DialogRecord { call: view, ..kept.dialog.record() })
    }

    /// What the next process need not know any more.
    pub(crate) fn log_change(&mut self, change: Change) {
        self.log.fresh.push(change);
    }
}

fn unsaved(change: &Change) -> Option<Unsaved> {
    match change {
        Change::Dialog(record) => Some(Unsaved::Dialog(record.key.clone())),
        Change::DialogEnded(key) => Some(Unsaved::Dialog(key.clone())),
        Change::Registrations { user, .. } => Some(Unsaved::Account(user.clone())),
        _ => None,
    }
}

/// The dialog of a record; `None` where it went by a transport that we do not have.
pub(crate) fn dialog_of(record: DialogRecord) -> Option<DialogCopy> {
    let transport = Transport::of_name(&record.transport)?;
    let stage = match record.state {
        DialogState::Calling => DialogStage::Calling { branch: record.branch, early_tag: record.remote_tag },
        DialogState::Confirmed => DialogStage::Confirmed { remote_tag: record.remote_tag },
    };
    Some(DialogCopy {
        stage,
        call_id: record.call_id,
        local_tag: record.local_tag,
        local: record.local,
        remote: record.remote,
        target: record.target,
        route: record.route,
        cseq: record.cseq,
        flow: Flow { transport, local: record.local_addr, remote: record.remote_addr },
    })
}
