//! What the configuration lets users sign in with, looked up by hash and by user.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

use crate::sessions::Proof;
use crate::{Api, Credential, secrets};

/// The users' secrets.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    by_token: HashMap<[u8; 32], Configured>,
    /// Argon2id, by user.
    passwords: HashMap<String, String>,
}

/// A token of the configuration.
#[derive(Debug)]
pub(crate) struct Configured {
    pub(crate) user: String,
    /// Unix seconds of its last use since the start; 0: none.
    used: AtomicI64,
}

impl Credentials {
    /// `before`: those that these replace, whose last uses stay known.
    pub(crate) fn new(credentials: Vec<Credential>, before: &Self) -> Self {
        let mut own = Self::default();
        for Credential { user, token_sha256, password_hash } in credentials {
            if let Some(hash) = token_sha256 {
                let used = before.by_token.get(&hash).map_or(0, |known| known.used.load(Ordering::Relaxed));
                own.by_token.insert(hash, Configured { user: user.clone(), used: AtomicI64::new(used) });
            }
            if let Some(hash) = password_hash {
                own.passwords.insert(user, hash);
            }
        }
        own
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = &Configured> {
        self.by_token.values()
    }

    /// A user's password hash.
    pub(crate) fn password(&self, user: &str) -> Option<&str> {
        self.passwords.get(user).map(String::as_str)
    }

    /// Any password hash, of which one who does not know a user's name sees that it takes as long.
    pub(crate) fn any_password(&self) -> Option<&str> {
        self.passwords.values().next().map(String::as_str)
    }

    fn may_sign_in(&self, user: &str) -> bool {
        self.passwords.contains_key(user) || self.by_token.values().any(|token| token.user == user)
    }
}

impl Configured {
    pub(crate) fn last_used_at(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > 0).then(|| Timestamp::from_second(used).ok()).flatten()
    }
}

impl Api {
    /// Whose token it is: one of the configuration, or one that was made and has not expired.
    pub(crate) fn token_user(&self, hash: &[u8; 32], now: Timestamp) -> Option<String> {
        if let Some(configured) = self.inner.credentials.load().by_token.get(hash) {
            return Some(configured.user.clone());
        }
        self.inner.tokens.of(hash, now).map(|token| token.user.clone())
    }

    /// A token was used.
    pub(crate) fn token_used(&self, hash: &[u8; 32]) {
        let now = Timestamp::now();
        if let Some(configured) = self.inner.credentials.load().by_token.get(hash) {
            configured.used.fetch_max(now.as_second(), Ordering::Relaxed);
        } else if let Some(token) = self.inner.tokens.of(hash, now)
            && let Some(change) = token.used(now)
        {
            self.keep_later(change, move |api| api.inner.tokens.has(&token.hash));
        }
    }

    /// What a session remembers of a password: as long as it is the same, the session may go on.
    pub(crate) fn password_proof(&self, user: &str) -> Option<String> {
        let credentials = self.inner.credentials.load();
        credentials.password(user).map(|hash| secrets::hex(&secrets::hash(hash.as_bytes())))
    }

    /// Whether one of these users could sign in now.
    #[must_use]
    pub fn someone_may_sign_in<'a>(&self, users: impl IntoIterator<Item = &'a str>) -> bool {
        let (credentials, now) = (self.inner.credentials.load(), Timestamp::now());
        let made = self.inner.tokens.all();
        let has_token = |user: &str| {
            made.iter().any(|token| token.user == user && token.expires_at.is_none_or(|expires_at| now < expires_at))
        };
        users.into_iter().any(|user| credentials.may_sign_in(user) || has_token(user))
    }

    /// Makes a token for the first admin of an engine that nobody could sign in to, and keeps its hash. Blocks.
    ///
    /// # Errors
    /// Why there is none: the store, or the system's randomness.
    pub fn first_token(&self, user: &str) -> Result<String, String> {
        let made = self.inner.tokens.make(user, "first start", None, Timestamp::now());
        let (secret, token, change) = made.map_err(|refusal| refusal.detail)?;
        self.inner.store.apply(&[change]).map_err(|error| error.to_string())?;
        self.inner.tokens.add(token);
        Ok(secret)
    }
}

/// What a session remembers of a token.
pub(crate) fn token_proof(hash: &[u8; 32]) -> Proof {
    Proof::Token(secrets::hex(hash))
}
