//! A listener's leg: how it is called, what it hears, how it ends.

use media::{BatchId, ListenerId, ListenerRemote, Taps};
use signalling::sdp::Direction;
use signalling::{Command, Destination, End, EndedBy, LegId, NewLeg, Reason, Session};

use crate::audit::Action;
use crate::call::{Described, latch};
use crate::codecs;
use crate::engine::Core;
use crate::interaction::{EarOn, InteractionKey};
use crate::monitoring::{ClosedEar, EAR_BATCH, Ear, EarKey, EarState, Line, Listening, ListeningPhase, Phone, Target};
use crate::persist::Change;
use crate::placement::Ready;
use crate::timers::Timer;
use crate::view::{EndReason, EventName, ListeningQuality, ListeningState};

/// Signalling gives up on its own a little after the engine should have.
const RING_BACKSTOP: std::time::Duration = std::time::Duration::from_secs(10);
/// So long a closed ear's last figures may take: as long as a media plan. A request may wait for them to end.
const FIGURES_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

impl Core {
    /// Prepares the INVITE: `a=sendonly`, From the access number (SEMANTICS, Calling the listener). Who has to press a key
    /// must be able to send one: `sendrecv`.
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
        let Some(view) = self.listenings.get(id).map(|listening| &listening.view) else { return };
        let (mix, layout) = (codecs::mix(view), view.layout);
        let confirms = self.requests.get(&view.request).is_some_and(|request| request.record.view.confirm);
        let key = self.ids.next();
        let leg = self.sip_leg();
        self.out.media(media::Command::OpenListener { listener: ListenerId(key), port });
        self.out.media(media::Command::Mix { listener: ListenerId(key), mix });
        self.out.media(media::Command::Done(BatchId(EAR_BATCH | key)));
        let line = Line::Phone(Phone { leg, session: None, encrypted, unconfirmed: confirms, first_packet: false });
        self.new_ear(key, agent, shard, target, line, mix);
        self.ear_legs.insert(leg, key);
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
        let of_call = self.described_of_listening(id).and_then(|session| session.codec);
        let codecs = codecs::offered(of_call, layout, confirms);
        let direction = if sendrecv || confirms { Direction::SendRecv } else { Direction::SendOnly };
        self.counters.count("listeners_called");
        self.sip(Command::Call { leg: new, codecs, direction, encrypted });
        let at = self.after(self.settings.ring_timeout);
        self.timers.set(Timer::Ring(key), at);
        self.join_ear(id, key);
    }

    /// A listener's leg that nobody is on yet.
    pub(crate) fn new_ear(
        &mut self,
        key: EarKey,
        agent: &str,
        shard: usize,
        target: Target,
        line: Line,
        mix: media::Mix,
    ) {
        let state = if matches!(line, Line::Page(_)) { EarState::Ringing } else { EarState::Calling };
        let ear = Ear {
            agent: agent.to_owned(),
            shard,
            target,
            line,
            state,
            listenings: Vec::new(),
            hears: None,
            taps: None,
            shielded: false,
            mix,
            heard_ms: 0,
            alarmed: false,
        };
        self.ears.insert(key, ear);
        self.shards.listener_came(shard);
        self.desks.entry(agent.to_owned()).or_default().ears.push(key);
    }

    /// What the agent's leg agreed on in the call that a listening is for.
    pub(crate) fn described_of_listening(&self, id: &str) -> Option<Described> {
        let interaction = self.interactions.get(&self.listenings.get(id)?.interaction)?;
        let leg = self.leg_of(&interaction.agent, interaction.primary)?;
        self.legs.get(&leg)?.session
    }

    /// One leg serves every request of the same listener on the same agent.
    pub(crate) fn join_ear(&mut self, id: &str, key: EarKey) {
        let (Some(ear), Some(listening)) = (self.ears.get_mut(&key), self.listenings.get_mut(id)) else { return };
        ear.listenings.push(id.to_owned());
        let (agent, state, mix) = (ear.agent.clone(), ear.state, ear.mix);
        listening.phase = ListeningPhase::OnEar(key);
        listening.view.state = ListeningState::Ringing;
        listening.view.ringing_at.get_or_insert(self.now.wall);
        listening.mixed(mix);
        self.dirty_desks.insert(agent);
        self.listening_event(EventName::ListeningRinging, id);
        match state {
            EarState::Confirming => self.confirming(id),
            EarState::Answered | EarState::Live => self.reached(id),
            EarState::Calling | EarState::Ringing | EarState::Ending => {}
        }
        let live = state == EarState::Live;
        if live {
            self.live(id);
        }
        let request = self.listenings.get(id).map(|listening| listening.view.request.clone());
        let phone = self.ears.get(&key).and_then(Ear::phone);
        let recorded = phone.is_none_or(|phone| self.is_recorded(phone.leg));
        match request {
            // a new ear's record comes with those of its listenings
            Some(request) if !recorded => self.judge_request(&request),
            _ => self.store_and_judge(id, live.then_some(Action::ListeningLive)),
        }
    }

    pub(crate) fn store_and_judge(&mut self, id: &str, action: Option<Action>) {
        let Some(view) = self.listenings.get(id).map(|listening| listening.view.clone()) else { return };
        let request = view.request.clone();
        let entry = action.map(|action| Change::Audit(self.listening_entry(action, &view)));
        let changes = std::iter::once(Change::Listening(view)).chain(entry).collect();
        self.persist_all(changes, Vec::new());
        self.judge_request(&request);
    }

    /// Rights are judged anew whenever this ear is about to hear something. True: some listening on it has ended.
    pub(crate) fn judge_rights_on(&mut self, key: EarKey) -> bool {
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
        let Some(phone) = ear.phone_mut() else { return };
        phone.session = Some(session);
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
        let state = if ear.is_unconfirmed() { EarState::Confirming } else { EarState::Answered };
        ear.state = state;
        self.timers.cancel(&Timer::Ring(key));
        if self.judge_rights_on(key) && self.ears.get(&key).is_none_or(|ear| ear.state != state) {
            return;
        }
        self.listen(key);
        let Some(ear) = self.ears.get(&key).filter(|ear| ear.state == state) else { return };
        self.dirty_desks.insert(ear.agent.clone());
        let listenings = ear.listenings.clone();
        if state == EarState::Confirming {
            self.await_key(key);
        }
        for id in listenings {
            match state {
                EarState::Confirming => self.confirming(&id),
                _ => self.reached(&id),
            }
            self.store_and_judge(&id, None);
        }
    }

    /// The listener answered: it was reached.
    pub(crate) fn reached(&mut self, id: &str) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.view.answered_at.get_or_insert(self.now.wall);
        self.out.listenings.insert(id.to_owned());
        if let Some(request) = self.requests.get_mut(&listening.view.request) {
            request.record.failures_in_a_row = 0;
        }
    }

    /// Where the listener wants its stream. One without a codec of ours is hung up.
    pub(crate) fn listen(&mut self, key: EarKey) {
        let Some(ear) = self.ears.get(&key) else { return };
        let Some(session) = ear.phone().and_then(|phone| phone.session.as_ref()) else { return };
        let Some((payload_type, codec)) = codecs::chosen(session, ear.mix.layout) else {
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
            telephone_event: session.telephone_event,
        };
        self.out.media(media::Command::Listen { listener: ListenerId(key), remote });
    }

    pub(crate) fn ear_live(&mut self, key: EarKey) {
        let Some(ear) = self.ears.get_mut(&key) else { return };
        if let Some(phone) = ear.phone_mut() {
            phone.first_packet = true;
        }
        // silence goes out before the key, too
        if ear.state != EarState::Answered {
            return;
        }
        ear.state = EarState::Live;
        self.timers.cancel(&Timer::Ring(key));
        self.judge_rights_on(key);
        let Some(ear) = self.ears.get(&key) else { return };
        let is_page = ear.page().is_some();
        for id in ear.listenings.clone() {
            if is_page {
                self.reached(&id);
            }
            self.live(&id);
            self.store_and_judge(&id, Some(Action::ListeningLive));
        }
    }

    pub(crate) fn live(&mut self, id: &str) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.view.state = ListeningState::Live;
        self.levels_changed = true;
        self.listening_event(EventName::ListeningLive, id);
    }

    /// Call audio that reached the ear: it belongs to the interaction that it is on.
    pub(crate) fn ear_heard(&mut self, key: EarKey, heard_ms: u64) {
        let Some(ear) = self.ears.get_mut(&key) else { return };
        let more = heard_ms.saturating_sub(ear.heard_ms);
        ear.heard_ms = ear.heard_ms.max(heard_ms);
        self.ear_heard_more(key, more);
    }

    pub(crate) fn ear_heard_more(&mut self, key: EarKey, more: u64) {
        let Some(ear) = self.ears.get(&key) else { return };
        let (hears, listenings) = (ear.hears, ear.listenings.clone());
        for id in listenings {
            if self.listenings.get(&id).is_some_and(|listening| Some(listening.interaction) == hears) {
                self.heard(&id, more);
            }
        }
    }

    pub(crate) fn ear_silent(&mut self, key: EarKey) {
        let up = self.ears.get(&key).filter(|ear| ear.state.is_up());
        if let Some(leg) = up.and_then(Ear::phone).map(|phone| phone.leg) {
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
        self.ear_closed(key, 0, None);
    }

    /// The phone rang long enough. One that never said that it rings is not there.
    pub(crate) fn rang_out(&mut self, key: EarKey) {
        let Some(ear) = self.ears.get(&key) else { return };
        let rang = ear.state == EarState::Ringing || ear.page().is_some();
        let reason = if rang { EndReason::ListenerNoAnswer } else { EndReason::ListenerUnreachable };
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
        let leg = ear.phone().map(|phone| phone.leg);
        let text =
            serde_json::to_value(reason).ok().and_then(|reason| reason.as_str().map(str::to_owned)).unwrap_or_default();
        self.close_ear(key, was_up);
        match leg {
            Some(leg) => {
                self.sip(Command::End { leg, reason: Reason { cause: if was_up { 200 } else { 487 }, text } });
            }
            // nobody else has to be told: it is gone before the input is done
            None => {
                self.dirty_desks.extend(self.ears.get(&key).map(|ear| ear.agent.clone()));
                self.gone_pages.push(key);
            }
        }
    }

    fn close_ear(&mut self, key: EarKey, was_up: bool) {
        for timer in [Timer::Ring(key), Timer::Confirm(key), Timer::Return(key)] {
            self.timers.cancel(&timer);
        }
        let Some(ear) = self.ears.get(&key) else { return };
        if let Some(desk) = self.desks.get_mut(&ear.agent) {
            desk.ears.retain(|other| *other != key);
        }
        let (hears, heard_ms) = (ear.hears.filter(|_| was_up), ear.heard_ms);
        if let Some(listener) = self.close_line(key) {
            self.await_figures(key, ClosedEar { listener, hears, heard_ms, listenings: Vec::new(), heir: None });
        }
    }

    /// The media plane lets go of an ear's listeners. Returns whose last figures are to come.
    fn close_line(&mut self, key: EarKey) -> Option<ListenerId> {
        if self.ears.get(&key)?.page().is_some() {
            return self.close_players(key);
        }
        let listener = ListenerId(key);
        self.out.media(media::Command::CloseListener { listener });
        Some(listener)
    }

    /// Its last figures are to come.
    pub(crate) fn await_figures(&mut self, key: EarKey, closed: ClosedEar) {
        self.closed_ears.insert(key, closed);
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
        self.ear_closed(key, 0, None);
    }

    /// The ear's last figures: what it heard since the last report stands in the records too, and counts.
    pub(crate) fn ear_closed(&mut self, key: EarKey, heard_ms: u64, quality: Option<ListeningQuality>) {
        let Some(closed) = self.closed_ears.remove(&key) else { return };
        self.timers.cancel(&Timer::Figures(key));
        self.players.remove(&closed.listener);
        let more = heard_ms.saturating_sub(closed.heard_ms);
        if let Some(heir) = closed.heir {
            self.ear_heard_more(heir, more);
        }
        for view in closed.listenings {
            self.heard_last(view, more, quality);
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
        let encrypted = ear.phone().is_some_and(|phone| phone.encrypted);
        let reason = ended_because(was, end, encrypted);
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
    pub(crate) fn listener_free(&mut self, target: &Target) {
        let waiting: Vec<String> = self
            .listenings
            .values()
            .filter(|l| l.phase == ListeningPhase::Blocked && self.target(&l.view.listener).as_ref() == Some(target))
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

impl Listening {
    /// It is on an ear that is mixed so.
    pub(crate) fn mixed(&mut self, mix: media::Mix) {
        (self.view.layout, self.view.gains, self.view.level_matching) = codecs::unmix(mix);
    }
}

/// SEMANTICS, Calling the listener.
fn ended_because(state: EarState, end: &End, encrypted: bool) -> EndReason {
    if state == EarState::Confirming {
        return EndReason::ListenerNotConfirmed;
    }
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
        let unconfirmed = ended_because(EarState::Confirming, &end(EndedBy::Remote, None), false);
        assert_eq!(unconfirmed, EndReason::ListenerNotConfirmed);
    }
}
