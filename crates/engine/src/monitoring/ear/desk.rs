//! What every ear on an agent hears: the call that the agent is on, if it listens to that; nothing while shielded.

use media::Taps;

use crate::engine::Core;
use crate::interaction::{EarOn, InteractionKey};
use crate::monitoring::{Ear, EarKey, EarState};
use crate::view::{EventName, ListeningState};

impl Core {
    /// What every ear of an agent hears now, and what its interactions show.
    pub(crate) fn judge_desk(&mut self, agent: &str) {
        let on = self.ear_on(agent);
        let (interactions, ears) =
            self.desks.get(agent).map(|desk| (desk.interactions.clone(), desk.ears.clone())).unwrap_or_default();
        for key in interactions {
            self.judge_focus_on(key, on);
        }
        for key in ears {
            self.judge_ear(key, agent, on);
        }
        self.judge_status(agent);
        if self
            .desks
            .get(agent)
            .is_some_and(|desk| desk.calls.is_empty() && desk.interactions.is_empty() && desk.ears.is_empty())
        {
            self.desks.remove(agent);
        }
    }

    pub(crate) fn judge_focus(&mut self, key: InteractionKey) {
        let on = self.interactions.get(&key).and_then(|interaction| self.ear_on(&interaction.agent));
        self.judge_focus_on(key, on);
    }

    fn judge_focus_on(&mut self, key: InteractionKey, on: Option<EarOn>) {
        let focus = self.focus(key, on);
        let Some(interaction) = self.interactions.get(&key) else { return };
        let shielded = self.is_shielded(key, on);
        for id in interaction.listenings.clone() {
            let Some(listening) = self.listenings.get_mut(&id) else { continue };
            let view = &mut listening.view;
            if view.focus == focus && view.shielded == shielded {
                continue;
            }
            let moved = view.focus != focus && view.state == ListeningState::Live;
            view.focus = focus;
            view.shielded = shielded;
            self.out.listenings.insert(id.clone());
            if moved {
                self.listening_event(EventName::ListeningFocus, &id);
            }
        }
    }

    /// The interaction is shielded, or the call that the agent is on in it: it may be part of another agent's.
    fn is_shielded(&self, key: InteractionKey, on: Option<EarOn>) -> bool {
        let call = on.filter(|on| on.interaction == Some(key)).and_then(|on| self.calls.get(&on.call));
        call.is_some_and(|call| call.shielded) || self.interactions.get(&key).is_some_and(|i| i.shielded)
    }

    /// An ear hears the agent's call only if it has a listening on that call's interaction.
    fn judge_ear(&mut self, key: EarKey, agent: &str, on: Option<EarOn>) {
        let Some(ear) = self.ears.get(&key).filter(|ear| ear.state != EarState::Ending) else { return };
        let listens = |interaction: InteractionKey| {
            ear.listenings.iter().filter_map(|id| self.listenings.get(id)).any(|l| l.interaction == interaction)
        };
        let on = on.filter(|on| on.interaction.is_some_and(listens));
        let hears = on.and_then(|on| on.interaction);
        let shielded = hears.is_some_and(|key| self.is_shielded(key, on));
        let plain = on.is_some_and(|on| self.is_too_plain(key, agent, on));
        if plain && self.deny_plain_ear(key, on) {
            return self.judge_ear(key, agent, on);
        }
        let unconfirmed = self.ears.get(&key).is_some_and(Ear::is_unconfirmed);
        let taps = on
            .filter(|on| !plain && !unconfirmed && !self.unhearable(agent, *on))
            .and_then(|on| self.legs.get(&on.leg))
            .map(|leg| Taps { agent: leg.stream });
        let moves = taps.is_some() && self.ears.get(&key).is_some_and(|ear| ear.taps != taps);
        if moves && self.judge_rights_on(key) {
            return self.judge_ear(key, agent, on);
        }
        let shard = on.filter(|_| taps.is_some()).map(|on| self.shard_of(on.call));
        let Some(ear) = self.ears.get_mut(&key) else { return };
        let refocused = std::mem::replace(&mut ear.hears, hears) != hears;
        if let Some(shard) = shard.filter(|shard| *shard != ear.shard) {
            self.shards.listener_left(ear.shard);
            self.shards.listener_came(shard);
            ear.shard = shard;
        }
        let (listeners, was_shielded) = (ear.listeners(key), ear.shielded);
        let moved = std::mem::replace(&mut ear.taps, taps) != taps;
        ear.shielded = shielded;
        // the shield is closed before another call is opened, and opened after
        for listener in listeners {
            if shielded && !was_shielded {
                self.out.media(media::Command::Shield { listener, on: true });
            }
            if moved {
                self.out.media(media::Command::Focus { listener, taps });
            }
            if !shielded && was_shielded {
                self.out.media(media::Command::Shield { listener, on: false });
            }
        }
        self.levels_changed |= moved || refocused;
    }
}
