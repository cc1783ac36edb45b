//! What becomes of a listener's leg that was called: it rings, answers, gets its stream, hears, and shows that it lives.

use media::{ListenerId, ListenerRemote};
use signalling::{Command, LegId, Session};

use crate::audit::Action;
use crate::call::latch;
use crate::codecs;
use crate::engine::Core;
use crate::monitoring::{Ear, EarKey, EarState};
use crate::timers::Timer;
use crate::view::{EndReason, EventName, ListeningState};

impl Core {
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
}
