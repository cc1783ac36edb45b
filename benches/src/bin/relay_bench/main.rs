//! What the relay does on one core beside its peers: Debian's rtpengine in user space, the least that a relay can do, and no
//! relay at all. docs/performance.md says how it is run and what to beware of.

#![allow(clippy::disallowed_methods, reason = "a bench runs against real clocks, sockets, threads and processes")]

mod device;
mod generator;
mod peer;
mod results;
mod setting;
mod subject;

use std::fs::File;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use peer::Name;
use setting::Setting;
use subject::{ears, forks, impact, levels, memory, search};

#[derive(Parser)]
#[command(about, long_about = None)]
struct Arguments {
    #[command(flatten)]
    setting: Setting,
    /// Who is measured
    #[arg(long, value_delimiter = ',', default_values = ["medlytt", "bare", "rtpengine"], global = true)]
    peers: Vec<Name>,
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// The most calls with less than 0.1 % loss and a p99 of delay below 20 ms
    Search,
    /// The same; the last line is the ratio of medlytt to rtpengine
    Ratio,
    /// CPU time and delay at fixed numbers of calls
    Levels { calls: Vec<usize> },
    /// Memory of so many calls
    Memory { calls: usize },
    /// CPU time of so many calls without and with so many listeners
    Forks { calls: usize, listeners: usize },
    /// What the parties of a call notice of listeners
    Impact,
    /// How soon so many listeners, called one after the other beside so many calls, hear, and how late
    Ears { calls: usize, listeners: usize },
    /// Relays, bare: what the peer of that name runs
    #[command(hide = true, name = peer::bare::COMMAND)]
    BareRelay { way: peer::bare::Way, calls: usize },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("relay_bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let setting = &arguments.setting;
    // Who knows no keys would relay what nobody encrypted.
    let knows_keys = |peer: &Name| !setting.srtp || matches!(peer, Name::Medlytt | Name::Rtpengine);
    let peers: Vec<Name> = arguments.peers.iter().copied().filter(knows_keys).collect();
    let peers = &peers[..];
    if let Subject::BareRelay { way, calls } = arguments.subject {
        return peer::bare::relay(way, calls);
    }
    let _alone = lock()?;
    if setting.priority() > 0 && !setting.is_real_time() {
        eprintln!("no real-time priority is to be had: other work of this machine will show in the figures");
    }
    match &arguments.subject {
        Subject::Search => search::run(setting, peers).map(drop),
        Subject::Ratio => ratio(&search::run(setting, peers)?),
        Subject::Levels { calls } => levels::run(setting, peers, calls),
        Subject::Memory { calls } => memory::run(setting, peers, *calls),
        Subject::Forks { calls, listeners } => forks::run(setting, peers, *calls, *listeners),
        Subject::Impact => impact::run(setting, peers),
        Subject::Ears { calls, listeners } => ears::run(setting, peers, *calls, *listeners),
        Subject::BareRelay { .. } => Ok(()),
    }
}

fn ratio(medians: &[(Name, f64)]) -> Result<(), String> {
    let of = |name| medians.iter().find(|(n, calls)| *n == name && *calls > 0.0).map(|(_, calls)| *calls);
    let (Some(ours), Some(theirs)) = (of(Name::Medlytt), of(Name::Rtpengine)) else {
        return Err("there is no ratio without both medlytt and rtpengine".to_owned());
    };
    if let Some(bare) = of(Name::Bare) {
        println!("\nratio to the bare loop: {:.2}", ours / bare);
    }
    if let Some(bare) = of(Name::BareRing) {
        println!("ratio to the bare loop by io_uring: {:.2}", ours / bare);
        println!("that loop's ratio to rtpengine: {:.2}", bare / theirs);
    }
    println!("ratio to rtpengine: {:.2}", ours / theirs);
    Ok(())
}

/// One bench at a time: two would measure each other.
fn lock() -> Result<File, String> {
    let path = std::env::temp_dir().join("medlytt-relay-bench.lock");
    let lock = || {
        let file = File::options().create(true).append(true).open(&path)?;
        if file.try_lock().is_err() {
            eprintln!("another bench is running: waiting for it ({})", path.display());
            file.lock()?;
        }
        Ok(file)
    };
    lock().map_err(|error: std::io::Error| format!("{}: {error}", path.display()))
}
