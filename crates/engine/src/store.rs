//! What waits for the store: answers that leave only when it has spoken, ended resources that stay in the views until
//! it has them, and what it refused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::engine::Core;
use crate::interface::{PersistId, Problem, Reply, ReplyId, View};
use crate::persist::Change;
use crate::timers::Timer;

/// Refused records are offered again so often.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

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
}

/// What is out at the store.
#[derive(Debug, Default)]
pub(crate) struct Books {
    waiting: BTreeMap<PersistId, (Change, Vec<After>)>,
    /// Final records that the store refused.
    refused: VecDeque<(Change, Vec<After>)>,
    /// Requests whose last change it refused, with their heard calls that are not confirmed; they are offered as they
    /// are then, so that no older record overwrites a newer one.
    requests: BTreeMap<String, usize>,
    /// Agents likewise.
    agents: BTreeSet<String>,
}

impl Books {
    /// Ended resources that only the views still have.
    fn ended(&self) -> usize {
        self.waiting.len() + self.refused.len()
    }
}

impl Core {
    /// Asks the store to keep something.
    pub(crate) fn persist(&mut self, change: Change, after: Vec<After>) {
        let persist = PersistId(self.ids.next());
        self.out.persists.push((persist, vec![change.clone()]));
        self.books.waiting.insert(persist, (change, after));
    }

    /// The store answered; or why it did not write.
    pub(crate) fn persisted(&mut self, persist: PersistId, result: Result<(), String>) {
        let Some((change, after)) = self.books.waiting.remove(&persist) else { return };
        let (ok, refusal) = (result.is_ok(), result.err().unwrap_or_default());
        if !ok {
            self.counters.count("persists_failed");
        }
        let mut again = Vec::new();
        let mut uncounted = 0;
        for next in after {
            match next {
                After::Reply(reply, answer, code) => {
                    let refused = || Problem::new(503, code, format!("the store cannot be written now: {refusal}"));
                    self.out.replies.push((reply, if ok { Ok(answer) } else { Err(refused()) }));
                }
                After::Order(reply, request) => self.ordered(reply, &request, if ok { Ok(()) } else { Err(&refusal) }),
                After::Listening(listening) => self.listening_stored(&listening, ok),
                After::Counted(request) if ok => self.count_stored(&request),
                After::Counted(_) => uncounted += 1,
                ended if ok => self.gone(&ended),
                ended => again.push(ended),
            }
        }
        if !ok {
            self.keep_for_later(change, again, uncounted);
        }
    }

    fn keep_for_later(&mut self, change: Change, after: Vec<After>, uncounted: usize) {
        match change {
            change if !after.is_empty() => self.books.refused.push_back((change, after)),
            Change::Request(record) | Change::Heard(_, record) => {
                *self.books.requests.entry(record.view.id).or_default() += uncounted
            }
            Change::Agent(record) => drop(self.books.agents.insert(record.id)),
            Change::AgentRemoved(id) => drop(self.books.agents.insert(id)),
            // its next state, or its end, is written as it comes
            Change::Listening(_) | Change::Call(_) => return,
            Change::Audit(_)
            | Change::Answer(_)
            | Change::Registrations { .. }
            | Change::Dialog(_)
            | Change::DialogEnded(_) => return,
        }
        while self.books.ended() > self.settings.max_ended_views {
            let Some((_, after)) = self.books.refused.pop_front() else { break };
            self.counters.count("records_lost");
            for ended in &after {
                self.gone(ended);
            }
        }
        if !self.timers.is_set(&Timer::Unsaved) {
            let at = self.after(SAVE_AGAIN);
            self.timers.set(Timer::Unsaved, at);
        }
    }

    /// Offers again what the store refused.
    pub(crate) fn save_again(&mut self) {
        for (change, after) in std::mem::take(&mut self.books.refused) {
            self.persist(change, after);
        }
        for (id, uncounted) in std::mem::take(&mut self.books.requests) {
            // one that ended meanwhile has its final record among the above
            let Some(record) =
                self.requests.get(&id).filter(|request| request.stored).map(|request| request.record.clone())
            else {
                continue;
            };
            self.persist(Change::Request(record), (0..uncounted).map(|_| After::Counted(id.clone())).collect());
        }
        for id in std::mem::take(&mut self.books.agents) {
            let change = self.directory.record(&id).map_or(Change::AgentRemoved(id), Change::Agent);
            self.persist(change, Vec::new());
        }
    }

    /// The store has it: the views need it no more.
    fn gone(&mut self, ended: &After) {
        let view = match ended {
            After::Call(id) => View::CallRemoved(id.clone()),
            After::Listened(id) => View::ListeningRemoved(id.clone()),
            After::Request(id) => View::RequestRemoved(id.clone()),
            After::Reply(..) | After::Order(..) | After::Listening(_) | After::Counted(_) => return,
        };
        self.out.removed.push(view);
    }
}
