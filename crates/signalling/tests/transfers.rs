//! Stories of transfers: blind, attended, failed, and the races around them.

mod support;

use signalling::{Event, LegId};
use support::*;

fn refer(net: &mut Net, agent: &mut Call, target: &str) {
    agent.request(net, "REFER", &format!("Refer-To: <{target}>\r\nReferred-By: <sip:anna@medlytt.test>\r\n"), None);
}

/// Refers and takes 202 and the first NOTIFY.
fn accepted(net: &mut Net, agent: &mut Call, target: &str) {
    refer(net, agent, target);
    net.expect(agent.phone, "202");
    assert_eq!(agent.notified(net), ("SIP/2.0 100 Trying".into(), "active".into()));
}

fn joined(net: &Net) -> Option<(LegId, LegId, Vec<LegId>)> {
    net.events.iter().find_map(|event| match event {
        Event::TransferJoined { kept, target, released, .. } => Some((*kept, *target, released.clone())),
        _ => None,
    })
}

fn failed(net: &Net) -> Option<u16> {
    net.events
        .iter()
        .find_map(|event| if let Event::TransferFailed { status, .. } = event { Some(*status) } else { None })
}

#[test]
fn a_blind_transfer_joins_caller_and_target() {
    let mut net = Net::new();
    let (mut caller, mut agent, caller_leg, agent_leg) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    let mut target = Call::incoming(&mut net, BO);
    assert_eq!(header(&target.invite, "Referred-By"), "<sip:anna@medlytt.test>");
    assert_eq!(line(&target.invite, "m=audio"), "m=audio 20006 RTP/AVP 0 8 101", "the caller's own codecs");
    target.ring(&mut net, 180, None);
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 180 Whatever");
    target.answer(&mut net, Some(sdp(7000, "0 101", "sendrecv")));
    net.expect(BO, "ACK");
    net.nothing(TRUNK); // the same codec both ways, nobody was held: no re-INVITE
    let (kept, target_leg, released) = joined(&net).expect("joined");
    assert_eq!((kept, &released[..]), (caller_leg, &[agent_leg][..]));
    assert_eq!(agent.notified(&mut net), ("SIP/2.0 200 OK".into(), "terminated".into()));
    net.seconds(1);
    net.nothing(ANNA);
    net.seconds(2);
    agent.byed(&mut net);
    assert!(net.session(caller_leg).sends && net.session(target_leg).sends);
    // They are a call like any other.
    target.cseq = 10;
    target.reinvite(&mut net, Some(sdp(7000, "0", "sendonly")));
    caller.reinvited(&mut net, sdp(4000, "0", "recvonly"));
    net.expect(BO, "200");
    target.ack(&mut net, target.cseq, None);
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
    assert_eq!(net.ended().len(), 3);
}

#[test]
fn a_held_caller_is_brought_back_by_the_transfer() {
    let mut net = Net::new();
    let (mut caller, mut agent, caller_leg, _) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    caller.reinvited(&mut net, sdp(4000, "0 8", "recvonly"));
    net.expect(ANNA, "200");
    agent.ack(&mut net, agent.cseq, None);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    assert_eq!(direction(&target.invite), "sendrecv");
    target.answer(&mut net, Some(sdp(7000, "8", "sendrecv")));
    net.expect(BO, "ACK");
    assert!(joined(&net).is_none(), "not before the caller has agreed");
    let invite = caller.reinvited(&mut net, sdp(4000, "8", "sendrecv"));
    assert_eq!((direction(&invite), line(&invite, "m=audio").as_str()), ("sendrecv", "m=audio 20002 RTP/AVP 8"));
    assert!(joined(&net).is_some());
    let session = net.session(caller_leg);
    assert!(session.sends && session.receives);
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 200 OK");
    agent.bye(&mut net);
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
}

#[test]
fn the_target_is_asked_again_where_the_caller_can_do_less() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    target.answer(&mut net, Some(sdp(7000, "8 0 101", "sendrecv")));
    net.expect(BO, "ACK");
    let invite = caller.reinvited(&mut net, sdp(4000, "8", "sendrecv"));
    assert_eq!(line(&invite, "m=audio"), "m=audio 20002 RTP/AVP 8 0 101");
    let invite = target.reinvited(&mut net, sdp(7000, "8", "sendrecv"));
    assert_eq!(line(&invite, "m=audio"), "m=audio 20006 RTP/AVP 8");
    assert!(joined(&net).is_some());
    agent.notified(&mut net);
    agent.bye(&mut net);
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_failed_transfer_leaves_the_call() {
    for (status, told) in [(486, "SIP/2.0 486 Whatever"), (603, "SIP/2.0 603 Whatever")] {
        let mut net = Net::new();
        let (mut caller, mut agent, ..) = call_up(&mut net);
        accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
        let target = Call::incoming(&mut net, BO);
        target.reject(&mut net, status, "");
        net.expect(BO, "ACK");
        assert_eq!(agent.notified(&mut net), (told.into(), "terminated".into()));
        assert_eq!(failed(&net), Some(status));
        net.seconds(5);
        net.nothing(ANNA);
        // The call is as it was, and a second attempt names its REFER.
        refer(&mut net, &mut agent, "sip:bo@medlytt.test");
        net.expect(ANNA, "202");
        let notify = net.expect(ANNA, "NOTIFY");
        assert_eq!(header(&notify, "Event"), format!("refer;id={}", agent.cseq));
        agent.reply(&mut net, &notify, 200, None);
        let target = Call::incoming(&mut net, BO);
        target.reject(&mut net, 486, "");
        agent.notified(&mut net);
        caller.bye(&mut net);
        agent.byed(&mut net);
        net.flush(BO);
        net.assert_clean();
    }
}

#[test]
fn an_unreachable_target_and_one_that_never_answers() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:rex@medlytt.test");
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 480 Temporarily Unavailable");
    refer(&mut net, &mut agent, "sip:bo@medlytt.test");
    net.expect(ANNA, "202");
    agent.notified(&mut net);
    let target = Call::incoming(&mut net, BO);
    target.ring(&mut net, 180, None);
    agent.notified(&mut net);
    net.seconds(61);
    net.expect(BO, "CANCEL");
    target.reject(&mut net, 487, "");
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 408 Request Timeout");
    net.flush(ANNA); // it was repeated before it was answered
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.flush(BO);
    net.assert_clean();
}

#[test]
fn a_target_that_the_caller_cannot_talk_to() {
    let mut net = Net::new();
    let (mut caller, mut agent, caller_leg, _) = call_up(&mut net);
    let before = net.session(caller_leg);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    target.answer(&mut net, Some(sdp(7000, "8", "sendrecv")));
    net.expect(BO, "ACK");
    let invite = net.expect(TRUNK, "INVITE");
    caller.reply(&mut net, &invite, 488, None);
    net.expect(TRUNK, "ACK");
    target.byed(&mut net);
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 488 Not Acceptable Here");
    assert_eq!((failed(&net), net.session(caller_leg)), (Some(488), before));
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn the_transferor_leaves_right_after_202() {
    let mut net = Net::new();
    let (mut caller, mut agent, caller_leg, agent_leg) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    agent.bye(&mut net);
    assert_eq!(net.ended().len(), 1, "the caller waits");
    assert_eq!(net.ended()[0].0, agent_leg);
    net.nothing(TRUNK);
    let target = Call::incoming(&mut net, BO);
    target.ring(&mut net, 180, None);
    target.answer(&mut net, Some(sdp(7000, "0 101", "sendrecv")));
    net.expect(BO, "ACK");
    assert_eq!(joined(&net).map(|(kept, _, released)| (kept, released)), Some((caller_leg, vec![])));
    net.nothing(ANNA); // its subscription went with it
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
}

#[test]
fn the_transferor_has_left_and_the_transfer_fails() {
    let mut net = Net::new();
    let (mut caller, mut agent, caller_leg, _) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    agent.bye(&mut net);
    // The caller changes its session while it waits: it is answered, in silence.
    caller.reinvite(&mut net, Some(sdp(4002, "0 8 101", "sendrecv")));
    assert_eq!(direction(&net.expect(TRUNK, "200")), "inactive");
    caller.ack(&mut net, caller.cseq, None);
    let target = Call::incoming(&mut net, BO);
    target.reject(&mut net, 486, "");
    assert_eq!(failed(&net), Some(486));
    caller.byed(&mut net);
    assert_eq!(net.ended().last().map(|(leg, _)| *leg), Some(caller_leg));
    net.flush(BO);
    net.assert_clean();
}

#[test]
fn the_bye_crosses_the_last_notify() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    target.answer(&mut net, Some(sdp(7000, "0 101", "sendrecv")));
    net.expect(BO, "ACK");
    let last = net.expect(ANNA, "NOTIFY");
    agent.bye(&mut net);
    agent.reply(&mut net, &last, 481, None);
    net.seconds(5);
    net.nothing(TRUNK);
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
}

#[test]
fn the_caller_hangs_up_while_the_target_rings() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    target.ring(&mut net, 180, None);
    agent.notified(&mut net);
    caller.bye(&mut net);
    net.expect(BO, "CANCEL");
    target.reject(&mut net, 487, "");
    agent.byed(&mut net);
    assert!(failed(&net).is_some());
    net.flush(BO);
    net.assert_clean();
}

#[test]
fn a_joining_re_invite_meets_another() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:bo@medlytt.test");
    let target = Call::incoming(&mut net, BO);
    target.answer(&mut net, Some(sdp(7000, "8", "sendrecv")));
    net.expect(BO, "ACK");
    let invite = net.expect(TRUNK, "INVITE");
    caller.reply(&mut net, &invite, 491, None);
    net.expect(TRUNK, "ACK");
    net.nothing(TRUNK);
    net.wait_for(TRUNK);
    caller.reinvited(&mut net, sdp(4000, "8", "sendrecv"));
    assert!(joined(&net).is_some());
    agent.notified(&mut net);
    agent.bye(&mut net);
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
}

/// The agent holds the caller and calls bo.
fn consulting(net: &mut Net) -> (Call, Call, Call, Call, [LegId; 4]) {
    let (caller, mut agent, caller_leg, agent_leg) = call_up(net);
    agent.reinvite(net, Some(sdp(5000, "0 8", "sendonly")));
    caller.reinvited(net, sdp(4000, "0 8", "recvonly"));
    net.expect(ANNA, "200");
    agent.ack(net, agent.cseq, None);
    let (consultation, colleague, consultation_leg, colleague_leg) = call_between(net, ANNA, BO);
    (caller, agent, consultation, colleague, [caller_leg, agent_leg, consultation_leg, colleague_leg])
}

fn attended(call: &Call) -> String {
    let escaped = call.replaces().replace(';', "%3B").replace('=', "%3D").replace('@', "%40");
    format!("sip:bo@medlytt.test?Replaces={escaped}")
}

#[test]
fn an_attended_transfer_joins_caller_and_colleague() {
    let mut net = Net::new();
    let (mut caller, mut agent, mut consultation, colleague, [caller_leg, agent_leg, consultation_leg, colleague_leg]) =
        consulting(&mut net);
    accepted(&mut net, &mut agent, &attended(&consultation));
    let invite = caller.reinvited(&mut net, sdp(4000, "0 101", "sendrecv"));
    assert_eq!(direction(&invite), "sendrecv");
    let (kept, target, released) = joined(&net).expect("joined");
    assert_eq!((kept, target, released), (caller_leg, colleague_leg, vec![agent_leg, consultation_leg]));
    assert_eq!(agent.notified(&mut net).0, "SIP/2.0 200 OK");
    agent.bye(&mut net);
    consultation.bye(&mut net);
    net.nothing(BO);
    net.nothing(TRUNK);
    caller.bye(&mut net);
    colleague.byed(&mut net);
    net.assert_clean();
    assert_eq!(net.ended().len(), 4);
}

#[test]
fn a_colleague_on_hold_comes_back_too() {
    let mut net = Net::new();
    let (mut caller, mut agent, mut consultation, colleague, [caller_leg, .., colleague_leg]) = consulting(&mut net);
    consultation.reinvite(&mut net, Some(sdp(4000, "0 101", "inactive")));
    colleague.reinvited(&mut net, sdp(5000, "0 101", "inactive"));
    net.expect(ANNA, "200");
    consultation.ack(&mut net, consultation.cseq, None);
    accepted(&mut net, &mut agent, &attended(&consultation));
    caller.reinvited(&mut net, sdp(4000, "0 101", "sendrecv"));
    assert_eq!(direction(&colleague.reinvited(&mut net, sdp(5000, "0 101", "sendrecv"))), "sendrecv");
    assert!(joined(&net).is_some());
    for leg in [caller_leg, colleague_leg] {
        assert!(net.session(leg).sends && net.session(leg).receives);
    }
    agent.notified(&mut net);
    net.seconds(3); // the phone forgets its BYEs
    agent.byed(&mut net);
    consultation.byed(&mut net);
    caller.bye(&mut net);
    colleague.byed(&mut net);
    net.assert_clean();
}

#[test]
fn the_transferor_leaves_both_calls_while_they_are_joined() {
    let mut net = Net::new();
    let (mut caller, mut agent, mut consultation, colleague, _) = consulting(&mut net);
    accepted(&mut net, &mut agent, &attended(&consultation));
    let invite = net.expect(TRUNK, "INVITE");
    agent.bye(&mut net);
    consultation.bye(&mut net);
    net.nothing(BO);
    caller.reply(&mut net, &invite, 200, Some(sdp(4000, "0 101", "sendrecv")));
    net.expect(TRUNK, "ACK");
    assert!(joined(&net).is_some());
    caller.bye(&mut net);
    colleague.byed(&mut net);
    net.assert_clean();
}

#[test]
fn it_left_both_and_they_cannot_be_joined() {
    let mut net = Net::new();
    let (caller, mut agent, mut consultation, colleague, _) = consulting(&mut net);
    accepted(&mut net, &mut agent, &attended(&consultation));
    let invite = net.expect(TRUNK, "INVITE");
    agent.bye(&mut net);
    consultation.bye(&mut net);
    caller.reply(&mut net, &invite, 488, None);
    net.expect(TRUNK, "ACK");
    caller.byed(&mut net);
    colleague.byed(&mut net);
    net.assert_clean();
    assert_eq!(net.ended().len(), 4);
}

#[test]
fn a_semi_attended_transfer_joins_when_the_colleague_answers() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    let mut consultation = Call::out(&mut net, ANNA, "bo", Some(sdp(4000, "0 8 101", "sendrecv")));
    let colleague = Call::incoming(&mut net, BO);
    colleague.ring(&mut net, 180, None);
    let ringing = net.expect(ANNA, "180");
    consultation.remote = header(&ringing, "To").into();
    accepted(&mut net, &mut agent, &attended(&consultation));
    colleague.answer(&mut net, Some(sdp(5000, "0 101", "sendrecv")));
    net.expect(BO, "ACK");
    consultation.established(&mut net);
    assert!(joined(&net).is_some());
    agent.notified(&mut net);
    agent.bye(&mut net);
    consultation.bye(&mut net);
    caller.bye(&mut net);
    colleague.byed(&mut net);
    net.assert_clean();
}

#[test]
fn who_may_not_refer_and_what_cannot_be_referred_to() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    caller.request(&mut net, "REFER", "Refer-To: <sip:bo@medlytt.test>\r\n", None);
    net.expect(TRUNK, "603");
    for (refer_to, status) in [
        ("", "400"),
        ("Refer-To: <sip:bo@medlytt.test>, <sip:x@medlytt.test>\r\n", "400"),
        ("Refer-To: <mailto:bo@medlytt.test>\r\n", "400"),
        ("Refer-To: <sip:bo@medlytt.test;method=BYE>\r\n", "400"),
    ] {
        agent.request(&mut net, "REFER", refer_to, None);
        net.expect(ANNA, status);
    }
    net.auto = false;
    refer(&mut net, &mut agent, "sip:bo@medlytt.test");
    let transfer = net.transfer().expect("shown");
    agent.request(&mut net, "REFER", "Refer-To: <sip:bo@medlytt.test>\r\n", None);
    net.expect(ANNA, "491");
    net.order(signalling::Command::RefuseTransfer { transfer, status: 403 });
    net.expect(ANNA, "403");
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_transfer_without_a_subscription() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    agent.request(&mut net, "REFER", "Refer-To: <sip:bo@medlytt.test>\r\nRefer-Sub: false\r\n", None);
    assert_eq!(header(&net.expect(ANNA, "202"), "Refer-Sub"), "false");
    let target = Call::incoming(&mut net, BO);
    target.answer(&mut net, Some(sdp(7000, "0 101", "sendrecv")));
    net.expect(BO, "ACK");
    net.nothing(ANNA);
    net.seconds(3);
    agent.byed(&mut net);
    caller.bye(&mut net);
    target.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_replaces_of_nobody_here_is_passed_to_the_target() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    accepted(&mut net, &mut agent, "sip:+47999@medlytt.test?Replaces=abc%3Bto-tag%3D1%3Bfrom-tag%3D2");
    assert!(
        net.events.iter().any(|event| matches!(event, Event::Referred { replaces: None, replaces_unknown: true, .. }))
    );
    let target = Call::incoming(&mut net, TRUNK);
    assert_eq!(header(&target.invite, "Replaces"), "abc;to-tag=1;from-tag=2");
    target.reject(&mut net, 481, "");
    agent.notified(&mut net);
    net.flush(TRUNK);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.flush(TRUNK);
    net.assert_clean();
}
