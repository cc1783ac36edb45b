//! SQLite: one writer, a few readers, write-ahead log, every commit on disk before it is reported.
//!
//! A record is one JSON document with the columns that searches need beside it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::persist::{AgentRecord, Change, RequestRecord, Restored};
use engine::view::{CallView, ListeningView, RequestView};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cursor::{decode_cursor, encode_cursor};
use crate::query::{began, listener_key, page_limit};
use crate::{CallQuery, ListeningQuery, Page, RequestQuery, Store, StoreError};

/// `PRAGMA application_id`: "Mdly". Tells our files from those of others.
const APPLICATION_ID: i64 = 0x4D64_6C79;
/// How long a commit waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Read connections that stay open.
const READERS_KEPT: usize = 4;
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;

/// Version n of the schema is what the first n of these make. Never change one that was released: append.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE request (
        id TEXT PRIMARY KEY NOT NULL, agent TEXT NOT NULL, ordered_by TEXT NOT NULL, state TEXT NOT NULL,
        active INTEGER NOT NULL, doc TEXT NOT NULL
    );
    CREATE INDEX request_agent ON request (agent, id);
    CREATE INDEX request_ordered_by ON request (ordered_by, id);
    CREATE INDEX request_active ON request (id) WHERE active;
    CREATE TABLE listening (
        id TEXT PRIMARY KEY NOT NULL, agent TEXT NOT NULL, listener TEXT, ordered_by TEXT NOT NULL, caller TEXT,
        state TEXT NOT NULL, began INTEGER, doc TEXT NOT NULL
    );
    CREATE INDEX listening_agent ON listening (agent, id);
    CREATE INDEX listening_listener ON listening (listener, id);
    CREATE INDEX listening_ordered_by ON listening (ordered_by, id);
    CREATE INDEX listening_began ON listening (began);
    CREATE INDEX listening_open ON listening (id) WHERE state <> 'ended';
    CREATE TABLE call (id TEXT PRIMARY KEY NOT NULL, agent TEXT, doc TEXT NOT NULL);
    CREATE INDEX call_agent ON call (agent, id);
    CREATE TABLE agent (id TEXT PRIMARY KEY NOT NULL, doc TEXT);  -- no doc: deleted over the API
"];

/// A file, or a database in memory that goes with its value.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// `None`: in memory, where the writer also reads.
    path: Option<PathBuf>,
}

impl SqliteStore {
    /// Opens a file, makes it if there is none, brings an older schema up to ours.
    ///
    /// # Errors
    /// [`StoreError::Newer`] and [`StoreError::Foreign`] (the file stays as it is), [`StoreError::Unavailable`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|error| unavailable_at(&name, &error))?;
        Self::prepare(connection, &name, Some(path.to_owned()))
    }

    /// A database in memory.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::prepare(Connection::open_in_memory()?, ":memory:", None)
    }

    fn prepare(mut connection: Connection, name: &str, path: Option<PathBuf>) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        // Looks before it touches: WAL mode alone would rewrite a stranger's header.
        schema_version(&connection, name)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        migrate(&mut connection, name)?;
        Ok(Self { writer: Mutex::new(connection), readers: Mutex::default(), path })
    }

    // A panic inside a transaction rolls it back as it unwinds, so the connection is sound.
    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Some(path) = &self.path else { return query(&self.writer()) };
        let kept = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open_reader(path)?,
        };
        let result = query(&connection);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_KEPT {
            readers.push(connection);
        }
        result
    }
}

impl Store for SqliteStore {
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for change in changes {
            write(&transaction, change)?;
        }
        Ok(transaction.commit()?)
    }

    fn restore(&self) -> Result<Restored, StoreError> {
        self.read(|connection| {
            let removed = "SELECT id FROM agent WHERE doc IS NULL ORDER BY id";
            Ok(Restored {
                requests: documents(connection, "SELECT id, doc FROM request WHERE active ORDER BY id")?,
                listenings: documents(connection, "SELECT id, doc FROM listening WHERE state <> 'ended' ORDER BY id")?,
                agents: documents(connection, "SELECT id, doc FROM agent WHERE doc IS NOT NULL ORDER BY id")?,
                agents_removed: connection
                    .prepare_cached(removed)?
                    .query_map([], |row| row.get(0))?
                    .collect::<Result<_, _>>()?,
                ..Restored::default()
            })
        })
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
        self.read(|connection| search.run(connection, query.cursor.as_deref()))
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
        self.read(|connection| search.run(connection, query.cursor.as_deref()))
    }

    fn request(&self, id: &str) -> Result<Option<RequestView>, StoreError> {
        self.read(|connection| document(connection, "SELECT doc FROM request WHERE id = ?", id))
    }

    fn calls(&self, query: &CallQuery) -> Result<Page<CallView>, StoreError> {
        let mut search = Search::new("calls", "call", query.limit);
        search.equals("agent", query.agent.clone());
        let agents = query.agents.as_ref().map(|agents| serde_json::Value::from(agents.clone()).to_string());
        search.filter("agent IN (SELECT value FROM json_each(?))", agents);
        self.read(|connection| search.run(connection, query.cursor.as_deref()))
    }

    fn call(&self, id: &str) -> Result<Option<CallView>, StoreError> {
        self.read(|connection| document(connection, "SELECT doc FROM call WHERE id = ?", id))
    }
}

/// A list: filters, newest first, from a cursor on.
struct Search {
    kind: &'static str,
    sql: String,
    values: Vec<Value>,
    limit: usize,
}

impl Search {
    fn new(kind: &'static str, table: &str, limit: usize) -> Self {
        Self { kind, sql: format!("SELECT id, doc FROM {table} WHERE 1"), values: Vec::new(), limit: page_limit(limit) }
    }

    fn equals(&mut self, column: &str, value: Option<impl Into<Value>>) {
        self.filter(&format!("{column} = ?"), value);
    }

    fn filter(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.sql.push_str(" AND ");
            self.sql.push_str(condition);
            self.values.push(value.into());
        }
    }

    fn run<T: DeserializeOwned>(
        mut self,
        connection: &Connection,
        cursor: Option<&str>,
    ) -> Result<Page<T>, StoreError> {
        let below = cursor.map(|cursor| decode_cursor(self.kind, cursor)).transpose()?;
        self.filter("id < ?", below);
        self.sql.push_str(" ORDER BY id DESC LIMIT ?");
        // One more than asked for tells whether there is a next page.
        self.values.push(Value::from(i64::try_from(self.limit + 1).unwrap_or(i64::MAX)));
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(params_from_iter(self.values))?;
        let (mut items, mut last) = (Vec::new(), String::new());
        while let Some(row) = rows.next()? {
            if items.len() == self.limit {
                return Ok(Page { items, next_cursor: Some(encode_cursor(self.kind, &last)) });
            }
            last = row.get(0)?;
            items.push(parse(&last, &row.get::<_, String>(1)?)?);
        }
        Ok(Page { items, next_cursor: None })
    }
}

fn write(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    match change {
        Change::Request(request) => write_request(connection, request),
        Change::Listening(listening) => write_listening(connection, listening),
        Change::Heard(listening, request) => {
            write_listening(connection, listening)?;
            write_request(connection, request)
        }
        Change::Call(call) => {
            let sql = "INSERT OR REPLACE INTO call (id, agent, doc) VALUES (?, ?, ?)";
            connection.prepare_cached(sql)?.execute(params![call.id, call.agent, print(&with_finite_jitter(call))?])?;
            Ok(())
        }
        Change::Agent(agent) => write_agent(connection, &agent.id, Some(agent)),
        Change::AgentRemoved(id) => write_agent(connection, id, None),
        Change::Audit(_)
        | Change::Answer(_)
        | Change::Registrations { .. }
        | Change::Dialog(_)
        | Change::DialogEnded(_) => Ok(()),
    }
}

fn write_request(connection: &Connection, request: &RequestRecord) -> Result<(), StoreError> {
    let view = &request.view;
    let sql = "INSERT OR REPLACE INTO request (id, agent, ordered_by, state, active, doc) VALUES (?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![
        view.id,
        view.agent.id,
        view.ordered_by,
        name(view.state),
        view.state.is_active(),
        print(request)?
    ])?;
    Ok(())
}

fn write_listening(connection: &Connection, view: &ListeningView) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO listening (id, agent, listener, ordered_by, caller, state, began, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(sql)?.execute(params![
        view.id,
        view.agent.id,
        listener_key(view),
        view.ordered_by,
        view.caller_number,
        name(view.state),
        began(view).map(nanoseconds),
        print(view)?
    ])?;
    Ok(())
}

fn write_agent(connection: &Connection, id: &str, agent: Option<&AgentRecord>) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO agent (id, doc) VALUES (?, ?)";
    connection.prepare_cached(sql)?.execute(params![id, agent.map(print).transpose()?])?;
    Ok(())
}

/// JSON has no NaN: a record that holds one could be written but never read.
fn with_finite_jitter(call: &CallView) -> CallView {
    let mut call = call.clone();
    for leg in &mut call.legs {
        if !leg.jitter_ms.is_finite() {
            leg.jitter_ms = 0.0;
        }
    }
    call
}

fn documents<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(parse(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?);
    }
    Ok(items)
}

fn document<T: DeserializeOwned>(connection: &Connection, sql: &str, id: &str) -> Result<Option<T>, StoreError> {
    let doc: Option<String> = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    doc.map(|doc| parse(id, &doc)).transpose()
}

fn parse<T: DeserializeOwned>(id: &str, doc: &str) -> Result<T, StoreError> {
    serde_json::from_str(doc).map_err(|error| StoreError::Corrupt(format!("{id}: {error}")))
}

fn print<T: Serialize>(record: &T) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The name of a unit variant, as in JSON.
fn name<T: Serialize>(state: T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Times beyond what 64 bits hold (years 1677 to 2262) sort as the first and the last.
fn nanoseconds(at: jiff::Timestamp) -> i64 {
    let nanoseconds = at.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|error| unavailable_at(&path.display().to_string(), &error))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}

/// The schema version of one of our files; 0 for an empty one.
fn schema_version(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let read = || {
        Ok((
            number("PRAGMA application_id")?,
            number("PRAGMA user_version")?,
            number("SELECT count(*) FROM sqlite_schema")?,
        ))
    };
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match read() {
        Ok((APPLICATION_ID, found, _)) if found > known => Err(StoreError::Newer { found, known }),
        Ok((APPLICATION_ID, found, _)) => Ok(found),
        Ok((0, 0, 0)) => Ok(0),
        Ok(_) => Err(StoreError::Foreign(name.to_owned())),
        Err(error) => match rusqlite::Error::sqlite_error_code(&error) {
            Some(rusqlite::ErrorCode::NotADatabase) => Err(StoreError::Foreign(name.to_owned())),
            _ => Err(unavailable_at(name, &error)),
        },
    }
}

fn migrate(connection: &mut Connection, name: &str) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Again, now that nobody else can migrate.
    let version = schema_version(&transaction, name)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    Ok(transaction.commit()?)
}

fn unavailable_at(name: &str, error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(format!("{name}: {error}"))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use engine::view::LegView;

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
        assert!(matches!(refused, StoreError::Newer { found: 99, known: 1 }), "{refused}");
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
        store.writer().execute("INSERT INTO call VALUES ('call_1', 'anna', '{')", []).unwrap();
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
}
