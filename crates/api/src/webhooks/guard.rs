//! Where webhooks may go. Whoever makes one has us send requests from inside the network, so only public addresses
//! and networks that the operator listed are connected to; names are resolved here, and the very addresses that were
//! judged are the ones that are used.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use url::{Host, Url};

use super::Settings;

/// A URL at most, in bytes.
pub(crate) const URL_MAX: usize = 2048;
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;

/// Every address whose first bits are these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address of it.
    pub address: IpAddr,
    /// How many bits are the network's.
    pub prefix: u8,
}

/// Names to addresses.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of a host, best first.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolved<'a>;
}

/// What [`Resolve::resolve`] gives.
pub type Resolved<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// The system's resolver.
#[derive(Debug)]
pub(super) struct SystemResolver;

/// Why a URL or its host is not gone to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// Not the form that it must have; says which.
    Form(&'static str),
    /// The name has no address, or the resolver did not answer.
    Unresolved,
    /// No address of it is public or listed.
    Address,
}

impl Barred {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Form(words) => words,
            Self::Unresolved => "The host cannot be resolved.",
            Self::Address => "The host has no public address; other networks must stand in `[webhooks] allow`.",
        }
    }
}

impl Network {
    /// Whether the address is in it. IPv4 networks hold no address that is written as IPv6.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                u32::from(net).checked_shr(shift) == u32::from(ip).checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                u128::from(net).checked_shr(shift) == u128::from(ip).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolved<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// The URL as it is used. Odd spellings of IPv4 (`0x7f.1`, `2130706433`) are addresses once it is parsed.
pub(crate) fn parse(text: &str, allow_http: bool) -> Result<Url, Barred> {
    if text.len() > URL_MAX {
        return Err(Barred::Form("At most 2048 bytes."));
    }
    let url = Url::parse(text).map_err(|_| Barred::Form("Must be a URL such as https://example.com/hook."))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => return Err(Barred::Form("Must be https; http needs `[webhooks] allow_http`.")),
        _ => return Err(Barred::Form("Must be an https URL.")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Barred::Form("No user and password in the URL: deliveries are signed."));
    }
    if url.fragment().is_some() || url.port() == Some(0) || url.host_str().is_none_or(str::is_empty) {
        return Err(Barred::Form("Needs a host, a port that is not 0, and no fragment."));
    }
    Ok(url)
}

/// Addresses of the URL's host that may be connected to.
pub(crate) async fn addresses(url: &Url, settings: &Settings, within: Duration) -> Result<Vec<SocketAddr>, Barred> {
    let port = url.port_or_known_default().ok_or(Barred::Form("Needs a port."))?;
    let mut found = match url.host() {
        Some(Host::Ipv4(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Ipv6(ip)) => vec![SocketAddr::from((ip, port))],
        Some(Host::Domain(name)) => {
            let asked = tokio::time::timeout(within, settings.resolver.resolve(name, port)).await;
            asked.map_err(|_| Barred::Unresolved)?.map_err(|_| Barred::Unresolved)?
        }
        None => return Err(Barred::Unresolved),
    };
    if found.is_empty() {
        return Err(Barred::Unresolved);
    }
    found.truncate(ADDRESSES_MAX);
    found.retain(|address| may_go(address.ip(), &settings.allow));
    if found.is_empty() { Err(Barred::Address) } else { Ok(found) }
}

fn may_go(ip: IpAddr, allow: &[Network]) -> bool {
    allow.iter().any(|network| network.contains(ip)) || is_public(ip)
}

/// By the IANA registries of special-purpose addresses: what is not for everybody is for nobody.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|(net, prefix)| within_v4(ip, *net, *prefix)),
        // Global unicast alone (RFC 4291 section 2.4): leaves out ::1, ::, fc00::/7, fe80::/10, ff00::/8, IPv4-mapped and
        // -compatible addresses, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48).
        IpAddr::V6(ip) => {
            within_v6(ip, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
                && !SPECIAL_V6.iter().any(|(net, prefix)| within_v6(ip, *net, *prefix))
        }
    }
}

const SPECIAL_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Teredo and other protocols, documentation, 6to4.
const SPECIAL_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

fn within_v4(ip: Ipv4Addr, net: Ipv4Addr, prefix: u8) -> bool {
    Network { address: net.into(), prefix }.contains(ip.into())
}

fn within_v6(ip: Ipv6Addr, net: Ipv6Addr, prefix: u8) -> bool {
    Network { address: net.into(), prefix }.contains(ip.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Debug)]
    struct Says(Vec<SocketAddr>);

    impl Resolve for Says {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolved<'a> {
            Box::pin(std::future::ready(Ok(self.0.clone())))
        }
    }

    #[derive(Debug)]
    struct Never;

    impl Resolve for Never {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolved<'a> {
            Box::pin(std::future::pending())
        }
    }

    async fn judge(url: &str, settings: &Settings) -> Result<Vec<SocketAddr>, Barred> {
        addresses(&parse(url, true)?, settings, Duration::from_secs(5)).await
    }

    /// Spellings of what must not be reached: each is an address once the URL is parsed.
    #[tokio::test]
    async fn no_spelling_of_an_inner_address_is_gone_to() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "0",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::808:808]",
            "[64:ff9b:1::a00:1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
        ] {
            for scheme in ["http", "https"] {
                let judged = judge(&format!("{scheme}://{host}/latest/"), &Settings::default()).await;
                assert_eq!(judged, Err(Barred::Address), "{host}");
            }
        }
        for host in ["8.8.8.8", "100.63.255.255", "172.32.0.1", "169.253.0.1", "[2606:4700::1111]", "[2a00::1]"] {
            assert!(judge(&format!("https://{host}/"), &Settings::default()).await.is_ok(), "{host}");
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_their_addresses() {
        let inner = SocketAddr::from(([169, 254, 169, 254], 443));
        let public = SocketAddr::from(([8, 8, 8, 8], 443));
        let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 443);
        for (says, wanted) in [
            (vec![inner], Err(Barred::Address)),
            (vec![mapped], Err(Barred::Address)),
            (vec![], Err(Barred::Unresolved)),
            (vec![inner, public, mapped], Ok(vec![public])),
        ] {
            let settings = Settings { resolver: Arc::new(Says(says)), ..Settings::default() };
            assert_eq!(judge("https://rebind.example/", &settings).await, wanted);
        }
        let localhost = judge("https://localhost/", &Settings::default()).await;
        assert_eq!(localhost, Err(Barred::Address), "by the system's own resolver");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_does_not_answer_is_not_waited_for() {
        let settings = Settings { resolver: Arc::new(Never), ..Settings::default() };
        assert_eq!(judge("https://slow.example/", &settings).await, Err(Barred::Unresolved));
    }

    #[tokio::test]
    async fn the_operators_networks_are_gone_to_and_no_others() {
        let network = |text: &str, prefix| Network { address: text.parse().unwrap(), prefix };
        let allow = vec![network("10.1.0.0", 16), network("fd00::", 8), network("192.168.7.7", 32)];
        let settings = Settings { allow, ..Settings::default() };
        for (host, goes) in [
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("[::ffff:10.1.0.1]", false),
            ("[fd12::1]", true),
            ("[fe80::1]", false),
            ("192.168.7.7", true),
            ("192.168.7.8", false),
        ] {
            assert_eq!(judge(&format!("https://{host}/"), &settings).await.is_ok(), goes, "{host}");
        }
        let all = Settings { allow: vec![network("0.0.0.0", 0)], ..Settings::default() };
        assert!(judge("https://127.0.0.1/", &all).await.is_ok());
        assert!(judge("https://[::1]/", &all).await.is_err());
    }

    #[test]
    fn urls_have_a_form() {
        for text in [
            "",
            "example.com/hook",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "https://",
            "https://user@example.com/",
            "https://:secret@example.com/",
            "https://example.com:0/",
            "https://example.com/#x",
            "https://exa mple.com/",
            "http://1.2.3.4.5.6.7.8.9999999/",
        ] {
            assert!(matches!(parse(text, true), Err(Barred::Form(_))), "{text}");
        }
        assert!(parse("http://example.com/", false).is_err());
        assert!(parse(&format!("https://example.com/{}", "a".repeat(URL_MAX)), false).is_err());
        assert_eq!(parse("HTTPS://EXAMPLE.com:8443/a?b=c", false).unwrap().as_str(), "https://example.com:8443/a?b=c");
    }
}
