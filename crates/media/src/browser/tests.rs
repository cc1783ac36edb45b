//! A stream and its door, with a page at the other end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::page::{Page, Wants};
use super::*;
use crate::interface::Counters;

#[path = "../../tests/stories/page.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with the stories")]
mod page;

const EAR: ListenerId = ListenerId(7);

fn ours() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 30_000))
}

struct Pair {
    now: Instant,
    door: Door,
    counters: Counters,
    stream: Stream,
    page: Page,
    answer: String,
    news: Vec<News>,
    wake_at: Option<Instant>,
}

impl Pair {
    fn new(wants: Wants, lines: usize) -> Self {
        #[allow(clippy::disallowed_methods, reason = "a base for simulated instants")]
        let now = Instant::now();
        let mut page = Page::new(now, SocketAddr::from(([198, 51, 100, 9], 5000)), wants);
        let browsers = Browsers { home: 0, candidates: vec![ours()], max_legs: 10 };
        let certificate = Certificate::new().expect("a certificate");
        let offer = page.offer(lines);
        let mut rng = StdRng::from_seed([1; 32]);
        let (stream, answer) = Stream::open(now, &offer, &browsers, &certificate, &mut rng).expect("an answer");
        let mut door = Door::default();
        let Credentials { fragment, password } = Credentials::named_in(&answer).expect("credentials");
        door.name(EAR, &fragment, &password);
        page.answer(&answer);
        let (counters, news) = (Counters::default(), Vec::new());
        Self { now, door, counters, stream, page, answer, news, wake_at: Some(now) }
    }

    fn run(&mut self, ms: u64) {
        for n in 0..ms {
            self.now += Duration::from_millis(1);
            self.page.wake(self.now);
            for (_, data) in std::mem::take(&mut self.page.out) {
                self.arrives(self.page.address, &data);
            }
            if n % 20 == 0 && self.stream.is_connected() {
                for track in 0..self.stream.formats().count() {
                    self.stream.write(track, 1, &[track as u8; 80]);
                }
                self.wake_at = Some(self.now);
            }
            if self.wake_at.is_some_and(|at| at <= self.now) {
                self.stream.wake(self.now);
                self.drain();
            }
        }
    }

    fn arrives(&mut self, source: SocketAddr, data: &[u8]) {
        if self.door.admit(self.now, source, data, &mut self.counters).is_some() {
            self.stream.receive(self.now, source, data[0] < 4, data);
            self.drain();
        }
    }

    fn drain(&mut self) {
        let (now, page) = (self.now, &mut self.page);
        let (news, until) = self.stream.drain(now, |to, data| {
            assert_eq!(to, page.address);
            page.receive(now, ours(), data);
        });
        self.news.extend(news);
        self.wake_at = until;
    }
}

#[test]
fn a_page_hears_each_line_on_its_own_time() {
    for (wants, step) in [(Wants::Opus, 960), (Wants::Pcmu, 160)] {
        let mut pair = Pair::new(wants, 2);
        pair.run(1_500);
        assert!(pair.page.is_connected, "{}", pair.answer);
        assert_eq!(pair.news, [News::Connected]);
        for line in 0..2 {
            let heard = &pair.page.heard[&line];
            assert!(heard.len() > 50, "{}", heard.len());
            assert!(heard.iter().all(|packet| packet.payload[..] == [line as u8; 80]));
            let stamps: Vec<u32> = heard.iter().map(|packet| packet.header.timestamp).collect();
            assert!(stamps.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step), "{stamps:?}");
        }
        assert_eq!(pair.counters.browser_foreign + pair.counters.browser_unknown, 0);
    }
}

#[test]
fn an_answer_says_what_browsers_look_for() {
    let pair = Pair::new(Wants::OpusStereo, 2);
    println!("{}", pair.answer);
    let count = |text: &str| pair.answer.lines().filter(|line| line.starts_with(text)).count();
    assert_eq!(count("m=audio 9 UDP/TLS/RTP/SAVPF "), 2);
    assert_eq!((count("a=ice-lite"), count("a=group:BUNDLE "), count("a=rtcp-mux")), (1, 1, 2));
    assert_eq!((count("a=sendonly"), count("a=setup:passive"), count("a=mid:"), count("a=msid:")), (2, 2, 2, 2));
    assert_eq!((count("a=candidate:"), count("a=end-of-candidates")), (1, 1));
    assert!(pair.answer.contains(" udp 2") && pair.answer.contains(" 192.0.2.1 30000 typ host"));
}
