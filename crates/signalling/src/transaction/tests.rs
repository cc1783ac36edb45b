//! Stories of the four machines, told with a simulated clock.

use std::fmt::Write;

use super::*;
use crate::message::{Limits, RequestBuilder};
use crate::transport::Transport;

mod lossy;
mod reliable;

/// Where simulated time begins; only differences matter.
#[expect(clippy::disallowed_methods, reason = "an Instant can be had in no other way, and tests only add to it")]
pub(super) fn start() -> Instant {
    Instant::now()
}

const T1: Duration = Duration::from_millis(500);

fn timing(max_transactions: usize) -> Timing {
    Timing { t1: T1, t2: Duration::from_secs(4), t4: Duration::from_secs(5), max_transactions }
}

fn flow_from(remote: &str) -> Flow {
    Flow { transport: Transport::Udp, local: "10.0.0.1:5060".parse().unwrap(), remote: remote.parse().unwrap() }
}

fn peer() -> Flow {
    flow_from("10.0.0.2:5060")
}

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).expect("a good message")
}

/// A request as a peer would send it.
#[derive(Clone)]
struct Incoming {
    method: &'static str,
    via: String,
    call: String,
    cseq: u32,
    to_tag: String,
}

fn incoming(method: &'static str, branch: &str) -> Incoming {
    let via = format!("SIP/2.0/UDP 10.0.0.2:5060;branch={branch}");
    Incoming { method, via, call: format!("call-{branch}"), cseq: 1, to_tag: String::new() }
}

impl Incoming {
    fn text(&self) -> String {
        let Self { method, via, call, cseq, to_tag } = self;
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        format!(
            "{method} sip:bob@10.0.0.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:alice@10.0.0.2>;tag=alice\r\n\
             To: <sip:bob@10.0.0.1>{tag}\r\nCall-ID: {call}\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@10.0.0.2>\r\nContent-Length: 0\r\n\r\n"
        )
    }
    fn message(&self) -> Message {
        parse(&self.text())
    }
    fn method(&self, method: &'static str) -> Self {
        Self { method, ..self.clone() }
    }
    fn via(&self, via: &str) -> Self {
        Self { via: via.into(), ..self.clone() }
    }
    fn cseq(&self, cseq: u32) -> Self {
        Self { cseq, ..self.clone() }
    }
    fn call(&self, call: &str) -> Self {
        Self { call: call.into(), ..self.clone() }
    }
    fn to_tag(&self, tag: &str) -> Self {
        Self { to_tag: tag.into(), ..self.clone() }
    }
}

/// The layer, its clock, and what came of each call.
struct Story {
    layer: Transactions,
    begin: Instant,
    now: Instant,
    steps: Vec<Step>,
}

fn story() -> Story {
    story_with(10_000)
}

fn story_with(max_transactions: usize) -> Story {
    let begin = start();
    Story { layer: Transactions::new(timing(max_transactions), [7; 32]), begin, now: begin, steps: Vec::new() }
}

impl Story {
    fn receive(&mut self, message: &Message) -> Vec<String> {
        self.receive_from(peer(), message)
    }
    fn receive_from(&mut self, flow: Flow, message: &Message) -> Vec<String> {
        self.layer.receive(self.now, flow, message.clone(), &mut self.steps);
        self.heard()
    }
    /// Answers with a To tag.
    fn respond(&mut self, id: ServerId, request: &Message, status: u16) -> Vec<String> {
        let response = ResponseBuilder::new(request, status, None, Some("bob")).finish();
        self.layer.respond(self.now, id, response, &mut self.steps);
        self.heard()
    }
    fn send(&mut self, method: Method) -> (ClientId, Message, Vec<String>) {
        let branch = self.layer.branch();
        let request = RequestBuilder::new(&method, "sip:bob@10.0.0.2")
            .header(HeaderName::Via, &format!("SIP/2.0/UDP 10.0.0.1:5060;branch={branch};rport"))
            .header(HeaderName::MaxForwards, "70")
            .header(HeaderName::Route, "<sip:10.0.0.2;lr>")
            .header(HeaderName::From, "<sip:us@10.0.0.1>;tag=us")
            .header(HeaderName::To, "<sip:bob@10.0.0.2>")
            .header(HeaderName::CallId, &format!("ours-{branch}"))
            .header(HeaderName::CSeq, &format!("3 {}", method.as_str()))
            .finish();
        let id = self.layer.request(self.now, peer(), request.clone(), &mut self.steps);
        (id, request, self.heard())
    }
    fn cancel(&mut self, id: ClientId) -> Vec<String> {
        self.layer.cancel(self.now, id, Some("SIP;cause=487"), &mut self.steps);
        self.heard()
    }
    /// What the last call led to, one line a step.
    fn heard(&mut self) -> Vec<String> {
        self.steps.drain(..).map(|step| line(&step)).collect()
    }
    /// Lets time pass; each line starts with the milliseconds since the story began.
    fn pass(&mut self, time: Duration) -> Vec<String> {
        let end = self.now + time;
        let mut lines = Vec::new();
        while let Some(at) = self.layer.wake_at().filter(|at| *at <= end) {
            assert!(at >= self.now, "no deadline is left behind");
            self.now = at;
            self.layer.wake(at, &mut self.steps);
            let ms = at.duration_since(self.begin).as_millis();
            lines.extend(self.heard().into_iter().map(|line| format!("{ms} {line}")));
        }
        self.now = end;
        lines
    }
    fn counter(&self, name: &str) -> u64 {
        self.layer.counters().get(name).copied().unwrap_or(0)
    }
    fn gone_after(&mut self, time: Duration) {
        self.pass(time - Duration::from_millis(1));
        assert!(!self.layer.is_empty(), "it ends not before its time");
        self.pass(Duration::from_millis(1));
        assert_eq!((self.layer.len(), self.layer.wake_at()), (0, None), "nothing leaks");
        assert!(self.layer.by_key.is_empty() && self.layer.by_call.is_empty() && self.layer.by_flow.is_empty());
    }
}

fn line(step: &Step) -> String {
    let message = match step {
        Step::Transmit { data, .. } => return format!("> {}", first_words(&parse(std::str::from_utf8(data).unwrap()))),
        Step::Happening(Happening::TimedOut { .. }) => return "timed out".into(),
        Step::Happening(Happening::NoAck { .. }) => return "no ack".into(),
        Step::Happening(Happening::Cancelled { .. }) => return "cancelled".into(),
        Step::Happening(Happening::Request { message, .. } | Happening::Ack { message, .. }) => message,
        Step::Happening(Happening::Response { message, .. }) => message,
        Step::Happening(Happening::StrayOk { message, .. }) => return format!("stray {}", first_words(message)),
    };
    format!("told {}", first_words(message))
}

fn first_words(message: &Message) -> String {
    if message.is_request() {
        message.method().as_str().into()
    } else {
        format!("{} {}", message.status(), message.cseq().method.as_str())
    }
}

fn answer(request: &Message, status: u16, tag: &str) -> Message {
    ResponseBuilder::new(request, status, None, Some(tag)).finish()
}

/// The id that the layer gave a request.
fn server_id(story: &mut Story, message: &Message) -> ServerId {
    story.layer.receive(story.now, peer(), message.clone(), &mut story.steps);
    let id = story.steps.iter().find_map(|step| match step {
        Step::Happening(Happening::Request { id, .. }) => Some(*id),
        _ => None,
    });
    story.steps.clear();
    id.expect("a new transaction")
}

mod client_invite {
    use super::*;

    #[test]
    fn without_an_answer_it_repeats_doubling_and_times_out_after_32_s() {
        let mut story = story();
        let (_, _, sent) = story.send(Method::Invite);
        assert_eq!(sent, ["> INVITE"]);
        let lines = story.pass(Duration::from_secs(60));
        let expected = [
            "500 > INVITE",
            "1500 > INVITE",
            "3500 > INVITE",
            "7500 > INVITE",
            "15500 > INVITE",
            "31500 > INVITE",
            "32000 timed out",
        ];
        assert_eq!(lines, expected);
        assert!(story.layer.is_empty());
        assert_eq!((story.counter("transactions_timed_out"), story.counter("retransmissions_sent")), (1, 6));
    }

    #[test]
    fn a_provisional_answer_stops_the_repeating_for_as_long_as_it_rings() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        assert_eq!(story.receive(&answer(&request, 100, "")), [""; 0], "100 is not told");
        assert_eq!(story.pass(Duration::from_secs(300)), [""; 0]);
        assert_eq!(story.receive(&answer(&request, 180, "b")), ["told 180 INVITE"]);
        assert_eq!(story.receive(&answer(&request, 183, "b")), ["told 183 INVITE"]);
        assert_eq!(story.layer.client_request(id).unwrap().bytes(), request.bytes());
    }

    #[test]
    fn every_2xx_is_told_forks_and_repetitions_too_for_64_t1() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        assert_eq!(story.receive(&answer(&request, 200, "one")), ["told 200 INVITE"]);
        assert_eq!(story.receive(&answer(&request, 200, "one")), ["told 200 INVITE"]);
        assert_eq!(story.receive(&answer(&request, 200, "two")), ["told 200 INVITE"]);
        assert_eq!(story.receive(&answer(&request, 180, "two")), [""; 0], "late provisional");
        assert_eq!(story.receive(&answer(&request, 486, "three")), [""; 0], "late refusal of a third fork");
        assert!(story.layer.client_request(id).is_none(), "forks' dialogs are made of their answers");
        story.gone_after(Duration::from_secs(32));
        assert_eq!(story.receive(&answer(&request, 200, "one")), ["stray 200 INVITE"]);
        assert!(story.layer.client_request(id).is_none());
    }

    #[test]
    fn of_a_cancelled_invite_that_was_answered_the_request_is_kept() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        story.receive(&answer(&request, 180, "one"));
        story.layer.cancel(story.now, id, None, &mut story.steps);
        story.steps.clear();
        assert_eq!(story.receive(&answer(&request, 200, "one")), ["told 200 INVITE"]);
        assert_eq!(story.layer.client_request(id).unwrap().bytes(), request.bytes(), "to end what came of it");
    }

    #[test]
    fn a_refusal_is_acknowledged_each_time_it_comes_but_told_once() {
        let mut story = story();
        let (_, request, _) = story.send(Method::Invite);
        assert_eq!(story.receive(&answer(&request, 486, "b")), ["> ACK", "told 486 INVITE"]);
        assert_eq!(story.receive(&answer(&request, 486, "b")), ["> ACK"]);
        assert_eq!(story.receive(&answer(&request, 200, "fork")), ["stray 200 INVITE"], "somebody must hang it up");
        assert_eq!(story.receive(&answer(&request, 180, "b")), [""; 0]);
        story.gone_after(Duration::from_secs(32));
        assert_eq!(story.receive(&answer(&request, 486, "b")), [""; 0]);
        assert_eq!(story.counter("responses_stray"), 1);
    }

    #[test]
    fn the_ack_of_a_refusal_goes_the_invites_way_with_the_answers_to() {
        let mut story = story();
        let (_, request, _) = story.send(Method::Invite);
        story.layer.receive(story.now, peer(), answer(&request, 404, "b"), &mut story.steps);
        let Some(Step::Transmit { data, flow }) = story.steps.first() else { panic!("an ACK") };
        let ack = parse(std::str::from_utf8(data).unwrap());
        assert_eq!((*flow, ack.method(), ack.request_uri()), (peer(), Method::Ack, request.request_uri()));
        for same in [HeaderName::Via, HeaderName::From, HeaderName::CallId, HeaderName::Route] {
            assert_eq!(ack.header(&same), request.header(&same));
        }
        assert_eq!((ack.to_tag(), ack.header(&HeaderName::CSeq)), ("b", Some("3 ACK")));
    }

    #[test]
    fn cancel_waits_for_a_provisional_answer() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        assert_eq!(story.cancel(id), [""; 0]);
        assert_eq!(story.pass(Duration::from_secs(1)), ["500 > INVITE"], "it goes on asking");
        assert_eq!(story.receive(&answer(&request, 180, "b")), ["told 180 INVITE", "> CANCEL"]);
        assert_eq!(story.cancel(id), [""; 0], "once is enough");
        assert_eq!(story.layer.len(), 2);
        assert_eq!(story.receive(&answer(&request, 180, "b")), ["told 180 INVITE"], "it may ring on for a moment");
        let cancel = parse(&format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: <sip:us@10.0.0.1>;tag=us\r\nTo: <sip:bob@10.0.0.2>;tag=b\r\nCall-ID: {}\r\nCSeq: 3 CANCEL\r\n\r\n",
            request.header(&HeaderName::Via).unwrap(),
            request.call_id()
        ));
        assert_eq!(story.receive(&cancel), [""; 0], "the CANCEL's own answer interests nobody");
        assert_eq!(story.receive(&answer(&request, 487, "b")), ["> ACK", "told 487 INVITE"]);
        story.gone_after(Duration::from_secs(32));
    }

    #[test]
    fn the_cancel_is_the_invites_twin() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        story.receive(&answer(&request, 100, ""));
        story.layer.cancel(story.now, id, Some("SIP;cause=200;text=\"Call completed elsewhere\""), &mut story.steps);
        let Some(Step::Transmit { data, .. }) = story.steps.first() else { panic!("a CANCEL") };
        let cancel = parse(std::str::from_utf8(data).unwrap());
        for same in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::Route] {
            assert_eq!(cancel.header(&same), request.header(&same));
        }
        assert_eq!(cancel.header(&HeaderName::CSeq), Some("3 CANCEL"));
        assert_eq!(cancel.header(&HeaderName::Reason), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    }

    #[test]
    fn a_2xx_that_crosses_the_cancel_is_the_users() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        story.receive(&answer(&request, 180, "b"));
        assert_eq!(story.cancel(id), ["> CANCEL"]);
        assert_eq!(story.receive(&answer(&request, 200, "b")), ["told 200 INVITE"]);
        assert_eq!(story.pass(Duration::from_secs(31)).iter().filter(|line| line.ends_with("> CANCEL")).count(), 9);
        story.pass(Duration::from_secs(1));
        assert!(story.layer.is_empty());
    }

    #[test]
    fn a_2xx_before_any_provisional_answer_beats_the_cancel() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        story.cancel(id);
        assert_eq!(story.receive(&answer(&request, 200, "b")), ["told 200 INVITE"]);
        assert_eq!(story.cancel(id), [""; 0]);
        story.gone_after(Duration::from_secs(32));
    }

    #[test]
    fn a_cancelled_invite_that_never_ends_is_given_up() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Invite);
        story.receive(&answer(&request, 180, "b"));
        story.cancel(id);
        let lines = story.pass(Duration::from_secs(33));
        assert_eq!(
            lines.iter().filter(|line| line.contains("timed out")).collect::<Vec<_>>(),
            ["32000 timed out"],
            "and the CANCEL's own end is not told"
        );
        assert!(story.layer.is_empty());
    }

    #[test]
    fn a_dead_flow_ends_what_is_still_asking_but_not_what_rings() {
        let mut story = story();
        let (asking, ..) = story.send(Method::Invite);
        let (_, ringing, _) = story.send(Method::Invite);
        let (options, ..) = story.send(Method::Options);
        story.receive(&answer(&ringing, 180, "b"));
        story.layer.send_failed(story.now, flow_from("10.0.0.99:5060"), &mut story.steps);
        assert_eq!(story.heard(), [""; 0], "another flow");
        story.layer.send_failed(story.now, peer(), &mut story.steps);
        let ended: Vec<u64> = story
            .steps
            .iter()
            .filter_map(|step| if let Step::Happening(Happening::TimedOut { id }) = step { Some(id.0) } else { None })
            .collect();
        assert_eq!(ended, [asking.0, options.0]);
        story.steps.clear();
        assert_eq!(story.receive(&answer(&ringing, 200, "b")), ["told 200 INVITE"]);
    }
}

mod client_non_invite {
    use super::*;

    #[test]
    fn without_an_answer_it_repeats_up_to_every_4_s_and_times_out_after_32_s() {
        let mut story = story();
        story.send(Method::Options);
        let lines = story.pass(Duration::from_secs(60));
        let times: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(
            times,
            ["500", "1500", "3500", "7500", "11500", "15500", "19500", "23500", "27500", "31500", "32000"]
        );
        assert_eq!(lines.last().unwrap(), "32000 timed out");
        assert!(story.layer.is_empty());
    }

    #[test]
    fn a_provisional_answer_slows_the_repeating_to_t2() {
        let mut story = story();
        let (_, request, _) = story.send(Method::Options);
        assert_eq!(story.receive(&answer(&request, 183, "b")), ["told 183 OPTIONS"]);
        let lines = story.pass(Duration::from_secs(10));
        assert_eq!(lines, ["500 > OPTIONS", "4500 > OPTIONS", "8500 > OPTIONS"], "timer E as it ran, then T2");
        assert_eq!(story.pass(Duration::from_secs(30)).last().unwrap(), "32000 timed out");
    }

    #[test]
    fn the_final_answer_is_told_once_and_repetitions_absorbed_for_t4() {
        let mut story = story();
        let (id, request, _) = story.send(Method::Bye);
        assert_eq!(story.receive(&answer(&request, 200, "b")), ["told 200 BYE"]);
        assert_eq!(story.receive(&answer(&request, 200, "b")), [""; 0]);
        assert_eq!(story.layer.client_request(id).unwrap().bytes(), request.bytes());
        story.gone_after(Duration::from_secs(5));
    }

    #[test]
    fn an_answer_by_another_method_or_with_a_second_via_is_not_its_own() {
        let mut story = story();
        let (_, request, _) = story.send(Method::Bye);
        let good = String::from_utf8(answer(&request, 200, "b").bytes().to_vec()).unwrap();
        assert_eq!(story.receive(&parse(&good.replace("3 BYE", "3 INFO"))), [""; 0]);
        assert_eq!(
            story.receive(&parse(&good.replace("\r\nFrom:", "\r\nVia: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx\r\nFrom:"))),
            [""; 0]
        );
        assert_eq!(story.counter("responses_stray"), 2);
        assert_eq!(story.receive(&parse(&good)), ["told 200 BYE"]);
    }
}

mod server_invite {
    use super::*;

    #[test]
    fn it_is_answered_100_at_once_and_repetitions_get_the_last_provisional_answer() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1").message();
        assert_eq!(story.receive(&invite), ["> 100 INVITE", "told INVITE"]);
        assert_eq!(story.receive(&invite), ["> 100 INVITE"]);
        let id = ServerId(*story.layer.by_key.values().next().unwrap());
        assert_eq!(story.respond(id, &invite, 180), ["> 180 INVITE"]);
        assert_eq!(story.receive(&invite), ["> 180 INVITE"]);
        assert_eq!(story.layer.server_request(id).unwrap().call_id(), invite.call_id());
        assert_eq!(
            story.pass(Duration::from_secs(150)),
            ["60000 > 180 INVITE", "120000 > 180 INVITE"],
            "RFC 3261 13.3.1.1"
        );
    }

    #[test]
    fn a_2xx_is_repeated_until_acknowledged_and_invites_absorbed_until_timer_l() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        let message = invite.message();
        let id = server_id(&mut story, &message);
        assert_eq!(story.respond(id, &message, 200), ["> 200 INVITE"]);
        let lines = story.pass(Duration::from_millis(12_000));
        assert_eq!(
            lines,
            ["500 > 200 INVITE", "1500 > 200 INVITE", "3500 > 200 INVITE", "7500 > 200 INVITE", "11500 > 200 INVITE"]
        );
        assert_eq!(story.receive(&message), [""; 0], "RFC 6026 absorbs it");
        let ack = invite.method("ACK").via("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKack").to_tag("bob").message();
        assert_eq!(story.receive(&ack), ["told ACK"]);
        story.layer.acknowledged(id);
        story.layer.acknowledged(id);
        assert_eq!(story.receive(&ack), ["told ACK"], "a repeated ACK is the dialog's");
        assert_eq!(story.receive(&message), [""; 0]);
        assert!(story.layer.server_request(id).is_none());
        story.gone_after(Duration::from_secs(20));
    }

    #[test]
    fn an_ack_of_a_2xx_with_the_invites_own_branch_is_told_too() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        let id = server_id(&mut story, &invite.message());
        story.respond(id, &invite.message(), 200);
        assert_eq!(story.receive(&invite.method("ACK").to_tag("bob").message()), ["told ACK"]);
    }

    #[test]
    fn a_2xx_without_ack_is_told_after_64_t1() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1").message();
        let id = server_id(&mut story, &invite);
        story.respond(id, &invite, 200);
        let lines = story.pass(Duration::from_secs(40));
        assert_eq!(lines.last().unwrap(), "32000 no ack");
        assert_eq!(lines.iter().filter(|line| line.contains("> 200")).count(), 10);
        assert!(story.layer.is_empty());
        story.layer.acknowledged(id);
        assert_eq!(story.counter("acks_missing"), 1);
    }

    #[test]
    fn a_refusal_is_repeated_until_its_ack_which_ends_here() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        let message = invite.message();
        let id = server_id(&mut story, &message);
        assert_eq!(story.respond(id, &message, 486), ["> 486 INVITE"]);
        assert_eq!(story.receive(&message), ["> 486 INVITE"]);
        let lines = story.pass(Duration::from_millis(11_600));
        assert_eq!(
            lines,
            ["500 > 486 INVITE", "1500 > 486 INVITE", "3500 > 486 INVITE", "7500 > 486 INVITE", "11500 > 486 INVITE"]
        );
        let ack = invite.method("ACK").to_tag("bob").message();
        assert_eq!(story.receive(&ack), [""; 0]);
        assert_eq!(story.receive(&ack), [""; 0]);
        assert_eq!(story.receive(&message), [""; 0], "confirmed");
        story.gone_after(Duration::from_secs(5));
    }

    #[test]
    fn a_refusal_without_ack_ends_by_timer_h() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1").message();
        let id = server_id(&mut story, &invite);
        story.respond(id, &invite, 500);
        story.gone_after(Duration::from_secs(32));
        assert_eq!(story.counter("acks_missing"), 1);
    }

    #[test]
    fn an_ack_of_a_refusal_by_another_branch_is_known_by_its_call() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        let id = server_id(&mut story, &invite.message());
        story.respond(id, &invite.message(), 486);
        let ack = invite.method("ACK").via("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bKnew");
        assert_eq!(story.receive(&ack.to_tag("other").message()), ["told ACK"], "not this answer's tag");
        assert_eq!(story.receive(&ack.to_tag("bob").message()), [""; 0]);
        story.gone_after(Duration::from_secs(5));
    }

    #[test]
    fn a_second_final_answer_and_one_that_comes_too_late_are_dropped() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1").message();
        let id = server_id(&mut story, &invite);
        story.respond(id, &invite, 486);
        assert_eq!(story.respond(id, &invite, 200), [""; 0]);
        assert_eq!(story.respond(id, &invite, 180), [""; 0]);
        story.pass(Duration::from_secs(33));
        assert_eq!(story.respond(id, &invite, 200), [""; 0]);
        assert_eq!(story.counter("responses_late"), 3);
    }

    #[test]
    fn cancel_is_answered_200_and_told_once() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        let message = invite.message();
        let id = server_id(&mut story, &message);
        story.respond(id, &message, 180);
        let cancel = invite.method("CANCEL").message();
        assert_eq!(story.receive(&cancel), ["> 200 CANCEL", "cancelled"]);
        assert_eq!(story.receive(&cancel), ["> 200 CANCEL"]);
        assert_eq!(story.respond(id, &message, 487), ["> 487 INVITE"]);
        assert_eq!(story.receive(&cancel), ["> 200 CANCEL"]);
        story.receive(&invite.method("ACK").to_tag("bob").message());
        story.gone_after(Duration::from_secs(5));
        assert_eq!(story.receive(&cancel), ["> 481 CANCEL"]);
    }

    #[test]
    fn a_cancel_after_the_2xx_has_no_effect() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        let id = server_id(&mut story, &invite.message());
        story.respond(id, &invite.message(), 200);
        assert_eq!(story.receive(&invite.method("CANCEL").message()), ["> 200 CANCEL"]);
    }

    #[test]
    fn the_user_may_answer_2xx_though_the_cancel_came() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        let id = server_id(&mut story, &invite.message());
        story.receive(&invite.method("CANCEL").message());
        assert_eq!(story.respond(id, &invite.message(), 200), ["> 200 INVITE"]);
    }

    #[test]
    fn a_cancel_with_another_sent_by_finds_its_invite() {
        let other_name = "SIP/2.0/UDP proxy.example.com:5060;branch=z9hG4bK1";
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        server_id(&mut story, &invite.message());
        let cancel = invite.method("CANCEL").via(other_name).message();
        assert_eq!(
            story.receive_from(flow_from("10.0.0.77:5060"), &cancel),
            ["> 200 CANCEL", "cancelled"],
            "by its branch"
        );
        let second = incoming("INVITE", "z9hG4bK2");
        server_id(&mut story, &second.message());
        let cancel = second.method("CANCEL").via("SIP/2.0/UDP proxy.example.com;branch=z9hG4bKother").message();
        assert_eq!(
            story.receive_from(flow_from("10.0.0.77:5060"), &cancel),
            ["> 481 CANCEL"],
            "a stranger who knows the Call-ID"
        );
        assert_eq!(
            story.receive_from(flow_from("10.0.0.2:5099"), &cancel),
            ["> 200 CANCEL", "cancelled"],
            "by call and source"
        );
    }

    #[test]
    fn a_cancel_for_nothing_is_481_with_the_same_tag_each_time() {
        let mut story = story();
        let cancel = incoming("CANCEL", "z9hG4bK1").message();
        let mut tags = Vec::new();
        for _ in 0..2 {
            story.layer.receive(story.now, peer(), cancel.clone(), &mut story.steps);
            let Some(Step::Transmit { data, .. }) = story.steps.pop() else { panic!("an answer") };
            let answer = parse(std::str::from_utf8(&data).unwrap());
            assert_eq!(answer.status(), 481);
            tags.push(answer.to_tag().to_owned());
        }
        assert!(!tags[0].is_empty() && tags[0] == tags[1]);
        assert!(story.layer.is_empty());
    }
}

mod server_non_invite {
    use super::*;

    #[test]
    fn repetitions_are_absorbed_then_get_the_last_answer_for_64_t1() {
        let mut story = story();
        let options = incoming("OPTIONS", "z9hG4bK1").message();
        let id = server_id(&mut story, &options);
        assert_eq!(story.receive(&options), [""; 0]);
        assert_eq!(story.respond(id, &options, 183), ["> 183 OPTIONS"]);
        assert_eq!(story.receive(&options), ["> 183 OPTIONS"]);
        assert_eq!(story.respond(id, &options, 200), ["> 200 OPTIONS"]);
        assert_eq!(story.receive(&options), ["> 200 OPTIONS"]);
        assert_eq!(story.respond(id, &options, 500), [""; 0]);
        assert!(story.layer.server_request(id).is_none());
        story.gone_after(Duration::from_secs(32));
        assert_eq!(story.receive(&options), ["told OPTIONS"], "after timer J it is a new one");
    }

    #[test]
    fn one_that_nobody_answers_does_not_stay_for_ever() {
        let mut story = story();
        server_id(&mut story, &incoming("INFO", "z9hG4bK1").to_tag("bob").message());
        story.gone_after(Duration::from_secs(32));
        assert_eq!(story.counter("requests_unanswered"), 1);
    }

    #[test]
    fn the_answer_goes_back_where_the_repetition_came_from() {
        let mut story = story();
        let options = incoming("OPTIONS", "z9hG4bK1").message();
        let id = server_id(&mut story, &options);
        story.respond(id, &options, 200);
        let rebound = flow_from("10.0.0.2:61000");
        story.layer.receive(story.now, rebound, options, &mut story.steps);
        assert!(matches!(story.steps.as_slice(), [Step::Transmit { flow, .. }] if *flow == rebound));
    }
}

mod matching_rules {
    use super::*;

    #[test]
    fn branch_sent_by_and_method_make_a_transaction() {
        let mut story = story();
        let first = incoming("OPTIONS", "z9hG4bK1");
        assert_eq!(story.receive(&first.message()), ["told OPTIONS"]);
        let others = [
            first.method("INFO").to_tag("t"),
            first.via("SIP/2.0/UDP 10.0.0.2:5061;branch=z9hG4bK1").call("b"),
            first.via("SIP/2.0/UDP 10.0.0.3:5060;branch=z9hG4bK1").call("c"),
            first.via("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK2").call("d"),
        ];
        for other in others {
            assert_eq!(story.receive(&other.message()).len(), 1, "{}", other.via);
        }
        assert_eq!(story.layer.len(), 5);
        let same = [first.via("SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1"), first.call("changed-on-the-way")];
        for same in same {
            assert_eq!(story.receive(&same.message()), [""; 0], "5060 is the default, and the Call-ID is not compared");
        }
    }

    #[test]
    fn host_names_are_compared_without_case() {
        let mut story = story();
        let via =
            |host: &str| incoming("OPTIONS", "z9hG4bK1").via(&format!("SIP/2.0/UDP {host};branch=z9hG4bK1")).message();
        assert_eq!(story.receive(&via("PBX.example.com")), ["told OPTIONS"]);
        assert_eq!(story.receive(&via("pbx.EXAMPLE.com")), [""; 0]);
        assert_eq!(story.counter("retransmissions_received"), 1);
    }

    #[test]
    fn without_the_cookie_rfc_2543_compares_the_call() {
        for via in [
            "SIP/2.0/UDP 10.0.0.2:5060",
            "SIP/2.0/UDP 10.0.0.2:5060;branch=1",
            "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK",
        ] {
            let mut story = story();
            let invite = incoming("INVITE", "old").via(via);
            let id = server_id(&mut story, &invite.message());
            assert_eq!(story.receive(&invite.message()), ["> 100 INVITE"], "{via}");
            assert_eq!(story.receive(&invite.call("another").message()), ["> 100 INVITE", "told INVITE"], "{via}");
            assert_eq!(story.receive(&invite.cseq(2).message()), ["> 100 INVITE", "told INVITE"], "{via}");
            story.respond(id, &invite.message(), 486);
            assert_eq!(story.receive(&invite.method("ACK").to_tag("bob").message()), [""; 0], "{via}");
            assert_eq!(story.receive(&invite.message()), [""; 0], "confirmed: {via}");
            assert_eq!(
                story.receive(&invite.call("another").method("CANCEL").message()),
                ["> 200 CANCEL", "cancelled"],
                "{via}"
            );
        }
    }

    #[test]
    fn a_request_that_came_by_two_ways_is_482() {
        let mut story = story();
        let invite = incoming("INVITE", "z9hG4bK1");
        server_id(&mut story, &invite.message());
        let other_way = invite.via("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK2");
        story.layer.receive(story.now, peer(), other_way.message(), &mut story.steps);
        let Some(Step::Transmit { data, .. }) = story.steps.pop() else { panic!("an answer") };
        let refusal = parse(std::str::from_utf8(&data).unwrap());
        assert_eq!((refusal.status(), story.layer.len()), (482, 1));
        let ack = other_way.method("ACK").to_tag(refusal.to_tag());
        assert_eq!(story.receive(&ack.message()), [""; 0], "its ACK is nobody's");
        assert_eq!(
            story.receive(&other_way.to_tag("bob").message()),
            ["> 100 INVITE", "told INVITE"],
            "not in a dialog"
        );
        assert_eq!(story.counter("requests_merged"), 1);
    }

    #[test]
    fn a_challenged_request_may_come_again_with_its_cseq() {
        for (method, status) in [("INVITE", 407), ("REGISTER", 401)] {
            let mut story = story();
            let request = incoming(method, "z9hG4bK1");
            let id = server_id(&mut story, &request.message());
            story.respond(id, &request.message(), status);
            let again = request.via("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK2").message();
            assert_eq!(story.receive(&again).last().unwrap(), &format!("told {method}"));
            assert_eq!(story.layer.len(), 2);
            story.pass(Duration::from_secs(33));
            assert_eq!(story.layer.len(), usize::from(method == "INVITE"), "the unanswered INVITE waits for its user");
        }
    }

    #[test]
    fn requests_are_marked_with_their_source() {
        let mut story = story();
        let options =
            incoming("OPTIONS", "z9hG4bK1").via("SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bK1;rport").message();
        story.layer.receive(story.now, flow_from("203.0.113.9:40123"), options, &mut story.steps);
        let Some(Step::Happening(Happening::Request { message, .. })) = story.steps.pop() else { panic!("a request") };
        assert_eq!(message.top_via().params.value("received"), Some("203.0.113.9"));
        assert_eq!(message.top_via().params.value("rport"), Some("40123"));
    }
}

mod the_table {
    use super::*;

    #[test]
    fn above_the_limit_new_requests_are_503_but_dialogs_may_still_end() {
        let mut story = story_with(8);
        for n in 0..8 {
            assert_eq!(story.receive(&incoming("OPTIONS", &format!("z9hG4bK{n}")).message()), ["told OPTIONS"]);
        }
        let ninth = incoming("INVITE", "z9hG4bKninth");
        story.layer.receive(story.now, peer(), ninth.message(), &mut story.steps);
        let Some(Step::Transmit { data, .. }) = story.steps.pop() else { panic!("an answer") };
        let refusal = parse(std::str::from_utf8(&data).unwrap());
        assert_eq!((refusal.status(), refusal.header(&HeaderName::RetryAfter)), (503, Some("5")));
        assert_eq!(story.receive(&ninth.method("ACK").to_tag(refusal.to_tag()).message()), [""; 0]);
        for n in 0..4 {
            let bye = incoming("BYE", &format!("z9hG4bKbye{n}")).to_tag("t").message();
            assert_eq!(story.receive(&bye), [if n < 2 { "told BYE" } else { "> 503 BYE" }]);
        }
        assert_eq!((story.layer.len(), story.counter("transactions_refused")), (10, 3));
        assert_eq!(story.receive(&incoming("OPTIONS", "z9hG4bK3").message()), [""; 0], "repetitions are known");
    }

    #[test]
    fn an_old_id_never_means_a_new_transaction() {
        let mut story = story();
        let (old, request, _) = story.send(Method::Options);
        story.receive(&answer(&request, 200, "b"));
        story.pass(Duration::from_secs(6));
        let (new, ..) = story.send(Method::Invite);
        assert_eq!(index(old.0), index(new.0), "the same place");
        assert_ne!(old, new);
        assert!(story.layer.client_request(old).is_none());
        assert_eq!(story.cancel(old), [""; 0]);
        let invite = incoming("INVITE", "z9hG4bK1").message();
        assert_eq!(story.respond(ServerId(new.0), &invite, 200), [""; 0], "a client's id is no server's");
        assert_eq!(story.layer.len(), 1);
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let tell = |seed: u8| {
            let mut layer = Transactions::new(timing(10), [seed; 32]);
            let mut steps = Vec::new();
            let branch = layer.branch();
            layer.receive(start(), peer(), incoming("CANCEL", "z9hG4bK1").message(), &mut steps);
            let Some(Step::Transmit { data, .. }) = steps.pop() else { panic!("an answer") };
            (branch, data)
        };
        assert_eq!(tell(1), tell(1));
        assert_ne!(tell(1), tell(2));
        assert!(tell(1).0.starts_with("z9hG4bK"));
    }

    /// Ten thousand calls of four transactions each, all at once; and nothing is left in the end.
    #[test]
    fn ten_thousand_calls_leave_nothing_behind() {
        let mut story = story_with(100_000);
        let calls = 10_000;
        let mut ids = Vec::with_capacity(calls);
        let mut branch = String::new();
        for n in 0..calls {
            branch.clear();
            write!(branch, "z9hG4bK{n}").unwrap();
            let invite = incoming("INVITE", &branch).message();
            let id = server_id(&mut story, &invite);
            let (client, request, _) = story.send(Method::Invite);
            ids.push((id, invite, client, request));
        }
        assert_eq!(story.layer.len(), 2 * calls);
        for (id, invite, _, request) in &ids {
            story.layer.receive(story.now, peer(), answer(request, 200, "b"), &mut story.steps);
            story.steps.clear();
            story.respond(*id, invite, 200);
            story.layer.acknowledged(*id);
        }
        for n in 0..calls {
            let bye = incoming("BYE", &format!("z9hG4bKbye{n}")).to_tag("bob").message();
            let id = server_id(&mut story, &bye);
            story.respond(id, &bye, 200);
            let (_, request, _) = story.send(Method::Bye);
            story.layer.receive(story.now, peer(), answer(&request, 200, "b"), &mut story.steps);
            story.steps.clear();
        }
        assert_eq!(story.layer.len(), 4 * calls);
        assert_eq!(story.layer.schedule.next(), Some(story.now + Duration::from_secs(5)));
        assert_eq!(story.pass(Duration::from_secs(31)), [""; 0], "no call repeats anything");
        story.gone_after(Duration::from_secs(1));
    }
}
