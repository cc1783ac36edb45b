//! Figures of all parts under the names that `/metrics` shows.

use std::collections::BTreeMap;
use std::time::Duration;

use media::router::RouterFigures;

use crate::media_thread::{LAG_BOUNDS, MediaFigures, SocketCounters};
use crate::sip_sockets::SipCounters;
use crate::sip_streams::StreamFigures;

/// Where the figures come from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) sizes: engine::Sizes,
    pub(crate) engine: BTreeMap<&'static str, u64>,
    /// One of each media thread.
    pub(crate) media: Vec<MediaFigures>,
    pub(crate) plane: RouterFigures,
    pub(crate) sip: SipCounters,
    pub(crate) streams: StreamFigures,
    pub(crate) store: store::WriterFigures,
    pub(crate) store_unreadable: u64,
    pub(crate) unanswered: u64,
    pub(crate) stops: u64,
}

/// Everything by name.
pub(crate) fn figures(from: &Sources) -> api::Figures {
    let mut counters: BTreeMap<String, u64> = from.engine.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    counters.extend(shell_counters(from).map(|(name, n)| (name.to_owned(), n)));
    for media in &from.media {
        for (name, n) in media_counters(media).into_iter().chain(socket_counters(media)) {
            *counters.entry(name.to_owned()).or_default() += n;
        }
    }
    api::Figures {
        counters,
        gauges: gauges(from).into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
        shards: from.media.iter().map(shard).collect(),
    }
}

fn media_counters(media: &MediaFigures) -> [(&'static str, u64); 44] {
    let rtp_not_rtp = media.shard.not_rtp();
    // Taken apart, so that a counter which is added cannot be forgotten here.
    let media::Counters {
        relayed_rtp,
        relayed_rtcp,
        rtp_malformed,
        rtp_foreign,
        rtp_unbridged,
        rtcp_malformed,
        rtcp_foreign,
        rtcp_unbridged,
        rtcp_on_rtp_port,
        media_early,
        media_stun,
        media_dtls,
        media_zrtp,
        media_turn,
        media_unknown,
        media_target_refused,
        srtp_auth_failed,
        srtp_unknown,
        srtp_replayed,
        srtp_malformed,
        srtp_displaced,
        srtp_unsent,
        browser_checks,
        browser_checks_refused,
        browser_foreign,
        browser_rtp_dropped,
        browser_rtcp_received,
        browser_unknown,
        browser_malformed,
        browser_unpassed,
        browser_refused,
        listener_rtp_dropped,
        listener_rtcp_received,
        listener_rtcp_dropped,
        listener_packets_sent,
        frames_encoded,
        frames_concealed,
        frames_late,
        ring_overflow,
        tap_undecodable,
        ticks_skipped,
        unknown_port,
        commands_refused,
    } = media.shard;
    [
        ("rtp_relayed", relayed_rtp),
        ("rtcp_relayed", relayed_rtcp),
        ("rtp_malformed", rtp_malformed),
        ("rtp_foreign", rtp_foreign),
        ("rtp_not_rtp", rtp_not_rtp),
        ("rtp_unbridged", rtp_unbridged),
        ("rtcp_malformed", rtcp_malformed),
        ("rtcp_foreign", rtcp_foreign),
        ("rtcp_unbridged", rtcp_unbridged),
        ("rtcp_on_rtp_port", rtcp_on_rtp_port),
        ("media_early", media_early),
        ("media_stun", media_stun),
        ("media_dtls", media_dtls),
        ("media_zrtp", media_zrtp),
        ("media_turn", media_turn),
        ("media_unknown", media_unknown),
        ("media_target_refused", media_target_refused),
        ("srtp_auth_failed", srtp_auth_failed),
        ("srtp_unknown", srtp_unknown),
        ("srtp_replayed", srtp_replayed),
        ("srtp_malformed", srtp_malformed),
        ("srtp_displaced", srtp_displaced),
        ("srtp_unsent", srtp_unsent),
        ("browser_checks", browser_checks),
        ("browser_checks_refused", browser_checks_refused),
        ("browser_foreign", browser_foreign),
        ("browser_rtp_dropped", browser_rtp_dropped),
        ("browser_rtcp_received", browser_rtcp_received),
        ("browser_unknown", browser_unknown),
        ("browser_malformed", browser_malformed),
        ("browser_unpassed", browser_unpassed),
        ("browser_refused", browser_refused),
        ("listener_rtp_dropped", listener_rtp_dropped),
        ("listener_rtcp_received", listener_rtcp_received),
        ("listener_rtcp_dropped", listener_rtcp_dropped),
        ("listener_packets_sent", listener_packets_sent),
        ("listener_frames_encoded", frames_encoded),
        ("fork_frames_concealed", frames_concealed),
        ("fork_frames_late", frames_late),
        ("fork_ring_overflow", ring_overflow),
        ("fork_undecodable", tap_undecodable),
        ("fork_ticks_skipped", ticks_skipped),
        ("media_unknown_port", unknown_port),
        ("media_commands_refused", commands_refused),
    ]
}

fn socket_counters(media: &MediaFigures) -> [(&'static str, u64); 19] {
    let SocketCounters {
        io,
        busy,
        bind_failed,
        no_descriptors,
        bound,
        reused,
        late,
        connected,
        connect_failed,
        connect_unfit,
        muxed_away,
    } = media.sockets;
    let udp::Counters { received, sent, refused, full, send_failed, receive_failed, truncated, starved } = io;
    [
        ("media_datagrams_received", received),
        ("media_datagrams_sent", sent),
        ("media_sends_refused", refused),
        ("media_sends_full", full),
        ("media_sends_failed", send_failed),
        ("media_receives_failed", receive_failed),
        ("media_datagrams_too_long", truncated),
        ("media_buffers_short", starved),
        ("media_datagrams_late", late),
        ("media_datagrams_stale", media.stale),
        ("media_ports_busy", busy),
        ("media_ports_bound", bound),
        ("media_ports_reused", reused),
        ("media_binds_failed", bind_failed),
        ("media_descriptors_short", no_descriptors),
        ("media_rtcp_closed", muxed_away),
        ("media_connects", connected),
        ("media_connects_failed", connect_failed),
        ("media_connects_unfit", connect_unfit),
    ]
}

fn shard(media: &MediaFigures) -> api::ShardFigures {
    let bounds = LAG_BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
    api::ShardFigures {
        io: media.io,
        lag_seconds: media.lag_max.as_secs_f64(),
        streams: media.streams,
        listeners: media.listeners,
        sockets: media.open,
        lags: bounds.zip(media.lag.classes).collect(),
        lags_sum: media.lag.sum.as_secs_f64(),
    }
}

fn shell_counters(from: &Sources) -> [(&'static str, u64); 22] {
    let (sip, streams, store) = (&from.sip, &from.streams, &from.store);
    [
        ("sip_datagrams_received", sip.received),
        ("sip_datagrams_sent", sip.sent),
        ("sip_receives_failed", sip.receive_failed),
        ("sip_sends_full", sip.send_full),
        ("sip_sends_failed", sip.send_failed),
        ("sip_sends_without_socket", sip.no_socket),
        ("sip_connections_accepted", streams.accepted),
        ("sip_accepts_failed", streams.accepts_failed),
        ("sip_accepts_refused", streams.accepts_refused),
        ("sip_stream_bytes_received", streams.bytes_received),
        ("sip_stream_bytes_sent", streams.bytes_sent),
        ("sip_stream_queues_full", streams.queues_full),
        ("store_changes_written", store.written),
        ("store_changes_failed", store.failed),
        ("store_changes_refused", store.refused),
        ("store_batches", store.batches),
        ("store_records_unreadable", from.store_unreadable),
        ("media_commands_dropped", from.plane.dropped),
        ("media_stream_moves", from.plane.stream_moves),
        ("media_listener_moves", from.plane.listener_moves),
        ("engine_replies_unasked", from.unanswered),
        ("stops", from.stops),
    ]
}

fn gauges(from: &Sources) -> [(&'static str, f64); 22] {
    let sizes = &from.sizes;
    let lag_max = from.media.iter().map(|media| media.lag_max).max().unwrap_or_default();
    let sum = |of: fn(&MediaFigures) -> usize| gauge(from.media.iter().map(of).sum());
    [
        ("calls", gauge(sizes.calls)),
        ("interactions", gauge(sizes.interactions)),
        ("requests", gauge(sizes.requests)),
        ("listenings", gauge(sizes.listenings)),
        ("media_ports_ready", gauge(sizes.ports_ready)),
        ("media_shards", gauge(sizes.shards)),
        ("media_shards_over_fork_lag", gauge(sizes.shards_over_fork_lag)),
        ("media_shards_over_call_lag", gauge(sizes.shards_over_call_lag)),
        ("sip_legs", gauge(sizes.signalling.legs)),
        ("sip_transactions", gauge(sizes.signalling.transactions)),
        ("sip_transfers", gauge(sizes.signalling.transfers)),
        ("sip_bindings", gauge(sizes.signalling.bindings)),
        ("sip_connections", gauge(sizes.signalling.connections)),
        ("sip_stream_sockets", gauge(from.streams.open)),
        ("media_streams", sum(|media| media.streams)),
        ("media_listeners", sum(|media| media.listeners)),
        ("media_ports_in_use", sum(|media| media.ports.0)),
        ("media_ports_resting", sum(|media| media.ports.1)),
        ("media_ports_kept", sum(|media| media.ports.2)),
        ("media_sockets", sum(|media| media.open)),
        ("media_lag_max_seconds", lag_max.as_secs_f64()),
        ("store_changes_waiting", gauge(usize::try_from(from.store.waiting).unwrap_or(usize::MAX))),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "no table here holds 2^52 things")]
fn gauge(count: usize) -> f64 {
    count as f64
}
