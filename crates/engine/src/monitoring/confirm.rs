//! Whoever answered presses 1 before anything is heard: a voicemail never does (SEMANTICS, Calling the listener).

use media::ListenerId;

use crate::engine::Core;
use crate::keys::key_in;
use crate::monitoring::{EarKey, EarState};
use crate::timers::Timer;
use crate::view::{EndReason, EventName, ListeningState};

/// The key that says yes.
const YES: char = '1';

impl Core {
    /// Silence goes to the listener until it has pressed the key, or the time is over.
    pub(crate) fn await_key(&mut self, key: EarKey) {
        self.out.media(media::Command::WatchKeys { listener: ListenerId(key), on: true });
        let at = self.after(self.settings.confirm_timeout);
        self.timers.set(Timer::Confirm(key), at);
        self.counters.count("listeners_asked_to_confirm");
    }

    /// Its phone was answered, by somebody or something.
    pub(crate) fn confirming(&mut self, id: &str) {
        let Some(listening) = self.listenings.get_mut(id) else { return };
        listening.view.state = ListeningState::Confirming;
        listening.view.answered_at.get_or_insert(self.now.wall);
        self.listening_event(EventName::ListeningRinging, id);
    }

    /// The listener pressed a key: by RFC 4733, as a tone, or in an INFO.
    pub(crate) fn ear_key(&mut self, key: EarKey, pressed: char) {
        let Some(ear) = self.ears.get_mut(&key).filter(|ear| ear.state == EarState::Confirming && pressed == YES)
        else {
            return;
        };
        ear.state = EarState::Answered;
        let Some(phone) = ear.phone_mut() else { return };
        phone.unconfirmed = false;
        let is_live = phone.first_packet;
        self.dirty_desks.insert(ear.agent.clone());
        self.timers.cancel(&Timer::Confirm(key));
        self.out.media(media::Command::WatchKeys { listener: ListenerId(key), on: false });
        if self.judge_rights_on(key) && self.ears.get(&key).is_none_or(|ear| ear.state != EarState::Answered) {
            return;
        }
        for id in self.ears.get(&key).map(|ear| ear.listenings.clone()).unwrap_or_default() {
            self.reached(&id);
            self.store_and_judge(&id, None);
        }
        if is_live {
            self.ear_live(key);
        }
    }

    /// An INFO from the listener's phone.
    pub(crate) fn ear_info(&mut self, key: EarKey, content_type: &str, body: &[u8]) {
        if let Some(pressed) = key_in(content_type, body) {
            self.ear_key(key, pressed);
        }
    }

    /// Nobody pressed it.
    pub(crate) fn unconfirmed(&mut self, key: EarKey) {
        self.end_ear_with(key, EndReason::ListenerNotConfirmed);
    }
}
