//! What a listener hears, and how its stream looks.

use std::time::Duration;

use media::{Codec, Command, Event, Kind, ListenerId, Settings};

use crate::world::*;

#[test]
fn a_late_joiner_hears_both_at_once() {
    let mut world = World::call();
    world.run(5000);
    world.forget_sent();
    let answered = world.now();
    world.listener(1);
    while world.sent(listener_port(1), Kind::Rtp).is_empty() {
        world.run(1);
    }
    let first = world.sent(listener_port(1), Kind::Rtp)[0].clone();
    assert!(first.at - answered <= Duration::from_millis(20));
    assert_eq!(world.recorder.events.last(), Some(&(first.at, Event::Live { listener: ListenerId(1) })));
    world.run(99);
    world.forget_sent();
    world.run(400);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
}

#[test]
fn before_anybody_speaks_there_is_encoded_silence_at_50_a_second() {
    let mut world = World::empty();
    world.ok(Command::OpenListener { listener: ListenerId(1), port: listener_port(1) });
    world.run(100);
    assert!(world.recorder.sent.is_empty(), "nothing before it answered");
    world.ok(Command::Listen { listener: ListenerId(1), remote: listener_remote(1) });
    world.run(1000);
    let sent = world.sent(listener_port(1), Kind::Rtp);
    assert!((50..=51).contains(&sent.len()));
    assert!(sent.iter().all(|sent| sent.to == ear(1) && sent.data[12..] == [0xff; 160]));
    assert_eq!(world.count(|event| matches!(event, Event::Live { .. })), 1);
    assert_eq!(world.count(|event| matches!(event, Event::Heard { .. })), 0);
}

#[test]
fn the_stream_has_one_ssrc_and_an_unbroken_sequence_and_clock() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    world.focus(1, None);
    world.run(500);
    world.focus(1, Some(AGENT));
    world.voice(CALLER).ssrc = 77;
    world.run(500);
    let sent = world.sent(listener_port(1), Kind::Rtp);
    assert!((75..=76).contains(&sent.len()));
    for pair in sent.windows(2) {
        let (a, b) = (header(&pair[0].data), header(&pair[1].data));
        assert_eq!(
            (b.ssrc, b.sequence, b.timestamp),
            (a.ssrc, a.sequence.wrapping_add(1), a.timestamp.wrapping_add(160))
        );
        assert!(!b.marker);
    }
    assert!(header(&sent[0].data).marker);
}

#[test]
fn several_listeners_share_the_payload_but_not_the_stream() {
    let mut world = World::call();
    world.run(100);
    for n in 1..=3 {
        world.listener(n);
        world.run(3);
    }
    let remote = media::ListenerRemote { codec: Codec::Pcma, payload_type: 8, ..listener_remote(4) };
    world.ok(Command::OpenListener { listener: ListenerId(4), port: listener_port(4) });
    world.focus(4, Some(AGENT));
    world.ok(Command::Listen { listener: ListenerId(4), remote });
    world.run(200);
    world.forget_sent();
    world.run(400);
    let streams: Vec<Vec<&Sent>> = (1..=4).map(|n| world.sent(listener_port(n), Kind::Rtp)).collect();
    let ssrc = |n: usize| header(&streams[n][0].data).ssrc;
    assert!(ssrc(0) != ssrc(1) && ssrc(1) != ssrc(2) && ssrc(0) != ssrc(2));
    assert_eq!(streams[0].len(), 20);
    for ((one, two), three) in streams[0].iter().zip(&streams[1]).zip(&streams[2]) {
        assert_eq!(one.data[12..], two.data[12..]);
        assert_eq!(one.data[12..], three.data[12..]);
        assert_ne!(one.data[..12], two.data[..12]);
    }
    assert_eq!(header(&streams[3][0].data).payload_type, 8);
    assert_hears(&world.heard_in(4, Codec::Pcma), &[CALLER_HZ, AGENT_HZ]);
    // One goes; the others do not notice.
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    world.forget_sent();
    world.run(400);
    world.assert_hears(2, &[CALLER_HZ, AGENT_HZ]);
    assert_eq!(world.sent(listener_port(2), Kind::Rtp).len(), 20);
    assert!(world.sent(listener_port(1), Kind::Rtp).is_empty());
}

#[test]
fn two_loud_voices_saturate_without_wrapping() {
    let mut world = World::call();
    for voice in &mut world.voices {
        (voice.amplitude, voice.hz) = (32_000.0, 500.0);
    }
    world.voices[1].due_ms = world.voices[0].due_ms;
    world.listener(1);
    world.run(200);
    world.forget_sent();
    world.run(400);
    let heard = world.heard(1);
    assert!(heard.iter().any(|sample| *sample > 32_000));
    let steps = heard.windows(2).map(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs()).max();
    assert!(steps < Some(40_000), "a wrapped sample would step by 65,536: {steps:?}");
}

#[test]
fn while_the_agent_holds_the_caller_is_not_heard_though_he_goes_on_sending() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    world.describe(AGENT, |remote| remote.receives = false);
    world.forget_sent();
    world.run(1000);
    world.assert_hears(1, &[AGENT_HZ]);
    assert_eq!(world.sent(port(AGENT), Kind::Rtp).len(), 50, "the relay goes on");
    world.describe(AGENT, |remote| (remote.sends, remote.receives) = (false, false));
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[]);
    world.describe(AGENT, |remote| (remote.rtp, remote.sends) = (None, true));
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[AGENT_HZ]);
    world.describe(AGENT, |_| ());
    world.run(100);
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
}

#[test]
fn after_a_long_hold_no_backlog_plays() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    world.describe(AGENT, |remote| remote.receives = false);
    world.run(600_000);
    world.describe(AGENT, |_| ());
    // From now on the caller has another voice: what is heard of the old one would be backlog.
    world.voice(CALLER).hz = COLLEAGUE_HZ;
    world.forget_sent();
    world.run(500);
    let heard = world.heard(1);
    assert!(level(&heard[..1600], CALLER_HZ) < 300.0);
    assert_hears(&heard[1600..], &[AGENT_HZ, COLLEAGUE_HZ]);
}

#[test]
fn the_ear_follows_the_agent_into_a_consultation() {
    let mut world = World::call();
    world.leg(COLLEAGUE);
    let consulting = media::StreamId(4);
    world.leg(consulting);
    world.ok(Command::Bridge { a: COLLEAGUE, b: consulting });
    world.voices.push(Voice::new(COLLEAGUE, phone(COLLEAGUE), COLLEAGUE_HZ, 5));
    world.voices.push(Voice::new(consulting, phone(consulting), AGENT_HZ, 6));
    world.listener(1);
    world.listener(2);
    world.run(500);
    world.voice(AGENT).talks = false;
    world.focus(1, Some(consulting));
    world.focus(2, Some(consulting));
    world.forget_sent();
    world.run(100);
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[AGENT_HZ, COLLEAGUE_HZ]);
    world.assert_hears(2, &[AGENT_HZ, COLLEAGUE_HZ]);
    world.focus(1, Some(AGENT));
    world.forget_sent();
    world.run(40);
    assert!(level(&world.heard(1)[160..], COLLEAGUE_HZ) < 300.0, "the old audio ends within a tick");
    world.run(60);
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[CALLER_HZ]);
    world.assert_hears(2, &[AGENT_HZ, COLLEAGUE_HZ]);
}

#[test]
fn a_changed_bridge_changes_what_the_agent_hears() {
    let mut world = World::call();
    world.leg(COLLEAGUE);
    world.voices.push(Voice::new(COLLEAGUE, phone(COLLEAGUE), COLLEAGUE_HZ, 5));
    world.listener(1);
    world.run(500);
    world.ok(Command::Bridge { a: AGENT, b: COLLEAGUE });
    world.forget_sent();
    world.run(100);
    assert!(level(&world.heard(1)[160..], CALLER_HZ) < 300.0);
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[AGENT_HZ, COLLEAGUE_HZ]);
}

#[test]
fn a_move_to_a_tap_in_another_phase_keeps_the_stream_unbroken() {
    let mut world = World::call();
    world.listener(1);
    world.run(507);
    world.leg(COLLEAGUE);
    world.listener(2);
    world.focus(2, Some(COLLEAGUE));
    world.run(9);
    world.ok(Command::OpenListener { listener: ListenerId(3), port: listener_port(3) });
    world.ok(Command::Listen { listener: ListenerId(3), remote: listener_remote(3) });
    world.run(95);
    for _ in 0..5 {
        world.focus(3, Some(AGENT));
        world.run(50);
        world.focus(3, Some(COLLEAGUE));
        world.run(50);
        world.focus(3, None);
        world.run(50);
    }
    let sent = world.sent(listener_port(3), Kind::Rtp);
    let first = sent[0].at;
    let begin = header(&sent[0].data);
    for sent in &sent {
        let packet = header(&sent.data);
        let clock = f64::from(packet.timestamp.wrapping_sub(begin.timestamp)) / 8.0;
        let wall = (sent.at - first).as_secs_f64() * 1000.0;
        assert!((clock - wall).abs() <= 10.0, "clock {clock} ms at {wall} ms");
    }
    let sequences: Vec<u16> =
        sent.iter().map(|sent| header(&sent.data).sequence.wrapping_sub(begin.sequence)).collect();
    assert_eq!(sequences, (0..sent.len() as u16).collect::<Vec<_>>());
    assert!((41..=44).contains(&sent.len()), "{}", sent.len());
}

#[test]
fn the_shield_silences_and_does_not_count() {
    let mut world = World::call();
    world.listener(1);
    world.listener(2);
    world.run(1000);
    world.ok(Command::Shield { listener: ListenerId(1), on: true });
    world.forget_sent();
    world.run(5000);
    let sent = world.sent(listener_port(1), Kind::Rtp);
    assert_eq!(sent.len(), 250);
    // The first 5 ms fade out.
    assert_eq!(sent[0].data[12 + 40..], [0xff; 120]);
    assert!(sent[1..].iter().all(|sent| sent.data[12..] == [0xff; 160]));
    assert_hears(&world.heard(2)[..8000], &[CALLER_HZ, AGENT_HZ]);
    world.ok(Command::Shield { listener: ListenerId(1), on: false });
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    world.ok(Command::CloseListener { listener: ListenerId(2) });
    let heard: Vec<u64> = world
        .events()
        .iter()
        .filter_map(|event| if let Event::ListenerClosed { heard_ms, .. } = event { Some(*heard_ms) } else { None })
        .collect();
    assert!((1400..=1500).contains(&heard[0]), "{heard:?}");
    assert!((6400..=6500).contains(&heard[1]), "{heard:?}");
}

#[test]
fn heard_time_counts_real_audio_only_and_is_told_at_three_seconds() {
    let mut world = World::call();
    world.voice(AGENT).talks = false;
    world.listener(1);
    world.run(2000);
    world.voice(CALLER).talks = false;
    world.run(2000);
    world.voice(AGENT).talks = true;
    world.run(1500);
    let told: Vec<u64> = world
        .events()
        .iter()
        .filter_map(|event| if let Event::Heard { heard_ms, .. } = event { Some(*heard_ms) } else { None })
        .collect();
    assert_eq!(told, [1000, 2000, 3000]);
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    assert!(world.events().iter().any(|event| matches!(event, Event::ListenerClosed { heard_ms: 3400..=3500, .. })));
}

#[test]
fn a_listener_that_holds_us_gets_nothing_and_its_clock_runs_on() {
    let mut world = World::call();
    world.listener(1);
    world.run(1000);
    let before = header(&world.sent(listener_port(1), Kind::Rtp).last().expect("a packet").data).timestamp;
    let held = media::ListenerRemote { rtp: None, rtcp: None, ..listener_remote(1) };
    world.ok(Command::Listen { listener: ListenerId(1), remote: held });
    world.forget_sent();
    world.run(2000);
    assert!(world.sent(listener_port(1), Kind::Rtp).is_empty());
    world.ok(Command::Listen { listener: ListenerId(1), remote: listener_remote(1) });
    world.run(20);
    let first = world.sent(listener_port(1), Kind::Rtp)[0].data.clone();
    assert_eq!(header(&first).timestamp, before.wrapping_add(101 * 160));
    assert!(header(&first).marker);
    assert_eq!(world.count(|event| matches!(event, Event::Live { .. })), 1);
}

fn event_packet(voice: &Voice, start: u32, duration: u16, end: bool) -> Vec<u8> {
    let [high, low] = duration.to_be_bytes();
    rtp(101, voice.sequence, start, voice.ssrc, &[5, if end { 0x8a } else { 0x0a }, high, low])
}

/// The caller presses a key for 100 ms, with the tone in its audio too; what the listener heard around it.
fn press_a_key(settings: Settings) -> Vec<i16> {
    let mut world = World::with(settings);
    world.set_up_call();
    world.voice(AGENT).talks = false;
    world.listener(1);
    world.run(500);
    world.voice(CALLER).hz = COLLEAGUE_HZ; // stands for the key's tone
    let start = world.voice(CALLER).timestamp;
    world.forget_sent();
    for n in 1..=5 {
        let packet = event_packet(world.voice(CALLER), start, n * 160, n == 5);
        world.voice(CALLER).sequence += 1;
        world.from(CALLER, &packet);
        world.run(20);
    }
    world.voice(CALLER).hz = CALLER_HZ;
    assert!(
        world.sent(port(AGENT), Kind::Rtp).iter().filter(|sent| header(&sent.data).payload_type == 101).count() == 5
    );
    assert!(world.sent(listener_port(1), Kind::Rtp).iter().all(|sent| header(&sent.data).payload_type == 0));
    world.run(400);
    world.heard(1)
}

#[test]
fn keys_reach_the_agent_but_not_the_listener() {
    let heard = press_a_key(Settings::default());
    assert!(level(&heard, COLLEAGUE_HZ) < 100.0, "{}", level(&heard, COLLEAGUE_HZ));
    assert_hears(&heard[heard.len() - 1600..], &[CALLER_HZ]);
}

#[test]
fn keys_are_heard_where_the_configuration_wants_it() {
    let heard = press_a_key(Settings { dtmf_to_listener: true, ..Settings::default() });
    assert!(level(&heard[640..960], COLLEAGUE_HZ) > 5000.0);
}

#[test]
fn comfort_noise_and_unknown_payloads_are_silence() {
    let mut world = World::call();
    world.voice(AGENT).talks = false;
    world.listener(1);
    world.run(500);
    for (payload_type, unknown) in [(13, 0), (97, 25)] {
        (world.voice(CALLER).payload_type, world.voice(CALLER).hz) = (payload_type, 300.0);
        world.run(80);
        world.forget_sent();
        world.run(420);
        assert!(world.heard(1).iter().all(|sample| *sample == 0), "{payload_type}");
        assert_eq!(world.shard.counters().tap_undecodable, unknown);
    }
    (world.voice(CALLER).payload_type, world.voice(CALLER).hz) = (0, CALLER_HZ);
    world.run(100);
    world.forget_sent();
    world.run(200);
    world.assert_hears(1, &[CALLER_HZ]);
}

#[test]
fn a_codec_change_mid_call_is_not_noticed() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    world.forget_sent();
    for voice in &mut world.voices {
        (voice.codec, voice.payload_type) = (Codec::Pcma, 8);
    }
    world.run(500);
    let concealed = world.shard.counters().frames_concealed;
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
    assert_eq!(world.shard.counters().frames_concealed, concealed);
    // And to a dynamic payload type that only the description explains.
    for stream in [CALLER, AGENT] {
        world.describe(stream, |remote| remote.decodable = vec![(99, Codec::Pcma)]);
        world.voice(stream).payload_type = 99;
    }
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
}

#[test]
fn a_focus_on_nobody_is_refused_and_silent() {
    let mut world = World::call();
    world.listener(1);
    world.run(300);
    let taps = Some(media::Taps { agent: media::StreamId(99) });
    world.ok(Command::Focus { listener: ListenerId(1), taps });
    assert_eq!(world.shard.counters().commands_refused, 1);
    world.forget_sent();
    world.run(200);
    world.assert_hears(1, &[]);
}
