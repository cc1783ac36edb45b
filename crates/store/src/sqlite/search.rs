//! Reads documents: one by its id, a page of a list, all of a kind.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::persist::AnswerRecord;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde::de::DeserializeOwned;

use crate::cursor::{decode_cursor, encode_cursor};
use crate::query::page_limit;
use crate::{Page, StoreError};

/// A list: filters, newest first, from a cursor on.
pub(super) struct Search {
    kind: &'static str,
    sql: String,
    values: Vec<Value>,
    limit: usize,
    /// Condition for what comes after a cursor.
    below: &'static str,
    order: &'static str,
}

impl Search {
    /// Over the documents of a table.
    pub(super) fn new(kind: &'static str, table: &str, limit: usize) -> Self {
        let sql = format!("SELECT id, doc FROM {table} WHERE 1");
        Self { kind, sql, values: Vec::new(), limit: page_limit(limit), below: "id < ?", order: "id" }
    }

    /// Over the audit trail.
    pub(super) fn trail(limit: usize) -> Self {
        let sql = "SELECT printf('%020d', seq), seq, at, actor, action, target, agent, details, prev, hash \
                   FROM audit WHERE 1";
        let (below, order) = ("seq < CAST(? AS INTEGER)", "seq");
        Self { kind: "audit", sql: sql.to_owned(), values: Vec::new(), limit: page_limit(limit), below, order }
    }

    pub(super) fn equals(&mut self, column: &str, value: Option<impl Into<Value>>) {
        self.filter(&format!("{column} = ?"), value);
    }

    pub(super) fn filter(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.sql.push_str(" AND ");
            self.sql.push_str(condition);
            self.values.push(value.into());
        }
    }

    /// A page of documents. One that cannot be read is left out: it must not make all the others unreadable.
    pub(super) fn run<T: DeserializeOwned>(
        self,
        connection: &Connection,
        cursor: Option<&str>,
        unreadable: &AtomicU64,
    ) -> Result<Page<T>, StoreError> {
        self.rows(connection, cursor, |id, row| Ok(readable(id, row.get_ref(1)?, unreadable)))
    }

    /// A page of whatever `read` makes of a row; the first column is the row's name in cursors.
    pub(super) fn rows<T>(
        mut self,
        connection: &Connection,
        cursor: Option<&str>,
        read: impl Fn(&str, &Row<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let below = cursor.map(|cursor| decode_cursor(self.kind, cursor)).transpose()?;
        self.filter(self.below, below);
        self.sql.push_str(&format!(" ORDER BY {} DESC", self.order));
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut rows = statement.query(params_from_iter(self.values))?;
        let (mut items, mut last) = (Vec::new(), String::new());
        while let Some(row) = rows.next()? {
            let id = lossy(row.get_ref(0)?);
            let Some(item) = read(&id, row)? else { continue };
            // One more than asked for tells whether there is a next page.
            if items.len() == self.limit {
                return Ok(Page { items, next_cursor: Some(encode_cursor(self.kind, &last)) });
            }
            items.push(item);
            last = id;
        }
        Ok(Page { items, next_cursor: None })
    }
}

/// Every document that can be read.
pub(super) fn documents<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    unreadable: &AtomicU64,
) -> Result<Vec<T>, StoreError> {
    Ok(named_documents(connection, sql, unreadable)?.into_iter().map(|(_, document)| document).collect())
}

/// The same with their ids.
pub(super) fn named_documents<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    unreadable: &AtomicU64,
) -> Result<Vec<(String, T)>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let id = lossy(row.get_ref(0)?);
        if let Some(item) = readable(&id, row.get_ref(1)?, unreadable) {
            items.push((id, item));
        }
    }
    Ok(items)
}

/// One document.
pub(super) fn document<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    id: &str,
) -> Result<Option<T>, StoreError> {
    found(id, connection.prepare_cached(sql)?.query_row([id], |row| Ok(parse(row.get_ref(0)?))).optional()?)
}

/// The first answer to a key.
pub(super) fn answer(connection: &Connection, user: &str, key: &str) -> Result<Option<AnswerRecord>, StoreError> {
    let sql = "SELECT doc FROM answer WHERE user = ? AND key = ?";
    found(key, connection.prepare_cached(sql)?.query_row([user, key], |row| Ok(parse(row.get_ref(0)?))).optional()?)
}

fn found<T>(id: &str, document: Option<Result<T, String>>) -> Result<Option<T>, StoreError> {
    document.transpose().map_err(|why| StoreError::Corrupt(format!("{id}: {why}")))
}

fn readable<T: DeserializeOwned>(id: &str, doc: ValueRef<'_>, unreadable: &AtomicU64) -> Option<T> {
    match parse(doc) {
        Ok(item) => Some(item),
        Err(why) => {
            unreadable.fetch_add(1, Ordering::Relaxed);
            tracing::error!(record = id, %why, "a record in the store cannot be read and is left out");
            None
        }
    }
}

fn parse<T: DeserializeOwned>(doc: ValueRef<'_>) -> Result<T, String> {
    let text = doc.as_str().map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(super) fn lossy(value: ValueRef<'_>) -> String {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}
