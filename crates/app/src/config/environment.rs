//! Environment overrides: `MEDLYTT_SIP__LISTEN=udp:0.0.0.0:5060` is `listen` in `[sip]`.

use super::listing::Listing;
use super::report::Place;
use super::tree::{Entry, Node, Value, parse_value};

const PREFIX: &str = "MEDLYTT_";
const SEPARATOR: &str = "__";
/// Keys outside every section. Other variables without a separator are somebody else's.
const TOP_LEVEL: [&str; 1] = ["drain_timeout"];

/// Puts every override into the tree.
pub(super) fn apply(tree: &mut Node, variables: impl Iterator<Item = (String, String)>, listing: &Listing) {
    let mut variables: Vec<_> = variables.collect();
    variables.sort();
    for (name, value) in variables {
        if let Some(path) = path_of(&name) {
            set(tree, &path, &name, value, listing);
        }
    }
}

/// `["sip", "listen"]`, if the variable is ours.
fn path_of(name: &str) -> Option<Vec<String>> {
    let lower = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let ours = lower.contains(SEPARATOR) || TOP_LEVEL.contains(&lower.as_str());
    ours.then(|| lower.split(SEPARATOR).map(str::to_owned).collect())
}

fn set(tree: &mut Node, path: &[String], name: &str, raw: String, listing: &Listing) {
    let place = Place::Variable(name.to_owned());
    let value = match parse_value(&raw, &place) {
        // `+4721000000` is a number to TOML and a phone number here: the reader of the key decides by the text.
        None | Some(Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)) => Value::String(raw),
        Some(value) => value,
    };
    let Some((last, sections)) = path.split_last() else { return };
    let mut node = tree;
    for key in sections {
        node = match child(node, key, &place) {
            Ok(child) => child,
            Err(message) => return listing.problem(&place, &path.join("."), message),
        };
    }
    match &mut node.value {
        Value::Table(entries) => {
            entries.retain(|entry| entry.key != *last);
            entries.push(Entry { key: last.clone(), place: place.clone(), node: Node { value, place } });
        }
        other => listing.problem(&place, &path.join("."), no_section(&sections.join("."), other)),
    }
}

/// The table of a name, made if it is not there.
fn child<'n>(node: &'n mut Node, key: &str, place: &Place) -> Result<&'n mut Node, String> {
    let entries = match &mut node.value {
        Value::Table(entries) => entries,
        other => return Err(no_section(key, other)),
    };
    let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
        let empty = Node { value: Value::Table(Vec::new()), place: place.clone() };
        entries.push(Entry { key: key.to_owned(), place: place.clone(), node: empty });
        entries.len() - 1
    });
    Ok(&mut entries[at].node)
}

fn no_section(what: &str, value: &Value) -> String {
    format!("a variable can set keys of sections only, and {what} is {}", value.kind())
}
