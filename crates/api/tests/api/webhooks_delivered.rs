//! Deliveries over real sockets: signatures, rights, failures, secrets, TLS.

use std::sync::Arc;
use std::time::Duration;

use engine::view::{CallState, EventBody, EventName, ListeningState, RequestState, Role};
use engine::{Event, View};
use futures_util::StreamExt;
use medlytt_api::WebhookSettings;
use serde_json::{Value, json};
use store::Store;
use tower::ServiceExt;

use crate::stage::{Stage, agent, call, listening, monitoring, raw, request, user};
use crate::webhook_endpoint::{Does, Endpoint, delivery, local, make, path, post, send, sending};

fn event(name: EventName, body: EventBody) -> Event {
    Event { name, at: "2026-01-01T10:00:00Z".parse().unwrap(), body }
}

fn started(id: &str) -> Event {
    event(EventName::CallStarted, EventBody::Call(call(id, Some("anna"), CallState::Ringing)))
}

#[tokio::test]
async fn a_delivery_is_what_the_standard_says() {
    let mut endpoint = Endpoint::new(Does::Answers(204)).await;
    let stage = sending();
    let hook = make(&stage, "ada", &endpoint.url(), json!({})).await;
    let mut stream = stage
        .router
        .clone()
        .oneshot(raw("ada", "GET", "/v1/events", None, &[]))
        .await
        .unwrap()
        .into_body()
        .into_data_stream();
    stage.api.event(started("call_1"));
    let post = endpoint.next().await;
    assert_eq!(post.path, "/hook?a=b");
    assert_eq!(post.headers["content-type"], "application/json");
    assert!(post.is_signed_by(hook["secret"].as_str().unwrap()));
    assert!(!post.is_signed_by("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let body = post.json();
    assert_eq!((&body["type"], &body["timestamp"]), (&json!("call.started"), &json!("2026-01-01T10:00:00Z")));
    assert_eq!(body.as_object().unwrap().len(), 3);
    let mut text = String::new();
    while !text.contains("data:") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    let told = text.lines().find_map(|line| line.strip_prefix("data:")).unwrap();
    assert_eq!(body["data"], serde_json::from_str::<Value>(told).unwrap(), "the same as in the stream");
    let made = delivery(&stage, &hook, |one| one["state"] == "delivered").await;
    assert_eq!((&made["id"], &made["attempts"], &made["last"]["status"]), (&json!(post.id()), &json!(1), &json!(204)));
    assert_eq!(made["next_attempt_at"], Value::Null);
}

#[tokio::test]
async fn a_webhook_sees_what_its_owner_may_see() {
    let (mut of_platform, mut of_ada) =
        (Endpoint::new(Does::Answers(200)).await, Endpoint::new(Does::Answers(200)).await);
    let stage = sending();
    make(&stage, "platform", &of_platform.url(), json!({})).await;
    make(&stage, "ada", &of_ada.url(), json!({})).await;
    stage.api.view(View::Listening(listening("lst_1", "sue", ListeningState::Live)));
    let mut watched = call("call_1", Some("anna"), CallState::Up);
    watched.listenings = vec!["lst_1".to_owned()];
    let request = monitoring("req_1", "sue", RequestState::Waiting);
    stage.api.event(event(EventName::RequestCreated, EventBody::Request(request)));
    stage
        .api
        .event(event(EventName::ListeningLive, EventBody::Listening(listening("lst_1", "sue", ListeningState::Live))));
    stage.api.event(event(EventName::CallAnswered, EventBody::Call(watched)));
    let seen = of_platform.next().await.json();
    assert_eq!((&seen["type"], &seen["data"]["call"]["listenings"]), (&json!("call.answered"), &json!([])));
    let mut all: Vec<Value> = Vec::new();
    for _ in 0..3 {
        all.push(of_ada.next().await.json());
    }
    assert!(all.iter().any(|body| body["data"]["request"]["id"] == "req_1"));
    assert!(all.iter().any(|body| body["data"]["listening"]["id"] == "lst_1"));
    assert!(all.iter().any(|body| body["data"]["call"]["listenings"] == json!(["lst_1"])));
    assert!(!of_platform.has_more());
    // rights that are lost count at once
    stage.api.view(View::User(user("ada", Role::Supervisor, None)));
    stage.api.event(started("call_2"));
    assert_eq!(of_platform.next().await.kind(), "call.started");
    assert!(!of_ada.has_more());
}

#[tokio::test]
async fn filters_leave_out_what_nobody_wants() {
    let mut endpoint = Endpoint::new(Does::Answers(200)).await;
    let stage = sending();
    let more = json!({"events": ["call.started", "agent.status"], "agents": ["cia"], "groups": ["Support"]});
    make(&stage, "platform", &endpoint.url(), more).await;
    for (id, agent) in [("call_1", "dag"), ("call_2", "cia"), ("call_3", "bo")] {
        stage.api.event(event(EventName::CallStarted, EventBody::Call(call(id, Some(agent), CallState::Ringing))));
        stage.api.event(event(EventName::CallEnded, EventBody::Call(call(id, Some(agent), CallState::Ended))));
    }
    stage.api.event(event(EventName::AgentStatus, EventBody::Agent(agent("anna", "Anna", "1001", Some("Support")))));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let body = endpoint.next().await.json();
        let resource = if body["type"] == "agent.status" { "agent" } else { "call" };
        seen.push(body["data"][resource]["id"].as_str().unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["anna", "call_2", "call_3"]);
    assert!(!endpoint.has_more());
}

#[tokio::test]
async fn two_secrets_sign_while_one_replaces_the_other() {
    let mut endpoint = Endpoint::new(Does::Answers(200)).await;
    let stage = sending();
    let hook = make(&stage, "ada", &endpoint.url(), json!({})).await;
    let old = hook["secret"].as_str().unwrap();
    let new = post(&stage, "ada", &path(&hook, "/rotate-secret"), None).await.json();
    let new = new["secret"].as_str().unwrap();
    let tested = post(&stage, "ada", &path(&hook, "/test"), None).await.json();
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(200)));
    let both = endpoint.next().await;
    assert_eq!(both.kind(), "webhook.test");
    assert!(both.is_signed_by(old) && both.is_signed_by(new));
    assert_eq!(both.headers["webhook-signature"].to_str().unwrap().split(' ').count(), 2);
    let ends = json!({"old_until": "2020-01-01T00:00:00Z"});
    let newest = post(&stage, "ada", &path(&hook, "/rotate-secret"), Some(ends)).await.json();
    post(&stage, "ada", &path(&hook, "/test"), None).await;
    let alone = endpoint.next().await;
    assert!(alone.is_signed_by(newest["secret"].as_str().unwrap()) && !alone.is_signed_by(new));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut inside = Endpoint::new(Does::Answers(200)).await;
    let mut endpoint = Endpoint::new(Does::RedirectsTo(inside.url())).await;
    let stage = sending();
    let hook = make(&stage, "ada", &endpoint.url(), json!({})).await;
    stage.api.event(started("call_1"));
    endpoint.next().await;
    let failed = delivery(&stage, &hook, |one| one["attempts"] == 1).await;
    assert_eq!(failed["last"]["status"], 302);
    assert_eq!((&failed["last"]["error"], &failed["state"]), (&json!("redirect-not-followed"), &json!("pending")));
    assert!(failed["next_attempt_at"].is_string());
    assert!(!inside.has_more());
    // somebody has put it right, and does not want to wait
    endpoint.does(Does::Answers(200));
    let again = path(&hook, &format!("/deliveries/{}/retry", failed["id"].as_str().unwrap()));
    assert_eq!(post(&stage, "ada", &again, None).await.status, 202);
    assert_eq!(endpoint.next().await.id(), failed["id"]);
    delivery(&stage, &hook, |one| one["state"] == "delivered" && one["attempts"] == 2).await;
    assert_eq!(post(&stage, "ada", &again, None).await.status, 202, "even one that was made");
    assert_eq!(endpoint.next().await.id(), failed["id"]);
}

#[tokio::test]
async fn slow_and_endless_answers_are_cut_and_delay_no_other() {
    let (mut slow, mut endless, mut quick) =
        (Endpoint::new(Does::Waits).await, Endpoint::new(Does::Floods).await, Endpoint::new(Does::Answers(200)).await);
    let stage = sending();
    stage.api.webhook_settings(WebhookSettings { timeout: Duration::from_secs(1), ..local() });
    let hook = make(&stage, "ada", &slow.url(), json!({})).await;
    let flooding = make(&stage, "ada", &endless.url(), json!({})).await;
    make(&stage, "ada", &quick.url(), json!({})).await;
    stage.api.event(started("call_1"));
    let begun = std::time::Instant::now();
    slow.next().await;
    for n in 2..50 {
        stage.api.event(started(&format!("call_{n}")));
    }
    for _ in 1..50 {
        quick.next().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let tested = post(&stage, "ada", &path(&hook, "/test"), None).await.json();
    assert_eq!((&tested["error"], &tested["status"]), (&json!("timeout"), &Value::Null));
    let took = tested["took_ms"].as_u64().unwrap();
    assert!((1000..4000).contains(&took), "{took}");
    endless.next().await;
    let tested = post(&stage, "ada", &path(&flooding, "/test"), None).await.json();
    assert_eq!(tested["delivered"], true, "its status has decided: {tested}");
}

#[tokio::test]
async fn gone_pauses_tells_the_owner_and_waits_for_a_word() {
    let mut endpoint = Endpoint::new(Does::Answers(410)).await;
    let stage = sending();
    let hook = make(&stage, "platform", &endpoint.url(), json!({})).await;
    let stream = |who: &'static str| {
        let stream = stage.router.clone().oneshot(raw(who, "GET", "/v1/events", None, &[]));
        async move { stream.await.unwrap().into_body().into_data_stream() }
    };
    let (mut owner, mut other) = (stream("platform").await, stream("sue").await);
    stage.api.event(started("call_1"));
    endpoint.next().await;
    let mut text = String::new();
    while !text.contains("webhook.paused") || !text.ends_with("\n\n") {
        text.push_str(std::str::from_utf8(&owner.next().await.unwrap().unwrap()).unwrap());
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["webhook"], json!({"id": hook["id"], "owner": "platform", "reason": "gone"}));
    let shown = stage.get("platform", &path(&hook, "")).await.json();
    assert_eq!((&shown["active"], &shown["paused"]["reason"]), (&json!(false), &json!("gone")));
    stage.api.event(started("call_2"));
    let mut text = String::new();
    while text.matches("call.started").count() < 2 {
        text.push_str(std::str::from_utf8(&other.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(!text.contains("webhook"), "it is nobody else's business: {text}");
    // until the feed has seen that nobody wants call_2
    tokio::time::sleep(Duration::from_millis(200)).await;
    delivery(&stage, &hook, |one| one["state"] == "failed").await;

    endpoint.does(Does::Answers(200));
    assert_eq!(stage.send(request("ada", "PATCH", &path(&hook, ""), Some(json!({"active": true})))).await.status, 200);
    let resync = endpoint.next().await.json();
    assert_eq!((&resync["type"], &resync["data"]["reason"]), (&json!("resync"), &json!("paused")));
    stage.api.event(started("call_3"));
    assert_eq!(endpoint.next().await.json()["data"]["call"]["id"], "call_3");
    let shown = stage.get("platform", &path(&hook, "")).await.json();
    assert_eq!((&shown["active"], &shown["paused"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn the_next_process_sends_what_this_one_could_not() {
    let mut endpoint = Endpoint::new(Does::Waits).await;
    let mut stage = sending();
    let hook = make(&stage, "ada", &endpoint.url(), json!({})).await;
    stage.api.event(started("call_1"));
    let first = endpoint.next().await;
    stage.api.close_events();
    assert_eq!(stage.store.documents("delivery").unwrap().len(), 1);

    let store = Arc::clone(&stage.store);
    endpoint.does(Does::Answers(200));
    stage.over(store);
    stage.api.webhook_settings(local());
    send(&stage);
    let second = endpoint.next().await;
    assert_eq!((second.id(), &second.body), (first.id(), &first.body));
    assert!(second.is_signed_by(hook["secret"].as_str().unwrap()));
    delivery(&stage, &hook, |one| one["state"] == "delivered").await;
}

#[tokio::test]
async fn https_is_trusted_by_certificate_alone() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let at = tls_server(&certified).await;
    let stage = sending();
    let test = async |host: &str, certificates: Option<Vec<u8>>| {
        stage.api.webhook_settings(WebhookSettings { certificates, timeout: Duration::from_secs(10), ..local() });
        let hook = make(&stage, "ada", &format!("https://{host}:{}/", at.port()), json!({})).await;
        post(&stage, "ada", &path(&hook, "/test"), None).await.json()
    };
    let pem = pem(&certified);
    let tested = test("127.0.0.1", Some(pem)).await;
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(204)), "{tested}");
    assert_eq!(test("127.0.0.1", None).await["error"], "tls", "nobody vouches for it");
    let other = rcgen::generate_simple_self_signed(vec!["elsewhere.example".to_owned()]).unwrap();
    assert_eq!(test("127.0.0.1", Some(self::pem(&other))).await["error"], "tls");
}

fn pem(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Vec<u8> {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certified.cert.der());
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
}

/// Answers 204 to whatever comes.
async fn tls_server(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, crypto};
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut seen = Vec::new();
            while !seen.ends_with(b"}}}") {
                let mut part = [0; 1024];
                let Ok(n @ 1..) = stream.read(&mut part).await else { break };
                seen.extend_from_slice(&part[..n]);
            }
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    });
    at
}

#[tokio::test]
async fn deliveries_are_paged_and_counted() {
    let mut endpoint = Endpoint::new(Does::Answers(200)).await;
    let stage: Stage = sending();
    let hook = make(&stage, "ada", &endpoint.url(), json!({})).await;
    for n in 0..25 {
        stage.api.event(started(&format!("call_{n}")));
    }
    let mut sent: Vec<String> = Vec::new();
    for _ in 0..25 {
        sent.push(endpoint.next().await.id().to_owned());
    }
    let mut seen: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = stage.get("ada", &path(&hook, &format!("/deliveries?limit=10&cursor={cursor}"))).await;
        seen.extend(page.ids());
        match page.json()["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    sent.sort_by(|a, b| b.cmp(a));
    assert_eq!(seen, sent);
    assert_eq!(stage.get("ada", &path(&hook, "/deliveries?state=failed")).await.ids().len(), 0);
    let bad = stage.get("ada", &path(&hook, "/deliveries?state=lost")).await;
    assert_eq!(bad.problem(422, "invalid-request")["field"], "state");
    let mut figures = String::new();
    for _ in 0..500 {
        figures = String::from_utf8(stage.get("", "/metrics").await.body).unwrap();
        if figures.contains("medlytt_webhook_deliveries_made_total 25") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for line in
        ["medlytt_webhook_deliveries_made_total 25", "medlytt_webhooks 1", "medlytt_webhook_deliveries_pending 0"]
    {
        assert!(figures.contains(line), "{line}: {figures}");
    }
}
