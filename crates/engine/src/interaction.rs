//! What the agent hears and says: hold, consultation, swap, conference. One interaction is what the agent calls "this
//! customer": the primary call with its consultations, until the agent leaves it.

use signalling::LegId;

use crate::audit::{Action, ENGINE};
use crate::call::CallKey;
use crate::directory::Party;
use crate::engine::Core;
use crate::persist::Change;
use crate::store::{After, SAVE_AGAIN};
use crate::timers::Timer;
use crate::view::{CallDirection, CallState, EndReason, EventName, Focus};

/// An interaction while the process lives.
pub(crate) type InteractionKey = u64;

/// One agent's interaction.
#[derive(Debug)]
pub(crate) struct Interaction {
    pub(crate) agent: String,
    pub(crate) primary: CallKey,
    /// The primary and its consultations.
    pub(crate) calls: Vec<CallKey>,
    pub(crate) trigger: Trigger,
    pub(crate) shielded: bool,
    /// The transfer is pending and the agent has sent BYE: silence until the outcome.
    pub(crate) lingering: bool,
    /// Open listenings.
    pub(crate) listenings: Vec<String>,
    /// Requests that had their listening on it; none is called twice.
    pub(crate) tried: Vec<String>,
    /// Compared with [`crate::monitoring::Request::ordered`].
    pub(crate) began: u64,
}

/// What an interaction sets off (SEMANTICS, Which calls trigger).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Requests that name this direction.
    Direction(CallDirection),
    /// Only requests ordered while it lasts: what is left of a consultation whose primary call is over.
    OnOrder,
    /// Nothing: a consultation that the agent merely receives.
    Received,
}

/// The calls on one agent's phone.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) calls: Vec<OnDesk>,
    /// Lingering ones included.
    pub(crate) interactions: Vec<InteractionKey>,
    pub(crate) ears: Vec<crate::monitoring::EarKey>,
}

/// One call on one agent's phone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnDesk {
    pub(crate) call: CallKey,
    pub(crate) phase: Phase,
    pub(crate) interaction: Option<InteractionKey>,
}

/// How far a call is, seen from the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Since this number; smaller is earlier.
    Answered(u64),
    /// The agent dials; early media is what it hears.
    Dialling,
    /// Its phone rings.
    Ringing,
}

/// What an agent's ears are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EarOn {
    pub(crate) call: CallKey,
    pub(crate) interaction: Option<InteractionKey>,
    pub(crate) leg: LegId,
    pub(crate) held: bool,
    /// Another call of the agent is up and unheld too: its phone mixes.
    pub(crate) conference: bool,
}

impl Core {
    /// The agent makes a call: a consultation if a primary call is up.
    pub(crate) fn desk_dials(&mut self, agent: &str, call: CallKey) {
        self.desk(agent, call, Phase::Dialling);
        if let Some(interaction) = self.current_interaction(agent) {
            self.consult(interaction, call);
        }
    }

    /// A call rings at the agent.
    pub(crate) fn desk_rings(&mut self, agent: &str, call: CallKey) {
        self.desk(agent, call, Phase::Ringing);
    }

    fn desk(&mut self, agent: &str, call: CallKey, phase: Phase) {
        let calls = &mut self.desks.entry(agent.to_owned()).or_default().calls;
        calls.reserve_exact(1); // it seldom has a second
        calls.push(OnDesk { call, phase, interaction: None });
        self.dirty_desks.insert(agent.to_owned());
        self.out.agents.insert(agent.to_owned());
    }

    /// The agent's side of a call is answered: it joins an interaction or begins one.
    pub(crate) fn desk_answers(&mut self, agent: &str, key: CallKey, leg: LegId) {
        let sequence = self.ids.next();
        let Some(entry) = self.on_desk(agent, key) else { return };
        entry.phase = Phase::Answered(sequence);
        if entry.interaction.is_some() {
            return;
        }
        let Some(call) = self.calls.get(&key) else { return };
        let other = call.peer_of(leg).and_then(|peer| self.legs.get(&peer)).map(|leg| leg.party.clone());
        let from_trunk = call.side_of(leg) == Some(1) && matches!(other, Some(Party::Outside { .. }));
        let header = call.metadata.interaction.clone();
        let direction = call.direction;
        // a call that this agent takes while the other one consults
        let received = call.side_of(leg) == Some(1)
            && call.interactions.iter().any(|key_| self.interactions.get(key_).is_some_and(|i| i.primary != key));
        let joins = if from_trunk {
            self.interaction_named(agent, header.as_deref(), key)
        } else {
            self.current_interaction(agent)
        };
        match joins {
            Some(interaction) => self.consult(interaction, key),
            None => {
                let trigger = if received { Trigger::Received } else { Trigger::Direction(direction) };
                self.begin_interaction(agent, key, trigger);
            }
        }
    }

    /// An agent who came to a call by transfer or Replaces: a new interaction, as inbound.
    pub(crate) fn desk_takes_over(&mut self, agent: &str, key: CallKey, _leg: LegId) {
        let sequence = self.ids.next();
        let phase = Phase::Answered(sequence);
        match self.on_desk(agent, key) {
            Some(entry) => entry.phase = phase,
            None => self.desk(agent, key, phase),
        }
        self.begin_interaction(agent, key, Trigger::Direction(CallDirection::Inbound));
    }

    fn begin_interaction(&mut self, agent: &str, call: CallKey, trigger: Trigger) {
        let key = self.ids.next();
        let shielded = self.calls.get(&call).is_some_and(|call| call.shielded);
        let interaction = Interaction {
            agent: agent.to_owned(),
            primary: call,
            calls: vec![call],
            trigger,
            shielded,
            lingering: false,
            listenings: Vec::new(),
            tried: Vec::new(),
            began: key,
        };
        self.interactions.insert(key, interaction);
        if let Some(call) = self.calls.get_mut(&call) {
            call.interactions.push(key);
        }
        if let Some(entry) = self.on_desk(agent, call) {
            entry.interaction = Some(key);
        }
        self.desks.entry(agent.to_owned()).or_default().interactions.push(key);
        if let (true, Some(wait)) = (shielded, self.settings.shield_timeout) {
            let at = self.after(wait);
            self.timers.set(Timer::Shield(key), at);
        }
        self.dirty_desks.insert(agent.to_owned());
        self.match_interaction(key);
    }

    /// A second call becomes part of an interaction.
    fn consult(&mut self, key: InteractionKey, call_key: CallKey) {
        let Some(interaction) = self.interactions.get_mut(&key) else { return };
        interaction.calls.push(call_key);
        let (agent, primary, shielded) = (interaction.agent.clone(), interaction.primary, interaction.shielded);
        let name = self.calls.get(&primary).map(|call| call.interaction.clone());
        if let Some(call) = self.calls.get_mut(&call_key) {
            call.interactions.push(key);
            if let (Some(name), None) = (name, &call.metadata.interaction) {
                call.interaction = name;
            }
            call.shielded |= shielded;
        }
        if let Some(entry) = self.on_desk(&agent, call_key) {
            entry.interaction = Some(key);
        }
        self.call_event(EventName::CallConsulting, call_key);
        self.mark_desks(call_key);
        self.dirty_desks.insert(agent);
    }

    /// The agent's interaction that a further call of its own belongs to: of the call it is on.
    fn current_interaction(&self, agent: &str) -> Option<InteractionKey> {
        let desk = self.desks.get(agent)?;
        let up = |entry: &&OnDesk| {
            matches!(entry.phase, Phase::Answered(_)) && entry.interaction.is_some_and(|key| self.primary_is_up(key))
        };
        let on = self.ear_on(agent).and_then(|on| on.interaction).filter(|key| self.primary_is_up(*key));
        on.or_else(|| desk.calls.iter().filter(up).min_by_key(|entry| entry.phase).and_then(|entry| entry.interaction))
    }

    fn primary_is_up(&self, key: InteractionKey) -> bool {
        self.interactions
            .get(&key)
            .is_some_and(|i| !i.lingering && self.calls.get(&i.primary).is_some_and(|call| call.state == CallState::Up))
    }

    /// The agent's interaction that the platform named in a header.
    fn interaction_named(&self, agent: &str, name: Option<&str>, call: CallKey) -> Option<InteractionKey> {
        let name = name?;
        let desk = self.desks.get(agent)?;
        let mut keys = desk.calls.iter().filter(|entry| entry.call != call).filter_map(|entry| entry.interaction);
        keys.find(|key| {
            self.primary_is_up(*key)
                && self
                    .interactions
                    .get(key)
                    .and_then(|i| self.calls.get(&i.primary))
                    .is_some_and(|call| call.interaction == name)
        })
    }

    pub(crate) fn on_desk(&mut self, agent: &str, call: CallKey) -> Option<&mut OnDesk> {
        self.desks.get_mut(agent)?.calls.iter_mut().find(|entry| entry.call == call)
    }

    /// A call is off an agent's phone.
    pub(crate) fn desk_leaves(&mut self, agent: &str, call: CallKey) {
        if let Some(desk) = self.desks.get_mut(agent) {
            desk.calls.retain(|entry| entry.call != call);
        }
        self.dirty_desks.insert(agent.to_owned());
        self.out.agents.insert(agent.to_owned());
    }

    /// One agent leaves a call that goes on without it.
    pub(crate) fn agent_leaves(&mut self, agent: &str, call: CallKey, reason: EndReason) {
        let interactions = self.calls.get(&call).map(|call| call.interactions.clone()).unwrap_or_default();
        for key in interactions {
            if self.interactions.get(&key).is_some_and(|interaction| interaction.agent == agent) {
                self.call_leaves(key, call, reason);
            }
        }
        self.desk_leaves(agent, call);
    }

    /// A call is no longer part of an interaction; without its primary the interaction is over.
    pub(crate) fn call_leaves(&mut self, key: InteractionKey, call_key: CallKey, reason: EndReason) {
        if let Some(call) = self.calls.get_mut(&call_key) {
            call.interactions.retain(|other| *other != key);
        }
        let Some(interaction) = self.interactions.get_mut(&key) else { return };
        interaction.calls.retain(|other| *other != call_key);
        let agent = interaction.agent.clone();
        self.dirty_desks.insert(agent.clone());
        if let Some(entry) = self.on_desk(&agent, call_key) {
            entry.interaction = None;
        }
        if self.interactions.get(&key).is_some_and(|interaction| interaction.primary == call_key) {
            self.end_interaction(key, reason);
        }
    }

    fn end_interaction(&mut self, key: InteractionKey, reason: EndReason) {
        for listening in
            self.interactions.get(&key).map(|interaction| interaction.listenings.clone()).unwrap_or_default()
        {
            self.end_listening(&listening, reason);
        }
        let Some(interaction) = self.interactions.remove(&key) else { return };
        if let Some(desk) = self.desks.get_mut(&interaction.agent) {
            desk.interactions.retain(|other| *other != key);
        }
        self.timers.cancel(&Timer::Linger(key));
        self.timers.cancel(&Timer::Shield(key));
        for call in &interaction.calls {
            if let Some(call) = self.calls.get_mut(call) {
                call.interactions.retain(|other| *other != key);
            }
            if let Some(entry) = self.on_desk(&interaction.agent, *call) {
                entry.interaction = None;
            }
        }
        // consultations that go on are the agent's next interaction, which sets off nothing by itself
        let desk = self.desks.get(&interaction.agent);
        let left = interaction.calls.iter().filter(|call| {
            desk.is_some_and(|desk| {
                desk.calls.iter().any(|e| e.call == **call && matches!(e.phase, Phase::Answered(_)))
            })
        });
        if let Some(call) = left.copied().next() {
            self.begin_interaction(&interaction.agent, call, Trigger::OnOrder);
        }
    }

    /// The transferor sent BYE while its transfer is pending.
    pub(crate) fn linger(&mut self, agent: &str, call: CallKey) {
        let keys = self.calls.get(&call).map(|call| call.interactions.clone()).unwrap_or_default();
        for key in keys {
            let Some(interaction) = self.interactions.get_mut(&key).filter(|i| i.agent == agent) else { continue };
            if interaction.primary == call {
                interaction.lingering = true;
                let at = self.after(self.settings.transfer_linger);
                self.timers.set(Timer::Linger(key), at);
            }
        }
        self.desk_leaves(agent, call);
    }

    /// No outcome of the transfer within the time.
    pub(crate) fn lingered(&mut self, key: InteractionKey) {
        let Some(primary) = self.interactions.get(&key).map(|interaction| interaction.primary) else { return };
        self.call_leaves(key, primary, EndReason::AgentTransferred);
    }

    /// The call that an agent's ears are on: the first answered one while it is unheld, another unheld one only while
    /// the first is held.
    pub(crate) fn ear_on(&self, agent: &str) -> Option<EarOn> {
        let desk = self.desks.get(agent)?;
        let mut entries: Vec<&OnDesk> = desk.calls.iter().filter(|entry| entry.phase != Phase::Ringing).collect();
        entries.sort_by_key(|entry| entry.phase);
        let hearing: Vec<(EarOn, Phase)> = entries
            .into_iter()
            .filter_map(|entry| {
                let leg = self.leg_of(agent, entry.call)?;
                let held = self.legs.get(&leg).is_some_and(|leg| leg.holds());
                Some((
                    EarOn { call: entry.call, interaction: entry.interaction, leg, held, conference: false },
                    entry.phase,
                ))
            })
            .collect();
        let first = hearing.iter().find(|(on, _)| !on.held).or_else(|| hearing.first())?.0;
        let unheld = hearing.iter().filter(|(on, phase)| !on.held && matches!(phase, Phase::Answered(_))).count();
        Some(EarOn { conference: !first.held && unheld > 1, ..first })
    }

    /// The agent's leg in a call.
    pub(crate) fn leg_of(&self, agent: &str, call: CallKey) -> Option<LegId> {
        let sides = self.calls.get(&call)?.sides;
        sides.into_iter().flatten().find(|leg| self.legs.get(leg).is_some_and(|leg| leg.party.agent() == Some(agent)))
    }

    /// What the agent does in one of its interactions.
    pub(crate) fn focus(&self, key: InteractionKey, on: Option<EarOn>) -> Focus {
        let Some(interaction) = self.interactions.get(&key) else { return Focus::Hold };
        match on {
            _ if interaction.lingering => Focus::Lingering,
            Some(on) if on.interaction == Some(key) && !on.held => {
                if on.conference {
                    Focus::Conference
                } else if on.call == interaction.primary {
                    Focus::Talk
                } else {
                    Focus::Consult
                }
            }
            _ => Focus::Hold,
        }
    }

    /// Whether what the agent is on may not be heard: somebody in it is not monitorable, or the call says so. In a
    /// conference the agent's own voice stream carries the others.
    pub(crate) fn unhearable(&self, agent: &str, on: EarOn) -> bool {
        let Some(heard) = self.heard_calls(agent, on) else { return true };
        let hidden = |key: CallKey| {
            let Some(call) = self.calls.get(&key) else { return true };
            let other = self.agents_on(key).into_iter().any(|(_, other)| {
                other != agent && !self.directory.agents.get(&other).is_some_and(|a| a.seed.monitorable)
            });
            call.metadata.do_not_monitor || other
        };
        heard.into_iter().any(hidden)
    }

    /// The calls whose parties are heard in what the agent is on; `None`: it is on nothing.
    pub(crate) fn heard_calls(&self, agent: &str, on: EarOn) -> Option<Vec<CallKey>> {
        if !on.conference {
            return Some(vec![on.call]);
        }
        let desk = self.desks.get(agent)?;
        let unheld = |entry: &&OnDesk| {
            matches!(entry.phase, Phase::Answered(_))
                && self.leg_of(agent, entry.call).and_then(|leg| self.legs.get(&leg)).is_some_and(|leg| !leg.holds())
        };
        Some(desk.calls.iter().filter(unheld).map(|entry| entry.call).collect())
    }

    /// The shield of a call's interactions, consultations included.
    pub(crate) fn shield(&mut self, call_key: CallKey, on: bool) {
        let interactions = self.calls.get(&call_key).map(|call| call.interactions.clone()).unwrap_or_default();
        let mut calls = vec![call_key];
        for key in &interactions {
            let Some(interaction) = self.interactions.get_mut(key) else { continue };
            interaction.shielded = on;
            calls.extend(interaction.calls.iter().copied());
            self.dirty_desks.insert(interaction.agent.clone());
            self.timers.cancel(&Timer::Shield(*key));
            if let (true, Some(wait)) = (on, self.settings.shield_timeout) {
                let at = self.after(wait);
                self.timers.set(Timer::Shield(*key), at);
            }
        }
        calls.sort_unstable();
        calls.dedup();
        for key in calls {
            let Some(call) = self.calls.get_mut(&key) else { continue };
            call.shield_turn += u64::from(on);
            if call.shielded == on {
                continue;
            }
            call.shielded = on;
            self.call_event(EventName::CallShielded, key);
            // another agent's listeners may be on it too
            self.mark_desks(key);
        }
    }

    /// The shield ends by itself, once that is recorded.
    pub(crate) fn shield_timeout(&mut self, key: InteractionKey) {
        let Some(interaction) = self.interactions.get(&key).filter(|interaction| interaction.shielded) else { return };
        let Some(call) = self.calls.get(&interaction.primary) else { return };
        let entry =
            self.entry(ENGINE, Action::ShieldOff).about(&call.id, Some(&interaction.agent)).with("reason", "timeout");
        self.persist(Change::Audit(entry), vec![After::ShieldOver(key)]);
    }

    /// The store has it, or not: then it is tried again. A shield that was closed anew meanwhile has its own time.
    pub(crate) fn shield_over(&mut self, key: InteractionKey, ok: bool) {
        let Some(primary) = self.interactions.get(&key).map(|interaction| interaction.primary) else { return };
        if self.timers.is_set(&Timer::Shield(key)) {
            return;
        }
        if ok {
            self.shield(primary, false);
        } else {
            let at = self.after(SAVE_AGAIN);
            self.timers.set(Timer::Shield(key), at);
        }
    }
}
