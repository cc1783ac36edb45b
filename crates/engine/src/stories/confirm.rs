//! Whoever answers presses 1 before anything is heard.

use bytes::Bytes;
use media::Event as M;
use signalling::sdp::Direction;

use super::*;

fn confirmed(order: Order) -> Order {
    Order { confirm: Some(true), ..order }
}

/// A number rings, and something answers.
fn answered() -> (Bench, Pair, LegId) {
    let mut b = Bench::new();
    b.order_as("admin", confirmed(order("anna", number("+4799999999"), Some(9)))).unwrap();
    let call = b.call("1001");
    let ear = b.listens();
    (b, call, ear)
}

fn presses(b: &mut Bench, key: char) {
    let listener = b.media_listener();
    b.media_says(M::Key { listener, key });
}

fn watched(b: &Bench) -> Option<bool> {
    let of = b.media_listener();
    b.media.iter().rev().find_map(|c| match c {
        media::Command::WatchKeys { listener, on } if *listener == of => Some(*on),
        _ => None,
    })
}

#[test]
fn nothing_is_heard_before_the_key() {
    let (mut b, call, _) = answered();
    let view = b.last_listening();
    assert_eq!(view.state, ListeningState::Confirming);
    assert!(view.answered_at.is_some());
    assert_eq!((b.hears(), watched(&b)), (None, Some(true)), "silence");
    assert!(!b.media.iter().any(|c| matches!(c, media::Command::Focus { taps: Some(_), .. })));
    assert!(b.entries("listening.live").is_empty());
    presses(&mut b, '2');
    assert_eq!(b.last_listening().state, ListeningState::Confirming);
    presses(&mut b, '1');
    assert_eq!(b.last_listening().state, ListeningState::Live);
    assert_eq!((b.hears(), watched(&b)), (Some(b.stream(call.callee)), Some(false)));
    assert_eq!(b.entries("listening.live").len(), 1);
    b.seconds(60);
    assert!(b.reasons().is_empty(), "once is enough");
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn who_has_to_press_a_key_can_send_one() {
    let (b, _, _) = answered();
    let called = b.told(|c| match c {
        signalling::Command::Call { codecs, direction, .. } => Some((codecs.clone(), *direction)),
        _ => None,
    });
    let (codecs, direction) = &called[0];
    assert_eq!(*direction, Direction::SendRecv);
    assert!(codecs.iter().any(|codec| codec.name == "telephone-event" && codec.clock == 8000));
    let mut b = Bench::new();
    b.order("anna", user("sue"), 1);
    b.call("1001");
    let called = b.told(|c| match c {
        signalling::Command::Call { codecs, direction, .. } => Some((codecs.clone(), *direction)),
        _ => None,
    });
    assert_eq!(called[0].1, Direction::SendOnly);
    assert!(called[0].0.iter().all(|codec| codec.name != "telephone-event"));
}

#[test]
fn a_voicemail_hears_nothing_and_is_hung_up() {
    let (mut b, call, ear) = answered();
    b.seconds(9);
    assert!(b.reasons().is_empty());
    b.seconds(2);
    assert_eq!(b.reasons(), [EndReason::ListenerNotConfirmed]);
    assert_eq!(b.ended_by_us(ear).map(|reason| reason.cause), Some(200), "BYE");
    assert_eq!((b.last_listening().heard_ms, b.last_listening().counted), (0, false));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn one_that_hangs_up_before_has_not_confirmed() {
    let (mut b, call, ear) = answered();
    b.bye(ear);
    assert_eq!(b.reasons(), [EndReason::ListenerNotConfirmed]);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn an_info_holds_a_key_too() {
    for (content_type, body) in [("application/dtmf-relay", "Signal=1\r\nDuration=160\r\n"), ("application/dtmf", "1")]
    {
        let (mut b, _, ear) = answered();
        b.says(signalling::Event::Info { leg: ear, content_type: "text/plain".into(), body: Bytes::from_static(b"1") });
        assert_eq!(b.last_listening().state, ListeningState::Confirming);
        b.says(signalling::Event::Info { leg: ear, content_type: content_type.into(), body: body.into() });
        assert_eq!(b.last_listening().state, ListeningState::Live, "{content_type}");
    }
}

#[test]
fn the_key_may_come_before_the_first_packet() {
    let mut b = Bench::new();
    b.media_live = false;
    b.order_as("admin", confirmed(order("anna", user("sue"), Some(1)))).unwrap();
    b.call("1001");
    b.listens();
    presses(&mut b, '1');
    assert_eq!(b.entries("listening.live").len(), 0);
    let listener = b.media_listener();
    b.media_says(M::Live { listener });
    assert_eq!((b.last_listening().state, b.entries("listening.live").len()), (ListeningState::Live, 1));
}

#[test]
fn three_in_a_row_suspend_the_request() {
    let (mut b, call, _) = answered();
    b.seconds(11);
    b.bye(call.caller);
    for _ in 0..2 {
        let call = b.call("1001");
        b.listens();
        b.seconds(11);
        b.bye(call.caller);
    }
    assert_eq!(b.requests.values().next().unwrap().state, RequestState::Suspended);
    assert_eq!(b.entries("request.suspended").len(), 1);
    b.is_quiet();
}

#[test]
fn a_key_ends_the_row_an_answer_does_not() {
    let (mut b, call, _) = answered();
    b.seconds(11);
    b.bye(call.caller);
    let failures = |b: &Bench| b.core.requests.values().next().unwrap().record.failures_in_a_row;
    let call = b.call("1001");
    b.listens();
    assert_eq!(failures(&b), 1);
    presses(&mut b, '1');
    assert_eq!(failures(&b), 0);
    b.bye(call.caller);
}

#[test]
fn outside_numbers_confirm_where_so_configured() {
    let settings = Settings { confirm_numbers: true, ..settings() };
    let mut b = Bench::with(settings, seed(), Restored::default());
    let mut asks = |order: Order| b.order_as("admin", order).unwrap().confirm;
    assert!(asks(order("anna", number("+4799999999"), Some(1))));
    assert!(!asks(order("anna", number("1002"), Some(1))), "an agent's own phone");
    assert!(!asks(order("anna", user("sue"), Some(1))));
    assert!(!asks(order("anna", ListenerOrder::Page, Some(1))));
    assert!(!asks(Order { confirm: Some(false), ..order("anna", number("+4788888888"), Some(1)) }));
}

#[test]
fn a_second_request_waits_for_the_same_key() {
    let (mut b, _, _) = answered();
    let first = b.last_listening().id.clone();
    b.order("anna", number("+4799999999"), 1);
    assert_eq!(b.last_listening().state, ListeningState::Confirming);
    presses(&mut b, '1');
    assert_eq!((b.last_listening().state, b.listenings[&first].state), (ListeningState::Live, ListeningState::Live));
    // one that comes later joins a leg that was confirmed
    b.order("anna", number("+4799999999"), 1);
    assert_eq!(b.last_listening().state, ListeningState::Live);
}

#[test]
fn rights_are_judged_at_the_key() {
    let (mut b, call, _) = answered();
    // nothing tells the ear of it before
    b.core.directory.agents.get_mut("anna").unwrap().seed.monitorable = false;
    presses(&mut b, '1');
    assert_eq!(b.reasons(), [EndReason::AgentNotMonitorable]);
    assert!(!b.media.iter().any(|c| matches!(c, media::Command::Focus { taps: Some(_), .. })));
    b.bye(call.caller);
}

#[test]
fn a_call_that_ends_ends_the_question() {
    let (mut b, call, _) = answered();
    b.bye(call.caller);
    assert_eq!(b.reasons(), [EndReason::CallEnded]);
    b.seconds(20);
    b.is_quiet();
}
