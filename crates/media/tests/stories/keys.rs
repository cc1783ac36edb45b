//! Keys that somebody waits for: a listener's, and a party's.

use media::{Command, Event, Kind, ListenerId, Settings};

use crate::world::*;

/// A key as phones send it: five updates of 20 ms, the end three times.
fn press(event: u8, sequence: u16, start: u32) -> Vec<Vec<u8>> {
    let packet = |n: u16| {
        let [high, low] = (n.min(5) * 160).to_be_bytes();
        rtp(101, sequence.wrapping_add(n), start, 0x55, &[event, if n >= 5 { 0x8a } else { 0x0a }, high, low])
    };
    (1..=7).map(packet).collect()
}

fn keys(world: &World) -> String {
    let of = |event: &&Event| match event {
        Event::Key { listener: ListenerId(1), key } => Some(*key),
        Event::PartyKey { stream, key } if *stream == AGENT => Some(*key),
        _ => None,
    };
    world.events().iter().filter_map(of).collect()
}

fn world() -> World {
    let mut world = World::call();
    world.ok(Command::OpenListener { listener: ListenerId(1), port: listener_port(1) });
    let remote = media::ListenerRemote { telephone_event: Some(101), ..listener_remote(1) };
    world.ok(Command::Listen { listener: ListenerId(1), remote });
    world.run(100);
    world
}

fn send(world: &mut World, from: std::net::SocketAddr, packets: &[Vec<u8>]) {
    for packet in packets {
        world.packet(listener_port(1), Kind::Rtp, from, packet);
        world.run(20);
    }
}

#[test]
fn a_listeners_key_is_told_once_while_it_is_watched() {
    let mut world = world();
    send(&mut world, ear(1), &press(1, 10, 1_000));
    assert_eq!(keys(&world), "", "nobody waits for it");
    world.ok(Command::WatchKeys { listener: ListenerId(1), on: true });
    send(&mut world, ear(1), &press(1, 20, 9_000));
    send(&mut world, ear(1), &press(11, 30, 19_000));
    assert_eq!(keys(&world), "1#");
    world.ok(Command::WatchKeys { listener: ListenerId(1), on: true });
    send(&mut world, ear(1), &press(1, 30, 19_000)[5..]);
    assert_eq!(keys(&world), "1#", "asked for twice is asked for once");
    world.ok(Command::WatchKeys { listener: ListenerId(1), on: false });
    send(&mut world, ear(1), &press(2, 40, 29_000));
    assert_eq!(keys(&world), "1#");
    assert!(world.sent(port(AGENT), Kind::Rtp).iter().all(|sent| header(&sent.data).payload_type == 0));
    assert_eq!(world.shard.counters().listener_rtp_dropped, 30, "dropped, whatever they say");
}

#[test]
fn a_strangers_key_is_none() {
    let mut world = world();
    world.ok(Command::WatchKeys { listener: ListenerId(1), on: true });
    send(&mut world, addr("203.0.113.9:6000"), &press(1, 20, 9_000));
    assert_eq!(keys(&world), "");
}

#[test]
fn a_partys_key_is_told_while_it_is_watched_and_passes_on() {
    let mut world = World::with(Settings::default());
    world.set_up_call();
    world.run(100);
    let send = |world: &mut World, event, start| {
        for packet in press(event, 9, start) {
            world.from(AGENT, &packet);
            world.from(CALLER, &packet);
            world.run(20);
        }
    };
    send(&mut world, 1, 0);
    world.ok(Command::WatchPartyKeys { stream: AGENT, on: true });
    send(&mut world, 10, 8_000);
    send(&mut world, 9, 16_000);
    assert_eq!(keys(&world), "*9");
    world.ok(Command::WatchPartyKeys { stream: AGENT, on: false });
    send(&mut world, 8, 24_000);
    assert_eq!(keys(&world), "*9");
    let passed = |stream| world.sent(port(stream), Kind::Rtp);
    let events = |stream| passed(stream).iter().filter(|sent| header(&sent.data).payload_type == 101).count();
    assert_eq!((events(AGENT), events(CALLER)), (28, 28));
    assert_eq!(world.count(|event| matches!(event, Event::PartyKey { stream, .. } if *stream == CALLER)), 0);
}
