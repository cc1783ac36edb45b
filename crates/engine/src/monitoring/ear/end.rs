//! How a listener's leg ends, why, and what was heard on it in the end.

use media::ListenerId;
use signalling::{Command, End, EndedBy, Reason};

use crate::engine::Core;
use crate::monitoring::{ClosedEar, EarKey, EarState, ListeningPhase, Target};
use crate::timers::Timer;
use crate::view::{EndReason, ListeningQuality};

/// So long a closed ear's last figures may take: as long as a media plan. A request may wait for them to end.
const FIGURES_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

impl Core {
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
