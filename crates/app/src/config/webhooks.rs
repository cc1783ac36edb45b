//! `[webhooks]`: where the engine may send events, and how many it keeps.

use std::ops::RangeInclusive;
use std::time::Duration;

use api::{Network, WebhookSettings};

use super::section::Section;
use super::values::parse_network;

/// Endpoints that need longer than a minute hold up their own queue only, but a test waits for them.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

pub(super) fn webhooks(root: &Section<'_>) -> WebhookSettings {
    let section = root.section("webhooks");
    let default = WebhookSettings::default();
    let network = |text: &String| parse_network(text).map(|(address, prefix)| Network { address, prefix });
    let allow = section.strings("allow").unwrap_or_default();
    let certificates = section.filled("certificates").and_then(|given| {
        given.parse(|path| {
            let pem = std::fs::read(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
            api::check_webhook_certificates(&pem).map_err(|why| format!("{path} {why}"))?;
            Ok(pem)
        })
    });
    let settings = WebhookSettings {
        allow_http: section.boolean("allow_http").map_or(default.allow_http, |given| given.value),
        allow: allow.iter().filter_map(|given| given.parse(network)).collect(),
        certificates,
        timeout: section.duration("timeout", TIMEOUT).unwrap_or(default.timeout),
        max: section.count("max", 0..=10_000).unwrap_or(default.max),
        max_per_user: section.count("max_per_user", 0..=10_000).unwrap_or(default.max_per_user),
        max_pending: section.count("max_pending", 1..=100_000).unwrap_or(default.max_pending),
        resolver: default.resolver,
    };
    section.finish();
    settings
}
