//! A shard with talking parties around it, a recorder for what it sends, and ears.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::browser::Note;
use media::{
    BatchId, Codec, Command, Event, Kind, ListenerId, ListenerRemote, Port, Remote, Settings, Shard, Sink, StreamId,
    Taps,
};

pub const CALLER: StreamId = StreamId(1);
pub const AGENT: StreamId = StreamId(2);
pub const COLLEAGUE: StreamId = StreamId(3);
pub const CALLER_HZ: f64 = 440.0;
pub const AGENT_HZ: f64 = 1000.0;
pub const COLLEAGUE_HZ: f64 = 1700.0;

/// One packet that the shard sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub at: Instant,
    pub port: Port,
    pub kind: Kind,
    pub to: SocketAddr,
    pub data: Vec<u8>,
}

pub struct Recorder {
    pub now: Instant,
    pub sent: Vec<Sent>,
    pub events: Vec<(Instant, Event)>,
    pub released: Vec<Port>,
    /// What the shell was told of whom its sockets accept.
    pub sources: Vec<(Port, Kind, Option<SocketAddr>)>,
    /// What left for browsers, by which shard's socket.
    pub browser: Vec<(usize, SocketAddr, Vec<u8>)>,
    pub notes: Vec<Note>,
}

impl Recorder {
    pub fn new(now: Instant) -> Self {
        Self {
            now,
            sent: Vec::new(),
            events: Vec::new(),
            released: Vec::new(),
            sources: Vec::new(),
            browser: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Sink for Recorder {
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        self.sent.push(Sent { at: self.now, port, kind, to, data: data.to_vec() });
    }
    fn connect(&mut self, port: Port, kind: Kind, only: Option<SocketAddr>) {
        self.sources.push((port, kind, only));
    }
    fn send_browser(&mut self, home: usize, to: SocketAddr, data: &[u8]) {
        self.browser.push((home, to, data.to_vec()));
    }
    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
    fn event(&mut self, event: Event) {
        self.events.push((self.now, event));
    }
    fn release(&mut self, port: Port) {
        self.released.push(port);
    }
}

/// Somebody who sends a tone in 20 ms packets.
#[derive(Clone, Debug)]
pub struct Voice {
    pub stream: StreamId,
    pub source: SocketAddr,
    pub hz: f64,
    pub amplitude: f64,
    pub codec: Codec,
    pub payload_type: u8,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub samples: usize,
    /// Milliseconds until its next packet.
    pub due_ms: u64,
    pub talks: bool,
    /// Sequence numbers that the network loses.
    pub lost: Vec<u16>,
    spoken: usize,
}

impl Voice {
    pub fn new(stream: StreamId, source: SocketAddr, hz: f64, due_ms: u64) -> Self {
        Self {
            stream,
            source,
            hz,
            amplitude: 8000.0,
            codec: Codec::Pcmu,
            payload_type: 0,
            ssrc: stream.0 as u32 * 0x1111,
            sequence: 65_500,
            timestamp: u32::MAX - 3000,
            samples: 160,
            due_ms,
            talks: true,
            lost: Vec::new(),
            spoken: 0,
        }
    }

    /// The next packet.
    pub fn speak(&mut self) -> Vec<u8> {
        let step = 2.0 * std::f64::consts::PI * self.hz / 8000.0;
        let samples: Vec<i16> =
            (0..self.samples).map(|n| ((step * (self.spoken + n) as f64).sin() * self.amplitude) as i16).collect();
        let mut payload = vec![0; self.samples];
        self.codec.encode(&samples, &mut payload);
        let data = rtp(self.payload_type, self.sequence, self.timestamp, self.ssrc, &payload);
        self.spoken += self.samples;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.samples as u32);
        data
    }
}

pub fn rtp(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut data = media::rtp::header(false, payload_type, sequence, timestamp, ssrc).to_vec();
    data.extend_from_slice(payload);
    data
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub struct World {
    pub origin: Instant,
    pub shard: Shard,
    pub recorder: Recorder,
    pub voices: Vec<Voice>,
    batch: u64,
}

/// The address of a party's phone, and its leg's port here.
pub fn phone(stream: StreamId) -> SocketAddr {
    addr(&format!("10.0.0.{}:4000", stream.0))
}
pub fn port(stream: StreamId) -> Port {
    Port(20_000 + stream.0 as u16 * 2)
}
pub fn listener_port(n: u64) -> Port {
    Port(30_000 + n as u16 * 2)
}
pub fn ear(n: u64) -> SocketAddr {
    addr(&format!("10.0.1.{n}:6000"))
}

pub fn remote(stream: StreamId) -> Remote {
    let rtp = phone(stream);
    Remote {
        rtp: Some(rtp),
        rtcp: Some(SocketAddr::new(rtp.ip(), rtp.port() + 1)),
        sends: true,
        receives: true,
        decodable: vec![(0, Codec::Pcmu), (8, Codec::Pcma)],
        telephone_event: Some(101),
        latch: None,
        mux: false,
        keys: None,
    }
}

pub fn listener_remote(n: u64) -> ListenerRemote {
    let rtp = ear(n);
    let rtcp = Some(SocketAddr::new(rtp.ip(), rtp.port() + 1));
    ListenerRemote {
        rtp: Some(rtp),
        rtcp,
        codec: Codec::Pcmu,
        payload_type: 0,
        latch: None,
        mux: false,
        keys: None,
        telephone_event: None,
    }
}

impl World {
    pub fn empty() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let now = Instant::now();
        let recorder = Recorder::new(now);
        Self { origin: now, shard: Shard::new(settings, [3; 32]), recorder, voices: Vec::new(), batch: 0 }
    }

    /// Caller and agent talk to each other.
    pub fn call() -> Self {
        let mut world = Self::empty();
        world.set_up_call();
        world
    }

    pub fn set_up_call(&mut self) {
        self.leg(CALLER);
        self.leg(AGENT);
        self.ok(Command::Bridge { a: CALLER, b: AGENT });
        self.voices.push(Voice::new(CALLER, phone(CALLER), CALLER_HZ, 3));
        self.voices.push(Voice::new(AGENT, phone(AGENT), AGENT_HZ, 11));
    }

    pub fn leg(&mut self, stream: StreamId) {
        self.ok(Command::Open { stream, port: port(stream) });
        self.ok(Command::Describe { stream, remote: remote(stream) });
    }

    /// A listener with its ear on the agent.
    pub fn listener(&mut self, n: u64) -> ListenerId {
        let listener = ListenerId(n);
        self.ok(Command::OpenListener { listener, port: listener_port(n) });
        self.focus(n, Some(AGENT));
        self.ok(Command::Listen { listener, remote: listener_remote(n) });
        listener
    }

    pub fn focus(&mut self, n: u64, agent: Option<StreamId>) {
        self.ok(Command::Focus { listener: ListenerId(n), taps: agent.map(|agent| Taps { agent }) });
    }

    pub fn describe(&mut self, stream: StreamId, change: impl FnOnce(&mut Remote)) {
        let mut remote = remote(stream);
        change(&mut remote);
        self.ok(Command::Describe { stream, remote });
    }

    pub fn voice(&mut self, stream: StreamId) -> &mut Voice {
        self.voices.iter_mut().find(|voice| voice.stream == stream).expect("a voice")
    }

    pub fn now(&self) -> Instant {
        self.recorder.now
    }

    /// Sends a command and its acknowledgement; whether it was carried out.
    pub fn order(&mut self, command: Command) -> bool {
        self.batch += 1;
        let now = self.now();
        self.shard.command(now, command, &mut self.recorder);
        self.shard.command(now, Command::Done(BatchId(self.batch)), &mut self.recorder);
        match self.recorder.events.pop() {
            Some((_, Event::Done { batch, ok })) if batch == BatchId(self.batch) => ok,
            other => panic!("no acknowledgement but {other:?}"),
        }
    }

    pub fn ok(&mut self, command: Command) {
        assert!(self.order(command.clone()), "{command:?} was refused");
    }

    pub fn packet(&mut self, port: Port, kind: Kind, source: SocketAddr, data: &[u8]) {
        let now = self.now();
        self.shard.datagram(now, port, kind, source, &mut data.to_vec(), &mut self.recorder);
    }

    /// A party's RTP packet.
    pub fn from(&mut self, stream: StreamId, data: &[u8]) {
        self.packet(port(stream), Kind::Rtp, phone(stream), data);
    }

    /// Lets time pass, in steps of a millisecond.
    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.recorder.now += Duration::from_millis(1);
            let mut voices = std::mem::take(&mut self.voices);
            for voice in &mut voices {
                voice.due_ms -= 1;
                if voice.due_ms == 0 {
                    voice.due_ms = voice.samples as u64 / 8;
                    let sequence = voice.sequence;
                    let data = voice.speak();
                    if voice.talks && !voice.lost.contains(&sequence) {
                        self.packet(port(voice.stream), Kind::Rtp, voice.source, &data);
                    }
                }
            }
            self.voices = voices;
            self.wake();
        }
    }

    pub fn wake(&mut self) {
        let now = self.now();
        if self.shard.wake_at().is_some_and(|at| at <= now) {
            self.shard.wake(now, &mut self.recorder);
        }
    }

    /// What left by a port, RTP or RTCP.
    pub fn sent(&self, port: Port, kind: Kind) -> Vec<&Sent> {
        self.recorder.sent.iter().filter(|sent| sent.port == port && sent.kind == kind).collect()
    }

    pub fn forget_sent(&mut self) {
        self.recorder.sent.clear();
    }

    /// What a listener heard since the last `forget_sent`, in its own codec.
    pub fn heard(&self, n: u64) -> Vec<i16> {
        self.heard_in(n, Codec::Pcmu)
    }

    pub fn heard_in(&self, n: u64, codec: Codec) -> Vec<i16> {
        let mut samples = Vec::new();
        for sent in self.sent(listener_port(n), Kind::Rtp) {
            let mut frame = [0; 160];
            codec.decode(&sent.data[12..], &mut frame);
            samples.extend(frame);
        }
        samples
    }

    /// Asserts which of the three tones a listener heard since the last `forget_sent`.
    #[track_caller]
    pub fn assert_hears(&self, n: u64, expected: &[f64]) {
        assert_hears(&self.heard(n), expected);
    }

    pub fn events(&self) -> Vec<&Event> {
        self.recorder.events.iter().map(|(_, event)| event).collect()
    }

    pub fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events().into_iter().filter(|event| wanted(event)).count()
    }
}

#[track_caller]
pub fn assert_hears(samples: &[i16], expected: &[f64]) {
    assert!(!samples.is_empty(), "no packet at all");
    for hz in [CALLER_HZ, AGENT_HZ, COLLEAGUE_HZ] {
        let level = level(samples, hz);
        if expected.contains(&hz) {
            assert!(level > 6000.0, "{hz} Hz should be heard, its level is {level}");
        } else {
            assert!(level < 300.0, "{hz} Hz should not be heard, its level is {level}");
        }
    }
}

/// Amplitude of a tone in samples (Goertzel).
pub fn level(samples: &[i16], hz: f64) -> f64 {
    let omega = 2.0 * std::f64::consts::PI * hz / 8000.0;
    // In windows of 20 ms, so that a phase step does not matter, the root of the mean power.
    let windows = samples.chunks_exact(160);
    let count = windows.len().max(1) as f64;
    let power: f64 = windows
        .map(|window| {
            let (mut s1, mut s2) = (0.0, 0.0);
            for (n, sample) in window.iter().enumerate() {
                let hann = 1.0 - (2.0 * std::f64::consts::PI * (n as f64 + 0.5) / 160.0).cos();
                let s0 = f64::from(*sample) * hann + 2.0 * omega.cos() * s1 - s2;
                (s2, s1) = (s1, s0);
            }
            (s1 * s1 + s2 * s2 - 2.0 * omega.cos() * s1 * s2) / (80.0 * 80.0)
        })
        .sum();
    (power / count).sqrt()
}

pub fn header(data: &[u8]) -> media::rtp::Packet<'_> {
    media::rtp::Packet::parse(data).expect("a valid packet")
}
