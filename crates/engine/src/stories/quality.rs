//! Figures and levels of listeners: where they show, and that nobody else gets them.

use media::{Event as M, Level, Levels, Quality};

use super::*;

const QUIET: Level = Level { below_full_db: 127, speaks: false };
const UP: Level = Level { below_full_db: 20, speaks: true };
const DOWN: Level = Level { below_full_db: 40, speaks: false };

fn live() -> (Bench, Pair, String) {
    let mut b = Bench::new();
    b.order_as("sue", order("anna", user("sue"), Some(3))).unwrap();
    let call = b.call("1001");
    b.listens();
    let id = b.last_listening().id.clone();
    (b, call, id)
}

fn watch(b: &mut Bench, actor: &str, id: &str, on: bool) -> Result<Reply, Problem> {
    b.command(actor, Command::WatchLevels { listening: id.into(), on })
}

fn measured(b: &mut Bench, leg: LegId) -> Vec<(String, Level, Level)> {
    let stream = b.stream(leg);
    b.levels.clear();
    b.media_says(M::Levels { levels: vec![Levels { stream, up: UP, down: DOWN }] });
    std::mem::take(&mut b.levels)
}

fn watches(b: &Bench) -> Vec<(StreamId, bool)> {
    let told = b.media.iter().filter_map(|c| match c {
        media::Command::WatchLevels { stream, on } => Some((*stream, *on)),
        _ => None,
    });
    told.collect()
}

#[test]
fn figures_show_while_live_and_stand_in_the_record() {
    let (mut b, call, id) = live();
    assert_eq!(b.last_listening().quality, None);
    let listener = b.media_listener();
    let so_far = Quality { first_audio_ms: Some(17), gaps: 1, lost: 2, remote_lost: Some(0.01), ..Quality::default() };
    b.media_says(M::ListenerProgress { listeners: vec![(listener, so_far)] });
    let shown = b.last_listening().quality.unwrap();
    assert_eq!((shown.first_audio_ms, shown.gaps, shown.lost, shown.remote_lost), (Some(17), 1, 2, Some(0.01)));
    b.quality_last = Quality { gaps: 4, concealed_ms: 60, jitter_ms: f32::NAN, ..so_far };
    b.bye(call.caller);
    let last = b.last_listening().quality.unwrap();
    assert_eq!((last.gaps, last.concealed_ms, last.jitter_ms), (4, 60, 0.0));
    let kept = b.persisted.iter().rev().find_map(|c| match c {
        Change::Listening(view) if view.id == id => Some(view.quality),
        _ => None,
    });
    assert_eq!(kept, Some(Some(last)), "in the archive");
    assert_eq!((b.count("listener_gaps"), b.count("listener_concealed_ms"), b.count("listener_lost")), (4, 60, 2));
    assert_eq!((b.count("listener_first_audio_count"), b.count("listener_first_audio_ms")), (1, 17));
    assert_eq!((b.count("listener_first_audio_le_10"), b.count("listener_first_audio_le_25")), (0, 1));
    b.is_quiet();
}

#[test]
fn loss_on_the_way_to_a_listener_is_logged_and_counted() {
    let (mut b, _, _) = live();
    let listener = b.media_listener();
    let bad = Quality { remote_lost: Some(0.2), ..Quality::default() };
    b.media_says(M::ListenerProgress { listeners: vec![(listener, bad)] });
    assert_eq!(b.count("listener_loss_alarms"), 0, "a figure is no alarm");
    let mut told = |lost, lasts| {
        b.logs.clear();
        b.media_says(M::ListenerLoss { listener, lost, lasts });
        b.logs.join("\n")
    };
    let alarm = told(0.2, true);
    assert!(alarm.contains("the listener loses 20 % of what it is sent"), "{alarm}");
    let end = told(0.0, false);
    assert!(end.contains("arrives again"), "{end}");
    assert_eq!(b.count("listener_loss_alarms"), 1);
    b.media_says(M::ListenerLoss { listener: media::ListenerId(99), lost: 1.0, lasts: true });
    assert_eq!(b.count("listener_loss_alarms"), 1, "nobody's");
}

#[test]
fn one_way_audio_names_the_call_and_the_side() {
    let (mut b, call, _) = live();
    let stream = b.stream(call.caller);
    b.media_says(M::OneWay { stream });
    let event = b.events.last().unwrap();
    let EventBody::Call(view) = &event.body else { panic!("a call") };
    assert_eq!(event.name, EventName::AudioOneWay);
    let silent: Vec<_> = view.legs.iter().filter(|leg| leg.silent).map(|leg| leg.role.as_str()).collect();
    assert_eq!(silent, ["caller"]);
    let figures = Figures { packets: 50, ..Figures::default() };
    b.media_says(M::Progress { streams: vec![(stream, figures)] });
    assert!(b.call_view(call).legs.iter().all(|leg| !leg.silent), "it sends again");
}

#[test]
fn levels_come_for_who_looks_and_are_never_stored() {
    let (mut b, call, id) = live();
    assert!(measured(&mut b, call.callee).is_empty());
    watch(&mut b, "sue", &id, true).unwrap();
    assert_eq!(watches(&b), [(b.stream(call.callee), true)]);
    let writes = b.writes.len();
    assert_eq!(measured(&mut b, call.callee), [(id.clone(), UP, DOWN)]);
    assert_eq!(b.writes.len(), writes);
    watch(&mut b, "sue", &id, false).unwrap();
    assert_eq!(watches(&b).last(), Some(&(b.stream(call.callee), false)));
    assert!(measured(&mut b, call.callee).is_empty());
}

#[test]
fn nobody_looks_at_what_is_not_theirs() {
    let (mut b, _, id) = live();
    assert_eq!(watch(&mut b, "sam", &id, true).unwrap_err().status, 404);
    assert_eq!(watch(&mut b, "platform", &id, true).unwrap_err().status, 403);
    assert!(watch(&mut b, "admin", &id, true).is_ok());
    assert!(watch(&mut b, "sue", "lst_gone", false).is_ok(), "the last reader leaves after the end");
}

#[test]
fn levels_are_as_the_listener_hears_them() {
    let (mut b, call, id) = live();
    watch(&mut b, "sue", &id, true).unwrap();
    b.hold(call.callee);
    assert_eq!(measured(&mut b, call.callee), [(id.clone(), UP, QUIET)], "the held caller is not heard");
    b.resume(call.callee);
    let shielded = b.call_view(call).id;
    b.command("admin", Command::Shield { call: shielded.clone(), on: true }).unwrap();
    assert_eq!(measured(&mut b, call.callee), [(id.clone(), QUIET, QUIET)]);
    b.command("admin", Command::Shield { call: shielded, on: false }).unwrap();
    assert_eq!(measured(&mut b, call.callee), [(id, UP, DOWN)]);
}

#[test]
fn levels_follow_the_ear_into_a_consultation() {
    let (mut b, call, id) = live();
    watch(&mut b, "sue", &id, true).unwrap();
    b.hold(call.callee);
    let consultation = b.dial("anna", "1002");
    let (first, second) = (b.stream(call.callee), b.stream(consultation.caller));
    let told = watches(&b);
    assert!(told.contains(&(second, true)) && told.contains(&(first, false)), "{told:?}");
    assert_eq!(measured(&mut b, consultation.caller), [(id, UP, DOWN)]);
    assert!(measured(&mut b, call.callee).is_empty());
    b.bye(call.caller);
    b.bye(consultation.callee);
    assert_eq!(b.core.watched.len(), 0, "nothing is left of it");
    b.is_quiet();
}
