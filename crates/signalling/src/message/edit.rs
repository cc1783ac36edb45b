//! Edits by splice: what is not named stays byte-identical.

use bytes::Bytes;

use super::build::{put_clean, put_uri};
use super::{HeaderName, Message};

/// A set of splices over one message, applied by [`Edit::finish`]. Content-Length is kept right by itself.
#[derive(Debug)]
pub struct Edit<'a> {
    message: &'a Message,
    uri: Option<String>,
    lines: Vec<Line>,
    body: Option<Bytes>,
}

/// A header line of the result.
#[derive(Debug)]
enum Line {
    /// As it stands in the message, by its place there.
    Kept(usize),
    New(HeaderName, String),
}

impl<'a> Edit<'a> {
    pub(super) fn new(message: &'a Message) -> Self {
        Self { message, uri: None, lines: (0..message.index().entries.len()).map(Line::Kept).collect(), body: None }
    }
}

impl Edit<'_> {
    /// Replaces the Request-URI.
    #[must_use]
    pub fn request_uri(mut self, uri: &str) -> Self {
        self.uri = Some(uri.to_owned());
        self
    }
    /// Replaces the first line of that name and removes the others; adds it where there was none.
    #[must_use]
    pub fn set(mut self, name: HeaderName, value: &str) -> Self {
        let first = self.first(&name);
        self = self.remove(name.clone());
        let new = Line::New(name, value.to_owned());
        match first {
            // Every line before the first of that name has stayed, so the place is still right.
            Some(at) => self.lines.insert(at, new),
            None => self.lines.push(new),
        }
        self
    }
    /// Adds a line before the first one of that name (or at the end of the headers).
    #[must_use]
    pub fn prepend(mut self, name: HeaderName, value: &str) -> Self {
        let at = self.first(&name).unwrap_or(self.lines.len());
        self.lines.insert(at, Line::New(name, value.to_owned()));
        self
    }
    /// Removes every line of that name.
    #[must_use]
    pub fn remove(mut self, name: HeaderName) -> Self {
        let message = self.message;
        self.lines.retain(|line| !line.is(message, &name));
        self
    }
    /// Replaces the body. An empty content type leaves the message without Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: Bytes) -> Self {
        self = if content_type.is_empty() {
            self.remove(HeaderName::ContentType)
        } else {
            self.set(HeaderName::ContentType, content_type)
        };
        self.body = Some(body);
        self
    }
    /// The new message.
    #[must_use]
    pub fn finish(mut self) -> Message {
        let old_body = self.message.body();
        let length = self.body.as_ref().unwrap_or(&old_body).len();
        let said = self.lines.iter().any(|line| line.is(self.message, &HeaderName::ContentLength));
        // A Content-Length that was untouched is right already; it was checked when the message came.
        let touched = self.lines.iter().any(|line| matches!(line, Line::New(HeaderName::ContentLength, _)));
        if self.body.is_some() || touched || (!said && self.message.header(&HeaderName::ContentLength).is_some()) {
            self = self.set(HeaderName::ContentLength, &length.to_string());
        }
        let message = self.message;
        let raw: &[u8] = &message.raw;
        let mut out = Vec::with_capacity(raw.len() + 256);
        let index = message.index();
        let headers_start = index.headers_start as usize;
        match &self.uri {
            Some(uri) if message.is_request() => {
                out.extend_from_slice(raw.get(..index.start.from as usize).unwrap_or_default());
                put_uri(&mut out, uri);
                out.extend_from_slice(raw.get(index.start.to as usize..headers_start).unwrap_or_default());
            }
            _ => out.extend_from_slice(raw.get(..headers_start).unwrap_or_default()),
        }
        for line in &self.lines {
            line.put(message, &mut out);
        }
        out.extend_from_slice(raw.get(index.headers_end as usize..index.body.from as usize).unwrap_or_default());
        out.extend_from_slice(self.body.as_ref().unwrap_or(&old_body));
        Message::own(Bytes::from(out))
    }

    fn first(&self, name: &HeaderName) -> Option<usize> {
        self.lines.iter().position(|line| line.is(self.message, name))
    }
}

impl Line {
    fn is(&self, message: &Message, name: &HeaderName) -> bool {
        match self {
            Self::Kept(place) => message
                .index()
                .entries
                .get(*place)
                .is_some_and(|entry| super::scan::names(&message.raw, entry, name.id(), name.as_str())),
            Self::New(own, _) => own.id() == name.id() && own.as_str().eq_ignore_ascii_case(name.as_str()),
        }
    }
    fn put(&self, message: &Message, out: &mut Vec<u8>) {
        match self {
            Self::Kept(place) => {
                let Some(entry) = message.index().entries.get(*place) else { return };
                out.extend_from_slice(
                    message.raw.get(entry.name.from as usize..entry.end as usize).unwrap_or_default(),
                );
            }
            Self::New(name, value) => {
                out.extend_from_slice(name.as_str().as_bytes());
                out.extend_from_slice(b": ");
                put_clean(out, value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Limits;

    const REQUEST: &str = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nv: SIP/2.0/TCP b.example\r\nFrom:  \"A\"  <sip:a@a.example>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\nSubject: some\r\n\tfolded  text\r\nCSeq: 1 INVITE\r\nX-Odd :value\r\nContent-Length: 5\r\n\r\nhello";

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    #[test]
    fn an_edit_of_nothing_changes_nothing() {
        let before = message(REQUEST);
        assert_eq!(before.edit().finish().bytes(), before.bytes());
    }

    #[test]
    fn only_what_is_named_changes() {
        let after = message(REQUEST)
            .edit()
            .request_uri("sip:carol@[2001:db8::1]:5070")
            .prepend(HeaderName::Via, "SIP/2.0/UDP proxy.example;branch=z9hG4bK2")
            .prepend(HeaderName::Route, "<sip:edge.example;lr>")
            .remove(HeaderName::new("x-odd"))
            .set(HeaderName::CallId, "c2")
            .body("text/plain", Bytes::from_static(b"hello, world"))
            .finish();
        let expected = "INVITE sip:carol@[2001:db8::1]:5070 SIP/2.0\r\nVia: SIP/2.0/UDP proxy.example;branch=z9hG4bK2\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nv: SIP/2.0/TCP b.example\r\nFrom:  \"A\"  <sip:a@a.example>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c2\r\nSubject: some\r\n\tfolded  text\r\nCSeq: 1 INVITE\r\nContent-Length: 12\r\nRoute: <sip:edge.example;lr>\r\nContent-Type: text/plain\r\n\r\nhello, world";
        assert_eq!(std::str::from_utf8(after.bytes()).unwrap(), expected);
        assert_eq!(after.values(&HeaderName::Via).count(), 3);
        assert_eq!(after.header(&HeaderName::new("Subject")), Some("some folded  text"));
    }

    #[test]
    fn set_replaces_all_lines_in_the_first_ones_place_and_injects_nothing() {
        let after = message(REQUEST)
            .edit()
            .set(HeaderName::Via, "SIP/2.0/UDP c.example\r\nRoute: <sip:evil>\0")
            .request_uri("sip:a@b c\r\nX: y")
            .finish();
        assert_eq!(after.headers(&HeaderName::Via).collect::<Vec<_>>(), ["SIP/2.0/UDP c.example  Route: <sip:evil>"]);
        assert_eq!(after.header(&HeaderName::Route), None);
        assert_eq!(after.request_uri(), "sip:a@b%20c%0D%0AX:%20y");
        assert!(after.bytes().starts_with(b"INVITE sip:a@b%20c%0D%0AX:%20y SIP/2.0\r\nVia: SIP/2.0/UDP c.example"));
    }

    #[test]
    fn content_length_cannot_be_made_wrong() {
        let wrong = message(REQUEST).edit().set(HeaderName::ContentLength, "99").finish();
        assert_eq!(wrong.header(&HeaderName::ContentLength), Some("5"));
        let none = message(REQUEST).edit().remove(HeaderName::ContentLength).finish();
        assert_eq!(none.header(&HeaderName::ContentLength), Some("5"));
        let empty = message(REQUEST).edit().body("", Bytes::new()).finish();
        assert_eq!((empty.header(&HeaderName::ContentLength), empty.body().len()), (Some("0"), 0));
    }
}
