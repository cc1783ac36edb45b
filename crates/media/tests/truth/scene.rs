//! A shard between two people who say what they are given, over networks that lose, delay and reorder, by clocks that
//! drift; and ears. Time is told to a nanosecond and nothing sleeps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::codec::{Decoder, Encoder, MAX_DECODED, MAX_PAYLOAD};
use media::{
    Codec, Command, Event, Kind, Layout, ListenerId, ListenerRemote, Mix, Port, Remote, Settings, Shard, Sink,
    StreamId, Taps,
};

use crate::speech::Dice;

pub const CALLER: StreamId = StreamId(1);
pub const AGENT: StreamId = StreamId(2);
pub const COLLEAGUE: StreamId = StreamId(3);

/// What a network does to packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Net {
    /// Share that is lost.
    pub loss: f64,
    /// Each packet takes up to so much longer than the soonest (±30 ms: 60), but none passes another
    pub jitter_ms: f64,
    /// except this share, which comes after the one behind it.
    pub reorder: f64,
}

/// A packet on its way: when it arrives (ns), a number that makes it unique, whose it is and what.
type InFlight = Reverse<(u64, u64, u64, Vec<u8>)>;

/// Somebody at a phone.
pub struct Party {
    pub stream: StreamId,
    pub codec: Codec,
    pub payload_type: u8,
    /// What is said, again and again.
    pub payloads: Vec<Vec<u8>>,
    pub talks: bool,
    pub net: Net,
    /// By how much its clock is fast.
    pub ppm: f64,
    pub ssrc: u32,
    pub timestamp: u32,
    pub sequence: u16,
    /// Which of its packets were lost.
    pub lost: Vec<bool>,
    /// When its first packet was sent, seconds.
    pub start: f64,
    due: f64,
    arrived: u64,
    dice: Dice,
}

impl Party {
    /// Says samples at its codec's rate.
    pub fn new(stream: StreamId, codec: Codec, says: &[i16], start_ms: f64, seed: u64) -> Self {
        let ssrc = 0x1000 * seed as u32 + stream.0 as u32;
        Self {
            stream,
            codec,
            payload_type: payload_type(codec),
            payloads: encode(codec, says),
            talks: true,
            net: Net::default(),
            ppm: 0.0,
            ssrc,
            timestamp: u32::MAX - 5_000,
            sequence: u16::MAX - 40,
            lost: Vec::new(),
            start: start_ms / 1e3,
            due: start_ms / 1e3,
            arrived: 0,
            dice: Dice::new(seed * 77 + stream.0),
        }
    }

    /// Another codec from the next packet on, by an encoder that begins there: the clock goes on in its units.
    pub fn turn(&mut self, codec: Codec, says: &[i16]) {
        let (frame, frames) = (codec.rate().frame(), says.len() / codec.rate().frame());
        let done = self.lost.len() % frames;
        let mut says = says.to_vec();
        says.rotate_left(done * frame);
        let mut payloads = encode(codec, &says);
        payloads.rotate_right(done);
        (self.codec, self.payload_type, self.payloads) = (codec, payload_type(codec), payloads);
    }

    /// The next packet, and when it arrives, if it does.
    fn speak(&mut self) -> Option<(u64, Vec<u8>)> {
        let payload = &self.payloads[self.lost.len() % self.payloads.len()];
        let mut data = media::rtp::header(false, self.payload_type, self.sequence, self.timestamp, self.ssrc).to_vec();
        data.extend_from_slice(payload);
        let sent = self.due;
        self.due = self.start + (self.lost.len() + 1) as f64 * 0.02 / (1.0 + self.ppm * 1e-6);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock() / 50);
        let is_lost = self.dice.roll() < self.net.loss;
        self.lost.push(is_lost);
        let delay = self.dice.between(0.0, self.net.jitter_ms) / 1e3;
        let is_passed = self.dice.roll() < self.net.reorder;
        if is_lost || !self.talks {
            return None;
        }
        let at = ((sent + delay) * 1e9) as u64;
        if is_passed {
            return Some((at.max(self.arrived) + 25_000_000, data));
        }
        self.arrived = at.max(self.arrived);
        Some((self.arrived, data))
    }
}

/// What left for a listener.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Duration,
    pub data: Vec<u8>,
}

#[derive(Default)]
struct Recorder {
    at: Duration,
    sent: Vec<(Port, Sent)>,
    events: Vec<(Duration, Event)>,
}

impl Sink for Recorder {
    fn send(&mut self, _: Port, _: Kind, _: SocketAddr, _: &[u8]) {}
    fn send_copy(&mut self, port: Port, kind: Kind, _: SocketAddr, data: &[u8]) {
        if kind == Kind::Rtp {
            self.sent.push((port, Sent { at: self.at, data: data.to_vec() }));
        }
    }
    fn event(&mut self, event: Event) {
        self.events.push((self.at, event));
    }
    fn release(&mut self, _: Port) {}
}

pub struct Scene {
    origin: Instant,
    pub at: Duration,
    pub shard: Shard,
    pub parties: Vec<Party>,
    in_flight: BinaryHeap<InFlight>,
    count: u64,
    recorder: Recorder,
}

impl Scene {
    /// A caller and an agent, bridged.
    pub fn call(caller: Party, agent: Party) -> Self {
        let mut scene = Self {
            origin: Instant::now(),
            at: Duration::ZERO,
            shard: Shard::new(Settings::default(), [5; 32]),
            parties: vec![caller, agent],
            in_flight: BinaryHeap::new(),
            count: 0,
            recorder: Recorder::default(),
        };
        for stream in [CALLER, AGENT] {
            scene.leg(stream);
        }
        scene.order(Command::Bridge { a: CALLER, b: AGENT });
        scene
    }

    pub fn leg(&mut self, stream: StreamId) {
        self.order(Command::Open { stream, port: port(stream) });
        self.order(Command::Describe { stream, remote: remote(stream) });
    }

    pub fn order(&mut self, command: Command) {
        let refused = self.shard.counters().commands_refused;
        self.shard.command(self.origin + self.at, command.clone(), &mut self.recorder);
        assert_eq!(self.shard.counters().commands_refused, refused, "{command:?}");
    }

    /// A listener of the agent's interaction.
    pub fn listen(&mut self, n: u64, codec: Codec, layout: Layout) -> Ear {
        let listener = ListenerId(n);
        self.order(Command::OpenListener { listener, port: ear_port(n) });
        self.order(Command::Focus { listener, taps: Some(Taps { agent: AGENT }) });
        self.mix(n, Mix { layout, ..Mix::default() });
        self.order(Command::Listen { listener, remote: listener_remote(n, codec) });
        Ear::new(n, codec)
    }

    pub fn mix(&mut self, n: u64, mix: Mix) {
        self.order(Command::Mix { listener: ListenerId(n), mix });
    }

    pub fn party(&mut self, stream: StreamId) -> &mut Party {
        self.parties.iter_mut().find(|party| party.stream == stream).expect("a party")
    }

    /// Lets so much time pass.
    pub fn run(&mut self, seconds: f64) {
        let end = self.at + Duration::from_secs_f64(seconds);
        loop {
            let due = self.parties.iter().map(|party| Duration::from_secs_f64(party.due)).min();
            let arrival = self.in_flight.peek().map(|Reverse(packet)| Duration::from_nanos(packet.0));
            let wake = self.shard.wake_at().map(|at| at.saturating_duration_since(self.origin));
            let next = [due, arrival, wake].into_iter().flatten().min().unwrap_or(end).max(self.at);
            if next >= end {
                self.at = end;
                return;
            }
            (self.at, self.recorder.at) = (next, next);
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.origin + self.at;
        for party in self.parties.iter_mut().filter(|party| Duration::from_secs_f64(party.due) <= self.at) {
            if let Some((at, data)) = party.speak() {
                self.count += 1;
                self.in_flight.push(Reverse((at, self.count, party.stream.0, data)));
            }
        }
        while self.in_flight.peek().is_some_and(|Reverse(packet)| Duration::from_nanos(packet.0) <= self.at) {
            let Some(Reverse((_, _, stream, mut data))) = self.in_flight.pop() else { return };
            let stream = StreamId(stream);
            let (port, from) = (port(stream), phone(stream));
            self.shard.datagram(now, port, Kind::Rtp, from, &mut data, &mut self.recorder);
        }
        if self.shard.wake_at().is_some_and(|at| at <= now) {
            self.shard.wake(now, &mut self.recorder);
        }
    }

    /// What left for a listener since the last time.
    pub fn take(&mut self, n: u64) -> Vec<Sent> {
        let of = |(port, _): &mut (Port, Sent)| *port == ear_port(n);
        self.recorder.sent.extract_if(.., of).map(|(_, sent)| sent).collect()
    }

    pub fn events(&self) -> &[(Duration, Event)] {
        &self.recorder.events
    }
}

/// A listener's phone: it plays what it gets.
pub struct Ear {
    pub n: u64,
    decoder: Decoder,
    left: Option<ropus::Decoder>,
}

impl Ear {
    pub fn new(n: u64, codec: Codec) -> Self {
        let stereo = || ropus::Decoder::new(48_000, ropus::Channels::Stereo).expect("a decoder");
        let left = (codec == Codec::OpusStereo).then(stereo);
        Self { n, decoder: Decoder::new(codec).expect("a codec that is read"), left }
    }

    /// What it plays, and when its first packet left.
    pub fn play(&mut self, scene: &mut Scene) -> (Vec<i16>, Duration) {
        let sent = scene.take(self.n);
        let first = sent.first().map_or(Duration::ZERO, |sent| sent.at);
        let mut played = Vec::new();
        for sent in &sent {
            assert_eq!(sent.data[1] & 0x7f, payload_type(self.decoder.codec()), "the codec");
            let mut frame = [0; MAX_DECODED];
            let length = self.decoder.decode(&sent.data[12..], &mut frame).expect("a payload");
            assert_eq!(length, self.decoder.codec().rate().frame(), "20 ms");
            played.extend_from_slice(&frame[..length]);
        }
        (played, first)
    }

    /// The same of a stereo listener: its left ear and its right.
    pub fn play_stereo(&mut self, scene: &mut Scene) -> [Vec<i16>; 2] {
        let decoder = self.left.as_mut().expect("a stereo listener");
        let mut sides = [Vec::new(), Vec::new()];
        for sent in scene.take(self.n) {
            let mut frame = [0; 2 * 960];
            decoder.decode(&sent.data[12..], &mut frame, ropus::DecodeMode::Normal).expect("a payload");
            for pair in frame.chunks_exact(2) {
                sides[0].push(pair[0]);
                sides[1].push(pair[1]);
            }
        }
        sides
    }
}

pub fn encode(codec: Codec, samples: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec).expect("a codec that is written");
    let payload = |frame: &[i16]| {
        let mut out = [0; MAX_PAYLOAD];
        let length = encoder.encode(frame, &mut out);
        out[..length].to_vec()
    };
    samples.chunks_exact(codec.rate().frame() * codec.channels()).map(payload).collect()
}

pub fn payload_type(codec: Codec) -> u8 {
    codec.static_type().unwrap_or(111)
}

pub fn remote(stream: StreamId) -> Remote {
    let decodable = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];
    Remote {
        rtp: Some(phone(stream)),
        rtcp: None,
        sends: true,
        receives: true,
        decodable: decodable.iter().map(|codec| (payload_type(*codec), *codec)).collect(),
        telephone_event: Some(101),
        latch: None,
        mux: false,
        keys: None,
    }
}

pub fn listener_remote(n: u64, codec: Codec) -> ListenerRemote {
    ListenerRemote {
        rtp: Some(SocketAddr::from(([10, 0, 1, n as u8], 6_000))),
        rtcp: None,
        codec,
        payload_type: payload_type(codec),
        latch: None,
        mux: false,
        keys: None,
        telephone_event: None,
    }
}

fn phone(stream: StreamId) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, stream.0 as u8], 4_000))
}
fn port(stream: StreamId) -> Port {
    Port(20_000 + stream.0 as u16 * 2)
}
fn ear_port(n: u64) -> Port {
    Port(30_000 + n as u16 * 2)
}
