//! Schema versions.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::super::schema::{APPLICATION_ID, MIGRATIONS};
use super::Directory;
use crate::audit::hex;
use crate::conformance::{call, listening, request};
use crate::{Retention, SqliteStore, Store, StoreError};

/// A file as version 1 left it, with data.
fn version_1(directory: &Directory) -> Connection {
    let raw = Connection::open(directory.file()).unwrap();
    raw.pragma_update(None, "journal_mode", "wal").unwrap();
    raw.execute_batch(MIGRATIONS[0]).unwrap();
    raw.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    raw.pragma_update(None, "user_version", 1).unwrap();
    let json = |record: &dyn erased::Record| record.json();
    raw.execute(
        "INSERT INTO request VALUES ('req_1', 'anna', 'paal', 'waiting', 1, ?)",
        [json(&request("req_1", "anna"))],
    )
    .unwrap();
    raw.execute(
        "INSERT INTO listening VALUES ('lst_1', 'anna', 'paal', 'paal', '+4755512345', 'waiting', NULL, ?)",
        [json(&listening("lst_1", "anna"))],
    )
    .unwrap();
    let mut ended = call("call_1", "anna");
    ended.ended_at = Some("2026-01-02T03:04:05.678Z".parse().unwrap());
    raw.execute("INSERT INTO call VALUES ('call_1', 'anna', ?)", [json(&ended)]).unwrap();
    raw.execute("INSERT INTO call VALUES ('call_2', 'anna', ?)", [json(&call("call_2", "anna"))]).unwrap();
    raw.execute_batch("INSERT INTO call VALUES ('call_3', 'anna', '{'); INSERT INTO agent VALUES ('bo', NULL)")
        .unwrap();
    raw
}

mod erased {
    pub(super) trait Record {
        fn json(&self) -> String;
    }
    impl<T: serde::Serialize> Record for T {
        fn json(&self) -> String {
            serde_json::to_string(self).unwrap()
        }
    }
}

#[test]
fn what_was_released_stays_as_it_is() {
    let hashes = MIGRATIONS.iter().map(|sql| hex(&Sha256::digest(sql.as_bytes())));
    assert_eq!(
        hashes.collect::<Vec<_>>(),
        [
            "f5b0d7df09f9125c89b74eab587b5ef4003d2d0b22f3a2920113d2548f7000e3",
            "aee54b74fe16398077f94737dc3fd2db0a974852deecfb9abcf6571914b436c1",
            "93d19973c6cb6f71f7b5081708538087d8e0006fa8c3a4069ad72ef19b44f4bd"
        ]
    );
}

#[test]
fn a_file_of_version_1_is_brought_up_to_date_with_its_data() {
    let directory = Directory::new();
    drop(version_1(&directory));
    let store = SqliteStore::open(&directory.file()).unwrap();
    let restored = store.restore().unwrap();
    assert_eq!(restored.requests, [request("req_1", "anna")]);
    assert_eq!(restored.listenings, [listening("lst_1", "anna")]);
    assert_eq!(restored.agents_removed, ["bo"]);
    assert!(store.call("call_1").unwrap().is_some());
    assert!(matches!(store.call("call_3"), Err(StoreError::Corrupt(_))), "as corrupt as it was");
    assert_eq!(store.verify_audit().unwrap().broken, None);
    // Their ends were found out: call_1 is from 2026, call_2 from 1970.
    let before = |text: &str| Retention {
        calls_before: Some(text.parse().unwrap()),
        answers_before: jiff::Timestamp::UNIX_EPOCH,
    };
    assert_eq!(store.forget(&before("2026-01-02T03:04:05Z"), 9).unwrap(), 1);
    assert!(store.call("call_1").unwrap().is_some());
    assert_eq!(store.forget(&before("2026-01-02T03:04:06Z"), 9).unwrap(), 1);
}

#[test]
fn a_migration_that_fails_half_way_leaves_the_old_version() {
    let directory = Directory::new();
    let raw = version_1(&directory);
    // Something stands where the last table of version 2 should be.
    raw.execute_batch("CREATE TABLE probe (x)").unwrap();
    assert!(matches!(SqliteStore::open(&directory.file()), Err(StoreError::Unavailable(_))));
    let number = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 1);
    assert_eq!(number("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'audit%'"), 0);
    raw.execute_batch("DROP TABLE probe").unwrap();
    let store = SqliteStore::open(&directory.file()).unwrap();
    assert_eq!(store.restore().unwrap().requests.len(), 1);
    assert_eq!(number("PRAGMA user_version"), i64::try_from(MIGRATIONS.len()).unwrap());
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let directory = Directory::new();
    drop(SqliteStore::open(&directory.file()).unwrap());
    let raw = Connection::open(directory.file()).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let refused = SqliteStore::open(&directory.file()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 99, known: 3 }), "{refused}");
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
