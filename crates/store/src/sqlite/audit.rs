//! The audit table: appends to the chain, searches it, goes through it.

use std::collections::BTreeMap;

use engine::persist::AuditEntry;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::records::print;
use super::schema::{MIGRATIONS, PARTS_OF_AUDIT};
use super::search::Search;
use crate::audit::{self, End, Hash, cursor_seq, hex};
use crate::query::nanoseconds;
use crate::{AuditBreak, AuditQuery, AuditReport, AuditRow, Page, StoreError};

/// The trail's end while a transaction adds to it. It is read anew in every transaction: another process may have added,
/// and a transaction that failed added nothing.
#[derive(Debug, Default)]
pub(super) struct Trail {
    end: Option<End>,
}

impl Trail {
    /// Adds one entry.
    pub(super) fn append(&mut self, connection: &Connection, entry: &AuditEntry) -> Result<(), StoreError> {
        let end = match self.end {
            Some(end) => end,
            None => read_end(connection)?,
        };
        let (seq, at, details) = (end.seq + 1, nanoseconds(entry.at), print(&entry.details)?);
        let hash = audit::sealed(signed(seq), at, entry, &details, &end.hash);
        let sql = "INSERT INTO audit (seq, at, actor, action, target, agent, details, prev, hash) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        connection.prepare_cached(sql)?.execute(params![
            signed(seq),
            at,
            entry.actor,
            entry.action,
            entry.target,
            entry.agent,
            details,
            end.hash,
            hash
        ])?;
        self.end = Some(End { seq, hash });
        Ok(())
    }

    /// Before the commit: moves the head.
    pub(super) fn close(self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(end) = self.end {
            let values = params![signed(end.seq), end.hash];
            let sql = "UPDATE audit_head SET entries = ?1, hash = ?2 WHERE one = 1";
            if connection.prepare_cached(sql)?.execute(values)? == 0 {
                // Somebody removed it, which the chain shows.
                connection.execute("INSERT INTO audit_head (one, entries, hash) VALUES (1, ?1, ?2)", values)?;
            }
        }
        Ok(())
    }
}

/// Where the next entry goes. Numbers go on from the head or the last row, whichever is further: if somebody cut rows off,
/// the gap stays to be found.
fn read_end(connection: &Connection) -> Result<End, StoreError> {
    let head = read_head(connection)?.unwrap_or(End::EMPTY);
    let last = connection
        .prepare_cached("SELECT max(seq) FROM audit")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))?
        .and_then(|seq| u64::try_from(seq).ok());
    Ok(End { seq: head.seq.max(last.unwrap_or(0)), ..head })
}

/// `None`: there is none, or it is none.
fn read_head(connection: &Connection) -> Result<Option<End>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT entries, hash FROM audit_head WHERE one = 1")?;
    let head = statement.query_row([], |row| {
        let (ValueRef::Integer(seq), ValueRef::Blob(hash)) = (row.get_ref(0)?, row.get_ref(1)?) else {
            return Ok(None);
        };
        Ok(u64::try_from(seq).ok().zip(Hash::try_from(hash).ok()).map(|(seq, hash)| End { seq, hash }))
    });
    Ok(head.optional()?.flatten())
}

/// A page of the trail, newest first. An entry whose values are not what was written is shown as far as it can be.
pub(super) fn page(connection: &Connection, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
    if let Some(cursor) = &query.cursor {
        cursor_seq(cursor)?;
    }
    let mut search = Search::trail(query.limit);
    search.equals("actor", query.actor.clone());
    search.equals("agent", query.agent.clone());
    search.equals("action", query.action.clone());
    search.equals("target", query.target.clone());
    search.filter("at >= ?", query.from.map(nanoseconds));
    search.filter("at < ?", query.to.map(nanoseconds));
    search.rows(connection, query.cursor.as_deref(), |_, row| read_row(row))
}

fn read_row(row: &Row<'_>) -> Result<Option<AuditRow>, StoreError> {
    let details = text(row.get_ref(7)?).unwrap_or_default();
    let entry = AuditEntry {
        at: moment(row.get_ref(2)?),
        actor: text(row.get_ref(3)?).unwrap_or_default(),
        action: text(row.get_ref(4)?).unwrap_or_default(),
        target: text(row.get_ref(5)?),
        agent: text(row.get_ref(6)?),
        details: serde_json::from_str(&details).unwrap_or_else(|_| {
            serde_json::Map::from_iter([("unreadable".to_owned(), serde_json::Value::String(details.clone()))])
        }),
    };
    let seq = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
    Ok(Some(AuditRow { seq, entry, prev: blob(row.get_ref(8)?), hash: blob(row.get_ref(9)?) }))
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    }
}

fn moment(value: ValueRef<'_>) -> jiff::Timestamp {
    let nanoseconds = if let ValueRef::Integer(at) = value { i128::from(at) } else { 0 };
    jiff::Timestamp::from_nanosecond(nanoseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

fn blob(value: ValueRef<'_>) -> String {
    value.as_bytes().map(hex).unwrap_or_default()
}

/// The number of the entry with this hash.
pub(super) fn seq_of(connection: &Connection, hash: &[u8]) -> Result<Option<u64>, StoreError> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM audit NOT INDEXED WHERE hash = ?")?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    Ok(seq.and_then(|seq| u64::try_from(seq).ok()))
}

/// Goes through everything: entries first, since they have numbers to tell; then head, indexes, definitions and the file.
pub(super) fn verify(connection: &Connection) -> Result<AuditReport, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let mut end = End::EMPTY;
    let broken = match walk(&transaction, &mut end) {
        Ok(Some(broken)) => Some(broken),
        Ok(None) => check_around(&transaction, end).or_else(|error| unreadable(error, 0).map(Some))?,
        Err(error) => Some(unreadable(error, end.seq + 1)?),
    };
    Ok(end.report(broken))
}

/// A file that cannot be read is broken; a disk that does not answer is only not available.
fn unreadable(error: StoreError, seq: u64) -> Result<AuditBreak, StoreError> {
    match error {
        StoreError::Corrupt(why) | StoreError::Damaged(why) => {
            Ok(AuditBreak { seq, why: format!("it cannot be read: {why}") })
        }
        other => Err(other),
    }
}

/// Moves `end` along the chain, up to the first entry that does not belong there.
fn walk(connection: &Connection, end: &mut End) -> Result<Option<AuditBreak>, StoreError> {
    // By its own tree, not by an index that may say something else.
    let sql = "SELECT seq, at, actor, action, target, agent, details, prev, hash FROM audit NOT INDEXED ORDER BY seq";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let wanted = end.seq + 1;
        let mut values = [ValueRef::Null; 8];
        for (at, value) in values.iter_mut().enumerate() {
            *value = row.get_ref(at)?;
        }
        if let Some(why) = misfit(wanted, end, &values, row.get_ref(8)?) {
            return Ok(Some(AuditBreak { seq: wanted, why }));
        }
        *end = End { seq: wanted, hash: audit::hash(&values) };
    }
    Ok(None)
}

fn misfit(wanted: u64, end: &End, values: &[ValueRef<'_>; 8], hash: ValueRef<'_>) -> Option<String> {
    if values[0] != ValueRef::Integer(signed(wanted)) {
        return Some(format!("entry {wanted} is missing: {} follows", text(values[0]).unwrap_or_default()));
    }
    if hash != ValueRef::Blob(&audit::hash(values)) {
        return Some("its content is not what its hash was made of".to_owned());
    }
    if values[7] != ValueRef::Blob(&end.hash) {
        return Some("it does not carry the hash of the entry before".to_owned());
    }
    None
}

/// What is not an entry.
fn check_around(connection: &Connection, end: End) -> Result<Option<AuditBreak>, StoreError> {
    let broken = |seq: u64, why: String| Ok(Some(AuditBreak { seq, why }));
    match read_head(connection)? {
        Some(head) if head == end => {}
        Some(head) if head.seq > end.seq => {
            return broken(end.seq + 1, format!("missing from here on: {} were written", head.seq));
        }
        Some(_) => return broken(end.seq, "the head that was stored is another".to_owned()),
        None => return broken(end.seq, "the stored head is gone".to_owned()),
    }
    let heads: i64 = connection.query_row("SELECT count(*) FROM audit_head", [], |row| row.get(0))?;
    if heads != 1 {
        return broken(0, "there is more than one head".to_owned());
    }
    if definitions(connection)? != definitions(&ours()?)? {
        return broken(0, "a table, an index or a trigger of the trail is not as it was made".to_owned());
    }
    for check in ["PRAGMA integrity_check('audit')", "PRAGMA quick_check"] {
        let found: String = connection.query_row(check, [], |row| row.get(0))?;
        if found != "ok" {
            return broken(row_in(&found), found);
        }
    }
    Ok(None)
}

/// `row 17 missing from index audit_agent`.
fn row_in(found: &str) -> u64 {
    let mut words = found.split(|c: char| !c.is_ascii_alphanumeric()).skip_while(|word| *word != "row");
    words.nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// SQL of everything that belongs to the trail, by name.
fn definitions(connection: &Connection) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement = connection.prepare(PARTS_OF_AUDIT)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn ours() -> Result<Connection, StoreError> {
    let connection = Connection::open_in_memory()?;
    MIGRATIONS.iter().try_for_each(|migration| connection.execute_batch(migration))?;
    Ok(connection)
}

/// Numbers of entries stay far below what 63 bits hold.
fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
