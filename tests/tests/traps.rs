//! What tripped others (their trackers' numbers are in the names' comments), and bad networks.

use std::time::Duration;

use engine::view::EndReason;
use phone::{Dial, OnCall, State};
use signalling::message::{HeaderName, Method};
use signalling::sdp::Direction;
use sim::{Quality, World, user};

const SECOND: Duration = Duration::from_secs(1);

/// siphon-sip 236, 258: ACK sent to our own rewritten Contact, or without Route.
#[test]
fn the_ack_to_a_2xx_reaches_the_phone_that_answered() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    w.run_for(5 * SECOND);
    assert_eq!(w.phone("anna").pending(), 0, "its 200 OK is acknowledged");
    assert_eq!(w.state(inn), State::Up);
}

/// siphon-sip 281: `replaces` not announced.
#[test]
fn replaces_is_announced_to_both_parties() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let announced =
        |m: &signalling::message::Message| m.values(&HeaderName::Supported).any(|v| v.eq_ignore_ascii_case("replaces"));
    assert!(announced(w.call(inn).invite().unwrap()));
    let answer = w.phone("trunk").log().iter().find(|l| !l.sent && l.message.status() == 200).unwrap();
    assert!(announced(&answer.message));
}

/// livekit/sip 779, diago 125: hold answered sendrecv.
#[test]
fn hold_is_answered_with_the_matching_direction() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    for (offered, answered) in [(Direction::SendOnly, Direction::RecvOnly), (Direction::Inactive, Direction::Inactive)]
    {
        w.hold(inn, offered);
        assert_eq!(w.call(inn).remote_sdp().unwrap().direction(), answered);
        w.resume(inn);
        assert_eq!(w.call(inn).remote_sdp().unwrap().direction(), Direction::SendRecv);
    }
}

/// freeswitch 846: late offer on hold.
#[test]
fn a_late_offer_while_held_takes_nobody_off_hold() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.hold(inn, Direction::Inactive);
    let cseq = w.act(inn, |p, now, call, o| p.reinvite_late(now, call, o));
    assert_eq!(w.answer_to(inn, cseq).status, 200);
    w.everyone_hears(&[(out, &[]), (inn, &[])]);
    w.resume(inn);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

/// siphon-sip 345, drachtio-server 318: glare.
#[test]
fn crossing_re_invites_settle() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.act(out, |p, now, call, o| p.hold(now, call, Direction::SendOnly, o));
    w.act(inn, |p, now, call, o| p.hold(now, call, Direction::SendOnly, o));
    w.run_for(15 * SECOND);
    for leg in [out, inn] {
        assert_eq!(w.call(leg).answers().last().map(|a| a.status), Some(200), "{:?}", w.call(leg).answers());
        w.resume(leg);
    }
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

/// siphon-sip 295: final NOTIFY and BYE race.
#[test]
fn a_bye_that_crosses_the_final_notify_leaves_nothing() {
    for after in [0, 1, 2, 3, 5, 10, 20] {
        let mut w = World::new();
        let (out, inn) = w.call_agent();
        w.refer(inn, "1002");
        let target = w.next_call("bo");
        w.until_up(target);
        w.run_for(Duration::from_millis(after));
        w.hang_up(inn);
        w.run_for(3 * SECOND);
        assert_eq!((w.state(out), w.state(target)), (State::Up, State::Up), "after {after} ms");
        w.everyone_hears(&[(out, &[620]), (target, &[800])]);
    }
}

/// siphon-sip 279: Referred-By lost.
#[test]
fn the_target_sees_by_whom_it_was_referred() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    w.refer(inn, "1002");
    let target = w.answered("bo");
    let referred = w.call(target).invite().unwrap().header(&HeaderName::ReferredBy).map(str::to_owned);
    assert!(referred.as_deref().is_some_and(|v| v.contains("anna")), "{referred:?}");
}

/// opensips 3137: a re-INVITE while the transfer is under way.
#[test]
fn a_hold_during_the_transfer_does_not_break_it() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.on_call("bo", OnCall::Answer { after: 2 * SECOND });
    w.refer(inn, "1002");
    w.hold(inn, Direction::SendOnly);
    let target = w.answered("bo");
    w.run_for(3 * SECOND);
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
}

/// drachtio-server 480: CANCEL races the answer.
#[test]
fn a_cancel_that_crosses_the_answer_leaves_nothing() {
    for ms in 48..56 {
        let mut w = World::new();
        let out = w.dial("trunk", World::inbound("1001"));
        w.run_for(Duration::from_millis(ms));
        w.hang_up(out);
        w.run_for(2 * SECOND);
        assert_eq!(w.state(out), State::Ended, "{ms} ms");
        let inn = w.next_call("anna");
        w.until_ended(inn);
    }
}

/// The same for a listener: CANCEL crosses the 200 OK, which is acknowledged and ended.
#[test]
fn a_listener_who_answers_too_late_is_hung_up() {
    for ms in 0..5 {
        let mut w = World::new();
        let (out, _) = w.call_agent();
        w.on_call("sue", OnCall::Ring);
        w.order("anna", user("sue")).calls(1).accepted();
        let ear = w.next_call("sue");
        w.run_for(SECOND);
        w.hang_up(out);
        w.run_for(Duration::from_millis(ms));
        w.answer(ear);
        w.until_ended(ear);
        w.until_ended_with(EndReason::CallEnded);
    }
}

/// rtpengine 765, drachtio-freeswitch-modules 47: a re-INVITE breaks the fork.
#[test]
fn many_re_invites_leave_the_fork_alone() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.run_for(SECOND);
    let start = w.now();
    for i in 0..20 {
        w.hold(if i % 2 == 0 { inn } else { out }, Direction::SendOnly);
        w.resume(if i % 2 == 0 { inn } else { out });
    }
    w.hears_exactly(ear, &[440, 800]);
    w.is_one_stream(ear, start);
}

/// freeswitch 2321: seconds of slip after a long hold.
#[test]
fn nothing_slips_after_a_long_hold() {
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.hold(inn, Direction::Inactive);
    w.run_for(Duration::from_secs(600));
    w.resume(inn);
    let back = w.now();
    w.run_for(Duration::from_millis(400));
    assert_eq!(w.heard_since(ear, back + Duration::from_millis(200)), [440, 800]);
    w.hold(inn, Direction::Inactive);
    let held = w.now();
    w.run_for(Duration::from_millis(500));
    assert_eq!(
        w.heard_since(ear, held + Duration::from_millis(200)),
        [] as [u16; 0],
        "what was queued is not played after"
    );
}

/// asterisk 173, 861: one late direction flushes both.
#[test]
fn one_bad_direction_does_not_spoil_the_other() {
    let mut w = World::new();
    let (_, _) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.cut_media("trunk");
    w.run_for(SECOND);
    let start = w.now();
    w.run_for(2 * SECOND);
    w.is_one_stream(ear, start);
    let pcm = w.call(ear).ears().pcm(start, w.now());
    let loud = pcm.chunks_exact(160).filter(|frame| phone::ears::level(frame) > -40.0).count();
    assert!(loud * 160 >= pcm.len() * 99 / 100, "{loud} of {} frames carry the agent", pcm.len() / 160);
}

#[test]
fn calls_and_listenings_survive_a_bad_network() {
    for seed in 1..=6 {
        let mut w = World::with(|s| {
            s.seed = seed;
            s.sip = Quality { latency: 10 * MS, jitter: 40 * MS, loss: 0.15, duplicates: 0.1 };
            s.rtp = Quality { latency: 10 * MS, jitter: 15 * MS, loss: 0.02, duplicates: 0.01 };
        });
        let out = w.dial("trunk", World::inbound("1001"));
        let inn = w.next_call_within("anna", 33 * SECOND);
        w.until_state(inn, State::Up, 33 * SECOND);
        w.until_state(out, State::Up, 33 * SECOND);
        w.order("anna", user("sue")).calls(1).accepted();
        let ear = w.next_call_within("sue", 33 * SECOND);
        w.until_state(ear, State::Up, 33 * SECOND);
        w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
        w.hold(inn, Direction::SendOnly);
        let consult = w.dial("anna", Dial::to("sip:1002@medlytt.test"));
        let colleague = w.next_call_within("bo", 33 * SECOND);
        w.until_state(consult, State::Up, 33 * SECOND);
        w.until_state(colleague, State::Up, 33 * SECOND);
        w.everyone_hears(&[(ear, &[440, 620])]);
        assert_eq!(w.refer_replacing(inn, "1002", consult), 202, "seed {seed}");
        w.until_state(ear, State::Ended, 33 * SECOND);
        w.until_ended_within(EndReason::AgentTransferred, 33 * SECOND);
        w.run_for(5 * SECOND);
        w.everyone_hears(&[(out, &[620]), (colleague, &[800])]);
        assert_eq!(w.call(ear).received_count(&Method::Invite), 1);
    }
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn repeated_requests_change_nothing() {
    let mut w = World::with(|s| s.sip = Quality { duplicates: 1.0, ..Quality::default() });
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    w.refer(inn, "1002");
    let target = w.answered("bo");
    w.until_ended(ear);
    w.run_for(3 * SECOND);
    w.everyone_hears(&[(out, &[620]), (target, &[800])]);
    assert_eq!(w.phone("bo").calls().count(), 1);
    assert_eq!(w.phone("sue").calls().count(), 1);
}
