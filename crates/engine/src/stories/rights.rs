//! Rights at order time are not rights for ever: they are judged again whenever a fork is attached.

use super::*;

/// Why, the change, and what listenings end with.
type Loss = (&'static str, fn(&mut Seed), EndReason);

/// What a reload can take away.
fn losses() -> Vec<Loss> {
    vec![
        ("the orderer is gone", |seed| seed.users.retain(|user| user.id != "sam"), EndReason::AgentNotMonitorable),
        (
            "the orderer is an integrator now",
            |seed| seed.users[2].role = Role::Integrator,
            EndReason::AgentNotMonitorable,
        ),
        (
            "the agent is in another group",
            |seed| seed.users[2].groups = Some(vec!["Sales".into()]),
            EndReason::AgentNotMonitorable,
        ),
        ("the agent is not monitorable", |seed| seed.agents[0].monitorable = false, EndReason::AgentNotMonitorable),
        ("the listener is not allowed", |seed| seed.users[2].listener_numbers.clear(), EndReason::PolicyDenied),
    ]
}

/// Sam, a supervisor, has an outside number called.
fn ordered() -> Bench {
    let mut b = Bench::new();
    b.order_as("sam", order("anna", number("+4799999999"), Some(5))).unwrap();
    b
}

/// Media was never told where the listener is.
fn sent_nothing(b: &Bench) -> bool {
    !b.media.iter().any(|c| matches!(c, media::Command::Listen { .. }))
}

fn reload(b: &mut Bench, change: fn(&mut Seed)) {
    let mut seeds = seed();
    change(&mut seeds);
    b.drive(Input::Reload(seeds));
}

/// What the request says then.
fn suspended_for(reason: EndReason) -> (RequestState, Option<RequestReason>) {
    let reason = match reason {
        EndReason::PolicyDenied => RequestReason::ListenerNotAllowed,
        _ => RequestReason::AgentNotMonitorable,
    };
    (RequestState::Suspended, Some(reason))
}

fn state(b: &Bench) -> (RequestState, Option<RequestReason>) {
    let request = b.requests.values().next().expect("the request");
    (request.state, request.reason)
}

#[test]
fn before_the_call_the_request_is_suspended_and_says_why() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        reload(&mut b, lose);
        assert_eq!(state(&b), suspended_for(reason), "{why}");
        b.call("1001");
        assert_eq!((b.listeners().len(), b.reasons()), (0, vec![]), "nobody is called: {why}");
        let entries = b.entries("request.suspended");
        assert_eq!((entries.len(), entries[0].actor.as_str()), (1, "engine"), "{why}");
        assert!(entries[0].details.contains_key("reason"), "{why}");
        let kept = b.persisted.iter().rev().find_map(|c| if let Change::Request(r) = c { Some(r) } else { None });
        assert_eq!(kept.expect("a record").view.state, RequestState::Suspended, "{why}");
    }
}

#[test]
fn a_suspended_request_is_armed_again_only_by_who_has_the_right_again() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        let id = b.requests.keys().next().unwrap().clone();
        reload(&mut b, lose);
        let resume = || Command::ResumeRequest { id: id.clone() };
        let code = if reason == EndReason::PolicyDenied { "listener-not-allowed" } else { "agent-not-monitorable" };
        let problem = b.command("admin", resume()).unwrap_err();
        assert_eq!((problem.status, problem.code), (403, code), "an admin arms nothing that may not be: {why}");
        reload(&mut b, |_| {});
        assert_eq!(state(&b).0, RequestState::Suspended, "a right that returns arms nothing by itself: {why}");
        b.command("sam", resume()).unwrap();
        assert_eq!(state(&b), (RequestState::Waiting, None), "{why}");
        b.call("1001");
        assert_eq!(b.listeners().len(), 1, "{why}");
    }
}

#[test]
fn rights_that_are_gone_when_the_engine_starts_suspend_too() {
    let b = ordered();
    let records: Vec<_> =
        b.persisted.iter().filter_map(|c| if let Change::Request(r) = c { Some(r.clone()) } else { None }).collect();
    for (why, lose, reason) in losses() {
        let mut seeds = seed();
        lose(&mut seeds);
        let b = Bench::with(settings(), seeds, Restored { requests: records.clone(), ..Restored::default() });
        assert_eq!(state(&b), suspended_for(reason), "{why}");
    }
}

#[test]
fn an_order_that_is_being_written_while_its_right_is_lost() {
    let mut b = Bench::new();
    b.hold_store = true;
    let order = order("anna", number("+4799999999"), Some(5));
    b.drive(Input::Command {
        reply: ReplyId(99),
        actor: "sam".into(),
        command: Command::Order { order, dry_run: false },
    });
    reload(&mut b, |seed| seed.agents[0].monitorable = false);
    b.hold_store = false;
    for (persist, _) in std::mem::take(&mut b.held_back) {
        b.drive(Input::Persisted { persist, result: Ok(()) });
    }
    assert_eq!(state(&b), suspended_for(EndReason::AgentNotMonitorable));
}

#[test]
fn a_deleted_agent_ends_what_was_ordered_for_it() {
    let mut b = ordered();
    b.order("anna", user("sue"), 3);
    b.call("1001");
    let ear = b.listeners()[0].leg;
    b.ring(ear);
    b.command("platform", Command::DeleteAgent { id: "anna".into() }).unwrap();
    assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable; 2]);
    assert_eq!(b.entries("request.ended").len(), 0);
    let deleted = b.entries("request.deleted");
    assert_eq!((deleted.len(), deleted[0].actor.as_str()), (2, "engine"));
    let ended: Vec<_> = b.events.iter().filter(|event| event.name == EventName::RequestEnded).collect();
    assert_eq!(ended.len(), 2);
    for event in ended {
        let EventBody::Request(request) = &event.body else { panic!() };
        assert_eq!((request.state, request.reason), (RequestState::Deleted, Some(RequestReason::AgentDeleted)));
    }
}

#[test]
fn an_agent_that_the_platform_moves_or_hides_ends_it_too() {
    for change in [
        AgentChange { group: Some("Sales".into()), ..AgentChange::default() },
        AgentChange { monitorable: Some(false), ..AgentChange::default() },
    ] {
        for many in [false, true] {
            let mut b = Bench::new();
            b.order_as("sue", order("anna", user("sue"), Some(5))).unwrap();
            b.call("1001");
            let ear = b.listens();
            let command = match many {
                false => Command::PutAgent { id: "anna".into(), agent: change.clone() },
                true => Command::PutAgents { agents: vec![("anna".into(), change.clone())], dry_run: false },
            };
            b.command("platform", command).unwrap();
            assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable], "{change:?}");
            assert_eq!(b.ended_by_us(ear).expect("a BYE").cause, 200);
            assert_eq!(state(&b), suspended_for(EndReason::AgentNotMonitorable));
        }
    }
}

#[test]
fn a_page_that_plays_ends_with_the_right_of_who_ordered() {
    let mut b = Bench::new();
    b.order_as("sue", order("anna", ListenerOrder::Page, Some(5))).unwrap();
    b.call("1001");
    let listening = b.last_listening().id.clone();
    b.command("sue", Command::Whep { listening, offer: "offer".into() }).unwrap();
    let listener = b.media_listener();
    b.media_says(media::Event::Live { listener });
    assert_eq!(b.last_listening().state, ListeningState::Live);
    reload(&mut b, |seed| seed.users[1].groups = Some(vec!["Sales".into()]));
    assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable]);
    assert!(b.listener_closed(listener), "the player gets nothing more");
    assert_eq!(state(&b).0, RequestState::Suspended);
}

#[test]
fn while_its_record_is_being_written() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.hold_store = true;
        b.call("1001");
        reload(&mut b, lose);
        b.hold_store = false;
        for (persist, _) in std::mem::take(&mut b.held_back) {
            b.drive(Input::Persisted { persist, result: Ok(()) });
        }
        assert_eq!((b.listeners().len(), b.reasons()), (0, vec![reason]), "{why}");
    }
}

#[test]
fn while_a_busy_listener_waits_to_be_tried_again() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.call("1001");
        let ear = b.listener().leg;
        b.leaves(ear, Some(486));
        reload(&mut b, lose);
        b.seconds(60);
        assert_eq!((b.listeners().len(), b.reasons()), (1, vec![reason]), "{why}");
    }
}

#[test]
fn while_it_rings() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.call("1001");
        let ear = b.listener().leg;
        b.ring(ear);
        reload(&mut b, lose);
        assert_eq!(b.reasons(), vec![reason], "{why}");
        assert_eq!(b.ended_by_us(ear).expect("a CANCEL").cause, 487, "{why}");
        // its 200 crosses our CANCEL
        b.planned(ear, session(false, true));
        b.says(signalling::Event::Answered { leg: ear });
        assert!(sent_nothing(&b), "{why}");
    }
}

#[test]
fn while_it_listens() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.call("1001");
        let ear = b.listens();
        assert!(b.hears().is_some());
        reload(&mut b, lose);
        assert_eq!(b.reasons(), vec![reason], "{why}");
        assert_eq!(b.ended_by_us(ear).expect("a BYE").cause, 200, "{why}");
    }
}

/// Changes the directory so that nobody is told: only a check at the moment itself can see it.
fn silently(b: &mut Bench) {
    b.core.directory.users.get_mut("sam").unwrap().seed.listener_numbers.clear();
}

#[test]
fn judged_anew_when_ringing_begins() {
    let mut b = ordered();
    b.hold_store = true;
    b.call("1001");
    silently(&mut b);
    for (persist, _) in std::mem::take(&mut b.held_back) {
        b.drive(Input::Persisted { persist, result: Ok(()) });
    }
    assert_eq!((b.listeners().len(), b.reasons()), (0, vec![EndReason::PolicyDenied]));
}

#[test]
fn judged_anew_when_the_listener_answers() {
    let mut b = ordered();
    b.call("1001");
    silently(&mut b);
    let ear = b.listens();
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert!(b.ended_by_us(ear).is_some() && sent_nothing(&b));
}

#[test]
fn judged_anew_when_the_first_packet_leaves() {
    let mut b = ordered();
    b.call("1001");
    b.media_live = false;
    let ear = b.listens();
    silently(&mut b);
    let listener = b.media_listener();
    b.drive(Input::Media(media::Event::Live { listener }));
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert!(b.ended_by_us(ear).is_some() && b.entries("listening.live").is_empty());
}

#[test]
fn judged_anew_when_the_ear_moves_to_a_consultation() {
    let mut b = ordered();
    let call = b.call("1001");
    let ear = b.listens();
    let before = b.hears();
    b.hold(call.callee);
    silently(&mut b);
    let consultation = b.dial("anna", "1002");
    assert_eq!((b.hears(), b.reasons()), (before, vec![EndReason::PolicyDenied]), "never on the second call");
    assert!(b.ended_by_us(ear).is_some());
    b.bye(consultation.caller);
}

#[test]
fn of_two_on_one_ear_only_the_one_without_rights_ends() {
    let mut b = Bench::new();
    b.order_as("sam", order("anna", number("+4799999999"), Some(5))).unwrap();
    b.order_as("admin", order("anna", number("+4799999999"), Some(5))).unwrap();
    b.call("1001");
    let ear = b.listens();
    assert_eq!(b.listeners().len(), 1, "one leg serves both");
    reload(&mut b, |seed| seed.users.retain(|user| user.id != "sam"));
    assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable]);
    assert!(b.ended_by_us(ear).is_none() && b.hears().is_some());
}

#[test]
fn a_listener_who_is_gone_is_nobody_any_more() {
    let mut b = Bench::new();
    b.order_as("admin", order("anna", user("sue"), Some(5))).unwrap();
    b.call("1001");
    reload(&mut b, |seed| seed.users.retain(|user| user.id != "sue"));
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert_eq!(state(&b), suspended_for(EndReason::PolicyDenied));
}
