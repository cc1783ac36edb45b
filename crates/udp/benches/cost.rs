//! What a packet costs on the thread that relays it: CPU time of that thread, nothing else counted.
//!
//! `cargo bench -p medlytt-udp`. One thread on one core sends packets to random sockets, lets the contestant relay
//! them to a sink (timed), and empties the sink. Contestants take turns within one run; medians of all rounds. The
//! bare loop is what `udpraw relay` of the shared harness does: unconnected sockets, edge-triggered epoll, `recvfrom`
//! until dry, `sendto`.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench that cannot run is a bench that fails")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::event::epoll;
use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};
use udp::{Epoll, Io, Key, Options, Uring};

const SOCKETS: usize = 512;
const ROUNDS: usize = 40;
/// Turns in a round, and the size of a G.711 packet.
const TURNS: usize = 20;
const PACKET: [u8; 172] = [0x55; 172];
const OPTIONS: Options = Options { receive_buffer: 32 * 1024, tos: 0xb8, dual_stack: false };

fn main() {
    if let Some(&cpu) = udp::allowed_cpus().unwrap().last() {
        udp::pin_to(cpu).unwrap();
    }
    let uring = Uring::probe();
    if let Err(why) = &uring {
        println!("io_uring is not available: {why}");
    }
    let uring = uring.is_ok();
    let mut random = 1;
    for packets in [1, 16, 128, 512] {
        let mut contestants: Vec<(&str, Box<dyn Contestant>)> = vec![
            ("bare loop", Box::new(Bare::new())),
            ("epoll, unconnected", Box::new(Relay::<Epoll>::new(false))),
            ("epoll, connected", Box::new(Relay::<Epoll>::new(true))),
        ];
        if uring {
            contestants.push(("io_uring, unconnected", Box::new(Relay::<Uring>::new(false))));
            contestants.push(("io_uring, connected", Box::new(Relay::<Uring>::new(true))));
        }
        compete(&format!("relay, {packets} packets a turn"), &mut contestants, packets, &mut random);
    }
    for (what, one) in [("50 copies from 50 sockets", false), ("50 copies from one socket", true)] {
        let mut contestants: Vec<(&str, Box<dyn Contestant>)> = vec![
            ("epoll, send", Box::new(Fork { relay: Relay::<Epoll>::new(true), one, later: false })),
            ("epoll, send_later", Box::new(Fork { relay: Relay::<Epoll>::new(true), one, later: true })),
        ];
        if uring {
            contestants.push(("io_uring", Box::new(Fork { relay: Relay::<Uring>::new(true), one, later: true })));
        }
        compete(what, &mut contestants, 50, &mut random);
    }
}

trait Contestant {
    /// What comes in before a turn; not timed.
    fn prepare(&mut self, packets: usize, random: &mut u64);
    /// Takes all of it and sends it on.
    fn turn(&mut self, packets: usize);
    fn sink(&self) -> &UdpSocket;
}

fn compete(what: &str, contestants: &mut [(&str, Box<dyn Contestant>)], packets: usize, random: &mut u64) {
    let mut times = vec![Vec::new(); contestants.len()];
    for round in 0..ROUNDS {
        for ((_, contestant), times) in contestants.iter_mut().zip(&mut times) {
            let mut spent = 0;
            for _ in 0..TURNS {
                contestant.prepare(packets, random);
                let start = thread_time();
                contestant.turn(packets);
                spent += thread_time() - start;
                let mut buffer = [0; 256];
                let arrived = std::iter::from_fn(|| contestant.sink().recv(&mut buffer).ok()).count();
                assert_eq!(arrived, packets);
            }
            if round >= ROUNDS / 10 {
                times.push(spent as f64 / (TURNS * packets) as f64);
            }
        }
    }
    println!("\n{what}");
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    for ((name, _), ns) in contestants.iter().zip(&medians) {
        println!("  {name:24} {ns:6.0} ns a packet, {:.2} of the first", ns / medians[0]);
    }
}

/// A socket that hears all packets, and sends those that come in: so it is everybody's peer.
fn sink() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    // By force, where that is allowed: a turn must fit.
    let size: libc::c_int = 8 << 20;
    let of_int = size_of::<libc::c_int>() as libc::socklen_t;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: the option's value is an int that outlives the call.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const size).cast(), of_int) };
    socket
}

fn send_in(sink: &UdpSocket, addresses: &[SocketAddr], packets: usize, random: &mut u64) {
    for _ in 0..packets {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let to = addresses[(*random >> 33) as usize % addresses.len()];
        assert_eq!(sink.send_to(&PACKET, to).unwrap(), PACKET.len());
    }
}

struct Relay<I> {
    io: I,
    sink: UdpSocket,
    peer: SocketAddr,
    addresses: Vec<SocketAddr>,
}

impl<I: Io> Relay<I> {
    fn new(connected: bool) -> Self {
        let (mut io, sink) = (I::new().unwrap(), sink());
        let peer = sink.local_addr().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let addresses = (0..SOCKETS as Key).map(|key| io.bind(key, any, &OPTIONS).unwrap()).collect();
        if connected {
            (0..SOCKETS as Key).for_each(|key| assert_ne!(io.connect(key, Some(peer)).unwrap(), peer));
        }
        io.wait(Duration::ZERO).unwrap();
        Self { io, sink, peer, addresses }
    }
}

impl<I: Io> Contestant for Relay<I> {
    fn prepare(&mut self, packets: usize, random: &mut u64) {
        send_in(&self.sink, &self.addresses, packets, random);
    }

    fn turn(&mut self, packets: usize) {
        let (mut buffer, mut relayed) = ([0; 2048], 0);
        while relayed < packets {
            self.io.wait(Duration::from_secs(1)).unwrap();
            while let Some(received) = self.io.receive(&mut buffer) {
                self.io.send(received.key, self.peer, &buffer[..received.length]);
                relayed += 1;
            }
        }
        self.io.flush();
    }

    fn sink(&self) -> &UdpSocket {
        &self.sink
    }
}

struct Fork<I> {
    relay: Relay<I>,
    one: bool,
    later: bool,
}

impl<I: Io> Contestant for Fork<I> {
    fn prepare(&mut self, _packets: usize, _random: &mut u64) {}

    fn turn(&mut self, packets: usize) {
        let Relay { io, peer, .. } = &mut self.relay;
        for number in 0..packets as Key {
            let key = if self.one { 7 } else { number };
            if self.later {
                io.send_later(key, *peer, &PACKET);
            } else {
                io.send(key, *peer, &PACKET);
            }
        }
        io.flush();
    }

    fn sink(&self) -> &UdpSocket {
        &self.relay.sink
    }
}

struct Bare {
    epoll: rustix::fd::OwnedFd,
    sockets: Vec<UdpSocket>,
    events: Vec<epoll::Event>,
    sink: UdpSocket,
    addresses: Vec<SocketAddr>,
}

impl Bare {
    fn new() -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let sockets: Vec<_> = (0..SOCKETS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for (index, socket) in sockets.iter().enumerate() {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&epoll, socket, epoll::EventData::new_u64(index as u64), flags).unwrap();
        }
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        Self { epoll, sockets, events: Vec::with_capacity(512), sink: sink(), addresses }
    }
}

impl Contestant for Bare {
    fn prepare(&mut self, packets: usize, random: &mut u64) {
        send_in(&self.sink, &self.addresses, packets, random);
    }

    fn turn(&mut self, packets: usize) {
        let (mut buffer, mut relayed) = ([0; 2048], 0);
        let peer = self.sink.local_addr().unwrap();
        while relayed < packets {
            self.events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), None).unwrap();
            for event in &self.events {
                let socket = &self.sockets[event.data.u64() as usize];
                while let Ok((_, length, from)) = recvfrom(socket, &mut buffer, RecvFlags::DONTWAIT) {
                    std::hint::black_box(from);
                    sendto(socket, &buffer[..length], SendFlags::DONTWAIT, &peer).unwrap();
                    relayed += 1;
                }
            }
        }
    }

    fn sink(&self) -> &UdpSocket {
        &self.sink
    }
}

fn thread_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
