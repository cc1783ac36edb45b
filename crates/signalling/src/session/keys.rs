//! What protects one leg: whether it is encrypted and with which keys (RFC 4568, 8643), and whether RTCP shares RTP's
//! port (RFC 5761). Each leg negotiates for itself; nothing here is ever copied to another leg.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use zeroize::Zeroizing;

use crate::peers::Srtp;
use crate::sdp::Sdp;
use crate::sdp::crypto::{Crypto, Key, Protection, SessionKeys, Suite};

/// The negotiation of one leg.
#[derive(Debug)]
pub(crate) struct Shield {
    policy: Srtp,
    offers_mux: bool,
    keys: Keys,
    in_force: Option<Secured>,
    open: Open,
}

/// What both descriptions together come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Secured {
    /// Names our line, and the remote party's.
    tag: u32,
    /// The profile of the description that offered it was RTP/SAVP.
    secure_profile: bool,
    pub(crate) keys: Option<Box<SessionKeys>>,
    pub(crate) mux: bool,
}

/// What belongs to an offer that is not agreed.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    /// We offered this.
    Offered(Protection),
    /// The remote party offered, and this is what our answer says: as often as it is written, the same.
    Answered(Secured),
}

impl Shield {
    /// `seed` is what its keys come from: 32 bytes of the core's randomness.
    pub(crate) fn new(policy: Srtp, offers_mux: bool, seed: [u8; 32]) -> Self {
        Self { policy, offers_mux, keys: Keys(Zeroizing::new(seed)), in_force: None, open: Open::Nothing }
    }

    /// No plain RTP is offered or taken from now on, whatever the party's policy. The seed is a fresh one.
    pub(crate) fn require(&mut self, seed: [u8; 32]) {
        self.policy = Srtp::Require;
        self.keys = Keys(Zeroizing::new(seed));
    }

    /// Judges what a remote party offers; see [`admit`].
    pub(crate) fn admit(&self, offer: Sdp) -> Result<Sdp, &'static str> {
        admit(self.policy, self.is_encrypted(), offer)
    }

    /// Plain RTP has no place on the leg: it is encrypted, must be, or will be by this offer of its party.
    pub(crate) fn is_closed(&self, offer: Option<&Sdp>) -> bool {
        let by_offer = self.policy != Srtp::Off && offer.is_some_and(|offer| !offer.crypto().is_empty());
        self.policy == Srtp::Require || self.is_encrypted() || by_offer
    }

    fn is_encrypted(&self) -> bool {
        self.in_force.as_ref().is_some_and(|secured| secured.keys.is_some())
    }

    /// What our next offer says. What is agreed is offered again with the same key, so that the remote party's SRTP state
    /// goes on; and a leg that was agreed plain stays so, unless the remote party itself offers more.
    pub(crate) fn offer(&mut self) -> Protection {
        let (secure, crypto) = match (&self.in_force, self.policy) {
            (Some(Secured { keys: Some(keys), tag, secure_profile, .. }), _) => {
                (*secure_profile, vec![Crypto { tag: *tag, key: keys.ours.clone() }])
            }
            (Some(_), Srtp::Offer) | (_, Srtp::Off) => (false, Vec::new()),
            (_, policy) => {
                let lines = (1..).zip(Suite::OFFERED);
                let lines = lines.map(|(tag, suite)| Crypto { tag, key: self.keys.draw(suite) }).collect();
                (policy == Srtp::Require, lines)
            }
        };
        let mux = self.offers_mux || self.in_force.as_ref().is_some_and(|secured| secured.mux);
        let offer = Protection { secure, feedback: None, crypto, mux };
        self.open = Open::Offered(offer.clone());
        offer
    }

    /// What our answer to this offer says: its profile, and one of its suites under its tag with a key of ours. The suite
    /// in force is kept if it is offered, and with it our key, whether theirs is new or not (RFC 4568 §7.1.4 lets each
    /// side renew its own); else it is the first that can be used.
    pub(crate) fn answer(&mut self, offer: &Sdp) -> Protection {
        let secured = match std::mem::take(&mut self.open) {
            Open::Answered(secured) => secured,
            _ => self.choose(offer),
        };
        let own = |keys: &SessionKeys| Crypto { tag: secured.tag, key: keys.ours.clone() };
        let answer = Protection {
            secure: offer.secure(),
            feedback: Some(offer.feedback()),
            crypto: secured.keys.iter().map(|keys| own(keys)).collect(),
            mux: secured.mux,
        };
        self.open = Open::Answered(secured);
        answer
    }

    fn choose(&mut self, offer: &Sdp) -> Secured {
        if offer.rejected() {
            return self.in_force.clone().unwrap_or_default(); // no media for now; what protects it stands
        }
        let (secure_profile, mux) = (offer.secure(), offer.mux());
        let ours = self.in_force.as_ref().and_then(|secured| secured.keys.as_ref()).map(|keys| keys.ours.clone());
        let lines = if self.policy == Srtp::Off { &[] } else { offer.crypto() };
        let same = lines.iter().find(|line| ours.as_ref().is_some_and(|ours| ours.suite() == line.key.suite()));
        let Some(line) = same.or(lines.first()) else {
            return Secured { tag: 0, secure_profile, keys: None, mux };
        };
        let suite = line.key.suite();
        let ours = ours.filter(|ours| ours.suite() == suite).unwrap_or_else(|| self.keys.draw(suite));
        let keys = Some(Box::new(SessionKeys { ours, theirs: line.key.clone() }));
        Secured { tag: line.tag, secure_profile, keys, mux }
    }

    /// Whether this answer to our offer may be taken: it is encrypted if it must be, and it says one thing.
    pub(crate) fn reads(&self, answer: &Sdp) -> bool {
        let Open::Offered(offer) = &self.open else { return true };
        if answer.rejected() || accepted(offer, answer).is_some() {
            return true;
        }
        let must = self.policy == Srtp::Require || self.is_encrypted();
        let contradicts = answer.secure() || (answer.names_crypto() && !offer.crypto.is_empty());
        !must && !contradicts
    }

    /// What our offer and this answer come to.
    pub(crate) fn answered(&self, answer: &Sdp) -> Secured {
        match &self.open {
            Open::Offered(_) if answer.rejected() => self.in_force.clone().unwrap_or_default(),
            Open::Offered(offer) => {
                let (tag, keys) = accepted(offer, answer).unzip();
                Secured {
                    tag: tag.unwrap_or_default(),
                    secure_profile: offer.secure,
                    keys,
                    mux: offer.mux && answer.mux(),
                }
            }
            Open::Answered(secured) => secured.clone(),
            Open::Nothing => self.in_force.clone().unwrap_or_default(),
        }
    }

    /// What was open is in force.
    pub(crate) fn agree(&mut self, secured: Secured) {
        self.in_force = Some(secured);
        self.open = Open::Nothing;
    }

    /// What is agreed.
    pub(crate) fn in_force(&self) -> Secured {
        self.in_force.clone().unwrap_or_default()
    }

    /// What was open is void: the old keys stand.
    pub(crate) fn drop_open(&mut self) {
        self.open = Open::Nothing;
    }
}

/// Judges an offer by the policy of whom it is from: the description as it is taken, of two audio streams the one that
/// the policy is for; else why it is refused.
///
/// # Errors
/// What is missing, for Warning.
pub(crate) fn admit(policy: Srtp, encrypted: bool, offer: Sdp) -> Result<Sdp, &'static str> {
    match policy {
        _ if offer.rejected() => Ok(offer),
        Srtp::Off if offer.secure() => offer.with_profile(false).ok_or("SRTP is off here"),
        Srtp::Off => Ok(offer),
        _ if !offer.crypto().is_empty() => Ok(offer),
        Srtp::Offer if !encrypted && !offer.secure() => Ok(offer),
        Srtp::Offer if !encrypted => offer.with_profile(false).ok_or("no usable key"),
        _ => offer.with_profile(true).filter(|offer| !offer.crypto().is_empty()).ok_or("no usable key"),
    }
}

/// The line of our offer that an answer took, with both keys.
fn accepted(offer: &Protection, answer: &Sdp) -> Option<(u32, Box<SessionKeys>)> {
    answer.crypto().iter().find_map(|theirs| {
        let ours = offer.crypto.iter().find(|ours| ours.tag == theirs.tag)?;
        let keys = SessionKeys { ours: ours.key.clone(), theirs: theirs.key.clone() };
        (ours.key.suite() == theirs.key.suite()).then(|| (ours.tag, Box::new(keys)))
    })
}

/// Where a leg's own keys come from. What it has given can not be had from it again.
struct Keys(Zeroizing<[u8; 32]>);

impl Keys {
    fn draw(&mut self, suite: Suite) -> Key {
        let mut random = StdRng::from_seed(*self.0);
        let mut bytes = Zeroizing::new([0; 64]);
        random.fill(&mut bytes[..]);
        random.fill(&mut self.0[..]);
        let bytes = bytes.get(..suite.length()).unwrap_or_default();
        Key::new(suite, bytes).expect("so many bytes were drawn as the suite has")
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}
