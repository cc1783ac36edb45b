//! How many calls fit: what the system's limits, the ports and the configuration allow, worked out and said at start.

use std::fmt;

use crate::config::{Config, pairs};

/// Descriptors besides media and SIP connections at most: SIP sockets, HTTP connections, the store.
const OTHERS: usize = 4096 + 512;
/// Of the limit of open files this part is not for media, if that is enough: SIP and HTTP must go on when calls use up
/// what they may.
const RESERVED_PART: usize = 16;
/// And no less than so many.
const RESERVED_LEAST: usize = 128;

/// How many calls fit, and why not more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Open files of the process.
    pub(crate) open_files: usize,
    /// Of them for media sockets.
    pub(crate) media_sockets: usize,
    /// Pairs of ports in the range.
    pub(crate) port_pairs: usize,
    /// `[sip] max_calls`.
    pub(crate) max_calls: usize,
    /// Calls without listeners that fit.
    pub(crate) calls: usize,
    /// The same where every leg agrees to rtcp-mux.
    pub(crate) calls_muxed: usize,
    /// What allows no more.
    pub(crate) limited_by: Bound,
}

/// What is used up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    MaxCalls,
    Ports,
    OpenFiles,
}

impl Bound {
    /// As the configuration and the log call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MaxCalls => "max_calls",
            Self::Ports => "media ports",
            Self::OpenFiles => "open files",
        }
    }
}

impl Capacity {
    /// Raises the limit of open files as far as it goes and works it out.
    pub(crate) fn of(config: &Config) -> Self {
        Self::with(config, usize::try_from(udp::descriptor_limit()).unwrap_or(usize::MAX))
    }

    fn with(config: &Config, open_files: usize) -> Self {
        let others = OTHERS.saturating_add(config.sip.max_connections);
        let reserved = (open_files / RESERVED_PART).max(RESERVED_LEAST).min(others);
        let media_sockets = open_files.saturating_sub(reserved);
        let (port_pairs, max_calls) = (pairs(config.media.ports), config.sip.max_calls);
        // Two legs of two sockets each; of one where RTCP goes by the RTP port.
        let (calls, limited_by) =
            [(max_calls, Bound::MaxCalls), (port_pairs / 2, Bound::Ports), (media_sockets / 4, Bound::OpenFiles)]
                .into_iter()
                .min_by_key(|(calls, _)| *calls)
                .unwrap_or((0, Bound::MaxCalls));
        let calls_muxed = max_calls.min(port_pairs / 2).min(media_sockets / 2);
        Self { open_files, media_sockets, port_pairs, max_calls, calls, calls_muxed, limited_by }
    }

    /// `max_calls` promises more than fits.
    pub(crate) fn is_short(&self) -> bool {
        self.calls < self.max_calls
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self.limited_by {
            Bound::MaxCalls => "",
            Bound::Ports => "widen [media] ports or lower max_calls",
            Bound::OpenFiles => "raise the limit of open files (LimitNOFILE in systemd) or lower max_calls",
        }
    }
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "room for {} calls, limited by {} (max_calls {}, {} pairs of media ports, {} media sockets of {} open files)",
            self.calls,
            self.limited_by.name(),
            self.max_calls,
            self.port_pairs,
            self.media_sockets,
            self.open_files
        )?;
        if self.calls_muxed > self.calls {
            write!(f, "; for {} with rtcp-mux", self.calls_muxed)?;
        }
        Ok(())
    }
}

/// Says it in the log.
pub(crate) fn tell(capacity: &Capacity) {
    if capacity.is_short() {
        tracing::warn!("{capacity}: calls above that are refused with 503; {}", capacity.advice());
    } else {
        tracing::info!("{capacity}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(max_calls: usize, ports: (u16, u16)) -> Config {
        let mut config = Config::default();
        config.sip.max_calls = max_calls;
        config.media.ports = ports;
        config
    }

    #[test]
    fn what_is_used_up_first_decides() {
        let of = |max_calls, ports, files| {
            let capacity = Capacity::with(&config(max_calls, ports), files);
            (capacity.calls, capacity.limited_by, capacity.is_short())
        };
        assert_eq!(of(100, (20_000, 39_999), 65_536), (100, Bound::MaxCalls, false));
        assert_eq!(of(10_000, (20_000, 39_999), 65_536), (5_000, Bound::Ports, true));
        assert_eq!(of(5_000, (20_000, 39_999), 20_000), (4_687, Bound::OpenFiles, true));
        assert_eq!(of(5_000, (20_000, 39_999), 65_536), (5_000, Bound::MaxCalls, false));
        assert_eq!(of(5_000, (20_000, 39_999), 100).0, 0);
        assert_eq!(of(5_000, (20_000, 39_999), usize::MAX).0, 5_000);
    }

    #[test]
    fn rtcp_mux_needs_half_of_the_descriptors() {
        let capacity = Capacity::with(&config(5_000, (20_000, 39_999)), 8_192);
        assert_eq!((capacity.calls, capacity.calls_muxed), (1_920, 3_840));
        let text = capacity.to_string();
        assert!(text.starts_with("room for 1920 calls, limited by open files (max_calls 5000"), "{text}");
        assert!(text.ends_with("for 3840 with rtcp-mux"), "{text}");
    }
}
