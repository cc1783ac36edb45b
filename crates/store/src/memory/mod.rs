//! A store that forgets with its process: for simulations and tests.

mod tables;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::persist::{AnswerRecord, Change, Restored};
use engine::view::{CallView, ListeningState, ListeningView, RequestView};

use self::tables::Tables;
use crate::audit::cursor_seq;
use crate::cursor::{decode_cursor, encode_cursor};
use crate::query::page_limit;
use crate::{
    AuditQuery, AuditReport, AuditRow, CallQuery, Claim, ListeningQuery, Page, RequestQuery, Retention, Store,
    StoreError,
};

/// Keeps everything in maps. Clone-free: share it in an `Arc`.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Simulates a disk that is gone: while `false`, every call fails with [`StoreError::Unavailable`].
    pub fn set_available(&self, available: bool) {
        self.lock().unavailable = !available;
    }

    // A panic of another thread leaves the maps whole: every change is one insert.
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        let tables = self.lock();
        if tables.unavailable { Err(StoreError::Unavailable("switched off".to_owned())) } else { Ok(tables) }
    }
}

impl Store for MemoryStore {
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut tables = self.tables()?;
        for change in changes {
            tables.apply(change.clone());
        }
        Ok(())
    }

    fn restore(&self) -> Result<Restored, StoreError> {
        let mut tables = self.tables()?;
        tables.release_claims();
        Ok(Restored {
            requests: tables.requests.values().filter(|r| r.view.state.is_active()).cloned().collect(),
            listenings: tables.listenings.values().filter(|l| l.state != ListeningState::Ended).cloned().collect(),
            agents: tables.agents.values().flatten().cloned().collect(),
            agents_removed: tables.agents.iter().filter(|(_, a)| a.is_none()).map(|(id, _)| id.clone()).collect(),
            registrations: tables.registrations.iter().map(|(user, all)| (user.clone(), all.clone())).collect(),
            dialogs: tables.dialogs.values().cloned().collect(),
        })
    }

    fn listenings(&self, query: &ListeningQuery) -> Result<Page<ListeningView>, StoreError> {
        page("listenings", &self.tables()?.listenings, query.limit, query.cursor.as_deref(), |l| {
            query.matches(l).then(|| l.clone())
        })
    }

    fn listening(&self, id: &str) -> Result<Option<ListeningView>, StoreError> {
        Ok(self.tables()?.listenings.get(id).cloned())
    }

    fn requests(&self, query: &RequestQuery) -> Result<Page<RequestView>, StoreError> {
        page("requests", &self.tables()?.requests, query.limit, query.cursor.as_deref(), |r| {
            query.matches(&r.view).then(|| r.view.clone())
        })
    }

    fn request(&self, id: &str) -> Result<Option<RequestView>, StoreError> {
        Ok(self.tables()?.requests.get(id).map(|r| r.view.clone()))
    }

    fn calls(&self, query: &CallQuery) -> Result<Page<CallView>, StoreError> {
        page("calls", &self.tables()?.calls, query.limit, query.cursor.as_deref(), |c| {
            query.matches(c).then(|| c.clone())
        })
    }

    fn call(&self, id: &str) -> Result<Option<CallView>, StoreError> {
        Ok(self.tables()?.calls.get(id).cloned())
    }

    fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
        if let Some(cursor) = &query.cursor {
            cursor_seq(cursor)?;
        }
        page("audit", &self.tables()?.audit, query.limit, query.cursor.as_deref(), |row| {
            query.matches(&row.entry).then(|| row.clone())
        })
    }

    fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        Ok(self.tables()?.verify_audit())
    }

    fn audit_seq(&self, hash: &str) -> Result<Option<u64>, StoreError> {
        let wanted = hash.to_ascii_lowercase();
        Ok(self.tables()?.audit.values().find(|row| row.hash == wanted).map(|row| row.seq))
    }

    fn documents(&self, kind: &str) -> Result<Vec<(String, String)>, StoreError> {
        let tables = self.tables()?;
        let of_kind = tables.documents.iter().filter(|((other, _), _)| other == kind);
        Ok(of_kind.map(|((_, id), doc)| (id.clone(), doc.clone())).collect())
    }

    fn answer(&self, user: &str, key: &str) -> Result<Option<AnswerRecord>, StoreError> {
        Ok(self.tables()?.answers.get(&(user.to_owned(), key.to_owned())).cloned())
    }

    fn forget(&self, limits: &Retention, at_most: usize) -> Result<usize, StoreError> {
        Ok(self.tables()?.forget(limits, at_most))
    }

    fn claim(&self, request: &str, listening: &str) -> Result<Claim, StoreError> {
        Ok(self.tables()?.claim(request, listening))
    }

    fn unclaim(&self, listening: &str) -> Result<(), StoreError> {
        self.tables()?.unclaim(listening);
        Ok(())
    }
}

fn page<T, V>(
    kind: &str,
    table: &BTreeMap<String, T>,
    limit: usize,
    cursor: Option<&str>,
    pick: impl Fn(&T) -> Option<V>,
) -> Result<Page<V>, StoreError> {
    let limit = page_limit(limit);
    let below = cursor.map(|cursor| decode_cursor(kind, cursor)).transpose()?;
    let mut items = Vec::new();
    let mut last = None;
    for (id, row) in table.iter().rev().skip_while(|(id, _)| below.as_ref().is_some_and(|below| *id >= below)) {
        let Some(view) = pick(row) else { continue };
        if items.len() == limit {
            return Ok(Page { items, next_cursor: last.map(|id: &String| encode_cursor(kind, id)) });
        }
        items.push(view);
        last = Some(id);
    }
    Ok(Page { items, next_cursor: None })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Fixture(Arc<MemoryStore>);

    impl crate::conformance::Fixture for Fixture {
        fn new() -> Self {
            Self(Arc::new(MemoryStore::new()))
        }
        fn store(&self) -> Arc<dyn Store> {
            self.0.clone()
        }
        fn reopen(&mut self) {}
    }

    crate::conformance::suite!(Fixture);

    #[test]
    fn switched_off_it_says_so_and_keeps_nothing() {
        let store = MemoryStore::new();
        store.set_available(false);
        let gone = store.apply(&[Change::AgentRemoved("anna".to_owned())]);
        assert!(matches!(gone, Err(StoreError::Unavailable(_))));
        store.set_available(true);
        assert!(store.restore().unwrap().agents_removed.is_empty());
    }
}
