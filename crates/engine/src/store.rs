//! What waits for the store: answers that leave only when it has spoken, ended resources that stay in the views until
//! it has them, and what it refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::call::CallKey;
use crate::engine::Core;
use crate::interaction::InteractionKey;
use crate::interface::{PersistId, Problem, Reply, ReplyId, View};
use crate::persist::{AuditEntry, Change};
use crate::timers::Timer;

/// Refused records are offered again so often.
pub(crate) const SAVE_AGAIN: Duration = Duration::from_secs(5);
/// Entries of the audit trail that the store refused, at most; with so many, no command is taken that needs one more.
pub(crate) const UNWRITTEN_ENTRIES: usize = 10_000;
/// Entries without a record of their own that are offered again in one write.
const ENTRIES_A_WRITE: usize = 500;

/// What the store's answer sets off.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // few are out at a time
pub(crate) enum After {
    /// Answers a command; refused with this code where it could not be written.
    Reply(ReplyId, Reply, &'static str),
    /// An order becomes a request.
    Order(ReplyId, String),
    /// The listener may be called.
    Listening(String),
    /// A heard listening counts.
    Counted(String),
    /// The record of a call is kept.
    Call(String),
    /// An ended listening is kept.
    Listened(String),
    /// An ended request is kept.
    Request(String),
    /// The shield of a call may be opened, unless it was closed anew since this turn.
    Unshield(Option<ReplyId>, CallKey, u64),
    /// The shield of an interaction has been closed long enough.
    ShieldOver(InteractionKey),
}

impl After {
    /// Without the store nothing of it comes about, and nothing of it is kept.
    fn needs_the_store(&self) -> bool {
        matches!(self, Self::Order(..) | Self::Listening(_) | Self::Unshield(..) | Self::ShieldOver(_))
    }
}

/// What is out at the store.
#[derive(Debug, Default)]
pub(crate) struct Books {
    waiting: BTreeMap<PersistId, (Vec<Change>, Vec<After>)>,
    /// Final records that the store refused.
    refused: VecDeque<(Vec<Change>, Vec<After>)>,
    /// Requests whose last change it refused; they are offered as they are then, so that no older record overwrites a
    /// newer one.
    requests: BTreeMap<String, Uncounted>,
    /// Agents likewise.
    agents: BTreeSet<String>,
    /// What it refused of the audit trail, with whose record it belongs to.
    entries: VecDeque<(Subject, AuditEntry)>,
}

/// A request's heard calls that the store refused.
#[derive(Debug, Default)]
struct Uncounted {
    /// Not confirmed yet.
    calls: usize,
    /// Listenings that are written together with it.
    listenings: BTreeSet<String>,
}

/// With whose record an entry is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Request(String),
    Agent(String),
    Nobody,
}

impl Books {
    /// Changes that are not kept yet.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.refused.len() + self.requests.len() + self.agents.len()
    }

    /// Ended resources that only the views still have.
    fn ended(&self) -> usize {
        self.waiting.len() + self.refused.len()
    }

    /// There is no room for one more entry of the audit trail.
    pub(crate) fn are_full(&self) -> bool {
        self.entries.len() >= UNWRITTEN_ENTRIES
    }

    fn take_entries(&mut self) -> BTreeMap<Subject, Vec<Change>> {
        let mut by_subject: BTreeMap<Subject, Vec<Change>> = BTreeMap::new();
        for (subject, entry) in std::mem::take(&mut self.entries) {
            by_subject.entry(subject).or_default().push(Change::Audit(entry));
        }
        by_subject
    }
}

impl Core {
    /// Asks the store to keep something.
    pub(crate) fn persist(&mut self, change: Change, after: Vec<After>) {
        self.persist_all(vec![change], after);
    }

    /// Asks the store to keep all of it or nothing.
    pub(crate) fn persist_all(&mut self, changes: Vec<Change>, after: Vec<After>) {
        let persist = PersistId(self.ids.next());
        self.out.persists.push((persist, changes.clone()));
        self.books.waiting.insert(persist, (changes, after));
    }

    /// The store answered; or why it did not write.
    pub(crate) fn persisted(&mut self, persist: PersistId, result: Result<(), String>) {
        self.log_persisted(persist, result.is_ok());
        let Some((changes, after)) = self.books.waiting.remove(&persist) else { return };
        let (ok, refusal) = (result.is_ok(), result.err().unwrap_or_default());
        if !ok {
            self.counters.count("persists_failed");
        }
        let void = !ok && after.iter().any(After::needs_the_store);
        let mut again = Vec::new();
        let mut uncounted = 0;
        for next in after {
            match next {
                After::Reply(reply, answer, code) => {
                    let result = if ok { Ok(answer) } else { Err(unwritten(code, &refusal)) };
                    self.out.replies.push((reply, result));
                }
                After::Order(reply, request) => self.ordered(reply, &request, if ok { Ok(()) } else { Err(&refusal) }),
                After::Listening(listening) => self.listening_stored(&listening, ok),
                After::Unshield(reply, call, turn) => {
                    self.unshield_stored(reply, call, turn, if ok { Ok(()) } else { Err(&refusal) });
                }
                After::ShieldOver(interaction) => self.shield_over(interaction, ok),
                After::Counted(request) if ok => self.count_stored(&request),
                After::Counted(_) => uncounted += 1,
                ended if ok => self.gone(&ended),
                ended => again.push(ended),
            }
        }
        if !ok && !void {
            self.keep_for_later(changes, again, uncounted);
        }
    }

    fn keep_for_later(&mut self, mut changes: Vec<Change>, after: Vec<After>, uncounted: usize) {
        self.leave_to_newer(&mut changes);
        if !after.is_empty() {
            self.part_heard(&mut changes, uncounted);
        }
        let kept = if after.is_empty() {
            self.keep_states(changes, uncounted)
        } else {
            self.books.refused.push_back((changes, after));
            true
        };
        while self.books.ended() > self.settings.max_ended_views {
            let Some((_, after)) = self.books.refused.pop_front() else { break };
            self.counters.count("records_lost");
            for ended in &after {
                self.gone(ended);
            }
        }
        if kept {
            self.arm_unsaved();
        }
    }

    /// A newer record of the same listening is on its way: the older one is not offered again.
    fn leave_to_newer(&self, changes: &mut Vec<Change>) {
        let newer =
            |id: &str| self.books.waiting.values().flat_map(|(changes, _)| changes).any(|c| is_record_of(c, id));
        changes.retain(|change| !matches!(change, Change::Listening(view) if newer(&view.id)));
    }

    /// There is a newer record of this listening now: an older one that was refused is not offered again.
    pub(crate) fn supersede(&mut self, listening: &str) {
        for (changes, _) in &mut self.books.refused {
            changes.retain(|change| !matches!(change, Change::Listening(view) if view.id == listening));
        }
    }

    /// A heard listening that ended: it is kept as it is, its request is offered with it as it is then.
    fn part_heard(&mut self, changes: &mut [Change], uncounted: usize) {
        for change in changes {
            if let Change::Heard(view, record) = change {
                let parted = self.books.requests.entry(record.view.id.clone()).or_default();
                parted.calls += uncounted;
                parted.listenings.insert(view.id.clone());
                *change = Change::Listening(view.clone());
            }
        }
    }

    /// Something was refused: it is offered again a little later.
    pub(crate) fn arm_unsaved(&mut self) {
        if !self.timers.is_set(&Timer::Unsaved) {
            let at = self.after(SAVE_AGAIN);
            self.timers.set(Timer::Unsaved, at);
        }
    }

    /// Remembers whose record is to be offered again, with its entries. False: there is nothing to offer.
    fn keep_states(&mut self, changes: Vec<Change>, uncounted: usize) -> bool {
        let (mut subject, mut entries) = (Subject::Nobody, Vec::new());
        for change in changes {
            match change {
                Change::Heard(view, record) => {
                    self.books.requests.entry(record.view.id.clone()).or_default().listenings.insert(view.id);
                    subject = Subject::Request(record.view.id);
                }
                Change::Request(record) => subject = Subject::Request(record.view.id),
                Change::Agent(crate::persist::AgentRecord { id, .. }) | Change::AgentRemoved(id) => {
                    self.books.agents.insert(id.clone());
                    subject = Subject::Agent(id);
                }
                // of many agents in one write each has its own
                Change::Audit(entry) => entries.push((subject.clone(), entry)),
                // its next state, or its end, is written as it comes
                Change::Listening(_) | Change::Call(_) => {}
                // whoever asked was told that it is not kept
                Change::Answer(_) => {}
                Change::Registrations { .. } | Change::Dialog(_) | Change::DialogEnded(_) | Change::Document { .. } => {
                }
            }
        }
        if let Subject::Request(id) = &subject {
            self.books.requests.entry(id.clone()).or_default().calls += uncounted;
        }
        let kept = subject != Subject::Nobody || !entries.is_empty();
        for (of, entry) in entries {
            if self.books.are_full() {
                self.books.entries.pop_front();
                self.counters.count("audit_entries_lost");
            }
            let of = if of == Subject::Nobody { subject.clone() } else { of };
            self.books.entries.push_back((of, entry));
        }
        kept
    }

    /// Offers again what the store refused.
    pub(crate) fn save_again(&mut self) {
        self.log_again();
        for (changes, after) in std::mem::take(&mut self.books.refused) {
            self.save_ended(changes, after);
        }
        let mut entries = self.books.take_entries();
        let mut of = |subject| entries.remove(&subject).unwrap_or_default();
        for (id, Uncounted { calls, listenings }) in std::mem::take(&mut self.books.requests) {
            // one that ended meanwhile has its final record among the above
            let Some(record) =
                self.requests.get(&id).filter(|request| request.stored).map(|request| request.record.clone())
            else {
                continue;
            };
            let heard = listenings.iter().filter_map(|listening| self.listenings.get(listening));
            let mut changes: Vec<Change> =
                heard.map(|listening| Change::Heard(listening.view.clone(), record.clone())).collect();
            if changes.is_empty() {
                changes.push(Change::Request(record));
            }
            changes.extend(of(Subject::Request(id.clone())));
            self.persist_all(changes, (0..calls).map(|_| After::Counted(id.clone())).collect());
        }
        for id in std::mem::take(&mut self.books.agents) {
            let change = self.directory.record(&id).map_or(Change::AgentRemoved(id.clone()), Change::Agent);
            let mut changes = vec![change];
            changes.extend(of(Subject::Agent(id)));
            self.persist_all(changes, Vec::new());
        }
        let mut rest: Vec<Change> = entries.into_values().flatten().collect();
        while !rest.is_empty() {
            let some = rest.drain(..rest.len().min(ENTRIES_A_WRITE)).collect();
            self.persist_all(some, Vec::new());
        }
    }

    /// A final record again; with that of a heard listening goes its request's count, in one write.
    fn save_ended(&mut self, mut changes: Vec<Change>, mut after: Vec<After>) {
        for change in &mut changes {
            let Change::Listening(view) = change else { continue };
            let Some(request) = self.requests.get(&view.request) else { continue };
            let Some(parted) = self.books.requests.get_mut(&view.request) else { continue };
            if parted.listenings.remove(&view.id) {
                parted.calls = parted.calls.saturating_sub(1);
                after.push(After::Counted(view.request.clone()));
                *change = Change::Heard(view.clone(), request.record.clone());
            }
        }
        self.persist_all(changes, after);
    }

    /// The store has it: the views need it no more.
    fn gone(&mut self, ended: &After) {
        let view = match ended {
            After::Call(id) => View::CallRemoved(id.clone()),
            After::Listened(id) => View::ListeningRemoved(id.clone()),
            After::Request(id) => View::RequestRemoved(id.clone()),
            After::Reply(..)
            | After::Order(..)
            | After::Listening(_)
            | After::Counted(_)
            | After::Unshield(..)
            | After::ShieldOver(_) => return,
        };
        self.out.removed.push(view);
    }
}

fn is_record_of(change: &Change, listening: &str) -> bool {
    matches!(change, Change::Listening(view) | Change::Heard(view, _) if view.id == listening)
}

/// 503: the store does not write now, and why.
pub(crate) fn unwritten(code: &'static str, why: &str) -> Problem {
    Problem::new(503, code, format!("the store cannot be written now: {why}"))
}
