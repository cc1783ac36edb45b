//! Connections to the file: one that writes, a few that read. One that failed is closed and opened anew, so that a store
//! recovers by itself; and when the file at the path is another than the one that is open, all are.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::schema::{migrate, schema_version};
use super::watch::{Watch, read_edges};
use crate::StoreError;

/// How long a commit waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Read connections that stay open.
const READERS_KEPT: usize = 4;
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;
/// What the log is cut back to once all of it is in the main file.
const LOG_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// After these the transaction is rolled back and the connection is as good as before.
const FULL: &str = "database or disk is full";
const LOCKED: &str = "another process holds the database locked";

/// See above.
#[derive(Debug)]
pub(super) struct Connections {
    /// `None`: in memory, where the writer also reads.
    path: Option<PathBuf>,
    /// `None`: closed after a fault.
    writer: Mutex<Option<Connection>>,
    readers: Mutex<Vec<Connection>>,
    /// Which file they are open on.
    open: Mutex<Option<Files>>,
    /// Read while somebody reads, so that nobody does while files change places.
    reading: RwLock<()>,
}

impl Connections {
    /// To a file; makes it if there is none.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let connection = open_writer(path, &name, OpenFlags::SQLITE_OPEN_CREATE)?;
        // From here on the main file says whose it is. Where there is no room for it, later.
        drop(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(0)));
        let connections = Self::new(connection, Some(path.to_owned()));
        *lock(&connections.open) = Files::at(path);
        Ok(connections)
    }

    /// To a database in memory.
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        let mut connection = Connection::open_in_memory()?;
        prepare(&mut connection, ":memory:")?;
        Ok(Self::new(connection, None))
    }

    fn new(writer: Connection, path: Option<PathBuf>) -> Self {
        Self {
            path,
            writer: Mutex::new(Some(writer)),
            readers: Mutex::default(),
            open: Mutex::default(),
            reading: RwLock::default(),
        }
    }

    /// Lets one writer work.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A panic inside a transaction rolls it back as it unwinds, so the connection is sound.
        let mut writer = lock(&self.writer);
        let result = self.attend(&mut writer).and_then(|connection| {
            self.watched(Watch::check)?;
            work(connection)
        });
        match &result {
            Ok(_) => self.watched(Watch::written)?,
            Err(error) if self.path.is_some() && is_fault(error) => self.close(&mut writer, error),
            Err(_) => {}
        }
        result
    }

    /// Looks closer than each transaction does: all of the log, and what is in the main file.
    pub(super) fn look(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut writer = lock(&self.writer);
        let result = self.attend(&mut writer).and_then(|_| {
            self.watched(Watch::look)?;
            read_edges(&open_reader(path)?)
        });
        if let Err(error) = &result
            && is_fault(error)
        {
            self.close(&mut writer, error);
        }
        result
    }

    fn watched(&self, look: impl FnOnce(&mut Watch, &Path) -> Result<(), StoreError>) -> Result<(), StoreError> {
        match &mut *lock(&self.open) {
            Some(files) => look(&mut files.watch, &log_of(&files.place, "-wal")),
            None => Ok(()),
        }
    }

    /// Closing writes the log into the main file, which does no good where either is damaged.
    fn close(&self, writer: &mut Option<Connection>, error: &StoreError) {
        let damaged = matches!(error, StoreError::Damaged(_));
        if let (Some(connection), Some(files)) = (&writer, &mut *lock(&self.open)) {
            files.damaged |= damaged;
            match damaged {
                true => keep_log(connection, true),
                false => files.watch.closed(),
            }
        }
        *writer = None;
        lock(&self.readers).clear();
    }

    /// Lets one of the readers work.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let Some(path) = &self.path else { return self.write(|connection| work(connection)) };
        if self.moved(path) {
            self.attend(&mut lock(&self.writer))?;
        }
        let _reading = self.reading.read().unwrap_or_else(PoisonError::into_inner);
        let kept = lock(&self.readers).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open_reader(path)?,
        };
        let result = work(&connection);
        let mut readers = lock(&self.readers);
        if readers.len() < READERS_KEPT && !result.as_ref().is_err_and(is_fault) {
            readers.push(connection);
        }
        result
    }

    /// The writing connection, open on the file that is there now.
    fn attend<'a>(&self, writer: &'a mut Option<Connection>) -> Result<&'a mut Connection, StoreError> {
        if let Some(path) = &self.path {
            let moved = self.moved(path);
            if moved {
                let _alone = self.reading.write().unwrap_or_else(PoisonError::into_inner);
                lock(&self.readers).clear();
                *writer = None;
                if let Some(files) = &mut *lock(&self.open) {
                    files.watch.closed();
                    files.set_aside(path)?;
                }
            }
            if writer.is_none() {
                *writer = Some(self.open_again(path, moved)?);
            }
        }
        writer.as_mut().ok_or_else(|| StoreError::Unavailable("closed".to_owned()))
    }

    fn open_again(&self, path: &Path, moved: bool) -> Result<Connection, StoreError> {
        let _alone = self.reading.write().unwrap_or_else(PoisonError::into_inner);
        lock(&self.readers).clear();
        let mut open = lock(&self.open);
        let damaged = match &mut *open {
            Some(files) if !moved => files.look_again(path)?,
            _ => false,
        };
        // A file that is gone does not come back empty under a running engine.
        let connection = open_writer(path, "the file", OpenFlags::empty())?;
        if damaged {
            keep_log(&connection, true);
            read_edges(&open_reader(path)?)?;
            keep_log(&connection, false);
        }
        *open = Files::at(path);
        Ok(connection)
    }

    fn moved(&self, path: &Path) -> bool {
        lock(&self.open).as_ref().map(|files| files.main) != FileId::of(path)
    }

    /// The writing connection, for tests.
    #[cfg(test)]
    pub(super) fn writer(&self) -> impl std::ops::DerefMut<Target = Connection> + '_ {
        struct Writer<'a>(MutexGuard<'a, Option<Connection>>);
        impl std::ops::Deref for Writer<'_> {
            type Target = Connection;
            fn deref(&self) -> &Connection {
                self.0.as_ref().unwrap()
            }
        }
        impl std::ops::DerefMut for Writer<'_> {
            fn deref_mut(&mut self) -> &mut Connection {
                self.0.as_mut().unwrap()
            }
        }
        Writer(lock(&self.writer))
    }
}

/// Whether the connection is to be opened anew.
fn is_fault(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(why) => why != FULL && why != LOCKED,
        StoreError::Damaged(_) => true,
        StoreError::Corrupt(_)
        | StoreError::Newer { .. }
        | StoreError::Foreign(_)
        | StoreError::Url(_)
        | StoreError::Cursor => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which file is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The database and its log.
#[derive(Debug)]
struct Files {
    main: FileId,
    log: Option<FileId>,
    /// Of the database, links followed.
    place: PathBuf,
    watch: Watch,
    /// Found so, and not found whole since.
    damaged: bool,
}

impl Files {
    fn at(path: &Path) -> Option<Self> {
        let place = path.canonicalize().ok()?;
        let log = log_of(&place, "-wal");
        let watch = Watch::begin(&place, &log)?;
        Some(Self { main: FileId::of(&place)?, log: FileId::of(&log), place, watch, damaged: false })
    }

    /// After a fault, before the same files are opened again. Whether they were damaged.
    fn look_again(&mut self, path: &Path) -> Result<bool, StoreError> {
        if self.damaged && self.watch.is_another() {
            self.watch.closed();
            self.watch.look(&log_of(&self.place, "-wal"))?;
            self.set_aside(path)?;
        } else {
            self.watch.look(&log_of(&self.place, "-wal"))?;
        }
        Ok(self.damaged)
    }

    /// Another file has taken the place of this one. The log beside it is still this one's: SQLite would write it into the
    /// new one. It is renamed, not deleted: it belongs to the file that was moved away.
    fn set_aside(&self, path: &Path) -> Result<(), StoreError> {
        let log = log_of(&self.place, "-wal");
        if path.canonicalize().is_ok_and(|place| place == self.place)
            && self.log.is_some()
            && FileId::of(&log) == self.log
        {
            let unmovable =
                |error: std::io::Error| StoreError::Unavailable(format!("the old log is in the way: {error}"));
            std::fs::rename(&log, log_of(&self.place, ".replaced-wal")).map_err(unmovable)?;
            match std::fs::remove_file(log_of(&self.place, "-shm")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unmovable(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

fn log_of(place: &Path, end: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn open_writer(path: &Path, name: &str, more: OpenFlags) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let refused = |error| if more.is_empty() { StoreError::from(error) } else { unavailable_at(name, &error) };
    let mut connection = Connection::open_with_flags(path, flags).map_err(refused)?;
    // Where it fails the files stay as they are.
    keep_log(&connection, true);
    prepare(&mut connection, name)?;
    keep_log(&connection, false);
    Ok(connection)
}

/// Whether closing leaves the log where it is.
fn keep_log(connection: &Connection, keep: bool) {
    drop(connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep));
}

fn prepare(connection: &mut Connection, name: &str) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Looks before it touches: WAL mode alone would rewrite a stranger's header.
    schema_version(connection, name)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" && mode != "memory" {
        return Err(StoreError::Unavailable(format!("{name}: this file system has no write-ahead log, only {mode}")));
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    migrate(connection, name)
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "cell_size_check", true)?;
    keep_log(&connection, true);
    Ok(connection)
}

pub(super) fn unavailable_at(name: &str, error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(format!("{name}: {error}"))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => Self::Damaged(format!("the file is damaged: {error}")),
            Some(Code::DiskFull) => Self::Unavailable(FULL.to_owned()),
            Some(Code::DatabaseBusy | Code::DatabaseLocked) => Self::Unavailable(LOCKED.to_owned()),
            // SQLite's own words name the path, which is nothing for answers.
            Some(Code::CannotOpen) => Self::Unavailable("unable to open the database file".to_owned()),
            Some(Code::ReadOnly) => Self::Unavailable("the database cannot be written, only read".to_owned()),
            Some(Code::SystemIoFailure) => Self::Unavailable(format!("the disk does not read or write: {error}")),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
