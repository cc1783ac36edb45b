//! The page as listener: rings, plays, is replaced, is lost.

use media::{Event as M, ListenerId};

use super::*;

/// The supervisor's own page listens to Anna.
fn rings() -> (Bench, Pair, String) {
    let mut b = Bench::new();
    b.order_as("sue", order("anna", ListenerOrder::Page, Some(3))).unwrap();
    let call = b.call("1001");
    let id = b.last_listening().id.clone();
    (b, call, id)
}

/// The player's offer: session and answer.
fn whep(b: &mut Bench, id: &str, offer: &str) -> Result<(String, String), Problem> {
    match b.command("sue", Command::Whep { listening: id.into(), offer: offer.into() })? {
        Reply::Whep { session, body } => Ok((session, body)),
        other => panic!("{other:?}"),
    }
}

/// It connects, too.
fn plays() -> (Bench, Pair, String, String, ListenerId) {
    let (mut b, call, id) = rings();
    let (session, body) = whep(&mut b, &id, "offer").unwrap();
    assert_eq!(body, "answer to offer");
    let listener = b.media_listener();
    b.media_says(M::Live { listener });
    (b, call, id, session, listener)
}

fn stop(b: &mut Bench, actor: &str, id: &str, session: &str) -> Result<Reply, Problem> {
    b.command(actor, Command::WhepStop { listening: id.into(), session: session.into() })
}

fn code(result: Result<impl std::fmt::Debug, Problem>) -> (u16, &'static str) {
    let problem = result.unwrap_err();
    (problem.status, problem.code)
}

#[test]
fn a_page_rings_in_its_users_browser_and_is_live_at_the_first_packet() {
    let (mut b, call, id) = rings();
    assert!(b.listeners().is_empty(), "nobody is called");
    let view = b.last_listening();
    assert_eq!((view.state, view.listener.kind), (ListeningState::Ringing, ListenerKind::Page));
    assert_eq!((view.listener.user.as_deref(), view.answered_at), (Some("sue"), None));
    assert!(b.names().contains(&EventName::ListeningRinging));

    let (session, _) = whep(&mut b, &id, "offer").unwrap();
    assert_eq!(b.last_listening().state, ListeningState::Ringing, "answered, not connected");
    let listener = b.media_listener();
    assert_eq!(b.hears(), Some(b.stream(call.callee)));
    b.media_says(M::Live { listener });
    let view = b.last_listening();
    assert_eq!(view.state, ListeningState::Live);
    assert!(view.answered_at.is_some());
    assert_eq!(b.entries("listening.live").len(), 1);

    b.media_says(M::Heard { listener, heard_ms: 3_500 });
    assert!(stop(&mut b, "sue", &id, &session).is_ok());
    assert_eq!(b.reasons(), [EndReason::ListenerHungUp]);
    assert!(b.listener_closed(listener) && b.last_listening().counted);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn what_a_page_hears_is_said_with_its_offer() {
    let mut b = Bench::new();
    let page = order("anna", ListenerOrder::Page, Some(1));
    b.order_as("sue", Order { layout: Some("stereo".into()), ..page }).unwrap();
    let call = b.call("1001");
    let id = b.last_listening().id.clone();
    let shielded = b.call_view(call).id;
    b.command("platform", Command::Shield { call: shielded, on: true }).unwrap();
    whep(&mut b, &id, "offer").unwrap();
    let listener = b.media_listener();
    let of = b.media.iter().filter(|c| match c {
        media::Command::OpenBrowser { listener: l, .. }
        | media::Command::Mix { listener: l, .. }
        | media::Command::Shield { listener: l, .. }
        | media::Command::Focus { listener: l, .. } => *l == listener,
        _ => false,
    });
    let [
        media::Command::OpenBrowser { .. },
        media::Command::Mix { mix, .. },
        media::Command::Shield { on: true, .. },
        media::Command::Focus { taps: Some(_), .. },
    ] = of.collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", b.media)
    };
    assert_eq!(mix.layout, media::Layout::Stereo);
}

#[test]
fn nobody_but_its_user_answers_a_page() {
    let (mut b, _, id) = rings();
    let offer = || Command::Whep { listening: id.clone(), offer: "offer".into() };
    assert_eq!(code(b.command("sam", offer())), (404, "listening-not-found"));
    assert_eq!(code(b.command("admin", offer())), (403, "forbidden"), "who sees everything hears not everything");
    assert_eq!(code(b.command("platform", offer())), (403, "forbidden"));
    let (session, _) = whep(&mut b, &id, "offer").unwrap();
    assert_eq!(code(stop(&mut b, "admin", &id, &session)), (403, "forbidden"));
    assert_eq!(code(stop(&mut b, "sue", &id, "another")), (404, "not-found"));
    assert!(b.reasons().is_empty());
}

#[test]
fn a_phone_has_no_player() {
    let mut b = Bench::new();
    b.order_as("sue", order("anna", user("sue"), Some(1))).unwrap();
    b.call("1001");
    let id = b.last_listening().id.clone();
    assert_eq!(code(whep(&mut b, &id, "offer")), (403, "forbidden"));
}

#[test]
fn a_page_that_nobody_opens_rings_out() {
    let (mut b, call, _) = rings();
    b.seconds(31);
    assert_eq!(b.reasons(), [EndReason::ListenerNoAnswer]);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn the_call_ends_while_the_page_rings() {
    let (mut b, call, id) = rings();
    b.bye(call.caller);
    assert_eq!(b.reasons(), [EndReason::CallEnded]);
    assert_eq!(code(whep(&mut b, &id, "offer")), (404, "listening-not-found"));
    b.is_quiet();
}

#[test]
fn a_page_may_be_told_to_stop() {
    let (mut b, call, id) = rings();
    b.command("sue", Command::HangUp { listening: id }).unwrap();
    assert_eq!(b.reasons(), [EndReason::Deleted]);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn an_offer_without_an_answer_leaves_the_page_ringing() {
    let (mut b, call, id) = rings();
    b.media_answers = false;
    let offer = Input::Command {
        reply: ReplyId(900),
        actor: "sue".into(),
        command: Command::Whep { listening: id.clone(), offer: "offer".into() },
    };
    b.drive(offer);
    let listener = b.media_listener();
    assert!(!b.replies.contains_key(&900));
    assert_eq!(code(whep(&mut b, &id, "at the same time")), (503, "busy"));
    b.seconds(5);
    assert_eq!(code(b.replies.remove(&900).unwrap()), (503, "busy"));
    assert!(b.listener_closed(listener));
    b.media_says(M::BrowserAnswer { listener, answer: Ok("too late".into()) });
    assert_eq!(b.last_listening().state, ListeningState::Ringing);
    b.media_answers = true;
    whep(&mut b, &id, "again").unwrap();
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn an_offer_that_media_cannot_read_is_named() {
    let (mut b, call, id) = rings();
    b.media_answers = false;
    b.drive(Input::Command {
        reply: ReplyId(900),
        actor: "sue".into(),
        command: Command::Whep { listening: id.clone(), offer: "nonsense".into() },
    });
    let listener = b.media_listener();
    b.media_says(M::BrowserAnswer { listener, answer: Err("no audio in it".into()) });
    let problem = b.replies.remove(&900).unwrap().unwrap_err();
    assert_eq!((problem.status, problem.field, problem.detail.as_str()), (422, Some("offer"), "no audio in it"));
    assert_eq!(b.last_listening().state, ListeningState::Ringing);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_second_player_takes_the_firsts_place_without_a_second_count() {
    let (mut b, call, id, first, old) = plays();
    b.media_listeners_closed = false;
    b.media_says(M::Heard { listener: old, heard_ms: 2_000 });
    let (second, _) = whep(&mut b, &id, "reloaded").unwrap();
    let new = b.media_listener();
    assert!(new != old && second != first && b.listener_closed(old) && !b.listener_closed(new));
    assert_eq!(b.hears(), Some(b.stream(call.callee)));
    b.media_says(M::ListenerClosed { listener: old, heard_ms: 2_400, dropped: 0, quality: media::Quality::default() });
    assert_eq!(b.last_listening().heard_ms, 2_400, "its last figures are the listening's");
    b.media_says(M::Live { listener: new });
    b.media_says(M::Heard { listener: new, heard_ms: 1_000 });
    let view = b.last_listening();
    assert_eq!((view.state, view.heard_ms, view.counted), (ListeningState::Live, 3_400, true));
    assert_eq!(b.entries("listening.live").len(), 1);
    assert_eq!(code(stop(&mut b, "sue", &id, &first)), (404, "not-found"), "the old tab says good-bye");
    b.media_says(M::BrowserGone { listener: old, closed: true });
    assert!(b.reasons().is_empty());
    let request = b.requests.values().next().unwrap();
    assert_eq!(request.calls.used, 1);
    b.media_listeners_closed = true;
    b.heard_last = 1_000;
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_failing_second_player_leaves_the_first_alone() {
    let (mut b, _, id, _, old) = plays();
    b.media_answers = false;
    b.drive(Input::Command {
        reply: ReplyId(900),
        actor: "sue".into(),
        command: Command::Whep { listening: id, offer: "reloaded".into() },
    });
    let new = b.media_listener();
    b.media_says(M::BrowserAnswer { listener: new, answer: Err("no".into()) });
    assert!(!b.listener_closed(old) && b.listener_closed(new));
    assert_eq!(b.last_listening().state, ListeningState::Live);
}

#[test]
fn a_browser_that_goes_while_the_next_one_comes_is_waited_for() {
    let (mut b, call, id, _, old) = plays();
    b.media_answers = false;
    b.drive(Input::Command {
        reply: ReplyId(900),
        actor: "sue".into(),
        command: Command::Whep { listening: id.clone(), offer: "reloaded".into() },
    });
    let new = b.media_listener();
    b.media_says(M::BrowserGone { listener: old, closed: true });
    assert_eq!(b.last_listening().state, ListeningState::Live);
    b.media_says(M::BrowserAnswer { listener: new, answer: Err("no".into()) });
    assert_eq!(b.reasons(), [EndReason::ListenerLost]);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_browser_ends_it_or_is_lost() {
    for (closed, reason) in [(true, EndReason::ListenerHungUp), (false, EndReason::ListenerLost)] {
        let (mut b, call, _, _, listener) = plays();
        b.media_says(M::BrowserGone { listener, closed });
        assert!(closed || b.reasons() == [reason], "lost is lost at once");
        // a page that is loaded again closes its connection, too
        b.seconds(9);
        assert_eq!(b.reasons(), [reason]);
        assert!(b.listener_closed(listener));
        b.bye(call.caller);
        b.is_quiet();
    }
}

#[test]
fn a_page_that_is_loaded_again_goes_on_listening() {
    let (mut b, call, id, _, old) = plays();
    b.media_says(M::Heard { listener: old, heard_ms: 3_500 });
    b.media_says(M::BrowserGone { listener: old, closed: true });
    assert_eq!((b.last_listening().state, b.listener_closed(old)), (ListeningState::Live, true));
    b.seconds(7);
    let (session, _) = whep(&mut b, &id, "reloaded").unwrap();
    let new = b.media_listener();
    b.media_says(M::Live { listener: new });
    b.seconds(9);
    let view = b.last_listening();
    assert_eq!((view.id.clone(), view.state, view.counted), (id.clone(), ListeningState::Live, true));
    assert_eq!(b.entries("listening.live").len(), 1, "the same listening");
    assert!(stop(&mut b, "sue", &id, &session).is_ok());
    assert_eq!(b.reasons(), [EndReason::ListenerHungUp]);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn an_offer_that_fails_may_be_made_again_while_the_page_may_return() {
    let (mut b, call, id, _, old) = plays();
    b.media_answers = false;
    b.media_says(M::BrowserGone { listener: old, closed: true });
    b.drive(Input::Command {
        reply: ReplyId(900),
        actor: "sue".into(),
        command: Command::Whep { listening: id, offer: "reloaded".into() },
    });
    let new = b.media_listener();
    b.media_says(M::BrowserAnswer { listener: new, answer: Err("no".into()) });
    assert_eq!(b.last_listening().state, ListeningState::Live);
    b.seconds(9);
    assert_eq!(b.reasons(), [EndReason::ListenerHungUp]);
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn a_player_that_never_connects_lets_the_page_ring_on() {
    let (mut b, call, id) = rings();
    whep(&mut b, &id, "offer").unwrap();
    let first = b.media_listener();
    b.media_says(M::BrowserGone { listener: first, closed: false });
    assert_eq!((b.last_listening().state, b.listener_closed(first)), (ListeningState::Ringing, true));
    b.seconds(28);
    whep(&mut b, &id, "again").unwrap();
    b.seconds(5);
    let listener = b.media_listener();
    b.media_says(M::Live { listener });
    assert_eq!(b.last_listening().state, ListeningState::Live, "it had 10 s to connect");
    b.bye(call.caller);
    b.is_quiet();
    let (mut b, _, id) = rings();
    whep(&mut b, &id, "offer").unwrap();
    b.seconds(31);
    assert_eq!(b.reasons(), [EndReason::ListenerNoAnswer]);
}

#[test]
fn ice_restarts_within_the_player() {
    let (mut b, _, id, session, listener) = plays();
    let restart = |session: &str| Command::WhepRestart {
        listening: id.clone(),
        session: session.into(),
        fragment: "fragment".into(),
    };
    let Ok(Reply::Whep { session: same, body }) = b.command("sue", restart(&session)) else { panic!("no answer") };
    assert_eq!((same.as_str(), body.as_str()), (session.as_str(), "answer to fragment"));
    assert_eq!(b.media_listener(), listener, "no other leg");
    assert_eq!(code(b.command("sue", restart("old"))), (404, "not-found"));
    b.media_answers = false;
    b.drive(Input::Command { reply: ReplyId(900), actor: "sue".into(), command: restart(&session) });
    assert_eq!(code(b.command("sue", restart(&session))), (503, "busy"));
    b.seconds(6);
    assert_eq!(code(b.replies.remove(&900).unwrap()), (503, "busy"));
    b.drive(Input::Command { reply: ReplyId(901), actor: "sue".into(), command: restart(&session) });
    b.command("sue", Command::HangUp { listening: id.clone() }).unwrap();
    assert_eq!(code(b.replies.remove(&901).unwrap()), (404, "not-found"), "nobody waits for ever");
}

#[test]
fn one_page_listens_to_one_agent_at_a_time() {
    let mut b = Bench::new();
    b.order_as("admin", order("anna", ListenerOrder::Page, Some(1))).unwrap();
    let second = b.order_as("admin", order("bo", ListenerOrder::Page, Some(1))).unwrap();
    assert_eq!(second.warnings[0].code, "listener-already-assigned");
    let anna = b.call("1001");
    b.call("1002");
    assert_eq!(b.last_listening().state, ListeningState::Waiting);
    let waits = b.last_listening().id.clone();
    let offer = Command::Whep { listening: waits.clone(), offer: "offer".into() };
    assert_eq!(code(b.command("admin", offer)), (409, "not-ringing"));
    b.bye(anna.caller);
    assert_eq!(b.listenings[&waits].state, ListeningState::Ringing);
    let sue = b.order_as("sue", order("bo", ListenerOrder::Page, Some(1))).unwrap();
    assert!(sue.warnings.is_empty(), "another user, another page");
}

#[test]
fn an_encrypted_call_may_be_heard_in_a_browser() {
    let mut b = Bench::new();
    b.order_as("sue", order("anna", ListenerOrder::Page, Some(1))).unwrap();
    let call = b.trunk_calls("1001", &[]).unwrap();
    for leg in [call.callee, call.caller] {
        b.planned(leg, super::protection::encrypted(true, true));
        b.says(signalling::Event::Answered { leg });
    }
    let id = b.last_listening().id.clone();
    whep(&mut b, &id, "offer").unwrap();
    assert_eq!(b.hears(), Some(b.stream(call.callee)));
}

#[test]
fn a_page_needs_no_access_number_and_no_port() {
    let mut b = Bench::with(Settings { access_number: None, ..settings() }, seed(), Restored::default());
    let phone = b.order_as("sue", order("anna", user("sue"), Some(1)));
    assert_eq!(phone.unwrap_err().code, "access-number-missing");
    b.order_as("sue", order("anna", ListenerOrder::Page, Some(1))).unwrap();
    let call = b.trunk_calls("1001", &[]).unwrap();
    b.core.shards.forget_ready();
    b.answer(call);
    assert_eq!(b.last_listening().state, ListeningState::Ringing);
}

#[test]
fn an_agent_does_not_watch_itself_in_its_browser() {
    let mut seed = seed();
    let sue = seed.users.iter_mut().find(|user| user.id == "sue").unwrap();
    sue.softphone = Some("anna".into());
    let mut b = Bench::with(settings(), seed, Restored::default());
    let refused = b.order_as("sue", order("anna", ListenerOrder::Page, Some(1))).unwrap_err();
    assert_eq!(refused.code, "listener-is-agent");
    // nor the call that it is in itself
    b.order_as(
        "sue",
        Order { directions: Some(vec![CallDirection::Internal]), ..order("bo", ListenerOrder::Page, Some(1)) },
    )
    .unwrap();
    b.dial("anna", "1002");
    assert_eq!(b.reasons(), [EndReason::ListenerInCall]);
}

#[test]
fn rights_that_are_withdrawn_end_it() {
    let (mut b, call, _, _, listener) = plays();
    let mut seed = seed();
    seed.users.retain(|user| user.id != "sue");
    b.drive(Input::Reload(seed));
    assert_eq!(b.reasons(), [EndReason::AgentNotMonitorable]);
    assert!(b.listener_closed(listener));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn three_calls_in_a_row_that_nobody_opens_suspend_the_request() {
    let (mut b, call, _) = rings();
    b.seconds(31);
    b.bye(call.caller);
    for _ in 0..2 {
        let call = b.call("1001");
        b.seconds(31);
        b.bye(call.caller);
    }
    assert_eq!(b.requests.values().next().unwrap().state, RequestState::Suspended);
}

#[test]
fn a_stopping_engine_ends_players_too() {
    let (mut b, _, _, _, listener) = plays();
    b.drive(Input::Stop);
    assert_eq!(b.reasons(), [EndReason::EngineStopped]);
    assert!(b.listener_closed(listener));
    b.seconds(3);
    assert!(b.drained);
}
