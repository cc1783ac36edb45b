//! Nothing that happens to a call clicks; and what shall not be heard is not.

use media::codec::Rate;
use media::{Codec, Command, Layout, ListenerId, Mix, Taps};

use crate::fidelity::resampled;
use crate::measure::{clicks, rms};
use crate::scene::*;
use crate::speech::{Dice, speech, tone};

fn two(codec: Codec, is_speech: bool) -> Scene {
    let rate = codec.rate();
    let (a, c) = if is_speech {
        (speech(41, 110.0, rate, 20.0), speech(42, 205.0, rate, 20.0))
    } else {
        (tone(350.0, 6_000.0, rate, 20.0), tone(600.0, 6_000.0, rate, 20.0))
    };
    Scene::call(Party::new(CALLER, codec, &c, 15.0, 2), Party::new(AGENT, codec, &a, 22.0, 2))
}

#[test]
fn the_detector_does_not_fire_on_speech() {
    for rate in [Rate::Narrow, Rate::Wide, Rate::Full] {
        for seed in 1..=4 {
            let samples = speech(seed, 90.0 + 35.0 * seed as f64, rate, 20.0);
            assert_eq!(clicks(&samples, rate), [], "{rate:?}, seed {seed}");
        }
    }
}

#[test]
fn the_detector_finds_what_clicks() {
    let rate = Rate::Narrow;
    let clean = speech(1, 125.0, rate, 20.0);
    let mut dice = Dice::new(8);
    let (mut spikes, mut cuts, mut of) = (0, 0, 0);
    while of < 40 {
        let at = dice.between(1_000.0, clean.len() as f64 - 1_000.0) as usize;
        if clean[at].unsigned_abs() < 1_500 {
            continue;
        }
        of += 1;
        let mut spiked = clean.clone();
        spiked[at] = spiked[at].saturating_add(if clean[at] > 0 { -12_000 } else { 12_000 });
        spikes += usize::from(clicks(&spiked, rate).iter().any(|found| found.abs_diff(at) < 12));
        let mut cut = clean.clone();
        cut[at..].iter_mut().take(240).for_each(|s| *s = 0);
        cuts += usize::from(
            clicks(&cut, rate).iter().any(|found| found.abs_diff(at) < 12 || found.abs_diff(at + 240) < 12),
        );
    }
    println!("of {of} spikes {spikes} are found, of as many holes with hard edges {cuts}");
    assert!(spikes >= of * 3 / 4 && cuts >= of / 2, "{spikes}, {cuts} of {of}");
    // In a tone anything is found: a splice of other phase, a step of a tenth in gain.
    let steady = tone(440.0, 8_000.0, rate, 1.0);
    assert_eq!(clicks(&steady, rate), []);
    let mut spliced = steady.clone();
    spliced.drain(4_000..4_005);
    assert_ne!(clicks(&spliced, rate), []);
}

/// Runs, lets happen, runs on: no click in what the listener plays, of speech or of tones.
fn quietly(codec: Codec, heard: Codec, name: &str, happen: impl Fn(&mut Scene, u64)) {
    quietly_of(true, codec, heard, name, &happen);
    quietly_of(false, codec, heard, name, &happen);
}

fn quietly_of(is_speech: bool, codec: Codec, heard: Codec, name: &str, happen: impl Fn(&mut Scene, u64)) {
    let mut scene = two(codec, is_speech);
    let mut ear = scene.listen(1, heard, Layout::Mono);
    for turn in 0..12 {
        scene.run(0.4 + 0.0137 * turn as f64);
        happen(&mut scene, turn);
    }
    scene.run(0.5);
    let (played, _) = ear.play(&mut scene);
    assert!(rms(&played) > 100.0, "{name}");
    assert_eq!(clicks(&played, heard.rate()), [], "{name}: {codec:?} heard in {heard:?}, speech: {is_speech}");
}

const PAIRS: [(Codec, Codec); 4] =
    [(Codec::Pcma, Codec::Pcma), (Codec::Pcma, Codec::Opus), (Codec::G722, Codec::G722), (Codec::Opus, Codec::Pcmu)];

#[test]
fn layouts_and_gains_do_not_click() {
    for (codec, heard) in PAIRS {
        quietly(codec, heard, "layout", |scene, turn| {
            let layout = [Layout::Agent, Layout::Caller, Layout::Mono][turn as usize % 3];
            scene.mix(1, Mix { layout, agent_db: -3 * (turn as i8 % 5), ..Mix::default() });
        });
    }
}

#[test]
fn other_listeners_do_not_click() {
    for (codec, heard) in PAIRS {
        quietly(codec, heard, "joins and leaves", |scene, turn| {
            scene.listen(2 + turn, if turn % 2 == 0 { heard } else { Codec::Opus }, Layout::Mono);
            if turn > 1 {
                scene.order(Command::CloseListener { listener: ListenerId(turn) });
            }
        });
    }
}

#[test]
fn holds_do_not_click() {
    for (codec, heard) in PAIRS {
        quietly(codec, heard, "hold", |scene, turn| {
            let is_held = turn % 2 == 0;
            let mut remote = remote(AGENT);
            remote.receives = !is_held;
            scene.order(Command::Describe { stream: AGENT, remote });
            scene.party(CALLER).talks = !is_held;
        });
    }
}

#[test]
fn the_shield_does_not_click() {
    for (codec, heard) in PAIRS {
        quietly(codec, heard, "shield", |scene, turn| {
            scene.order(Command::Shield { listener: ListenerId(1), on: turn % 2 == 0 });
        });
    }
}

#[test]
fn turning_to_nothing_does_not_click() {
    for (codec, heard) in PAIRS {
        quietly(codec, heard, "focus", |scene, turn| {
            let taps = (turn % 2 == 1).then_some(Taps { agent: AGENT });
            scene.order(Command::Focus { listener: ListenerId(1), taps });
        });
    }
}

#[test]
fn turning_to_another_leg_does_not_click() {
    for (codec, heard) in PAIRS {
        for is_heard_already in [true, false] {
            quietly(codec, heard, "another leg", |scene, turn| {
                if turn == 0 && is_heard_already {
                    scene.listen(2, heard, Layout::Mono);
                    scene.order(Command::Focus { listener: ListenerId(2), taps: Some(Taps { agent: CALLER }) });
                    scene.run(0.2);
                }
                let agent = if turn % 2 == 0 { CALLER } else { AGENT };
                scene.order(Command::Focus { listener: ListenerId(1), taps: Some(Taps { agent }) });
            });
        }
    }
}

#[test]
fn other_sources_and_clocks_do_not_click() {
    for (codec, heard) in PAIRS {
        quietly(codec, heard, "SSRC and time stamp", |scene, turn| {
            let party = scene.party(if turn % 2 == 0 { AGENT } else { CALLER });
            party.ssrc += if turn % 4 < 2 { 7 } else { 0 };
            party.timestamp = party.timestamp.wrapping_add(1_234_567);
        });
    }
}

#[test]
fn the_other_law_in_mid_call_does_not_click() {
    for heard in [Codec::Pcma, Codec::G722, Codec::Opus] {
        quietly_of(true, Codec::Pcma, heard, "codec", |scene, turn| {
            let says = speech(41, 110.0, Rate::Narrow, 20.0);
            scene.party(AGENT).turn(if turn % 2 == 0 { Codec::Pcmu } else { Codec::Pcma }, &says);
        });
    }
}

#[test]
fn other_codecs_in_mid_call_do_not_click() {
    let said = speech(41, 110.0, Rate::Full, 20.0);
    let at = |rate: Rate| resampled(&said, Rate::Full, rate);
    let says = [Codec::G722, Codec::Opus, Codec::Pcma].map(|codec| (codec, at(codec.rate())));
    for heard in [Codec::Pcma, Codec::G722, Codec::Opus] {
        let (caller, agent) = (vec![0; 160 * 50], &says[2].1);
        let mut scene = Scene::call(
            Party::new(CALLER, Codec::Pcma, &caller, 15.0, 2),
            Party::new(AGENT, Codec::Pcma, agent, 22.0, 2),
        );
        let mut ear = scene.listen(1, heard, Layout::Mono);
        for turn in 0..24 {
            scene.run(0.4 + 0.0137 * turn as f64);
            let (codec, says) = &says[turn % 3];
            scene.party(AGENT).turn(*codec, says);
        }
        let (played, _) = ear.play(&mut scene);
        assert_eq!(clicks(&played, heard.rate()), [], "heard in {heard:?}");
    }
}

#[test]
fn nothing_of_a_held_party_is_heard_and_no_backlog_played() {
    let silence = vec![0; 160 * 50];
    let voice = tone(440.0, 8_000.0, Rate::Narrow, 1.0);
    let mut scene = Scene::call(
        Party::new(CALLER, Codec::Pcma, &voice, 15.0, 2),
        Party::new(AGENT, Codec::Pcma, &silence, 22.0, 2),
    );
    let mut ear = scene.listen(1, Codec::Pcma, Layout::Mono);
    scene.run(1.0);
    assert!(rms(&ear.play(&mut scene).0) > 3_000.0);
    // The agent holds: the caller's phone goes on sending.
    let mut held = remote(AGENT);
    held.receives = false;
    scene.order(Command::Describe { stream: AGENT, remote: held });
    scene.run(5.0);
    let (heard, _) = ear.play(&mut scene);
    assert!(rms(&heard[160..]) < 20.0, "{}", rms(&heard[160..]));
    // Consultation: the listener hears another leg, on which nobody of this call is.
    scene.leg(COLLEAGUE);
    scene.order(Command::Focus { listener: ListenerId(1), taps: Some(Taps { agent: COLLEAGUE }) });
    scene.run(1.0);
    let (heard, _) = ear.play(&mut scene);
    assert!(rms(&heard[160..]) < 20.0, "{}", rms(&heard[160..]));
    scene.order(Command::Focus { listener: ListenerId(1), taps: Some(Taps { agent: AGENT }) });
    // Back, and the caller falls silent as the hold ends: what was said meanwhile is not made up for.
    scene.order(Command::Describe { stream: AGENT, remote: remote(AGENT) });
    scene.party(CALLER).talks = false;
    scene.run(1.0);
    let (heard, _) = ear.play(&mut scene);
    assert!(rms(&heard[3 * 160..]) < 20.0, "{}", rms(&heard[3 * 160..]));
    scene.party(CALLER).talks = true;
    scene.run(1.0);
    assert!(rms(&ear.play(&mut scene).0[1_600..]) > 4_000.0);
}
