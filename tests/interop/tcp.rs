//! The same parts over TCP: SIPp as trunk and agents, each on one connection, and baresip as a phone that registers.

use std::time::Duration;

use serde_json::json;

use medlytt_stories::rig::baresip::{Account, Baresip};
use medlytt_stories::rig::ear::Ear;
use medlytt_stories::rig::engine::{Engine, folder, free_port, until};
use medlytt_stories::rig::sipp::Sipp;
use medlytt_stories::rig::tone;

const CALLS: usize = 300;

#[test]
fn sipp_on_both_sides_over_one_connection_each() {
    let folder = folder("tcp-sipp");
    std::fs::write(folder.join("agent.alaw"), [0xd5; 800]).expect("the folder can be written");
    std::fs::write(folder.join("who.csv"), "SEQUENTIAL\n1001\n1002\n").expect("the folder can be written");
    let (trunk, agents) = (free_port("127.0.0.2"), free_port("127.0.0.3"));
    let agent = |id: &str, number: u16| {
        format!(
            "[[agent]]\nid = \"{id}\"\nname = \"{id}\"\nnumber = \"{number}\"\ncontact = \"sip:{id}@127.0.0.3:{agents};transport=tcp\"\n\n"
        )
    };
    let parties = format!(
        "[[trunk]]\nname = \"platform\"\nuri = \"sip:127.0.0.2:{trunk};transport=tcp\"\nallow = [\"127.0.0.2/32\"]\n\n{}{}",
        agent("anna", 1001),
        agent("bo", 1002)
    );
    let engine = Engine::start("tcp", &parties);
    let tcp = ["-t", "t1"];
    let _agents =
        Sipp::start(&folder, "agents-rtp.xml", "127.0.0.3", agents, 31_000, &tcp).accepting("127.0.0.3", agents);
    let calls = CALLS.to_string();
    let options =
        ["-t", "t1", "-inf", "who.csv", "-r", "30", "-m", &calls, "-d", "500", "-timeout", "120", &engine.sip_tcp];
    let (successful, failed, repeated) =
        Sipp::start(&folder, "trunk.xml", "127.0.0.2", trunk, 33_000, &options).finish();
    assert_eq!((successful, failed), (CALLS as u64, 0), "see {}", folder.display());
    assert_eq!(repeated, 0, "nothing is repeated on a connection");
    assert_eq!(engine.metric("connects"), 1.0, "one connection to the agents carried every call");
    assert_eq!(engine.metric("retransmissions_sent"), 0.0);
    assert!(!engine.log().contains("panicked"), "a panic in the log");
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn baresip_over_tcp_is_called_and_heard() {
    let (folder, port, ear) = (folder("tcp-baresip"), free_port("127.0.0.2"), Ear::start("127.0.0.4"));
    let parties = format!(
        "[[trunk]]\nname = \"platform\"\nuri = \"sip:127.0.0.2:{port};transport=tcp\"\nallow = [\"127.0.0.2/32\"]\n\n\
         [[agent]]\nid = \"anna\"\nname = \"Anna Berg\"\nnumber = \"1001\"\npassword = \"anna-secret\"\n\n\
         [[user]]\nid = \"sam\"\nname = \"Sam\"\nrole = \"supervisor\"\nsoftphone = \"sam\"\ncontact = \"sip:sam@{}\"\n",
        ear.address
    );
    let engine = Engine::start("tcp-agent", &parties);
    let account = Account {
        user: "anna",
        password: "anna-secret",
        registrar: &engine.sip_tcp,
        transport: "tcp",
        ip: "127.0.0.1",
        hz: 440.0,
        mediaenc: "",
        codec: "",
    };
    let agent = Baresip::start(&folder, &account);
    engine.order("anna", &json!({"user": "sam"}));
    let alaw: Vec<u8> = tone::sine(800.0, 8000.0).into_iter().map(tone::to_alaw).collect();
    std::fs::write(folder.join("caller.alaw"), alaw).expect("the folder can be written");
    std::fs::write(folder.join("who.csv"), "SEQUENTIAL\n1001\n").expect("the folder can be written");
    let options = ["-t", "t1", "-inf", "who.csv", "-r", "1", "-m", "1", "-d", "4000", &engine.sip_tcp];
    let media = free_port("127.0.0.2") & !3;
    let call = Sipp::start(&folder, "trunk-rtp.xml", "127.0.0.2", port, media, &options);
    assert_eq!(call.finish().0, 1, "the call went through: {}", agent.says());
    until("the listening has ended", Duration::from_secs(5), || ear.ended() == 1);
    assert!(ear.calls()[0].hears(440.0) && ear.calls()[0].hears(800.0), "the listener hears both");
    assert!(tone::share(&agent.heard(), 800.0, 8000.0) > 0.5, "the agent hears the caller");
    // The phone goes: so does its registration, with its connection.
    let registered = || engine.get("/v1/agents/anna")["registered"].as_bool();
    assert_eq!(registered(), Some(true));
    drop(agent);
    until("its registration has ended", Duration::from_secs(5), || registered() == Some(false));
    let _ = std::fs::remove_dir_all(folder);
}
