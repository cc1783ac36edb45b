//! Header names and the values that signalling reads (RFC 3261 §20).

use super::uri::Uri;

/// A known header name, or any other (compared without case; compact forms included).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum HeaderName {
    Via, From, To, CallId, CSeq, Contact, ContentLength, ContentType, MaxForwards, Route, RecordRoute,
    Expires, MinExpires, Require, ProxyRequire, Supported, Unsupported, Allow, Accept, AcceptEncoding, ContentEncoding,
    Authorization, ProxyAuthorization, WwwAuthenticate, ProxyAuthenticate, Reason, ReferTo, ReferredBy, Replaces,
    Event, SubscriptionState, PAssertedIdentity, Privacy, UserAgent, Server, RetryAfter, Warning, RSeq, RAck, Path,
    /// Lower case.
    Other(String),
}

impl HeaderName {
    /// From what stands in a message or in the configuration.
    pub fn new(text: &str) -> Self {
        let _ = text;
        todo!()
    }
    /// Long form as written by us (`Call-ID`).
    pub fn as_str(&self) -> &str {
        todo!()
    }
}

/// name-addr or addr-spec with its parameters, borrowed from the message.
#[derive(Clone, Debug)]
pub struct NameAddr<'a> {
    /// Unquoted display name, or empty.
    pub display: std::borrow::Cow<'a, str>,
    /// The URI's text.
    pub uri: &'a str,
    /// Header parameters.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Parses one value.
    pub fn parse(text: &'a str) -> Option<Self> {
        let _ = text;
        todo!()
    }
    /// The URI, parsed.
    pub fn parsed_uri(&self) -> Option<Uri> {
        todo!()
    }
    /// `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        todo!()
    }
}

/// `;name=value` parameters, borrowed; names compared without case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    /// Text from the first `;` on.
    pub text: &'a str,
}

impl<'a> Params<'a> {
    /// Value of a parameter: `Some("")` if it has none.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let _ = name;
        todo!()
    }
}

/// CSeq.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// Method.
    pub method: super::Method,
}

/// One Via value.
#[derive(Clone, Debug)]
pub struct Via<'a> {
    /// `UDP`, `TCP` …
    pub transport: &'a str,
    /// sent-by host, IPv6 in brackets.
    pub host: &'a str,
    /// sent-by port.
    pub port: Option<u16>,
    /// Parameters: branch, rport, received, maddr.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Parses one value.
    pub fn parse(text: &'a str) -> Option<Self> {
        let _ = text;
        todo!()
    }
    /// The branch, or empty.
    pub fn branch(&self) -> &'a str {
        todo!()
    }
}

/// Replaces (RFC 3891), from the header or from Refer-To's escaped headers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ReplacesHeader {
    pub call_id: String,
    pub to_tag: String,
    pub from_tag: String,
    pub early_only: bool,
}

impl ReplacesHeader {
    /// Parses an (unescaped) value.
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        todo!()
    }
}
