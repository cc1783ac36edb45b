//! The schema and its versions.

use rusqlite::{Connection, TransactionBehavior};

use super::unavailable_at;
use crate::StoreError;

/// `PRAGMA application_id`: "Mdly". Tells our files from those of others.
const APPLICATION_ID: i64 = 0x4D64_6C79;
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

/// The schema version of one of our files; 0 for an empty one.
pub(super) fn schema_version(connection: &Connection, name: &str) -> Result<i64, StoreError> {
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

pub(super) fn migrate(connection: &mut Connection, name: &str) -> Result<(), StoreError> {
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
