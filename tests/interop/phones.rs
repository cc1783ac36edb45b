//! Real phones: baresip as agent and as listener, SIPp as the platform, heard by tones.

use std::time::Duration;

use serde_json::json;

use medlytt_stories::rig::baresip::{Account, Baresip};
use medlytt_stories::rig::ear::Ear;
use medlytt_stories::rig::engine::{Engine, folder, free_port, until};
use medlytt_stories::rig::sipp::Sipp;
use medlytt_stories::rig::tone;

pub(crate) fn parties(trunk_port: u16, extra: &str) -> String {
    format!(
        "[[trunk]]\nname = \"platform\"\nuri = \"sip:127.0.0.2:{trunk_port}\"\nallow = [\"127.0.0.2/32\"]\n\n\
         [[agent]]\nid = \"anna\"\nname = \"Anna Berg\"\nnumber = \"1001\"\npassword = \"anna-secret\"\n\n{extra}"
    )
}

pub(crate) fn caller(folder: &std::path::Path, port: u16, engine: &Engine, milliseconds: u32) -> Sipp {
    std::fs::write(
        folder.join("caller.alaw"),
        tone::sine(800.0, 8000.0).into_iter().map(tone::to_alaw).collect::<Vec<_>>(),
    )
    .expect("the folder can be written");
    std::fs::write(folder.join("who.csv"), "SEQUENTIAL\n1001\n").expect("the folder can be written");
    let hold = milliseconds.to_string();
    Sipp::start(
        folder,
        "trunk-rtp.xml",
        "127.0.0.2",
        port,
        free_port("127.0.0.2") & !3,
        &["-inf", "who.csv", "-r", "1", "-m", "1", "-d", &hold, &engine.sip],
    )
}

pub(crate) fn anna<'a>(engine: &'a Engine) -> Account<'a> {
    Account {
        user: "anna",
        password: "anna-secret",
        registrar: &engine.sip,
        transport: "udp",
        ip: "127.0.0.1",
        hz: 440.0,
        mediaenc: "",
        codec: "",
    }
}

#[test]
fn baresip_as_agent_is_heard_by_a_listener() {
    let (folder, port, ear) = (folder("baresip-agent"), free_port("127.0.0.2"), Ear::start("127.0.0.4"));
    let sam = format!(
        "[[user]]\nid = \"sam\"\nname = \"Sam\"\nrole = \"supervisor\"\nsoftphone = \"sam\"\ncontact = \"sip:sam@{}\"\n",
        ear.address
    );
    let engine = Engine::start("agent", &parties(port, &sam));
    let agent = Baresip::start(&folder, &anna(&engine));
    engine.order("anna", &json!({"user": "sam"}));
    assert_eq!(caller(&folder, port, &engine, 5000).finish().0, 1, "the call went through: {}", agent.says());
    until("the listening has ended", Duration::from_secs(5), || ear.ended() == 1);
    let heard = &ear.calls()[0];
    assert!(heard.hears(440.0), "the listener hears the agent");
    assert!(heard.hears(800.0), "the listener hears the caller");
    assert!(tone::share(&agent.heard(), 800.0, 8000.0) > 0.5, "the agent hears the caller");
    let ended = &engine.get("/v1/listenings")["items"][0];
    assert_eq!((ended["end_reason"].as_str(), ended["counted"].as_bool()), (Some("call-ended"), Some(true)), "{ended}");
    let _ = std::fs::remove_dir_all(folder);
}

/// baresip 1.0 decodes nothing of a stream that is offered `sendonly`, whoever offers it; so its user is offered
/// `sendrecv`, and what it then sends is dropped.
#[test]
fn baresip_as_listener_hears_both_and_is_never_heard() {
    let (folder, port) = (folder("baresip-listener"), free_port("127.0.0.2"));
    let sue = "[[user]]\nid = \"sue\"\nname = \"Sue\"\nrole = \"supervisor\"\nsoftphone = \"sue\"\npassword = \"sue-secret\"\n\
         listener_offer = \"sendrecv\"\n";
    let engine = Engine::start("listener", &parties(port, sue));
    let agent = Baresip::start(&folder, &anna(&engine));
    let listener = Baresip::start(
        &folder,
        &Account {
            user: "sue",
            password: "sue-secret",
            registrar: &engine.sip,
            transport: "udp",
            ip: "127.0.0.1",
            hz: 1500.0,
            mediaenc: "",
            codec: "",
        },
    );
    engine.order("anna", &json!({"user": "sue"}));
    assert_eq!(caller(&folder, port, &engine, 5000).finish().0, 1, "the call went through: {}", agent.says());
    until("the listening is in the archive", Duration::from_secs(5), || {
        engine.get("/v1/listenings")["items"][0]["state"] == "ended"
    });
    let heard = listener.heard();
    for (hz, who) in [(440.0, "agent"), (800.0, "caller")] {
        assert!(
            tone::share(&heard, hz, 8000.0) > 0.1,
            "the listener hears the {who}: {} samples, {}",
            heard.len(),
            listener.says()
        );
    }
    assert!(tone::share(&agent.heard(), 1500.0, 8000.0) < 0.02, "the agent never hears the listener");
    let _ = std::fs::remove_dir_all(folder);
}
