//! A SIP message is one `Bytes` and an index (RFC 3261 §7); untouched headers stay byte-identical.

pub mod build;
#[cfg(feature = "rsip")]
pub mod compat;
pub mod edit;
pub mod header;
pub mod method;
mod name;
mod scan;
mod source;
pub(crate) mod syntax;
pub mod uri;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

pub use build::{RequestBuilder, ResponseBuilder, reason_phrase};
#[cfg(feature = "rsip")]
pub use compat::ConversionError;
pub use edit::Edit;
pub use header::{CSeq, HeaderName, NameAddr, Params, ReplacesHeader, Via};
pub use method::Method;
pub use uri::Uri;

pub(crate) use header::unquote;

use scan::{Entry, Index, Strictness};

/// What one message may have at most; above it is refused ([`ParseError::TooLarge`]).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes in all.
    pub bytes: usize,
    /// Header lines.
    pub headers: usize,
    /// Bytes of one header line, unfolded.
    pub header_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 65_535, headers: 256, header_bytes: 8_192 }
    }
}

impl Limits {
    /// For what we wrote ourselves out of parts that were limited already.
    const NONE: Self = Self { bytes: usize::MAX, headers: usize::MAX, header_bytes: usize::MAX };
}

/// Why bytes are no SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// CRLF keep-alive (RFC 5626 §3.5.1), STUN or empty: silently ignored.
    KeepAlive,
    /// Not SIP at all: dropped, counted.
    NotSip,
    /// A limit was passed: 513 where it can be answered.
    TooLarge(&'static str),
    /// SIP, but broken: 400 with this phrase where its Via allows an answer.
    Malformed(&'static str),
    /// A method that we do not know, and CSeq names yet another: 501 rather than 400 (RFC 4475 §3.1.2.18).
    UnknownMethod,
    /// SIP/3.0 and the like: 505.
    Version,
}

/// A parsed request or response. Cheap to clone.
#[derive(Clone)]
pub struct Message {
    raw: Bytes,
    index: Indexed,
}

/// Its start line and Call-ID alone: in headers and body stand what proves who one is, and keys.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.raw.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        f.debug_struct("Message").field("line", &line).field("call_id", &self.call_id()).finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Indexed {
    Parsed(Arc<Index>),
    /// Made when it is first looked at, as we wrote the message ourselves: much of that is only sent.
    Own(Arc<OnceLock<Index>>),
}

impl Message {
    /// Parses one datagram (the body is what Content-Length says; bytes after it are ignored, fewer are an error;
    /// without Content-Length the rest is the body, RFC 3261 §18.3).
    ///
    /// # Errors
    /// [`ParseError`], by whose name it is dropped or answered.
    pub fn parse(raw: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let raw = without_leading_line_ends(raw)?;
        let index = scan::scan(&raw, limits, Strictness::Strict)?;
        Ok(Self { raw: scan::cut(raw, &index), index: Indexed::Parsed(Arc::new(index)) })
    }
    /// What can be read of a request that [`Message::parse`] refused (Malformed, TooLarge, Version): enough for a
    /// [`ResponseBuilder`] to answer it 400, 501, 505 or 513. `None` where it must be dropped instead: a response, an ACK,
    /// or one without a Via to answer by. What else it lacks, its answer lacks too (RFC 4475 §3.3.1).
    pub fn parse_lenient(raw: &Bytes, limits: &Limits) -> Option<Self> {
        let raw = without_leading_line_ends(raw.clone()).ok()?;
        let index = scan::scan(&raw, limits, Strictness::Lenient).ok()?;
        let message = Self { raw: scan::cut(raw, &index), index: Indexed::Parsed(Arc::new(index)) };
        let answerable = message.is_request()
            && message.index().method != Method::Ack
            && Via::parse(message.top_via_text()).is_some();
        answerable.then_some(message)
    }
    /// Ours, or an edit of a message that was parsed: nothing to refuse.
    fn own(raw: Bytes) -> Self {
        Self { raw, index: Indexed::Own(Arc::new(OnceLock::new())) }
    }
    fn index(&self) -> &Index {
        match &self.index {
            Indexed::Parsed(index) => index,
            // Only a start line that is none is refused, and our builders write one; an empty message says nothing.
            Indexed::Own(index) => index.get_or_init(|| {
                scan::scan(&self.raw, &Limits::NONE, Strictness::Lenient).unwrap_or_else(|_| Index::empty())
            }),
        }
    }
    /// The whole message as it stands on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.raw
    }
    /// True for a request.
    pub fn is_request(&self) -> bool {
        self.index().status == 0
    }
    /// Method: of the request line, or of a response's CSeq.
    pub fn method(&self) -> Method {
        self.index().method.clone()
    }
    /// Request-URI text as it came; empty in a response.
    pub fn request_uri(&self) -> &str {
        if self.is_request() { self.start_text() } else { "" }
    }
    /// Status code of a response, 0 in a request.
    pub fn status(&self) -> u16 {
        self.index().status
    }
    /// Reason phrase of a response as it came; empty in a request.
    pub fn reason(&self) -> &str {
        if self.is_request() { "" } else { self.start_text() }
    }
    /// First raw value of a header (unfolded only if it was folded), without surrounding white space.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        let (id, other) = (name.id(), name.as_str());
        let entry = self.index().entries.iter().find(|entry| scan::names(&self.raw, entry, id, other))?;
        Some(self.index().value(&self.raw, entry))
    }
    /// Every header line of that name, compact form included, in order.
    pub fn headers<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a str> + 'a {
        let (id, other) = (name.id(), name.as_str());
        let named = move |entry: &&Entry| scan::names(&self.raw, entry, id, other);
        self.index().entries.iter().filter(named).map(|entry| self.index().value(&self.raw, entry))
    }
    /// Every value of that name: lines split at top-level commas (not inside quotes or <>).
    pub fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a str> + 'a {
        self.headers(name).flat_map(|line| syntax::split(line, b','))
    }
    /// Every header line in order: name as written, value.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.index().entries.iter().map(|entry| {
            (std::str::from_utf8(entry.name.of(&self.raw)).unwrap_or_default(), self.index().value(&self.raw, entry))
        })
    }
    /// From.
    pub fn from(&self) -> Result<NameAddr<'_>, ParseError> {
        NameAddr::parse(self.value_at(self.index().first.from)).ok_or(ParseError::Malformed("From is broken"))
    }
    /// To.
    pub fn to(&self) -> Result<NameAddr<'_>, ParseError> {
        NameAddr::parse(self.value_at(self.index().first.to)).ok_or(ParseError::Malformed("To is broken"))
    }
    /// From tag, or empty.
    pub fn from_tag(&self) -> &str {
        self.from().ok().and_then(|from| from.tag()).unwrap_or_default()
    }
    /// To tag, or empty.
    pub fn to_tag(&self) -> &str {
        self.to().ok().and_then(|to| to.tag()).unwrap_or_default()
    }
    /// Call-ID; checked at parse to be there.
    pub fn call_id(&self) -> &str {
        self.value_at(self.index().first.call_id)
    }
    /// CSeq; checked at parse to be there and to match the method.
    pub fn cseq(&self) -> CSeq {
        CSeq { number: self.index().cseq_number, method: self.method() }
    }
    /// Topmost Via; checked at parse to be there.
    pub fn top_via(&self) -> Via<'_> {
        Via::parse(self.top_via_text()).unwrap_or(Via {
            transport: "",
            host: "",
            port: None,
            params: Params::default(),
        })
    }
    /// First Contact's address; `*` and none give `None`.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        NameAddr::parse(scan::first_of_list(self.header(&HeaderName::Contact)?))
    }
    /// Max-Forwards; checked at parse to be 0 to 255 where it is there.
    pub fn max_forwards(&self) -> Option<u8> {
        self.header(&HeaderName::MaxForwards)?.parse().ok()
    }
    /// Body bytes, untouched.
    pub fn body(&self) -> Bytes {
        let body = self.index().body;
        self.raw.slice(body.from as usize..body.to as usize)
    }
    /// Content-Type without parameters, lower case; empty if none.
    pub fn content_type(&self) -> String {
        let value = self.header(&HeaderName::ContentType).unwrap_or_default();
        let essence = value.split(';').next().unwrap_or_default();
        essence.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
    }
    /// Starts a set of splices; untouched bytes stay as they are.
    pub fn edit(&self) -> Edit<'_> {
        Edit::new(self)
    }

    fn start_text(&self) -> &str {
        std::str::from_utf8(self.index().start.of(&self.raw)).unwrap_or_default()
    }
    fn value_at(&self, place: u16) -> &str {
        self.index()
            .entries
            .get(usize::from(place))
            .map(|entry| self.index().value(&self.raw, entry))
            .unwrap_or_default()
    }
    fn top_via_text(&self) -> &str {
        scan::first_of_list(self.value_at(self.index().first.via))
    }
    /// A header line as it came, folding included, without its line end.
    fn line_bytes(&self, entry: &Entry) -> &[u8] {
        self.raw.get(entry.name.from as usize..entry.value.to as usize).unwrap_or_default()
    }
}

fn without_leading_line_ends(raw: Bytes) -> Result<Bytes, ParseError> {
    Ok(match scan::message_start(&raw)? {
        0 => raw,
        start => raw.slice(start..),
    })
}

#[cfg(test)]
mod tests;
