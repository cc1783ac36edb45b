//! Clocks that differ, for an hour (`MEDLYTT_LONG=1`) or for five minutes at four times the difference.

use media::codec::Rate;
use media::{Codec, Layout};

use crate::measure::{clicks, lag};
use crate::scene::*;
use crate::speech::speech;

const CLIP: f64 = 20.0;

fn drift(ppm: f64, jitter_ms: f64) {
    let (minutes, ppm) = if crate::is_long() { (60, ppm) } else { (5, 4.0 * ppm) };
    let said = speech(31, 120.0, Rate::Narrow, CLIP);
    let mut agent = Party::new(AGENT, Codec::Pcma, &said, 13.0, 9);
    (agent.ppm, agent.net.jitter_ms) = (ppm, jitter_ms);
    let start = agent.start;
    let caller = Party::new(CALLER, Codec::Pcma, &vec![0; 160 * 50], 27.0, 9);
    let mut scene = Scene::call(caller, agent);
    let mut ear = scene.listen(1, Codec::Pcma, Layout::Agent);
    scene.run(5.0);
    ear.play(&mut scene);
    let (mut delays, mut found) = (Vec::new(), Vec::new());
    for minute in 0..minutes {
        scene.run(60.0);
        let (heard, first) = ear.play(&mut scene);
        assert_eq!(heard.len() / 160, 3_000, "a packet every 20 ms");
        found.extend(clicks(&heard, Rate::Narrow).into_iter().map(|at| (minute, at)));
        // What was said two seconds into this minute, on the sender's clock.
        let at = ((first.as_secs_f64() + 2.0 - start) * (1.0 + ppm * 1e-6) * 8_000.0) as usize;
        let mut repeated = said[at % said.len()..].to_vec();
        repeated.extend_from_slice(&said);
        let (late, alike) = lag(&repeated, &heard[16_000..], 0, 24_000, -80..1_600);
        assert!(alike > 0.6, "minute {minute}: {alike}");
        delays.push(late as f64 / 8.0);
    }
    let (least, most) = delays.iter().fold((f64::MAX, f64::MIN), |(a, b), d| (a.min(*d), b.max(*d)));
    let counters = scene.shard.counters();
    println!(
        "{ppm} ppm, {jitter_ms} ms: {least:.1} to {most:.1} ms, {} concealed, {} late, clicks {found:?}",
        counters.frames_concealed, counters.frames_late
    );
    assert!(most - least < 40.0, "{ppm} ppm, {jitter_ms} ms of jitter: {delays:?}");
    assert!(found.is_empty(), "{ppm} ppm, {jitter_ms} ms of jitter: clicks (minute, sample) {found:?}");
    assert_eq!(counters.frames_concealed, 0, "nothing was lost");
}

#[test]
fn a_fast_clock() {
    drift(100.0, 0.0);
}

#[test]
fn a_slow_clock() {
    drift(-100.0, 0.0);
}

#[test]
fn a_fast_clock_with_jitter() {
    drift(100.0, 10.0);
}

#[test]
fn a_slow_clock_with_jitter() {
    drift(-100.0, 10.0);
}
