//! The load: legs that each send 50 packets a second, paced, over few sockets and in batches, and read what comes back.
//!
//! Many legs share a socket, for the relay tells them apart by its own ports; so thousands of calls cost the generator few
//! system calls, and it is the relay that is measured.

mod ear;
pub(crate) mod histogram;
pub(crate) mod packet;
mod receiver;
mod secure;
mod sender;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::thread::{ClockId, Timespec};
use socket2::{Domain, Protocol, Socket, Type};

use crate::device::{self, Usage};
use crate::setting::Setting;
pub(crate) use ear::Ear;
use histogram::Histogram;
use secure::Secure;
pub(crate) use secure::{KEY, LegKeys, Suite};

/// Where the generator's sockets are.
const IP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Sockets of each side: enough that the order of their queues does not matter, few enough to batch.
const SOCKETS_OF_A_SIDE: usize = 4;
/// Sockets that only hear: those of listeners.
const SINKS: usize = 4;
/// Bytes that a socket of ours may hold: the generator is never what loses.
const BUFFER: usize = 32 << 20;
/// Time between two packets of a leg.
const PACKET_TIME: Duration = Duration::from_millis(20);
/// Legs go on so long after what counts, so that its end is measured under load.
const TAIL: Duration = Duration::from_millis(100);

/// One leg of a call: legs 2n and 2n + 1 are its two sides.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    /// Which of the generator's sockets speaks for it.
    pub(crate) socket: usize,
    /// The relay's address for this side.
    pub(crate) to: SocketAddr,
    pub(crate) keys: Option<LegKeys>,
}

/// The sockets, which live as long as calls that name them.
#[derive(Debug)]
pub(crate) struct Generator {
    rtp: Vec<Bound>,
    /// Packets that a leg has sent so far, at most.
    rounds: AtomicU32,
}

#[derive(Debug)]
struct Bound {
    socket: Socket,
    address: SocketAddrV4,
    /// Takes what is sent to the next port, so that nobody is told that nobody is there.
    _rtcp: Socket,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Packets that were not, byte for byte, what was sent.
    pub(crate) altered: u64,
    /// Packets that arrived at another leg than the far one.
    pub(crate) strayed: u64,
    pub(crate) duplicates: u64,
    /// Legs that nothing was heard of.
    pub(crate) dead: usize,
    pub(crate) delay: Histogram,
    /// Between two packets that a leg received.
    pub(crate) spacing: Histogram,
    /// How much too late the generator sent.
    pub(crate) late: Histogram,
    /// Packets at the sockets of listeners, by the relay's port.
    pub(crate) heard: Vec<(u16, u64)>,
    /// What listeners heard, by the relay's port.
    pub(crate) ears: HashMap<u16, Ear>,
    /// Words as they reached the far side.
    pub(crate) words: Vec<Word>,
    pub(crate) device: Usage,
    pub(crate) generator: Usage,
}

impl Measured {
    /// Percent.
    pub(crate) fn loss(&self) -> f64 {
        self.sent.saturating_sub(self.received) as f64 * 100.0 / self.sent.max(1) as f64
    }

    /// CPU time of the device for each packet that it relayed, in microseconds.
    pub(crate) fn cpu_per_packet(&self) -> f64 {
        self.device.cpu.as_secs_f64() * 1e6 / self.received.max(1) as f64
    }
}

/// A word, see [`packet::is_word`]. Nanoseconds of the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) call: usize,
    pub(crate) sent: u64,
    pub(crate) relayed: u64,
}

/// From when to when packets count.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: u64,
    from: u64,
    to: u64,
}

impl Window {
    fn has(&self, at: u64) -> bool {
        (self.from..self.to).contains(&at)
    }
}

impl Generator {
    pub(crate) fn new() -> io::Result<Self> {
        let rtp = (0..2 * SOCKETS_OF_A_SIDE + SINKS).map(|_| Bound::new()).collect::<io::Result<_>>()?;
        Ok(Self { rtp, rounds: AtomicU32::new(0) })
    }

    /// The socket that speaks for a leg.
    pub(crate) fn socket_of(leg: usize) -> usize {
        2 * ((leg / 2) % SOCKETS_OF_A_SIDE) + leg % 2
    }

    /// Where a leg sends from and wants to be sent to.
    pub(crate) fn address_of(&self, leg: usize) -> SocketAddrV4 {
        self.rtp[Self::socket_of(leg)].address
    }

    /// Where a listener wants to be sent to.
    pub(crate) fn address_of_listener(&self, listener: usize) -> SocketAddrV4 {
        self.rtp[2 * SOCKETS_OF_A_SIDE + listener % SINKS].address
    }

    /// Sends from every leg and measures `setting.measured` after `setting.warm`; `pid` is whose CPU time counts.
    pub(crate) fn run(&self, setting: &Setting, legs: &[Leg], pid: Option<u32>) -> Measured {
        let start = wall_clock() + 50_000_000;
        let from = start + nanoseconds(setting.warm);
        let window = Window { start, from, to: from + nanoseconds(setting.measured) };
        let secure = legs.iter().any(|leg| leg.keys.is_some()).then(|| Arc::new(Secure::new(legs.len())));
        let stop = AtomicBool::new(false);
        let sockets: Vec<RawFd> = self.rtp.iter().map(|bound| bound.socket.as_raw_fd()).collect();
        std::thread::scope(|scope| {
            let receiving = receiver::Receiver::new(&self.rtp, legs, window, secure.clone());
            let receiver = scope.spawn(|| {
                setting.become_generator();
                receiving.run(&stop, !setting.no_wake)
            });
            let rounds = (nanoseconds(setting.warm + setting.measured + TAIL) / nanoseconds(PACKET_TIME)) as u32 + 1;
            let first_round = self.rounds.fetch_add(rounds, Ordering::Relaxed);
            let sending = sender::Sender::new(&sockets, legs, window, first_round, secure.clone());
            let sender = scope.spawn(|| {
                setting.become_generator();
                sending.run()
            });
            sleep_until(window.from);
            let before = (pid.map(device::usage), device::usage(std::process::id()));
            sleep_until(window.to);
            let after = (pid.map(device::usage), device::usage(std::process::id()));
            let (sent, late) = sender.join().expect("the sender does not panic");
            stop.store(true, Ordering::Relaxed);
            let mut measured = receiver.join().expect("the receiver does not panic");
            (measured.sent, measured.late) = (sent, late);
            if let (Some(before), Some(after)) = (before.0, after.0) {
                measured.device = after.since(&before);
            }
            measured.generator = after.1.since(&before.1);
            measured
        })
    }

    /// Listeners that should be silent send: 1,000 packets a second in all, to the relay's addresses for them.
    pub(crate) fn flood(&self, relay: &[SocketAddr], time: Duration) {
        let mut packet = [0; packet::LENGTH];
        packet::write(&mut packet, packet::Stamp { leg: u32::MAX >> 4, round: 0, sent: 0 });
        let sinks = &self.rtp[2 * SOCKETS_OF_A_SIDE..];
        let end = wall_clock() + nanoseconds(time);
        for to in relay.iter().cycle() {
            if wall_clock() > end {
                return;
            }
            let _ = sinks[0].socket.send_to(&packet, &(*to).into());
            sleep_until(wall_clock() + 1_000_000);
        }
    }
}

impl Bound {
    /// An even port whose neighbour is free, too.
    fn new() -> io::Result<Self> {
        for _ in 0..1000 {
            let socket = bind(0)?;
            let Some(SocketAddr::V4(address)) = socket.local_addr()?.as_socket() else { break };
            if !address.port().is_multiple_of(2) {
                continue;
            }
            let Ok(rtcp) = bind(address.port() + 1) else { continue };
            setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
            // By force where that is permitted, above the system's limit.
            if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER).is_err() {
                socket.set_recv_buffer_size(BUFFER)?;
            }
            return Ok(Self { socket, address, _rtcp: rtcp });
        }
        Err(io::Error::other(format!("no pair of ports is free on {IP}")))
    }
}

fn bind(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV4::new(IP, port).into())?;
    Ok(socket)
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

/// Nanoseconds of the clock that the kernel stamps packets with.
pub(crate) fn wall_clock() -> u64 {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn sleep_until(at: u64) {
    let at = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as _ };
    while rustix::thread::clock_nanosleep_absolute(ClockId::Realtime, &at).is_err() {}
}
