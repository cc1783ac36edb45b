//! Media threads with real sockets on loopback. Every wait ends with what it waits for, or fails by a time limit.

mod alone;
mod browsers;
mod threads;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use media::{Codec, Event, Port, Remote};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
/// More than a socket's share of a turn.
const MANY: u16 = 50;

struct Stage {
    media: MediaThread,
    events: mpsc::Receiver<FromThread>,
    runtime: tokio::runtime::Runtime,
}

fn binding(address: IpAddr) -> Binding {
    Binding {
        address,
        announced: address,
        announced6: None,
        own: vec![address],
        connect: true,
        options: udp::Options { receive_buffer: 32 * 1024, tos: 0xb8, dual_stack: true },
    }
}

fn set_up(ports: (u16, u16), ready: usize, quarantine: Duration) -> Setup {
    Setup {
        browsers: BrowserSockets::default(),
        clock: Clock::new(),
        shard: 0,
        layout: Layout { first: ports.0, shards: 1 },
        last_port: ports.1,
        settings: media::Settings::default(),
        binding: binding(IpAddr::from([127, 0, 0, 1])),
        room: Room { ready, kept: 64, descriptors: 1000 },
        quarantine,
        lag_limits: LagLimits { forks: Duration::from_millis(5), calls: Duration::from_millis(20) },
        seed: [7; 32],
        cpu: None,
    }
}

fn stage(kind: IoKind, setup: Setup) -> Stage {
    let (sender, events) = mpsc::channel(1024);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    Stage { media: MediaThread::start(kind, setup, sender).unwrap(), events, runtime }
}

impl Stage {
    fn next(&mut self) -> Event {
        let events = &mut self.events;
        self.runtime
            .block_on(async { tokio::time::timeout(LIMIT, events.recv()).await })
            .map(|told| told.expect("the thread lives"))
            .map(event)
            .expect("an event within the limit")
    }

    fn ready(&mut self) -> (Port, SocketAddr) {
        match self.next() {
            Event::PortReady { port, addr, .. } => (port, addr),
            other => panic!("{other:?} instead of a port"),
        }
    }

    /// Until the figures, which come once a second, say so.
    fn until(&self, what: &str, check: impl Fn(&MediaFigures) -> bool) {
        let end = Instant::now() + LIMIT;
        while !check(&self.media.figures()) {
            assert!(Instant::now() < end, "never: {what}: {:?}", self.media.figures());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn order(&mut self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.media.send(ToShard::Command(command));
        }
        assert!(!self.media.flush());
    }
}

/// Otherwise there is nothing to try; the log of the test says why.
fn has_io_uring() -> bool {
    udp::Uring::probe().inspect_err(|error| println!("no io_uring here: {error}")).is_ok()
}

fn event((_, told): FromThread) -> Event {
    match told {
        FromShard::Event(event) => event,
        other => panic!("{other:?} is no event"),
    }
}

/// A phone's socket.
fn phone() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

fn remote(phone: &UdpSocket) -> Remote {
    let addr = phone.local_addr().unwrap();
    Remote {
        rtp: Some(addr),
        rtcp: None,
        sends: true,
        receives: true,
        decodable: vec![(8, Codec::Pcma)],
        telephone_event: None,
        latch: None,
        mux: false,
        keys: None,
    }
}

/// A G.711 packet (RFC 3550 §5.1).
fn packet(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(0x1234_5678_u32.to_be_bytes());
    packet.extend([0xd5; 160]);
    packet
}

/// A range of this test's own, below the ports that the system gives out by itself, that is free now.
fn range(pairs: u16) -> (u16, u16) {
    static TAKEN: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let free = |base: u16| (base..base + pairs * 2).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok());
    let start = 10_240 + u16::try_from(std::process::id() % 90).unwrap() * 100;
    loop {
        let base = start + TAKEN.fetch_add(pairs * 2, std::sync::atomic::Ordering::Relaxed);
        assert!(base < 32_000, "no free range of ports");
        if free(base) {
            return (base, base + pairs * 2 - 1);
        }
    }
}
