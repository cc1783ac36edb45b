//! `[sip]`, `[store]` and `[log]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use signalling::digest::Algorithm;
use signalling::transport::Transport;

use super::section::Section;
use super::values::{Listen, MINUTE_OR_MORE, parse_listen};
use super::{Log, LogFormat, Sip};

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
        max_calls: section.count("max_calls", 1..=1_000_000).unwrap_or(5_000),
        max_transactions: section.count("max_transactions", 1..=10_000_000).unwrap_or(100_000),
        max_connections: section.count("max_connections", 1..=1_000_000).unwrap_or(4096),
        max_connections_per_source: section.count("max_connections_per_source", 1..=1_000_000).unwrap_or(256),
        connection_idle: section.duration("connection_idle", MINUTE_OR_MORE).unwrap_or(Duration::from_secs(300)),
    };
    section.finish();
    sip
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
