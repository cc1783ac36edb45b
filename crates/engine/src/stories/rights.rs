//! Rights at order time are not rights for ever: they are judged again whenever a fork is attached.

use super::*;

/// Why, the change, and what listenings end with.
type Loss = (&'static str, fn(&mut Seed), EndReason);

/// What a reload can take away.
fn losses() -> Vec<Loss> {
    vec![
        ("the orderer is gone", |seed| seed.users.retain(|user| user.id != "sam"), EndReason::AgentNotMonitorable),
        (
            "the orderer is an integrator now",
            |seed| seed.users[2].role = Role::Integrator,
            EndReason::AgentNotMonitorable,
        ),
        (
            "the agent is in another group",
            |seed| seed.users[2].groups = Some(vec!["Sales".into()]),
            EndReason::AgentNotMonitorable,
        ),
        ("the agent is not monitorable", |seed| seed.agents[0].monitorable = false, EndReason::AgentNotMonitorable),
        ("the listener is not allowed", |seed| seed.users[2].listener_numbers.clear(), EndReason::PolicyDenied),
    ]
}

/// Sam, a supervisor, has an outside number called.
fn ordered() -> Bench {
    let mut b = Bench::new();
    b.order_as("sam", order("anna", number("+4799999999"), Some(5))).unwrap();
    b
}

/// Media was never told where the listener is.
fn sent_nothing(b: &Bench) -> bool {
    !b.media.iter().any(|c| matches!(c, media::Command::Listen { .. }))
}

fn reload(b: &mut Bench, change: fn(&mut Seed)) {
    let mut seeds = seed();
    change(&mut seeds);
    b.drive(Input::Reload(seeds));
}

#[test]
fn before_the_call() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        reload(&mut b, lose);
        b.call("1001");
        assert_eq!((b.listeners().len(), b.reasons()), (0, vec![reason]), "{why}");
        assert_eq!(b.entries("listening.started").len(), 0, "{why}");
        assert_eq!(b.entries("listening.ended").len(), 1, "{why}");
    }
}

#[test]
fn while_its_record_is_being_written() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.hold_store = true;
        b.call("1001");
        reload(&mut b, lose);
        b.hold_store = false;
        for (persist, _) in std::mem::take(&mut b.held_back) {
            b.drive(Input::Persisted { persist, result: Ok(()) });
        }
        assert_eq!((b.listeners().len(), b.reasons()), (0, vec![reason]), "{why}");
    }
}

#[test]
fn while_a_busy_listener_waits_to_be_tried_again() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.call("1001");
        let ear = b.listener().leg;
        b.leaves(ear, Some(486));
        reload(&mut b, lose);
        b.seconds(60);
        assert_eq!((b.listeners().len(), b.reasons()), (1, vec![reason]), "{why}");
    }
}

#[test]
fn while_it_rings() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.call("1001");
        let ear = b.listener().leg;
        b.ring(ear);
        reload(&mut b, lose);
        assert_eq!(b.reasons(), vec![reason], "{why}");
        assert_eq!(b.ended_by_us(ear).expect("a CANCEL").cause, 487, "{why}");
        // its 200 crosses our CANCEL
        b.planned(ear, session(false, true));
        b.says(signalling::Event::Answered { leg: ear });
        assert!(sent_nothing(&b), "{why}");
    }
}

#[test]
fn while_it_listens() {
    for (why, lose, reason) in losses() {
        let mut b = ordered();
        b.call("1001");
        let ear = b.listens();
        assert!(b.hears().is_some());
        reload(&mut b, lose);
        assert_eq!(b.reasons(), vec![reason], "{why}");
        assert_eq!(b.ended_by_us(ear).expect("a BYE").cause, 200, "{why}");
    }
}

/// Changes the directory so that nobody is told: only a check at the moment itself can see it.
fn silently(b: &mut Bench) {
    b.core.directory.users.get_mut("sam").unwrap().seed.listener_numbers.clear();
}

#[test]
fn judged_anew_when_ringing_begins() {
    let mut b = ordered();
    b.hold_store = true;
    b.call("1001");
    silently(&mut b);
    for (persist, _) in std::mem::take(&mut b.held_back) {
        b.drive(Input::Persisted { persist, result: Ok(()) });
    }
    assert_eq!((b.listeners().len(), b.reasons()), (0, vec![EndReason::PolicyDenied]));
}

#[test]
fn judged_anew_when_the_listener_answers() {
    let mut b = ordered();
    b.call("1001");
    silently(&mut b);
    let ear = b.listens();
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert!(b.ended_by_us(ear).is_some() && sent_nothing(&b));
}

#[test]
fn judged_anew_when_the_first_packet_leaves() {
    let mut b = ordered();
    b.call("1001");
    b.media_live = false;
    let ear = b.listens();
    silently(&mut b);
    let listener = b.media_listener();
    b.drive(Input::Media(media::Event::Live { listener }));
    assert_eq!(b.reasons(), vec![EndReason::PolicyDenied]);
    assert!(b.ended_by_us(ear).is_some() && b.entries("listening.live").is_empty());
}

#[test]
fn judged_anew_when_the_ear_moves_to_a_consultation() {
    let mut b = ordered();
    let call = b.call("1001");
    let ear = b.listens();
    let before = b.hears();
    b.hold(call.callee);
    silently(&mut b);
    let consultation = b.dial("anna", "1002");
    assert_eq!((b.hears(), b.reasons()), (before, vec![EndReason::PolicyDenied]), "never on the second call");
    assert!(b.ended_by_us(ear).is_some());
    b.bye(consultation.caller);
}

#[test]
fn of_two_on_one_ear_only_the_one_without_rights_ends() {
    let mut b = Bench::new();
    b.order_as("sam", order("anna", number("+4799999999"), Some(5))).unwrap();
    b.order_as("admin", order("anna", number("+4799999999"), Some(5))).unwrap();
    b.call("1001");
    let ear = b.listens();
    assert_eq!(b.listeners().len(), 1, "one leg serves both");
    reload(&mut b, |seed| seed.users.retain(|user| user.id != "sam"));
    assert_eq!(b.reasons(), vec![EndReason::AgentNotMonitorable]);
    assert!(b.ended_by_us(ear).is_none() && b.hears().is_some());
}

#[test]
fn a_listener_who_is_gone_is_nobody_any_more() {
    let mut b = Bench::new();
    b.order_as("admin", order("anna", user("sue"), Some(5))).unwrap();
    reload(&mut b, |seed| seed.users.retain(|user| user.id != "sue"));
    b.call("1001");
    assert_eq!((b.listeners().len(), b.reasons()), (0, vec![EndReason::PolicyDenied]));
}
