//! How much later than the relay's is what a listener hears: from the arrival of a packet to the instant at which the
//! first of its samples is due at the listener's phone, whose packet left with the tick. The 20 ms that a packet lasts are
//! in both and cancel out; with jitter, it is counted from when the soonest packets arrive. Codecs add their look-ahead.

use media::codec::Rate;
use media::{Codec, Event, Layout};

use crate::measure::{lag, percentile};
use crate::scene::*;
use crate::speech::{Dice, speech};

/// Of both sides, in calls of every phase, milliseconds.
fn delays(jitter_ms: f64, calls: u64) -> Vec<f64> {
    let mut delays = Vec::new();
    let said = [speech(21, 110.0, Rate::Narrow, 4.0), speech(22, 210.0, Rate::Narrow, 4.0)];
    for seed in 1..=calls {
        let mut dice = Dice::new(seed);
        let mut party = |stream, says: &[i16]| {
            let mut party = Party::new(stream, Codec::Pcma, says, dice.between(10.0, 60.0), seed);
            party.net.jitter_ms = jitter_ms;
            party
        };
        let (caller, agent) = (party(CALLER, &said[0]), party(AGENT, &said[1]));
        let starts = [caller.start, agent.start];
        let mut scene = Scene::call(caller, agent);
        scene.run(dice.between(0.5, 0.6));
        let mut ears = [scene.listen(1, Codec::Pcma, Layout::Caller), scene.listen(2, Codec::Pcma, Layout::Agent)];
        scene.run(3.4);
        for ((ear, said), start) in ears.iter_mut().zip(&said).zip(starts) {
            let (heard, first) = ear.play(&mut scene);
            let begin = ((first.as_secs_f64() - start) * 8_000.0) as i64;
            // Sample n of the said is the (n - begin)th heard, were there no delay.
            let (late, alike) = lag(said, &heard, 20_000, 4_000, -begin - 80..-begin + 1_200);
            assert!(alike > 0.5, "{alike}");
            delays.push((late as f64 / 8_000.0 + first.as_secs_f64() - start) * 1e3);
        }
    }
    delays
}

#[test]
fn the_mix_is_little_later_than_the_relay() {
    for (jitter_ms, p50_max, p99_max) in [(0.0, 8.0, 20.0), (5.0, 26.0, 40.0), (30.0, 60.0, 85.0)] {
        let mut delays = delays(jitter_ms, 20);
        let (p50, p99) = (percentile(&mut delays, 0.5), percentile(&mut delays, 0.99));
        println!("{jitter_ms} ms of jitter: {p50:.1} ms p50, {p99:.1} p99 later than the relay");
        assert!(p50 <= p50_max && p99 <= p99_max, "{jitter_ms} ms of jitter: {p50} ms p50, {p99} p99");
    }
}

#[test]
fn the_first_audio_comes_at_once() {
    let said = speech(21, 110.0, Rate::Narrow, 1.0);
    let mut packets = Vec::new();
    let mut voices = Vec::new();
    for seed in 1..=100 {
        let mut dice = Dice::new(seed);
        let mut party = |stream| Party::new(stream, Codec::Pcma, &said, dice.between(10.0, 60.0), seed);
        let mut scene = Scene::call(party(CALLER), party(AGENT));
        scene.run(dice.between(0.5, 0.6));
        let asked = scene.at;
        scene.listen(1, Codec::Pcma, Layout::Mono);
        scene.run(0.3);
        let live = scene.events().iter().find(|(_, event)| matches!(event, Event::Live { .. })).expect("it is live");
        packets.push((live.0 - asked).as_secs_f64() * 1e3);
        let is_heard = |sent: &Sent| sent.data[12..].iter().any(|byte| byte & 0x7f != 0x55);
        let heard = scene.take(1).into_iter().find(is_heard).expect("a voice");
        voices.push((heard.at - asked).as_secs_f64() * 1e3);
    }
    for (name, times) in [("packet", &mut packets), ("call audio", &mut voices)] {
        let (p50, p99) = (percentile(times, 0.5), percentile(times, 0.99));
        println!("first {name}: {p50:.1} ms p50, {p99:.1} p99 after the order");
        assert!(p50 <= 25.0 && p99 <= 60.0, "first {name}: {p50} ms p50, {p99} p99");
    }
}
