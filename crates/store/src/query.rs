//! Queries, and what their filters mean on one view: the reference that SQL has to agree with, and the API's read model
//! uses.

use engine::persist::AuditEntry;
use engine::view::{CallView, ListeningState, ListeningView, RequestState, RequestView};
use jiff::Timestamp;

use crate::{PAGE_DEFAULT, PAGE_MAX};

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// For the next page; `None`: this was the last.
    pub next_cursor: Option<String>,
}

/// "Monitored by" search; every field that is set must match.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ListeningQuery {
    pub state: Option<ListeningState>,
    pub agent: Option<String>,
    /// User id, agent id or number.
    pub listener: Option<String>,
    pub ordered_by: Option<String>,
    /// Part of the caller's number.
    pub caller: Option<String>,
    /// Began at or after (answered, else rang, else ended).
    pub from: Option<Timestamp>,
    /// Began before.
    pub to: Option<Timestamp>,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// Search in requests.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RequestQuery {
    /// Only active (true), only ended (false), or both.
    pub active: Option<bool>,
    /// In this very state.
    pub state: Option<RequestState>,
    pub agent: Option<String>,
    pub ordered_by: Option<String>,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// Search in call records.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct CallQuery {
    pub agent: Option<String>,
    /// Only calls of these agents (a supervisor's); `None`: all, those without an agent too.
    pub agents: Option<Vec<String>>,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// Search in the audit trail.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct AuditQuery {
    pub actor: Option<String>,
    pub agent: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    pub limit: usize,
    pub cursor: Option<String>,
}

impl ListeningQuery {
    /// Every filter that is set matches.
    #[must_use]
    pub fn matches(&self, view: &ListeningView) -> bool {
        is(self.state.as_ref(), &view.state)
            && is(self.agent.as_ref(), &view.agent.id)
            && self.listener.as_deref().is_none_or(|wanted| listener_key(view) == Some(wanted))
            && is(self.ordered_by.as_ref(), &view.ordered_by)
            && self.caller.as_deref().is_none_or(|part| view.caller_number.as_deref().is_some_and(|n| n.contains(part)))
            && self.from.is_none_or(|from| began(view).is_some_and(|at| at >= from))
            && self.to.is_none_or(|to| began(view).is_some_and(|at| at < to))
    }
}

impl RequestQuery {
    /// Every filter that is set matches.
    #[must_use]
    pub fn matches(&self, view: &RequestView) -> bool {
        self.active.is_none_or(|active| view.state.is_active() == active)
            && is(self.state.as_ref(), &view.state)
            && is(self.agent.as_ref(), &view.agent.id)
            && is(self.ordered_by.as_ref(), &view.ordered_by)
    }
}

impl CallQuery {
    /// Every filter that is set matches.
    #[must_use]
    pub fn matches(&self, view: &CallView) -> bool {
        self.agent.as_ref().is_none_or(|wanted| view.agent.as_ref() == Some(wanted))
            && self.agents.as_ref().is_none_or(|agents| view.agent.as_ref().is_some_and(|agent| agents.contains(agent)))
    }
}

impl AuditQuery {
    /// Every filter that is set matches.
    #[must_use]
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        is(self.actor.as_ref(), &entry.actor)
            && is(self.action.as_ref(), &entry.action)
            && self.agent.as_ref().is_none_or(|wanted| entry.agent.as_ref() == Some(wanted))
            && self.target.as_ref().is_none_or(|wanted| entry.target.as_ref() == Some(wanted))
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at < to)
    }
}

/// When a listening began: answered, else rang, else ended.
pub(crate) fn began(view: &ListeningView) -> Option<Timestamp> {
    view.answered_at.or(view.ringing_at).or(view.ended_at)
}

/// When a call ended; one that is not over counts from its beginning.
pub(crate) fn ended(view: &CallView) -> Timestamp {
    view.ended_at.unwrap_or(view.started_at)
}

/// Times beyond what 64 bits hold (years 1677 to 2262) sort as the first and the last.
pub(crate) fn nanoseconds(at: Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// User id, agent id or number: whichever names the listener.
pub(crate) fn listener_key(view: &ListeningView) -> Option<&str> {
    let listener = &view.listener;
    listener.user.as_deref().or(listener.agent.as_deref()).or(listener.number.as_deref())
}

/// Items of a page: the default where none is named, never above [`PAGE_MAX`].
pub(crate) fn page_limit(limit: usize) -> usize {
    if limit == 0 { PAGE_DEFAULT } else { limit.min(PAGE_MAX) }
}

fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}
