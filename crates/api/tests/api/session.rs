//! The page's sessions: signing in and out, what a cookie may do, and what it may not.

use std::sync::Arc;

use argon2::password_hash::PasswordHasher as _;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use engine::persist::Change;
use engine::view::Role;
use engine::{Deed, NoteKind, View};
use futures_util::StreamExt as _;
use medlytt_api::{Api, Credential, Settings};
use serde_json::{Value, json};
use store::{MemoryStore, Store};

use crate::stage::{Got, Stage, credential, raw, request, user};

fn hash(password: &str) -> String {
    // as cheap as it gets: what it costs is no matter here
    let params = argon2::Params::new(8, 1, 1, None).unwrap();
    argon2::Argon2::from(params).hash_password(password.as_bytes()).unwrap().to_string()
}

fn with_password(user: &str, password: &str) -> Credential {
    Credential { password_hash: Some(hash(password)), ..credential(user) }
}

fn credentials() -> Vec<Credential> {
    ["ada", "sue", "platform"].map(|user| with_password(user, &format!("secret of {user}"))).into()
}

fn stage() -> Stage {
    let stage = Stage::new();
    stage.api.credentials(credentials());
    stage
}

/// A session as a browser has it.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    fn of(got: &Got) -> Self {
        assert_eq!(got.status, 201, "{}", String::from_utf8_lossy(&got.body));
        let cookie = got.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Self { cookie, csrf: got.json()["csrf"].as_str().unwrap().to_owned() }
    }

    fn request(&self, method: &str, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Request<Body> {
        let mut all = vec![("Cookie", self.cookie.as_str()), ("Host", "127.0.0.1:8080")];
        all.extend(headers);
        raw("", method, path, body.map(|body| body.to_string().into_bytes()), &all)
    }

    async fn get(&self, stage: &Stage, path: &str) -> Got {
        stage.send(self.request("GET", path, None, &[])).await
    }

    /// As the page does it.
    async fn send(&self, stage: &Stage, method: &str, path: &str, body: Option<Value>) -> Got {
        let headers = [
            ("X-CSRF-Token", self.csrf.as_str()),
            ("Origin", "http://127.0.0.1:8080"),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        stage.send(self.request(method, path, body, &headers)).await
    }
}

async fn sign_in(stage: &Stage, user: &str) -> Browser {
    let body = json!({"user": user, "password": format!("secret of {user}")});
    Browser::of(&stage.send(request("", "POST", "/v1/session", Some(body))).await)
}

fn kinds(stage: &Stage) -> Vec<(String, NoteKind)> {
    stage.api.notes().into_iter().map(|note| (note.actor, note.kind)).collect()
}

#[tokio::test]
async fn a_password_signs_in() {
    let stage = stage();
    let body = json!({"user": "sue", "password": "secret of sue"});
    let got = stage.send(request("", "POST", "/v1/session", Some(body))).await;
    let browser = Browser::of(&got);
    assert_eq!(got.header("cache-control"), Some("no-store"));
    let cookie = got.header("set-cookie").unwrap();
    assert!(cookie.starts_with("medlytt_session=") && !cookie.contains("Secure"), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.split("; ").any(|own| own == attribute), "{attribute}: {cookie}");
    }
    assert!(!cookie.contains("Domain"));
    assert_eq!(got.json()["user"]["id"], "sue");
    assert_eq!(browser.get(&stage, "/v1/me").await.json()["id"], "sue");
    let shown = browser.get(&stage, "/v1/session").await;
    assert_eq!((shown.status.as_u16(), shown.json()), (200, got.json()));
    assert_eq!(kinds(&stage), [("sue".to_owned(), NoteKind::SignedIn { source: None })]);
    stage.get("", "/v1/session").await.problem(401, "unauthenticated");
    stage.get("sue", "/v1/session").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_signs_in_and_takes_its_sessions_along() {
    let stage = stage();
    let got = stage.send(request("", "POST", "/v1/session", Some(json!({"token": "token-sue"})))).await;
    let browser = Browser::of(&got);
    assert_eq!(browser.get(&stage, "/v1/me").await.json()["id"], "sue");
    stage.api.credentials(vec![Credential { token_sha256: None, ..with_password("sue", "x") }]);
    browser.get(&stage, "/v1/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn another_password_ends_the_sessions_of_the_old_one() {
    let stage = stage();
    let browser = sign_in(&stage, "sue").await;
    stage.api.credentials(vec![with_password("sue", "another secret")]);
    browser.get(&stage, "/v1/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn whatever_is_wrong_the_words_are_the_same() {
    let stage = stage();
    let mut details = Vec::new();
    for body in [
        json!({"user": "sue", "password": "secret of ada"}),
        json!({"user": "nobody", "password": "secret of ada"}),
        json!({"user": "tokenless", "password": "secret of ada"}),
        json!({"user": "ghost", "password": ""}),
        json!({"token": "token-nobody"}),
    ] {
        let got = stage.send(request("", "POST", "/v1/session", Some(body))).await;
        details.push(got.problem(401, "unauthenticated")["detail"].clone());
        assert_eq!(got.header("set-cookie"), None);
    }
    assert!(details.iter().all(|detail| *detail == details[0]), "{details:?}");
    assert_eq!(kinds(&stage), [("http:unknown".to_owned(), NoteKind::SignInFailed)]);
    for body in [json!({}), json!({"user": "sue"}), json!({"user": "sue", "password": "x", "token": "y"})] {
        stage.send(request("", "POST", "/v1/session", Some(body))).await.problem(422, "invalid-request");
    }
    let form = raw("", "POST", "/v1/session", Some(b"user=sue".to_vec()), &[("Content-Type", "text/plain")]);
    stage.send(form).await.problem(415, "unsupported-media-type");
}

#[tokio::test(start_paused = true)]
async fn guessing_ends_soon() {
    let stage = stage();
    let wrong = || request("", "POST", "/v1/session", Some(json!({"user": "sue", "password": "guess"})));
    for _ in 0..10 {
        stage.send(wrong()).await.problem(401, "unauthenticated");
    }
    let got = stage.send(wrong()).await;
    got.problem(429, "too-many-requests");
    assert_eq!(got.header("retry-after"), Some("30"));
    let right = || request("", "POST", "/v1/session", Some(json!({"user": "sue", "password": "secret of sue"})));
    stage.send(right()).await.problem(429, "too-many-requests");
    sign_in(&stage, "ada").await;
    tokio::time::advance(std::time::Duration::from_secs(30)).await;
    assert_eq!(stage.send(right()).await.status, 201);
    assert_eq!(stage.send(right()).await.status, 201, "only failures count");
}

#[tokio::test]
async fn an_address_that_guesses_many_names_waits() {
    let stage = stage();
    let from = |ip: &str, forwarded: &str, name: String, password: &str| {
        let body = json!({"user": name, "password": password}).to_string().into_bytes();
        let mut request =
            raw("", "POST", "/v1/session", Some(body), &[("Host", "localhost"), ("X-Forwarded-For", forwarded)]);
        request.extensions_mut().insert(ConnectInfo(medlytt_api::Source(ip.parse().unwrap())));
        request
    };
    for n in 0..30 {
        let request = from("192.0.2.1", "198.51.100.7", format!("user{n}"), "guess");
        stage.send(request).await.problem(401, "unauthenticated");
    }
    let late = from("192.0.2.1", "203.0.113.9", "ada".to_owned(), "secret of ada");
    stage.send(late).await.problem(429, "too-many-requests");
    assert_eq!(stage.send(from("192.0.2.2", "", "ada".to_owned(), "secret of ada")).await.status, 201);
    // behind a proxy of ours the client's own address counts
    let proxies = vec![("192.0.2.1".parse().unwrap(), 32)];
    stage.api.settings(Settings { trusted_proxies: proxies, ..Settings::default() });
    let request = from("192.0.2.1", "192.0.2.66, 203.0.113.9", "ada".to_owned(), "secret of ada");
    assert_eq!(stage.send(request).await.status, 201);
}

#[tokio::test]
async fn a_cookie_changes_nothing_without_the_pages_word() {
    let stage = stage();
    let browser = sign_in(&stage, "sue").await;
    let delete = |headers: &[(&str, &str)]| browser.request("DELETE", "/v1/session", None, headers);
    let own = browser.csrf.as_str();
    for headers in [
        &[][..],
        &[("X-CSRF-Token", "0000")],
        &[("X-CSRF-Token", own), ("Origin", "https://evil.invalid")],
        &[("X-CSRF-Token", own), ("Origin", "null")],
        &[("X-CSRF-Token", own), ("Origin", "http://127.0.0.1:9090")],
        &[("X-CSRF-Token", own), ("Sec-Fetch-Site", "cross-site")],
        &[("X-CSRF-Token", own), ("Sec-Fetch-Site", "same-site")],
    ] {
        stage.send(delete(headers)).await.problem(403, "csrf");
    }
    let denied = kinds(&stage)
        .into_iter()
        .any(|(actor, kind)| actor == "sue" && matches!(kind, NoteKind::Denied { code, .. } if code == "csrf"));
    assert!(denied);
    assert_eq!(browser.get(&stage, "/v1/me").await.status, 200);
    // who has a token needs no such word, whatever the browser sends along
    let headers = [("Authorization", "Bearer token-sue"), ("Origin", "https://desk.example.com")];
    let got = stage.send(browser.request("DELETE", "/v1/sessions", None, &headers)).await;
    assert_eq!(got.status, 204);
    browser.get(&stage, "/v1/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn another_sites_page_signs_nobody_in() {
    let stage = stage();
    let body = || Some(json!({"token": "token-ada"}).to_string().into_bytes());
    for headers in [
        [("Origin", "https://evil.invalid"), ("Host", "localhost")],
        [("Sec-Fetch-Site", "cross-site"), ("Host", "localhost")],
    ] {
        stage.send(raw("", "POST", "/v1/session", body(), &headers)).await.problem(403, "csrf");
    }
}

#[tokio::test]
async fn a_wrong_bearer_does_not_fall_back_to_the_cookie() {
    let stage = stage();
    let browser = sign_in(&stage, "sue").await;
    let got = stage.send(browser.request("GET", "/v1/me", None, &[("Authorization", "Bearer wrong")])).await;
    got.problem(401, "unauthenticated");
    let twice = format!("{0}; {0}", browser.cookie);
    let got = stage.send(raw("", "GET", "/v1/me", None, &[("Cookie", &twice)])).await;
    got.problem(401, "unauthenticated");
}

#[tokio::test]
async fn signing_out_here_and_everywhere() {
    let stage = stage();
    let (here, there, ada) = (sign_in(&stage, "sue").await, sign_in(&stage, "sue").await, sign_in(&stage, "ada").await);
    kinds(&stage);
    let got = here.send(&stage, "DELETE", "/v1/session", None).await;
    assert_eq!(got.status, 204);
    assert!(got.header("set-cookie").unwrap().contains("Max-Age=0"));
    here.get(&stage, "/v1/me").await.problem(401, "unauthenticated");
    assert_eq!(there.get(&stage, "/v1/me").await.status, 200);
    let more = sign_in(&stage, "sue").await;
    assert_eq!(
        there.send(&stage, "DELETE", "/v1/sessions?user=ada", None).await.problem(403, "forbidden")["status"],
        403
    );
    assert_eq!(there.send(&stage, "DELETE", "/v1/sessions", None).await.status, 204);
    for gone in [&there, &more] {
        gone.get(&stage, "/v1/me").await.problem(401, "unauthenticated");
    }
    let last = sign_in(&stage, "sue").await;
    assert_eq!(ada.send(&stage, "DELETE", "/v1/sessions?user=sue", None).await.status, 204);
    last.get(&stage, "/v1/me").await.problem(401, "unauthenticated");
    assert_eq!(ada.get(&stage, "/v1/me").await.status, 200);
    let outs =
        kinds(&stage).into_iter().filter(|(_, kind)| matches!(kind, NoteKind::Did { deed: Deed::SignedOut, .. }));
    assert_eq!(outs.count(), 3);
    assert_eq!(stage.store.documents("session").unwrap().len(), 1, "ada's");
    stage.send(request("ada", "DELETE", "/v1/session", None)).await.problem(404, "session-not-found");
}

#[tokio::test]
async fn a_restart_signs_nobody_out() {
    let stage = Stage::new();
    let credentials = credentials();
    stage.api.credentials(credentials.clone());
    let browser = sign_in(&stage, "sue").await;
    let kept = stage.store.documents("session").unwrap();
    let secret = browser.cookie.split_once('=').unwrap().1;
    assert!(!format!("{kept:?}").contains(secret) && !format!("{kept:?}").contains(&browser.csrf));
    let again = restarted(&stage.store, credentials);
    let got = browser.send(&again, "DELETE", "/v1/session", None).await;
    assert_eq!(got.status, 204, "the same word, too");
    assert!(stage.store.documents("session").unwrap().is_empty());
}

#[tokio::test]
async fn what_has_expired_meanwhile_is_forgotten_at_the_start() {
    let stage = stage();
    let browser = sign_in(&stage, "sue").await;
    let (id, doc) = stage.store.documents("session").unwrap().remove(0);
    let mut doc: Value = serde_json::from_str(&doc).unwrap();
    doc["expires_at"] = json!("2026-01-01T00:00:00Z");
    let doc = Some(doc.to_string());
    stage.store.apply(&[Change::Document { kind: "session".to_owned(), id, doc }]).unwrap();
    let again = restarted(&stage.store, credentials());
    browser.get(&again, "/v1/me").await.problem(401, "unauthenticated");
    assert!(stage.store.documents("session").unwrap().is_empty());
}

/// The same engine, started anew.
fn restarted(store: &Arc<MemoryStore>, credentials: Vec<Credential>) -> Stage {
    let mut again = Stage::new();
    let api = Api::new(tokio::sync::mpsc::channel(4).0, store.clone() as Arc<dyn Store>, credentials);
    api.view(View::User(user("sue", Role::Supervisor, None)));
    (again.router, again.api, again.store) = (api.router(), api, store.clone());
    again
}

#[tokio::test]
async fn without_a_store_a_session_lasts_as_long_as_the_process() {
    let stage = stage();
    stage.store.set_available(false);
    let browser = sign_in(&stage, "sue").await;
    assert_eq!(browser.get(&stage, "/v1/me").await.status, 200);
    let got = browser.send(&stage, "DELETE", "/v1/session", None).await;
    got.problem(503, "store-unavailable");
    browser.get(&stage, "/v1/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn https_has_a_cookie_of_its_own() {
    let stage = stage();
    stage.api.settings(Settings { public_url: Some("https://pbx.example.com".to_owned()), ..Settings::default() });
    let body = json!({"token": "token-sue"}).to_string().into_bytes();
    let headers = [("Host", "pbx.example.com"), ("Origin", "https://pbx.example.com")];
    let got = stage.send(raw("", "POST", "/v1/session", Some(body), &headers)).await;
    let cookie = got.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-medlytt_session=") && cookie.contains("; Secure"), "{cookie}");
    assert!(got.header("strict-transport-security").is_some());
    let browser = Browser::of(&got);
    assert_eq!(browser.get(&stage, "/v1/me").await.status, 200);
    let plain = browser.cookie.replace("__Host-", "");
    stage.send(raw("", "GET", "/v1/me", None, &[("Cookie", &plain)])).await.problem(401, "unauthenticated");
    // the proxy passes its own name on
    let headers = [("X-CSRF-Token", browser.csrf.as_str()), ("Origin", "https://pbx.example.com")];
    let got = stage.send(browser.request("DELETE", "/v1/session", None, &headers)).await;
    assert_eq!(got.status, 204);
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_session() {
    let stage = stage();
    let browser = sign_in(&stage, "sue").await;
    let response = tower::ServiceExt::oneshot(stage.router.clone(), browser.request("GET", "/v1/events", None, &[]))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    assert!(stream.next().await.is_some());
    browser.send(&stage, "DELETE", "/v1/session", None).await;
    assert!(stream.next().await.is_none(), "at once, not with the next event");
}
