//! Who has which of N: a compare-and-set inside one transaction, for whoever shares the file.

use engine::persist::RequestRecord;
use rusqlite::{Connection, OptionalExtension, params};

use super::search::document;
use crate::{Claim, StoreError, claim_is_free};

/// Takes one if there is one.
pub(super) fn claim(connection: &Connection, request: &str, listening: &str) -> Result<Claim, StoreError> {
    let sql = "SELECT doc FROM request WHERE id = ? AND active";
    let Some(record) = document::<RequestRecord>(connection, sql, request)? else { return Ok(Claim::NoRequest) };
    let has = connection
        .prepare_cached("SELECT 1 FROM claim WHERE listening = ? AND request = ?")?
        .query_row([listening, request], |_| Ok(()))
        .optional()?;
    if has.is_some() {
        return Ok(Claim::Granted);
    }
    let (heard, open): (u32, u32) = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE heard), count(*) FILTER (WHERE NOT heard) FROM claim WHERE request = ?",
        )?
        .query_row([request], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if !claim_is_free(&record.view.calls, heard, open) {
        return Ok(Claim::Full);
    }
    put(connection, request, listening, false)?;
    Ok(Claim::Granted)
}

/// Gives back what was not heard.
pub(super) fn unclaim(connection: &Connection, listening: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM claim WHERE listening = ? AND NOT heard")?.execute([listening])?;
    Ok(())
}

/// A claim becomes a count, which stays as long as the request is active.
pub(super) fn heard(connection: &Connection, request: &str, listening: &str) -> Result<(), StoreError> {
    put(connection, request, listening, true)
}

/// The request is over.
pub(super) fn over(connection: &Connection, request: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM claim WHERE request = ?")?.execute([request])?;
    Ok(())
}

/// Whoever held open claims is gone. Writes nothing where there are none, so that a full disk is no obstacle.
pub(super) fn release(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("DELETE FROM claim WHERE NOT heard", [])?;
    Ok(())
}

fn put(connection: &Connection, request: &str, listening: &str, heard: bool) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO claim (listening, request, heard) VALUES (?, ?, ?)")?
        .execute(params![listening, request, heard])?;
    Ok(())
}
