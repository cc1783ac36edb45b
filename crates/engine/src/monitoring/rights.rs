//! Rights that are lost: who may no longer listen is hung up, and what was ordered is suspended until it is armed again.

use crate::audit::{Action, ENGINE};
use crate::directory::Party;
use crate::engine::Core;
use crate::interface::Problem;
use crate::persist::Change;
use crate::view::{EndReason, ListenerRef, ListeningView, RequestReason, RequestState, RequestView};

impl Core {
    /// Why this listening may not be (any more): who ordered it may not listen to the agent, or not have this listener
    /// called. Judged when it begins and whenever a fork is attached.
    pub(crate) fn rights_lost(&self, listening: &ListeningView) -> Option<EndReason> {
        self.lost(&listening.ordered_by, &listening.agent.id, &listening.listener)
    }

    /// Rights, monitorability or the directory changed: whoever may no longer listen is hung up, at once, and requests
    /// that could only end so are suspended.
    pub(crate) fn judge_rights(&mut self) {
        let suspended = self.suspend_without_right();
        for id in self.listenings.keys().cloned().collect::<Vec<_>>() {
            self.ended_for_rights(&id);
        }
        for id in suspended {
            self.keep_suspended(&id);
            self.judge_request(&id);
        }
    }

    /// A request that was being stored while its rights were lost.
    pub(crate) fn judge_rights_of(&mut self, request: &str) {
        let lost = self.requests.get(request).and_then(|request| self.reason_lost(&request.record.view));
        if lost.is_some() {
            self.judge_rights();
        }
    }

    /// Ends it if it may not be any more. True: it did.
    pub(crate) fn ended_for_rights(&mut self, id: &str) -> bool {
        let Some(reason) = self.listenings.get(id).and_then(|listening| self.rights_lost(&listening.view)) else {
            return false;
        };
        self.counters.count("listenings_ended_for_rights");
        self.end_listening(id, reason);
        true
    }

    /// Requests of an agent that the API took away: nobody will ever be heard by them.
    pub(crate) fn end_requests_of(&mut self, agent: &str) {
        for id in self.requests_of.get(agent).cloned().unwrap_or_default() {
            let Some(request) = self.requests.get_mut(&id).filter(|request| request.stored && !request.ending) else {
                continue;
            };
            request.ending = true;
            request.record.view.reason = Some(RequestReason::AgentDeleted);
            for listening in request.open.clone() {
                self.end_listening(&listening, EndReason::AgentNotMonitorable);
            }
            self.finish_request(&id, RequestState::Deleted, ENGINE, None);
        }
    }

    /// Who arms a request again must still have the right to it, whoever that is.
    pub(crate) fn judge_resumption(&self, request: &RequestView) -> Result<(), Problem> {
        let (code, detail) = match self.reason_lost(request) {
            None => return Ok(()),
            Some(RequestReason::ListenerNotAllowed) => {
                ("listener-not-allowed", "who ordered it may not have this listener called any more")
            }
            Some(_) => ("agent-not-monitorable", "this agent may not be listened to, or not by who ordered it"),
        };
        Err(Problem::new(403, code, detail))
    }

    /// Marked before anybody is hung up: a slot that comes back must not be taken again.
    fn suspend_without_right(&mut self) -> Vec<String> {
        let stored =
            self.requests.iter().filter(|(_, request)| request.stored && !request.ending && !request.suspended);
        let lost: Vec<_> =
            stored.filter_map(|(id, request)| Some((id.clone(), self.reason_lost(&request.record.view)?))).collect();
        for (id, reason) in &lost {
            if let Some(request) = self.requests.get_mut(id) {
                request.suspended = true;
                request.record.view.reason = Some(*reason);
            }
        }
        lost.into_iter().map(|(id, _)| id).collect()
    }

    fn keep_suspended(&mut self, id: &str) {
        let Some(request) = self.requests.get(id).filter(|request| !request.ending) else { return };
        let mut record = request.record.clone();
        record.view.state = RequestState::Suspended;
        let reason = record.view.reason;
        self.counters.count("requests_suspended");
        let why = format!("request suspended: {}", reason.map_or("", RequestReason::words));
        self.out.log("warn", why, vec![("request", id.to_owned())]);
        let entry = self.request_entry(ENGINE, Action::RequestSuspended, &record.view);
        self.persist_all(vec![Change::Request(record), Change::Audit(entry)], Vec::new());
    }

    fn reason_lost(&self, request: &RequestView) -> Option<RequestReason> {
        match self.lost(&request.ordered_by, &request.agent.id, &request.listener)? {
            EndReason::AgentNotMonitorable => Some(RequestReason::AgentNotMonitorable),
            _ => Some(RequestReason::ListenerNotAllowed),
        }
    }

    fn lost(&self, ordered_by: &str, agent: &str, listener: &ListenerRef) -> Option<EndReason> {
        if !self.directory.may_monitor(ordered_by, agent) {
            return Some(EndReason::AgentNotMonitorable);
        }
        let party = match listener {
            ListenerRef { user: Some(id), .. } => Some(Party::User(id.clone())),
            ListenerRef { agent: Some(id), .. } => Some(Party::Agent(id.clone())),
            ListenerRef { number, .. } => number.as_ref().and_then(|number| self.directory.look_up(number)),
        };
        let there = match &party {
            Some(Party::User(id)) => self.directory.users.contains_key(id),
            Some(Party::Agent(id)) => self.directory.agents.contains_key(id),
            Some(Party::Outside { .. }) | None => true,
        };
        let allowed = there && self.judge_allowed(ordered_by, listener, party.as_ref()).is_ok();
        (!allowed).then_some(EndReason::PolicyDenied)
    }
}
