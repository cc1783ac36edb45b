//! How the files are written: as RFC 4475 §2 prints messages. A line end is CRLF on the wire; lines between
//! `<allOneLine>` and its end are one line, `<repeat count=N>text</repeat>` is written N times, and `<hex>` holds bytes.

/// The message that a file describes.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut one_line: Option<String> = None;
    for line in text.lines() {
        match (line, &mut one_line) {
            ("<allOneLine>", _) => one_line = Some(String::new()),
            ("</allOneLine>", joined) => put_line(&mut wire, &joined.take().expect("an end has a beginning")),
            (line, Some(joined)) => joined.push_str(line),
            (line, None) => put_line(&mut wire, line),
        }
    }
    wire
}

fn put_line(wire: &mut Vec<u8>, line: &str) {
    let mut rest = line;
    while let Some((before, tagged)) = next_tag(rest) {
        wire.extend_from_slice(before.as_bytes());
        rest = match tagged.strip_prefix("<hex>").and_then(|hex| hex.split_once("</hex>")) {
            Some((digits, after)) => {
                wire.extend(hex(digits));
                after
            }
            None => repeat(wire, tagged),
        };
    }
    wire.extend_from_slice(rest.as_bytes());
    wire.extend_from_slice(b"\r\n");
}

fn next_tag(text: &str) -> Option<(&str, &str)> {
    let at = ["<hex>", "<repeat count="].iter().filter_map(|tag| text.find(tag)).min()?;
    Some(text.split_at(at))
}

fn repeat<'a>(wire: &mut Vec<u8>, tagged: &'a str) -> &'a str {
    let (count, rest) = tagged.strip_prefix("<repeat count=").and_then(|rest| rest.split_once('>')).expect("a count");
    let (what, after) = rest.split_once("</repeat>").expect("an end");
    wire.extend_from_slice(what.repeat(count.parse().expect("a number")).as_bytes());
    after
}

fn hex(digits: &str) -> impl Iterator<Item = u8> + '_ {
    digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("two hexadecimal digits")
    })
}

#[test]
fn the_notation_is_read_as_the_rfc_says() {
    assert_eq!(bytes("a<hex>00FF</hex>b\n\n"), b"a\x00\xffb\r\n\r\n");
    assert_eq!(bytes("<allOneLine>\nx<repeat count=3>ab</repeat>\n;y\n</allOneLine>\n"), b"xababab;y\r\n");
}
