//! Time-outs, reports and what is left at the end.

use std::time::Duration;

use media::{Command, Event, Kind, ListenerId, ListenerRemote, Settings, rtcp};

use crate::world::*;

fn dead(world: &World) -> usize {
    world.count(|event| matches!(event, Event::Dead { .. }))
}

#[test]
fn a_call_without_packets_is_dead_after_a_minute_once() {
    let mut world = World::call();
    world.run(1000);
    world.voices.iter_mut().for_each(|voice| voice.talks = false);
    world.run(58_000);
    assert_eq!(dead(&world), 0);
    world.run(63_000);
    assert_eq!(dead(&world), 1);
    world.run(120_000);
    assert_eq!(dead(&world), 1);
}

#[test]
fn rtcp_keeps_a_silent_call_alive() {
    let mut world = World::call();
    world.run(1000);
    world.voices.iter_mut().for_each(|voice| voice.talks = false);
    for _ in 0..20 {
        world.run(10_000);
        world.packet(port(AGENT), Kind::Rtcp, addr("10.0.0.2:4001"), &crate::relaying::RR);
    }
    assert_eq!(dead(&world), 0);
}

#[test]
fn a_call_that_never_had_media_does_not_die_of_it() {
    let mut world = World::call();
    world.voices.clear();
    world.run(200_000);
    assert_eq!(dead(&world), 0);
}

#[test]
fn a_held_call_lives_for_an_hour_and_gets_a_new_minute_when_taken_back() {
    let mut world = World::call();
    world.run(1000);
    world.voices.clear();
    world.describe(AGENT, |remote| remote.receives = false);
    world.run(1_800_000);
    assert_eq!(dead(&world), 0);
    world.describe(AGENT, |_| ());
    world.run(59_000);
    assert_eq!(dead(&world), 0);
    world.run(3000);
    assert_eq!(dead(&world), 1);
}

#[test]
fn the_time_out_can_be_turned_off() {
    let mut world = World::with(Settings { rtp_timeout: Duration::ZERO, ..Settings::default() });
    world.set_up_call();
    world.run(1000);
    world.voices.clear();
    world.run(600_000);
    assert_eq!(dead(&world), 0);
}

#[test]
fn a_silent_party_is_told_once_while_the_other_sends() {
    let one_way = |world: &World| world.count(|event| *event == Event::OneWay { stream: AGENT });
    let mut world = World::call();
    world.run(1000);
    world.voice(AGENT).talks = false;
    world.run(9000);
    assert_eq!(one_way(&world), 0);
    world.run(30_000);
    assert_eq!(one_way(&world), 1);
    world.voice(AGENT).talks = true;
    world.run(1000);
    world.voice(AGENT).talks = false;
    world.run(12_000);
    assert_eq!(one_way(&world), 2, "a new occurrence");
    world.voice(AGENT).talks = true;
    world.run(100);
    world.voice(AGENT).talks = false;
    world.describe(AGENT, |remote| remote.sends = false);
    world.run(30_000);
    assert_eq!(one_way(&world), 2, "it does not have to send");
    assert_eq!(world.count(|event| matches!(event, Event::OneWay { .. })), 2);
}

#[test]
fn the_listener_gets_reports_and_a_goodbye() {
    let mut world = World::call();
    world.listener(1);
    world.run(60_000);
    let reports = world.sent(listener_port(1), Kind::Rtcp);
    assert!((8..=22).contains(&reports.len()), "every 5 s or so: {}", reports.len());
    let rtp = world.sent(listener_port(1), Kind::Rtp);
    for report in &reports {
        assert_eq!(report.to, addr("10.0.1.1:6001"));
        let kinds: Vec<_> = rtcp::compound(&report.data).expect("a valid compound").map(|packet| packet.kind).collect();
        assert_eq!(kinds, [rtcp::Kind::SenderReport, rtcp::Kind::SourceDescription]);
        // The report maps its own instant to the stream's clock.
        let beside = rtp.iter().find(|sent| sent.at == report.at).expect("sent with a packet");
        assert_eq!(report.data[4..8], beside.data[8..12], "the same source");
        assert_eq!(report.data[16..20], beside.data[4..8], "the same instant");
        let before = rtp.iter().filter(|sent| sent.at <= report.at).count() as u32;
        assert_eq!(report.data[20..24], before.to_be_bytes());
    }
    world.forget_sent();
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    let goodbye = &world.sent(listener_port(1), Kind::Rtcp)[0].data;
    assert_eq!(
        rtcp::compound(goodbye).and_then(|packets| packets.last()).map(|packet| packet.kind),
        Some(rtcp::Kind::Bye)
    );
    assert_eq!(world.recorder.released, [listener_port(1)]);
    world.run(100);
    assert_eq!(world.recorder.sent.iter().filter(|sent| sent.port == listener_port(1)).count(), 1);
}

#[test]
fn a_listener_that_never_answered_leaves_no_trace() {
    let mut world = World::call();
    world.ok(Command::OpenListener { listener: ListenerId(1), port: listener_port(1) });
    world.focus(1, Some(AGENT));
    world.run(1000);
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    assert!(world.recorder.sent.iter().all(|sent| sent.port != listener_port(1)));
    assert_eq!(world.shard.sizes(), (2, 0));
}

#[test]
fn a_silent_listener_is_reported_each_minute_and_one_that_reports_is_not() {
    let silent = |world: &World| world.count(|event| matches!(event, Event::ListenerSilent { .. }));
    let mut world = World::call();
    world.listener(1);
    world.run(59_000);
    assert_eq!(silent(&world), 0);
    world.run(3000);
    assert_eq!(silent(&world), 1);
    world.run(61_000);
    assert_eq!(silent(&world), 2);
    for _ in 0..15 {
        world.packet(listener_port(1), Kind::Rtcp, addr("10.0.1.1:6001"), &crate::relaying::RR);
        world.run(10_000);
    }
    assert_eq!(silent(&world), 2);
    for _ in 0..15 {
        world.packet(listener_port(1), Kind::Rtp, addr("192.0.2.99:1"), &rtp(0, 1, 1, 1, &[0; 160]));
        world.run(10_000);
    }
    assert_eq!(silent(&world), 4, "a stranger's packets are no sign of life");
}

#[test]
fn a_listener_behind_nat_is_latched_once() {
    let mut world = World::call();
    let latch = Some(addr("198.51.100.7:0").ip());
    world.ok(Command::OpenListener { listener: ListenerId(1), port: listener_port(1) });
    world.ok(Command::Listen { listener: ListenerId(1), remote: ListenerRemote { latch, ..listener_remote(1) } });
    world.run(100);
    world.packet(listener_port(1), Kind::Rtp, addr("203.0.113.1:5"), &rtp(0, 1, 1, 1, &[0; 160]));
    world.packet(listener_port(1), Kind::Rtp, addr("198.51.100.7:700"), &[0x16, 0xfe]);
    world.packet(listener_port(1), Kind::Rtp, addr("198.51.100.7:800"), &rtp(0, 1, 1, 1, &[0; 160]));
    world.packet(listener_port(1), Kind::Rtp, addr("198.51.100.7:900"), &rtp(0, 1, 1, 1, &[0; 160]));
    world.run(100);
    let to: Vec<_> = world.sent(listener_port(1), Kind::Rtp).iter().map(|sent| sent.to).collect();
    let signalled = to.iter().take_while(|to| **to == ear(1)).count();
    assert!((5..=6).contains(&signalled) && to.len() >= 10, "{to:?}");
    assert!(to[signalled..].iter().all(|to| *to == addr("198.51.100.7:800")), "{to:?}");
}

#[test]
fn when_the_call_ends_the_listener_goes_on_with_silence_until_it_is_closed() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    world.voices.clear();
    world.ok(Command::Close { stream: AGENT });
    world.ok(Command::Close { stream: CALLER });
    world.forget_sent();
    world.run(500);
    assert_eq!(world.sent(listener_port(1), Kind::Rtp).len(), 25);
    world.assert_hears(1, &[]);
    world.ok(Command::CloseListener { listener: ListenerId(1) });
    assert_eq!(world.shard.sizes(), (0, 0));
    assert_eq!(world.shard.wake_at(), None, "nothing is left to wake for");
    assert_eq!(world.recorder.released, [port(AGENT), port(CALLER), listener_port(1)]);
}

#[test]
fn progress_is_told_every_five_seconds_while_figures_change() {
    let mut world = World::call();
    world.run(30_500);
    let progress = |world: &World| {
        let of = |event: &Event| {
            if let Event::Progress { streams } = event {
                streams.iter().filter(|(id, _)| *id == CALLER).count()
            } else {
                0
            }
        };
        world.events().into_iter().map(of).sum::<usize>()
    };
    assert!((5..=7).contains(&progress(&world)), "{}", progress(&world));
    world.voices.clear();
    world.run(6000);
    let before = progress(&world);
    world.run(20_000);
    assert_eq!(progress(&world), before);
}
