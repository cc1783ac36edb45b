//! How well a listener is served: what its reports tell, when its first packet comes, and what is told of that.

use std::time::Duration;

use media::{Command, Event, Kind, ListenerId, Quality, rtcp};
use rtc_rtcp::packet::{marshal, unmarshal};
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_rtcp::sender_report::SenderReport;

use crate::world::*;

/// What the listener's phone says of what it got from us.
fn answer(world: &World, fraction_lost: u8, jitter: u32, held: Duration) -> Vec<u8> {
    let report = world.sent(listener_port(1), Kind::Rtcp).last().map(|sent| sent.data.clone()).expect("a report");
    let word = |at: usize| u32::from_be_bytes(report[at..at + 4].try_into().expect("four bytes"));
    let last_sender_report = word(8) << 16 | word(12) >> 16;
    let block = ReceptionReport {
        ssrc: word(4),
        fraction_lost,
        total_lost: 3,
        last_sequence_number: 7,
        jitter,
        last_sender_report,
        delay: (held.as_millis() * 65_536 / 1_000) as u32,
    };
    // Another source's block before ours, as of a phone that is in a conference.
    let other = ReceptionReport { ssrc: word(4) ^ 1, fraction_lost: 255, ..block.clone() };
    let answer = ReceiverReport { ssrc: 9, reports: vec![other, block], ..Default::default() };
    marshal(&[Box::new(answer)]).expect("a report").to_vec()
}

fn told(world: &World) -> Vec<Quality> {
    let of = |event: &Event| match event {
        Event::ListenerProgress { listeners } => listeners.iter().map(|(_, quality)| *quality).collect(),
        _ => Vec::new(),
    };
    world.events().into_iter().flat_map(of).collect()
}

fn losses(world: &World) -> Vec<(f32, bool)> {
    let of = |event: &Event| match event {
        Event::ListenerLoss { lost, lasts, .. } => Some((*lost, *lasts)),
        _ => None,
    };
    world.events().into_iter().filter_map(of).collect()
}

fn at_the_end(world: &mut World) -> Quality {
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    let of = |event: &Event| if let Event::ListenerClosed { quality, .. } = event { Some(*quality) } else { None };
    world.events().into_iter().find_map(of).expect("figures at the end")
}

fn until_reported(world: &mut World) {
    world.forget_sent();
    while world.sent(listener_port(1), Kind::Rtcp).is_empty() {
        world.run(20);
    }
}

#[test]
fn another_parser_reads_our_reports() {
    let mut world = World::call();
    world.listener(1);
    until_reported(&mut world);
    let data = world.sent(listener_port(1), Kind::Rtcp)[0].data.clone();
    let packets = unmarshal(&mut &data[..]).expect("a compound");
    let report = packets[0].as_any().downcast_ref::<SenderReport>().expect("SR first");
    let rtp = world.sent(listener_port(1), Kind::Rtp);
    let beside = header(&rtp.last().expect("a packet").data);
    assert_eq!((report.ssrc, report.rtp_time), (beside.ssrc, beside.timestamp));
    assert_eq!(report.octet_count, report.packet_count * 160);
    assert_eq!(packets[1].header().packet_type, rtc_rtcp::header::PacketType::SourceDescription);
}

#[test]
fn the_listeners_reports_are_its_figures() {
    let mut world = World::call();
    world.listener(1);
    until_reported(&mut world);
    world.run(100);
    let answer = answer(&world, 64, 240, Duration::from_millis(70));
    world.packet(listener_port(1), Kind::Rtcp, addr("203.0.113.9:9"), &answer);
    world.run(6_000);
    assert_eq!(told(&world).last().and_then(|quality| quality.remote_lost), None, "a stranger tells nothing");
    until_reported(&mut world);
    world.run(100);
    let answer = self::answer(&world, 64, 240, Duration::from_millis(70));
    world.packet(listener_port(1), Kind::Rtcp, addr("10.0.1.1:6001"), &answer);
    world.run(5_100);
    let quality = *told(&world).last().expect("figures");
    assert_eq!((quality.remote_lost, quality.remote_jitter_ms), (Some(0.25), Some(30.0)));
    let trip = quality.round_trip_ms.expect("a round trip");
    assert!((29.0..=31.0).contains(&trip), "{trip} ms");
    assert_eq!(at_the_end(&mut world).remote_lost, Some(0.25));
    assert_eq!(losses(&world), []);
}

#[test]
fn lasting_loss_is_an_alarm() {
    let mut world = World::call();
    world.listener(1);
    for fraction in [64, 64, 64, 64, 12, 13, 13, 13, 12, 13] {
        until_reported(&mut world);
        let answer = answer(&world, fraction, 0, Duration::ZERO);
        world.packet(listener_port(1), Kind::Rtcp, addr("10.0.1.1:6001"), &answer);
        world.run(1_000);
    }
    let of = |fraction: f32, lasts: bool| (fraction / 256.0, lasts);
    assert_eq!(losses(&world), [of(64.0, true), of(12.0, false), of(13.0, true), of(12.0, false)]);
}

#[test]
fn who_loses_packets_gets_redundancy_where_the_codec_has_it() {
    let mut world = World::call();
    let listener = ListenerId(1);
    world.ok(Command::OpenListener { listener, port: listener_port(1) });
    world.focus(1, Some(AGENT));
    let remote = media::ListenerRemote { codec: media::Codec::Opus, payload_type: 111, ..listener_remote(1) };
    world.ok(Command::Listen { listener, remote });
    // RFC 6716 §3.1: configurations 16 to 31 are CELT alone, which has no redundancy; §2.1.7: SILK has.
    let is_redundant = |world: &World| {
        let sent = world.sent(listener_port(1), Kind::Rtp);
        sent.last().expect("a packet").data[12] >> 3 < 16
    };
    world.run(6_000);
    assert!(!is_redundant(&world));
    for (fraction, expected) in [(51, true), (0, false)] {
        for _ in 0..3 {
            until_reported(&mut world);
            let answer = answer(&world, fraction, 0, Duration::ZERO);
            world.packet(listener_port(1), Kind::Rtcp, addr("10.0.1.1:6001"), &answer);
        }
        world.run(6_000);
        assert_eq!(is_redundant(&world), expected, "{fraction} of 256 lost");
    }
}

#[test]
fn the_first_packet_comes_within_a_frame_and_is_of_the_call() {
    for asked_ms in [700, 704, 709, 713, 718] {
        let mut world = World::call();
        let listener = ListenerId(1);
        world.ok(Command::OpenListener { listener, port: listener_port(1) });
        world.focus(1, Some(AGENT));
        world.run(asked_ms); // it rings
        assert!(world.sent(listener_port(1), Kind::Rtp).is_empty());
        world.ok(Command::Listen { listener, remote: listener_remote(1) });
        world.run(60);
        world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
        let quality = at_the_end(&mut world);
        assert!(quality.first_audio_ms.is_some_and(|ms| ms <= 20), "{quality:?}");
    }
}

#[test]
fn figures_are_told_only_while_they_change() {
    let mut world = World::empty();
    world.ok(Command::OpenListener { listener: ListenerId(1), port: listener_port(1) });
    world.run(6_000);
    assert!(told(&world).is_empty(), "not before it answers");
    world.ok(Command::Listen { listener: ListenerId(1), remote: listener_remote(1) });
    world.run(60_000);
    assert_eq!(told(&world).len(), 1, "{:?}", told(&world));
}

#[test]
fn a_goodbye_is_read_by_both_parsers() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    at_the_end(&mut world);
    let goodbye = world.sent(listener_port(1), Kind::Rtcp)[0].data.clone();
    let packets = unmarshal(&mut &goodbye[..]).expect("a compound");
    let bye = packets[2].as_any().downcast_ref::<rtc_rtcp::goodbye::Goodbye>().expect("BYE last");
    let ours: Vec<_> = rtcp::compound(&goodbye).expect("a compound").collect();
    assert_eq!((bye.sources.len(), ours.len(), ours[2].kind), (1, 3, rtcp::Kind::Bye));
    assert_eq!(bye.sources[0].to_be_bytes(), goodbye[4..8]);
}

#[test]
fn what_is_lost_on_the_way_here_is_in_the_figures_while_it_listens() {
    let mut world = World::call();
    let lose = |world: &mut World, stream, ahead: u16| {
        let next = world.voice(stream).sequence;
        world.voice(stream).lost.extend((0..3).map(|n| next.wrapping_add(ahead + n * 20)));
    };
    world.ok(Command::OpenListener { listener: ListenerId(1), port: listener_port(1) });
    world.focus(1, Some(AGENT));
    world.run(200);
    lose(&mut world, CALLER, 5); // while it rings
    world.run(2_000);
    world.ok(Command::Listen { listener: ListenerId(1), remote: listener_remote(1) });
    world.run(1_000);
    lose(&mut world, CALLER, 5);
    lose(&mut world, AGENT, 9);
    world.run(6_100);
    let quality = *told(&world).last().expect("figures");
    assert_eq!((quality.lost, quality.gaps), (6, 6), "{quality:?}");
    assert!((100..=160).contains(&quality.concealed_ms), "{quality:?}");
    // It turns away and back: what it did not hear does not count, what it heard stays.
    world.focus(1, None);
    world.run(1_000);
    lose(&mut world, CALLER, 5);
    world.run(2_000);
    world.focus(1, Some(AGENT));
    world.run(2_000);
    lose(&mut world, AGENT, 5);
    world.run(2_000);
    let quality = at_the_end(&mut world);
    assert_eq!((quality.lost, quality.gaps), (9, 9), "{quality:?}");
}

fn levels(world: &mut World) -> Vec<media::Levels> {
    let of = |event: &Event| if let Event::Levels { levels } = event { levels.clone() } else { Vec::new() };
    let levels = world.events().into_iter().flat_map(of).collect();
    world.recorder.events.clear();
    levels
}

#[test]
fn levels_of_both_sides_come_ten_times_a_second_while_somebody_listens() {
    let mut world = World::call();
    world.ok(Command::WatchLevels { stream: AGENT, on: true });
    world.run(1_000);
    assert!(levels(&mut world).is_empty(), "nobody listens");
    world.listener(1);
    world.voice(CALLER).talks = false;
    world.run(1_000);
    levels(&mut world);
    world.run(1_000);
    let told = levels(&mut world);
    assert_eq!(told.len(), 10);
    // 8,000 of 32,767 and a sine: 12.2 and 3 dB below.
    assert!(told.iter().all(|levels| levels.stream == AGENT && levels.up.speaks && levels.up.below_full_db == 15));
    assert!(told.iter().all(|levels| !levels.down.speaks && levels.down.below_full_db == 127));
    world.voice(CALLER).talks = true;
    world.run(400);
    assert!(levels(&mut world).last().is_some_and(|levels| levels.down.speaks));
    world.ok(Command::WatchLevels { stream: AGENT, on: false });
    world.run(1_000);
    assert!(levels(&mut world).is_empty());
}

#[test]
fn half_of_all_first_packets_come_within_half_a_frame_and_all_within_one() {
    let mut waits: Vec<u32> = (0..200)
        .map(|n| {
            let mut world = World::call();
            let listener = ListenerId(1);
            world.voice(CALLER).due_ms = 1 + n % 20;
            world.run(200 + n);
            world.ok(Command::OpenListener { listener, port: listener_port(1) });
            world.focus(1, Some(AGENT));
            world.run(100 + n * 7 % 20);
            world.ok(Command::Listen { listener, remote: listener_remote(1) });
            world.run(40);
            let first = header(&world.sent(listener_port(1), Kind::Rtp)[0].data).payload.to_vec();
            assert!(first.iter().any(|byte| *byte != 0xff), "call audio, not silence");
            at_the_end(&mut world).first_audio_ms.expect("a first packet")
        })
        .collect();
    waits.sort_unstable();
    let (p50, p99) = (waits[100], waits[198]);
    println!("from the answer to the first packet of the call: p50 {p50} ms, p99 {p99} ms");
    assert!(p50 <= 12 && p99 <= 20, "{p50} {p99}");
}
