//! `[api]`: where it listens, under which names, with which certificate, and how often one may ask.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::section::{Given, Section};
use super::values::parse_network;

/// `[api]`.
#[derive(Clone, Debug)]
pub(crate) struct ControlApi {
    pub(crate) listen: SocketAddr,
    /// The certificate for HTTPS, read anew with the configuration.
    pub(crate) identity: Option<api::Identity>,
    pub(crate) settings: api::Settings,
}

impl ControlApi {
    /// Where people reach it that is bound to `at`: `http://127.0.0.1:8080`.
    pub(crate) fn url(&self, at: SocketAddr) -> String {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        self.settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{at}"))
    }
}

pub(super) fn api(root: &Section<'_>) -> ControlApi {
    let section = root.section("api");
    let addr = |text: &String| text.parse::<SocketAddr>().map_err(|_| format!("must be ADDRESS:PORT, not \"{text}\""));
    let listen = section.string("listen").and_then(|given| given.parse(addr));
    let identity = identity(&section);
    let fallback = api::Settings::default();
    let settings = api::Settings {
        public_url: section.string("public_url").and_then(|given| given.parse(|text| parse_origin(text))),
        tls: identity.is_some(),
        allowed_hosts: each(section.strings("allowed_hosts"), parse_host),
        trusted_proxies: each(section.strings("trusted_proxies"), |text| parse_network(text)),
        frame_ancestors: each(section.strings("frame_ancestors"), |text| match text.as_str() {
            "'self'" => Ok(text.clone()),
            _ => parse_origin(text),
        }),
        rate: number(&section, "rate").unwrap_or(fallback.rate),
        burst: number(&section, "burst").unwrap_or(fallback.burst),
    };
    let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    let is_plain = identity.is_none() && !settings.public_url.as_ref().is_some_and(|url| url.starts_with("https:"));
    if !listen.ip().is_loopback() && is_plain {
        section.warning("is reached without encryption: set `certificate` and `key`, or `public_url` of the proxy");
    }
    section.finish();
    ControlApi { listen, identity, settings }
}

/// Both files, or none.
fn identity(section: &Section<'_>) -> Option<api::Identity> {
    let (certificate, key) = (section.filled("certificate"), section.filled("key"));
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) if !section.has("key") => {
            section.problem("key", "is missing: a certificate needs its key");
            return None;
        }
        (None, Some(_)) if !section.has("certificate") => {
            section.problem("certificate", "is missing: a key needs its certificate");
            return None;
        }
        _ => return None,
    };
    match api::Identity::read(&PathBuf::from(&certificate.value), &PathBuf::from(&key.value)) {
        Ok(identity) => Some(identity),
        Err(api::IdentityError::Certificate(why)) => {
            certificate.problem(why);
            None
        }
        Err(api::IdentityError::Key(why)) => {
            key.problem(why);
            None
        }
    }
}

fn each<T>(given: Option<Vec<Given<'_, String>>>, parse: impl Fn(&String) -> Result<T, String>) -> Vec<T> {
    given.unwrap_or_default().iter().filter_map(|given| given.parse(&parse)).collect()
}

fn number(section: &Section<'_>, key: &'static str) -> Option<u32> {
    section.count(key, 1..=1_000_000).and_then(|count| u32::try_from(count).ok())
}

/// `https://monitor.example.com` or with a port; no path.
fn parse_origin(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    match !host.is_empty() && host.chars().all(is_host) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("must be https://HOST or https://HOST:PORT, not \"{text}\"")),
    }
}

/// A name as a Host header has it, without its port; `*` is any.
fn parse_host(text: &String) -> Result<String, String> {
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    match text == "*" || is_name {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("must hold host names without a port, or \"*\", not \"{text}\"")),
    }
}
