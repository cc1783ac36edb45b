//! How like what was said is what is heard, beside the same codecs without an engine between.

use media::codec::{Decoder, MAX_DECODED, Rate};
use media::plc::Plc;
use media::resample::Resampler;
use media::{Codec, Layout};

use crate::measure::segmental_snr;
use crate::scene::*;
use crate::speech::speech;

const SECONDS: f64 = 6.0;

/// Decoded with perfect timing and these packets lost, each concealed as its codec has it.
fn straight(codec: Codec, payloads: &[Vec<u8>], lost: &[bool]) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).expect("a codec that is read");
    let mut plc = Plc::new(codec.rate());
    let has_plc = decoder.codec().rate() != Rate::Full;
    let mut out = Vec::new();
    for (n, payload) in payloads.iter().enumerate() {
        let mut frame = vec![0; MAX_DECODED];
        let length = codec.rate().frame();
        if !lost.get(n).is_some_and(|lost| *lost) {
            assert_eq!(decoder.decode(payload, &mut frame), Ok(length));
            if has_plc {
                plc.heard(&mut frame[..length]);
            }
        } else if has_plc {
            plc.conceal(&mut frame[..length]);
        } else {
            decoder.conceal(&mut frame[..length]);
        }
        out.extend_from_slice(&frame[..length]);
    }
    out
}

pub fn resampled(samples: &[i16], from: Rate, to: Rate) -> Vec<i16> {
    if from == to {
        return samples.to_vec();
    }
    let mut resampler = Resampler::new(from, to);
    let mut out = vec![0; samples.len() / from.frame() * to.frame()];
    for (a, b) in samples.chunks_exact(from.frame()).zip(out.chunks_exact_mut(to.frame())) {
        resampler.process(a, b);
    }
    out
}

/// Segmental SNR of the agent's voice as it is heard, and by the straight path with the same losses.
fn agent_alone(spoken: Codec, heard: Codec, net: Net, seed: u64) -> (f64, f64) {
    let said = speech(seed, 115.0, spoken.rate(), SECONDS);
    let silence = vec![0; 160 * 50];
    let mut agent = Party::new(AGENT, spoken, &said, 200.0 + seed as f64 * 1.7, seed);
    agent.net = net;
    let mut scene = Scene::call(Party::new(CALLER, Codec::Pcmu, &silence, 207.0, seed), agent);
    let mut ear = scene.listen(1, heard, Layout::Mono);
    scene.run(SECONDS + 0.19);
    scene.party(AGENT).talks = false;
    scene.run(0.5);
    let (played, _) = ear.play(&mut scene);
    let party = scene.party(AGENT);
    let without = straight(spoken, &party.payloads, &party.lost);
    let without = resampled(&without, spoken.rate(), heard.rate());
    let without = straight(heard, &encode(heard, &without), &[]);
    let reference = resampled(&said, spoken.rate(), heard.rate());
    let ms = i64::from(heard.rate().hertz() / 1_000);
    let of = |samples: &[i16], lags| segmental_snr(&reference, samples, heard.rate(), lags);
    (of(&played, 150 * ms..420 * ms), of(&without, -ms..30 * ms))
}

#[test]
fn a_lone_voice_is_as_good_as_its_codecs() {
    for (spoken, heard) in [
        (Codec::Pcmu, Codec::Pcma),
        (Codec::Pcma, Codec::G722),
        (Codec::Pcma, Codec::Opus),
        (Codec::G722, Codec::Pcmu),
        (Codec::G722, Codec::G722),
        (Codec::Opus, Codec::Opus),
        (Codec::Opus, Codec::Pcma),
    ] {
        let (engine, straight) = agent_alone(spoken, heard, Net::default(), 3);
        println!("{spoken:?} heard in {heard:?}: {engine:.1} dB, straight {straight:.1}");
        assert!(engine > straight - 1.0, "{spoken:?} heard in {heard:?}: {engine} dB, straight {straight}");
        assert!(engine > 8.0, "{spoken:?} heard in {heard:?}: {engine} dB");
    }
}

#[test]
fn losses_cost_what_they_cost_the_codec() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        for (loss, worse) in [(0.01, 0.5), (0.05, 0.5), (0.1, 0.5)] {
            let net = Net { loss, ..Net::default() };
            let runs: Vec<_> = (1..=3).map(|seed| agent_alone(codec, codec, net, seed)).collect();
            let mean = |of: fn(&(f64, f64)) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
            let (engine, straight) = (mean(|run| run.0), mean(|run| run.1));
            println!("{codec:?}, {:.0} % lost: {engine:.1} dB, straight {straight:.1}", loss * 100.0);
            assert!(engine > straight - worse, "{codec:?}, {loss} lost: {engine} dB, straight {straight}");
        }
    }
}

#[test]
fn jitter_and_reordering_cost_little() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        for (name, net) in [
            ("±30 ms", Net { jitter_ms: 60.0, ..Net::default() }),
            ("2 % reordered", Net { reorder: 0.02, ..Net::default() }),
            ("both, 1 % lost", Net { jitter_ms: 60.0, reorder: 0.02, loss: 0.01 }),
        ] {
            let runs: Vec<_> = (1..=3).map(|seed| agent_alone(codec, codec, net, seed)).collect();
            let mean = |of: fn(&(f64, f64)) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
            let (engine, straight) = (mean(|run| run.0), mean(|run| run.1));
            println!("{codec:?}, {name}: {engine:.1} dB, straight {straight:.1}");
            assert!(engine > straight - 3.0, "{codec:?}, {name}: {engine} dB, straight {straight}");
        }
    }
}

#[test]
fn in_stereo_each_ear_has_its_voice() {
    let rate = Rate::Narrow;
    let (a, c) = (speech(5, 110.0, rate, SECONDS), speech(6, 200.0, rate, SECONDS));
    let mut scene =
        Scene::call(Party::new(CALLER, Codec::Pcma, &c, 203.0, 6), Party::new(AGENT, Codec::Pcma, &a, 211.0, 5));
    let mut ear = scene.listen(1, Codec::OpusStereo, Layout::Stereo);
    scene.run(SECONDS + 0.3);
    let sides = ear.play_stereo(&mut scene);
    for (name, said, heard) in [("agent", a, &sides[0]), ("caller", c, &sides[1])] {
        let reference = resampled(&said, rate, Rate::Full);
        let snr = segmental_snr(&reference, heard, Rate::Full, 150 * 48..420 * 48);
        println!("{name} in stereo: {snr:.1} dB");
        assert!(snr > 8.0, "{name}: {snr} dB");
    }
}
