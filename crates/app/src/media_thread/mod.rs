//! The threads that own the RTP sockets, one per shard. This is a thread's door; `desk` is what it does all day.
//!
//! Commands come over a bounded channel with a waker, events go back over another. Between a packet and its relay stand
//! no lock, no queue and no allocation.

mod browser_sockets;
mod desk;
mod lag;
mod luggage;
mod sockets;

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use media::Command;
use media::ports::Layout;
use media::router::{FromShard, ToShard};
use tokio::sync::mpsc;
use udp::{Epoll, Io, Uring, Waker};

use crate::clock::Clock;

pub(crate) use browser_sockets::BrowserSockets;
use desk::Desk;
pub(crate) use lag::{BOUNDS as LAG_BOUNDS, Histogram, LagLimits};
pub(crate) use luggage::Luggage;
pub(crate) use sockets::{Binding, Room, SocketCounters};

/// Commands on their way to a thread; more wait with the engine.
const COMMANDS: usize = 4096;
/// Commands that may wait with the engine; above, they are dropped and counted, and their calls are refused (503).
const COMMANDS_WAITING: usize = 65_536;

/// What a thread tells, and which it is.
pub(crate) type FromThread = (usize, FromShard<Luggage>);

/// How a media thread is set up.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) clock: Clock,
    /// Which shard it is, and how the range's pairs are shared out.
    pub(crate) shard: usize,
    pub(crate) layout: Layout,
    /// Last port of the range.
    pub(crate) last_port: u16,
    pub(crate) settings: media::Settings,
    pub(crate) binding: Binding,
    pub(crate) browsers: BrowserSockets,
    pub(crate) room: Room,
    pub(crate) quarantine: Duration,
    pub(crate) lag_limits: LagLimits,
    pub(crate) seed: [u8; 32],
    /// The CPU that it keeps to.
    pub(crate) cpu: Option<usize>,
}

/// How a thread waits for packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IoKind {
    Epoll,
    IoUring,
}

/// What a thread has done, about a second ago.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MediaFigures {
    pub(crate) shard: media::Counters,
    pub(crate) sockets: SocketCounters,
    pub(crate) streams: usize,
    pub(crate) listeners: usize,
    /// Pairs that the engine has; that rest; that wait to be used again.
    pub(crate) ports: (usize, usize, usize),
    /// Sockets that are open.
    pub(crate) open: usize,
    /// Longest that a packet or a tick waited within the last second.
    pub(crate) lag_max: Duration,
    pub(crate) lag: Histogram,
    /// Datagrams that were thrown away because the thread was held up.
    pub(crate) stale: u64,
}

/// A thread's door. Dropped, the thread ends.
#[derive(Debug)]
pub(crate) struct MediaThread {
    commands: Option<SyncSender<ToShard<Luggage>>>,
    waiting: VecDeque<ToShard<Luggage>>,
    sent: bool,
    waker: Waker,
    figures: Arc<Mutex<MediaFigures>>,
    thread: Option<JoinHandle<()>>,
}

impl MediaThread {
    /// Starts a thread; its events go to `events`.
    ///
    /// # Errors
    /// The system has no thread or no sockets of this kind to give.
    pub(crate) fn start(kind: IoKind, setup: Setup, events: mpsc::Sender<FromThread>) -> io::Result<Self> {
        match kind {
            IoKind::Epoll => Self::start_on::<Epoll>(setup, events),
            IoKind::IoUring => Self::start_on::<Uring>(setup, events),
        }
    }

    fn start_on<I: Io + 'static>(setup: Setup, events: mpsc::Sender<FromThread>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(COMMANDS);
        let figures = Arc::new(Mutex::new(MediaFigures::default()));
        let published = Arc::clone(&figures);
        // Some kinds belong to the thread that made them.
        let (made, makes) = sync_channel(1);
        let name = format!("media-{}", setup.shard);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            keep_to(setup.cpu);
            match I::new() {
                Ok(io) => {
                    // Whoever starts a thread waits for this.
                    let _ = made.send(Ok(io.waker()));
                    Desk::new(io, setup, receiver, events, published).run();
                }
                Err(error) => drop(made.send(Err(error))),
            }
        })?;
        let waker = makes.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))?;
        Ok(Self { commands: Some(sender), waiting: VecDeque::new(), sent: false, waker, figures, thread: Some(thread) })
    }

    /// Queues something; [`MediaThread::flush`] hands everything over. A command comes back where too many wait.
    pub(crate) fn send(&mut self, to: ToShard<Luggage>) -> Option<Command> {
        match to {
            ToShard::Command(command) if self.waiting.len() >= COMMANDS_WAITING => return Some(command),
            to => self.waiting.push_back(to),
        }
        None
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
                // The thread has ended: when this door closes, or after an error that the log has.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        if std::mem::take(&mut self.sent) {
            self.waker.wake();
        }
        !self.waiting.is_empty()
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
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // Only a panic fails here, and that has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Keeps the calling thread on a CPU, so that its caches stay warm; the system's refusal is no reason not to run.
fn keep_to(cpu: Option<usize>) {
    let Some(cpu) = cpu else { return };
    match udp::pin_to(cpu) {
        Ok(()) => tracing::debug!(cpu, "a media thread keeps to its CPU"),
        Err(error) => tracing::warn!(%error, cpu, "a media thread cannot keep to its CPU"),
    }
}

#[cfg(test)]
mod tests;
