//! What one relayed RTP packet costs a shard (sockets left out) with 0, 1 and 8 listeners, mixer ticks included.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use media::srtp::{OVERHEAD, Outbound};
use media::{
    Codec, Command, Event, Key, Kind, ListenerId, ListenerRemote, Port, Remote, Settings, Shard, Sink, SrtpKeys,
    StreamId, Suite, Taps,
};

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

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn remote(port: u16) -> Remote {
    Remote {
        rtp: Some(address(port)),
        rtcp: Some(address(port + 1)),
        sends: true,
        receives: true,
        decodable: vec![(8, Codec::Pcma)],
        telephone_event: None,
        latch: None,
        mux: false,
        keys: None,
    }
}

fn shard(now: Instant, listeners: u64, sink: &mut Null) -> Shard {
    let mut shard = Shard::new(Settings::default(), [7; 32]);
    for (stream, port, theirs) in [(1, 20_000, 40_000), (2, 20_002, 40_002)] {
        shard.command(now, Command::Open { stream: StreamId(stream), port: Port(port) }, sink);
        shard.command(now, Command::Describe { stream: StreamId(stream), remote: remote(theirs) }, sink);
    }
    shard.command(now, Command::Bridge { a: StreamId(1), b: StreamId(2) }, sink);
    for n in 0..listeners {
        let port = 20_010 + 2 * n as u16;
        let (listener, taps) = (ListenerId(n), Some(Taps { agent: StreamId(2) }));
        let remote = ListenerRemote {
            rtp: Some(address(port + 20_000)),
            rtcp: None,
            codec: Codec::Pcma,
            payload_type: 8,
            latch: None,
            mux: false,
            keys: None,
            telephone_event: None,
        };
        shard.command(now, Command::OpenListener { listener, port: Port(port) }, sink);
        shard.command(now, Command::Focus { listener, taps }, sink);
        shard.command(now, Command::Listen { listener, remote }, sink);
    }
    shard
}

fn relay(c: &mut Criterion) {
    let mut group = c.benchmark_group("two_way_call_20ms");
    // One iteration: 20 ms of a two-way call, one packet each way, and every tick in between.
    group.throughput(Throughput::Elements(2));
    for listeners in [0u64, 1, 8] {
        group.bench_with_input(BenchmarkId::new("listeners", listeners), &listeners, |b, listeners| {
            let mut now = Instant::now();
            let mut sink = Null::default();
            let mut shard = shard(now, *listeners, &mut sink);
            let mut packet = [0xD5u8; 172];
            packet[..2].copy_from_slice(&[0x80, 8]);
            let mut sequence = 0u16;
            b.iter(|| {
                sequence = sequence.wrapping_add(1);
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
                shard.datagram(now, Port(20_000), Kind::Rtp, address(40_000), &mut packet, &mut sink);
                shard.datagram(now, Port(20_002), Kind::Rtp, address(40_002), &mut packet, &mut sink);
                let end = now + Duration::from_millis(20);
                while let Some(at) = shard.wake_at().filter(|at| *at <= end) {
                    shard.wake(at, &mut sink);
                }
                now = end;
            });
            assert!(sink.packets > 0, "nothing was relayed");
        });
    }
    group.finish();
}

/// The same call with SRTP on both legs, no listener. What the phones would seal is ready before the clock is read.
fn encrypted(c: &mut Criterion) {
    const TURNS: u64 = 64;
    let mut group = c.benchmark_group("two_way_call_20ms");
    group.throughput(Throughput::Elements(2));
    let suites = [("AES_CM_128_HMAC_SHA1_80", Suite::AesCm128HmacSha1_80), ("AEAD_AES_128_GCM", Suite::AeadAes128Gcm)];
    for (name, suite) in suites {
        group.bench_function(BenchmarkId::new("encrypted", name), |b| {
            let key = |fill: u8| {
                Key::new(suite, &[fill; 46][..suite.key_length() + suite.salt_length()]).expect("of its length")
            };
            let now = Instant::now();
            let mut sink = Null::default();
            let mut shard = shard(now, 0, &mut sink);
            let mut phones = [1, 2].map(|leg| {
                let keys = SrtpKeys { ours: key(leg), theirs: key(leg + 2) };
                let theirs = keys.theirs.clone();
                let remote = Remote { keys: Some(Box::new(keys)), ..remote(40_000 + 2 * (u16::from(leg) - 1)) };
                shard.command(now, Command::Describe { stream: StreamId(leg.into()), remote }, &mut sink);
                Outbound::new(&theirs).expect("a key")
            });
            let mut sequence = 0u16;
            b.iter_custom(|turns| {
                let mut total = Duration::ZERO;
                for start in (0..turns).step_by(TURNS as usize) {
                    let mut ready: Vec<_> = (start..turns.min(start + TURNS))
                        .map(|_| {
                            sequence = sequence.wrapping_add(1);
                            [0, 1].map(|phone: usize| {
                                let mut packet = [0xD5; 172 + OVERHEAD];
                                let header = media::rtp::header(false, 8, sequence, u32::from(sequence) * 160, 7);
                                packet[..12].copy_from_slice(&header);
                                let length = phones[phone].rtp(&mut packet, 172).expect("sealed");
                                (packet, length)
                            })
                        })
                        .collect();
                    let begun = Instant::now();
                    for [(caller, caller_length), (agent, agent_length)] in &mut ready {
                        let caller = &mut caller[..*caller_length];
                        shard.datagram(now, Port(20_000), Kind::Rtp, address(40_000), caller, &mut sink);
                        let agent = &mut agent[..*agent_length];
                        shard.datagram(now, Port(20_002), Kind::Rtp, address(40_002), agent, &mut sink);
                    }
                    total += begun.elapsed();
                }
                total
            });
            assert_eq!(shard.counters().srtp_unsent, 0);
            assert!(sink.packets > 0, "nothing was relayed");
        });
    }
    group.finish();
}

criterion_group!(benches, relay, encrypted);
criterion_main!(benches);
