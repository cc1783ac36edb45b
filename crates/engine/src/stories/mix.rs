//! Layout and gains: how they are ordered, and changed while somebody listens.

use media::Layout as L;
use signalling::Session;

use super::*;
use crate::terms::{Precondition, Terms, etag};

fn live(layout: Option<&str>) -> (Bench, Pair, String) {
    let mut b = Bench::new();
    let order = Order { layout: layout.map(str::to_owned), ..order("anna", user("sue"), Some(3)) };
    b.order_as("sue", order).unwrap();
    let call = b.call("1001");
    b.listens();
    let id = b.last_listening().id.clone();
    (b, call, id)
}

fn change(b: &mut Bench, actor: &str, id: &str, change: MixChange) -> Result<ListeningView, Problem> {
    match b.command(actor, Command::ChangeListening { listening: id.into(), change })? {
        Reply::Listening(view) => Ok(view),
        other => panic!("{other:?}"),
    }
}

fn layout(name: &str) -> MixChange {
    MixChange { layout: Some(name.into()), ..MixChange::default() }
}

#[test]
fn a_listener_gets_the_layout_that_was_ordered() {
    let (b, _, _) = live(Some("agent"));
    assert_eq!(b.mixed(), media::Mix { layout: L::Agent, ..media::Mix::default() });
    assert_eq!(b.last_listening().layout, Layout::Agent);
    let mix = b.media.iter().position(|c| matches!(c, media::Command::Mix { .. }));
    let listen = b.media.iter().position(|c| matches!(c, media::Command::Listen { .. }));
    assert!(mix < listen, "before anything is sent");
}

#[test]
fn it_changes_while_live_and_is_recorded() {
    let (mut b, _, id) = live(None);
    let all = MixChange {
        layout: Some("stereo".into()),
        agent_gain_db: Some(-6),
        caller_gain_db: Some(12),
        level_matching: Some(true),
    };
    let before = etag(b.last_listening());
    let view = change(&mut b, "sue", &id, all).unwrap();
    assert_eq!((view.layout, view.gains), (Layout::Stereo, Gains { agent_db: -6, caller_db: 12 }));
    assert!(view.level_matching);
    assert_eq!(*b.last_listening(), view);
    assert_ne!(etag(&view), before);
    let mix = media::Mix { layout: L::Stereo, agent_db: -6, caller_db: 12, is_levelled: true };
    assert_eq!(b.mixed(), mix);
    assert_eq!(b.names().last(), Some(&EventName::ListeningFocus));
    let [entry] = b.entries("listening.changed")[..] else { panic!("one entry") };
    assert_eq!((entry.actor.as_str(), entry.target.as_deref()), ("sue", Some(id.as_str())));
    assert_eq!(entry.details["agent_gain_db"], -6);
    // what is left out stays
    let view = change(&mut b, "admin", &id, layout("caller")).unwrap();
    assert_eq!((view.layout, view.gains.caller_db, view.level_matching), (Layout::Caller, 12, true));
}

#[test]
fn what_cannot_be_is_named_and_changes_nothing() {
    let (mut b, _, id) = live(None);
    let before = b.last_listening().clone();
    for (field, bad) in [
        ("layout", layout("quad")),
        ("agent_gain_db", MixChange { agent_gain_db: Some(21), ..MixChange::default() }),
        ("caller_gain_db", MixChange { caller_gain_db: Some(-41), ..MixChange::default() }),
        (
            "caller_gain_db",
            MixChange { layout: Some("agent".into()), caller_gain_db: Some(i64::MAX), ..MixChange::default() },
        ),
    ] {
        let problem = change(&mut b, "sue", &id, bad).unwrap_err();
        assert_eq!((problem.status, problem.code, problem.field), (422, "invalid-request", Some(field)));
    }
    assert_eq!(*b.last_listening(), before);
}

#[test]
fn rights_are_those_of_hanging_up() {
    let (mut b, call, id) = live(None);
    assert_eq!(change(&mut b, "sam", &id, layout("agent")).unwrap_err().status, 404);
    assert_eq!(change(&mut b, "platform", &id, layout("agent")).unwrap_err().status, 403);
    assert!(change(&mut b, "admin", &id, layout("agent")).is_ok());
    let under = |tag: String| Command::Under {
        terms: Terms { expect: Precondition::OneOf(vec![tag]), ..Terms::default() },
        command: Box::new(Command::ChangeListening { listening: id.clone(), change: layout("mono") }),
    };
    let stale = b.command("sue", under("\"old\"".into())).unwrap_err();
    assert_eq!((stale.status, stale.code), (412, "precondition-failed"));
    let tag = etag(b.last_listening());
    assert!(b.command("sue", under(tag)).is_ok());
    b.bye(call.caller);
    assert_eq!(change(&mut b, "sue", &id, layout("agent")).unwrap_err().status, 404, "it is over");
}

#[test]
fn one_stream_serves_both_and_changes_for_both() {
    let (mut b, _, first) = live(Some("caller"));
    b.order_as("admin", Order { layout: Some("stereo".into()), ..order("anna", user("sue"), Some(1)) }).unwrap();
    let second = b.last_listening().clone();
    assert_eq!(second.layout, Layout::Caller, "as the leg has it");
    change(&mut b, "admin", &second.id, layout("mono")).unwrap();
    assert_eq!((b.listenings[&first].layout, b.mixed().layout), (Layout::Mono, L::Mono));
}

#[test]
fn a_listening_that_waits_is_called_as_it_was_changed() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 1);
    b.call("1001");
    let busy = b.listener().leg;
    b.leaves(busy, Some(486));
    let id = b.last_listening().id.clone();
    assert_eq!(b.last_listening().state, ListeningState::Waiting);
    change(&mut b, "admin", &id, layout("agent")).unwrap();
    b.seconds(16);
    assert_eq!(b.mixed().layout, L::Agent);
}

#[test]
fn a_phone_that_takes_two_channels_gets_them_with_the_layout() {
    let (mut b, _, id) = live(None);
    let ear = b.listener().leg;
    let opus = Payload { channels: 2, fmtp: "stereo=1".into(), ..payload(96, "opus", 48_000) };
    let codecs = |b: &Bench| -> Vec<media::Codec> {
        let listens = b.media.iter().filter_map(|c| match c {
            media::Command::Listen { remote, .. } => Some(remote.codec),
            _ => None,
        });
        listens.collect()
    };
    let writes = |codec| media::codec::Encoder::new(codec).is_some();
    if !writes(media::Codec::Opus) || !writes(media::Codec::OpusStereo) {
        return; // a build without Opus
    }
    b.planned(ear, Session { payloads: vec![opus], ..session(false, true) });
    assert_eq!(codecs(&b).last(), Some(&media::Codec::Opus));
    change(&mut b, "sue", &id, layout("stereo")).unwrap();
    assert_eq!(codecs(&b).last(), Some(&media::Codec::OpusStereo));
    change(&mut b, "sue", &id, layout("mono")).unwrap();
    assert_eq!(codecs(&b).last(), Some(&media::Codec::Opus));
}
