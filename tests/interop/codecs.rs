//! A listener's phone that speaks one codec alone hears a G.711 call in it: baresip with G.722 and with Opus, whose own decoders
//! write down what they got.

use std::time::Duration;

use serde_json::json;

use medlytt_stories::rig::baresip::{Account, Baresip, Recording};
use medlytt_stories::rig::engine::{Engine, folder, free_port, until};

use crate::phones::{anna, caller, parties};

const AGENT: f64 = 440.0;
const CALLER: f64 = 800.0;
const LISTENER: f64 = 1500.0;

/// What sue's phone heard of a call of five seconds, and what the agent heard.
fn listens_in(codec: &str, layout: &str) -> (Recording, Vec<i16>) {
    let (folder, port) = (folder(&format!("codec-{codec}-{layout}")), free_port("127.0.0.2"));
    let sue = "[[user]]\nid = \"sue\"\nname = \"Sue\"\nrole = \"supervisor\"\nsoftphone = \"sue\"\npassword = \"sue-secret\"\n\
         listener_offer = \"sendrecv\"\n";
    let engine = Engine::start(&format!("codec-{codec}-{layout}"), &parties(port, sue));
    let agent = Baresip::start(&folder, &anna(&engine));
    let sue = Account { user: "sue", password: "sue-secret", hz: LISTENER, codec, ..anna(&engine) };
    let listener = Baresip::start(&folder, &sue);
    engine.order_in("anna", &json!({"user": "sue"}), layout);
    assert_eq!(caller(&folder, port, &engine, 5000).finish().0, 1, "the call went through: {}", agent.says());
    until("the listening is in the archive", Duration::from_secs(5), || {
        engine.get("/v1/listenings")["items"][0]["state"] == "ended"
    });
    let ended = &engine.get("/v1/listenings")["items"][0];
    assert_eq!((ended["end_reason"].as_str(), ended["counted"].as_bool()), (Some("call-ended"), Some(true)), "{ended}");
    let first = ended["quality"]["first_audio_ms"].as_u64();
    assert!(first.is_some_and(|ms| ms <= 60), "{ended}");
    let recording = listener.recordings().pop().unwrap_or_else(|| panic!("nothing was decoded: {}", listener.says()));
    let heard = agent.heard();
    let _ = std::fs::remove_dir_all(folder);
    (recording, heard)
}

fn assert_both(recording: &Recording, agent: &[i16]) {
    for hz in [AGENT, CALLER] {
        let share = recording.share(0, hz);
        assert!(share > 0.25, "{hz} Hz: {share} of {} samples", recording.channels[0].len());
    }
    assert_not_heard(agent);
}

fn assert_not_heard(agent: &[i16]) {
    let recording = Recording { rate: 8000, channels: [agent.to_vec(), agent.to_vec()] };
    assert!(recording.share(0, LISTENER) < 0.02, "the agent never hears the listener");
    assert!(recording.share(0, CALLER) > 0.5, "the agent hears the caller");
}

#[test]
fn baresip_listens_in_g722() {
    let (recording, agent) = listens_in("g722", "mono");
    assert_eq!(recording.rate, 16_000);
    assert_both(&recording, &agent);
}

#[test]
fn baresip_listens_in_opus() {
    let (recording, agent) = listens_in("opus", "mono");
    assert_eq!(recording.rate, 48_000);
    assert_both(&recording, &agent);
}

#[test]
fn baresip_listens_in_opus_with_the_agent_left_and_the_caller_right() {
    let (recording, agent) = listens_in("opus", "stereo");
    let shares = [(0, AGENT), (1, CALLER), (0, CALLER), (1, AGENT)].map(|(side, hz)| recording.share(side, hz));
    assert!(shares[0] > 0.5 && shares[1] > 0.5 && shares[2] < 0.05 && shares[3] < 0.05, "{shares:?}");
    assert_not_heard(&agent);
}
