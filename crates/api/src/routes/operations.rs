//! Events, status, health, metrics and the document.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response, Sse, sse};
use futures_util::Stream;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::auth::Caller;
use crate::events::{EventPage, Wanted};
use crate::params::Params;
use crate::problem::Refusal;
use crate::{events, metrics, openapi};

static DOCUMENT: LazyLock<String> = LazyLock::new(openapi::document);

/// What the engine is and does.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatusView {
    /// Version.
    version: String,
    /// Bound SIP ports, such as `udp:127.0.0.1:5060`.
    sip: Vec<String>,
    /// Bound address of this API.
    http: String,
    /// Range of media ports.
    media: String,
    /// How many calls fit.
    capacity: CapacityView,
    /// No new calls are taken.
    draining: bool,
    /// As `/readyz`.
    ready: bool,
    /// Why not.
    not_ready: Vec<String>,
    /// Monotonic counters.
    counters: BTreeMap<String, u64>,
    /// Gauges.
    gauges: BTreeMap<String, f64>,
    /// One for each thread of media.
    shards: Vec<ShardView>,
}

/// How many calls fit, worked out at start.
#[derive(Serialize, ToSchema)]
pub(crate) struct CapacityView {
    /// Calls without listeners.
    calls: usize,
    /// The same where every leg agrees to rtcp-mux.
    calls_muxed: usize,
    /// What allows no more: `max_calls`, `media ports` or `open files`.
    limited_by: String,
    /// `[sip] max_calls`.
    max_calls: usize,
    /// Pairs of media ports.
    port_pairs: usize,
    /// Open files that the process may have.
    open_files: usize,
    /// Of them for media.
    media_sockets: usize,
}

/// One thread of media.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShardView {
    /// How it waits for packets: `io_uring` or `epoll`; empty within its first second.
    io: &'static str,
    /// Longest that a packet or a tick waited within the last second.
    lag_seconds: f64,
    /// Legs of calls.
    streams: usize,
    /// Legs of listeners.
    listeners: usize,
    /// Sockets that are open.
    sockets: usize,
}

/// Server-sent events, filtered to what the caller may see.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("types" = Option<String>, Query, description = "Names of EventName with commas between them; others are left out", example = "call.started,call.ended"),
        ("agent" = Option<String>, Query, description = "Agent id: of this agent, its calls, requests and listenings alone"),
        ("after" = Option<String>, Query, description = "As `Last-Event-ID`, which wins; for clients that can set no headers"),
        ("Last-Event-ID" = Option<String>, Header, description = "Go on after this event; where that is not possible, the first event is `resync`")),
    responses((status = 200, content_type = "text/event-stream", body = String,
        description = "`event:` a name of EventName or `resync`; `data:` EventData or ResyncData as JSON; `id:` for `Last-Event-ID`; a comment every 15 s")))]
pub(crate) async fn events(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let wanted = Wanted::parse(&mut params)?;
    let after = params.text("after");
    params.finish()?;
    // What is not text is none of our ids.
    let last_id = headers.get("last-event-id").map(|id| id.to_str().unwrap_or("?"));
    Ok(stream(events::subscribe(&api, caller, wanted, last_id.or(after.as_deref()))?))
}

/// The same events as pages, oldest first, for those who poll.
#[utoipa::path(get, path = "/v1/events/log", tag = "events",
    params(("after" = Option<String>, Query, description = "An event's id or `next_after` of the page before; `now`: nothing that has happened yet; left out: from the oldest that is kept"),
        ("types" = Option<String>, Query, description = "Names of EventName with commas between them; others are left out", example = "call.started,call.ended"),
        ("agent" = Option<String>, Query, description = "Agent id: of this agent, its calls, requests and listenings alone"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Events of a page; default 200")),
    responses((status = 200, body = EventPage)))]
pub(crate) async fn event_log(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<EventPage>, Refusal> {
    let wanted = Wanted::parse(&mut params)?;
    let (after, limit) = (params.text("after"), params.limit(200, events::PAGE_MAX)?);
    params.finish()?;
    Ok(Json(events::log(&api, &caller, &wanted, after.as_deref(), limit)))
}

/// Server-sent events that nobody keeps.
pub(crate) fn stream(events: impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Otherwise nginx would hold events back.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// Bound ports, readiness and live figures.
#[utoipa::path(get, path = "/v1/status", tag = "operations", responses((status = 200, body = StatusView)))]
pub(crate) async fn status(
    State(api): State<Api>,
    _caller: Caller,
    params: Params,
) -> Result<Json<StatusView>, Refusal> {
    params.finish()?;
    let (status, figures) = (api.inner.status.load_full(), api.inner.figures.load_full());
    let not_ready = not_ready(&status);
    Ok(Json(StatusView {
        version: status.version.clone(),
        sip: status.sip.clone(),
        http: status.http.clone(),
        media: status.media.clone(),
        capacity: capacity(&status.capacity),
        draining: status.draining,
        ready: not_ready.is_empty(),
        not_ready,
        counters: figures.counters.clone(),
        gauges: figures.gauges.clone(),
        shards: figures.shards.iter().map(shard).collect(),
    }))
}

fn capacity(capacity: &crate::Capacity) -> CapacityView {
    let crate::Capacity { calls, calls_muxed, limited_by, max_calls, port_pairs, open_files, media_sockets } =
        capacity.clone();
    CapacityView { calls, calls_muxed, limited_by, max_calls, port_pairs, open_files, media_sockets }
}

fn shard(figures: &crate::ShardFigures) -> ShardView {
    let crate::ShardFigures { io, lag_seconds, streams, listeners, sockets, .. } = *figures;
    ShardView { io, lag_seconds, streams, listeners, sockets }
}

/// It is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// `ok` or `ready`.
    status: &'static str,
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = HealthView, description = "`ok`")))]
pub(crate) async fn healthz() -> Json<HealthView> {
    Json(HealthView { status: "ok" })
}

/// SIP is bound, media ports are ready, the store can be written, and no drain is under way.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = HealthView, description = "`ready`"), (status = 503, description = "`not-ready`, with `reasons`")))]
pub(crate) async fn readyz(State(api): State<Api>) -> Result<Json<HealthView>, Refusal> {
    let reasons = not_ready(&api.inner.status.load());
    if reasons.is_empty() {
        return Ok(Json(HealthView { status: "ready" }));
    }
    Err(Refusal { reasons: reasons.clone().into(), ..Refusal::unavailable("not-ready", reasons.join("; ")) })
}

/// Figures for Prometheus; none names an agent, a number or a call.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(crate) async fn metrics(State(api): State<Api>) -> Result<Response, Refusal> {
    let text = metrics::render(&api).map_err(|error| Refusal::internal(&error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, body = Object, description = "OpenAPI 3.1")))]
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

fn not_ready(status: &crate::Status) -> Vec<String> {
    let mut reasons = status.not_ready.clone();
    if status.draining {
        reasons.push("draining".to_owned());
    }
    if !status.ready && reasons.is_empty() {
        reasons.push("starting".to_owned());
    }
    reasons
}
