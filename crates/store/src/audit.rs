//! The audit trail's chain: each entry carries the hash of the one before and its own, so that whoever changes, removes
//! or swaps one has to write everything after it anew, and its head is then another than the one that was kept elsewhere.

use engine::persist::AuditEntry;
use rusqlite::types::ValueRef;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::StoreError;
use crate::cursor::decode_cursor;

/// SHA-256.
pub(crate) type Hash = [u8; 32];
/// What the first entry has for the one before, and the head of an empty trail.
pub(crate) const NONE_BEFORE: Hash = [0; 32];
/// Tells these hashes from all others; another encoding gets another name.
const DOMAIN: &[u8] = b"medlytt audit 1\0";

/// One entry of the trail with its place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRow {
    /// 1 for the first, then without a gap.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// Hash of the entry before, in hex; zeros for the first.
    pub prev: String,
    /// Hash of this one, in hex.
    pub hash: String,
}

/// What `verify_audit` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Entries that are whole, from the first on.
    pub entries: u64,
    /// Hash of the last of them, in hex: keep it where nobody who can write the store can.
    pub head: String,
    /// The first thing that is not as it was written.
    pub broken: Option<AuditBreak>,
}

/// Where the trail is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditBreak {
    /// The first entry that is not as it was written, or not there; 0 where it is not an entry but the file around them.
    pub seq: u64,
    /// In words.
    pub why: String,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) seq: u64,
    pub(crate) hash: Hash,
}

impl End {
    pub(crate) const EMPTY: Self = Self { seq: 0, hash: NONE_BEFORE };

    pub(crate) fn report(self, broken: Option<AuditBreak>) -> AuditReport {
        AuditReport { entries: self.seq, head: hex(&self.hash), broken }
    }
}

/// Hash of one row: everything that is stored of it, `hash` itself left out, each value with its type and length so that no
/// two rows have the same bytes. `values` as they stand in the row: `seq`, `at`, `actor`, `action`, `target`, `agent`,
/// `details`, `prev`.
pub(crate) fn hash(values: &[ValueRef<'_>; 8]) -> Hash {
    let mut sha = Sha256::new();
    sha.update(DOMAIN);
    for value in values {
        let integer;
        let (tag, bytes): (u8, &[u8]) = match value {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(number) => {
                integer = number.to_be_bytes();
                (1, &integer)
            }
            ValueRef::Real(number) => {
                integer = number.to_bits().cast_signed().to_be_bytes();
                (2, &integer)
            }
            ValueRef::Text(bytes) => (3, bytes),
            ValueRef::Blob(bytes) => (4, bytes),
        };
        sha.update([tag]);
        sha.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        sha.update(bytes);
    }
    sha.finalize().into()
}

/// An entry as its row will be, with its hash.
pub(crate) fn sealed(seq: i64, at: i64, entry: &AuditEntry, details: &str, prev: &Hash) -> Hash {
    hash(&[
        ValueRef::Integer(seq),
        ValueRef::Integer(at),
        ValueRef::Text(entry.actor.as_bytes()),
        ValueRef::Text(entry.action.as_bytes()),
        entry.target.as_deref().map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())),
        entry.agent.as_deref().map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())),
        ValueRef::Text(details.as_bytes()),
        ValueRef::Blob(prev),
    ])
}

/// The cursor's form of a number: as text it sorts as the number does.
pub(crate) fn cursor_id(seq: u64) -> String {
    format!("{seq:020}")
}

/// The number in a cursor of the trail.
pub(crate) fn cursor_seq(cursor: &str) -> Result<u64, StoreError> {
    decode_cursor("audit", cursor)?.parse().map_err(|_| StoreError::Cursor)
}

/// The bytes of a hash that somebody typed.
pub(crate) fn unhex(text: &str) -> Option<Hash> {
    let mut hash = NONE_BEFORE;
    if text.len() != 2 * hash.len() || !text.is_ascii() {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(hash)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            actor: "paal".to_owned(),
            action: "request.created".to_owned(),
            target: Some("req_1".to_owned()),
            agent: Some("anna".to_owned()),
            details: serde_json::Map::new(),
        }
    }

    #[test]
    fn the_encoding_stays_as_it_is() {
        let hash = sealed(1, 1_767_323_045_000_000_000, &entry(), "{}", &NONE_BEFORE);
        // Computed by another program from the description of `hash`.
        assert_eq!(hex(&hash), "e6e5b380e587fcd34df455844652864eec0d04af60f931a20c85d0838a03ea30");
    }

    #[test]
    fn what_moves_from_one_column_to_the_next_is_another_row() {
        let whole = sealed(1, 2, &entry(), "{}", &NONE_BEFORE);
        let mut moved = entry();
        (moved.actor, moved.action) = ("paalr".to_owned(), "equest.created".to_owned());
        assert_ne!(sealed(1, 2, &moved, "{}", &NONE_BEFORE), whole);
        let mut swapped = entry();
        std::mem::swap(&mut swapped.target, &mut swapped.agent);
        assert_ne!(sealed(1, 2, &swapped, "{}", &NONE_BEFORE), whole);
        let (mut none, mut empty) = (entry(), entry());
        none.target = None;
        empty.target = Some(String::new());
        assert_ne!(sealed(1, 2, &none, "{}", &NONE_BEFORE), sealed(1, 2, &empty, "{}", &NONE_BEFORE));
    }
}
