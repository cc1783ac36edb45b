//! The read model: resources as the engine last showed them, written by the engine's task, read by HTTP.

use std::sync::Arc;

use dashmap::DashMap;
use engine::View;
use engine::view::{AgentView, CallView, ListeningView, RequestView, UserView};

use crate::auth::Caller;
use engine::view::Role;

/// Live resources by id. Those that ended stay until the store has them.
#[derive(Debug, Default)]
pub(crate) struct Model {
    agents: DashMap<String, Arc<AgentView>>,
    users: DashMap<String, Arc<UserView>>,
    calls: DashMap<String, Arc<CallView>>,
    requests: DashMap<String, Arc<RequestView>>,
    listenings: DashMap<String, Arc<ListeningView>>,
}

impl Model {
    pub(crate) fn apply(&self, view: View) {
        match view {
            View::Agent(agent) => drop(self.agents.insert(agent.id.clone(), Arc::new(agent))),
            View::AgentRemoved(id) => drop(self.agents.remove(&id)),
            View::User(user) => drop(self.users.insert(user.id.clone(), Arc::new(user))),
            View::UserRemoved(id) => drop(self.users.remove(&id)),
            View::Call(call) => drop(self.calls.insert(call.id.clone(), Arc::new(call))),
            View::CallRemoved(id) => drop(self.calls.remove(&id)),
            View::Request(request) => drop(self.requests.insert(request.id.clone(), Arc::new(request))),
            View::RequestRemoved(id) => drop(self.requests.remove(&id)),
            View::Listening(listening) => drop(self.listenings.insert(listening.id.clone(), Arc::new(listening))),
            View::ListeningRemoved(id) => drop(self.listenings.remove(&id)),
            // Every view that names a listener carries it whole.
            View::Listener(_) => {}
        }
    }

    pub(crate) fn agent(&self, id: &str) -> Option<Arc<AgentView>> {
        self.agents.get(id).map(|agent| Arc::clone(&agent))
    }
    pub(crate) fn user(&self, id: &str) -> Option<Arc<UserView>> {
        self.users.get(id).map(|user| Arc::clone(&user))
    }
    pub(crate) fn call(&self, id: &str) -> Option<Arc<CallView>> {
        self.calls.get(id).map(|call| Arc::clone(&call))
    }
    pub(crate) fn request(&self, id: &str) -> Option<Arc<RequestView>> {
        self.requests.get(id).map(|request| Arc::clone(&request))
    }
    pub(crate) fn listening(&self, id: &str) -> Option<Arc<ListeningView>> {
        self.listenings.get(id).map(|listening| Arc::clone(&listening))
    }

    pub(crate) fn agents(&self) -> Vec<Arc<AgentView>> {
        all(&self.agents)
    }
    pub(crate) fn users(&self) -> Vec<Arc<UserView>> {
        all(&self.users)
    }
    pub(crate) fn calls(&self) -> Vec<Arc<CallView>> {
        all(&self.calls)
    }
    pub(crate) fn requests(&self) -> Vec<Arc<RequestView>> {
        all(&self.requests)
    }
    pub(crate) fn listenings(&self) -> Vec<Arc<ListeningView>> {
        all(&self.listenings)
    }

    /// Rights on reading (API.md, Rights): an agent.
    pub(crate) fn sees_agent(&self, caller: &Caller, agent: &AgentView) -> bool {
        match (caller.user.role, &caller.user.groups) {
            (Role::Supervisor, Some(groups)) => agent.group.as_ref().is_some_and(|group| groups.contains(group)),
            _ => true,
        }
    }

    /// A call: by its agent. One without an agent, or whose agent is gone, is for those who see all.
    pub(crate) fn sees_call(&self, caller: &Caller, call: &CallView) -> bool {
        match (caller.user.role, &caller.user.groups) {
            (Role::Supervisor, Some(_)) => {
                call.agent.as_ref().and_then(|id| self.agent(id)).is_some_and(|agent| self.sees_agent(caller, &agent))
            }
            _ => true,
        }
    }

    /// Ids of the agents whose calls the caller may see; `None`: all calls.
    pub(crate) fn permitted_agents(&self, caller: &Caller) -> Option<Vec<String>> {
        if caller.user.role != Role::Supervisor || caller.user.groups.is_none() {
            return None;
        }
        Some(
            self.agents().iter().filter(|agent| self.sees_agent(caller, agent)).map(|agent| agent.id.clone()).collect(),
        )
    }
}

/// A request or a listening: its orderer and admins.
pub(crate) fn sees_order(caller: &Caller, ordered_by: &str) -> bool {
    match caller.user.role {
        Role::Admin => true,
        Role::Supervisor => caller.user.id == ordered_by,
        Role::Integrator => false,
    }
}

fn all<T>(map: &DashMap<String, Arc<T>>) -> Vec<Arc<T>> {
    map.iter().map(|entry| Arc::clone(entry.value())).collect()
}
