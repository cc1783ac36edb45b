//! SEMANTICS, Calling the listener: every row.

use super::*;

/// A monitored call: admin's order on Anna with this listener; the listener's phone has been called.
fn called(listener: ListenerOrder, calls: i64) -> (Bench, Pair, String) {
    let mut b = Bench::new();
    let id = b.order("anna", listener, calls);
    let call = b.call("1001");
    (b, call, id)
}

/// The listener's phone gives this final answer.
fn answers(b: &mut Bench, status: u16) {
    let leg = b.listener().leg;
    b.ring(leg);
    b.leaves(leg, Some(status));
}

#[test]
fn the_listening_is_live_with_the_first_packet_and_counts_after_three_seconds() {
    let (mut b, call, id) = called(user("sue"), 2);
    assert_eq!(b.last_listening().state, ListeningState::Ringing);
    b.listens();
    let view = b.last_listening().clone();
    assert_eq!(view.state, ListeningState::Live);
    assert_eq!(
        (view.caller_number.as_deref(), view.access_number.as_deref(), view.queue.as_deref()),
        (Some("+4755512345"), Some("+4721000001"), Some("Support"))
    );
    assert!(view.ringing_at.is_some() && view.answered_at.is_some());
    assert_eq!(b.hears(), Some(b.stream(call.callee)));
    b.heard(2_900);
    assert_eq!(b.request(&id).calls.used, 0);
    b.hold_store = true;
    b.heard(3_000);
    assert_eq!(b.request(&id).calls.used, 0, "not before it is stored");
    let (persist, changes) = b.held_back.remove(0);
    let [Change::Heard(listening, request)] = &changes[..] else { panic!("{changes:?}") };
    assert!(listening.counted && request.view.calls.used == 1);
    b.hold_store = false;
    b.drive(Input::Persisted { persist, result: Ok(()) });
    assert_eq!(b.request(&id).calls.used, 1);
    b.heard(9_000);
    assert_eq!(b.request(&id).calls.used, 1, "once");
    b.bye(call.caller);
    assert_eq!(b.reasons(), vec![EndReason::CallEnded]);
    assert_eq!((b.last_listening().heard_ms, b.last_listening().counted), (9_000, true));
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    b.is_quiet();
}

#[test]
fn the_call_is_never_touched_for_the_listener() {
    let (mut b, call, _) = called(user("sue"), 1);
    let touched = |b: &Bench| {
        let streams = [b.stream(call.caller), b.stream(call.callee)];
        b.media.iter().filter(|c| matches!(c, media::Command::Describe { stream, .. } | media::Command::Close { stream } if streams.contains(stream)) || matches!(c, media::Command::Bridge { .. })).count()
    };
    let before = touched(&b);
    let ear = b.listens();
    b.heard(4_000);
    b.bye(ear);
    assert_eq!(touched(&b), before);
    assert!(b.ended_by_us(call.caller).is_none() && b.ended_by_us(call.callee).is_none());
}

#[test]
fn the_call_ends_while_the_listener_rings() {
    let (mut b, call, id) = called(user("sue"), 1);
    let leg = b.listener().leg;
    b.ring(leg);
    b.bye(call.callee);
    assert_eq!(b.ended_by_us(leg).unwrap().text, "call-ended");
    assert_eq!(b.reasons(), vec![EndReason::CallEnded]);
    assert_eq!((b.request(&id).state, b.request(&id).calls.used), (RequestState::Waiting, 0));
    b.is_quiet();
}

#[test]
fn a_busy_listener_is_tried_again_three_times() {
    let (mut b, call, id) = called(user("sue"), 5);
    for tries in 1..=4 {
        assert_eq!(b.listeners().len(), tries);
        answers(&mut b, if tries % 2 == 0 { 600 } else { 486 });
        if tries < 4 {
            assert_eq!(
                (b.last_listening().state, b.request(&id).state),
                (ListeningState::Waiting, RequestState::Waiting)
            );
            b.seconds(14);
            assert_eq!(b.listeners().len(), tries);
            b.seconds(1);
        }
    }
    assert_eq!(b.reasons(), vec![EndReason::ListenerBusy]);
    b.seconds(60);
    assert_eq!(b.listeners().len(), 4);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_call_that_ends_between_two_tries_ends_busy() {
    let (mut b, call, _) = called(user("sue"), 5);
    answers(&mut b, 486);
    b.bye(call.caller);
    assert_eq!(b.reasons(), vec![EndReason::ListenerBusy]);
    b.seconds(60);
    assert_eq!(b.listeners().len(), 1);
    b.is_quiet();
}

#[test]
fn a_second_try_may_succeed() {
    let (mut b, _, id) = called(user("sue"), 5);
    answers(&mut b, 486);
    b.seconds(15);
    b.listens();
    assert_eq!(b.last_listening().state, ListeningState::Live);
    assert_eq!(b.request(&id).state, RequestState::Listening);
    assert_eq!(b.listenings.len(), 1, "one listening all along");
}

#[test]
fn no_answer_is_cancelled_after_thirty_seconds() {
    let (mut b, _, _) = called(user("sue"), 5);
    let leg = b.listener().leg;
    b.ring(leg);
    b.seconds(29);
    assert!(b.ended_by_us(leg).is_none());
    b.seconds(1);
    assert!(b.ended_by_us(leg).is_some());
    assert_eq!(b.reasons(), vec![EndReason::ListenerNoAnswer]);
}

#[test]
fn a_phone_that_says_nothing_is_unreachable() {
    let (mut b, _, _) = called(user("sue"), 5);
    b.seconds(30);
    assert_eq!(b.reasons(), vec![EndReason::ListenerUnreachable]);
}

#[test]
fn final_answers_have_their_reasons_and_are_not_tried_again() {
    for (status, reason) in [
        (603, EndReason::ListenerDeclined),
        (404, EndReason::ListenerUnreachable),
        (480, EndReason::ListenerUnreachable),
        (500, EndReason::ListenerUnreachable),
        (302, EndReason::ListenerDiverted),
    ] {
        let (mut b, call, id) = called(user("sue"), 5);
        answers(&mut b, status);
        assert_eq!(b.reasons(), vec![reason]);
        b.seconds(60);
        assert_eq!(b.listeners().len(), 1);
        assert_eq!(b.request(&id).state, RequestState::Waiting);
        b.bye(call.caller);
        b.call("1001");
        assert_eq!(b.listeners().len(), 2, "the next interaction tries again");
    }
}

#[test]
fn a_listener_without_a_codec_of_ours_is_unreachable() {
    let (mut b, _, _) = called(user("sue"), 5);
    let leg = b.listener().leg;
    b.planned(leg, Session { payloads: vec![payload(97, "speex", 16_000)], ..session(false, true) });
    b.says(signalling::Event::Answered { leg });
    assert_eq!(b.reasons(), vec![EndReason::ListenerUnreachable]);
    assert!(b.ended_by_us(leg).is_some());
}

#[test]
fn a_call_that_cannot_be_decoded_calls_nobody() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 1);
    let call = b.trunk_calls("1001", &[]).unwrap();
    for leg in [call.callee, call.caller] {
        b.planned(leg, Session { payloads: vec![payload(97, "speex", 16_000)], ..session(true, true) });
        b.says(signalling::Event::Answered { leg });
    }
    assert_eq!(b.reasons(), vec![EndReason::CodecUnsupported]);
    assert!(b.listeners().is_empty());
}

#[test]
fn three_interactions_in_a_row_suspend_the_request_and_resume_arms_it() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 9);
    for status in [480, 302, 404] {
        assert_ne!(b.request(&id).state, RequestState::Suspended);
        let call = b.call("1001");
        answers(&mut b, status);
        b.bye(call.caller);
    }
    assert_eq!(b.request(&id).state, RequestState::Suspended);
    assert!(b.persisted.iter().any(
        |c| matches!(c, Change::Request(r) if r.view.state == RequestState::Suspended && r.failures_in_a_row == 3)
    ));
    let call = b.call("1001");
    assert_eq!(b.listeners().len(), 3, "not called while suspended");
    let Ok(Reply::Request(view)) = b.command("admin", Command::ResumeRequest { id: id.clone() }) else { panic!() };
    assert_eq!(view.state, RequestState::Waiting);
    assert_eq!(b.listeners().len(), 4, "armed again while the agent is in a call");
    answers(&mut b, 480);
    b.bye(call.caller);
    assert_eq!(b.request(&id).state, RequestState::Waiting, "the row begins anew");
}

#[test]
fn a_reached_listener_breaks_the_row() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 9);
    for n in 0..4 {
        let call = b.call("1001");
        if n == 1 {
            b.listens();
        } else {
            answers(&mut b, 480);
        }
        b.bye(call.caller);
    }
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    // declined is an answer of a person, not a failure to reach one
    let call = b.call("1001");
    answers(&mut b, 603);
    b.bye(call.caller);
    assert_eq!(b.request(&id).state, RequestState::Waiting);
}

#[test]
fn a_listener_on_another_agent_is_waited_for() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 9);
    b.order("bo", user("sue"), 9);
    let first = b.call("1001");
    b.listens();
    b.call("1002");
    assert_eq!(b.listeners().len(), 1);
    assert_eq!(b.last_listening().state, ListeningState::Waiting);
    b.bye(first.caller);
    assert_eq!(b.listeners().len(), 2, "free now");
    b.listens();
    assert_eq!(b.last_listening().state, ListeningState::Live);
}

#[test]
fn a_listener_who_never_gets_free_was_busy() {
    let mut b = Bench::new();
    b.order("anna", user("sue"), 9);
    b.order("bo", user("sue"), 9);
    b.call("1001");
    b.listens();
    let second = b.call("1002");
    b.bye(second.caller);
    assert_eq!(b.reasons(), vec![EndReason::ListenerBusy]);
    assert_eq!(b.listeners().len(), 1);
}

#[test]
fn a_listener_who_hangs_up_is_not_called_again_for_this_interaction() {
    let (mut b, call, id) = called(user("sue"), 5);
    let ear = b.listens();
    b.bye(ear);
    assert_eq!(b.reasons(), vec![EndReason::ListenerHungUp]);
    assert!(!b.last_listening().counted);
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    assert_eq!(b.listeners().len(), 1);
    b.bye(call.caller);
    b.call("1001");
    assert_eq!(b.listeners().len(), 2);
}

#[test]
fn a_listener_that_holds_us_gets_nothing_and_keeps_its_place() {
    let (mut b, _, _) = called(user("sue"), 5);
    let ear = b.listens();
    b.planned(ear, session(false, false));
    let remote = b
        .media
        .iter()
        .rev()
        .find_map(|c| if let media::Command::Listen { remote, .. } = c { Some(remote.clone()) } else { None })
        .unwrap();
    assert_eq!(remote.rtp, None);
    assert_eq!(b.last_listening().state, ListeningState::Live);
    b.planned(ear, session(false, true));
    let remote = b
        .media
        .iter()
        .rev()
        .find_map(|c| if let media::Command::Listen { remote, .. } = c { Some(remote.clone()) } else { None })
        .unwrap();
    assert!(remote.rtp.is_some());
}

#[test]
fn a_party_of_the_call_is_not_called() {
    let mut b = Bench::new();
    b.order("anna", number("+4755512345"), 1);
    b.call("1001");
    assert_eq!(b.reasons(), vec![EndReason::ListenerInCall]);
    let call = b.dial("bo", "1003");
    b.order("bo", ListenerOrder::Agent("cia".into()), 1);
    assert_eq!(b.reasons(), vec![EndReason::ListenerInCall, EndReason::ListenerInCall]);
    assert!(b.listeners().is_empty());
    b.bye(call.caller);
}

#[test]
fn two_listeners_of_one_agent_are_counted_apart() {
    let mut b = Bench::new();
    let one = b.order("anna", user("sue"), 1);
    let two = b.order("anna", user("sam"), 1);
    b.call("1001");
    assert_eq!(b.listeners().len(), 2);
    for leg in b.listeners() {
        b.planned(leg.leg, session(false, true));
        b.says(signalling::Event::Answered { leg: leg.leg });
    }
    b.heard(3_000);
    assert_eq!((b.request(&one).calls.used, b.request(&two).calls.used), (0, 1));
}

#[test]
fn at_most_so_many_listeners_an_agent() {
    let mut b = Bench::with(Settings { max_listeners_per_agent: 2, ..settings() }, seed(), Restored::default());
    b.call("1001");
    for listener in [user("sue"), user("sam"), user("admin")] {
        b.order("anna", listener, 1);
    }
    assert_eq!(b.listeners().len(), 2);
    assert_eq!(b.reasons(), vec![EndReason::LimitReached]);
}

#[test]
fn one_leg_serves_two_requests_of_the_same_listener_and_counts_for_both() {
    let mut b = Bench::new();
    let one = b.order("anna", user("sue"), 1);
    let two = b.order("anna", user("sue"), 5);
    let call = b.call("1001");
    assert_eq!((b.listeners().len(), b.listenings.len()), (1, 2));
    let ear = b.listens();
    b.heard(3_500);
    assert_eq!((b.request(&one).calls.used, b.request(&two).calls.used), (1, 1));
    b.command("admin", Command::DeleteRequest { id: two }).unwrap();
    assert!(b.ended_by_us(ear).is_none(), "the other request still listens");
    b.bye(call.caller);
    assert!(b.ended_by_us(ear).is_some());
    assert_eq!(b.request(&one).state, RequestState::Fulfilled);
    b.is_quiet();
}

#[test]
fn a_late_order_joins_the_live_leg_at_once() {
    let (mut b, _, _) = called(user("sue"), 5);
    b.listens();
    let late = b.order("anna", user("sue"), 1);
    assert_eq!(b.listeners().len(), 1);
    assert_eq!(b.request(&late).state, RequestState::Listening);
    b.heard(3_000);
    assert_eq!(b.request(&late).calls.used, 1, "what it heard since it joined");
}

#[test]
fn a_silent_listener_is_asked_and_hung_up_if_it_is_gone() {
    let (mut b, _, _) = called(user("sue"), 5);
    let ear = b.listens();
    b.silent();
    assert!(
        b.wire.lock().unwrap().commands.iter().any(|c| matches!(c, signalling::Command::Probe { leg } if *leg == ear))
    );
    b.says(signalling::Event::Probed { leg: ear, alive: true });
    assert!(b.reasons().is_empty());
    b.silent();
    b.says(signalling::Event::Probed { leg: ear, alive: false });
    assert_eq!(b.reasons(), vec![EndReason::ListenerLost]);
    assert!(b.ended_by_us(ear).is_some());
}

#[test]
fn withdrawn_rights_end_the_listening() {
    let hidden = AgentChange { monitorable: Some(false), ..AgentChange::default() };
    let (mut b, _, id) = called(user("sue"), 5);
    let ear = b.listens();
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: hidden }).unwrap();
    assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable]);
    assert!(b.ended_by_us(ear).is_some());
    assert_eq!(b.request(&id).state, RequestState::Suspended);

    let mut b = Bench::new();
    b.order_as("sue", order("anna", user("sue"), Some(5))).unwrap();
    let call = b.call("1001");
    b.listens();
    let mut seeds = seed();
    seeds.users[1].groups = Some(vec!["Sales".into()]);
    b.drive(Input::Reload(seeds));
    assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable]);
    b.bye(call.caller);
    b.call("1001");
    assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable], "the request is suspended");
    assert_eq!(b.listeners().len(), 1);
}

#[test]
fn a_listening_whose_record_cannot_be_written_does_not_start() {
    let mut b = Bench::new();
    let id = b.order("anna", user("sue"), 5);
    b.store_up = false;
    b.call("1001");
    assert!(b.listeners().is_empty());
    assert_eq!(b.reasons(), vec![EndReason::AuditUnavailable]);
    assert_eq!(b.request(&id).state, RequestState::Waiting);
    assert!(b.removed.is_empty());
    b.store_up = true;
    b.seconds(5);
    assert!(
        b.persisted
            .iter()
            .any(|c| matches!(c, Change::Listening(l) if l.end_reason == Some(EndReason::AuditUnavailable))),
        "kept when the store is back"
    );
    assert_eq!(b.removed.len(), 1);
}

#[test]
fn what_the_phone_is_offered() {
    let mut seeds = seed();
    seeds.users[1].offer_sendrecv = true;
    let mut b = Bench::with(settings(), seeds, Restored::default());
    b.call("1001");
    b.order("anna", user("sam"), 1);
    b.order("anna", user("sue"), 1);
    let wire = b.wire.lock().unwrap();
    let offers: Vec<_> = wire
        .commands
        .iter()
        .filter_map(|c| {
            if let signalling::Command::Call { codecs, direction, .. } = c {
                Some((codecs[0].name.clone(), *direction))
            } else {
                None
            }
        })
        .collect();
    use signalling::sdp::Direction;
    assert_eq!(offers, vec![("PCMA".to_owned(), Direction::SendOnly), ("PCMA".to_owned(), Direction::SendRecv)]);
}

#[test]
fn a_refused_media_port_ends_with_a_limit() {
    let (mut b, _, _) = called(user("sue"), 5);
    let listener = b.media_listener();
    b.drive(Input::Media(media::Event::Done { batch: media::BatchId(1 << 63 | listener.0), ok: false }));
    assert_eq!(b.reasons(), vec![EndReason::LimitReached]);
}

#[test]
fn no_listening_joins_an_ear_that_is_being_given_up() {
    let (mut b, _, _) = called(user("sue"), 1);
    answers(&mut b, 486);
    // Anna's second interaction takes the free slot; the first waits for it from its retry on
    b.call("1001");
    b.order("anna", user("sue"), 5);
    let ear = b.listener().leg;
    b.ring(ear);
    b.seconds(31);
    assert!(b.ended_by_us(ear).is_some(), "nobody keeps it ringing");
    let listenings = b
        .core
        .ears
        .values()
        .filter(|e| e.phone().is_some_and(|phone| phone.leg == ear))
        .map(|e| e.listenings.len())
        .sum::<usize>();
    assert_eq!(listenings, 0);
}

#[test]
fn a_refused_media_port_leaves_nothing_to_wait_for() {
    let (mut b, call, _) = called(user("sue"), 5);
    let listener = b.media_listener();
    // refused, the media plane knows no such listener: it will not say that it closed it
    b.media_listeners_closed = false;
    b.drive(Input::Media(media::Event::Done { batch: media::BatchId(1 << 63 | listener.0), ok: false }));
    let ear = b.listener().leg;
    b.bye_alone(ear);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_listening_is_hung_up_by_its_owner() {
    let mut b = Bench::new();
    b.order_as("sue", order("anna", user("sue"), Some(5))).unwrap();
    b.call("1001");
    let ear = b.listens();
    let listening = b.last_listening().id.clone();
    let hang_up = || Command::HangUp { listening: listening.clone() };
    assert_eq!(b.command("sam", hang_up()).unwrap_err().code, "listening-not-found");
    assert_eq!(b.command("platform", hang_up()).unwrap_err().code, "forbidden");
    b.command("sue", hang_up()).unwrap();
    assert_eq!(b.reasons(), vec![EndReason::Deleted]);
    assert!(b.ended_by_us(ear).is_some());
    assert_eq!(b.listeners().len(), 1, "not called again for this interaction");
    assert_eq!(b.command("sue", hang_up()).unwrap_err().status, 404);
}
