//! No listener gets less protection than the call that it hears.

use signalling::{Key, SessionKeys, Suite};

use super::*;
use crate::directory::Srtp;

pub(super) fn encrypted(sends: bool, receives: bool) -> Session {
    let key = |byte| Key::new(Suite::AesCm128HmacSha1_80, &[byte; 30]).unwrap();
    let keys = SessionKeys { ours: key(1), theirs: key(2) };
    Session { mux: true, keys: Some(Box::new(keys)), ..session(sends, receives) }
}

/// Sue's softphone has this policy; she is to be called.
fn ordered(policy: Srtp, change: fn(&mut Settings)) -> Bench {
    let mut settings = settings();
    change(&mut settings);
    let mut seeds = seed();
    seeds.users.iter_mut().for_each(|user| user.phone.srtp = policy);
    let mut b = Bench::with(settings, seeds, Restored::default());
    b.order_as("admin", order("anna", user("sue"), Some(9))).unwrap();
    b
}

/// A call whose agent's leg is encrypted and whose other is plain.
fn encrypted_call(b: &mut Bench) -> Pair {
    let call = b.trunk_calls("1001", &[]).unwrap();
    b.planned(call.callee, encrypted(true, true));
    b.says(signalling::Event::Answered { leg: call.callee });
    b.planned(call.caller, session(true, true));
    b.says(signalling::Event::Answered { leg: call.caller });
    call
}

/// How the last listener was called.
fn demanded(b: &Bench) -> bool {
    let wire = b.wire.lock().unwrap();
    let calls = wire.commands.iter().rev();
    calls
        .filter_map(|c| if let signalling::Command::Call { encrypted, .. } = c { Some(*encrypted) } else { None })
        .next()
        .expect("a listener was called")
}

fn answers(b: &mut Bench, of: Session) -> LegId {
    let leg = b.listener().leg;
    b.ring(leg);
    b.planned(leg, Session { sends: false, ..of });
    b.says(signalling::Event::Answered { leg });
    leg
}

#[test]
fn keys_and_multiplexing_reach_the_media_plane() {
    let mut b = ordered(Srtp::Offer, |_| {});
    let call = encrypted_call(&mut b);
    let stream = b.stream(call.callee);
    let described = b.media.iter().rev().find_map(|c| match c {
        media::Command::Describe { stream: of, remote } if *of == stream => Some(remote.clone()),
        _ => None,
    });
    let remote = described.expect("described");
    let keys = remote.keys.expect("keys");
    assert!(remote.mux && keys.ours.suite() == media::srtp::Suite::AesCm128HmacSha1_80);
    assert_eq!((keys.ours.key(), keys.theirs.salt()), (&[1; 16][..], &[2; 14][..]));
    let shown: Vec<_> = b.call_view(call).legs.into_iter().map(|leg| leg.srtp).collect();
    assert_eq!(shown, [None, Some("AES_CM_128_HMAC_SHA1_80".to_owned())]);
    answers(&mut b, encrypted(false, true));
    let listens = b.media.iter().rev().find_map(|c| match c {
        media::Command::Listen { remote, .. } => Some(remote.clone()),
        _ => None,
    });
    let remote = listens.expect("a listener");
    assert!(remote.mux && remote.keys.is_some() && b.hears().is_some());
}

#[test]
fn a_phone_that_is_never_encrypted_is_not_called() {
    let mut b = ordered(Srtp::Off, |_| {});
    let call = encrypted_call(&mut b);
    assert_eq!((b.listeners().len(), b.reasons()), (0, vec![EndReason::PolicyDenied]));
    assert_eq!(b.entries("listening.ended").len(), 1);
    b.bye(call.caller);
    b.call("1001");
    assert_eq!(b.listeners().len(), 1, "a plain call is another matter");
    assert!(!demanded(&b));
}

#[test]
fn a_number_behind_the_trunk_is_as_protected_as_the_trunk() {
    for (policy, called) in [(Srtp::Off, 0), (Srtp::Offer, 1)] {
        let mut seeds = seed();
        seeds.trunks[0].srtp = policy;
        let mut b = Bench::with(settings(), seeds, Restored::default());
        b.order_as("admin", order("anna", number("+4799999999"), Some(5))).unwrap();
        encrypted_call(&mut b);
        assert_eq!(b.listeners().len(), called);
    }
}

#[test]
fn an_encrypted_call_is_offered_encrypted_alone() {
    for policy in [Srtp::Offer, Srtp::Require] {
        let mut b = ordered(policy, |_| {});
        encrypted_call(&mut b);
        assert!(demanded(&b));
        answers(&mut b, encrypted(false, true));
        assert!(b.hears().is_some());
        assert_eq!(b.last_listening().state, ListeningState::Live);
    }
}

#[test]
fn a_phone_that_cannot_is_denied_by_policy() {
    let mut b = ordered(Srtp::Offer, |_| {});
    let call = encrypted_call(&mut b);
    let leg = b.listener().leg;
    b.leaves(leg, Some(488)); // or its answer had no key: signalling says the same
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert_eq!(b.count("listenings_unprotected"), 1);
    b.bye(call.caller);
    b.call("1001");
    let leg = b.listener().leg;
    b.leaves(leg, Some(488));
    assert_eq!(b.reasons()[1], EndReason::ListenerUnreachable, "of a plain call it is something else");
}

#[test]
fn configured_otherwise_anybody_hears() {
    let mut b = ordered(Srtp::Off, |settings| settings.plain_listeners = true);
    encrypted_call(&mut b);
    assert!(!demanded(&b));
    b.listens();
    assert!(b.hears().is_some());
}

#[test]
fn a_call_that_becomes_encrypted_is_not_heard_plain() {
    let mut b = ordered(Srtp::Off, |_| {});
    let call = b.call("1001");
    let ear = b.listens();
    assert!(b.hears().is_some());
    let told = b.media.len();
    b.planned(call.callee, encrypted(true, true));
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert!(b.ended_by_us(ear).is_some());
    assert_eq!(b.count("listenings_unprotected"), 1);
    let place = |wanted: fn(&media::Command) -> bool| b.media[told..].iter().position(wanted).expect("told");
    let closed = place(|c| matches!(c, media::Command::CloseListener { .. }));
    assert!(closed < place(|c| matches!(c, media::Command::Describe { .. })), "before the keys");
}

#[test]
fn one_that_becomes_encrypted_while_the_listener_rings() {
    let mut b = ordered(Srtp::Offer, |_| {});
    let call = b.call("1001");
    assert!(!demanded(&b) && b.hears().is_some());
    b.planned(call.callee, encrypted(true, true));
    assert!(b.hears().is_none() && b.reasons().is_empty(), "nobody knows yet what its phone does");
    answers(&mut b, encrypted(false, true));
    assert!(b.hears().is_some(), "it took the key that it was offered");

    let mut b = ordered(Srtp::Offer, |_| {});
    let call = b.call("1001");
    b.planned(call.callee, encrypted(true, true));
    answers(&mut b, session(false, true));
    assert_eq!((b.hears(), b.reasons()), (None, vec![EndReason::PolicyDenied]));
}

#[test]
fn an_encrypted_consultation_is_silence_and_the_listening_goes_on() {
    let mut b = ordered(Srtp::Off, |_| {});
    let call = b.call("1001");
    b.listens();
    let before = b.hears();
    b.hold(call.callee);
    let consultation = b.phone_calls("anna", "1002").unwrap();
    b.ring(consultation.callee);
    b.planned(consultation.callee, encrypted(true, true));
    b.says(signalling::Event::Answered { leg: consultation.callee });
    b.planned(consultation.caller, session(true, true));
    b.says(signalling::Event::Answered { leg: consultation.caller });
    assert_eq!((b.hears(), b.reasons().len()), (None, 0));
    b.resume(call.callee);
    assert_eq!(b.hears(), None, "nor in a conference with it");
    b.bye(consultation.callee);
    assert_eq!(b.hears(), before);
    assert!(b.reasons().is_empty());
}

#[test]
fn a_late_offers_call_is_known_by_its_policy() {
    let mut seeds = seed();
    seeds.agents[0].phone.srtp = Srtp::Require;
    let mut b = Bench::with(settings(), seeds, Restored::default());
    b.order_as("admin", order("anna", user("sue"), Some(9))).unwrap();
    let call = b.trunk_calls("1001", &[]).unwrap();
    b.says(signalling::Event::Answered { leg: call.callee });
    b.says(signalling::Event::Answered { leg: call.caller });
    assert_eq!((b.listeners().len(), b.reasons()), (0, vec![EndReason::PolicyDenied]));
}

#[test]
fn a_plain_ear_takes_no_listening_of_an_encrypted_call() {
    let mut b = ordered(Srtp::Offer, |_| {});
    let first = b.call("1001");
    b.listens();
    // A second interaction of the same agent, encrypted, for the same listener.
    b.hold(first.callee);
    let second = b.trunk_calls("1001", &[("X-Interaction-Id", "other")]).unwrap();
    b.planned(second.callee, encrypted(true, true));
    b.says(signalling::Event::Answered { leg: second.callee });
    b.planned(second.caller, session(true, true));
    b.says(signalling::Event::Answered { leg: second.caller });
    assert_eq!(b.listeners().len(), 1);
    assert_eq!((b.hears(), b.reasons()), (None, vec![EndReason::PolicyDenied]));
}

#[test]
fn the_api_sets_an_agents_policy() {
    let mut b = Bench::new();
    let srtp = |word: &str| AgentChange { srtp: Some(word.into()), ..AgentChange::default() };
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: srtp("require") }).unwrap();
    let policy = |b: &Bench| b.core.directory.peers().accounts.iter().find(|a| a.user == "anna").unwrap().srtp;
    assert_eq!(policy(&b), Srtp::Require);
    let named = AgentChange { name: Some("Anna".into()), ..AgentChange::default() };
    b.command("platform", Command::PutAgent { id: "anna".into(), agent: named }).unwrap();
    assert_eq!(policy(&b), Srtp::Require, "what is left out stays");
    let problem = b.command("platform", Command::PutAgent { id: "anna".into(), agent: srtp("on") }).unwrap_err();
    assert_eq!((problem.code, problem.field), ("invalid-request", Some("srtp")));
}
