//! Calls: routing, metadata, records, ports, status, drain.

use super::*;

#[test]
fn a_trunk_call_to_an_agents_number_rings_its_phone_and_leaves_a_record() {
    let mut b = Bench::new();
    let call = b.call("1001");
    let view = b.call_view(call);
    assert_eq!(view.agent.as_deref(), Some("anna"));
    assert_eq!((view.state, view.direction), (CallState::Up, CallDirection::Inbound));
    assert_eq!(
        (view.caller_number.as_deref(), view.access_number.as_deref(), view.queue.as_deref()),
        (Some("+4755512345"), Some("+4721000001"), Some("Support"))
    );
    assert!(view.id.starts_with("call_") && view.interaction.starts_with("int_"));
    assert_eq!(b.agents["anna"].status, AgentStatus::Connected);
    assert_eq!(b.agents["anna"].calls, vec![view.id.clone()]);
    assert!(b.media.contains(&media::Command::Bridge { a: b.stream(call.caller), b: b.stream(call.callee) }));
    b.seconds(60);
    b.bye(call.caller);
    let record = b
        .persisted
        .iter()
        .find_map(|c| if let Change::Call(view) = c { Some(view.clone()) } else { None })
        .expect("a record");
    assert_eq!(record.end, Some(CallEnd { cause: "answered".into(), by: "caller".into(), sip_status: None }));
    assert_eq!(record.legs.len(), 2);
    assert!(
        record
            .legs
            .iter()
            .all(|leg| leg.packets == 500 && leg.codec.as_deref() == Some("PCMA") && leg.sip_call_id == "call-id@test"),
        "{:?}",
        record.legs
    );
    assert_eq!(record.legs.iter().map(|leg| leg.role.as_str()).collect::<Vec<_>>(), ["caller", "agent"]);
    assert_eq!(b.removed, vec![record.id.clone()]);
    assert_eq!(b.names().iter().filter(|n| **n == EventName::CallEnded).count(), 1);
    assert_eq!(b.agents["anna"].status, AgentStatus::Unknown);
    b.is_quiet();
}

#[test]
fn metadata_defaults_and_headers_pass_to_the_agents_phone() {
    let mut b = Bench::new();
    let call =
        b.trunk_calls("1001", &[("X-Queue", "Sales"), ("X-Interaction-Id", "case-7"), ("X-Other", "no")]).unwrap();
    let view = b.call_view(call);
    assert_eq!(view.access_number.as_deref(), Some("1001"), "what was dialled");
    assert_eq!(view.interaction, "case-7");
    let new = b.last_connect();
    assert_eq!(
        new.headers,
        vec![("X-Queue".to_owned(), "Sales".to_owned()), ("X-Interaction-Id".to_owned(), "case-7".to_owned())]
    );
    assert_eq!(new.from_user, "+4755512345");
    assert_eq!(new.destination, account(&b, "anna"));
    assert!(!new.identity);
}

#[test]
fn numbers_lead_where_they_should() {
    let mut b = Bench::new();
    assert!(b.trunk_calls("anna", &[]).is_some(), "by id");
    assert!(b.trunk_calls("10-01", &[]).is_some(), "without separators");
    assert!(b.trunk_calls("9999", &[]).is_none());
    assert_eq!(b.refused(), Some((404, None)));
    assert!(b.phone_calls("anna", "1002").is_some(), "agent to agent");
    assert_eq!(b.last_connect().destination, account(&b, "bo"));
    assert_eq!((b.last_connect().from_user.as_str(), b.last_connect().from_display.as_str()), ("1001", "Anna Berg"));
    assert!(b.phone_calls("anna", "sue-phone").is_some(), "agent to user");
    assert_eq!(b.last_connect().destination, account(&b, "sue"));
    assert!(b.phone_calls("sue", "1002").is_some(), "user to agent");
    assert!(b.phone_calls("anna", "+4799999999").is_some());
    assert_eq!(b.last_connect().destination, Destination::Trunk(TrunkId(0), "+4799999999".into()));
    assert!(b.last_connect().headers.is_empty());
    assert!(b.phone_calls("anna", "1001").is_none(), "oneself");
    assert_eq!(b.refused(), Some((486, None)));
}

#[test]
fn without_a_trunk_an_outside_number_is_404_and_without_ports_calls_are_503() {
    let mut b = Bench::with(settings(), Seed { trunks: vec![], ..seed() }, Restored::default());
    assert!(b.phone_calls("anna", "+4799999999").is_none());
    assert_eq!(b.refused(), Some((404, None)));
    for _ in 0..50 {
        assert!(b.phone_calls("anna", "1002").is_some());
    }
    assert!(b.phone_calls("anna", "1002").is_none());
    assert_eq!(b.refused().unwrap().0, 503);
    assert_eq!(b.count("calls_refused_no_port"), 1);
}

#[test]
fn calls_that_fail_say_how() {
    let mut b = Bench::new();
    for (status, rings, cause) in [
        (486, true, "busy"),
        (600, true, "busy"),
        (603, true, "refused"),
        (480, true, "no-answer"),
        (480, false, "failed"),
        (500, false, "failed"),
    ] {
        let call = b.trunk_calls("1001", &[]).unwrap();
        if rings {
            b.ring(call.callee);
        }
        b.leaves(call.callee, Some(status));
        let end = b.last_call().end.clone().unwrap();
        assert_eq!(
            (end.cause.as_str(), end.by.as_str(), end.sip_status),
            (cause, "agent", Some(status)),
            "{status} {rings}"
        );
    }
    let call = b.trunk_calls("1001", &[]).unwrap();
    assert_eq!(b.agents["anna"].status, AgentStatus::Connecting);
    b.leaves(call.caller, None);
    let end = b.last_call().end.clone().unwrap();
    assert_eq!((end.cause.as_str(), end.by.as_str()), ("cancelled", "caller"));
    b.is_quiet();
}

#[test]
fn directions_are_seen_from_the_agent() {
    let mut b = Bench::new();
    let outbound = b.dial("anna", "+4799999999");
    assert_eq!(
        (b.call_view(outbound).direction, b.call_view(outbound).agent.as_deref()),
        (CallDirection::Outbound, Some("anna"))
    );
    b.bye(outbound.caller);
    assert_eq!(b.last_call().end.as_ref().unwrap().by, "agent");
    let internal = b.dial("anna", "1002");
    let view = b.call_view(internal);
    assert_eq!((view.direction, view.agent.as_deref()), (CallDirection::Internal, Some("bo")));
    assert_eq!((&b.agents["anna"].calls, &b.agents["bo"].calls), (&vec![view.id.clone()], &vec![view.id]));
    b.bye(internal.callee);
    b.is_quiet();
}

#[test]
fn media_plans_are_described_and_acknowledged() {
    let mut b = Bench::new();
    let call = b.trunk_calls("1001", &[]).unwrap();
    let nat = Session {
        nat: true,
        payloads: vec![payload(97, "speex", 16_000), payload(8, "PCMA", 8000)],
        ..session(true, true)
    };
    b.says(signalling::Event::MediaPlanned { leg: call.callee, session: nat, plan: Some(signalling::PlanId(77)) });
    let stream = b.stream(call.callee);
    let remote = b
        .media
        .iter()
        .find_map(|c| {
            if let media::Command::Describe { stream: s, remote } = c {
                (*s == stream).then(|| remote.clone())
            } else {
                None
            }
        })
        .unwrap();
    assert_eq!(remote.decodable, vec![(8, media::Codec::Pcma)]);
    assert_eq!(remote.latch, Some("10.0.0.20".parse().unwrap()));
    assert_eq!(b.wire.lock().unwrap().media_done, vec![(77, true)]);
}

#[test]
fn hold_and_resume_are_told_once_each() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.hold(call.callee);
    b.hold(call.callee);
    assert!(b.call_view(call).held);
    b.resume(call.callee);
    b.planned(call.caller, session(true, false));
    assert!(!b.call_view(call).held, "the caller's hold is not the agent's");
    let count = |name| b.names().iter().filter(|n| **n == name).count();
    assert_eq!((count(EventName::CallHeld), count(EventName::CallResumed)), (1, 1));
}

#[test]
fn a_dead_call_is_ended_with_a_reason_and_one_way_audio_is_only_told() {
    let mut b = Bench::new();
    let call = b.call("1001");
    let stream = b.stream(call.caller);
    b.drive(Input::Media(media::Event::OneWay { stream }));
    assert!(b.names().contains(&EventName::AudioOneWay));
    assert_eq!(b.call_view(call).state, CallState::Up);
    b.drive(Input::Media(media::Event::Dead { stream }));
    assert_eq!(b.ended_by_us(call.caller).unwrap().text, "RTP timeout");
    let end = b.last_call().end.clone().unwrap();
    assert_eq!((end.cause.as_str(), end.by.as_str()), ("rtp-timeout", "engine"));
    b.is_quiet();
}

#[test]
fn draining_refuses_new_calls_and_tells_when_the_last_is_over() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.drive(Input::Drain);
    assert!(b.trunk_calls("1002", &[]).is_none());
    assert_eq!(b.refused(), Some((503, Some(30))));
    assert!(!b.drained);
    b.bye(call.caller);
    assert!(b.drained);
    b.is_quiet();
}

#[test]
fn stopping_ends_everything_at_once() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.order("anna", user("admin"), 2);
    let ear = b.listens();
    b.drive(Input::Stop);
    assert!(b.ended_by_us(call.caller).is_some() && b.ended_by_us(ear).is_some());
    assert_eq!(b.reasons(), vec![EndReason::EngineStopped]);
    assert_eq!(b.last_call().end.as_ref().unwrap().cause, "engine-stopped");
    assert!(b.drained);
    b.is_quiet();
}

#[test]
fn numbers_are_masked_in_the_log() {
    let mut b = Bench::new();
    let call = b.call("1001");
    b.order("anna", number("+4799999999"), 1);
    b.bye(call.caller);
    b.trunk_calls("+4712345678", &[]);
    assert!(!b.logs.is_empty());
    for line in &b.logs {
        assert!(!line.contains("55512345") && !line.contains("99999999") && !line.contains("12345678"), "{line}");
    }
}

#[test]
fn both_addresses_of_a_port_are_shown_to_signalling() {
    let mut bench = Bench::new();
    bench.core.shards.forget_ready();
    let addr = "127.0.0.1:30000".parse().unwrap();
    let addr6 = "[2001:db8::1]:30000".parse().unwrap();
    for port in [30_000, 30_002] {
        let event = media::Event::PortReady { port: media::Port(port), addr, addr6: Some(addr6) };
        bench.drive(crate::interface::Input::Media(event));
    }
    bench.call("1001");
    let media = bench.last_connect().media;
    assert_eq!((media.v4, media.v6), (Some(addr), Some(addr6)));
}
