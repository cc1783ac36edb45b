//! SRTP with keys from the session descriptions (RFC 4568, 8643) of one call: which lines are offered, which one is
//! taken, and what that does to packets. It is a peer's own negotiation; only the transform is the media plane's.

use std::time::Instant;

use media::srtp::{OVERHEAD, Protection, SrtpKeys};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use signalling::sdp::crypto::{Crypto, Key, Suite};
use signalling::sdp::{Sdp, SdpError};

use crate::interface::{Kind, Policy, Srtp};

/// Longest packet that is decrypted; longer ones are no media.
const MAX_PACKET: usize = 2_048;

/// The encryption of one call.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) settings: Srtp,
    random: StdRng,
    /// What this side encrypts with, one key for each suite: named again and again until it is renewed.
    ours: Vec<Key>,
    /// Lines of our offer that has no answer.
    offered: Vec<Crypto>,
    /// RTP/SAVP was agreed, and is offered again.
    secure_profile: bool,
    /// Both keys, as agreed last.
    agreed: Option<(Crypto, Key)>,
    /// Agreed, and not yet what packets are protected with.
    changed: bool,
    protection: Option<Protection>,
    pub(crate) mux: bool,
    pub(crate) undecryptable: u64,
    pub(crate) before_keys: u64,
    pub(crate) rekeyed: u64,
    pub(crate) was_plain: bool,
}

/// What a description of ours says of encryption.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    pub(crate) secure: bool,
    pub(crate) feedback: bool,
    pub(crate) crypto: Vec<Crypto>,
    pub(crate) mux: bool,
}

impl Vault {
    pub(crate) fn new(settings: Srtp, seed: [u8; 32]) -> Self {
        Self {
            settings,
            random: StdRng::from_seed(seed),
            ours: Vec::new(),
            offered: Vec::new(),
            secure_profile: false,
            agreed: None,
            changed: false,
            protection: None,
            mux: false,
            undecryptable: 0,
            before_keys: 0,
            rekeyed: 0,
            was_plain: false,
        }
    }

    /// The suite that both agreed on.
    pub(crate) fn suite(&self) -> Option<Suite> {
        self.agreed.as_ref().map(|(ours, _)| ours.key.suite())
    }

    /// Every suite that this phone has, each with the key that it had before.
    pub(crate) fn offer(&mut self) -> Lines {
        let suites = if self.settings.policy == Policy::Off { Vec::new() } else { self.settings.suites.clone() };
        self.offered = (1..).zip(suites).map(|(tag, suite)| Crypto { tag, key: self.key(suite) }).collect();
        let secure = self.settings.policy == Policy::Require || (self.agreed.is_some() && self.secure_profile);
        Lines { secure, feedback: false, crypto: self.offered.clone(), mux: self.settings.mux }
    }

    /// The stream of an offer that this phone takes, and what its answer says: the suite in force if it is offered, else
    /// the offer's first that this phone has.
    pub(crate) fn answer(&mut self, offer: Sdp) -> Result<(Sdp, Lines), SdpError> {
        let (offer, line) = self.choose(offer)?;
        let mut lines = Lines {
            secure: offer.secure(),
            feedback: offer.feedback(),
            crypto: Vec::new(),
            mux: offer.mux() && self.settings.mux,
        };
        self.mux = lines.mux;
        self.secure_profile = lines.secure;
        match line {
            Some(theirs) => {
                let ours = Crypto { tag: theirs.tag, key: self.key(theirs.key.suite()) };
                lines.crypto.push(ours.clone());
                self.agree(ours, theirs.key);
            }
            None => self.was_plain = true,
        }
        Ok((offer, lines))
    }

    fn choose(&self, offer: Sdp) -> Result<(Sdp, Option<Crypto>), SdpError> {
        let must = self.settings.policy == Policy::Require || self.agreed.is_some();
        if let Some(line) = self.usable(&offer) {
            return Ok((offer, Some(line)));
        }
        if must {
            let secure = offer.with_profile(true).ok_or(SdpError::NotAcceptable("no key"))?;
            let line = self.usable(&secure).ok_or(SdpError::NotAcceptable("no usable key"))?;
            return Ok((secure, Some(line)));
        }
        if offer.secure() {
            let plain = offer.with_profile(false).ok_or(SdpError::NotAcceptable("audio is not over RTP/AVP"))?;
            return Ok((plain, None));
        }
        Ok((offer, None))
    }

    fn usable(&self, offer: &Sdp) -> Option<Crypto> {
        if self.settings.policy == Policy::Off {
            return None;
        }
        let mut lines = offer.crypto().iter().filter(|line| self.settings.suites.contains(&line.key.suite()));
        let first = lines.clone().next();
        lines.find(|line| Some(line.key.suite()) == self.suite()).or(first).cloned()
    }

    /// What the other side answered to our offer.
    pub(crate) fn answered(&mut self, answer: &Sdp) -> Result<(), SdpError> {
        let taken = answer.crypto().iter().find_map(|theirs| {
            let ours = self.offered.iter().find(|ours| ours.tag == theirs.tag)?;
            (ours.key.suite() == theirs.key.suite()).then(|| (ours.clone(), theirs.key.clone()))
        });
        let must = self.settings.policy == Policy::Require || self.agreed.is_some() || answer.secure();
        match taken {
            Some((ours, theirs)) => self.agree(ours, theirs),
            None if must => return Err(SdpError::NotAcceptable("the answer names no key of the offer")),
            None => self.was_plain = true,
        }
        self.secure_profile = answer.secure();
        self.mux = self.settings.mux && answer.mux();
        Ok(())
    }

    fn agree(&mut self, ours: Crypto, theirs: Key) {
        self.changed |= self.agreed.as_ref().is_none_or(|(o, t)| (&o.key, t) != (&ours.key, &theirs));
        self.agreed = Some((ours, theirs));
    }

    /// Other keys of ours from the next description on; with other suites, if they are given.
    pub(crate) fn renew(&mut self, suites: Option<&[Suite]>) {
        self.ours.clear();
        if let Some(suites) = suites {
            self.settings.suites = suites.to_vec();
        }
    }

    /// A packet of ours as it goes out; `None`: it may not.
    pub(crate) fn seal(&mut self, now: Instant, kind: Kind, mut data: Vec<u8>) -> Option<Vec<u8>> {
        self.settle(now);
        let Some(protection) = &mut self.protection else {
            return (self.settings.policy != Policy::Require).then_some(data);
        };
        let length = data.len();
        data.resize(length + OVERHEAD, 0);
        let length = protection.seal(of(kind), &mut data, length).ok()?;
        data.truncate(length);
        Some(data)
    }

    /// What came, in the clear; `None`: it is not authentic, or nothing was agreed that it could be.
    pub(crate) fn open(&mut self, now: Instant, kind: Kind, data: &[u8]) -> Option<Vec<u8>> {
        self.settle(now);
        let Some(protection) = &mut self.protection else {
            // Between an offer with keys and its answer nobody can tell whether a packet is encrypted.
            let plain = self.was_plain || self.settings.policy == Policy::Off;
            self.before_keys += u64::from(!plain);
            return plain.then(|| data.to_vec());
        };
        let mut data = data.to_vec();
        let opened = (data.len() <= MAX_PACKET).then(|| protection.open(now, of(kind), &mut data).ok()).flatten();
        let Some(opened) = opened else {
            self.undecryptable += 1;
            return None;
        };
        data.truncate(opened.length);
        Some(data)
    }

    /// Keys that were agreed since the last packet.
    fn settle(&mut self, now: Instant) {
        let Some((ours, theirs)) = self.agreed.as_ref().filter(|_| self.changed) else {
            return;
        };
        let keys = SrtpKeys { ours: in_media(&ours.key), theirs: in_media(theirs) };
        match &mut self.protection {
            Some(protection) => {
                self.rekeyed += 1;
                let _ = protection.describe(now, keys);
            }
            None => self.protection = Protection::new(keys),
        }
        self.changed = false;
    }

    fn key(&mut self, suite: Suite) -> Key {
        if let Some(known) = self.ours.iter().find(|key| key.suite() == suite) {
            return known.clone();
        }
        let mut bytes = [0; 64];
        self.random.fill(&mut bytes[..]);
        let key = Key::new(suite, &bytes[..suite.length()]).expect("so many bytes were drawn as the suite has");
        self.ours.push(key.clone());
        key
    }
}

impl Lines {
    /// The m-line's third word.
    pub(crate) fn profile(&self) -> &'static str {
        match (self.secure, self.feedback) {
            (false, false) => "RTP/AVP",
            (false, true) => "RTP/AVPF",
            (true, false) => "RTP/SAVP",
            (true, true) => "RTP/SAVPF",
        }
    }

    /// The stream's attributes.
    pub(crate) fn attributes(&self) -> String {
        let mut text = String::new();
        for Crypto { tag, key } in &self.crypto {
            text += &format!("a=crypto:{tag} {} inline:{}\r\n", key.suite().name(), base64(key.bytes()));
        }
        if self.mux {
            text += "a=rtcp-mux\r\n";
        }
        text
    }
}

/// RTCP by its payload type where it shares RTP's port (RFC 5761 §4).
pub(crate) fn is_rtcp(data: &[u8]) -> bool {
    data.get(1).is_some_and(|byte| (192..=223).contains(byte))
}

fn of(kind: Kind) -> media::Kind {
    match kind {
        Kind::Rtp => media::Kind::Rtp,
        Kind::Rtcp => media::Kind::Rtcp,
    }
}

fn in_media(key: &Key) -> media::srtp::Key {
    use media::srtp::Key as Like;
    match key.clone() {
        Key::AesCm128HmacSha1_80(bytes) => Like::AesCm128HmacSha1_80(bytes),
        Key::AesCm128HmacSha1_32(bytes) => Like::AesCm128HmacSha1_32(bytes),
        Key::AesCm256HmacSha1_80(bytes) => Like::AesCm256HmacSha1_80(bytes),
        Key::AesCm256HmacSha1_32(bytes) => Like::AesCm256HmacSha1_32(bytes),
        Key::AeadAes128Gcm(bytes) => Like::AeadAes128Gcm(bytes),
        Key::AeadAes256Gcm(bytes) => Like::AeadAes256Gcm(bytes),
    }
}

/// RFC 4648 §4, with padding (RFC 4568 §6.1).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    #[test]
    fn no_line_shows_more_than_its_key() {
        let mut vault = Vault::new(Srtp { policy: Policy::Offer, ..Srtp::default() }, [7; 32]);
        let lines = vault.offer();
        for line in lines.attributes().lines() {
            assert_eq!(
                Crypto::parse(line.trim_start_matches("a=crypto:")).map(|l| l.key),
                lines.crypto.iter().map(|c| c.key.clone()).find(|k| line.contains(k.suite().name()))
            );
        }
        assert!(!lines.secure && lines.crypto.len() == vault.settings.suites.len());
    }
}
