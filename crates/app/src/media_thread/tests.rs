//! The media thread with real sockets on loopback. Every wait ends with what it waits for, or fails by a time limit.

use std::net::{SocketAddr, UdpSocket};

use media::{BatchId, Codec, Remote, StreamId};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

struct Stage {
    media: MediaThread,
    events: mpsc::Receiver<Event>,
    runtime: tokio::runtime::Runtime,
}

fn stage(ports: (u16, u16), pool: usize, quarantine: Duration) -> Stage {
    let (sender, events) = mpsc::channel(1024);
    let ip = IpAddr::from([127, 0, 0, 1]);
    let setup = Setup {
        shard: media::Settings::default(),
        address: ip,
        announced: ip,
        ports,
        quarantine,
        port_pool: pool,
        seed: [7; 32],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    Stage { media: MediaThread::start(setup, sender).unwrap(), events, runtime }
}

impl Stage {
    fn next(&mut self) -> Event {
        let events = &mut self.events;
        self.runtime
            .block_on(async { tokio::time::timeout(LIMIT, events.recv()).await })
            .expect("an event within the limit")
            .expect("the thread lives")
    }

    fn ready(&mut self) -> (Port, SocketAddr) {
        match self.next() {
            Event::PortReady { port, addr, .. } => (port, addr),
            other => panic!("{other:?} instead of a port"),
        }
    }

    fn order(&mut self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.media.send(command);
        }
        assert!(!self.media.flush());
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

#[test]
fn packets_pass_between_two_phones_and_ports_come_back() {
    let mut stage = stage(range(4), 2, Duration::ZERO);
    let ((a_port, a_addr), (b_port, b_addr)) = (stage.ready(), stage.ready());
    let (alice, bob) = (phone(), phone());
    let (a, b) = (StreamId(1), StreamId(2));
    stage.order([
        Command::Open { stream: a, port: a_port },
        Command::Open { stream: b, port: b_port },
        Command::Describe { stream: a, remote: remote(&alice) },
        Command::Describe { stream: b, remote: remote(&bob) },
        Command::Bridge { a, b },
        Command::Done(BatchId(1)),
    ]);
    let events: Vec<Event> = (0..3).map(|_| stage.next()).collect();
    assert!(events.contains(&Event::Done { batch: BatchId(1), ok: true }), "{events:?}");
    let refilled = events.iter().filter(|event| matches!(event, Event::PortReady { .. })).count();
    assert_eq!(refilled, 2, "two were taken, so two are made ready: {events:?}");

    // More than one socket's share at once: an edge-triggered socket that is left half read would never tell again.
    let sent: Vec<Vec<u8>> = (0..u16::try_from(PER_SOCKET * 2 + 3).unwrap()).map(packet).collect();
    for data in &sent {
        alice.send_to(data, a_addr).unwrap();
    }
    let mut buffer = [0; 2048];
    for data in &sent {
        let (length, from) = bob.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (data.as_slice(), b_addr));
    }
    bob.send_to(&packet(9), b_addr).unwrap();
    assert_eq!(alice.recv_from(&mut buffer).unwrap().1, a_addr);

    stage.order([Command::Close { stream: a }, Command::Close { stream: b }]);
    let mut closed = 0;
    while closed < 2 {
        closed += usize::from(matches!(stage.next(), Event::Closed { .. }));
    }
    UdpSocket::bind(a_addr).expect("the port was given back to the system");
}

#[test]
fn a_busy_port_is_passed_over() {
    let (first, last) = range(3);
    let taken = UdpSocket::bind(("127.0.0.1", first + 3)).unwrap(); // the RTCP port of the second pair
    let mut stage = stage((first, last), 2, Duration::ZERO);
    let mut ready = [stage.ready().0.0, stage.ready().0.0];
    ready.sort_unstable();
    assert_eq!(ready, [first, first + 4]);
    drop(taken);
}

#[test]
fn a_used_port_rests() {
    let (first, last) = range(2);
    let mut stage = stage((first, last), 1, Duration::from_secs(3600));
    let (port, _) = stage.ready();
    stage.order([Command::Open { stream: StreamId(1), port }, Command::Close { stream: StreamId(1) }]);
    let mut seen = vec![stage.next(), stage.next()];
    seen.retain(|event| matches!(event, Event::PortReady { .. }));
    let other = if port.0 == first { first + 2 } else { first };
    assert!(matches!(seen[..], [Event::PortReady { port: Port(number), .. }] if number == other), "{seen:?}");
    stage.order([Command::Open { stream: StreamId(2), port: Port(other) }, Command::Close { stream: StreamId(2) }]);
    assert!(matches!(stage.next(), Event::Closed { .. }));
    // Both rest now: the thread goes on without a port to give, and says so in its figures.
    stage.order([Command::Done(BatchId(2))]);
    assert_eq!(stage.next(), Event::Done { batch: BatchId(2), ok: true });
}

#[test]
fn a_closed_door_ends_the_thread() {
    let mut stage = stage(range(2), 1, Duration::ZERO);
    stage.ready();
    drop(stage.media);
    let events = &mut stage.events;
    assert!(stage.runtime.block_on(async { tokio::time::timeout(LIMIT, events.recv()).await }).unwrap().is_none());
}
