//! What a memory store holds, and what a change does to it.

use std::collections::BTreeMap;

use engine::persist::{AgentRecord, AnswerRecord, AuditEntry, BindingRecord, Change, DialogRecord, RequestRecord};
use engine::view::{CallView, ListeningView};

use crate::audit::{End, cursor_id, hex, sealed};
use crate::query::{ended, nanoseconds};
use crate::{AuditBreak, AuditReport, AuditRow, Claim, Retention, claim_is_free};

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) requests: BTreeMap<String, RequestRecord>,
    pub(super) listenings: BTreeMap<String, ListeningView>,
    pub(super) calls: BTreeMap<String, CallView>,
    /// `None`: removed.
    pub(super) agents: BTreeMap<String, Option<AgentRecord>>,
    /// By number, as cursors have it.
    pub(super) audit: BTreeMap<String, AuditRow>,
    /// By user and key.
    pub(super) answers: BTreeMap<(String, String), AnswerRecord>,
    pub(super) registrations: BTreeMap<String, Vec<BindingRecord>>,
    pub(super) dialogs: BTreeMap<String, DialogRecord>,
    /// By kind and id.
    pub(super) documents: BTreeMap<(String, String), String>,
    /// By listening.
    claims: BTreeMap<String, Held>,
    end: Option<End>,
    pub(super) unavailable: bool,
}

/// One of N.
#[derive(Debug)]
struct Held {
    request: String,
    heard: bool,
}

impl Tables {
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Request(request) => self.request(request),
            Change::Listening(listening) => self.listening(listening),
            Change::Heard(listening, request) => {
                let held = Held { request: request.view.id.clone(), heard: true };
                self.claims.insert(listening.id.clone(), held);
                self.listening(listening);
                self.request(request);
            }
            Change::Call(call) => drop(self.calls.insert(call.id.clone(), call)),
            Change::Agent(agent) => drop(self.agents.insert(agent.id.clone(), Some(agent))),
            Change::AgentRemoved(id) => drop(self.agents.insert(id, None)),
            Change::Audit(entry) => self.append(entry),
            Change::Answer(answer) => {
                drop(self.answers.insert((answer.user.clone(), answer.key.clone()), answer));
            }
            Change::Registrations { user, bindings } if bindings.is_empty() => drop(self.registrations.remove(&user)),
            Change::Registrations { user, bindings } => drop(self.registrations.insert(user, bindings)),
            Change::Dialog(dialog) => drop(self.dialogs.insert(dialog.key.clone(), dialog)),
            Change::DialogEnded(key) => drop(self.dialogs.remove(&key)),
            Change::Document { kind, id, doc: Some(doc) } => drop(self.documents.insert((kind, id), doc)),
            Change::Document { kind, id, doc: None } => drop(self.documents.remove(&(kind, id))),
        }
    }

    fn request(&mut self, request: RequestRecord) {
        let id = request.view.id.clone();
        if !request.view.state.is_active() {
            self.claims.retain(|_, held| held.request != id);
        }
        self.requests.insert(id, request);
    }

    fn listening(&mut self, listening: ListeningView) {
        self.listenings.insert(listening.id.clone(), listening);
    }

    fn append(&mut self, entry: AuditEntry) {
        let end = self.end.unwrap_or(End::EMPTY);
        let seq = end.seq + 1;
        let hash = seal(seq, &entry, &end);
        let row = AuditRow { seq, entry, prev: hex(&end.hash), hash: hex(&hash) };
        self.audit.insert(cursor_id(seq), row);
        self.end = Some(End { seq, hash });
    }

    /// Nobody but this process can change them: what is checked is that the chain was made as it is read.
    pub(super) fn verify_audit(&self) -> AuditReport {
        let mut end = End::EMPTY;
        for row in self.audit.values() {
            let (seq, hash) = (end.seq + 1, seal(row.seq, &row.entry, &end));
            if row.seq != seq || row.hash != hex(&hash) || row.prev != hex(&end.hash) {
                let why = "its content is not what its hash was made of".to_owned();
                return end.report(Some(AuditBreak { seq, why }));
            }
            end = End { seq, hash };
        }
        end.report(None)
    }

    pub(super) fn forget(&mut self, limits: &Retention, at_most: usize) -> usize {
        let mut gone = 0;
        if let Some(before) = limits.calls_before {
            let old = self.calls.values().filter(|call| ended(call) < before);
            let mut old: Vec<_> = old.map(|call| (ended(call), call.id.clone())).collect();
            old.sort();
            gone += old.iter().take(at_most).filter_map(|(_, id)| self.calls.remove(id)).count();
        }
        let old = self.answers.values().filter(|answer| answer.at < limits.answers_before);
        let mut old: Vec<_> = old.map(|answer| (answer.at, (answer.user.clone(), answer.key.clone()))).collect();
        old.sort();
        gone + old.iter().take(at_most).filter_map(|(_, key)| self.answers.remove(key)).count()
    }

    pub(super) fn claim(&mut self, request: &str, listening: &str) -> Claim {
        let Some(record) = self.requests.get(request).filter(|record| record.view.state.is_active()) else {
            return Claim::NoRequest;
        };
        if self.claims.get(listening).is_some_and(|held| held.request == request) {
            return Claim::Granted;
        }
        let count = |heard: bool| {
            let held = self.claims.values().filter(|held| held.request == request && held.heard == heard);
            u32::try_from(held.count()).unwrap_or(u32::MAX)
        };
        if !claim_is_free(&record.view.calls, count(true), count(false)) {
            return Claim::Full;
        }
        self.claims.insert(listening.to_owned(), Held { request: request.to_owned(), heard: false });
        Claim::Granted
    }

    pub(super) fn unclaim(&mut self, listening: &str) {
        if self.claims.get(listening).is_some_and(|held| !held.heard) {
            self.claims.remove(listening);
        }
    }

    pub(super) fn release_claims(&mut self) {
        self.claims.retain(|_, held| held.heard);
    }
}

fn seal(seq: u64, entry: &AuditEntry, before: &End) -> crate::audit::Hash {
    let details = serde_json::Value::Object(entry.details.clone()).to_string();
    sealed(i64::try_from(seq).unwrap_or(i64::MAX), nanoseconds(entry.at), entry, &details, &before.hash)
}
