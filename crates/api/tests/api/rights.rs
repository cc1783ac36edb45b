//! Who sees what (API.md, Rights).

use engine::View;
use engine::persist::Change;
use engine::view::{CallState, ListeningState, RequestState, Role};
use serde_json::json;
use store::Store;

use crate::stage::{Stage, call, credential, listening, monitoring, user};

fn busy() -> Stage {
    let stage = Stage::new();
    for (id, by) in [("req_1", "sue"), ("req_2", "sam"), ("req_3", "ada")] {
        stage.api.view(View::Request(monitoring(id, by, RequestState::Waiting)));
    }
    for (id, by) in [("lst_1", "sue"), ("lst_2", "sam"), ("lst_3", "ada")] {
        stage.api.view(View::Listening(listening(id, by, ListeningState::Live)));
    }
    let mut watched = call("call_1", Some("anna"), CallState::Up);
    watched.listenings = ["lst_0", "lst_1", "lst_2", "lst_3"].map(str::to_owned).into();
    stage.api.view(View::Call(watched));
    for (id, agent) in [("call_2", Some("cia")), ("call_3", None), ("call_4", Some("gone"))] {
        stage.api.view(View::Call(call(id, agent, CallState::Up)));
        let ended = id.replace("call_", "call_e");
        stage.store.apply(&[Change::Call(call(&ended, agent, CallState::Ended))]).unwrap();
    }
    stage.store.apply(&[Change::Listening(listening("lst_0", "sue", ListeningState::Ended))]).unwrap();
    stage
}

#[tokio::test]
async fn each_role_lists_what_it_may_see() {
    let stage = busy();
    let cases: [(&str, &str, &[&str]); 21] = [
        ("ada", "/v1/agents", &["anna", "bo", "cia", "dag"]),
        ("sue", "/v1/agents", &["anna", "bo"]),
        ("sam", "/v1/agents", &["anna", "bo", "cia"]),
        ("all", "/v1/agents", &["anna", "bo", "cia", "dag"]),
        ("platform", "/v1/agents", &["anna", "bo", "cia", "dag"]),
        ("ada", "/v1/calls", &["call_4", "call_3", "call_2", "call_1"]),
        ("sue", "/v1/calls", &["call_1"]),
        ("sam", "/v1/calls", &["call_2", "call_1"]),
        ("all", "/v1/calls", &["call_4", "call_3", "call_2", "call_1"]),
        ("platform", "/v1/calls", &["call_4", "call_3", "call_2", "call_1"]),
        ("sue", "/v1/calls?ended=true", &[]),
        ("sam", "/v1/calls?ended=true", &["call_e2"]),
        ("platform", "/v1/calls?ended=true", &["call_e4", "call_e3", "call_e2"]),
        ("ada", "/v1/requests", &["req_3", "req_2", "req_1"]),
        ("sue", "/v1/requests", &["req_1"]),
        ("all", "/v1/requests", &[]),
        ("ada", "/v1/listenings", &["lst_3", "lst_2", "lst_1", "lst_0"]),
        ("sue", "/v1/listenings", &["lst_1", "lst_0"]),
        ("sue", "/v1/listenings?live=true", &["lst_1"]),
        ("sue", "/v1/listenings?ordered_by=sam", &[]),
        ("sam", "/v1/listenings?ordered_by=sam", &["lst_2"]),
    ];
    for (who, path, wanted) in cases {
        assert_eq!(stage.get(who, path).await.ids(), wanted, "{who} {path}");
    }
}

#[tokio::test]
async fn what_one_may_not_see_is_not_there() {
    let stage = busy();
    for (who, path, status) in [
        ("sue", "/v1/agents/cia", 404),
        ("sue", "/v1/agents/dag", 404),
        ("sam", "/v1/agents/cia", 200),
        ("sue", "/v1/calls/call_2", 404),
        ("sue", "/v1/calls/call_3", 404),
        ("sue", "/v1/calls/call_e2", 404),
        ("sam", "/v1/calls/call_e2", 200),
        ("platform", "/v1/calls/call_2", 200),
        ("sue", "/v1/requests/req_1", 200),
        ("sue", "/v1/requests/req_2", 404),
        ("ada", "/v1/requests/req_2", 200),
        ("sue", "/v1/listenings/lst_2", 404),
        ("sue", "/v1/listenings/lst_0", 200),
        ("sam", "/v1/listenings/lst_0", 404),
    ] {
        assert_eq!(stage.get(who, path).await.status, status, "{who} {path}");
    }
}

#[tokio::test]
async fn an_integrator_sees_no_monitoring_and_no_users() {
    let stage = busy();
    for path in
        ["/v1/requests", "/v1/requests/req_1", "/v1/listenings", "/v1/listenings/lst_1", "/v1/users", "/v1/users/sue"]
    {
        stage.get("platform", path).await.problem(403, "forbidden");
    }
    assert_eq!(stage.get("platform", "/v1/me").await.json()["role"], "integrator");
    assert_eq!(stage.get("platform", "/v1/status").await.status, 200);
}

#[tokio::test]
async fn a_call_shows_each_one_only_its_own_listenings() {
    let stage = busy();
    for (who, wanted) in [
        ("ada", json!(["lst_0", "lst_1", "lst_2", "lst_3"])),
        ("sue", json!(["lst_0", "lst_1"])),
        ("sam", json!(["lst_2"])),
        ("all", json!([])),
        ("platform", json!([])),
    ] {
        assert_eq!(stage.get(who, "/v1/calls/call_1").await.json()["listenings"], wanted, "{who}");
        let list = stage.get(who, "/v1/calls").await.json();
        let shown = list["items"].as_array().unwrap().iter().find(|call| call["id"] == "call_1").unwrap();
        assert_eq!(shown["listenings"], wanted, "{who}");
    }
}

#[tokio::test]
async fn rights_and_tokens_follow_a_reload() {
    let stage = busy();
    stage.api.view(View::User(user("sue", Role::Supervisor, Some(vec!["Sales"]))));
    assert_eq!(stage.get("sue", "/v1/agents").await.ids(), ["cia"]);
    stage.api.view(View::UserRemoved("sue".to_owned()));
    stage.get("sue", "/v1/agents").await.problem(401, "unauthenticated");
    stage.api.credentials(vec![credential("sam")]);
    stage.get("ada", "/v1/me").await.problem(401, "unauthenticated");
    assert_eq!(stage.get("sam", "/v1/me").await.json()["id"], "sam");
}

#[tokio::test]
async fn nobody_sees_secrets() {
    let stage = busy();
    let users = stage.get("ada", "/v1/users").await;
    let text = String::from_utf8(users.body.clone()).unwrap();
    for secret in ["token", "hash", "password"] {
        assert!(!text.replace("tokenless", "").contains(secret), "{text}");
    }
}
