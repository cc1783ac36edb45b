//! SEMANTICS.md, "Calling the listener".

use std::time::Duration;

use engine::view::{EndReason, EventName, ListeningState, RequestState};
use engine::{AgentChange, Command, Reply};
use phone::{Codec, Dial, OnCall, State};
use signalling::message::{HeaderName, Method};
use signalling::sdp::Direction;
use sim::{ACCESS_NUMBER, World, agent, user};

const SECOND: Duration = Duration::from_secs(1);

/// Hangs up and waits until the agent is free again.
fn end(w: &mut World, (out, inn): (sim::Leg, sim::Leg)) {
    w.hang_up(out);
    w.until_ended(inn);
    w.run_for(SECOND);
}

#[test]
fn the_listeners_phone_shows_the_access_number_and_the_agents_name() {
    let mut w = World::new();
    w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    let invite = w.call(ear).invite().unwrap();
    let from = invite.from().unwrap();
    assert!(from.uri.contains(&format!("{ACCESS_NUMBER}@")), "{}", from.uri);
    assert_eq!(from.display, "Listen in: Anna Berg");
    assert!(invite.header(&HeaderName::PAssertedIdentity).is_some_and(|v| v.contains(ACCESS_NUMBER)));
    assert_eq!(w.call(ear).remote_sdp().unwrap().direction(), Direction::SendOnly);
}

#[test]
fn the_display_name_can_be_configured() {
    let mut w = World::with(|s| s.settings.listener_display = "Ear on {agent}".into());
    w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    assert_eq!(w.call(ear).invite().unwrap().from().unwrap().display, "Ear on Anna Berg");
}

#[test]
fn the_first_packet_comes_within_60_ms_of_the_answer() {
    let mut w = World::new();
    w.call_agent();
    w.on_call("sue", OnCall::Ring);
    w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    w.run_for(3 * SECOND);
    let answered = w.now();
    w.answer(ear);
    w.until("the first packet", SECOND, |w| w.call(ear).ears().count > 0);
    assert!(w.now() - answered <= Duration::from_millis(60), "{:?}", w.now() - answered);
    w.until("live", SECOND, |w| w.live().len() == 1);
    assert_eq!(w.model.count(EventName::ListeningLive), 1);
}

#[test]
fn the_first_packet_comes_even_when_nobody_speaks() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    w.hold(inn, Direction::Inactive);
    let (_, ear) = w.listen("anna", "sue");
    w.until("a packet of silence", Duration::from_millis(100), |w| w.call(ear).ears().count > 0);
    w.hears_exactly(ear, &[]);
    assert_eq!(w.live().len(), 1);
}

#[test]
fn a_call_counts_after_three_seconds_and_not_before() {
    let mut w = World::new();
    let ends = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.run_for(Duration::from_millis(2_500));
    assert_eq!(w.request(&request.id).calls.used, 0);
    w.run_for(SECOND);
    assert_eq!(w.request(&request.id).calls.used, 1);
    let stored = w.disk.requests[&request.id].view.calls.used;
    assert_eq!(stored, 1, "stored at that moment");
    end(&mut w, ends);
    let listening = w.until_ended_with(EndReason::CallEnded);
    assert!(listening.counted && listening.heard_ms >= 3_000, "{listening:?}");
    assert_eq!(w.state(ear), State::Ended);
    let ends = w.call_agent();
    w.answered("sue");
    w.run_for(SECOND);
    end(&mut w, ends);
    let listening = w.until_ended_with(EndReason::CallEnded);
    assert!(!listening.counted && listening.heard_ms < 3_000, "{listening:?}");
    assert_eq!(w.request(&request.id).calls.used, 1, "too short to count");
}

#[test]
fn a_call_that_ends_while_the_listeners_phone_rings_stops_the_ringing() {
    let mut w = World::new();
    let ends = w.call_agent();
    w.on_call("sue", OnCall::Ring);
    let request = w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    w.run_for(SECOND);
    end(&mut w, ends);
    assert_eq!(w.state(ear), State::Ended);
    assert_eq!(w.call(ear).received_count(&Method::Cancel), 1);
    let listening = w.until_ended_with(EndReason::CallEnded);
    assert!(!listening.counted);
    assert_eq!(w.until_request(&request.id, RequestState::Waiting).calls.used, 0);
}

#[test]
fn a_busy_listener_is_tried_again_three_times() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.on_call("sue", OnCall::Reject { status: 486 });
    w.order("anna", user("sue")).calls(1).accepted();
    let first = w.next_call("sue");
    let at = w.now();
    w.until_ended(first);
    w.run_for(SECOND);
    assert!(w.listenings().all(|l| l.state == ListeningState::Waiting), "{:?}", w.listenings().collect::<Vec<_>>());
    for retry in 1..=3u32 {
        w.next_call_within("sue", 16 * SECOND);
        let after = w.now() - at;
        assert!(after >= 15 * SECOND * retry && after < 15 * SECOND * retry + SECOND, "retry {retry} after {after:?}");
    }
    w.until_ended_with(EndReason::ListenerBusy);
    w.no_call("sue", 20 * SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn a_busy_listener_who_gets_free_listens() {
    let mut w = World::new();
    w.call_agent();
    w.on_call("sue", OnCall::Reject { status: 600 });
    w.order("anna", user("sue")).calls(1).accepted();
    w.next_call("sue");
    w.run_for(5 * SECOND);
    w.on_call("sue", OnCall::Answer { after: SECOND });
    let ear = w.next_call_within("sue", 16 * SECOND);
    w.until_up(ear);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_listener_who_does_not_answer_rings_for_30_seconds() {
    let mut w = World::new();
    w.call_agent();
    w.on_call("sue", OnCall::Ring);
    w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    let at = w.now();
    w.until_state(ear, State::Ended, 31 * SECOND);
    let rang = w.now() - at;
    assert!(rang >= Duration::from_millis(29_900), "{rang:?}");
    assert_eq!(w.call(ear).received_count(&Method::Cancel), 1);
    w.until_ended_with(EndReason::ListenerNoAnswer);
    w.no_call("sue", 20 * SECOND);
}

#[test]
fn a_listener_who_declines_is_called_again_only_at_the_next_call() {
    let mut w = World::new();
    let ends = w.call_agent();
    w.on_call("sue", OnCall::Reject { status: 603 });
    w.order("anna", user("sue")).calls(1).accepted();
    w.next_call("sue");
    w.until_ended_with(EndReason::ListenerDeclined);
    w.no_call("sue", 20 * SECOND);
    end(&mut w, ends);
    w.on_call("sue", OnCall::Answer { after: SECOND });
    w.call_agent();
    w.answered("sue");
}

#[test]
fn other_final_answers_mean_unreachable() {
    for status in [404, 410, 480, 488, 500, 503, 606] {
        let mut w = World::new();
        w.call_agent();
        w.on_call("sue", OnCall::Reject { status });
        w.order("anna", user("sue")).calls(1).accepted();
        w.next_call("sue");
        w.until_ended_with(EndReason::ListenerUnreachable);
        w.no_call("sue", 20 * SECOND);
    }
}

#[test]
fn a_listener_who_is_not_registered_is_unreachable() {
    let mut w = World::new();
    assert_eq!(w.try_register("sue", 0), 200);
    w.call_agent();
    w.order("anna", user("sue")).calls(1).accepted();
    w.until_ended_with(EndReason::ListenerUnreachable);
}

#[test]
fn a_listener_without_a_common_codec_is_unreachable() {
    let mut w = World::with(|s| s.phone("sam").codecs = vec![Codec::G729]);
    w.call_agent();
    w.order("anna", user("sam")).calls(1).accepted();
    w.until_ended_with(EndReason::ListenerUnreachable);
}

#[test]
fn a_diverted_listener_is_not_followed() {
    let mut w = World::new();
    w.call_agent();
    w.on_call("sue", OnCall::Redirect { to: "sip:bo@127.0.0.3:5062".into() });
    w.order("anna", user("sue")).calls(1).accepted();
    w.next_call("sue");
    w.until_ended_with(EndReason::ListenerDiverted);
    w.no_call("bo", 20 * SECOND);
    w.no_call("sue", 20 * SECOND);
}

#[test]
fn a_call_whose_codec_cannot_be_decoded_calls_no_listener() {
    let mut w = World::with(|s| {
        for name in ["trunk", "anna"] {
            s.phone(name).codecs = vec![Codec::G729];
        }
    });
    let (out, inn) = w.call_agent();
    w.order("anna", user("sue")).calls(1).accepted();
    w.until_ended_with(EndReason::CodecUnsupported);
    w.no_call("sue", 5 * SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn three_interactions_without_an_answer_suspend_the_request() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).calls(3).accepted();
    w.on_call("sue", OnCall::Reject { status: 480 });
    for _ in 0..3 {
        assert_ne!(w.request(&request.id).state, RequestState::Suspended);
        let ends = w.call_agent();
        w.next_call("sue");
        end(&mut w, ends);
    }
    w.until_request(&request.id, RequestState::Suspended);
    w.on_call("sue", OnCall::Answer { after: SECOND });
    let ends = w.call_agent();
    w.no_call("sue", 2 * SECOND);
    end(&mut w, ends);
    let Ok(Reply::Request(again)) = w.command("admin", Command::ResumeRequest { id: request.id.clone() }) else {
        panic!("it can be resumed")
    };
    assert_eq!(again.state, RequestState::Waiting);
    w.call_agent();
    w.answered("sue");
}

#[test]
fn an_answer_between_failures_starts_the_count_again() {
    let mut w = World::new();
    let request = w.order("anna", user("sue")).calls(9).accepted();
    for answers in [false, false, true, false, false] {
        let habit = if answers { OnCall::Answer { after: Duration::ZERO } } else { OnCall::Reject { status: 480 } };
        w.on_call("sue", habit);
        let ends = w.call_agent();
        w.next_call("sue");
        w.run_for(4 * SECOND);
        end(&mut w, ends);
    }
    assert_eq!(w.request(&request.id).state, RequestState::Waiting);
}

#[test]
fn a_listener_who_listens_elsewhere_waits_until_free() {
    let mut w = World::new();
    let first = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.connect("trunk", World::inbound("1002"), "bo");
    w.order("bo", user("sue")).calls(1).accepted();
    w.no_call("sue", 2 * SECOND);
    assert!(w.listenings().any(|l| l.agent.id == "bo" && l.state == ListeningState::Waiting));
    w.hang_up(first.0);
    w.until_ended(ear);
    let ear = w.answered("sue");
    w.hears_exactly(ear, &[620, 800]);
}

#[test]
fn a_listener_who_never_gets_free_was_busy() {
    let mut w = World::new();
    w.call_agent();
    w.listen("anna", "sue");
    let second = w.connect("trunk", World::inbound("1002"), "bo");
    w.order("bo", user("sue")).calls(1).accepted();
    w.run_for(2 * SECOND);
    w.hang_up(second.0);
    w.until_ended_with(EndReason::ListenerBusy);
}

#[test]
fn a_listener_who_hangs_up_is_called_again_only_at_the_next_call() {
    let mut w = World::new();
    let ends = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.until_counted(&request.id, 1);
    w.hang_up(ear);
    let listening = w.until_ended_with(EndReason::ListenerHungUp);
    assert!(listening.counted);
    w.no_call("sue", 20 * SECOND);
    assert_eq!(w.request(&request.id).state, RequestState::Waiting);
    w.everyone_hears(&[(ends.0, &[440]), (ends.1, &[800])]);
    end(&mut w, ends);
    w.call_agent();
    w.answered("sue");
}

#[test]
fn a_listener_who_holds_us_gets_nothing_and_the_fork_stays() {
    let mut w = World::new();
    w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.hears_exactly(ear, &[440, 800]);
    w.hold(ear, Direction::Inactive);
    w.gets_nothing(ear);
    assert_eq!(w.live().len(), 1);
    let cseq = w.act(ear, |p, now, call, o| p.reinvite(now, call, Direction::RecvOnly, o));
    assert_eq!(w.answer_to(ear, cseq).status, 200);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_listener_transfers_nobody() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    assert_eq!(w.refer(ear, "1002"), 603);
    w.no_call("bo", 2 * SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
}

#[test]
fn a_party_of_the_interaction_is_not_called_to_listen() {
    let mut w = World::new();
    w.connect("bo", Dial::to("sip:1001@medlytt.test"), "anna");
    w.order("anna", agent("bo")).calls(1).accepted();
    w.no_call("bo", 2 * SECOND);
    w.until_ended_with(EndReason::ListenerInCall);
}

#[test]
fn two_requests_for_two_listeners_are_two_legs_counted_apart() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (first, sue) = w.listen("anna", "sue");
    w.until_counted(&first.id, 1);
    let (second, sam) = w.listen("anna", "sam");
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (sue, &[440, 800]), (sam, &[440, 800])]);
    w.hang_up(sam);
    w.until_ended_with(EndReason::ListenerHungUp);
    assert_eq!(w.request(&second.id).calls.used, 0);
    assert_eq!(w.request(&first.id).calls.used, 1);
    w.hears_exactly(sue, &[440, 800]);
}

#[test]
fn above_the_limit_no_more_listeners() {
    let mut w = World::with(|s| s.settings.max_listeners_per_agent = 2);
    w.call_agent();
    w.listen("anna", "sue");
    w.listen("anna", "sam");
    w.order("anna", user("admin")).calls(1).accepted();
    w.no_call("admin", 2 * SECOND);
    w.until_ended_with(EndReason::LimitReached);
    assert_eq!(w.live().len(), 2);
}

#[test]
fn two_requests_for_the_same_listener_share_one_leg_and_count_both() {
    let mut w = World::new();
    let (out, _) = w.call_agent();
    let (first, ear) = w.listen("anna", "sue");
    let second = w.order("anna", user("sue")).by("sue").calls(2).accepted();
    w.no_call("sue", 2 * SECOND);
    w.until_counted(&first.id, 1);
    w.until_counted(&second.id, 1);
    w.hang_up(out);
    w.until_ended(ear);
    w.run_for(SECOND);
    assert_eq!(w.listenings().filter(|l| l.end_reason == Some(EndReason::CallEnded)).count(), 2);
}

#[test]
fn n_is_never_overrun() {
    // Two callers at once on one agent, one slot.
    let mut w = World::new();
    w.on_call("sue", OnCall::Ring);
    let request = w.order("anna", user("sue")).calls(1).accepted();
    let first = w.call_agent();
    let ear = w.next_call("sue");
    w.hold(first.1, Direction::SendOnly);
    let second = w.call_agent();
    w.no_call("sue", 2 * SECOND);
    w.answer(ear);
    w.until_up(ear);
    // The only slot belongs to the first interaction: the second one is not heard at all.
    w.run_for(5 * SECOND);
    w.hears_exactly(ear, &[]);
    assert_eq!(w.request(&request.id).calls.used, 0);
    end(&mut w, second);
    w.resume(first.1);
    w.hears_exactly(ear, &[440, 800]);
    w.until_counted(&request.id, 1);
    end(&mut w, first);
    w.until_request(&request.id, RequestState::Fulfilled);
    assert_eq!(w.request(&request.id).calls.used, 1);
}

#[test]
fn a_dead_listener_is_lost_and_affects_nobody() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, sue) = w.listen("anna", "sue");
    let (_, sam) = w.listen("anna", "sam");
    w.habits("sue", |h| h.alive = false);
    w.run_for(30 * SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (sam, &[440, 800])]);
    let listening = w.until_ended_within(EndReason::ListenerLost, 100 * SECOND);
    assert_eq!(listening.listener.user.as_deref(), Some("sue"));
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (sam, &[440, 800])]);
    w.act(sue, |p, _, _, _| p.habits_mut().alive = true);
}

#[test]
fn a_silent_listener_that_answers_options_stays() {
    let mut w = World::new();
    w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.run_for(150 * SECOND);
    assert!(w.call(ear).received_count(&Method::Options) >= 1, "it was asked");
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn an_agent_made_unmonitorable_ends_the_listening() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    let change = AgentChange { monitorable: Some(false), ..AgentChange::default() };
    w.command("platform", Command::PutAgent { id: "anna".into(), agent: change }).unwrap();
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentNotMonitorable);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn rights_withdrawn_end_the_listening() {
    let mut w = World::new();
    w.call_agent();
    w.order("anna", user("sue")).by("sue").calls(1).accepted();
    let ear = w.answered("sue");
    w.reload(|s| s.user("sue").groups = Some(vec!["Sales".into()]));
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentNotMonitorable);
}

#[test]
fn a_listener_behind_nat_is_offered_sendrecv_and_still_never_heard() {
    let mut w = World::with(|s| s.user("sam").offer_sendrecv = true);
    let (out, inn) = w.call_agent();
    w.habits("sam", |h| h.answer_direction = Direction::SendRecv);
    let (_, ear) = w.listen("anna", "sam");
    assert_eq!(w.call(ear).remote_sdp().unwrap().direction(), Direction::SendRecv);
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    assert!(w.call(ear).sent() > 10, "the listener's phone sends, or this proves nothing");
    assert!(w.media_count(|counters| counters.listener_rtp_dropped) > 10);
}
