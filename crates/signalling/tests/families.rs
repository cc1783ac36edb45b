//! Stories of calls between IPv4 and IPv6: each leg shows the address of the family that its party uses (RFC 6157).

#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod support;

use std::sync::Arc;

use signalling::Command;
use support::*;

/// Bo's phone in this file: it has no other address.
const SIX: Phone = Phone { user: "bo", addr: "[2001:db8:1::2]:5060" };

fn sdp6(port: u16, direction: &str) -> String {
    sdp_at("2001:db8:9::9", port, "0", direction).replace("IP4", "IP6")
}

fn net(dual_stack: bool) -> Net {
    let mut net = Net::new();
    net.dual_stack = dual_stack;
    let mut peers = peers();
    let contact = peers.accounts[1].contact.as_mut().unwrap();
    (contact.uri, contact.addr) = (format!("sip:bo@{}", SIX.addr), SIX.addr.parse().unwrap());
    net.order(Command::Peers(Arc::new(peers)));
    net
}

#[test]
fn who_is_called_by_ipv6_is_offered_ipv6() {
    let mut net = net(true);
    let mut caller = Call::out(&mut net, TRUNK, "bo", Some(sdp(4000, "0", "sendrecv") + "a=rtcp:4001\r\n"));
    let mut callee = Call::incoming(&mut net, SIX);
    assert_eq!(line(&callee.invite, "c="), "c=IN IP6 2001:db8::1");
    assert!(line(&callee.invite, "o=").ends_with(" IN IP6 2001:db8::1"));
    assert!(line(&callee.invite, "a=rtcp:").ends_with(" IN IP6 2001:db8::1"));
    callee.answer(&mut net, Some(sdp6(5000, "sendrecv")));
    net.expect(SIX, "ACK");
    let ok = caller.established(&mut net);
    assert_eq!(line(&ok, "c="), "c=IN IP4 192.0.2.1");
    let legs = net.answered();
    let rtp = |leg| net.session(leg).rtp.map(|rtp| rtp.to_string());
    assert_eq!(rtp(legs[0]).as_deref(), Some("[2001:db8:9::9]:5000"));
    assert_eq!(rtp(legs[1]).as_deref(), Some("10.9.9.9:4000"));
    // A hold in the old way names no family of its own.
    callee.reinvite(&mut net, Some(sdp_at("0.0.0.0", 5000, "0", "inactive")));
    caller.reinvited(&mut net, sdp(4000, "0", "inactive"));
    assert_eq!(line(&net.expect(SIX, "200"), "c="), "c=IN IP6 2001:db8::1");
    callee.ack(&mut net, callee.cseq, None);
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn who_calls_by_ipv6_is_answered_by_ipv6() {
    let mut net = net(true);
    let mut caller = Call::out(&mut net, SIX, "anna", Some(sdp6(4000, "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    assert_eq!(line(&callee.invite, "c="), "c=IN IP4 192.0.2.1");
    callee.answer(&mut net, Some(sdp(5000, "0", "sendrecv")));
    net.expect(ANNA, "ACK");
    assert_eq!(line(&caller.established(&mut net), "c="), "c=IN IP6 2001:db8::1");
    caller.bye(&mut net);
    callee.byed(&mut net);
    net.assert_clean();
}

#[test]
fn the_family_of_the_description_counts_not_that_of_the_flow() {
    let mut net = net(true);
    let mut caller = Call::out(&mut net, TRUNK, "anna", Some(sdp6(4000, "sendrecv")));
    let callee = Call::incoming(&mut net, ANNA);
    callee.answer(&mut net, Some(sdp6(5000, "sendrecv")));
    net.expect(ANNA, "ACK");
    assert_eq!(line(&caller.established(&mut net), "c="), "c=IN IP6 2001:db8::1");
    // From now on Anna is known to use it, too.
    caller.reinvite(&mut net, Some(sdp(4000, "0", "sendrecv")));
    assert_eq!(line(&callee.reinvited(&mut net, sdp6(5000, "sendrecv")), "c="), "c=IN IP6 2001:db8::1");
    assert_eq!(line(&net.expect(TRUNK, "200"), "c="), "c=IN IP4 192.0.2.1");
}

#[test]
fn an_offer_in_a_family_that_we_lack_is_refused_and_nobody_called() {
    let mut net = net(false);
    let caller = Call::out(&mut net, TRUNK, "anna", Some(sdp6(4000, "sendrecv")));
    assert_eq!(net.expect(TRUNK, "488").call_id(), caller.call_id);
    net.nothing(ANNA);
    net.assert_clean();
}

#[test]
fn an_answer_in_a_family_that_we_lack_ends_the_call() {
    let mut net = net(false);
    Call::out(&mut net, TRUNK, "bo", Some(sdp(4000, "0", "sendrecv")));
    let callee = Call::incoming(&mut net, SIX);
    assert_eq!(line(&callee.invite, "c="), "c=IN IP4 192.0.2.1", "its phone may have both");
    callee.answer(&mut net, Some(sdp6(5000, "sendrecv")));
    net.expect(SIX, "ACK");
    callee.byed(&mut net);
    net.expect(TRUNK, "488");
    net.assert_clean();
}

#[test]
fn a_change_to_a_family_that_we_lack_is_refused_and_the_call_goes_on() {
    let mut net = net(false);
    let (mut caller, mut agent, ..) = call_up(&mut net);
    agent.reinvite(&mut net, Some(sdp6(5000, "sendrecv")));
    net.expect(ANNA, "488");
    net.nothing(TRUNK);
    agent.ack(&mut net, agent.cseq, None);
    caller.bye(&mut net);
    agent.byed(&mut net);
    net.assert_clean();
}
