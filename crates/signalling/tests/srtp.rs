//! Stories of encrypted legs: keys in SDP (RFC 4568, 8643), policies, re-keying, and RTCP on RTP's port (RFC 5761).

mod support;

use signalling::message::Message;
use signalling::peers::Srtp;
use signalling::{Command, EndedBy, Event, LegId, Suite};
use support::*;

/// Keys of phones as base64: 30 bytes each.
const K1: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";
const K2: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIz";
const CM80: &str = "AES_CM_128_HMAC_SHA1_80";
const CM32: &str = "AES_CM_128_HMAC_SHA1_32";

/// A description over SRTP with these lines of keys.
fn savp(port: u16, direction: &str, crypto: &[String]) -> String {
    avp(port, direction, crypto).replace("RTP/AVP", "RTP/SAVP")
}

/// The same over plain RTP (RFC 8643).
fn avp(port: u16, direction: &str, crypto: &[String]) -> String {
    sdp(port, "0", direction) + &crypto.concat()
}

fn crypto(tag: u32, suite: &str, key: &str) -> String {
    format!("a=crypto:{tag} {suite} inline:{key}\r\n")
}

fn one(key: &str) -> [String; 1] {
    [crypto(1, CM80, key)]
}

/// The lines of keys in a message.
fn cryptos(message: &Message) -> Vec<String> {
    let body = message.body();
    let text = String::from_utf8_lossy(&body).into_owned();
    text.lines().filter(|line| line.starts_with("a=crypto:")).map(str::to_owned).collect()
}

fn profile(message: &Message) -> String {
    line(message, "m=audio").split(' ').nth(2).unwrap_or_default().to_owned()
}

/// Our key for this suite in a message.
fn inline<'a>(lines: &'a [String], suite: &str) -> &'a str {
    lines.iter().find(|line| line.contains(suite)).and_then(|line| line.split("inline:").nth(1)).unwrap_or_default()
}

/// A leg's keys: suite, ours and theirs as they stand in SDP.
fn keys(net: &Net, leg: LegId) -> Option<(Suite, String, String)> {
    let keys = net.session(leg).keys?;
    Some((keys.suite(), base64(keys.ours.bytes()), base64(keys.theirs.bytes())))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let letters = bits.chunks(6).map(|six| (0..6).fold(0, |value, at| value << 1 | six.get(at).unwrap_or(&0)));
    let text: String = letters.map(|value| char::from(ALPHABET[usize::from(value)])).collect();
    let padding = (4 - text.len() % 4) % 4;
    text + &"=".repeat(padding)
}

/// A call from an encrypted trunk to an encrypted agent that is up.
fn encrypted_call(net: &mut Net) -> (Call, Call, LegId, LegId) {
    let mut caller = Call::out(net, TRUNK, "anna", Some(savp(4000, "sendrecv", &one(K1))));
    let mut callee = Call::incoming(net, ANNA);
    callee.answer(net, Some(savp(5000, "sendrecv", &one(K2))));
    net.expect(ANNA, "ACK");
    caller.established(net);
    callee.cseq = 100;
    let legs = net.answered();
    (caller, callee, legs[1], legs[0])
}

#[test]
fn each_leg_has_keys_of_its_own() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(savp(4000, "sendrecv", &one(K1))));
    let mut callee = Call::incoming(&mut net, ANNA);
    let offered = cryptos(&callee.invite);
    assert_eq!(profile(&callee.invite), "RTP/SAVP");
    let suites: Vec<_> = offered.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(suites, [CM80, "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_256_CM_HMAC_SHA1_80"]);
    assert!(!offered.concat().contains(K1), "the caller's key stays on its leg");
    callee.answer(&mut net, Some(savp(5000, "sendrecv", &one(K2))));
    net.expect(ANNA, "ACK");
    let ok = caller.established(&mut net);
    assert_eq!(profile(&ok), "RTP/SAVP");
    let told = cryptos(&ok);
    assert_eq!(told.len(), 1, "an answer names one key");
    assert!(told[0].starts_with("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"));
    let legs = net.answered();
    let (agent, trunk) = (keys(&net, legs[0]).unwrap(), keys(&net, legs[1]).unwrap());
    assert_eq!(agent, (Suite::AesCm128HmacSha1_80, inline(&offered, CM80).to_owned(), K2.to_owned()));
    assert_eq!(trunk, (Suite::AesCm128HmacSha1_80, inline(&told, CM80).to_owned(), K1.to_owned()));
    let mut all = vec![agent.1, agent.2, trunk.1, trunk.2];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4, "no key is used twice");
    callee.cseq = 10;
    callee.bye(&mut net);
    caller.byed(&mut net);
    net.assert_clean();
}

#[test]
fn one_leg_may_be_plain() {
    let mut net = secured(Srtp::Off, Srtp::Require);
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    assert_eq!((profile(&callee.invite).as_str(), cryptos(&callee.invite).len()), ("RTP/SAVP", 4));
    callee.answer(&mut net, Some(savp(5000, "sendrecv", &[crypto(1, CM80, K2)])));
    net.expect(ANNA, "ACK");
    let ok = caller.established(&mut net);
    assert_eq!((profile(&ok).as_str(), cryptos(&ok).len()), ("RTP/AVP", 0));
    let legs = net.answered();
    assert!(keys(&net, legs[0]).is_some() && keys(&net, legs[1]).is_none());
}

#[test]
fn policies_judge_what_is_offered() {
    let short = crypto(1, CM80, "AAAA");
    let null = crypto(1, "NULL_HMAC_SHA1_80", K1);
    let good = crypto(1, CM80, K1);
    let plain = avp(4000, "sendrecv", &[]);
    let opportunistic = avp(4000, "sendrecv", std::slice::from_ref(&good));
    let dtls = plain.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
    for (policy, offer, taken) in [
        (Srtp::Off, plain.clone(), Some(false)),
        (Srtp::Off, opportunistic.clone(), Some(false)),
        (Srtp::Off, savp(4000, "sendrecv", std::slice::from_ref(&good)), None),
        (Srtp::Off, dtls.clone(), None),
        (Srtp::Offer, plain.clone(), Some(false)),
        (Srtp::Offer, opportunistic.clone(), Some(true)),
        (Srtp::Offer, savp(4000, "sendrecv", std::slice::from_ref(&good)), Some(true)),
        (Srtp::Offer, savp(4000, "sendrecv", &[null.clone(), crypto(2, CM80, K1)]), Some(true)),
        (Srtp::Offer, savp(4000, "sendrecv", &[]), None),
        (Srtp::Offer, savp(4000, "sendrecv", std::slice::from_ref(&short)), None),
        (Srtp::Offer, savp(4000, "sendrecv", std::slice::from_ref(&null)), None),
        (Srtp::Offer, savp(4000, "sendrecv", &[good.replace("\r\n", " UNENCRYPTED_SRTP\r\n")]), None),
        (Srtp::Offer, savp(4000, "sendrecv", &[good.replace("\r\n", "|2^20|1:4\r\n")]), None),
        (Srtp::Offer, avp(4000, "sendrecv", &[short]), Some(false)),
        (Srtp::Offer, dtls.clone(), None),
        (Srtp::Require, plain, None),
        (Srtp::Require, opportunistic, Some(true)),
        (Srtp::Require, savp(4000, "sendrecv", &[good]), Some(true)),
        (Srtp::Require, savp(4000, "sendrecv", &[null]), None),
        (Srtp::Require, dtls, None),
    ] {
        let mut net = secured(policy, Srtp::Off);
        let mut caller = Call::out(&mut net, TRUNK, "anna", Some(offer.clone()));
        let Some(encrypted) = taken else {
            let refusal = net.expect(TRUNK, "488");
            assert!(header(&refusal, "Warning").starts_with("304 "), "{policy:?} {offer}");
            net.nothing(ANNA);
            net.assert_clean();
            continue;
        };
        let callee = Call::incoming(&mut net, ANNA);
        assert_eq!((profile(&callee.invite).as_str(), cryptos(&callee.invite).len()), ("RTP/AVP", 0));
        callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
        net.expect(ANNA, "ACK");
        let ok = caller.established(&mut net);
        assert!(offer.contains(&format!("{} 0\r\n", profile(&ok))), "the offer's profile");
        let leg = net.offered()[0];
        assert_eq!((cryptos(&ok).len() == 1, keys(&net, leg).is_some()), (encrypted, encrypted), "{policy:?} {offer}");
    }
}

#[test]
fn policies_judge_what_is_answered() {
    let good = || crypto(1, CM80, K2);
    for (policy, answer, taken) in [
        (Srtp::Off, avp(5000, "sendrecv", &[]), Some(false)),
        (Srtp::Off, avp(5000, "sendrecv", &[good()]), Some(false)),
        (Srtp::Off, savp(5000, "sendrecv", &[good()]), None),
        (Srtp::Offer, avp(5000, "sendrecv", &[]), Some(false)),
        (Srtp::Offer, avp(5000, "sendrecv", &[good()]), Some(true)),
        (Srtp::Offer, savp(5000, "sendrecv", &[good()]), Some(true)),
        (Srtp::Offer, avp(5000, "sendrecv", &[crypto(9, CM80, K2)]), None), // a tag that was not offered
        (Srtp::Offer, avp(5000, "sendrecv", &[crypto(1, CM32, K2)]), None), // nor was this under it
        (Srtp::Offer, savp(5000, "sendrecv", &[]), None),
        (Srtp::Require, savp(5000, "sendrecv", &[good()]), Some(true)),
        (Srtp::Require, savp(5000, "sendrecv", &[]), None),
        (Srtp::Require, avp(5000, "sendrecv", &[]), None),
        (Srtp::Require, savp(5000, "sendrecv", &[crypto(1, CM80, "AAAA")]), None),
    ] {
        let mut net = secured(Srtp::Off, policy);
        let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
        let callee = Call::incoming(&mut net, ANNA);
        let offered = (profile(&callee.invite), cryptos(&callee.invite).len());
        let shown = match policy {
            Srtp::Off => ("RTP/AVP".to_owned(), 0),
            Srtp::Offer => ("RTP/AVP".to_owned(), 4),
            Srtp::Require => ("RTP/SAVP".to_owned(), 4),
        };
        assert_eq!(offered, shown);
        callee.answer(&mut net, Some(answer.clone()));
        net.expect(ANNA, "ACK");
        match taken {
            Some(encrypted) => {
                caller.established(&mut net);
                let leg = net.answered()[0];
                assert_eq!(keys(&net, leg).is_some(), encrypted, "{policy:?} {answer}");
            }
            None => {
                net.expect(TRUNK, "488");
                caller.ack(&mut net, 1, None);
                callee.byed(&mut net);
                assert_eq!(net.counter("srtp_answers_refused"), 1);
                net.assert_clean();
            }
        }
    }
}

#[test]
fn of_two_streams_the_policys_is_taken() {
    let both = savp(4000, "sendrecv", &one(K1)) + "m=audio 4002 RTP/AVP 0\r\n";
    for (policy, profiles) in [(Srtp::Off, ["0", "RTP/AVP"]), (Srtp::Require, ["RTP/SAVP", "0"])] {
        let mut net = secured(policy, Srtp::Off);
        let mut caller = Call::out(&mut net, TRUNK, "anna", Some(both.clone()));
        let callee = Call::incoming(&mut net, ANNA);
        let at = if policy == Srtp::Off { 1 } else { 0 };
        let port = |port: u16| if at == 0 { (port, 0) } else { (0, port) };
        let (first, second) = port(5000);
        callee.answer(
            &mut net,
            Some(sdp(first, "0", "sendrecv") + &format!("m=audio {second} RTP/AVP 0\r\nc=IN IP4 10.9.9.9\r\n")),
        );
        net.expect(ANNA, "ACK");
        let ok = caller.established(&mut net);
        let body = ok.body();
        let text = String::from_utf8_lossy(&body).into_owned();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=audio")).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[at].contains(profiles[at]) && lines[1 - at].starts_with("m=audio 0 "), "{lines:?}");
        assert_eq!(net.session(net.offered()[0]).rtp.map(|rtp| rtp.port()), Some(if at == 1 { 4002 } else { 4000 }));
    }
}

#[test]
fn early_media_of_forks_has_the_key_of_whoever_speaks() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(savp(4000, "sendrecv", &one(K1))));
    let mut first = Call::incoming(&mut net, ANNA);
    let (caller_leg, callee_leg) = (net.offered()[0], LegId(2));
    let mut second = first.clone();
    (first.tag, second.tag) = ("one".into(), "two".into());
    first.ring(&mut net, 183, Some(savp(5000, "sendrecv", &one(K1))));
    let early = cryptos(&net.expect(TRUNK, "183"));
    assert_eq!(keys(&net, callee_leg).unwrap().2, K1);
    second.ring(&mut net, 183, Some(savp(5002, "sendrecv", &one(K2))));
    assert_eq!(cryptos(&net.expect(TRUNK, "183")), early, "the caller's leg keeps its key");
    assert_eq!(keys(&net, callee_leg).unwrap().2, K2);
    // A branch without keys is not heard; the call goes on.
    second.tag = "three".into();
    second.ring(&mut net, 183, Some(avp(5004, "sendrecv", &[])));
    assert!(net.expect(TRUNK, "183").body().is_empty());
    assert_eq!(keys(&net, callee_leg).unwrap().2, K2);
    second.tag = "two".into();
    second.answer(&mut net, None); // its answer was in the 183
    net.expect(ANNA, "ACK");
    let ok = caller.established(&mut net);
    assert_eq!(cryptos(&ok), early);
    assert_eq!((keys(&net, callee_leg).unwrap().2, keys(&net, caller_leg).unwrap().2), (K2.into(), K1.into()));
    assert!(!net.session(callee_leg).early);
}

#[test]
fn a_late_offer_is_encrypted_both_ways() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let mut caller = Call::out(&mut net, TRUNK, "anna", None);
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(savp(5000, "sendrecv", &[crypto(7, CM32, K2)])));
    let ok = net.expect(TRUNK, "200");
    let offered = cryptos(&ok);
    assert_eq!((profile(&ok).as_str(), offered.len()), ("RTP/SAVP", 4));
    caller.take_ok(&ok);
    caller.ack(&mut net, 1, Some(savp(4000, "sendrecv", &one(K1))));
    let ack = net.expect(ANNA, "ACK");
    let told = cryptos(&ack);
    assert!(told.len() == 1 && told[0].starts_with(&format!("a=crypto:7 {CM32} inline:")), "{told:?}");
    let legs = net.answered();
    assert_eq!(keys(&net, legs[0]).unwrap(), (Suite::AesCm128HmacSha1_32, inline(&told, CM32).into(), K2.into()));
    assert_eq!(keys(&net, legs[1]).unwrap(), (Suite::AesCm128HmacSha1_80, inline(&offered, CM80).into(), K1.into()));
}

#[test]
fn a_late_offer_or_answer_without_keys_ends_the_attempt() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let caller = Call::out(&mut net, TRUNK, "anna", None);
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    net.expect(ANNA, "ACK");
    net.expect(TRUNK, "488");
    caller.ack(&mut net, 1, None);
    callee.byed(&mut net);
    net.assert_clean();

    let mut net = secured(Srtp::Require, Srtp::Require);
    let mut caller = Call::out(&mut net, TRUNK, "anna", None);
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(savp(5000, "sendrecv", &one(K2))));
    let ok = net.expect(TRUNK, "200");
    caller.take_ok(&ok);
    caller.ack(&mut net, 1, Some(sdp(4000, "0", "sendrecv")));
    caller.byed(&mut net);
    net.expect(ANNA, "ACK");
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_re_invite_renews_the_keys_of_who_sends_it() {
    let mut net = secured(Srtp::Offer, Srtp::Offer);
    let (caller, mut agent, caller_leg, agent_leg) = encrypted_call(&mut net);
    let (before, across) = (keys(&net, agent_leg).unwrap(), keys(&net, caller_leg).unwrap());
    // A new key of theirs; the other leg is offered ours as it was.
    agent.reinvite(&mut net, Some(savp(5000, "sendrecv", &one(K1))));
    let invite = caller.reinvited(&mut net, savp(4000, "sendrecv", &one(K1)));
    assert_eq!((profile(&invite).as_str(), inline(&cryptos(&invite), CM80)), ("RTP/SAVP", across.1.as_str()));
    assert_eq!(cryptos(&invite).len(), 1);
    assert_eq!(inline(&cryptos(&net.expect(ANNA, "200")), CM80), before.1, "ours stays");
    agent.ack(&mut net, agent.cseq, None);
    assert_eq!(keys(&net, agent_leg).unwrap(), (before.0, before.1.clone(), K1.into()));
    assert_eq!(keys(&net, caller_leg).unwrap(), across);
    // Hold with the same key: nothing changes. The suite in force stays though another one stands before it.
    agent.reinvite(&mut net, Some(savp(5000, "sendonly", &[crypto(3, CM32, K2), crypto(4, CM80, K1)])));
    caller.reinvited(&mut net, savp(4000, "recvonly", &one(K1)));
    let told = cryptos(&net.expect(ANNA, "200"));
    assert_eq!(told, [format!("a=crypto:4 {CM80} inline:{}", before.1)]);
    agent.ack(&mut net, agent.cseq, None);
    assert_eq!(keys(&net, agent_leg).unwrap().2, K1);
    // Another suite alone: new keys on both sides.
    agent.reinvite(&mut net, Some(savp(5000, "sendrecv", &[crypto(1, CM32, K2)])));
    caller.reinvited(&mut net, savp(4000, "sendrecv", &one(K1)));
    net.expect(ANNA, "200");
    agent.ack(&mut net, agent.cseq, None);
    let after = keys(&net, agent_leg).unwrap();
    assert_eq!((after.0, after.2.as_str()), (Suite::AesCm128HmacSha1_32, K2));
    assert_ne!(after.1, before.1);
}

#[test]
fn a_refused_re_invite_leaves_the_old_keys() {
    let mut net = secured(Srtp::Offer, Srtp::Offer);
    let (mut caller, mut agent, caller_leg, agent_leg) = encrypted_call(&mut net);
    let before = (net.session(agent_leg), net.session(caller_leg));
    agent.reinvite(&mut net, Some(savp(5000, "sendrecv", &[crypto(1, CM32, K1)])));
    let invite = net.expect(TRUNK, "INVITE");
    caller.reply(&mut net, &invite, 488, None);
    net.expect(TRUNK, "ACK");
    net.expect(ANNA, "488");
    agent.ack(&mut net, agent.cseq, None);
    assert_eq!((net.session(agent_leg), net.session(caller_leg)), before);
    // What it is offered next is as before.
    caller.cseq = 10;
    caller.reinvite(&mut net, Some(savp(4000, "sendrecv", &one(K1))));
    let invite = agent.reinvited(&mut net, savp(5000, "sendrecv", &one(K2)));
    assert_eq!(inline(&cryptos(&invite), CM80), keys(&net, agent_leg).unwrap().1);
    net.expect(TRUNK, "200");
    caller.ack(&mut net, caller.cseq, None);
    assert_eq!((net.session(agent_leg), net.session(caller_leg)), before);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn nobody_takes_the_encryption_off_a_call() {
    for policy in [Srtp::Offer, Srtp::Require] {
        let mut net = secured(policy, policy);
        let (mut caller, mut agent, caller_leg, agent_leg) = encrypted_call(&mut net);
        let before = (net.session(agent_leg), net.session(caller_leg));
        for offer in [
            avp(5000, "sendrecv", &[]),
            savp(5000, "sendrecv", &[]),
            savp(5000, "sendrecv", &[crypto(1, CM80, "AAAA")]),
            avp(5000, "sendrecv", &[]).replace("RTP/AVP", "UDP/TLS/RTP/SAVP"),
        ] {
            for method in ["INVITE", "UPDATE"] {
                agent.request(&mut net, method, "", Some(offer.clone()));
                net.expect(ANNA, "488");
                if method == "INVITE" {
                    agent.ack(&mut net, agent.cseq, None);
                }
                net.nothing(TRUNK);
            }
        }
        // An answer does not either: the old session stands on both sides.
        caller.cseq = 10;
        caller.reinvite(&mut net, Some(savp(4000, "sendrecv", &one(K2))));
        agent.reinvited(&mut net, avp(5000, "sendrecv", &[]));
        net.expect(TRUNK, "488");
        caller.ack(&mut net, caller.cseq, None);
        assert_eq!((net.session(agent_leg), net.session(caller_leg)), before);
        assert_eq!(net.counter("srtp_answers_refused"), 1);
        caller.bye(&mut net);
        agent.byed(&mut net);
        net.assert_clean();
    }
}

#[test]
fn a_transfer_joins_encrypted_and_plain() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let (mut caller, mut agent, caller_leg, _) = encrypted_call(&mut net);
    let before = keys(&net, caller_leg).unwrap();
    agent.request(&mut net, "REFER", "Refer-To: <sip:bo@medlytt.test>\r\n", None);
    net.expect(ANNA, "202");
    agent.notified(&mut net);
    let target = Call::incoming(&mut net, BO);
    let offered = cryptos(&target.invite);
    assert_eq!((profile(&target.invite).as_str(), offered.len()), ("RTP/SAVP", 4));
    assert!(!offered.concat().contains(K1) && !offered.concat().contains(&before.1));
    target.answer(&mut net, Some(savp(7000, "sendonly", &one(K2))));
    net.expect(BO, "ACK");
    // The target receives nothing: the caller hears of that, under the key that it has.
    let invite = caller.reinvited(&mut net, savp(4000, "recvonly", &one(K1)));
    assert_eq!(inline(&cryptos(&invite), CM80), before.1);
    assert_eq!(keys(&net, caller_leg).unwrap(), before);
    let joined = net.events.iter().find_map(|event| match event {
        Event::TransferJoined { target, .. } => Some(*target),
        _ => None,
    });
    let target_leg = joined.expect("joined");
    assert_eq!(keys(&net, target_leg).unwrap().1, inline(&offered, CM80));
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 200 OK");
    agent.bye(&mut net);
    caller.cseq = 10;
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_target_without_keys_is_no_target() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let (mut caller, mut agent, ..) = encrypted_call(&mut net);
    agent.request(&mut net, "REFER", "Refer-To: <sip:bo@medlytt.test>\r\n", None);
    net.expect(ANNA, "202");
    agent.notified(&mut net);
    let target = Call::incoming(&mut net, BO);
    target.answer(&mut net, Some(sdp(7000, "0", "sendrecv")));
    net.expect(BO, "ACK");
    target.byed(&mut net);
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 488 Not Acceptable Here");
    net.nothing(TRUNK);
    caller.cseq = 10;
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn who_takes_a_legs_place_brings_its_own_keys() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let (caller, agent, caller_leg, _) = encrypted_call(&mut net);
    let before = keys(&net, caller_leg).unwrap();
    let replaces = format!("Replaces: {}\r\n", agent.replaces());
    Call::out_with(&mut net, TRUNK, "anna", Some(sdp(8000, "0", "sendrecv")), &replaces);
    net.expect(TRUNK, "488"); // plain
    let offer = savp(8000, "sendrecv", &[crypto(5, CM32, K2)]);
    let mut new = Call::out_with(&mut net, TRUNK, "anna", Some(offer), &replaces);
    let invite = caller.reinvited(&mut net, savp(4000, "sendrecv", &one(K1)));
    assert_eq!(inline(&cryptos(&invite), CM80), before.1);
    let ok = new.established(&mut net);
    assert!(cryptos(&ok)[0].starts_with(&format!("a=crypto:5 {CM32}")));
    agent.byed(&mut net);
    let new_leg = *net.offered().last().unwrap();
    assert_eq!(keys(&net, new_leg).map(|keys| (keys.0, keys.2)), Some((Suite::AesCm128HmacSha1_32, K2.into())));
    assert_eq!(keys(&net, caller_leg).unwrap(), before);
    new.bye(&mut net);
    caller.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_leg_that_was_agreed_plain_stays_so_in_what_we_offer() {
    let mut net = secured(Srtp::Offer, Srtp::Offer);
    let (caller, mut agent, caller_leg, _) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    let invite = caller.reinvited(&mut net, sdp(4000, "0", "recvonly"));
    assert!(cryptos(&invite).is_empty());
    net.expect(ANNA, "200");
    agent.ack(&mut net, agent.cseq, None);
    // Its own party may encrypt it.
    let mut caller = caller;
    caller.cseq = 10;
    caller.reinvite(&mut net, Some(avp(4000, "sendrecv", &one(K1))));
    agent.reinvited(&mut net, sdp(5000, "0", "sendrecv"));
    assert_eq!(cryptos(&net.expect(TRUNK, "200")).len(), 1);
    caller.ack(&mut net, caller.cseq, None);
    assert!(keys(&net, caller_leg).is_some());
}

fn listen_encrypted(net: &mut Net) -> LegId {
    let mut leg = net.new_leg("sue", "+4721000000");
    leg.identity = true;
    let id = leg.leg;
    let codecs = vec![codec(0, "PCMU"), codec(8, "PCMA")];
    let direction = signalling::sdp::Direction::SendOnly;
    net.order(Command::Call { leg, codecs, direction, encrypted: true });
    id
}

#[test]
fn a_listener_of_an_encrypted_call_is_offered_nothing_plain() {
    for policy in [Srtp::Off, Srtp::Offer, Srtp::Require] {
        let mut net = secured(Srtp::Off, policy);
        let leg = listen_encrypted(&mut net);
        let mut ear = Call::incoming(&mut net, SUE);
        let offered = cryptos(&ear.invite);
        assert_eq!((profile(&ear.invite).as_str(), offered.len()), ("RTP/SAVP", 4));
        ear.answer(&mut net, Some(savp(6000, "recvonly", &one(K1))));
        net.expect(SUE, "ACK");
        let got = keys(&net, leg).unwrap();
        assert_eq!(got, (Suite::AesCm128HmacSha1_80, inline(&offered, CM80).into(), K1.into()));
        // Its re-INVITE keeps the key, and takes nothing off.
        ear.reinvite(&mut net, Some(savp(6002, "recvonly", &one(K1))));
        assert_eq!(inline(&cryptos(&net.expect(SUE, "200")), CM80), got.1);
        ear.ack(&mut net, ear.cseq, None);
        ear.reinvite(&mut net, Some(avp(6002, "recvonly", &[])));
        net.expect(SUE, "488");
        ear.ack(&mut net, ear.cseq, None);
        ear.reinvite(&mut net, None);
        let ok = net.expect(SUE, "200");
        assert_eq!((profile(&ok).as_str(), inline(&cryptos(&ok), CM80)), ("RTP/SAVP", got.1.as_str()));
        ear.ack(&mut net, ear.cseq, Some(savp(6004, "recvonly", &one(K2))));
        assert_eq!(keys(&net, leg).unwrap().2, K2);
        net.end(leg, 200);
        ear.byed(&mut net);
        net.assert_clean();
    }
}

#[test]
fn a_listener_that_answers_it_plain_is_hung_up() {
    let mut net = secured(Srtp::Off, Srtp::Offer);
    let leg = listen_encrypted(&mut net);
    let ear = Call::incoming(&mut net, SUE);
    ear.answer(&mut net, Some(sdp(6000, "0", "recvonly")));
    net.expect(SUE, "ACK");
    ear.byed(&mut net);
    let end = net.end_of(leg);
    assert_eq!((end.by, end.status), (EndedBy::Remote, Some(488)));
    assert!(!net.events.iter().any(|event| matches!(event, Event::MediaPlanned { leg: of, .. } if *of == leg)));
    net.assert_clean();
}

#[test]
fn rtcp_shares_the_port_where_both_want_it() {
    let muxed = |text: String| text + "a=rtcp-mux\r\n";
    let is_muxed = |message: &Message| !line(message, "a=rtcp-mux").is_empty();
    for offers in [false, true] {
        let mut net = secured_with(Srtp::Off, Srtp::Off, |settings| settings.rtcp_mux = offers);
        let offer = muxed(sdp(4000, "0", "sendrecv")) + "a=rtcp:4009\r\n";
        let mut caller = Call::out(&mut net, TRUNK, "anna", Some(offer));
        let mut callee = Call::incoming(&mut net, ANNA);
        assert_eq!(is_muxed(&callee.invite), offers, "each leg for itself");
        callee.answer(&mut net, Some(muxed(sdp(5000, "0", "sendrecv"))));
        net.expect(ANNA, "ACK");
        let ok = caller.established(&mut net);
        assert!(is_muxed(&ok) && line(&ok, "a=rtcp:").is_empty());
        let (agent_leg, caller_leg) = (net.answered()[0], net.answered()[1]);
        let (of_caller, of_agent) = (net.session(caller_leg), net.session(agent_leg));
        assert!(of_caller.mux && of_caller.rtcp == of_caller.rtp);
        assert_eq!(
            (of_agent.mux, of_agent.rtcp == of_agent.rtp),
            (offers, offers),
            "what was not offered is not taken"
        );
        // A re-offer without it goes back to two ports; ours goes on offering what is in force.
        caller.cseq = 10;
        caller.reinvite(&mut net, Some(sdp(4000, "0", "sendrecv")));
        let invite = callee.reinvited(&mut net, sdp(5000, "0", "sendrecv"));
        assert_eq!(is_muxed(&invite), offers);
        assert!(!is_muxed(&net.expect(TRUNK, "200")));
        caller.ack(&mut net, caller.cseq, None);
        let (of_caller, of_agent) = (net.session(caller_leg), net.session(agent_leg));
        assert!(!of_caller.mux && !of_agent.mux);
        assert_eq!(of_caller.rtcp, Some("10.9.9.9:4001".parse().unwrap()));
        callee.cseq = 10;
        callee.reinvite(&mut net, Some(sdp(5000, "0", "sendrecv") + "a=rtcp-mux\r\na=rtcp-mux-only\r\n"));
        let invite = caller.reinvited(&mut net, sdp(4000, "0", "sendrecv"));
        assert_eq!(is_muxed(&invite), offers);
        let ok = net.expect(ANNA, "200");
        assert!(is_muxed(&ok) && line(&ok, "a=rtcp-mux-only").is_empty());
        callee.ack(&mut net, callee.cseq, None);
        assert!(net.session(agent_leg).mux);
        // In force by their offer: ours names it from now on.
        caller.reinvite(&mut net, Some(sdp(4000, "0", "sendrecv")));
        assert!(is_muxed(&callee.reinvited(&mut net, muxed(sdp(5000, "0", "sendrecv")))));
    }
}

#[test]
fn keys_are_never_shown() {
    let mut net = secured(Srtp::Require, Srtp::Require);
    let (_, _, caller_leg, agent_leg) = encrypted_call(&mut net);
    let shown = format!("{:?} {:?} {:?}", net.session(caller_leg), net.session(agent_leg), net.events);
    for secret in [keys(&net, caller_leg).unwrap(), keys(&net, agent_leg).unwrap()] {
        assert!(!shown.contains(&secret.1) && !shown.contains(&secret.2));
    }
    assert!(shown.contains("Key(AES_CM_128_HMAC_SHA1_80)") && !shown.contains("inline:"));
}

/// `sdp.proto-savp-no-crypto`, `sdp.crypto-short-key`, `sdp.crypto-null`, and `sdp.reoffer-crypto-drop` as a re-INVITE.
#[test]
fn hostile_descriptions_of_encrypted_calls() {
    let head = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 40000 ";
    for policy in [Srtp::Off, Srtp::Offer, Srtp::Require] {
        let mut net = secured(policy, policy);
        for rest in [
            "RTP/SAVP 0",
            "RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "RTP/SAVP 0\na=crypto:1 NULL_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw",
        ] {
            let call = Call::out(&mut net, TRUNK, "anna", Some(format!("{head}{rest}\n")));
            net.expect(TRUNK, "488");
            call.ack(&mut net, 1, None);
            net.flush(TRUNK);
            net.nothing(ANNA);
        }
        if policy == Srtp::Off {
            continue;
        }
        let (_, mut agent, caller_leg, agent_leg) = encrypted_call(&mut net);
        let before = (net.session(agent_leg), net.session(caller_leg));
        agent.reinvite(&mut net, Some(format!("{head}RTP/AVP 0\na=rtpmap:0 PCMU/8000\n")));
        net.expect(ANNA, "488");
        assert_eq!((net.session(agent_leg), net.session(caller_leg)), before);
        assert!(net.ended().is_empty(), "the call goes on as it was");
    }
}
