//! SEMANTICS.md, "While listening" and the five principles.

use std::time::Duration;

use engine::view::{EndReason, EventName, Focus, RequestState};
use engine::{AgentChange, Command};
use phone::{Codec, Dial, Kind, OnCall, State, Voice};
use signalling::message::Method;
use signalling::sdp::Direction;
use sim::{Leg, World, number, user};

const SECOND: Duration = Duration::from_secs(1);
const BLINK: Duration = Duration::from_millis(200);

/// Anna holds the caller and calls Bo, who answers.
fn consult(w: &mut World, inn: Leg) -> (Leg, Leg) {
    w.hold(inn, Direction::SendOnly);
    w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo")
}

#[test]
fn the_listener_is_never_heard() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.habits("sam", |h| {
        h.answer_direction = Direction::SendRecv;
        h.keep_sending = true;
        h.rtcp = true;
    });
    let (_, ear) = w.listen("anna", "sam");
    w.run_for(6 * SECOND);
    assert!(w.call(ear).sent() > 100, "the listener's phone sends, or this proves nothing");
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    let rtcp_before = w.call(inn).ears().rtcp.len();
    w.act(ear, |p, _, call, _| p.press(call, 1, BLINK));
    w.act(ear, |p, _, call, o| {
        p.inject(call, Kind::Rtcp, vec![0x80, 204, 0, 2, 0, 0, 0, 1, b'T', b'A', b'L', b'K'].into(), o)
    });
    let cseq = w.act(ear, |p, now, call, o| p.send_info(now, call, "application/dtmf-relay", "Signal=1\r\n", o));
    assert!(w.answer_to(ear, cseq).status >= 200, "INFO gets a final answer");
    let cseq = w.act(ear, |p, now, call, o| {
        p.send_in_dialog(now, call, Method::Message, &[], Some(("text/plain".into(), "psst".into())), o)
    });
    assert!(w.answer_to(ear, cseq).status >= 200, "MESSAGE gets a final answer");
    w.run_for(SECOND);
    for leg in [out, inn] {
        assert!(w.call(leg).ears().digits.is_empty(), "a listener's key was heard");
        assert_eq!(w.call(leg).received_count(&Method::Info) + w.call(leg).received_count(&Method::Message), 0);
    }
    assert_eq!(w.call(inn).ears().rtcp.len(), rtcp_before);
    let dropped = w.media_count(|counters| counters.listener_rtp_dropped);
    assert!(dropped > 100, "{dropped}");
}

#[test]
fn the_parties_media_is_the_same_byte_for_byte_with_none_one_and_fifty_listeners() {
    let story = |listeners: u32| {
        let mut w = World::with(|s| s.settings.max_listeners_per_agent = 50);
        let (out, inn) = w.call_agent();
        let start = w.now();
        for i in 0..listeners {
            w.order("anna", number(&format!("+47990000{i:02}"))).calls(1).accepted();
        }
        w.run_for(Duration::from_secs(8) - (w.now() - start));
        let stream = |leg| -> Vec<(Duration, Vec<u8>, u8, u16, u32)> {
            w.call(leg)
                .ears()
                .between(start, start + 5 * SECOND)
                .map(|p| (p.at - start, p.payload.clone(), p.payload_type, p.sequence, p.timestamp))
                .collect()
        };
        assert_eq!(w.live().len(), listeners as usize);
        let invites = w.call(inn).received_count(&Method::Invite) + w.call(out).received_count(&Method::Invite);
        assert_eq!(invites, 1, "no re-INVITE for a listener's sake");
        (stream(out), stream(inn))
    };
    let alone = story(0);
    assert!(alone.0.len() > 200 && alone.1.len() > 200);
    assert!(alone == story(1) && alone == story(50), "a listener changed what the parties receive");
}

#[test]
fn a_held_caller_is_not_heard_even_if_it_keeps_sending() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.habits("trunk", |h| h.keep_sending = true);
    for way in [Direction::SendOnly, Direction::Inactive] {
        w.hold(inn, way);
        let heard = w.hears(ear);
        assert!(!heard.contains(&800), "a held caller is heard ({way:?})");
        assert_eq!(heard.contains(&440), way == Direction::SendOnly, "what the agent sends is heard ({way:?})");
        w.resume(inn);
        w.hears_exactly(ear, &[440, 800]);
    }
    w.hold_with_null_address(inn);
    let heard = w.hears(ear);
    assert!(!heard.contains(&800), "a held caller is heard (0.0.0.0)");
    w.resume(inn);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_caller_who_holds_is_not_heard_either() {
    let mut w = World::new();
    let (out, _) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.hold(out, Direction::Inactive);
    w.habits("trunk", |h| h.keep_sending = true);
    let heard = w.hears(ear);
    assert!(!heard.contains(&800), "{heard:?}");
    w.habits("trunk", |h| h.keep_sending = false);
    w.resume(out);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn consultation_keeps_the_fork_and_moves_the_ear() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.hears_exactly(ear, &[440, 800]);
    w.habits("trunk", |h| h.keep_sending = true);
    let (consult, colleague) = consult(&mut w, inn);
    w.everyone_hears(&[(ear, &[440, 620]), (consult, &[620]), (colleague, &[440])]);
    assert_eq!(w.live()[0].focus, Focus::Consult);
    w.hang_up(consult);
    w.until_ended(colleague);
    w.resume(inn);
    w.hears_exactly(ear, &[440, 800]);
    assert_eq!(w.live()[0].focus, Focus::Talk);
    assert_eq!(w.state(ear), State::Up);
    w.no_call("sue", SECOND);
    w.until_counted(&request.id, 1);
    w.hang_up(out);
    w.until_ended(ear);
    assert_eq!(w.request(&request.id).calls.used, 1, "one interaction, one count");
    assert_eq!(w.listenings().count(), 1);
}

#[test]
fn the_ear_moves_within_200_ms_and_its_stream_goes_on() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.run_for(SECOND);
    let start = w.now();
    let (consult, _) = consult(&mut w, inn);
    let up = w.now();
    w.run_for(BLINK + Duration::from_millis(150));
    assert_eq!(w.heard_since(ear, up + BLINK), [440, 620]);
    w.hold(consult, Direction::SendOnly);
    w.resume(inn);
    let back = w.now();
    w.run_for(BLINK + Duration::from_millis(150));
    assert_eq!(w.heard_since(ear, back + BLINK), [440, 800]);
    w.is_one_stream(ear, start);
}

#[test]
fn swapping_between_caller_and_colleague_moves_the_ear_each_time() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    let (consult, _) = consult(&mut w, inn);
    for _ in 0..3 {
        w.hears_exactly(ear, &[440, 620]);
        w.hold(consult, Direction::SendOnly);
        w.resume(inn);
        w.hears_exactly(ear, &[440, 800]);
        w.hold(inn, Direction::SendOnly);
        w.resume(consult);
    }
    w.hears_exactly(ear, &[440, 620]);
}

#[test]
fn a_consultation_that_the_colleague_ends_leaves_the_held_caller_silent() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.habits("trunk", |h| h.keep_sending = true);
    let (consult, colleague) = consult(&mut w, inn);
    w.hang_up(colleague);
    w.until_ended(consult);
    assert!(!w.hears(ear).contains(&800), "still held");
    w.resume(inn);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn early_media_of_a_consultation_is_heard_as_the_agent_hears_it() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.habits("bo", |h| {
        h.early_media = true;
        h.on_call = OnCall::Ring;
    });
    w.hold(inn, Direction::SendOnly);
    let consult = w.dial_number("anna", "1002");
    let ringing = w.next_call("bo");
    w.until_state(consult, State::Ringing, SECOND);
    let heard = w.hears(ear);
    assert!(heard.contains(&620) && !heard.contains(&800), "{heard:?}");
    w.answer(ringing);
    w.until_up(consult);
    w.hears_exactly(ear, &[440, 620]);
}

#[test]
fn a_consultation_that_only_rings_triggers_nothing() {
    let mut w = World::new();
    w.order("bo", user("sam")).calls(1).accepted();
    let (_, inn) = w.call_agent();
    w.on_call("bo", OnCall::Ring);
    w.hold(inn, Direction::SendOnly);
    w.dial_number("anna", "1002");
    w.next_call("bo");
    w.no_call("sam", 3 * SECOND);
}

#[test]
fn a_received_consultation_triggers_nothing_until_the_transfer() {
    let mut w = World::new();
    w.order("bo", user("sam")).calls(1).accepted();
    let (out, inn) = w.call_agent();
    let (consult, colleague) = consult(&mut w, inn);
    w.no_call("sam", 3 * SECOND);
    assert_eq!(w.refer_replacing(inn, "1002", consult), 202);
    let ear = w.answered("sam");
    w.everyone_hears(&[(out, &[620]), (colleague, &[800]), (ear, &[620, 800])]);
}

#[test]
fn an_unmonitorable_colleague_is_not_heard() {
    let mut w = World::with(|s| s.agent("bo").monitorable = false);
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    let (consult, colleague) = consult(&mut w, inn);
    w.everyone_hears(&[(ear, &[]), (consult, &[620]), (colleague, &[440])]);
    w.hang_up(consult);
    w.resume(inn);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_colleague_made_unmonitorable_during_the_consultation_falls_silent() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    consult(&mut w, inn);
    w.hears_exactly(ear, &[440, 620]);
    let change = AgentChange { monitorable: Some(false), ..AgentChange::default() };
    w.command("platform", Command::PutAgent { id: "bo".into(), agent: change }).unwrap();
    w.hears_exactly(ear, &[]);
}

#[test]
fn a_conference_in_the_agents_phone_doubles_no_voice() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    let (_, colleague) = consult(&mut w, inn);
    w.habits("anna", |h| h.conference = true);
    w.resume(inn);
    w.everyone_hears(&[(out, &[440, 620]), (colleague, &[440, 800]), (ear, &[440, 620, 800])]);
    assert_eq!(w.live()[0].focus, Focus::Conference);
    // Anna's voice reaches the ear once, at the level at which the caller gets it.
    let from = w.now();
    w.run_for(SECOND);
    let power = |leg| {
        let pcm = w.call(leg).ears().pcm(from, w.now());
        phone::ears::level(&pcm)
    };
    // 440 + 620 + 800 at equal strength are 1.8 dB above 440 + 620; doubled ones would be 3 dB and more above.
    let difference = power(ear) - power(out);
    assert!((0.5..2.6).contains(&difference), "{difference} dB");
}

#[test]
fn the_ear_stays_with_the_first_call_and_moves_only_while_it_is_held() {
    let mut w = World::new();
    let (_, first) = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.until_counted(&request.id, 1);
    // A second caller, who says 1050 Hz.
    let second = w.dial("trunk", World::inbound("1001"));
    let second_end = w.answered("anna");
    w.act(second, |p, _, call, _| p.say(call, Voice::Tone(1050.0)));
    w.hears_exactly(ear, &[440, 800]);
    w.hold(first, Direction::SendOnly);
    w.hears_exactly(ear, &[440, 1050]);
    w.resume(first);
    w.hears_exactly(ear, &[440, 800]);
    w.hold(first, Direction::SendOnly);
    w.run_for(5 * SECOND);
    assert_eq!(w.request(&request.id).calls.used, 2, "each interaction is counted once when heard");
    w.no_call("sue", SECOND);
    w.hang_up(second_end);
    w.until_ended(second);
    w.resume(first);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn a_second_call_with_the_same_interaction_id_is_a_consultation() {
    let mut w = World::new();
    let inbound = || World::inbound("1001").header("X-Interaction-Id", "case-7");
    let (_, first) = w.connect("trunk", inbound(), "anna");
    assert_eq!(w.only_call().interaction, "case-7");
    let (request, ear) = w.listen("anna", "sue");
    w.until_counted(&request.id, 1);
    let second = w.dial("trunk", inbound());
    let second_end = w.answered("anna");
    w.act(second, |p, _, call, _| p.say(call, Voice::Tone(1050.0)));
    w.hold(first, Direction::SendOnly);
    w.hears_exactly(ear, &[440, 1050]);
    w.run_for(5 * SECOND);
    assert_eq!(w.request(&request.id).calls.used, 1, "one interaction, one count");
    assert_eq!(w.listenings().count(), 1);
    w.hang_up(second_end);
    w.resume(first);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn codec_address_and_source_may_change_and_the_stream_goes_on() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.run_for(SECOND);
    let start = w.now();
    w.change_codec(inn, Codec::Pcma);
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    w.act(inn, |p, _, call, o| p.move_media(call, o));
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    w.act(out, |p, _, call, _| p.restart_stream(call));
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    let cseq = w.act(out, |p, now, call, o| p.update(now, call, Direction::SendRecv, o));
    assert_eq!(w.answer_to(out, cseq).status, 200);
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    w.is_one_stream(ear, start);
}

#[test]
fn a_side_that_sends_nothing_is_silence_and_told_after_ten_seconds() {
    let mut w = World::new();
    let (_, _) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.run_for(SECOND);
    w.cut_media("trunk");
    w.hears_exactly(ear, &[440]);
    w.run_for(11 * SECOND);
    assert_eq!(w.model.count(EventName::AudioOneWay), 1);
    w.hears_exactly(ear, &[440]);
    assert_eq!(w.live().len(), 1, "never an end");
}

#[test]
fn only_answered_calls_are_forked() {
    let mut w = World::new();
    w.order("anna", user("sue")).calls(1).accepted();
    w.habits("anna", |h| {
        h.early_media = true;
        h.on_call = OnCall::Ring;
    });
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call("anna");
    w.hears_exactly(out, &[440]);
    w.no_call("sue", 2 * SECOND);
    w.answer(inn);
    let ear = w.answered("sue");
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn the_shield_silences_every_listener_until_it_is_turned_off() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (request, sue) = w.listen("anna", "sue");
    let (_, sam) = w.listen("anna", "sam");
    let call = w.only_call().id.clone();
    assert!(w.shield(&call, true).shielded);
    w.everyone_hears(&[(sue, &[]), (sam, &[]), (out, &[440]), (inn, &[800])]);
    assert!(w.live().iter().all(|l| l.shielded));
    let heard = w.live()[0].heard_ms;
    w.run_for(5 * SECOND);
    assert!(w.live()[0].heard_ms <= heard + 1000, "shielded time does not count as heard");
    assert_eq!(w.request(&request.id).calls.used, 0);
    // A listener who comes later is shielded too, and so is a consultation.
    let (_, admin) = w.listen("anna", "admin");
    w.hears_exactly(admin, &[]);
    let (consult, _) = consult(&mut w, inn);
    w.everyone_hears(&[(sue, &[]), (sam, &[])]);
    w.hang_up(consult);
    w.resume(inn);
    w.shield(&call, false);
    w.everyone_hears(&[(sue, &[440, 800]), (sam, &[440, 800]), (admin, &[440, 800])]);
    assert_eq!(w.model.count(EventName::CallShielded), 2);
}

#[test]
fn the_shield_can_end_by_itself() {
    let mut w = World::with(|s| s.settings.shield_timeout = Some(10 * SECOND));
    w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    let call = w.only_call().id.clone();
    w.shield(&call, true);
    w.run_for(5 * SECOND);
    w.hears_exactly(ear, &[]);
    w.run_for(5 * SECOND);
    w.hears_exactly(ear, &[440, 800]);
}

#[test]
fn deleting_the_request_hangs_up_the_listener() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.delete(&request.id);
    w.until_state(ear, State::Ended, BLINK);
    w.until_ended_with(EndReason::Deleted);
    assert_eq!(w.request(&request.id).state, RequestState::Deleted);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn deleting_the_request_stops_the_ringing() {
    let mut w = World::new();
    w.call_agent();
    w.on_call("sue", OnCall::Ring);
    let request = w.order("anna", user("sue")).calls(1).accepted();
    let ear = w.next_call("sue");
    w.run_for(SECOND);
    w.delete(&request.id);
    w.until_state(ear, State::Ended, BLINK);
    assert_eq!(w.call(ear).received_count(&Method::Cancel), 1);
    w.until_ended_with(EndReason::Deleted);
}

#[test]
fn a_listening_can_be_hung_up_alone() {
    let mut w = World::new();
    w.call_agent();
    let (request, ear) = w.listen("anna", "sue");
    w.run_for(BLINK);
    let id = w.live()[0].id.clone();
    w.command("admin", Command::HangUp { listening: id }).unwrap();
    w.until_ended(ear);
    w.until_ended_with(EndReason::Deleted);
    assert_ne!(w.request(&request.id).state, RequestState::Deleted, "the request stays");
}

#[test]
fn a_listening_outlives_until_and_the_request_expires_then() {
    let mut w = World::new();
    let (out, _) = w.call_agent();
    let request = w.order("anna", user("sue")).calls(5).until_in(5).accepted();
    let ear = w.answered("sue");
    w.run_for(10 * SECOND);
    w.hears_exactly(ear, &[440, 800]);
    assert_ne!(w.request(&request.id).state, RequestState::Expired);
    w.hang_up(out);
    w.until_ended(ear);
    w.until_request(&request.id, RequestState::Expired);
}

#[test]
fn keys_of_the_call_do_not_reach_the_listener() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.run_for(SECOND);
    let from = w.now();
    w.act(out, |p, _, call, _| p.press(call, 4, 2 * SECOND));
    w.run_for(Duration::from_millis(1_500));
    assert_eq!(w.call(inn).ears().digits, [4]);
    assert!(w.call(ear).ears().digits.is_empty(), "an event reached the listener");
    assert_eq!(w.heard_since(ear, from + BLINK), [440], "nothing but the agent's voice");
    w.is_one_stream(ear, from);
}
