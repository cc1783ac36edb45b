//! What 20 ms cost in each codec, written and read, and between two rates; and what it costs to hear their loudness and keys.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]
#![allow(clippy::unwrap_used, reason = "a bench may fail")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use media::Codec;
use media::codec::{Decoder, Encoder, MAX_DECODED, MAX_PAYLOAD, Rate};
use media::level::Meter;
use media::plc::Plc;
use media::resample::Resampler;
use media::tone::Detector;

/// Frames that are gone through again and again: three seconds.
const FRAMES: usize = 150;
const CODECS: [Codec; 5] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::OpusStereo];

/// Synthetic speech: harmonics of a gliding pitch in syllables, and breath. The second channel speaks between.
fn speech(rate: Rate, channels: usize) -> Vec<Vec<i16>> {
    let hertz = f64::from(rate.hertz());
    let turn = std::f64::consts::TAU;
    let mut breath = 1_u32;
    let mut sample = |n: usize, channel: usize| {
        breath = breath.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = n as f64 / hertz;
        let phase = turn * (120.0 * at - 3.0 * (turn * 2.0 * at).cos());
        let syllable = (turn * 2.5 * at + channel as f64).sin().max(0.0);
        let harmonics = (1..20).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum::<f64>();
        ((harmonics * 6_000.0 + f64::from(breath >> 16) / 100.0 - 330.0) * syllable) as i16
    };
    let frame = rate.frame();
    let of_frame = |from: usize| (from..from + frame).flat_map(|n| (0..channels).map(move |channel| (n, channel)));
    (0..FRAMES).map(|n| of_frame(n * frame).map(|(n, channel)| sample(n, channel)).collect()).collect()
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut measure = |name: String, mut encoder: Encoder| {
        let frames = speech(encoder.codec().rate(), encoder.codec().channels());
        let (mut n, mut out) = (0, [0; MAX_PAYLOAD]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                n = (n + 1) % FRAMES;
                black_box(encoder.encode(black_box(&frames[n]), &mut out))
            });
        });
    };
    for codec in CODECS {
        measure(format!("{codec:?}"), Encoder::new(codec).unwrap());
    }
    for codec in [Codec::Opus, Codec::OpusStereo] {
        let mut encoder = Encoder::new(codec).unwrap();
        encoder.expect_loss(10);
        measure(format!("{codec:?} against 10 % of loss"), encoder);
    }
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for codec in CODECS {
        let mut encoder = Encoder::new(codec).unwrap();
        let payloads: Vec<Vec<u8>> = speech(codec.rate(), codec.channels())
            .iter()
            .map(|frame| {
                let mut out = [0; MAX_PAYLOAD];
                let length = encoder.encode(frame, &mut out);
                out[..length].to_vec()
            })
            .collect();
        let (mut n, mut out) = (0, [0; MAX_DECODED]);
        let mut decoder = Decoder::new(codec).unwrap();
        group.bench_function(format!("{codec:?}"), |bencher| {
            bencher.iter(|| {
                n = (n + 1) % FRAMES;
                black_box(decoder.decode(black_box(&payloads[n]), &mut out))
            });
        });
    }
}

fn resample(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample");
    let rates = [Rate::Narrow, Rate::Wide, Rate::Full];
    for (from, to) in rates.iter().flat_map(|from| rates.map(|to| (*from, to))).filter(|(from, to)| from != to) {
        let frames = speech(from, 1);
        let (mut n, mut out) = (0, vec![0; to.frame()]);
        let mut resampler = Resampler::new(from, to);
        let id = BenchmarkId::new(format!("{} kHz", from.hertz() / 1_000), format!("{} kHz", to.hertz() / 1_000));
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                n = (n + 1) % FRAMES;
                resampler.process(black_box(&frames[n]), &mut out);
                black_box(&out);
            });
        });
    }
}

fn hear(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hear");
    let frames = speech(Rate::Narrow, 1);
    let (mut n, mut meter, mut detector) = (0, Meter::default(), Detector::default());
    group.bench_function("level", |bencher| {
        bencher.iter(|| {
            n = (n + 1) % FRAMES;
            meter.feed(black_box(&frames[n]));
        });
    });
    group.bench_function("keys", |bencher| {
        bencher.iter(|| {
            n = (n + 1) % FRAMES;
            black_box(detector.feed(black_box(&frames[n])))
        });
    });
    for rate in [Rate::Narrow, Rate::Wide] {
        let frames = speech(rate, 1);
        let mut plc = Plc::new(rate);
        let (mut heard, mut lost) = (frames[0].clone(), frames[0].clone());
        group.bench_function(format!("every second frame lost at {} kHz", rate.hertz() / 1_000), |bencher| {
            bencher.iter(|| {
                n = (n + 1) % FRAMES;
                heard.copy_from_slice(&frames[n]);
                plc.heard(&mut heard);
                black_box(plc.conceal(&mut lost))
            });
        });
    }
}

criterion_group!(benches, encode, decode, resample, hear);
criterion_main!(benches);
