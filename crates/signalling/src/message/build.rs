//! New messages. Control characters in values become spaces, so nothing can be injected: no line, no terminal escape.

use bytes::Bytes;

use super::name::{NameId, OTHER, id};
use super::{HeaderName, Message, Method, syntax};

/// The standard reason phrase of a status (the IANA registry of response codes).
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        424 => "Bad Location Information",
        425 => "Bad Alert Message",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity Info",
        437 => "Unsupported Credential",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        555 => "Push Notification Service Not Supported",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        // Unknown ones read as x00 of their class (RFC 3261 §8.1.3.2).
        other => match other / 100 {
            1 => "Session Progress",
            2 => "OK",
            3 => "Multiple Choices",
            4 => "Bad Request",
            5 => "Server Internal Error",
            _ => "Busy Everywhere",
        },
    }
}

/// A new request; headers stand in the order in which they are added, Content-Length last, by itself.
#[derive(Clone, Debug)]
pub struct RequestBuilder(Draft);

/// A response to a request (RFC 3261 §8.2.6): Via, From, To, Call-ID, CSeq copied byte for byte, Record-Route for dialog-forming ones.
#[derive(Clone, Debug)]
pub struct ResponseBuilder(Draft);

impl RequestBuilder {
    /// Starts with the request line.
    pub fn new(method: &Method, uri: &str) -> Self {
        let mut draft = Draft::new(512);
        put_token(&mut draft.text, method.as_str());
        draft.text.push(b' ');
        put_uri(&mut draft.text, uri);
        draft.text.extend_from_slice(b" SIP/2.0\r\n");
        Self(draft)
    }
    /// Adds a header line.
    #[inline]
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let (id, name) = name.id_and_text();
        self.0.header(id, name, value);
        self
    }
    /// Adds a header line whose name is not known here.
    #[must_use]
    pub fn raw_header(mut self, name: &str, value: &str) -> Self {
        self.0.header(super::name::id_of(name.as_bytes()), name, value);
        self
    }
    /// Body with its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.0.body = Some((content_type.to_owned(), body.into()));
        self
    }
    /// Builds it.
    #[must_use]
    pub fn finish(self) -> Message {
        self.0.finish()
    }
}

impl ResponseBuilder {
    /// Starts a response. `to_tag` is added to To where it has none and the status is above 100.
    pub fn new(request: &Message, status: u16, reason: Option<&str>, to_tag: Option<&str>) -> Self {
        let mut draft = Draft::new(request.index().headers_end as usize);
        let status = status.clamp(100, 699);
        draft.text.extend_from_slice(b"SIP/2.0 ");
        put_number(&mut draft.text, usize::from(status));
        draft.text.push(b' ');
        put_clean(&mut draft.text, reason.unwrap_or_else(|| reason_phrase(status)));
        draft.text.extend_from_slice(b"\r\n");
        let record_route = (101..300).contains(&status) && request.index().method.forms_dialog();
        let first = request.index().first;
        for (place, entry) in request.index().entries.iter().enumerate() {
            let only = |wanted: u16| usize::from(wanted) == place;
            let copied = match entry.id {
                id::Via => true,
                id::From => only(first.from),
                id::To => only(first.to),
                id::CallId => only(first.call_id),
                id::CSeq => only(first.cseq),
                id::RecordRoute => record_route,
                // RFC 3261 §8.2.6.1: the 100 copies it.
                id::Timestamp => status == 100,
                _ => false,
            };
            if !copied {
                continue;
            }
            draft.copy(request, entry);
            let tag = to_tag.filter(|_| entry.id == id::To && status > 100 && request.to_tag().is_empty());
            if let Some(tag) = tag {
                draft.text.extend_from_slice(b";tag=");
                put_token(&mut draft.text, tag);
            }
            draft.text.extend_from_slice(b"\r\n");
        }
        Self(draft)
    }
    /// Adds a header line.
    #[inline]
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let (id, name) = name.id_and_text();
        self.0.header(id, name, value);
        self
    }
    /// Adds a header line whose name is not known here.
    #[must_use]
    pub fn raw_header(mut self, name: &str, value: &str) -> Self {
        self.0.header(super::name::id_of(name.as_bytes()), name, value);
        self
    }
    /// Body with its Content-Type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.0.body = Some((content_type.to_owned(), body.into()));
        self
    }
    /// Builds it.
    #[must_use]
    pub fn finish(self) -> Message {
        self.0.finish()
    }
}

#[derive(Clone, Debug)]
struct Draft {
    /// Start line and header lines so far.
    text: Vec<u8>,
    body: Option<(String, Bytes)>,
}

impl Draft {
    fn new(capacity: usize) -> Self {
        Self { text: Vec::with_capacity(capacity + 256), body: None }
    }

    fn header(&mut self, id: NameId, name: &str, value: &str) {
        match id {
            // `finish` writes it.
            id::ContentLength => return,
            OTHER => {
                let start = self.text.len();
                put_token(&mut self.text, name);
                if self.text.len() == start {
                    return;
                }
            }
            // A name in the table is a token.
            _ => self.text.extend_from_slice(name.as_bytes()),
        }
        self.text.extend_from_slice(b": ");
        put_clean(&mut self.text, value);
        self.text.extend_from_slice(b"\r\n");
    }

    /// A line of a request as it came. Where a lone CR or LF stands inside (only in a request that is refused), they become spaces.
    fn copy(&mut self, request: &Message, entry: &super::scan::Entry) {
        let line = request.line_bytes(entry);
        if memchr::memchr2(b'\r', b'\n', line).is_none() {
            self.text.extend_from_slice(line);
            return;
        }
        let mut at = 0;
        while let Some(&byte) = line.get(at) {
            match (byte, line.get(at + 1), line.get(at + 2)) {
                (b'\r', Some(b'\n'), Some(b' ' | b'\t')) => {
                    self.text.extend_from_slice(b"\r\n");
                    at += 2;
                }
                (b'\n', Some(b' ' | b'\t'), _) => {
                    self.text.push(b'\n');
                    at += 1;
                }
                (b'\r' | b'\n', ..) => {
                    self.text.push(b' ');
                    at += 1;
                }
                _ => {
                    self.text.push(byte);
                    at += 1;
                }
            }
        }
    }

    fn finish(mut self) -> Message {
        let (content_type, body) = self.body.take().unwrap_or_default();
        if !content_type.is_empty() && !body.is_empty() {
            self.header(id::ContentType, HeaderName::ContentType.as_str(), &content_type);
        }
        self.text.extend_from_slice(b"Content-Length: ");
        put_number(&mut self.text, body.len());
        self.text.extend_from_slice(b"\r\n\r\n");
        // To size: the message may live as long as its call.
        Message::own(Bytes::from([self.text.as_slice(), &body].concat()))
    }
}

/// What of `text` may stand in a token.
fn put_token(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(syntax::is_token) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend(text.bytes().filter(|byte| syntax::is_token(*byte)));
    }
}

/// A header value: control characters other than HTAB become spaces.
pub(super) fn put_clean(out: &mut Vec<u8>, value: &str) {
    let is_control = |byte: u8| byte != b'\t' && (byte < b' ' || byte == 0x7f);
    if syntax::any_below_or_del::<b' '>(value.as_bytes()) {
        out.extend(value.bytes().map(|byte| if is_control(byte) { b' ' } else { byte }));
    } else {
        out.extend_from_slice(value.as_bytes());
    }
}

/// A Request-URI: white space and control characters are escaped.
pub(super) fn put_uri(out: &mut Vec<u8>, uri: &str) {
    if !syntax::any_below_or_del::<b'!'>(uri.as_bytes()) {
        out.extend_from_slice(uri.as_bytes());
        return;
    }
    for byte in uri.bytes() {
        if byte <= b' ' || byte == 0x7f {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

/// In decimal digits.
fn put_number(out: &mut Vec<u8>, number: usize) {
    if number > 9 {
        put_number(out, number / 10);
    }
    out.push(b"0123456789"[number % 10]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Limits;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }
    fn text(message: &Message) -> &str {
        std::str::from_utf8(message.bytes()).unwrap()
    }

    #[test]
    fn a_request_as_written() {
        let bye = RequestBuilder::new(&Method::Bye, "sip:bob@192.0.2.4")
            .header(HeaderName::Via, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
            .header(HeaderName::MaxForwards, "70")
            .header(HeaderName::From, "<sip:a@192.0.2.1>;tag=1")
            .header(HeaderName::To, "<sip:b@192.0.2.4>;tag=2")
            .header(HeaderName::CallId, "c\r\nRoute: <sip:evil>")
            .header(HeaderName::CSeq, "2 BYE")
            .raw_header("X-Na me\r\n", "one")
            .header(HeaderName::ContentLength, "77")
            .finish();
        assert_eq!(
            text(&bye),
            "BYE sip:bob@192.0.2.4 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nMax-Forwards: 70\r\nFrom: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:b@192.0.2.4>;tag=2\r\nCall-ID: c  Route: <sip:evil>\r\nCSeq: 2 BYE\r\nX-Name: one\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(bye.cseq().number, 2);
        assert!(Message::parse(bye.bytes().clone(), &Limits::default()).is_err(), "no Call-ID has spaces");
    }

    #[test]
    fn a_response_copies_what_it_must() {
        let request = message(
            "INVITE sip:b@e SIP/2.0\r\nv: SIP/2.0/UDP p1;branch=z9hG4bK1 ,\r\n SIP/2.0/TCP p2\r\nMax-Forwards: 3\r\nRecord-Route: <sip:p1;lr>\r\nVia: SIP/2.0/UDP p3\r\nf: <sip:a@e>;tag=1\r\nt:   \"B\" <sip:b@e>\r\ni: 77@e\r\nCSeq: 0007   INVITE\r\nRecord-Route: <sip:p2;lr>\r\nTimestamp: 54\r\n\r\n",
        );
        let ringing = ResponseBuilder::new(&request, 180, None, Some("xyz"))
            .header(HeaderName::Contact, "<sip:b@192.0.2.4>")
            .finish();
        assert_eq!(
            text(&ringing),
            "SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP p1;branch=z9hG4bK1 ,\r\n SIP/2.0/TCP p2\r\nRecord-Route: <sip:p1;lr>\r\nVia: SIP/2.0/UDP p3\r\nf: <sip:a@e>;tag=1\r\nt:   \"B\" <sip:b@e>;tag=xyz\r\ni: 77@e\r\nCSeq: 0007   INVITE\r\nRecord-Route: <sip:p2;lr>\r\nContact: <sip:b@192.0.2.4>\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(
            (ringing.status(), ringing.method(), ringing.to_tag(), ringing.reason()),
            (180, Method::Invite, "xyz", "Ringing")
        );
        let trying = ResponseBuilder::new(&request, 100, None, Some("xyz")).finish();
        assert!(
            text(&trying).contains("Timestamp: 54")
                && trying.to_tag().is_empty()
                && trying.header(&HeaderName::RecordRoute).is_none()
        );
        let busy =
            ResponseBuilder::new(&request, 486, Some("Not\r\nnow"), Some("xyz")).body("text/plain", "no").finish();
        assert!(
            busy.bytes().starts_with(b"SIP/2.0 486 Not  now\r\n") && busy.header(&HeaderName::RecordRoute).is_none()
        );
        assert_eq!((busy.content_type().as_str(), &busy.body()[..]), ("text/plain", &b"no"[..]));
    }
}
