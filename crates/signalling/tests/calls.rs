//! Stories of a call between two parties: it begins, rings, is answered or not, and ends.

mod support;

use signalling::message::Method;
use signalling::{EndedBy, Event};
use support::*;

#[test]
fn a_call_goes_through() {
    let mut net = Net::new();
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0 8 101", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    assert_ne!(callee.call_id, caller.call_id);
    assert_eq!(header(&callee.invite, "Max-Forwards"), "69");
    assert_eq!(header(&callee.invite, "X-Queue"), "Support");
    assert_eq!(header(&callee.invite, "Supported"), "replaces");
    assert_eq!(line(&callee.invite, "c="), "c=IN IP4 192.0.2.1");
    assert_eq!(line(&callee.invite, "m=audio"), "m=audio 20004 RTP/AVP 0 8 101");
    assert!(header(&callee.invite, "From").starts_with("\"Caller 'X'\" <sip:+4755512345@medlytt.test>;tag="));
    callee.ring(&mut net, 180, None);
    assert!(!header(&net.expect(TRUNK, "180"), "Contact").is_empty());
    callee.answer(&mut net, Some(sdp(5000, "0 101", "sendrecv")));
    net.expect(ANNA, "ACK");
    let ok = caller.established(&mut net);
    assert_eq!(line(&ok, "m=audio"), "m=audio 20002 RTP/AVP 0 101");
    let legs = net.answered();
    let (callee_leg, caller_leg) = (legs[0], legs[1]);
    let session = net.session(caller_leg);
    assert_eq!(session.rtp, Some("10.9.9.9:4000".parse().unwrap()));
    assert!(session.sends && session.receives && !session.early);
    assert_eq!(session.payloads.iter().map(|payload| payload.pt).collect::<Vec<_>>(), [0]);
    assert_eq!(session.telephone_event, Some(101));
    assert_eq!(net.session(callee_leg).rtp, Some("10.9.9.9:5000".parse().unwrap()));
    net.seconds(60);
    caller.bye(&mut net);
    let bye = callee.byed(&mut net);
    assert!(!header(&bye, "Reason").is_empty());
    assert_eq!(net.end_of(caller_leg).by, EndedBy::Remote);
    assert_eq!(net.end_of(callee_leg).by, EndedBy::Local);
    assert_eq!((net.end_of(caller_leg).status, net.end_of(callee_leg).status), (None, None));
    net.nothing(TRUNK);
    net.nothing(ANNA);
    net.assert_clean();
}

#[test]
fn the_called_party_hangs_up_and_its_reason_passes() {
    let mut net = Net::new();
    let (caller, mut callee, ..) = call_up(&mut net);
    callee.request(&mut net, "BYE", "Reason: Q.850;cause=31;text=\"gone\"\r\n", None);
    net.expect(ANNA, "200");
    assert_eq!(header(&caller.byed(&mut net), "Reason"), "Q.850;cause=31;text=\"gone\"");
    net.assert_clean();
}

#[test]
fn early_media_passes_before_the_answer() {
    let mut net = Net::new();
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0 8", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.ring(&mut net, 183, Some(sdp(5000, "8", "sendrecv")));
    let progress = net.expect(TRUNK, "183");
    assert_eq!(line(&progress, "m=audio"), "m=audio 20002 RTP/AVP 8");
    let early: Vec<bool> = net
        .events
        .iter()
        .filter_map(|event| if let Event::MediaPlanned { session, .. } = event { Some(session.early) } else { None })
        .collect();
    assert_eq!(early, [true, true]);
    callee.answer(&mut net, None); // the description stood in the 183
    net.expect(ANNA, "ACK");
    let ok = caller.established(&mut net);
    assert_eq!(line(&ok, "o="), line(&progress, "o="), "the same description has the same version");
    assert!(!net.session(net.answered()[1]).early);
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_199_stays_with_us() {
    let mut net = Net::new();
    let caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.ring(&mut net, 199, None);
    net.nothing(TRUNK);
    caller.cancel(&mut net);
    net.expect(TRUNK, "200");
}

#[test]
fn the_caller_cancels() {
    let mut net = Net::new();
    let caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.ring(&mut net, 180, None);
    net.expect(TRUNK, "180");
    caller.cancel(&mut net);
    net.expect(TRUNK, "200");
    net.expect(TRUNK, "487");
    let cancel = net.expect(ANNA, "CANCEL");
    assert!(header(&cancel, "Reason").starts_with("SIP;cause=487"));
    assert_eq!(cancel.top_via().branch(), callee.invite.top_via().branch());
    callee.reply(&mut net, &cancel, 200, None);
    callee.reject(&mut net, 487, "");
    net.expect(ANNA, "ACK");
    let leg = net.offered()[0];
    assert_eq!((net.end_of(leg).by, net.end_of(leg).status), (EndedBy::Remote, Some(487)));
    net.assert_clean();
    assert_eq!(net.ended().len(), 2);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut net = Net::new();
    let caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.ring(&mut net, 180, None);
    caller.cancel(&mut net);
    let cancel = net.expect(ANNA, "CANCEL");
    callee.reply(&mut net, &cancel, 200, None);
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    net.expect(ANNA, "ACK");
    callee.byed(&mut net);
    net.assert_clean();
    assert_eq!(net.ended().len(), 2);
}

#[test]
fn refusals_pass_with_what_they_say() {
    for (status, passed) in [
        (486, "486"),
        (404, "404"),
        (600, "600"),
        (603, "603"),
        (302, "480"),
        (401, "480"),
        (407, "480"),
        (503, "503"),
        (488, "488"),
    ] {
        let mut net = Net::new();
        let caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
        let callee = Call::incoming(&mut net, ANNA);
        callee.reject(
            &mut net,
            status,
            "Retry-After: 17\r\nContact: <sip:elsewhere@10.1.1.1>\r\nReason: Q.850;cause=17\r\n",
        );
        net.expect(ANNA, "ACK");
        let refusal = net.expect(TRUNK, passed);
        assert_eq!(header(&refusal, "Retry-After"), "17");
        assert_eq!(header(&refusal, "Reason"), "Q.850;cause=17");
        assert_eq!(header(&refusal, "Contact"), "");
        caller.ack(&mut net, 1, None);
        let (callee_end, caller_end) = (net.ended()[0].1.clone(), net.ended()[1].1.clone());
        assert_eq!((callee_end.by, callee_end.status), (EndedBy::Remote, Some(status)));
        assert_eq!((caller_end.by, caller_end.status), (EndedBy::Local, Some(passed.parse().unwrap())));
        net.assert_clean();
    }
}

#[test]
fn nobody_there() {
    let mut net = Net::new();
    Call::out(&mut net, TRUNK, "rex", Some(sdp(4000, "0", "sendrecv")));
    net.expect(TRUNK, "480");
    assert_eq!(net.ended().len(), 2, "both legs end for the engine");
    net.assert_clean();
}

#[test]
fn a_dead_phone_is_given_up_after_timer_b() {
    let mut net = Net::new();
    Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    net.seconds(33);
    net.expect(TRUNK, "408");
    assert_eq!(net.ended()[0].1.by, EndedBy::Timeout);
    net.assert_clean();
}

#[test]
fn timer_c_ends_what_rings_for_ever() {
    let mut net = Net::new();
    Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.ring(&mut net, 180, None);
    net.expect(TRUNK, "180");
    net.seconds(181);
    net.expect(ANNA, "CANCEL");
    // The 180 is repeated once a minute (RFC 3261 §13.3.1.1).
    let answers: Vec<u16> = std::iter::from_fn(|| net.next(TRUNK)).map(|answer| answer.status()).collect();
    assert_eq!(answers.last(), Some(&408), "{answers:?}");
    callee.reject(&mut net, 487, "");
    net.assert_clean();
}

#[test]
fn a_late_offer_passes_and_its_answer_too() {
    let mut net = Net::new();
    let mut caller = Call::out(&mut net, TRUNK, "anna", None);
    let callee = Call::incoming(&mut net, ANNA);
    assert!(callee.invite.body().is_empty());
    callee.answer(&mut net, Some(sdp(5000, "8 0 101", "sendrecv")));
    net.nothing(ANNA);
    let ok = net.expect(TRUNK, "200");
    assert_eq!(line(&ok, "m=audio"), "m=audio 20002 RTP/AVP 8 0 101");
    caller.take_ok(&ok);
    caller.ack(&mut net, 1, Some(sdp(4000, "8 101", "sendrecv")));
    let ack = net.expect(ANNA, "ACK");
    assert_eq!(line(&ack, "m=audio"), "m=audio 20004 RTP/AVP 8 101");
    let legs = net.answered();
    assert_eq!(net.session(legs[0]).rtp, Some("10.9.9.9:5000".parse().unwrap()));
    assert_eq!(net.session(legs[1]).rtp, Some("10.9.9.9:4000".parse().unwrap()));
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_late_offer_whose_ack_never_comes_ends_both() {
    let mut net = Net::new();
    Call::out(&mut net, TRUNK, "anna", None);
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp(5000, "8 0", "sendrecv")));
    net.seconds(33);
    net.expect(ANNA, "ACK");
    callee.byed(&mut net);
    net.flush(TRUNK);
    net.assert_clean();
}

#[test]
fn the_answer_waits_for_media() {
    let mut net = Net::new();
    net.media_ok = None;
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    net.expect(ANNA, "ACK");
    net.nothing(TRUNK);
    let plan = net.plan().expect("a plan to be acknowledged");
    net.run(signalling::Input::MediaDone { plan, ok: true });
    caller.established(&mut net);
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn no_media_no_call() {
    for answer in [Some(false), None] {
        let mut net = Net::new();
        net.media_ok = answer;
        Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
        let callee = Call::incoming(&mut net, ANNA);
        callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
        net.seconds(3);
        net.expect(TRUNK, "503");
        net.expect(ANNA, "ACK");
        callee.byed(&mut net);
        net.assert_clean();
    }
}

#[test]
fn an_answer_without_a_common_codec_ends_the_call() {
    let mut net = Net::new();
    Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp(5000, "18", "sendrecv")));
    net.expect(TRUNK, "488");
    net.expect(ANNA, "ACK");
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn only_the_first_of_forked_answers_is_kept() {
    let mut net = Net::new();
    let mut caller = Call::out(&mut net, ANNA, "+47123", Some(sdp(4000, "0", "sendrecv")));
    let first = Call::incoming(&mut net, TRUNK);
    let mut second = first.clone();
    second.tag = "other".into();
    first.ring(&mut net, 180, None);
    second.ring(&mut net, 180, None);
    second.answer(&mut net, Some(sdp(5002, "0", "sendrecv")));
    net.expect(TRUNK, "ACK");
    first.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    let ack = net.expect(TRUNK, "ACK");
    assert_eq!(ack.to_tag(), first.tag);
    let bye = first.byed(&mut net);
    assert_eq!(bye.to_tag(), first.tag);
    net.expect(ANNA, "180");
    net.expect(ANNA, "180");
    caller.established(&mut net);
    caller.bye(&mut net);
    assert_eq!(second.byed(&mut net).to_tag(), "other");
    net.assert_clean();
}

#[test]
fn lost_messages_are_sent_again() {
    for lost in [Method::Invite, Method::Ack, Method::Bye] {
        for lost_status in [0, 200] {
            let mut net = Net::new();
            let mut left = 4;
            let method = lost.clone();
            net.lose = Box::new(move |message| {
                let hit = message.method() == method && message.status() == lost_status && left > 0;
                left -= u32::from(hit);
                hit
            });
            let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
            // The story's phones repeat nothing by themselves, so they do what a transaction would.
            let invite = String::from_utf8_lossy(caller.invite.bytes()).into_owned();
            for _ in 0..8 {
                net.send(TRUNK, invite.clone());
                net.pass(std::time::Duration::from_millis(500));
            }
            let callee = Call::incoming(&mut net, ANNA);
            for _ in 0..8 {
                callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
                net.pass(std::time::Duration::from_millis(500));
            }
            caller.established(&mut net);
            for _ in 0..8 {
                caller.ack(&mut net, 1, None);
            }
            net.flush(ANNA);
            net.flush(TRUNK);
            assert_eq!(net.answered().len(), 2, "{lost:?} {lost_status} lost");
            for _ in 0..6 {
                caller.request(&mut net, "BYE", "", None);
                net.seconds(5);
            }
            while let Some(bye) = net.next(ANNA) {
                callee.reply(&mut net, &bye, 200, None);
            }
            net.assert_clean();
            assert_eq!(net.ended().len(), 2, "{lost:?} {lost_status} lost");
        }
    }
}

#[test]
fn crossing_byes_are_both_answered() {
    let mut net = Net::new();
    let (mut caller, mut callee, ..) = call_up(&mut net);
    caller.bye(&mut net);
    let bye = net.expect(ANNA, "BYE");
    callee.request(&mut net, "BYE", "", None);
    net.expect(ANNA, "200");
    callee.reply(&mut net, &bye, 200, None);
    net.nothing(TRUNK);
    net.assert_clean();
}

#[test]
fn bye_waits_for_the_ack() {
    let mut net = Net::new();
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let mut callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    net.expect(ANNA, "ACK");
    callee.bye(&mut net);
    let ok = net.expect(TRUNK, "200");
    net.nothing(TRUNK);
    caller.take_ok(&ok);
    caller.ack(&mut net, 1, None);
    caller.byed(&mut net);
    net.assert_clean();
}

#[test]
fn the_engine_ends_calls_in_every_state() {
    let mut net = Net::new();
    // Offered.
    net.auto = false;
    Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    net.end(net.offered()[0], 503);
    let refusal = net.expect(TRUNK, "503");
    assert_eq!(header(&refusal, "Reason"), "SIP;cause=503;text=\"Test 'over'\"");
    // Ringing: by the callee's leg.
    net.auto = true;
    Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.ring(&mut net, 180, None);
    net.expect(TRUNK, "180");
    let ringing = net
        .events
        .iter()
        .rev()
        .find_map(|event| if let Event::Ringing { leg, .. } = event { Some(*leg) } else { None });
    net.end(ringing.unwrap(), 480);
    net.expect(TRUNK, "480");
    net.expect(ANNA, "CANCEL");
    callee.reject(&mut net, 487, "");
    net.expect(ANNA, "ACK");
    // Up.
    let (caller, callee, leg, _) = call_up(&mut net);
    net.end(leg, 200);
    assert!(header(&caller.byed(&mut net), "Reason").starts_with("SIP;cause=200"));
    callee.byed(&mut net);
    net.assert_clean();
    assert_eq!(net.ended().len(), 5);
}

#[test]
fn a_refused_offer_is_gone_without_an_end() {
    let mut net = Net::new();
    net.auto = false;
    Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let leg = net.offered()[0];
    net.order(signalling::Command::Refuse { leg, status: 503, retry_after: Some(30) });
    assert_eq!(header(&net.expect(TRUNK, "503"), "Retry-After"), "30");
    net.assert_clean();
    assert!(net.ended().is_empty());
}

#[test]
fn a_call_cancelled_while_the_engine_decides() {
    let mut net = Net::new();
    net.auto = false;
    let caller = Call::out(&mut net, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    caller.cancel(&mut net);
    net.expect(TRUNK, "200");
    net.expect(TRUNK, "487");
    let leg = net.offered()[0];
    let (callee, media) = (net.new_leg("anna", "x"), net.media());
    net.order(signalling::Command::Connect { caller: leg, caller_media: media, callee });
    net.nothing(ANNA);
    net.assert_clean();
    assert_eq!(net.ended().len(), 2);
}

#[test]
fn info_passes_across() {
    let mut net = Net::new();
    let (mut caller, callee, leg, _) = call_up(&mut net);
    caller.request(
        &mut net,
        "INFO",
        "Content-Type: application/dtmf-relay\r\nInfo-Package: x\r\n",
        Some("Signal=5\r\n".into()),
    );
    let info = net.expect(ANNA, "INFO");
    assert_eq!(
        (header(&info, "Content-Type"), header(&info, "Info-Package"), &info.body()[..]),
        ("application/dtmf-relay", "x", &b"Signal=5\r\n"[..])
    );
    net.nothing(TRUNK);
    callee.reply(&mut net, &info, 200, None);
    net.expect(TRUNK, "200");
    assert!(net.events.iter().any(|event| matches!(event, Event::Info { leg: of, .. } if *of == leg)));
    caller.request(&mut net, "MESSAGE", "", None);
    assert!(header(&net.expect(TRUNK, "405"), "Allow").contains("INVITE"));
    caller.request(&mut net, "OPTIONS", "", None);
    net.expect(TRUNK, "200");
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn an_info_that_nobody_answers_is_answered_in_time() {
    let mut net = Net::new();
    let (mut caller, callee, _, _) = call_up(&mut net);
    caller.request(&mut net, "INFO", "Content-Type: application/dtmf-relay\r\n", Some("Signal=5\r\n".into()));
    let info = net.expect(ANNA, "INFO");
    net.seconds(28);
    net.nothing(TRUNK);
    net.seconds(2);
    net.expect(TRUNK, "504"); // its Timer F is at 32 s
    while net.next(ANNA).is_some() {} // sent again and again
    callee.reply(&mut net, &info, 200, None);
    net.nothing(TRUNK);
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_trunk_is_followed_to_its_record_route() {
    let mut net = Net::new();
    let proxy = Phone { user: "proxy", addr: "10.0.0.8:5070" };
    let mut caller = Call::out_with(
        &mut net,
        TRUNK,
        "anna",
        Some(sdp(4000, "0", "sendrecv")),
        "Record-Route: <sip:10.0.0.8:5070;lr>\r\n",
    );
    let mut callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    net.expect(ANNA, "ACK");
    let ok = caller.established(&mut net);
    assert_eq!(header(&ok, "Record-Route"), "<sip:10.0.0.8:5070;lr>");
    callee.bye(&mut net);
    let bye = net.expect(proxy, "BYE");
    assert_eq!(header(&bye, "Route"), "<sip:10.0.0.8:5070;lr>");
    assert_eq!(bye.request_uri(), "sip:+4755512345@10.0.0.9:5060");
    caller.phone = proxy;
    caller.reply(&mut net, &bye, 200, None);
    net.assert_clean();
}

#[test]
fn any_codec_and_payload_map_passes_untouched() {
    let maps = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1; cbr=0\r\na=rtpmap:96 EVS/16000/1\r\n\
        a=fmtp:96 br=5.9-24.4;bw=nb-swb;max-red=0\r\na=rtpmap:97 X-nobody-knows/12345\r\na=rtpmap:110 telephone-event/48000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15,66\r\na=rtcp-fb:111 transport-cc\r\na=rtcp-fb:* nack\r\n\
        a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap-allow-mixed\r\na=ptime:60\r\na=maxptime:120\r\n\
        a=rtcp-rsize\r\na=ssrc:77 cname:a b\r\na=mid:0\r\na=sendrecv\r\n";
    // 98 has no name at all: whoever uses it knows what it is
    let of = |port: u16, formats: &str| {
        let head = sdp(port, formats, "sendrecv");
        head[..head.find("a=").unwrap()]
            .replace("RTP/AVP", "RTP/AVPF")
            .replace("t=0 0", "t=0 0\r\na=extmap-allow-mixed")
            + maps
    };
    let formats = "96 111 97 98 110 101";
    let passed = |message: &signalling::message::Message| {
        let text = String::from_utf8(message.body().to_vec()).unwrap();
        assert!(line(message, "m=").ends_with(&format!(" RTP/AVPF {formats}")), "{text}");
        assert!(text.ends_with(maps) && text.contains("t=0 0\r\na=extmap-allow-mixed\r\nm="), "{text}");
    };
    let mut net = Net::new();
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(of(4000, formats)));
    let mut callee = Call::incoming(&mut net, ANNA);
    passed(&callee.invite);
    callee.answer(&mut net, Some(of(5000, formats)));
    net.expect(ANNA, "ACK");
    passed(&caller.established(&mut net));
    // Also where the one thing in common has no name.
    callee.reinvite(&mut net, Some(sdp(5000, "98", "sendrecv")));
    let invite = caller.reinvited(&mut net, sdp(4000, "98", "sendrecv"));
    assert!(line(&invite, "m=").ends_with(" RTP/AVP 98"));
    net.expect(ANNA, "200");
    callee.ack(&mut net, callee.cseq, None);
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}
