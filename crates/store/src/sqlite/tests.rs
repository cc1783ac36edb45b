//! What SQLite does besides what every store does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use engine::view::LegView;
use rusqlite::params_from_iter;

use super::*;
use crate::conformance::{call, listening, request};

struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("medlytt-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn file(&self) -> PathBuf {
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
fn a_newer_file_is_refused_and_left_alone() {
    let directory = Directory::new();
    drop(SqliteStore::open(&directory.file()).unwrap());
    let raw = Connection::open(directory.file()).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let refused = SqliteStore::open(&directory.file()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 99, known: 2 }), "{refused}");
}

#[test]
fn a_file_of_another_program_is_refused_and_left_alone() {
    let directory = Directory::new();
    let raw = Connection::open(directory.file()).unwrap();
    raw.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);").unwrap();
    drop(raw);
    let before = std::fs::read(directory.file()).unwrap();
    let refused = SqliteStore::open(&directory.file()).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    assert_eq!(std::fs::read(directory.file()).unwrap(), before);
}

#[test]
fn a_text_file_is_refused_and_left_alone() {
    let directory = Directory::new();
    let text = "These are my notes, not a database at all. ".repeat(100);
    std::fs::write(directory.file(), &text).unwrap();
    let refused = SqliteStore::open(&directory.file()).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    assert_eq!(std::fs::read_to_string(directory.file()).unwrap(), text);
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
fn an_empty_batch_finds_out_whether_it_could_write() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&[]).unwrap();
    store.writer().busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(directory.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(store.apply(&[]), Err(StoreError::Unavailable(_))));
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
fn a_corrupt_record_is_named() {
    let store = SqliteStore::in_memory().unwrap();
    store.writer().execute("INSERT INTO call (id, agent, doc) VALUES ('call_1', 'anna', '{')", []).unwrap();
    assert!(matches!(store.call("call_1"), Err(StoreError::Corrupt(what)) if what.starts_with("call_1")));
}

#[test]
fn jitter_that_is_no_number_does_not_spoil_its_record() {
    let store = SqliteStore::in_memory().unwrap();
    let mut odd = call("call_1", "anna");
    odd.legs.push(LegView {
        role: "agent".to_owned(),
        sip_call_id: "x".to_owned(),
        codec: None,
        packets: 0,
        lost: 0,
        jitter_ms: f32::NAN,
    });
    store.apply(&[Change::Call(odd)]).unwrap();
    assert_eq!(store.call("call_1").unwrap().unwrap().legs[0].jitter_ms, 0.0);
}

#[test]
fn searches_use_an_index_or_the_order_of_ids() {
    let store = SqliteStore::in_memory().unwrap();
    for (sql, wanted) in [
        ("SELECT id, doc FROM listening WHERE 1 AND agent = ? ORDER BY id DESC LIMIT 1", "listening_agent"),
        ("SELECT id, doc FROM listening WHERE 1 AND listener = ? ORDER BY id DESC LIMIT 1", "listening_listener"),
        ("SELECT id, doc FROM request WHERE 1 AND ordered_by = ? ORDER BY id DESC LIMIT 1", "request_ordered_by"),
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
