//! Webhooks as a resource: who may have them, where they may go, changes under If-Match.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::NoteKind;
use medlytt_api::{Network, Resolve, Resolved, WebhookSettings};
use serde_json::json;
use store::Store;

use crate::stage::{Stage, raw, request};
use crate::webhook_endpoint::{Does, Endpoint, local, make, path, post, sending};

const PUBLIC: &str = "https://8.8.8.8/hook/secret-part";

#[tokio::test]
async fn integrators_and_admins_have_webhooks_and_nobody_else() {
    let stage = Stage::new();
    let of_platform = make(&stage, "platform", PUBLIC, json!({})).await;
    let of_ada = make(&stage, "ada", PUBLIC, json!({})).await;
    let id = |hook: &serde_json::Value| hook["id"].as_str().unwrap().to_owned();
    assert_eq!(stage.get("platform", "/v1/webhooks").await.ids(), [id(&of_platform)]);
    // newest first, and these two may be of the same millisecond
    let mut both = [id(&of_ada), id(&of_platform)];
    both.sort_by(|a, b| b.cmp(a));
    assert_eq!(stage.get("ada", "/v1/webhooks").await.ids(), both);
    assert_eq!(stage.get("ada", "/v1/webhooks?owner=platform").await.ids(), [id(&of_platform)]);
    for (method, rest, body) in [
        ("GET", "", None),
        ("PATCH", "", Some(json!({"active": false}))),
        ("DELETE", "", None),
        ("POST", "/test", None),
        ("POST", "/rotate-secret", None),
        ("GET", "/deliveries", None),
        ("POST", "/deliveries/msg_1/retry", None),
    ] {
        let send = |who, hook| stage.send(request(who, method, &path(hook, rest), body.clone()));
        send("platform", &of_ada).await.problem(404, "webhook-not-found");
        for who in ["sue", "all"] {
            send(who, &of_ada).await.problem(403, "forbidden");
        }
        send("", &of_ada).await.problem(401, "unauthenticated");
    }
    stage.get("sue", "/v1/webhooks").await.problem(403, "forbidden");
    post(&stage, "sue", "/v1/webhooks", Some(json!({"url": PUBLIC}))).await.problem(403, "forbidden");
    assert_eq!(stage.get("ada", &path(&of_platform, "")).await.json()["owner"], "platform");
}

#[tokio::test]
async fn the_secret_is_shown_once_and_the_trail_has_no_more_than_the_host() {
    let stage = Stage::new();
    let made = post(&stage, "platform", "/v1/webhooks", Some(json!({"url": PUBLIC, "events": ["call.ended"]}))).await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, Some("no-store")));
    let hook = made.json();
    assert_eq!(made.header("location"), Some(path(&hook, "").as_str()));
    let secret = hook["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50);
    let read = stage.get("platform", &path(&hook, "")).await;
    assert_eq!(read.header("etag"), made.header("etag"));
    let mut wanted = hook.clone();
    wanted.as_object_mut().unwrap().remove("secret");
    assert_eq!(read.json(), wanted);
    assert!(!String::from_utf8(stage.get("ada", "/v1/webhooks").await.body).unwrap().contains("whsec_"));

    let rotated = post(&stage, "platform", &path(&hook, "/rotate-secret"), None).await;
    assert_eq!(rotated.status, 200);
    assert_ne!(rotated.json()["secret"], hook["secret"]);
    assert!(rotated.json()["old_secret_until"].is_string());
    let far = json!({"old_until": "2099-01-01T00:00:00Z"});
    let refused = post(&stage, "platform", &path(&hook, "/rotate-secret"), Some(far)).await;
    assert_eq!(refused.problem(422, "invalid-request")["field"], "old_until");
    assert_eq!(stage.send(request("platform", "DELETE", &path(&hook, ""), None)).await.status, 204);
    stage.get("platform", &path(&hook, "")).await.problem(404, "webhook-not-found");

    let deeds: Vec<_> =
        stage.api.notes().into_iter().filter(|note| matches!(note.kind, NoteKind::Did { .. })).collect();
    let text = format!("{deeds:?}");
    assert_eq!(deeds.len(), 3, "{text}");
    assert!(text.contains("WebhookCreated") && text.contains("8.8.8.8"), "{text}");
    assert!(!text.contains("whsec_") && !text.contains("secret-part"), "{text}");
    assert_eq!(stage.store.documents("webhook").unwrap(), []);
}

#[tokio::test]
async fn changes_are_judged_by_if_match() {
    let stage = Stage::new();
    let hook = make(&stage, "ada", PUBLIC, json!({"groups": ["Support"]})).await;
    let tag = stage.get("ada", &path(&hook, "")).await.header("etag").unwrap().to_owned();
    let patch = |body: serde_json::Value, tag: &str| {
        let body = Some(body.to_string().into_bytes());
        stage.send(raw("ada", "PATCH", &path(&hook, ""), body, &[("If-Match", tag)]))
    };
    let changed = patch(json!({"events": ["call.ended"], "agents": ["anna"]}), &tag).await;
    assert_eq!(changed.status, 200);
    let after = changed.json();
    assert_eq!((&after["events"], &after["groups"]), (&json!(["call.ended"]), &json!(["Support"])));
    let stale = patch(json!({"active": false}), &tag).await;
    stale.problem(412, "precondition-failed");
    assert_eq!(stale.header("etag"), changed.header("etag"));
    let stale = stage.send(raw("ada", "DELETE", &path(&hook, ""), None, &[("If-Match", &tag)])).await;
    stale.problem(412, "precondition-failed");
    assert_eq!(patch(json!({"events": [], "active": false}), "*").await.json()["events"], json!([]));
    assert_eq!(stage.get("ada", &path(&hook, "")).await.json()["active"], false);
    let retry = post(&stage, "ada", &path(&hook, "/deliveries/msg_1/retry"), None).await;
    retry.problem(409, "webhook-inactive");
    patch(json!({"active": true}), "").await;
    let retry = post(&stage, "ada", &path(&hook, "/deliveries/msg_1/retry"), None).await;
    retry.problem(404, "delivery-not-found");
}

#[tokio::test]
async fn bodies_are_read_strictly() {
    let stage = Stage::new();
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": 1}), "url"),
        (json!({"url": PUBLIC, "events": ["call.never"]}), "events.0"),
        (json!({"url": PUBLIC, "events": "call.ended"}), "events"),
        (json!({"url": PUBLIC, "secret": "mine"}), "secret"),
        (json!({"url": PUBLIC, "owner": "ada"}), "owner"),
        (json!({"url": PUBLIC, "active": "yes"}), "active"),
        (json!({"url": format!("https://8.8.8.8/{}", "a".repeat(3000))}), "url"),
    ] {
        let refused = post(&stage, "platform", "/v1/webhooks", Some(body.clone())).await;
        assert_eq!(refused.problem(422, "invalid-request")["field"], field, "{body}");
    }
    assert_eq!(stage.get("ada", "/v1/webhooks").await.ids().len(), 0);
    assert_eq!(stage.get("ada", "/v1/webhooks?state=x").await.problem(422, "invalid-request")["field"], "state");
}

#[tokio::test]
async fn there_are_limits_in_all_and_for_each() {
    let stage = Stage::new();
    stage.api.webhook_settings(WebhookSettings { max: 3, max_per_user: 2, ..WebhookSettings::default() });
    for who in ["platform", "platform"] {
        make(&stage, who, PUBLIC, json!({})).await;
    }
    let more = |who| post(&stage, who, "/v1/webhooks", Some(json!({"url": PUBLIC})));
    more("platform").await.problem(409, "limit-reached");
    assert_eq!(more("ada").await.status, 201);
    more("ada").await.problem(409, "limit-reached");
}

/// The guard's own tests have every spelling; these are the ways that lead to it.
#[tokio::test]
async fn a_webhook_goes_nowhere_inside() {
    let stage = Stage::new();
    let refused = async |url: &str| {
        let refused = post(&stage, "platform", "/v1/webhooks", Some(json!({"url": url}))).await;
        assert_eq!(refused.problem(422, "invalid-request")["field"], "url", "{url}");
    };
    for url in ["http://8.8.8.8/", "http://169.254.169.254/latest/", "https://user:pw@8.8.8.8/", "ftp://8.8.8.8/"] {
        refused(url).await;
    }
    stage.api.webhook_settings(WebhookSettings { allow_http: true, ..WebhookSettings::default() });
    for host in ["169.254.169.254", "127.0.0.1", "2852039166", "0x7f.1", "0251.0376.0251.0376", "[::ffff:127.0.0.1]"] {
        refused(&format!("http://{host}/latest/")).await;
        refused(&format!("https://{host}/latest/")).await;
    }
    refused("http://localhost:8080/").await;
    refused("http://rebind.invalid/").await;
    let hook = make(&stage, "platform", "http://8.8.8.8/", json!({})).await;
    let moved = json!({"url": "http://169.254.169.254/"});
    let moved = stage.send(request("platform", "PATCH", &path(&hook, ""), Some(moved))).await;
    assert_eq!(moved.problem(422, "invalid-request")["field"], "url");
    let figures = String::from_utf8(stage.get("", "/metrics").await.body).unwrap();
    assert!(figures.contains("medlytt_webhook_addresses_refused_total 15"), "{figures}");
}

/// Says something public first, and loopback from then on.
#[derive(Debug, Default)]
struct Rebinds(AtomicUsize);

impl Resolve for Rebinds {
    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> Resolved<'a> {
        let first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        let ip = if first { [8, 8, 8, 8] } else { [127, 0, 0, 1] };
        Box::pin(async move { Ok::<_, io::Error>(vec![SocketAddr::from((ip, port))]) })
    }
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_judged_each_time() {
    let mut endpoint = Endpoint::new(Does::Answers(200)).await;
    let stage = sending();
    let settings = WebhookSettings { allow: Vec::new(), resolver: Arc::new(Rebinds::default()), ..local() };
    stage.api.webhook_settings(settings);
    let hook = make(&stage, "ada", &format!("http://rebind.example:{}/", endpoint.at.port()), json!({})).await;
    let tested = post(&stage, "ada", &path(&hook, "/test"), None).await.json();
    assert_eq!((&tested["delivered"], &tested["error"]), (&json!(false), &json!("refused-address")));
    assert!(!endpoint.has_more());
    let all = Network { address: [0, 0, 0, 0].into(), prefix: 0 };
    let settings = WebhookSettings { allow: vec![all], resolver: Arc::new(Rebinds::default()), ..local() };
    stage.api.webhook_settings(settings);
    post(&stage, "ada", &path(&hook, "/test"), None).await;
    let tested = post(&stage, "ada", &path(&hook, "/test"), None).await.json();
    assert_eq!(tested["delivered"], true, "the same, where the operator says so: {tested}");
    assert_eq!(endpoint.next().await.headers["host"], format!("rebind.example:{}", endpoint.at.port()));
}
