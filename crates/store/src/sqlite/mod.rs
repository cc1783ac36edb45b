//! SQLite: one writer, a few readers, write-ahead log, every commit on disk before it is reported.
//!
//! A record is one JSON document with the columns that searches need beside it.

mod audit;
mod claims;
mod connections;
mod forget;
mod log;
mod records;
mod schema;
mod search;
mod watch;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::persist::{AnswerRecord, Change, Restored};
use engine::view::{CallView, ListeningView, RequestView};
use rusqlite::{Connection, TransactionBehavior};

use self::audit::Trail;
use self::connections::Connections;
use self::records::{name, write};
use self::search::{Search, answer, document, documents, named_documents};
use crate::audit::unhex;
use crate::query::nanoseconds;
use crate::{
    AuditQuery, AuditReport, AuditRow, CallQuery, Claim, ListeningQuery, Page, RequestQuery, Retention, Store,
    StoreError,
};

/// Bytes that a probe writes: an empty transaction, or one that fits into a page, may succeed on a full disk.
const PROBE_BYTES: i64 = 32 * 1024;

/// A file, or a database in memory that goes with its value.
#[derive(Debug)]
pub struct SqliteStore {
    connections: Connections,
    unreadable: AtomicU64,
}

impl SqliteStore {
    /// Opens a file, makes it if there is none, brings an older schema up to ours.
    ///
    /// # Errors
    /// [`StoreError::Newer`] and [`StoreError::Foreign`] (the file stays as it is), [`StoreError::Unavailable`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connections: Connections::open(path)?, unreadable: AtomicU64::new(0) })
    }

    /// A database in memory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn in_memory() -> Result<Self, StoreError> {
        Ok(Self { connections: Connections::in_memory()?, unreadable: AtomicU64::new(0) })
    }

    /// One transaction.
    fn change<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.connections.write(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.connections.read(query)
    }

    #[cfg(test)]
    fn writer(&self) -> impl std::ops::DerefMut<Target = Connection> + '_ {
        self.connections.writer()
    }
}

impl Store for SqliteStore {
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let looked = if changes.is_empty() { self.connections.look() } else { Ok(()) };
        let written = looked.and_then(|()| {
            self.change(|connection| {
                if changes.is_empty() {
                    return probe(connection);
                }
                let mut trail = Trail::default();
                for change in changes {
                    write(connection, &mut trail, change)?;
                }
                trail.close(connection)
            })
        });
        written.map_err(|error| StoreError::Unavailable(error.reason()))
    }

    fn look(&self) -> Result<(), StoreError> {
        self.connections.look()
    }

    fn restore(&self) -> Result<Restored, StoreError> {
        self.change(claims::release)?;
        self.read(|connection| {
            let count = &self.unreadable;
            let removed = "SELECT id FROM agent WHERE doc IS NULL ORDER BY id";
            let open = "SELECT id, doc FROM listening WHERE state <> 'ended' ORDER BY id";
            Ok(Restored {
                requests: documents(connection, "SELECT id, doc FROM request WHERE active ORDER BY id", count)?,
                listenings: documents(connection, open, count)?,
                agents: documents(connection, "SELECT id, doc FROM agent WHERE doc IS NOT NULL ORDER BY id", count)?,
                agents_removed: connection
                    .prepare_cached(removed)?
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?,
                registrations: named_documents(connection, "SELECT user, doc FROM registration ORDER BY user", count)?,
                dialogs: documents(connection, "SELECT key, doc FROM dialog ORDER BY key", count)?,
            })
        })
    }

    fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    fn listenings(&self, query: &ListeningQuery) -> Result<Page<ListeningView>, StoreError> {
        let mut search = Search::new("listenings", "listening", query.limit);
        search.equals("state", query.state.map(name));
        search.equals("agent", query.agent.clone());
        search.equals("listener", query.listener.clone());
        search.equals("ordered_by", query.ordered_by.clone());
        search.filter("instr(caller, ?) > 0", query.caller.clone());
        search.filter("began >= ?", query.from.map(nanoseconds));
        search.filter("began < ?", query.to.map(nanoseconds));
        self.read(|connection| search.run(connection, query.cursor.as_deref(), &self.unreadable))
    }

    fn listening(&self, id: &str) -> Result<Option<ListeningView>, StoreError> {
        self.read(|connection| document(connection, "SELECT doc FROM listening WHERE id = ?", id))
    }

    fn requests(&self, query: &RequestQuery) -> Result<Page<RequestView>, StoreError> {
        let mut search = Search::new("requests", "request", query.limit);
        search.equals("active", query.active);
        search.equals("state", query.state.map(name));
        search.equals("agent", query.agent.clone());
        search.equals("ordered_by", query.ordered_by.clone());
        self.read(|connection| search.run(connection, query.cursor.as_deref(), &self.unreadable))
    }

    fn request(&self, id: &str) -> Result<Option<RequestView>, StoreError> {
        self.read(|connection| document(connection, "SELECT doc FROM request WHERE id = ?", id))
    }

    fn calls(&self, query: &CallQuery) -> Result<Page<CallView>, StoreError> {
        let mut search = Search::new("calls", "call", query.limit);
        search.equals("agent", query.agent.clone());
        let agents = query.agents.as_ref().map(|agents| serde_json::Value::from(agents.clone()).to_string());
        search.filter("agent IN (SELECT value FROM json_each(?))", agents);
        self.read(|connection| search.run(connection, query.cursor.as_deref(), &self.unreadable))
    }

    fn call(&self, id: &str) -> Result<Option<CallView>, StoreError> {
        self.read(|connection| document(connection, "SELECT doc FROM call WHERE id = ?", id))
    }

    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
        self.read(|connection| audit::page(connection, query))
    }

    fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        self.read(audit::verify)
    }

    fn audit_seq(&self, hash: &str) -> Result<Option<u64>, StoreError> {
        let Some(hash) = unhex(hash) else { return Ok(None) };
        self.read(|connection| audit::seq_of(connection, &hash))
    }

    fn documents(&self, kind: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT id, doc FROM document WHERE kind = ? ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn answer(&self, user: &str, key: &str) -> Result<Option<AnswerRecord>, StoreError> {
        self.read(|connection| answer(connection, user, key))
    }

    fn forget(&self, limits: &Retention, at_most: usize) -> Result<usize, StoreError> {
        self.change(|connection| forget::forget(connection, limits, at_most))
    }

    fn claim(&self, request: &str, listening: &str) -> Result<Claim, StoreError> {
        self.change(|connection| claims::claim(connection, request, listening))
    }

    fn unclaim(&self, listening: &str) -> Result<(), StoreError> {
        self.change(|connection| claims::unclaim(connection, listening))
    }
}

/// Writes about as much as a busy moment does, for nothing but to see whether it can be written.
fn probe(connection: &Connection) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO probe (one, filler) VALUES (1, randomblob(?))";
    connection.prepare_cached(sql)?.execute([PROBE_BYTES])?;
    Ok(())
}

#[cfg(test)]
mod tests;
