//! The sockets that browsers come to: one for each media thread, which reads it; all threads send by all of them, because
//! a browser goes on being sent from where it began, on whatever thread it listens now.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use udp::{Counters, Detached, Io, Key, Options, Sender};

/// What the socket is called by: no port that RTP is on.
pub(super) const BROWSERS: Key = 0;
/// Its receive buffer (the kernel doubles it): a thousand browsers' checks and reports, and DTLS of those that come.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// One thread's part of them.
#[derive(Debug, Default)]
pub(crate) struct BrowserSockets {
    home: usize,
    own: Option<Detached>,
    /// By shard; all threads share them.
    senders: Arc<[Sender]>,
    counters: Counters,
}

/// On the way to its thread, which takes them when it runs: one that could not wait for packets leaves them to the next.
#[derive(Clone, Debug)]
pub(crate) struct Handover(Arc<Mutex<Option<BrowserSockets>>>);

impl Handover {
    pub(crate) fn new(sockets: BrowserSockets) -> Self {
        Self(Arc::new(Mutex::new(Some(sockets))))
    }

    pub(super) fn take(&self) -> BrowserSockets {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

impl BrowserSockets {
    /// Binds one for each of so many threads, on ports that follow each other; port 0: on any. Returns where, too.
    ///
    /// # Errors
    /// A port is somebody else's, or descriptors are used up.
    pub(crate) fn bind(at: SocketAddr, shards: usize, options: &Options) -> io::Result<(Vec<Self>, Vec<SocketAddr>)> {
        let options = Options { receive_buffer: RECEIVE_BUFFER, ..*options };
        let port = |shard: usize| match at.port() {
            0 => Ok(0),
            first => {
                u16::try_from(usize::from(first) + shard).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
            }
        };
        let bind = |shard| Detached::bind(SocketAddr::new(at.ip(), port(shard)?), &options);
        let bound = (0..shards).map(bind).collect::<io::Result<Vec<_>>>()?;
        let senders = bound.iter().map(|(socket, _)| socket.sender()).collect::<io::Result<Vec<_>>>()?;
        let senders: Arc<[Sender]> = senders.into();
        let (sockets, addrs): (Vec<_>, Vec<_>) = bound.into_iter().unzip();
        let set = |(home, socket)| Self {
            home,
            own: Some(socket),
            senders: Arc::clone(&senders),
            counters: Counters::default(),
        };
        Ok((sockets.into_iter().enumerate().map(set).collect(), addrs))
    }

    /// From now on the thread reads its own.
    ///
    /// # Errors
    /// The system has no room.
    pub(super) fn attach(&mut self, io: &mut impl Io) -> io::Result<()> {
        self.own.take().map_or(Ok(()), |own| io.attach(BROWSERS, own))
    }

    /// Sends by the socket of a shard.
    pub(super) fn send(&mut self, io: &mut impl Io, home: usize, to: SocketAddr, data: &[u8]) {
        if home == self.home {
            io.send_later(BROWSERS, to, data);
        } else if let Some(sender) = self.senders.get(home) {
            sender.send(to, data, &mut self.counters);
        }
    }

    /// What went by sockets that other threads read.
    pub(super) fn counters(&self) -> Counters {
        self.counters
    }
}
