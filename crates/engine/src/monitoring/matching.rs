//! Which interactions a request listens to (SEMANTICS, Which calls trigger).

use crate::engine::{Closing, Core};
use crate::interaction::{Interaction, InteractionKey, Trigger};
use crate::monitoring::Request;

impl Core {
    /// An interaction began: every request of the agent that it matches.
    pub(crate) fn match_interaction(&mut self, key: InteractionKey) {
        let Some(agent) = self.interactions.get(&key).map(|interaction| interaction.agent.clone()) else { return };
        for request in self.requests_of.get(&agent).cloned().unwrap_or_default() {
            self.match_one(&request, key);
        }
    }

    /// A request was armed, or a slot came back: every interaction of its agent.
    pub(crate) fn match_request(&mut self, id: &str) {
        let Some(agent) = self.requests.get(id).map(|request| request.record.view.agent.id.clone()) else { return };
        for key in self.desks.get(&agent).map(|desk| desk.interactions.clone()).unwrap_or_default() {
            self.match_one(id, key);
        }
    }

    fn match_one(&mut self, id: &str, key: InteractionKey) {
        let (Some(request), Some(interaction)) = (self.requests.get(id), self.interactions.get(&key)) else { return };
        let armed = self.closing != Closing::Stopping
            && request.stored
            && !request.ending
            && !request.suspended
            && request.record.view.until > self.now.wall;
        let untried = !interaction.tried.iter().any(|tried| tried == id);
        if armed && untried && !interaction.lingering && matches(request, interaction) && self.has_slot(id) {
            self.begin_listening(id, key);
        }
    }

    /// N is never overrun: heard ones and those that may yet be heard take a slot each.
    pub(crate) fn has_slot(&self, id: &str) -> bool {
        self.slots_taken(id) < self.slots(id)
    }

    /// N, or as many as one likes.
    pub(crate) fn slots(&self, id: &str) -> usize {
        let Some(request) = self.requests.get(id) else { return 0 };
        request.record.view.calls.limit.map_or(usize::MAX, |limit| limit as usize)
    }

    pub(crate) fn slots_taken(&self, id: &str) -> usize {
        let Some(request) = self.requests.get(id) else { return 0 };
        let open = request.open.iter().filter_map(|open| self.listenings.get(open));
        let reserved = open.filter(|open| !open.view.counted && open.phase.reserves()).count();
        reserved.saturating_add(request.unsettled as usize).saturating_add(request.record.view.calls.used as usize)
    }
}

fn matches(request: &Request, interaction: &Interaction) -> bool {
    let in_progress = interaction.began < request.ordered;
    match interaction.trigger {
        Trigger::Direction(direction) => in_progress || request.record.view.directions.contains(&direction),
        Trigger::OnOrder => in_progress,
        Trigger::Received => false,
    }
}
