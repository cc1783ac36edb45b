//! New messages. CR, LF and NUL in values become spaces, so nothing can be injected.

use bytes::Bytes;

use super::{HeaderName, Message, Method};

/// The standard reason phrase of a status.
pub fn reason_phrase(status: u16) -> &'static str {
    let _ = status;
    todo!()
}

/// A new request; headers stand in the order in which they are added, Content-Length last, by itself.
#[derive(Debug)]
pub struct RequestBuilder {}

impl RequestBuilder {
    /// Starts with the request line.
    pub fn new(_method: &Method, _uri: &str) -> Self {
        todo!()
    }
    /// Adds a header line.
    #[must_use]
    pub fn header(self, _name: HeaderName, _value: &str) -> Self {
        todo!()
    }
    /// Adds a header line whose name is not known here.
    #[must_use]
    pub fn raw_header(self, _name: &str, _value: &str) -> Self {
        todo!()
    }
    /// Body with its Content-Type.
    #[must_use]
    pub fn body(self, _content_type: &str, _body: impl Into<Bytes>) -> Self {
        todo!()
    }
    /// Builds and indexes it.
    #[must_use]
    pub fn finish(self) -> Message {
        todo!()
    }
}

/// A response to a request (RFC 3261 §8.2.6): Via, From, To, Call-ID, CSeq copied byte for byte, Record-Route for dialog-forming ones.
#[derive(Debug)]
pub struct ResponseBuilder {}

impl ResponseBuilder {
    /// Starts a response. `to_tag` is added to To where it has none and the status is above 100.
    pub fn new(_request: &Message, _status: u16, _reason: Option<&str>, _to_tag: Option<&str>) -> Self {
        todo!()
    }
    /// Adds a header line.
    #[must_use]
    pub fn header(self, _name: HeaderName, _value: &str) -> Self {
        todo!()
    }
    /// Adds a header line whose name is not known here.
    #[must_use]
    pub fn raw_header(self, _name: &str, _value: &str) -> Self {
        todo!()
    }
    /// Body with its Content-Type.
    #[must_use]
    pub fn body(self, _content_type: &str, _body: impl Into<Bytes>) -> Self {
        todo!()
    }
    /// Builds and indexes it.
    #[must_use]
    pub fn finish(self) -> Message {
        todo!()
    }
}
