//! A call goes through: what the engine is before anybody listens.

use std::time::Duration;

use engine::view::{AgentStatus, CallDirection, CallState, EventName};
use phone::{Codec, Dial, OnCall, State};
use signalling::message::{HeaderName, Method};
use signalling::sdp::Direction;
use sim::{CALLER, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_goes_through_both_ways() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    w.hang_up(out);
    w.until_ended(inn);
}

#[test]
fn each_leg_has_its_own_call_id_tags_and_contact() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (a, b) = (w.call(out), w.call(inn));
    assert_ne!(a.sip_call_id(), b.sip_call_id());
    let invite = b.invite().unwrap();
    assert!(invite.contact().unwrap().uri.contains("127.0.0.1:5060"), "the contact is the engine's");
    assert_eq!(invite.values(&HeaderName::Via).count(), 1, "one Via: ours");
    assert!(invite.from().unwrap().uri.contains(CALLER));
}

#[test]
fn the_callers_number_and_the_platforms_headers_are_in_the_call() {
    let mut w = World::new();
    w.call_agent();
    let call = w.only_call();
    assert_eq!(call.agent.as_deref(), Some("anna"));
    assert_eq!(call.direction, CallDirection::Inbound);
    assert_eq!(call.caller_number.as_deref(), Some(CALLER));
    assert_eq!(call.access_number.as_deref(), Some("+4721000001"));
    assert_eq!(call.queue.as_deref(), Some("Support"));
    assert_eq!(call.state, CallState::Up);
    assert!(call.id.starts_with("call_") && call.interaction.starts_with("int_"), "{} {}", call.id, call.interaction);
    assert_eq!(call.legs.len(), 2);
    assert!(call.legs.iter().all(|l| l.codec.as_deref() == Some("PCMU")), "{:?}", call.legs);
}

#[test]
fn the_callee_hanging_up_ends_both_legs_and_the_bye_says_why() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.hang_up(inn);
    w.until_ended(out);
    let bye = w.call(out).bye().unwrap();
    assert!(bye.header(&HeaderName::Reason).is_some(), "our BYE carries a Reason (RFC 3326)");
}

#[test]
fn every_call_gets_a_record_when_it_ends() {
    let mut w = World::new();
    let (out, _) = w.call_agent();
    w.run_for(3 * SECOND);
    w.hang_up(out);
    w.run_for(SECOND);
    let record = w.disk.calls.values().next().expect("a record").clone();
    assert_eq!(record.state, CallState::Ended);
    let end = record.end.expect("an end");
    assert_eq!((end.cause.as_str(), end.by.as_str()), ("answered", "caller"));
    assert!(record.answered_at.is_some() && record.ended_at > record.answered_at);
    for leg in &record.legs {
        assert!((140..180).contains(&leg.packets), "{} packets in 3 s", leg.packets);
        assert_eq!(leg.lost, 0);
        assert!(!leg.sip_call_id.is_empty());
    }
    let names = w.model.events_of(&record.id);
    assert_eq!(names, [EventName::CallStarted, EventName::CallAnswered, EventName::CallEnded]);
}

#[test]
fn refusals_pass_to_the_caller_and_into_the_record() {
    for (status, cause) in [(486, "busy"), (603, "refused"), (480, "failed"), (500, "failed")] {
        let mut w = World::new();
        w.on_call("anna", OnCall::Reject { status });
        let out = w.dial("trunk", World::inbound("1001"));
        w.until_ended(out);
        assert_eq!(w.call(out).status(), Some(status));
        w.run_for(SECOND);
        let end = w.disk.calls.values().next().and_then(|c| c.end.clone()).expect("a record with an end");
        assert_eq!(end.sip_status, Some(status));
        if status != 480 {
            assert_eq!(end.cause, cause, "{status}");
        }
    }
}

#[test]
fn a_redirection_by_a_phone_is_not_followed() {
    let mut w = World::new();
    w.on_call("anna", OnCall::Redirect { to: "sip:bo@127.0.0.3:5062".into() });
    let out = w.dial("trunk", World::inbound("1001"));
    w.until_ended(out);
    assert!(w.call(out).status().is_some_and(|s| s >= 300));
    w.no_call("bo", SECOND);
}

#[test]
fn a_caller_who_gives_up_cancels_the_agents_phone() {
    let mut w = World::new();
    w.on_call("anna", OnCall::Ring);
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call("anna");
    w.until_state(out, State::Ringing, SECOND);
    w.hang_up(out);
    w.until_ended(inn);
    w.until_ended(out);
    assert_eq!(w.call(out).status(), Some(487));
    let cancel = w.call(inn).received().iter().find(|m| m.method() == Method::Cancel).expect("a CANCEL");
    assert!(cancel.header(&HeaderName::Reason).is_some(), "our CANCEL carries a Reason (RFC 3326)");
}

#[test]
fn ringing_and_early_media_pass() {
    let mut w = World::new();
    w.habits("anna", |h| {
        h.early_media = true;
        h.on_call = OnCall::Ring;
    });
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call("anna");
    w.until_state(out, State::Ringing, SECOND);
    assert_eq!(w.call(out).provisional(), [183]);
    w.hears_exactly(out, &[440]);
    w.answer(inn);
    w.until_up(out);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn a_late_offer_passes() {
    let mut w = World::new();
    let (out, inn) = w.connect("trunk", World::inbound("1001").late_offer(), "anna");
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn a_late_offer_inside_the_call_passes() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let cseq = w.act(out, |p, now, call, o| p.reinvite_late(now, call, o));
    assert_eq!(w.answer_to(out, cseq).status, 200);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn hold_in_every_way_and_back() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.hold(inn, Direction::SendOnly);
    w.everyone_hears(&[(out, &[440]), (inn, &[])]);
    assert!(w.only_call().held);
    w.resume(inn);
    w.hold(inn, Direction::Inactive);
    w.everyone_hears(&[(out, &[]), (inn, &[])]);
    w.resume(inn);
    w.hold_with_null_address(inn);
    w.everyone_hears(&[(out, &[]), (inn, &[])]);
    w.resume(inn);
    assert!(!w.only_call().held);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    let call = w.only_call().id.clone();
    let names = w.model.events_of(&call);
    assert_eq!(names.iter().filter(|n| **n == EventName::CallHeld).count(), 3);
    assert_eq!(names.iter().filter(|n| **n == EventName::CallResumed).count(), 3);
}

#[test]
fn an_update_changes_the_session() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let cseq = w.act(inn, |p, now, call, o| p.update(now, call, Direction::SendOnly, o));
    assert_eq!(w.answer_to(inn, cseq).status, 200);
    w.everyone_hears(&[(out, &[440]), (inn, &[])]);
}

#[test]
fn any_codec_is_relayed() {
    let mut w = World::with(|s| {
        for name in ["trunk", "anna"] {
            s.phone(name).codecs = vec![Codec::G729];
        }
    });
    let (out, inn) = w.call_agent();
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    assert_eq!(w.call(out).session().codec(), Some(Codec::G729));
}

#[test]
fn without_a_common_codec_the_call_fails_with_488() {
    let mut w = World::with(|s| {
        s.phone("trunk").codecs = vec![Codec::G729];
        s.phone("anna").codecs = vec![Codec::Pcma];
    });
    let out = w.dial("trunk", World::inbound("1001"));
    w.until_ended(out);
    assert_eq!(w.call(out).status(), Some(488));
}

#[test]
fn keys_info_and_reports_pass_between_the_parties() {
    let mut w = World::new();
    w.habits("trunk", |h| h.rtcp = true);
    let (out, inn) = w.call_agent();
    w.act(out, |p, _, call, _| p.press(call, 7, Duration::from_millis(120)));
    let cseq = w.act(out, |p, now, call, o| {
        p.send_info(now, call, "application/dtmf-relay", "Signal=7\r\nDuration=160\r\n", o)
    });
    assert_eq!(w.answer_to(out, cseq).status, 200);
    w.run_for(SECOND);
    assert_eq!(w.call(inn).ears().digits, [7]);
    assert_eq!(w.call(inn).received_count(&Method::Info), 1);
    assert!(!w.call(inn).ears().rtcp.is_empty(), "RTCP is relayed");
}

#[test]
fn an_agent_calls_out_and_another_agent() {
    let mut w = World::new();
    let (out, far) = w.connect("anna", Dial::to("sip:+4799999999@medlytt.test"), "trunk");
    assert!(w.call(far).invite().unwrap().request_uri().contains("+4799999999"));
    assert_eq!(w.only_call().direction, CallDirection::Outbound);
    w.everyone_hears(&[(out, &[800]), (far, &[440])]);
    w.hang_up(out);
    w.until_ended(far);
    let (out, inn) = w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo");
    assert_eq!(w.only_call().direction, CallDirection::Internal);
    w.everyone_hears(&[(out, &[620]), (inn, &[440])]);
}

#[test]
fn an_agent_calls_a_users_softphone() {
    let mut w = World::new();
    let (out, inn) = w.connect("anna", Dial::to("sip:sam@medlytt.test"), "sam");
    assert_eq!((w.state(out), w.state(inn)), (State::Up, State::Up));
    w.hang_up(out);
}

#[test]
fn an_agent_is_reached_by_id_as_well_as_by_number() {
    let mut w = World::new();
    let (out, _) = w.connect("trunk", World::inbound("anna"), "anna");
    assert_eq!(w.state(out), State::Up);
}

#[test]
fn options_are_answered_and_unknown_methods_refused() {
    let mut w = World::new();
    let (out, _) = w.call_agent();
    let cseq = w.act(out, |p, now, call, o| p.send_in_dialog(now, call, Method::Options, &[], None, o));
    assert_eq!(w.answer_to(out, cseq).status, 200);
    let odd = Method::Other("DANCE".into());
    let cseq = w.act(out, |p, now, call, o| p.send_in_dialog(now, call, odd, &[], None, o));
    let status = w.answer_to(out, cseq).status;
    assert!(status == 501 || status == 405, "{status}");
}

#[test]
fn the_agent_list_follows_the_calls() {
    let mut w = World::new();
    assert_eq!(w.model.agents["anna"].status, AgentStatus::Unknown);
    w.command("platform", engine::Command::PutStatus { id: "anna".into(), status: AgentStatus::Pause }).unwrap();
    assert_eq!(w.model.agents["anna"].status, AgentStatus::Pause);
    assert!(w.model.agents["anna"].registered && w.model.agents["bo"].registered);
    w.on_call("anna", OnCall::Ring);
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call("anna");
    w.run_for(SECOND);
    assert_eq!(w.model.agents["anna"].status, AgentStatus::Connecting);
    w.answer(inn);
    w.until_up(out);
    w.run_for(SECOND);
    assert_eq!(w.model.agents["anna"].status, AgentStatus::Connected);
    assert_eq!(w.model.agents["anna"].calls, [w.only_call().id.clone()]);
    w.hang_up(out);
    w.run_for(SECOND);
    assert_eq!(w.model.agents["anna"].status, AgentStatus::Pause, "the platform's last word returns");
    assert!(w.model.agents["anna"].calls.is_empty());
}

#[test]
fn a_fifty_call_day_leaves_nothing_behind() {
    let mut w = World::new();
    for i in 0..50 {
        let (out, inn) = w.call_agent();
        w.run_for(Duration::from_millis(300));
        w.hang_up(if i % 2 == 0 { out } else { inn });
        w.run_for(Duration::from_millis(300));
    }
    assert_eq!(w.disk.calls.len(), 50);
}

#[test]
fn draining_refuses_new_calls_and_lets_the_old_ones_end() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.drain();
    let second = w.dial("trunk", World::inbound("1002"));
    w.until_ended(second);
    assert_eq!(w.call(second).status(), Some(503));
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    assert!(!w.drained());
    w.hang_up(out);
    w.until("the engine is drained", 5 * SECOND, World::drained);
}

#[test]
fn stopping_ends_every_call_and_every_listening_at_once() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.stop();
    for leg in [out, inn, ear] {
        w.until_ended(leg);
        assert!(w.call(leg).bye().unwrap().header(&HeaderName::Reason).is_some());
    }
    w.until_ended_with(engine::view::EndReason::EngineStopped);
    w.until("the engine is drained", 40 * SECOND, World::drained);
}
