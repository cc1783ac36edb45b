//! SEMANTICS, After a restart.

use super::*;

/// What the store holds after a kill in the middle of a heard listening.
fn killed() -> Restored {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    b.call("1001");
    b.listens();
    b.heard(3_000);
    let mut restored = Restored::default();
    for change in &b.persisted {
        match change {
            Change::Request(request) if request.view.id == id => restored.requests = vec![request.clone()],
            Change::Listening(listening) => restored.listenings = vec![listening.clone()],
            Change::Heard(listening, request) => {
                restored.requests = vec![request.clone()];
                restored.listenings = vec![listening.clone()];
            }
            _ => {}
        }
    }
    restored
}

#[test]
fn orders_and_counts_are_as_they_were_and_open_listenings_are_closed() {
    let restored = killed();
    let id = restored.requests[0].view.id.clone();
    let mut b = Bench::with(settings(), seed(), restored);
    let request = b.request(&id);
    assert_eq!((request.state, request.calls), (RequestState::Waiting, CallCount { limit: Some(3), used: 1 }));
    assert_eq!(b.reasons(), vec![EndReason::EngineRestarted]);
    assert!(b.last_listening().counted && b.last_listening().ended_at.is_some());
    assert!(
        b.persisted
            .iter()
            .any(|c| matches!(c, Change::Listening(l) if l.end_reason == Some(EndReason::EngineRestarted)))
    );
    b.call("1001");
    b.listens();
    assert_eq!(b.request(&id).state, RequestState::Listening);
}

#[test]
fn requests_past_until_are_expired_and_full_ones_fulfilled() {
    let mut restored = killed();
    restored.listenings.clear();
    let mut late = restored.requests[0].clone();
    late.view.id = "req_late".into();
    late.view.until = "2026-11-22T11:00:00Z".parse().unwrap();
    let mut full = restored.requests[0].clone();
    full.view.id = "req_full".into();
    full.view.calls = CallCount { limit: Some(1), used: 1 };
    let mut suspended = restored.requests[0].clone();
    suspended.view.id = "req_suspended".into();
    suspended.view.state = RequestState::Suspended;
    restored.requests.extend([late, full, suspended]);
    let b = Bench::with(settings(), seed(), restored);
    assert_eq!(b.request("req_late").state, RequestState::Expired);
    assert_eq!(b.request("req_full").state, RequestState::Fulfilled);
    assert_eq!(b.request("req_suspended").state, RequestState::Suspended);
    assert!(b.removed.contains(&"req_late".to_owned()) && b.removed.contains(&"req_full".to_owned()));
}

#[test]
fn the_apis_agents_return() {
    let mut b = Bench::new();
    let agent = AgentChange {
        name: Some("Dag".into()),
        number: Some("1009".into()),
        contact: Some("sip:dag@127.0.0.1:6009".into()),
        ..AgentChange::default()
    };
    b.command("platform", Command::PutAgent { id: "dag".into(), agent }).unwrap();
    b.command("platform", Command::DeleteAgent { id: "bo".into() }).unwrap();
    let agents = b
        .persisted
        .iter()
        .filter_map(|c| if let Change::Agent(record) = c { Some(record.clone()) } else { None })
        .collect();
    let mut b =
        Bench::with(settings(), seed(), Restored { agents, agents_removed: vec!["bo".into()], ..Restored::default() });
    assert_eq!(b.agents.keys().map(String::as_str).collect::<Vec<_>>(), ["anna", "cia", "dag"]);
    assert!(b.agents["dag"].registered);
    assert!(b.trunk_calls("1009", &[]).is_some());
}

#[test]
fn what_the_store_refused_is_offered_again() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.store_up = false;
    b.bye(call.caller);
    assert!(b.removed.is_empty(), "it stays in the views");
    b.seconds(6);
    assert!(b.removed.is_empty());
    b.store_up = true;
    b.seconds(6);
    assert_eq!(b.removed.len(), 1);
    b.is_quiet();
}

#[test]
fn a_count_that_the_store_refused_is_shown_when_it_is_kept() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    b.call("1001");
    b.listens();
    b.store_up = false;
    b.heard(3_000);
    let change = AgentChange { name: Some("Anna Dahl".into()), ..AgentChange::default() };
    let problem = b.command("platform", Command::PutAgent { id: "anna".into(), agent: change }).unwrap_err();
    assert_eq!((problem.status, problem.code), (503, "store-unavailable"));
    b.seconds(6);
    assert_eq!(b.request(&id).calls.used, 0);
    b.store_up = true;
    b.seconds(5);
    assert_eq!(b.request(&id).calls.used, 1);
    assert!(b.persisted.iter().any(|c| matches!(c, Change::Request(r) if r.view.calls.used == 1)));
    assert!(b.persisted.iter().any(|c| matches!(c, Change::Agent(r) if r.name == "Anna Dahl")));
}

#[test]
fn what_the_store_never_takes_is_bounded() {
    let mut b = Bench::with(Settings { max_ended_views: 2, ..settings() }, seed(), Restored::default());
    b.store_up = false;
    for _ in 0..5 {
        let call = b.call("1001");
        b.bye(call.caller);
    }
    assert_eq!((b.removed.len(), b.count("records_lost")), (3, 3));
}
