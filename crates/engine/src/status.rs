//! Agents as they are shown: status from their calls, else the platform's last word.

use crate::engine::Core;
use crate::interaction::Phase;
use crate::interface::Event;
use crate::view::{AgentRef, AgentStatus, AgentView, CallState, EventBody, EventName};

impl Core {
    pub(crate) fn agent_view(&self, id: &str) -> Option<AgentView> {
        let agent = self.directory.agents.get(id)?;
        let calls = self.desks.get(id).map(|desk| {
            desk.calls.iter().filter_map(|entry| self.calls.get(&entry.call)).map(|call| call.id.clone()).collect()
        });
        Some(AgentView {
            id: agent.seed.id.clone(),
            name: agent.seed.name.clone(),
            number: agent.seed.number.clone(),
            group: agent.seed.group.clone(),
            skills: agent.seed.skills.clone(),
            status: agent.shown,
            status_since: agent.since,
            registered: self.directory.reachable(agent.peer),
            monitorable: agent.seed.monitorable,
            calls: calls.unwrap_or_default(),
        })
    }

    pub(crate) fn agent_ref(&self, id: &str) -> AgentRef {
        let name = self.directory.agents.get(id).map_or(id, |agent| &agent.seed.name);
        AgentRef { id: id.to_owned(), name: name.to_owned() }
    }

    /// Shows an agent's status anew if it changed.
    pub(crate) fn judge_status(&mut self, id: &str) {
        let phases = self.desks.get(id).into_iter().flat_map(|desk| &desk.calls);
        let live =
            phases.filter(|entry| self.calls.get(&entry.call).is_some_and(|call| call.state != CallState::Ended));
        let earliest = live.map(|entry| entry.phase).min();
        let now = self.now.wall;
        let Some(agent) = self.directory.agents.get_mut(id) else { return };
        let status = match earliest {
            Some(Phase::Answered(_)) => AgentStatus::Connected,
            Some(Phase::Dialling | Phase::Ringing) => AgentStatus::Connecting,
            None => agent.platform.unwrap_or(AgentStatus::Unknown),
        };
        if agent.shown == status {
            return;
        }
        agent.shown = status;
        agent.since = now;
        self.out.agents.insert(id.to_owned());
        if let Some(view) = self.agent_view(id) {
            self.out.events.push(Event { name: EventName::AgentStatus, at: now, body: EventBody::Agent(view) });
        }
    }
}
