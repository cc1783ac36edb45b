//! A load tester's day: 500 agents on one SIPp contact, 2 s calls, 100 calls/s for a minute; 1 in 20 monitored and with RTP.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use medlytt_stories::rig::ear::Ear;
use medlytt_stories::rig::engine::{Engine, folder, free_port, until};
use medlytt_stories::rig::sipp::Sipp;
use medlytt_stories::rig::tone;

const MONITORED: usize = 25;
const PLAIN: usize = 475;
const CALLS_PER_SECOND: usize = 100;

fn parties(trunk_port: u16, agents_port: u16, ear: &Ear) -> String {
    let mut text =
        format!("[[trunk]]\nname = \"platform\"\nuri = \"sip:127.0.0.2:{trunk_port}\"\nallow = [\"127.0.0.2/32\"]\n\n");
    let names = (0..MONITORED).map(|n| format!("m{n:03}")).chain((0..PLAIN).map(|n| format!("p{n:03}")));
    for (row, id) in names.enumerate() {
        let _ = write!(
            text,
            "[[agent]]\nid = \"{id}\"\nname = \"Agent {id}\"\nnumber = \"{}\"\ncontact = \"sip:{id}@127.0.0.3:{agents_port}\"\ngroup = \"Support\"\n\n",
            1000 + row
        );
    }
    for n in 0..MONITORED {
        let _ = write!(
            text,
            "[[user]]\nid = \"l{n:03}\"\nname = \"Listener {n}\"\nrole = \"supervisor\"\nsoftphone = \"l{n:03}\"\ncontact = \"sip:l{n:03}@{}\"\n\n",
            ear.address
        );
    }
    text
}

#[test]
fn sipp_on_both_sides_a_minute_at_100_calls_per_second() {
    let seconds: usize = std::env::var("MEDLYTT_LOAD_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let folder = folder("load-sipp");
    for (name, hz) in [("caller.alaw", 800.0), ("agent.alaw", 440.0)] {
        std::fs::write(folder.join(name), tone::sine(hz, 8000.0).into_iter().map(tone::to_alaw).collect::<Vec<_>>())
            .expect("the folder can be written");
    }
    for (name, prefix, count) in [("m.csv", 'm', MONITORED), ("p.csv", 'p', PLAIN)] {
        let rows: String = (0..count).map(|n| format!("{prefix}{n:03}\n")).collect();
        std::fs::write(folder.join(name), format!("SEQUENTIAL\n{rows}")).expect("the folder can be written");
    }
    let ear = Ear::start("127.0.0.4");
    let [plain_port, monitored_port, agents_port] =
        [free_port("127.0.0.2"), free_port("127.0.0.2"), free_port("127.0.0.3")];
    let engine = Engine::start("load", &parties(plain_port, agents_port, &ear));
    for n in 0..MONITORED {
        engine.order(&format!("m{n:03}"), &json!({"user": format!("l{n:03}")}));
    }

    let _agents = Sipp::start(&folder, "agents-rtp.xml", "127.0.0.3", agents_port, 31_000, &[])
        .listening("127.0.0.3", agents_port);
    let monitored_calls = seconds * CALLS_PER_SECOND / 20;
    let plain_calls = seconds * CALLS_PER_SECOND - monitored_calls;
    let call = |file, csv, port, media: u16, rate: usize, calls: usize| {
        let (rate, calls) = (rate.to_string(), calls.to_string());
        let options =
            ["-inf", csv, "-r", &rate, "-m", &calls, "-l", "5000", "-d", "2000", "-timeout", "180", &engine.sip];
        Sipp::start(&folder, file, "127.0.0.2", port, media, &options)
    };
    let plain = call("trunk.xml", "p.csv", plain_port, 33_000, CALLS_PER_SECOND * 19 / 20, plain_calls);
    let monitored = call("trunk-rtp.xml", "m.csv", monitored_port, 35_000, CALLS_PER_SECOND / 20, monitored_calls);
    let (plain, monitored) = (plain.finish(), monitored.finish());
    assert_eq!(
        (plain.0, plain.1),
        (plain_calls as u64, 0),
        "plain calls (successful, failed); see {}",
        folder.display()
    );
    assert_eq!((monitored.0, monitored.1), (monitored_calls as u64, 0), "monitored calls (successful, failed)");

    until("every listening has ended", Duration::from_secs(10), || ear.ended() >= monitored_calls);
    let calls = ear.calls();
    assert_eq!(calls.len(), monitored_calls, "every monitored call rang its listener once");
    let deaf: Vec<_> =
        calls.iter().filter(|c| !(c.hears(440.0) && c.hears(800.0))).map(|c| (&c.uri, c.packets)).collect();
    assert!(
        deaf.is_empty(),
        "{} of {} listeners did not hear both voices: {:?}",
        deaf.len(),
        calls.len(),
        &deaf[..deaf.len().min(5)]
    );
    assert!(calls.iter().all(|c| c.offered == "sendonly" && c.from.contains("+4721000000")));
    let mut first: Vec<_> = calls.iter().filter_map(|c| c.first_packet_after).collect();
    first.sort();
    println!(
        "{} calls, 0 failed, {} retransmissions; {} listenings, each heard both voices; 200 OK to first packet: p50 {:?}, p99 {:?}",
        plain_calls + monitored_calls,
        plain.2 + monitored.2,
        calls.len(),
        first[first.len() / 2],
        first[first.len() * 99 / 100]
    );
    assert!(!engine.log().contains("panicked"), "a panic in the log");
    let _ = std::fs::remove_dir_all(folder);
}
