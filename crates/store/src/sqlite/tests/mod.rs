//! What SQLite does besides what every store does.

mod faults;
mod migration;
mod records;
mod trail;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::params_from_iter;

use super::*;
use crate::conformance::{call, listening, request};

pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("medlytt-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub(super) fn file(&self) -> PathBuf {
        self.0.join("medlytt.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct File {
    directory: Directory,
    store: Option<Arc<SqliteStore>>,
}

impl crate::conformance::Fixture for File {
    fn new() -> Self {
        let mut file = Self { directory: Directory::new(), store: None };
        file.reopen();
        file
    }
    fn store(&self) -> Arc<dyn Store> {
        self.store.clone().unwrap()
    }
    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Arc::new(SqliteStore::open(&self.directory.file()).unwrap()));
    }
    fn two(&self) -> (Arc<dyn Store>, Arc<dyn Store>) {
        (self.store(), Arc::new(SqliteStore::open(&self.directory.file()).unwrap()))
    }
}

mod file {
    crate::conformance::suite!(super::File);
}

mod in_memory {
    use super::*;

    struct Memory(Arc<SqliteStore>);

    impl crate::conformance::Fixture for Memory {
        fn new() -> Self {
            Self(Arc::new(SqliteStore::in_memory().unwrap()))
        }
        fn store(&self) -> Arc<dyn Store> {
            self.0.clone()
        }
        fn reopen(&mut self) {}
    }

    crate::conformance::suite!(Memory);
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let refused = SqliteStore::open(Path::new("/nonexistent/medlytt.db")).unwrap_err();
    assert!(refused.to_string().contains("/nonexistent/medlytt.db"), "{refused}");
}

#[test]
fn commits_are_on_disk_before_they_are_reported() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    let pragma = |name: &str| -> String {
        store
            .writer()
            .query_row(&format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"), [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "wal");
    assert_eq!(pragma("synchronous"), "2");
}

#[test]
fn a_batch_that_fails_half_way_leaves_nothing() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store
        .writer()
        .execute_batch("CREATE TRIGGER no BEFORE INSERT ON call BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let batch =
        [Change::Heard(listening("lst_1", "anna"), request("req_1", "anna")), Change::Call(call("call_1", "anna"))];
    assert!(matches!(store.apply(&batch), Err(StoreError::Unavailable(_))));
    assert_eq!(store.listening("lst_1").unwrap(), None);
    assert_eq!(store.request("req_1").unwrap(), None);
}

#[test]
fn reads_go_on_while_a_write_is_under_way() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&[Change::Call(call("call_1", "anna"))]).unwrap();
    let writing = store.writer();
    assert!(store.call("call_1").unwrap().is_some());
    drop(writing);
}

#[test]
fn searches_use_an_index_or_the_order_of_ids() {
    let store = SqliteStore::in_memory().unwrap();
    for (sql, wanted) in [
        ("SELECT id, doc FROM listening WHERE 1 AND agent = ? ORDER BY id DESC", "listening_agent"),
        ("SELECT id, doc FROM listening WHERE 1 AND listener = ? ORDER BY id DESC", "listening_listener"),
        ("SELECT id, doc FROM request WHERE 1 AND ordered_by = ? ORDER BY id DESC", "request_ordered_by"),
        ("SELECT id, doc FROM request WHERE active ORDER BY id", "request_active"),
        ("SELECT id, doc FROM listening WHERE state <> 'ended' ORDER BY id", "listening_open"),
    ] {
        let plan: String = store
            .writer()
            .query_row(
                &format!("EXPLAIN QUERY PLAN {sql}"),
                params_from_iter(vec!["x"; sql.matches('?').count()]),
                |row| row.get(3),
            )
            .unwrap();
        assert!(plan.contains(wanted), "{sql}: {plan}");
    }
}
