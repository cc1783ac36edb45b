//! Stories over connections: phones and trunks on TCP, what the end of a connection means, large messages, and what
//! nobody may do with a stream.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use signalling::message::Message;
use signalling::peers::{PeerId, Peers};
use signalling::transport::{ConnectionLimits, Flow, Transport};
use signalling::{Command, Event, Input, Settings};
use support::*;

/// A phone at a port that the system drew.
const REX_TCP: Phone = Phone { user: "rex", addr: "10.0.3.1:41234" };
const REX_AGAIN: Phone = Phone { user: "rex", addr: "10.0.3.1:41999" };
/// The trunk's own connection.
const TRUNK_TCP: Phone = Phone { user: "+4755512345", addr: "10.0.0.9:43210" };

fn listening(settings: &mut Settings) {
    settings.listen = vec![(Transport::Tcp, US.parse().unwrap())];
}

fn net() -> Net {
    Net::with(listening)
}

fn with_peers(change: impl FnOnce(&mut Peers)) -> Net {
    let mut net = net();
    let mut peers = peers();
    change(&mut peers);
    net.order(Command::Peers(Arc::new(peers)));
    net
}

fn tcp_trunk() -> Net {
    with_peers(|peers| peers.trunks[0].host = format!("{};transport=tcp", TRUNK.addr))
}

fn registered(net: &mut Net, phone: Phone) {
    net.open(phone);
    assert_eq!(register(net, phone, "rex", "secret", 300).status(), 200);
}

fn bindings(net: &Net) -> usize {
    let last = net.events.iter().rev().find_map(|event| match event {
        Event::Registered { peer: PeerId(4), bindings } => Some(*bindings),
        _ => None,
    });
    last.expect("rex registered")
}

fn options(n: u32, length: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 203.0.113.66;branch=z9hG4bKo{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: o{n}\r\nCSeq: 1 OPTIONS\r\n{length}\r\n{body}"
    )
}

fn agreed() -> Option<String> {
    Some(sdp(4000, "0", "sendrecv"))
}

/// A call to rex, who answers.
fn call_rex(net: &mut Net, phone: Phone) -> (Call, Call) {
    let mut caller = Call::out(net, TRUNK, "rex", agreed());
    let callee = Call::incoming(net, phone);
    callee.answer(net, agreed());
    net.expect(phone, "ACK");
    caller.established(net);
    (caller, callee)
}

#[test]
fn a_phone_registers_over_tcp_and_is_called_by_its_connection() {
    let mut net = net();
    registered(&mut net, REX_TCP);
    let (mut caller, callee) = call_rex(&mut net, REX_TCP);
    let via = header(&callee.invite, "Via");
    assert!(via.starts_with("SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK"), "{via}");
    assert!(header(&callee.invite, "Contact").ends_with("@192.0.2.1:5060;transport=tcp>"));
    caller.bye(&mut net);
    callee.byed(&mut net);
    assert_eq!(net.connects, [], "a phone opens its connection itself");
    net.assert_clean();
}

#[test]
fn a_dead_connection_is_480_at_once() {
    let mut net = net();
    registered(&mut net, REX_TCP);
    assert_eq!(bindings(&net), 1);
    net.cut(REX_TCP);
    assert_eq!(bindings(&net), 0);
    assert!(!net.core.reachable(PeerId(4)));
    let caller = Call::out(&mut net, TRUNK, "rex", agreed());
    net.expect(TRUNK, "480");
    caller.ack(&mut net, 1, None);
    assert_eq!(net.connects, []);
    net.assert_clean();
}

#[test]
fn a_phone_that_rings_and_loses_its_connection_is_480_at_once() {
    let mut net = net();
    registered(&mut net, REX_TCP);
    Call::out(&mut net, TRUNK, "rex", agreed());
    let callee = Call::incoming(&mut net, REX_TCP);
    callee.ring(&mut net, 180, None);
    net.expect(TRUNK, "180");
    net.cut(REX_TCP);
    net.expect(TRUNK, "480");
    net.assert_clean();
}

#[test]
fn a_call_goes_on_by_the_connection_that_its_phone_opens_next() {
    let mut net = net();
    registered(&mut net, REX_TCP);
    let (mut caller, mut callee) = call_rex(&mut net, REX_TCP);
    net.cut(REX_TCP);
    assert_eq!(net.ended(), [], "media goes on, so does the call");
    registered(&mut net, REX_AGAIN);
    caller.bye(&mut net);
    callee.phone = REX_AGAIN;
    let bye = callee.byed(&mut net);
    assert!(header(&bye, "Via").starts_with("SIP/2.0/TCP "));
    net.assert_clean();
}

#[test]
fn bye_to_a_phone_whose_connection_is_gone_ends_the_leg_at_once() {
    let mut net = net();
    registered(&mut net, REX_TCP);
    let (mut caller, _) = call_rex(&mut net, REX_TCP);
    net.cut(REX_TCP);
    caller.bye(&mut net);
    assert_eq!(net.core.sizes().legs, 0, "nobody waits 32 s for an answer that cannot come");
    net.assert_clean();
}

#[test]
fn a_trunk_has_one_connection_that_is_used_both_ways() {
    let mut net = tcp_trunk();
    let mut one = Call::out(&mut net, ANNA, "+4799999999", agreed());
    assert_eq!(net.connects, [tcp(TRUNK)]);
    net.open(TRUNK);
    let there = Call::incoming(&mut net, TRUNK);
    assert!(header(&there.invite, "Via").starts_with("SIP/2.0/TCP 192.0.2.1:5060;"));
    assert!(header(&there.invite, "Via").ends_with(";rport;alias"));
    assert_eq!(there.invite.request_uri(), "sip:+4799999999@10.0.0.9:5060;transport=tcp");
    assert_eq!(header(&there.invite, "To"), "<sip:+4799999999@10.0.0.9:5060>");
    net.seconds(3);
    net.nothing(TRUNK); // no Timer A on a connection
    there.answer(&mut net, agreed());
    net.expect(TRUNK, "ACK");
    one.established(&mut net);
    let mut back = Call::out(&mut net, TRUNK, "bo", agreed());
    let bo = Call::incoming(&mut net, BO);
    bo.answer(&mut net, agreed());
    net.expect(BO, "ACK");
    back.established(&mut net);
    back.bye(&mut net);
    bo.byed(&mut net);
    one.bye(&mut net);
    there.byed(&mut net);
    assert_eq!(net.connects.len(), 1);
    net.assert_clean();
}

#[test]
fn a_trunk_that_takes_no_connection_is_503_and_left_alone_for_a_while() {
    let mut net = tcp_trunk();
    for (pause, connects) in [(0, 1), (0, 1), (2, 2), (1, 2), (2, 3)] {
        net.seconds(pause);
        let call = Call::out(&mut net, ANNA, "+4799999999", agreed());
        net.cut(TRUNK);
        let answer = net.next(ANNA).expect("an answer at once").status();
        assert!(matches!(answer, 500 | 503), "{answer}");
        call.ack(&mut net, 1, None);
        assert_eq!(net.connects.len(), connects, "after {pause} s");
    }
    assert_eq!(net.counter("connects_paused"), 2);
    net.assert_clean();
}

#[test]
fn a_connection_that_does_not_come_about_is_given_up() {
    let mut net = tcp_trunk();
    Call::out(&mut net, ANNA, "+4799999999", agreed());
    net.seconds(3);
    net.nothing(ANNA);
    net.seconds(2);
    assert_eq!(net.closes, [tcp(TRUNK)]);
    assert!(net.next(ANNA).is_some_and(|answer| answer.status() >= 500));
    net.assert_clean();
}

#[test]
fn a_trunk_that_announces_its_connection_is_reached_by_it() {
    let mut net = tcp_trunk();
    net.open(TRUNK_TCP);
    let via = |host: &str| options(1, "Content-Length: 0\r\n", "").replace("203.0.113.66;", &format!("{host};alias;"));
    net.bytes(TRUNK_TCP, via("10.0.0.9:5060"));
    net.expect(TRUNK_TCP, "200");
    let mut call = Call::out(&mut net, ANNA, "+4799999999", agreed());
    assert_eq!(net.connects, []);
    let there = Call::incoming(&mut net, TRUNK_TCP);
    there.answer(&mut net, agreed());
    net.expect(TRUNK_TCP, "ACK");
    call.established(&mut net);
    // Gone: the next request needs a connection of ours.
    net.cut(TRUNK_TCP);
    call.bye(&mut net);
    assert_eq!(net.connects, [tcp(TRUNK)]);
    net.open(TRUNK);
    net.expect(TRUNK, "BYE");
    net.assert_clean();
}

#[test]
fn nobody_announces_what_is_not_his() {
    let mut net = tcp_trunk();
    let announce = |phone: Phone, host: &str, net: &mut Net| {
        net.open(phone);
        net.bytes(phone, options(1, "Content-Length: 0\r\n", "").replace("203.0.113.66;", &format!("{host};alias;")));
        net.expect(phone, "200");
    };
    announce(STRANGER, "10.0.0.9:5060", &mut net);
    announce(TRUNK_TCP, "10.0.1.1:5060", &mut net);
    Call::out(&mut net, ANNA, "+4799999999", agreed());
    assert_eq!(net.connects, [tcp(TRUNK)]);
    net.nothing(STRANGER);
    net.nothing(TRUNK_TCP);
    net.cut(TRUNK);
    net.assert_clean();
}

#[test]
fn an_answer_whose_connection_is_gone_goes_by_another() {
    let mut net = net();
    net.open(TRUNK_TCP);
    let mut caller = Call::out(&mut net, TRUNK_TCP, "anna", agreed());
    let agent = Call::incoming(&mut net, ANNA);
    net.cut(TRUNK_TCP);
    agent.answer(&mut net, agreed());
    // The sent-by of this request is the port that its connection had.
    assert_eq!(net.connects, [tcp(TRUNK_TCP)]);
    net.open(TRUNK_TCP);
    caller.established(&mut net);
    caller.bye(&mut net);
    net.expect(ANNA, "ACK");
    agent.byed(&mut net);
    assert_eq!(net.counter("responses_by_another_connection"), 1);
    net.assert_clean();
}

#[test]
fn nobody_unknown_makes_us_connect() {
    let mut net = net();
    net.open(STRANGER);
    net.bytes(STRANGER, options(1, "Content-Length: 0\r\n", "").replace("OPTIONS", "INVITE"));
    net.expect(STRANGER, "403");
    net.cut(STRANGER);
    net.seconds(40);
    assert_eq!(net.connects, []);
    net.assert_clean();
}

#[test]
fn the_2xx_is_repeated_until_its_ack_on_tcp_too() {
    let mut net = net();
    net.open(TRUNK_TCP);
    let mut caller = Call::out(&mut net, TRUNK_TCP, "anna", agreed());
    let agent = Call::incoming(&mut net, ANNA);
    agent.answer(&mut net, agreed());
    net.expect(ANNA, "ACK");
    net.expect(TRUNK_TCP, "200");
    net.seconds(1);
    let ok = net.expect(TRUNK_TCP, "200"); // RFC 3261 §13.3.1.4
    caller.take_ok(&ok);
    caller.ack(&mut net, 1, None);
    net.seconds(10);
    net.nothing(TRUNK_TCP);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_phone_with_a_fixed_contact_is_known_by_host_and_user() {
    let mut net = with_peers(|peers| {
        peers.accounts[0].contact.as_mut().unwrap().uri = format!("sip:anna@{};transport=tcp", ANNA.addr);
    });
    let from = Phone { user: "anna", addr: "10.0.1.1:50999" };
    net.open(from);
    let call = Call::out(&mut net, from, "bo", agreed());
    let bo = Call::incoming(&mut net, BO);
    bo.ring(&mut net, 180, None);
    assert!(
        net.events
            .iter()
            .any(|event| matches!(event, Event::Offered { origin: signalling::Origin::Account(PeerId(1)), .. }))
    );
    call.cancel(&mut net);
    net.expect(BO, "CANCEL");
    bo.reject(&mut net, 487, "");
    // Another user on that host is nobody.
    let other = Phone { user: "mallory", ..from };
    Call::out(&mut net, other, "bo", agreed());
    net.flush(BO);
    assert!(net.events.iter().any(|event| matches!(event, Event::Denied { .. })));
    // And called, she is connected to.
    Call::out(&mut net, TRUNK, "anna", agreed());
    assert_eq!(net.connects, [tcp(ANNA)]);
}

/// A description that does not fit.
fn large() -> Option<String> {
    Some(sdp(4000, "0", "sendrecv") + &"a=x-filler:0123456789012345678901234567890123456789\r\n".repeat(30))
}

#[test]
fn a_large_request_goes_by_tcp() {
    let mut net = net();
    let mut caller = Call::out(&mut net, TRUNK, "anna", large());
    assert_eq!(net.connects, [tcp(ANNA)]);
    assert!(net.sent[0].1.starts_with(b"INVITE ") && net.sent[0].1.len() > 1300);
    net.open(ANNA);
    let agent = Call::incoming(&mut net, ANNA);
    assert!(header(&agent.invite, "Via").starts_with("SIP/2.0/TCP 192.0.2.1:5060;"));
    net.seconds(5);
    net.nothing(ANNA);
    agent.answer(&mut net, agreed());
    net.expect(ANNA, "ACK");
    caller.established(&mut net);
    caller.bye(&mut net);
    agent.byed(&mut net);
    assert_eq!(net.counter("requests_switched"), 1);
    net.assert_clean();
}

#[test]
fn where_there_is_no_tcp_a_large_request_goes_by_udp() {
    let mut net = net();
    let mut caller = Call::out(&mut net, TRUNK, "anna", large());
    net.nothing(TRUNK);
    net.flush(ANNA); // what waited for the connection
    net.cut(ANNA);
    let agent = Call::incoming(&mut net, ANNA);
    assert!(header(&agent.invite, "Via").starts_with("SIP/2.0/UDP 192.0.2.1:5060;"));
    agent.answer(&mut net, agreed());
    net.expect(ANNA, "ACK");
    caller.established(&mut net);
    caller.bye(&mut net);
    agent.byed(&mut net);
    // It is remembered, for ten minutes.
    for (minutes, connects) in [(5, 1), (6, 2)] {
        net.seconds(minutes * 60);
        net.flush(ANNA);
        let caller = Call::out(&mut net, TRUNK, "anna", large());
        assert_eq!(net.connects.len(), connects);
        caller.cancel(&mut net);
        net.cut(ANNA);
        net.seconds(40);
        net.flush(TRUNK);
    }
    net.assert_clean();
}

#[test]
fn a_connection_that_is_never_answered_costs_a_large_request_one_second() {
    let mut net = net();
    Call::out(&mut net, TRUNK, "anna", large());
    net.flush(ANNA);
    net.seconds(1);
    assert_eq!(net.closes, [tcp(ANNA)]);
    let invite = net.expect(ANNA, "INVITE");
    assert!(header(&invite, "Via").starts_with("SIP/2.0/UDP "));
}

#[test]
fn a_cancelled_call_is_cancelled_by_the_way_that_it_went() {
    let mut net = net();
    let caller = Call::out(&mut net, TRUNK, "anna", large());
    net.flush(ANNA);
    caller.cancel(&mut net); // before anything was answered: CANCEL waits (RFC 3261 §9.1)
    net.cut(ANNA);
    let agent = Call::incoming(&mut net, ANNA);
    agent.ring(&mut net, 180, None);
    let cancel = net.expect(ANNA, "CANCEL");
    assert_eq!(header(&cancel, "Via"), header(&agent.invite, "Via"));
    assert!(header(&cancel, "Via").starts_with("SIP/2.0/UDP "));
}

#[test]
fn whose_size_does_not_matter() {
    // A registered phone behind UDP keeps its flow; `transport=udp` means it; without a listener there is no TCP.
    let mut net = with_peers(|peers| {
        peers.accounts[0].contact.as_mut().unwrap().uri = format!("sip:anna@{};transport=udp", ANNA.addr);
    });
    assert_eq!(register(&mut net, REX, "rex", "secret", 300).status(), 200);
    for (user, phone) in [("rex", REX), ("anna", ANNA)] {
        Call::out(&mut net, TRUNK, user, large());
        assert!(header(&net.expect(phone, "INVITE"), "Via").starts_with("SIP/2.0/UDP "));
    }
    assert_eq!(net.connects, []);
    let mut net = Net::new();
    Call::out(&mut net, TRUNK, "bo", large());
    net.expect(BO, "INVITE");
    assert_eq!(net.connects, []);
}

#[test]
fn a_bad_message_is_answered_and_the_next_one_served() {
    let mut net = net();
    net.open(STRANGER);
    let bad = options(1, "Content-Length: 4\r\nMax-Forwards: 300\r\n", "body");
    net.bytes(STRANGER, format!("{bad}\r\n\r\n{}", options(2, "l: 0\r\n", "")));
    net.expect(STRANGER, "400");
    net.expect(STRANGER, "200");
    let pongs = net.sent.iter().filter(|(_, data)| data == b"\r\n").count();
    assert_eq!((pongs, net.closes.len()), (1, 0));
    net.bytes(STRANGER, "\r\n\r\n");
    assert_eq!(net.sent.last().unwrap().1, b"\r\n");
    net.cut(STRANGER);
    net.assert_clean();
}

#[test]
fn nothing_is_smuggled() {
    let inner = options(666, "Content-Length: 0\r\n", "");
    let length = inner.len();
    for (outer, answer) in [
        (options(1, &format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), &inner), Some("400")),
        (options(1, &format!("Content-Length : {length}\r\nl: 0\r\n"), &inner), Some("400")),
        (options(1, &format!("Content-Length: +{length}\r\n"), &inner), Some("400")),
        (options(1, "", &inner), Some("400")),
        (options(1, "X: y\n\nContent-Length: 0\r\n", &inner), Some("400")),
        (options(1, "Content-Length: 1073741824\r\n", &inner), Some("513")),
        (format!("PROXY TCP4 10.0.0.9 192.0.2.1 1 2\r\n{inner}"), None),
        (format!("GET / HTTP/1.1\r\n\r\n{inner}"), None),
    ] {
        let mut net = net();
        net.open(STRANGER);
        net.bytes(STRANGER, outer.as_str());
        if let Some(answer) = answer {
            net.expect(STRANGER, answer);
        }
        net.nothing(STRANGER);
        assert_eq!(net.closes, [tcp(STRANGER)], "{outer}");
        net.bytes(STRANGER, inner.as_str());
        net.nothing(STRANGER);
        net.assert_clean();
    }
    // A body is a body, whatever it looks like.
    let mut net = net();
    net.open(STRANGER);
    net.bytes(STRANGER, options(1, &format!("Content-Length : {length}\r\n"), &inner));
    let answer: Message = net.expect(STRANGER, "200");
    assert_eq!(answer.call_id(), "o1");
    net.nothing(STRANGER);
}

#[test]
fn connections_have_limits() {
    let limits = ConnectionLimits { total: 5, per_source: 3, ..ConnectionLimits::default() };
    let mut net = Net::with(|settings| settings.connections = limits);
    let flow = |host: u8, port: u16| Flow { remote: ([203, 0, 113, host], port).into(), ..tcp(STRANGER) };
    for port in 1..=4 {
        net.run(Input::FlowOpened { flow: flow(1, port) });
    }
    assert_eq!(net.closes, [flow(1, 4)]);
    for port in 1..=3 {
        net.run(Input::FlowOpened { flow: flow(2, port) });
    }
    assert_eq!(net.closes, [flow(1, 4), flow(2, 3)]);
    assert_eq!((net.counter("connections_refused_source"), net.counter("connections_refused_total")), (1, 1));
    net.run(Input::FlowClosed { flow: flow(1, 1) });
    net.run(Input::FlowOpened { flow: flow(1, 5) });
    assert_eq!((net.closes.len(), net.core.sizes().connections), (2, 5));
    // Nobody says anything.
    net.seconds(11);
    assert_eq!((net.core.sizes().connections, net.counter("connections_closed_slow")), (0, 5));
}

#[test]
fn a_message_must_end_in_time() {
    let mut net = net();
    net.open(STRANGER);
    net.bytes(STRANGER, options(1, "Content-Length: 0\r\n", ""));
    net.expect(STRANGER, "200");
    net.seconds(60);
    assert_eq!(net.closes, []);
    for byte in options(2, "Content-Length: 0\r\n", "").bytes().take(30) {
        net.bytes(STRANGER, [byte]);
        net.seconds(1); // slow-loris
    }
    assert_eq!(net.closes, [tcp(STRANGER)]);
    assert_eq!(net.counter("connections_closed_slow"), 1);
}

#[test]
fn an_idle_connection_ends_unless_somebody_is_reached_by_it() {
    let mut net = net();
    net.open(STRANGER);
    net.bytes(STRANGER, options(1, "Content-Length: 0\r\n", ""));
    net.expect(STRANGER, "200");
    registered(&mut net, REX_TCP);
    net.seconds(299);
    assert_eq!(net.closes, []);
    assert_eq!(register(&mut net, REX_TCP, "rex", "secret", 3600).status(), 200);
    net.seconds(1200);
    assert_eq!(net.closes, [tcp(STRANGER)]);
    assert_eq!(bindings(&net), 1);
    assert_eq!(net.counter("connections_closed_idle"), 1);
    net.seconds(2500);
    assert_eq!(net.closes, [tcp(STRANGER), tcp(REX_TCP)], "its registration has run out");
}

#[test]
fn what_is_held_has_an_end() {
    let limits = ConnectionLimits { buffered: 10_000, ..ConnectionLimits::default() };
    let mut net = Net::with(|settings| settings.connections = limits);
    let (one, two) = (STRANGER, Phone { addr: "203.0.113.67:5060", ..STRANGER });
    for phone in [one, two] {
        net.open(phone);
        net.bytes(phone, format!("OPTIONS sip:x SIP/2.0\r\nX: {}", "a".repeat(6_000)));
    }
    assert_eq!((net.closes.as_slice(), net.counter("connections_closed_full")), ([tcp(two)].as_slice(), 1));
    net.pass(Duration::from_millis(10));
    net.bytes(one, format!("\r\n{}", "b".repeat(100)));
    assert_eq!(net.closes.len(), 1);
}
