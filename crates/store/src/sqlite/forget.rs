//! Deletes what is older than it is to be kept, a share at a time.

use rusqlite::{Connection, params};

use crate::query::nanoseconds;
use crate::{Retention, StoreError};

/// Deletes at most so many of each kind, oldest first; the number that went.
pub(super) fn forget(connection: &Connection, limits: &Retention, at_most: usize) -> Result<usize, StoreError> {
    let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
    let mut gone = 0;
    if let Some(before) = limits.calls_before {
        let sql = "DELETE FROM call WHERE id IN (SELECT id FROM call WHERE ended < ? ORDER BY ended LIMIT ?)";
        gone += connection.prepare_cached(sql)?.execute(params![nanoseconds(before), at_most])?;
    }
    let sql = "DELETE FROM answer WHERE (user, key) IN (SELECT user, key FROM answer WHERE at < ? ORDER BY at LIMIT ?)";
    gone += connection.prepare_cached(sql)?.execute(params![nanoseconds(limits.answers_before), at_most])?;
    Ok(gone)
}
