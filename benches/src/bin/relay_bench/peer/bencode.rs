//! Bencoding, as much of it as rtpengine's ng protocol needs.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    List(Vec<Self>),
    Dictionary(BTreeMap<String, Self>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Value {
    /// Of a dictionary.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self {
            Self::Dictionary(entries) => match entries.get(key)? {
                Self::Text(text) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn encode(&self) -> String {
        match self {
            Self::Number(number) => format!("i{number}e"),
            Self::Text(text) => format!("{}:{text}", text.len()),
            Self::List(items) => format!("l{}e", items.iter().map(Self::encode).collect::<String>()),
            Self::Dictionary(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{}:{key}{}", key.len(), value.encode()));
                format!("d{}e", entries.collect::<String>())
            }
        }
    }

    /// The value at the beginning, and what follows it.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (first, rest) = bytes.split_first()?;
        match first {
            b'i' => {
                let (number, rest) = split(rest, b'e')?;
                Some((Self::Number(number.parse().ok()?), rest))
            }
            b'l' => {
                let (mut items, mut rest) = (Vec::new(), rest);
                while rest.first()? != &b'e' {
                    let (item, after) = Self::decode(rest)?;
                    items.push(item);
                    rest = after;
                }
                Some((Self::List(items), &rest[1..]))
            }
            b'd' => {
                let (mut entries, mut rest) = (BTreeMap::new(), rest);
                while rest.first()? != &b'e' {
                    let (Self::Text(key), after) = Self::decode(rest)? else { return None };
                    let (value, after) = Self::decode(after)?;
                    entries.insert(key, value);
                    rest = after;
                }
                Some((Self::Dictionary(entries), &rest[1..]))
            }
            _ => {
                let (length, rest) = split(bytes, b':')?;
                let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
                Some((Self::Text(String::from_utf8_lossy(text).into_owned()), rest))
            }
        }
    }
}

fn split(bytes: &[u8], at: u8) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == at)?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let list = Value::List(vec!["all".into(), Value::Number(-3)]);
        let value = Value::Dictionary(BTreeMap::from([("b".to_owned(), list), ("a".to_owned(), "x:y".into())]));
        assert_eq!(value.encode(), "d1:a3:x:y1:bl3:alli-3eee");
        assert_eq!(Value::decode(value.encode().as_bytes()), Some((value, &b""[..])));
        assert_eq!(Value::decode(b"5:abc"), None);
    }
}
