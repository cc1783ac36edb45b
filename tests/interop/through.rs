//! Real phones as listeners through hold, consultation and transfer: what their own decoders wrote down, tone by tone over time.

use std::time::Duration;

use phone::{Dial, OnCall, Settings, State, Voice};
use serde_json::json;
use signalling::sdp::Direction;

use medlytt_stories::rig::baresip::{Account, Baresip, Recording};
use medlytt_stories::rig::engine::{Setup, folder, until};
use medlytt_stories::rig::lines::Jack;
use medlytt_stories::rig::linphone::Linphone;
use medlytt_stories::rig::scene::{AGENT_HZ, CALLER_HZ, Scene};
use medlytt_stories::rig::tone;

use crate::phones::anna;

const COLLEAGUE_HZ: f32 = 620.0;
const LISTENER_HZ: f32 = 1500.0;
const PATIENCE: Duration = Duration::from_secs(5);
/// Each part of the call lasts so long.
const PART: Duration = Duration::from_secs(3);
/// What is heard is judged in steps of 100 ms; a change takes up to two.
const STEPS_A_SECOND: usize = 10;

/// Who is heard in one step: caller, agent, colleague.
type Who = [bool; 3];
const TALK: Who = [true, true, false];
const HELD: Who = [false, true, false];
const CONSULTED: Who = [false, true, true];

enum Listener {
    Baresip(Baresip),
    Linphone(Linphone),
}

impl Listener {
    fn recording(&self) -> Recording {
        match self {
            Self::Baresip(phone) => phone.recordings().pop().unwrap_or_default(),
            Self::Linphone(phone) => phone.recording(),
        }
    }

    fn says(&self) -> String {
        match self {
            Self::Baresip(phone) => phone.says(),
            Self::Linphone(phone) => phone.says(),
        }
    }
}

fn share(samples: &[i16], hz: f32, rate: u32) -> f64 {
    tone::share(samples, f64::from(hz), f64::from(rate))
}

/// Stretches of more than two steps in which the same people are heard: who, from which step, how many.
fn stretches(recording: &Recording) -> Vec<(Who, usize, usize)> {
    let step = recording.rate as usize / STEPS_A_SECOND;
    let steps = recording.channels[0].chunks_exact(step.max(1));
    let heard = steps.map(|s| [CALLER_HZ, AGENT_HZ, COLLEAGUE_HZ].map(|hz| share(s, hz, recording.rate) > 0.2));
    let mut out: Vec<(Who, usize, usize)> = Vec::new();
    for (at, who) in heard.enumerate() {
        match out.last_mut() {
            Some((last, _, steps)) if *last == who => *steps += 1,
            _ => out.push((who, at, 1)),
        }
    }
    out.retain(|(_, _, steps)| *steps > 2);
    out
}

/// Signal to noise in dB of the middle of a stretch: all that is not at the tones of `who` is noise.
fn snr(recording: &Recording, (who, from, steps): (Who, usize, usize)) -> f64 {
    let step = recording.rate as usize / STEPS_A_SECOND;
    let middle = &recording.channels[0][(from + 2) * step..(from + steps - 2) * step];
    let tones = [CALLER_HZ, AGENT_HZ, COLLEAGUE_HZ].into_iter().zip(who).filter(|(_, heard)| *heard);
    let signal: f64 = tones.map(|(hz, _)| share(middle, hz, recording.rate)).sum();
    10.0 * (signal / (1.0 - signal).max(1e-9)).log10()
}

fn assert_recorded(what: &str, recording: &Recording, least_snr: f64) {
    let parts = stretches(recording);
    let who: Vec<Who> = parts.iter().map(|(who, _, _)| *who).collect();
    assert_eq!(who, [TALK, HELD, CONSULTED], "{what}: {parts:?}");
    let long = PART.as_secs() as usize * STEPS_A_SECOND;
    for part in &parts {
        assert!(part.2.abs_diff(long) <= STEPS_A_SECOND, "{what}: as long as it was: {parts:?}");
    }
    let (_, from, steps) = parts[2];
    let rest = recording.channels[0].len() * STEPS_A_SECOND / recording.rate as usize - from - steps;
    assert!(rest <= 3, "{what}: {rest} steps after the last word");
    let snr = [0, 1, 2].map(|n| snr(recording, parts[n]));
    println!("{what} at {} Hz: {parts:?}; SNR of each part {snr:.1?} dB", recording.rate);
    assert!(snr.iter().all(|snr| *snr > least_snr), "{what}: {snr:?}");
}

/// Talk, hold, consultation, transfer to the colleague: the listener is hung up, caller and colleague go on.
fn listens_through(what: &str, user: &str, start: impl FnOnce(&Scene) -> Listener, least_snr: f64) {
    let jack = Jack::new("127.0.0.5");
    let parties = format!(
        "[[agent]]\nid = \"bo\"\nname = \"Bo\"\nnumber = \"1002\"\ncontact = \"sip:bo@{}\"\n\n\
         [[user]]\nid = \"sue\"\nname = \"Sue\"\nrole = \"supervisor\"\nsoftphone = \"sue\"\n{user}\n",
        jack.address
    );
    let scene = Scene::new(&format!("through-{what}"), &Setup { parties: &parties, ..Setup::default() });
    let Scene { engine, lines, .. } = &scene;
    let settings = Settings {
        voice: Voice::Tone(COLLEAGUE_HZ),
        ..Settings::new("bo", "medlytt.test", jack.address, engine.sip.parse().expect("an address"))
    };
    let colleague = lines.plug(jack, settings);
    let at_once = OnCall::Answer { after: Duration::ZERO };
    lines.act(colleague, |phone, _, _| phone.habits_mut().on_call = at_once);
    // The one who is held speaks on.
    lines.act(scene.platform, |phone, _, _| phone.habits_mut().keep_sending = true);
    let listener = start(&scene);
    let state = || engine.get("/v1/listenings")["items"][0]["state"].clone();

    engine.order("anna", &json!({"user": "sue"}));
    let (caller, agent) = scene.call();
    until("the listening is live", PATIENCE, || state() == "live");
    std::thread::sleep(PART);
    lines.act(scene.agent, |phone, now, out| phone.hold(now, agent, Direction::SendOnly, out));
    std::thread::sleep(PART);
    let dial = Dial::to("sip:1002@medlytt.test");
    let consultation = lines.act(scene.agent, |phone, now, out| phone.dial(now, dial, out));
    until("the colleague answers", PATIENCE, || lines.call_in(colleague, State::Up).is_some());
    std::thread::sleep(PART);
    assert_eq!(state(), "live", "{}", listener.says());
    let bo = "sip:1002@medlytt.test";
    lines.act(scene.agent, |phone, now, out| phone.refer_replacing(now, agent, bo, consultation, out));
    until("the listener is hung up", PATIENCE, || state() == "ended");
    let ended = &engine.get("/v1/listenings")["items"][0];
    assert_eq!((&ended["end_reason"], &ended["counted"]), (&json!("agent-transferred"), &json!(true)), "{ended}");
    let joined = std::time::Instant::now() + Duration::from_millis(500);
    std::thread::sleep(Duration::from_millis(1500));
    let hears = |line, call, hz| {
        lines.look(line, |p| p.call(call).is_some_and(|c| c.ears().hears(hz, joined, std::time::Instant::now())))
    };
    let target = lines.call_in(colleague, State::Up).expect("the colleague's call goes on");
    assert!(hears(scene.platform, caller, COLLEAGUE_HZ), "the caller hears the colleague");
    assert!(hears(colleague, target, CALLER_HZ), "the colleague hears the caller");
    for (line, id) in [(scene.agent, agent), (scene.platform, caller), (colleague, target)] {
        let pcm: Vec<i16> = lines
            .look(line, |p| p.call(id).map(|c| c.ears().packets().flat_map(phone::Heard::pcm).collect()))
            .unwrap_or_default();
        assert!(!pcm.is_empty() && share(&pcm, LISTENER_HZ, 8000) < 0.02, "nobody hears the listener");
    }
    assert_recorded(what, &listener.recording(), least_snr);
    lines.hang_up_all();
}

fn baresip(codec: &'static str, least_snr: f64) {
    let what = if codec.is_empty() { "baresip-g711".to_owned() } else { format!("baresip-{codec}") };
    let folder = folder(&format!("phone-{what}"));
    let start = |scene: &Scene| {
        let hz = f64::from(LISTENER_HZ);
        let sue = Account { user: "sue", password: "sue-secret", hz, codec, ..anna(&scene.engine) };
        Listener::Baresip(Baresip::start(&folder, &sue))
    };
    listens_through(&what, "password = \"sue-secret\"\nlistener_offer = \"sendrecv\"\n", start, least_snr);
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn baresip_in_g711_hears_hold_consultation_and_transfer() {
    baresip("", 20.0);
}

#[test]
fn baresip_in_g722_hears_hold_consultation_and_transfer() {
    baresip("g722", 20.0);
}

#[test]
fn baresip_in_opus_hears_hold_consultation_and_transfer() {
    baresip("opus", 10.0);
}

#[test]
fn linphone_hears_hold_consultation_and_transfer() {
    let folder = folder("phone-linphone");
    let phone = Linphone::start(&folder);
    let contact = format!("contact = \"sip:sue@{}\"\n", phone.address);
    listens_through("linphone", &contact, |_| Listener::Linphone(phone), 10.0);
    let _ = std::fs::remove_dir_all(folder);
}
