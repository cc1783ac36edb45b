//! Prometheus: the shell's figures and the API's own, under `medlytt_`. Names come from code, never from traffic.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::{Api, Figures};

/// What the API counts itself.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) unauthenticated: Counter,
    /// Requests above the rate.
    pub(crate) limited: Counter,
    /// Sign-ins refused after too many failures.
    pub(crate) sign_ins_limited: Counter,
    pub(crate) busy: Counter,
    pub(crate) resyncs: Counter,
    pub(crate) subscribers_refused: Counter,
    /// By class of the answer's status: `2xx` …
    pub(crate) answers: Family<[(&'static str, &'static str); 1], Counter>,
    /// By the problem's `code`, of which there is a closed list.
    pub(crate) refusals: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Counts {
    pub(crate) fn answered(&self, status: u16) {
        let class = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.answers.get_or_create(&[("class", class)]).inc();
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&[("code", code)]).inc();
    }
}

/// The exposition text (OpenMetrics 1.0).
pub(crate) fn render(api: &Api) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("medlytt");
    let inner = &api.inner;
    registry.register("build", "What runs here", Info::new([("version", inner.status.load().version.clone())]));
    registry.register("http_requests", "Requests by class of answer", inner.counts.answers.clone());
    registry.register("http_refusals", "Requests refused, by the problem's code", inner.counts.refusals.clone());
    registry.register("http_unauthenticated", "Requests without a valid token", inner.counts.unauthenticated.clone());
    registry.register("http_limited", "Requests above their user's or address's rate", inner.counts.limited.clone());
    let limited = inner.counts.sign_ins_limited.clone();
    registry.register("http_sign_ins_limited", "Sign-ins refused after too many failures", limited);
    registry.register("http_busy", "Orders refused because the engine's queue was full", inner.counts.busy.clone());
    registry.register("events_resyncs", "Subscribers told to read everything again", inner.counts.resyncs.clone());
    registry.register(
        "events_subscribers_refused",
        "Subscribers above the limit",
        inner.counts.subscribers_refused.clone(),
    );
    let mut own = Figures::default();
    let (subscribers, events) = inner.events.figures();
    let (keys, evicted, found) = inner.idempotency.figures();
    own.counters.insert("events".to_owned(), events);
    own.counters.insert("idempotency_keys_evicted".to_owned(), evicted);
    let (folded, forgotten) = inner.notes.figures();
    own.counters.insert("audit_notes_folded".to_owned(), folded);
    own.counters.insert("audit_tokens_forgotten".to_owned(), forgotten);
    own.counters.insert("idempotency_answers_found".to_owned(), found);
    let (sessions, displaced) = inner.sessions.figures();
    own.counters.insert("http_sessions_displaced".to_owned(), displaced);
    own.gauges.insert("http_sessions".to_owned(), gauge(sessions));
    own.gauges.insert("http_tokens".to_owned(), gauge(inner.tokens.count()));
    let shared =
        [inner.requests_taken.figures(), inner.failures_of_users.figures(), inner.failures_of_sources.figures()];
    own.counters.insert("http_limits_shared".to_owned(), shared.iter().map(|(_, shared)| shared).sum());
    own.gauges.insert("http_limits".to_owned(), gauge(shared.iter().map(|(buckets, _)| buckets).sum()));
    own.gauges.insert("events_subscribers".to_owned(), gauge(subscribers));
    own.gauges.insert("levels_readers".to_owned(), gauge(inner.levels.readers()));
    own.gauges.insert("idempotency_keys".to_owned(), gauge(keys));
    registry.register_collector(Box::new(Collected(Arc::new(own))));
    registry.register_collector(Box::new(Collected(inner.figures.load_full())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Figures as they were published, at the time of a scrape.
#[derive(Debug)]
struct Collected(Arc<Figures>);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, value) in &self.0.counters {
            if self.histogram_of(name).is_some() {
                continue;
            }
            let exposed = metric_name(name);
            let metric = encoder.encode_descriptor(&exposed, &name.replace('_', " "), None, MetricType::Counter)?;
            ConstCounter::new(*value).encode(metric)?;
        }
        for (name, value) in &self.0.gauges {
            let exposed = metric_name(name);
            let metric = encoder.encode_descriptor(&exposed, &name.replace('_', " "), None, MetricType::Gauge)?;
            ConstGauge::new(*value).encode(metric)?;
        }
        self.encode_histograms(&mut encoder)?;
        self.encode_shards(encoder)
    }
}

impl Collected {
    /// Counters `X_le_MS` (with `X_count` and `X_ms`) are the classes of a histogram X. Which one a counter belongs to.
    fn histogram_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let of_class = name.split_once("_le_").map(|(base, _)| base);
        let base = of_class.or_else(|| name.strip_suffix("_count")).or_else(|| name.strip_suffix("_ms"))?;
        let first = format!("{base}_le_");
        let is_one = |known: &String| known.starts_with(&first);
        self.0.counters.range(first.clone()..).next().is_some_and(|(known, _)| is_one(known)).then_some(base)
    }

    fn encode_histograms(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = &self.0.counters;
        let value = |name: String| counters.get(&name).copied().unwrap_or_default();
        let bases: BTreeSet<&str> = counters.keys().filter_map(|name| self.histogram_of(name)).collect();
        for base in bases {
            let class = |(name, within): (&String, &u64)| {
                let (of, ms) = name.split_once("_le_")?;
                Some((ms.parse::<u32>().ok().filter(|_| of == base)?, *within))
            };
            let mut classes: Vec<(u32, u64)> = counters.iter().filter_map(class).collect();
            classes.sort_unstable();
            let count = value(format!("{base}_count"));
            let mut below = 0;
            let mut buckets: Vec<(f64, u64)> = Vec::new();
            for (ms, within) in classes {
                buckets.push((f64::from(ms) / 1000.0, within.saturating_sub(below)));
                below = within;
            }
            buckets.push((f64::INFINITY, count.saturating_sub(below)));
            #[allow(clippy::cast_precision_loss, reason = "a sum of waits, for a graph")]
            let sum = value(format!("{base}_ms")) as f64 / 1000.0;
            let name = format!("{}_seconds", metric_name(base));
            let mut metric = encoder.encode_descriptor(&name, &base.replace('_', " "), None, MetricType::Histogram)?;
            metric.encode_histogram::<prometheus_client::encoding::NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    /// The lag of each thread of media: the last second's maximum, and all turns so far.
    fn encode_shards(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let shards = &self.0.shards;
        if shards.is_empty() {
            return Ok(());
        }
        let (name, help) = ("media_shard_lag_seconds", "Longest wait of a packet or tick within the last second");
        let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (number, shard) in shards.iter().enumerate() {
            ConstGauge::new(shard.lag_seconds).encode(gauges.encode_family(&[("shard", number)])?)?;
        }
        let (name, help) = ("media_shard_turn_lag_seconds", "Turns of a thread of media by their lag");
        let mut turns = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (number, shard) in shards.iter().enumerate() {
            let count = shard.lags.iter().map(|(_, count)| count).sum();
            let label = [("shard", number)];
            let mut of_shard = turns.encode_family(&label)?;
            // The encoder adds the classes up.
            of_shard.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
                shard.lags_sum,
                count,
                &shard.lags,
                None,
            )?;
        }
        Ok(())
    }
}

/// Whatever the shell calls it, Prometheus must be able to read it.
fn metric_name(name: &str) -> String {
    let letters = name.strip_suffix("_total").unwrap_or(name).chars();
    letters.map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[allow(clippy::cast_precision_loss, reason = "no table here holds 2^52 things")]
fn gauge(count: usize) -> f64 {
    count as f64
}
