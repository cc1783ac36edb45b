//! SEMANTICS.md, "Who may do what in SIP".

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::time::Duration;

use phone::{Dial, Kind, State};
use signalling::message::{HeaderName, Method};
use signalling::sdp::Direction;
use sim::World;

const SECOND: Duration = Duration::from_secs(1);

/// A phone that nobody knows.
fn stranger(w: &mut World) {
    let mut settings = w.phone("bo").settings().clone();
    settings.user = "stranger".into();
    settings.local = "127.0.0.9:5060".parse().unwrap();
    w.add_phone(settings);
}

fn final_status(w: &mut World, name: &str, dial: Dial) -> u16 {
    let leg = w.dial(name, dial);
    w.until_ended(leg);
    w.call(leg).status().unwrap()
}

#[test]
fn a_stranger_is_forbidden() {
    let mut w = World::new();
    stranger(&mut w);
    assert_eq!(final_status(&mut w, "stranger", Dial::to("sip:1001@medlytt.test")), 403);
    w.no_call("anna", SECOND);
}

#[test]
fn a_stranger_who_registers_is_challenged_and_gets_no_further() {
    let mut w = World::new();
    stranger(&mut w);
    let status = w.try_register("stranger", 60);
    assert!(status == 401 || status == 403, "{status}");
}

#[test]
fn a_wrong_password_registers_nobody() {
    let mut w = World::new();
    let mut settings = w.phone("anna").settings().clone();
    settings.local = "127.0.0.9:5062".parse().unwrap();
    settings.password = Some("guessed".into());
    w.add_phone_as("thief", settings);
    let status = w.try_register("thief", 60);
    assert!(status == 401 || status == 403, "{status}");
    w.call_agent();
    w.no_call("thief", SECOND);
}

#[test]
fn unknown_and_absent_numbers_from_a_trunk() {
    let mut w = World::new();
    assert_eq!(final_status(&mut w, "trunk", World::inbound("9999")), 404);
    assert_eq!(w.try_register("anna", 0), 200);
    assert_eq!(final_status(&mut w, "trunk", World::inbound("1001")), 480);
}

#[test]
fn a_phone_with_a_password_is_challenged_outside_dialogs() {
    let mut w = World::new();
    let (out, _) = w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo");
    let challenged = w
        .phone("anna")
        .log()
        .iter()
        .any(|l| !l.sent && l.message.method() == Method::Invite && matches!(l.message.status(), 401 | 407));
    assert!(challenged, "the INVITE was not challenged");
    let before = w.phone("anna").log().len();
    w.hold(out, Direction::SendOnly);
    let again = w.phone("anna").log()[before..].iter().any(|l| matches!(l.message.status(), 401 | 407));
    assert!(!again, "inside a dialog, its ids decide");
}

#[test]
fn a_phone_with_another_password_calls_nobody() {
    let mut w = World::new();
    let mut settings = w.phone("anna").settings().clone();
    settings.local = "127.0.0.9:5062".parse().unwrap();
    settings.password = Some("guessed".into());
    w.add_phone_as("thief", settings);
    let status = final_status(&mut w, "thief", Dial::to("sip:1002@medlytt.test"));
    assert!(matches!(status, 401 | 403 | 407), "{status}");
    w.no_call("bo", SECOND);
}

#[test]
fn a_caller_transfers_nobody() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    assert_eq!(w.refer(out, "1002"), 603);
    w.no_call("bo", SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn a_phone_that_is_no_party_takes_no_place() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let dialog = w.call(inn).replaces();
    let status = final_status(&mut w, "bo", Dial::to("sip:1001@medlytt.test").replacing(&dialog));
    assert!(matches!(status, 403 | 481), "{status}");
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn replaces_of_nothing_is_481() {
    let mut w = World::new();
    let dial = Dial::to("sip:1001@medlytt.test").replacing("none@nowhere;to-tag=a;from-tag=b");
    assert_eq!(final_status(&mut w, "trunk", dial), 481);
}

#[test]
fn an_unknown_extension_is_refused_by_name() {
    let mut w = World::new();
    let leg = w.dial("trunk", World::inbound("1001").header("Require", "telepathy"));
    w.until_ended(leg);
    assert_eq!(w.call(leg).status(), Some(420));
    let refusal = w.phone("trunk").log().iter().rev().find(|l| l.message.status() == 420).unwrap();
    assert_eq!(refusal.message.header(&HeaderName::Unsupported), Some("telepathy"));
}

#[test]
fn our_abilities_are_shown_and_the_peers_never_copied() {
    let mut w = World::new();
    let (_, inn) = w.connect("trunk", World::inbound("1001").header("Supported", "telepathy"), "anna");
    let invite = w.call(inn).invite().unwrap();
    let supported: Vec<&str> = invite.values(&HeaderName::Supported).collect();
    assert!(supported.contains(&"replaces"), "{supported:?}");
    assert!(!supported.contains(&"telepathy"), "{supported:?}");
}

#[test]
fn a_registered_phone_is_reached_by_its_flow_and_not_by_its_contact() {
    // The Contact shows an address where nobody lives.
    let mut w = World::new();
    let (_, inn) = w.call_agent();
    let invite =
        w.wire().iter().find(|m| m.to == "127.0.0.3:5060".parse::<SocketAddr>().unwrap()).expect("it was reached");
    assert_eq!(invite.to.port(), 5060);
    assert_eq!(w.state(inn), State::Up);
}

#[test]
fn a_dead_call_is_ended_after_a_minute() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.run_for(2 * SECOND);
    w.cut_media("trunk");
    w.cut_media("anna");
    w.run_for(50 * SECOND);
    assert_eq!((w.state(out), w.state(inn)), (State::Up, State::Up));
    w.run_for(15 * SECOND);
    for leg in [out, inn] {
        assert_eq!(w.state(leg), State::Ended);
        assert!(w.call(leg).bye().unwrap().header(&HeaderName::Reason).is_some());
    }
    w.run_for(SECOND);
    let end = w.disk.calls.values().next().and_then(|c| c.end.clone()).unwrap();
    assert_eq!((end.cause.as_str(), end.by.as_str()), ("rtp-timeout", "engine"));
}

#[test]
fn a_held_call_without_media_lives_an_hour() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.run_for(2 * SECOND);
    w.hold(inn, Direction::Inactive);
    w.run_for(Duration::from_secs(3_500));
    assert_eq!((w.state(out), w.state(inn)), (State::Up, State::Up));
    w.resume(inn);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    w.hold(inn, Direction::Inactive);
    w.run_for(Duration::from_secs(3_700));
    assert_eq!((w.state(out), w.state(inn)), (State::Ended, State::Ended));
}

#[test]
fn a_call_that_never_had_media_is_not_ended() {
    let mut w = World::new();
    w.cut_media("trunk");
    w.cut_media("anna");
    let (out, inn) = w.call_agent();
    w.run_for(Duration::from_secs(120));
    assert_eq!((w.state(out), w.state(inn)), (State::Up, State::Up));
}

#[test]
fn media_from_a_stranger_is_not_heard() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    w.run_for(SECOND);
    let port = w.call(inn).remote_sdp().unwrap().rtp().unwrap();
    let packet = phone::rtp::Packet {
        payload_type: 0,
        marker: false,
        sequence: 1,
        timestamp: 1,
        ssrc: 0xbad,
        payload: &[0; 160],
    };
    for _ in 0..50 {
        w.send_packet("127.0.0.9:4000".parse().unwrap(), port, packet.write());
        w.run_for(Duration::from_millis(20));
    }
    assert!(w.call(out).ears().packets().all(|p| p.ssrc != 0xbad), "RTPBleed: a stranger's packet was relayed");
    assert!(w.media_count(|counters| counters.rtp_foreign) >= 50);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn behind_nat_media_latches_once_to_the_signalling_address() {
    let mut w = World::with(|s| s.agent("anna").phone.nat = true);
    // Anna's router gives her media another port than the one that she describes.
    w.translate_media("anna", 7_000);
    let (out, inn) = w.call_agent();
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    // A second source at the same address does not take over.
    let port = w.call(inn).remote_sdp().unwrap().rtp().unwrap();
    let packet = phone::rtp::Packet {
        payload_type: 0,
        marker: false,
        sequence: 1,
        timestamp: 1,
        ssrc: 0xbad,
        payload: &[0; 160],
    };
    w.send_packet("127.0.0.3:9".parse().unwrap(), port, packet.write());
    w.run_for(SECOND);
    assert!(w.call(out).ears().packets().all(|p| p.ssrc != 0xbad));
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}

#[test]
fn without_nat_another_port_is_a_stranger() {
    let mut w = World::new();
    w.translate_media("anna", 7_000);
    let (out, inn) = w.call_agent();
    w.run_for(SECOND);
    assert!(w.hears(out).is_empty(), "media from an address that was never described");
    assert_eq!(w.state(inn), State::Up);
}

#[test]
fn garbage_is_counted_and_answered_or_dropped() {
    let mut w = World::new();
    let (out, inn) = w.call_agent();
    let from: SocketAddr = "127.0.0.2:5060".parse().unwrap();
    for bytes in [
        &b""[..],
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"INVITE",
        b"INVITE sip:1001@medlytt.test SIP/2.0\r\n\r\n",
        b"INVITE sip:1001@medlytt.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:1001@medlytt.test>\r\nCall-ID: x\r\nCSeq: 99999999999999999999 INVITE\r\n\r\n",
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKnobody\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n",
        b"BYE sip:1001@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKbye\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>;tag=2\r\nCall-ID: unknown\r\nCSeq: 1 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
    ] {
        w.send_raw(from, bytes.to_vec());
        w.run_for(Duration::from_millis(10));
    }
    let answered = |w: &World, status: &str| w.wire().iter().any(|m| m.data.starts_with(status.as_bytes()));
    assert!(answered(&w, "SIP/2.0 481"), "an unknown BYE is answered 481");
    w.act(inn, |p, _, call, o| p.inject(call, Kind::Rtp, vec![0xff; 3].into(), o));
    w.act(inn, |p, _, call, o| p.inject(call, Kind::Rtcp, vec![0x80, 200, 0xff, 0xff].into(), o));
    w.run_for(SECOND);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
}
