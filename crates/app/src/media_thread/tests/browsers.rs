//! A listener in a browser, by the sockets for browsers of real threads.

use std::net::Ipv4Addr;

use media::browser::{Browsers, Note};
use media::router::{MoveId, Take};
use media::{ListenerId, Settings};

use self::page::{Page, Wants};
use super::*;

#[path = "../../../../media/tests/stories/page.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared with the stories of the media plane")]
mod page;

const EAR: ListenerId = ListenerId(1);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Two threads with a socket for browsers each, their tales in one queue, and a page with a socket of its own.
struct Pair {
    threads: Vec<MediaThread>,
    events: mpsc::Receiver<FromThread>,
    at: Vec<SocketAddr>,
    socket: UdpSocket,
    page: Page,
    /// Where the leg is.
    seat: usize,
    answer: Option<String>,
    parcels: usize,
    sources: Vec<SocketAddr>,
}

fn pair(kind: IoKind) -> Pair {
    let (sender, events) = mpsc::channel(1024);
    let any = SocketAddr::new(LOOPBACK, 0);
    let (sockets, at) = BrowserSockets::bind(any, 2, &binding(LOOPBACK).options).unwrap();
    let ports = range(4);
    let start = |(shard, browsers)| {
        let layout = Layout { first: ports.0, shards: 2 };
        let reached = Browsers { home: shard, candidates: vec![at[shard]], max_legs: 2 };
        let settings = Settings { browsers: reached, ..Settings::default() };
        let setup = Setup { shard, layout, settings, browsers, ..set_up(ports, 1, Duration::ZERO) };
        MediaThread::start(kind, setup, sender.clone()).unwrap()
    };
    let threads = sockets.into_iter().enumerate().map(start).collect();
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let page = Page::new(Instant::now(), socket.local_addr().unwrap(), Wants::Pcmu);
    let (answer, parcels, sources) = (None, 0, Vec::new());
    Pair { threads, events, at, socket, page, seat: 0, answer, parcels, sources }
}

impl Pair {
    fn tell(&mut self, shard: usize, to: ToShard<Luggage>) {
        self.threads[shard].send(to);
        assert!(!self.threads[shard].flush());
    }

    /// Does what a router and a page do, until this is so.
    fn until(&mut self, what: &str, check: impl Fn(&Self) -> bool) {
        let end = Instant::now() + LIMIT;
        let mut buffer = [0; udp::LONGEST];
        while !check(self) {
            assert!(Instant::now() < end, "never: {what}");
            while let Ok((_, told)) = self.events.try_recv() {
                match told {
                    FromShard::Event(Event::BrowserAnswer { answer, .. }) => self.answer = answer.ok(),
                    FromShard::Note(note @ Note::Datagram { .. }) => self.tell(self.seat, ToShard::Note(note)),
                    FromShard::Note(note) => self.tell(0, ToShard::Note(note)),
                    FromShard::Taken { parcel, .. } => {
                        self.parcels += 1;
                        self.tell(self.seat, ToShard::Adopt(parcel.expect("it was there")));
                    }
                    _ => {}
                }
            }
            self.page.wake(Instant::now());
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                self.sources.push(from);
                self.page.receive(Instant::now(), from, &buffer[..length]);
            }
            for (to, data) in std::mem::take(&mut self.page.out) {
                self.socket.send_to(&data, to).unwrap();
            }
        }
    }

    fn heard(&self) -> usize {
        self.page.heard.values().map(Vec::len).sum()
    }
}

fn a_page_goes_on_being_sent_to_from_where_it_began(kind: IoKind) {
    let mut pair = pair(kind);
    let offer = pair.page.offer(1);
    pair.tell(0, ToShard::Command(Command::OpenBrowser { listener: EAR, shard: 0, offer }));
    pair.until("an answer", |pair| pair.answer.is_some());
    let answer = pair.answer.take().unwrap();
    assert!(answer.contains(&format!(" 127.0.0.1 {} typ host", pair.at[0].port())), "{answer}");
    pair.page.answer(&answer);
    pair.until("silence is heard", |pair| pair.heard() > 10);
    pair.seat = 1;
    let take = Take { id: MoveId(1), streams: Vec::new(), listeners: vec![EAR] };
    pair.tell(0, ToShard::Take(take));
    let (before, fresh) = (pair.heard(), pair.page.restart());
    pair.until("it moved", |pair| pair.parcels == 1);
    pair.tell(1, ToShard::Command(Command::RestartBrowser { listener: EAR, fragment: fresh }));
    pair.until("an answer from there", |pair| pair.answer.is_some());
    let answer = pair.answer.take().unwrap();
    pair.page.answer(&answer);
    pair.until("it is heard as before", |pair| pair.heard() > before + 100);
    assert!(pair.sources.iter().all(|source| *source == pair.at[0]), "by the socket where it began");
    pair.until("its checks get there", |pair| pair.threads[0].figures().shard.browser_checks > 2);
    pair.tell(1, ToShard::Command(Command::CloseListener { listener: EAR }));
    pair.until("it is told of the end", |pair| pair.page.is_closed);
}

#[test]
fn epoll() {
    a_page_goes_on_being_sent_to_from_where_it_began(IoKind::Epoll);
}

#[test]
fn io_uring() {
    if has_io_uring() {
        a_page_goes_on_being_sent_to_from_where_it_began(IoKind::IoUring);
    }
}

#[test]
fn ports_follow_each_other_or_are_any() {
    let options = binding(LOOPBACK).options;
    let base = range(2).0;
    let (_kept, at) = BrowserSockets::bind(SocketAddr::new(LOOPBACK, base), 3, &options).unwrap();
    assert_eq!(at.iter().map(SocketAddr::port).collect::<Vec<_>>(), [base, base + 1, base + 2]);
    assert!(BrowserSockets::bind(at[1], 1, &options).is_err(), "it is somebody's");
    assert!(BrowserSockets::bind(SocketAddr::new(LOOPBACK, 65_535), 2, &options).is_err());
}
