//! Event streams under load: how late events come to their readers, what the API's threads cost, and whether calls notice.
//!
//! SIPp makes calls to thousands of agents while one more call is listened to, by turns without streams and with them. Delay is
//! from an event's `at` to its bytes in the reader's hands, on one machine and one clock.
//!
//! `MEDLYTT_BIN=target/release/medlytt cargo run --release -p medlytt-benches --bin event_streams`
#![allow(clippy::disallowed_methods, reason = "a bench runs against real clocks, sockets and processes")]
#![allow(clippy::unwrap_used, reason = "what cannot be measured is a failure")]

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Parser;
use jiff::Timestamp;
use medlytt_stories::rig::engine::{Setup, TOKEN, folder, free_port};
use medlytt_stories::rig::scene::{Quality, Scene};
use medlytt_stories::rig::sipp::Sipp;
use medlytt_stories::rig::tone;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

/// Each call: started, answered, ended, and three statuses of its agent.
const EVENTS_PER_CALL: usize = 6;
/// How long SIPp holds a call.
const HOLD_MS: usize = 2_000;
/// What comes after the last call: its end.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Parser)]
struct Load {
    /// Open streams, in the turns that have them
    #[arg(long, default_value_t = 50)]
    streams: usize,
    /// Agents in the directory
    #[arg(long, default_value_t = 2_000)]
    agents: usize,
    /// Calls a second; each makes six events
    #[arg(long, default_value_t = 50)]
    rate: usize,
    /// Seconds of each turn
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// Turns without streams and with them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() {
    let load = Load::parse();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..load.rounds {
        for (streams, turns) in [(0, &mut without), (load.streams, &mut with)] {
            let turn = measure(&load, streams);
            println!("{turn}");
            turns.push(turn);
        }
    }
    for (name, turns) in [("no streams", &without), ("streams", &with)] {
        let figures =
            ["delay_p50_ms", "delay_p99_ms", "http_cores", "process_cores", "gap_p99_ms", "gap_max_ms", "lost"];
        let medians = figures.map(|figure| format!("{figure} {:.3}", median(turns, figure)));
        println!("{name}: medians of {}: {}", turns.len(), medians.join(", "));
    }
}

fn median(turns: &[Value], figure: &str) -> f64 {
    let mut values: Vec<f64> = turns.iter().filter_map(|turn| turn[figure].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One turn, with an engine of its own.
fn measure(load: &Load, streams: usize) -> Value {
    let folder = folder("event-streams");
    // what the scenario would play to agents whose id begins with `m`
    let audio: Vec<u8> = tone::sine(440.0, 8000.0).into_iter().map(tone::to_alaw).collect();
    std::fs::write(folder.join("agent.alaw"), audio).unwrap();
    let rows: String = (0..load.agents).map(|n| format!("p{n:04}\n")).collect();
    std::fs::write(folder.join("who.csv"), format!("SEQUENTIAL\n{rows}")).unwrap();
    let [trunk, agents] = [free_port("127.0.0.2"), free_port("127.0.0.3")];
    let scene =
        Scene::new("event-streams-engine", &Setup { parties: &directory(load.agents, agents), ..Setup::default() });
    let answering = Sipp::start(&folder, "agents-rtp.xml", "127.0.0.3", agents, 31_000, &[]);
    let _answering = answering.listening("127.0.0.3", agents);
    let monitored = scene.monitored_call();

    let readers = Readers::open(&scene.engine.api, streams);
    let (from, before) = (Instant::now(), Cpu::of(scene.engine.pid()));
    let calls = load.rate * load.seconds;
    let words = [load.rate, calls, HOLD_MS].map(|n| n.to_string());
    let options =
        ["-inf", "who.csv", "-r", &words[0], "-m", &words[1], "-d", &words[2], "-timeout", "180", &scene.engine.sip];
    let (ok, failed, retransmissions) =
        Sipp::start(&folder, "trunk.xml", "127.0.0.2", trunk, 33_000, &options).finish();
    std::thread::sleep(AFTERWARDS);
    let (to, cpu) = (Instant::now(), Cpu::of(scene.engine.pid()).since(&before, from.elapsed()));
    let read = readers.stop();
    let parties = scene.assert_heard(&monitored, from, to);
    scene.hang_up(&monitored);
    let _ = std::fs::remove_dir_all(folder);

    let worst = |of: fn(&Quality) -> Duration| parties.iter().map(of).max().unwrap_or_default().as_secs_f64() * 1000.0;
    let whole = read.iter().filter(|reader| reader.is_whole() && reader.events() >= calls * EVENTS_PER_CALL).count();
    let mut delays: Vec<f64> = read.iter().flat_map(|reader| reader.delays_ms.iter().copied()).collect();
    delays.sort_by(f64::total_cmp);
    let delay = |per_thousand: usize| delays.get(delays.len() * per_thousand / 1000).copied();
    json!({
        "streams": streams, "whole_streams": whole, "events": delays.len(),
        "events_per_s": delays.len() as f64 / streams.max(1) as f64 / (to - from).as_secs_f64(),
        "delay_p50_ms": delay(500), "delay_p99_ms": delay(990), "delay_max_ms": delays.last(),
        "http_cores": cpu.http, "process_cores": cpu.process,
        "calls": ok, "failed": failed, "retransmissions": retransmissions,
        "lost": parties.iter().map(|party| party.lost).sum::<usize>(),
        "gap_p99_ms": worst(|party| party.p99_gap), "gap_max_ms": worst(|party| party.longest_gap),
    })
}

fn directory(agents: usize, port: u16) -> String {
    (0..agents).fold(String::new(), |mut text, n| {
        let _ = write!(
            text,
            "[[agent]]\nid = \"p{n:04}\"\nname = \"Agent {n}\"\nnumber = \"{}\"\ncontact = \"sip:p{n:04}@127.0.0.3:{port}\"\ngroup = \"Support\"\n\n",
            10_000 + n
        );
        text
    })
}

/// CPU time so far, in seconds; as shares of a core where it is a difference over time.
struct Cpu {
    http: f64,
    process: f64,
}

impl Cpu {
    /// By the scheduler's account of each thread (`schedstat`), which is finer than clock ticks.
    fn of(pid: u32) -> Self {
        let mut cpu = Self { http: 0.0, process: 0.0 };
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
            let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let seconds =
                read("schedstat").split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9;
            cpu.process += seconds;
            if read("comm").trim() == "http" {
                cpu.http += seconds;
            }
        }
        cpu
    }

    fn since(&self, before: &Self, time: Duration) -> Self {
        let share = |now: f64, then: f64| (now - then) / time.as_secs_f64();
        Self { http: share(self.http, before.http), process: share(self.process, before.process) }
    }
}

/// Every stream's reader, on one thread.
struct Readers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Reader>>,
}

/// One stream.
struct Reader {
    stream: TcpStream,
    text: String,
    /// Number of the last event.
    last: Option<u64>,
    /// Events that do not follow the one before, and `resync`.
    broken: usize,
    delays_ms: Vec<f64>,
}

impl Readers {
    fn open(api: &str, streams: usize) -> Self {
        let mut readers: Vec<Reader> = (0..streams).map(|_| Reader::open(api)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            while !stopped.load(Ordering::Relaxed) {
                let mut ready: Vec<_> = readers.iter().map(|r| PollFd::new(&r.stream, PollFlags::IN)).collect();
                let _ = poll(&mut ready, Some(&patience));
                let ready: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
                readers.iter_mut().zip(ready).filter(|(_, ready)| *ready).for_each(|(reader, _)| reader.read());
            }
            readers
        });
        Self { stop, thread }
    }

    fn stop(self) -> Vec<Reader> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Reader {
    /// HTTP/1.0, so that the body comes without chunks, and waits until it is open.
    fn open(api: &str) -> Self {
        let mut stream = TcpStream::connect(api).unwrap();
        write!(stream, "GET /v1/events HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n").unwrap();
        let mut head = [0; 4096];
        let length = stream.read(&mut head).unwrap();
        assert!(String::from_utf8_lossy(&head[..length]).contains(" 200 "), "a stream was refused");
        stream.set_nonblocking(true).unwrap();
        Self { stream, text: String::new(), last: None, broken: 0, delays_ms: Vec::new() }
    }

    fn read(&mut self) {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => self.text += &String::from_utf8_lossy(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a stream broke: {error}"),
            }
        }
        let now = Timestamp::now();
        while let Some((event, rest)) = self.text.split_once("\n\n") {
            let (event, rest) = (event.to_owned(), rest.to_owned());
            self.take(&event, now);
            self.text = rest;
        }
    }

    fn take(&mut self, event: &str, now: Timestamp) {
        let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { return };
        let number = event.lines().find_map(|line| line.strip_prefix("id: ")?.rsplit_once('-')?.1.parse().ok());
        let follows = self.last.is_none_or(|last| number == Some(last + 1));
        self.broken += usize::from(!follows || event.contains("event: resync"));
        self.last = number.or(self.last);
        let at = data.split("\"at\":\"").nth(1).and_then(|rest| rest.split('"').next()?.parse::<Timestamp>().ok());
        let delay = now.duration_since(at.expect("every event says when"));
        self.delays_ms.push(delay.as_secs_f64() * 1000.0);
    }

    fn events(&self) -> usize {
        self.delays_ms.len()
    }

    fn is_whole(&self) -> bool {
        self.broken == 0
    }
}
