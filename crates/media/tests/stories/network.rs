//! Loss, reordering, jitter, other sources and stopped processes.

use std::time::Duration;

use media::{Command, Kind, ListenerId};

use crate::world::*;

/// A listener on a call where only the caller talks.
fn one_voice() -> World {
    let mut world = World::call();
    world.voice(AGENT).talks = false;
    world.listener(1);
    world.run(3000);
    world.forget_sent();
    world
}

#[test]
fn a_lost_packet_is_concealed() {
    let mut world = one_voice();
    let next = world.voice(CALLER).sequence;
    world.voice(CALLER).lost = vec![next.wrapping_add(5), next.wrapping_add(15)];
    let before = world.shard.counters().frames_concealed;
    world.run(500);
    let heard = world.heard(1);
    for window in heard.chunks(160) {
        assert!(level(window, CALLER_HZ) > 5000.0, "no hole: {}", level(window, CALLER_HZ));
    }
    assert!((2..=4).contains(&(world.shard.counters().frames_concealed - before)));
}

#[test]
fn a_side_that_stops_fades_into_silence_and_comes_back() {
    let mut world = one_voice();
    world.voice(CALLER).talks = false;
    world.run(40 + 60 + 20);
    world.forget_sent();
    world.run(2000);
    assert!(world.heard(1).iter().all(|sample| *sample == 0));
    world.voice(CALLER).talks = true;
    world.run(80);
    world.forget_sent();
    world.run(300);
    world.assert_hears(1, &[CALLER_HZ]);
}

#[test]
fn one_late_side_never_flushes_the_other() {
    let mut world = World::call();
    world.listener(1);
    world.run(3000);
    world.forget_sent();
    for _ in 0..20 {
        world.voice(CALLER).talks = !world.voice(CALLER).talks;
        world.run(90);
    }
    for window in world.heard(1).chunks(160) {
        assert!(level(window, AGENT_HZ) > 6000.0, "{}", level(window, AGENT_HZ));
    }
}

#[test]
fn reordered_and_double_packets_are_put_right() {
    let mut world = one_voice();
    world.voices.remove(1);
    let mut caller = world.voices.remove(0);
    for _ in 0..50 {
        let (a, b) = (caller.speak(), caller.speak());
        world.run(20);
        world.from(CALLER, &b);
        world.from(CALLER, &b);
        world.run(20);
        world.from(CALLER, &a);
        world.from(CALLER, &a);
        world.from(CALLER, &b);
    }
    let relayed = world.sent(port(AGENT), Kind::Rtp).len();
    assert_eq!(relayed, 250, "the relay passes what comes");
    let heard = world.heard(1);
    for window in heard[3200..].chunks(160) {
        assert!(level(window, CALLER_HZ) > 6000.0, "{}", level(window, CALLER_HZ));
    }
}

#[test]
fn another_ssrc_goes_on_at_once() {
    let mut world = one_voice();
    let caller = world.voice(CALLER);
    (caller.ssrc, caller.sequence, caller.timestamp) = (0xabcd, 9, 12_345);
    world.run(500);
    let heard = world.heard(1);
    let silent = heard.chunks(160).filter(|window| level(window, CALLER_HZ) < 3000.0).count();
    assert!(silent <= 2, "{silent} frames without the voice");
}

#[test]
fn a_jump_of_the_time_stamp_or_sequence_goes_on_soon() {
    for (sequence, timestamp) in
        [(0, 1_000_000), (0, 0x8000_0000), (0, u32::MAX - 20_000), (30_000, 0), (30_000, 50_000), (40_000, 0)]
    {
        let mut world = one_voice();
        let caller = world.voice(CALLER);
        caller.sequence = caller.sequence.wrapping_add(sequence);
        caller.timestamp = caller.timestamp.wrapping_add(timestamp);
        world.run(400);
        world.forget_sent();
        world.run(400);
        world.assert_hears(1, &[CALLER_HZ]);
    }
}

#[test]
fn other_packet_sizes_are_taken() {
    for samples in [80, 240, 320, 480, 40] {
        let mut world = one_voice();
        world.voice(CALLER).samples = samples;
        world.run(2000);
        world.forget_sent();
        world.run(600);
        for window in world.heard(1).chunks(160) {
            assert!(level(window, CALLER_HZ) > 6000.0, "{samples}: {}", level(window, CALLER_HZ));
        }
    }
}

/// Milliseconds from the moment that a voice changes to the listener's first packet with the new one.
fn delay_ms(world: &mut World) -> u64 {
    world.voice(CALLER).hz = COLLEAGUE_HZ;
    let changed = world.now();
    world.forget_sent();
    world.run(400);
    let heard = world.sent(listener_port(1), Kind::Rtp).into_iter().find(|sent| {
        let mut frame = [0; 160];
        media::Codec::Pcmu.decode(&sent.data[12..], &mut frame);
        level(&frame, COLLEAGUE_HZ) > 4000.0
    });
    (heard.expect("the new voice").at - changed).as_millis() as u64
}

#[test]
fn on_a_clean_network_the_delay_shrinks() {
    let mut world = one_voice();
    world.run(7000);
    let delay = delay_ms(&mut world);
    assert!(delay <= 45, "{delay} ms, of which up to 20 until the voice's next packet and 20 to the tick");
}

#[test]
fn on_a_jittery_network_the_delay_grows_until_nothing_is_late() {
    let mut world = one_voice();
    world.voices.remove(1);
    let mut caller = world.voices.remove(0);
    let mut late_at_first = 0;
    for second in 0..10 {
        let mut queue: Vec<(u64, Vec<u8>)> = Vec::new();
        for n in 0..50_u64 {
            queue.push((n * 20 + (n * 7919) % 60, caller.speak()));
        }
        for ms in 0..1000 {
            world.run(1);
            for (_, data) in queue.extract_if(.., |(at, _)| *at <= ms) {
                world.from(CALLER, &data);
            }
        }
        if second == 0 {
            late_at_first = world.shard.counters().frames_concealed;
        }
        if second == 8 {
            world.forget_sent();
            late_at_first = world.shard.counters().frames_concealed - late_at_first;
        }
    }
    let holes = world.heard(1).chunks(160).filter(|window| level(window, CALLER_HZ) < 5000.0).count();
    assert!(holes <= 3, "{holes} of 50 frames disturbed, {late_at_first} before");
}

#[test]
fn a_burst_after_a_stall_does_not_stay_as_delay() {
    let mut world = one_voice();
    let mut voices = std::mem::take(&mut world.voices);
    let stalled: Vec<_> = (0..50).map(|_| voices[0].speak()).collect();
    world.run(1000);
    for packet in stalled {
        world.from(CALLER, &packet);
    }
    world.voices = voices;
    world.voice(CALLER).due_ms = 20;
    world.run(15_000);
    let delay = delay_ms(&mut world);
    assert!(delay <= 60, "{delay}");
}

#[test]
fn clocks_that_drift_do_not_add_up() {
    for drift in [-1, 1] {
        let mut world = one_voice();
        // 0.2 %: a millisecond every half second, over a minute.
        for _ in 0..120 {
            world.run(500);
            let caller = world.voice(CALLER);
            caller.due_ms = caller.due_ms.saturating_add_signed(drift).max(1);
        }
        world.forget_sent();
        world.run(500);
        let holes = world.heard(1).chunks(160).filter(|window| level(window, CALLER_HZ) < 5000.0).count();
        assert!(holes <= 2, "{drift}: {holes}");
        let delay = delay_ms(&mut world);
        assert!(delay <= 70, "{drift}: {delay}");
    }
}

#[test]
fn a_stopped_process_skips_ahead_instead_of_bursting() {
    let mut world = one_voice();
    world.run(1000);
    let last = (*world.sent(listener_port(1), Kind::Rtp).last().expect("packets")).clone();
    world.forget_sent();
    // Nothing runs for ten seconds; then what the sockets held comes at once.
    let mut caller = world.voice(CALLER).clone();
    let missed: Vec<_> = (0..500).map(|_| caller.speak()).collect();
    *world.voice(CALLER) = caller;
    world.recorder.now += Duration::from_secs(10);
    for packet in &missed[..100] {
        world.from(CALLER, packet);
    }
    world.wake();
    assert!(world.sent(listener_port(1), Kind::Rtp).len() <= 1, "no burst");
    world.run(1000);
    let sent = world.sent(listener_port(1), Kind::Rtp);
    let first = header(&sent[0].data);
    let passed = first.timestamp.wrapping_sub(header(&last.data).timestamp);
    assert_eq!(passed % 160, 0);
    let wall = (sent[0].at - last.at).as_millis() as i64;
    assert!((i64::from(passed) / 8 - wall).abs() < 20, "the clock passed over what was missed: {passed} in {wall} ms");
    assert!(first.marker);
    assert!((49..=51).contains(&sent.len()));
    assert!(world.shard.counters().ticks_skipped >= 490);
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[CALLER_HZ]);
}

#[test]
fn a_tick_that_is_a_little_late_is_made_up_for() {
    let mut world = one_voice();
    world.recorder.now += Duration::from_millis(45);
    world.wake();
    let sent = world.sent(listener_port(1), Kind::Rtp);
    assert!((2..=3).contains(&sent.len()), "{}", sent.len());
}

#[test]
fn a_flood_from_a_listener_reaches_nobody() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    world.forget_sent();
    for n in 0..1000_u16 {
        world.packet(listener_port(1), Kind::Rtp, ear(1), &rtp(0, n, u32::from(n) * 160, 5, &[0; 160]));
        world.packet(listener_port(1), Kind::Rtp, ear(1), &rtp(101, n, 0, 5, &[1, 0x8a, 0, 160]));
        let app = [&crate::relaying::RR[..], &[0x80, 204, 0, 2, 0, 0, 0, 9, b'T', b'A', b'L', b'K']].concat();
        world.packet(listener_port(1), Kind::Rtcp, ear(1), &app);
        world.packet(listener_port(1), Kind::Rtcp, addr("192.0.2.1:9"), &crate::relaying::RR);
    }
    assert!(world.recorder.sent.is_empty());
    world.run(500);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
    assert_eq!(world.sent(port(AGENT), Kind::Rtp).len(), 25);
    assert_eq!(world.shard.counters().listener_rtp_dropped, 2000);
    assert_eq!(world.shard.counters().listener_rtcp_dropped, 2000);
    assert_eq!(world.shard.counters().listener_rtcp_received, 1000);
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    assert!(world.events().iter().any(|event| matches!(event, media::Event::ListenerClosed { dropped: 4000, .. })));
}
