//! The media plane's stories: what the parties get, what a listener hears.
#![allow(clippy::disallowed_methods, reason = "a base for simulated instants")]

mod support;

use std::time::Duration;

use media::*;
use support::*;

#[test]
fn packets_pass_unchanged_and_no_listener_changes_that() {
    let relayed = |listeners: u64| {
        let mut world = World::new();
        (0..listeners).for_each(|n| _ = world.listener(n));
        world.run(500);
        (world.take(AGENT_PORT), world.take(CALLER_PORT))
    };
    let alone = relayed(0);
    assert_eq!((alone.0.len(), alone.1.len()), (25, 25));
    assert_eq!(alone.0[0], Voice::new(800.0).packet(), "the agent gets the caller's very bytes");
    assert_eq!(relayed(1), alone);
    assert_eq!(relayed(8), alone);
}

#[test]
fn a_late_listener_hears_both_at_fifty_packets_a_second() {
    let mut world = World::new();
    world.run(3000);
    let listener = world.listener(1);
    world.run(19);
    assert_eq!(world.take(Port(20_102)).len(), 1, "the first packet within 20 ms");
    assert_eq!(world.hears(listener), [440, 800]);
    world.run(1000);
    let packets = world.take(Port(20_102));
    assert_eq!(packets.len(), 50);
    let numbers: Vec<u16> = packets.iter().map(|p| u16::from_be_bytes([p[2], p[3]])).collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0].wrapping_add(1)));
    assert!(packets.iter().all(|p| p[8..12] == packets[0][8..12]), "one SSRC");
    assert_eq!(world.shard.counters().frames_concealed, 0, "a clean network needs no concealment");
}

#[test]
fn loss_is_concealed_then_silent_and_the_other_side_goes_on() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(500);
    world.agent = None;
    world.run(200);
    assert!(world.shard.counters().frames_concealed >= 3);
    assert_eq!(world.hears(listener), [800]);
    world.agent = Some(Voice::new(440.0));
    world.run(200);
    assert_eq!(world.hears(listener), [440, 800]);
}

#[test]
fn reordered_and_doubled_packets_are_played_once_in_order() {
    let mut world = World::new();
    let listener = world.listener(1);
    let mut voice = world.caller.take().unwrap();
    world.agent = None;
    for _ in 0..20 {
        let (first, second) = (voice.packet(), voice.packet());
        world.from(CALLER, second.clone());
        world.from(CALLER, first);
        world.from(CALLER, second);
        world.run(40);
    }
    let samples = world.heard(listener);
    assert!(share(&samples[1600..], 800.0) > 0.9, "a clean tone: {}", share(&samples[1600..], 800.0));
}

#[test]
fn a_held_caller_is_not_heard_though_it_keeps_sending() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(200);
    world.describe(AGENT, |r| r.receives = false);
    world.run(100);
    assert_eq!(world.hears(listener), [440]);
    assert!(!world.take(AGENT_PORT).is_empty(), "the relay itself is not gated");
    world.describe(AGENT, |r| (r.sends, r.receives) = (false, false));
    world.run(100);
    assert_eq!(world.hears(listener), [] as [u32; 0]);
    world.describe(AGENT, |_| {});
    world.run(100);
    assert_eq!(world.hears(listener), [440, 800]);
}

#[test]
fn nothing_is_sent_to_the_null_address() {
    let mut world = World::new();
    world.describe(AGENT, |r| r.rtp = Some("0.0.0.0:4000".parse().unwrap()));
    world.run(100);
    assert!(world.take(AGENT_PORT).is_empty());
    assert!(world.out.packets.iter().all(|p| !p.2.ip().is_unspecified()));
}

#[test]
fn a_new_source_and_another_codec_leave_the_listeners_stream_whole() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(300);
    let before = world.take(Port(20_102));
    world.caller = Some(Voice { pt: 0, ssrc: 99, timestamp: 5, sequence: 9, ..Voice::new(800.0) });
    world.run(300);
    let after = world.take(Port(20_102));
    let last = before.last().unwrap();
    let number = |p: &[u8]| u16::from_be_bytes([p[2], p[3]]);
    let clock = |p: &[u8]| u32::from_be_bytes([p[4], p[5], p[6], p[7]]);
    assert_eq!(number(&after[0]), number(last).wrapping_add(1));
    assert_eq!(clock(&after[0]), clock(last).wrapping_add(160));
    assert_eq!(last[8..12], after[0][8..12]);
    assert_eq!(world.hears(listener), [440, 800]);
}

#[test]
fn the_ear_moves_and_the_shield_silences() {
    let mut world = World::new();
    let listener = world.listener(1);
    let (colleague, port) = (StreamId(7), Port(20_014));
    world.order(Command::Open { stream: colleague, port });
    world.run(100);
    world.order(Command::Focus { listener, taps: Some(Taps { agent: colleague }) });
    world.run(40);
    assert_eq!(world.hears(listener), [] as [u32; 0]);
    world.order(Command::Focus { listener, taps: Some(Taps { agent: AGENT }) });
    world.run(40);
    assert_eq!(world.hears(listener), [440, 800]);
    world.order(Command::Shield { listener, on: true });
    world.run(20);
    assert_eq!(world.hears(listener), [] as [u32; 0]);
    world.order(Command::Shield { listener, on: false });
    assert_eq!(world.hears(listener), [440, 800]);
}

#[test]
fn dtmf_events_mute_their_direction_for_the_listener_alone() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(300);
    world.heard(listener);
    for n in 0..20 {
        let mut event = world.caller.as_mut().unwrap().packet();
        world.from(CALLER, event.clone());
        event[1] = 101;
        event.truncate(16);
        event[2] ^= 0x40;
        world.from(CALLER, event);
        let voice = world.agent.as_mut().unwrap().packet();
        world.from(AGENT, voice);
        let (agent, caller) = (world.agent.take(), world.caller.take());
        world.run(20);
        (world.agent, world.caller) = (agent, caller);
        assert!(n < 20);
    }
    let samples = world.heard(listener);
    assert!(
        share(&samples, 800.0) < 0.02 && share(&samples, 440.0) > 0.8,
        "{} {}",
        share(&samples, 800.0),
        share(&samples, 440.0)
    );
    assert_eq!(world.take(AGENT_PORT).iter().filter(|p| p[1] == 101).count(), 20, "the agent gets every event");
}

#[test]
fn strangers_are_counted_and_never_heard() {
    let mut world = World::new();
    let mut packet = Voice::new(620.0).packet();
    let stranger = "10.6.6.6:4000".parse().unwrap();
    world.shard.datagram(world.now, CALLER_PORT, Kind::Rtp, stranger, &mut packet, &mut world.out);
    world.shard.datagram(world.now, CALLER_PORT, Kind::Rtp, addr(40_021 + 5), &mut packet, &mut world.out);
    assert!(world.take(AGENT_PORT).is_empty());
    assert_eq!(world.shard.counters().rtp_foreign, 2);
}

#[test]
fn behind_nat_media_latches_once_to_the_signalling_ip() {
    let mut world = World::new();
    let nat: std::net::IpAddr = "192.0.2.7".parse().unwrap();
    world.describe(CALLER, |r| r.latch = Some(nat));
    let (first, second) = ((nat, 5000).into(), (nat, 6000).into());
    let mut packet = Voice::new(800.0).packet();
    for (source, accepted) in [(addr(9), false), (first, true), (second, false), (first, true)] {
        let before = world.shard.counters().relayed_rtp;
        world.shard.datagram(world.now, CALLER_PORT, Kind::Rtp, source, &mut packet, &mut world.out);
        assert_eq!(world.shard.counters().relayed_rtp - before, u64::from(accepted), "{source}");
    }
    world.caller = None;
    world.run(40);
    assert!(world.out.packets.iter().filter(|p| p.0 == CALLER_PORT && p.1 == Kind::Rtp).all(|p| p.2 == first));
    world.describe(CALLER, |r| r.latch = Some(nat));
    world.shard.datagram(world.now, CALLER_PORT, Kind::Rtp, second, &mut packet, &mut world.out);
    assert_eq!(world.shard.counters().rtp_foreign, 2, "armed again by a new description");
}

#[test]
fn what_a_listener_sends_is_counted_and_dropped() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(100);
    let relayed = world.shard.counters().relayed_rtp;
    for _ in 0..1000 {
        let mut packet = Voice::new(620.0).packet();
        world.shard.datagram(world.now, Port(20_102), Kind::Rtp, addr(40_102), &mut packet, &mut world.out);
    }
    assert_eq!(world.shard.counters().relayed_rtp, relayed);
    assert_eq!(world.shard.counters().listener_rtp_dropped, 1000);
    world.order(Command::CloseListener { listener });
    assert!(world.out.events.iter().any(|e| matches!(e, Event::ListenerClosed { dropped: 1000, .. })));
    assert!(
        world.out.packets.iter().any(|p| p.1 == Kind::Rtcp && p.3.windows(2).any(|w| w == [0x81, 203])),
        "RTCP BYE"
    );
}

#[test]
fn heard_is_told_every_second_and_reports_go_out() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(6200);
    let heard: Vec<u64> = world
        .out
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Heard { heard_ms, .. } => Some(*heard_ms),
            _ => None,
        })
        .collect();
    assert_eq!(heard, [1000, 2000, 3000, 4000, 5000, 6000]);
    assert!(world.out.events.contains(&Event::Live { listener }));
    let reports = world.out.packets.iter().filter(|p| p.1 == Kind::Rtcp && p.0 == Port(20_102)).count();
    assert_eq!(reports, 1, "an SR after 5 s");
    assert!(world.out.events.iter().any(|e| matches!(e, Event::Progress { .. })));
}

#[test]
fn a_dead_call_and_a_silent_side_are_told_once() {
    let mut world = World::new();
    world.run(200);
    world.agent = None;
    world.run(12_500);
    let one_way = Event::OneWay { stream: AGENT };
    assert_eq!(world.out.events.iter().filter(|e| **e == one_way).count(), 1);
    world.caller = None;
    world.run(58_000);
    assert!(!world.out.events.iter().any(|e| matches!(e, Event::Dead { .. })));
    world.run(4_000);
    assert_eq!(world.out.events.iter().filter(|e| matches!(e, Event::Dead { .. })).count(), 1);
}

#[test]
fn a_call_that_never_had_media_does_not_die_of_it() {
    let mut world = World::new();
    (world.agent, world.caller) = (None, None);
    world.run(70_000);
    assert!(world.out.events.is_empty());
}

#[test]
fn a_stopped_process_comes_back_without_a_burst() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(300);
    let before = world.take(Port(20_102));
    world.now += Duration::from_secs(10);
    world.run(20);
    let after = world.take(Port(20_102));
    assert!(after.len() <= 3, "{} packets at once", after.len());
    let clock = |p: &[u8]| u32::from_be_bytes([p[4], p[5], p[6], p[7]]);
    let gap = clock(&after[0]).wrapping_sub(clock(before.last().unwrap()));
    assert!((79_000..81_500).contains(&gap), "the clock moved over the gap: {gap}");
    world.run(200);
    assert_eq!(world.hears(listener), [440, 800]);
}

#[test]
fn commands_that_cannot_be_are_refused_and_said_so() {
    let mut world = World::new();
    world.order(Command::Done(BatchId(1)));
    world.order(Command::Bridge { a: AGENT, b: StreamId(99) });
    world.order(Command::Open { stream: StreamId(5), port: AGENT_PORT });
    world.order(Command::Done(BatchId(2)));
    world.order(Command::Done(BatchId(3)));
    let done: Vec<_> = world.out.events.iter().filter(|e| matches!(e, Event::Done { .. })).cloned().collect();
    let expected = [(1, true), (2, false), (3, true)].map(|(n, ok)| Event::Done { batch: BatchId(n), ok });
    assert_eq!(done, expected);
}

#[test]
fn everything_is_given_back() {
    let mut world = World::new();
    let listener = world.listener(1);
    world.run(100);
    for command in
        [Command::Close { stream: AGENT }, Command::Close { stream: CALLER }, Command::CloseListener { listener }]
    {
        world.order(command);
    }
    assert_eq!(world.shard.sizes(), (0, 0));
    assert_eq!(world.out.released.len(), 3);
    world.run(2000);
    assert_eq!(world.shard.wake_at(), None, "nothing to wake for");
}

/// Random bytes and random edits of good packets, on every kind of port.
#[test]
fn no_datagram_makes_it_panic() {
    let mut world = World::new();
    world.listener(1);
    let mut seed = 0x2545_F491_4F6C_DD1Du64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let good = Voice::new(440.0).packet();
    for _ in 0..100_000 {
        let mut data = good.clone();
        data.truncate(random() as usize % 180);
        for _ in 0..random() % 6 {
            if let Some(at) = (random() as usize).checked_rem(data.len()) {
                data[at] = random() as u8;
            }
        }
        let (port, kind) = (
            [AGENT_PORT, CALLER_PORT, Port(20_102), Port(1)][random() as usize % 4],
            [Kind::Rtp, Kind::Rtcp][random() as usize % 2],
        );
        let source = addr([40_010, 40_020, 40_102, 40_011][random() as usize % 4]);
        world.shard.datagram(world.now, port, kind, source, &mut data, &mut world.out);
        if random() % 64 == 0 {
            world.run(1);
            world.out.packets.clear();
        }
    }
}
