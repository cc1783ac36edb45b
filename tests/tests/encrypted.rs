//! SEMANTICS.md, "Encrypted media": parties with and without SRTP hear each other and are heard, and what goes over an
//! encrypted leg says nothing to anybody on the wire. (That no packet there is ever plain is checked in every story.)

use std::time::Duration;

use engine::directory::Srtp;
use engine::view::EndReason;
use phone::{Dial, OnCall, Policy, State, Suite};
use signalling::sdp::Direction;
use sim::{Leg, Quality, Setup, World, user};

const SECOND: Duration = Duration::from_secs(1);
const CM: Suite = Suite::AesCm128HmacSha1_80;
const GCM: Suite = Suite::AeadAes256Gcm;

/// A phone encrypts with these suites, and the engine knows its policy.
fn encrypts(setup: &mut Setup, name: &str, policy: Policy, suites: &[Suite]) {
    setup.phone(name).srtp = phone::Srtp { policy, suites: suites.to_vec(), mux: false };
    let known = match policy {
        Policy::Off => Srtp::Off,
        Policy::Offer => Srtp::Offer,
        Policy::Require => Srtp::Require,
    };
    match name {
        "trunk" => setup.directory.trunks[0].srtp = known,
        "admin" | "sue" | "sam" => setup.user(name).phone.srtp = known,
        _ => setup.agent(name).phone.srtp = known,
    }
}

/// These phones require SRTP, with the suite that all have.
fn all_encrypt(names: &'static [&'static str]) -> World {
    World::with(|setup| names.iter().for_each(|name| encrypts(setup, name, Policy::Require, &[CM])))
}

fn suite(w: &World, leg: Leg) -> Option<Suite> {
    w.call(leg).session().srtp()
}

/// Nobody on the wire hears anything on these legs, and their phones took every packet for authentic.
#[track_caller]
fn are_secret(w: &World, legs: &[Leg]) {
    for leg in legs {
        let (packets, heard) = w.overheard(*leg);
        assert!(packets > 30, "{packets} packets, or this proves nothing");
        assert_eq!(heard, [0u16; 0], "heard on the wire");
        assert_eq!(w.undecryptable(*leg), 0, "packets that are not authentic");
        assert_eq!(w.call(*leg).session().before_keys(), 0, "packets before their keys");
    }
    let broken = w.media_count(|c| c.srtp_auth_failed + c.srtp_unknown + c.srtp_replayed + c.srtp_malformed);
    assert_eq!((broken, w.media_count(|c| c.srtp_unsent)), (0, 0), "at the engine");
}

#[test]
fn each_leg_has_its_own_suite_or_none() {
    let suites = [
        Suite::AesCm128HmacSha1_80,
        Suite::AesCm128HmacSha1_32,
        Suite::AesCm256HmacSha1_80,
        Suite::AesCm256HmacSha1_32,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ];
    let one_side = [(None, Some(CM)), (Some(CM), None), (Some(GCM), None)];
    // What engine and agent agree on the engine offers, and the short tags it does not offer.
    let both = suites.into_iter().flat_map(|trunk| [CM, GCM].map(|agent| (Some(trunk), Some(agent))));
    for (trunk, agent) in one_side.into_iter().chain(both) {
        let mut w = World::with(|setup| {
            for (name, suite) in [("trunk", trunk), ("anna", agent)] {
                suite.into_iter().for_each(|suite| encrypts(setup, name, Policy::Require, &[suite]));
            }
            encrypts(setup, "sue", Policy::Require, &[GCM]);
        });
        let (out, inn) = w.call_agent();
        let (_, ear) = w.listen("anna", "sue");
        let encrypted = [(out, trunk), (inn, agent), (ear, Some(GCM))];
        encrypted.iter().for_each(|(leg, _)| w.tap(*leg));
        w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
        for (leg, expected) in encrypted {
            assert_eq!(suite(&w, leg), expected, "{trunk:?} {agent:?}");
            match expected {
                Some(_) => are_secret(&w, &[leg]),
                None => assert_eq!(w.overheard(leg).1, [440, 800], "a plain leg can be heard: the tap works"),
            }
        }
    }
}

#[test]
fn a_listener_of_a_plain_call_may_be_encrypted() {
    let mut w = all_encrypt(&["sue"]);
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.tap(ear);
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    are_secret(&w, &[ear]);
}

#[test]
fn a_listener_gets_no_less_protection_than_the_call() {
    for (known, phone) in [(Srtp::Off, Policy::Off), (Srtp::Offer, Policy::Off)] {
        let mut w = World::with(|setup| {
            encrypts(setup, "anna", Policy::Require, &[CM]);
            encrypts(setup, "sue", phone, &[CM]);
            setup.user("sue").phone.srtp = known;
        });
        let (out, inn) = w.call_agent();
        w.order("anna", user("sue")).calls(1).accepted();
        w.until_ended_with(EndReason::PolicyDenied);
        assert!(w.legs("sue").is_empty());
        w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    }
}

#[test]
fn configured_otherwise_a_plain_listener_hears_an_encrypted_call() {
    let mut w = World::with(|setup| {
        encrypts(setup, "anna", Policy::Require, &[CM]);
        setup.settings.plain_listeners = true;
    });
    let (_, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.tap(inn);
    w.everyone_hears(&[(inn, &[800]), (ear, &[440, 800])]);
    are_secret(&w, &[inn]);
}

#[test]
fn policies_that_do_not_meet_are_no_call() {
    for (known, phone, status) in [(Srtp::Off, Policy::Require, 488), (Srtp::Require, Policy::Off, 488)] {
        let mut w = World::with(|setup| {
            encrypts(setup, "trunk", phone, &[CM]);
            setup.directory.trunks[0].srtp = known;
        });
        let out = w.dial("trunk", World::inbound("1001"));
        w.until_ended(out);
        assert_eq!(w.call(out).status(), Some(status), "{known:?} {phone:?}");
    }
}

#[test]
fn an_offer_may_be_taken_or_left() {
    for (phone, encrypted) in [(Policy::Offer, Some(CM)), (Policy::Off, None)] {
        let mut w = World::with(|setup| {
            encrypts(setup, "anna", phone, &[CM]);
            setup.agent("anna").phone.srtp = Srtp::Offer;
        });
        let (out, inn) = w.call_agent();
        assert_eq!(suite(&w, inn), encrypted);
        w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    }
}

#[test]
fn hold_and_resume_keep_the_keys_and_the_roll_over_counter() {
    let mut w = all_encrypt(&["anna", "sue", "trunk"]);
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    for _ in 0..2 {
        w.hold(inn, Direction::SendOnly);
        w.run_for(SECOND);
        w.resume(inn);
        w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
        w.run_for(670 * SECOND); // 67,000 packets in both turns: every sequence number comes round once
    }
    for leg in [out, inn, ear] {
        w.tap(leg);
        assert_eq!(w.call(leg).session().rekeyed(), 0);
    }
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    are_secret(&w, &[out, inn, ear]);
}

#[test]
fn an_encrypted_agent_consults_a_plain_one_and_transfers_to_it() {
    let mut w = all_encrypt(&["anna", "sue"]);
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.hold(inn, Direction::SendOnly);
    let (consult, colleague) = w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo");
    [inn, consult, ear].into_iter().for_each(|leg| w.tap(leg));
    w.everyone_hears(&[(ear, &[440, 620]), (consult, &[620]), (colleague, &[440])]);
    are_secret(&w, &[consult, ear]);
    assert_eq!(w.refer_replacing(inn, "1002", consult), 202);
    w.until_ended(ear);
    w.until_ended_with(EndReason::AgentTransferred);
    w.everyone_hears(&[(out, &[620]), (colleague, &[800])]);
    assert_eq!((suite(&w, out), suite(&w, colleague)), (None, None));
}

#[test]
fn a_plain_agent_consults_an_encrypted_one_and_transfers_to_it() {
    let mut w = all_encrypt(&["bo"]);
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    w.hears_exactly(ear, &[440, 800]);
    w.hold(inn, Direction::SendOnly);
    let (consult, colleague) = w.connect("anna", Dial::to("sip:1002@medlytt.test"), "bo");
    w.tap(colleague);
    // The listener is plain, the consultation is not: silence until it is over.
    w.everyone_hears(&[(ear, &[]), (consult, &[620]), (colleague, &[440])]);
    assert_eq!(w.refer_replacing(inn, "1002", consult), 202);
    w.until_ended(ear);
    w.everyone_hears(&[(out, &[620]), (colleague, &[800])]);
    are_secret(&w, &[colleague]);
}

#[test]
fn a_blind_transfer_leads_from_an_encrypted_agent_to_a_plain_one_and_back() {
    for (from, to) in [(&["anna", "trunk"][..], None), (&["bo", "trunk"][..], Some(CM))] {
        let mut w = World::with(|setup| from.iter().for_each(|name| encrypts(setup, name, Policy::Require, &[CM])));
        let (out, inn) = w.call_agent();
        assert_eq!(w.refer(inn, "1002"), 202);
        let target = w.answered("bo");
        w.until_ended(inn);
        w.tap(out);
        w.everyone_hears(&[(out, &[620]), (target, &[800])]);
        assert_eq!((suite(&w, out), suite(&w, target)), (Some(CM), to));
        are_secret(&w, &[out]);
    }
}

#[test]
fn keys_are_renewed_with_packets_under_way() {
    let far = Quality { latency: Duration::from_millis(45), ..Quality::default() };
    let mut w = World::with(|setup| {
        ["anna", "trunk", "sue"].into_iter().for_each(|name| encrypts(setup, name, Policy::Require, &[CM, GCM]));
        (setup.sip, setup.rtp) = (far, far);
    });
    let (out, inn) = w.call_agent();
    let (_, ear) = w.listen("anna", "sue");
    [out, inn, ear].into_iter().for_each(|leg| w.tap(leg));
    w.run_for(SECOND);
    let before = w.now();
    for (leg, suites) in [(inn, None), (out, None), (ear, None), (inn, Some(&[GCM][..]))] {
        let cseq = w.act(leg, |p, now, call, o| p.rekey(now, call, suites, o));
        assert_eq!(w.answer_to(leg, cseq).status, 200);
        w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    }
    let rekeyed = [out, inn, ear].map(|leg| w.call(leg).session().rekeyed());
    assert_eq!((rekeyed, suite(&w, inn), suite(&w, out)), ([1, 2, 1], Some(GCM), Some(CM)));
    for leg in [out, inn] {
        w.is_one_stream(leg, before);
    }
    are_secret(&w, &[out, inn, ear]);
}

#[test]
fn a_late_offer_is_encrypted() {
    let mut w = all_encrypt(&["anna", "trunk", "sue"]);
    let (out, inn) = w.connect("trunk", World::inbound("1001").late_offer(), "anna");
    let (_, ear) = w.listen("anna", "sue");
    [out, inn, ear].into_iter().for_each(|leg| w.tap(leg));
    w.everyone_hears(&[(out, &[440]), (inn, &[800]), (ear, &[440, 800])]);
    are_secret(&w, &[out, inn, ear]);
}

#[test]
fn early_media_is_encrypted() {
    let mut w = all_encrypt(&["anna", "trunk"]);
    w.on_call("anna", OnCall::Ring);
    w.habits("anna", |habits| habits.early_media = true);
    let out = w.dial("trunk", World::inbound("1001"));
    let inn = w.next_call("anna");
    [out, inn].into_iter().for_each(|leg| w.tap(leg));
    w.hears_exactly(out, &[440]);
    assert_eq!(w.state(out), State::Ringing);
    w.answer(inn);
    w.until_up(inn);
    w.everyone_hears(&[(out, &[440]), (inn, &[800])]);
    are_secret(&w, &[out, inn]);
}

#[test]
fn reports_are_encrypted_on_their_own_port_and_on_the_same() {
    for mux in [false, true] {
        let mut w = World::with(|setup| {
            for name in ["anna", "trunk"] {
                encrypts(setup, name, Policy::Require, &[GCM]);
                setup.phone(name).srtp.mux = mux;
            }
        });
        ["anna", "trunk"].into_iter().for_each(|name| w.habits(name, |habits| habits.rtcp = true));
        let (out, inn) = w.call_agent();
        [out, inn].into_iter().for_each(|leg| w.tap(leg));
        w.run_for(6 * SECOND);
        for leg in [out, inn] {
            assert!(w.call(leg).ears().rtcp.len() >= 2, "reports come through");
        }
        assert_eq!(w.call(out).session().mux(), mux);
        are_secret(&w, &[out, inn]);
    }
}
