//! SEMANTICS, How it ends by transfer.

use super::*;

fn listened() -> (Bench, Pair, String, LegId) {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 9);
    let call = b.call("1001");
    let ear = b.listens();
    b.heard(3_000);
    (b, call, id, ear)
}

#[test]
fn a_blind_transfer_disconnects_the_listener_when_the_survivors_are_joined() {
    let (mut b, call, id, ear) = listened();
    b.order("bo", user("sam"), 9);
    let name = b.call_view(call).id;
    let transfer = b.refer(call.callee, "1002", None);
    let target = b.accepted().unwrap().unwrap();
    assert_eq!((target.destination.clone(), target.from_user.as_str()), (account(&b, "bo"), "+4755512345"));
    assert!(target.headers.contains(&("X-Queue".to_owned(), "Support".to_owned())));
    assert!(b.names().contains(&EventName::CallTransferring));
    b.planned(target.leg, session(true, true));
    b.says(signalling::Event::TransferAnswered { transfer });
    assert_eq!(b.hears(), Some(b.stream(call.callee)), "the agent's leg is heard until then");
    assert!(b.ended_by_us(ear).is_none());
    b.joined(transfer, call.caller, target.leg, &[call.callee]);
    assert_eq!(b.ended_by_us(ear).unwrap().text, "agent-transferred");
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
    let view = b.call_view(Pair { caller: call.caller, callee: target.leg });
    assert_eq!(
        (view.id, view.agent.as_deref(), view.state, view.direction),
        (name, Some("bo"), CallState::Up, CallDirection::Inbound)
    );
    assert_eq!(view.legs.len(), 3);
    let bridge = media::Command::Bridge { a: b.stream(call.caller), b: b.stream(target.leg) };
    assert!(b.media.contains(&bridge));
    assert_eq!((b.agents["anna"].status, b.agents["bo"].status), (AgentStatus::Unknown, AgentStatus::Connected));
    // a new interaction at the target triggers its requests as inbound
    assert_eq!(b.listeners().len(), 2);
    assert_eq!(b.last_listening().agent.id, "bo");
    b.listens();
    assert_eq!(b.hears(), Some(b.stream(target.leg)));
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    assert!(b.names().contains(&EventName::CallTransferred));
    b.bye(call.caller);
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred, EndReason::CallEnded]);
    b.is_quiet();
}

#[test]
fn bye_right_after_202_lingers_in_silence_until_the_outcome() {
    let (mut b, call, _, ear) = listened();
    let transfer = b.refer(call.callee, "1002", None);
    let target = b.accepted().unwrap().unwrap();
    b.bye_alone(call.callee);
    assert_eq!(
        (b.last_listening().state, b.last_listening().focus, b.hears()),
        (ListeningState::Live, Focus::Lingering, None)
    );
    assert!(b.ended_by_us(ear).is_none());
    assert_eq!(b.agents["anna"].status, AgentStatus::Unknown);
    b.seconds(10);
    b.planned(target.leg, session(true, true));
    b.joined(transfer, call.caller, target.leg, &[]);
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
    assert_eq!(b.call_view(Pair { caller: call.caller, callee: target.leg }).state, CallState::Up);
    b.bye(call.caller);
    assert_eq!(b.last_call().end.as_ref().unwrap().by, "caller", "not the agent, who left by the transfer");
    b.is_quiet();
}

#[test]
fn lingering_ends_after_thirty_seconds() {
    let (mut b, call, _, ear) = listened();
    b.refer(call.callee, "1002", None);
    b.bye_alone(call.callee);
    b.seconds(29);
    assert!(b.ended_by_us(ear).is_none());
    b.seconds(1);
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
}

#[test]
fn a_failed_transfer_keeps_the_listening() {
    let (mut b, call, id, ear) = listened();
    let transfer = b.refer(call.callee, "1002", None);
    let target = b.accepted().unwrap().unwrap();
    b.leaves(target.leg, Some(486));
    b.says(signalling::Event::TransferFailed { transfer, status: 486 });
    assert!(b.ended_by_us(ear).is_none());
    assert_eq!((b.last_listening().state, b.hears()), (ListeningState::Live, Some(b.stream(call.callee))));
    b.heard(9_000);
    assert_eq!(b.request(&id).calls.used, 1, "no second count");
    // and it may be tried again
    b.refer(call.callee, "1003", None);
    assert_eq!(b.accepted().unwrap().unwrap().destination, account(&b, "cia"));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_transfer_that_fails_after_the_agents_bye_ends_the_call() {
    let (mut b, call, _, _) = listened();
    let transfer = b.refer(call.callee, "1002", None);
    let target = b.accepted().unwrap().unwrap();
    b.bye_alone(call.callee);
    b.leaves(target.leg, Some(486));
    b.says(signalling::Event::TransferFailed { transfer, status: 486 });
    assert_eq!(b.reasons(), vec![EndReason::CallEnded]);
    b.wire.lock().unwrap().gone(call.caller, EndedBy::Local, None);
    b.drive(Input::Timeout);
    assert_eq!(b.last_call().end.as_ref().unwrap().by, "agent");
    b.is_quiet();
}

#[test]
fn the_caller_hangs_up_while_a_transfer_is_pending() {
    let (mut b, call, _, _) = listened();
    b.refer(call.callee, "1002", None);
    let target = b.accepted().unwrap().unwrap();
    b.bye(call.caller);
    assert_eq!(b.reasons(), vec![EndReason::CallEnded]);
    assert!(b.ended_by_us(target.leg).is_some(), "the target rings for nobody");
    b.is_quiet();
}

#[test]
fn an_attended_transfer_disconnects_the_listener_and_the_older_call_keeps_its_id() {
    let (mut b, call, _, ear) = listened();
    let name = b.call_view(call).id;
    b.hold(call.callee);
    let consult = b.dial("anna", "1002");
    b.order("bo", user("sam"), 9);
    let consult_name = b.call_view(consult).id;
    let transfer = b.refer(call.callee, "1002", Some(consult.caller));
    assert!(b.accepted().unwrap().is_none(), "joined as it is");
    assert_eq!(b.listeners().len(), 1, "nothing triggers before the transfer completes");
    b.joined(transfer, call.caller, consult.callee, &[call.callee, consult.caller]);
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
    assert!(b.ended_by_us(ear).is_some());
    let view = b.call_view(Pair { caller: call.caller, callee: consult.callee });
    assert_eq!((view.id, view.agent.as_deref(), view.direction), (name, Some("bo"), CallDirection::Inbound));
    assert_eq!(b.calls[&consult_name].state, CallState::Ended);
    assert_eq!(b.calls[&consult_name].end.as_ref().unwrap().cause, "answered");
    assert_eq!(b.listeners().len(), 2, "as inbound at the target");
    b.listens();
    assert_eq!(b.hears(), Some(b.stream(consult.callee)));
    assert_eq!(b.agents["bo"].calls.len(), 1);
    b.bye(consult.callee);
    b.is_quiet();
}

#[test]
fn a_call_that_took_a_private_one_in_is_private() {
    let (mut b, call, _, _) = listened();
    b.hold(call.callee);
    let peer = b.peer("anna");
    let caller = b.offer(Origin::Account(peer), "anna", "1002", &[("X-Do-Not-Monitor", "yes")], None);
    let consult = b.connected(caller).unwrap();
    b.answer(consult);
    b.order("bo", user("sam"), 9);
    let transfer = b.refer(call.callee, "1002", Some(consult.caller));
    b.joined(transfer, call.caller, consult.callee, &[call.callee, consult.caller]);
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred, EndReason::PolicyDenied]);
    assert_eq!(b.listeners().len(), 1, "sam is not called");
    b.bye(consult.callee);
    b.is_quiet();
}

#[test]
fn a_leg_that_takes_a_place_may_make_the_call_private() {
    let (mut b, call, _, ear) = listened();
    let peer = b.peer("anna");
    let new = b.offer(Origin::Account(peer), "anna", "1001", &[("X-Do-Not-Monitor", "yes")], Some(call.callee));
    b.planned(new, session(true, true));
    b.says(signalling::Event::Replaced { old: call.callee, new, peer: call.caller });
    b.bye_alone(call.callee);
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert!(b.ended_by_us(ear).is_some());
}

#[test]
fn an_attended_transfer_the_other_way_round_ends_the_same() {
    let (mut b, call, _, _) = listened();
    let name = b.call_view(call).id;
    b.hold(call.callee);
    let consult = b.dial("anna", "1002");
    let transfer = b.refer(consult.caller, "caller", Some(call.callee));
    // the transferor hangs up its primary leg before the outcome
    b.bye_alone(call.callee);
    assert_eq!(b.last_listening().focus, Focus::Lingering);
    b.joined(transfer, consult.callee, call.caller, &[consult.caller]);
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
    let view = b.call_view(Pair { caller: call.caller, callee: consult.callee });
    assert_eq!((view.id, view.agent.as_deref(), view.state), (name, Some("bo"), CallState::Up));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn who_may_transfer_and_where() {
    let (mut b, call, _, _) = listened();
    b.refer(call.caller, "1002", None);
    assert_eq!(b.transfer_refused(), Some(603), "not from a trunk");
    b.refer(call.callee, "1001", None);
    assert_eq!(b.transfer_refused(), Some(486), "not to oneself");
    let other = b.call("1003");
    b.refer(call.callee, "1003", Some(other.callee));
    assert_eq!(b.transfer_refused(), Some(403), "not somebody else's dialog");
    b.refer(call.callee, "+4799999999", None);
    assert_eq!(b.accepted().unwrap().unwrap().destination, Destination::Trunk(TrunkId(0), "+4799999999".into()));
    b.refer(call.callee, "1002", None);
    assert_eq!(b.transfer_refused(), Some(491), "one at a time");
}

#[test]
fn a_transfer_to_the_outside_leaves_a_call_without_an_agent() {
    let (mut b, call, _, _) = listened();
    let transfer = b.refer(call.callee, "+4799999999", None);
    let target = b.accepted().unwrap().unwrap();
    b.joined(transfer, call.caller, target.leg, &[call.callee]);
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
    assert_eq!(b.call_view(Pair { caller: call.caller, callee: target.leg }).agent, None);
    b.bye(target.leg);
    b.is_quiet();
}

#[test]
fn the_platform_moves_the_caller_away_with_replaces() {
    let (mut b, call, _, _) = listened();
    let new = b.offer(Origin::Trunk(TrunkId(0)), "+4788888888", "1001", &[], Some(call.callee));
    b.planned(new, session(true, true));
    b.says(signalling::Event::Answered { leg: new });
    b.says(signalling::Event::Replaced { old: call.callee, new, peer: call.caller });
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
    b.bye_alone(call.callee);
    assert_eq!(b.call_view(call).state, CallState::Up);
}

#[test]
fn the_same_agent_on_another_device_takes_the_tap_along() {
    let (mut b, call, _, ear) = listened();
    let peer = b.peer("anna");
    let new = b.offer(Origin::Account(peer), "anna", "1001", &[], Some(call.callee));
    b.planned(new, session(true, true));
    b.says(signalling::Event::Replaced { old: call.callee, new, peer: call.caller });
    b.bye_alone(call.callee);
    assert!(b.ended_by_us(ear).is_none());
    assert_eq!((b.last_listening().state, b.hears()), (ListeningState::Live, Some(b.stream(new))));
    assert_eq!(b.agents["anna"].status, AgentStatus::Connected);
    assert!(b.media.contains(&media::Command::Bridge { a: b.stream(new), b: b.stream(call.caller) }));
}

#[test]
fn the_platform_swaps_the_callers_leg_and_the_listening_goes_on() {
    let (mut b, call, _, ear) = listened();
    let new = b.offer(Origin::Trunk(TrunkId(0)), "+4755512345", "1001", &[], Some(call.caller));
    b.says(signalling::Event::Replaced { old: call.caller, new, peer: call.callee });
    b.bye_alone(call.caller);
    assert!(b.ended_by_us(ear).is_none());
    assert_eq!(b.hears(), Some(b.stream(call.callee)));
}

#[test]
fn a_stranger_cannot_replace() {
    let (mut b, call, _, _) = listened();
    let peer = b.peer("cia");
    b.offer(Origin::Account(peer), "cia", "1001", &[], Some(call.callee));
    assert_eq!(b.refused().unwrap().0, 403);
}

#[test]
fn the_agent_transfers_while_the_listener_rings() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 1);
    let call = b.call("1001");
    let leg = b.listener().leg;
    b.ring(leg);
    let transfer = b.refer(call.callee, "1002", None);
    let target = b.accepted().unwrap().unwrap();
    b.joined(transfer, call.caller, target.leg, &[call.callee]);
    assert!(b.ended_by_us(leg).is_some());
    assert_eq!(b.reasons(), vec![EndReason::AgentTransferred]);
}
