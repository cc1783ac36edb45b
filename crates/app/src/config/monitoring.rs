//! `[monitoring]`: the defaults of SEMANTICS.md.

use std::time::Duration;

use engine::view::CallDirection;

use super::Monitoring;
use super::section::Section;
use super::values::{ANY_DURATION, SOME_DURATION, parse_header, parse_keys, parse_media_type, parse_name};

const DAY: u64 = 86_400;

pub(super) fn monitoring(root: &Section<'_>) -> Monitoring {
    let section = root.section("monitoring");
    let seconds = |key, default| section.duration(key, SOME_DURATION).unwrap_or(Duration::from_secs(default));
    let headers = headers(&section);
    let (supervisor, admin) = max_active_requests(&section);
    let monitoring = Monitoring {
        access_number: section.string("access_number").and_then(|given| given.parse(|text| parse_name(text))),
        listener_display: section
            .string("listener_display")
            .map_or_else(|| "Listen in: {agent}".to_owned(), |given| given.value),
        header_queue: headers.queue,
        header_access_number: headers.access_number,
        header_interaction: headers.interaction,
        header_do_not_monitor: headers.do_not_monitor,
        directions: directions(&section),
        ring_timeout: seconds("ring_timeout", 30),
        min_heard: section.duration("min_heard", ANY_DURATION).unwrap_or(Duration::from_secs(3)),
        busy_retry: seconds("busy_retry", 15),
        busy_retries: section.integer("busy_retries", 0..=1000).and_then(|n| u32::try_from(n).ok()).unwrap_or(3),
        suspend_after: section.integer("suspend_after", 1..=1000).and_then(|n| u32::try_from(n).ok()).unwrap_or(3),
        max_listeners_per_agent: section.count("max_listeners_per_agent", 1..=1000).unwrap_or(8),
        plain_listeners: section.boolean("plain_listeners").is_some_and(|given| given.value),
        transfer_linger: seconds("transfer_linger", 30),
        shield_timeout: section.duration("shield_timeout", ANY_DURATION).filter(|timeout| !timeout.is_zero()),
        shield_info: section.string("shield_info").and_then(|given| given.parse(|text| parse_media_type(text))),
        shield_on_keys: section.string("shield_on_keys").and_then(|given| given.parse(|text| parse_keys(text))),
        shield_off_keys: section.string("shield_off_keys").and_then(|given| given.parse(|text| parse_keys(text))),
        confirm_numbers: section.boolean("confirm_numbers").is_some_and(|given| given.value),
        confirm_timeout: seconds("confirm_timeout", 10),
        default_until: seconds("default_until", DAY / 2),
        max_until: seconds("max_until", 31 * DAY),
        strict_listener: section.boolean("strict_listener").is_some_and(|given| given.value),
        max_active_requests_supervisor: supervisor,
        max_active_requests_admin: admin,
        listener_lost_after: seconds("listener_lost_after", 60),
        dtmf_to_listener: section.boolean("dtmf_to_listener").is_some_and(|given| given.value),
        max_requests: section.count("max_requests", 1..=1_000_000).unwrap_or(10_000),
    };
    if monitoring.default_until > monitoring.max_until {
        section.problem("default_until", "must not be longer than max_until");
    }
    if let (Some(on), Some(off)) = (&monitoring.shield_on_keys, &monitoring.shield_off_keys)
        && (on.ends_with(off.as_str()) || off.ends_with(on.as_str()))
    {
        section.problem("shield_off_keys", "must not end as shield_on_keys do, nor they as these");
    }
    section.finish();
    monitoring
}

#[derive(Default)]
struct Headers {
    queue: Option<String>,
    access_number: Option<String>,
    interaction: Option<String>,
    do_not_monitor: Option<String>,
}

fn headers(section: &Section<'_>) -> Headers {
    let table = section.section("headers");
    let header = |key| table.string(key).and_then(|given| given.parse(|text| parse_header(text)));
    let headers = Headers {
        queue: header("queue"),
        access_number: header("access_number"),
        interaction: header("interaction"),
        do_not_monitor: header("do_not_monitor"),
    };
    table.finish();
    headers
}

/// Per role; 0 is any number.
fn max_active_requests(section: &Section<'_>) -> (Option<usize>, Option<usize>) {
    let table = section.section("max_active_requests");
    let limit = |key, default| Some(table.count(key, 0..=1_000_000).unwrap_or(default)).filter(|limit| *limit > 0);
    let limits = (limit("supervisor", 1), limit("admin", 0));
    table.finish();
    limits
}

fn directions(section: &Section<'_>) -> Vec<CallDirection> {
    let Some(given) = section.strings("directions") else { return vec![CallDirection::Inbound] };
    if given.is_empty() {
        section.problem("directions", "must name at least one of \"inbound\", \"outbound\" and \"internal\"");
    }
    let mut directions = Vec::new();
    for direction in given {
        let parsed = direction.parse(|text| match text.as_str() {
            "inbound" => Ok(CallDirection::Inbound),
            "outbound" => Ok(CallDirection::Outbound),
            "internal" => Ok(CallDirection::Internal),
            _ => Err(format!("must hold \"inbound\", \"outbound\" or \"internal\", not \"{text}\"")),
        });
        match parsed {
            Some(direction) if !directions.contains(&direction) => directions.push(direction),
            _ => {}
        }
    }
    directions
}
