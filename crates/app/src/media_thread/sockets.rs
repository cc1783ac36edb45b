//! Pairs of RTP and RTCP sockets: bound ahead of calls, kept through quarantine, connected once a source is known.
//!
//! A pair that a call gives back stays bound while its number rests: nobody else can have the port, what comes late is
//! read and counted, and the next call costs the kernel nothing. Descriptors have an end: beyond it kept pairs are closed
//! first, then RTCP sockets that rtcp-mux made idle; only then a pair cannot be bound, and the call gets its 503.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use media::browser::Note;
use media::ports::{Drawn, PortNumbers};
use media::router::FromShard;
use media::{Event, Kind, Port, Sink};
use udp::{Io, Key, Options, Received};

use super::browser_sockets::{BROWSERS, BrowserSockets};
use super::luggage::{Luggage, Packed, PackedSocket};

/// Ports tried in one go before a refill gives up for now.
const ATTEMPTS: usize = 64;
/// Pairs bound in one turn: a packet waits no longer than for these.
const PER_TURN: usize = 16;
/// Pause after a refill that could not bind enough.
const REFILL_PAUSE: Duration = Duration::from_millis(100);
/// Kept pairs that nobody needed for so long are closed,
const IDLE: Duration = Duration::from_secs(60);
/// so many of them at a time.
const CLOSED_AT_ONCE: usize = 16;
/// How often they are looked for.
const TIDY_EVERY: Duration = Duration::from_millis(500);

/// What went wrong with sockets and what they did, counted; nothing is fatal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketCounters {
    /// What the sockets themselves counted.
    pub(crate) io: udp::Counters,
    /// A port was somebody else's.
    pub(crate) busy: u64,
    /// A port could not be bound for another reason.
    pub(crate) bind_failed: u64,
    /// A port could not be bound because descriptors are used up.
    pub(crate) no_descriptors: u64,
    /// Pairs that were bound.
    pub(crate) bound: u64,
    /// Pairs that were given out again without the kernel's help.
    pub(crate) reused: u64,
    /// Datagrams on a pair whose call is over.
    pub(crate) late: u64,
    /// Sockets that were connected to their source.
    pub(crate) connected: u64,
    /// Connecting failed: no route.
    pub(crate) connect_failed: u64,
    /// The kernel would have used another address than descriptions show: not connected.
    pub(crate) connect_unfit: u64,
    /// RTCP sockets that were closed under rtcp-mux for want of descriptors.
    pub(crate) muxed_away: u64,
}

/// Where and how sockets are bound.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    /// Where; `::` takes IPv4 as well.
    pub(crate) address: IpAddr,
    /// What descriptions show.
    pub(crate) announced: IpAddr,
    /// Their IPv6 address, where the other is IPv4 and the sockets take both.
    pub(crate) announced6: Option<IpAddr>,
    /// Our own addresses that a connected socket may have: those that peers reach.
    pub(crate) own: Vec<IpAddr>,
    /// Sockets are connected to a known source.
    pub(crate) connect: bool,
    /// How they are made.
    pub(crate) options: Options,
}

/// How many sockets there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Pairs ready for the engine.
    pub(crate) ready: usize,
    /// Pairs kept bound beyond those.
    pub(crate) kept: usize,
    /// Sockets in all.
    pub(crate) descriptors: usize,
}

/// All sockets of a media thread, by port number, and what goes out to the engine.
pub(super) struct Sockets<I> {
    pub(super) io: I,
    binding: Binding,
    browsers: BrowserSockets,
    room: Room,
    numbers: PortNumbers,
    /// By half the RTP port's number.
    pairs: Vec<Pair>,
    /// Sockets that are open.
    open: usize,
    /// Pairs that the engine may still give out.
    ready: usize,
    /// Open RTCP sockets that rtcp-mux has made idle.
    spare: usize,
    refill_at: Option<Instant>,
    tidy_at: Instant,
    /// The turn's time, for quarantines.
    pub(super) now: Instant,
    /// For the engine, in order.
    pub(super) told: VecDeque<FromShard<Luggage>>,
    pub(super) counters: SocketCounters,
}

/// A pair's sockets.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    /// The engine has it, to give out or in a call. Otherwise what arrives is late.
    is_offered: bool,
    /// RTCP goes by the RTP port.
    is_muxed: bool,
    rtp: Half,
    rtcp: Half,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Half {
    #[default]
    Closed,
    Open,
    Connected,
}

impl<I: Io> Sockets<I> {
    /// No sockets yet.
    pub(super) fn new(
        mut io: I,
        binding: Binding,
        mut browsers: BrowserSockets,
        room: Room,
        numbers: PortNumbers,
        now: Instant,
    ) -> Self {
        if let Err(error) = browsers.attach(&mut io) {
            tracing::error!(%error, "a media thread cannot hear browsers");
        }
        Self {
            io,
            binding,
            browsers,
            room,
            numbers,
            pairs: Vec::new(),
            open: 0,
            ready: 0,
            spare: 0,
            refill_at: Some(now),
            tidy_at: now,
            now,
            told: VecDeque::new(),
            counters: SocketCounters::default(),
        }
    }

    /// Makes pairs ready until there are enough, and tells the engine of each. Closes what nobody needs.
    pub(super) fn refill(&mut self) {
        if self.tidy_at <= self.now {
            self.tidy();
        }
        if self.refill_at.is_some_and(|at| at > self.now) || self.ready >= self.room.ready {
            return;
        }
        let (mut attempts, mut made) = (ATTEMPTS, 0);
        self.refill_at = None;
        while self.ready < self.room.ready {
            if made == PER_TURN {
                self.refill_at = Some(self.now);
                return;
            }
            match self.make_ready() {
                Made::Ready => made += 1,
                Made::Busy if attempts > 0 => attempts -= 1,
                Made::Busy | Made::Nothing => {
                    self.refill_at = Some(self.now + REFILL_PAUSE);
                    return;
                }
            }
        }
    }

    /// When a refill is due again.
    pub(super) fn refill_at(&self) -> Option<Instant> {
        let (resting, idle) = self.numbers.kept();
        [self.refill_at, (resting + idle > 0).then_some(self.tidy_at)].into_iter().flatten().min()
    }

    /// The engine gave a pair to a leg.
    pub(super) fn taken(&mut self) {
        self.ready = self.ready.saturating_sub(1);
    }

    /// Pairs that the engine has, ready ones included; that rest; that wait to be used again.
    pub(super) fn in_use(&self) -> (usize, usize, usize) {
        let (resting, idle) = self.numbers.kept();
        (self.numbers.in_use(), resting, idle)
    }

    /// Sockets that are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Everything counted so far.
    pub(super) fn counters(&self) -> SocketCounters {
        SocketCounters { io: self.io.counters() + self.browsers.counters(), ..self.counters }
    }

    /// The next datagram that belongs to a call.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        loop {
            let received = self.io.receive(buffer)?;
            if received.key == BROWSERS || self.pair(port_of(received.key)).is_some_and(|pair| pair.is_offered) {
                return Some(received);
            }
            self.counters.late += 1;
        }
    }

    /// Throws away what waits in the socket that a datagram came from. Returns how many more those were.
    pub(super) fn drop_waiting(&mut self, received: Received) -> u64 {
        self.io.drain(received.key) as u64
    }

    /// A leg's description was carried out: with rtcp-mux its RTCP socket is idle and may be closed when descriptors are
    /// scarce; without, it is needed.
    pub(super) fn muxed(&mut self, port: Port, is_muxed: bool) {
        let Some(pair) = self.pair(port).copied().filter(|pair| pair.is_muxed != is_muxed) else { return };
        self.pair_mut(port).is_muxed = is_muxed;
        match (is_muxed, pair.rtcp) {
            (true, Half::Closed) => {}
            (true, _) => self.spare += 1,
            (false, Half::Closed) => {
                if self.bind(port, Kind::Rtcp).is_err() {
                    self.counters.bind_failed += 1;
                }
            }
            (false, _) => self.spare -= 1,
        }
    }

    /// Something for the engine.
    pub(super) fn tell(&mut self, told: FromShard<Luggage>) {
        self.told.push_back(told);
    }

    /// A pair's sockets leave for another thread; the number stays in use.
    pub(super) fn pack(&mut self, port: Port) -> Packed {
        let pair = self.pair(port).copied().unwrap_or_default();
        self.muxed_off(port);
        let [rtp, rtcp] = [Kind::Rtp, Kind::Rtcp].map(|kind| {
            let half = self.half(port, kind);
            let socket = (half != Half::Closed).then(|| self.io.detach(key(port, kind))).flatten();
            self.open -= usize::from(half != Half::Closed);
            self.set_half(port, kind, Half::Closed);
            socket.map(|socket| PackedSocket { socket, is_connected: half == Half::Connected })
        });
        Packed { port, rtp, rtcp, is_muxed: pair.is_muxed }
    }

    /// A pair's sockets have come from another thread.
    pub(super) fn unpack(&mut self, packed: Packed) {
        let Packed { port, rtp, rtcp, is_muxed } = packed;
        for (kind, socket) in [(Kind::Rtp, rtp), (Kind::Rtcp, rtcp)] {
            let Some(PackedSocket { socket, is_connected }) = socket else { continue };
            if self.io.attach(key(port, kind), socket).is_err() {
                self.counters.bind_failed += 1;
                continue;
            }
            self.open += 1;
            self.set_half(port, kind, if is_connected { Half::Connected } else { Half::Open });
        }
        self.pair_mut(port).is_offered = true;
        self.muxed(port, is_muxed);
    }

    /// A number of ours whose sockets another thread has closed.
    pub(super) fn returned(&mut self, port: Port) {
        self.numbers.release(self.now, port.0);
    }

    fn make_ready(&mut self) -> Made {
        let (number, is_kept) = match self.numbers.draw(self.now) {
            Some(Drawn::Kept(number)) => (number, true),
            Some(Drawn::Fresh(number)) => (number, false),
            None => return Made::Nothing,
        };
        let port = Port(number);
        match self.prepare(port) {
            Ok(()) => {
                *if is_kept { &mut self.counters.reused } else { &mut self.counters.bound } += 1;
                self.pair_mut(port).is_offered = true;
                self.ready += 1;
                let addr = SocketAddr::new(self.binding.announced, number);
                let addr6 = self.binding.announced6.map(|ip| SocketAddr::new(ip, number));
                self.tell(FromShard::Event(Event::PortReady { port, addr, addr6 }));
                Made::Ready
            }
            Err(error) => {
                // Both or none: a pair whose RTCP port is somebody else's is of no use.
                self.close(port);
                if error.kind() == io::ErrorKind::AddrInUse {
                    self.counters.busy += 1;
                    self.numbers.busy(self.now, number);
                    return Made::Busy;
                }
                *if is_used_up(&error) { &mut self.counters.no_descriptors } else { &mut self.counters.bind_failed } +=
                    1;
                self.numbers.release(self.now, number);
                Made::Nothing
            }
        }
    }

    /// Both sockets bound, hearing everybody, and empty.
    fn prepare(&mut self, port: Port) -> io::Result<()> {
        for kind in [Kind::Rtp, Kind::Rtcp] {
            if self.half(port, kind) == Half::Closed {
                self.bind(port, kind)?;
                continue;
            }
            self.dissolve(port, kind);
            self.counters.late += self.io.drain(key(port, kind)) as u64;
        }
        Ok(())
    }

    fn bind(&mut self, port: Port, kind: Kind) -> io::Result<()> {
        while self.open >= self.room.descriptors {
            if !self.save_a_descriptor() {
                return Err(rustix::io::Errno::MFILE.into());
            }
        }
        let number = port.0 + u16::from(kind == Kind::Rtcp);
        let addr = SocketAddr::new(self.binding.address, number);
        loop {
            match self.io.bind(key(port, kind), addr, &self.binding.options) {
                Ok(_) => break,
                Err(error) if is_used_up(&error) && self.save_a_descriptor() => {}
                Err(error) => return Err(error),
            }
        }
        self.set_half(port, kind, Half::Open);
        self.open += 1;
        Ok(())
    }

    /// Closes what can be spared: kept pairs, then RTCP sockets that rtcp-mux made idle. False: there is nothing.
    fn save_a_descriptor(&mut self) -> bool {
        if let Some(number) = self.numbers.give_up() {
            self.close(Port(number));
            return true;
        }
        if self.spare == 0 {
            return false;
        }
        let found = self.pairs.iter().position(|pair| pair.is_muxed && pair.rtcp != Half::Closed);
        let Some(port) = found.and_then(|half| u16::try_from(half * 2).ok()).map(Port) else { return false };
        self.close_half(port, Kind::Rtcp);
        self.counters.muxed_away += 1;
        true
    }

    fn tidy(&mut self) {
        self.tidy_at = self.now + TIDY_EVERY;
        let Some(before) = self.now.checked_sub(IDLE) else { return };
        for number in self.numbers.give_up_idle(before, CLOSED_AT_ONCE) {
            self.close(Port(number));
        }
    }

    fn close(&mut self, port: Port) {
        self.close_half(port, Kind::Rtp);
        self.close_half(port, Kind::Rtcp);
    }

    fn close_half(&mut self, port: Port, kind: Kind) {
        if self.half(port, kind) == Half::Closed {
            return;
        }
        self.io.close(key(port, kind));
        self.set_half(port, kind, Half::Closed);
        self.open -= 1;
        if kind == Kind::Rtcp && self.pair(port).is_some_and(|pair| pair.is_muxed) {
            self.spare -= 1;
        }
    }

    fn dissolve(&mut self, port: Port, kind: Kind) {
        if self.half(port, kind) == Half::Connected {
            // A socket that cannot be dissolved still takes what its peer sends, and the next description tries again.
            let _ = self.io.connect(key(port, kind), None);
            self.set_half(port, kind, Half::Open);
        }
    }

    fn pair(&self, port: Port) -> Option<&Pair> {
        self.pairs.get(usize::from(port.0 / 2))
    }

    fn pair_mut(&mut self, port: Port) -> &mut Pair {
        let place = usize::from(port.0 / 2);
        if place >= self.pairs.len() {
            self.pairs.resize(place + 1, Pair::default());
        }
        &mut self.pairs[place]
    }

    fn half(&self, port: Port, kind: Kind) -> Half {
        let pair = self.pair(port).copied().unwrap_or_default();
        if kind == Kind::Rtp { pair.rtp } else { pair.rtcp }
    }

    fn set_half(&mut self, port: Port, kind: Kind, half: Half) {
        let pair = self.pair_mut(port);
        *if kind == Kind::Rtp { &mut pair.rtp } else { &mut pair.rtcp } = half;
    }
}

enum Made {
    Ready,
    Busy,
    Nothing,
}

impl<I: Io> Sink for Sockets<I> {
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        self.io.send(key(port, kind), to, data);
    }

    fn send_copy(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        self.io.send_later(key(port, kind), to, data);
    }

    fn connect(&mut self, port: Port, kind: Kind, only: Option<SocketAddr>) {
        if !self.binding.connect || self.half(port, kind) == Half::Closed {
            return;
        }
        let Some(only) = only else { return self.dissolve(port, kind) };
        let half = match self.io.connect(key(port, kind), Some(only)) {
            Ok(local) if self.binding.own.contains(&local.ip()) => {
                self.counters.connected += 1;
                Half::Connected
            }
            Ok(_) => {
                self.counters.connect_unfit += 1;
                let _ = self.io.connect(key(port, kind), None);
                Half::Open
            }
            Err(_) => {
                self.counters.connect_failed += 1;
                Half::Open
            }
        };
        self.set_half(port, kind, half);
    }

    fn send_browser(&mut self, home: usize, to: SocketAddr, data: &[u8]) {
        self.browsers.send(&mut self.io, home, to, data);
    }

    fn note(&mut self, note: Note) {
        self.tell(FromShard::Note(note));
    }

    fn event(&mut self, event: Event) {
        self.tell(FromShard::Event(event));
    }

    fn release(&mut self, port: Port) {
        if !self.pair(port).is_some_and(|pair| pair.is_offered) {
            return;
        }
        self.muxed_off(port);
        let (resting, idle) = self.numbers.kept();
        if !self.numbers.has(port.0) {
            // A guest: only the shard that has the number may give it out again.
            self.close(port);
            self.tell(FromShard::Released(port));
        } else if resting + idle < self.room.kept {
            self.numbers.release_kept(self.now, port.0);
        } else {
            self.close(port);
            self.numbers.release(self.now, port.0);
        }
    }
}

impl<I: Io> Sockets<I> {
    /// The pair belongs to nobody now, and so does its agreement about RTCP.
    fn muxed_off(&mut self, port: Port) {
        let pair = self.pair_mut(port);
        pair.is_offered = false;
        let was_spare = std::mem::take(&mut pair.is_muxed) && pair.rtcp != Half::Closed;
        self.spare -= usize::from(was_spare);
    }
}

/// What the sockets are called by: their port's number.
fn key(port: Port, kind: Kind) -> Key {
    Key::from(port.0) + Key::from(kind == Kind::Rtcp)
}

fn port_of(key: Key) -> Port {
    Port(u16::try_from(key & !1).unwrap_or(0))
}

/// The port and which of its sockets.
pub(super) fn socket_of(key: Key) -> (Port, Kind) {
    (port_of(key), if key.is_multiple_of(2) { Kind::Rtp } else { Kind::Rtcp })
}

/// No descriptors, in the process or in the system, or no memory for a socket.
fn is_used_up(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let used_up = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    used_up.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
