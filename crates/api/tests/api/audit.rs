//! The audit trail over the API: who may read it, how it is searched, what the API itself puts into it.

use engine::persist::{AuditEntry, Change};
use engine::{Note, NoteKind};
use serde_json::{Value, json};

use crate::stage::{Stage, order, raw, refused, request};

fn entry(n: i64, actor: &str, action: &str, agent: Option<&str>) -> Change {
    let details = [("code".to_owned(), json!("forbidden")), ("n".to_owned(), json!(n))].into_iter().collect();
    Change::Audit(AuditEntry {
        at: jiff::Timestamp::from_second(1_800_000_000 + n).unwrap(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        target: agent.map(|agent| format!("req_{agent}")),
        agent: agent.map(str::to_owned),
        details,
    })
}

fn filled() -> Stage {
    let stage = Stage::new();
    for (n, change) in [
        ("sue", "request.created", Some("anna")),
        ("sue", "listening.started", Some("anna")),
        ("sip:10.0.0.9", "denied", None),
        ("ada", "request.deleted", Some("anna")),
        ("ada", "request.created", Some("bo")),
    ]
    .into_iter()
    .enumerate()
    {
        let (actor, action, agent) = change;
        stage.store_apply(&[entry(n as i64, actor, action, agent)]);
    }
    stage
}

impl Stage {
    fn store_apply(&self, changes: &[Change]) {
        store::Store::apply(&*self.store, changes).unwrap();
    }
}

async fn seqs(stage: &Stage, query: &str) -> Vec<u64> {
    let got = stage.get("ada", &format!("/v1/audit{query}")).await;
    assert_eq!(got.status, 200, "{query} {}", String::from_utf8_lossy(&got.body));
    got.json()["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn admins_read_it_newest_first_with_its_chain() {
    let stage = filled();
    let list = stage.get("ada", "/v1/audit").await.json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    let newest = &items[0];
    assert_eq!(
        (newest["seq"].as_u64(), newest["actor"].as_str(), newest["action"].as_str(), newest["agent"].as_str()),
        (Some(5), Some("ada"), Some("request.created"), Some("bo"))
    );
    assert_eq!((newest["at"].as_str(), &newest["details"]["n"]), (Some("2027-01-15T08:00:04Z"), &json!(4)));
    for pair in items.windows(2) {
        assert_eq!(pair[0]["prev"], pair[1]["hash"]);
    }
    assert_eq!(items[4]["prev"], "0".repeat(64));
    assert_eq!(list["next_cursor"], Value::Null);
}

#[tokio::test]
async fn it_is_searched() {
    let stage = filled();
    for (query, wanted) in [
        ("?actor=sue", vec![2, 1]),
        ("?agent=anna", vec![4, 2, 1]),
        ("?action=request.created", vec![5, 1]),
        ("?target=req_bo", vec![5]),
        ("?actor=sip%3A10.0.0.9", vec![3]),
        ("?from=2027-01-15T08:00:03Z", vec![5, 4]),
        ("?to=2027-01-15T08:00:01Z", vec![1]),
        ("?from=2027-01-15T08:00:01Z&to=2027-01-15T08:00:03Z&agent=anna", vec![2]),
        ("?actor=nobody", vec![]),
        ("?actor=%27%20OR%201%3D1%20--", vec![]),
    ] {
        assert_eq!(seqs(&stage, query).await, wanted, "{query}");
    }
    assert_eq!(seqs(&stage, "?limit=2").await, [5, 4]);
    let page = stage.get("ada", "/v1/audit?limit=2").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    stage.store_apply(&[entry(9, "engine", "engine.started", None)]);
    assert_eq!(seqs(&stage, &format!("?limit=2&cursor={cursor}")).await, [3, 2], "new ones do not move the page");
    for (bad, field) in [
        ("?team=2", "team"),
        ("?action=everything", "action"),
        ("?cursor=x", "cursor"),
        ("?limit=0", "limit"),
        ("?limit=201", "limit"),
        ("?from=yesterday", "from"),
        ("?actor=a&actor=b", "actor"),
    ] {
        let problem = stage.get("ada", &format!("/v1/audit{bad}")).await.problem(422, "invalid-request");
        assert_eq!(problem["field"], field, "{bad}");
    }
    let of_calls = stage.get("ada", "/v1/calls?limit=1").await.json()["next_cursor"].clone();
    assert_eq!(of_calls, Value::Null);
}

#[tokio::test]
async fn nobody_else_reads_it_and_nobody_changes_it() {
    let stage = filled();
    for who in ["sue", "all", "platform"] {
        stage.get(who, "/v1/audit").await.problem(403, "forbidden");
        stage.get(who, "/v1/audit?team=2").await.problem(403, "forbidden");
    }
    stage.get("", "/v1/audit").await.problem(401, "unauthenticated");
    for method in ["PUT", "DELETE", "PATCH", "POST"] {
        stage
            .send(request("ada", method, "/v1/audit", Some(json!({"agent": "x"}))))
            .await
            .problem(405, "method-not-allowed");
        stage.send(request("ada", method, "/v1/audit/1", None)).await.problem(404, "not-found");
    }
    assert_eq!(seqs(&stage, "").await, [5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_trail_that_cannot_be_read_is_503() {
    let stage = filled();
    stage.store.set_available(false);
    stage.get("ada", "/v1/audit").await.problem(503, "store-unavailable");
}

fn told(stage: &Stage) -> Vec<(String, NoteKind, u64)> {
    stage.api.notes().into_iter().map(|Note { actor, kind, count, .. }| (actor, kind, count)).collect()
}

#[tokio::test(start_paused = true)]
async fn sign_ins_are_noted_once_and_wrong_tokens_with_their_number() {
    let stage = Stage::new();
    for _ in 0..3 {
        stage.get("sue", "/v1/me").await;
        stage.get("wrong", "/v1/me").await.problem(401, "unauthenticated");
        stage.get("ghost", "/v1/me").await.problem(401, "unauthenticated");
        stage.get("", "/v1/me").await.problem(401, "unauthenticated");
    }
    let mut notes = told(&stage);
    notes.sort_by_key(|note| note.2);
    assert_eq!(
        notes,
        [
            ("sue".to_owned(), NoteKind::SignedIn { source: None }, 1),
            ("http:unknown".to_owned(), NoteKind::SignInFailed, 6)
        ],
        "no token is no failed sign-in"
    );
    stage.get("sue", "/v1/me").await;
    assert!(told(&stage).is_empty());
    tokio::time::advance(std::time::Duration::from_secs(3601)).await;
    stage.get("sue", "/v1/me").await;
    assert_eq!(told(&stage).len(), 1);
}

#[tokio::test]
async fn what_the_api_denies_by_itself_is_noted_and_what_the_engine_denies_is_the_engines() {
    let mut stage = Stage::new();
    stage.get("platform", "/v1/requests?agent=anna").await.problem(403, "forbidden");
    stage.get("platform", "/v1/listenings/lst_1").await.problem(403, "forbidden");
    stage.get("sue", "/v1/audit?actor=ada").await.problem(403, "forbidden");
    let (got, ..) = stage
        .ask(request("sue", "POST", "/v1/requests", Some(order())), Err(refused(403, "agent-not-monitorable")))
        .await;
    got.problem(403, "agent-not-monitorable");
    let mut denied: Vec<_> = told(&stage)
        .into_iter()
        .filter_map(
            |(actor, kind, _)| {
                if let NoteKind::Denied { code, what } = kind { Some((actor, code, what)) } else { None }
            },
        )
        .collect();
    denied.sort();
    let line = |actor: &str, what: &str| (actor.to_owned(), "forbidden".to_owned(), what.to_owned());
    assert_eq!(
        denied,
        [
            line("platform", "GET /v1/listenings/{id}"),
            line("platform", "GET /v1/requests"),
            line("sue", "GET /v1/audit")
        ],
        "templates, no ids and no queries"
    );
}

#[tokio::test]
async fn the_address_of_a_connection_is_in_the_note() {
    let stage = Stage::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let api = stage.api.clone();
    let served = tokio::spawn(async move { api.serve(listener, async { drop(stopped.await) }).await });
    for token in ["token-sue", "nonsense"] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let head = format!(
            "GET /v1/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    }
    let mut notes = told(&stage);
    notes.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        notes,
        [
            ("http:127.0.0.1".to_owned(), NoteKind::SignInFailed, 1),
            ("sue".to_owned(), NoteKind::SignedIn { source: Some("127.0.0.1".to_owned()) }, 1)
        ]
    );
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_token_is_in_a_note() {
    let stage = Stage::new();
    stage
        .send(raw("", "GET", "/v1/me", None, &[("Authorization", "Bearer secret-of-mine")]))
        .await
        .problem(401, "unauthenticated");
    assert!(!format!("{:?}", stage.api.notes()).contains("secret"));
}
