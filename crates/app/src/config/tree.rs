//! TOML as a plain tree whose every value knows its place.

use toml_edit::{Document, InlineTable, Item, Table};

use super::report::{Place, Problem};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// TOML's kinds of values.
#[derive(Clone, Debug)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// An empty file.
    pub(super) fn empty() -> Self {
        Self { value: Value::Table(Vec::new()), place: Place::File }
    }
}

impl Value {
    /// For messages: `a string`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date or time",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// A file's tree.
///
/// # Errors
/// The first place where it is no TOML.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let document = Document::parse(text).map_err(|error| {
        let place = error.span().map_or(Place::File, |span| place_at(text, span.start));
        Problem {
            place,
            key: String::new(),
            message: format!("not valid TOML: {}", error.message().replace('\n', ", ")),
        }
    })?;
    Ok(Node { value: Value::Table(table(text, document.as_table())), place: Place::File })
}

/// A single value as an environment variable holds it; `None`: no TOML value, so plain text.
pub(super) fn parse_value(text: &str, place: &Place) -> Option<Value> {
    let value: toml_edit::Value = text.trim().parse().ok()?;
    Some(relocate(Node { value: of_value("", &value), place: Place::File }, place).value)
}

/// The tree with one place throughout.
fn relocate(node: Node, place: &Place) -> Node {
    let value = match node.value {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| relocate(item, place)).collect()),
        Value::Table(entries) => {
            let moved = entries.into_iter().map(|entry| Entry {
                key: entry.key,
                place: place.clone(),
                node: relocate(entry.node, place),
            });
            Value::Table(moved.collect())
        }
        other => other,
    };
    Node { value, place: place.clone() }
}

fn table(text: &str, table: &Table) -> Vec<Entry> {
    let entries = table.iter().map(|(key, item)| {
        let place = key_place(text, table.key(key)).or_else(|| place_of(text, item.span())).unwrap_or(Place::File);
        Entry { key: key.to_owned(), node: of_item(text, item, &place), place }
    });
    entries.collect()
}

fn inline_table(text: &str, table: &InlineTable) -> Vec<Entry> {
    let entries = table.iter().map(|(key, value)| {
        let place = key_place(text, table.key(key)).unwrap_or(Place::File);
        let node =
            Node { value: of_value(text, value), place: place_of(text, value.span()).unwrap_or_else(|| place.clone()) };
        Entry { key: key.to_owned(), place, node }
    });
    entries.collect()
}

fn of_item(text: &str, item: &Item, key: &Place) -> Node {
    let place = place_of(text, item.span()).unwrap_or_else(|| key.clone());
    let value = match item {
        Item::None => Value::Table(Vec::new()),
        Item::Value(value) => of_value(text, value),
        Item::Table(inner) => Value::Table(table(text, inner)),
        Item::ArrayOfTables(tables) => {
            let nodes = tables.iter().map(|inner| Node {
                value: Value::Table(table(text, inner)),
                place: place_of(text, inner.span()).unwrap_or_else(|| place.clone()),
            });
            Value::Array(nodes.collect())
        }
    };
    Node { value, place }
}

fn of_value(text: &str, value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(string) => Value::String(string.value().clone()),
        toml_edit::Value::Integer(integer) => Value::Integer(*integer.value()),
        toml_edit::Value::Float(float) => Value::Float(*float.value()),
        toml_edit::Value::Boolean(boolean) => Value::Boolean(*boolean.value()),
        toml_edit::Value::Datetime(datetime) => Value::Datetime(datetime.value().to_string()),
        toml_edit::Value::Array(array) => {
            let nodes = array.iter().map(|item| Node {
                value: of_value(text, item),
                place: place_of(text, item.span()).unwrap_or(Place::File),
            });
            Value::Array(nodes.collect())
        }
        toml_edit::Value::InlineTable(table) => Value::Table(inline_table(text, table)),
    }
}

fn key_place(text: &str, key: Option<&toml_edit::Key>) -> Option<Place> {
    place_of(text, key.and_then(toml_edit::Key::span))
}

fn place_of(text: &str, span: Option<std::ops::Range<usize>>) -> Option<Place> {
    span.map(|span| place_at(text, span.start))
}

fn place_at(text: &str, offset: usize) -> Place {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Place::At { line, column }
}
