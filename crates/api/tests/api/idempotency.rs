//! The same key twice is one order.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use engine::persist::{AnswerRecord, Change};
use engine::view::{RequestState, RequestView, Warning};
use engine::{Command, Key, Reply};
use serde_json::json;
use store::Store;
use tower::ServiceExt;

use crate::stage::{Got, Stage, monitoring, order, raw, refused};

fn keyed(who: &str, key: &str, body: &serde_json::Value) -> Request<Body> {
    raw(who, "POST", "/v1/requests", Some(body.to_string().into()), &[("Idempotency-Key", key)])
}

fn made(id: &str) -> Result<Reply, engine::Problem> {
    Ok(Reply::Request(monitoring(id, "sue", RequestState::Waiting)))
}

fn is_replay(got: &Got) -> bool {
    got.header("idempotent-replayed") == Some("true")
}

#[tokio::test]
async fn the_first_answer_comes_again() {
    let mut stage = Stage::new();
    let (first, ..) = stage.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    assert_eq!(first.status, 201);
    assert!(!is_replay(&first));
    let again = stage.send(keyed("sue", "k1", &order())).await;
    assert!(is_replay(&again));
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!((again.header("location"), again.header("etag")), (first.header("location"), first.header("etag")));
    assert!(stage.commands.try_recv().is_err(), "the engine was asked once");
    assert!(is_replay(&stage.send(keyed("sue", "k1", &order())).await));
}

#[tokio::test]
async fn another_body_or_path_with_the_same_key_is_refused() {
    let mut stage = Stage::new();
    stage.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    let other = json!({"agent": "bo", "listener": {"user": "sue"}, "calls": 2});
    let problem = stage.send(keyed("sue", "k1", &other)).await.problem(422, "idempotency-key-reused");
    assert_eq!(problem["field"], "idempotency-key");
    let dry =
        raw("sue", "POST", "/v1/requests?dry_run=true", Some(order().to_string().into()), &[("Idempotency-Key", "k1")]);
    stage.send(dry).await.problem(422, "idempotency-key-reused");
    stage
        .send(raw("sue", "POST", "/v1/requests/req_1/resume", None, &[("Idempotency-Key", "k1")]))
        .await
        .problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn keys_are_each_users_own() {
    let mut stage = Stage::new();
    stage.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    let (other, actor, _) = stage.ask(keyed("sam", "k1", &order()), made("req_2")).await;
    assert_eq!((other.json()["id"].as_str(), actor.as_str()), (Some("req_2"), "sam"));
}

#[tokio::test]
async fn refusals_of_the_engine_come_again_and_its_failures_do_not() {
    let mut stage = Stage::new();
    stage
        .ask(keyed("sue", "k1", &order()), Err(refused(409, "active-request-exists")))
        .await
        .0
        .problem(409, "active-request-exists");
    let again = stage.send(keyed("sue", "k1", &order())).await;
    again.problem(409, "active-request-exists");
    assert!(is_replay(&again));
    stage
        .ask(keyed("sue", "k2", &order()), Err(refused(503, "store-unavailable")))
        .await
        .0
        .problem(503, "store-unavailable");
    let (retried, ..) = stage.ask(keyed("sue", "k2", &order()), made("req_1")).await;
    assert_eq!(retried.status, 201);
    assert!(!is_replay(&retried));
}

#[tokio::test]
async fn a_body_that_is_wrong_does_not_use_its_key_up() {
    let mut stage = Stage::new();
    stage.send(keyed("sue", "k1", &json!({}))).await.problem(422, "invalid-request");
    let (got, ..) = stage.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    assert_eq!(got.status, 201);
}

#[tokio::test]
async fn strange_keys_are_refused() {
    let stage = Stage::new();
    for key in ["x".repeat(256).as_str(), "\u{e6}"] {
        let problem = stage.send(keyed("sue", key, &order())).await.problem(422, "invalid-request");
        assert_eq!(problem["field"], "idempotency-key");
    }
}

#[tokio::test]
async fn two_at_once_are_one_order() {
    let mut stage = Stage::new();
    let ask = |router: axum::Router| async move { router.oneshot(keyed("sue", "k1", &order())).await.unwrap() };
    let (first, second, ()) = tokio::join!(ask(stage.router.clone()), ask(stage.router.clone()), async {
        let call = stage.commands.recv().await.unwrap();
        call.answer.send(made("req_1")).unwrap();
    });
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (201, 201));
    let replays =
        [&first, &second].iter().filter(|response| response.headers().contains_key("idempotent-replayed")).count();
    assert_eq!(replays, 1);
    assert!(stage.commands.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_client_gave_up_is_found_again() {
    let mut stage = Stage::new();
    stage.send(keyed("sue", "k1", &order())).await.problem(503, "engine-unavailable");
    let call = stage.commands.recv().await.unwrap();
    call.answer.send(made("req_1")).unwrap();
    let found = stage.send(keyed("sue", "k1", &order())).await;
    assert_eq!(found.json()["id"], "req_1");
    assert!(is_replay(&found));
    assert!(stage.commands.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn an_order_that_the_engine_never_answers_can_be_tried_again() {
    let mut stage = Stage::new();
    stage.send(keyed("sue", "k1", &order())).await.problem(503, "engine-unavailable");
    drop(stage.commands.recv().await.unwrap());
    tokio::time::advance(Duration::from_secs(1)).await;
    let (got, ..) = stage.ask(keyed("sue", "k1", &order()), made("req_2")).await;
    assert_eq!(got.status, 201);
}

/// What the engine keeps with the order, as another process finds it.
fn kept(stage: &Stage, key: &str, command: Command, hours_ago: i64) {
    let Command::Under { terms, .. } = command else { panic!("{command:?}") };
    let Key { key: sent, asked } = terms.key.unwrap();
    assert_eq!(sent, key);
    let warning = Warning { code: "listener-already-assigned".to_owned(), message: "twice".to_owned() };
    let request = RequestView { warnings: vec![warning], ..monitoring("req_1", "sue", RequestState::Waiting) };
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours_ago);
    let answer = AnswerRecord { user: "sue".to_owned(), key: sent, asked, at, request, status: 201 };
    stage.store.apply(&[Change::Answer(answer)]).unwrap();
}

/// A stage whose process began anew over the same store.
fn restarted(old: &Stage) -> Stage {
    let mut stage = Stage::new();
    stage.over(old.store.clone());
    stage
}

#[tokio::test]
async fn after_a_restart_the_first_answer_is_found_in_the_store() {
    let mut first = Stage::new();
    let (_, _, command) = first.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    kept(&first, "k1", command, 0);
    let mut stage = restarted(&first);
    for _ in 0..2 {
        let again = stage.send(keyed("sue", "k1", &order())).await;
        assert_eq!((again.status.as_u16(), again.header("location")), (201, Some("/v1/requests/req_1")));
        assert!(is_replay(&again));
        assert_eq!(again.json()["warnings"][0]["code"], "listener-already-assigned", "word for word");
    }
    assert!(stage.commands.try_recv().is_err(), "the engine was not asked");
    let metrics = stage.get("", "/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("medlytt_idempotency_answers_found_total 1"));
    // somebody else's key is another key
    let (got, ..) = stage.ask(keyed("ada", "k1", &order()), made("req_2")).await;
    assert!(got.status == 201 && !is_replay(&got));
}

#[tokio::test]
async fn after_a_restart_another_body_does_not_get_the_key() {
    let mut first = Stage::new();
    let (_, _, command) = first.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    kept(&first, "k1", command, 23);
    let mut stage = restarted(&first);
    let other = json!({"agent": "bo", "listener": {"user": "sue"}, "calls": 1});
    for _ in 0..2 {
        let problem = stage.send(keyed("sue", "k1", &other)).await.problem(422, "idempotency-key-reused");
        assert_eq!(problem["field"], "idempotency-key");
    }
    assert!(is_replay(&stage.send(keyed("sue", "k1", &order())).await), "nor does it take it from the first");
    assert!(stage.commands.try_recv().is_err());
}

#[tokio::test]
async fn a_day_later_a_key_is_new() {
    let mut first = Stage::new();
    let (_, _, command) = first.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    kept(&first, "k1", command, 24);
    let mut stage = restarted(&first);
    let (got, ..) = stage.ask(keyed("sue", "k1", &order()), made("req_2")).await;
    assert!(got.status == 201 && !is_replay(&got));
}

#[tokio::test]
async fn a_store_that_cannot_be_asked_is_503_and_the_key_is_free() {
    let mut stage = Stage::new();
    stage.store.set_available(false);
    stage.send(keyed("sue", "k1", &order())).await.problem(503, "store-unavailable");
    stage.store.set_available(true);
    let (got, ..) = stage.ask(keyed("sue", "k1", &order()), made("req_1")).await;
    assert!(got.status == 201 && !is_replay(&got));
}
