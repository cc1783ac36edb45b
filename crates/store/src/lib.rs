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

mod cursor;
mod memory;
mod query;
mod sqlite;
mod writer;

#[cfg(test)]
mod conformance;

use std::path::Path;
use std::sync::Arc;

pub use cursor::{decode_cursor, encode_cursor};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use writer::{Full, QUEUE_DEFAULT, Writer, WriterFigures};

use engine::persist::{Change, Restored};
use engine::view::{CallView, ListeningState, ListeningView, RequestState, RequestView};

/// Items of a page where a query names no limit.
pub const PAGE_DEFAULT: usize = 50;
/// Items of a page at most, whatever a query says.
pub const PAGE_MAX: usize = 1000;

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

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// For the next page; `None`: this was the last.
    pub next_cursor: Option<String>,
}

/// "Monitored by" search; every field that is set must match.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ListeningQuery {
    pub state: Option<ListeningState>,
    pub agent: Option<String>,
    /// User id, agent id or number.
    pub listener: Option<String>,
    pub ordered_by: Option<String>,
    /// Part of the caller's number.
    pub caller: Option<String>,
    /// Began at or after (answered, else rang, else ended).
    pub from: Option<jiff::Timestamp>,
    /// Began before.
    pub to: Option<jiff::Timestamp>,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// Search in requests.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct RequestQuery {
    /// Only active (true), only ended (false), or both.
    pub active: Option<bool>,
    /// In this very state.
    pub state: Option<RequestState>,
    pub agent: Option<String>,
    pub ordered_by: Option<String>,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// Search in call records.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct CallQuery {
    pub agent: Option<String>,
    /// Only calls of these agents (a supervisor's); `None`: all, those without an agent too.
    pub agents: Option<Vec<String>>,
    pub limit: usize,
    pub cursor: Option<String>,
}

/// A store. Calls block (SQLite): the shell makes them on threads of its own.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Writes changes in order, all or nothing, durable when it returns. None at all: checks that it could write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing was written.
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;
    /// What an engine starts with.
    ///
    /// # Errors
    /// [`StoreError`].
    fn restore(&self) -> Result<Restored, StoreError>;
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
