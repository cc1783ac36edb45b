//! API tokens that users make for themselves and for machines. The store has their SHA-256; they are found by it, as
//! those of the configuration are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use engine::persist::Change;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::problem::Refusal;
use crate::secrets;

/// Tokens of one user.
pub(crate) const PER_USER_MAX: usize = 50;
/// Its last use is written down this often.
const WRITTEN_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Tells a token of ours in a log or a repository.
const PREFIX: &str = "mdl_";
const KIND: &str = "token";
/// Not used yet.
const NEVER: i64 = i64::MIN;

/// All tokens that were made, by hash.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    table: RwLock<HashMap<[u8; 32], Arc<Token>>>,
}

/// One.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    /// SHA-256.
    pub(crate) hash: [u8; 32],
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    /// Unix seconds.
    used: AtomicI64,
    written: AtomicI64,
}

/// As the store has it.
#[derive(Serialize, Deserialize)]
struct Doc {
    hash: String,
    user: String,
    name: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    used: Option<i64>,
}

impl Tokens {
    pub(crate) fn restore(&self, documents: Vec<(String, String)>) {
        let mut table = self.write();
        for (id, doc) in documents {
            let doc = serde_json::from_str::<Doc>(&doc).ok().and_then(|doc| Some((secrets::unhex(&doc.hash)?, doc)));
            let Some((hash, doc)) = doc else {
                tracing::warn!(id, "a token of the store cannot be read");
                continue;
            };
            table.insert(hash, Arc::new(Token::restored(id, hash, doc)));
        }
    }

    /// A new one: its secret, and what is to be kept before [`Tokens::add`].
    pub(crate) fn make(
        &self,
        user: &str,
        name: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(String, Arc<Token>, Change), Refusal> {
        let secret = format!("{PREFIX}{}", secrets::new()?);
        let token = Arc::new(Token {
            id: secrets::id("tok_")?,
            hash: secrets::hash(secret.as_bytes()),
            user: user.to_owned(),
            name: name.to_owned(),
            created_at: now,
            expires_at,
            used: AtomicI64::new(NEVER),
            written: AtomicI64::new(NEVER),
        });
        let change = token.kept();
        Ok((secret, token, change))
    }

    /// Whether a user may have one more.
    pub(crate) fn has_room(&self, user: &str) -> bool {
        self.read().values().filter(|token| token.user == user).count() < PER_USER_MAX
    }

    /// It counts from now on.
    pub(crate) fn add(&self, token: Arc<Token>) {
        self.write().insert(token.hash, token);
    }

    /// One that has not expired.
    pub(crate) fn of(&self, hash: &[u8; 32], now: Timestamp) -> Option<Arc<Token>> {
        self.read().get(hash).filter(|token| token.expires_at.is_none_or(|expires_at| now < expires_at)).cloned()
    }

    /// Whether it is there, expired or not.
    pub(crate) fn has(&self, hash: &[u8; 32]) -> bool {
        self.read().contains_key(hash)
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Token>> {
        self.read().values().find(|token| token.id == id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Token>> {
        self.read().values().cloned().collect()
    }

    /// It no longer counts; what is to be kept of that.
    pub(crate) fn revoke(&self, hash: &[u8; 32]) -> Option<Change> {
        let id = self.write().remove(hash)?.id.clone();
        Some(Change::Document { kind: KIND.to_owned(), id, doc: None })
    }

    pub(crate) fn count(&self) -> usize {
        self.read().len()
    }

    // A panic while the lock is held leaves whole tokens.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<[u8; 32], Arc<Token>>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, HashMap<[u8; 32], Arc<Token>>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn restored(id: String, hash: [u8; 32], doc: Doc) -> Self {
        let Doc { user, name, created_at, expires_at, used, .. } = doc;
        let used = used.unwrap_or(NEVER);
        Self { id, hash, user, name, created_at, expires_at, used: AtomicI64::new(used), written: AtomicI64::new(used) }
    }

    pub(crate) fn last_used_at(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.used.load(Ordering::Relaxed)).ok()
    }

    /// It is used now; what is to be kept of that, where it is time to write it down.
    pub(crate) fn used(&self, now: Timestamp) -> Option<Change> {
        let now = now.as_second();
        self.used.fetch_max(now, Ordering::Relaxed);
        let written = self.written.load(Ordering::Relaxed);
        if now.saturating_sub(written) < WRITTEN_EVERY.as_secs() {
            return None;
        }
        let turn = self.written.compare_exchange(written, now, Ordering::Relaxed, Ordering::Relaxed);
        turn.is_ok().then(|| self.kept())
    }

    fn kept(&self) -> Change {
        let doc = Doc {
            hash: secrets::hex(&self.hash),
            user: self.user.clone(),
            name: self.name.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            used: Some(self.used.load(Ordering::Relaxed)).filter(|used| *used != NEVER),
        };
        Change::Document { kind: KIND.to_owned(), id: self.id.clone(), doc: serde_json::to_string(&doc).ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_until_it_expires_or_is_revoked() {
        let tokens = Tokens::default();
        let at = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let (secret, token, change) = tokens.make("platform", "statuses", Some(at(10)), at(0)).unwrap();
        assert!(secret.starts_with("mdl_") && secret.len() == 68);
        let Change::Document { id, doc: Some(doc), .. } = change else { panic!("nothing to keep") };
        assert!(!doc.contains(&secret[4..]), "{doc}");
        let hash = secrets::hash(secret.as_bytes());
        assert!(tokens.of(&hash, at(1)).is_none(), "not kept yet");
        tokens.add(token);
        assert!(tokens.of(&hash, at(1)).is_some());
        assert!(tokens.of(&hash, at(10)).is_none(), "expired");
        assert!(tokens.by_id(&id).is_some(), "but still shown");

        let again = Tokens::default();
        again.restore(vec![(id.clone(), doc), ("odd".to_owned(), "{}".to_owned())]);
        let restored = again.of(&hash, at(1)).unwrap();
        assert_eq!((restored.name.as_str(), restored.last_used_at()), ("statuses", None));
        assert!(restored.used(at(1)).is_some());
        assert!(restored.used(at(1)).is_none(), "written once an hour");
        assert!(restored.used(at(2)).is_some());
        assert_eq!(restored.last_used_at(), Some(at(2)));
        assert!(again.revoke(&hash).is_some() && again.of(&hash, at(2)).is_none() && again.revoke(&hash).is_none());
    }
}
