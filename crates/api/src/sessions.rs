//! Sessions of the page: what a cookie's secret stands for. Kept in the store by the secret's SHA-256, so that a restart
//! signs nobody out; memory is what counts, and a store that is away only makes a session end with the process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use engine::persist::Change;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::problem::Refusal;
use crate::secrets;

/// A session ends so long after it began.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_hours(12);
/// A session of which nothing was heard for so long has ended. An open stream of events is heard of.
pub(crate) const IDLE: SignedDuration = SignedDuration::from_hours(2);
/// Sessions of one user; the oldest goes.
pub(crate) const PER_USER_MAX: usize = 8;
/// Sessions of all; the oldest goes.
pub(crate) const SESSIONS_MAX: usize = 10_000;
/// Its last use is written down this often.
const WRITTEN_EVERY: SignedDuration = SignedDuration::from_mins(5);
const KIND: &str = "session";

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    table: RwLock<HashMap<[u8; 32], Arc<Session>>>,
    displaced: AtomicU64,
}

/// One.
#[derive(Debug)]
pub(crate) struct Session {
    /// SHA-256 of the cookie's secret.
    pub(crate) hash: [u8; 32],
    pub(crate) user: String,
    /// What the user had signed in with; the session ends when it no longer would.
    pub(crate) by: Proof,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Unix seconds.
    used: AtomicI64,
    written: AtomicI64,
}

/// What somebody signed in with, by hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Proof {
    /// SHA-256 of the password's hash as it was configured.
    #[serde(rename = "password")]
    Password(String),
    /// SHA-256 of the token.
    #[serde(rename = "token")]
    Token(String),
}

/// As the store has it.
#[derive(Serialize, Deserialize)]
struct Doc {
    user: String,
    by: Proof,
    created_at: Timestamp,
    expires_at: Timestamp,
    used: i64,
}

impl Sessions {
    /// Those of the store that still live, and the end of the others.
    pub(crate) fn restore(&self, documents: Vec<(String, String)>, now: Timestamp) -> Vec<Change> {
        let mut over = Vec::new();
        let mut table = self.write();
        for (id, doc) in documents {
            let session = secrets::unhex(&id).zip(serde_json::from_str::<Doc>(&doc).ok()).map(Session::restored);
            match session.filter(|session| session.lives(now)) {
                Some(session) => drop(table.insert(session.hash, Arc::new(session))),
                None => over.push(Change::Document { kind: KIND.to_owned(), id, doc: None }),
            }
        }
        over
    }

    /// A new one: its secret, and what is to be kept.
    pub(crate) fn begin(
        &self,
        user: &str,
        by: Proof,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(String, Arc<Session>, Vec<Change>), Refusal> {
        let secret = secrets::new()?;
        let expires_at = until.into_iter().fold(now.saturating_add(LIFETIME).unwrap_or(now), Timestamp::min);
        let used = AtomicI64::new(now.as_second());
        let session = Arc::new(Session {
            hash: secrets::hash(secret.as_bytes()),
            user: user.to_owned(),
            by,
            created_at: now,
            expires_at,
            used,
            written: AtomicI64::new(now.as_second()),
        });
        let mut table = self.write();
        let mut over: Vec<Arc<Session>> =
            table.extract_if(|_, other| !other.lives(now)).map(|(_, other)| other).collect();
        over.extend(self.displace(&mut table, PER_USER_MAX, |other| other.user == user));
        over.extend(self.displace(&mut table, SESSIONS_MAX, |_| true));
        table.insert(session.hash, Arc::clone(&session));
        drop(table);
        let mut changes: Vec<Change> = over.iter().map(|other| other.gone()).collect();
        changes.push(session.kept());
        Ok((secret, session, changes))
    }

    /// A session that lives, and lives on because it is used.
    pub(crate) fn used(&self, hash: &[u8; 32], now: Timestamp) -> Option<Arc<Session>> {
        let session = self.read().get(hash).filter(|session| session.lives(now)).cloned()?;
        session.used.fetch_max(now.as_second(), Ordering::Relaxed);
        Some(session)
    }

    /// Whether it is there.
    pub(crate) fn has(&self, hash: &[u8; 32]) -> bool {
        self.read().contains_key(hash)
    }

    /// Ends one.
    pub(crate) fn end(&self, hash: &[u8; 32]) -> Option<Change> {
        self.write().remove(hash).map(|session| session.gone())
    }

    /// Ends all of a user.
    pub(crate) fn end_all(&self, user: &str) -> Vec<Change> {
        self.write().extract_if(|_, session| session.user == user).map(|(_, session)| session.gone()).collect()
    }

    /// Sessions now, and those that made place for another.
    pub(crate) fn figures(&self) -> (usize, u64) {
        (self.read().len(), self.displaced.load(Ordering::Relaxed))
    }

    /// Makes room for one more among those that match.
    fn displace(
        &self,
        table: &mut HashMap<[u8; 32], Arc<Session>>,
        most: usize,
        matches: impl Fn(&Session) -> bool,
    ) -> Vec<Arc<Session>> {
        let mut matching: Vec<(Timestamp, [u8; 32])> =
            table.values().filter(|other| matches(other)).map(|other| (other.created_at, other.hash)).collect();
        matching.sort_unstable();
        let surplus = (matching.len() + 1).saturating_sub(most);
        self.displaced.fetch_add(surplus as u64, Ordering::Relaxed);
        matching.iter().take(surplus).filter_map(|(_, hash)| table.remove(hash)).collect()
    }

    // A panic while the lock is held leaves whole sessions.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<[u8; 32], Arc<Session>>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, HashMap<[u8; 32], Arc<Session>>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn restored((hash, doc): ([u8; 32], Doc)) -> Self {
        let Doc { user, by, created_at, expires_at, used } = doc;
        Self { hash, user, by, created_at, expires_at, used: AtomicI64::new(used), written: AtomicI64::new(used) }
    }

    /// Neither too old nor silent for too long.
    fn lives(&self, now: Timestamp) -> bool {
        now < self.expires_at && now.as_second() - self.used.load(Ordering::Relaxed) < IDLE.as_secs()
    }

    /// Its last use, where it is time to write it down; says so once.
    pub(crate) fn due(&self) -> Option<Change> {
        let (used, written) = (self.used.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed));
        if used - written < WRITTEN_EVERY.as_secs() {
            return None;
        }
        let turn = self.written.compare_exchange(written, used, Ordering::Relaxed, Ordering::Relaxed);
        turn.is_ok().then(|| self.kept())
    }

    fn kept(&self) -> Change {
        let doc = Doc {
            user: self.user.clone(),
            by: self.by.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            used: self.used.load(Ordering::Relaxed),
        };
        Change::Document { kind: KIND.to_owned(), id: secrets::hex(&self.hash), doc: serde_json::to_string(&doc).ok() }
    }

    fn gone(&self) -> Change {
        Change::Document { kind: KIND.to_owned(), id: secrets::hex(&self.hash), doc: None }
    }
}

/// What a page of ours must send with a session's cookie: nobody but who has the secret can work it out.
pub(crate) fn csrf(secret: &[u8]) -> String {
    secrets::hex(&secrets::hash(&[b"csrf:", secret].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn by() -> Proof {
        Proof::Password("x".to_owned())
    }

    #[test]
    fn a_session_ends_by_age_and_by_silence() {
        let sessions = Sessions::default();
        let (secret, _, _) = sessions.begin("sue", by(), None, at(0)).unwrap();
        for minutes in (0..720).step_by(119) {
            assert!(sessions.used(&secrets::hash(secret.as_bytes()), at(minutes)).is_some(), "{minutes}");
        }
        assert!(sessions.used(&secrets::hash(secret.as_bytes()), at(720)).is_none(), "12 h");
        let (secret, _, _) = sessions.begin("sue", by(), None, at(0)).unwrap();
        assert!(sessions.used(&secrets::hash(secret.as_bytes()), at(120)).is_none(), "2 h without a word");
        let (secret, session, _) = sessions.begin("sue", by(), Some(at(30)), at(0)).unwrap();
        assert_eq!(session.expires_at, at(30));
        assert!(sessions.used(&secrets::hash(secret.as_bytes()), at(30)).is_none(), "the token it began with is over");
    }

    #[test]
    fn the_oldest_makes_place() {
        let sessions = Sessions::default();
        let (first, _, _) = sessions.begin("sue", by(), None, at(0)).unwrap();
        let (other, _, _) = sessions.begin("sam", by(), None, at(0)).unwrap();
        for n in 1..=PER_USER_MAX {
            sessions.begin("sue", by(), None, at(n as i64)).unwrap();
        }
        assert!(sessions.used(&secrets::hash(first.as_bytes()), at(10)).is_none());
        assert!(sessions.used(&secrets::hash(other.as_bytes()), at(10)).is_some());
        assert_eq!(sessions.figures(), (PER_USER_MAX + 1, 1));
        assert_eq!(sessions.end_all("sue").len(), PER_USER_MAX);
        assert_eq!(sessions.figures().0, 1);
    }

    #[test]
    fn a_restart_keeps_those_that_live() {
        let (before, after) = (Sessions::default(), Sessions::default());
        let (secret, _, changes) = before.begin("sue", by(), None, at(0)).unwrap();
        let (idle, _, more) = before.begin("sam", by(), None, at(0)).unwrap();
        let documents = |changes: Vec<Change>| {
            changes.into_iter().filter_map(|change| match change {
                Change::Document { id, doc: Some(doc), .. } => Some((id, doc)),
                _ => None,
            })
        };
        assert!(before.used(&secrets::hash(secret.as_bytes()), at(4)).unwrap().due().is_none(), "not that often");
        let later = before.used(&secrets::hash(secret.as_bytes()), at(60)).unwrap();
        let mut kept: HashMap<_, _> = documents(changes).chain(documents(more)).collect();
        kept.extend(documents(later.due().into_iter().collect()));
        assert!(later.due().is_none(), "once");
        assert!(kept.iter().all(|(id, doc)| !id.contains(&secret) && !doc.contains(&secret)));
        kept.insert("odd".to_owned(), "{".to_owned());
        assert_eq!(after.restore(kept.into_iter().collect(), at(130)).len(), 2, "the silent one and the odd one");
        assert!(after.used(&secrets::hash(secret.as_bytes()), at(130)).is_some());
        assert!(after.used(&secrets::hash(idle.as_bytes()), at(130)).is_none());
    }
}
