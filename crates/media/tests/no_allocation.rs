//! Neither a packet nor a tick allocates, once a call and its listeners are settled: of ours. The library for Opus (`ropus`)
//! allocates in each frame, so it has no part here.
#![allow(clippy::disallowed_methods, reason = "a base for simulated instants")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::{Encoder, MAX_PAYLOAD};
use media::*;

/// Counts, and keeps nothing.
#[derive(Default)]
struct Tally {
    sent: usize,
    copies: usize,
    told: usize,
}

impl Sink for Tally {
    fn send(&mut self, _: Port, _: Kind, _: SocketAddr, _: &[u8]) {
        self.sent += 1;
    }
    fn send_copy(&mut self, _: Port, _: Kind, _: SocketAddr, _: &[u8]) {
        self.copies += 1;
    }
    fn event(&mut self, _: Event) {
        self.told += 1;
    }
    fn release(&mut self, _: Port) {}
}

const CALLER: StreamId = StreamId(1);
const AGENT: StreamId = StreamId(2);
const CODECS: [Codec; 3] = [Codec::Pcmu, Codec::Pcma, Codec::G722];

fn addr(port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::from(([10, 0, 0, 1], port)))
}

/// A party that speaks in a codec, its packets made before anybody counts.
struct Party {
    port: u16,
    packets: Vec<Vec<u8>>,
}

fn party(port: u16, codec: Codec, frames: u32) -> Party {
    let mut encoder = Encoder::new(codec).expect("a codec that is written");
    let (frame, hertz) = (codec.rate().frame(), codec.rate().hertz() as f32);
    let packet = |n: u32| {
        let wave = |at: usize| (std::f32::consts::TAU * 440.0 * (n as usize * frame + at) as f32 / hertz).sin();
        let samples: Vec<i16> = (0..frame).map(|at| (wave(at) * 8_000.0) as i16).collect();
        let mut payload = [0; MAX_PAYLOAD];
        let length = encoder.encode(&samples, &mut payload);
        let payload_type = codec.static_type().unwrap_or(111);
        let mut data = rtp::header(false, payload_type, n as u16, n * codec.clock() / 50, u32::from(port)).to_vec();
        data.extend_from_slice(&payload[..length]);
        data
    };
    Party { port, packets: (0..frames).map(packet).collect() }
}

struct World {
    now: Instant,
    shard: Shard,
    tally: Tally,
    parties: [Party; 2],
    frame: usize,
}

impl World {
    fn new(spoken: [Codec; 2]) -> Self {
        let parties = [party(20_000, spoken[0], 400), party(20_002, spoken[1], 400)];
        let shard = Shard::new(Settings::default(), [7; 32]);
        let mut world = Self { now: Instant::now(), shard, tally: Tally::default(), parties, frame: 0 };
        for (stream, port) in [(CALLER, 20_000), (AGENT, 20_002)] {
            let (rtp, rtcp) = (addr(port + 20_000), addr(port + 20_001));
            let decodable = vec![(0, Codec::Pcmu), (9, Codec::G722)];
            let (telephone_event, latch, keys) = (None, None, None);
            let (sends, receives, mux) = (true, true, false);
            let remote = Remote { rtp, rtcp, sends, receives, decodable, telephone_event, latch, mux, keys };
            world.order(Command::Open { stream, port: Port(port) });
            world.order(Command::Describe { stream, remote });
        }
        world.order(Command::Bridge { a: CALLER, b: AGENT });
        world
    }

    fn order(&mut self, command: Command) {
        self.shard.command(self.now, command, &mut self.tally);
    }

    fn listener(&mut self, n: u64, codec: Codec, mix: Mix) {
        let (listener, port) = (ListenerId(n), 21_000 + 2 * n as u16);
        let remote = ListenerRemote {
            rtp: addr(port + 20_000),
            rtcp: addr(port + 20_001),
            codec,
            payload_type: codec.static_type().unwrap_or(111),
            latch: None,
            mux: false,
            keys: None,
            telephone_event: None,
        };
        self.order(Command::OpenListener { listener, port: Port(port) });
        self.order(Command::Focus { listener, taps: Some(Taps { agent: AGENT }) });
        self.order(Command::Mix { listener, mix });
        self.order(Command::Listen { listener, remote });
    }

    /// Twenty milliseconds of it.
    fn run_frame(&mut self) {
        for party in &mut self.parties {
            let from = SocketAddr::from(([10, 0, 0, 1], party.port + 20_000));
            let data = &mut party.packets[self.frame];
            self.shard.datagram(self.now, Port(party.port), Kind::Rtp, from, data, &mut self.tally);
        }
        self.frame += 1;
        for _ in 0..20 {
            self.now += Duration::from_millis(1);
            self.shard.wake(self.now, &mut self.tally);
        }
    }
}

#[test]
fn a_settled_call_with_listeners_of_every_kind_allocates_nothing_but_what_it_tells() {
    for spoken in [[Codec::Pcmu, Codec::Pcmu], [Codec::G722, Codec::Pcmu], [Codec::G722, Codec::G722]] {
        let mut world = World::new(spoken);
        for n in 0..20 {
            let layout = [Layout::Mono, Layout::Stereo, Layout::Agent, Layout::Caller][n as usize / 5];
            let mix = Mix { layout, agent_db: 3, caller_db: 0, is_levelled: n % 2 == 0 };
            world.listener(n, CODECS[n as usize % 3], mix);
        }
        world.order(Command::Shield { listener: ListenerId(2), on: true });
        (0..150).for_each(|_| world.run_frame());
        let mut worst = 0;
        let mut frames = 0;
        while world.frame < 400 {
            let told = world.tally.told;
            let counted = allocation_counter::measure(|| world.run_frame());
            // An event may hold a list; a frame without one has no reason.
            if world.tally.told == told {
                worst = worst.max(counted.count_total);
                frames += 1;
            }
        }
        assert!(frames > 150, "{spoken:?}: {frames} frames without events");
        assert_eq!(worst, 0, "{spoken:?}");
        assert!(world.tally.copies >= 20 * 390 && world.tally.sent == 800, "{} packets", world.tally.copies);
        assert_eq!(world.shard.counters().frames_late + world.shard.counters().frames_concealed, 0, "{spoken:?}");
    }
}
