//! Two phones with SRTP, without anything between them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used)]

#[path = "air/mod.rs"]
mod air;

use std::time::Duration;

use air::Pair;
use bytes::Bytes;
use phone::{Dial, Policy, Srtp, State, Suite};
use signalling::sdp::Direction;

const EVERY: [Suite; 6] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];

fn pair(policies: [Policy; 2]) -> Pair {
    let mut p = Pair::encrypted(policies.map(|policy| Srtp { policy, ..Srtp::default() }));
    for phone in &mut p.phones {
        phone.habits_mut().rtcp = true;
    }
    p
}

#[test]
fn policies_meet() {
    use Policy::{Off, Offer, Require};
    for (policies, up, encrypted) in [
        ([Off, Offer], true, false),
        ([Offer, Off], true, false),
        ([Offer, Offer], true, true),
        ([Require, Offer], true, true),
        ([Offer, Require], true, true),
        ([Require, Off], false, false),
        ([Off, Require], false, false),
    ] {
        let mut p = pair(policies);
        let (a, b) = p.call();
        assert_eq!(p.state(0, a) == State::Up, up, "{policies:?}");
        for (who, call) in [(0, a), (1, b)].into_iter().filter(|_| up) {
            assert_eq!(p.session(who, call).srtp().is_some(), encrypted, "{policies:?}");
            assert_eq!(p.hears(who, call), [[620.0], [440.0]][who], "{policies:?}");
            assert_eq!(p.plain_on_the_air > 0, !encrypted, "{policies:?}");
        }
    }
}

#[test]
fn every_suite_is_spoken() {
    for suite in EVERY {
        let srtp = || Srtp { policy: Policy::Require, suites: vec![suite], mux: true };
        let mut p = Pair::encrypted([srtp(), srtp()]);
        p.phones.iter_mut().for_each(|phone| phone.habits_mut().rtcp = true);
        let (a, b) = p.call();
        assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]), "{suite:?}");
        assert!(p.session(0, a).srtp() == Some(suite) && p.session(1, b).mux(), "{suite:?}");
        assert!(!p.phones[1].call(b).unwrap().ears().rtcp.is_empty(), "reports on RTP's port");
        assert_eq!((p.plain_on_the_air, p.session(1, b).undecryptable()), (0, 0));
    }
}

#[test]
fn no_suite_in_common_is_no_call() {
    let srtp = |suite| Srtp { policy: Policy::Require, suites: vec![suite], mux: false };
    let mut p = Pair::encrypted([srtp(EVERY[0]), srtp(EVERY[4])]);
    let (a, _) = p.call();
    assert_eq!(p.phones[0].call(a).unwrap().status(), Some(488));
}

#[test]
fn a_hold_keeps_the_keys_and_a_renewal_does_not() {
    let mut p = pair([Policy::Require, Policy::Require]);
    let (a, b) = p.call();
    p.act(0, |phone, now, out| phone.hold(now, a, Direction::SendOnly, out));
    p.run(Duration::from_secs(1));
    p.act(0, |phone, now, out| phone.resume(now, a, out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    assert_eq!((p.session(0, a).rekeyed(), p.session(1, b).rekeyed()), (0, 0));
    p.act(0, |phone, now, out| phone.rekey(now, a, None, out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    assert_eq!((p.session(0, a).rekeyed(), p.session(1, b).rekeyed()), (1, 1));
    p.act(1, |phone, now, out| phone.rekey(now, b, Some(&[Suite::AeadAes256Gcm]), out));
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    assert_eq!(p.session(0, a).srtp(), Some(Suite::AeadAes256Gcm));
    assert_eq!(p.plain_on_the_air, 0);
}

#[test]
fn the_sequence_rolls_over() {
    let mut p = pair([Policy::Require, Policy::Require]);
    let (_, b) = p.call();
    p.run(Duration::from_secs(1_400)); // 70,000 packets
    let before = p.now;
    p.run(Duration::from_secs(1));
    assert!(p.phones[1].call(b).unwrap().ears().hears(440.0, before, p.now));
    assert_eq!(p.session(1, b).undecryptable(), 0);
}

#[test]
fn an_offer_in_the_answer_is_encrypted_too() {
    let mut p = pair([Policy::Offer, Policy::Require]);
    let a = p.act(0, |phone, now, out| phone.dial(now, Dial::to("sip:bo@example").late_offer(), out));
    p.run(Duration::from_millis(500));
    let b = p.last(1);
    assert_eq!((p.hears(0, a), p.hears(1, b)), (vec![620.0], vec![440.0]));
    assert!(p.session(0, a).srtp().is_some() && p.plain_on_the_air == 0);
}

#[test]
fn what_is_forged_or_plain_is_counted_and_not_heard() {
    let mut p = pair([Policy::Require, Policy::Require]);
    let (a, b) = p.call();
    p.run(Duration::from_millis(200));
    let before = p.phones[1].call(b).unwrap().ears().count;
    let plain =
        phone::rtp::Packet { payload_type: 0, marker: false, sequence: 1, timestamp: 1, ssrc: 1, payload: &[1; 160] };
    p.act(0, |phone, _, out| {
        phone.inject(a, phone::Kind::Rtp, Bytes::from(plain.write()), out);
        phone.inject(a, phone::Kind::Rtp, Bytes::from(vec![0x80; 3_000]), out);
        phone.inject(a, phone::Kind::Rtp, Bytes::new(), out);
    });
    p.run(Duration::from_millis(20));
    assert_eq!(p.session(1, b).undecryptable(), 3);
    assert!(p.phones[1].call(b).unwrap().ears().count <= before + 2, "its own voice alone went on");
}
