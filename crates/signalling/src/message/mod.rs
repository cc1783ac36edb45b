//! A SIP message is one `Bytes` and an index (RFC 3261 §7); untouched headers stay byte-identical.

pub mod build;
pub mod edit;
pub mod header;
pub mod method;
pub mod uri;

use bytes::Bytes;

pub use build::{RequestBuilder, ResponseBuilder, reason_phrase};
pub use edit::Edit;
pub use header::{CSeq, HeaderName, NameAddr, Params, ReplacesHeader, Via};
pub use method::Method;
pub use uri::Uri;

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

/// Why bytes are no SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// CRLF keep-alive (RFC 5626 §3.5.1), STUN or empty: silently ignored.
    KeepAlive,
    /// Not SIP at all: dropped, counted.
    NotSip,
    /// A limit was passed: 513 where it can be answered.
    TooLarge(&'static str),
    /// SIP, but broken: 400 with this phrase where Via, From, To, Call-ID and CSeq allow an answer.
    Malformed(&'static str),
    /// SIP/3.0 and the like: 505.
    Version,
}

/// A parsed request or response. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Message {
    raw: Bytes,
    // the helper that builds this layer adds: start line spans, header index, body range
}

impl Message {
    /// Parses one datagram (the body is what Content-Length says; bytes after it are ignored, fewer are an error;
    /// without Content-Length the rest is the body, RFC 3261 §18.3).
    ///
    /// # Errors
    /// [`ParseError`], by whose name it is dropped or answered.
    pub fn parse(raw: Bytes, limits: &Limits) -> Result<Self, ParseError> {
        let _ = (limits, raw);
        todo!()
    }
    /// The whole message as it stands on the wire.
    pub fn bytes(&self) -> &Bytes {
        &self.raw
    }
    /// True for a request.
    pub fn is_request(&self) -> bool {
        todo!()
    }
    /// Method: of the request line, or of a response's CSeq.
    pub fn method(&self) -> Method {
        todo!()
    }
    /// Request-URI text as it came; empty in a response.
    pub fn request_uri(&self) -> &str {
        todo!()
    }
    /// Status code of a response, 0 in a request.
    pub fn status(&self) -> u16 {
        todo!()
    }
    /// First raw value of a header (unfolded only if it was folded), without surrounding white space.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        let _ = name;
        todo!()
    }
    /// Every header line of that name, compact form included, in order.
    pub fn headers<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a str> + 'a {
        let _ = name;
        std::iter::empty()
    }
    /// Every value of that name: lines split at top-level commas (not inside quotes or <>).
    pub fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a str> + 'a {
        let _ = name;
        std::iter::empty()
    }
    /// Every header line in order: name as written, value.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        std::iter::empty()
    }
    /// From.
    pub fn from(&self) -> Result<NameAddr<'_>, ParseError> {
        todo!()
    }
    /// To.
    pub fn to(&self) -> Result<NameAddr<'_>, ParseError> {
        todo!()
    }
    /// From tag, or empty.
    pub fn from_tag(&self) -> &str {
        todo!()
    }
    /// To tag, or empty.
    pub fn to_tag(&self) -> &str {
        todo!()
    }
    /// Call-ID; checked at parse to be there.
    pub fn call_id(&self) -> &str {
        todo!()
    }
    /// CSeq; checked at parse to be there and to match the method.
    pub fn cseq(&self) -> CSeq {
        todo!()
    }
    /// Topmost Via; checked at parse to be there.
    pub fn top_via(&self) -> Via<'_> {
        todo!()
    }
    /// First Contact's address; `*` and none give `None`.
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        todo!()
    }
    /// Body bytes, untouched.
    pub fn body(&self) -> Bytes {
        todo!()
    }
    /// Content-Type without parameters, lower case; empty if none.
    pub fn content_type(&self) -> String {
        todo!()
    }
    /// Starts a set of splices; untouched bytes stay as they are.
    pub fn edit(&self) -> Edit<'_> {
        todo!()
    }
}
