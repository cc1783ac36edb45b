//! Stories of INVITE with Replaces: another phone takes a leg's place (RFC 3891).

mod support;

use signalling::Event;
use support::*;

fn replacing(call: &Call) -> String {
    format!("Replaces: {}\r\n", call.replaces())
}

#[test]
fn the_platform_moves_the_agents_end() {
    let mut net = Net::new();
    let (caller, agent, caller_leg, agent_leg) = call_up(&mut net);
    let mut new = Call::out_with(&mut net, TRUNK, "anna", Some(sdp(8000, "8 0", "sendrecv")), &replacing(&agent));
    let invite = caller.reinvited(&mut net, sdp(4000, "8", "sendrecv"));
    assert_eq!(line(&invite, "m=audio"), "m=audio 20002 RTP/AVP 8 0");
    let ok = new.established(&mut net);
    assert_eq!(line(&ok, "m=audio"), "m=audio 20006 RTP/AVP 8");
    assert!(header(&agent.byed(&mut net), "Reason").contains("Replaced"));
    let new_leg = net.offered()[1];
    assert!(net.events.iter().any(
        |event| matches!(event, Event::Replaced { old, new, peer } if (*old, *new, *peer) == (agent_leg, new_leg, caller_leg))
    ));
    assert_eq!(net.session(caller_leg).payloads[0].pt, 8);
    new.bye(&mut net);
    caller.byed(&mut net);
    net.assert_clean();
    assert_eq!(net.ended().len(), 3);
}

#[test]
fn without_an_offer() {
    let mut net = Net::new();
    let (caller, agent, caller_leg, _) = call_up(&mut net);
    let mut new = Call::out_with(&mut net, TRUNK, "anna", None, &replacing(&agent));
    let invite = net.expect(TRUNK, "INVITE");
    assert!(invite.body().is_empty());
    caller.reply(&mut net, &invite, 200, Some(sdp(4000, "0 8", "sendrecv")));
    let ok = net.expect(TRUNK, "200");
    agent.byed(&mut net);
    new.take_ok(&ok);
    new.ack(&mut net, 1, Some(sdp(8000, "8", "sendrecv")));
    assert_eq!(line(&net.expect(TRUNK, "ACK"), "m=audio"), "m=audio 20002 RTP/AVP 8");
    assert_eq!(net.session(caller_leg).payloads[0].pt, 8);
    new.bye(&mut net);
    caller.byed(&mut net);
    net.assert_clean();
}

#[test]
fn a_refusing_peer_keeps_who_it_has() {
    let mut net = Net::new();
    let (mut caller, agent, ..) = call_up(&mut net);
    let new = Call::out_with(&mut net, TRUNK, "anna", Some(sdp(8000, "9", "sendrecv")), &replacing(&agent));
    let invite = net.expect(TRUNK, "INVITE");
    caller.reply(&mut net, &invite, 488, None);
    net.expect(TRUNK, "ACK");
    net.expect(TRUNK, "488");
    new.ack(&mut net, 1, None);
    net.nothing(ANNA);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}

#[test]
fn what_cannot_be_replaced() {
    let mut net = Net::new();
    let (mut caller, agent, ..) = call_up(&mut net);
    let offer = || Some(sdp(8000, "0", "sendrecv"));
    Call::out_with(&mut net, TRUNK, "anna", offer(), "Replaces: nothing;to-tag=a;from-tag=b\r\n");
    net.expect(TRUNK, "481");
    Call::out_with(&mut net, TRUNK, "anna", offer(), &format!("Replaces: {};early-only\r\n", agent.replaces()));
    net.expect(TRUNK, "486");
    Call::out_with(&mut net, TRUNK, "anna", offer(), "Replaces: broken\r\n");
    net.expect(TRUNK, "400");
    // A phone that has no part in the call.
    Call::out_with(&mut net, BO, "anna", offer(), &replacing(&agent));
    net.expect(BO, "403");
    // A call that is over.
    caller.bye(&mut net);
    Call::out_with(&mut net, TRUNK, "anna", offer(), &replacing(&agent));
    net.expect(TRUNK, "603");
    agent.byed(&mut net);
    Call::out_with(&mut net, TRUNK, "anna", offer(), &replacing(&agent));
    net.expect(TRUNK, "481");
    // A caller that still rings.
    let ringing = Call::out(&mut net, TRUNK, "anna", offer());
    let callee = Call::incoming(&mut net, ANNA);
    callee.ring(&mut net, 180, None);
    net.expect(TRUNK, "180");
    Call::out_with(&mut net, TRUNK, "anna", offer(), &replacing(&callee));
    net.expect(TRUNK, "481");
    ringing.cancel(&mut net);
    callee.reject(&mut net, 487, "");
    net.flush(ANNA);
    net.flush(TRUNK);
    net.assert_clean();
}

#[test]
fn the_new_phone_gives_up() {
    let mut net = Net::new();
    let (mut caller, agent, ..) = call_up(&mut net);
    let new = Call::out_with(&mut net, TRUNK, "anna", Some(sdp(8000, "0", "sendrecv")), &replacing(&agent));
    let invite = net.expect(TRUNK, "INVITE");
    new.cancel(&mut net);
    net.expect(TRUNK, "200");
    net.expect(TRUNK, "487");
    caller.reply(&mut net, &invite, 200, Some(sdp(4000, "0", "sendrecv")));
    net.expect(TRUNK, "ACK");
    net.nothing(ANNA);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}
