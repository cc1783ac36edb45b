//! SEMANTICS.md, "How it ends by transfer".

use std::time::Duration;

use engine::view::{EndReason, EventName, Focus, RequestState};
use phone::{Codec, Dial, OnCall, State};
use signalling::message::{HeaderName, Method};
use signalling::sdp::Direction;
use sim::{Leg, World, user};

const SECOND: Duration = Duration::from_secs(1);

/// The caller, the agent, the listener.
fn listened(w: &mut World) -> (Leg, Leg, Leg) {
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.hears_exactly(ear, &[440, 800]);
    (out, inn, ear)
}

#[test]
fn blind_transfer_disconnects_the_listener_when_the_survivors_are_joined() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    let call = w.only_call().id.clone();
    assert_eq!(w.refer(inn, "1002"), 202);
    let target = w.answered("bo");
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
    assert!(w.call(ear).bye().unwrap().header(&HeaderName::Reason).is_some());
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
    w.until_ended(inn);
    assert_eq!((w.state(out), w.state(target)), (State::Up, State::Up));
    assert_eq!(w.call(inn).sipfrags().last(), Some(&200));
    assert_eq!(w.only_call().id, call, "the call keeps its id");
    w.no_call("sue", SECOND);
    let names = w.model.events_of(&call);
    assert!(names.contains(&EventName::CallTransferring) && names.contains(&EventName::CallTransferred), "{names:?}");
}

#[test]
fn the_transferors_leg_gets_a_bye_two_seconds_after_the_last_word() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    w.refer(inn, "1002");
    w.until("the final NOTIFY", 3 * SECOND, |w| w.call(inn).sipfrags().last() == Some(&200));
    let told = w.now();
    w.until_ended(inn);
    let after = w.now() - told;
    assert!(after >= Duration::from_millis(1_900) && after <= Duration::from_millis(2_200), "{after:?}");
}

#[test]
fn the_listener_goes_on_hearing_the_agent_while_the_target_rings() {
    let mut w = World::new();
    let (_, inn, ear) = listened(&mut w);
    w.on_call("bo", OnCall::Ring);
    w.refer(inn, "1002");
    let target = w.next_call("bo");
    w.hears_exactly(ear, &[440, 800]);
    w.answer(target);
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
}

#[test]
fn after_the_agents_bye_there_is_silence_until_the_target_answers() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.on_call("bo", OnCall::Ring);
    w.refer(inn, "1002");
    let target = w.next_call("bo");
    w.hang_up(inn);
    w.run_for(SECOND);
    assert_eq!(w.state(out), State::Up, "a transferor's BYE right after 202 does not end the caller's leg");
    w.hears_exactly(ear, &[]);
    assert_eq!(w.live()[0].focus, Focus::Lingering);
    w.answer(target);
    w.until_up(target);
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
}

#[test]
fn after_the_agents_bye_the_listener_waits_30_seconds_at_most() {
    let mut w = World::with(|s| s.settings.signalling.transfer_ring_timeout = 60 * SECOND);
    let (out, inn, ear) = listened(&mut w);
    w.on_call("bo", OnCall::Ring);
    w.refer(inn, "1002");
    let target = w.next_call("bo");
    w.hang_up(inn);
    w.until_state(ear, State::Ended, 31 * SECOND);
    w.until_ended_with(EndReason::AgentTransferred);
    w.answer(target);
    w.until_up(target);
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
}

#[test]
fn a_failed_transfer_after_the_agents_bye_releases_the_caller() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.on_call("bo", OnCall::Ring);
    w.refer(inn, "1002");
    let target = w.next_call("bo");
    w.hang_up(inn);
    w.run_for(SECOND);
    w.reject(target, 486);
    w.until_ended(out);
    w.until_ended(ear);
    w.until_ended_with(EndReason::CallEnded);
}

#[test]
fn failed_transfer_keeps_the_listener() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.until_counted(&request.id, 1);
    w.on_call("bo", OnCall::Reject { status: 486 });
    assert_eq!(w.refer(inn, "1002"), 202);
    w.run_for(SECOND);
    assert!(w.call(inn).sipfrags().contains(&486), "the transferor was not told: {:?}", w.call(inn).sipfrags());
    assert_eq!((w.state(ear), w.state(inn), w.state(out)), (State::Up, State::Up, State::Up));
    w.everyone_hears(&[(ear, &[440, 800]), (out, &[440]), (inn, &[800])]);
    w.run_for(5 * SECOND);
    w.hang_up(out);
    w.until_ended(ear);
    w.until_ended_with(EndReason::CallEnded);
    assert_eq!(w.request(&request.id).calls.used, 1);
    assert_eq!(w.listenings().count(), 1, "the same listening");
}

#[test]
fn a_target_that_never_answers_fails_the_transfer() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.on_call("bo", OnCall::Ring);
    w.refer(inn, "1002");
    let target = w.next_call("bo");
    w.until_state(target, State::Ended, 61 * SECOND);
    w.run_for(SECOND);
    assert!(w.call(inn).sipfrags().last().is_some_and(|s| *s >= 400), "{:?}", w.call(inn).sipfrags());
    w.everyone_hears(&[(ear, &[440, 800]), (out, &[440]), (inn, &[800])]);
}

#[test]
fn a_transfer_to_nobody_is_refused_or_fails_and_the_call_stays() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.on_call("trunk", OnCall::Reject { status: 404 });
    let status = w.refer(inn, "9999");
    if status == 202 {
        w.run_for(SECOND);
        assert!(w.call(inn).sipfrags().contains(&404), "{:?}", w.call(inn).sipfrags());
    } else {
        assert!(status >= 400);
    }
    w.everyone_hears(&[(ear, &[440, 800]), (out, &[440]), (inn, &[800])]);
}

#[test]
fn attended_transfer_disconnects_the_listener() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.hold(inn, Direction::SendOnly);
    let (consult, colleague) = w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo");
    w.hears_exactly(ear, &[440, 620]);
    assert_eq!(w.refer_replacing(inn, "1002", consult), 202);
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
    w.everyone_hears(&[(out, &[620]), (colleague, &[800])]);
    w.until_ended(inn);
    w.until_ended(consult);
    assert_eq!((w.state(out), w.state(colleague)), (State::Up, State::Up));
    w.no_call("bo", SECOND);
}

#[test]
fn attended_transfer_with_a_bye_right_after_the_last_word() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.habits("anna", |h| h.bye_after_transfer = true);
    w.hold(inn, Direction::Inactive);
    let (consult, colleague) = w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo");
    assert_eq!(w.refer_replacing(inn, "1002", consult), 202);
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
    w.everyone_hears(&[(out, &[620]), (colleague, &[800])]);
    w.until_ended(consult);
}

#[test]
fn attended_transfer_to_an_outside_party() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.hold(inn, Direction::SendOnly);
    let (consult, far) = w.connect("anna", Dial::to("sip:+4799999999@medlytt.test"), "trunk");
    w.act(far, |p, _, call, _| p.say(call, phone::Voice::Tone(1050.0)));
    w.hears_exactly(ear, &[440, 1050]);
    assert_eq!(w.refer_replacing(inn, "+4799999999", consult), 202);
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
    w.everyone_hears(&[(out, &[1050]), (far, &[800])]);
}

#[test]
fn after_a_transfer_the_targets_own_requests_trigger() {
    let mut w = World::new();
    let waiting = w.order("bo", user("sam")).calls(1).accepted();
    let (_, inn, ear) = listened(&mut w);
    let interaction = w.only_call().interaction.clone();
    w.refer(inn, "1002");
    w.answered("bo");
    w.until_ended(ear);
    let next = w.answered("sam");
    w.hears_exactly(next, &[620, 800]);
    assert_eq!(w.only_call().agent.as_deref(), Some("bo"));
    assert_ne!(w.only_call().interaction, interaction, "a new interaction begins at the target");
    w.until_counted(&waiting.id, 1);
}

#[test]
fn a_transfer_and_another_transfer() {
    let mut w = World::new();
    let (out, inn, _) = listened(&mut w);
    w.refer(inn, "1002");
    let bo = w.answered("bo");
    w.hears_exactly(out, &[620]);
    assert_eq!(w.refer(bo, "1003"), 202);
    let cia = w.answered("cia");
    w.everyone_hears(&[(out, &[1050]), (cia, &[800])]);
    w.until_ended(bo);
    w.until_ended(inn);
}

#[test]
fn survivors_with_other_codecs_are_re_invited_until_they_match() {
    let mut w = World::with(|s| s.phone("bo").codecs = vec![Codec::Pcma]);
    let (out, inn, ear) = listened(&mut w);
    assert_eq!(w.call(out).session().codec(), Some(Codec::Pcmu));
    w.refer(inn, "1002");
    let target = w.answered("bo");
    w.until_ended(ear);
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
    assert_eq!(w.call(out).session().codec(), w.call(target).session().codec());
}

#[test]
fn a_held_caller_is_taken_back_when_joined() {
    let mut w = World::new();
    let (out, inn, _) = listened(&mut w);
    w.hold(inn, Direction::Inactive);
    w.refer(inn, "1002");
    let target = w.answered("bo");
    w.run_for(SECOND);
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
}

#[test]
fn a_target_that_knows_none_of_the_callers_codecs_keeps_the_old_call() {
    let mut w = World::with(|s| s.phone("bo").codecs = vec![Codec::G729]);
    let (out, inn, ear) = listened(&mut w);
    w.refer(inn, "1002");
    w.run_for(3 * SECOND);
    assert_eq!(w.call(inn).sipfrags().last(), Some(&488));
    w.everyone_hears(&[(ear, &[440, 800]), (out, &[440]), (inn, &[800])]);
}

#[test]
fn the_platform_moves_the_caller_with_replaces() {
    // The platform's new leg takes the agent's place beside the caller: the agent is released.
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    let dialog = w.call(inn).replaces();
    let new = w.dial("trunk", Dial::to("sip:1001@medlytt.test").replacing(&dialog));
    w.act(new, |p, _, call, _| p.say(call, phone::Voice::Tone(1050.0)));
    w.until_up(new);
    w.until_ended(inn);
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
    w.everyone_hears(&[(out, &[1050]), (new, &[800])]);
}

#[test]
fn the_same_agent_picks_up_on_another_device_and_the_listening_goes_on() {
    let mut w = World::new();
    let mut desk = w.phone("anna").settings().clone();
    desk.local = "127.0.0.3:5070".parse().unwrap();
    w.add_phone_as("anna's desk", desk);
    w.register("anna's desk");
    let out = w.dial("trunk", World::inbound("1001"));
    w.run_for(SECOND);
    // Whichever of the two phones took it; the other one picks up.
    let (first, other) = match w.phone("anna").calls().next() {
        Some(_) => ("anna", "anna's desk"),
        None => ("anna's desk", "anna"),
    };
    let inn = w.answered(first);
    w.until_up(out);
    let (request, ear) = w.listen("anna", "sue");
    w.hears_exactly(ear, &[440, 800]);
    let dialog = w.call(inn).replaces();
    let new = w.dial(other, Dial::to("sip:1001@medlytt.test").replacing(&dialog));
    w.until_up(new);
    w.until_ended(inn);
    w.everyone_hears(&[(out, &[440]), (new, &[800]), (ear, &[440, 800])]);
    w.until_counted(&request.id, 1);
    assert_eq!(w.listenings().count(), 1);
}

#[test]
fn either_side_hanging_up_ends_the_listening() {
    for caller in [true, false] {
        let mut w = World::new();
        let (out, inn, ear) = listened(&mut w);
        w.hang_up(if caller { out } else { inn });
        w.until_ended(ear);
        w.until_ended_with(EndReason::CallEnded);
    }
}

#[test]
fn a_caller_who_hangs_up_during_a_consultation_ends_the_interaction_only() {
    let mut w = World::new();
    let (out, inn, ear) = listened(&mut w);
    w.hold(inn, Direction::SendOnly);
    let (consult, colleague) = w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo");
    w.hears_exactly(ear, &[440, 620]);
    w.hang_up(out);
    w.until_ended(ear);
    w.until_ended_with(EndReason::CallEnded);
    w.until_ended(inn);
    w.everyone_hears(&[(consult, &[620]), (colleague, &[440])]);
}

#[test]
fn the_request_goes_on_after_a_transfer() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.until_counted(&request.id, 1);
    w.refer(inn, "1002");
    w.answered("bo");
    w.until_ended(ear);
    assert_eq!(w.request(&request.id).state, RequestState::Waiting);
    w.hang_up(out);
    w.run_for(SECOND);
    w.call_agent();
    w.answered("sue");
}

#[test]
fn the_transferor_is_told_the_progress_in_order() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    w.on_call("bo", OnCall::Answer { after: 2 * SECOND });
    w.refer(inn, "1002");
    w.until("the final NOTIFY", 5 * SECOND, |w| w.call(inn).sipfrags().last() == Some(&200));
    let sipfrags = w.call(inn).sipfrags();
    assert_eq!(sipfrags.first(), Some(&100), "the first NOTIFY comes at once (RFC 3515 §2.4.4)");
    let states: Vec<String> = w
        .call(inn)
        .received()
        .iter()
        .filter(|m| m.method() == Method::Notify)
        .map(|m| m.header(&HeaderName::SubscriptionState).unwrap_or_default().to_owned())
        .collect();
    assert!(states.last().unwrap().starts_with("terminated"), "{states:?}");
    assert!(
        states[..states.len() - 1].iter().all(|s| s.starts_with("active") || s.starts_with("pending")),
        "{states:?}"
    );
}
