//! Both directions of a tap: gates, events, and how they lie to each other.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::interface::Codec;

/// A sender of a tone of 200 Hz, and the network before it.
struct Party {
    sequence: u16,
    spoken: u32,
    due: Duration,
    spread: Duration,
    wire: Vec<(Duration, u16, u32)>,
}

struct Call {
    origin: Instant,
    now: Duration,
    tick: Duration,
    tap: Tap,
    settings: Settings,
    counters: Counters,
    rng: StdRng,
    up: Party,
    down: Party,
    heard: Vec<i16>,
}

const STEP: Duration = Duration::from_micros(500);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn payload(spoken: u32) -> [u8; 160] {
    let tone = |n: u32| (f64::from(n) * 200.0 * std::f64::consts::TAU / 8000.0).sin() * 1000.0;
    let linear: [i16; 160] = std::array::from_fn(|n| tone(spoken + n as u32) as i16);
    let mut payload = [0; 160];
    Codec::Pcmu.encode(&linear, &mut payload);
    payload
}

fn packet(sequence: u16, timestamp: u32, payload: &[u8]) -> Packet<'_> {
    Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc: 9, payload }
}

impl Party {
    fn new(due: u64) -> Self {
        Self { sequence: 9, spoken: 0, due: ms(due), spread: Duration::ZERO, wire: Vec::new() }
    }

    fn run(&mut self, now: Duration, rng: &mut StdRng) -> Vec<(u16, u32)> {
        if now >= self.due {
            self.due += FRAME_TIME;
            self.wire.push((now + self.spread.mul_f64(rng.random()), self.sequence, self.spoken));
            self.sequence += 1;
            self.spoken += 160;
        }
        self.wire.sort();
        let came = self.wire.partition_point(|(at, ..)| *at <= now);
        self.wire.drain(..came).map(|(_, sequence, spoken)| (sequence, spoken)).collect()
    }
}

impl Call {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin")]
        let origin = Instant::now();
        let settings = Settings::default();
        let tick = ms(33);
        let mut tap = Tap::new(&settings, origin + tick);
        tap.up.gate(true);
        tap.down.gate(true);
        let (counters, rng) = (Counters::default(), StdRng::seed_from_u64(3));
        let (up, down) = (Party::new(20), Party::new(27));
        Self { origin, now: Duration::ZERO, tick, tap, settings, counters, rng, up, down, heard: Vec::new() }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            let now = self.origin + self.now;
            for (sequence, spoken) in self.up.run(self.now, &mut self.rng) {
                let payload = payload(spoken);
                let packet = packet(sequence, spoken, &payload);
                self.tap.up.feed(now, &packet, Sound::Coded(Codec::Pcmu), &self.settings, &mut self.counters);
            }
            for (sequence, spoken) in self.down.run(self.now, &mut self.rng) {
                let payload = payload(spoken);
                let packet = packet(sequence, spoken, &payload);
                self.tap.down.feed(now, &packet, Sound::Coded(Codec::Pcmu), &self.settings, &mut self.counters);
            }
            if self.now >= self.tick {
                self.tap.pull(self.origin + self.tick, &mut self.counters);
                self.heard.extend_from_slice(self.tap.up.pcm().samples());
                self.tick += FRAME_TIME;
            }
        }
    }

    fn event(&mut self, is_over: bool) {
        let payload = [5, if is_over { 0x8a } else { 0x0a }, 0, 160];
        let packet = packet(self.up.sequence, self.up.spoken, &payload);
        let now = self.origin + self.now;
        self.tap.up.feed(now, &packet, Sound::Event, &self.settings, &mut self.counters);
        self.up.sequence += 1;
    }

    #[track_caller]
    fn assert_no_click(&self) {
        let bend = |w: &[i16]| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs();
        let worst = self.heard.windows(3).map(bend).enumerate().max_by_key(|(_, bend)| *bend);
        assert!(worst.is_some_and(|(_, bend)| bend < 350), "a click: {worst:?}");
    }
}

#[test]
fn a_gate_that_shuts_and_opens_neither_clicks_nor_keeps_anything() {
    for moment in [0, 3, 7, 11, 16] {
        let mut call = Call::new();
        call.run(ms(500 + moment));
        call.tap.up.gate(false);
        let shut = call.heard.len();
        call.run(ms(2_000));
        assert!(call.heard[shut + 40..].iter().all(|sample| *sample == 0), "what was held is not heard");
        call.tap.up.gate(true);
        call.run(ms(60));
        assert!(call.heard[call.heard.len() - 160..].iter().any(|sample| *sample > 900), "heard again within 60 ms");
        call.run(ms(500));
        call.assert_no_click();
        let depth = call.tap.up.jitter.lasts();
        assert!(depth <= ms(45), "no backlog: {depth:?}");
    }
}

#[test]
fn a_digit_mutes_its_direction_without_a_click() {
    for moment in [0, 4, 9, 15] {
        let mut call = Call::new();
        call.run(ms(500 + moment));
        for n in 0..5 {
            call.event(n == 4);
            call.run(ms(20));
        }
        let muted = call.heard[call.heard.len() - 320..].iter().all(|sample| *sample == 0);
        assert!(muted, "{moment}");
        call.run(ms(500));
        call.assert_no_click();
        assert!(call.heard[call.heard.len() - 160..].iter().any(|sample| *sample > 900));
        assert_eq!(call.tap.up.served().lost, 0);
    }
}

#[test]
fn both_sides_stay_within_a_frame_of_each_other() {
    for (up, down) in [(60, 1), (1, 60), (40, 0), (1, 1)] {
        let mut call = Call::new();
        (call.up.spread, call.down.spread) = (ms(up), ms(down));
        call.run(ms(20_000));
        for _ in 0..20 {
            call.run(ms(1_000));
            let depth = |side: &Direction| side.jitter.depth().expect("known by now");
            let apart = depth(&call.tap.up).abs_diff(depth(&call.tap.down));
            assert!(apart <= ms(20), "{up} and {down} ms of jitter: {apart:?} apart");
        }
    }
}

#[test]
fn one_late_side_leaves_the_other_alone() {
    let mut call = Call::new();
    call.run(ms(2_000));
    call.heard.clear();
    for _ in 0..20 {
        // What is sent within 80 ms comes at once.
        let stalled = call.down.wire.len();
        call.down.due += ms(80);
        call.run(ms(200));
        assert!(stalled <= 1);
    }
    call.assert_no_click();
    assert!(call.heard.chunks(160).all(|frame| frame.iter().any(|sample| *sample > 900)));
    assert_eq!(call.tap.up.served(), Served { jitter_ms: call.tap.up.served().jitter_ms, ..Served::default() });
}

#[test]
fn the_same_tick_twice_is_one_frame() {
    let mut call = Call::new();
    call.run(ms(500));
    let before = call.tap.up.pcm().clone();
    let heard = call.tap.pull(call.origin + call.tick - FRAME_TIME, &mut call.counters);
    assert_eq!(heard, Heard { up: true, down: true });
    assert_eq!(call.tap.up.pcm(), &before);
    call.run(ms(500));
    call.assert_no_click();
    assert_eq!(call.counters.frames_concealed, 0);
}

#[test]
fn the_best_tick_follows_the_packets_of_both_sides() {
    let call = Call::new();
    let at = |ms: u64| Some(call.origin + Duration::from_millis(ms));
    let best = |now: u64, up, down| {
        let tick = best_tick(call.origin + ms(now), [up, down]).expect("a tick");
        (tick - call.origin).as_millis()
    };
    assert_eq!(best_tick(call.origin, [None, None]), None);
    assert_eq!(best(100, at(95), None), 118, "3 ms after a side's packet");
    assert_eq!(best(100, at(85), at(90)), 113, "after the later one, for which the other waits 5 ms");
    assert_eq!(best(100, at(98), at(83)), 106, "and not the other way round");
    assert_eq!(best(1_000, at(110), at(115)), 1_018);
    assert_eq!(best(0, at(110), None), 13);
}
