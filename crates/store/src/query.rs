//! What a query's filters mean, on one view: the reference that SQL has to agree with, and the API's read model uses.

use engine::view::{CallView, ListeningView, RequestView};
use jiff::Timestamp;

use crate::{CallQuery, ListeningQuery, PAGE_DEFAULT, PAGE_MAX, RequestQuery};

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

/// When a listening began: answered, else rang, else ended.
pub(crate) fn began(view: &ListeningView) -> Option<Timestamp> {
    view.answered_at.or(view.ringing_at).or(view.ended_at)
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
