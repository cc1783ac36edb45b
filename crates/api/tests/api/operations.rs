//! Health, readiness, status, metrics, the document, the page.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use medlytt_api::{Api, Capacity, Figures, Settings, ShardFigures, Status};
use serde_json::Value;

use crate::stage::{Stage, raw, request};

#[tokio::test]
async fn liveness_needs_nothing() {
    let stage = Stage::new();
    stage.store.set_available(false);
    stage.api.status(Status::default());
    assert_eq!(stage.get("", "/healthz").await.json()["status"], "ok");
}

#[tokio::test]
async fn readiness_says_why_not() {
    let stage = Stage::new();
    assert_eq!(stage.get("", "/readyz").await.status, 200);
    stage.api.status(Status { ready: true, draining: true, ..Status::default() });
    assert_eq!(stage.get("", "/readyz").await.problem(503, "not-ready")["reasons"], serde_json::json!(["draining"]));
    let reasons = vec!["the store cannot be written".to_owned(), "no media ports".to_owned()];
    stage.api.status(Status { ready: false, not_ready: reasons.clone(), ..Status::default() });
    let problem = stage.get("", "/readyz").await.problem(503, "not-ready");
    assert_eq!(problem["reasons"], serde_json::json!(reasons));
    assert!(problem["detail"].as_str().unwrap().contains("no media ports"));
    stage.api.status(Status::default());
    assert_eq!(stage.get("", "/readyz").await.problem(503, "not-ready")["reasons"], serde_json::json!(["starting"]));
}

fn figures() -> Figures {
    let counters = BTreeMap::from([
        ("calls".to_owned(), 7),
        ("sip_dropped_total".to_owned(), 3),
        ("odd name{x=\"1\"}".to_owned(), 1),
    ]);
    let shard = |lag_seconds, lags| ShardFigures {
        io: "epoll",
        lag_seconds,
        streams: 4,
        sockets: 8,
        lags,
        ..ShardFigures::default()
    };
    let shards =
        vec![shard(0.25, vec![(0.001, 9), (f64::INFINITY, 1)]), shard(0.5, vec![(0.001, 2), (f64::INFINITY, 0)])];
    Figures { counters, gauges: BTreeMap::from([("calls_up".to_owned(), 2.5)]), shards }
}

#[tokio::test]
async fn status_shows_ports_and_figures() {
    let stage = Stage::new();
    stage.api.figures(figures());
    let capacity = Capacity { calls: 4687, limited_by: "open files".to_owned(), ..Capacity::default() };
    let status = Status { version: "1.2.3".to_owned(), ready: true, capacity, ..Status::default() };
    stage.api.status(Status { sip: vec!["udp:127.0.0.1:5060".to_owned()], ..status });
    let status = stage.get("platform", "/v1/status").await.json();
    assert_eq!(
        (status["version"].as_str(), status["ready"].as_bool(), status["draining"].as_bool()),
        (Some("1.2.3"), Some(true), Some(false))
    );
    assert_eq!(status["sip"], serde_json::json!(["udp:127.0.0.1:5060"]));
    assert_eq!((status["counters"]["calls"].as_u64(), status["gauges"]["calls_up"].as_f64()), (Some(7), Some(2.5)));
    assert_eq!(status["capacity"]["calls"], 4687);
    assert_eq!(status["capacity"]["limited_by"], "open files");
    let shards = serde_json::json!([
        {"io": "epoll", "lag_seconds": 0.25, "streams": 4, "listeners": 0, "sockets": 8},
        {"io": "epoll", "lag_seconds": 0.5, "streams": 4, "listeners": 0, "sockets": 8},
    ]);
    assert_eq!(status["shards"], shards);
}

#[tokio::test]
async fn metrics_are_open_and_name_nobody() {
    let stage = Stage::new();
    stage.api.figures(figures());
    stage.get("", "/v1/agents").await;
    stage.get("ada", "/v1/agents?search=Anna").await;
    stage.get("ada", "/v1/agents/nobody").await.problem(404, "agent-not-found");
    let got = stage.get("", "/metrics").await;
    assert_eq!(got.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = String::from_utf8(got.body.clone()).unwrap();
    for line in [
        "medlytt_calls_total 7",
        "medlytt_sip_dropped_total 3",
        "medlytt_odd_name_x__1___total 1",
        "medlytt_calls_up 2.5",
        "medlytt_build_info{version=\"1.2.3\"} 1",
        "medlytt_http_unauthenticated_total 1",
        "medlytt_http_requests_total{class=\"4xx\"} 2",
        "medlytt_http_refusals_total{code=\"unauthenticated\"} 1",
        "medlytt_http_refusals_total{code=\"agent-not-found\"} 1",
        "medlytt_http_requests_total{class=\"2xx\"} 1",
        "medlytt_events_subscribers 0.0",
        "medlytt_media_shard_lag_seconds{shard=\"0\"} 0.25",
        "medlytt_media_shard_lag_seconds{shard=\"1\"} 0.5",
        "medlytt_media_shard_turn_lag_seconds_count{shard=\"0\"} 10",
        "medlytt_media_shard_turn_lag_seconds_bucket{le=\"0.001\",shard=\"0\"} 9",
        "medlytt_media_shard_turn_lag_seconds_bucket{le=\"+Inf\",shard=\"0\"} 10",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.to_lowercase().contains("anna"));
    let names: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "no metric is there twice");
}

#[tokio::test]
async fn classes_of_waits_are_a_histogram() {
    let stage = Stage::new();
    let counters = [
        ("wait_le_10", 3),
        ("wait_le_25", 7),
        ("wait_le_150", 7),
        ("wait_count", 9),
        ("wait_ms", 1500),
        ("other_ms", 4),
    ];
    let counters = counters.map(|(name, value)| (name.to_owned(), value)).into();
    stage.api.figures(medlytt_api::Figures { counters, ..medlytt_api::Figures::default() });
    let text = String::from_utf8(stage.get("", "/metrics").await.body).unwrap();
    for line in [
        "# TYPE medlytt_wait_seconds histogram",
        "medlytt_wait_seconds_sum 1.5",
        "medlytt_wait_seconds_count 9",
        "medlytt_wait_seconds_bucket{le=\"0.01\"} 3",
        "medlytt_wait_seconds_bucket{le=\"0.025\"} 7",
        "medlytt_wait_seconds_bucket{le=\"0.15\"} 7",
        "medlytt_wait_seconds_bucket{le=\"+Inf\"} 9",
        "medlytt_other_ms_total 4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!text.contains("wait_le") && !text.contains("wait_ms"));
}

#[tokio::test]
async fn the_page_runs_its_own_script_and_nothing_else() {
    let stage = Stage::new();
    let got = stage.get("", "/").await;
    assert_eq!(got.status, 200);
    assert!(got.header("content-type").unwrap().starts_with("text/html"));
    let policy = got.header("content-security-policy").unwrap();
    for directive in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|own| own == directive), "{directive}");
    }
    assert!(!policy.contains("unsafe"));
    assert!(got.header("permissions-policy").unwrap().contains("microphone=()"));
    assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    let page = String::from_utf8(got.body.clone()).unwrap();
    assert!(!page.contains("<script>") && !page.contains("style=") && !page.contains("onclick"));
    for (path, kind) in
        [("/assets/index.js", "text/javascript"), ("/assets/index.css", "text/css"), ("/icon.svg", "image/svg+xml")]
    {
        assert!(page.contains(&format!("=\"{path}\"")), "{page}");
        let file = stage.get("", path).await;
        assert!(file.status == 200 && file.header("content-type").unwrap().starts_with(kind), "{path}");
    }
    for path in ["/assets/none.js", "/assets/..%2findex.html", "/player.js"] {
        stage.get("", path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn the_page_is_sent_small_and_once() {
    let stage = Stage::new();
    let ask = |headers: &'static [(&'static str, &'static str)]| {
        stage.send(raw("", "GET", "/assets/index.css", None, headers))
    };
    let plain = ask(&[]).await;
    let small = ask(&[("Accept-Encoding", "br, gzip;q=0.8")]).await;
    assert_eq!((plain.header("content-encoding"), small.header("content-encoding")), (None, Some("gzip")));
    assert!(small.body.len() * 2 < plain.body.len() && small.body.starts_with(&[0x1f, 0x8b]));
    assert_eq!(ask(&[("Accept-Encoding", "gzip;q=0")]).await.body, plain.body);
    assert_ne!(plain.header("etag"), small.header("etag"), "other bytes, another tag");
    for got in [&plain, &small] {
        assert_eq!((got.header("cache-control"), got.header("vary")), (Some("no-cache"), Some("accept-encoding")));
    }
    let tag = small.header("etag").unwrap();
    let headers = [("If-None-Match", tag), ("Accept-Encoding", "gzip")];
    let again = stage.send(raw("", "GET", "/assets/index.css", None, &headers)).await;
    assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, Some(tag)));
    let other = stage.send(raw("", "GET", "/assets/index.css", None, &[("If-None-Match", tag)])).await;
    assert_eq!(other.status, 200, "this one has no gzip");
}

#[tokio::test]
async fn origins_may_be_allowed_to_frame_the_page() {
    let stage = Stage::new();
    stage
        .api
        .settings(Settings { frame_ancestors: vec!["https://desk.example.com".to_owned()], ..Settings::default() });
    let got = stage.get("", "/").await;
    let policy = got.header("content-security-policy").unwrap();
    assert!(policy.ends_with("frame-ancestors https://desk.example.com"), "{policy}");
    assert_eq!(got.header("x-frame-options"), None);
    assert_eq!(stage.get("ada", "/v1/me").await.header("x-frame-options"), Some("DENY"));
}

fn document() -> Value {
    serde_json::from_str(&Api::openapi()).unwrap()
}

/// API.md's table of paths.
const PATHS: [(&str, &str); 31] = [
    ("/v1/requests", "get post"),
    ("/v1/requests/{id}", "delete get patch"),
    ("/v1/requests/{id}/resume", "post"),
    ("/v1/agents", "get"),
    ("/v1/agents/{id}", "delete get put"),
    ("/v1/agents/{id}/status", "put"),
    ("/v1/calls", "get"),
    ("/v1/calls/{id}", "get"),
    ("/v1/calls/{id}/shield", "put"),
    ("/v1/listenings", "get"),
    ("/v1/listenings/{id}", "delete get patch"),
    ("/v1/listenings/{id}/levels", "get"),
    ("/v1/listenings/{id}/whep", "post"),
    ("/v1/listenings/{id}/whep/{session}", "delete patch"),
    ("/v1/events", "get"),
    ("/v1/users", "get"),
    ("/v1/users/{id}", "get"),
    ("/v1/me", "get"),
    ("/v1/status", "get"),
    ("/v1/audit", "get"),
    ("/healthz", "get"),
    ("/readyz", "get"),
    ("/metrics", "get"),
    ("/openapi.json", "get"),
    ("/", "get"),
    ("/assets/{file}", "get"),
    ("/icon.svg", "get"),
    ("/v1/session", "delete get post"),
    ("/v1/sessions", "delete"),
    ("/v1/tokens", "get post"),
    ("/v1/tokens/{id}", "delete"),
];

#[tokio::test]
async fn the_document_the_contract_and_the_router_have_the_same_paths() {
    let stage = Stage::new();
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let documented: BTreeMap<_, _> = paths
        .iter()
        .map(|(path, item)| {
            let mut methods: Vec<_> = item.as_object().unwrap().keys().map(String::as_str).collect();
            methods.sort_unstable();
            (path.as_str(), methods.join(" "))
        })
        .collect();
    let contract: BTreeMap<_, _> = PATHS.iter().map(|(path, methods)| (*path, (*methods).to_owned())).collect();
    assert_eq!(documented, contract);
    for (path, methods) in PATHS {
        let path = path.replace("{id}", "x").replace("{file}", "x").replace("{session}", "1");
        let routed: Vec<_> = routed(&stage, &path).await;
        assert_eq!(routed.join(" "), methods, "{path}");
    }
}

/// Methods that the router answers at a path, by its Allow.
async fn routed(stage: &Stage, path: &str) -> Vec<String> {
    let got = stage.send(request("", Method::TRACE.as_str(), path, None)).await;
    got.problem(405, "method-not-allowed");
    let mut methods: Vec<_> =
        got.header("allow").unwrap().split(',').map(|m| m.trim().to_lowercase()).filter(|m| m != "head").collect();
    methods.sort_unstable();
    methods
}

#[tokio::test]
async fn the_document_is_whole() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["components"]["securitySchemes"]["session"]["in"], "cookie");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(
                operation["responses"].as_object().is_some_and(|responses| responses.contains_key("default")),
                "{place}"
            );
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{place} {status}");
            }
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{place}: this operationId is taken"
            );
            let is_own = !path.starts_with("/v1") || path == "/v1/session";
            assert_eq!(operation.get("security").is_some(), is_own, "{place}");
            let declared: Vec<_> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|p| p["in"] == "path")
                .map(|p| p["name"].as_str().unwrap())
                .collect();
            let wanted: Vec<_> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(declared, wanted, "{place}");
        }
    }
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 30);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for schema in [
        "AgentView",
        "CallView",
        "RequestView",
        "ListeningView",
        "UserView",
        "OrderBody",
        "Problem",
        "EndReason",
        "EventName",
        "EventBody",
    ] {
        assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
    }
}

#[tokio::test]
async fn strict_bodies_are_documented_as_strict() {
    let schemas = &document()["components"]["schemas"];
    for name in ["OrderBody", "ListenerBody", "RequestChange", "AgentBody", "StatusBody", "ShieldBody"] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
    assert_eq!(schemas["OrderBody"]["required"], serde_json::json!(["agent", "listener"]));
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_served_as_it_is_printed() {
    let stage = Stage::new();
    let got = stage.get("", "/openapi.json").await;
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(String::from_utf8(got.body.clone()).unwrap(), Api::openapi());
}
