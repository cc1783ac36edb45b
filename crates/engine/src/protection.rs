//! What protects media: keys on their way from signalling to the media plane, and that no listener gets less protection
//! than the call that it hears (SEMANTICS, Encrypted media).

use media::srtp::{Key, SrtpKeys};
use signalling::peers::Srtp;
use signalling::{Key as Named, Session};

use crate::call::{CallKey, Leg};
use crate::directory::Party;
use crate::engine::Core;
use crate::interaction::{EarOn, Interaction};
use crate::monitoring::{Ear, EarKey};
use crate::view::{EndReason, ListenerKind, ListenerRef};

/// A leg's keys as the media plane takes them; `None`: it is plain.
pub(crate) fn keys(session: &Session) -> Option<Box<SrtpKeys>> {
    let keys = session.keys.as_ref()?;
    Some(Box::new(SrtpKeys { ours: key(&keys.ours), theirs: key(&keys.theirs) }))
}

/// Keys have their suite's length by type, on either side: none is lost on the way, or its leg would be plain.
fn key(named: &Named) -> Key {
    match named.clone() {
        Named::AesCm128HmacSha1_80(bytes) => Key::AesCm128HmacSha1_80(bytes),
        Named::AesCm128HmacSha1_32(bytes) => Key::AesCm128HmacSha1_32(bytes),
        Named::AesCm256HmacSha1_80(bytes) => Key::AesCm256HmacSha1_80(bytes),
        Named::AesCm256HmacSha1_32(bytes) => Key::AesCm256HmacSha1_32(bytes),
        Named::AeadAes128Gcm(bytes) => Key::AeadAes128Gcm(bytes),
        Named::AeadAes256Gcm(bytes) => Key::AeadAes256Gcm(bytes),
    }
}

/// Calls.
impl Core {
    /// Some leg of the call is encrypted, or will be: of one whose keys are not known yet (late offer) its policy says it.
    pub(crate) fn is_encrypted(&self, call: CallKey) -> bool {
        let sides = self.calls.get(&call).map(|call| call.sides).unwrap_or_default();
        sides.into_iter().flatten().filter_map(|leg| self.legs.get(&leg)).any(|leg| self.is_encrypted_leg(leg))
    }

    fn is_encrypted_leg(&self, leg: &Leg) -> bool {
        match &leg.session {
            Some(session) => session.encrypted,
            None => self.srtp_of(&leg.party) == Srtp::Require,
        }
    }

    fn srtp_of(&self, party: &Party) -> Srtp {
        let agent = |id: &String| self.directory.agents.get(id).map(|agent| agent.seed.phone.srtp);
        let policy = match party {
            Party::Agent(id) => agent(id),
            Party::User(id) => self.directory.users.get(id).and_then(|user| {
                let shared = user.seed.softphone.as_ref().and_then(agent);
                shared.or(Some(user.seed.phone.srtp))
            }),
            Party::Outside { .. } => self.directory.trunks.first().map(|trunk| trunk.srtp),
        };
        policy.unwrap_or_default()
    }
}

/// Listeners.
impl Core {
    /// A listener of this interaction has to be encrypted.
    pub(crate) fn asks_for_encryption(&self, interaction: &Interaction) -> bool {
        !self.settings.plain_listeners && self.is_encrypted(interaction.primary)
    }

    /// This listener's phone is never encrypted, and this interaction asks for that: nobody is called.
    pub(crate) fn is_unprotected(&self, interaction: &Interaction, listener: &ListenerRef) -> bool {
        if !self.asks_for_encryption(interaction) {
            return false;
        }
        // a browser's leg is always encrypted
        let party = match listener {
            ListenerRef { kind: ListenerKind::Page, .. } => return false,
            ListenerRef { user: Some(id), .. } => Some(Party::User(id.clone())),
            ListenerRef { agent: Some(id), .. } => Some(Party::Agent(id.clone())),
            ListenerRef { number, .. } => number.as_ref().and_then(|number| self.directory.look_up(number)),
        };
        let trunk = || self.directory.trunks.first().map_or(Srtp::Off, |trunk| trunk.srtp);
        party.as_ref().map_or_else(trunk, |party| self.srtp_of(party)) == Srtp::Off
    }

    pub(crate) fn end_unprotected(&mut self, id: &str) {
        self.counters.count("listenings_unprotected");
        self.end_listening(id, EndReason::PolicyDenied);
    }

    /// An ear without keys; one that has not answered is what it was offered.
    pub(crate) fn is_plain(&self, key: EarKey) -> bool {
        self.ears.get(&key).and_then(Ear::phone).is_some_and(|phone| match &phone.session {
            Some(session) => session.keys.is_none(),
            None => !phone.encrypted,
        })
    }

    /// What the agent is on is encrypted and the ear is not: it hears nothing of it.
    pub(crate) fn is_too_plain(&self, key: EarKey, agent: &str, on: EarOn) -> bool {
        let heard = || self.heard_calls(agent, on).unwrap_or_default();
        !self.settings.plain_listeners && self.is_plain(key) && heard().into_iter().any(|call| self.is_encrypted(call))
    }

    /// On the call that it was called for, a plain ear that is up has nothing to wait for: its listenings of that
    /// interaction end. True: they did. On another call of the agent it waits in silence.
    pub(crate) fn deny_plain_ear(&mut self, key: EarKey, on: Option<EarOn>) -> bool {
        let Some((interaction, call)) = on.and_then(|on| Some((on.interaction?, on.call))) else { return false };
        let is_primary = self.interactions.get(&interaction).is_some_and(|interaction| interaction.primary == call)
            && self.is_encrypted(call);
        let Some(ear) = self.ears.get(&key).filter(|ear| is_primary && ear.state.is_up()) else { return false };
        let listens = |id: &&String| self.listenings.get(*id).is_some_and(|l| l.interaction == interaction);
        let denied: Vec<String> = ear.listenings.iter().filter(listens).cloned().collect();
        for id in &denied {
            self.end_unprotected(id);
        }
        !denied.is_empty()
    }

    /// A call becomes encrypted: plain ears leave it before the media plane hears of the keys.
    pub(crate) fn hush_plain_ears(&mut self, call: CallKey) {
        for (_, agent) in self.agents_on(call) {
            if self.desks.get(&agent).is_some_and(|desk| !desk.ears.is_empty()) {
                self.judge_desk(&agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use signalling::Suite;

    use super::*;

    #[test]
    fn every_suite_has_its_like_in_the_media_plane() {
        for suite in Suite::OFFERED.into_iter().chain([Suite::AesCm128HmacSha1_32, Suite::AesCm256HmacSha1_32]) {
            let bytes: Vec<u8> = (0..46).take(suite.length()).collect();
            let like = key(&Named::new(suite, &bytes).unwrap());
            assert_eq!(format!("{suite:?}"), format!("{:?}", like.suite()));
            assert_eq!([like.key(), like.salt()].concat(), bytes, "{suite:?}");
        }
    }
}
