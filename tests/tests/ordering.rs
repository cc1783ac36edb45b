//! SEMANTICS.md, "Ordering".

use std::time::Duration;

use engine::directory::PhoneSeed;
use engine::view::{AgentStatus, CallDirection, EndReason, ListenerKind, RequestState, Role};
use engine::{AgentChange, Command, ListenerOrder, Reply};
use phone::Dial;
use sim::{World, agent, number, user};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn order_during_a_call_rings_the_listener_at_once() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let request = w.order("anna", user("sue")).calls(2).until_in(600).accepted();
    assert_eq!((request.calls.limit, request.calls.used), (Some(2), 0));
    assert_eq!(request.ordered_by, "admin");
    assert!(request.warnings.is_empty());
    let ear = w.next_call_within("sue", Duration::from_millis(200));
    w.until_up(ear);
    w.everyone_hears(&[(ear, &[440, 800]), (out, &[440]), (inn, &[800])]);
    let live = w.live();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].caller_number.as_deref(), Some("+4755512345"));
    assert_eq!(live[0].access_number.as_deref(), Some("+4721000001"));
    assert_eq!(live[0].queue.as_deref(), Some("Support"));
    w.hang_up(out);
    w.until_ended(ear);
    w.until_ended_with(EndReason::CallEnded);
}

#[test]
fn order_before_a_call_rings_at_the_next_answered_call() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).calls(1).accepted();
    assert_eq!(request.state, RequestState::Waiting);
    w.no_call("sue", SECOND);
    w.on_call("anna", phone::OnCall::Ring);
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call("anna");
    w.no_call("sue", SECOND);
    w.answer(inn);
    let ear = w.answered("sue");
    w.hears_exactly(ear, &[440, 800]);
    w.until_counted(&request.id, 1);
    assert_eq!(w.state(ear), phone::State::Up, "the last call that counts goes on to its end");
    w.hang_up(out);
    w.until_ended(ear);
    let done = w.until_request(&request.id, RequestState::Fulfilled);
    assert_eq!(done.calls.used, 1);
    assert!(done.ended_at.is_some());
    w.on_call("anna", phone::OnCall::Answer { after: Duration::ZERO });
    w.call_agent();
    w.no_call("sue", SECOND);
}

#[test]
fn a_request_expires_and_nobody_is_called() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).until_in(2).accepted();
    assert_eq!(request.calls.limit, None);
    w.until_request(&request.id, RequestState::Expired);
    w.call_agent();
    w.no_call("sue", SECOND);
}

#[test]
fn until_is_twelve_hours_by_default_and_a_month_at_most() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).calls(1).accepted();
    let from_now = request.until.duration_since(w.wall());
    assert!((from_now.as_secs() - 12 * 3600).abs() <= 1, "{from_now}");
    w.order("anna", user("sue")).until_in(31 * 86_400 - 5).accepted();
    let problem = w.order("anna", user("sue")).until_in(31 * 86_400 + 5).refused(422, "invalid-request");
    assert_eq!(problem.field, Some("until"));
}

#[test]
fn bad_orders_get_clear_errors() {
    let mut w = World::new();
    w.order("nobody", user("sue")).calls(1).refused(404, "agent-not-found");
    w.order("anna", user("nobody")).calls(1).refused(404, "listener-not-found");
    w.order("anna", agent("nobody")).calls(1).refused(404, "listener-not-found");
    w.order("anna", user("sue")).refused(422, "invalid-request");
    for calls in [0, -1, 1000, i64::MAX] {
        let problem = w.order("anna", user("sue")).calls(calls).refused(422, "invalid-request");
        assert_eq!(problem.field, Some("calls"), "{calls}");
    }
    w.order("anna", user("sue")).calls(999).accepted();
    let problem = w.order("anna", user("sue")).until_in(-60).refused(422, "invalid-request");
    assert_eq!(problem.field, Some("until"));
    let problem = w.order("anna", user("sue")).calls(1).change(|o| o.listener = None).refused(422, "invalid-request");
    assert_eq!(problem.field, Some("listener"));
}

#[test]
fn the_listener_cannot_be_the_agent() {
    let mut w = World::with(|s| {
        // A user whose softphone is the agent's own phone.
        let mut twin = s.user("sam").clone();
        twin.id = "anna-as-user".into();
        twin.softphone = Some("anna".into());
        twin.phone = PhoneSeed::default();
        s.directory.users.push(twin);
    });
    w.order("anna", agent("anna")).calls(1).refused(422, "listener-is-agent");
    w.order("anna", number("1001")).calls(1).refused(422, "listener-is-agent");
    w.order("anna", user("anna-as-user")).calls(1).refused(422, "listener-is-agent");
}

#[test]
fn a_number_of_an_agent_rings_that_phone_directly() {
    let mut w = World::new();
    w.call_agent();
    w.order("anna", number("1002")).calls(1).accepted();
    let ear = w.answered("bo");
    w.hears_exactly(ear, &[440, 800]);
    w.no_call("trunk", SECOND);
}

#[test]
fn a_phone_number_listens_through_the_trunk() {
    let mut w = World::new();
    w.call_agent();
    let request = w.order("anna", number("+4799999999")).calls(1).accepted();
    assert_eq!(request.listener.kind, ListenerKind::Number);
    let ear = w.answered("trunk");
    let invite = w.call(ear).invite().unwrap().clone();
    assert!(invite.request_uri().contains("+4799999999"), "{}", invite.request_uri());
    assert!(invite.from().unwrap().uri.contains("+4721000000"));
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn another_agents_phone_listens() {
    let mut w = World::new();
    w.call_agent();
    let request = w.order("anna", agent("cia")).calls(1).accepted();
    assert_eq!((request.listener.agent.as_deref(), request.listener.kind), (Some("cia"), ListenerKind::Agent));
    let ear = w.answered("cia");
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_supervisor_may_call_softphones_permitted_agents_and_allowed_numbers() {
    let mut w = World::with(|s| {
        s.user("sam").listener_numbers = vec!["+47".into()];
        s.settings.max_active_requests_supervisor = None;
    });
    w.order("anna", user("sue")).by("sue").calls(1).accepted();
    w.order("anna", user("sam")).by("sue").calls(1).accepted();
    w.order("anna", agent("bo")).by("sue").calls(1).accepted();
    w.order("anna", agent("cia")).by("sue").calls(1).refused(403, "listener-not-allowed");
    w.order("anna", number("1003")).by("sue").calls(1).refused(403, "listener-not-allowed");
    w.order("anna", number("+4799999999")).by("sue").calls(1).refused(403, "listener-not-allowed");
    w.order("anna", number("+4799999999")).by("sam").calls(1).accepted();
    w.order("anna", number("+4699999999")).by("sam").calls(1).refused(403, "listener-not-allowed");
    w.order("anna", number("+4699999999")).by("admin").calls(1).accepted();
}

#[test]
fn an_integrator_orders_nothing() {
    let mut w = World::new();
    let problem = w.order("anna", user("sue")).by("platform").calls(1).send().unwrap_err();
    assert_eq!(problem.status, 403);
}

#[test]
fn a_layout_is_one_of_four_and_a_page_is_not_asked_to_confirm() {
    let mut w = World::new();
    w.order("anna", user("sue"))
        .calls(1)
        .change(|o| o.layout = Some("surround".into()))
        .refused(422, "invalid-request");
    w.order("anna", ListenerOrder::Page).calls(1).change(|o| o.confirm = Some(true)).refused(422, "invalid-request");
    let request = w.order("anna", user("sue")).calls(1).change(|o| {
        o.confirm = Some(true);
        o.layout = Some("stereo".into());
    });
    let request = request.accepted();
    assert_eq!((request.layout, request.confirm), (engine::view::Layout::Stereo, true));
}

#[test]
fn without_an_access_number_no_order_is_taken() {
    let mut w = World::with(|s| s.settings.access_number = None);
    w.order("anna", user("sue")).calls(1).refused(409, "access-number-missing");
}

#[test]
fn a_supervisor_has_one_active_request_an_admin_many() {
    let mut w = World::new();
    let first = w.order("anna", user("sue")).by("sue").calls(1).accepted();
    let problem = w.order("bo", user("sue")).by("sue").calls(1).refused(409, "active-request-exists");
    assert_eq!(problem.related.as_deref(), Some(first.id.as_str()));
    w.order("anna", user("admin")).calls(1).accepted();
    let second = w.order("cia", user("admin")).calls(1).accepted();
    assert_eq!(second.warnings.iter().map(|w| w.code.as_str()).collect::<Vec<_>>(), ["listener-already-assigned"]);
    w.delete(&first.id);
    w.order("bo", user("sue")).by("sue").calls(1).accepted();
}

#[test]
fn a_strict_listener_is_assigned_once() {
    let mut w = World::with(|s| s.settings.strict_listener = true);
    w.order("anna", user("admin")).calls(1).accepted();
    w.order("cia", user("admin")).calls(1).refused(409, "listener-already-assigned");
}

#[test]
fn agents_outside_the_groups_or_marked_are_not_monitorable() {
    let mut w = World::with(|s| s.agent("bo").monitorable = false);
    w.order("cia", user("sue")).by("sue").calls(1).refused(403, "agent-not-monitorable");
    w.order("bo", user("sue")).by("sue").calls(1).refused(403, "agent-not-monitorable");
    w.order("bo", user("sue")).by("admin").calls(1).refused(403, "agent-not-monitorable");
    w.order("cia", user("sam")).by("sam").calls(1).accepted();
}

#[test]
fn a_call_with_the_do_not_monitor_header_is_never_tapped() {
    let mut w = World::new();
    w.order("anna", user("sue")).calls(1).accepted();
    let (out, inn) = w.connect("trunk", World::inbound("1001").header("X-Do-Not-Monitor", "1"), "anna");
    w.no_call("sue", 2 * SECOND);
    w.until_ended_with(EndReason::PolicyDenied);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    w.hang_up(out);
    w.until_ended(inn);
    let (_, _) = w.connect("trunk", World::inbound("1001").header("X-Do-Not-Monitor", "0"), "anna");
    w.answered("sue");
}

#[test]
fn a_dry_run_only_checks() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).calls(1).dry_run().accepted();
    assert_eq!(request.agent.id, "anna");
    w.order("nobody", user("sue")).calls(1).dry_run().refused(404, "agent-not-found");
    assert!(w.disk.requests.is_empty(), "nothing is kept");
    w.call_agent();
    w.no_call("sue", SECOND);
}

#[test]
fn an_order_is_answered_only_after_the_store_has_it() {
    let mut w = World::with(|s| s.store_delay = Duration::from_millis(700));
    w.call_agent();
    let before = w.now();
    let request = w.order("anna", user("sue")).calls(1).accepted();
    assert!(w.now() - before >= Duration::from_millis(700), "answered before it was stored");
    assert!(w.disk.requests.contains_key(&request.id));
}

#[test]
fn without_a_store_no_order_is_taken_and_no_listening_starts_but_calls_go_on() {
    let mut w = World::new();
    w.order("anna", user("sue")).calls(1).accepted();
    w.disk.full = true;
    w.order("bo", user("sam")).calls(1).refused(503, "audit-unavailable");
    let (out, inn) = w.call_agent();
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    w.no_call("sue", SECOND);
    w.until_ended_with(EndReason::AuditUnavailable);
}

#[test]
fn a_request_stays_armed_while_the_agent_is_away() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).calls(1).accepted();
    for status in [AgentStatus::Pause, AgentStatus::LoggedOff] {
        w.command("platform", Command::PutStatus { id: "anna".into(), status }).unwrap();
        assert_eq!(w.request(&request.id).state, RequestState::Waiting);
    }
    w.call_agent();
    w.answered("sue");
}

#[test]
fn only_inbound_calls_trigger_unless_ordered_otherwise() {
    let mut w = World::new();
    w.order("anna", user("sue")).calls(1).accepted();
    let (out, _) = w.connect("anna", Dial::to("sip:+4799999999@medlytt.test"), "trunk");
    w.no_call("sue", SECOND);
    w.hang_up(out);
    let (out, _) = w.connect("bo", Dial::to("sip:1001@medlytt.test"), "anna");
    w.no_call("sue", SECOND);
    w.hang_up(out);
    w.run_for(SECOND);
    w.order("anna", user("sam")).calls(9).directions(&[CallDirection::Outbound, CallDirection::Internal]).accepted();
    let (out, _) = w.connect("anna", Dial::to("sip:+4799999999@medlytt.test"), "trunk");
    let ear = w.answered("sam");
    w.hears_exactly(ear, &[440, 800]);
    w.hang_up(out);
    w.until_ended(ear);
    w.connect("bo", Dial::to("sip:1001@medlytt.test"), "anna");
    let ear = w.answered("sam");
    w.hears_exactly(ear, &[440, 620]);
    w.no_call("sue", SECOND);
}

#[test]
fn a_call_in_progress_counts_whatever_its_direction() {
    let mut w = World::new();
    w.connect("anna", Dial::to("sip:+4799999999@medlytt.test"), "trunk");
    w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.answered("sue");
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn n_and_until_can_be_changed() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).calls(1).accepted();
    let until = w.in_seconds(5);
    let change = |calls, until| Command::ChangeRequest { id: request.id.clone(), calls, until };
    let Ok(Reply::Request(changed)) = w.command("admin", change(Some(3), Some(until))) else { panic!("not changed") };
    assert_eq!((changed.calls.limit, changed.until), (Some(3), until));
    let problem = w.command("admin", change(Some(0), None)).unwrap_err();
    assert_eq!((problem.status, problem.code), (422, "invalid-request"));
    let past = w.in_seconds(-5);
    let problem = w.command("admin", change(None, Some(past))).unwrap_err();
    assert_eq!((problem.status, problem.code), (422, "invalid-request"));
    w.run_for(6 * SECOND);
    w.until_request(&request.id, RequestState::Expired);
}

#[test]
fn people_reach_their_own_requests_only() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).by("sue").calls(1).accepted();
    let delete = || Command::DeleteRequest { id: request.id.clone() };
    let problem = w.command("sam", delete()).unwrap_err();
    assert!(matches!(problem.status, 403 | 404), "{problem:?}");
    assert_eq!(w.request(&request.id).state, RequestState::Waiting);
    w.command("sue", delete()).unwrap();
    assert_eq!(w.request(&request.id).state, RequestState::Deleted);
    let problem = w.command("admin", Command::DeleteRequest { id: "req_none".into() }).unwrap_err();
    assert_eq!(problem.status, 404);
}

#[test]
fn the_platform_keeps_the_directory() {
    let mut w = World::new();
    let change = AgentChange {
        name: Some("Dag Dahl".into()),
        number: Some("1004".into()),
        group: Some("Support".into()),
        contact: Some("sip:dag@127.0.0.3:5066".into()),
        ..AgentChange::default()
    };
    w.command("platform", Command::PutAgent { id: "dag".into(), agent: change }).unwrap();
    let mut settings = w.phone("bo").settings().clone();
    (settings.user, settings.local) = ("dag".into(), "127.0.0.3:5066".parse().unwrap());
    w.add_phone(settings);
    w.order("dag", user("sue")).calls(1).accepted();
    let (out, _) = w.call_number("1004", "dag");
    let ear = w.answered("sue");
    w.hears_exactly(ear, &[620, 800]);
    w.hang_up(out);
    w.until_ended(ear);
    w.command("platform", Command::DeleteAgent { id: "dag".into() }).unwrap();
    w.order("dag", user("sue")).calls(1).refused(404, "agent-not-found");
    let problem = w.command("sue", Command::DeleteAgent { id: "bo".into() }).unwrap_err();
    assert_eq!(problem.status, 403);
    assert_eq!(w.model.users["sue"].role, Role::Supervisor);
}

#[test]
fn a_jump_of_the_wall_clock_starts_and_ends_no_listening() {
    let mut w = World::new();
    let (_, _) = w.call_agent();
    let request = w.order("anna", user("sue")).calls(5).until_in(3600).accepted();
    let ear = w.answered("sue");
    w.jump_wall(jiff::SignedDuration::from_hours(2));
    w.run_for(2 * SECOND);
    w.hears_exactly(ear, &[440, 800]);
    w.until_counted(&request.id, 1);
    w.jump_wall(jiff::SignedDuration::from_hours(-4));
    w.hears_exactly(ear, &[440, 800]);
}
