//! Opaque cursors: the id of the last item of a page, with the list that it belongs to. Ids grow with time, so a page
//! begins below its cursor whatever was inserted above.

use crate::StoreError;

/// The cursor after `id` in the list `kind` (`requests`, `listenings`, `calls`, …).
#[must_use]
pub fn encode_cursor(kind: &str, id: &str) -> String {
    use std::fmt::Write as _;
    format!("{kind}/{id}").bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The id in a cursor of the list `kind`.
///
/// # Errors
/// [`StoreError::Cursor`] if it is not one of ours.
pub fn decode_cursor(kind: &str, cursor: &str) -> Result<String, StoreError> {
    const LONGEST: usize = 1024;
    if cursor.len() > LONGEST || !cursor.len().is_multiple_of(2) {
        return Err(StoreError::Cursor);
    }
    let nibble = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(StoreError::Cursor);
    let mut bytes = Vec::with_capacity(cursor.len() / 2);
    for pair in cursor.as_bytes().chunks_exact(2) {
        if let &[high, low] = pair {
            bytes.push(nibble(high)? << 4 | nibble(low)?);
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| StoreError::Cursor)?;
    let id = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/')).ok_or(StoreError::Cursor)?;
    if id.is_empty() { Err(StoreError::Cursor) } else { Ok(id.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_only_for_its_own_list() {
        let cursor = encode_cursor("requests", "req_01é");
        assert_eq!(decode_cursor("requests", &cursor).unwrap(), "req_01é");
        for bad in ["", "zz", "abc", &cursor[2..], "é", &"aa".repeat(600), &encode_cursor("requests", "")] {
            assert!(matches!(decode_cursor("requests", bad), Err(StoreError::Cursor)), "{bad}");
        }
        assert!(matches!(decode_cursor("calls", &cursor), Err(StoreError::Cursor)));
    }
}
