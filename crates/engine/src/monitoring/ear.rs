//! A listener's leg: how it is called, what it hears, how it ends.

use media::{BatchId, Codec, ListenerId, ListenerRemote, Taps};
use signalling::sdp::{Direction, Payload};
use signalling::{Command, Destination, End, EndedBy, LegId, NewLeg, Reason, Session};

use crate::audit::Action;
use crate::call::{decodable, latch};
use crate::engine::Core;
use crate::interaction::{EarOn, InteractionKey};
use crate::monitoring::{ClosedEar, EAR_BATCH, Ear, EarKey, EarState, ListeningPhase, Target};
use crate::persist::Change;
use crate::placement::Ready;
use crate::timers::Timer;
use crate::view::{EndReason, EventName, ListeningState};

/// Signalling gives up on its own a little after the engine should have.
const RING_BACKSTOP: std::time::Duration = std::time::Duration::from_secs(10);
/// So long a closed ear's last figures may take: as long as a media plan. A request may wait for them to end.
const FIGURES_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

impl Core {
    /// Prepares the INVITE: `a=sendonly`, From the access number (SEMANTICS, Calling the listener).
    pub(crate) fn call_listener(
        &mut self,
        id: &str,
        agent: &str,
        target: Target,
        destination: Destination,
        sendrecv: bool,
        encrypted: bool,
    ) {
        let shard = self.shard_of_listening(id);
        let Some(Ready { port, addr: media }) = self.take_port(shard) else { return };
        let key = self.ids.next();
        let leg = self.sip_leg();
        self.out.media(media::Command::OpenListener { listener: ListenerId(key), port });
        self.out.media(media::Command::Done(BatchId(EAR_BATCH | key)));
        let ear = Ear {
            agent: agent.to_owned(),
            shard,
            target,
            leg,
            state: EarState::Calling,
            session: None,
            encrypted,
            listenings: Vec::new(),
            hears: None,
            taps: None,
            shielded: false,
            heard_ms: 0,
        };
        self.ears.insert(key, ear);
        self.shards.listener_came(shard);
        self.ear_legs.insert(leg, key);
        self.desks.entry(agent.to_owned()).or_default().ears.push(key);
        let name = self.directory.agents.get(agent).map_or(agent, |agent| &agent.seed.name);
        let new = NewLeg {
            leg,
            destination,
            from_user: self.settings.access_number.clone().unwrap_or_default(),
            from_display: self.settings.listener_display.replace("{agent}", name),
            identity: true,
            media,
            headers: Vec::new(),
            ring_timeout: Some(self.settings.ring_timeout + RING_BACKSTOP),
        };
        let codecs = self.offered_codecs(id);
        let direction = if sendrecv { Direction::SendRecv } else { Direction::SendOnly };
        self.counters.count("listeners_called");
        self.sip(Command::Call { leg: new, codecs, direction, encrypted });
        let at = self.after(self.settings.ring_timeout);
        self.timers.set(Timer::Ring(key), at);
        self.join_ear(id, key);
    }

    /// G.711 both ways, the call's own law first.
    fn offered_codecs(&self, id: &str) -> Vec<Payload> {
        let payload =
            |pt, name: &str| Payload { pt, name: name.to_owned(), clock: 8000, channels: 1, fmtp: String::new() };
        let mut codecs = vec![payload(8, "PCMA"), payload(0, "PCMU")];
        let interaction = self.listenings.get(id).and_then(|listening| self.interactions.get(&listening.interaction));
        let leg = interaction.and_then(|i| self.leg_of(&i.agent, i.primary)).and_then(|leg| self.legs.get(&leg));
        let codec = leg.and_then(|leg| leg.session).and_then(|session| session.codec);
        if codec == Some(Codec::Pcmu) {
            codecs.reverse();
        }
        codecs
    }

    /// One leg serves every request of the same listener on the same agent.
    pub(crate) fn join_ear(&mut self, id: &str, key: EarKey) {
        let (Some(ear), Some(listening)) = (self.ears.get_mut(&key), self.listenings.get_mut(id)) else { return };
        ear.listenings.push(id.to_owned());
        let (agent, state) = (ear.agent.clone(), ear.state);
        listening.phase = ListeningPhase::OnEar(key);
        listening.view.state = ListeningState::Ringing;
        listening.view.ringing_at.get_or_insert(self.now.wall);
        self.dirty_desks.insert(agent);
        self.listening_event(EventName::ListeningRinging, id);
        if state.is_up() {
            self.reached(id);
        }
        let live = state == EarState::Live;
        if live {
            self.live(id);
        }
        let request = self.listenings.get(id).map(|listening| listening.view.request.clone());
        let recorded = self.ears.get(&key).is_some_and(|ear| self.is_recorded(ear.leg));
        match request {
            // a new ear's record comes with those of its listenings
            Some(request) if !recorded => self.judge_request(&request),
            _ => self.store_and_judge(id, live.then_some(Action::ListeningLive)),
        }
    }

    fn store_and_judge(&mut self, id: &str, action: Option<Action>) {
        let Some(view) = self.listenings.get(id).map(|listening| listening.view.clone()) else { return };
        let request = view.request.clone();
        let entry = action.map(|action| Change::Audit(self.listening_entry(action, &view)));
        let changes = std::iter::once(Change::Listening(view)).chain(entry).collect();
        self.persist_all(changes, Vec::new());
        self.judge_request(&request);
    }

    /// Rights are judged anew whenever this ear is about to hear something. True: some listening on it has ended.
    fn judge_rights_on(&mut self, key: EarKey) -> bool {
        let mut ended = false;
        for id in self.ears.get(&key).map(|ear| ear.listenings.clone()).unwrap_or_default() {
            ended |= self.ended_for_rights(&id);
        }
        ended
    }

    pub(crate) fn ear_rings(&mut self, key: EarKey) {
        if let Some(ear) = self.ears.get_mut(&key).filter(|ear| ear.state == EarState::Calling) {
            ear.state = EarState::Ringing;
        }
    }

    pub(crate) fn ear_planned(&mut self, key: EarKey, session: Session) {
        let Some(ear) = self.ears.get_mut(&key) else { return };
        ear.session = Some(session);
        self.dirty_desks.insert(ear.agent.clone());
        if ear.state.is_up() {
            self.listen(key);
        }
    }

    pub(crate) fn ear_answered(&mut self, key: EarKey) {
        let Some(ear) =
            self.ears.get_mut(&key).filter(|ear| matches!(ear.state, EarState::Calling | EarState::Ringing))
        else {
            return;
        };
        ear.state = EarState::Answered;
        self.timers.cancel(&Timer::Ring(key));
        if self.judge_rights_on(key) && self.ears.get(&key).is_none_or(|ear| ear.state != EarState::Answered) {
            return;
        }
        self.listen(key);
        let Some(ear) = self.ears.get(&key).filter(|ear| ear.state == EarState::Answered) else { return };
        self.dirty_desks.insert(ear.agent.clone());
        for id in ear.listenings.clone() {
            self.reached(&id);
            self.store_and_judge(&id, None);
        }
    }

    /// The listener answered: it was reached.
    fn reached(&mut self, id: &str) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.view.answered_at.get_or_insert(self.now.wall);
        self.out.listenings.insert(id.to_owned());
        if let Some(request) = self.requests.get_mut(&listening.view.request) {
            request.record.failures_in_a_row = 0;
        }
    }

    /// Where the listener wants its stream. One without a codec of ours is hung up.
    fn listen(&mut self, key: EarKey) {
        let Some(ear) = self.ears.get(&key) else { return };
        let Some(session) = &ear.session else { return };
        let Some((payload_type, codec)) =
            session.payloads.iter().find_map(|payload| Some((payload.pt, decodable(payload)?)))
        else {
            self.end_ear_with(key, EndReason::ListenerUnreachable);
            return;
        };
        // a listener that holds us gets nothing; its clock runs on
        let remote = ListenerRemote {
            rtp: session.rtp.filter(|_| session.receives),
            rtcp: session.rtcp,
            codec,
            payload_type,
            latch: latch(session),
            mux: session.mux,
            keys: crate::protection::keys(session),
            comfort_noise: None,
            telephone_event: None,
        };
        self.out.media(media::Command::Listen { listener: ListenerId(key), remote });
    }

    pub(crate) fn ear_live(&mut self, key: EarKey) {
        let Some(ear) = self.ears.get_mut(&key).filter(|ear| ear.state == EarState::Answered) else { return };
        ear.state = EarState::Live;
        self.judge_rights_on(key);
        let Some(ear) = self.ears.get(&key) else { return };
        for id in ear.listenings.clone() {
            self.live(&id);
            self.store_and_judge(&id, Some(Action::ListeningLive));
        }
    }

    fn live(&mut self, id: &str) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.view.state = ListeningState::Live;
        self.listening_event(EventName::ListeningLive, id);
    }

    /// Call audio that reached the ear: it belongs to the interaction that it is on.
    pub(crate) fn ear_heard(&mut self, key: EarKey, heard_ms: u64) {
        let Some(ear) = self.ears.get_mut(&key) else { return };
        let more = heard_ms.saturating_sub(ear.heard_ms);
        ear.heard_ms = ear.heard_ms.max(heard_ms);
        let (hears, listenings) = (ear.hears, ear.listenings.clone());
        for id in listenings {
            if self.listenings.get(&id).is_some_and(|listening| Some(listening.interaction) == hears) {
                self.heard(&id, more);
            }
        }
    }

    pub(crate) fn ear_silent(&mut self, key: EarKey) {
        if let Some(leg) = self.ears.get(&key).filter(|ear| ear.state.is_up()).map(|ear| ear.leg) {
            self.sip(Command::Probe { leg });
        }
    }

    pub(crate) fn probed(&mut self, leg: LegId, alive: bool) {
        if let (Some(key), false) = (self.ear_legs.get(&leg).copied(), alive) {
            self.end_ear_with(key, EndReason::ListenerLost);
        }
    }

    pub(crate) fn ear_refused(&mut self, key: EarKey) {
        self.end_ear_with(key, EndReason::LimitReached);
        // the media plane has no such listener: no last figures will come
        self.ear_closed(key, 0);
    }

    /// The phone rang long enough. One that never said that it rings is not there.
    pub(crate) fn rang_out(&mut self, key: EarKey) {
        let Some(ear) = self.ears.get(&key) else { return };
        let reason =
            if ear.state == EarState::Ringing { EndReason::ListenerNoAnswer } else { EndReason::ListenerUnreachable };
        self.end_ear_with(key, reason);
    }

    /// Every listening on the ear ends, and with the last the ear.
    pub(crate) fn end_ear_with(&mut self, key: EarKey, reason: EndReason) {
        let listenings = self.ears.get(&key).map(|ear| ear.listenings.clone()).unwrap_or_default();
        // first, or a listening that gets a slot by these ends would join an ear that is over
        self.hang_up_ear(key, reason);
        for id in listenings {
            self.end_listening(&id, reason);
        }
    }

    /// A listening leaves its ear; an ear without one is hung up at once.
    pub(crate) fn leave_ear(&mut self, id: &str, key: EarKey, reason: EndReason) {
        let Some(ear) = self.ears.get_mut(&key) else { return };
        ear.listenings.retain(|other| other != id);
        self.dirty_desks.insert(ear.agent.clone());
        if ear.listenings.is_empty() {
            self.hang_up_ear(key, reason);
        }
    }

    fn hang_up_ear(&mut self, key: EarKey, reason: EndReason) {
        let Some(ear) = self.ears.get_mut(&key).filter(|ear| ear.state != EarState::Ending) else { return };
        let was_up = ear.state.is_up();
        ear.state = EarState::Ending;
        let leg = ear.leg;
        let text =
            serde_json::to_value(reason).ok().and_then(|reason| reason.as_str().map(str::to_owned)).unwrap_or_default();
        self.close_ear(key, was_up);
        self.sip(Command::End { leg, reason: Reason { cause: if was_up { 200 } else { 487 }, text } });
    }

    fn close_ear(&mut self, key: EarKey, was_up: bool) {
        self.timers.cancel(&Timer::Ring(key));
        self.out.media(media::Command::CloseListener { listener: ListenerId(key) });
        let Some(ear) = self.ears.get(&key) else { return };
        if let Some(desk) = self.desks.get_mut(&ear.agent) {
            desk.ears.retain(|other| *other != key);
        }
        let hears = ear.hears.filter(|_| was_up);
        self.closed_ears.insert(key, ClosedEar { hears, heard_ms: ear.heard_ms, listenings: Vec::new() });
        while self.closed_ears.len() > self.settings.max_ended_views {
            let Some(oldest) = self.closed_ears.keys().next().copied() else { break };
            self.figures_lost(oldest);
        }
        let at = self.after(FIGURES_WAIT);
        self.timers.set(Timer::Figures(key), at);
    }

    /// They come no more, or there is no room to wait for them: what was told before stands.
    pub(crate) fn figures_lost(&mut self, key: EarKey) {
        self.counters.count("listener_figures_lost");
        self.ear_closed(key, 0);
    }

    /// The ear's last figures: what it heard since the last report stands in the records too, and counts.
    pub(crate) fn ear_closed(&mut self, key: EarKey, heard_ms: u64) {
        let Some(closed) = self.closed_ears.remove(&key) else { return };
        self.timers.cancel(&Timer::Figures(key));
        let more = heard_ms.saturating_sub(closed.heard_ms);
        for view in closed.listenings {
            self.heard_last(view, more);
        }
    }

    /// The listener's leg is gone.
    pub(crate) fn ear_ended(&mut self, key: EarKey, end: &End) {
        let Some(ear) = self.ears.get(&key) else { return };
        self.dirty_desks.insert(ear.agent.clone());
        let was = ear.state;
        if was != EarState::Ending {
            self.close_ear(key, was.is_up());
        }
        let Some(ear) = self.ears.remove(&key) else { return };
        self.shards.listener_left(ear.shard);
        let reason = ended_because(was, end, ear.encrypted);
        if reason == EndReason::PolicyDenied {
            self.counters.count("listenings_unprotected");
        }
        for id in &ear.listenings {
            if reason == EndReason::ListenerBusy {
                self.busy(id);
            } else {
                self.end_listening(id, reason);
            }
        }
        self.listener_free(&ear.target);
    }

    /// Whoever waited for this listener may call it now.
    fn listener_free(&mut self, target: &Target) {
        let waiting: Vec<String> = self
            .listenings
            .values()
            .filter(|l| {
                l.phase == ListeningPhase::Blocked
                    && self.target(&l.view.listener).is_some_and(|(other, _, _)| other == *target)
            })
            .map(|l| l.view.id.clone())
            .collect();
        for id in waiting {
            self.ring(&id);
        }
    }

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
        let taps = on
            .filter(|on| !plain && !self.unhearable(agent, *on))
            .and_then(|on| self.legs.get(&on.leg))
            .map(|leg| Taps { agent: leg.stream });
        let moves = taps.is_some() && self.ears.get(&key).is_some_and(|ear| ear.taps != taps);
        if moves && self.judge_rights_on(key) {
            return self.judge_ear(key, agent, on);
        }
        let shard = on.filter(|_| taps.is_some()).map(|on| self.shard_of(on.call));
        let Some(ear) = self.ears.get_mut(&key) else { return };
        ear.hears = hears;
        if let Some(shard) = shard.filter(|shard| *shard != ear.shard) {
            self.shards.listener_left(ear.shard);
            self.shards.listener_came(shard);
            ear.shard = shard;
        }
        let listener = ListenerId(key);
        // the shield is closed before another call is opened, and opened after
        if shielded && !ear.shielded {
            self.out.media(media::Command::Shield { listener, on: true });
        }
        if taps != ear.taps {
            ear.taps = taps;
            self.out.media(media::Command::Focus { listener, taps });
        }
        if !shielded && ear.shielded {
            self.out.media(media::Command::Shield { listener, on: false });
        }
        ear.shielded = shielded;
    }
}

/// SEMANTICS, Calling the listener.
fn ended_because(state: EarState, end: &End, encrypted: bool) -> EndReason {
    if state.is_up() {
        return match end.by {
            EndedBy::Remote => EndReason::ListenerHungUp,
            EndedBy::Local | EndedBy::Timeout => EndReason::ListenerLost,
        };
    }
    match (end.by, end.status) {
        (EndedBy::Remote, Some(486 | 600)) => EndReason::ListenerBusy,
        // its phone does not do what the call asks for: it says so, or answers without a key
        (EndedBy::Remote, Some(488)) if encrypted => EndReason::PolicyDenied,
        (EndedBy::Remote, Some(603)) => EndReason::ListenerDeclined,
        (EndedBy::Remote, Some(300..=399)) => EndReason::ListenerDiverted,
        (EndedBy::Timeout, _) if state == EarState::Ringing => EndReason::ListenerNoAnswer,
        // we gave up: nowhere to send it, or its answer had no codec of ours
        _ => EndReason::ListenerUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(by: EndedBy, status: Option<u16>) -> End {
        End { by, status, text: String::new() }
    }

    #[test]
    fn every_final_answer_has_its_reason() {
        let because = |status| ended_because(EarState::Ringing, &end(EndedBy::Remote, Some(status)), false);
        assert_eq!(because(486), EndReason::ListenerBusy);
        assert_eq!(because(600), EndReason::ListenerBusy);
        assert_eq!(because(603), EndReason::ListenerDeclined);
        assert_eq!(because(302), EndReason::ListenerDiverted);
        for status in [404, 410, 480, 488, 500, 503, 408] {
            assert_eq!(because(status), EndReason::ListenerUnreachable, "{status}");
        }
        assert_eq!(
            ended_because(EarState::Calling, &end(EndedBy::Timeout, None), false),
            EndReason::ListenerUnreachable
        );
        assert_eq!(ended_because(EarState::Ringing, &end(EndedBy::Timeout, None), false), EndReason::ListenerNoAnswer);
        assert_eq!(ended_because(EarState::Ringing, &end(EndedBy::Local, None), false), EndReason::ListenerUnreachable);
        let no_key = ended_because(EarState::Ringing, &end(EndedBy::Remote, Some(488)), true);
        assert_eq!(no_key, EndReason::PolicyDenied, "of an encrypted call");
        assert_eq!(ended_because(EarState::Live, &end(EndedBy::Remote, None), false), EndReason::ListenerHungUp);
    }
}
