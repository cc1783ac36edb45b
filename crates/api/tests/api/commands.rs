//! What orders become on their way to the engine, and its answers on their way back.

use std::time::Duration;

use engine::persist::{Change, RequestRecord};
use engine::view::{AgentStatus, CallDirection, CallState, RequestState, RequestView, Warning};
use engine::{Command, ListenerOrder, Precondition, Problem, Reply, View};
use serde_json::json;
use store::Store as _;

use crate::stage::{Stage, agent, call, monitoring, order, raw, refused, request};

#[tokio::test]
async fn an_order_is_created_with_its_place() {
    let mut stage = Stage::new();
    let body = json!({"agent": "anna", "listener": {"number": "+4799999999"}, "calls": 2, "until": "2026-11-22T17:00:00+01:00",
        "directions": ["inbound", "internal"], "layout": "mono", "confirm": false});
    let mut made = monitoring("req_1", "sue", RequestState::Waiting);
    made.warnings.push(Warning { code: "listener-already-assigned".to_owned(), message: "Already.".to_owned() });
    let (got, actor, command) =
        stage.ask(request("sue", "POST", "/v1/requests", Some(body)), Ok(Reply::Request(made))).await;
    assert_eq!(got.status, 201);
    assert_eq!(got.header("location"), Some("/v1/requests/req_1"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert!(got.header("etag").is_some());
    assert_eq!(got.json()["calls"], json!({"limit": 2, "used": 0}));
    assert_eq!(got.json()["warnings"][0]["code"], "listener-already-assigned");
    assert_eq!(actor, "sue");
    let Command::Order { order, dry_run } = command else { panic!("{command:?}") };
    assert!(!dry_run);
    assert_eq!((order.agent.as_str(), order.listener), ("anna", Some(ListenerOrder::Number("+4799999999".to_owned()))));
    assert_eq!((order.calls, order.until), (Some(2), Some("2026-11-22T16:00:00Z".parse().unwrap())));
    assert_eq!(order.directions, Some(vec![CallDirection::Inbound, CallDirection::Internal]));
    assert_eq!((order.layout.as_deref(), order.confirm), (Some("mono"), Some(false)));
}

#[tokio::test]
async fn what_an_order_leaves_out_stays_open() {
    let mut stage = Stage::new();
    let body = json!({"agent": "anna", "listener": {"page": true, "user": null}, "calls": null, "until": null});
    let made = monitoring("req_1", "sue", RequestState::Waiting);
    let (_, _, command) = stage.ask(request("sue", "POST", "/v1/requests", Some(body)), Ok(Reply::Request(made))).await;
    let Command::Order { order, .. } = command else { panic!("{command:?}") };
    assert_eq!(order.listener, Some(ListenerOrder::Page));
    assert!(
        order.calls.is_none()
            && order.until.is_none()
            && order.directions.is_none()
            && order.layout.is_none()
            && order.confirm.is_none()
    );
}

#[tokio::test]
async fn any_integer_goes_to_the_engine_to_judge() {
    let mut stage = Stage::new();
    for (sent, wanted) in [("0", 0), ("-7", -7), ("1000", 1000), ("18446744073709551615", i64::MAX)] {
        let body = format!(r#"{{"agent":"anna","listener":{{"user":"sue"}},"calls":{sent}}}"#);
        let asked = raw(
            "sue",
            "POST",
            "/v1/requests",
            Some(body.into()),
            &[("Content-Type", "application/json; charset=utf-8")],
        );
        let made = monitoring("req_1", "sue", RequestState::Waiting);
        let (_, _, command) = stage.ask(asked, Ok(Reply::Request(made))).await;
        assert!(matches!(command, Command::Order { order, .. } if order.calls == Some(wanted)), "{sent}");
    }
}

#[tokio::test]
async fn a_dry_run_makes_nothing() {
    let mut stage = Stage::new();
    let would = monitoring("req_1", "sue", RequestState::Waiting);
    let (got, _, command) =
        stage.ask(request("sue", "POST", "/v1/requests?dry_run=true", Some(order())), Ok(Reply::Request(would))).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (200, None));
    assert!(matches!(command, Command::Order { dry_run: true, .. }));
}

#[tokio::test]
async fn requests_are_changed_resumed_and_deleted() {
    let mut stage = Stage::new();
    let now = || Ok(Reply::Request(monitoring("req_1", "sue", RequestState::Waiting)));
    let (got, _, command) =
        stage.ask(request("sue", "PATCH", "/v1/requests/req_1", Some(json!({"calls": 5}))), now()).await;
    assert_eq!(got.status, 200);
    assert!(matches!(command, Command::ChangeRequest { id, calls: Some(5), until: None } if id == "req_1"));
    let (got, _, command) = stage.ask(request("sue", "POST", "/v1/requests/req_1/resume", None), now()).await;
    assert_eq!(got.status, 200);
    assert!(matches!(command, Command::ResumeRequest { id } if id == "req_1"));
    let (got, _, _) = stage.ask(request("sue", "POST", "/v1/requests/req_1/resume", Some(json!({}))), now()).await;
    assert_eq!(got.status, 200);
    let (got, _, command) = stage.ask(request("sue", "DELETE", "/v1/requests/req_1", None), Ok(Reply::Nothing)).await;
    assert_eq!((got.status.as_u16(), got.body.len()), (204, 0));
    assert!(matches!(command, Command::DeleteRequest { id } if id == "req_1"));
    let (got, ..) = stage.ask(request("sue", "DELETE", "/v1/requests/req_1", None), now()).await;
    assert_eq!((got.status.as_u16(), got.body.len()), (204, 0), "204 whatever the engine shows");
}

#[tokio::test]
async fn ended_requests_are_told_from_those_that_are_not_there() {
    let mut stage = Stage::new();
    let view = |id, state| monitoring(id, "sue", state);
    let record = |view| Change::Request(RequestRecord { view, failures_in_a_row: 0 });
    stage.store.apply(&[record(view("req_1", RequestState::Fulfilled))]).unwrap();
    stage.api.view(View::Request(view("req_2", RequestState::Deleted))); // the store does not have it yet
    for (who, id, status, code, deleted) in [
        ("sue", "req_1", 409, "request-ended", 204),
        ("ada", "req_1", 409, "request-ended", 204),
        ("sam", "req_1", 404, "request-not-found", 404),
        ("sue", "req_2", 409, "request-ended", 409),
        ("sue", "req_9", 404, "request-not-found", 404),
    ] {
        let path = format!("/v1/requests/{id}");
        let gone = || Err(refused(404, "request-not-found"));
        let (got, ..) = stage.ask(request(who, "PATCH", &path, Some(json!({"calls": 5}))), gone()).await;
        got.problem(status, code);
        let (got, ..) = stage.ask(request(who, "POST", &format!("{path}/resume"), None), gone()).await;
        got.problem(status, code);
        let (got, ..) = stage.ask(request(who, "DELETE", &path, None), gone()).await;
        assert_eq!(got.status.as_u16(), deleted, "{who} {id}");
    }
    let unwritten = Err(refused(503, "store-unavailable"));
    let (got, ..) = stage.ask(request("sue", "DELETE", "/v1/requests/req_1", None), unwritten).await;
    got.problem(503, "store-unavailable");
}

#[tokio::test]
async fn the_directory_is_kept() {
    let mut stage = Stage::new();
    let body = json!({"name": "Eva", "number": "1009", "group": "Support", "skills": ["A"], "monitorable": false, "contact": "sip:eva@10.0.0.1:5060"});
    let eva = || agent("eva", "Eva", "1009", Some("Support"));
    let (got, actor, command) =
        stage.ask(request("platform", "PUT", "/v1/agents/eva", Some(body)), Ok(Reply::Agent(eva(), true))).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (201, Some("/v1/agents/eva")));
    assert_eq!(actor, "platform");
    let Command::PutAgent { id, agent: fields } = command else { panic!("{command:?}") };
    assert_eq!((id.as_str(), fields.name.as_deref(), fields.monitorable), ("eva", Some("Eva"), Some(false)));
    let (got, ..) =
        stage.ask(request("platform", "PUT", "/v1/agents/eva", Some(json!({}))), Ok(Reply::Agent(eva(), false))).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (200, None));
    let (got, _, command) = stage
        .ask(
            request("platform", "PUT", "/v1/agents/anna/status", Some(json!({"status": "wrap-up"}))),
            Ok(Reply::Agent(eva(), false)),
        )
        .await;
    assert_eq!(got.status, 200);
    assert!(matches!(command, Command::PutStatus { id, status: AgentStatus::WrapUp } if id == "anna"));
    let (got, _, command) = stage.ask(request("platform", "DELETE", "/v1/agents/eva", None), Ok(Reply::Nothing)).await;
    assert_eq!(got.status, 204);
    assert!(matches!(command, Command::DeleteAgent { id } if id == "eva"));
}

#[tokio::test]
async fn a_call_is_shielded_and_a_listening_hung_up() {
    let mut stage = Stage::new();
    let up = call("call_1", Some("anna"), CallState::Up);
    let (got, _, command) = stage
        .ask(request("platform", "PUT", "/v1/calls/call_1/shield", Some(json!({"on": true}))), Ok(Reply::Call(up)))
        .await;
    assert_eq!(got.status, 200);
    assert!(matches!(command, Command::Shield { call, on: true } if call == "call_1"));
    let (got, _, command) = stage.ask(request("sue", "DELETE", "/v1/listenings/lst_1", None), Ok(Reply::Nothing)).await;
    assert_eq!(got.status, 204);
    assert!(matches!(command, Command::HangUp { listening } if listening == "lst_1"));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_silent_full_or_gone_is_503() {
    let mut stage = Stage::new();
    let started = tokio::time::Instant::now();
    stage.send(request("sue", "POST", "/v1/requests", Some(order()))).await.problem(503, "engine-unavailable");
    assert_eq!(started.elapsed().as_secs(), 5);
    // The stage's queue holds four, and the first is still in it.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let router = stage.router.clone();
            tokio::spawn(async move {
                tower::ServiceExt::oneshot(router, request("sue", "DELETE", "/v1/listenings/lst_1", None))
                    .await
                    .unwrap()
                    .status()
            })
        })
        .collect();
    tokio::time::advance(Duration::from_millis(1)).await;
    let got = stage.send(request("sue", "POST", "/v1/requests", Some(order()))).await;
    got.problem(503, "busy");
    assert_eq!(got.header("retry-after"), Some("1"));
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), 503);
    }
    while stage.commands.try_recv().is_ok() {}
    let started = tokio::time::Instant::now();
    let (dropped, ()) = tokio::join!(
        tower::ServiceExt::oneshot(stage.router.clone(), request("sue", "DELETE", "/v1/requests/r", None)),
        async {
            drop(stage.commands.recv().await.unwrap());
        }
    );
    assert_eq!(dropped.unwrap().status(), 503);
    assert_eq!(started.elapsed(), Duration::ZERO, "an order that the engine dropped is not waited for");
    stage.commands.close();
    stage.send(request("sue", "DELETE", "/v1/requests/r", None)).await.problem(503, "engine-unavailable");
}

#[tokio::test]
async fn if_match_goes_to_the_engine_which_judges_it() {
    let mut stage = Stage::new();
    let now = monitoring("req_1", "sue", RequestState::Waiting);
    stage.api.view(engine::View::Request(now.clone()));
    let etag = stage.get("sue", "/v1/requests/req_1").await.header("etag").unwrap().to_owned();
    assert_eq!(etag, now.etag(), "the tag that the engine knows");
    let anna = stage.get("platform", "/v1/agents/anna").await.header("etag").unwrap().to_owned();
    assert_eq!(anna, agent("anna", "Anna Berg", "1001", Some("Support")).etag());
    let one_of = |tags: &[&str]| Precondition::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect());
    for (who, method, path, body) in [
        ("sue", "PATCH", "/v1/requests/req_1", Some(json!({"calls": 3}))),
        ("sue", "DELETE", "/v1/requests/req_1", None),
        ("sue", "POST", "/v1/requests/req_1/resume", None),
        ("platform", "PUT", "/v1/agents/anna", Some(json!({}))),
        ("platform", "DELETE", "/v1/agents/anna", None),
    ] {
        for (header, wanted) in [
            ("*", Precondition::Any),
            ("\"a\"", one_of(&["\"a\""])),
            ("\"a\", W/\"b\" ,\"c\"", one_of(&["\"a\"", "W/\"b\"", "\"c\""])),
        ] {
            let body = body.clone().map(|body| body.to_string().into());
            let asked = raw(who, method, path, body, &[("If-Match", header)]);
            let problem = Problem { etag: Some("\"now\"".to_owned()), ..refused(412, "precondition-failed") };
            let (got, _, command) = stage.ask(asked, Err(problem)).await;
            got.problem(412, "precondition-failed");
            assert_eq!(got.header("etag"), Some("\"now\""), "{method} {path}");
            let Command::Under { terms, .. } = command else { panic!("{command:?}") };
            assert_eq!((terms.expect, terms.key), (wanted, None), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_tag_of_an_order_is_that_of_its_request() {
    let mut stage = Stage::new();
    let plain = monitoring("req_1", "sue", RequestState::Waiting);
    let warning = Warning { code: "listener-already-assigned".to_owned(), message: "twice".to_owned() };
    let warned = RequestView { warnings: vec![warning], ..plain.clone() };
    let (got, ..) = stage.ask(request("sue", "POST", "/v1/requests", Some(order())), Ok(Reply::Request(warned))).await;
    assert_eq!(got.json()["warnings"].as_array().unwrap().len(), 1);
    stage.api.view(engine::View::Request(plain));
    assert_eq!(got.header("etag"), stage.get("sue", "/v1/requests/req_1").await.header("etag"));
}
