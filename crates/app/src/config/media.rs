//! `[media]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::Media;
use super::section::Section;
use super::values::{ANY_DURATION, SOME_DURATION, parse_ports};
use crate::media_thread::IoKind;

pub(super) fn media(root: &Section<'_>) -> Media {
    let section = root.section("media");
    let ip = |text: &String| text.parse::<IpAddr>().map_err(|_| format!("must be an IP address, not \"{text}\""));
    let ip6 = |text: &String| text.parse::<Ipv6Addr>().map_err(|_| format!("must be an IPv6 address, not \"{text}\""));
    let address =
        section.string("address").and_then(|given| given.parse(ip)).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let advertised = section.string("advertised").and_then(|given| {
        let ip = given.parse(ip)?;
        if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && ip.is_ipv6() {
            given.problem("must be an IPv4 address where address is \"::\"; the other is advertised6");
        }
        Some(ip)
    });
    let advertised6 = section.string("advertised6").and_then(|given| {
        if address != IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            given.problem("is for address = \"::\"; for a single address it is advertised");
        }
        given.parse(ip6)
    });
    let ports =
        section.string("ports").and_then(|given| given.parse(|text| parse_ports(text))).unwrap_or((20_000, 39_999));
    let shards = section.count("shards", 0..=256).unwrap_or(0);
    if shards > pairs(ports) {
        section.problem("shards", format!("must be at most the pairs of ports, {}", pairs(ports)));
    }
    let media = Media {
        address,
        advertised,
        advertised6,
        ports,
        browser_port: section.count("browser_port", 0..=65_535).and_then(|port| u16::try_from(port).ok()).unwrap_or(0),
        max_browsers: section.count("max_browsers", 0..=10_000).unwrap_or(media::browser::MAX_BROWSERS),
        port_pool: section.count("port_pool", 4..=4096).unwrap_or(128),
        kept_ports: section.count("kept_ports", 0..=32_768).unwrap_or(4096),
        quarantine: section.duration("quarantine", ANY_DURATION).unwrap_or(Duration::from_secs(5)),
        shards,
        // Automatic is what was measured to be the better one.
        io: section
            .choice("io", &[("auto", IoKind::Epoll), ("epoll", IoKind::Epoll), ("io_uring", IoKind::IoUring)])
            .unwrap_or(IoKind::Epoll),
        connect: section.boolean("connect").is_none_or(|given| given.value),
        dscp: section.count("dscp", 0..=63).and_then(|dscp| u8::try_from(dscp).ok()).unwrap_or(46),
        rtp_timeout: section.duration("rtp_timeout", ANY_DURATION).unwrap_or(Duration::from_secs(60)),
        rtp_timeout_held: section.duration("rtp_timeout_held", ANY_DURATION).unwrap_or(Duration::from_secs(3600)),
        one_way_after: section.duration("one_way_after", SOME_DURATION).unwrap_or(Duration::from_secs(10)),
        fork_lag: section.duration("fork_lag", SOME_DURATION).unwrap_or(Duration::from_millis(5)),
        call_lag: section.duration("call_lag", SOME_DURATION).unwrap_or(Duration::from_millis(20)),
        other_streams: section.choice("other_streams", &[("refuse", false), ("relay", true)]).unwrap_or(false),
        rtcp_mux: section.boolean("rtcp_mux").is_some_and(|given| given.value),
    };
    if media.browser_port != 0 && usize::from(media.browser_port) + shards.max(1) > 65_536 {
        section.problem("browser_port", "leaves no port for each of shards".to_owned());
    }
    section.finish();
    media
}

/// Even ports of the range whose next port is in the range too.
pub(crate) fn pairs((first, last): (u16, u16)) -> usize {
    let first = usize::from(first).next_multiple_of(2);
    (usize::from(last) + 1).saturating_sub(first) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_an_even_port_and_the_next() {
        assert_eq!(pairs((20_000, 39_999)), 10_000);
        assert_eq!(pairs((20_001, 20_004)), 1);
        assert_eq!(pairs((65_534, 65_535)), 1);
        assert_eq!(pairs((20_001, 20_002)), 0);
    }
}
