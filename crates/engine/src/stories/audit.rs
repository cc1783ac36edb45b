//! SEMANTICS, The audit trail: who did what to whom, written with it or not at all.

use super::*;
use crate::store::UNWRITTEN_ENTRIES;

fn actions(b: &Bench) -> Vec<(&str, &str)> {
    b.trail().into_iter().map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect()
}

fn stranger(b: &mut Bench, ip: [u8; 4], port: u16) {
    b.says(signalling::Event::Denied {
        source: SocketAddr::from((ip, port)),
        method: "REGISTER".into(),
        why: "wrong credentials",
    });
}

fn note(actor: &str, kind: NoteKind, count: u64) -> Input {
    Input::Note(Note { at: "2026-11-22T12:00:00Z".parse().unwrap(), actor: actor.into(), kind, count })
}

#[test]
fn a_listenings_life_is_in_the_trail() {
    let mut b = Bench::new();
    let id = b.order_as("sue", order("anna", user("sue"), Some(1))).unwrap().id;
    let call = b.call("1001");
    b.listens();
    b.heard(4_000);
    b.bye(call.caller);
    assert_eq!(
        actions(&b),
        [
            ("engine", "engine.started"),
            ("sue", "request.created"),
            ("sue", "listening.started"),
            ("sue", "listening.live"),
            ("sue", "listening.ended"),
            ("engine", "request.ended"),
        ]
    );
    let created = b.entries("request.created")[0];
    assert_eq!((created.target.as_deref(), created.agent.as_deref()), (Some(id.as_str()), Some("anna")));
    assert_eq!((&created.details["listener"], &created.details["calls"]), (&"user:sue".into(), &1.into()));
    let ended = b.entries("listening.ended")[0];
    let details = &ended.details;
    assert_eq!(ended.target.as_deref(), Some(b.last_listening().id.as_str()));
    assert_eq!(
        (&details["reason"], &details["heard_ms"], &details["counted"]),
        (&"call-ended".into(), &4_000.into(), &true.into())
    );
    assert_eq!(details["caller_number"], "+4755512345", "the archive has numbers in full");
    assert_eq!(b.entries("request.ended")[0].details["state"], "fulfilled");
}

#[test]
fn every_change_is_written_in_one_with_its_entry() {
    let mut b = Bench::new();
    b.hold_store = true;
    let ask = |b: &mut Bench, actor: &str, command| {
        b.drive(Input::Command { reply: ReplyId(1), actor: actor.into(), command });
        let (persist, changes) = b.held_back.remove(0);
        assert!(!b.replies.contains_key(&1), "the answer waits");
        b.drive(Input::Persisted { persist, result: Ok(()) });
        let result = b.replies.remove(&1).expect("an answer").expect("a good one");
        (changes, result)
    };
    let (changes, reply) =
        ask(&mut b, "admin", Command::Order { order: order("anna", user("sue"), Some(1)), dry_run: false });
    let Reply::Request(request) = reply else { panic!() };
    let is = |entry: &AuditEntry, action: &str, target: &str| {
        (entry.action.as_str(), entry.target.as_deref()) == (action, Some(target))
    };
    assert!(matches!(&changes[..], [Change::Request(_), Change::Audit(e)] if is(e, "request.created", &request.id)));
    let id = request.id;
    let command = Command::ChangeRequest { id: id.clone(), calls: Some(5), until: None };
    let (changes, _) = ask(&mut b, "admin", command);
    assert!(
        matches!(&changes[..], [Change::Request(_), Change::Audit(e)] if is(e, "request.changed", &id) && e.details["calls"] == 5)
    );
    let (changes, _) = ask(&mut b, "admin", Command::ResumeRequest { id: id.clone() });
    assert!(matches!(&changes[..], [Change::Request(_), Change::Audit(e)] if is(e, "request.resumed", &id)));
    let (changes, _) = ask(&mut b, "admin", Command::DeleteRequest { id: id.clone() });
    assert!(
        matches!(&changes[..], [Change::Request(_), Change::Audit(e)] if is(e, "request.deleted", &id) && e.actor == "admin")
    );
    let change = AgentChange { name: Some("Anna Dahl".into()), ..AgentChange::default() };
    let (changes, _) = ask(&mut b, "platform", Command::PutAgent { id: "anna".into(), agent: change });
    assert!(
        matches!(&changes[..], [Change::Agent(_), Change::Audit(e)] if is(e, "agent.put", "anna") && e.details["name"] == "Anna Dahl")
    );
    let (changes, _) = ask(&mut b, "platform", Command::DeleteAgent { id: "anna".into() });
    assert!(matches!(&changes[..], [Change::AgentRemoved(_), Change::Audit(e)] if is(e, "agent.deleted", "anna")));
}

#[test]
fn a_hang_up_is_told_with_the_listenings_end() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 5);
    b.call("1001");
    b.listens();
    let listening = b.last_listening().id.clone();
    b.hold_store = true;
    b.drive(Input::Command { reply: ReplyId(1), actor: "admin".into(), command: Command::HangUp { listening } });
    let at = b.held_back.iter().position(|(_, changes)| changes.len() == 3).expect("three in one");
    let (persist, changes) = b.held_back.remove(at);
    let [Change::Listening(view), Change::Audit(told), Change::Audit(ended)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(view.end_reason, Some(EndReason::Deleted));
    assert_eq!((told.actor.as_str(), told.action.as_str()), ("admin", "listening.hung-up"));
    assert_eq!((ended.action.as_str(), &ended.details["reason"]), ("listening.ended", &"deleted".into()));
    assert!(b.replies.is_empty());
    b.drive(Input::Persisted { persist, result: Ok(()) });
    assert!(b.replies[&1].is_ok());
}

#[test]
fn an_order_that_is_not_taken_leaves_no_entry() {
    let mut b = Bench::new();
    b.store_up = false;
    let problem = b.order_as("admin", order("anna", user("sue"), Some(1))).unwrap_err();
    assert_eq!((problem.status, problem.code), (503, "audit-unavailable"));
    b.store_up = true;
    b.seconds(10);
    assert!(b.entries("request.created").is_empty());
    assert!(!b.persisted.iter().any(|c| matches!(c, Change::Request(_))));
}

#[test]
fn a_listening_that_may_not_start_has_an_end_and_no_start() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 5);
    b.store_up = false;
    b.call("1001");
    assert!(b.listeners().is_empty());
    b.store_up = true;
    b.seconds(5);
    assert!(b.entries("listening.started").is_empty());
    assert_eq!(b.entries("listening.ended")[0].details["reason"], "audit-unavailable");
}

#[test]
fn what_the_store_refused_is_written_later_each_entry_once_and_with_its_record() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 3);
    let call = b.call("1001");
    b.store_up = false;
    b.listens();
    let change = |calls| Command::ChangeRequest { id: id.clone(), calls: Some(calls), until: None };
    assert_eq!(b.command("admin", change(5)).unwrap_err().code, "store-unavailable");
    assert_eq!(b.command("admin", change(7)).unwrap_err().code, "store-unavailable");
    b.bye(call.caller);
    b.seconds(6);
    assert!(b.entries("request.changed").is_empty());
    b.store_up = true;
    b.hold_store = true;
    b.seconds(5);
    let with_request: Vec<_> =
        b.held_back.iter().find(|(_, c)| matches!(c[0], Change::Request(_))).expect("the request").1.clone();
    assert_eq!(
        with_request.iter().filter(|c| matches!(c, Change::Audit(e) if e.action == "request.changed")).count(),
        2
    );
    assert!(matches!(&with_request[0], Change::Request(r) if r.view.calls.limit == Some(7)));
    b.hold_store = false;
    for (persist, changes) in std::mem::take(&mut b.held_back) {
        b.persisted.extend(changes);
        b.drive(Input::Persisted { persist, result: Ok(()) });
    }
    b.seconds(20);
    for (action, times) in [("request.changed", 2), ("listening.live", 1), ("listening.ended", 1)] {
        assert_eq!(b.entries(action).len(), times, "{action}");
    }
}

#[test]
fn with_no_room_for_entries_nothing_is_changed_but_shields_close() {
    let mut b = Bench::new();
    let call = b.call("1001");
    let id = b.call_view(call).id;
    b.store_up = false;
    for n in 0..UNWRITTEN_ENTRIES {
        // of a listening: nobody waits for it, and it must not be lost
        let entry = b.core.entry("sue", crate::audit::Action::ListeningLive).about(&format!("lst_{n}"), None);
        b.core.audit(entry);
        b.drive(Input::Timeout);
    }
    let change = AgentChange { name: Some("Anna Dahl".into()), ..AgentChange::default() };
    let problem = b.command("platform", Command::PutAgent { id: "anna".into(), agent: change }).unwrap_err();
    assert_eq!((problem.status, problem.code), (503, "audit-unavailable"));
    assert_eq!(b.agents["anna"].name, "Anna Berg", "it is not in force");
    assert_eq!(b.count("audit_entries_lost"), 0);
    let problem = b.command("platform", Command::Shield { call: id, on: true }).unwrap_err();
    assert_eq!(
        (problem.code, b.call_view(call).shielded, b.count("audit_entries_lost")),
        ("audit-unavailable", true, 1)
    );
    b.store_up = true;
    b.seconds(5);
    assert_eq!(b.entries("listening.live").len(), UNWRITTEN_ENTRIES - 1);
    assert_eq!(b.entries("shield.on").len(), 1);
}

#[test]
fn a_shield_closes_at_once_and_opens_when_that_is_written() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 5);
    let call = b.call("1001");
    b.listens();
    let id = b.call_view(call).id;
    let shield = |on| Command::Shield { call: id.clone(), on };
    b.store_up = false;
    assert_eq!(b.command("platform", shield(true)).unwrap_err().code, "audit-unavailable");
    assert!(b.shielded(), "silence is the safe side");
    assert_eq!(b.command("platform", shield(false)).unwrap_err().code, "audit-unavailable");
    b.seconds(10);
    assert!(b.shielded(), "not opened without an entry");
    b.store_up = true;
    b.seconds(5);
    let Ok(Reply::Call(view)) = b.command("platform", shield(false)) else { panic!() };
    assert!(!view.shielded && !b.shielded());
    let shields: Vec<_> = actions(&b).into_iter().filter(|(_, action)| action.starts_with("shield")).collect();
    assert_eq!(shields, [("platform", "shield.on"), ("platform", "shield.off")]);
    assert_eq!(b.entries("shield.off")[0].agent.as_deref(), Some("anna"));
}

#[test]
fn one_who_closes_the_shield_wins_over_one_whose_opening_is_being_written() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 5);
    let call = b.call("1001");
    b.listens();
    let id = b.call_view(call).id;
    let shield = |on| Command::Shield { call: id.clone(), on };
    b.command("platform", shield(true)).unwrap();
    b.hold_store = true;
    for (n, on) in [(1, false), (2, true)] {
        b.drive(Input::Command { reply: ReplyId(n), actor: "platform".into(), command: shield(on) });
    }
    for (persist, _) in std::mem::take(&mut b.held_back) {
        b.drive(Input::Persisted { persist, result: Ok(()) });
    }
    assert!(b.shielded());
    assert!(matches!(&b.replies[&1], Ok(Reply::Call(view)) if view.shielded));
}

#[test]
fn a_shield_that_ends_by_itself_is_the_engines_and_waits_for_its_entry() {
    let timeout = Some(Duration::from_secs(10));
    let mut b = Bench::with(Settings { shield_timeout: timeout, ..settings() }, seed(), Restored::default());
    b.order("anna", user("sue"), 5);
    let call = b.call("1001");
    b.listens();
    let id = b.call_view(call).id;
    b.command("platform", Command::Shield { call: id.clone(), on: true }).unwrap();
    b.store_up = false;
    b.seconds(12);
    assert!(b.shielded());
    b.store_up = true;
    b.seconds(5);
    assert!(!b.shielded());
    let off = b.entries("shield.off");
    assert_eq!((off.len(), off[0].actor.as_str(), &off[0].details["reason"]), (1, "engine", &"timeout".into()));
    assert_eq!(off[0].target.as_deref(), Some(id.as_str()));
}

#[test]
fn denials_are_in_the_trail_and_folded() {
    let mut b = Bench::new();
    for _ in 0..5 {
        b.order_as("sue", order("cia", user("sue"), Some(1))).unwrap_err();
    }
    b.command("sue", Command::DeleteAgent { id: "anna".into() }).unwrap_err();
    let told = |b: &Bench| {
        let of = |entry: &AuditEntry| {
            (
                entry.actor.clone(),
                entry.details["code"].as_str().unwrap().to_owned(),
                entry.target.clone(),
                entry.details.get("count").and_then(serde_json::Value::as_u64),
            )
        };
        b.entries("denied").into_iter().map(of).collect::<Vec<_>>()
    };
    let line = |code: &str, target: &str, count| ("sue".to_owned(), code.to_owned(), Some(target.to_owned()), count);
    let at_once = vec![line("agent-not-monitorable", "cia", None), line("forbidden", "anna", None)];
    assert_eq!(told(&b), at_once);
    b.seconds(61);
    assert_eq!(told(&b)[2..], [line("agent-not-monitorable", "cia", Some(4))]);
    b.order_as("sue", order("cia", user("sue"), Some(1))).unwrap_err();
    assert_eq!(told(&b).len(), 4, "a new minute");
}

#[test]
fn a_flood_of_strangers_does_not_fill_the_disk() {
    let mut b = Bench::new();
    for n in 0..50_000_u32 {
        let [_, _, high, low] = n.to_be_bytes();
        stranger(&mut b, [192, 0, high, low], 5060);
        stranger(&mut b, [10, 9, 9, 9], (n % 60_000) as u16);
    }
    b.seconds(61);
    let denied = b.entries("denied");
    assert!(denied.len() <= 202, "{}", denied.len());
    let count = |actor: &str| -> u64 {
        let of = denied.iter().filter(|entry| entry.actor == actor);
        of.map(|entry| entry.details.get("count").and_then(serde_json::Value::as_u64).unwrap_or(1)).sum()
    };
    assert_eq!(count("sip:10.9.9.9"), 50_000, "one source, whatever its port");
    assert_eq!(count("others"), 50_000 - 99);
    assert_eq!(denied[0].details["method"], "REGISTER");
    assert!(b.count("audit_entries_folded") > 99_000);
    b.seconds(200);
    assert!(b.core.wake_at().is_none(), "nothing is left to be done");
}

#[test]
fn what_the_api_notices_is_written() {
    let mut b = Bench::new();
    b.drive(note("sue", NoteKind::SignedIn { source: Some("10.0.0.9".into()) }, 1));
    b.drive(note("http:10.0.0.7", NoteKind::SignInFailed, 3));
    b.drive(note("sue", NoteKind::Denied { code: "forbidden".into(), what: "GET /v1/audit".into() }, 1));
    assert_eq!(b.entries("signed-in")[0].details["source"], "10.0.0.9");
    let failed = b.entries("sign-in-failed")[0];
    assert_eq!((failed.actor.as_str(), &failed.details["count"]), ("http:10.0.0.7", &3.into()));
    assert_eq!(b.entries("denied")[0].details["what"], "GET /v1/audit");
}

#[test]
fn reload_drain_and_stop_are_in_the_trail() {
    let mut b = Bench::new();
    b.call("1001");
    b.drive(Input::Reload(seed()));
    assert_eq!(b.entries("config.reloaded")[0].details["agents"], 3);
    b.drive(Input::Drain);
    b.drive(Input::Drain);
    b.drive(Input::Stop);
    b.drive(Input::Stop);
    assert!(b.drained);
    let engine: Vec<_> = actions(&b).into_iter().filter(|(actor, _)| *actor == "engine").map(|(_, a)| a).collect();
    assert_eq!(engine, ["engine.started", "config.reloaded", "engine.draining", "engine.stopped"]);
    let mut b = Bench::new();
    b.drive(Input::Drain);
    assert!(b.drained);
    assert_eq!(actions(&b).last(), Some(&("engine", "engine.stopped")));
}

#[test]
fn a_failing_listener_suspends_by_the_engine() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 5);
    for _ in 0..3 {
        let call = b.call("1001");
        let ear = b.listener().leg;
        b.leaves(ear, Some(404));
        b.bye(call.caller);
    }
    let suspended = b.entries("request.suspended");
    assert_eq!(
        (suspended.len(), suspended[0].actor.as_str(), suspended[0].target.as_deref()),
        (1, "engine", Some(id.as_str()))
    );
}

#[test]
fn no_entry_has_a_secret() {
    let mut b = Bench::new();
    let mut seeds = seed();
    seeds.agents[0].phone.password = Some("hunter2".into());
    b.drive(Input::Reload(seeds));
    let change = AgentChange { name: Some("Anna Dahl".into()), ..AgentChange::default() };
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: change }).unwrap();
    stranger(&mut b, [10, 9, 9, 9], 5060);
    let all = serde_json::to_string(&b.trail()).unwrap();
    assert!(!all.contains("hunter2") && !all.contains("password"), "{all}");
}
