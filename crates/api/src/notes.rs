//! What the API notices by itself, for the audit trail: sign-ins, tokens that nobody has, denials that the engine is not
//! asked about. A bounded table that the engine's task empties once a second, so that no flood reaches the engine.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Deed, Note, NoteKind};
use jiff::Timestamp;
use tokio::time::Instant;

/// Notes that wait to be taken, at most; the rest shares one of its kind.
const NOTES_MAX: usize = 256;
/// Stands for everybody above [`NOTES_MAX`].
const OTHERS: &str = "others";
/// A token that was not used for so long signs in anew.
const SILENCE: Duration = Duration::from_secs(3600);
/// Tokens whose last use is known, at most; the one that was silent for longest goes.
const TOKENS_MAX: usize = 10_000;

/// What waits to be taken.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    notes: HashMap<(String, NoteKind), (Timestamp, u64)>,
    /// By the token's SHA-256.
    used: HashMap<[u8; 32], Instant>,
    folded: u64,
    forgotten: u64,
}

impl Notes {
    /// A user's token was used.
    pub(crate) fn used(&self, token: [u8; 32], user: &str, source: Option<IpAddr>) {
        let now = Instant::now();
        let mut table = self.lock();
        let before = table.used.insert(token, now);
        if before.is_some_and(|before| now.saturating_duration_since(before) < SILENCE) {
            return;
        }
        table.forget_one_above(TOKENS_MAX);
        table.note(user, NoteKind::SignedIn { source: source.map(|ip| ip.to_string()) });
    }

    /// A user signed in to the page.
    pub(crate) fn signed_in(&self, user: &str, source: Option<IpAddr>) {
        self.lock().note(user, NoteKind::SignedIn { source: source.map(|ip| ip.to_string()) });
    }

    /// Somebody came with a token that nobody has.
    pub(crate) fn failed(&self, source: Option<IpAddr>) {
        let actor = source.map_or_else(|| "http:unknown".to_owned(), |ip| format!("http:{ip}"));
        self.lock().note(&actor, NoteKind::SignInFailed);
    }

    /// A user was told 403.
    pub(crate) fn denied(&self, user: &str, code: &str, what: String) {
        self.lock().note(user, NoteKind::Denied { code: code.to_owned(), what });
    }

    /// A user did something that is the API's own.
    pub(crate) fn did(&self, user: &str, deed: Deed, target: &str, details: Vec<(String, String)>) {
        self.lock().note(user, NoteKind::Did { deed, target: target.to_owned(), details });
    }

    /// Takes all, oldest first.
    pub(crate) fn take(&self) -> Vec<Note> {
        let notes = std::mem::take(&mut self.lock().notes);
        let mut notes: Vec<Note> =
            notes.into_iter().map(|((actor, kind), (at, count))| Note { at, actor, kind, count }).collect();
        notes.sort_by_key(|note| note.at);
        notes
    }

    /// Notes that shared another's place; tokens forgotten before their time.
    pub(crate) fn figures(&self) -> (u64, u64) {
        let table = self.lock();
        (table.folded, table.forgotten)
    }

    // Whoever panicked while holding the lock left a table whose worst fault is a missing note.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn note(&mut self, actor: &str, kind: NoteKind) {
        let mut key = (actor.to_owned(), kind);
        if !self.notes.contains_key(&key) && self.notes.len() >= NOTES_MAX {
            self.folded += 1;
            let kind = match key.1 {
                NoteKind::SignedIn { .. } => NoteKind::SignedIn { source: None },
                NoteKind::SignInFailed => NoteKind::SignInFailed,
                NoteKind::Denied { code, .. } => NoteKind::Denied { code, what: String::new() },
                // its writer is signed in and waits for the store: there is no flood of these
                did @ NoteKind::Did { .. } => did,
            };
            key = (OTHERS.to_owned(), kind);
        }
        let (at, count) = self.notes.entry(key).or_insert((Timestamp::UNIX_EPOCH, 0));
        (*at, *count) = (Timestamp::now(), count.saturating_add(1));
    }

    fn forget_one_above(&mut self, most: usize) {
        if self.used.len() <= most {
            return;
        }
        if let Some(oldest) = self.used.iter().min_by_key(|(_, at)| **at).map(|(token, _)| *token) {
            self.used.remove(&oldest);
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    #[tokio::test(start_paused = true)]
    async fn a_token_signs_in_once_and_again_after_an_hour_of_silence() {
        let notes = Notes::default();
        for minutes in [0, 50, 50, 59] {
            tokio::time::advance(Duration::from_secs(60 * minutes)).await;
            notes.used([1; 32], "sue", HERE);
        }
        let taken = notes.take();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].actor.as_str(), taken[0].count), ("sue", 1));
        assert_eq!(taken[0].kind, NoteKind::SignedIn { source: Some("127.0.0.1".to_owned()) });
        tokio::time::advance(SILENCE).await;
        notes.used([1; 32], "sue", HERE);
        notes.used([2; 32], "sue", HERE);
        assert_eq!(notes.take()[0].count, 2, "another token of hers too");
        assert!(notes.take().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_has_an_end_and_loses_no_count() {
        let notes = Notes::default();
        for n in 0..10_000_u32 {
            notes.failed(Some(IpAddr::from(n.to_be_bytes())));
            notes.failed(HERE);
            notes.used(std::array::from_fn(|i| n.to_be_bytes()[i % 4]), &format!("user{n}"), None);
            notes.denied("sue", &format!("code{}", n % 3), "GET /v1/audit".to_owned());
        }
        let taken = notes.take();
        assert!(taken.len() <= NOTES_MAX + 5, "{}", taken.len());
        let failed: u64 = taken.iter().filter(|n| n.kind == NoteKind::SignInFailed).map(|n| n.count).sum();
        assert_eq!(failed, 20_000);
        assert!(notes.figures().0 > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_token_is_forgotten_first() {
        let notes = Notes::default();
        for n in 0..=TOKENS_MAX {
            tokio::time::advance(Duration::from_millis(1)).await;
            let mut token = [0; 32];
            token[..8].copy_from_slice(&n.to_be_bytes());
            notes.used(token, "sue", None);
        }
        assert_eq!(notes.figures().1, 1);
        assert_eq!(notes.lock().used.len(), TOKENS_MAX);
        assert!(!notes.lock().used.contains_key(&[0; 32]));
    }
}
