//! Reads documents: one by its id, a page of a list, all of a kind.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
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
}

impl Search {
    pub(super) fn new(kind: &'static str, table: &str, limit: usize) -> Self {
        Self { kind, sql: format!("SELECT id, doc FROM {table} WHERE 1"), values: Vec::new(), limit: page_limit(limit) }
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

    pub(super) fn run<T: DeserializeOwned>(
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

pub(super) fn documents<T: DeserializeOwned>(connection: &Connection, sql: &str) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(parse(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?);
    }
    Ok(items)
}

pub(super) fn document<T: DeserializeOwned>(
    connection: &Connection,
    sql: &str,
    id: &str,
) -> Result<Option<T>, StoreError> {
    let doc: Option<String> = connection.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
    doc.map(|doc| parse(id, &doc)).transpose()
}

pub(super) fn parse<T: DeserializeOwned>(id: &str, doc: &str) -> Result<T, StoreError> {
    serde_json::from_str(doc).map_err(|error| StoreError::Corrupt(format!("{id}: {error}")))
}
