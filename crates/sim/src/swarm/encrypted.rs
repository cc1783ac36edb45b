//! Who encrypts in a life, and what must be so then. None of it is a draw of the plan's: a life's other draws are what
//! they are without.

use engine::directory::{Seed, Srtp};
use phone::{Policy, State, Suite};

use super::life::Stage;
use crate::cast::{ALL, Setup};
use crate::network::Fate;
use crate::people::Leg;

/// Beside the seed. With it no life that broke a rule once becomes another one.
const SALT: u64 = 0x5e70;
/// Share of lives in which anybody encrypts.
const LIVES: f64 = 0.3;
/// What the engine knows of a phone and what the phone does, which is not always the same.
const POLICIES: [(Srtp, Policy); 8] = [
    (Srtp::Off, Policy::Off),
    (Srtp::Off, Policy::Offer),
    (Srtp::Offer, Policy::Off),
    (Srtp::Offer, Policy::Offer),
    (Srtp::Offer, Policy::Require),
    (Srtp::Require, Policy::Offer),
    (Srtp::Require, Policy::Require),
    (Srtp::Require, Policy::Require),
];
/// Packets that a phone may fail to decrypt while keys change, beside as many as it heard.
const ON_THE_WAY: u64 = 200;

/// One phone's encryption.
#[derive(Clone, Debug)]
pub(crate) struct Encrypting {
    user: String,
    known: Srtp,
    phone: phone::Srtp,
}

/// Everybody's, or nobody's.
pub(crate) fn of(seed: u64) -> Vec<Encrypting> {
    let mut fate = Fate::new(&[seed, SALT]);
    if !fate.happens(LIVES) {
        return Vec::new();
    }
    let listeners = (0..super::equal::MANY).map(|index| format!("l{index}"));
    let everybody = ALL.iter().map(|name| (*name).to_owned()).chain(listeners);
    everybody
        .map(|user| {
            let (known, policy) = POLICIES[(fate.next() % POLICIES.len() as u64) as usize];
            Encrypting { user, known, phone: phone::Srtp { policy, suites: suites(&mut fate), mux: fate.happens(0.3) } }
        })
        .collect()
}

/// Some, in any order, and now and then not the one that all have.
fn suites(fate: &mut Fate) -> Vec<Suite> {
    let mut suites = vec![
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
        Suite::AesCm256HmacSha1_80,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ];
    for at in (1..suites.len()).rev() {
        suites.swap(at, (fate.next() % (at as u64 + 1)) as usize);
    }
    let common = if fate.happens(0.9) { Some(Suite::AesCm128HmacSha1_80) } else { None };
    suites.truncate(1 + (fate.next() % 4) as usize);
    suites.extend(common.filter(|common| !suites.contains(common)));
    suites
}

/// The phones' side.
pub(crate) fn equip(setup: &mut Setup, encrypting: &[Encrypting]) {
    for settings in &mut setup.phones {
        let of = encrypting.iter().find(|of| of.user == settings.user);
        settings.srtp = of.map(|of| of.phone.clone()).unwrap_or_default();
    }
    instruct(&mut setup.directory, encrypting);
}

/// The engine's side.
pub(crate) fn instruct(seed: &mut Seed, encrypting: &[Encrypting]) {
    for of in encrypting {
        let agents = seed.agents.iter_mut().filter(|agent| agent.id == of.user).map(|agent| &mut agent.phone.srtp);
        let users = seed.users.iter_mut().filter(|user| user.id == of.user).map(|user| &mut user.phone.srtp);
        let trunks = seed.trunks.iter_mut().filter(|_| of.user == "trunk").map(|trunk| &mut trunk.srtp);
        agents.chain(users).chain(trunks).for_each(|srtp| *srtp = of.known);
    }
}

impl Stage {
    /// Now and then somebody renews its keys.
    pub(crate) fn renew_keys(&mut self) {
        let mut fate = Fate::new(&[self.plan.seed, SALT, self.w.steps()]);
        if !fate.happens(0.08) {
            return;
        }
        let legs = self.encrypted_legs();
        let steady: Vec<Leg> = legs.into_iter().filter(|leg| !self.w.call(*leg).is_changing()).collect();
        if steady.is_empty() {
            return;
        }
        let leg = steady[fate.next() as usize % steady.len()];
        let other = fate.happens(0.3).then(|| suites(&mut fate));
        self.w.watch.iter_mut().for_each(|watch| watch.met("keys", "renewed"));
        self.w.act(leg, |p, now, call, out| p.rekey(now, call, other.as_deref(), out));
    }

    /// Whoever is in an encrypted call understands it.
    pub(crate) fn check_keys(&mut self) {
        let at = self.w.now - self.w.start;
        for leg in self.encrypted_legs() {
            let (session, heard) = (self.w.call(leg).session(), self.w.call(leg).ears().count);
            let (lost, name) = (session.undecryptable(), self.w.phones[leg.phone].name.clone());
            let Some(watch) = &mut self.w.watch else { continue };
            watch.met("an encrypted leg", if heard > 50 { "hears" } else { "is there" });
            if lost > heard + ON_THE_WAY {
                let what = format!("{name} could not decrypt {lost} packets and heard {heard}");
                watch.break_rule(at, "who is in an encrypted call understands it", what);
            }
        }
        let relayed = self.w.media_count(|c| c.relayed_rtp + c.listener_rtp_dropped);
        let lost = self.w.media_count(|c| c.srtp_auth_failed + c.srtp_unknown);
        if lost > relayed + ON_THE_WAY
            && let Some(watch) = &mut self.w.watch
        {
            let what = format!("{lost} packets were not authentic, {relayed} were relayed");
            watch.break_rule(at, "the engine understands whoever is encrypted", what);
        }
    }

    fn encrypted_legs(&self) -> Vec<Leg> {
        let up = self.w.phones.iter().enumerate().flat_map(|(phone, slot)| {
            let calls = slot.phone.calls().filter(|call| call.state() == State::Up && call.session().srtp().is_some());
            calls.map(move |call| Leg { phone, call: call.id() })
        });
        up.collect()
    }
}
