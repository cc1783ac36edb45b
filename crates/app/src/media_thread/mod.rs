//! The thread that owns the RTP sockets: reads them until they are dry, drives the shard, sends what it says.
//!
//! One thread in this version, pinned to a core where there is more than one. Commands come over a bounded channel with
//! a waker; events go back over another. Between a packet and its relay stand no lock, no queue and no allocation.

mod sockets;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use media::ports::PortNumbers;
use media::{Command, Event, Kind, Port, Shard};
use mio::{Events, Poll, Token, Waker};
use tokio::sync::mpsc;

pub(crate) use sockets::SocketCounters;
use sockets::Sockets;

/// Commands on their way to the thread; more wait with the engine.
const COMMANDS: usize = 4096;
/// Commands that may wait with the engine; above, they are dropped and counted, and their plans time out (503).
const COMMANDS_WAITING: usize = 65_536;
/// Sockets that one poll reports.
const POLL_EVENTS: usize = 1024;
/// Datagrams read from one socket before the next has its turn.
const PER_SOCKET: usize = 16;
/// Figures are published so often.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Largest UDP datagram.
const DATAGRAM: usize = 65_536;
/// Above every port number.
const WAKE: Token = Token(1 << 17);

/// How a media thread is set up.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) shard: media::Settings,
    /// Where sockets are bound.
    pub(crate) address: IpAddr,
    /// What descriptions show.
    pub(crate) announced: IpAddr,
    /// First and last port.
    pub(crate) ports: (u16, u16),
    pub(crate) quarantine: Duration,
    pub(crate) port_pool: usize,
    pub(crate) seed: [u8; 32],
}

/// What the thread has done, about a second ago.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MediaFigures {
    pub(crate) shard: media::Counters,
    pub(crate) sockets: SocketCounters,
    pub(crate) streams: usize,
    pub(crate) listeners: usize,
    pub(crate) ports_in_use: usize,
    /// Longest turn of the loop within the last second: what a packet may have waited.
    pub(crate) turn_max: Duration,
}

/// The thread's door. Dropped, the thread ends.
#[derive(Debug)]
pub(crate) struct MediaThread {
    commands: Option<SyncSender<Command>>,
    waiting: VecDeque<Command>,
    sent: bool,
    waker: Arc<Waker>,
    figures: Arc<Mutex<MediaFigures>>,
    thread: Option<JoinHandle<()>>,
    /// Commands dropped because too many waited.
    pub(crate) dropped: u64,
}

impl MediaThread {
    /// Starts the thread; its events go to `events`.
    ///
    /// # Errors
    /// The system has no thread or no poll to give.
    pub(crate) fn start(setup: Setup, events: mpsc::Sender<Event>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (sender, receiver) = sync_channel(COMMANDS);
        let figures = Arc::new(Mutex::new(MediaFigures::default()));
        let mut seed = setup.seed;
        seed[0] ^= 1; // ports and SSRCs are drawn from different streams
        let numbers = PortNumbers::new(setup.ports.0, setup.ports.1, setup.quarantine, seed);
        let registry = poll.registry().try_clone()?;
        let desk = Desk {
            shard: Shard::new(setup.shard, setup.seed),
            sockets: Sockets::new(registry, setup.address, setup.announced, numbers, setup.port_pool),
            commands: receiver,
            events,
            figures: Arc::clone(&figures),
            unread: Vec::new(),
            buffer: vec![0; DATAGRAM],
            turn_max: Duration::ZERO,
            publish_at: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("media".to_owned()).spawn(move || desk.run(poll))?;
        Ok(Self {
            commands: Some(sender),
            waiting: VecDeque::new(),
            sent: false,
            waker,
            figures,
            thread: Some(thread),
            dropped: 0,
        })
    }

    /// Queues a command; [`MediaThread::flush`] hands everything over.
    pub(crate) fn send(&mut self, command: Command) {
        if self.waiting.len() >= COMMANDS_WAITING {
            self.dropped += 1;
            return;
        }
        self.waiting.push_back(command);
    }

    /// Hands queued commands over and wakes the thread. True if some had no room and must be flushed again.
    pub(crate) fn flush(&mut self) -> bool {
        let Some(commands) = &self.commands else { return false };
        while let Some(command) = self.waiting.pop_front() {
            match commands.try_send(command) {
                Ok(()) => self.sent = true,
                Err(TrySendError::Full(command)) => {
                    self.waiting.push_front(command);
                    break;
                }
                // The thread has ended, which only happens when this door closes.
                Err(TrySendError::Disconnected(_)) => self.dropped += 1,
            }
        }
        if std::mem::take(&mut self.sent) && self.waker.wake().is_err() {
            self.sent = true;
        }
        !self.waiting.is_empty() || self.sent
    }

    /// What the thread has done.
    pub(crate) fn figures(&self) -> MediaFigures {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MediaThread {
    fn drop(&mut self) {
        self.flush();
        self.commands = None;
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // Only a panic fails here, and that has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Desk {
    shard: Shard,
    sockets: Sockets,
    commands: Receiver<Command>,
    events: mpsc::Sender<Event>,
    figures: Arc<Mutex<MediaFigures>>,
    /// Sockets that had more than their share: edge-triggered, so nobody will tell again.
    unread: Vec<u16>,
    buffer: Vec<u8>,
    turn_max: Duration,
    publish_at: Instant,
}

impl Desk {
    fn run(mut self, mut poll: Poll) {
        pin();
        let mut events = Events::with_capacity(POLL_EVENTS);
        let mut readable = Vec::with_capacity(POLL_EVENTS);
        self.begin_turn();
        self.sockets.refill();
        self.tell();
        loop {
            let timeout = self.timeout();
            if let Err(error) = poll.poll(&mut events, Some(timeout)) {
                if error.kind() != io::ErrorKind::Interrupted {
                    tracing::error!(%error, "the media thread cannot wait for packets");
                    return;
                }
                continue;
            }
            let began = self.begin_turn();
            if self.obey().is_err() {
                return;
            }
            readable.append(&mut self.unread);
            readable.extend(events.iter().filter_map(|event| u16::try_from(event.token().0).ok()));
            for number in readable.drain(..) {
                self.read(number);
            }
            self.begin_turn();
            if self.shard.wake_at().is_some_and(|at| at <= self.sockets.now) {
                self.shard.wake(self.sockets.now, &mut self.sockets);
            }
            self.sockets.refill();
            self.tell();
            self.publish(began);
        }
    }

    fn begin_turn(&mut self) -> Instant {
        self.sockets.now = Instant::now();
        self.sockets.now
    }

    /// Until the next thing is due. The poll rounds up to milliseconds, so nothing spins.
    fn timeout(&self) -> Duration {
        if !self.unread.is_empty() {
            return Duration::ZERO;
        }
        let backlog = (!self.sockets.events.is_empty()).then(|| self.sockets.now + Duration::from_millis(1));
        let due = [self.shard.wake_at(), self.sockets.refill_at(), backlog, Some(self.publish_at)];
        let due = due.into_iter().flatten().min().unwrap_or(self.publish_at);
        due.saturating_duration_since(Instant::now())
    }

    /// Carries out what the engine ordered. An error: the door is closed.
    fn obey(&mut self) -> Result<(), ()> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => {
                    if matches!(command, Command::Open { .. } | Command::OpenListener { .. }) {
                        self.sockets.taken();
                    }
                    self.shard.command(self.sockets.now, command, &mut self.sockets);
                }
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(()),
            }
        }
    }

    /// Reads a socket until it is dry or has had its share.
    fn read(&mut self, number: u16) {
        let (port, kind) = if number.is_multiple_of(2) { (number, Kind::Rtp) } else { (number - 1, Kind::Rtcp) };
        for _ in 0..PER_SOCKET {
            let Some((length, source)) = self.sockets.receive(number, &mut self.buffer) else { return };
            let now = Instant::now();
            let data = &mut self.buffer[..length];
            self.shard.datagram(now, Port(port), kind, source, data, &mut self.sockets);
        }
        self.unread.push(number);
    }

    /// Tells the engine what happened; what has no room stays for the next turn.
    fn tell(&mut self) {
        while let Some(event) = self.sockets.events.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.sockets.events.push_front(event);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }

    fn publish(&mut self, began: Instant) {
        let now = Instant::now();
        self.turn_max = self.turn_max.max(now - began);
        if now < self.publish_at {
            return;
        }
        self.publish_at = now + PUBLISH_EVERY;
        let (streams, listeners) = self.shard.sizes();
        let figures = MediaFigures {
            shard: self.shard.counters(),
            sockets: self.sockets.counters,
            streams,
            listeners,
            ports_in_use: self.sockets.in_use(),
            turn_max: std::mem::take(&mut self.turn_max),
        };
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }
}

/// Keeps this thread on the last core that the process may use, where it may use several: its caches stay warm, and the
/// engine's thread has the others.
fn pin() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu));
    let Some(last) = last.filter(|_| allowed.count() > 1) else { return };
    let mut one = CpuSet::new();
    one.set(last);
    match sched_setaffinity(None, &one) {
        Ok(()) => tracing::debug!(cpu = last, "the media thread is pinned"),
        Err(error) => tracing::warn!(%error, "the media thread cannot be pinned"),
    }
}

#[cfg(test)]
mod tests;
