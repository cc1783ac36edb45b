//! API tokens made by users, for themselves and for machines.

use engine::{Deed, NoteKind};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use store::Store;

use crate::stage::{Stage, raw, request};

async fn make(stage: &Stage, who: &str, body: Value) -> Value {
    let got = stage.send(request(who, "POST", "/v1/tokens", Some(body))).await;
    assert_eq!(got.status, 201, "{}", String::from_utf8_lossy(&got.body));
    assert_eq!(got.header("cache-control"), Some("no-store"));
    assert_eq!(got.header("location").unwrap(), format!("/v1/tokens/{}", got.json()["id"].as_str().unwrap()));
    got.json()
}

async fn with(stage: &Stage, token: &str, path: &str) -> crate::stage::Got {
    let bearer = format!("Bearer {token}");
    stage.send(raw("", "GET", path, None, &[("Authorization", &bearer)])).await
}

#[tokio::test]
async fn a_token_is_shown_once_works_and_is_revoked() {
    let mut stage = Stage::new();
    let made = make(&stage, "platform", json!({"name": " statuses ", "expires_at": "2099-01-01T00:00:00Z"})).await;
    let (id, secret) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert!(secret.starts_with("mdl_") && id.starts_with("tok_"));
    assert_eq!((made["user"].as_str(), made["name"].as_str()), (Some("platform"), Some("statuses")));
    assert_eq!(with(&stage, secret, "/v1/me").await.json()["id"], "platform");
    let list = stage.get("platform", "/v1/tokens").await;
    assert_eq!(list.ids(), ["config:platform", id]);
    let text = String::from_utf8(list.body.clone()).unwrap();
    assert!(!text.contains(secret) && !format!("{:?}", stage.store.documents("token").unwrap()).contains(secret));
    let shown = &list.json()["items"][1];
    assert!(shown["last_used_at"].is_string() && shown["expires_at"] == "2099-01-01T00:00:00Z");

    // another start has it from the store
    let store = stage.store.clone();
    stage.over(store);
    stage.api.view(engine::View::User(crate::stage::user("platform", engine::view::Role::Integrator, None)));
    assert_eq!(with(&stage, secret, "/v1/me").await.json()["id"], "platform");
    let got = stage.send(request("ada", "DELETE", &format!("/v1/tokens/{id}"), None)).await;
    assert_eq!(got.status, 204);
    with(&stage, secret, "/v1/me").await.problem(401, "unauthenticated");
    stage.send(request("ada", "DELETE", &format!("/v1/tokens/{id}"), None)).await.problem(404, "token-not-found");
    assert!(stage.store.documents("token").unwrap().is_empty());
}

#[tokio::test]
async fn the_trail_has_who_made_and_revoked_it() {
    let stage = Stage::new();
    let made = make(&stage, "ada", json!({"name": "crm", "user": "platform"})).await;
    let id = made["id"].as_str().unwrap();
    stage.send(request("platform", "DELETE", &format!("/v1/tokens/{id}"), None)).await;
    let notes = stage.api.notes();
    for (who, wanted) in [("ada", Deed::TokenCreated), ("platform", Deed::TokenRevoked)] {
        let found = notes.iter().find_map(|note| match &note.kind {
            NoteKind::Did { deed, target, details } if *deed == wanted => {
                Some((note.actor.clone(), target.clone(), details.clone()))
            }
            _ => None,
        });
        let (actor, target, details) = found.unwrap();
        assert_eq!((actor.as_str(), target.as_str()), (who, id));
        assert!(details.contains(&("user".to_owned(), "platform".to_owned())), "{details:?}");
        assert!(!format!("{details:?}").contains("mdl_"));
    }
}

#[tokio::test]
async fn each_one_has_its_own_and_an_admin_all() {
    let stage = Stage::new();
    let mine = make(&stage, "sue", json!({"name": "b"})).await["id"].as_str().unwrap().to_owned();
    let theirs = make(&stage, "ada", json!({"name": "a", "user": "platform"})).await["id"].as_str().unwrap().to_owned();
    assert_eq!(stage.get("sue", "/v1/tokens").await.ids(), [mine.as_str(), "config:sue"]);
    let all = stage.get("ada", "/v1/tokens").await.ids();
    assert!(all.contains(&mine) && all.contains(&theirs) && all.contains(&"config:sam".to_owned()), "{all:?}");
    assert_eq!(stage.get("ada", "/v1/tokens?user=platform").await.ids(), [theirs.as_str(), "config:platform"]);
    stage.get("sue", "/v1/tokens?user=platform").await.problem(403, "forbidden");
    stage.get("sue", "/v1/tokens?user=sue&limit=1").await.ids();
    let path = format!("/v1/tokens/{theirs}");
    stage.send(request("sue", "DELETE", &path, None)).await.problem(404, "token-not-found");
    let for_another = request("sue", "POST", "/v1/tokens", Some(json!({"name": "x", "user": "ada"})));
    stage.send(for_another).await.problem(403, "forbidden");
    for (who, path, status, code) in [
        ("sue", "/v1/tokens/config:sue", 409, "token-configured"),
        ("ada", "/v1/tokens/config:sue", 409, "token-configured"),
        ("sue", "/v1/tokens/config:ada", 404, "token-not-found"),
        ("ada", "/v1/tokens/config:nobody", 404, "token-not-found"),
    ] {
        stage.send(request(who, "DELETE", path, None)).await.problem(status, code);
    }
}

#[tokio::test]
async fn an_expired_token_is_of_no_use() {
    let stage = Stage::new();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(300);
    let made = make(&stage, "sue", json!({"name": "short", "expires_at": soon.to_string()})).await;
    let secret = made["token"].as_str().unwrap();
    assert_eq!(with(&stage, secret, "/v1/me").await.status, 200);
    while jiff::Timestamp::now() < soon {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    with(&stage, secret, "/v1/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn what_makes_no_token() {
    let stage = Stage::new();
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": "  "}), "name"),
        (json!({"name": "x".repeat(65)}), "name"),
        (json!({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"name": "x", "expires_at": "tomorrow"}), "expires_at"),
        (json!({"name": "x", "user": "nobody"}), "user"),
        (json!({"name": "x", "role": "admin"}), "role"),
    ] {
        let got = stage.send(request("ada", "POST", "/v1/tokens", Some(body.clone()))).await;
        assert_eq!(got.problem(422, "invalid-request")["field"], field, "{body}");
    }
    for n in 0..50 {
        make(&stage, "sue", json!({"name": format!("n{n}")})).await;
    }
    stage
        .send(request("sue", "POST", "/v1/tokens", Some(json!({"name": "one more"}))))
        .await
        .problem(409, "too-many-tokens");
    stage.store.set_available(false);
    let got = stage.send(request("ada", "POST", "/v1/tokens", Some(json!({"name": "x"})))).await;
    got.problem(503, "store-unavailable");
    assert!(!String::from_utf8(got.body.clone()).unwrap().contains("mdl_"));
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_token() {
    let stage = Stage::new();
    let made = make(&stage, "sue", json!({"name": "x"})).await;
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let events = raw("", "GET", "/v1/events", None, &[("Authorization", &bearer)]);
    let response = tower::ServiceExt::oneshot(stage.router.clone(), events).await.unwrap();
    let mut stream = response.into_body().into_data_stream();
    assert!(stream.next().await.is_some());
    let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(stage.send(request("sue", "DELETE", &path, None)).await.status, 204);
    assert!(stream.next().await.is_none());
}
