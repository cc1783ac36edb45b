//! Whatever comes from outside: nothing panics, and nothing gets where it should not.

use std::time::Duration;

use media::{Codec, Command, Kind, ListenerId, Port, StreamId, Taps};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::*;

/// A valid packet with some bytes changed, cut or repeated.
fn mutated(rng: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(0..6) {
        if data.is_empty() {
            break;
        }
        let at = rng.random_range(0..data.len());
        match rng.random_range(0..4) {
            0 => data[at] = rng.random(),
            1 => data[at] ^= 1 << rng.random_range(0..8),
            2 => data.truncate(at),
            _ => data.extend_from_within(at..),
        }
        data.truncate(4000);
    }
    data
}

#[test]
fn mutated_packets_never_panic_and_never_reach_a_party_broken() {
    let mut rng = StdRng::from_seed([9; 32]);
    let mut world = World::call();
    world.voices.clear();
    world.listener(1);
    let seeds = [
        rtp(0, 1, 160, 7, &[0x55; 160]),
        rtp(8, 2, 320, 7, &[0x55; 480]),
        rtp(101, 3, 480, 7, &[5, 0x8a, 0, 160]),
        rtp(13, 4, 480, 7, &[64]),
        [&[0xbf, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[4; 60], &[0xbe, 0xde, 0, 2], &[1; 40], &[4]].concat(),
        media::rtcp::sender_report(
            &media::rtcp::SenderReport { ssrc: 7, ntp: 1, timestamp: 2, packets: 3, octets: 4 },
            b"0123456789abcdef01234567",
        )
        .to_vec(),
        vec![
            0x81, 201, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
            26, 27, 28,
        ],
    ];
    for n in 0..60_000_u32 {
        let data = mutated(&mut rng, &seeds);
        let (stream, kind) = ([CALLER, AGENT][n as usize % 2], if n % 3 == 0 { Kind::Rtcp } else { Kind::Rtp });
        let phone = phone(stream);
        let source = if kind == Kind::Rtp { phone } else { addr(&format!("{}:{}", phone.ip(), phone.port() + 1)) };
        world.packet(port(stream), kind, source, &data);
        world.packet(listener_port(1), kind, ear(1), &data);
        if n % 10 == 0 {
            world.run(rng.random_range(0..30));
        }
    }
    for sent in &world.recorder.sent {
        assert!(sent.kind == Kind::Rtcp || media::rtp::Packet::parse(&sent.data).is_ok());
        assert!(sent.kind == Kind::Rtp || media::rtcp::compound(&sent.data).is_some());
    }
    assert!(world.shard.counters().rtp_malformed > 1000 && world.shard.counters().rtcp_malformed > 1000);
}

#[test]
fn random_orders_keep_the_house_in_order() {
    for seed in 0..40 {
        let mut rng = StdRng::from_seed([seed; 32]);
        let mut world = World::empty();
        for _ in 0..400 {
            let stream = StreamId(rng.random_range(1..8));
            let other = StreamId(rng.random_range(1..8));
            let n = rng.random_range(1..6);
            let listener = ListenerId(n);
            world.order(match rng.random_range(0..12) {
                0 | 1 => Command::Open { stream, port: port(stream) },
                2 => Command::Describe { stream, remote: remote(stream) },
                3 => Command::Bridge { a: stream, b: other },
                4 => Command::Unbridge { stream },
                5 => Command::Close { stream },
                6 | 7 => Command::OpenListener { listener, port: Port(listener_port(n).0) },
                8 => Command::Listen { listener, remote: listener_remote(n) },
                9 => Command::Focus { listener, taps: rng.random::<bool>().then_some(Taps { agent: stream }) },
                10 => Command::Shield { listener, on: rng.random() },
                _ => Command::CloseListener { listener },
            });
            let now = world.now();
            for stream in (1..8).map(StreamId) {
                let samples = now.duration_since(world.origin).as_millis() as u32 * 8;
                world.from(stream, &rtp(0, (samples / 160) as u16, samples, 1, &[0; 160]));
            }
            world.run(rng.random_range(0..40));
        }
        for id in 1..8 {
            world.order(Command::Close { stream: StreamId(id) });
            world.order(Command::CloseListener { listener: ListenerId(id) });
        }
        assert_eq!((world.shard.sizes(), world.shard.wake_at()), ((0, 0), None), "seed {seed}");
        for n in 1..6 {
            let mut last: Option<(u32, u16)> = None;
            for sent in world.sent(listener_port(n), Kind::Rtp) {
                let packet = header(&sent.data);
                if let Some((_, sequence)) = last.filter(|(ssrc, _)| *ssrc == packet.ssrc) {
                    assert_eq!(packet.sequence, sequence.wrapping_add(1));
                }
                last = Some((packet.ssrc, packet.sequence));
            }
        }
    }
}

#[test]
fn time_that_stands_still_or_leaps_does_no_harm() {
    let mut world = World::call();
    world.listener(1);
    for leap in [0, 1, 59, 61, 1000, 86_400_000] {
        world.recorder.now += Duration::from_millis(leap);
        world.wake();
        world.run(100);
    }
    world.run(1000);
    world.forget_sent();
    world.run(500);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
    assert_eq!(Codec::Pcma.silence(), 0xd5);
}
