//! SEMANTICS, While listening: what the ear hears.

use super::*;

/// A call to Anna with a live listener of the admin's order for N calls.
fn listened(calls: i64) -> (Bench, Pair, String, LegId) {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), calls);
    let call = b.call("1001");
    let ear = b.listens();
    (b, call, id, ear)
}

fn focus(b: &Bench) -> Focus {
    b.last_listening().focus
}

#[test]
fn hold_consultation_swap_and_back_with_one_leg_and_one_count() {
    let (mut b, call, id, _) = listened(9);
    b.heard(3_000);
    assert_eq!(focus(&b), Focus::Talk);
    b.hold(call.callee);
    assert_eq!(
        (focus(&b), b.hears()),
        (Focus::Hold, Some(b.stream(call.callee))),
        "what the agent hears; media gates the held caller"
    );
    let consult = b.phone_calls("anna", "1002").unwrap();
    assert_eq!(
        (focus(&b), b.hears()),
        (Focus::Consult, Some(b.stream(consult.caller))),
        "ringing is heard as the agent hears it"
    );
    b.answer(consult);
    assert_eq!(b.hears(), Some(b.stream(consult.caller)));
    assert_eq!(b.call_view(consult).interaction, b.call_view(call).interaction);
    assert!(b.names().contains(&EventName::CallConsulting));
    // swap to the caller and back
    b.hold(consult.caller);
    b.resume(call.callee);
    assert_eq!((focus(&b), b.hears()), (Focus::Talk, Some(b.stream(call.callee))));
    b.hold(call.callee);
    b.resume(consult.caller);
    assert_eq!((focus(&b), b.hears()), (Focus::Consult, Some(b.stream(consult.caller))));
    b.bye(consult.callee);
    b.resume(call.callee);
    assert_eq!((focus(&b), b.hears()), (Focus::Talk, Some(b.stream(call.callee))));
    assert_eq!((b.listeners().len(), b.request(&id).calls.used, b.listenings.len()), (1, 1, 1));
    assert!(b.names().contains(&EventName::ListeningFocus));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_conference_taps_only_the_primary() {
    let (mut b, call, _, _) = listened(9);
    b.hold(call.callee);
    b.dial("anna", "1002");
    b.resume(call.callee);
    assert_eq!((focus(&b), b.hears()), (Focus::Conference, Some(b.stream(call.callee))));
}

#[test]
fn a_consultation_taken_from_another_agent_is_heard_but_triggers_nothing() {
    let (mut b, call, _, _) = listened(9);
    b.order("bo", user("sam"), 9);
    let bos = b.call("1002");
    b.listens();
    b.hold(bos.callee);
    let consult = b.dial("bo", "1001");
    assert_eq!(
        b.hears_of(media::ListenerId(first_listener(&b))),
        Some(b.stream(call.callee)),
        "Anna's ear stays while her call is unheld"
    );
    b.hold(call.callee);
    assert_eq!(b.hears_of(media::ListenerId(first_listener(&b))), Some(b.stream(consult.callee)));
    assert_eq!((b.listeners().len(), b.listenings.len()), (2, 2));
}

fn first_listener(b: &Bench) -> u64 {
    b.media
        .iter()
        .find_map(|c| if let media::Command::OpenListener { listener, .. } = c { Some(listener.0) } else { None })
        .unwrap()
}

#[test]
fn a_consultation_merely_received_triggers_nothing_even_if_ordered_meanwhile() {
    let mut b = Bench::new();
    b.order_as("admin", Order { directions: Some(vec![CallDirection::Internal]), ..order("bo", user("sam"), Some(9)) })
        .unwrap();
    let call = b.call("1001");
    b.hold(call.callee);
    b.dial("anna", "1002");
    assert!(b.listeners().is_empty());
    b.order("bo", user("sue"), 9);
    assert!(b.listeners().is_empty());
}

#[test]
fn a_second_trunk_call_is_an_interaction_of_its_own_on_the_same_leg() {
    let (mut b, first, id, ear) = listened(9);
    b.heard(3_000);
    let second = b.call("1001");
    assert_eq!(b.listenings.len(), 2, "a listening each");
    assert_eq!(b.listeners().len(), 1, "one leg");
    assert_ne!(b.call_view(first).interaction, b.call_view(second).interaction);
    assert_eq!(b.hears(), Some(b.stream(first.callee)), "the ear stays with the first while it is unheld");
    b.hold(first.callee);
    assert_eq!(b.hears(), Some(b.stream(second.callee)));
    b.heard(5_000);
    assert_eq!(b.request(&id).calls.used, 1, "two seconds of the second");
    b.heard(6_000);
    assert_eq!(b.request(&id).calls.used, 2);
    b.bye(first.caller);
    assert_eq!(b.reasons(), vec![EndReason::CallEnded]);
    assert!(b.ended_by_us(ear).is_none(), "the second goes on");
    b.bye(second.caller);
    assert!(b.ended_by_us(ear).is_some());
    b.is_quiet();
}

#[test]
fn without_a_slot_left_the_second_interaction_is_silent() {
    let (mut b, first, _, _) = listened(1);
    let second = b.call("1001");
    assert_eq!(b.listenings.len(), 1);
    b.hold(first.callee);
    assert_eq!(b.hears(), None, "N is never overrun");
    b.resume(first.callee);
    assert_eq!(b.hears(), Some(b.stream(first.callee)));
    // the first ends unheard: its slot serves the second
    b.bye(first.caller);
    assert_eq!(b.listenings.len(), 2);
    assert_eq!(b.last_listening().call, b.call_view(second).id);
}

#[test]
fn a_trunk_call_that_carries_the_interaction_id_belongs_to_it() {
    let (mut b, call, _, _) = listened(9);
    let id = b.call_view(call).interaction;
    b.hold(call.callee);
    let second = b.trunk_calls("1001", &[("X-Interaction-Id", &id)]).unwrap();
    b.answer(second);
    assert_eq!(b.listenings.len(), 1);
    assert_eq!((focus(&b), b.hears()), (Focus::Consult, Some(b.stream(second.callee))));
}

#[test]
fn the_caller_hangs_up_during_a_consultation() {
    let (mut b, call, _, ear) = listened(9);
    b.hold(call.callee);
    let consult = b.dial("anna", "1002");
    b.bye(call.caller);
    assert_eq!(b.reasons(), vec![EndReason::CallEnded]);
    assert!(b.ended_by_us(ear).is_some());
    assert_eq!(b.call_view(consult).state, CallState::Up, "the consultation goes on untouched");
    assert!(b.ended_by_us(consult.caller).is_none());
    assert_eq!(b.listeners().len(), 1, "what is left triggers nothing");
    b.order("anna", user("sam"), 1);
    assert_eq!(b.listeners().len(), 2, "but an order made now counts it");
    b.bye(consult.caller);
    b.is_quiet();
}

#[test]
fn a_colleague_who_is_not_monitorable_is_not_heard() {
    let mut seeds = seed();
    seeds.agents[1].monitorable = false;
    let mut b = Bench::with(settings(), seeds, Restored::default());
    b.order("anna", user("sue"), 9);
    let call = b.call("1001");
    b.listens();
    b.hold(call.callee);
    let consult = b.dial("anna", "1002");
    assert_eq!((focus(&b), b.hears()), (Focus::Consult, None));
    b.resume(call.callee);
    assert_eq!((focus(&b), b.hears()), (Focus::Conference, None), "the agent's voice stream carries the colleague");
    b.bye(consult.callee);
    assert_eq!((focus(&b), b.hears()), (Focus::Talk, Some(b.stream(call.callee))));
    assert_eq!(b.last_listening().state, ListeningState::Live);
}

#[test]
fn a_call_with_the_do_not_monitor_header_is_never_tapped() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 1);
    let call = b.trunk_calls("1001", &[("X-Do-Not-Monitor", "1")]).unwrap();
    b.answer(call);
    assert!(b.listeners().is_empty());
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    b.order("anna", user("sam"), 1);
    assert!(b.listeners().is_empty());
    b.bye(call.caller);
    let call = b.trunk_calls("1001", &[("X-Do-Not-Monitor", "No")]).unwrap();
    b.answer(call);
    assert_eq!(b.listeners().len(), 2);
}

#[test]
fn the_shield_silences_the_whole_interaction() {
    let (mut b, call, _, _) = listened(9);
    let id = b.call_view(call).id;
    assert_eq!(b.command("sue", Command::Shield { call: id.clone(), on: true }).unwrap_err().code, "forbidden");
    assert_eq!(
        b.command("platform", Command::Shield { call: "call_x".into(), on: true }).unwrap_err().code,
        "call-not-found"
    );
    let Ok(Reply::Call(view)) = b.command("platform", Command::Shield { call: id.clone(), on: true }) else { panic!() };
    assert!(view.shielded && b.shielded() && b.last_listening().shielded);
    assert!(b.names().contains(&EventName::CallShielded));
    b.hold(call.callee);
    let consult = b.dial("anna", "1002");
    assert!(b.shielded() && b.call_view(consult).shielded, "its consultations included");
    assert_eq!(b.last_listening().state, ListeningState::Live, "the legs stay");
    b.command("platform", Command::Shield { call: id, on: false }).unwrap();
    assert!(!b.shielded() && !b.call_view(consult).shielded && !b.call_view(call).shielded);
}

#[test]
fn the_shield_covers_the_listeners_of_a_colleague_in_the_same_call() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.command("admin", Command::Shield { call: b.call_view(call).id, on: true }).unwrap();
    b.order("bo", user("sue"), 1);
    // Bo calls Anna, who has her shielded customer on hold: part of her interaction, and Bo's own at the same time
    let internal = b.dial("bo", "1001");
    let all = Some(vec![CallDirection::Internal]);
    b.order_as("admin", Order { directions: all, ..order("bo", user("sam"), Some(1)) }).unwrap();
    b.listens();
    assert!(b.call_view(internal).shielded, "it is part of Anna's interaction");
    assert!(b.shielded() && b.last_listening().shielded, "Bo's listener hears what Anna says too");
    b.command("admin", Command::Shield { call: b.call_view(call).id, on: false }).unwrap();
    assert!(!b.shielded() && !b.last_listening().shielded);
}

#[test]
fn the_shield_may_have_a_timeout_and_late_listeners_meet_it() {
    let mut b = Bench::with(
        Settings { shield_timeout: Some(Duration::from_secs(60)), ..settings() },
        seed(),
        Restored::default(),
    );
    let call = b.call("1001");
    let id = b.call_view(call).id;
    b.command("platform", Command::Shield { call: id, on: true }).unwrap();
    b.order("anna", user("sue"), 1);
    b.listens();
    assert!(b.shielded());
    b.seconds(61);
    assert!(!b.shielded() && !b.call_view(call).shielded);
}

#[test]
fn the_record_has_what_was_heard_since_the_last_report() {
    let (mut b, call, _, _) = listened(9);
    b.heard(5_000);
    b.heard_last = 5_740;
    b.bye(call.caller);
    assert_eq!((b.last_listening().heard_ms, b.last_listening().state), (5_740, ListeningState::Ended));
    let kept =
        b.persisted.iter().rev().find_map(|c| if let Change::Listening(l) = c { Some(l.heard_ms) } else { None });
    assert_eq!(kept, Some(5_740));
    assert_eq!(b.names().iter().filter(|n| **n == EventName::ListeningEnded).count(), 1);
    assert_eq!(b.count("listener_packets_dropped"), 3);
    b.is_quiet();
}

/// The media plane's last figures of its newest listener.
fn closed(b: &mut Bench, heard_ms: u64) {
    let listener = b.media_listener();
    b.drive(Input::Media(media::Event::ListenerClosed {
        listener,
        heard_ms,
        dropped: 0,
        quality: media::Quality::default(),
    }));
}

#[test]
fn what_was_heard_after_the_last_report_counts() {
    for (last, used) in [(2_980, 0), (3_000, 1)] {
        let (mut b, call, id, _) = listened(2);
        b.heard(2_000);
        b.heard_last = last;
        b.bye(call.caller);
        assert_eq!(b.request(&id).calls.used, used);
        assert_eq!(b.last_listening().counted, used == 1);
        let both = b.writes.iter().flatten().filter(|c| matches!(c, Change::Heard(l, r) if l.heard_ms == last && l.state == ListeningState::Ended && r.view.calls.used == 1));
        assert_eq!(both.count(), used as usize, "both in one write");
        b.is_quiet();
    }
}

#[test]
fn the_last_of_n_fulfils_with_the_last_figures() {
    for (last, state) in [(100, RequestState::Waiting), (3_000, RequestState::Fulfilled)] {
        let (mut b, call, id, _) = listened(1);
        b.media_listeners_closed = false;
        b.heard(2_000);
        b.bye(call.caller);
        assert_eq!(b.reasons(), vec![EndReason::CallEnded], "told at once");
        assert!(b.request(&id).state.is_active(), "not known yet");
        let next = b.call("1001");
        assert_eq!(b.listeners().len(), 1, "its slot is kept");
        closed(&mut b, last);
        b.media_listeners_closed = true;
        assert_eq!(b.request(&id).calls.used, u32::from(state == RequestState::Fulfilled));
        match state {
            RequestState::Fulfilled => {
                assert_eq!(b.request(&id).state, state);
                assert_eq!(b.listeners().len(), 1, "N is not overrun");
            }
            _ => {
                assert_eq!(b.listeners().len(), 2, "its slot is free");
                b.bye(next.caller);
                assert_eq!(b.request(&id).state, state);
                continue;
            }
        }
        b.bye(next.caller);
        b.is_quiet();
    }
}

#[test]
fn a_deleted_request_ends_with_the_count_of_its_last_figures() {
    let (mut b, call, id, _) = listened(2);
    b.media_listeners_closed = false;
    b.heard(2_000);
    let reply = b.next_reply + 1;
    let command = Command::DeleteRequest { id: id.clone() };
    b.drive(Input::Command { reply: ReplyId(reply), actor: "admin".into(), command });
    assert_eq!(b.reasons(), vec![EndReason::Deleted]);
    assert!(!b.replies.contains_key(&reply), "answered when its record is whole");
    closed(&mut b, 3_400);
    assert_eq!((b.request(&id).state, b.request(&id).calls.used), (RequestState::Deleted, 1));
    assert!(b.replies.contains_key(&reply));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_request_waits_two_seconds_for_last_figures_and_ends_without() {
    let (mut b, call, id, _) = listened(2);
    b.media_listeners_closed = false;
    b.heard(2_000);
    let reply = b.next_reply + 1;
    let command = Command::DeleteRequest { id: id.clone() };
    b.drive(Input::Command { reply: ReplyId(reply), actor: "admin".into(), command });
    b.wait(Duration::from_millis(1_900));
    assert!(!b.replies.contains_key(&reply), "they may still come");
    b.wait(Duration::from_millis(200));
    assert!(b.replies.contains_key(&reply));
    assert_eq!((b.request(&id).state, b.request(&id).calls.used), (RequestState::Deleted, 0));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn figures_that_are_given_up_keep_no_slot() {
    let mut b = Bench::with(Settings { max_ended_views: 1, ..settings() }, seed(), Restored::default());
    let id = b.order("anna", user("sue"), 2);
    b.media_listeners_closed = false;
    for calls in 1..=3 {
        let call = b.call("1001");
        assert_eq!(b.listeners().len(), calls);
        b.listens();
        b.bye(call.caller);
    }
    assert!(b.request(&id).state.is_active());
}

#[test]
fn a_consultation_with_the_do_not_monitor_header_is_silent() {
    let (mut b, call, _, _) = listened(9);
    let id = b.call_view(call).interaction;
    b.hold(call.callee);
    let second = b.trunk_calls("1001", &[("X-Interaction-Id", &id), ("X-Do-Not-Monitor", "yes")]).unwrap();
    b.answer(second);
    assert_eq!((focus(&b), b.hears()), (Focus::Consult, None));
}

#[test]
fn deleting_the_request_hangs_up_at_once() {
    let (mut b, call, id, ear) = listened(9);
    b.command("admin", Command::DeleteRequest { id: id.clone() }).unwrap();
    assert_eq!(b.ended_by_us(ear).unwrap().text, "deleted");
    assert_eq!((b.reasons(), b.request(&id).state), (vec![EndReason::Deleted], RequestState::Deleted));
    assert_eq!(b.call_view(call).state, CallState::Up);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn until_passes_while_listening() {
    let mut b = Bench::new();
    let until = Some(b.wall(10));
    let id = b.order_as("admin", Order { until, ..order("anna", user("sue"), None) }).unwrap().id;
    let call = b.call("1001");
    b.listens();
    b.seconds(20);
    assert_eq!((b.request(&id).state, b.last_listening().state), (RequestState::Listening, ListeningState::Live));
    b.call("1001");
    assert_eq!(b.listenings.len(), 1, "no new one");
    b.bye(call.caller);
    assert_eq!(b.request(&id).state, RequestState::Expired);
}

#[test]
fn n_reached_goes_on_to_the_end_of_this_listening() {
    let (mut b, call, id, ear) = listened(1);
    b.heard(3_000);
    assert_eq!((b.request(&id).calls.used, b.request(&id).state), (1, RequestState::Listening));
    assert!(b.ended_by_us(ear).is_none());
    b.bye(call.caller);
    assert_eq!(b.request(&id).state, RequestState::Fulfilled);
    assert!(b.request(&id).ended_at.is_some());
    b.call("1001");
    assert_eq!(b.listeners().len(), 1);
}

#[test]
fn an_unheard_listening_gives_its_slot_back() {
    let (mut b, call, id, _) = listened(1);
    b.heard(2_000);
    b.bye(call.caller);
    assert_eq!((b.request(&id).calls.used, b.request(&id).state), (0, RequestState::Waiting));
    b.call("1001");
    assert_eq!(b.listeners().len(), 2);
}

#[test]
fn a_wall_clock_that_jumps_starts_and_ends_no_listening() {
    let (mut b, call, id, _) = listened(9);
    b.now.wall += jiff::SignedDuration::from_hours(24);
    b.seconds(40);
    assert_eq!(b.last_listening().state, ListeningState::Live);
    assert_eq!(b.request(&id).state, RequestState::Listening);
    b.bye(call.caller);
    assert_eq!(b.request(&id).state, RequestState::Expired);
}

#[test]
fn early_media_and_ringing_calls_are_not_forked() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 1);
    let call = b.trunk_calls("1001", &[]).unwrap();
    b.planned(call.callee, Session { early: true, ..session(true, true) });
    b.says(signalling::Event::Ringing { leg: call.callee, status: 183, early_media: true });
    assert!(b.listeners().is_empty());
}
