//! Conversions from and to the types of the `rsip` crate (feature `rsip`, off by default), for integrators who hold them.
//!
//! What the other side cannot hold is refused, never bent: rsip has fourteen methods, no embedded headers and no
//! `tel:`; we have no header value with a line end in it. An IPv6 host becomes a `Domain` with its brackets, because
//! rsip prints an `IpAddr` without them. Names of headers come out in their long form, reason phrases as the standard
//! ones, and Content-Length is always the body's.
//!
//! ```
//! use signalling::message::{HeaderName, Limits, Message, Uri};
//!
//! let raw = "OPTIONS sip:bo@[2001:db8::1]:5062;lr SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\nf: <sip:a@b>;tag=1\r\n\
//!     t: <sip:bo@b>\r\ni: x\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n";
//! let ours = Message::parse(raw.into(), &Limits::default()).expect("a valid message");
//! let theirs = rsip::SipMessage::try_from(&ours)?;
//! let rsip::SipMessage::Request(request) = &theirs else { panic!("it is a request") };
//! assert_eq!(request.uri.port().map(|port| *port.value()), Some(5062));
//! let back = Message::try_from(&theirs)?;
//! assert_eq!((back.call_id(), back.request_uri()), ("x", "sip:bo@[2001:db8::1]:5062;lr"));
//! assert_eq!(Uri::try_from(&request.uri)?.host(), "[2001:db8::1]");
//! # Ok::<(), signalling::message::ConversionError>(())
//! ```

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use rsip::headers::UntypedHeader;
use rsip::{Header, SipMessage};

use super::{HeaderName, Limits, Message, ParseError, Uri, reason_phrase, syntax};

/// What one side has and the other cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversionError {
    /// rsip has no such method.
    Method(String),
    /// rsip cannot hold this URI: its scheme, its embedded headers or its port.
    Uri(String),
    /// A status beyond 100 to 699.
    Status(u16),
    /// A header name that is no token, or a value with a line end in it.
    Header(String),
    /// Printed, it is no message of ours.
    Message(ParseError),
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => write!(f, "rsip has no method {method:?}"),
            Self::Uri(uri) => write!(f, "the URI {uri:?} cannot be held"),
            Self::Status(status) => write!(f, "{status} is no status"),
            Self::Header(line) => write!(f, "the header {line:?} cannot be held"),
            Self::Message(error) => write!(f, "no SIP message: {error:?}"),
        }
    }
}

impl std::error::Error for ConversionError {}

impl TryFrom<&Message> for SipMessage {
    type Error = ConversionError;
    fn try_from(message: &Message) -> Result<Self, ConversionError> {
        let mut headers: Vec<Header> = Vec::new();
        for (name, value) in message.lines() {
            headers.push(header(name, value));
        }
        let (headers, body, version) = (headers.into(), message.body().to_vec(), rsip::Version::V2);
        if !message.is_request() {
            let status_code = rsip::StatusCode::from(message.status());
            return Ok(rsip::Response { status_code, version, headers, body }.into());
        }
        let method = message.method();
        let method = rsip::Method::from_str(method.as_str())
            .ok()
            .filter(|known| known.to_string() == method.as_str())
            .ok_or_else(|| ConversionError::Method(method.as_str().to_owned()))?;
        let uri =
            Uri::parse(message.request_uri()).ok_or_else(|| ConversionError::Uri(message.request_uri().into()))?;
        Ok(rsip::Request { method, uri: rsip::Uri::try_from(&uri)?, version, headers, body }.into())
    }
}

impl TryFrom<&SipMessage> for Message {
    type Error = ConversionError;
    fn try_from(message: &SipMessage) -> Result<Self, ConversionError> {
        let (start, headers) = match message {
            SipMessage::Request(request) => {
                let uri = Uri::try_from(&request.uri)?;
                (format!("{} {uri} SIP/2.0", request.method), &request.headers)
            }
            SipMessage::Response(response) => {
                let status = response.status_code.code();
                if !(100..=699).contains(&status) {
                    return Err(ConversionError::Status(status));
                }
                (format!("SIP/2.0 {status} {}", reason_phrase(status)), &response.headers)
            }
        };
        let mut text = start + "\r\n";
        for header in headers.iter().filter(|header| !matches!(header, Header::ContentLength(_))) {
            let line = header.to_string();
            let name = line.split(':').next().unwrap_or_default();
            let is_name = !name.is_empty() && name.bytes().all(syntax::is_token);
            if !is_name || line.contains(['\r', '\n']) {
                return Err(ConversionError::Header(line));
            }
            // One that rsip took for another is Content-Length all the same.
            if HeaderName::new(name) != HeaderName::ContentLength {
                text.push_str(&line);
                text.push_str("\r\n");
            }
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", message.body().len()));
        let raw = Bytes::from([text.as_bytes(), message.body()].concat());
        Message::parse(raw, &Limits::default()).map_err(ConversionError::Message)
    }
}

impl TryFrom<&Uri> for rsip::Uri {
    type Error = ConversionError;
    fn try_from(uri: &Uri) -> Result<Self, ConversionError> {
        let refused = || ConversionError::Uri(uri.as_str().to_owned());
        let scheme = match uri.scheme() {
            "sip" => rsip::Scheme::Sip,
            "sips" => rsip::Scheme::Sips,
            _ => return Err(refused()),
        };
        let (_, rest) = uri.as_str().split_once(':').ok_or_else(refused)?;
        let (userinfo, rest) = rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        if rest.contains('?') {
            return Err(refused());
        }
        let auth = userinfo.map(|userinfo| {
            let (user, password) = userinfo.split_once(':').map_or((userinfo, None), |(u, p)| (u, Some(p)));
            rsip::Auth { user: user.to_owned(), password: password.map(str::to_owned) }
        });
        let host_with_port = rsip::HostWithPort { host: uri.host().into(), port: uri.port().map(Into::into) };
        let params = rest.split_once(';').map_or("", |(_, params)| params);
        let params = params.split(';').filter(|param| !param.is_empty()).map(param).collect();
        Ok(rsip::Uri { scheme: Some(scheme), auth, host_with_port, params, headers: Vec::new() })
    }
}

impl TryFrom<&rsip::Uri> for Uri {
    type Error = ConversionError;
    fn try_from(uri: &rsip::Uri) -> Result<Self, ConversionError> {
        let mut uri = uri.clone();
        if let rsip::Host::IpAddr(ip @ std::net::IpAddr::V6(_)) = uri.host_with_port.host {
            uri.host_with_port.host = rsip::Host::Domain(format!("[{ip}]").into());
        }
        uri.scheme.get_or_insert(rsip::Scheme::Sip);
        let text = uri.to_string();
        Uri::parse(&text).ok_or(ConversionError::Uri(text))
    }
}

/// A parameter as rsip would have read it; one whose value it does not know stays as it is.
fn param(text: &str) -> rsip::Param {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let other = || rsip::Param::Other(name.into(), value.map(Into::into));
    let known = rsip::Param::try_from((name, value)).unwrap_or_else(|_| other());
    if known.to_string() == format!(";{text}") { known } else { other() }
}

/// A header in the variant that rsip has for its long name.
fn header(name: &str, value: &str) -> Header {
    let long = HeaderName::new(name);
    let long = if let HeaderName::Other(_) = long { name } else { long.as_str() };
    macro_rules! known {
        ($($name:literal $variant:ident,)*) => {
            $(if long.eq_ignore_ascii_case($name) {
                return Header::$variant(rsip::headers::$variant::new(value));
            })*
        };
    }
    known! {
        "Accept" Accept, "Accept-Encoding" AcceptEncoding, "Accept-Language" AcceptLanguage, "Alert-Info" AlertInfo,
        "Allow" Allow, "Authentication-Info" AuthenticationInfo, "Authorization" Authorization, "CSeq" CSeq,
        "Call-ID" CallId, "Call-Info" CallInfo, "Contact" Contact, "Content-Disposition" ContentDisposition,
        "Content-Encoding" ContentEncoding, "Content-Language" ContentLanguage, "Content-Length" ContentLength,
        "Content-Type" ContentType, "Date" Date, "Error-Info" ErrorInfo, "Event" Event, "Expires" Expires, "From" From,
        "In-Reply-To" InReplyTo, "Max-Forwards" MaxForwards, "MIME-Version" MimeVersion, "Min-Expires" MinExpires,
        "Organization" Organization, "Priority" Priority, "Proxy-Authenticate" ProxyAuthenticate,
        "Proxy-Authorization" ProxyAuthorization, "Proxy-Require" ProxyRequire, "Record-Route" RecordRoute,
        "Reply-To" ReplyTo, "Require" Require, "Retry-After" RetryAfter, "Route" Route, "Server" Server,
        "Subject" Subject, "s" Subject, "Subscription-State" SubscriptionState, "Supported" Supported,
        "Timestamp" Timestamp, "To" To, "Unsupported" Unsupported, "User-Agent" UserAgent, "Via" Via,
        "Warning" Warning, "WWW-Authenticate" WwwAuthenticate,
    }
    Header::Other(long.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(text: &str) -> Message {
        Message::parse(text.to_owned().into(), &Limits::default()).unwrap()
    }

    const HEAD: &str =
        "v: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa\r\nFrom: \"A\" <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\ni: x\r\n";

    #[test]
    fn a_message_there_and_back() {
        let text = format!(
            "INVITE sips:a;x:pw@[2001:db8::1]:5061;transport=tls;ob SIP/2.0\r\n{HEAD}CSeq: 1 INVITE\r\nX-Q: 1\r\nl: 3\r\n\r\n\0\u{1}\n"
        );
        let before = ours(&text);
        let between = SipMessage::try_from(&before).unwrap();
        let after = Message::try_from(&between).unwrap();
        assert_eq!((after.request_uri(), after.body()), (before.request_uri(), before.body()));
        let values = |message: &Message| message.lines().map(|(_, value)| value.to_owned()).collect::<Vec<_>>();
        assert_eq!(values(&after), values(&before));
        let names: Vec<&str> = after.lines().map(|(name, _)| name).collect();
        assert_eq!(names, ["Via", "From", "To", "Call-ID", "CSeq", "X-Q", "Content-Length"]);
    }

    #[test]
    fn responses_get_the_standard_phrase() {
        let busy = ours(&format!("SIP/2.0 486 Go away\r\n{HEAD}CSeq: 1 INVITE\r\n\r\n"));
        let back = Message::try_from(&SipMessage::try_from(&busy).unwrap()).unwrap();
        assert_eq!((back.status(), back.reason(), back.method()), (486, "Busy Here", busy.method()));
    }

    #[test]
    fn what_the_other_side_cannot_hold_is_refused() {
        let unknown = ours(&format!("BREW sip:a@b SIP/2.0\r\n{HEAD}CSeq: 1 BREW\r\n\r\n"));
        assert_eq!(SipMessage::try_from(&unknown), Err(ConversionError::Method("BREW".into())));
        for uri in ["tel:+123", "sip:a@b?Subject=x", "urn:service:sos"] {
            assert_eq!(rsip::Uri::try_from(&Uri::parse(uri).unwrap()), Err(ConversionError::Uri(uri.into())));
        }
        let mut theirs =
            SipMessage::try_from(&ours(&format!("BYE sip:a@b SIP/2.0\r\n{HEAD}CSeq: 1 BYE\r\n\r\n"))).unwrap();
        let SipMessage::Request(request) = &mut theirs else { panic!("it is one") };
        request.headers.push(Header::Other("X".into(), "y\r\nRoute: <sip:evil>".into()));
        assert!(matches!(Message::try_from(&theirs), Err(ConversionError::Header(_))));
        let bare = SipMessage::Response(rsip::Response::default());
        assert!(matches!(Message::try_from(&bare), Err(ConversionError::Message(_))));
    }
}
