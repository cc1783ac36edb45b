//! The whole process under SIPp: CPU-seconds per 1,000 complete calls, memory per held call, and the time from a
//! listener's 200 OK to its first audio packet.
//!
//! `MEDLYTT_BIN=target/release/medlytt cargo run --release -p medlytt-benches --bin whole_process [CALLS_PER_SECOND …]`
#![allow(clippy::disallowed_methods, reason = "a bench runs against real clocks, sockets and processes")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use medlytt_stories::rig::ear::Ear;
use medlytt_stories::rig::engine::{Engine, folder, free_port, until};
use medlytt_stories::rig::sipp::Sipp;
use medlytt_stories::rig::tone;

const AGENTS: usize = 100;

fn main() {
    let rates: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let rates = if rates.is_empty() { vec![100, 200, 400] } else { rates };
    for rate in rates {
        set_up_cost(rate);
    }
    held_memory(1000);
    first_packet(20);
}

/// Agents whose id begins with `m` send RTP (the scenario's rule), others do not.
fn parties(prefix: char, trunk: u16, agents: u16) -> String {
    let mut text =
        format!("[[trunk]]\nname = \"platform\"\nuri = \"sip:127.0.0.2:{trunk}\"\nallow = [\"127.0.0.2/32\"]\n\n");
    for n in 0..AGENTS {
        let _ = write!(
            text,
            "[[agent]]\nid = \"{prefix}{n:03}\"\nname = \"Agent {n}\"\nnumber = \"{}\"\ncontact = \"sip:{prefix}{n:03}@127.0.0.3:{agents}\"\n\n",
            1000 + n
        );
    }
    text
}

fn files(folder: &Path, prefix: char) {
    for (name, hz) in [("caller.alaw", 800.0), ("agent.alaw", 440.0)] {
        let audio: Vec<u8> = tone::sine(hz, 8000.0).into_iter().map(tone::to_alaw).collect();
        std::fs::write(folder.join(name), audio).expect("the folder can be written");
    }
    let rows: String = (0..AGENTS).map(|n| format!("{prefix}{n:03}\n")).collect();
    std::fs::write(folder.join("who.csv"), format!("SEQUENTIAL\n{rows}")).expect("the folder can be written");
}

/// CPU time of the whole process, user and system.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the engine runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|n| fields.get(*n)?.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the engine runs");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

struct Rig {
    folder: std::path::PathBuf,
    trunk: u16,
    engine: Engine,
    _agents: Sipp,
}

impl Rig {
    fn start(name: &str, prefix: char, extra: &str) -> Self {
        let folder = folder(name);
        files(&folder, prefix);
        let (trunk, agents) = (free_port("127.0.0.2"), free_port("127.0.0.3"));
        let engine = Engine::start(&format!("{name}-engine"), &(parties(prefix, trunk, agents) + extra));
        let answering =
            Sipp::start(&folder, "agents-rtp.xml", "127.0.0.3", agents, 31_000, &[]).listening("127.0.0.3", agents);
        Self { folder, trunk, engine, _agents: answering }
    }

    fn call(&self, file: &str, rate: usize, calls: usize, hold: u32) -> Sipp {
        let [rate, calls, hold] = [rate.to_string(), calls.to_string(), hold.to_string()];
        let options = [
            "-inf",
            "who.csv",
            "-r",
            &rate,
            "-m",
            &calls,
            "-l",
            "10000",
            "-d",
            &hold,
            "-timeout",
            "180",
            &self.engine.sip,
        ];
        Sipp::start(&self.folder, file, "127.0.0.2", self.trunk, 33_000, &options)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn set_up_cost(rate: usize) {
    let rig = Rig::start("bench-setup", 'p', "");
    rig.call("trunk.xml", rate, rate * 2, 200).finish();
    let (calls, before) = (rate * 15, cpu_seconds(rig.engine.pid()));
    let (ok, failed, retransmissions) = rig.call("trunk.xml", rate, calls, 200).finish();
    std::thread::sleep(Duration::from_secs(1));
    let cpu = cpu_seconds(rig.engine.pid()) - before;
    println!(
        "set-up at {rate} calls/s: {ok} calls, {failed} failed, {retransmissions} retransmissions, {:.3} CPU-seconds per 1,000 calls",
        cpu * 1000.0 / calls as f64
    );
}

fn held_memory(calls: usize) {
    let rig = Rig::start("bench-memory", 'p', "");
    rig.call("trunk.xml", 100, 100, 100).finish();
    let before = resident_kb(rig.engine.pid());
    let held = rig.call("trunk.xml", 200, calls, 15_000);
    let mut peak = 0;
    until("every call is up", Duration::from_secs(40), || {
        peak = peak.max(resident_kb(rig.engine.pid()));
        rig.engine.get("/v1/status")["gauges"]["calls"].as_f64().is_some_and(|n| n >= calls as f64)
    });
    peak = peak.max(resident_kb(rig.engine.pid()));
    println!(
        "memory at {calls} held calls: {before} kB idle, {peak} kB, {:.1} kB per call",
        (peak - before) as f64 / calls as f64
    );
    held.finish();
}

fn first_packet(rounds: usize) {
    let ear = Ear::start("127.0.0.4");
    let user = format!(
        "[[user]]\nid = \"sam\"\nname = \"Sam\"\nrole = \"supervisor\"\nsoftphone = \"sam\"\ncontact = \"sip:sam@{}\"\n",
        ear.address
    );
    let rig = Rig::start("bench-first", 'm', &user);
    rig.engine.order("m000", &serde_json::json!({"user": "sam"}));
    std::fs::write(rig.folder.join("who.csv"), "SEQUENTIAL\nm000\n").expect("the folder can be written");
    for _ in 0..rounds {
        rig.call("trunk-rtp.xml", 1, 1, 600).finish();
    }
    let mut times: Vec<Duration> = ear.calls().iter().filter_map(|c| c.first_packet_after).collect();
    times.sort();
    match times.as_slice() {
        [] => println!("first audio: nothing was heard"),
        times => println!(
            "listener's 200 OK to its first packet, {} listenings: p50 {:?}, max {:?}",
            times.len(),
            times[times.len() / 2],
            times[times.len() - 1]
        ),
    }
}
