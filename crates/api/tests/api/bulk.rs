//! Many agents in one body.

use engine::{Command, Reply};
use serde_json::{Value, json};

use crate::stage::{Stage, raw, refused, request};

fn body(agents: Value) -> Value {
    json!({ "agents": agents })
}

#[tokio::test]
async fn each_agent_has_its_result() {
    let mut stage = Stage::new();
    let sent = body(json!([
        {"id": "eva", "name": "Eva", "number": "1009", "group": "Support", "skills": ["Sales"], "monitorable": false,
         "contact": "sip:eva@10.0.0.1:5060", "srtp": "offer"},
        {"id": "anna", "name": "Anna"},
        {"id": "bo", "number": "1001"},
    ]));
    let mut taken = refused(422, "invalid-request");
    taken.field = Some("number");
    let answer = Reply::Agents(vec![
        ("eva".to_owned(), Ok(true)),
        ("anna".to_owned(), Ok(false)),
        ("bo".to_owned(), Err(taken)),
    ]);
    let (got, actor, command) = stage.ask(request("platform", "POST", "/v1/agents/bulk", Some(sent)), Ok(answer)).await;
    assert_eq!((got.status.as_u16(), actor.as_str()), (200, "platform"));
    let Command::PutAgents { agents, dry_run: false } = command else { panic!("{command:?}") };
    assert_eq!(agents[0].1.skills, Some(vec!["Sales".to_owned()]));
    assert_eq!((agents[0].1.monitorable, agents[1].1.number.as_deref()), (Some(false), None));
    let results = got.json()["results"].clone();
    assert_eq!(results[0], json!({"id": "eva", "status": 201}));
    assert_eq!(results[1], json!({"id": "anna", "status": 200}));
    assert_eq!(
        results[2],
        json!({"id": "bo", "status": 422, "problem": {"type": "urn:medlytt:problem:invalid-request",
            "title": "Invalid request", "status": 422, "code": "invalid-request", "detail": "No.", "field": "number"}})
    );
}

#[tokio::test]
async fn a_body_that_is_wrong_is_refused_whole_and_names_the_field() {
    let stage = Stage::new();
    let too_many: Vec<_> = (0..1001).map(|n| json!({"id": n.to_string()})).collect();
    for (agents, field) in [
        (json!(null), "agents"),
        (json!({}), "agents"),
        (json!([1]), "agents.0"),
        (json!([{"id": "a"}, {"name": "x"}]), "agents.1.id"),
        (json!([{"id": "a", "skills": [1]}]), "agents.0.skills.0"),
        (json!([{"id": "a", "nmae": "x"}]), "agents.0.nmae"),
        (Value::from(too_many), "agents"),
    ] {
        let got = stage.send(request("platform", "POST", "/v1/agents/bulk", Some(body(agents)))).await;
        assert_eq!(got.problem(422, "invalid-request")["field"], field);
    }
    let sent = Some(json!({"agents": [], "more": 1}));
    let got = stage.send(request("platform", "POST", "/v1/agents/bulk", sent)).await;
    assert_eq!(got.problem(422, "invalid-request")["field"], "more");
}

#[tokio::test]
async fn a_thousand_agents_fit_and_a_key_replays() {
    let mut stage = Stage::new();
    let agents: Vec<_> = (0..1000)
        .map(|n| json!({"id": format!("agent-{n}"), "name": "N".repeat(100), "number": n.to_string(), "skills": vec!["a"; 10]}))
        .collect();
    let bytes = body(Value::from(agents)).to_string().into_bytes();
    assert!(bytes.len() > 128 * 1024);
    let keyed = || raw("platform", "POST", "/v1/agents/bulk", Some(bytes.clone()), &[("Idempotency-Key", "night")]);
    let results = (0..1000).map(|n| (format!("agent-{n}"), Ok(true))).collect();
    let (first, ..) = stage.ask(keyed(), Ok(Reply::Agents(results))).await;
    let again = stage.send(keyed()).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let huge = vec![b' '; 2 * 1024 * 1024 + 1];
    stage.send(raw("platform", "POST", "/v1/agents/bulk", Some(huge), &[])).await.problem(413, "body-too-large");
}

#[tokio::test]
async fn a_dry_run_is_passed_on() {
    let mut stage = Stage::new();
    let sent = Some(body(json!([{"id": "eva"}])));
    let (_, _, command) = stage
        .ask(request("platform", "POST", "/v1/agents/bulk?dry_run=true", sent), Ok(Reply::Agents(Vec::new())))
        .await;
    assert!(matches!(command, Command::PutAgents { dry_run: true, .. }));
}
