//! The read model that the API would show, and the events that it would stream.

use std::collections::BTreeMap;

use engine::view::{AgentView, CallView, EventBody, EventName, ListeningView, RequestView, UserView};
use engine::{Event, View};

/// Everything the engine showed. What was given over to the store stays here too, for the stories.
#[derive(Debug, Default)]
pub struct Model {
    /// Agents.
    pub agents: BTreeMap<String, AgentView>,
    /// Users.
    pub users: BTreeMap<String, UserView>,
    /// Calls, ended ones included.
    pub calls: BTreeMap<String, CallView>,
    /// Requests, ended ones included.
    pub requests: BTreeMap<String, RequestView>,
    /// Listenings, ended ones included.
    pub listenings: BTreeMap<String, ListeningView>,
    /// Ids of what the engine says the store has.
    pub removed: Vec<String>,
    /// Events in order.
    pub events: Vec<Event>,
}

impl Model {
    pub(crate) fn see(&mut self, view: View) {
        match view {
            View::Agent(a) => drop(self.agents.insert(a.id.clone(), a)),
            View::AgentRemoved(id) => drop(self.agents.remove(&id)),
            View::User(u) => drop(self.users.insert(u.id.clone(), u)),
            View::UserRemoved(id) => drop(self.users.remove(&id)),
            View::Call(c) => drop(self.calls.insert(c.id.clone(), c)),
            View::Request(r) => drop(self.requests.insert(r.id.clone(), r)),
            View::Listening(l) => drop(self.listenings.insert(l.id.clone(), l)),
            View::CallRemoved(id) | View::RequestRemoved(id) | View::ListeningRemoved(id) => self.removed.push(id),
            View::Listener(_) => {}
        }
    }

    /// Names of the events about one resource, in order.
    #[must_use]
    pub fn events_of(&self, id: &str) -> Vec<EventName> {
        self.events.iter().filter(|e| body_id(&e.body) == id).map(|e| e.name).collect()
    }

    /// How many events of that name there were.
    #[must_use]
    pub fn count(&self, name: EventName) -> usize {
        self.events.iter().filter(|e| e.name == name).count()
    }
}

fn body_id(body: &EventBody) -> &str {
    match body {
        EventBody::Agent(a) => &a.id,
        EventBody::Call(c) => &c.id,
        EventBody::Request(r) => &r.id,
        EventBody::Listening(l) => &l.id,
        EventBody::Webhook(w) => &w.id,
    }
}
