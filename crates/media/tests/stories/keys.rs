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

/// A key as tones, 100 ms of them, in the listener's own codec.
fn tones(codec: media::Codec, payload_type: u8, sequence: u16, hertz: [f64; 2]) -> Vec<Vec<u8>> {
    let mut encoder = media::codec::Encoder::new(codec).expect("a codec that is written");
    let (rate, frame) = (f64::from(codec.rate().hertz()), codec.rate().frame());
    let mut packets = Vec::new();
    for n in 0..12_u16 {
        let samples: Vec<i16> = (0..frame)
            .map(|at| {
                let seconds = (usize::from(n) * frame + at) as f64 / rate;
                let wave = hertz.map(|hz| (std::f64::consts::TAU * hz * seconds).sin());
                if (2..8).contains(&n) { ((wave[0] + wave[1]) * 6_000.0) as i16 } else { 0 }
            })
            .collect();
        let mut payload = [0; media::codec::MAX_PAYLOAD];
        let length = encoder.encode(&samples, &mut payload);
        let timestamp = u32::from(sequence.wrapping_add(n)) * codec.clock() / 50;
        packets.push(rtp(payload_type, sequence.wrapping_add(n), timestamp, 0x55, &payload[..length]));
    }
    packets
}

#[test]
fn a_key_is_heard_as_tones_in_every_codec() {
    for (codec, payload_type) in
        [(media::Codec::Pcmu, 0), (media::Codec::Pcma, 8), (media::Codec::G722, 9), (media::Codec::Opus, 111)]
    {
        let mut world = world();
        let remote = media::ListenerRemote { codec, payload_type, ..listener_remote(1) };
        world.ok(Command::Listen { listener: ListenerId(1), remote });
        send(&mut world, ear(1), &tones(codec, payload_type, 65_530, [697.0, 1_209.0]));
        assert_eq!(keys(&world), "", "{codec:?}: nobody waits for it");
        world.ok(Command::WatchKeys { listener: ListenerId(1), on: true });
        send(&mut world, ear(1), &tones(codec, payload_type, 100, [697.0, 1_209.0]));
        send(&mut world, ear(1), &tones(codec, payload_type, 200, [941.0, 1_336.0]));
        assert_eq!(keys(&world), "10", "{codec:?}");
        send(&mut world, addr("203.0.113.9:6000"), &tones(codec, payload_type, 300, [697.0, 1_209.0]));
        assert_eq!(keys(&world), "10", "{codec:?}: a stranger's is none");
    }
}

#[test]
fn a_press_that_comes_as_event_and_as_tone_is_one() {
    let mut world = world();
    world.ok(Command::WatchKeys { listener: ListenerId(1), on: true });
    let events = press(1, 500, 9_000);
    for (n, packet) in tones(media::Codec::Pcmu, 0, 100, [697.0, 1_209.0]).into_iter().enumerate() {
        send(&mut world, ear(1), &[packet]);
        send(&mut world, ear(1), events.get(n..=n).unwrap_or_default());
    }
    assert_eq!(keys(&world), "1");
}
