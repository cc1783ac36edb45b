//! Every way to ask wrongly has its problem.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::stage::{Stage, order, raw, refused, request};

#[tokio::test]
async fn without_a_valid_token_nothing_is_shown() {
    let stage = Stage::new();
    for path in [
        "/v1/requests",
        "/v1/agents",
        "/v1/calls",
        "/v1/listenings",
        "/v1/events",
        "/v1/users",
        "/v1/me",
        "/v1/status",
        "/v1/audit",
        "/v1/agents/anna",
    ] {
        let got = stage.get("", path).await;
        got.problem(401, "unauthenticated");
        assert_eq!(got.header("www-authenticate"), Some("Bearer realm=\"medlytt\""), "{path}");
    }
    let with = |value: &str| Request::get("/v1/me").header("Authorization", value).body(Body::empty()).unwrap();
    for bad in [
        "Bearer wrong",
        "Bearer ",
        "Bearer",
        "token-ada",
        "Basic dG9rZW4tYWRh",
        "Bearer token-ada extra",
        "Bearer token-ghost",
        "Bearer token-tokenless",
        &format!("Bearer {}", "x".repeat(5000)),
    ] {
        stage.send(with(bad)).await.problem(401, "unauthenticated");
    }
    assert_eq!(
        stage.send(with("bearer token-ada")).await.status,
        200,
        "the scheme is not case-sensitive (RFC 9110 section 11.1)"
    );
    let twice =
        Request::get("/v1/me").header("Authorization", "Bearer token-ada").header("Authorization", "Bearer token-ada");
    stage.send(twice.body(Body::empty()).unwrap()).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_in_the_query_never_works() {
    let stage = Stage::new();
    for query in ["token=token-ada", "access_token=token-ada", "authorization=Bearer%20token-ada"] {
        stage.get("", &format!("/v1/me?{query}")).await.problem(401, "unauthenticated");
        stage
            .send(raw("", "POST", &format!("/v1/requests?{query}"), Some(order().to_string().into()), &[]))
            .await
            .problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let stage = Stage::new();
    for path in [
        "/v2",
        "/v1/",
        "/v1/agents/",
        "/v1/agents/anna/x",
        "/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/v1/requests/a/b/c",
        "/%ff",
    ] {
        stage.get("ada", path).await.problem(404, "not-found");
    }
    stage.get("ada", "/v1/agents/%ff").await.problem(404, "not-found");
    for (method, path, allow) in [
        ("DELETE", "/v1/agents", "GET,HEAD"),
        ("DELETE", "/v1/audit", "GET,HEAD"),
        ("PUT", "/v1/audit", "GET,HEAD"),
        ("PATCH", "/v1/audit", "GET,HEAD"),
        ("POST", "/v1/audit", "GET,HEAD"),
        ("POST", "/healthz", "GET,HEAD"),
        ("PUT", "/v1/requests", "GET,HEAD,POST"),
        ("OPTIONS", "/v1/calls/c/shield", "PUT"),
    ] {
        let got = stage.send(request("ada", method, path, None)).await;
        got.problem(405, "method-not-allowed");
        let mut named: Vec<_> = got.header("allow").unwrap().split(',').map(str::trim).collect();
        named.sort_unstable();
        assert_eq!(named.join(","), allow, "{method} {path}");
    }
    let overridden = raw("ada", "GET", "/v1/requests", None, &[("X-HTTP-Method-Override", "DELETE")]);
    assert_eq!(stage.send(overridden).await.status, 200, "a method is what it is");
}

#[tokio::test]
async fn bodies_that_are_no_json_object() {
    let stage = Stage::new();
    let post = async |body: &[u8], headers: &[(&str, &str)]| {
        stage.send(raw("ada", "POST", "/v1/requests", Some(body.to_vec()), headers)).await
    };
    for body in [
        &b""[..],
        b"{",
        b"{\"agent\":}",
        b"nonsense",
        b"{} {}",
        b"\xff\xfe",
        b"{\"agent\":\"\xff\"}",
        b"{\"max\":1e999}",
        b"{'agent':1}",
        b"{\"a\":NaN}",
    ] {
        post(body, &[]).await.problem(400, "malformed-body");
    }
    post(br#"{"agent":"anna","agent":"bo","listener":{"user":"sue"}}"#, &[]).await.problem(400, "malformed-body");
    for body in [&b"[]"[..], b"null", b"1", b"\"x\""] {
        post(body, &[]).await.problem(422, "invalid-request");
    }
    let good = order().to_string();
    for kind in [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "multipart/form-data",
    ] {
        post(good.as_bytes(), &[("Content-Type", kind)]).await.problem(415, "unsupported-media-type");
    }
    post(good.as_bytes(), &[("content-type", "")]).await.problem(415, "unsupported-media-type");
    let huge = format!("{{\"agent\":\"{}\"}}", "a".repeat(70_000));
    post(huge.as_bytes(), &[]).await.problem(413, "body-too-large");
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    post(deep.as_bytes(), &[]).await.problem(400, "malformed-body");
}

#[tokio::test]
async fn fields_of_an_order_are_named_when_wrong() {
    let stage = Stage::new();
    let cases = [
        (json!({}), "agent"),
        (json!({"agent": "anna"}), "listener"),
        (json!({"agent": 7, "listener": {"user": "sue"}}), "agent"),
        (json!({"agent": null, "listener": {"user": "sue"}}), "agent"),
        (json!({"agent": "an\r\nna", "listener": {"user": "sue"}}), "agent"),
        (json!({"agent": "a".repeat(257), "listener": {"user": "sue"}}), "agent"),
        (json!({"agent": "anna", "listener": "sip:sup1@127.0.0.1"}), "listener"),
        (json!({"agent": "anna", "listener": {}}), "listener"),
        (json!({"agent": "anna", "listener": {"user": null}}), "listener"),
        (json!({"agent": "anna", "listener": {"user": "sue", "number": "+47"}}), "listener"),
        (json!({"agent": "anna", "listener": {"user": 1}}), "listener.user"),
        (json!({"agent": "anna", "listener": {"number": "+47\r\nX: 1"}}), "listener.number"),
        (json!({"agent": "anna", "listener": {"page": false}}), "listener.page"),
        (json!({"agent": "anna", "listener": {"page": 1}}), "listener.page"),
        (json!({"agent": "anna", "listener": {"user": "sue", "uri": "sip:x"}}), "listener.uri"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "calls": "2"}), "calls"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "calls": 2.5}), "calls"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "calls": true}), "calls"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "until": 1_800_000_000}), "until"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "until": "tomorrow"}), "until"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "until": "2026-11-22"}), "until"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "until": "2026-11-22T16:00:00"}), "until"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "directions": "inbound"}), "directions"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "directions": []}), "directions"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "directions": ["inbound", "sideways"]}), "directions.1"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "directions": [1]}), "directions.0"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "directions": vec!["inbound"; 101]}), "directions"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "layout": 1}), "layout"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "confirm": "yes"}), "confirm"),
        (json!({"agent": "anna", "listener": {"user": "sue"}, "max_calls": 2}), "max_calls"),
    ];
    for (body, field) in cases {
        let problem = stage
            .send(request("ada", "POST", "/v1/requests", Some(body.clone())))
            .await
            .problem(422, "invalid-request");
        assert_eq!(problem["field"], field, "{body}");
    }
}

#[tokio::test]
async fn fields_of_the_other_bodies_are_named_when_wrong() {
    let stage = Stage::new();
    for (method, path, body, field) in [
        ("PATCH", "/v1/requests/req_1", json!({}), "calls"),
        ("PATCH", "/v1/requests/req_1", json!({"calls": null}), "calls"),
        ("PATCH", "/v1/requests/req_1", json!({"calls": "1"}), "calls"),
        ("PATCH", "/v1/requests/req_1", json!({"until": "x"}), "until"),
        ("PATCH", "/v1/requests/req_1", json!({"agent": "bo"}), "agent"),
        ("POST", "/v1/requests/req_1/resume", json!({"x": 1}), "x"),
        ("PUT", "/v1/agents/eva", json!({"name": 1}), "name"),
        ("PUT", "/v1/agents/eva", json!({"skills": ["a", 2]}), "skills.1"),
        ("PUT", "/v1/agents/eva", json!({"monitorable": "no"}), "monitorable"),
        ("PUT", "/v1/agents/eva", json!({"status": "ready"}), "status"),
        ("PUT", "/v1/agents/eva/status", json!({}), "status"),
        ("PUT", "/v1/agents/eva/status", json!({"status": "asleep"}), "status"),
        ("PUT", "/v1/agents/eva/status", json!({"status": "connected"}), "status"),
        ("PUT", "/v1/agents/eva/status", json!({"status": "unknown"}), "status"),
        ("PUT", "/v1/agents/eva/status", json!({"status": "ready", "since": "now"}), "since"),
        ("PUT", "/v1/calls/call_1/shield", json!({}), "on"),
        ("PUT", "/v1/calls/call_1/shield", json!({"on": 1}), "on"),
        ("PUT", "/v1/calls/call_1/shield", json!({"on": true, "off": true}), "off"),
    ] {
        let problem =
            stage.send(request("ada", method, path, Some(body.clone()))).await.problem(422, "invalid-request");
        assert_eq!(problem["field"], field, "{method} {path} {body}");
    }
}

#[tokio::test]
async fn query_parameters_are_named_when_wrong() {
    let stage = Stage::new();
    let foreign = store::encode_cursor("calls", "call_1");
    for (path, field) in [
        ("/v1/agents?limit=0", "limit"),
        ("/v1/agents?limit=201", "limit"),
        ("/v1/agents?limit=ten", "limit"),
        ("/v1/agents?limit=-1", "limit"),
        ("/v1/agents?cursor=zz", "cursor"),
        ("/v1/agents?connected=yes", "connected"),
        ("/v1/agents?logged_on=1", "logged_on"),
        ("/v1/agents?colour=red", "colour"),
        ("/v1/agents?group=a&group=b", "group"),
        ("/v1/agents?search=%ff", "search"),
        ("/v1/requests?state=asleep", "state"),
        ("/v1/requests?cursor=abc", "cursor"),
        (&format!("/v1/requests?cursor={foreign}"), "cursor"),
        (&format!("/v1/listenings?live=true&cursor={foreign}"), "cursor"),
        ("/v1/calls?ended=maybe", "ended"),
        ("/v1/calls?ended=true&cursor=00", "cursor"),
        ("/v1/listenings?live=no", "live"),
        ("/v1/listenings?from=yesterday", "from"),
        ("/v1/listenings?to=2026-01-01", "to"),
        ("/v1/users?cursor=00", "cursor"),
        ("/v1/me?x=1", "x"),
        ("/v1/status?x=1", "x"),
        ("/v1/events?types=call.begun", "types"),
        ("/v1/requests/req_1?x=1", "x"),
    ] {
        let problem = stage.get("ada", path).await.problem(422, "invalid-request");
        assert_eq!(problem["field"], field, "{path}");
    }
    let problem = stage
        .send(request("ada", "POST", "/v1/requests?dry_run=perhaps", Some(order())))
        .await
        .problem(422, "invalid-request");
    assert_eq!(problem["field"], "dry_run");
}

#[tokio::test]
async fn what_is_not_there() {
    let stage = Stage::new();
    for (path, code) in [
        ("/v1/requests/req_9", "request-not-found"),
        ("/v1/agents/nobody", "agent-not-found"),
        ("/v1/calls/call_9", "call-not-found"),
        ("/v1/listenings/lst_9", "listening-not-found"),
        ("/v1/users/nobody", "user-not-found"),
    ] {
        stage.get("ada", path).await.problem(404, code);
    }
}

#[tokio::test]
async fn the_engines_refusals_come_through_whole() {
    let mut stage = Stage::new();
    let mut conflict = refused(409, "active-request-exists");
    conflict.related = Some("req_7".to_owned());
    let (got, ..) = stage.ask(request("sue", "POST", "/v1/requests", Some(order())), Err(conflict)).await;
    assert_eq!(got.problem(409, "active-request-exists")["related"], "req_7");
    let mut invalid = refused(422, "invalid-request");
    invalid.field = Some("until");
    let (got, ..) = stage.ask(request("sue", "POST", "/v1/requests", Some(order())), Err(invalid)).await;
    assert_eq!(got.problem(422, "invalid-request")["field"], "until");
    let (got, ..) = stage
        .ask(request("sue", "DELETE", "/v1/listenings/lst_1", None), Err(refused(404, "listening-not-found")))
        .await;
    got.problem(404, "listening-not-found");
    let (got, ..) =
        stage.ask(request("sue", "PUT", "/v1/agents/anna", Some(json!({}))), Err(refused(403, "forbidden"))).await;
    got.problem(403, "forbidden");
    let (got, ..) =
        stage.ask(request("sue", "POST", "/v1/requests", Some(order())), Err(refused(503, "store-unavailable"))).await;
    got.problem(503, "store-unavailable");
    assert_eq!(got.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_dead_archive_is_503_and_the_live_part_goes_on() {
    let stage = Stage::new();
    stage.store.set_available(false);
    for path in ["/v1/requests", "/v1/listenings", "/v1/calls?ended=true", "/v1/requests/req_1"] {
        let got = stage.get("ada", path).await;
        got.problem(503, "store-unavailable");
        assert_eq!(got.header("retry-after"), Some("1"));
    }
    for path in ["/v1/agents", "/v1/calls", "/v1/listenings?live=true", "/v1/me"] {
        assert_eq!(stage.get("ada", path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn every_answer_has_an_id_and_safe_headers() {
    let stage = Stage::new();
    let (first, second) = (stage.get("ada", "/v1/me").await, stage.get("", "/nowhere").await);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    for got in [&first, &second] {
        assert!(got.header("x-request-id").is_some());
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
        assert!(got.header("content-security-policy").unwrap().contains("default-src 'none'"));
        assert!(got.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    }
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    let own = stage.send(raw("", "GET", "/nowhere", None, &[("x-request-id", "trace-7_a.b")])).await;
    assert_eq!(own.problem(404, "not-found")["request_id"], "trace-7_a.b");
    for odd in ["a b", "<script>", &"x".repeat(65)] {
        let got = stage.send(raw("", "GET", "/nowhere", None, &[("x-request-id", odd)])).await;
        assert_ne!(got.header("x-request-id"), Some(odd));
    }
}

/// Numbers that look random and are the same every time (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn spoilt_orders_get_a_problem_or_reach_the_engine() {
    let Stage { router, mut commands, .. } = Stage::new();
    tokio::spawn(async move {
        while let Some(call) = commands.recv().await {
            let _ = call.answer.send(Err(refused(404, "agent-not-found")));
        }
    });
    let good = json!({"agent": "anna", "listener": {"user": "sue"}, "calls": 2, "until": "2026-11-22T16:00:00+01:00", "directions": ["inbound"]}).to_string().into_bytes();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut codes = std::collections::BTreeMap::new();
    for _ in 0..3000 {
        let mut body = good.clone();
        for _ in 0..=dice.below(3) {
            let at = dice.below(body.len());
            match dice.below(4) {
                0 => body[at] = u8::try_from(dice.below(256)).unwrap(),
                1 if body.len() > 1 => drop(body.remove(at)),
                2 => body.insert(at, b"{}[]\",:0e-\\u"[dice.below(12)]),
                _ => body.truncate(at + 1),
            }
        }
        let response = tower::ServiceExt::oneshot(router.clone(), raw("ada", "POST", "/v1/requests", Some(body), &[]))
            .await
            .unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        *codes.entry(response.status().as_u16()).or_insert(0) += 1;
    }
    assert_eq!(codes.keys().copied().collect::<Vec<_>>(), [400, 404, 422]);
}
