//! Whatever is changed in the audit table by whoever can write the file, verify finds it and says where.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Directory;
use crate::conformance::audit;
use crate::{AuditQuery, SqliteStore, Store};

const ENTRIES: i64 = 40;
const TAMPERED: u64 = 17;

fn filled(directory: &Directory) -> SqliteStore {
    let store = SqliteStore::open(&directory.file()).unwrap();
    for n in 1..=ENTRIES {
        store.apply(&[audit(n, "request.created")]).unwrap();
    }
    store
}

/// Lays the triggers aside, does something, and puts them back as they were.
fn tamper(file: &Path, work: impl FnOnce(&Connection)) {
    let raw = Connection::open(file).unwrap();
    let triggers: Vec<(String, String)> = raw
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(triggers.len(), 6);
    triggers.iter().for_each(|(name, _)| raw.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
    work(&raw);
    triggers.iter().for_each(|(_, sql)| raw.execute_batch(sql).unwrap());
}

/// Where verify says that the trail is broken after a statement.
fn broken_by(sql: &str) -> Option<(u64, String)> {
    let directory = Directory::new();
    let store = filled(&directory);
    assert_eq!(store.verify_audit().unwrap().broken, None);
    tamper(&directory.file(), |raw| raw.execute_batch(sql).unwrap());
    store.verify_audit().unwrap().broken.map(|broken| (broken.seq, broken.why))
}

#[test]
fn one_changed_byte_in_any_column_is_found_where_it_is() {
    let directory = Directory::new();
    let store = filled(&directory);
    let columns = ["seq", "at", "actor", "action", "target", "agent", "details", "prev", "hash"];
    for column in columns {
        let raw = Connection::open(directory.file()).unwrap();
        let sql = format!("SELECT {column} FROM audit WHERE seq = {TAMPERED}");
        let good: Value = raw.query_row(&sql, [], |row| row.get(0)).unwrap();
        for bad in one_byte_off(&good) {
            // A number that another entry has cannot be given again.
            let bad = if column == "seq" { Value::Integer(TAMPERED as i64 + 1000) } else { bad };
            let set = |from: i64, value: &Value| {
                tamper(&directory.file(), |raw| {
                    let changed = raw.execute(&format!("UPDATE audit SET {column} = ? WHERE seq = ?"), (value, from));
                    assert_eq!(changed.unwrap(), 1);
                });
            };
            set(TAMPERED as i64, &bad);
            let broken = store.verify_audit().unwrap().broken.unwrap();
            assert_eq!(broken.seq, TAMPERED, "{column}: {}", broken.why);
            set(if column == "seq" { TAMPERED as i64 + 1000 } else { TAMPERED as i64 }, &good);
            assert_eq!(store.verify_audit().unwrap().broken, None, "{column} put back");
        }
    }
}

/// The value with its first, a middle and its last byte changed, and as another type.
fn one_byte_off(value: &Value) -> Vec<Value> {
    let flips = |bytes: &[u8]| -> Vec<Vec<u8>> {
        [0, bytes.len() / 2, bytes.len() - 1]
            .into_iter()
            .map(|at| {
                let mut changed = bytes.to_vec();
                changed[at] ^= 1;
                changed
            })
            .collect()
    };
    match value {
        Value::Integer(number) => [1, 1 << 20, 1 << 40].map(|bit| Value::Integer(number ^ bit)).to_vec(),
        Value::Text(text) => {
            let changed =
                flips(text.as_bytes()).into_iter().map(|bytes| Value::Text(String::from_utf8(bytes).unwrap()));
            changed.chain([Value::Blob(text.clone().into_bytes())]).collect()
        }
        Value::Blob(bytes) => flips(bytes).into_iter().map(Value::Blob).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_that_were_removed_swapped_or_added_are_found() {
    let head =
        |seq: u64| format!("UPDATE audit_head SET entries = {seq}, hash = (SELECT hash FROM audit WHERE seq = {seq})");
    for (sql, seq, why) in [
        ("DELETE FROM audit WHERE seq = 17".to_owned(), 17, "missing"),
        ("DELETE FROM audit WHERE seq = 1".to_owned(), 1, "missing"),
        ("DELETE FROM audit WHERE seq > 30".to_owned(), 31, "missing"),
        ("DELETE FROM audit".to_owned(), 1, "missing"),
        (format!("DELETE FROM audit WHERE seq = 17; UPDATE audit SET seq = seq - 1 WHERE seq > 17; {}", head(39)), 17, "hash"),
        ("UPDATE audit SET seq = -17 WHERE seq = 17; UPDATE audit SET seq = 17 WHERE seq = 18; UPDATE audit SET seq = 18 WHERE seq = -17".to_owned(), 17, "hash"),
        (
            "INSERT INTO audit SELECT 41, at, actor, action, target, agent, details, prev, hash FROM audit WHERE seq = 40".to_owned(),
            41,
            "hash",
        ),
        ("INSERT INTO audit SELECT 0, at, actor, action, target, agent, details, prev, hash FROM audit WHERE seq = 1".to_owned(), 1, "0 follows"),
        ("UPDATE audit_head SET hash = zeroblob(32)".to_owned(), 40, "head"),
        ("UPDATE audit_head SET entries = 39".to_owned(), 40, "head"),
        ("UPDATE audit_head SET entries = 41".to_owned(), 41, "missing"),
        ("DELETE FROM audit_head".to_owned(), 40, "head"),
    ] {
        let (at, says) = broken_by(&sql).unwrap_or_else(|| panic!("{sql}"));
        assert_eq!(at, seq, "{sql}: {says}");
        assert!(says.contains(why), "{sql}: {says}");
    }
}

#[test]
fn what_stands_around_the_rows_is_looked_at_too() {
    for (sql, wanted) in [
        ("DROP INDEX audit_agent", "not as it was made"),
        ("CREATE TRIGGER audit_more AFTER INSERT ON audit BEGIN SELECT 1; END", "not as it was made"),
        // What an index says is what a search finds.
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'audit_actor') WHERE name = 'audit_agent'",
            "audit_agent",
        ),
    ] {
        let (seq, why) = broken_by(sql).unwrap_or_else(|| panic!("{sql}"));
        assert!(why.contains(wanted), "{sql}: {seq} {why}");
    }
    let directory = Directory::new();
    let store = filled(&directory);
    Connection::open(directory.file()).unwrap().execute_batch("DROP TRIGGER audit_stays").unwrap();
    assert!(store.verify_audit().unwrap().broken.is_some());
}

#[test]
fn the_table_takes_nothing_but_what_is_new() {
    let directory = Directory::new();
    let store = filled(&directory);
    let raw = Connection::open(directory.file()).unwrap();
    for sql in [
        "UPDATE audit SET actor = 'nobody' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 3",
        "INSERT INTO audit SELECT -1, at, actor, action, target, agent, details, prev, hash FROM audit WHERE seq = 3",
        "UPDATE audit_head SET entries = 3",
        "UPDATE audit_head SET hash = zeroblob(32)",
        "DELETE FROM audit_head",
        "INSERT OR REPLACE INTO audit_head VALUES (1, 3, zeroblob(32))",
    ] {
        assert!(raw.execute_batch(sql).is_err(), "{sql}");
    }
    assert_eq!(store.verify_audit().unwrap().entries, 40);
}

/// Rows that were cut off stay missed, however much is written afterwards.
#[test]
fn writing_on_does_not_heal_what_was_cut_off() {
    for sql in ["DELETE FROM audit WHERE seq > 30", "DELETE FROM audit WHERE seq > 30; DELETE FROM audit_head"] {
        let directory = Directory::new();
        let store = filled(&directory);
        tamper(&directory.file(), |raw| raw.execute_batch(sql).unwrap());
        for n in 0..20 {
            store.apply(&[audit(n, "later")]).unwrap();
        }
        assert_eq!(store.verify_audit().unwrap().broken.unwrap().seq, 31, "{sql}");
    }
}

#[test]
fn a_transaction_that_failed_leaves_the_chain_as_it_was() {
    let directory = Directory::new();
    let store = filled(&directory);
    store
        .writer()
        .execute_batch("CREATE TRIGGER no BEFORE INSERT ON agent BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let removed = engine::persist::Change::AgentRemoved("bo".to_owned());
    assert!(store.apply(&[audit(41, "lost"), audit(42, "lost"), removed]).is_err());
    store.apply(&[audit(41, "kept")]).unwrap();
    // Another process adds between two of ours.
    let other = SqliteStore::open(&directory.file()).unwrap();
    other.apply(&[audit(42, "other")]).unwrap();
    store.apply(&[audit(43, "kept")]).unwrap();
    let report = store.verify_audit().unwrap();
    assert_eq!((report.entries, report.broken), (43, None));
    assert_eq!(
        store.audit(&AuditQuery { action: Some("lost".to_owned()), ..AuditQuery::default() }).unwrap().items,
        []
    );
}

/// Random bytes of the trail's own pages: found, or the rows are what they were.
#[test]
fn flipped_bytes_in_the_file_are_found() {
    const FLIPS: u64 = 400;
    let directory = Directory::new();
    drop(filled(&directory));
    let good = std::fs::read(directory.file()).unwrap();
    let rows = |store: &SqliteStore| -> Vec<_> {
        let all = |query: AuditQuery| store.audit(&AuditQuery { limit: 1000, ..query }).unwrap().items;
        let (agent, actor) = (Some("anna".to_owned()), Some("paal".to_owned()));
        [
            AuditQuery::default(),
            AuditQuery { agent, ..AuditQuery::default() },
            AuditQuery { actor, ..AuditQuery::default() },
        ]
        .map(all)
        .into()
    };
    let (pages, before) = {
        let raw = Connection::open(directory.file()).unwrap();
        let sql = "SELECT pageno FROM dbstat WHERE name LIKE 'audit%'";
        let mut statement = raw.prepare(sql).unwrap();
        let pages: Result<Vec<u64>, _> =
            statement.query_map([], |row| row.get::<_, i64>(0).map(|n| n as u64)).unwrap().collect();
        (pages.unwrap(), rows(&SqliteStore::open(&directory.file()).unwrap()))
    };
    assert!(pages.len() >= 6);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut found = 0;
    for flip in 0..FLIPS {
        let at = ((pages[next(pages.len() as u64) as usize] - 1) * 4096 + next(4096)) as usize;
        let bit = 1_u8 << next(8);
        let mut bad = good.clone();
        bad[at] ^= bit;
        let file = directory.0.join("flipped.db");
        for rest in ["flipped.db-wal", "flipped.db-shm"] {
            let _ = std::fs::remove_file(directory.0.join(rest));
        }
        std::fs::write(&file, &bad).unwrap();
        let Ok(store) = SqliteStore::open(&file) else {
            found += 1;
            continue;
        };
        match store.verify_audit().unwrap().broken {
            Some(_) => found += 1,
            None => assert_eq!(rows(&store), before, "flip {flip}: byte {at}, bit {bit}"),
        }
    }
    assert!(found > FLIPS / 8, "{found}");
}
