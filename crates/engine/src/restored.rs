//! What an engine does first with what the process before left: registrations come back, dialogs are ended, calls get
//! their final records (SEMANTICS, After a restart).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use signalling::peers::PeerId;
use signalling::transport::{Flow, Transport};
use signalling::{BindingCopy, Command, OrphanId, Reason, ReceiptId};

use crate::dialog_log::{Waits, dialog_of};
use crate::engine::Core;
use crate::interface::{Event, View};
use crate::persist::{BindingRecord, Change, DialogRecord};
use crate::store::After;
use crate::timers::Timer;
use crate::view::{CallEnd, CallState, CallView, EventBody, EventName, ListeningView};

/// Dialogs of the process before that are ended at a time: a full house must not overrun its own socket.
const ORPHANS_AT_ONCE: usize = 100;
/// The next follow after this.
const ORPHANS_PAUSE: Duration = Duration::from_millis(20);

/// Dialogs.
impl Core {
    /// Ends what is open, and closes the calls that it belonged to.
    pub(crate) fn restore_dialogs(&mut self, dialogs: Vec<DialogRecord>, listenings: &HashMap<String, Vec<String>>) {
        if dialogs.is_empty() {
            return;
        }
        self.out.log("warn", format!("ending {} dialogs of the process before", dialogs.len()), Vec::new());
        for mut record in dialogs {
            if let Some(view) = record.call.take() {
                self.close_restored(*view, listenings);
                self.write_along(vec![Change::Dialog(record.clone())]); // once is enough
            }
            let key = record.key.clone();
            match dialog_of(record) {
                Some(dialog) => self.log.orphans.push_back((dialog, key)),
                None => {
                    self.counters.count("orphans_unreachable");
                    self.log_change(Change::DialogEnded(key));
                }
            }
        }
        self.end_orphans();
    }

    /// Hands the next ones to signalling.
    pub(crate) fn end_orphans(&mut self) {
        for _ in 0..ORPHANS_AT_ONCE {
            let Some((dialog, key)) = self.log.orphans.pop_front() else { return };
            let orphan = OrphanId(self.ids.next());
            self.log.ending.insert(orphan, key);
            let reason = Reason { cause: 503, text: "Engine restarted".into() };
            self.sip(Command::EndOrphan { orphan, dialog: Box::new(dialog), reason });
        }
        if !self.log.orphans.is_empty() {
            let at = self.after(ORPHANS_PAUSE);
            self.timers.set(Timer::Orphans, at);
        }
    }

    /// Only now it is forgotten: if we die before, the next process ends it again.
    pub(crate) fn orphan_ended(&mut self, orphan: OrphanId) {
        if let Some(key) = self.log.ending.remove(&orphan) {
            self.counters.count("orphans_ended");
            self.log_change(Change::DialogEnded(key));
        }
    }

    /// The final record of a call that was up when the process before died. When that was is not known.
    fn close_restored(&mut self, mut view: CallView, listenings: &HashMap<String, Vec<String>>) {
        view.state = CallState::Ended;
        view.held = false;
        view.ended_at = Some(self.now.wall);
        view.end = Some(CallEnd { cause: "engine-restarted".into(), by: "engine".into(), sip_status: None });
        for id in listenings.get(&view.id).into_iter().flatten() {
            if !view.listenings.contains(id) {
                view.listenings.push(id.clone());
            }
        }
        self.counters.count("calls_ended");
        self.out.log("info", "call ended: engine-restarted by engine".into(), vec![("call", view.id.clone())]);
        let body = EventBody::Call(view.clone());
        self.out.events.push(Event { name: EventName::CallEnded, at: self.now.wall, body });
        self.out.views.push(View::Call(view.clone()));
        let id = view.id.clone();
        self.persist(Change::Call(view), vec![After::Call(id)]);
    }
}

/// Listenings by the call that they were on.
pub(crate) fn by_call(listenings: &[ListeningView]) -> HashMap<String, Vec<String>> {
    let mut by_call: HashMap<String, Vec<String>> = HashMap::new();
    for listening in listenings {
        by_call.entry(listening.call.clone()).or_default().push(listening.id.clone());
    }
    by_call
}

/// Registrations.
impl Core {
    /// Phones are registered as they were. What ran out meanwhile, whose account is no more or whose flow died with the
    /// process before, is forgotten, in the store too.
    pub(crate) fn restore_registrations(&mut self, registrations: Vec<(String, Vec<BindingRecord>)>) {
        self.tell_peers();
        for (user, records) in registrations {
            let peer = self.directory.peer_of_sip_user(&user);
            let before = records.len();
            let left: Vec<BindingCopy> =
                records.into_iter().filter(|_| peer.is_some()).filter_map(|record| self.binding(record)).collect();
            if let Some(peer) = peer {
                self.show_registered(peer, left.len());
            }
            let records: Vec<BindingRecord> = left.iter().map(|binding| self.binding_record(binding)).collect();
            if let Some(peer) = peer.filter(|_| !left.is_empty()) {
                self.log.accounts.insert(peer, user.clone());
                self.log.bindings.insert(user.clone(), records.clone());
            }
            if left.len() != before {
                self.log_change(Change::Registrations { user, bindings: records });
            }
            if let Some(peer) = peer.filter(|_| !left.is_empty()) {
                self.counters.count("registrations_restored");
                self.sip(Command::RestoreBindings { peer, bindings: left });
            }
        }
    }

    /// A phone registered, refreshed or left; the store is told of every binding that it has now.
    pub(crate) fn registered(&mut self, peer: PeerId, bindings: &[BindingCopy], receipt: Option<ReceiptId>) {
        self.show_registered(peer, bindings.len());
        let Some(user) = self.directory.sip_user(peer) else {
            if let Some(receipt) = receipt {
                self.sip(Command::RegistrationKept { receipt });
            }
            return;
        };
        let records: Vec<BindingRecord> = bindings.iter().map(|binding| self.binding_record(binding)).collect();
        self.log.accounts.insert(peer, user.clone());
        self.log.bindings.insert(user.clone(), records.clone());
        if records.is_empty() {
            self.log.bindings.remove(&user);
            self.log.accounts.remove(&peer);
        }
        let change = Change::Registrations { user, bindings: records };
        self.log_write(vec![change], receipt.map(Waits::Phone));
    }

    /// The store has the bindings, or not: calls go on, so the phone is told that it is registered either way.
    pub(crate) fn registration_recorded(&mut self, receipt: ReceiptId, ok: bool) {
        if !ok {
            self.counters.count("registrations_unrecorded");
        }
        self.sip(Command::RegistrationKept { receipt });
    }

    /// What the store should have of an account.
    pub(crate) fn account_now(&self, user: String) -> Change {
        let bindings = self.log.bindings.get(&user).cloned().unwrap_or_default();
        Change::Registrations { user, bindings }
    }

    /// Signalling learns who may talk to us; the registrations of those who may no more are forgotten.
    pub(crate) fn tell_peers(&mut self) {
        let peers = Arc::new(self.directory.peers());
        self.sip(Command::Peers(peers));
        self.peers_changed = false;
        let gone: Vec<PeerId> =
            self.log.accounts.keys().copied().filter(|peer| self.directory.sip_user(*peer).is_none()).collect();
        for peer in gone {
            let Some(user) = self.log.accounts.remove(&peer) else { continue };
            self.log.bindings.remove(&user);
            self.log_change(Change::Registrations { user, bindings: Vec::new() });
        }
    }

    fn show_registered(&mut self, peer: PeerId, bindings: usize) {
        if self.directory.bound(peer, bindings) {
            let (agents, users) = self.directory.behind(peer);
            for agent in &agents {
                self.tell_updated(agent);
            }
            self.out.agents.extend(agents);
            self.out.users.extend(users);
        }
    }

    fn binding(&self, record: BindingRecord) -> Option<BindingCopy> {
        let transport = Transport::of_name(&record.transport).filter(|transport| !transport.is_stream())?;
        let lasts = Duration::try_from(record.expires_at.duration_since(self.now.wall)).ok()?;
        Some(BindingCopy {
            contact: record.contact,
            flow: Flow { transport, local: record.local, remote: record.remote },
            lasts,
            instance: record.instance,
            call_id: record.call_id,
            cseq: record.cseq,
        })
        .filter(|binding| !binding.lasts.is_zero())
    }

    fn binding_record(&self, binding: &BindingCopy) -> BindingRecord {
        BindingRecord {
            contact: binding.contact.clone(),
            transport: binding.flow.transport.name().to_owned(),
            local: binding.flow.local,
            remote: binding.flow.remote,
            expires_at: self.now.wall.checked_add(binding.lasts).unwrap_or(jiff::Timestamp::MAX),
            instance: binding.instance.clone(),
            call_id: binding.call_id.clone(),
            cseq: binding.cseq,
        }
    }
}
