//! What listeners cost: CPU time of one second (50 ticks, and the 100 packets of each call) on a shard, by codec, by what
//! the call speaks and by how many listen to the same call. Sockets and their system calls are not in it.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![allow(clippy::unwrap_used, reason = "a bench may fail")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use media::codec::{Encoder, MAX_PAYLOAD, Rate};
use media::rtp::header;
use media::{
    Codec, Command, Counters, Event, Kind, Layout, ListenerId, ListenerRemote, Mix, Port, Remote, Settings, Shard,
    Sink, StreamId, Taps,
};
use rustix::time::{ClockId, clock_gettime};

const HEARD: [Codec; 4] = [Codec::Pcma, Codec::G722, Codec::Opus, Codec::OpusStereo];
const MS: Duration = Duration::from_millis(1);
/// Frames that a party says again and again: three seconds.
const FRAMES: usize = 150;

/// Who listens to what.
#[derive(Clone, Copy, Debug)]
struct Case {
    spoken: Codec,
    heard: Codec,
    calls: u16,
    listeners: u16,
}

fn listening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("listening_1s");
    // Seconds are long: few of them tell enough.
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (spoken, calls, listeners) in
        [(Codec::Pcma, 1, 1), (Codec::Pcma, 1, 50), (Codec::Pcma, 50, 50), (Codec::Opus, 1, 1), (Codec::Opus, 50, 50)]
    {
        let name = format!("{listeners} on {calls} in {spoken:?}");
        for heard in HEARD {
            group.bench_function(BenchmarkId::new(&name, format!("{heard:?}")), |bencher| {
                let mut floor = Floor::new(Case { spoken, heard, calls, listeners });
                bencher.iter_custom(|seconds| {
                    let began = on_cpu();
                    (0..seconds).for_each(|_| floor.second());
                    on_cpu().saturating_sub(began)
                });
                floor.check();
            });
        }
    }
    group.finish();
}

/// This thread's time on a CPU: other work on the machine does not count.
fn on_cpu() -> Duration {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(at.tv_sec as u64, at.tv_nsec as u32)
}

/// A shard with its calls, their parties and all who listen.
struct Floor {
    case: Case,
    shard: Shard,
    sink: Null,
    now: Instant,
    /// What an agent says, and what a caller says.
    payloads: [Vec<Vec<u8>>; 2],
    frame: usize,
    /// Counters and packets when everybody had heard a while.
    begun: (Counters, u64),
    seconds: u64,
}

impl Floor {
    fn new(case: Case) -> Self {
        let shard = Shard::new(Settings::default(), [7; 32]);
        let payloads = [300.0, 770.0].map(|hertz| said(case.spoken, hertz));
        let (now, sink) = (Instant::now(), Null::default());
        let mut floor =
            Self { case, shard, sink, now, payloads, frame: 0, begun: (Counters::default(), 0), seconds: 0 };
        (0..case.calls).for_each(|call| floor.call(call));
        floor.second();
        (0..case.listeners).for_each(|listener| floor.listener(listener));
        // Rings fill and kinds settle.
        (0..2).for_each(|_| floor.second());
        floor.begun = (floor.shard.counters(), floor.sink.packets);
        floor.seconds = 0;
        floor
    }

    fn command(&mut self, command: Command) {
        self.shard.command(self.now, command, &mut self.sink);
    }

    fn call(&mut self, call: u16) {
        let [agent, caller] = [0, 1].map(|side| stream(call, side));
        for (side, stream) in [agent, caller].into_iter().enumerate() {
            let (port, theirs) = ports(call, side);
            let remote = Remote {
                rtp: Some(address(theirs)),
                rtcp: Some(address(theirs + 1)),
                sends: true,
                receives: true,
                decodable: vec![(payload_type(self.case.spoken), self.case.spoken)],
                telephone_event: None,
                latch: None,
                mux: false,
                keys: None,
            };
            self.command(Command::Open { stream, port: Port(port) });
            self.command(Command::Describe { stream, remote });
        }
        self.command(Command::Bridge { a: agent, b: caller });
    }

    fn listener(&mut self, n: u16) {
        let listener = ListenerId(n.into());
        let codec = self.case.heard;
        let remote = ListenerRemote {
            rtp: Some(address(50_000 + 2 * n)),
            rtcp: None,
            codec,
            payload_type: payload_type(codec),
            latch: None,
            mux: false,
            keys: None,
            telephone_event: None,
        };
        let layout = if codec == Codec::OpusStereo { Layout::Stereo } else { Layout::Mono };
        let taps = Some(Taps { agent: stream(n % self.case.calls, 0) });
        self.command(Command::OpenListener { listener, port: Port(30_000 + 2 * n) });
        self.command(Command::Focus { listener, taps });
        self.command(Command::Mix { listener, mix: Mix { layout, ..Mix::default() } });
        self.command(Command::Listen { listener, remote });
    }

    /// One second of all calls. Their packets arrive in all milliseconds of a frame.
    fn second(&mut self) {
        for _ in 0..50 {
            for ms in 0..20 {
                (ms..self.case.calls).step_by(20).for_each(|call| self.packets(call));
                self.now += MS;
                while let Some(at) = self.shard.wake_at().filter(|at| *at <= self.now) {
                    self.shard.wake(at, &mut self.sink);
                }
            }
            self.frame += 1;
        }
        self.seconds += 1;
    }

    /// 20 ms of both parties of a call.
    fn packets(&mut self, call: u16) {
        let clock = if self.case.spoken.rate() == Rate::Full { 960 } else { 160 };
        for side in 0..2 {
            let (port, theirs) = ports(call, side);
            let payload = &self.payloads[side][self.frame % FRAMES];
            let at = self.frame as u32 * clock;
            let mut packet = [0; 12 + MAX_PAYLOAD];
            packet[..12].copy_from_slice(&header(
                false,
                payload_type(self.case.spoken),
                self.frame as u16,
                at,
                theirs.into(),
            ));
            packet[12..12 + payload.len()].copy_from_slice(payload);
            let data = &mut packet[..12 + payload.len()];
            self.shard.datagram(self.now, Port(port), Kind::Rtp, address(theirs), data, &mut self.sink);
        }
    }

    /// Every call was heard by everybody, whole, and written once.
    fn check(&self) {
        let (before, after) = (self.begun.0, self.shard.counters());
        let frames = 50 * self.seconds;
        assert_eq!(
            after.frames_encoded - before.frames_encoded,
            frames * u64::from(self.case.calls),
            "{:?}",
            self.case
        );
        let sent = after.listener_packets_sent - before.listener_packets_sent;
        assert_eq!(sent, frames * u64::from(self.case.listeners), "{:?}", self.case);
        let relayed = 2 * frames * u64::from(self.case.calls);
        assert!(self.sink.packets - self.begun.1 >= sent + relayed, "{:?}", self.case);
        assert_eq!(after.frames_concealed, before.frames_concealed, "{:?}", self.case);
        assert_eq!(after.tap_undecodable + after.commands_refused + after.ticks_skipped, 0, "{:?}", self.case);
    }
}

/// Counts instead of sending.
#[derive(Default)]
struct Null {
    packets: u64,
}

impl Sink for Null {
    fn send(&mut self, _: Port, _: Kind, _: SocketAddr, data: &[u8]) {
        self.packets += u64::from(black_box(data)[0] > 0);
    }
    fn event(&mut self, _: Event) {}
    fn release(&mut self, _: Port) {}
}

/// Two tones that come and go, and noise between them, encoded.
fn said(codec: Codec, hertz: f64) -> Vec<Vec<u8>> {
    let (mut encoder, rate) = (Encoder::new(codec).unwrap(), f64::from(codec.rate().hertz()));
    let turn = std::f64::consts::TAU;
    let mut noise = 1_u32;
    let mut sample = |n: usize| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = n as f64 / rate;
        let syllable = (turn * 2.0 * at).sin();
        let tones = (turn * hertz * at).sin() + (turn * 2.7 * hertz * at).sin();
        let breath = f64::from(noise >> 16) / 32_768.0 - 1.0;
        (tones * 5_000.0 * syllable.max(0.0) + breath * 3_000.0 * (-syllable).max(0.0)) as i16
    };
    let frame = codec.rate().frame();
    let mut encode = |n: usize| {
        let samples: Vec<i16> = (n * frame..(n + 1) * frame).map(&mut sample).collect();
        let mut out = [0; MAX_PAYLOAD];
        let length = encoder.encode(&samples, &mut out);
        out[..length].to_vec()
    };
    (0..FRAMES).map(&mut encode).collect()
}

fn payload_type(codec: Codec) -> u8 {
    codec.static_type().unwrap_or(111)
}

/// A call's leg: 0 the agent's, 1 the caller's.
fn stream(call: u16, side: u64) -> StreamId {
    StreamId(2 * u64::from(call) + side)
}

/// A leg's port here and its party's.
fn ports(call: u16, side: usize) -> (u16, u16) {
    let n = 4 * call + 2 * side as u16;
    (20_000 + n, 40_000 + n)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

criterion_group!(benches, listening);
criterion_main!(benches);
