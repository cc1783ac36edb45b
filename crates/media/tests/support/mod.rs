//! A shard with a recording sink and a stepped clock.
#![allow(dead_code, unreachable_pub, reason = "each story uses a part of it")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::*;

/// Everything that came out.
#[derive(Default)]
pub struct Recorder {
    pub packets: Vec<(Port, Kind, SocketAddr, Vec<u8>)>,
    pub events: Vec<Event>,
    pub released: Vec<Port>,
}

impl Sink for Recorder {
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        self.packets.push((port, kind, to, data.to_vec()));
    }
    fn event(&mut self, event: Event) {
        self.events.push(event);
    }
    fn release(&mut self, port: Port) {
        self.released.push(port);
    }
}

pub const AGENT: StreamId = StreamId(1);
pub const CALLER: StreamId = StreamId(2);
pub const AGENT_PORT: Port = Port(20_000);
pub const CALLER_PORT: Port = Port(20_002);

pub fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// A speaker: a tone in RTP.
pub struct Voice {
    pub hz: f64,
    pub pt: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub phase: u32,
}

impl Voice {
    pub fn new(hz: f64) -> Self {
        Self { hz, pt: 8, sequence: 65_530, timestamp: u32::MAX - 700, ssrc: hz as u32, phase: 0 }
    }
    pub fn packet(&mut self) -> Vec<u8> {
        let mut data = vec![0x80, self.pt];
        data.extend(self.sequence.to_be_bytes());
        data.extend(self.timestamp.to_be_bytes());
        data.extend(self.ssrc.to_be_bytes());
        let codec = if self.pt == 0 { Codec::Pcmu } else { Codec::Pcma };
        let samples: [i16; 160] = std::array::from_fn(|_| {
            let t = f64::from(self.phase) / 8000.0;
            self.phase += 1;
            (8000.0 * (t * self.hz * 2.0 * std::f64::consts::PI).sin()) as i16
        });
        let mut payload = [0; 160];
        codec.encode(&samples, &mut payload);
        data.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        data
    }
}

pub struct World {
    pub now: Instant,
    pub shard: Shard,
    pub out: Recorder,
    pub agent: Option<Voice>,
    pub caller: Option<Voice>,
}

impl World {
    /// A two-way call: the agent says 440 Hz, the caller 800 Hz.
    pub fn new() -> Self {
        let mut world = Self {
            now: Instant::now(),
            shard: Shard::new(Settings::default(), [3; 32]),
            out: Recorder::default(),
            agent: Some(Voice::new(440.0)),
            caller: Some(Voice::new(800.0)),
        };
        world.order(Command::Open { stream: AGENT, port: AGENT_PORT });
        world.order(Command::Open { stream: CALLER, port: CALLER_PORT });
        world.describe(AGENT, |_| {});
        world.describe(CALLER, |_| {});
        world.order(Command::Bridge { a: AGENT, b: CALLER });
        world
    }
    pub fn order(&mut self, command: Command) {
        self.shard.command(self.now, command, &mut self.out);
    }
    pub fn describe(&mut self, stream: StreamId, change: impl FnOnce(&mut Remote)) {
        let port = 40_000 + 10 * stream.0 as u16;
        let mut remote = Remote {
            rtp: Some(addr(port)),
            rtcp: Some(addr(port + 1)),
            sends: true,
            receives: true,
            decodable: vec![(0, Codec::Pcmu), (8, Codec::Pcma)],
            telephone_event: Some(101),
            latch: None,
            mux: false,
            keys: None,
        };
        change(&mut remote);
        self.order(Command::Describe { stream, remote });
    }
    pub fn listener(&mut self, n: u64) -> ListenerId {
        let (listener, port) = (ListenerId(n), 20_100 + 2 * n as u16);
        self.order(Command::OpenListener { listener, port: Port(port) });
        self.order(Command::Focus { listener, taps: Some(Taps { agent: AGENT }) });
        let remote = ListenerRemote {
            rtp: Some(addr(port + 20_000)),
            rtcp: Some(addr(port + 20_001)),
            codec: Codec::Pcma,
            payload_type: 8,
            latch: None,
            mux: false,
            keys: None,
            telephone_event: None,
        };
        self.order(Command::Listen { listener, remote });
        listener
    }
    pub fn from(&mut self, stream: StreamId, mut data: Vec<u8>) {
        let (port, source) =
            (if stream == AGENT { AGENT_PORT } else { CALLER_PORT }, addr(40_000 + 10 * stream.0 as u16));
        self.shard.datagram(self.now, port, Kind::Rtp, source, &mut data, &mut self.out);
    }
    /// Lets so many milliseconds pass; who speaks sends every 20 ms.
    pub fn run(&mut self, milliseconds: u64) {
        for ms in 0..milliseconds {
            if ms % 20 == 0 {
                let spoken = [
                    (AGENT, self.agent.as_mut().map(Voice::packet)),
                    (CALLER, self.caller.as_mut().map(Voice::packet)),
                ];
                for (stream, packet) in spoken {
                    if let Some(packet) = packet {
                        self.from(stream, packet);
                    }
                }
            }
            self.now += Duration::from_millis(1);
            if self.shard.wake_at().is_some_and(|at| at <= self.now) {
                self.shard.wake(self.now, &mut self.out);
            }
        }
    }
    /// RTP packets that were sent from a port, and forgets them.
    pub fn take(&mut self, port: Port) -> Vec<Vec<u8>> {
        let (mine, rest) =
            std::mem::take(&mut self.out.packets).into_iter().partition(|p| p.0 == port && p.1 == Kind::Rtp);
        self.out.packets = rest;
        let mine: Vec<(Port, Kind, SocketAddr, Vec<u8>)> = mine;
        mine.into_iter().map(|p| p.3).collect()
    }
    pub fn heard(&mut self, listener: ListenerId) -> Vec<i16> {
        let packets = self.take(Port(20_100 + 2 * listener.0 as u16));
        let decoded = |packet: &Vec<u8>| {
            let mut frame = [0; 160];
            Codec::Pcma.decode(&packet[12..], &mut frame);
            frame
        };
        packets.iter().flat_map(decoded).collect()
    }
    /// Which tones a listener hears in the next 400 ms.
    pub fn hears(&mut self, listener: ListenerId) -> Vec<u32> {
        self.heard(listener);
        self.run(400);
        let samples = self.heard(listener);
        [440u32, 620, 800]
            .into_iter()
            .filter(|hz| share(&samples[800.min(samples.len())..], f64::from(*hz)) > 0.1)
            .collect()
    }
}

/// Share of the energy at a frequency (Goertzel over 50 ms blocks).
pub fn share(samples: &[i16], hz: f64) -> f64 {
    let total = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    if total < 500.0 {
        return 0.0;
    }
    let c = 2.0 * (2.0 * std::f64::consts::PI * hz / 8000.0).cos();
    let powers: Vec<f64> = samples
        .chunks_exact(400)
        .map(|block| {
            let (q1, q2) = block.iter().fold((0.0, 0.0), |(q1, q2), s| (c * q1 - q2 + f64::from(*s), q1));
            (q1 * q1 + q2 * q2 - c * q1 * q2) * 2.0 / 160_000.0
        })
        .collect();
    powers.iter().sum::<f64>() / powers.len().max(1) as f64 / total
}
