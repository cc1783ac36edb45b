//! Pairs of RTP and RTCP sockets: bound ahead of calls, read by number, closed and quarantined after use.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use media::ports::PortNumbers;
use media::{Event, Kind, Port, Sink};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// Receive buffer of each socket (the kernel doubles it): about 0.8 s of one G.711 stream. The system's default holds
/// five seconds, which a loaded machine would turn into five seconds of delay; overload is to drop instead.
const RECEIVE_BUFFER: usize = 32 * 1024;
/// DSCP EF, expedited forwarding (RFC 3246), as the byte of the IP header.
const TOS_EXPEDITED: u32 = 0xb8;
/// Ports tried in one go before a refill gives up for now.
const ATTEMPTS: usize = 64;
/// Pause after a refill that could not bind enough.
const REFILL_PAUSE: Duration = Duration::from_millis(100);
/// One slot for each port number.
const NUMBERS: usize = 1 << 16;

/// What went wrong with sockets, counted; never fatal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketCounters {
    /// The peer has no socket there (ICMP port unreachable).
    pub(crate) refused: u64,
    /// The socket's send buffer was full.
    pub(crate) full: u64,
    /// Any other error of a send.
    pub(crate) send_failed: u64,
    /// An error of a read.
    pub(crate) receive_failed: u64,
    /// A port was somebody else's.
    pub(crate) busy: u64,
    /// A port could not be bound for another reason (descriptors).
    pub(crate) bind_failed: u64,
}

/// All sockets of a media thread, by port number, and what goes out to the engine.
#[derive(Debug)]
pub(super) struct Sockets {
    registry: Registry,
    address: IpAddr,
    announced: IpAddr,
    numbers: PortNumbers,
    sockets: Vec<Option<UdpSocket>>,
    /// Pairs that the engine may still give out.
    ready: usize,
    wanted: usize,
    refill_at: Option<Instant>,
    /// The loop's time, for quarantines.
    pub(super) now: Instant,
    pub(super) events: VecDeque<Event>,
    pub(super) counters: SocketCounters,
}

impl Sockets {
    /// No sockets yet; `wanted` pairs are kept ready, with `announced` as the address that peers send to.
    pub(super) fn new(
        registry: Registry,
        address: IpAddr,
        announced: IpAddr,
        numbers: PortNumbers,
        wanted: usize,
    ) -> Self {
        Self {
            registry,
            address,
            announced,
            numbers,
            sockets: std::iter::repeat_with(|| None).take(NUMBERS).collect(),
            ready: 0,
            wanted,
            refill_at: None,
            now: Instant::now(),
            events: VecDeque::new(),
            counters: SocketCounters::default(),
        }
    }

    /// Binds pairs until enough are ready, and tells the engine of each.
    pub(super) fn refill(&mut self) {
        if self.ready >= self.wanted || self.refill_at.is_some_and(|at| at > self.now) {
            return;
        }
        self.refill_at = None;
        let mut attempts = ATTEMPTS;
        while self.ready < self.wanted {
            let Some(number) = self.numbers.draw(self.now) else { break };
            match self.bind_pair(number) {
                Ok(()) => {
                    self.ready += 1;
                    let addr = SocketAddr::new(self.announced, number);
                    self.events.push_back(Event::PortReady { port: Port(number), addr, addr6: None });
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    self.counters.busy += 1;
                    self.numbers.busy(self.now, number);
                }
                Err(_) => {
                    self.counters.bind_failed += 1;
                    self.numbers.release(self.now, number);
                    break;
                }
            }
            attempts -= 1;
            if attempts == 0 {
                break;
            }
        }
        if self.ready < self.wanted {
            self.refill_at = Some(self.now + REFILL_PAUSE);
        }
    }

    /// When a refill is due again.
    pub(super) fn refill_at(&self) -> Option<Instant> {
        self.refill_at
    }

    /// The engine gave a pair to a leg.
    pub(super) fn taken(&mut self) {
        self.ready = self.ready.saturating_sub(1);
    }

    /// Pairs that are bound, ready ones included.
    pub(super) fn in_use(&self) -> usize {
        self.numbers.in_use()
    }

    /// One datagram of a socket; `None`: it is dry, or gone.
    pub(super) fn receive(&mut self, number: u16, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let socket = self.sockets[usize::from(number)].as_ref()?;
        match socket.recv_from(buffer) {
            Ok(received) => Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                // An ICMP error ends this reading only: the socket has been emptied of it and stays.
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    self.counters.refused += 1;
                } else {
                    self.counters.receive_failed += 1;
                }
                None
            }
        }
    }

    fn bind_pair(&mut self, number: u16) -> io::Result<()> {
        // Both or none: a pair whose RTCP port is somebody else's is of no use.
        let (mut rtp, mut rtcp) = (bind(self.address, number)?, bind(self.address, number + 1)?);
        self.registry.register(&mut rtp, Token(usize::from(number)), Interest::READABLE)?;
        self.registry.register(&mut rtcp, Token(usize::from(number) + 1), Interest::READABLE)?;
        self.sockets[usize::from(number)] = Some(rtp);
        self.sockets[usize::from(number) + 1] = Some(rtcp);
        Ok(())
    }
}

impl Sink for Sockets {
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        let number = usize::from(port.0) + usize::from(kind == Kind::Rtcp);
        let Some(socket) = self.sockets.get(number).and_then(Option::as_ref) else { return };
        if let Err(error) = socket.send_to(data, to) {
            match error.kind() {
                io::ErrorKind::ConnectionRefused => self.counters.refused += 1,
                io::ErrorKind::WouldBlock => self.counters.full += 1,
                _ => self.counters.send_failed += 1,
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    fn release(&mut self, port: Port) {
        for number in [usize::from(port.0), usize::from(port.0) + 1] {
            if let Some(mut socket) = self.sockets.get_mut(number).and_then(Option::take) {
                // Closing takes it out of the poll anyway.
                let _ = self.registry.deregister(&mut socket);
            }
        }
        self.numbers.release(self.now, port.0);
    }
}

fn bind(address: IpAddr, number: u16) -> io::Result<UdpSocket> {
    let addr = SocketAddr::new(address, number);
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    // Wishes: a system that refuses them still carries voice.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = if addr.is_ipv6() { socket.set_tclass_v6(TOS_EXPEDITED) } else { socket.set_tos_v4(TOS_EXPEDITED) };
    Ok(UdpSocket::from_std(socket.into()))
}
