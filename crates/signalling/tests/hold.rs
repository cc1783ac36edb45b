//! Stories of sessions that change: hold in all its ways, codecs, glare, UPDATE.

mod support;

use signalling::EndedBy;
use support::*;

#[test]
fn the_agent_holds_in_three_ways() {
    for (offer, told, answer) in [
        (sdp(5000, "0", "sendonly"), "sendonly", "recvonly"),
        (sdp(5000, "0", "inactive"), "inactive", "inactive"),
        (sdp_at("0.0.0.0", 5000, "0", "sendrecv"), "sendonly", "recvonly"),
    ] {
        let mut net = Net::new();
        let (mut caller, mut agent, caller_leg, agent_leg) = call_up(&mut net);
        agent.reinvite(&mut net, Some(offer));
        let invite = caller.reinvited(&mut net, sdp(4000, "0", "sendrecv")); // a phone that does not understand hold
        assert_eq!(direction(&invite), told);
        assert_eq!(line(&invite, "c="), "c=IN IP4 192.0.2.1");
        let ok = net.expect(ANNA, "200");
        assert_eq!(direction(&ok), answer, "an answer stays inside its offer");
        agent.ack(&mut net, agent.cseq, None);
        let (of_agent, of_caller) = (net.session(agent_leg), net.session(caller_leg));
        assert_eq!((of_agent.sends, of_agent.receives), (told == "sendonly", false));
        assert_eq!((of_caller.sends, of_caller.receives), (false, told == "sendonly"), "the held caller is not heard");
        // And back.
        agent.reinvite(&mut net, Some(sdp(5000, "0", "sendrecv")));
        assert_eq!(direction(&caller.reinvited(&mut net, sdp(4000, "0", "sendrecv"))), "sendrecv");
        assert_eq!(direction(&net.expect(ANNA, "200")), "sendrecv");
        agent.ack(&mut net, agent.cseq, None);
        assert!(net.session(caller_leg).sends && net.session(agent_leg).receives);
        caller.bye(&mut net);
        agent.byed(&mut net);
        net.assert_clean();
    }
}

#[test]
fn a_held_null_address_is_nobodys_destination() {
    let mut net = Net::new();
    let (caller, mut agent, _, agent_leg) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp_at("0.0.0.0", 5000, "0", "inactive")));
    assert_eq!(direction(&caller.reinvited(&mut net, sdp(4000, "0", "inactive"))), "inactive");
    net.expect(ANNA, "200");
    assert_eq!(net.session(agent_leg).rtp, None);
}

#[test]
fn a_late_offer_re_invite_passes_both_ways() {
    let mut net = Net::new();
    let (caller, mut agent, caller_leg, agent_leg) = call_up(&mut net);
    agent.reinvite(&mut net, None);
    let invite = net.expect(TRUNK, "INVITE");
    assert!(invite.body().is_empty());
    caller.reply(&mut net, &invite, 200, Some(sdp(4008, "8 0", "sendrecv")));
    net.nothing(TRUNK);
    let ok = net.expect(ANNA, "200");
    assert_eq!(line(&ok, "m=audio"), "m=audio 20004 RTP/AVP 8 0");
    agent.ack(&mut net, agent.cseq, Some(sdp(5008, "8", "sendonly")));
    let ack = net.expect(TRUNK, "ACK");
    assert_eq!((line(&ack, "m=audio"), direction(&ack)), ("m=audio 20002 RTP/AVP 8".into(), "sendonly"));
    assert_eq!(net.session(caller_leg).rtp, Some("10.9.9.9:4008".parse().unwrap()));
    assert!(!net.session(caller_leg).sends && !net.session(agent_leg).receives);
    agent.bye(&mut net);
    caller.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_refused_change_leaves_the_old_session() {
    let mut net = Net::new();
    let (mut caller, mut agent, caller_leg, _) = call_up(&mut net);
    let before = net.session(caller_leg);
    agent.reinvite(&mut net, Some(sdp(5000, "9", "sendrecv")));
    let invite = net.expect(TRUNK, "INVITE");
    caller.reply_with(&mut net, &invite, 488, "Warning: 304 x \"no\"\r\n", None);
    net.expect(TRUNK, "ACK");
    assert_eq!(header(&net.expect(ANNA, "488"), "Warning"), "304 x \"no\"");
    agent.ack(&mut net, agent.cseq, None);
    assert_eq!(net.session(caller_leg), before);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn both_sides_change_at_once() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    let passed = net.expect(TRUNK, "INVITE");
    caller.reinvite(&mut net, Some(sdp(4000, "0", "sendonly")));
    net.expect(TRUNK, "491");
    caller.reply(&mut net, &passed, 491, None);
    net.expect(TRUNK, "ACK");
    net.expect(ANNA, "491");
    // The agent tries again, and it passes again.
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    caller.reinvited(&mut net, sdp(4000, "0", "recvonly"));
    net.expect(ANNA, "200");
    agent.ack(&mut net, agent.cseq, None);
    agent.bye(&mut net);
    caller.byed(&mut net);
    net.assert_clean();
}

#[test]
fn one_change_after_the_other() {
    let mut net = Net::new();
    let (caller, mut agent, ..) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    let passed = net.expect(TRUNK, "INVITE");
    agent.request(&mut net, "UPDATE", "", Some(sdp(5000, "0", "sendrecv")));
    assert!(header(&net.expect(ANNA, "500"), "Retry-After").parse::<u32>().unwrap() <= 10);
    caller.reply(&mut net, &passed, 200, Some(sdp(4000, "0", "recvonly")));
    net.expect(ANNA, "200");
    agent.ack(&mut net, agent.cseq - 1, None);
    // Out of order: the CSeq has been used.
    agent.cseq -= 1;
    agent.request(&mut net, "INFO", "", None);
    net.expect(ANNA, "500");
}

#[test]
fn update_passes_as_update_or_as_re_invite() {
    let mut net = Net::new();
    let (caller, mut agent, _, agent_leg) = call_up(&mut net);
    agent.request(&mut net, "UPDATE", "", Some(sdp(5000, "0", "sendonly")));
    let update = net.expect(TRUNK, "UPDATE");
    assert_eq!(direction(&update), "sendonly");
    caller.reply(&mut net, &update, 200, Some(sdp(4000, "0", "recvonly")));
    assert_eq!(direction(&net.expect(ANNA, "200")), "recvonly");
    assert!(!net.session(agent_leg).receives);
    // A target refresh is answered here.
    agent.request(&mut net, "UPDATE", "", None);
    net.expect(ANNA, "200");
    net.nothing(TRUNK);
}

#[test]
fn an_update_that_nobody_answers_is_answered_in_time() {
    let mut net = Net::new();
    let (_, mut agent, ..) = call_up(&mut net);
    agent.request(&mut net, "UPDATE", "", Some(sdp(5000, "0", "sendonly")));
    net.expect(TRUNK, "UPDATE");
    net.seconds(28);
    net.nothing(ANNA);
    net.seconds(2);
    net.expect(ANNA, "504"); // its Timer F is at 32 s
    net.expect(ANNA, "BYE"); // a dialog whose other side is silent is over (RFC 3261 §12.2.1.2)
}

#[test]
fn bye_while_a_change_is_pending() {
    let mut net = Net::new();
    let (caller, mut agent, ..) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    let passed = net.expect(TRUNK, "INVITE");
    agent.bye_with_pending(&mut net);
    let bye = net.expect(TRUNK, "BYE");
    caller.reply(&mut net, &passed, 487, None);
    caller.reply(&mut net, &bye, 200, None);
    net.assert_clean();
}

#[test]
fn a_change_on_a_dead_dialog_ends_the_call() {
    let mut net = Net::new();
    let (caller, mut agent, caller_leg, _) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    let passed = net.expect(TRUNK, "INVITE");
    caller.reply(&mut net, &passed, 481, None);
    net.expect(ANNA, "480");
    agent.byed(&mut net);
    net.expect(TRUNK, "ACK");
    caller.byed(&mut net);
    assert_eq!(net.end_of(caller_leg).by, EndedBy::Local);
    net.assert_clean();
}

#[test]
fn a_cancelled_re_invite_leaves_the_call() {
    let mut net = Net::new();
    let (mut caller, mut agent, ..) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp(5000, "0", "sendonly")));
    let passed = net.expect(TRUNK, "INVITE");
    caller.ring_to(&mut net, &passed, 180);
    agent.cancel_last(&mut net);
    net.expect(ANNA, "200");
    net.expect(ANNA, "487");
    net.expect(TRUNK, "CANCEL");
    caller.reply(&mut net, &passed, 487, None);
    net.expect(TRUNK, "ACK");
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}
