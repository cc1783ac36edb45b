//! The one pass that turns bytes into an index: start line, header lines, body (RFC 3261 §7, §25.1).

use bytes::Bytes;
use memchr::{memchr, memchr2, memrchr};

use super::name::{self, NameId, OTHER, id};
use super::uri::Parts;
use super::{CSeq, Limits, Method, NameAddr, ParseError, Via, syntax};

/// Bytes from–to of the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Span {
    fn new(from: usize, to: usize) -> Self {
        // `scan` holds messages to `BYTES_MAX`, so both fit.
        Self { from: from as u32, to: to as u32 }
    }
    pub(super) fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

/// Where one header line stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) name: Span,
    /// Without surrounding white space.
    pub(super) value: Span,
    /// Start of the next line.
    pub(super) end: u32,
    /// Place in [`Index::unfolded`], or [`NONE`].
    pub(super) unfolded: u16,
    pub(super) id: NameId,
}

/// No such line.
pub(super) const NONE: u16 = u16::MAX;
/// More header lines than this cannot be numbered; it bounds [`Limits::headers`] from above.
const HEADERS_MAX: usize = 60_000;
/// Few messages have more header lines.
const ENTRIES_USUAL: usize = 24;
/// It bounds [`Limits::bytes`] from above.
const BYTES_MAX: usize = 1 << 31;

/// The first line of each header that every message must have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Firsts {
    pub(super) via: u16,
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) call_id: u16,
    pub(super) cseq: u16,
}

/// Where everything stands in a message.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) method: Method,
    /// 0 in a request.
    pub(super) status: u16,
    /// Request-URI or reason phrase.
    pub(super) start: Span,
    pub(super) entries: Vec<Entry>,
    pub(super) unfolded: Vec<Box<str>>,
    pub(super) first: Firsts,
    pub(super) cseq_number: u32,
    /// Start of the first header line.
    pub(super) headers_start: u32,
    /// Start of the empty line.
    pub(super) headers_end: u32,
    pub(super) body: Span,
}

impl Index {
    /// Of a message without anything.
    pub(super) fn empty() -> Self {
        Self {
            method: Method::Other(String::new()),
            status: 0,
            start: Span::default(),
            entries: Vec::new(),
            unfolded: Vec::new(),
            first: Firsts { via: NONE, from: NONE, to: NONE, call_id: NONE, cseq: NONE },
            cseq_number: 0,
            headers_start: 0,
            headers_end: 0,
            body: Span::default(),
        }
    }
    /// Text of an entry's value, unfolded.
    pub(super) fn value<'a>(&'a self, raw: &'a [u8], entry: &Entry) -> &'a str {
        match self.unfolded.get(usize::from(entry.unfolded)) {
            Some(text) => text,
            None => std::str::from_utf8(entry.value.of(raw)).unwrap_or_default(),
        }
    }
}

/// How broken a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// As received, to be acted on.
    Strict,
    /// Received and refused, or written by ourselves: lines that are broken are passed over.
    Lenient,
}

/// Why nothing can be said about these bytes at all, or how many of them come before the start line.
pub(super) fn message_start(raw: &[u8]) -> Result<usize, ParseError> {
    let start = raw.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).ok_or(ParseError::KeepAlive)?;
    match raw.get(start) {
        // STUN (RFC 8489 §5) begins with two zero bits; so do the zero bytes that some phones send to keep a binding.
        Some(0..=3) => Err(ParseError::KeepAlive),
        Some(&first) if first.is_ascii_graphic() => Ok(start),
        _ => Err(ParseError::NotSip),
    }
}

/// Indexes `raw`, which begins with the start line.
pub(super) fn scan(raw: &[u8], limits: &Limits, strictness: Strictness) -> Result<Index, ParseError> {
    let bytes_max = limits.bytes.min(BYTES_MAX);
    let raw = match raw.get(..bytes_max) {
        Some(cut) if cut.len() < raw.len() => match strictness {
            Strictness::Strict => return Err(ParseError::TooLarge("message too large")),
            Strictness::Lenient => cut,
        },
        _ => raw,
    };
    let mut scanner = Scanner { raw, limits, strict: strictness == Strictness::Strict, crlf: true };
    let (line_end, next) = scanner.first_line()?;
    let start = start_line(raw.get(..line_end).unwrap_or_default(), scanner.strict)?;
    let mut index = Index {
        method: start.method,
        status: start.status,
        start: start.rest,
        entries: Vec::with_capacity(ENTRIES_USUAL),
        headers_start: Span::new(next, next).from,
        ..Index::empty()
    };
    let body_start = scanner.headers(next, &mut index)?;
    let head = Head { raw, text: std::str::from_utf8(raw.get(..body_start).unwrap_or_default()).ok() };
    if scanner.strict && head.text.is_none() {
        return Err(ParseError::Malformed("header section is not UTF-8"));
    }
    index.body = scanner.body(body_start, &head, &index)?;
    if scanner.strict {
        check_required(&head, &mut index)?;
    } else {
        fill_cseq(raw, &mut index);
    }
    Ok(index)
}

struct StartLine {
    method: Method,
    status: u16,
    rest: Span,
}

/// Request-Line or Status-Line (RFC 3261 §7.1, §7.2). One space between the parts, none around them.
fn start_line(line: &[u8], strict: bool) -> Result<StartLine, ParseError> {
    let is_sip = |word: &[u8]| word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
    if is_sip(line) {
        return status_line(line);
    }
    let trimmed = line.trim_ascii_end();
    let last = memrchr(b' ', trimmed).map_or(0, |at| at + 1);
    let version = trimmed.get(last..).unwrap_or_default();
    if !is_sip(version) {
        return Err(ParseError::NotSip);
    }
    let first = memchr(b' ', line).unwrap_or(0);
    let method = line.get(..first).unwrap_or_default();
    if strict && (method.is_empty() || !method.iter().copied().all(syntax::is_token)) {
        return Err(ParseError::Malformed("method is no token"));
    }
    let method = Method::new(std::str::from_utf8(method).unwrap_or_default());
    let uri = Span::new((first + 1).min(last), last.saturating_sub(1).max((first + 1).min(last)));
    if strict {
        if trimmed.len() != line.len() {
            return Err(ParseError::Malformed("white space at the end of the request line"));
        }
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(ParseError::Version);
        }
        let text = std::str::from_utf8(uri.of(line)).unwrap_or_default();
        if Parts::of(text).is_none() {
            return Err(ParseError::Malformed("Request-URI is broken"));
        }
    }
    Ok(StartLine { method, status: 0, rest: uri })
}

fn status_line(line: &[u8]) -> Result<StartLine, ParseError> {
    let version_end = memchr(b' ', line).unwrap_or(line.len());
    if !line.get(..version_end).unwrap_or_default().eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(ParseError::Version);
    }
    let digits = line.get(version_end + 1..version_end + 4).unwrap_or_default();
    let status =
        std::str::from_utf8(digits).ok().and_then(syntax::number).and_then(|status| u16::try_from(status).ok());
    // The space belongs to the line, whether a phrase follows or not.
    let ends = line.get(version_end + 4) == Some(&b' ');
    match status {
        Some(status @ 100..=699) if ends => Ok(StartLine {
            method: Method::Other(String::new()),
            status,
            rest: Span::new((version_end + 5).min(line.len()), line.len()),
        }),
        _ => Err(ParseError::Malformed("status code is not 100 to 699")),
    }
}

/// Start line and header section, looked through for UTF-8 once and not at every value.
struct Head<'a> {
    raw: &'a [u8],
    /// `None` where it is not UTF-8 throughout.
    text: Option<&'a str>,
}

impl<'a> Head<'a> {
    fn value(&self, index: &'a Index, entry: &Entry) -> &'a str {
        match self.text {
            Some(text) if entry.unfolded == NONE => {
                text.get(entry.value.from as usize..entry.value.to as usize).unwrap_or_default()
            }
            _ => index.value(self.raw, entry),
        }
    }
}

struct Scanner<'a> {
    raw: &'a [u8],
    limits: &'a Limits,
    strict: bool,
    /// The start line ended in CRLF; then a lone LF in the headers is no line end but an attempt to smuggle one.
    crlf: bool,
}

impl Scanner<'_> {
    fn first_line(&mut self) -> Result<(usize, usize), ParseError> {
        self.crlf = false;
        let ends = match self.line_end(0) {
            Ok(ends) => ends,
            // A lone CR behind the request line: SIP, but broken.
            Err(error) => {
                return Err(if memchr::memmem::find(self.raw, b"SIP/").is_some() { error } else { ParseError::NotSip });
            }
        };
        let (end, next) = ends.ok_or(ParseError::NotSip)?;
        self.crlf = next == end + 2;
        Ok((end, next))
    }

    /// End of the line from `from` on, and where the next one starts; `None` if it does not end.
    fn line_end(&self, from: usize) -> Result<Option<(usize, usize)>, ParseError> {
        let rest = self.raw.get(from..).unwrap_or_default();
        let Some(offset) = memchr2(b'\r', b'\n', rest) else { return Ok(None) };
        let end = from + offset;
        match (rest.get(offset), rest.get(offset + 1)) {
            (Some(b'\r'), Some(b'\n')) => Ok(Some((end, end + 2))),
            (Some(b'\n'), _) if self.strict && self.crlf => Err(ParseError::Malformed("lone LF among CRLF lines")),
            (Some(b'\r'), _) if self.strict => Err(ParseError::Malformed("lone CR in the header section")),
            _ => Ok(Some((end, end + 1))),
        }
    }

    /// Fills the entries; returns where the body starts.
    fn headers(&self, start: usize, index: &mut Index) -> Result<usize, ParseError> {
        let mut from = start;
        loop {
            let Some((mut end, mut next)) = self.line_end(from)? else {
                if self.strict {
                    return Err(ParseError::Malformed("header section does not end"));
                }
                index.headers_end = Span::new(from, from).from;
                return Ok(self.raw.len());
            };
            if end == from {
                index.headers_end = Span::new(from, from).from;
                return Ok(next);
            }
            let mut folded = false;
            while self.raw.get(next).copied().is_some_and(syntax::is_white) {
                let Some(ends) = self.line_end(next)? else { break };
                (end, next) = ends;
                folded = true;
            }
            if end - from > self.limits.header_bytes {
                if self.strict {
                    return Err(ParseError::TooLarge("header line too long"));
                }
                // Not to be copied into an answer either.
                from = next;
                continue;
            }
            if index.entries.len() >= self.limits.headers.min(HEADERS_MAX) {
                if self.strict {
                    return Err(ParseError::TooLarge("too many header lines"));
                }
                index.headers_end = Span::new(from, from).from;
                return Ok(self.raw.len());
            }
            self.header(from, end, next, folded, index)?;
            from = next;
        }
    }

    fn header(&self, from: usize, end: usize, next: usize, folded: bool, index: &mut Index) -> Result<(), ParseError> {
        let line = self.raw.get(from..end).unwrap_or_default();
        let name_len = line.iter().position(|&byte| !syntax::is_token(byte)).unwrap_or(line.len());
        let rest = line.get(name_len..).unwrap_or_default();
        // HCOLON = *( SP / HTAB ) ":" SWS
        let white = rest.iter().position(|&byte| !syntax::is_white(byte)).unwrap_or(rest.len());
        if name_len == 0 || rest.get(white) != Some(&b':') {
            return if self.strict {
                Err(ParseError::Malformed("header line without a name and a colon"))
            } else {
                Ok(())
            };
        }
        let name = line.get(..name_len).unwrap_or_default();
        let value = rest.get(white + 1..).unwrap_or_default().trim_ascii_start();
        let value_start = end - value.len();
        let value_end = value_start + value.trim_ascii_end().len();
        let id = name::id_of(name);
        let mut entry = Entry {
            name: Span::new(from, from + name_len),
            value: Span::new(value_start, value_end),
            end: Span::new(next, next).from,
            unfolded: NONE,
            id,
        };
        if folded {
            entry.unfolded = u16::try_from(index.unfolded.len()).unwrap_or(NONE);
            index.unfolded.push(unfold(entry.value.of(self.raw)));
        }
        let place = u16::try_from(index.entries.len()).unwrap_or(NONE);
        let (slot, doubled) = match id {
            id::Via => (&mut index.first.via, None),
            id::From => (&mut index.first.from, Some("two From headers")),
            id::To => (&mut index.first.to, Some("two To headers")),
            id::CallId => (&mut index.first.call_id, Some("two Call-ID headers")),
            id::CSeq => (&mut index.first.cseq, Some("two CSeq headers")),
            _ => (&mut NONE.clone(), None),
        };
        match doubled {
            Some(phrase) if *slot != NONE && self.strict => return Err(ParseError::Malformed(phrase)),
            _ if *slot == NONE => *slot = place,
            _ => {}
        }
        index.entries.push(entry);
        Ok(())
    }

    /// The body by Content-Length, or the rest (RFC 3261 §18.3).
    fn body(&self, start: usize, head: &Head<'_>, index: &Index) -> Result<Span, ParseError> {
        let there = self.raw.len().saturating_sub(start);
        let mut length = None;
        let mut forwards = 0;
        for entry in &index.entries {
            match entry.id {
                id::ContentLength => {
                    let said = syntax::number(head.value(index, entry)).and_then(|said| usize::try_from(said).ok());
                    if said.is_none() && self.strict {
                        return Err(ParseError::Malformed("Content-Length is no number"));
                    }
                    if length.is_some() && said != length && self.strict {
                        return Err(ParseError::Malformed("Content-Lengths differ"));
                    }
                    length = said;
                }
                id::MaxForwards if self.strict => {
                    forwards += 1;
                    if forwards > 1 {
                        return Err(ParseError::Malformed("two Max-Forwards headers"));
                    }
                    if syntax::number(head.value(index, entry)).is_none_or(|hops| hops > 255) {
                        return Err(ParseError::Malformed("Max-Forwards is not 0 to 255"));
                    }
                }
                _ => {}
            }
        }
        match length {
            Some(length) if length > there && self.strict => {
                Err(ParseError::Malformed("Content-Length is larger than the message"))
            }
            Some(length) => Ok(Span::new(start, start + length.min(there))),
            None => Ok(Span::new(start, start + there)),
        }
    }
}

/// Line ends and the white space around them become one space (RFC 3261 §7.3.1).
fn unfold(value: &[u8]) -> Box<str> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for piece in text.split(['\r', '\n']).map(|piece| piece.trim_matches([' ', '\t'])).filter(|piece| !piece.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(piece);
    }
    out.into_boxed_str()
}

/// The five headers without which there is no transaction (RFC 3261 §8.1.1).
fn check_required(head: &Head<'_>, index: &mut Index) -> Result<(), ParseError> {
    let value = |place: u16, missing| {
        index
            .entries
            .get(usize::from(place))
            .map(|entry| head.value(index, entry))
            .ok_or(ParseError::Malformed(missing))
    };
    let via = value(index.first.via, "no Via")?;
    if Via::parse(first_of_list(via)).is_none_or(|via| via.params.has_gaps()) {
        return Err(ParseError::Malformed("Via is broken"));
    }
    if NameAddr::parse(value(index.first.from, "no From")?).is_none() {
        return Err(ParseError::Malformed("From is broken"));
    }
    if NameAddr::parse(value(index.first.to, "no To")?).is_none() {
        return Err(ParseError::Malformed("To is broken"));
    }
    let call_id = value(index.first.call_id, "no Call-ID")?;
    if call_id.is_empty() || call_id.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(ParseError::Malformed("Call-ID is broken"));
    }
    let (number, method) =
        CSeq::split(value(index.first.cseq, "no CSeq")?).ok_or(ParseError::Malformed("CSeq is broken"))?;
    if index.status > 0 {
        index.method = Method::new(method);
    } else if index.method.as_str() != method {
        return Err(match index.method {
            Method::Other(_) => ParseError::UnknownMethod,
            _ => ParseError::Malformed("CSeq names another method"),
        });
    }
    index.cseq_number = number;
    Ok(())
}

fn fill_cseq(raw: &[u8], index: &mut Index) {
    let Some(entry) = index.entries.get(usize::from(index.first.cseq)) else { return };
    let Some(CSeq { number, method }) = CSeq::parse(index.value(raw, entry)) else { return };
    index.cseq_number = number;
    if index.status > 0 {
        index.method = method;
    }
}

/// First value of a header line that may hold several.
pub(super) fn first_of_list(line: &str) -> &str {
    syntax::split(line, b',').next().unwrap_or_default()
}

/// What of `raw` belongs to the message: bytes behind the body do not.
pub(super) fn cut(mut raw: Bytes, index: &Index) -> Bytes {
    raw.truncate(index.body.to as usize);
    raw
}

/// Is the name of this entry, known or not, the wanted one?
pub(super) fn names(raw: &[u8], entry: &Entry, id: NameId, other: &str) -> bool {
    entry.id == id && (id != OTHER || name::same_other(entry.name.of(raw), other.as_bytes()))
}
