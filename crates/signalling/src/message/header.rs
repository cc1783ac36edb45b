//! Header values that signalling reads (RFC 3261 §20), borrowed from the message.

use std::borrow::Cow;

use super::syntax;
use super::uri::Uri;

pub use super::name::HeaderName;

/// name-addr or addr-spec with its parameters, borrowed from the message.
#[derive(Clone, Debug)]
pub struct NameAddr<'a> {
    /// Unquoted display name, or empty.
    pub display: Cow<'a, str>,
    /// The URI's text.
    pub uri: &'a str,
    /// Header parameters.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Parses one value.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = syntax::trim(text);
        let (display, rest) = if text.starts_with('"') {
            let end = syntax::quoted_end(text)?;
            (unquote(text.get(..end)?), syntax::trim(text.get(end..)?))
        } else {
            let (display, rest) = syntax::cut_before(text, b'<');
            // A display name has no colon, so an angle bracket behind one belongs to a parameter of a bare URI.
            if rest.is_empty() || display.contains(':') {
                return Self::bare(text);
            }
            if display.bytes().any(|byte| matches!(byte, b'"' | b';' | b',')) {
                return None;
            }
            (Cow::Borrowed(syntax::trim(display)), rest)
        };
        let (uri, params) = syntax::cut(rest.strip_prefix('<')?, b'>')?;
        let (uri, params) = (syntax::trim(uri), syntax::trim(params));
        (has_scheme(uri) && (params.is_empty() || params.starts_with(';')) && syntax::quotes_end(params))
            .then_some(Self { display, uri, params: Params { text: params } })
    }

    /// addr-spec without angle brackets: what follows `;` belongs to the header, and a URI with a comma, a question mark
    /// or a semicolon must stand in brackets (RFC 3261 §20.10).
    fn bare(text: &'a str) -> Option<Self> {
        let (uri, params) = syntax::cut_before(text, b';');
        let uri = syntax::trim(uri);
        (has_scheme(uri) && !uri.contains([' ', '\t', ',', '"', '?']) && syntax::quotes_end(params)).then_some(Self {
            display: Cow::Borrowed(""),
            uri,
            params: Params { text: params },
        })
    }

    /// The URI, parsed.
    pub fn parsed_uri(&self) -> Option<Uri> {
        Uri::parse(self.uri)
    }
    /// `tag` parameter.
    pub fn tag(&self) -> Option<&'a str> {
        self.params.value("tag")
    }
}

fn has_scheme(uri: &str) -> bool {
    syntax::cut_near(uri, b':').is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && !rest.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    })
}

/// A quoted string without its quotes and backslashes.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let inside = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(out)
}

/// `;name=value` parameters, borrowed; names compared without case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a> {
    /// Text from the first `;` on.
    pub text: &'a str,
}

impl<'a> Params<'a> {
    /// Value of a parameter: `Some("")` if it has none. A quoted value comes without its quotes.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.iter().find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
    /// Is there a `;` with no parameter behind it? One at the very end is let through, as many write it.
    pub(super) fn has_gaps(&self) -> bool {
        let text = self.text.trim_ascii_end();
        let bytes = text.as_bytes();
        let suspect = |at: usize| matches!(bytes.get(at + 1), Some(b';' | b' ' | b'\t'));
        if !memchr::memchr_iter(b';', bytes).any(suspect) {
            return false;
        }
        let mut rest = text.strip_prefix(';').unwrap_or(text);
        while let (piece, Some(behind)) = syntax::split_at_top(rest, b';') {
            if syntax::trim(piece).is_empty() {
                return true;
            }
            rest = behind;
        }
        false
    }
    /// Every parameter in order: name as written, value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        syntax::split(self.text, b';').map(|piece| {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            let value = syntax::trim(value);
            (syntax::trim(key), value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value))
        })
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

impl CSeq {
    /// Parses a value (RFC 3261 §20.16).
    pub fn parse(text: &str) -> Option<Self> {
        let (number, method) = Self::split(text)?;
        Some(Self { number, method: super::Method::new(method) })
    }
    pub(super) fn split(text: &str) -> Option<(u32, &str)> {
        let text = syntax::trim(text);
        let (number, method) = text.split_at_checked(text.bytes().position(syntax::is_white)?)?;
        let (number, method) = (syntax::number(number)?, syntax::trim(method));
        (number < 1 << 31 && !method.is_empty() && method.bytes().all(syntax::is_token))
            .then_some((u32::try_from(number).ok()?, method))
    }
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
        let text = syntax::trim(text);
        let (protocol, rest) = syntax::cut_near(text, b'/')?;
        let (version, rest) = syntax::cut_near(rest, b'/')?;
        let token = |word: &str| !word.is_empty() && word.bytes().all(syntax::is_token);
        // Any version is good grammar; an answer to SIP/3.0 goes back by its Via too.
        if !syntax::trim(protocol).eq_ignore_ascii_case("SIP") || !token(syntax::trim(version)) {
            return None;
        }
        let rest = rest.trim_ascii_start();
        let transport_end = rest.bytes().position(syntax::is_white)?;
        let (transport, rest) = rest.split_at_checked(transport_end)?;
        let (sent_by, params) = syntax::cut_before(rest, b';');
        let (host, port) = syntax::host_port(sent_by)?;
        (token(transport) && syntax::quotes_end(params)).then_some(Self {
            transport,
            host,
            port,
            params: Params { text: params },
        })
    }
    /// The branch, or empty.
    pub fn branch(&self) -> &'a str {
        self.params.value("branch").unwrap_or_default()
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
        let (call_id, rest) = text.split_at_checked(text.find(';')?)?;
        let call_id = syntax::trim(call_id);
        let params = Params { text: rest };
        let tag = |name| params.value(name).filter(|tag| !tag.is_empty()).map(str::to_owned);
        if call_id.is_empty() || call_id.contains([' ', '\t', ',']) {
            return None;
        }
        Some(Self {
            call_id: call_id.to_owned(),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.value("early-only").is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form() {
        let quoted = NameAddr::parse(r#""J \"Rose\" <x>, y" <sip:jdr@example.com;lr> ; tag = "98a" ;x"#).unwrap();
        assert_eq!(quoted.display, r#"J "Rose" <x>, y"#);
        assert_eq!(quoted.uri, "sip:jdr@example.com;lr");
        assert_eq!(quoted.tag(), Some("98a"));
        assert_eq!(quoted.params.value("X"), Some(""));
        let tight = NameAddr::parse("caller<sip:caller@example.com>;tag=323").unwrap();
        assert_eq!((&*tight.display, tight.uri, tight.tag()), ("caller", "sip:caller@example.com", Some("323")));
        let bare = NameAddr::parse("sip:+1650@ss1.example.net;user=phone;tag=\"a<b\"").unwrap();
        assert_eq!(
            (bare.uri, bare.params.value("user"), bare.tag()),
            ("sip:+1650@ss1.example.net", Some("phone"), Some("a<b"))
        );
        assert_eq!(NameAddr::parse("<tel:+123>").unwrap().tag(), None);
        for broken in [
            "*",
            "",
            "\"open <sip:a@b>",
            "<sip:a@b",
            "<sip:a@b> x",
            "Bell, A <sip:a@b>",
            "sip:a b",
            "<>",
            "<:>",
            "a \"b\" <sip:c@d>",
            "<sip:a@b>;x=\"y",
            "sip:a@b;x=\"y\\\"",
            "sip:a@b?Route=%3Csip:c%3E",
        ] {
            assert!(NameAddr::parse(broken).is_none(), "{broken:?}");
        }
    }

    #[test]
    fn vias_with_spaces_and_ipv6() {
        let via =
            Via::parse("SIP / 2.0 / TCP     spindle.example.com : 5070  ;  branch  =   z9hG4bK9ikj8 ;rport").unwrap();
        assert_eq!(
            (via.transport, via.host, via.port, via.branch()),
            ("TCP", "spindle.example.com", Some(5070), "z9hG4bK9ikj8")
        );
        assert_eq!(via.params.value("rport"), Some(""));
        let v6 = Via::parse("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111").unwrap();
        assert_eq!(
            (v6.host, v6.port, v6.params.value("received")),
            ("[2001:db8::9:1]", None, Some("[2001:db8::9:255]"))
        );
        for broken in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ;branch=1",
            "SIP//UDP a",
            "SIP/2.0/UDP a:b",
            "SIP/2.0/UDP a:65536",
            "SIP/2.0/U,DP a",
            "SIP/2.0/UDP [::1",
            "X/2.0/UDP a",
        ] {
            assert!(Via::parse(broken).is_none(), "{broken:?}");
        }
        let gaps = |via| Via::parse(via).unwrap().params.has_gaps();
        assert!(gaps("SIP/2.0/UDP a;;branch=z") && gaps("SIP/2.0/UDP a;;") && gaps("SIP/2.0/UDP a; ;rport"));
        assert!(!gaps("SIP/2.0/UDP a") && !gaps("SIP/2.0/UDP a;rport;") && !gaps("SIP/2.0/UDP a ; x=\";;\" ; rport"));
    }

    #[test]
    fn replaces_and_cseq() {
        let replaces =
            ReplacesHeader::parse("98732@sip.example.com ;from-tag=r33th4x0r ; to-tag=ff87ff;early-only").unwrap();
        assert_eq!(
            replaces,
            ReplacesHeader {
                call_id: "98732@sip.example.com".into(),
                to_tag: "ff87ff".into(),
                from_tag: "r33th4x0r".into(),
                early_only: true
            }
        );
        assert!(ReplacesHeader::parse("a@b;to-tag=1").is_none());
        assert!(ReplacesHeader::parse(";to-tag=1;from-tag=2").is_none());
        assert_eq!(CSeq::parse("0009 \t INVITE"), Some(CSeq { number: 9, method: crate::message::Method::Invite }));
        for broken in ["", "1", "INVITE", "2147483648 BYE", "-1 BYE", "1 B(E", "36893488147419103232 REGISTER"] {
            assert!(CSeq::parse(broken).is_none(), "{broken:?}");
        }
    }
}
