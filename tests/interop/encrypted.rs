//! SRTP with a phone that is not ours: baresip encrypts as agent and as listener, SIPp's side of the call stays plain.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use medlytt_stories::rig::baresip::{Account, Baresip};
use medlytt_stories::rig::ear::Ear;
use medlytt_stories::rig::engine::{Engine, folder, free_port, until};
use medlytt_stories::rig::sipp::Sipp;
use medlytt_stories::rig::tone;

const AGENT_HZ: f64 = 440.0;
const CALLER_HZ: f64 = 800.0;
const LISTENER_HZ: f64 = 1500.0;

/// The platform, agent anna with this policy, and what else there is.
fn parties(trunk_port: u16, policy: &str, others: &str) -> String {
    format!(
        "[[trunk]]\nname = \"platform\"\nuri = \"sip:127.0.0.2:{trunk_port}\"\nallow = [\"127.0.0.2/32\"]\n\n\
         [[agent]]\nid = \"anna\"\nname = \"Anna Berg\"\nnumber = \"1001\"\npassword = \"anna-secret\"\nsrtp = \"{policy}\"\n\n{others}"
    )
}

fn phone(folder: &Path, engine: &Engine, user: &str, hz: f64, mediaenc: &str) -> Baresip {
    let password = format!("{user}-secret");
    Baresip::start(
        folder,
        &Account {
            user,
            password: &password,
            registrar: &engine.sip,
            transport: "udp",
            ip: "127.0.0.1",
            hz,
            mediaenc,
            codec: "",
        },
    )
}

/// The platform's call to anna: plain RTP, A-law.
fn call(folder: &Path, port: u16, engine: &Engine) -> u64 {
    let voice: Vec<u8> = tone::sine(CALLER_HZ, 8000.0).into_iter().map(tone::to_alaw).collect();
    std::fs::write(folder.join("caller.alaw"), voice).expect("the folder can be written");
    std::fs::write(folder.join("who.csv"), "SEQUENTIAL\n1001\n").expect("the folder can be written");
    let arguments = ["-inf", "who.csv", "-r", "1", "-m", "1", "-d", "5000", &engine.sip];
    let media = free_port("127.0.0.2") & !3;
    let sipp = Sipp::start(folder, "trunk-rtp.xml", "127.0.0.2", port, media, &arguments);
    sipp.finish().0
}

/// What the record of the one call says of each leg's encryption: caller, agent.
fn encryption(engine: &Engine) -> [Value; 2] {
    until("the call's record is there", Duration::from_secs(5), || {
        engine.get("/v1/calls?ended=true")["items"].as_array().is_some_and(|calls| !calls.is_empty())
    });
    let call = engine.get("/v1/calls?ended=true")["items"][0].clone();
    ["caller", "agent"].map(|role| {
        let legs = call["legs"].as_array().expect("legs");
        legs.iter().find(|leg| leg["role"] == role).unwrap_or_else(|| panic!("no {role}: {call}"))["srtp"].clone()
    })
}

fn hears(heard: &[i16], hz: f64) -> bool {
    tone::share(heard, hz, 8000.0) > 0.1
}

#[test]
fn baresip_encrypts_as_agent_and_as_listener() {
    let (folder, port) = (folder("srtp"), free_port("127.0.0.2"));
    let sue = "[[user]]\nid = \"sue\"\nname = \"Sue\"\nrole = \"supervisor\"\nsoftphone = \"sue\"\npassword = \"sue-secret\"\n\
         listener_offer = \"sendrecv\"\nsrtp = \"require\"\n";
    let engine = Engine::start("srtp", &parties(port, "require", sue));
    let agent = phone(&folder, &engine, "anna", AGENT_HZ, "srtp-mand");
    let listener = phone(&folder, &engine, "sue", LISTENER_HZ, "srtp-mand");
    engine.order("anna", &json!({"user": "sue"}));
    assert_eq!(call(&folder, port, &engine), 1, "the call went through: {}", agent.says());
    let ended = || engine.get("/v1/listenings")["items"][0].clone();
    until("the listening is in the archive", Duration::from_secs(5), || ended()["state"] == "ended");
    assert_eq!(ended()["end_reason"], "call-ended", "{}", ended());
    let heard = listener.heard();
    assert!(hears(&heard, AGENT_HZ) && hears(&heard, CALLER_HZ), "{} samples, {}", heard.len(), listener.says());
    let heard = agent.heard();
    assert!(tone::share(&heard, CALLER_HZ, 8000.0) > 0.5, "the agent hears the caller: {}", agent.says());
    assert!(tone::share(&heard, LISTENER_HZ, 8000.0) < 0.02, "the agent never hears the listener");
    let [caller, agent] = encryption(&engine);
    assert!(caller.is_null() && agent.as_str().is_some(), "one side plain, the other not: {caller}, {agent}");
    let _ = std::fs::remove_dir_all(folder);
}

/// The policy `offer`: encrypted where the phone can (RFC 8643), plain where it cannot.
#[test]
fn encryption_is_offered_and_may_be_left() {
    for (mediaenc, encrypted) in [("srtp", true), ("", false)] {
        let (folder, port, ear) = (folder("srtp-offer"), free_port("127.0.0.2"), Ear::start("127.0.0.4"));
        let sam = format!(
            "[[user]]\nid = \"sam\"\nname = \"Sam\"\nrole = \"supervisor\"\nsoftphone = \"sam\"\ncontact = \"sip:sam@{}\"\n",
            ear.address
        );
        let engine = Engine::start("srtp-offer", &parties(port, "offer", &sam));
        let agent = phone(&folder, &engine, "anna", AGENT_HZ, mediaenc);
        engine.order("anna", &json!({"user": "sam"}));
        assert_eq!(call(&folder, port, &engine), 1, "the call went through: {}", agent.says());
        assert!(tone::share(&agent.heard(), CALLER_HZ, 8000.0) > 0.5, "the agent hears the caller: {}", agent.says());
        assert_eq!(encryption(&engine)[1].as_str().is_some(), encrypted, "{mediaenc:?}");
        // A listener without encryption hears a plain call, and is not even called for an encrypted one.
        let reason = engine.get("/v1/listenings")["items"][0]["end_reason"].clone();
        assert_eq!(reason, if encrypted { "policy-denied" } else { "call-ended" }, "{mediaenc:?}");
        assert_eq!(ear.calls().len(), usize::from(!encrypted), "{mediaenc:?}");
        let _ = std::fs::remove_dir_all(folder);
    }
}
