//! Stories of the listener's leg: it hears, is never heard, and follows nobody.

mod support;

use std::time::Duration;

use signalling::{Command, EndedBy, Event};
use support::*;

#[test]
fn a_listener_is_called_and_answers() {
    let mut net = Net::new();
    let leg = net.listen();
    let mut ear = Call::incoming(&mut net, SUE);
    assert_eq!(direction(&ear.invite), "sendonly");
    assert_eq!(line(&ear.invite, "m=audio"), "m=audio 20002 RTP/AVP 0 8");
    assert!(header(&ear.invite, "From").contains("<sip:+4721000000@medlytt.test>"));
    assert!(header(&ear.invite, "P-Asserted-Identity").contains("<sip:+4721000000@medlytt.test>"));
    ear.ring(&mut net, 180, None);
    assert!(
        net.events
            .iter()
            .any(|event| matches!(event, Event::Ringing { leg: of, status: 180, early_media: false } if *of == leg))
    );
    ear.answer(&mut net, Some(sdp(6000, "8", "sendrecv"))); // a phone that wants to talk
    net.expect(SUE, "ACK");
    assert_eq!(net.answered(), [leg]);
    let session = net.session(leg);
    assert!(!session.sends && session.receives, "a listener is never heard");
    assert_eq!(session.payloads[0].pt, 8);
    assert_eq!(session.rtp, Some("10.9.9.9:6000".parse().unwrap()));
    ear.bye(&mut net);
    assert_eq!(net.end_of(leg).by, EndedBy::Remote);
    net.assert_clean();
}

#[test]
fn a_listener_holds_us_and_comes_back() {
    let mut net = Net::new();
    let leg = net.listen();
    let mut ear = Call::incoming(&mut net, SUE);
    ear.answer(&mut net, Some(sdp(6000, "0", "recvonly")));
    net.expect(SUE, "ACK");
    ear.reinvite(&mut net, Some(sdp(6000, "0", "sendonly")));
    assert_eq!(direction(&net.expect(SUE, "200")), "inactive");
    ear.ack(&mut net, ear.cseq, None);
    assert!(!net.session(leg).receives);
    ear.request(&mut net, "UPDATE", "", Some(sdp_at("0.0.0.0", 6000, "0", "sendrecv")));
    assert_eq!(direction(&net.expect(SUE, "200")), "inactive");
    assert_eq!(net.session(leg).rtp, None);
    ear.reinvite(&mut net, Some(sdp(6002, "8 0", "sendrecv")));
    let ok = net.expect(SUE, "200");
    assert_eq!((direction(&ok), line(&ok, "m=audio").as_str()), ("sendonly", "m=audio 20002 RTP/AVP 8 0"));
    ear.ack(&mut net, ear.cseq, None);
    let session = net.session(leg);
    assert!(session.receives && !session.sends);
    assert_eq!(session.rtp, Some("10.9.9.9:6002".parse().unwrap()));
    // A codec that we do not have.
    ear.reinvite(&mut net, Some(sdp(6002, "18", "sendrecv")));
    net.expect(SUE, "488");
    ear.ack(&mut net, ear.cseq, None);
    // Without an offer: ours.
    ear.reinvite(&mut net, None);
    let ok = net.expect(SUE, "200");
    assert_eq!((direction(&ok), line(&ok, "m=audio").as_str()), ("sendonly", "m=audio 20002 RTP/AVP 0 8"));
    ear.ack(&mut net, ear.cseq, Some(sdp(6004, "0", "recvonly")));
    assert_eq!(net.session(leg).rtp, Some("10.9.9.9:6004".parse().unwrap()));
    net.end(leg, 200);
    ear.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_listener_that_does_not_take_the_call() {
    for status in [486, 600, 603, 404, 480, 503, 302] {
        let mut net = Net::new();
        let leg = net.listen();
        let ear = Call::incoming(&mut net, SUE);
        ear.reject(&mut net, status, "Contact: <sip:voicemail@10.1.1.1>\r\n");
        net.expect(SUE, "ACK");
        let end = net.end_of(leg);
        assert_eq!((end.by, end.status), (EndedBy::Remote, Some(status)));
        net.nothing(SUE); // a redirection is not followed
        net.assert_clean();
    }
}

#[test]
fn a_listener_that_does_not_pick_up() {
    let mut net = Net::new();
    let leg = net.listen();
    let ear = Call::incoming(&mut net, SUE);
    ear.ring(&mut net, 180, None);
    net.seconds(29);
    assert!(net.ended().is_empty());
    net.seconds(2);
    let cancel = net.expect(SUE, "CANCEL");
    assert!(!header(&cancel, "Reason").is_empty());
    assert_eq!((net.end_of(leg).by, net.end_of(leg).status), (EndedBy::Local, Some(487)));
    ear.reject(&mut net, 487, "");
    net.assert_clean();
}

#[test]
fn a_listener_that_answers_as_we_give_up() {
    let mut net = Net::new();
    let leg = net.listen();
    let ear = Call::incoming(&mut net, SUE);
    ear.ring(&mut net, 180, None);
    net.end(leg, 487);
    net.expect(SUE, "CANCEL");
    ear.answer(&mut net, Some(sdp(6000, "0", "recvonly")));
    net.expect(SUE, "ACK");
    ear.byed(&mut net);
    assert!(net.answered().is_empty());
    net.assert_clean();
}

#[test]
fn a_listener_without_a_codec_of_ours() {
    let mut net = Net::new();
    let leg = net.listen();
    let ear = Call::incoming(&mut net, SUE);
    ear.answer(&mut net, Some(sdp(6000, "18", "recvonly")));
    net.expect(SUE, "ACK");
    ear.byed(&mut net);
    assert_eq!((net.end_of(leg).by, net.end_of(leg).status), (EndedBy::Remote, Some(488)));
    net.assert_clean();
}

#[test]
fn a_second_phone_of_the_listener_answers_too() {
    let mut net = Net::new();
    net.listen();
    let first = Call::incoming(&mut net, SUE);
    let mut second = first.clone();
    second.tag = "second".into();
    first.answer(&mut net, Some(sdp(6000, "0", "recvonly")));
    net.expect(SUE, "ACK");
    second.answer(&mut net, Some(sdp(6002, "0", "recvonly")));
    assert_eq!(net.expect(SUE, "ACK").to_tag(), "second");
    assert_eq!(second.byed(&mut net).to_tag(), "second");
    assert!(net.ended().is_empty());
    // The first one's 200 again: its ACK again, no more.
    first.answer(&mut net, Some(sdp(6000, "0", "recvonly")));
    assert_eq!(net.expect(SUE, "ACK").to_tag(), first.tag);
    net.nothing(SUE);
}

#[test]
fn what_a_listener_says_goes_nowhere() {
    let mut net = Net::new();
    let leg = net.listen();
    let mut ear = Call::incoming(&mut net, SUE);
    ear.answer(&mut net, Some(sdp(6000, "0", "recvonly")));
    net.expect(SUE, "ACK");
    let before = net.events.len();
    ear.request(&mut net, "INFO", "Content-Type: application/dtmf-relay\r\n", Some("Signal=1\r\n".into()));
    net.expect(SUE, "200");
    ear.request(&mut net, "MESSAGE", "Content-Type: text/plain\r\n", Some("hello".into()));
    net.expect(SUE, "405");
    ear.request(&mut net, "REFER", "Refer-To: <sip:anna@medlytt.test>\r\n", None);
    net.expect(SUE, "603");
    let told = &net.events[before..];
    assert!(matches!(told, [Event::Info { .. }]), "the engine hears of keys alone: {told:?}");
    net.end(leg, 200);
    ear.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_probe_tells_whether_the_phone_is_there() {
    let mut net = Net::new();
    let leg = net.listen();
    let ear = Call::incoming(&mut net, SUE);
    ear.answer(&mut net, Some(sdp(6000, "0", "recvonly")));
    net.expect(SUE, "ACK");
    net.order(Command::Probe { leg });
    let options = net.expect(SUE, "OPTIONS");
    ear.reply(&mut net, &options, 200, None);
    net.order(Command::Probe { leg });
    net.seconds(33);
    let probed: Vec<bool> = net
        .events
        .iter()
        .filter_map(|event| if let Event::Probed { alive, .. } = event { Some(*alive) } else { None })
        .collect();
    assert_eq!(probed, [true, false]);
    net.end(leg, 408);
    net.flush(SUE);
    net.assert_clean(); // a phone that is gone answers no BYE either
}

#[test]
fn an_unreachable_listener_ends_at_once() {
    let mut net = Net::new();
    let leg = net.listen_with(|new| new.destination = signalling::Destination::Account(signalling::peers::PeerId(4)));
    assert_eq!(net.end_of(leg).status, Some(480));
    let leg = net.listen_with(|new| new.ring_timeout = Some(Duration::from_secs(90)));
    net.seconds(33); // no answer of any kind: timer B
    assert_eq!((net.end_of(leg).by, net.end_of(leg).status), (EndedBy::Timeout, Some(408)));
    net.assert_clean();
}
