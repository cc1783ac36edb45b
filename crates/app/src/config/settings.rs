//! The configuration as the cores want it.

use super::Config;

/// Ended calls, listenings and requests that wait in the views for the store.
const MAX_ENDED_VIEWS: usize = 10_000;

impl Config {
    /// What the engine needs.
    pub(crate) fn engine(&self) -> engine::Settings {
        let monitoring = &self.monitoring;
        engine::Settings {
            signalling: self.signalling(),
            access_number: monitoring.access_number.clone(),
            listener_display: monitoring.listener_display.clone(),
            header_queue: monitoring.header_queue.clone(),
            header_access_number: monitoring.header_access_number.clone(),
            header_interaction: monitoring.header_interaction.clone(),
            header_do_not_monitor: monitoring.header_do_not_monitor.clone(),
            ring_timeout: monitoring.ring_timeout,
            min_heard: monitoring.min_heard,
            busy_retry: monitoring.busy_retry,
            busy_retries: monitoring.busy_retries,
            suspend_after: monitoring.suspend_after,
            max_listeners_per_agent: monitoring.max_listeners_per_agent,
            plain_listeners: monitoring.plain_listeners,
            transfer_linger: monitoring.transfer_linger,
            shield_timeout: monitoring.shield_timeout,
            shield_info: monitoring.shield_info.clone(),
            shield_on_keys: monitoring.shield_on_keys.clone(),
            shield_off_keys: monitoring.shield_off_keys.clone(),
            confirm_numbers: monitoring.confirm_numbers,
            confirm_timeout: monitoring.confirm_timeout,
            default_until: monitoring.default_until,
            max_until: monitoring.max_until,
            strict_listener: monitoring.strict_listener,
            max_active_requests_supervisor: monitoring.max_active_requests_supervisor,
            max_active_requests_admin: monitoring.max_active_requests_admin,
            default_directions: monitoring.directions.clone(),
            other_streams: self.media.other_streams,
            max_requests: monitoring.max_requests,
            max_ended_views: MAX_ENDED_VIEWS,
            media_layout: crate::media_plane::layout(self),
            fork_lag: self.media.fork_lag,
            call_lag: self.media.call_lag,
            listener_weight: 1,
        }
    }

    /// What a media shard needs.
    pub(crate) fn shard(&self) -> media::Settings {
        let streams = if self.media.other_streams { 1 + signalling::OTHER_STREAMS_MAX } else { 1 };
        media::Settings {
            rtp_timeout: self.media.rtp_timeout,
            rtp_timeout_held: self.media.rtp_timeout_held,
            one_way_after: self.media.one_way_after,
            listener_lost_after: self.monitoring.listener_lost_after,
            dtmf_to_listener: self.monitoring.dtmf_to_listener,
            max_streams: self.sip.max_calls.saturating_mul(2 * streams),
            browsers: media::browser::Browsers { max_legs: self.media.max_browsers, ..Default::default() },
            ..media::Settings::default()
        }
    }

    /// Keys whose new value is not taken by a reload.
    pub(crate) fn needing_restart(&self, running: &Self) -> Vec<&'static str> {
        let sections = [
            ("sip", format!("{:?}", self.sip) != format!("{:?}", running.sip)),
            ("media", format!("{:?}", self.media) != format!("{:?}", running.media)),
            ("api.listen", self.api.listen != running.api.listen),
            ("store.url", self.store_url != running.store_url),
            ("store.call_records", self.call_records != running.call_records),
            ("log", format!("{:?}", self.log) != format!("{:?}", running.log)),
            ("monitoring.dtmf_to_listener", self.monitoring.dtmf_to_listener != running.monitoring.dtmf_to_listener),
            (
                "monitoring.listener_lost_after",
                self.monitoring.listener_lost_after != running.monitoring.listener_lost_after,
            ),
        ];
        sections.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }

    /// Timers are those of RFC 3261.
    fn signalling(&self) -> signalling::Settings {
        signalling::Settings {
            advertised: self.sip.advertised.clone(),
            digest: self.sip.digest.clone(),
            user_agent: format!("Medlytt/{}", env!("CARGO_PKG_VERSION")),
            // Both legs of each; listeners take theirs out of the same number.
            max_legs: self.sip.max_calls.saturating_mul(2),
            max_transactions: self.sip.max_transactions,
            rtcp_mux: self.media.rtcp_mux,
            connections: signalling::transport::ConnectionLimits {
                total: self.sip.max_connections,
                per_source: self.sip.max_connections_per_source,
                idle: self.sip.connection_idle,
                ..signalling::transport::ConnectionLimits::default()
            },
            ..signalling::Settings::for_domain(&self.sip.domain)
        }
    }
}
