//! The schema and its versions.

use rusqlite::{Connection, TransactionBehavior};

use super::connections::unavailable_at;
use crate::StoreError;

/// `PRAGMA application_id`: "Mdly". Tells our files from those of others.
pub(super) const APPLICATION_ID: i64 = 0x4D64_6C79;
/// Version n of the schema is what the first n of these make. Never change one that was released: append.
pub(super) const MIGRATIONS: &[&str] = &[
    "
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
",
    "
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT,
        agent TEXT, details TEXT NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL
    );
    CREATE INDEX audit_at ON audit (at);
    CREATE INDEX audit_actor ON audit (actor, seq);
    CREATE INDEX audit_target ON audit (target, seq);
    CREATE INDEX audit_agent ON audit (agent, seq);
    CREATE TABLE audit_head (
        one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1), entries INTEGER NOT NULL, hash BLOB NOT NULL
    );
    INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
    CREATE TRIGGER audit_appends BEFORE INSERT ON audit WHEN NEW.seq <= (SELECT max(seq) FROM audit)
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TRIGGER audit_stays BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TRIGGER audit_is_as_it_was BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TRIGGER audit_head_is_one BEFORE INSERT ON audit_head WHEN EXISTS (SELECT 1 FROM audit_head)
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TRIGGER audit_head_grows BEFORE UPDATE ON audit_head WHEN NEW.entries <= OLD.entries
        BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
    CREATE TABLE answer (
        user TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (user, key)
    ) WITHOUT ROWID;
    CREATE INDEX answer_at ON answer (at);
    CREATE TABLE registration (user TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE dialog (key TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE claim (
        listening TEXT PRIMARY KEY NOT NULL, request TEXT NOT NULL, heard INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX claim_request ON claim (request);
    CREATE TABLE probe (one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1), filler BLOB NOT NULL);
    ALTER TABLE call ADD COLUMN ended INTEGER;  -- or began, where no end is known; nanoseconds
    UPDATE call SET ended = 1000000000 *
        unixepoch(coalesce(json_extract(doc, '$.ended_at'), json_extract(doc, '$.started_at'))) WHERE json_valid(doc);
    CREATE INDEX call_ended ON call (ended) WHERE ended IS NOT NULL;
",
    "
    CREATE TABLE document (
        kind TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
",
];

/// Name and SQL of everything that belongs to the audit trail.
pub(super) const PARTS_OF_AUDIT: &str =
    "SELECT name, sql FROM sqlite_schema WHERE tbl_name IN ('audit', 'audit_head') AND sql IS NOT NULL";

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
    let known = newest();
    match read() {
        Ok((APPLICATION_ID, found, _)) if found > known => Err(StoreError::Newer { found, known }),
        Ok((APPLICATION_ID, found, _)) => Ok(found),
        Ok((0, 0, 0)) => Ok(0),
        Ok(_) => Err(StoreError::Foreign(name.to_owned())),
        Err(error) => match rusqlite::Error::sqlite_error_code(&error) {
            Some(rusqlite::ErrorCode::NotADatabase) => Err(StoreError::Foreign(name.to_owned())),
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                Err(StoreError::Unavailable(format!("{name} is damaged: {error}")))
            }
            _ => Err(unavailable_at(name, &error)),
        },
    }
}

/// In one transaction: a file has our version or its own, nothing between.
pub(super) fn migrate(connection: &mut Connection, name: &str) -> Result<(), StoreError> {
    // A file that is ours already is not written: it may be opened on a full disk.
    if schema_version(connection, name)? == newest() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Again, now that nobody else can migrate.
    let version = schema_version(&transaction, name)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest())?;
    Ok(transaction.commit()?)
}

/// The version that we write.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}
