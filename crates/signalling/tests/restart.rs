//! Stories of a process that dies: what is kept before it matters, and what the next one does with it.

mod support;

use std::time::Duration;

use signalling::message::Message;
use signalling::{Command, DialogCopy, DialogStage, Event, LegId, OrphanId, Reason, ReceiptId};
use support::*;

/// What the engine was asked to keep of a listener's leg, the newest last.
fn records(net: &Net) -> Vec<DialogCopy> {
    let dialog = |event: &Event| if let Event::Record { dialog, .. } = event { Some(dialog.clone()) } else { None };
    net.events.iter().filter_map(dialog).collect()
}

fn gone(net: &Net, leg: LegId) -> usize {
    net.events.iter().filter(|event| matches!(event, Event::Gone { leg: of } if *of == leg)).count()
}

fn orphans_ended(net: &Net) -> Vec<OrphanId> {
    let ended = |event: &Event| if let Event::OrphanEnded { orphan } = event { Some(*orphan) } else { None };
    net.events.iter().filter_map(ended).collect()
}

/// The next process, told of this dialog.
fn restarted(dialog: &DialogCopy) -> Net {
    let mut net = Net::new();
    net.order(Command::EndOrphan {
        orphan: OrphanId(7),
        dialog: Box::new(dialog.clone()),
        reason: Reason { cause: 503, text: "Engine restarted".into() },
    });
    net
}

/// A listener that rings, and the process that called it.
fn ringing() -> (Net, Call, DialogCopy) {
    let mut net = Net::new();
    net.listen();
    let ear = Call::incoming(&mut net, SUE);
    ear.ring(&mut net, 180, None);
    let dialog = records(&net).pop().expect("it was kept");
    (net, ear, dialog)
}

/// A listener that has answered.
fn answered() -> (Call, DialogCopy) {
    let (mut net, ear, _) = ringing();
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    net.expect(SUE, "ACK");
    (ear, records(&net).pop().expect("it was kept"))
}

#[test]
fn a_listener_is_not_called_before_it_is_kept_how_to_cancel_it() {
    let mut net = Net::new();
    net.keeps = false;
    let leg = net.listen();
    net.seconds(60);
    net.nothing(SUE);
    let dialog = records(&net).pop().expect("it asks");
    net.order(Command::Recorded { leg });
    let invite = net.expect(SUE, "INVITE");
    let branch = invite.top_via().branch().to_owned();
    assert_eq!(dialog.stage, DialogStage::Calling { branch, early_tag: String::new() });
    assert_eq!((dialog.call_id.as_str(), dialog.local_tag.as_str()), (invite.call_id(), invite.from_tag()));
    assert_eq!((dialog.target.as_str(), dialog.cseq), (invite.request_uri(), 1));
    assert_eq!(header(&invite, "From"), format!("{};tag={}", dialog.local, dialog.local_tag));
    assert_eq!(header(&invite, "To"), dialog.remote);
    net.order(Command::Recorded { leg });
    net.nothing(SUE);
    net.end(leg, 487);
    net.assert_clean();
    assert_eq!(gone(&net, leg), 1);
}

#[test]
fn a_listener_that_is_not_wanted_any_more_is_never_called() {
    let mut net = Net::new();
    net.keeps = false;
    let leg = net.listen();
    net.end(leg, 487);
    net.order(Command::Recorded { leg });
    net.seconds(60);
    net.nothing(SUE);
    assert_eq!(gone(&net, leg), 1);
    net.assert_clean();
}

#[test]
fn an_answer_is_acknowledged_when_it_is_kept() {
    let (mut net, mut ear, _) = ringing();
    net.keeps = false;
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    let leg = net.answered()[0];
    assert!(net.session(leg).receives, "media need not wait");
    net.nothing(SUE);
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    net.nothing(SUE);
    let dialog = records(&net).pop().expect("it asks");
    assert_eq!(dialog.stage, DialogStage::Confirmed { remote_tag: ear.tag.clone() });
    assert_eq!(dialog.target, format!("sip:sue@{}", SUE.addr));
    assert_eq!(net.core.dialog(leg), Some(dialog));
    net.order(Command::Recorded { leg });
    net.expect(SUE, "ACK");
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    net.expect(SUE, "ACK");
    ear.bye(&mut net);
    assert_eq!((gone(&net, leg), net.core.dialog(leg), net.counter("acks_unrecorded")), (1, None, 0));
    net.assert_clean();
}

#[test]
fn a_slow_store_does_not_keep_the_listener_waiting() {
    let (mut net, ear, _) = ringing();
    net.keeps = false;
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    net.pass(Duration::from_millis(299));
    net.nothing(SUE);
    net.pass(Duration::from_millis(2));
    net.expect(SUE, "ACK");
    assert_eq!(net.counter("acks_unrecorded"), 1);
    let leg = net.answered()[0];
    net.order(Command::Recorded { leg });
    net.nothing(SUE);
    net.end(leg, 200);
    ear.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_listener_that_is_hung_up_before_its_ack_gets_both() {
    let (mut net, ear, _) = ringing();
    net.keeps = false;
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    let leg = net.answered()[0];
    net.end(leg, 200);
    net.expect(SUE, "ACK");
    assert_eq!(gone(&net, leg), 0, "its BYE is not answered");
    ear.byed(&mut net);
    assert_eq!(gone(&net, leg), 1);
    net.assert_clean();
}

#[test]
fn a_ringing_listener_of_the_process_before_is_cancelled() {
    let (_, ear, dialog) = ringing();
    let mut net = restarted(&dialog);
    let cancel = net.expect(SUE, "CANCEL");
    assert_eq!(header(&cancel, "Via"), header(&ear.invite, "Via"));
    for name in ["From", "To", "Call-ID"] {
        assert_eq!(header(&cancel, name), header(&ear.invite, name), "{name}");
    }
    assert_eq!((cancel.request_uri(), header(&cancel, "CSeq")), (ear.invite.request_uri(), "1 CANCEL"));
    assert_eq!(header(&cancel, "Reason"), "SIP;cause=503;text=\"Engine restarted\"");
    ear.reply(&mut net, &cancel, 200, None);
    ear.reject(&mut net, 487, "");
    let ack = net.expect(SUE, "ACK");
    assert_eq!((ack.to_tag(), ack.top_via().branch()), (ear.tag.as_str(), ear.invite.top_via().branch()));
    ear.reject(&mut net, 487, "");
    net.expect(SUE, "ACK");
    assert_eq!(orphans_ended(&net), [OrphanId(7)]);
    net.assert_clean();
}

#[test]
fn a_lost_cancel_comes_again() {
    let (_, ear, dialog) = ringing();
    let mut net = restarted(&dialog);
    net.expect(SUE, "CANCEL");
    net.pass(Duration::from_millis(501));
    let cancel = net.expect(SUE, "CANCEL");
    ear.reply(&mut net, &cancel, 200, None);
    ear.reject(&mut net, 487, "");
    net.expect(SUE, "ACK");
    net.assert_clean();
    assert_eq!(orphans_ended(&net), [OrphanId(7)]);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    for status in [200, 481] {
        let (_, ear, dialog) = ringing();
        let mut net = restarted(&dialog);
        let cancel = net.expect(SUE, "CANCEL");
        ear.reply(&mut net, &cancel, status, None);
        // Repeated for want of its ACK.
        net.seconds(if status == 481 { 4 } else { 0 });
        ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
        let ack = net.expect(SUE, "ACK");
        assert_eq!((ack.to_tag(), header(&ack, "CSeq")), (ear.tag.as_str(), "1 ACK"));
        assert_eq!(orphans_ended(&net), []);
        let bye = ear.byed(&mut net);
        assert_eq!((bye.to_tag(), bye.from_tag(), header(&bye, "CSeq")), (ear.tag.as_str(), ack.from_tag(), "2 BYE"));
        assert_eq!(orphans_ended(&net), [OrphanId(7)]);
        ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
        net.expect(SUE, "ACK");
        net.flush(SUE);
        net.assert_clean();
    }
}

#[test]
fn an_answer_is_ended_wherever_it_comes_from() {
    let (_, mut ear, dialog) = ringing();
    let mut net = restarted(&dialog);
    net.expect(SUE, "CANCEL");
    ear.phone = STRANGER; // behind a router that has taken another port
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    net.expect(STRANGER, "ACK");
    ear.byed(&mut net);
    assert_eq!(orphans_ended(&net), [OrphanId(7)]);
    net.flush(SUE);
    net.assert_clean();
}

#[test]
fn a_cancel_that_nobody_answers_is_given_up() {
    let (_, _, dialog) = ringing();
    let mut net = restarted(&dialog);
    net.seconds(31);
    assert_eq!(orphans_ended(&net), []);
    net.seconds(2);
    assert_eq!(orphans_ended(&net), [OrphanId(7)]);
    net.flush(SUE);
    net.assert_clean();
}

#[test]
fn an_answer_that_nobody_kept_is_hung_up_by_the_tag_of_its_ringing() {
    let (mut net, ear, _) = ringing();
    let dialog = net.core.dialog(LegId(1)).expect("it rings");
    assert!(matches!(&dialog.stage, DialogStage::Calling { early_tag, .. } if *early_tag == ear.tag));
    ear.answer(&mut net, Some(sdp(6000, "8", "recvonly")));
    net.expect(SUE, "ACK");
    let mut net = restarted(&dialog);
    let cancel = net.expect(SUE, "CANCEL");
    ear.reply(&mut net, &cancel, 481, None);
    net.seconds(33);
    let bye = ear.byed(&mut net);
    assert_eq!((bye.to_tag(), bye.call_id()), (ear.tag.as_str(), ear.call_id.as_str()));
    assert_eq!(orphans_ended(&net), [OrphanId(7)]);
    net.assert_clean();
}

#[test]
fn an_answered_listener_of_the_process_before_is_hung_up() {
    for status in [200, 481, 407] {
        let (ear, dialog) = answered();
        let mut net = restarted(&dialog);
        net.expect(SUE, "BYE");
        net.pass(Duration::from_millis(501));
        let bye = net.expect(SUE, "BYE");
        assert_eq!(
            (bye.call_id(), bye.to_tag(), bye.from_tag()),
            (ear.call_id.as_str(), ear.tag.as_str(), dialog.local_tag.as_str())
        );
        assert_eq!(header(&bye, "From"), ear.remote);
        assert_eq!(header(&bye, "To"), ear.local);
        assert!(bye.cseq().number > 1_000, "others may have followed the one that was kept");
        assert_eq!(header(&bye, "Reason"), "SIP;cause=503;text=\"Engine restarted\"");
        ear.reply(&mut net, &bye, status, None);
        assert_eq!(orphans_ended(&net), [OrphanId(7)], "{status}");
        net.assert_clean();
    }
}

#[test]
fn a_phone_that_is_gone_is_given_up() {
    let (_, dialog) = answered();
    let mut net = restarted(&dialog);
    net.seconds(33);
    assert_eq!(orphans_ended(&net), [OrphanId(7)]);
    net.flush(SUE);
    net.assert_clean();
}

#[test]
fn both_legs_of_a_call_can_be_ended_from_their_copies() {
    let mut before = Net::new();
    let (caller, callee, caller_leg, callee_leg) = call_up(&mut before);
    for (call, leg) in [(caller, caller_leg), (callee, callee_leg)] {
        let dialog = before.core.dialog(leg).expect("it is up");
        let mut net = restarted(&dialog);
        let bye = call.byed(&mut net);
        assert_eq!((header(&bye, "From"), header(&bye, "To")), (call.remote.as_str(), call.local.as_str()));
        assert_eq!(bye.request_uri(), format!("sip:{}@{}", call.phone.user, call.phone.addr));
        assert_eq!(orphans_ended(&net), [OrphanId(7)]);
        net.assert_clean();
    }
}

#[test]
fn a_callee_that_rings_can_be_cancelled_from_its_copy() {
    let mut before = Net::new();
    Call::out(&mut before, TRUNK, "anna", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut before, ANNA);
    let legs: Vec<LegId> = (1..=2).map(LegId).collect();
    let mut copies = legs.iter().filter_map(|leg| before.core.dialog(*leg));
    let mut net = restarted(&copies.next().expect("the called leg"));
    assert_eq!(copies.next(), None, "the caller's is not ours to cancel");
    let cancel = net.expect(ANNA, "CANCEL");
    callee.reply(&mut net, &cancel, 200, None);
    callee.reject(&mut net, 487, "");
    net.expect(ANNA, "ACK");
    net.assert_clean();
}

#[test]
fn a_dialog_that_moves_says_so() {
    let mut net = Net::new();
    let (mut caller, _callee, caller_leg, callee_leg) = call_up(&mut net);
    let moved = |net: &Net| {
        let moved = |event: &Event| if let Event::Moved { leg } = event { Some(*leg) } else { None };
        net.events.iter().filter_map(moved).collect::<Vec<_>>()
    };
    assert_eq!(moved(&net), [], "a new dialog is no moved one");
    caller.request(&mut net, "INFO", "", None);
    assert_eq!(moved(&net), []);
    caller.phone = Phone { user: "moved", addr: "10.0.0.9:5061" };
    caller.reinvite(&mut net, Some(sdp(4002, "0", "sendrecv")));
    assert_eq!(moved(&net), [caller_leg]);
    assert_eq!(net.core.dialog(caller_leg).map(|dialog| dialog.target).as_deref(), Some("sip:moved@10.0.0.9:5061"));
    net.end(callee_leg, 503);
    net.flush(ANNA);
    net.flush(caller.phone);
    net.assert_clean();
}

/// A REGISTER of anna, who is known by her address.
fn register(net: &mut Net, call_id: &str, cseq: u32) {
    let aor = "<sip:anna@medlytt.test>";
    let uri = "sip:medlytt.test";
    let extra = "Expires: 300\r\n";
    let text = request_text(net, ANNA, "REGISTER", uri, &format!("{aor};tag=r"), aor, call_id, cseq, extra, None);
    net.send(ANNA, text);
}

fn receipts(net: &Net) -> Vec<ReceiptId> {
    let receipt = |event: &Event| if let Event::Registered { receipt, .. } = event { *receipt } else { None };
    net.events.iter().filter_map(receipt).collect()
}

#[test]
fn a_registration_is_answered_when_it_is_kept() {
    let mut net = Net::new();
    net.keeps = false;
    let aor = "<sip:anna@medlytt.test>";
    let text = request_text(
        &mut net,
        ANNA,
        "REGISTER",
        "sip:medlytt.test",
        &format!("{aor};tag=r"),
        aor,
        "reg",
        1,
        "Expires: 300\r\n",
        None,
    );
    net.send(ANNA, text.clone());
    net.send(ANNA, text.clone());
    net.nothing(ANNA);
    let [receipt] = receipts(&net)[..] else { panic!("once, though it came twice") };
    net.order(Command::RegistrationKept { receipt });
    let ok: Message = net.expect(ANNA, "200");
    assert!(header(&ok, "Contact").contains("expires=300"));
    net.order(Command::RegistrationKept { receipt });
    net.nothing(ANNA);
    net.send(ANNA, text);
    net.expect(ANNA, "200");
    assert_eq!((receipts(&net).len(), net.counter("registrations_unrecorded")), (1, 0));
}

#[test]
fn a_slow_store_keeps_no_phone_from_registering() {
    let mut net = Net::new();
    net.keeps = false;
    register(&mut net, "reg", 1);
    net.pass(Duration::from_millis(499));
    net.nothing(ANNA);
    net.pass(Duration::from_millis(2));
    net.expect(ANNA, "200");
    assert_eq!(net.counter("registrations_unrecorded"), 1);
}

#[test]
fn a_phone_is_reached_by_its_registration_of_the_process_before() {
    let mut before = Net::new();
    register(&mut before, "reg", 5);
    let kept = before.events.iter().find_map(|event| match event {
        Event::Registered { bindings, .. } => Some(bindings.clone()),
        _ => None,
    });
    let kept = kept.expect("it is registered");
    assert_eq!((kept[0].call_id.as_str(), kept[0].cseq, kept[0].lasts), ("reg", 5, Duration::from_secs(300)));
    let mut net = Net::new();
    let rex = signalling::peers::PeerId(4);
    net.order(Command::RestoreBindings { peer: signalling::peers::PeerId(99), bindings: kept.clone() });
    assert_eq!(net.core.sizes().bindings, 0, "an account that is no more");
    net.order(Command::RestoreBindings { peer: rex, bindings: kept.clone() });
    net.order(Command::RestoreBindings { peer: rex, bindings: kept });
    assert!(net.core.reachable(rex) && net.core.sizes().bindings == 1);
    Call::out(&mut net, TRUNK, "rex", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA); // where that registration came from
    callee.reject(&mut net, 486, "");
    net.flush(TRUNK);
    net.flush(ANNA);
    net.seconds(301);
    assert!(!net.core.reachable(rex), "it runs out as it would have");
}

#[test]
fn a_refresh_goes_on_counting_where_the_process_before_was() {
    let mut before = Net::new();
    register(&mut before, "reg", 5);
    let mut net = Net::new();
    let anna = signalling::peers::PeerId(1);
    let bindings = before.events.iter().find_map(|event| match event {
        Event::Registered { bindings, peer, .. } => Some((*peer, bindings.clone())),
        _ => None,
    });
    let (peer, bindings) = bindings.expect("it is registered");
    assert_eq!(peer, anna);
    net.order(Command::RestoreBindings { peer, bindings });
    register(&mut net, "reg", 5);
    net.expect(ANNA, "500");
    register(&mut net, "reg", 6);
    net.expect(ANNA, "200");
    assert_eq!(net.core.sizes().bindings, 1);
}
