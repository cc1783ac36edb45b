//! Values of the configuration that have a syntax of their own.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use signalling::message::uri::Uri;
use signalling::transport::Transport;

use super::Resolver;

/// Nothing here needs to wait longer than a year, and no clock overflows by it.
pub(super) const ANY_DURATION: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(366 * 86_400);
/// Any duration but none.
pub(super) const SOME_DURATION: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(366 * 86_400);

/// Connections stay at least 32 s after their last message (RFC 3261 §18.4), and phones ping no oftener than they must.
pub(super) const MINUTE_OR_MORE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);

/// A SIP socket to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) transport: Transport,
    pub(crate) addr: SocketAddr,
}

/// `udp:0.0.0.0:5060`, `tcp:0.0.0.0:5060`.
pub(super) fn parse_listen(text: &str) -> Result<Listen, String> {
    let wrong = || format!("must be udp:ADDRESS:PORT or tcp:ADDRESS:PORT, not \"{text}\"");
    match text.split_once(':') {
        Some((transport @ ("tls" | "ws" | "wss"), _)) => Err(format!("{transport}: not in this version")),
        Some((name @ ("udp" | "tcp"), addr)) => {
            let transport = Transport::of_name(name).ok_or_else(wrong)?;
            addr.parse().map(|addr| Listen { transport, addr }).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

/// `20000-39999`: room for at least one pair of ports.
pub(super) fn parse_ports(text: &str) -> Result<(u16, u16), String> {
    let parsed =
        text.split_once('-').and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    match parsed {
        Some((first, last))
            if first >= 1024 && last > first && u32::from(first) + first as u32 % 2 < u32::from(last) =>
        {
            Ok((first, last))
        }
        Some((first, _)) if first < 1024 => Err("must begin at 1024 or above".to_owned()),
        _ => Err(format!("must be FIRST-LAST with room for an even port and the next, not \"{text}\"")),
    }
}

/// `10.0.0.0/24`, or a single address.
pub(super) fn parse_network(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("must be an address or a network such as 10.0.0.0/24, not \"{text}\"");
    let (addr, prefix) = text.split_once('/').map_or((text, None), |(addr, prefix)| (addr, Some(prefix)));
    let addr: IpAddr = addr.parse().map_err(|_| wrong())?;
    let longest = if addr.is_ipv4() { 32 } else { 128 };
    let prefix: u8 = prefix.map_or(Ok(longest), str::parse).map_err(|_| wrong())?;
    if prefix > longest {
        return Err(wrong());
    }
    Ok((addr, prefix))
}

/// `90`, `30s`, `500ms`, `5m`, `12h`, `31d`; `off` is 0.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "off" {
        return Some(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let millis: u64 = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// `sha256:` and 64 hex digits.
pub(super) fn parse_token_hash(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "must be \"sha256:\" and the 64 hex digits of the token's SHA-256".to_owned();
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.is_ascii()).ok_or_else(wrong)?;
    let mut hash = [0; 32];
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
    }
    Ok(hash)
}

/// Ids, numbers and SIP users: what can stand in a Request-URI and in a path without escapes.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._~+*#-".contains(c);
    if text.len() <= 64 && !text.is_empty() && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err(format!("must be 1 to 64 letters, digits or any of . _ ~ + * # -, not \"{text}\""))
}

/// The name of a header that may be read from calls.
pub(super) fn parse_header(text: &str) -> Result<String, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(token) {
        return Err(format!("must be the name of a SIP header, not \"{text}\""));
    }
    Ok(text.to_owned())
}

/// Keys of a phone that mean something together: two at least, so that none does by mishap.
pub(super) fn parse_keys(text: &str) -> Result<String, String> {
    if (2..=16).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit() || "*#ABCD".contains(c)) {
        return Ok(text.to_owned());
    }
    Err(format!("must be 2 to 16 keys out of 0-9 * # A-D, such as \"*7\", not \"{text}\""))
}

/// `application/x-shield`, without parameters.
pub(super) fn parse_media_type(text: &str) -> Result<String, String> {
    let token = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-.+_".contains(c));
    let fits = text.len() <= 64 && text.split_once('/').is_some_and(|(one, two)| token(one) && token(two));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("must be a media type such as application/x-shield, not \"{text}\""))
    }
}

/// A SIP URI whose host was resolved.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) uri: Uri,
    pub(super) addr: SocketAddr,
}

/// How the names in SIP URIs are judged.
#[derive(Clone, Copy)]
pub(super) struct Reach<'r> {
    pub(super) resolver: &'r dyn Resolver,
    /// An address of this family is preferred.
    pub(super) ipv6: bool,
    /// Connections are taken, too: without that nobody could answer over another.
    pub(super) tcp: bool,
}

/// `sip:kushen@10.0.1.5:5060;transport=tcp`, resolved.
pub(super) fn parse_sip_uri(text: &str, reach: Reach<'_>) -> Result<Hop, String> {
    let Reach { resolver, ipv6, tcp } = reach;
    let wrong = || format!("must be a SIP URI such as sip:HOST:5060, not \"{text}\"");
    let uri = Uri::parse(text).ok_or_else(wrong)?;
    match (uri.scheme().to_ascii_lowercase().as_str(), uri.param("transport").map(str::to_ascii_lowercase).as_deref()) {
        ("sips", _) => return Err("sips: not in this version".to_owned()),
        ("sip", None | Some("udp")) => {}
        ("sip", Some("tcp")) if tcp => {}
        ("sip", Some("tcp")) => return Err("transport=tcp: no tcp address stands in sip.listen".to_owned()),
        ("sip", Some(transport)) => return Err(format!("transport={transport}: not in this version")),
        _ => return Err(wrong()),
    }
    let host = uri.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() || uri.port() == Some(0) {
        return Err(wrong());
    }
    let port = uri.port().unwrap_or(5060);
    let addr = match host.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port),
        Err(_) => resolved(&host, port, resolver, ipv6)?,
    };
    Ok(Hop { uri, addr })
}

fn resolved(host: &str, port: u16, resolver: &dyn Resolver, ipv6: bool) -> Result<SocketAddr, String> {
    let addrs = resolver.resolve(host, port).map_err(|error| format!("host \"{host}\" cannot be resolved: {error}"))?;
    let best = addrs.iter().find(|addr| addr.is_ipv6() == ipv6).or(addrs.first());
    best.copied().ok_or_else(|| format!("host \"{host}\" has no address"))
}
