//! Edits by splice: what is not named stays byte-identical.

use bytes::Bytes;

use super::{HeaderName, Message};

/// A set of splices over one message, applied by [`Edit::finish`]. Content-Length is kept right by itself.
#[derive(Debug)]
pub struct Edit<'a> {
    _message: &'a Message,
}

impl Edit<'_> {
    /// Replaces the Request-URI.
    #[must_use]
    pub fn request_uri(self, _uri: &str) -> Self {
        todo!()
    }
    /// Replaces the first line of that name and removes the others; adds it where there was none.
    #[must_use]
    pub fn set(self, _name: HeaderName, _value: &str) -> Self {
        todo!()
    }
    /// Adds a line before the first one of that name (or at the end of the headers).
    #[must_use]
    pub fn prepend(self, _name: HeaderName, _value: &str) -> Self {
        todo!()
    }
    /// Removes every line of that name.
    #[must_use]
    pub fn remove(self, _name: HeaderName) -> Self {
        todo!()
    }
    /// Replaces the body.
    #[must_use]
    pub fn body(self, _content_type: &str, _body: Bytes) -> Self {
        todo!()
    }
    /// The new message.
    #[must_use]
    pub fn finish(self) -> Message {
        todo!()
    }
}
