//! Two phones talk to each other without anything between them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used)]

#[path = "air/mod.rs"]
mod air;

use std::time::Duration;

use air::Pair;
use phone::{Codec, Dial, OnCall, State};
use signalling::message::Method;
use signalling::sdp::Direction;

#[test]
fn a_call_is_answered_heard_and_ended() {
    let mut p = Pair::new();
    let (a, b) = p.call();
    assert_eq!((p.state(0, a), p.state(1, b)), (State::Up, State::Up));
    assert_eq!(p.phones[0].call(a).unwrap().provisional(), [180]);
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    p.act(1, |p, now, out| p.hang_up(now, b, out));
    p.run(Duration::from_secs(40));
    assert_eq!((p.state(0, a), p.state(1, b)), (State::Ended, State::Ended));
    assert_eq!(p.phones[0].pending() + p.phones[1].pending(), 0);
    assert!(p.phones.iter().all(|p| p.wake_at().is_none()), "nothing is due any more");
}

#[test]
fn every_way_of_hold_silences_and_resume_gives_it_back() {
    let mut p = Pair::new();
    let (a, b) = p.call();
    for way in [Direction::SendOnly, Direction::Inactive] {
        p.act(0, |p, now, out| p.hold(now, a, way, out));
        assert_eq!(p.hears(0, a), [] as [f32; 0], "held {way:?}");
        assert_eq!(p.hears(1, b).is_empty(), way == Direction::Inactive);
        p.act(0, |p, now, out| p.resume(now, a, out));
        assert_eq!(p.hears(0, a), [620.0]);
    }
    p.act(0, |p, now, out| p.hold_with_null_address(now, a, out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![], vec![]));
    p.act(1, |p, _, _| p.habits_mut().keep_sending = true);
    assert_eq!(p.hears(0, a), [620.0], "a phone that keeps sending goes on");
    p.act(1, |p, _, _| p.habits_mut().keep_sending = false);
    p.act(0, |p, now, out| p.resume(now, a, out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
}

#[test]
fn late_offers_go_both_ways() {
    let mut p = Pair::new();
    let a = p.act(0, |p, now, out| p.dial(now, Dial::to("sip:bo@example").late_offer(), out));
    p.run(Duration::from_millis(500));
    let b = p.last(1);
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    let cseq = p.act(1, |p, now, out| p.reinvite_late(now, b, out));
    p.run(Duration::from_millis(200));
    assert_eq!(p.phones[1].call(b).unwrap().answer_to(cseq).unwrap().status, 200);
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
}

#[test]
fn codecs_addresses_and_updates_change_without_a_break() {
    let mut p = Pair::new();
    let (a, b) = p.call();
    p.act(0, |p, now, out| p.change_codecs(now, a, &[Codec::Pcma], out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    assert_eq!(p.phones[1].call(b).unwrap().session().codec(), Some(Codec::Pcma));
    p.act(0, |p, _, out| p.move_media(a, out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    p.act(1, |p, now, out| p.update(now, b, Direction::SendOnly, out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![]));
}

#[test]
fn refusals_are_told_and_cancel_stops_the_ringing() {
    let mut p = Pair::new();
    for (habit, status) in [
        (OnCall::Reject { status: 486 }, 486),
        (OnCall::Reject { status: 603 }, 603),
        (OnCall::Redirect { to: "sip:else@example".into() }, 302),
    ] {
        p.phones[1].habits_mut().on_call = habit;
        let (a, b) = p.call();
        assert_eq!((p.state(0, a), p.state(1, b)), (State::Ended, State::Ended));
        assert_eq!(p.phones[0].call(a).unwrap().status(), Some(status));
    }
    p.phones[1].habits_mut().on_call = OnCall::Ring;
    let (a, b) = p.call();
    assert_eq!((p.state(0, a), p.state(1, b)), (State::Ringing, State::Incoming));
    p.act(0, |p, now, out| p.hang_up(now, a, out));
    p.run(Duration::from_secs(1));
    assert_eq!((p.state(0, a), p.state(1, b)), (State::Ended, State::Ended));
    assert_eq!(p.phones[0].call(a).unwrap().status(), Some(487));
    p.phones[1].habits_mut().on_call = OnCall::Ignore;
    let a = p.act(0, |p, now, out| p.dial(now, Dial::to("sip:bo@example"), out));
    p.run(Duration::from_secs(33));
    assert_eq!(p.phones[0].call(a).unwrap().status(), Some(408));
}

#[test]
fn every_third_message_may_be_lost() {
    let mut p = Pair::new();
    p.lose = Some(3);
    for _ in 0..5 {
        let a = p.act(0, |p, now, out| p.dial(now, Dial::to("sip:bo@example"), out));
        p.run(Duration::from_secs(20));
        let b = p.last(1);
        assert_eq!((p.state(0, a), p.state(1, b)), (State::Up, State::Up));
        p.act(0, |p, now, out| p.hang_up(now, a, out));
        p.run(Duration::from_secs(40));
        assert_eq!((p.state(0, a), p.state(1, b)), (State::Ended, State::Ended));
        assert_eq!(p.phones[0].pending() + p.phones[1].pending(), 0);
    }
    assert_eq!(p.phones[1].calls().count(), 5, "a repeated INVITE is no new call");
}

#[test]
fn crossing_re_invites_are_refused_and_one_is_tried_again() {
    let mut p = Pair::new();
    let (a, b) = p.call();
    p.act(0, |p, now, out| p.hold(now, a, Direction::SendOnly, out));
    p.act(1, |p, now, out| p.hold(now, b, Direction::SendOnly, out));
    p.run(Duration::from_millis(100));
    assert_eq!(p.phones[0].call(a).unwrap().answers()[0].status, 491);
    assert_eq!(p.phones[1].call(b).unwrap().answers()[0].status, 491);
    p.run(Duration::from_secs(10));
    for (who, call) in [(0, a), (1, b)] {
        assert_eq!(p.phones[who].call(call).unwrap().answers()[1].status, 200);
    }
}

#[test]
fn keys_reports_info_and_a_refer_pass() {
    let mut p = Pair::new();
    p.phones[0].habits_mut().rtcp = true;
    let (a, b) = p.call();
    p.phones[0].press(a, 5, Duration::from_millis(100));
    let info = p.act(0, |p, now, out| p.send_info(now, a, "application/dtmf-relay", "Signal=5\r\n", out));
    let refer = p.act(0, |p, now, out| p.refer(now, a, "sip:cia@example", out));
    p.run(Duration::from_secs(1));
    assert_eq!(p.phones[1].call(b).unwrap().ears().digits, [5]);
    assert!(!p.phones[1].call(b).unwrap().ears().rtcp.is_empty());
    assert_eq!(p.phones[0].call(a).unwrap().answer_to(info).unwrap().status, 200);
    assert_eq!(p.phones[0].call(a).unwrap().answer_to(refer).unwrap().status, 603, "a phone calls nobody for others");
    assert_eq!(p.phones[1].call(b).unwrap().received_count(&Method::Refer), 1);
    assert_eq!(p.hears(1, b), [440.0], "the voice is back after the key");
}
