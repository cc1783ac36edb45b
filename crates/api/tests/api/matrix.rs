//! Who sees what: every path and method by every role, on what is one's own and on what is somebody else's. A route
//! without a row fails. What the engine judges is marked [`ASKED`] here; its own table is
//! `crates/engine/src/stories/matrix.rs`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use engine::view::{CallState, EventBody, EventName, ListeningState, RequestState, Role, WebhookPaused};
use engine::{Event, Problem, Reply, View};
use medlytt_api::Api;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::stage::{Stage, agent, call, listening, monitoring, raw, user};

/// An admin; the supervisor of group Support, whose own things they are; a supervisor of all who has nothing here; one of
/// another group; an integrator; nobody; a user who was removed, with a token that was good.
const ROLES: [&str; 7] = ["ada", "sue", "all", "olga", "platform", "", "ghost"];

/// The engine is asked, in the name of the caller, and answers with whatever it decides.
const ASKED: u16 = 1;

/// Of each role.
type Statuses = [u16; 7];

const ALL: Statuses = [200, 200, 200, 200, 200, 401, 401];
const OPEN: Statuses = [200; 7];
const ADMIN: Statuses = [200, 403, 403, 403, 403, 401, 401];
/// Monitoring is not for integrators.
const MONITORS: Statuses = [200, 200, 200, 200, 403, 401, 401];
const MINE: Statuses = [200, 200, 404, 404, 403, 401, 401];
const NOT_MINE: Statuses = [200, 404, 404, 404, 403, 401, 401];
const MY_GROUP: Statuses = [200, 200, 200, 404, 200, 401, 401];
const NOT_MY_GROUP: Statuses = [200, 404, 200, 404, 200, 401, 401];
const ENGINE: Statuses = [ASKED, ASKED, ASKED, ASKED, ASKED, 401, 401];
/// The API itself sends integrators away.
const ENGINE_MONITORS: Statuses = [ASKED, ASKED, ASKED, ASKED, 403, 401, 401];

/// Webhooks are for integrators and admins; whose they are is in `webhooks.rs`.
const HOOKS: Statuses = [200, 403, 403, 403, 200, 401, 401];
const HOOKS_422: Statuses = [422, 403, 403, 403, 422, 401, 401];
const HOOKS_404: Statuses = [404, 403, 403, 403, 404, 401, 401];
/// What a bearer token has no part in, or a secret that nobody has.
const NOBODY: Statuses = [401; 7];
/// Sessions and tokens are everybody's own; those of others are in `session.rs` and `tokens.rs`.
const DONE: Statuses = [204, 204, 204, 204, 204, 401, 401];
const MADE: Statuses = [201, 201, 201, 201, 201, 401, 401];
const NOT_THERE: Statuses = [404, 404, 404, 404, 404, 401, 401];

/// Method, path, statuses on one's own (Sue's) thing and on a foreign one (Sam's, of group Sales).
const ROWS: [(&str, &str, Statuses, Statuses); 55] = [
    ("get", "/v1/requests", MONITORS, MONITORS),
    ("post", "/v1/requests", ENGINE, ENGINE),
    ("get", "/v1/requests/{id}", MINE, NOT_MINE),
    ("patch", "/v1/requests/{id}", ENGINE, ENGINE),
    ("delete", "/v1/requests/{id}", ENGINE, ENGINE),
    ("post", "/v1/requests/{id}/resume", ENGINE, ENGINE),
    ("get", "/v1/agents", ALL, ALL),
    ("post", "/v1/agents/bulk", ENGINE, ENGINE),
    ("get", "/v1/agents/{id}", MY_GROUP, NOT_MY_GROUP),
    ("put", "/v1/agents/{id}", ENGINE, ENGINE),
    ("delete", "/v1/agents/{id}", ENGINE, ENGINE),
    ("put", "/v1/agents/{id}/status", ENGINE, ENGINE),
    ("get", "/v1/groups", ALL, ALL),
    ("get", "/v1/skills", ALL, ALL),
    ("get", "/v1/calls", ALL, ALL),
    ("get", "/v1/calls/{id}", MY_GROUP, NOT_MY_GROUP),
    ("put", "/v1/calls/{id}/shield", ENGINE, ENGINE),
    ("get", "/v1/listenings", MONITORS, MONITORS),
    ("get", "/v1/listenings/{id}", MINE, NOT_MINE),
    ("patch", "/v1/listenings/{id}", ENGINE_MONITORS, ENGINE_MONITORS),
    ("delete", "/v1/listenings/{id}", ENGINE, ENGINE),
    ("get", "/v1/listenings/{id}/levels", MINE, NOT_MINE),
    ("post", "/v1/listenings/{id}/whep", ENGINE_MONITORS, ENGINE_MONITORS),
    ("patch", "/v1/listenings/{id}/whep/{session}", ENGINE_MONITORS, ENGINE_MONITORS),
    ("delete", "/v1/listenings/{id}/whep/{session}", ENGINE_MONITORS, ENGINE_MONITORS),
    ("get", "/v1/events", ALL, ALL),
    ("get", "/v1/events/log", ALL, ALL),
    ("get", "/v1/users", MONITORS, MONITORS),
    ("get", "/v1/users/{id}", MONITORS, MONITORS),
    ("get", "/v1/me", ALL, ALL),
    ("get", "/v1/status", ALL, ALL),
    ("get", "/v1/audit", ADMIN, ADMIN),
    ("get", "/healthz", OPEN, OPEN),
    ("get", "/readyz", OPEN, OPEN),
    ("get", "/metrics", OPEN, OPEN),
    ("get", "/openapi.json", OPEN, OPEN),
    ("get", "/", OPEN, OPEN),
    ("get", "/{file}", OPEN, OPEN),
    ("get", "/assets/{file}", OPEN, OPEN),
    ("get", "/v1/webhooks", HOOKS, HOOKS),
    ("post", "/v1/webhooks", HOOKS_422, HOOKS_422),
    ("get", "/v1/webhooks/{id}", HOOKS_404, HOOKS_404),
    ("patch", "/v1/webhooks/{id}", HOOKS_404, HOOKS_404),
    ("delete", "/v1/webhooks/{id}", HOOKS_404, HOOKS_404),
    ("post", "/v1/webhooks/{id}/test", HOOKS_404, HOOKS_404),
    ("post", "/v1/webhooks/{id}/rotate-secret", HOOKS_404, HOOKS_404),
    ("get", "/v1/webhooks/{id}/deliveries", HOOKS_404, HOOKS_404),
    ("post", "/v1/webhooks/{id}/deliveries/{delivery}/retry", HOOKS_404, HOOKS_404),
    ("get", "/v1/session", NOBODY, NOBODY),
    ("post", "/v1/session", NOBODY, NOBODY),
    ("delete", "/v1/session", NOT_THERE, NOT_THERE),
    ("delete", "/v1/sessions", DONE, DONE),
    ("get", "/v1/tokens", ALL, ALL),
    ("post", "/v1/tokens", MADE, MADE),
    ("delete", "/v1/tokens/{id}", NOT_THERE, NOT_THERE),
];

/// What a request needs besides its path, so that rights decide and nothing else.
fn body(method: &str, path: &str, is_own: bool) -> Option<(Vec<u8>, &'static str)> {
    let json = |value: Value| Some((value.to_string().into_bytes(), "application/json"));
    let agent = if is_own { "anna" } else { "cia" };
    match (method, path) {
        ("post", "/v1/requests") => json(json!({"agent": agent, "listener": {"page": true}, "calls": 1})),
        ("patch", "/v1/requests/{id}") => json(json!({"calls": 3})),
        ("post", "/v1/agents/bulk") => json(json!({"agents": [{"id": agent, "name": "A"}]})),
        ("put", "/v1/agents/{id}") => json(json!({"name": "A"})),
        ("put", "/v1/agents/{id}/status") => json(json!({"status": "pause"})),
        ("put", "/v1/calls/{id}/shield") => json(json!({"on": true})),
        ("patch", "/v1/listenings/{id}") => json(json!({"layout": "stereo"})),
        ("post", "/v1/listenings/{id}/whep") => Some((b"v=0\r\n".to_vec(), "application/sdp")),
        ("patch", "/v1/listenings/{id}/whep/{session}") => {
            Some((b"a=ice-ufrag:x\r\na=ice-pwd:y\r\n".to_vec(), "application/trickle-ice-sdpfrag"))
        }
        ("post", "/v1/webhooks" | "/v1/webhooks/{id}/rotate-secret") => json(json!({})),
        ("patch", "/v1/webhooks/{id}") => json(json!({"active": false})),
        ("post", "/v1/session") => json(json!({"token": "nobody has this one"})),
        ("post", "/v1/tokens") => json(json!({"name": "one more"})),
        _ => None,
    }
}

/// The path with the id of a thing in it.
fn place(path: &str, is_own: bool) -> String {
    let n = if is_own { "1" } else { "2" };
    let id = match path.split('/').nth(2) {
        Some("agents") => (if is_own { "anna" } else { "cia" }).to_owned(),
        Some("users") => (if is_own { "sue" } else { "sam" }).to_owned(),
        Some("calls") => format!("call_{n}"),
        Some("requests") => format!("req_{n}"),
        _ => format!("lst_{n}"),
    };
    let file = if path.starts_with("/assets") { "index.js" } else { "icon.svg" };
    path.replace("{id}", &id).replace("{session}", "1").replace("{delivery}", "1").replace("{file}", file)
}

fn stage() -> Stage {
    let stage = Stage::new();
    stage.api.view(View::User(user("olga", Role::Supervisor, Some(vec!["Elsewhere"]))));
    let names = ["ada", "sue", "sam", "all", "olga", "platform", "ghost"];
    stage.api.credentials(names.map(crate::stage::credential).into());
    for (n, by, whose) in [("1", "sue", "anna"), ("2", "sam", "cia")] {
        let (mut request, mut heard) = (
            monitoring(&format!("req_{n}"), by, RequestState::Listening),
            listening(&format!("lst_{n}"), by, ListeningState::Live),
        );
        request.agent.id = whose.to_owned();
        heard.agent.id = whose.to_owned();
        stage.api.view(View::Request(request));
        stage.api.view(View::Listening(heard));
        let mut with = call(&format!("call_{n}"), Some(whose), CallState::Up);
        with.listenings = vec![format!("lst_{n}")];
        stage.api.view(View::Call(with));
    }
    stage
}

/// The status, or [`ASKED`] where the engine was asked in this user's name; the body of a stream is not read.
async fn status(stage: &mut Stage, who: &str, request: Request<Body>) -> u16 {
    let router = stage.router.clone();
    let commands = &mut stage.commands;
    let engine = async {
        loop {
            let call = commands.recv().await.unwrap();
            // whoever reads levels has them switched on; nobody waits for that
            if matches!(call.command, engine::Command::WatchLevels { .. }) {
                continue;
            }
            assert_eq!(call.actor, who, "in the name of whoever asks");
            let problem =
                Problem { status: 418, code: "asked", detail: String::new(), field: None, related: None, etag: None };
            let _ = call.answer.send(Err::<Reply, _>(problem));
        }
    };
    let got = tokio::select! {
        got = router.oneshot(request) => got.unwrap().status().as_u16(),
        () = engine => unreachable!("the engine never ends"),
    };
    if got == 418 { ASKED } else { got }
}

#[tokio::test]
async fn every_route_by_every_role_on_own_and_foreign_things() {
    let mut stage = stage();
    let mut wrong = Vec::new();
    for (method, path, own, foreign) in ROWS {
        for (n, who) in ROLES.into_iter().enumerate() {
            for (is_own, wanted) in [(true, own[n]), (false, foreign[n])] {
                let (bytes, kind) = body(method, path, is_own).unzip();
                let headers = [("Content-Type", kind.unwrap_or(""))];
                let request = raw(who, &method.to_uppercase(), &place(path, is_own), bytes, &headers);
                let got = status(&mut stage, who, request).await;
                if got != wanted {
                    wrong.push(format!("{method} {path} by {who:?}, own {is_own}: {got}, not {wanted}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_route_has_a_row() {
    let document: Value = serde_json::from_str(&Api::openapi()).unwrap();
    let rows: BTreeSet<(String, &str)> = ROWS.iter().map(|(method, path, ..)| ((*path).to_owned(), *method)).collect();
    assert_eq!(rows.len(), ROWS.len(), "a row is there twice");
    for (path, item) in document["paths"].as_object().unwrap() {
        // files of the page have one row
        let is_file = path.len() > 1 && path[1..].find('/').is_none() && path.contains('.') && path != "/openapi.json";
        let path = if is_file { "/{file}".to_owned() } else { path.clone() };
        for method in item.as_object().unwrap().keys() {
            assert!(rows.contains(&(path.clone(), method.as_str())), "{method} {path} has no row");
        }
    }
}

/// What each role finds in a list: by role as in [`ROLES`], `-` for refused.
const LISTS: [(&str, [&str; 5]); 10] = [
    ("/v1/agents", ["anna bo cia dag", "anna bo", "anna bo cia dag", "", "anna bo cia dag"]),
    ("/v1/agents?search=cia", ["cia", "", "cia", "", "cia"]),
    ("/v1/agents?group=Sales", ["cia", "", "cia", "", "cia"]),
    ("/v1/groups", ["Sales Support", "Support", "Sales Support", "", "Sales Support"]),
    (
        "/v1/skills",
        [
            "Skill-anna Skill-bo Skill-cia Skill-dag",
            "Skill-anna Skill-bo",
            "Skill-anna Skill-bo Skill-cia Skill-dag",
            "",
            "Skill-anna Skill-bo Skill-cia Skill-dag",
        ],
    ),
    ("/v1/calls", ["call_2 call_1", "call_1", "call_2 call_1", "", "call_2 call_1"]),
    ("/v1/calls?agent=cia", ["call_2", "", "call_2", "", "call_2"]),
    ("/v1/requests", ["req_2 req_1", "req_1", "", "", "-"]),
    ("/v1/listenings", ["lst_2 lst_1", "lst_1", "", "", "-"]),
    ("/v1/listenings?agent=cia", ["lst_2", "", "", "", "-"]),
];

#[tokio::test]
async fn lists_and_counts_hold_what_one_may_see() {
    let stage = stage();
    for (path, wanted) in LISTS {
        for (who, wanted) in ROLES.into_iter().zip(wanted) {
            let got = stage.get(who, path).await;
            if wanted == "-" {
                got.problem(403, "forbidden");
                continue;
            }
            let items = got.json()["items"].clone();
            let found: Vec<&str> = items
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item.get("id").unwrap_or(&item["name"]).as_str().unwrap())
                .collect();
            assert_eq!(found.join(" "), wanted, "{path} by {who}");
        }
    }
    for (who, agents) in [("ada", 2), ("sue", 2), ("all", 2)] {
        let groups = stage.get(who, "/v1/groups").await.json();
        let support = groups["items"].as_array().unwrap().iter().find(|group| group["name"] == "Support").unwrap();
        assert_eq!((&support["agents"], &support["connected"]), (&json!(agents), &json!(1)), "{who}: {support}");
    }
    for who in ["ada", "sue", "all", "olga", "platform"] {
        let seen = stage.get(who, "/v1/calls/call_1").await;
        if seen.status == 200 {
            let wanted = if matches!(who, "ada" | "sue") { json!(["lst_1"]) } else { json!([]) };
            assert_eq!(seen.json()["listenings"], wanted, "{who}");
        }
    }
}

/// Who hears an event of a resource: on Anna, ordered by Sue; and on Cia, ordered by Sam.
fn hears(name: &str) -> ([&'static str; 4], [&'static str; 3]) {
    match name.split('.').next().unwrap() {
        "agent" | "call" | "audio" => (["ada", "sue", "all", "platform"], ["ada", "all", "platform"]),
        "request" | "listening" | "webhook" => (["ada", "sue", "", ""], ["ada", "", ""]),
        other => panic!("nobody said who hears {other}"),
    }
}

fn event(name: EventName, kind: &str, whose: &str, by: &str) -> Event {
    let body = match kind {
        "agent" => EventBody::Agent(agent(whose, "A", "1", Some(if whose == "anna" { "Support" } else { "Sales" }))),
        "call" | "audio" => EventBody::Call(call("call_9", Some(whose), CallState::Up)),
        "request" => EventBody::Request(monitoring("req_9", by, RequestState::Waiting)),
        "webhook" => EventBody::Webhook(WebhookPaused {
            id: "whk_9".to_owned(),
            owner: by.to_owned(),
            reason: "gone".to_owned(),
        }),
        _ => EventBody::Listening(listening("lst_9", by, ListeningState::Live)),
    };
    Event { name, at: jiff::Timestamp::UNIX_EPOCH, body }
}

#[tokio::test]
async fn every_event_reaches_those_who_may_see_it() {
    let document: Value = serde_json::from_str(&Api::openapi()).unwrap();
    let names = document["components"]["schemas"]["EventName"]["enum"].as_array().unwrap();
    assert!(names.len() >= 20);
    for name in names {
        let name = name.as_str().unwrap();
        let stage = stage();
        // one that is gone, so that it is not only in another group
        stage.api.view(View::AgentRemoved("cia".to_owned()));
        stage.api.view(View::AgentRemoved("anna".to_owned()));
        let kind = name.split('.').next().unwrap();
        if kind != "agent" {
            stage.api.view(View::Agent(agent("anna", "A", "1", Some("Support"))));
            stage.api.view(View::Agent(agent("cia", "C", "3", Some("Sales"))));
        }
        let parsed: EventName = serde_json::from_value(json!(name)).unwrap();
        stage.api.event(event(parsed, kind, "anna", "sue"));
        stage.api.event(event(parsed, kind, "cia", "sam"));
        let (own, foreign) = hears(name);
        for who in ["ada", "sue", "all", "olga", "platform"] {
            let log = stage.get(who, "/v1/events/log").await.json();
            let wanted = usize::from(own.contains(&who)) + usize::from(foreign.contains(&who));
            let items = log["items"].as_array().unwrap();
            assert_eq!(items.len(), wanted, "{name} by {who}: {items:?}");
            assert!(items.iter().all(|item| item["type"] == name), "{items:?}");
        }
    }
}

#[tokio::test]
async fn one_who_loses_sight_of_an_agent_is_told_that_it_is_gone_others_that_it_changed() {
    let stage = stage();
    let old = agent("anna", "Anna", "1001", Some("Support"));
    let new = agent("anna", "Anna", "1001", Some("Sales"));
    stage.api.view(View::Agent(new.clone()));
    for (name, view) in [(EventName::AgentRemoved, old), (EventName::AgentUpdated, new)] {
        stage.api.event(Event { name, at: jiff::Timestamp::UNIX_EPOCH, body: EventBody::Agent(view) });
    }
    for (who, wanted) in [
        ("ada", vec!["agent.updated"]),
        ("sue", vec!["agent.removed"]),
        ("sam", vec!["agent.updated"]),
        ("all", vec!["agent.updated"]),
        ("olga", vec![]),
    ] {
        let log = stage.get(who, "/v1/events/log").await.json();
        let types: Vec<_> = log["items"].as_array().unwrap().iter().map(|i| i["type"].as_str().unwrap()).collect();
        assert_eq!(types, wanted, "{who}");
    }
}
