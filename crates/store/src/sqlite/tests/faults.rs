//! Disk full, read-only, locked, damaged, gone, replaced: changes are refused with the reason, and the store comes back
//! without being opened again.

use std::time::Duration;

use engine::persist::Change;
use rusqlite::Connection;

use super::Directory;
use crate::conformance::{audit, call, request};
use crate::{CallQuery, SqliteStore, Store, StoreError};

fn put(id: &str) -> [Change; 2] {
    [Change::Call(call(id, "anna")), audit(1, "call")]
}

fn refusal(result: Result<(), StoreError>) -> String {
    match result {
        Err(StoreError::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn count(store: &SqliteStore) -> usize {
    store.calls(&CallQuery { limit: 1000, ..CallQuery::default() }).unwrap().items.len()
}

/// The file as it is, all of it in the main file.
fn whole(directory: &Directory) -> Vec<u8> {
    let raw = Connection::open(directory.file()).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap();
    std::fs::read(directory.file()).unwrap()
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    let pages: i64 = store.writer().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.writer().pragma_update(None, "max_page_count", pages + 8).unwrap();
    let (mut kept, mut why) = (0, None);
    while why.is_none() {
        match store.apply(&put(&format!("call_{kept:04}"))) {
            Ok(()) => kept += 1,
            refused => why = Some(refusal(refused)),
        }
    }
    assert_eq!(why.unwrap(), "database or disk is full");
    assert_eq!(refusal(store.apply(&[])), "database or disk is full", "the probe finds it too");
    assert_eq!(count(&store), kept, "reads go on");
    store.writer().pragma_update(None, "max_page_count", 1_000_000).unwrap();
    store.apply(&[]).unwrap();
    store.apply(&put("call_last")).unwrap();
    assert_eq!(count(&store), kept + 1);
    let report = store.verify_audit().unwrap();
    assert_eq!((report.entries, report.broken), (kept as u64 + 1, None), "the chain goes on where it was");
}

#[test]
fn a_file_that_can_only_be_read_is_named_and_comes_back() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.writer().pragma_update(None, "query_only", true).unwrap();
    assert_eq!(refusal(store.apply(&put("call_1"))), "the database cannot be written, only read");
    // The connection was opened anew, which is what a file system needs that was mounted again.
    store.apply(&put("call_1")).unwrap();
    assert_eq!(count(&store), 1);
    let synchronous: i64 = store.writer().query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
    assert_eq!(synchronous, 2, "as careful as before");
}

#[test]
fn a_lock_of_another_process_is_named() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&[]).unwrap();
    store.writer().busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(directory.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(refusal(store.apply(&[])), "another process holds the database locked");
    other.execute_batch("ROLLBACK").unwrap();
    store.apply(&[]).unwrap();
}

#[test]
fn a_damaged_file_is_named_and_comes_back_when_it_is_whole() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&put("call_1")).unwrap();
    let good = whole(&directory);
    std::fs::write(directory.file(), vec![0x5A; good.len()]).unwrap();
    let whys: Vec<_> = (0..3).map(|_| refusal(store.apply(&put("call_2")))).collect();
    assert!(whys.iter().all(|why| why.contains("not a") || why.contains("damaged")), "{whys:?}");
    assert!(whys.iter().all(|why| !why.contains(directory.file().to_str().unwrap())), "no paths: {whys:?}");
    assert!(store.calls(&CallQuery::default()).is_err());
    std::fs::write(directory.file(), good).unwrap();
    store.apply(&put("call_3")).unwrap();
    assert_eq!(count(&store), 2);
    assert_eq!(store.verify_audit().unwrap().broken, None);
}

#[test]
fn a_file_that_is_gone_does_not_come_back_empty() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&put("call_1")).unwrap();
    let moved = directory.file().with_extension("moved");
    std::fs::rename(directory.file(), &moved).unwrap();
    let why = refusal(store.apply(&put("call_2")));
    assert!(why.contains("unable to open") && !why.contains(directory.file().to_str().unwrap()), "{why}");
    assert!(store.calls(&CallQuery::default()).is_err() && !directory.file().exists());
    std::fs::rename(&moved, directory.file()).unwrap();
    store.apply(&put("call_3")).unwrap();
    assert_eq!(count(&store), 2);
}

/// What was open before must neither take changes that nobody will find, nor be written into the new file.
#[test]
fn a_file_that_was_replaced_is_used_from_then_on() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&put("call_1")).unwrap();
    let backup = directory.file().with_extension("backup");
    std::fs::write(&backup, whole(&directory)).unwrap();
    for n in 2..=20 {
        store.apply(&put(&format!("call_{n}"))).unwrap();
    }
    assert_eq!(count(&store), 20);
    std::fs::rename(&backup, directory.file()).unwrap();
    assert_eq!(count(&store), 1, "readers see the new file");
    store.apply(&put("call_new")).unwrap();
    assert_eq!(count(&store), 2);
    assert_eq!(store.verify_audit().unwrap().broken, None);
    drop(store);
    assert_eq!(count(&SqliteStore::open(&directory.file()).unwrap()), 2);
}

#[test]
fn readers_come_back_too() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&[Change::Request(request("req_1", "anna"))]).unwrap();
    assert!(store.request("req_1").unwrap().is_some());
    let good = whole(&directory);
    let mut damaged = good.clone();
    damaged[4096..].fill(0xFF);
    std::fs::write(directory.file(), damaged).unwrap();
    drop(store.connections.write::<()>(|_| Err(StoreError::Damaged("test".to_owned()))));
    assert!(matches!(store.request("req_1"), Err(StoreError::Damaged(why)) if why.contains("damaged")));
    assert!(store.restore().is_err(), "a file that is broken as a whole is no empty store");
    std::fs::write(directory.file(), good).unwrap();
    assert!(store.request("req_1").unwrap().is_some());
}

/// Writes over a part of a file, in place.
fn spoil(path: &std::path::Path, part: std::ops::Range<u64>) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let end = part.end.min(file.metadata().unwrap().len());
    file.write_all_at(&vec![0xA5; (end - part.start) as usize], part.start).unwrap();
}

#[test]
fn damage_is_seen_before_anything_is_acknowledged_into_it() {
    for (file, part, says) in [
        ("medlytt.db", 100..u64::MAX, "first page"),
        ("medlytt.db", 100..120, "first page"),
        ("medlytt.db-wal", 0..u64::MAX, "header of the log"),
        ("medlytt.db-wal", 100..u64::MAX, "page in the log"),
    ] {
        let directory = Directory::new();
        let store = SqliteStore::open(&directory.file()).unwrap();
        store.apply(&put("call_1")).unwrap();
        spoil(&directory.0.join(file), part.clone());
        for _ in 0..3 {
            let why = refusal(store.apply(&put("call_2")));
            assert!(why.starts_with("the file is damaged") && why.contains(says), "{file} {part:?}: {why}");
        }
        let why = refusal(store.apply(&[]));
        assert!(why.contains(says), "{why}");
    }
}

#[test]
fn damage_further_in_is_seen_at_the_next_look() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    for n in 1..=50 {
        store.apply(&put(&format!("call_{n}"))).unwrap();
    }
    store.look().unwrap();
    let log = directory.0.join("medlytt.db-wal");
    let length = std::fs::metadata(&log).unwrap().len();
    spoil(&log, length / 2..length / 2 + 10);
    let looked = store.look();
    assert!(matches!(&looked, Err(StoreError::Damaged(why)) if why.contains("a page in the log")), "{looked:?}");
    assert!(refusal(store.apply(&put("call_99"))).contains("a page in the log"), "and it stays so");

    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&put("call_1")).unwrap();
    let good = whole(&directory);
    spoil(&directory.file(), 4096..u64::MAX);
    assert!(matches!(store.look(), Err(StoreError::Damaged(_))), "pages of the main file");
    for _ in 0..3 {
        assert!(refusal(store.apply(&put("call_2"))).contains("damaged"), "not before it is whole");
    }
    std::fs::write(directory.file(), good).unwrap();
    store.apply(&put("call_3")).unwrap();
    assert_eq!(count(&store), 2);
}

#[test]
fn what_was_spoilt_and_put_right_again_has_all_that_was_acknowledged() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&put("call_1")).unwrap();
    let files = ["medlytt.db", "medlytt.db-wal"].map(|name| directory.0.join(name));
    let good = files.clone().map(|file| std::fs::read(file).unwrap());
    for file in &files {
        spoil(file, 100..u64::MAX);
    }
    refusal(store.apply(&put("call_2")));
    for (file, good) in files.iter().zip(&good) {
        std::fs::write(file, good).unwrap();
    }
    store.apply(&put("call_3")).unwrap();
    assert_eq!(count(&store), 2);
    drop(store);
    assert_eq!(count(&SqliteStore::open(&directory.file()).unwrap()), 2);
}

/// A copy is made over the damaged file: the log beside it is not the copy's.
#[test]
fn an_older_copy_is_not_mixed_with_the_log_of_what_was_damaged() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    store.apply(&put("call_1")).unwrap();
    let old = whole(&directory);
    for n in 2..=40 {
        store.apply(&put(&format!("call_{n}"))).unwrap();
    }
    whole(&directory);
    store.apply(&put("call_41")).unwrap();
    spoil(&directory.file(), 100..u64::MAX);
    refusal(store.apply(&put("call_42")));
    std::fs::write(directory.file(), old).unwrap();
    store.apply(&put("call_43")).unwrap();
    assert_eq!((count(&store), store.verify_audit().unwrap().broken), (2, None));
    assert!(directory.0.join("medlytt.db.replaced-wal").exists(), "kept for whoever wants to look");
}

#[test]
fn nothing_is_taken_for_damage_that_is_none() {
    let directory = Directory::new();
    let store = SqliteStore::open(&directory.file()).unwrap();
    // Through many rounds of the log, with another process that empties it now and then.
    for n in 0..500 {
        store.apply(&put(&format!("call_{n}"))).unwrap();
        if n % 90 == 0 {
            store.look().unwrap();
            store.apply(&[]).unwrap();
        }
        if n % 170 == 169 {
            whole(&directory);
            store.look().unwrap();
        }
    }
    store.look().unwrap();
    drop(store.connections.write::<()>(|_| Err(StoreError::Unavailable("the disk does not read".to_owned()))));
    store.look().unwrap();
    store.apply(&put("call_last")).unwrap();
}
