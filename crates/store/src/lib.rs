//! Where requests, listenings and call records are kept: one trait, in memory and in SQLite.
//!
//! ```
//! use medlytt_store::{RequestQuery, StoreError};
//!
//! let store = medlytt_store::open("sqlite::memory:")?;
//! assert!(store.restore()?.requests.is_empty());
//! assert_eq!(store.requests(&RequestQuery::default())?.items, []);
//! # Ok::<(), StoreError>(())
//! ```
//!
//! [`open`] reads the `[store] url`; [`MemoryStore`] is for simulations; [`Writer`] writes changes in group commits on
//! a thread of its own. One conformance suite runs against every store.

// The store is a shell: its writer has a thread.
#![allow(clippy::disallowed_methods)]

mod audit;
mod cursor;
mod memory;
mod query;
mod sqlite;
mod writer;

#[cfg(test)]
mod conformance;

use std::path::Path;
use std::sync::Arc;

pub use audit::{AuditBreak, AuditReport, AuditRow};
pub use cursor::{decode_cursor, encode_cursor};
pub use memory::MemoryStore;
pub use query::{AuditQuery, CallQuery, ListeningQuery, Page, RequestQuery};
pub use sqlite::SqliteStore;
pub use writer::{Full, QUEUE_DEFAULT, Writer, WriterFigures};

use engine::persist::{AnswerRecord, Change, Restored};
use engine::view::{CallCount, CallView, ListeningView, RequestView};

/// Items of a page where a query names no limit.
pub const PAGE_DEFAULT: usize = 50;
/// Items of a page at most, whatever a query says.
pub const PAGE_MAX: usize = 1000;

/// Characters of a reason at most: it goes into answers.
const REASON_LONGEST: usize = 200;

/// Opens the store that a URL names: `sqlite:PATH` or `sqlite::memory:`.
///
/// # Errors
/// [`StoreError::Url`] for anything else (`nats://` is not in this version), and what [`SqliteStore::open`] says.
pub fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    if url.starts_with("nats:") {
        return Err(StoreError::Url(format!("`{url}`: NATS is not in this version")));
    }
    match url.strip_prefix("sqlite:") {
        Some(":memory:") => Ok(Arc::new(SqliteStore::in_memory()?)),
        Some(path) if !path.is_empty() => Ok(Arc::new(SqliteStore::open(Path::new(path))?)),
        _ => Err(StoreError::Url(format!("`{url}`: expected `sqlite:PATH` or `sqlite::memory:`"))),
    }
}

/// What can go wrong, by whose fault.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, the file or its lock: try again later; orders get 503.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The file or its log is not what was written to it: nothing is written until it is whole; orders get 503.
    #[error("{0}")]
    Damaged(String),
    /// The file is from a newer version: refuse to start.
    #[error("the store has schema version {found}; this version knows {known} at most")]
    Newer {
        /// In the file.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file is a database of another program, or no database at all: refuse to start, touch nothing.
    #[error("{0} is not a Medlytt store")]
    Foreign(String),
    /// A store URL that this version cannot open.
    #[error("store url {0}")]
    Url(String),
    /// A record that cannot be read.
    #[error("a record is corrupt: {0}")]
    Corrupt(String),
    /// A cursor that is not ours.
    #[error("the cursor is not valid")]
    Cursor,
}

impl StoreError {
    /// Why, in a few words for people: `database or disk is full`.
    #[must_use]
    pub fn reason(&self) -> String {
        let mut reason = match self {
            Self::Unavailable(why) | Self::Damaged(why) | Self::Corrupt(why) => why.clone(),
            other => other.to_string(),
        };
        if let Some((end, _)) = reason.char_indices().nth(REASON_LONGEST) {
            reason.truncate(end);
        }
        reason
    }
}

/// What may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Records of calls that ended before; `None`: none.
    pub calls_before: Option<jiff::Timestamp>,
    /// First answers to idempotency keys that were given before.
    pub answers_before: jiff::Timestamp,
}

/// What became of the wish for one of N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the listening's, until it is given back, heard, or the request ends.
    Granted,
    /// All N are heard or claimed.
    Full,
    /// There is no such request, or it is over.
    NoRequest,
}

/// Whether one of N is free, with so many heard by count of listenings and so many claimed. The request's own count also
/// knows what was heard before listenings were counted.
pub(crate) fn claim_is_free(calls: &CallCount, heard: u32, open: u32) -> bool {
    calls.limit.is_none_or(|limit| calls.used.max(heard).saturating_add(open) < limit)
}

/// A store. Calls block (SQLite): the shell makes them on threads of its own.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Writes changes in order, all or nothing, durable when it returns. None at all: finds out whether it could write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason in a few words: nothing was written.
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;
    /// Looks whether what was written is still there, without writing; a bounded look, made once a second.
    ///
    /// # Errors
    /// [`StoreError::Damaged`]: somebody wrote over it.
    fn look(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// What an engine starts with. Claims that the process before left open are given back. Records that cannot be read
    /// are left out, logged, and counted in [`Store::unreadable`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] and [`StoreError::Damaged`]: the file as a whole cannot be read.
    fn restore(&self) -> Result<Restored, StoreError>;
    /// Records that could not be read since the store was opened, each time counted.
    fn unreadable(&self) -> u64 {
        0
    }

    /// The archive.
    ///
    /// # Errors
    /// [`StoreError`].
    fn listenings(&self, query: &ListeningQuery) -> Result<Page<ListeningView>, StoreError>;
    /// One listening.
    ///
    /// # Errors
    /// [`StoreError`].
    fn listening(&self, id: &str) -> Result<Option<ListeningView>, StoreError>;
    /// Requests.
    ///
    /// # Errors
    /// [`StoreError`].
    fn requests(&self, query: &RequestQuery) -> Result<Page<RequestView>, StoreError>;
    /// One request.
    ///
    /// # Errors
    /// [`StoreError`].
    fn request(&self, id: &str) -> Result<Option<RequestView>, StoreError>;
    /// Call records.
    ///
    /// # Errors
    /// [`StoreError`].
    fn calls(&self, query: &CallQuery) -> Result<Page<CallView>, StoreError>;
    /// One call record.
    ///
    /// # Errors
    /// [`StoreError`].
    fn call(&self, id: &str) -> Result<Option<CallView>, StoreError>;

    /// The audit trail.
    ///
    /// # Errors
    /// [`StoreError`].
    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError>;
    /// Goes through the whole audit trail, first to last: every hash, every number, the head. Takes a second per 300,000
    /// entries or so.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it could not be looked at. A trail that is not whole is no error but
    /// [`AuditReport::broken`].
    fn verify_audit(&self) -> Result<AuditReport, StoreError>;
    /// The number of the audit entry that has this hash (hex), if there is one: whether a head that was kept elsewhere was
    /// once in the chain. `verify_audit` finds whether the chain from there on is whole.
    ///
    /// # Errors
    /// [`StoreError`].
    fn audit_seq(&self, hash: &str) -> Result<Option<u64>, StoreError>;

    /// The API's own documents of one kind: id and JSON, by id. Kept by [`Change::Document`].
    ///
    /// # Errors
    /// [`StoreError`].
    fn documents(&self, kind: &str) -> Result<Vec<(String, String)>, StoreError>;
    /// The first answer to a user's idempotency key. It may be older than it should be used: see its `at`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn answer(&self, user: &str, key: &str) -> Result<Option<AnswerRecord>, StoreError>;
    /// Forgets what is older than the limits say, oldest first, `at_most` records of a kind. The number of records that
    /// went; call it again while it is not 0.
    ///
    /// # Errors
    /// [`StoreError`].
    fn forget(&self, limits: &Retention, at_most: usize) -> Result<usize, StoreError>;

    /// Takes one of N for a listening, if one is free: heard ones and claims of all nodes together never exceed N, however
    /// many ask at once. A listening that has one already has it still.
    ///
    /// [`Change::Heard`] turns a claim into a count; the end of a request takes its claims along.
    ///
    /// # Errors
    /// [`StoreError`].
    fn claim(&self, request: &str, listening: &str) -> Result<Claim, StoreError>;
    /// Gives back what a listening claimed and did not hear.
    ///
    /// # Errors
    /// [`StoreError`].
    fn unclaim(&self, listening: &str) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_this_version_cannot_open_are_named() {
        for (url, says) in [
            ("nats://host:4222", "not in this version"),
            ("sqlite:", "expected `sqlite:PATH`"),
            ("postgres://x", "expected"),
            ("", "expected"),
        ] {
            let refused = open(url).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn a_store_can_be_sent_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Arc<dyn Store>>();
        shared::<Writer>();
    }
}
