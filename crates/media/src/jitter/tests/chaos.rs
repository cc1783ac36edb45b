//! Whatever comes: never a panic, never more than the limits, always 20 ms.

use super::*;
use crate::jitter::ring::MAX_BYTES;
use crate::jitter::{MAX_PAYLOAD, SenderClock};

fn random_packet(path: &mut Path) -> Sent {
    let rng = &mut path.rng;
    let codec = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::G729, Codec::Opus, Codec::OpusStereo];
    let codec = codec[if rng.random_bool(0.9) { 0 } else { rng.random_range(0..6) }];
    let length = if rng.random_bool(0.9) { 160 } else { rng.random_range(0..2000) };
    match rng.random_range(0..30) {
        0 => path.ssrc = rng.random(),
        1 => path.sequence = rng.random(),
        2 => path.timestamp = rng.random(),
        3 => path.timestamp = path.timestamp.wrapping_add(rng.random_range(0..20_000)),
        4 => path.sequence = path.sequence.wrapping_sub(rng.random_range(0..100)),
        5 => path.timestamp = path.timestamp.wrapping_sub(rng.random_range(0..2_000)),
        _ => {}
    }
    path.sequence = path.sequence.wrapping_add(1);
    path.timestamp = path.timestamp.wrapping_add(160);
    let Path { ssrc, sequence, timestamp, .. } = *path;
    Sent { codec, ssrc, sequence, timestamp, payload: (0..length).map(|_| path.rng.random()).collect() }
}

#[test]
fn whatever_comes_there_are_20_ms_a_tick_and_never_more_held() {
    for seed in 0..60 {
        let mut path = Path::new(ms(seed % 20));
        path.rng = StdRng::seed_from_u64(seed);
        path.jitter = Jitter::new(16, path.origin + path.next_tick);
        let mut before = random_packet(&mut path);
        for _ in 0..600 {
            let packets = path.rng.random_range(0..3_u32) * path.rng.random_range(0..2) * path.rng.random_range(1..4);
            for _ in 0..packets {
                let sent = if path.rng.random_bool(0.1) { before.clone() } else { random_packet(&mut path) };
                path.push(&sent);
                before = sent;
            }
            let (now, kind) = (path.instant(), path.rng.random_range(0..200));
            match kind {
                0 => path.jitter.stop(),
                1 => path.jitter.skip(path.rng.random_range(0..100)),
                2 => path.is_quiet = !path.is_quiet,
                3 => {
                    let (ssrc, ntp, timestamp) = (path.ssrc, path.rng.random(), path.rng.random());
                    path.jitter.report(now, SenderClock { ssrc, ntp, timestamp });
                }
                4 => path.jitter.expect(ms(path.rng.random_range(0..2000))),
                5 => path.jitter.beside(Some(ms(path.rng.random_range(0..300)))),
                6 => path.jitter.ending(&mut [0; 240]),
                _ => {}
            }
            path.now += ms(path.rng.random_range(0..40));
            while path.now >= path.next_tick {
                let mut pcm = Pcm::default();
                let tick = path.origin + path.next_tick;
                path.jitter.pull(tick, path.is_quiet, &mut pcm, &mut path.counters);
                assert_eq!(pcm.samples().len() * 50, pcm.rate().hertz() as usize);
                path.next_tick += FRAME_TIME;
            }
            let (packets, bytes) = path.jitter.ring.held();
            assert!(packets <= 16 && bytes <= MAX_BYTES, "{packets} packets, {bytes} bytes");
            assert!(path.jitter.lasts() <= ms(160));
        }
        assert!(path.counters.ring_overflow > 0 || path.counters.frames_late > 0);
    }
}

#[test]
fn after_chaos_a_calm_sender_is_heard_as_ever() {
    for seed in 0..20 {
        let mut path = Path::new(ms(seed));
        path.rng = StdRng::seed_from_u64(seed);
        for _ in 0..200 {
            let sent = random_packet(&mut path);
            path.push(&sent);
            path.run(0.02);
        }
        path.run(40.0);
        path.forget();
        path.run(2.0);
        assert_eq!(path.concealed(), 0, "{seed}");
        assert!(path.frames.iter().all(|frame| frame.real), "{seed}");
        assert!(percentile(&path.leads, 1.0) < 45.0, "{seed}: {}", percentile(&path.leads, 1.0));
    }
}

#[test]
fn nothing_is_taken_that_is_empty_or_too_long() {
    let mut path = Path::new(ms(1));
    let mut sent = random_packet(&mut path);
    (sent.codec, sent.payload) = (Codec::Pcmu, vec![0; MAX_PAYLOAD + 1]);
    path.push(&sent);
    sent.payload.clear();
    path.push(&sent);
    assert_eq!(path.counters.tap_undecodable, 1);
    assert_eq!(path.jitter.ring.held(), (0, 0));
}
