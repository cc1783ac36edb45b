//! SIP, SIPS and TEL URIs (RFC 3261 §19.1, RFC 3966), kept as they came.

/// A URI: text and where its parts are. Escapes are kept; [`Uri::user_decoded`] takes them away for look-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    text: String,
}

impl Uri {
    /// Parses any URI with a scheme.
    ///
    /// # Errors
    /// `None` where it has no scheme or a broken sip part.
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        todo!()
    }
    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Lower case: `sip`, `sips`, `tel`, or another (416).
    pub fn scheme(&self) -> &str {
        todo!()
    }
    /// User part as written, without password; for tel: the number without separators' parameters; empty if none.
    pub fn user(&self) -> &str {
        todo!()
    }
    /// User part with escapes taken away (`%41` → `A`).
    pub fn user_decoded(&self) -> String {
        todo!()
    }
    /// Host as written, IPv6 with its brackets; empty for tel.
    pub fn host(&self) -> &str {
        todo!()
    }
    /// Port.
    pub fn port(&self) -> Option<u16> {
        todo!()
    }
    /// URI parameter (`Some("")` without value).
    pub fn param(&self, name: &str) -> Option<&str> {
        let _ = name;
        todo!()
    }
    /// Decoded value of a header after `?` (`Replaces` in Refer-To).
    pub fn embedded_header(&self, name: &str) -> Option<String> {
        let _ = name;
        todo!()
    }
    /// The URI without its embedded headers.
    pub fn without_headers(&self) -> Uri {
        todo!()
    }
    /// Host and port if the host is an IP literal (default port 5060).
    pub fn socket_addr(&self) -> Option<std::net::SocketAddr> {
        todo!()
    }
}
