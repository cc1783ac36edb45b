//! The agent's own shield: by keys, and by INFO.

use media::Event as M;

use super::*;

const TYPE: &str = "application/x-shield";

fn keyed() -> Bench {
    let settings = Settings {
        shield_info: Some(TYPE.into()),
        shield_on_keys: Some("*7".into()),
        shield_off_keys: Some("*8".into()),
        ..settings()
    };
    Bench::with(settings, seed(), Restored::default())
}

fn listened() -> (Bench, Pair) {
    let mut b = keyed();
    b.order("anna", user("sue"), 1);
    let call = b.call("1001");
    b.listens();
    (b, call)
}

fn presses(b: &mut Bench, leg: LegId, keys: &str) {
    let stream = b.stream(leg);
    for key in keys.chars() {
        b.media_says(M::PartyKey { stream, key });
    }
}

fn informs(b: &mut Bench, leg: LegId, content_type: &str, body: &str) {
    b.says(signalling::Event::Info { leg, content_type: content_type.into(), body: body.to_owned().into() });
}

#[test]
fn the_agents_keys_close_the_shield_and_open_it() {
    let (mut b, call) = listened();
    let watched: Vec<StreamId> = b
        .media
        .iter()
        .filter_map(|c| if let media::Command::WatchPartyKeys { stream, on: true } = c { Some(*stream) } else { None })
        .collect();
    assert_eq!(watched, [b.stream(call.callee)], "the agent's leg alone");
    presses(&mut b, call.callee, "12*");
    assert!(!b.shielded());
    presses(&mut b, call.callee, "7");
    assert!(b.shielded() && b.call_view(call).shielded && b.last_listening().shielded);
    assert_eq!(b.names().iter().filter(|name| **name == EventName::CallShielded).count(), 1);
    let [entry] = b.entries("shield.on")[..] else { panic!("one entry") };
    assert_eq!((entry.actor.as_str(), &entry.details["by"]), ("agent:anna", &"keys".into()));
    presses(&mut b, call.callee, "*7");
    assert_eq!(b.entries("shield.on").len(), 1, "it is on");
    presses(&mut b, call.callee, "*8");
    assert!(!b.shielded() && !b.call_view(call).shielded);
    assert_eq!(b.entries("shield.off")[0].actor, "agent:anna");
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn silence_comes_in_the_same_turn_as_the_key() {
    let (mut b, call) = listened();
    b.hold_store = true;
    presses(&mut b, call.callee, "*7");
    assert!(b.shielded(), "whatever the store does");
}

#[test]
fn a_shield_opens_when_that_is_recorded() {
    let (mut b, call) = listened();
    presses(&mut b, call.callee, "*7");
    b.hold_store = true;
    presses(&mut b, call.callee, "*8");
    assert!(b.shielded());
    b.answer_store(false);
    assert!(b.shielded() && b.logs.iter().any(|line| line.contains("the shield stays on")));
    presses(&mut b, call.callee, "*8");
    // closed again before the store has spoken: that wins
    let id = b.call_view(call).id;
    b.drive(Input::Command {
        reply: ReplyId(900),
        actor: "admin".into(),
        command: Command::Shield { call: id, on: true },
    });
    b.answer_store(true);
    assert!(b.shielded());
}

#[test]
fn the_callers_keys_do_nothing() {
    let (mut b, call) = listened();
    presses(&mut b, call.caller, "*7");
    informs(&mut b, call.caller, "application/dtmf-relay", "Signal=*\r\n");
    informs(&mut b, call.caller, "application/dtmf-relay", "Signal=7\r\n");
    informs(&mut b, call.caller, TYPE, "on");
    assert!(!b.shielded() && b.entries("shield.on").is_empty());
}

#[test]
fn keys_with_a_long_pause_are_not_one_pattern() {
    let (mut b, call) = listened();
    presses(&mut b, call.callee, "*");
    b.seconds(5);
    presses(&mut b, call.callee, "7");
    assert!(!b.shielded());
    presses(&mut b, call.callee, &"5".repeat(1000));
    presses(&mut b, call.callee, "*7");
    assert!(b.shielded());
}

#[test]
fn an_info_shields_by_name_or_by_keys() {
    let (mut b, call) = listened();
    informs(&mut b, call.callee, "application/X-Shield; v=1", " On\r\n");
    assert!(b.shielded());
    assert_eq!(b.entries("shield.on")[0].details["by"], "info");
    informs(&mut b, call.callee, TYPE, "off");
    assert!(!b.shielded());
    informs(&mut b, call.callee, TYPE, "maybe");
    assert_eq!(b.count("shield_infos_unreadable"), 1);
    informs(&mut b, call.callee, "application/dtmf-relay", "Signal=*\r\nDuration=100\r\n");
    informs(&mut b, call.callee, "application/dtmf", "7");
    assert!(b.shielded());
}

#[test]
fn nothing_of_it_is_done_unless_configured() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 1);
    let call = b.call("1001");
    b.listens();
    presses(&mut b, call.callee, "*7");
    informs(&mut b, call.callee, TYPE, "on");
    assert!(!b.shielded());
    assert!(!b.media.iter().any(|c| matches!(c, media::Command::WatchPartyKeys { .. })));
}

#[test]
fn every_listener_of_the_interaction_hears_silence() {
    let (mut b, call) = listened();
    b.order_as("admin", order("anna", ListenerOrder::Page, Some(1))).unwrap();
    let id = b.last_listening().id.clone();
    b.command("admin", Command::Whep { listening: id, offer: "offer".into() }).unwrap();
    presses(&mut b, call.callee, "*7");
    let closed: Vec<_> = b
        .media
        .iter()
        .filter_map(|c| if let media::Command::Shield { listener, on: true } = c { Some(*listener) } else { None })
        .collect();
    assert_eq!(closed.len(), 2, "{closed:?}");
}
