//! What a listener in a browser costs: memory of a leg that is connected, and CPU of one second of its stream, without the
//! system calls. Pages are `str0m` too, and are put aside before anything is measured.

#![allow(clippy::disallowed_methods, reason = "a bench runs against real clocks")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::browser::Browsers;
use media::{Codec, Command, Event, Kind, ListenerId, Port, Remote, Settings, Shard, Sink, StreamId, Taps};

use self::page::{Page, Wants};

#[path = "../../crates/media/tests/stories/page.rs"]
#[allow(unreachable_pub, dead_code, missing_docs, reason = "shared with the stories of the media plane")]
mod page;

/// Legs of one call.
const LEGS: u64 = 200;
/// Seconds of stream that are measured.
const SECONDS: u64 = 10;
const AGENT: StreamId = StreamId(1);

#[derive(Default)]
struct Out {
    sent: Vec<(SocketAddr, Vec<u8>)>,
    packets: u64,
    keeps: bool,
    answer: Option<String>,
}

impl Sink for Out {
    fn send(&mut self, _: Port, _: Kind, _: SocketAddr, _: &[u8]) {}
    fn send_browser(&mut self, _: usize, to: SocketAddr, data: &[u8]) {
        self.packets += 1;
        if self.keeps {
            self.sent.push((to, data.to_vec()));
        }
    }
    fn event(&mut self, event: Event) {
        if let Event::BrowserAnswer { answer: Ok(answer), .. } = event {
            self.answer = Some(answer);
        }
    }
    fn release(&mut self, _: Port) {}
}

/// With a number: that kind alone. Memory is told apart only in a process that has not freed any yet: that of the first.
fn main() {
    let kinds = [
        ("PCMU", Wants::Pcmu, 1),
        ("Opus", Wants::Opus, 1),
        ("Opus stereo", Wants::OpusStereo, 1),
        ("Opus", Wants::Opus, 2),
    ];
    let only = std::env::args().nth(1).and_then(|only| only.parse::<usize>().ok());
    for (n, (name, wants, lines)) in kinds.into_iter().enumerate() {
        if only.is_none_or(|only| only == n) {
            measure(name, wants, lines);
        }
    }
}

fn measure(name: &str, wants: Wants, lines: usize) {
    let ours = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let browsers = Browsers { home: 0, candidates: vec![ours], max_legs: LEGS as usize };
    let mut now = Instant::now();
    let (mut shard, mut out) = (Shard::new(Settings { browsers, ..Settings::default() }, [1; 32]), Out::default());
    out.keeps = true;
    let phone = SocketAddr::from(([10, 0, 0, 1], 4000));
    let remote = Remote {
        rtp: Some(phone),
        rtcp: None,
        sends: true,
        receives: true,
        decodable: vec![(0, Codec::Pcmu)],
        telephone_event: None,
        latch: None,
        mux: false,
        keys: None,
    };
    shard.command(now, Command::Open { stream: AGENT, port: Port(20_000) }, &mut out);
    shard.command(now, Command::Describe { stream: AGENT, remote }, &mut out);
    // Pages first, so that what the legs take is told apart.
    let page = |n: u64| SocketAddr::from(([10, 9, (n >> 8) as u8, n as u8], 5000));
    let mut pages: HashMap<SocketAddr, Page> = (0..LEGS).map(|n| (page(n), Page::new(now, page(n), wants))).collect();
    let offers: Vec<String> =
        (0..LEGS).map(|n| pages.get_mut(&page(n)).map(|page| page.offer(lines)).unwrap_or_default()).collect();
    let with_pages = resident();
    let mut answers = Vec::new();
    for (n, offer) in offers.into_iter().enumerate() {
        let listener = ListenerId(n as u64);
        shard.command(now, Command::OpenBrowser { listener, shard: 0, offer }, &mut out);
        shard.command(now, Command::Focus { listener, taps: Some(Taps { agent: AGENT }) }, &mut out);
        answers.extend(out.answer.take());
    }
    let with_legs = resident();
    for (n, answer) in answers.iter().enumerate() {
        pages.get_mut(&page(n as u64)).into_iter().for_each(|page| page.answer(answer));
    }
    for _ in 0..2_000 {
        now += Duration::from_millis(1);
        for page in pages.values_mut() {
            page.wake(now);
            page.heard.clear();
            page.sent.clear();
            for (_, data) in std::mem::take(&mut page.out) {
                shard.browser_datagram(now, page.address, &data, &mut out);
            }
        }
        if shard.wake_at().is_some_and(|at| at <= now) {
            shard.wake(now, &mut out);
        }
        for (to, data) in std::mem::take(&mut out.sent) {
            pages.get_mut(&to).into_iter().for_each(|page| page.receive(now, ours, &data));
        }
    }
    let with_both = resident();
    let connected = pages.values().filter(|page| page.is_connected).count();
    out.keeps = false;
    out.packets = 0;
    let began = on_cpu();
    for ms in 0..SECONDS * 1_000 {
        now += Duration::from_millis(1);
        if ms % 20 == 0 {
            let mut data = media::rtp::header(false, 0, (ms / 20) as u16, ms as u32 * 8, 7).to_vec();
            data.extend((0..160).map(|n: u8| n.wrapping_mul(37) ^ ms as u8));
            shard.datagram(now, Port(20_000), Kind::Rtp, phone, &mut data, &mut out);
        }
        if shard.wake_at().is_some_and(|at| at <= now) {
            shard.wake(now, &mut out);
        }
    }
    let took = on_cpu().saturating_sub(began);
    let per_leg = took.as_secs_f64() * 1e3 / (LEGS * SECONDS) as f64;
    let kib = |from: u64, to: u64| to.saturating_sub(from) / 1024 / LEGS;
    println!(
        "{name}, {lines} line(s): {connected} of {LEGS} connected; {per_leg:.3} ms of CPU a leg and second of stream, {} packets; \
         {} KiB a leg that is opened, {} KiB more when connected, of it and its page together",
        out.packets,
        kib(with_pages, with_legs),
        kib(with_legs, with_both),
    );
}

/// What this process, which has one thread, has had of a CPU.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}
