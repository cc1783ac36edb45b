//! SIP, SIPS and TEL URIs (RFC 3261 §19.1, RFC 3966), kept as they came.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::syntax;

/// A URI: text and where its parts are. Escapes are kept; [`Uri::user_decoded`] takes them away for look-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    text: String,
    scheme: Cow<'static, str>,
    user: Span,
    host: Span,
    port: Option<u16>,
    params: Span,
    headers: Span,
}

impl Uri {
    /// Parses any URI with a scheme.
    ///
    /// # Errors
    /// `None` where it has no scheme or a broken sip part.
    pub fn parse(text: &str) -> Option<Self> {
        let parts = Parts::of(text)?;
        let span = |part: &str| Span::within(text, part);
        Some(Self {
            scheme: match parts.scheme {
                Scheme::Sip => Cow::Borrowed("sip"),
                Scheme::Sips => Cow::Borrowed("sips"),
                Scheme::Tel => Cow::Borrowed("tel"),
                Scheme::Other(name) => Cow::Owned(name.to_ascii_lowercase()),
            },
            user: span(parts.user),
            host: span(parts.host),
            port: parts.port,
            params: span(parts.params),
            headers: span(parts.headers),
            text: text.to_owned(),
        })
    }
    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Lower case: `sip`, `sips`, `tel`, or another (416).
    pub fn scheme(&self) -> &str {
        &self.scheme
    }
    /// User part as written, without password; for tel: the number as written, without parameters; empty if none.
    pub fn user(&self) -> &str {
        self.user.of(&self.text)
    }
    /// User part with escapes taken away (`%41` → `A`); for tel without visual separators (RFC 3966 §5.1.1).
    pub fn user_decoded(&self) -> String {
        let mut user = syntax::unescape(self.user());
        if self.scheme() == "tel" {
            user.retain(|c| !matches!(c, '-' | '.' | '(' | ')'));
        }
        user
    }
    /// Host as written, IPv6 with its brackets; empty for tel.
    pub fn host(&self) -> &str {
        self.host.of(&self.text)
    }
    /// Port.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
    /// URI parameter (`Some("")` without value).
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.of(&self.text).split(';').filter(|piece| !piece.is_empty()).find_map(|piece| {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
    /// Decoded value of a header after `?` (`Replaces` in Refer-To).
    pub fn embedded_header(&self, name: &str) -> Option<String> {
        self.headers.of(&self.text).split('&').find_map(|piece| {
            let (key, value) = piece.split_once('=')?;
            syntax::unescape(key).eq_ignore_ascii_case(name).then(|| syntax::unescape(value))
        })
    }
    /// The URI without its embedded headers.
    pub fn without_headers(&self) -> Uri {
        let end = self.text.len().saturating_sub(if self.headers.is_empty() { 0 } else { self.headers.len() + 1 });
        let mut bare = self.clone();
        bare.text.truncate(end);
        if bare.text.ends_with('?') {
            bare.text.pop();
        }
        bare.headers = Span::default();
        bare
    }
    /// Host and port if the host is an IP literal (default port 5060).
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(ip_literal(self.host())?, self.port.unwrap_or(5060)))
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The address a host stands for if it is a literal, IPv6 with or without brackets.
pub(super) fn ip_literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Bytes from–to of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    from: usize,
    to: usize,
}

impl Span {
    fn within(text: &str, part: &str) -> Self {
        let from = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
        Self { from, to: (from + part.len()).min(text.len()) }
    }
    fn of(self, text: &str) -> &str {
        text.get(self.from..self.to).unwrap_or_default()
    }
    fn len(self) -> usize {
        self.to - self.from
    }
    fn is_empty(self) -> bool {
        self.from == self.to
    }
}

pub(super) enum Scheme<'a> {
    Sip,
    Sips,
    Tel,
    Other(&'a str),
}

/// A URI's parts, borrowed: what a Request-URI is checked with, without a copy.
pub(super) struct Parts<'a> {
    scheme: Scheme<'a>,
    user: &'a str,
    host: &'a str,
    port: Option<u16>,
    params: &'a str,
    headers: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        if syntax::any_below_or_del::<b'!'>(bytes) || memchr::memchr3(b'<', b'>', b'"', bytes).is_some() {
            return None;
        }
        let (scheme, rest) = syntax::cut_near(text, b':')?;
        let mut letters = scheme.bytes();
        if !letters.next()?.is_ascii_alphabetic()
            || !letters.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            || rest.is_empty()
        {
            return None;
        }
        if scheme.eq_ignore_ascii_case("sip") {
            return Self::sip(Scheme::Sip, rest);
        }
        if scheme.eq_ignore_ascii_case("sips") {
            return Self::sip(Scheme::Sips, rest);
        }
        if scheme.eq_ignore_ascii_case("tel") {
            let (user, params) = rest.split_once(';').unwrap_or((rest, ""));
            return (!user.is_empty()).then_some(Self {
                scheme: Scheme::Tel,
                user,
                host: "",
                port: None,
                params,
                headers: "",
            });
        }
        Some(Self { scheme: Scheme::Other(scheme), user: "", host: "", port: None, params: "", headers: "" })
    }

    /// `[user[:password]@]host[:port][;params][?headers]`; a user may hold `;` and `?`, so `@` is looked for first.
    fn sip(scheme: Scheme<'a>, rest: &'a str) -> Option<Self> {
        let (userinfo, rest) = syntax::cut(rest, b'@').unwrap_or(("", rest));
        let user = syntax::cut(userinfo, b':').map_or(userinfo, |(user, _password)| user);
        let (rest, headers) = syntax::cut(rest, b'?').unwrap_or((rest, ""));
        let (host_port, params) = syntax::cut(rest, b';').unwrap_or((rest, ""));
        let (host, port) = syntax::host_port(host_port)?;
        Some(Self { scheme, user, host, port, params, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_sip_uri() {
        let uri = Uri::parse(
            "SIP:J%40ne;x=1:secret@[2001:db8::10]:5070;transport=tcp;lr?Replaces=a%40b%3Bto-tag%3D1&Subject=x",
        )
        .unwrap();
        assert_eq!(uri.scheme(), "sip");
        assert_eq!(uri.user(), "J%40ne;x=1");
        assert_eq!(uri.user_decoded(), "J@ne;x=1");
        assert_eq!(uri.host(), "[2001:db8::10]");
        assert_eq!(uri.port(), Some(5070));
        assert_eq!(uri.param("Transport"), Some("tcp"));
        assert_eq!(uri.param("lr"), Some(""));
        assert_eq!(uri.param("maddr"), None);
        assert_eq!(uri.embedded_header("replaces").as_deref(), Some("a@b;to-tag=1"));
        assert_eq!(uri.without_headers().as_str(), "SIP:J%40ne;x=1:secret@[2001:db8::10]:5070;transport=tcp;lr");
        assert_eq!(uri.socket_addr(), Some("[2001:db8::10]:5070".parse().unwrap()));
    }

    #[test]
    fn hosts_users_and_defaults() {
        let uri = Uri::parse("sips:1000@192.0.2.7").unwrap();
        assert_eq!(uri.socket_addr(), Some("192.0.2.7:5060".parse().unwrap()));
        assert_eq!(Uri::parse("sip:example.com").unwrap().user(), "");
        assert_eq!(Uri::parse("sip:example.com").unwrap().socket_addr(), None);
        // RFC 5118 §4.3: without brackets around the address, 5070 is a part of it.
        assert_eq!(Uri::parse("sip:[2001:db8::10:5070]").unwrap().port(), None);
        let tel = Uri::parse("tel:+1-201-555-0123;phone-context=example.com").unwrap();
        assert_eq!((tel.user(), tel.user_decoded().as_str(), tel.host()), ("+1-201-555-0123", "+12015550123", ""));
        assert_eq!(tel.param("phone-context"), Some("example.com"));
        assert_eq!(Uri::parse("nobodyKnowsThisScheme:totallyopaque").unwrap().scheme(), "nobodyknowsthisscheme");
    }

    #[test]
    fn broken_uris() {
        for broken in [
            "",
            "sip:",
            "sip",
            ":x",
            "sip:a@",
            "sip:a@b@c",
            "sip:a@b:99999",
            "sip:a@b:x",
            "sip:a b@c",
            "<sip:a@b>",
            "1ip:a@b",
            "sip:a@[::1",
            "sip:a@b\r\nX: y",
            "tel:",
            "sip:a@b c",
        ] {
            assert!(Uri::parse(broken).is_none(), "{broken:?}");
        }
    }
}
