//! The system's limits against what the configuration may need: raised where allowed, warned about where not.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors besides media and SIP connections: SIP sockets, HTTP connections, the store.
const OTHERS: u64 = 4096 + 512;

/// Raises the descriptor limit as far as it goes, and warns if that may not be enough.
pub(crate) fn check(config: &Config) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
        }
    }
    let connections = u64::try_from(config.sip.max_connections).unwrap_or(u64::MAX);
    let media = descriptors(config.media.ports, config.sip.max_calls, config.media.port_pool);
    let needed = media.saturating_add(connections);
    if let Some(limit) = limit.current.filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "fewer open files are allowed than max_calls and the media ports may need: raise it (LimitNOFILE in systemd) \
             or lower max_calls; calls above it are refused with 503"
        );
    }
    let pairs = pairs(config.media.ports);
    let wanted = u64::try_from(config.sip.max_calls).unwrap_or(u64::MAX).saturating_mul(2);
    if pairs < wanted {
        tracing::debug!(pairs, wanted, "fewer media ports than max_calls needs: calls above are refused with 503");
    }
}

/// Two sockets a pair, two pairs a call, no more pairs than the range holds.
fn descriptors(ports: (u16, u16), max_calls: usize, pool: usize) -> u64 {
    let calls = u64::try_from(max_calls.saturating_mul(2).saturating_add(pool)).unwrap_or(u64::MAX);
    calls.min(pairs(ports)).saturating_mul(2).saturating_add(OTHERS)
}

fn pairs(ports: (u16, u16)) -> u64 {
    (u64::from(ports.1) + 1).saturating_sub(u64::from(ports.0)) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_calls_and_ports_decides() {
        assert_eq!(descriptors((20_000, 20_099), 10_000, 128), 100 + OTHERS);
        assert_eq!(descriptors((20_000, 39_999), 100, 128), 656 + OTHERS);
    }
}
