//! `[sip]`, `[media]`, `[api]`, `[store]` and `[log]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use signalling::digest::Algorithm;
use signalling::transport::Transport;

use super::section::Section;
use super::values::{ANY_DURATION, Listen, MINUTE_OR_MORE, SOME_DURATION, parse_listen, parse_ports};
use super::{Log, LogFormat, Media, Sip};

/// How long call records are kept where the configuration does not say.
const CALL_RECORDS: Duration = Duration::from_secs(90 * 86_400);
/// 0 is for ever, and so is a century.
const KEPT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(36_525 * 86_400);

pub(super) fn sip(root: &Section<'_>) -> Sip {
    let section = root.section("sip");
    let listen = section.strings("listen").map(|given| {
        let listens: Vec<Listen> = given.iter().filter_map(|listen| listen.parse(|text| parse_listen(text))).collect();
        if given.is_empty() {
            section.problem("listen", "must name at least one address");
        }
        for (at, listen) in listens.iter().enumerate() {
            if listen.addr.port() != 0 && listens[..at].contains(listen) {
                section.problem("listen", format!("{}:{} stands here twice", listen.transport.name(), listen.addr));
            }
        }
        listens
    });
    let digest = section.strings("digest").map(|given| {
        let known = |name: &String| match Algorithm::new(Some(name)) {
            Some(algorithm) => Ok(algorithm),
            None => Err(format!("must hold \"MD5\", \"SHA-256\" or \"SHA-512-256\", not \"{name}\"")),
        };
        if given.is_empty() {
            section.problem("digest", "must name at least one algorithm");
        }
        given.iter().filter_map(|name| name.parse(known)).collect()
    });
    let sip = Sip {
        listen: listen.unwrap_or_else(|| {
            let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060));
            [Transport::Udp, Transport::Tcp].map(|transport| Listen { transport, addr }).to_vec()
        }),
        advertised: section.filled("advertised").map(|given| given.value),
        domain: section.filled("domain").map_or_else(|| "medlytt".to_owned(), |given| given.value),
        digest: digest.unwrap_or_else(|| vec![Algorithm::Md5]),
        max_calls: section.count("max_calls", 1..=1_000_000).unwrap_or(10_000),
        max_transactions: section.count("max_transactions", 1..=10_000_000).unwrap_or(100_000),
        max_connections: section.count("max_connections", 1..=1_000_000).unwrap_or(4096),
        max_connections_per_source: section.count("max_connections_per_source", 1..=1_000_000).unwrap_or(256),
        connection_idle: section.duration("connection_idle", MINUTE_OR_MORE).unwrap_or(Duration::from_secs(300)),
    };
    section.finish();
    sip
}

pub(super) fn media(root: &Section<'_>) -> Media {
    let section = root.section("media");
    let ip = |text: &String| text.parse::<IpAddr>().map_err(|_| format!("must be an IP address, not \"{text}\""));
    let media = Media {
        address: section
            .string("address")
            .and_then(|given| given.parse(ip))
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        advertised: section.string("advertised").and_then(|given| given.parse(ip)),
        ports: section
            .string("ports")
            .and_then(|given| given.parse(|text| parse_ports(text)))
            .unwrap_or((20_000, 39_999)),
        port_pool: section.count("port_pool", 4..=4096).unwrap_or(128),
        quarantine: section.duration("quarantine", ANY_DURATION).unwrap_or(Duration::from_secs(5)),
        rtp_timeout: section.duration("rtp_timeout", ANY_DURATION).unwrap_or(Duration::from_secs(60)),
        rtp_timeout_held: section.duration("rtp_timeout_held", ANY_DURATION).unwrap_or(Duration::from_secs(3600)),
        one_way_after: section.duration("one_way_after", SOME_DURATION).unwrap_or(Duration::from_secs(10)),
        other_streams: section.choice("other_streams", &[("refuse", false), ("relay", true)]).unwrap_or(false),
        rtcp_mux: section.boolean("rtcp_mux").is_some_and(|given| given.value),
    };
    section.finish();
    media
}

pub(super) fn api_listen(root: &Section<'_>) -> SocketAddr {
    let section = root.section("api");
    let addr = |text: &String| text.parse::<SocketAddr>().map_err(|_| format!("must be ADDRESS:PORT, not \"{text}\""));
    let listen = section.string("listen").and_then(|given| given.parse(addr));
    for later in ["certificate", "key"] {
        section.not_in_this_version(later);
    }
    section.finish();
    listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
}

/// Where the store is, and how long it keeps call records.
pub(super) fn store(root: &Section<'_>) -> (String, Duration) {
    let section = root.section("store");
    let url = section.string("url").and_then(|given| {
        given.parse(|text| match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(text.clone()),
            Some(("nats", _)) => Err("nats: not in this version".to_owned()),
            _ => Err(format!("must be sqlite:FILE, not \"{text}\"")),
        })
    });
    let call_records = section.duration("call_records", KEPT).unwrap_or(CALL_RECORDS);
    section.finish();
    (url.unwrap_or_else(|| "sqlite:medlytt.db".to_owned()), call_records)
}

pub(super) fn log(root: &Section<'_>) -> Log {
    let section = root.section("log");
    let format =
        section.choice("format", &[("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)]);
    let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
    let level = section.choice("level", &levels).unwrap_or("info").to_owned();
    if let Some(numbers) = section.string("numbers") {
        let _ = numbers.parse(|text| match text.as_str() {
            "masked" => Ok(()),
            "full" => Err("full: not in this version".to_owned()),
            _ => Err(format!("must be \"masked\", not \"{text}\"")),
        });
    }
    section.finish();
    Log { format: format.unwrap_or(LogFormat::Auto), level }
}
