//! The request machine: waiting → calling → listening → (waiting …) → fulfilled, expired or deleted; suspended.

use std::time::Duration;

use jiff::Timestamp;

use crate::audit::{Action, ENGINE};
use crate::engine::Core;
use crate::interface::{Event, Problem, Reply, ReplyId, View};
use crate::monitoring::order::judge_calls;
use crate::monitoring::{ListeningPhase, Request};
use crate::persist::{Change, RequestRecord};
use crate::store::After;
use crate::terms::{Key, Precondition, Terms};
use crate::timers::Timer;
use crate::view::{EndReason, EventBody, EventName, ListeningState, ListeningView, RequestState, Role};

/// The wall clock is looked at this often while a request is armed, so that a jump does no harm.
const UNTIL_CHECK: Duration = Duration::from_secs(30);

impl Core {
    /// What the store kept: requests are armed again, listenings that were open are closed (SEMANTICS, After a restart).
    pub(crate) fn restore(&mut self, requests: Vec<RequestRecord>, listenings: Vec<ListeningView>) {
        for mut listening in listenings.into_iter().filter(|listening| listening.state != ListeningState::Ended) {
            listening.state = ListeningState::Ended;
            listening.end_reason = Some(EndReason::EngineRestarted);
            listening.ended_at = Some(self.now.wall);
            self.show_ended_listening(listening, Vec::new(), Vec::new());
        }
        for mut record in requests.into_iter().filter(|record| record.view.state.is_active()) {
            let id = record.view.id.clone();
            let suspended = record.view.state == RequestState::Suspended;
            record.view.state = if suspended { RequestState::Suspended } else { RequestState::Waiting };
            record.view.warnings.clear();
            self.requests_of.entry(record.view.agent.id.clone()).or_default().insert(id.clone());
            let request = Request {
                record,
                unstored: 0,
                unsettled: 0,
                finishing: None,
                suspended,
                ordered: 0,
                stored: true,
                ending: false,
                open: Vec::new(),
                warnings: Vec::new(),
            };
            self.requests.insert(id.clone(), request);
            self.out.requests.insert(id.clone());
            self.until_changed = true;
            self.judge_request(&id);
        }
    }

    /// The store has the order, or not, and why.
    pub(crate) fn ordered(&mut self, reply: ReplyId, id: &str, stored: Result<(), &str>) {
        if let Err(why) = stored {
            self.counters.count("orders_unavailable");
            self.drop_request(id);
            let detail = format!("the order cannot be recorded now, so it is not taken: {why}");
            self.out.replies.push((reply, Err(Problem::new(503, "audit-unavailable", detail))));
            return;
        }
        let ordered = self.ids.next();
        let Some(request) = self.requests.get_mut(id) else { return };
        request.stored = true;
        request.ordered = ordered;
        let mut answer = request.view();
        answer.warnings = std::mem::take(&mut request.warnings);
        self.counters.count("orders_taken");
        self.out.replies.push((reply, Ok(Reply::Request(answer))));
        self.request_event(EventName::RequestCreated, id);
        self.judge_rights_of(id);
        self.match_request(id);
    }

    /// The request, if it is the actor's to see.
    fn own_request(&self, actor: &str, id: &str) -> Result<&Request, Problem> {
        let role = self
            .role(actor)
            .filter(|role| *role != Role::Integrator)
            .ok_or_else(|| Problem::forbidden("integrators have no requests"))?;
        let request = self
            .requests
            .get(id)
            .filter(|request| request.stored && !request.ending)
            .ok_or_else(Problem::request_not_found)?;
        if role != Role::Admin && request.record.view.ordered_by != actor {
            return Err(Problem::request_not_found());
        }
        Ok(request)
    }

    /// `PATCH /v1/requests/{id}`.
    pub(crate) fn change_request(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        calls: Option<i64>,
        until: Option<Timestamp>,
        expect: &Precondition,
    ) -> Result<Option<Reply>, Problem> {
        let used = self.own_request(actor, id)?.record.view.calls.used;
        let limit = calls.map(|calls| judge_calls(Some(calls), true)).transpose()?.flatten();
        if limit.is_some_and(|limit| limit < used) {
            return Err(Problem::invalid("calls", format!("{used} were heard already")));
        }
        let until = until.map(|until| self.judge_until_field(Some(until))).transpose()?;
        expect.judge(Some(self.own_request(actor, id)?.view().etag()))?;
        if let Some(request) = self.requests.get_mut(id) {
            let view = &mut request.record.view;
            view.calls.limit = limit.or(view.calls.limit);
            view.until = until.unwrap_or(view.until);
        }
        self.answer_change(reply, actor, id, Action::RequestChanged, None);
        self.judge_request(id);
        self.match_request(id);
        Ok(None)
    }

    /// `POST /v1/requests/{id}/resume`: arms a suspended request again.
    pub(crate) fn resume_request(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        terms: Terms,
    ) -> Result<Option<Reply>, Problem> {
        let view = self.own_request(actor, id)?.view();
        terms.expect.judge(Some(view.etag()))?;
        self.judge_resumption(&view)?;
        if let Some(request) = self.requests.get_mut(id) {
            request.suspended = false;
            request.record.view.reason = None;
            request.record.failures_in_a_row = 0;
            if request.record.view.state == RequestState::Suspended {
                request.record.view.state = RequestState::Waiting;
            }
        }
        self.answer_change(reply, actor, id, Action::RequestResumed, terms.key);
        self.judge_request(id);
        self.match_request(id);
        Ok(None)
    }

    fn answer_change(&mut self, reply: ReplyId, actor: &str, id: &str, action: Action, key: Option<Key>) {
        self.request_event(EventName::RequestUpdated, id);
        let Some(request) = self.requests.get(id) else { return };
        let (record, view) = (request.record.clone(), request.view());
        let entry = self.request_entry(actor, action, &view);
        let mut changes = vec![Change::Request(record), Change::Audit(entry)];
        changes.extend(key.map(|key| self.answer_record(actor, key, view.clone(), 200)));
        self.persist_all(changes, vec![After::Reply(reply, Reply::Request(view), "store-unavailable")]);
    }

    /// `DELETE /v1/requests/{id}`: listeners get CANCEL or BYE at once.
    pub(crate) fn delete_request(
        &mut self,
        reply: ReplyId,
        actor: &str,
        id: &str,
        expect: &Precondition,
    ) -> Result<Option<Reply>, Problem> {
        expect.judge(Some(self.own_request(actor, id)?.view().etag()))?;
        let open = match self.requests.get_mut(id) {
            Some(request) => {
                request.ending = true;
                request.open.clone()
            }
            None => Vec::new(),
        };
        for listening in open {
            self.end_listening(&listening, EndReason::Deleted);
        }
        let after = After::Reply(reply, Reply::Nothing, "store-unavailable");
        self.finish_request(id, RequestState::Deleted, actor, Some(after));
        Ok(None)
    }

    /// Where the request stands now, from its listenings, its count and the clock.
    pub(crate) fn judge_request(&mut self, id: &str) {
        let Some(request) = self.requests.get(id).filter(|request| request.stored && !request.ending) else { return };
        let open = || request.open.iter().filter_map(|open| self.listenings.get(open));
        let view = &request.record.view;
        let full = view.calls.limit.is_some_and(|limit| view.calls.used >= limit);
        let state = if open().any(|open| open.view.state == ListeningState::Live) {
            RequestState::Listening
        } else if open().any(|open| open.phase.reserves()) {
            RequestState::Calling
        } else if request.unsettled > 0 {
            view.state // until it is known what counts
        } else if full {
            RequestState::Fulfilled
        } else if view.until <= self.now.wall {
            RequestState::Expired
        } else if request.suspended {
            RequestState::Suspended
        } else {
            RequestState::Waiting
        };
        if !state.is_active() {
            let waiting = request.open.clone();
            if let Some(request) = self.requests.get_mut(id) {
                request.ending = true;
            }
            for listening in waiting {
                self.end_listening(&listening, EndReason::ListenerBusy);
            }
            self.finish_request(id, state, ENGINE, None);
        } else if view.state != state {
            if let Some(request) = self.requests.get_mut(id) {
                request.record.view.state = state;
            }
            self.request_event(EventName::RequestUpdated, id);
        }
    }

    /// It is over, at once or when it is known what counts.
    pub(crate) fn finish_request(&mut self, id: &str, state: RequestState, actor: &str, reply: Option<After>) {
        let Some(request) = self.requests.get_mut(id) else { return };
        if request.unsettled > 0 {
            request.finishing = Some((state, actor.to_owned(), reply));
            return;
        }
        request.record.view.state = state;
        request.record.view.ended_at = Some(self.now.wall);
        request.unstored = 0;
        self.request_event(EventName::RequestEnded, id);
        let Some(request) = self.drop_request(id) else { return };
        self.out.log("info", format!("request ended: {state:?}"), vec![("request", id.to_owned())]);
        self.out.views.push(View::Request(request.view()));
        let mut after = vec![After::Request(id.to_owned())];
        after.extend(reply);
        let action = if state == RequestState::Deleted { Action::RequestDeleted } else { Action::RequestEnded };
        let entry = self.request_entry(actor, action, &request.record.view);
        self.persist_all(vec![Change::Request(request.record), Change::Audit(entry)], after);
    }

    fn drop_request(&mut self, id: &str) -> Option<Request> {
        let request = self.requests.remove(id)?;
        let agent = &request.record.view.agent.id;
        if let Some(of_agent) = self.requests_of.get_mut(agent) {
            of_agent.remove(id);
            if of_agent.is_empty() {
                self.requests_of.remove(agent);
            }
        }
        Some(request)
    }

    pub(crate) fn request_event(&mut self, name: EventName, id: &str) {
        self.out.requests.insert(id.to_owned());
        self.until_changed = true;
        if let Some(request) = self.requests.get(id) {
            self.out.events.push(Event { name, at: self.now.wall, body: EventBody::Request(request.view()) });
        }
    }

    /// A heard call is stored: it may be shown.
    pub(crate) fn count_stored(&mut self, id: &str) {
        if let Some(request) = self.requests.get_mut(id) {
            request.unstored = request.unstored.saturating_sub(1);
            self.request_event(EventName::RequestUpdated, id);
        }
    }

    /// A listening ended without being heard: its slot is free for another interaction.
    pub(crate) fn slot_returned(&mut self, id: &str) {
        let open = self.requests.get(id).map(|request| request.open.clone()).unwrap_or_default();
        for listening in open {
            if self.listenings.get(&listening).is_some_and(|l| l.phase == ListeningPhase::Blocked) {
                self.ring(&listening);
            }
        }
        self.match_request(id);
    }

    /// Sets the one timer for `until`: at the earliest, and every 30 s because the wall clock may jump.
    pub(crate) fn arm_until(&mut self) {
        if !std::mem::take(&mut self.until_changed) {
            return;
        }
        let now = self.now.wall;
        let armed = self
            .requests
            .values()
            .filter(|request| request.stored && !request.ending)
            .map(|request| request.record.view.until);
        // those that have passed wait for their last listening, not for the clock
        let next = armed.filter(|until| *until > now).min();
        match next {
            None => self.timers.cancel(&Timer::Until),
            Some(until) => {
                let wait = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO).min(UNTIL_CHECK);
                // a millisecond more, so that the wall clock has passed it then
                let at = self.after(wait + Duration::from_millis(1));
                self.timers.set(Timer::Until, at);
            }
        }
    }

    pub(crate) fn judge_until(&mut self) {
        self.until_changed = true;
        let passed: Vec<String> = self
            .requests
            .values()
            .filter(|request| request.record.view.until <= self.now.wall)
            .map(|request| request.record.view.id.clone())
            .collect();
        for id in passed {
            self.judge_request(&id);
        }
    }
}
