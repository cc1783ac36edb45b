//! Stories of streams besides the audio stream: video, text, a second audio stream, and what is none of these.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod support;

use std::net::SocketAddr;

use signalling::message::Message;
use signalling::peers::Srtp;
use signalling::{Event, LegId, MediaAddress, OtherStream};
use support::*;

const VIDEO: &str = "video 4002 RTP/AVPF 96 97";
/// What a video stream says of itself, none of which is ours to change.
const ATTRIBUTES: &str = "b=AS:512\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=42e01f;packetization-mode=1\r\n\
    a=rtpmap:97 VP8/90000\r\na=rtcp-fb:* nack pli\r\na=rtcp-fb:96 ccm fir\r\na=extmap:3 urn:3gpp:video-orientation\r\n\
    a=extmap:5/sendrecv http://example.com/082005/ext.htm#ttime\r\na=ssrc:11 cname:x\r\na=label:main\r\na=X-own: 1\r\n";

/// An audio stream and these m-lines behind it.
fn with(port: u16, lines: &[&str]) -> String {
    let others: String = lines.iter().map(|line| format!("m={line}\r\n")).collect();
    sdp(port, "0 101", "sendrecv") + &others
}

fn spare(n: u16) -> MediaAddress {
    SocketAddr::from(([192, 0, 2, 1], 30_000 + 2 * n)).into()
}

/// A network whose engine has so many addresses to spare.
fn net(spares: u16) -> Net {
    let mut net = Net::new();
    net.core.spare_media().extend((1..=spares).rev().map(spare));
    net
}

fn lines(message: &Message, start: &str) -> Vec<String> {
    let text = String::from_utf8(message.body().to_vec()).unwrap();
    text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

/// Ports of all m-lines.
fn ports(message: &Message) -> Vec<u16> {
    lines(message, "m=").iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect()
}

fn taken(net: &Net) -> Vec<(LegId, u16)> {
    let taken = |event: &Event| match event {
        Event::MediaTaken { leg, media } => Some((*leg, media.v4.unwrap().port())),
        _ => None,
    };
    net.events.iter().filter_map(taken).collect()
}

/// The pairs that were told last.
fn pairs(net: &Net) -> Vec<[u16; 2]> {
    let told = net.events.iter().rev().find_map(|event| match event {
        Event::StreamsPaired { pairs } => Some(pairs.clone()),
        _ => None,
    });
    let port = |media: MediaAddress| media.v4.unwrap().port();
    let mut pairs: Vec<[u16; 2]> =
        told.unwrap_or_default().into_iter().map(|(a, b)| [port(a).min(port(b)), port(a).max(port(b))]).collect();
    pairs.sort_unstable();
    pairs
}

fn other(net: &Net, leg: LegId) -> OtherStream {
    net.session(leg).others.into_iter().next().expect("another stream")
}

/// A call with these descriptions that is up: the caller, the called one, their legs, and what each was sent.
fn up(net: &mut Net, offer: String, answer: String) -> (Call, Call, LegId, LegId, Message, Message) {
    let mut caller = Call::out(net, TRUNK, "anna", Some(offer));
    let callee = Call::incoming(net, ANNA);
    callee.answer(net, Some(answer));
    net.expect(ANNA, "ACK");
    let ok = caller.established(net);
    let legs = net.answered();
    let (invite, caller_leg, callee_leg) = (callee.invite.clone(), legs[legs.len() - 1], legs[legs.len() - 2]);
    (caller, callee, caller_leg, callee_leg, invite, ok)
}

/// With one video stream on both sides.
fn video_up(net: &mut Net) -> (Call, Call, LegId, LegId) {
    let (caller, agent, caller_leg, agent_leg, ..) =
        up(net, with(4000, &[VIDEO]), with(5000, &["video 5002 RTP/AVPF 96"]));
    (caller, agent, caller_leg, agent_leg)
}

fn over(net: &mut Net, mut one: Call, other: Call) {
    one.bye(net);
    other.byed(net);
    net.assert_clean();
}

#[test]
fn without_an_address_to_spare_it_is_refused_at_its_place() {
    let mut net = net(0);
    let offer =
        sdp(4000, "0", "sendrecv").replace("m=audio", "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio");
    let answer = sdp(5000, "0", "sendrecv").replace("m=audio", "m=video 0 RTP/AVP 96\r\nm=audio");
    let (caller, callee, caller_leg, _, invite, ok) = up(&mut net, offer, answer);
    for description in [&invite, &ok] {
        assert_eq!(lines(description, "m=")[0], "m=video 0 RTP/AVP 96");
        assert!(ports(description)[1] > 0);
    }
    assert!(net.session(caller_leg).others.is_empty() && net.counter("other_streams_refused") == 1);
    over(&mut net, caller, callee);
}

#[test]
fn video_is_relayed_and_what_it_says_of_itself_stays() {
    let mut net = net(8);
    let offer = with(4000, &[VIDEO]) + ATTRIBUTES + "a=rtcp:4003\r\na=sendrecv\r\n";
    let answer = with(5000, &["video 5002 RTP/AVPF 96"]) + ATTRIBUTES + "a=rtcp:5009 IN IP4 10.9.9.8\r\na=recvonly\r\n";
    let (caller, callee, caller_leg, callee_leg, invite, ok) = up(&mut net, offer, answer);
    let [(_, first), (_, second)] = taken(&net)[..] else { panic!("two addresses: {:?}", taken(&net)) };
    for (description, port, rest) in [(&invite, second, "96 97"), (&ok, first, "96")] {
        let text = String::from_utf8(description.body().to_vec()).unwrap();
        let video = &text[text.find("m=video").unwrap()..];
        let direction = if rest == "96" { "recvonly" } else { "sendrecv" };
        let rtcp = port + 1;
        assert_eq!(
            video,
            format!(
                "m=video {port} RTP/AVPF {rest}\r\n{ATTRIBUTES}a=rtcp:{rtcp} IN IP4 192.0.2.1\r\na={direction}\r\n"
            )
        );
    }
    let (of_caller, of_callee) = (other(&net, caller_leg), other(&net, callee_leg));
    assert_eq!(of_caller.rtp, Some("10.9.9.9:4002".parse().unwrap()));
    assert_eq!(of_callee.rtcp, Some("10.9.9.8:5009".parse().unwrap()));
    assert_eq!((of_caller.sends, of_caller.receives, of_callee.sends, of_callee.receives), (true, false, false, true));
    assert_eq!(pairs(&net), [[first.min(second), first.max(second)]]);
    assert_eq!((net.session(caller_leg).payloads[0].pt, net.session(caller_leg).rtp.unwrap().port()), (0, 4000));
    over(&mut net, caller, callee);
}

#[test]
fn who_answers_may_refuse_it_or_leave_it_out() {
    for answer in [with(5000, &["video 0 RTP/AVP 96"]), with(5000, &[])] {
        let mut net = net(8);
        let (caller, callee, caller_leg, callee_leg, invite, ok) = up(&mut net, with(4000, &[VIDEO]), answer);
        assert!(ports(&invite)[1] > 0);
        assert_eq!(ports(&ok)[1..], [0], "as many m-lines as were offered");
        for leg in [caller_leg, callee_leg] {
            let other = other(&net, leg);
            assert_eq!((other.rtp, other.sends, other.receives), (None, false, false));
        }
        over(&mut net, caller, callee);
    }
}

#[test]
fn what_is_no_rtp_or_not_for_one_host_is_refused() {
    let odd = [
        "image 4002 udptl t38",
        "message 4004 TCP/MSRP *",
        "application 4006 UDP/DTLS/SCTP webrtc-datachannel",
        "video 4008 RTP/SAVP 96",
        "video 4010 RTP/AVP 96\r\nc=IN IP4 224.1.1.1/127",
        "video 4012 RTP/AVP 96\r\na=rtcp:x",
        "video 4014 RTP/AVP H264",
        "text 4016 RTP/AVP 98\r\na=rtpmap:98 t140/1000",
    ];
    let mut net = net(8);
    let caller = Call::out(&mut net, TRUNK, "anna", Some(with(4000, &odd)));
    let callee = Call::incoming(&mut net, ANNA);
    let ports = ports(&callee.invite);
    assert_eq!(ports[1..8], [0; 7]);
    assert!(ports[8] > 0 && lines(&callee.invite, "m=").len() == 9);
    assert_eq!(lines(&callee.invite, "m=")[2], "m=message 0 TCP/MSRP *");
    caller.cancel(&mut net);
}

#[test]
fn three_are_relayed_and_no_more_and_only_what_addresses_are_left_for() {
    for (spares, relayed) in [(20, 3), (5, 2), (1, 0)] {
        let mut net = net(spares);
        Call::out(&mut net, TRUNK, "anna", Some(with(4000, &[VIDEO; 5])));
        let callee = Call::incoming(&mut net, ANNA);
        let live = ports(&callee.invite)[1..].iter().filter(|port| **port > 0).count();
        assert_eq!(live, relayed, "of {spares}");
        assert_eq!(net.counter("other_streams_refused"), 5 - relayed as u64);
    }
}

#[test]
fn an_address_of_another_shard_or_family_serves_nobody() {
    let mut net = Net::new();
    let six: SocketAddr = "[2001:db8::1]:30000".parse().unwrap();
    net.core.spare_media().extend([spare(1).on_shard(1), six.into(), spare(2).on_shard(1)]);
    let caller = Call::out(&mut net, TRUNK, "anna", Some(with(4000, &[VIDEO])));
    assert_eq!(ports(&Call::incoming(&mut net, ANNA).invite)[1], 0);
    assert!(net.core.spare_media().len() == 3 && taken(&net).is_empty());
    caller.cancel(&mut net);
}

#[test]
fn video_comes_and_goes_in_mid_call() {
    let mut net = net(8);
    let (mut caller, mut agent, caller_leg, agent_leg) = call_up(&mut net);
    for round in 0..2 {
        agent.reinvite(&mut net, Some(with(5000, &["video 5002 RTP/AVP 96"])));
        let invite = caller.reinvited(&mut net, with(4000, &["video 4002 RTP/AVP 96\r\na=sendonly"]));
        let ok = net.expect(ANNA, "200");
        agent.ack(&mut net, agent.cseq, None);
        let (to_caller, to_agent) = (ports(&invite)[1], ports(&ok)[1]);
        assert_eq!(taken(&net).len(), 2, "round {round}: the addresses stay");
        assert!(taken(&net).contains(&(caller_leg, to_caller)) && taken(&net).contains(&(agent_leg, to_agent)));
        assert_eq!(pairs(&net).len(), 1);
        assert_eq!((other(&net, caller_leg).sends, other(&net, caller_leg).receives), (true, false));
        // The caller ends the video.
        caller.reinvite(&mut net, Some(with(4000, &["video 0 RTP/AVP 96"])));
        let invite = agent.reinvited(&mut net, with(5000, &["video 0 RTP/AVP 96"]));
        assert_eq!(ports(&invite)[1], 0);
        assert_eq!(ports(&net.expect(TRUNK, "200"))[1], 0);
        caller.ack(&mut net, caller.cseq, None);
        for leg in [caller_leg, agent_leg] {
            assert_eq!((other(&net, leg).rtp, other(&net, leg).sends), (None, false));
        }
    }
    over(&mut net, caller, agent);
}

#[test]
fn each_stream_is_held_by_itself() {
    let mut net = net(8);
    let (caller, mut agent, caller_leg, agent_leg) = video_up(&mut net);
    agent.reinvite(&mut net, Some(with(5000, &["video 5002 RTP/AVPF 96\r\na=inactive"])));
    let invite = caller.reinvited(&mut net, with(4000, &["video 4002 RTP/AVPF 96"])); // it does not understand hold
    assert_eq!(lines(&invite, "a=inactive").len(), 1);
    let ok = net.expect(ANNA, "200");
    assert_eq!(lines(&ok, "a=inactive").len(), 1, "the answer stays inside its offer");
    agent.ack(&mut net, agent.cseq, None);
    assert!(!other(&net, caller_leg).sends && !other(&net, agent_leg).receives);
    assert!(net.session(caller_leg).sends && net.session(agent_leg).receives);
    // And in the old way, all of them.
    agent.reinvite(
        &mut net,
        Some(with(5000, &["video 5002 RTP/AVPF 96"]).replace("c=IN IP4 10.9.9.9", "c=IN IP4 0.0.0.0")),
    );
    let invite = caller.reinvited(&mut net, with(4000, &["video 4002 RTP/AVPF 96"]));
    assert_eq!(lines(&invite, "a=sendonly").len(), 2);
    net.expect(ANNA, "200");
    agent.ack(&mut net, agent.cseq, None);
    assert_eq!(other(&net, agent_leg).rtp, None);
    over(&mut net, agent, caller);
}

#[test]
fn an_offer_in_the_200_and_its_answer_in_the_ack() {
    let mut net = net(8);
    let mut caller = Call::out(&mut net, TRUNK, "anna", None);
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(with(5000, &["video 5002 RTP/AVP 96"])));
    let ok = net.expect(TRUNK, "200");
    assert!(ports(&ok)[1] > 0);
    caller.take_ok(&ok);
    caller.ack(&mut net, 1, Some(with(4000, &["video 4002 RTP/AVP 96"])));
    assert!(ports(&net.expect(ANNA, "ACK"))[1] > 0);
    assert_eq!((pairs(&net).len(), taken(&net).len()), (1, 2));
    let legs = net.answered();
    assert!(legs.iter().all(|leg| other(&net, *leg).sends));
    // A re-INVITE without an offer goes the same way.
    caller.reinvite(&mut net, None);
    let invite = net.expect(ANNA, "INVITE");
    callee.reply(&mut net, &invite, 200, Some(with(5000, &["video 0 RTP/AVP 96"])));
    assert_eq!(ports(&net.expect(TRUNK, "200"))[1], 0);
    caller.ack(&mut net, caller.cseq, Some(with(4000, &["video 0 RTP/AVP 96"])));
    assert_eq!(ports(&net.expect(ANNA, "ACK"))[1], 0);
    over(&mut net, caller, callee);
}

#[test]
fn branches_of_a_fork_answer_each_for_themselves() {
    let mut net = net(8);
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(with(4000, &[VIDEO])));
    let first = Call::incoming(&mut net, ANNA);
    let second = Call { tag: "other".into(), ..first.clone() };
    first.ring(&mut net, 183, Some(with(5000, &["video 5002 RTP/AVPF 96"])));
    assert!(ports(&net.expect(TRUNK, "183"))[1] > 0);
    assert_eq!(pairs(&net).len(), 1, "seen before it is answered");
    second.ring(&mut net, 183, Some(with(6000, &["video 0 RTP/AVPF 96"])));
    assert_eq!(ports(&net.expect(TRUNK, "183"))[1], 0);
    first.answer(&mut net, None); // its early answer stands
    net.expect(ANNA, "ACK");
    assert!(ports(&caller.established(&mut net))[1] > 0);
    let legs = net.answered();
    assert_eq!(other(&net, legs[0]).rtp, Some("10.9.9.9:5002".parse().unwrap()));
    over(&mut net, caller, first);
}

#[test]
fn a_second_audio_stream_never_stands_for_the_first() {
    let mut net = net(8);
    let offer = with(4000, &["audio 4002 RTP/AVP 8"]);
    let (caller, callee, caller_leg, callee_leg, invite, ok) =
        up(&mut net, offer.clone(), with(5000, &["audio 5002 RTP/AVP 8"]));
    assert!(ports(&invite).iter().chain(&ports(&ok)).all(|port| *port > 0));
    assert_eq!(net.session(callee_leg).rtp.unwrap().port(), 5000);
    assert_eq!(
        (other(&net, callee_leg).rtp.unwrap().port(), other(&net, caller_leg).rtp.unwrap().port()),
        (5002, 4002)
    );
    over(&mut net, caller, callee);
    // The first refused, the second accepted: nothing would be left to listen to.
    let mut net = self::net(8);
    Call::out(&mut net, TRUNK, "anna", Some(offer));
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(with(0, &["audio 5002 RTP/AVP 8"])));
    net.expect(ANNA, "ACK");
    callee.byed(&mut net);
    net.expect(TRUNK, "488");
    net.assert_clean();
}

fn refer(net: &mut Net, agent: &mut Call, to: &str) {
    agent.request(net, "REFER", &format!("Refer-To: <{to}>\r\n"), None);
    net.expect(agent.phone, "202");
    agent.notified(net);
}

#[test]
fn a_transfer_takes_the_video_along() {
    let mut net = net(8);
    let (caller, mut agent, caller_leg, _) = video_up(&mut net);
    refer(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    let at_target = ports(&target.invite)[1];
    target.answer(&mut net, Some(sdp(7000, "0 101", "sendrecv") + "m=video 7002 RTP/AVPF 96\r\n"));
    net.expect(BO, "ACK");
    net.nothing(TRUNK); // the same both ways: no re-INVITE
    let at_caller = other(&net, caller_leg).media.v4.unwrap().port();
    assert_eq!(pairs(&net), [[at_target.min(at_caller), at_target.max(at_caller)]]);
    agent.notified(&mut net);
    agent.bye(&mut net);
    over(&mut net, caller, target);
}

#[test]
fn a_target_without_video_ends_it_for_the_caller() {
    let mut net = net(8);
    let (caller, mut agent, caller_leg, _) = video_up(&mut net);
    refer(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    target.answer(&mut net, Some(sdp(7000, "0 101", "sendrecv")));
    net.expect(BO, "ACK");
    let invite = caller.reinvited(&mut net, with(4000, &["video 0 RTP/AVPF 96"]));
    assert_eq!(ports(&invite)[1..], [0], "its m-line stays (RFC 3264 §8)");
    assert_eq!(other(&net, caller_leg).rtp, None);
    agent.notified(&mut net);
    agent.bye(&mut net);
    over(&mut net, caller, target);
}

#[test]
fn an_attended_transfer_matches_the_m_lines_by_kind() {
    let mut net = net(20);
    let (caller, mut agent, caller_leg, _) = video_up(&mut net);
    let video_first = |port: u16| {
        sdp(port, "0 101", "sendrecv").replace("m=audio", &format!("m=video {} RTP/AVPF 96\r\nm=audio", port + 2))
    };
    let mut consulting = Call::out(&mut net, ANNA, "bo", Some(video_first(5100)));
    let bo = Call::incoming(&mut net, BO);
    bo.answer(&mut net, Some(video_first(7000)));
    net.expect(BO, "ACK");
    consulting.established(&mut net);
    let bo_leg = net.answered()[2];
    refer(
        &mut net,
        &mut agent,
        &format!(
            "sip:bo@medlytt.test?Replaces={}",
            consulting.replaces().replace(';', "%3B").replace('=', "%3D").replace('@', "%40")
        ),
    );
    let invite = caller.reinvited(&mut net, with(4000, &["video 4002 RTP/AVPF 96"]));
    assert!(
        lines(&invite, "m=")[0].starts_with("m=audio") && ports(&invite)[1] > 0,
        "audio stays first for the caller"
    );
    let (a, b) = (other(&net, caller_leg).media.v4.unwrap().port(), other(&net, bo_leg).media.v4.unwrap().port());
    assert_eq!(pairs(&net), [[a.min(b), a.max(b)]]);
    agent.notified(&mut net);
    agent.bye(&mut net);
    consulting.bye(&mut net);
    over(&mut net, caller, bo);
}

#[test]
fn a_phone_that_takes_a_legs_place_takes_its_video_too() {
    let mut net = net(20);
    let (caller, agent, caller_leg, _) = video_up(&mut net);
    let replaces = format!("Replaces: {}\r\n", agent.replaces());
    let mut new = Call::out_with(&mut net, TRUNK, "anna", Some(with(8000, &["video 8002 RTP/AVPF 96"])), &replaces);
    let before = pairs(&net);
    caller.reinvited(&mut net, with(4000, &["video 4002 RTP/AVPF 96"]));
    let at_new = ports(&new.established(&mut net))[1];
    agent.byed(&mut net);
    let at_caller = other(&net, caller_leg).media.v4.unwrap().port();
    assert_eq!(pairs(&net), [[at_new.min(at_caller), at_new.max(at_caller)]]);
    assert_ne!(pairs(&net), before);
    over(&mut net, new, caller);
}

#[test]
fn beside_encrypted_audio_nothing_goes_plain() {
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw\r\n";
    let plain = sdp(4000, "0", "sendrecv") + "m=video 4002 RTP/AVP 96\r\n";
    let keyed = sdp(4000, "0", "sendrecv").replace("RTP/AVP", "RTP/SAVP") + crypto + "m=video 4002 RTP/AVP 96\r\n";
    // Somebody who offers both ways to hear the same: it is one stream, not two.
    let either = keyed.replace("m=video 4002 RTP/AVP 96", "m=audio 4002 RTP/AVP 0");
    for (trunk, phones, offer, relayed) in [
        (Srtp::Offer, Srtp::Off, &keyed, false),
        (Srtp::Off, Srtp::Require, &plain, false),
        (Srtp::Offer, Srtp::Offer, &either, false),
        (Srtp::Offer, Srtp::Offer, &plain, true),
    ] {
        let mut net = secured(trunk, phones);
        net.core.spare_media().extend((1..=8).map(spare));
        let caller = Call::out(&mut net, TRUNK, "anna", Some(offer.clone()));
        let callee = Call::incoming(&mut net, ANNA);
        assert_eq!(ports(&callee.invite)[1] > 0, relayed, "{trunk:?} {phones:?}");
        assert_eq!(lines(&callee.invite, "m=video").iter().filter(|line| line.contains("SAVP")).count(), 0);
        caller.cancel(&mut net);
    }
}
