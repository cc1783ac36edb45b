//! The machines over a connection: nothing is repeated but the 2xx, nothing repeated is awaited (RFC 3261 §17).

use super::*;

fn connection() -> Flow {
    Flow { transport: Transport::Tcp, ..peer() }
}

fn send(story: &mut Story, method: Method) -> (ClientId, Message) {
    let branch = story.layer.branch();
    let request = RequestBuilder::new(&method, "sip:bob@10.0.0.2")
        .header(HeaderName::Via, &format!("SIP/2.0/TCP 10.0.0.1:5060;branch={branch};rport"))
        .header(HeaderName::From, "<sip:us@10.0.0.1>;tag=us")
        .header(HeaderName::To, "<sip:bob@10.0.0.2>")
        .header(HeaderName::CallId, &format!("ours-{branch}"))
        .header(HeaderName::CSeq, &format!("3 {}", method.as_str()))
        .finish();
    let id = story.layer.request(story.now, connection(), request.clone(), &mut story.steps);
    assert_eq!(story.heard(), [format!("> {}", method.as_str())]);
    (id, request)
}

fn fail(story: &mut Story, status: u16, patient: bool) -> Vec<String> {
    story.layer.connection_failed(story.now, connection(), status, patient, &mut story.steps);
    story.heard()
}

#[test]
fn an_invite_is_sent_once_and_times_out_all_the_same() {
    let mut story = story();
    send(&mut story, Method::Invite);
    assert_eq!(story.pass(Duration::from_secs(60)), ["32000 timed out"]);
    assert!(story.layer.is_empty());
}

#[test]
fn a_refused_invite_is_over_with_its_ack() {
    let mut story = story();
    let (_, request) = send(&mut story, Method::Invite);
    assert_eq!(story.receive_from(connection(), &answer(&request, 486, "b")), ["> ACK", "told 486 INVITE"]);
    assert_eq!(story.pass(Duration::ZERO), [""; 0]); // Timer D is zero
    assert!(story.layer.is_empty());
}

#[test]
fn a_request_is_sent_once_and_over_with_its_answer() {
    let mut story = story();
    let (_, request) = send(&mut story, Method::Options);
    assert_eq!(story.pass(Duration::from_secs(20)), [""; 0]);
    assert_eq!(story.receive_from(connection(), &answer(&request, 100, "")), [""; 0]);
    assert_eq!(story.pass(Duration::from_secs(5)), [""; 0], "no Timer E at T2 either");
    assert_eq!(story.receive_from(connection(), &answer(&request, 200, "b")), ["told 200 OPTIONS"]);
    assert_eq!(story.pass(Duration::ZERO), [""; 0]); // Timer K is zero
    assert!(story.layer.is_empty());
    send(&mut story, Method::Bye);
    assert_eq!(story.pass(Duration::from_secs(60)).len(), 1, "Timer F stays");
}

#[test]
fn a_refusal_is_sent_once_and_waits_for_its_ack() {
    let mut story = story();
    let invite = incoming("INVITE", "z9hG4bKin");
    assert_eq!(story.receive_from(connection(), &invite.message()), ["> 100 INVITE", "told INVITE"]);
    let id = ServerId(story.layer.entries[0].id);
    assert_eq!(story.respond(id, &invite.message(), 486), ["> 486 INVITE"]);
    assert_eq!(story.pass(Duration::from_secs(31)), [""; 0]);
    assert_eq!(story.receive_from(connection(), &invite.method("ACK").to_tag("bob").message()), [""; 0]);
    assert_eq!(story.pass(Duration::ZERO), [""; 0]); // Timer I is zero
    assert!(story.layer.is_empty());
}

#[test]
fn timer_h_ends_a_refusal_without_ack() {
    let mut story = story();
    let invite = incoming("INVITE", "z9hG4bKin");
    story.receive_from(connection(), &invite.message());
    let id = ServerId(story.layer.entries[0].id);
    story.respond(id, &invite.message(), 486);
    story.gone_after(Duration::from_secs(32));
}

#[test]
fn a_2xx_is_repeated_until_its_ack() {
    let mut story = story();
    let invite = incoming("INVITE", "z9hG4bKin");
    story.receive_from(connection(), &invite.message());
    let id = ServerId(story.layer.entries[0].id);
    assert_eq!(story.respond(id, &invite.message(), 200), ["> 200 INVITE"]);
    assert_eq!(story.pass(Duration::from_secs(2)), ["500 > 200 INVITE", "1500 > 200 INVITE"]); // RFC 3261 §13.3.1.4
    story.layer.acknowledged(id);
    assert_eq!(story.pass(Duration::from_secs(20)), [""; 0]);
}

#[test]
fn an_answered_request_is_over() {
    let mut story = story();
    let request = incoming("OPTIONS", "z9hG4bKop");
    story.receive_from(connection(), &request.message());
    let id = ServerId(story.layer.entries[0].id);
    assert_eq!(story.respond(id, &request.message(), 200), ["> 200 OPTIONS"]);
    assert_eq!(story.pass(Duration::ZERO), [""; 0]); // Timer J is zero
    assert!(story.layer.is_empty());
}

#[test]
fn a_dead_connection_answers_for_its_peer() {
    let mut story = story();
    let (_, ringing) = send(&mut story, Method::Invite);
    let (_, answered) = send(&mut story, Method::Invite);
    send(&mut story, Method::Bye);
    story.receive_from(connection(), &answer(&ringing, 180, "b"));
    story.receive_from(connection(), &answer(&answered, 200, "b"));
    let mut patient = fail(&mut story, 503, true);
    patient.sort();
    assert_eq!(patient, ["told 503 BYE"], "one that rings may be answered by another connection");
    assert_eq!(fail(&mut story, 480, false), ["told 480 INVITE"]);
    assert_eq!(story.layer.len(), 1, "what was answered is over when its time is");
    story.gone_after(Duration::from_secs(32));
}

#[test]
fn what_has_not_left_can_go_another_way() {
    let mut story = story();
    let (id, request) = send(&mut story, Method::Invite);
    assert_eq!(story.cancel(id), [""; 0]);
    let via = request.top_via().branch().to_owned();
    let other = request.edit().set(HeaderName::Via, &format!("SIP/2.0/UDP 10.0.0.1:5060;branch={via};rport")).finish();
    story.layer.send_otherwise(story.now, id, peer(), other.clone(), &mut story.steps);
    assert_eq!(story.heard(), ["> INVITE"]);
    assert_eq!(story.pass(T1), ["500 > INVITE"], "it may be lost now");
    assert_eq!(fail(&mut story, 503, false), [""; 0]);
    assert_eq!(story.receive(&answer(&other, 180, "b")), ["told 180 INVITE", "> CANCEL"]);
}
