//! The few rules of grammar that everything here shares (RFC 3261 §25.1): tokens, quoting, white space, lists.

/// token, RFC 3261 §25.1.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

static TOKEN: [bool; 256] = token_table();

const fn token_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
}

/// What host names are written with; the underscore against the RFC, as many do.
static HOST: [bool; 256] = host_table();

const fn host_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        byte += 1;
    }
    table
}

pub(super) fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Is there a byte below `LIMIT` (at most 128), or a DEL? Eight bytes at a time, as most texts are asked in vain.
pub(super) fn any_below_or_del<const LIMIT: u8>(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    // Borrows of the subtraction set the high bit of a byte that is below; `!word` takes out those that had it already.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES << 7);
    let found = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        below(word, u64::from(LIMIT)) | below(word ^ (ONES * 0x7f), 1)
    };
    match text.last_chunk() {
        // The last eight may overlap with those before.
        Some(last) => text.as_chunks().0.iter().fold(found(last), |all, word| all | found(word)) != 0,
        None => text.iter().any(|&byte| byte < LIMIT || byte == 0x7f),
    }
}

/// Without surrounding white space, line ends included.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_ascii()
}

/// As [`cut`], for a separator that stands within a few bytes, if at all: looking is cheaper than a search by words.
pub(super) fn cut_near(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What stands before and after the first `separator`, an ASCII character.
pub(super) fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(separator, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What stands before the first `separator`, and from it on.
pub(super) fn cut_before(text: &str, separator: u8) -> (&str, &str) {
    let at = memchr::memchr(separator, text.as_bytes()).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// Splits at the first `separator` that is neither in a quoted string nor (commas) in angle brackets.
pub(super) fn split_at_top(text: &str, separator: u8) -> (&str, Option<&str>) {
    match find_at_top(text, separator) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

fn find_at_top(text: &str, separator: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr(separator, bytes)?;
    let (mut quoted, mut escaped, mut angled) = (false, false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if angled {
            angled = byte != b'>';
        } else if byte == separator {
            return Some(at);
        } else if byte == b'"' {
            quoted = true;
        } else if byte == b'<' {
            // Between parameters they mean nothing; a stray one must not hide those behind it.
            angled = separator != b';';
        }
    }
    None
}

/// The members of a list, without the empty ones.
#[derive(Clone, Debug)]
pub(crate) struct Split<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

/// Splits at every `separator` outside quotes and (commas) angle brackets.
pub(crate) fn split(text: &str, separator: u8) -> Split<'_> {
    Split { rest: Some(text), separator }
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        loop {
            let (first, rest) = split_at_top(self.rest?, self.separator);
            self.rest = rest;
            let first = trim(first);
            if !first.is_empty() {
                return Some(first);
            }
        }
    }
}

/// Where the quoted string that begins `text` ends (the byte after its closing quote); `None` if it never does.
pub(super) fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in text.as_bytes().iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Does every quoted string end? What is appended behind one that does not would be swallowed.
pub(super) fn quotes_end(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'"', rest.as_bytes()) {
        let Some(quoted) = rest.get(at..) else { return false };
        let Some(after) = quoted_end(quoted).and_then(|end| quoted.get(end..)) else { return false };
        rest = after;
    }
    true
}

/// `%41` → `A`; what is no escape stays as it is, what is no UTF-8 afterwards becomes U+FFFD.
pub(crate) fn unescape(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((&first, rest)) = bytes.split_first() {
        match rest {
            [high, low, after @ ..] if first == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((hex_digit(*high) << 4) | hex_digit(*low));
                bytes = after;
            }
            _ => {
                out.push(first);
                bytes = rest;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned())
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// A number written with digits only; `None` where there is anything else or it does not fit.
pub(super) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// sent-by or hostport: host (IPv6 in brackets) and port, white space around `:` allowed (RFC 3261 §25.1, COLON).
pub(super) fn host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let text = trim(text);
    let host_end = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        let inside = text.get(1..end - 1)?;
        // RFC 5118 §4.10: three colons come from a fault in RFC 3261's grammar and are let through.
        let allowed =
            |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'%') || byte.is_ascii_alphanumeric();
        if !inside.contains(':') || !inside.bytes().all(allowed) {
            return None;
        }
        end
    } else {
        let named = |byte: u8| HOST.get(usize::from(byte)).copied().unwrap_or(false);
        let end = text.bytes().position(|byte| !named(byte)).unwrap_or(text.len());
        if end == 0 {
            return None;
        }
        end
    };
    let (host, rest) = text.split_at_checked(host_end)?;
    match trim(rest) {
        "" => Some((host, None)),
        rest => Some((host, Some(u16::try_from(number(trim(rest.strip_prefix(':')?))?).ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_in_every_place_is_seen() {
        for length in 1..=25 {
            for (place, byte) in (0..length).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte))) {
                let mut text = vec![0xe3; length];
                text[place] = byte;
                assert_eq!(
                    any_below_or_del::<b' '>(&text),
                    byte < b' ' || byte == 0x7f,
                    "{byte} at {place} of {length}"
                );
                assert_eq!(
                    any_below_or_del::<b'!'>(&text),
                    byte <= b' ' || byte == 0x7f,
                    "{byte} at {place} of {length}"
                );
            }
        }
    }
}
