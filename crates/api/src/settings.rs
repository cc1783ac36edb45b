//! What `[api]` says: how the server is reached, whom it answers, and how often.

use std::net::IpAddr;

use crate::limits::Rate;

/// Who may come, under which names and how often. Replaced on reload.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://monitor.example.com`, as browsers know it, where a proxy stands before it; no path.
    pub public_url: Option<String>,
    /// This server speaks TLS itself.
    pub tls: bool,
    /// Names that a Host header may have besides loopback names, addresses and `public_url`'s; in small letters,
    /// without a port. `*` is any.
    pub allowed_hosts: Vec<String>,
    /// Networks (address, prefix) of proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<(IpAddr, u8)>,
    /// Origins that may show the page in a frame.
    pub frame_ancestors: Vec<String>,
    /// Requests of one user (or of one address, where nobody is signed in) a second, in the long run.
    pub rate: u32,
    /// Requests of one user at once.
    pub burst: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            tls: false,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            frame_ancestors: Vec::new(),
            rate: 100,
            burst: 400,
        }
    }
}

impl Settings {
    /// Browsers reach it by HTTPS only.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls || self.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    /// `__Host-` keeps a neighbouring host from setting the cookie (RFC 6265bis section 4.1.3.2); it needs HTTPS.
    pub(crate) fn cookie_name(&self) -> &'static str {
        if self.is_secure() { "__Host-medlytt_session" } else { "medlytt_session" }
    }

    pub(crate) fn request_rate(&self) -> Rate {
        Rate { per_second: f64::from(self.rate), burst: f64::from(self.burst.max(1)) }
    }

    /// Whether this is a host (`name`, `name:port`) that this server goes by. A page of another name that resolves to
    /// this address (DNS rebinding) is not of this server's origin, and gets nothing.
    pub(crate) fn knows_host(&self, host: &str) -> bool {
        let Some(name) = host_name(host) else { return false };
        let name = name.to_ascii_lowercase();
        let own =
            |url: &String| origin_host(url).and_then(host_name).is_some_and(|own| own.eq_ignore_ascii_case(&name));
        is_address(&name)
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.public_url.as_ref().is_some_and(own)
            || self.allowed_hosts.iter().any(|allowed| allowed == "*" || *allowed == name)
    }

    /// Whether an `Origin` is this server's, to which a request came as `host`.
    pub(crate) fn is_own_origin(&self, origin: &str, host: &str) -> bool {
        let is_public =
            self.public_url.as_ref().is_some_and(|url| url.trim_end_matches('/').eq_ignore_ascii_case(origin));
        is_public || origin_host(origin).is_some_and(|of_origin| of_origin.eq_ignore_ascii_case(host))
    }

    /// Whether a connection from there is a proxy's.
    pub(crate) fn is_proxy(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| contains(*network, ip))
    }
}

/// `https://name:port` → `name:port`.
fn origin_host(origin: &str) -> Option<&str> {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))?;
    let host = rest.split('/').next()?;
    (!host.is_empty()).then_some(host)
}

/// The name of a Host header, without its port; `None` where it is none.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (_, after) = rest.split_once(']')?;
            (&host[..host.len() - after.len()], after.strip_prefix(':').map_or(after, |port| port))
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    (is_name && port.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

fn is_address(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

fn contains((network, prefix): (IpAddr, u8), ip: IpAddr) -> bool {
    let same = |a: u128, b: u128, bits: u32| {
        let shift = bits.saturating_sub(u32::from(prefix));
        a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
    };
    match (network.to_canonical(), ip.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let hosts = vec!["monitor.local".to_owned()];
        Settings { public_url: Some("https://pbx.example.com".to_owned()), allowed_hosts: hosts, ..Settings::default() }
    }

    #[test]
    fn hosts_of_this_server() {
        for good in [
            "localhost",
            "localhost:8080",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1:1",
            "192.0.2.7",
            "[::1]:8080",
            "[2001:db8::1]",
            "pbx.example.com",
            "PBX.example.com:443",
            "pbx.example.com.",
            "monitor.local:8080",
        ] {
            assert!(settings().knows_host(good), "{good}");
        }
        for bad in [
            "evil.invalid",
            "pbx.example.com.evil.invalid",
            "localhost.evil",
            "",
            ":80",
            "1.2.3",
            "[::1",
            "a b",
            "127.0.0.1:x",
            "monitor.local@x",
        ] {
            assert!(!settings().knows_host(bad), "{bad}");
        }
        assert!(Settings { allowed_hosts: vec!["*".to_owned()], ..Settings::default() }.knows_host("any.example"));
    }

    #[test]
    fn origins_of_this_server() {
        let own = settings();
        assert!(own.is_own_origin("https://pbx.example.com", "10.0.0.1:8080"), "as the proxy's clients see it");
        assert!(own.is_own_origin("http://127.0.0.1:8080", "127.0.0.1:8080"));
        for bad in ["null", "", "https://evil.invalid", "http://127.0.0.1:9090", "https://pbx.example.com.evil.invalid"]
        {
            assert!(!own.is_own_origin(bad, "127.0.0.1:8080"), "{bad}");
        }
    }

    #[test]
    fn proxies_by_network() {
        let proxies =
            vec![("10.0.0.0".parse().unwrap(), 8), ("::1".parse().unwrap(), 128), ("0.0.0.0".parse().unwrap(), 32)];
        let own = Settings { trusted_proxies: proxies, ..Settings::default() };
        for (ip, is) in
            [("10.9.9.9", true), ("11.0.0.1", false), ("::1", true), ("::2", false), ("::ffff:10.0.0.1", true)]
        {
            assert_eq!(own.is_proxy(ip.parse().unwrap()), is, "{ip}");
        }
        let all = Settings { trusted_proxies: vec![("0.0.0.0".parse().unwrap(), 0)], ..Settings::default() };
        assert!(all.is_proxy("192.0.2.1".parse().unwrap()));
    }
}
