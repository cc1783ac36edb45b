//! A direction against networks: what is heard, how late, and what of it clicks.

mod chaos;
mod codecs;
mod drift;
mod joins;
mod network;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::time::{MS, between};
use super::{Jitter, Pulled};
use crate::codec::{Encoder, FRAME_TIME, Pcm};
use crate::interface::{Codec, Counters};
use crate::rtp::Packet;

/// What a sender says, by its sample of 8 kHz.
type Speech = fn(f64) -> f64;

/// A tone that goes on.
fn hum(n: f64) -> f64 {
    (n * 200.0 * std::f64::consts::TAU / 8000.0).sin() * 1000.0
}

/// Words of 1.2 s with pauses of 0.4 s, in which there is a little noise.
fn words(n: f64) -> f64 {
    let at = n as u64;
    let within = at % 12_800;
    let (rise, fall) = (within as f64 / 400.0, (9_600_u64.saturating_sub(within)) as f64 / 400.0);
    let noise = ((at.wrapping_mul(2_654_435_761) >> 7) % 17) as f64 - 8.0;
    hum(n) * rise.min(fall).clamp(0.0, 1.0) + noise
}

/// A sender, a network and a direction, in steps of a quarter of a millisecond.
struct Path {
    origin: Instant,
    now: Duration,
    jitter: Jitter,
    counters: Counters,
    rng: StdRng,
    // The sender
    speech: Speech,
    codec: Codec,
    /// For other codecs than G.711.
    encoder: Option<Encoder>,
    /// Samples of 8 kHz in a packet.
    samples: u64,
    ppm: f64,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    spoken: u64,
    next_packet: Duration,
    talks: bool,
    // The network
    loss: f64,
    spread: Duration,
    swapped: f64,
    wire: Vec<(Duration, Sent)>,
    /// Payloads, lost ones too.
    sent: Vec<Vec<u8>>,
    // The listener
    next_tick: Duration,
    /// Ticks that were passed over.
    missed: u32,
    heard: Vec<i16>,
    /// The same at its own rate.
    full: Vec<i16>,
    frames: Vec<Pulled>,
    /// How long packets waited from their arrival to when their first sample is heard.
    leads: Vec<f64>,
    lost: u64,
    is_quiet: bool,
}

#[derive(Clone)]
struct Sent {
    codec: Codec,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    payload: Vec<u8>,
}

const STEP: Duration = Duration::from_micros(250);

impl Path {
    /// Packets every 20 ms, ticks `phase` after them.
    fn new(phase: Duration) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin")]
        let origin = Instant::now();
        let next_tick = Duration::from_millis(20) + phase;
        Self {
            origin,
            now: Duration::ZERO,
            jitter: Jitter::new(64, origin + next_tick),
            counters: Counters::default(),
            rng: StdRng::seed_from_u64(5),
            speech: hum,
            codec: Codec::Pcmu,
            encoder: None,
            samples: 160,
            ppm: 0.0,
            ssrc: 7,
            sequence: 65_500,
            timestamp: u32::MAX - 5_000,
            spoken: 0,
            next_packet: Duration::from_millis(20),
            talks: true,
            loss: 0.0,
            spread: Duration::ZERO,
            swapped: 0.0,
            wire: Vec::new(),
            next_tick,
            missed: 0,
            heard: Vec::new(),
            full: Vec::new(),
            sent: Vec::new(),
            frames: Vec::new(),
            leads: Vec::new(),
            lost: 0,
            is_quiet: false,
        }
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.now = [self.next_packet, self.next_tick]
                .into_iter()
                .chain(self.wire.iter().map(|(at, _)| *at))
                .min()
                .map_or(self.now + STEP, |at| at.max(self.now));
            if self.now >= self.next_packet {
                self.speak();
            }
            self.deliver();
            if self.now >= self.next_tick {
                self.tick();
            }
        }
    }

    fn speak(&mut self) {
        let packet = Duration::from_secs_f64(self.samples as f64 / 8000.0 * (1.0 + self.ppm / 1e6));
        self.next_packet += packet;
        let payload = self.payload();
        let (codec, ssrc, sequence, timestamp) = (self.codec, self.ssrc, self.sequence, self.timestamp);
        self.sequence = sequence.wrapping_add(u16::from(self.talks));
        self.timestamp = timestamp.wrapping_add(self.samples as u32 * (codec.clock() / 8000));
        self.spoken += self.samples;
        if !self.talks {
            return;
        }
        self.sent.push(payload.clone());
        if self.rng.random_bool(self.loss) {
            self.lost += 1;
            return;
        }
        let delay = self.spread.mul_f64(self.rng.random());
        let late = if self.rng.random_bool(self.swapped) { packet + 5 * STEP } else { Duration::ZERO };
        self.wire.push((self.now + delay + late, Sent { codec, ssrc, sequence, timestamp, payload }));
    }

    fn payload(&mut self) -> Vec<u8> {
        let step = 8000.0 / f64::from(self.codec.rate().hertz());
        let length = (self.samples as f64 / step).round() as usize;
        let linear = (0..length).map(|n| (self.speech)(self.spoken as f64 + n as f64 * step).round() as i16);
        let linear: Vec<i16> = linear.collect();
        let mut payload = vec![0; linear.len()];
        match &mut self.encoder {
            Some(encoder) => {
                let length = encoder.encode(&linear, &mut payload);
                payload.truncate(length);
            }
            None => self.codec.encode(&linear, &mut payload),
        }
        payload
    }

    /// The sender goes over to another codec.
    fn switch(&mut self, codec: Codec) {
        self.codec = codec;
        self.encoder = Encoder::new(codec);
    }

    fn deliver(&mut self) {
        self.wire.sort_by_key(|(at, _)| *at);
        while self.wire.first().is_some_and(|(at, _)| *at <= self.now) {
            let (_, sent) = self.wire.remove(0);
            self.push(&sent);
            let late = self.jitter.timeline.position(sent.timestamp).map(|at| at - self.jitter.head());
            let lead = late.map_or(0, |late| late + between(self.instant(), self.jitter.next_pull));
            self.leads.push(lead as f64 / MS as f64);
        }
    }

    fn push(&mut self, sent: &Sent) {
        let Sent { codec, ssrc, sequence, timestamp, ref payload } = *sent;
        let packet = Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload };
        self.jitter.push(self.instant(), &packet, codec, &mut self.counters);
    }

    fn tick(&mut self) {
        let mut pcm = Pcm::default();
        let tick = self.origin + self.next_tick;
        self.jitter.skip(std::mem::take(&mut self.missed).into());
        self.frames.push(self.jitter.pull(tick, self.is_quiet, &mut pcm, &mut self.counters));
        // At 8 kHz: what is said here has nothing above.
        self.heard.extend(pcm.samples().iter().step_by(pcm.rate().hertz() as usize / 8000));
        self.full.extend_from_slice(pcm.samples());
        self.next_tick += FRAME_TIME;
    }

    fn instant(&self) -> Instant {
        self.origin + self.now
    }

    fn forget(&mut self) {
        self.heard.clear();
        self.full.clear();
        self.sent.clear();
        self.frames.clear();
        self.leads.clear();
    }

    fn concealed(&self) -> usize {
        self.frames.iter().filter(|frame| frame.concealed).count()
    }

    /// No step in what was heard that the straight codec does not have threefold.
    #[track_caller]
    fn assert_no_click(&self) {
        let straight: Vec<i16> = (0..8000).map(|n| through_codec(self.speech, n)).collect();
        let (usual, worst) = (roughness(&straight), roughness(&self.heard));
        assert!(worst.1 <= 3 * usual.1, "a click of {} at sample {}, where {} is usual", worst.1, worst.0, usual.1);
    }
}

fn through_codec(speech: Speech, n: u64) -> i16 {
    let (mut byte, mut sample) = ([0], [0]);
    Codec::Pcmu.encode(&[speech(n as f64).round() as i16], &mut byte);
    Codec::Pcmu.decode(&byte, &mut sample);
    sample[0]
}

/// Where the curve is bent most, and how much.
fn roughness(samples: &[i16]) -> (usize, i32) {
    let bend = |w: &[i16]| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs();
    samples.windows(3).map(bend).enumerate().max_by_key(|(_, bend)| *bend).unwrap_or_default()
}

fn loudness(samples: &[i16]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(f64::NAN)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
