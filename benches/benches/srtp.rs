//! What protecting and unprotecting one 172-byte RTP packet costs in each suite, beside `rtc-srtp` in the same run.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a bench reads the clock and may fail")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use media::srtp::{Inbound, Key, OVERHEAD, Outbound, Suite};
use rtc_srtp::context::Context;
use rtc_srtp::option::srtp_replay_protection;
use rtc_srtp::protection_profile::ProtectionProfile;

const LENGTH: usize = 172;
/// Packets between two readings of the clock.
const BATCH: u64 = 64;

const SUITES: [(&str, Suite, ProtectionProfile); 6] = [
    ("AES_CM_128_HMAC_SHA1_80", Suite::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
    ("AES_CM_128_HMAC_SHA1_32", Suite::AesCm128HmacSha1_32, ProtectionProfile::Aes128CmHmacSha1_32),
    ("AES_256_CM_HMAC_SHA1_80", Suite::AesCm256HmacSha1_80, ProtectionProfile::Aes256CmHmacSha1_80),
    ("AES_256_CM_HMAC_SHA1_32", Suite::AesCm256HmacSha1_32, ProtectionProfile::Aes256CmHmacSha1_32),
    ("AEAD_AES_128_GCM", Suite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
    ("AEAD_AES_256_GCM", Suite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
];

fn key(suite: Suite) -> Key {
    Key::new(suite, &[7; 46][..suite.key_length() + suite.salt_length()]).unwrap()
}

fn peer(profile: ProtectionProfile, suite: Suite) -> Context {
    let (key, provider) = (key(suite), rtc_crypto::default_provider().unwrap());
    // Both remember what they have seen.
    let window = Some(srtp_replay_protection(128));
    Context::new(key.key(), key.salt(), profile, window, None, provider.crypto()).unwrap()
}

type Packet = [u8; LENGTH + OVERHEAD];

fn packet(sequence: u64) -> Packet {
    let mut packet = [0x55; LENGTH + OVERHEAD];
    packet[..12].copy_from_slice(&media::rtp::header(false, 0, sequence as u16, sequence as u32 * 160, 0xdead_beef));
    packet
}

/// Time for `iterations` packets; what makes them ready is not timed.
fn timed<T>(iterations: u64, mut ready: impl FnMut(u64) -> T, mut each: impl FnMut(&mut T)) -> Duration {
    let mut total = Duration::ZERO;
    for start in (0..iterations).step_by(BATCH as usize) {
        let mut batch: Vec<T> = (start..iterations.min(start + BATCH)).map(&mut ready).collect();
        let begun = Instant::now();
        batch.iter_mut().for_each(&mut each);
        total += begun.elapsed();
    }
    total
}

/// Packets of a sender that begins.
fn sealed(suite: Suite) -> impl FnMut(u64) -> (Packet, usize) {
    let (mut sender, mut sent) = (Outbound::new(&key(suite)).unwrap(), 0..);
    move |_| {
        let mut packet = packet(sent.next().unwrap());
        let length = sender.rtp(&mut packet, LENGTH).unwrap();
        (packet, length)
    }
}

fn srtp(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp");
    group.throughput(Throughput::Elements(1));
    for (name, suite, profile) in SUITES {
        group.bench_function(BenchmarkId::new("protect", name), |b| {
            let (mut ours, mut sent) = (Outbound::new(&key(suite)).unwrap(), 0..);
            let mut each = |packet: &mut Packet| {
                black_box(ours.rtp(packet, LENGTH).unwrap());
            };
            b.iter_custom(|n| timed(n, |_| packet(sent.next().unwrap()), &mut each));
        });
        group.bench_function(BenchmarkId::new("protect rtc-srtp", name), |b| {
            let (mut theirs, mut sent) = (peer(profile, suite), 0..);
            let mut each = |packet: &mut Packet| {
                black_box(theirs.encrypt_rtp(&packet[..LENGTH]).unwrap());
            };
            b.iter_custom(|n| timed(n, |_| packet(sent.next().unwrap()), &mut each));
        });
        group.bench_function(BenchmarkId::new("unprotect", name), |b| {
            let (mut ours, mut ready) = (Inbound::new(&key(suite)).unwrap(), sealed(suite));
            let mut each = |(packet, length): &mut (Packet, usize)| {
                black_box(ours.rtp(&mut packet[..*length]).unwrap());
            };
            b.iter_custom(|n| timed(n, &mut ready, &mut each));
        });
        group.bench_function(BenchmarkId::new("unprotect rtc-srtp", name), |b| {
            let (mut theirs, mut ready) = (peer(profile, suite), sealed(suite));
            let mut each = |(packet, length): &mut (Packet, usize)| {
                black_box(theirs.decrypt_rtp(&packet[..*length]).unwrap());
            };
            b.iter_custom(|n| timed(n, &mut ready, &mut each));
        });
        group.bench_function(BenchmarkId::new("refuse a forgery", name), |b| {
            let mut ours = Inbound::new(&key(suite)).unwrap();
            let (mut first, length) = sealed(suite)(0);
            ours.rtp(&mut first[..length]).unwrap();
            let mut each = |packet: &mut Packet| {
                black_box(ours.rtp(&mut packet[..length]).unwrap_err());
            };
            b.iter_custom(|n| timed(n, |n| packet(n % 1_000 + 1), &mut each));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = srtp
}
criterion_main!(benches);
