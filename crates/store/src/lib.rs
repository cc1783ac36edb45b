//! Where requests, listenings and call records are kept: one trait, in memory and in SQLite.

use engine::persist::{Change, Restored};
use engine::view::{CallView, ListeningState, ListeningView, RequestView};

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
    pub limit: usize,
    pub cursor: Option<String>,
}

/// A store. Calls block (SQLite): the shell makes them on threads of its own.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Writes changes in order, all or nothing, durable when it returns.
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
