//! Records as they may lie in a store: whatever stands there, reading it says so or gives records, and an engine that
//! starts with them lives and ends. The first byte says what the rest is.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use engine::persist::{AgentRecord, BindingRecord, Change, DialogRecord, RequestRecord, Restored};
use engine::view::ListeningView;
use engine::{Engine, Input, Now, Settings};
use store::{SqliteStore, Store, StoreError};

/// Tables whose documents an engine starts with.
const TABLES: [&str; 3] = ["request", "listening", "agent"];
/// A request that restores, for its columns.
const REQUEST: &str = include_str!("../corpus/store_record/request.json");

/// See the module.
pub fn body(data: &[u8]) {
    let Some((kind, record)) = data.split_first() else { return };
    if kind % 8 == 7 {
        return in_a_file(usize::from(kind / 8), record);
    }
    let mut restored = Restored::default();
    // Several records stand on lines of their own, so that they can meet.
    for line in record.split(|byte| *byte == b'\n') {
        restored.requests.extend(serde_json::from_slice::<RequestRecord>(line));
        restored.listenings.extend(serde_json::from_slice::<ListeningView>(line));
        restored.agents.extend(serde_json::from_slice::<AgentRecord>(line));
        restored.dialogs.extend(serde_json::from_slice::<DialogRecord>(line));
        let bindings = serde_json::from_slice::<BindingRecord>(line);
        restored.registrations.extend(bindings.map(|binding| ("anna".to_owned(), vec![binding])));
    }
    live(restored);
}

/// An engine that starts with this, through a week and to its end.
fn live(restored: Restored) {
    let start = Now { mono: Instant::now(), wall: "2026-11-24T12:00:00Z".parse().expect("a time") };
    let at = |seconds: u64| Now {
        mono: start.mono + Duration::from_secs(seconds),
        wall: start.wall + Duration::from_secs(seconds),
    };
    let settings = Settings::new(signalling::Settings::for_domain("medlytt.test"));
    let mut outputs = Vec::new();
    let mut engine = Engine::new(start, settings, Default::default(), restored, [1; 32], &mut outputs);
    for seconds in [0, 1, 60, 3_600, 86_400, 604_800] {
        engine.drive(at(seconds), Input::Timeout, &mut outputs);
    }
    engine.drive(at(604_801), Input::Stop, &mut outputs);
    assert_eq!((engine.sizes().calls, engine.sizes().interactions), (0, 0), "no call outlives its process");
}

/// The same bytes as a document of a file that another version, or another hand, has written.
fn in_a_file(table: usize, record: &[u8]) {
    static STORE: OnceLock<Mutex<(SqliteStore, rusqlite::Connection)>> = OnceLock::new();
    let shared = STORE.get_or_init(|| Mutex::new(file()));
    let guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (store, hand) = &*guard;
    let table = TABLES[table % TABLES.len()];
    let text = String::from_utf8_lossy(record);
    let written = match table {
        "request" => hand.execute("UPDATE request SET doc = ?1", [&text]),
        "listening" => hand.execute(
            "INSERT OR REPLACE INTO listening (id, agent, ordered_by, state, doc) VALUES ('lst_1', 'a', 'u', 'live', ?1)",
            [&text],
        ),
        _ => hand.execute("INSERT OR REPLACE INTO agent (id, doc) VALUES ('a', ?1)", [&text]),
    };
    written.expect("the file can be written");
    match store.restore() {
        Ok(restored) => live(restored),
        Err(StoreError::Corrupt(_)) => {}
        Err(error) => panic!("{error}"),
    }
    hand.execute_batch("DELETE FROM listening; DELETE FROM agent").expect("the file can be written");
    hand.execute("UPDATE request SET doc = ?1", [REQUEST.trim_start_matches('r')]).expect("the file can be written");
}

/// The file of this process; whoever runs the body removes it, with its `-wal` and `-shm`.
#[must_use]
pub fn path() -> PathBuf {
    std::env::temp_dir().join(format!("medlytt-fuzzing-{}.db", std::process::id()))
}

fn file() -> (SqliteStore, rusqlite::Connection) {
    let path = path();
    let _ = std::fs::remove_file(&path);
    let store = SqliteStore::open(&path).expect("a file of our own");
    let request = serde_json::from_str(REQUEST.trim_start_matches('r')).expect("the corpus begins with a good record");
    store.apply(&[Change::Request(request)]).expect("it can be written");
    let hand = rusqlite::Connection::open(&path).expect("the same file");
    let _ = hand.pragma_update(None, "synchronous", "off");
    (store, hand)
}
