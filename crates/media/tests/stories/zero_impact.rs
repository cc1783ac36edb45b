//! What both parties get does not depend on who listens: the same bytes, in the same order, at the same instants.

use std::net::SocketAddr;
use std::time::Duration;

use media::{Codec, Command, Kind, Layout, ListenerId, ListenerRemote, Mix, Port, Taps};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::world::*;

/// When, from which socket, where to, and what.
type Heard = (Duration, Port, Kind, SocketAddr, Vec<u8>);

/// One call by its own random script. What listeners do is drawn from another source, so that the script does not
/// depend on them.
fn story(seed: u8, listeners: u64) -> Vec<Heard> {
    let mut call = StdRng::from_seed([seed; 32]);
    let mut crowd = StdRng::from_seed([seed ^ 0xff; 32]);
    let mut world = World::empty();
    let public = addr("198.51.100.7:0").ip();
    let mut parties = Vec::new();
    world.set_up_call();
    world.leg(COLLEAGUE);
    for _ in 0..60 {
        match call.random_range(0..12) {
            0 => world.describe(AGENT, |remote| remote.receives = false),
            1 => world.describe(AGENT, |_| {}),
            2 => world.describe(CALLER, |remote| remote.latch = Some(public)),
            3 => world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:9"), &rtp(8, call.random(), 1, 2, &[3; 80])),
            4 => world.ok(Command::Bridge { a: AGENT, b: COLLEAGUE }),
            5 => world.ok(Command::Bridge { a: AGENT, b: CALLER }),
            6 => world.packet(port(AGENT), Kind::Rtcp, addr("10.0.0.2:4001"), &crate::relaying::RR),
            7 => world.from(COLLEAGUE, &rtp(101, call.random(), 7, 3, &[5, 10, 0, 160])),
            8 => world.describe(AGENT, |remote| (remote.mux, remote.rtcp) = (true, remote.rtp)),
            _ => {}
        }
        for _ in 0..listeners.min(6) {
            let n = crowd.random_range(1..=listeners);
            disturb(&mut world, &mut crowd, n);
        }
        world.run(call.random_range(1..40));
        parties.append(&mut to_parties(&mut world));
    }
    parties
}

/// Joins, turns, stalls, floods or leaves.
fn disturb(world: &mut World, crowd: &mut StdRng, n: u64) {
    let listener = ListenerId(n);
    let agent = [CALLER, AGENT, COLLEAGUE][crowd.random_range(0..3)];
    let _ = match crowd.random_range(0..12) {
        0 | 1 => world.order(Command::OpenListener { listener, port: listener_port(n) }),
        2 => world.order(Command::Focus { listener, taps: Some(Taps { agent }) }),
        3 => world.order(Command::Listen { listener, remote: listener_remote(n) }),
        4 => {
            let mut remote = listener_remote(n);
            (remote.rtp, remote.rtcp) = (None, None);
            world.order(Command::Listen { listener, remote })
        }
        5 => world.order(Command::CloseListener { listener }),
        6 => {
            let codec = [Codec::Pcma, Codec::G722, Codec::Opus, Codec::OpusStereo][crowd.random_range(0..4)];
            let remote = ListenerRemote { codec, payload_type: 100, ..listener_remote(n) };
            world.order(Command::Listen { listener, remote })
        }
        7 => {
            let layout = [Layout::Stereo, Layout::Agent, Layout::Caller][crowd.random_range(0..3)];
            let mix =
                Mix { layout, agent_db: 20, caller_db: crowd.random_range(-40..=20), is_levelled: crowd.random() };
            world.order(Command::Mix { listener, mix })
        }
        8 => world.order(Command::Shield { listener, on: crowd.random() }),
        9 => {
            world.order(Command::WatchKeys { listener, on: crowd.random() });
            world.order(Command::WatchPartyKeys { stream: agent, on: crowd.random() });
            world.order(Command::WatchLevels { stream: agent, on: crowd.random() })
        }
        _ => {
            for flood in 0..50_u16 {
                let kind = if flood % 5 == 0 { Kind::Rtcp } else { Kind::Rtp };
                world.packet(listener_port(n), kind, ear(n), &rtp(0, flood, 1, 1, &[0; 160]));
                world.packet(port(agent), kind, ear(n), &rtp(0, flood, 1, 1, &[0; 160]));
            }
            true
        }
    };
}

fn to_parties(world: &mut World) -> Vec<Heard> {
    let origin = world.origin;
    let ports = [CALLER, AGENT, COLLEAGUE].map(port);
    let sent = std::mem::take(&mut world.recorder.sent).into_iter().filter(|sent| ports.contains(&sent.port));
    sent.map(|sent| (sent.at - origin, sent.port, sent.kind, sent.to, sent.data)).collect()
}

#[test]
fn the_parties_get_the_same_with_0_1_and_50_listeners() {
    for seed in 0..12 {
        let alone = story(seed, 0);
        assert!(alone.len() > 30, "seed {seed}: {} packets", alone.len());
        for listeners in [1, 50] {
            let with = story(seed, listeners);
            assert!(alone == with, "seed {seed}, {listeners} listeners: {} packets, {} alone", with.len(), alone.len());
        }
    }
}
