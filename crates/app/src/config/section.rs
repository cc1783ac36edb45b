//! One table of the configuration while it is read: typed access that lists what is wrong and goes on.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::listing::Listing;
use super::report::Place;
use super::tree::{Entry, Node, Value};
use super::values::parse_duration;

/// A table under its path.
#[derive(Debug)]
pub(super) struct Section<'a> {
    path: String,
    /// Path without the names of list items, for the list of known keys.
    pattern: String,
    pub(super) place: Place,
    entries: &'a [Entry],
    asked: RefCell<Vec<&'static str>>,
    listing: &'a Listing,
}

/// A value that was found, and what a message about it needs.
#[derive(Clone, Debug)]
pub(super) struct Given<'a, T> {
    pub(super) value: T,
    key: String,
    place: Place,
    listing: &'a Listing,
}

impl<'a, T> Given<'a, T> {
    /// Lists a problem with this value.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.listing.problem(&self.place, &self.key, message);
    }

    /// Turns the value into something else; an error is listed.
    pub(super) fn parse<U>(&self, parse: impl FnOnce(&T) -> Result<U, String>) -> Option<U> {
        parse(&self.value).map_err(|message| self.problem(message)).ok()
    }

    fn with<U>(&self, value: U) -> Given<'a, U> {
        Given { value, key: self.key.clone(), place: self.place.clone(), listing: self.listing }
    }
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(tree: &'a Node, listing: &'a Listing) -> Self {
        let entries: &[Entry] = if let Value::Table(entries) = &tree.value { entries } else { &[] };
        Self {
            path: String::new(),
            pattern: String::new(),
            place: tree.place.clone(),
            entries,
            asked: RefCell::default(),
            listing,
        }
    }

    /// `[key]`, empty where it is not there.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let (entries, place) = match self.find(key) {
            Some(given) => (self.table(&given), given.place),
            None => (&[][..], self.place.clone()),
        };
        self.below(join(&self.path, key), join(&self.pattern, key), entries, place)
    }

    /// `[[key]]`: its tables, named by their `name_key` in messages.
    pub(super) fn tables(&self, key: &'static str, name_key: &str) -> Vec<Section<'a>> {
        let Some(given) = self.find(key) else { return Vec::new() };
        let Value::Array(items) = &given.value.value else {
            given.problem(format!("write [[{key}]], not {}", given.value.value.kind()));
            return Vec::new();
        };
        let sections = items.iter().enumerate().map(|(index, item)| {
            let name = name_of(item, name_key).unwrap_or_else(|| format!("#{}", index + 1));
            let path = format!("{}[{name}]", join(&self.path, key));
            let entries =
                self.table(&Given { value: item, key: path.clone(), place: item.place.clone(), listing: self.listing });
            self.below(path, join(&self.pattern, key), entries, item.place.clone())
        });
        sections.collect()
    }

    /// A string.
    pub(super) fn string(&self, key: &'static str) -> Option<Given<'a, String>> {
        let given = self.find(key)?;
        let Value::String(text) = &given.value.value else { return wrong(&given, "a string") };
        Some(given.with(text.clone()))
    }

    /// A string that must be there and must not be empty.
    pub(super) fn required(&self, key: &'static str) -> Option<Given<'a, String>> {
        if !self.has(key) {
            self.known(key);
            self.listing.problem(&self.place, &join(&self.path, key), "is missing");
            return None;
        }
        self.filled(key)
    }

    /// A string that must not be empty if it is there.
    pub(super) fn filled(&self, key: &'static str) -> Option<Given<'a, String>> {
        let given = self.string(key)?;
        if given.value.trim().is_empty() {
            given.problem("must not be empty");
            return None;
        }
        Some(given)
    }

    /// An array of strings, each with its place. From a variable also `a,b,c`.
    pub(super) fn strings(&self, key: &'static str) -> Option<Vec<Given<'a, String>>> {
        let given = self.find(key)?;
        match (&given.value.value, &given.place) {
            (Value::Array(items), _) => {
                Some(items.iter().filter_map(|item| self.string_in_array(&given, item)).collect())
            }
            (Value::String(text), Place::Variable(_)) => Some(
                text.split(',')
                    .map(|part| given.with(part.trim().to_owned()))
                    .filter(|part| !part.value.is_empty())
                    .collect(),
            ),
            _ => wrong(&given, "an array of strings"),
        }
    }

    /// An integer within a range.
    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let given = self.find(key)?;
        let integer = match (&given.value.value, &given.place) {
            (Value::Integer(integer), _) => Some(*integer),
            (Value::String(text), Place::Variable(_)) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(integer) = integer else { return wrong(&given, "an integer") };
        if range.contains(&integer) {
            return Some(integer);
        }
        given.problem(format!("must be {} to {}, not {integer}", range.start(), range.end()));
        None
    }

    /// A count within a range.
    pub(super) fn count(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<usize> {
        self.integer(key, range).and_then(|count| usize::try_from(count).ok())
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<Given<'a, bool>> {
        let given = self.find(key)?;
        let boolean = match (&given.value.value, &given.place) {
            (Value::Boolean(boolean), _) => Some(*boolean),
            (Value::String(text), Place::Variable(_)) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(boolean) = boolean else { return wrong(&given, "true or false") };
        Some(given.with(boolean))
    }

    /// Seconds as an integer, or a string such as `"30s"`, `"500ms"`, `"5m"`, `"12h"`, `"31d"`.
    pub(super) fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let given = self.find(key)?;
        let duration = match &given.value.value {
            Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Value::String(text) => parse_duration(text),
            _ => None,
        };
        let Some(duration) = duration else {
            return wrong(&given, "a duration: seconds, or a string such as \"30s\", \"5m\" or \"12h\"");
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        given.problem(format!("must be {:?} to {:?}", range.start(), range.end()));
        None
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let given = self.string(key)?;
        let chosen = choices.iter().find(|(word, _)| *word == given.value).map(|(_, choice)| *choice);
        if chosen.is_none() {
            given.problem(format!("must be {}, not \"{}\"", words(choices.iter().map(|(word, _)| *word)), given.value));
        }
        chosen
    }

    /// A key of a part that is planned: an error of its own.
    pub(super) fn not_in_this_version(&self, key: &'static str) {
        if let Some(entry) = self.entry(key) {
            self.asked.borrow_mut().push(key);
            self.listing.problem(&entry.place, &join(&self.path, key), "not in this version");
        }
    }

    /// Whether a key is there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Lists a problem with a key of this table, there or not.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        let place = self.entry(key).map_or(&self.place, |entry| &entry.node.place);
        self.listing.problem(place, &join(&self.path, key), message);
    }

    /// Lists a warning about this table.
    pub(super) fn warning(&self, message: impl Into<String>) {
        self.listing.warning(&self.place, &self.path, message);
    }

    /// Lists every key that nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for entry in self.entries.iter().filter(|entry| !asked.iter().any(|key| *key == entry.key)) {
            let near = nearest(&entry.key, &asked).map(|key| format!(", did you mean `{key}`?")).unwrap_or_default();
            self.listing.problem(&entry.place, &join(&self.path, &entry.key), format!("unknown key{near}"));
        }
    }

    fn below(&self, path: String, pattern: String, entries: &'a [Entry], place: Place) -> Section<'a> {
        Section { path, pattern, place, entries, asked: RefCell::default(), listing: self.listing }
    }

    fn table(&self, given: &Given<'a, &'a Node>) -> &'a [Entry] {
        match &given.value.value {
            Value::Table(entries) => entries,
            other => {
                given.problem(format!("must be a table, not {}", other.kind()));
                &[]
            }
        }
    }

    fn string_in_array(&self, given: &Given<'a, &'a Node>, item: &Node) -> Option<Given<'a, String>> {
        let part = Given { value: (), key: given.key.clone(), place: item.place.clone(), listing: self.listing };
        if let Value::String(text) = &item.value {
            return Some(part.with(text.clone()));
        }
        part.problem(format!("must hold strings only, not {}", item.value.kind()));
        None
    }

    fn find(&self, key: &'static str) -> Option<Given<'a, &'a Node>> {
        self.known(key);
        let entry = self.entry(key)?;
        Some(Given {
            value: &entry.node,
            key: join(&self.path, key),
            place: entry.node.place.clone(),
            listing: self.listing,
        })
    }

    fn known(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
        self.listing.known(join(&self.pattern, key));
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

fn wrong<T>(given: &Given<'_, &Node>, wanted: &str) -> Option<T> {
    given.problem(format!("must be {wanted}, not {}", described(&given.value.value)));
    None
}

fn described(value: &Value) -> String {
    match value {
        // What stands under a password's key is not to be repeated in a log.
        Value::String(_) | Value::Array(_) | Value::Table(_) => value.kind().to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Datetime(text) => text.clone(),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn name_of(item: &Node, key: &str) -> Option<String> {
    let Value::Table(entries) = &item.value else { return None };
    match &entries.iter().find(|entry| entry.key == key)?.node.value {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        _ => None,
    }
}

/// `"a", "b" or "c"`.
fn words<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.join(""),
    }
}

/// The known key that was probably meant.
fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    let (distance, key) = known.iter().map(|key| (distance(wrong, key), *key)).min()?;
    (distance <= 2.max(wrong.len() / 4)).then_some(key)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            next.push((row[j] + usize::from(from != *to)).min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
