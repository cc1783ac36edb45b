//! Challenging, and checking what comes back (RFC 7616 §3.3 and §3.4; RFC 8760 §2.4: one header line per algorithm).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{Algorithm, Fields, Quality, Question, hex, meant, quotable};
use crate::message::{Method, Uri};

/// How long and how often a nonce may be used.
#[derive(Clone, Debug)]
pub struct Terms {
    /// A nonce is stale after this time.
    pub lifetime: Duration,
    /// Nonces whose use is remembered; the oldest is forgotten, and stale from then on.
    pub nonces_max: usize,
    /// Offered, in order. Phones that know one line only mostly read the first.
    pub algorithms: Vec<Algorithm>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            nonces_max: 10_000,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        }
    }
}

/// Why a request is not known to come from one of our users. Each is answered with a challenge (401 or 407).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credentials for our realm: the first challenge.
    Missing,
    /// The password is right but the nonce too old or used before: challenge with stale=true.
    Stale,
    /// User or password is wrong.
    Wrong,
    /// The credentials are broken, or not such as were asked for.
    Malformed,
}

/// Makes nonces and checks answers. A nonce carries its own proof of origin, so challenges need no memory; only the
/// counts of nonces that were answered rightly are kept.
pub struct Challenger {
    realm: String,
    secret: [u8; 32],
    start: Instant,
    terms: Terms,
    next: u64,
    /// Highest nonce count seen, by nonce number.
    used: BTreeMap<u64, u32>,
    /// Nonces with a lower number are stale: their counts were forgotten.
    floor: u64,
    forgotten: u64,
}

impl std::fmt::Debug for Challenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenger")
            .field("realm", &self.realm)
            .field("used", &self.used.len())
            .field("forgotten", &self.forgotten)
            .finish_non_exhaustive()
    }
}

impl Challenger {
    /// For one realm. Nonces are signed with `secret` and aged from `start` on.
    pub fn new(realm: &str, secret: [u8; 32], start: Instant, terms: Terms) -> Self {
        Self { realm: realm.to_owned(), secret, start, terms, next: 1, used: BTreeMap::new(), floor: 0, forgotten: 0 }
    }

    /// Values of the WWW-Authenticate (or Proxy-Authenticate) lines, one per algorithm, in order.
    pub fn challenge(&mut self, now: Instant, stale: bool) -> Vec<String> {
        let nonce = self.nonce(now);
        let opaque = hex(self.sign(b"opaque").get(..8).unwrap_or_default());
        let realm = quotable(&self.realm);
        let stale = if stale { ", stale=true" } else { "" };
        let line = |algorithm: &Algorithm| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", opaque=\"{opaque}\", algorithm={}, qop=\"auth\"{stale}",
                algorithm.as_str()
            )
        };
        self.terms.algorithms.iter().map(line).collect()
    }

    /// Username of a request whose Authorization (or Proxy-Authorization) values prove it. `password` looks a username
    /// up. Credentials without qop, as in RFC 2069, are taken once per nonce.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify<'a>(
        &mut self,
        now: Instant,
        method: &Method,
        request_uri: &str,
        credentials: impl IntoIterator<Item = &'a str>,
        password: impl FnOnce(&str) -> Option<String>,
    ) -> Result<String, Refusal> {
        let mut refusal = Refusal::Missing;
        let ours = credentials.into_iter().find_map(|value| {
            let Some(fields) = Fields::parse(value) else {
                refusal = Refusal::Malformed;
                return None;
            };
            fields.value("realm").is_some_and(|realm| meant(realm) == self.realm).then_some(fields)
        });
        let claim = Claim::of(&ours.ok_or(refusal)?).ok_or(Refusal::Malformed)?;
        if !self.terms.algorithms.contains(&claim.algorithm) || !same_resource(&meant(claim.uri), request_uri) {
            return Err(Refusal::Malformed);
        }
        let username = meant(claim.username).into_owned();
        let known = password(&username);
        // For an unknown user the same work is done, so that the time taken tells nothing.
        let right = claim.is_right(&quotable(&self.realm), method, known.as_deref().unwrap_or_default());
        if !(right & known.is_some()) {
            return Err(Refusal::Wrong);
        }
        let number = self.nonce_number(now, claim.nonce).ok_or(Refusal::Stale)?;
        self.count(number, claim.quality.map(|(_, nc, _)| nc))?;
        Ok(username)
    }

    /// Nonces whose use was forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Milliseconds since the start, number, proof: 16 + 16 + 32 hex digits.
    fn nonce(&mut self, now: Instant) -> String {
        let age = u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let plain = format!("{age:016x}{number:016x}");
        let proof = hex(self.sign(plain.as_bytes()).get(..16).unwrap_or_default());
        plain + &proof
    }

    /// The number of a nonce of ours that is fresh.
    fn nonce_number(&self, now: Instant, nonce: &str) -> Option<u64> {
        let (plain, proof) = nonce.split_at_checked(32)?;
        if !same(&hex(self.sign(plain.as_bytes()).get(..16)?), proof) {
            return None;
        }
        let made = u64::from_str_radix(plain.get(..16)?, 16).ok()?;
        let number = u64::from_str_radix(plain.get(16..)?, 16).ok()?;
        let age = now.saturating_duration_since(self.start.checked_add(Duration::from_millis(made))?);
        (age <= self.terms.lifetime && number >= self.floor).then_some(number)
    }

    /// A nonce count is used once and upwards (RFC 7616 §3.4, nc); without one the nonce is used up.
    fn count(&mut self, number: u64, nc: Option<u32>) -> Result<(), Refusal> {
        let last = self.used.get(&number).copied().unwrap_or(0);
        let new = nc.unwrap_or(u32::MAX);
        if new <= last || (nc.is_none() && last > 0) {
            return Err(Refusal::Stale);
        }
        self.used.insert(number, new);
        while self.used.len() > self.terms.nonces_max.max(1) {
            if let Some((oldest, _)) = self.used.pop_first() {
                self.floor = oldest.saturating_add(1);
                self.forgotten += 1;
            }
        }
        Ok(())
    }

    /// HMAC-SHA-256 (RFC 2104) with our secret.
    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let pad = |with: u8| {
            let mut block = [with; 64];
            for (byte, key) in block.iter_mut().zip(self.secret) {
                *byte ^= key;
            }
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
        Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
    }
}

/// What a client says of itself.
struct Claim<'a> {
    algorithm: Algorithm,
    username: &'a str,
    nonce: &'a str,
    uri: &'a str,
    response: &'a str,
    /// nc as written and as number, cnonce.
    quality: Option<(&'a str, u32, &'a str)>,
}

impl<'a> Claim<'a> {
    fn of(fields: &Fields<'a>) -> Option<Self> {
        let quality = match fields.value("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let nc =
                    fields.value("nc").filter(|nc| nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
                Some((nc, u32::from_str_radix(nc, 16).ok()?, fields.value("cnonce")?))
            }
            Some(_) => return None,
        };
        let username = fields.value("username").filter(|username| !username.is_empty())?;
        Some(Self {
            algorithm: Algorithm::new(fields.value("algorithm"))?,
            username,
            nonce: fields.value("nonce")?,
            uri: fields.value("uri")?,
            response: fields.value("response")?,
            quality,
        })
    }

    fn is_right(&self, realm: &str, method: &Method, password: &str) -> bool {
        let quality = self.quality.map(|(nc, _, cnonce)| Quality { nc, cnonce, body: None });
        let question = Question {
            algorithm: self.algorithm,
            username: self.username,
            realm,
            password,
            method: method.as_str(),
            uri: self.uri,
            nonce: self.nonce,
            quality,
        };
        same(&question.response(), &self.response.to_ascii_lowercase())
    }
}

/// Compares in a time that depends on the lengths alone.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

/// Do digest-uri and Request-URI name the same? User, host and port count; proxies may have touched the parameters.
fn same_resource(claimed: &str, request_uri: &str) -> bool {
    if claimed == request_uri {
        return true;
    }
    let (Some(claimed), Some(asked)) = (Uri::parse(claimed), Uri::parse(request_uri)) else { return false };
    claimed.user_decoded() == asked.user_decoded()
        && claimed.host().eq_ignore_ascii_case(asked.host())
        && claimed.port().unwrap_or(5060) == asked.port().unwrap_or(5060)
}

#[cfg(test)]
mod tests {
    use super::super::{Credentials, answer};
    use super::*;

    const URI: &str = "sip:svc@pbx.example";
    const ANN: Credentials<'_> = Credentials { user: "ann", password: "zanzibar" };

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "a test's time begins somewhere")]
        Instant::now()
    }
    fn challenger(start: Instant) -> Challenger {
        Challenger::new("pbx", [7; 32], start, Terms { nonces_max: 4, ..Terms::default() })
    }
    fn password(user: &str) -> Option<String> {
        (user == "ann").then(|| "zanzibar".to_owned())
    }
    fn reply(lines: &[String], who: &Credentials<'_>, nc: u32) -> String {
        answer(lines.iter().map(String::as_str), who, "INVITE", URI, b"", "0a4f113b", nc).unwrap()
    }
    fn verify(challenger: &mut Challenger, now: Instant, value: &str) -> Result<String, Refusal> {
        challenger.verify(now, &Method::Invite, URI, [value], password)
    }

    #[test]
    fn both_algorithms_are_offered_and_taken() {
        let now = start();
        let mut challenger = challenger(now);
        let lines = challenger.challenge(now, false);
        assert!(
            lines[0].contains("algorithm=SHA-256") && lines[1].contains("algorithm=MD5") && !lines[0].contains("stale")
        );
        assert_eq!(verify(&mut challenger, now, &reply(&lines, &ANN, 1)), Ok("ann".into()));
        assert_eq!(verify(&mut challenger, now, &reply(&lines[1..], &ANN, 2)), Ok("ann".into()));
        assert!(challenger.challenge(now, true)[0].ends_with("stale=true"));
    }

    #[test]
    fn replays_and_old_nonces_are_stale() {
        let now = start();
        let mut challenger = challenger(now);
        let lines = challenger.challenge(now, false);
        let value = reply(&lines, &ANN, 5);
        assert!(verify(&mut challenger, now, &value).is_ok());
        assert_eq!(verify(&mut challenger, now, &value), Err(Refusal::Stale));
        assert_eq!(verify(&mut challenger, now, &reply(&lines, &ANN, 4)), Err(Refusal::Stale));
        assert_eq!(verify(&mut challenger, now + Duration::from_secs(299), &reply(&lines, &ANN, 6)), Ok("ann".into()));
        assert_eq!(
            verify(&mut challenger, now + Duration::from_secs(301), &reply(&lines, &ANN, 7)),
            Err(Refusal::Stale)
        );
        let foreign = Challenger::new("pbx", [8; 32], now, Terms::default()).challenge(now, false);
        assert_eq!(verify(&mut challenger, now, &reply(&foreign, &ANN, 1)), Err(Refusal::Stale));
        assert_eq!(
            verify(&mut challenger, now, &reply(&foreign, &Credentials { password: "x", ..ANN }, 1)),
            Err(Refusal::Wrong)
        );
    }

    #[test]
    fn a_forgotten_nonce_cannot_be_replayed() {
        let now = start();
        let mut challenger = challenger(now);
        let values: Vec<_> = (0..6).map(|_| reply(&challenger.challenge(now, false), &ANN, 1)).collect();
        for value in &values {
            assert!(verify(&mut challenger, now, value).is_ok());
        }
        assert_eq!((challenger.used.len(), challenger.forgotten()), (4, 2));
        for value in &values {
            assert_eq!(verify(&mut challenger, now, value), Err(Refusal::Stale));
        }
    }

    #[test]
    fn credentials_without_qop_are_taken_once() {
        let now = start();
        let mut challenger = challenger(now);
        let nonce = challenger.nonce(now);
        let old = |uri: &str| {
            answer([format!("Digest realm=\"pbx\", nonce=\"{nonce}\"").as_str()], &ANN, "INVITE", uri, b"", "", 1)
                .unwrap()
        };
        assert_eq!(verify(&mut challenger, now, &old(URI)), Ok("ann".into()));
        assert_eq!(verify(&mut challenger, now, &old(URI)), Err(Refusal::Stale));
    }

    #[test]
    fn what_is_wrong_or_broken() {
        let now = start();
        let mut challenger = challenger(now);
        let lines = challenger.challenge(now, false);
        let good = reply(&lines, &ANN, 1);
        assert_eq!(challenger.verify(now, &Method::Invite, URI, [], password), Err(Refusal::Missing));
        assert_eq!(
            verify(&mut challenger, now, &good.replace("realm=\"pbx\"", "realm=\"other\"")),
            Err(Refusal::Missing)
        );
        assert_eq!(
            verify(&mut challenger, now, &reply(&lines, &Credentials { user: "bob", ..ANN }, 1)),
            Err(Refusal::Wrong)
        );
        assert_eq!(
            verify(&mut challenger, now, &reply(&lines, &Credentials { user: "bob", password: "" }, 1)),
            Err(Refusal::Wrong)
        );
        assert_eq!(
            challenger.verify(now, &Method::Bye, URI, [good.as_str()], password),
            Err(Refusal::Wrong),
            "of another method"
        );
        assert_eq!(
            challenger.verify(now, &Method::Invite, "sip:other@pbx.example", [good.as_str()], password),
            Err(Refusal::Malformed)
        );
        for broken in [
            "Basic YW5uOnphbnppYmFy".to_owned(),
            good.replace("qop=auth", "qop=auth-int"),
            good.replace("nc=00000001", "nc=ffffffffffff"),
            good.replace("nc=00000001", "nc=+0000001"),
            good.replace("username=\"ann\"", "username=\"\""),
            good.clone() + ", username=\"admin\"",
            good.replace("algorithm=SHA-256", "algorithm=SHA-512-256"),
            good.replace(", cnonce=\"0a4f113b\"", ""),
            good.replace("response=", "x="),
        ] {
            assert_eq!(verify(&mut challenger, now, &broken), Err(Refusal::Malformed), "{broken}");
        }
        assert!(
            challenger
                .verify(
                    now,
                    &Method::Invite,
                    "sip:svc@PBX.example:5060;transport=udp",
                    ["Digest realm=\"else\"", good.as_str()],
                    password
                )
                .is_ok()
        );
    }
}
