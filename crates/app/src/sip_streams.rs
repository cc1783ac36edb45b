//! The TCP sockets that SIP comes in by: accepts, connects, reads and writes, each connection in a task of its own on the
//! engine's runtime. It decides nothing: what a connection is for and how long it stays, the engine says.

mod connection;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use signalling::transport::{Flow, Transport, unmapped};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use connection::Writer;

/// What connections tell and the engine has not heard yet; above it they are not read.
const TOLD: usize = 256;
/// Taken from the connections in one turn of the engine.
const PER_TURN: usize = 64;
/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;
/// Sockets beyond those that the engine allows, for connections that it has not heard of yet or that are being closed.
const SPARE_SOCKETS: usize = 256;
/// After an error of accepting (no descriptor is left), the next try waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The system asks a silent peer so often whether it is there, and gives up after three questions.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 3);
/// Wish for the send buffer: what a peer that does not read may hold of the system's memory.
const SEND_BUFFER: usize = 256 * 1024;
/// The engine gives a connection up earlier.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What is counted, as the tasks count it.
#[derive(Debug, Default)]
struct StreamCounters {
    accepted: AtomicU64,
    accepts_failed: AtomicU64,
    accepts_refused: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    queues_full: AtomicU64,
    open: AtomicUsize,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamFigures {
    pub(crate) accepted: u64,
    pub(crate) accepts_failed: u64,
    /// Above the hard limit of sockets: closed unheard.
    pub(crate) accepts_refused: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Too much waited for a peer that does not read.
    pub(crate) queues_full: u64,
    /// Sockets that are open now.
    pub(crate) open: usize,
}

/// What a connection tells the engine.
#[derive(Debug)]
enum Told {
    Accepted { id: u64, flow: Flow, writer: Writer },
    Connected { id: u64, flow: Flow },
    Bytes { id: u64, flow: Flow, data: Bytes },
    Ended { id: u64, flow: Flow },
}

/// What the engine is to hear.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Opened(Flow),
    Bytes(Flow, Bytes),
    Closed(Flow),
}

/// Binds a listener for every address, or says which could not be bound.
///
/// # Errors
/// The address and why.
pub(crate) fn bind(addrs: &[SocketAddr]) -> Result<Vec<std::net::TcpListener>, (SocketAddr, io::Error)> {
    addrs.iter().map(|addr| bind_one(*addr).map_err(|error| (*addr, error))).collect()
}

fn bind_one(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Connections of the process before may still be ending.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// All SIP connections of the process.
#[derive(Debug)]
pub(crate) struct SipStreams {
    writers: HashMap<Flow, Open>,
    /// Ended by the peer: what the engine still sends in this turn finds them.
    ending: Vec<(u64, Flow)>,
    told: mpsc::Receiver<Told>,
    /// Taken while waiting.
    first: Option<Told>,
    shared: Shared,
    bound: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Open {
    id: u64,
    outgoing: bool,
    writer: Writer,
}

/// What every task has.
#[derive(Clone, Debug)]
struct Shared {
    tell: mpsc::Sender<Told>,
    counters: Arc<StreamCounters>,
    ids: Arc<AtomicU64>,
    sockets_max: usize,
}

impl SipStreams {
    /// Hands bound listeners to the runtime that this is called on. `connections_max` is what the engine allows.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn new(listeners: Vec<std::net::TcpListener>, connections_max: usize) -> io::Result<Self> {
        let (tell, told) = mpsc::channel(TOLD);
        let shared = Shared {
            tell,
            counters: Arc::default(),
            ids: Arc::default(),
            sockets_max: connections_max.saturating_add(SPARE_SOCKETS),
        };
        let mut bound = Vec::new();
        for listener in listeners {
            bound.push(listener.local_addr()?);
            tokio::spawn(accept(TcpListener::from_std(listener)?, shared.clone()));
        }
        Ok(Self { writers: HashMap::new(), ending: Vec::new(), told, first: None, shared, bound })
    }

    /// Where connections are taken.
    pub(crate) fn bound(&self) -> &[SocketAddr] {
        &self.bound
    }

    pub(crate) fn figures(&self) -> StreamFigures {
        let counters = &self.shared.counters;
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StreamFigures {
            accepted: now(&counters.accepted),
            accepts_failed: now(&counters.accepts_failed),
            accepts_refused: now(&counters.accepts_refused),
            bytes_received: now(&counters.bytes_received),
            bytes_sent: now(&counters.bytes_sent),
            queues_full: now(&counters.queues_full),
            open: counters.open.load(Ordering::Relaxed),
        }
    }

    /// Until something has come.
    pub(crate) async fn readable(&mut self) {
        if self.first.is_none() {
            self.first = self.told.recv().await;
        }
    }

    /// Takes what has come, up to a share.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Heard)) {
        for _ in 0..PER_TURN {
            let Some(told) = self.first.take().or_else(|| self.told.try_recv().ok()) else { break };
            self.hear(told, &mut take);
        }
    }

    fn hear(&mut self, told: Told, take: &mut impl FnMut(Heard)) {
        match told {
            Told::Accepted { id, flow, writer } => {
                match self.writers.get(&flow) {
                    // Both sides connected from the same pair of ports: ours stays.
                    Some(open) if open.outgoing => return,
                    // The system forgot a broken connection before we heard of it.
                    Some(_) => take(Heard::Closed(flow)),
                    None => {}
                }
                self.writers.insert(flow, Open { id, outgoing: false, writer });
                take(Heard::Opened(flow));
            }
            Told::Connected { id, flow } if self.is(id, flow) => take(Heard::Opened(flow)),
            Told::Bytes { id, flow, data } if self.is(id, flow) => take(Heard::Bytes(flow, data)),
            Told::Ended { id, flow } if self.is(id, flow) => {
                self.ending.push((id, flow));
                take(Heard::Closed(flow));
            }
            _ => {} // the engine has closed it
        }
    }

    fn is(&self, id: u64, flow: Flow) -> bool {
        self.writers.get(&flow).is_some_and(|open| open.id == id)
    }

    /// Forgets what has ended, after the last answers were handed to it.
    pub(crate) fn forget_ended(&mut self) {
        for (id, flow) in std::mem::take(&mut self.ending) {
            if self.is(id, flow) {
                self.writers.remove(&flow);
            }
        }
    }

    /// Puts bytes in line. False: there is no such connection, or its peer does not read; it is of no use now.
    pub(crate) fn send(&mut self, flow: Flow, data: Bytes) -> bool {
        let Some(open) = self.writers.get(&flow) else { return false };
        if open.writer.send(data) {
            return true;
        }
        self.shared.counters.queues_full.fetch_add(1, Ordering::Relaxed);
        if let Some(open) = self.writers.remove(&flow) {
            open.writer.abort();
        }
        false
    }

    /// Opens a connection. False: no socket may be had; it counts as failed.
    pub(crate) fn connect(&mut self, flow: Flow) -> bool {
        let Some(socket) = self.shared.socket() else { return false };
        let id = self.shared.next_id();
        let (writer, queue) = Writer::new();
        self.writers.insert(flow, Open { id, outgoing: true, writer });
        let shared = self.shared.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(CONNECT_WITHIN, connected(flow)).await {
                Ok(Ok(stream)) => {
                    if shared.tell.send(Told::Connected { id, flow }).await.is_ok() {
                        connection::run(stream, id, flow, queue, &shared).await;
                    }
                }
                Ok(Err(_)) | Err(_) => drop(shared.tell.send(Told::Ended { id, flow }).await),
            }
            drop(socket);
        });
        true
    }

    /// Until everything that waits has left, or it takes too long: the process is about to end.
    pub(crate) async fn flush(&self, limit: Duration) {
        let all = async {
            while self.writers.values().any(|open| open.writer.waits()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What has not left by then never will.
        let _ = tokio::time::timeout(limit, all).await;
    }

    /// Closes a connection when what waits has been sent.
    pub(crate) fn close(&mut self, flow: Flow) {
        self.writers.remove(&flow);
    }
}

impl Shared {
    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Room for one more socket, until it is dropped.
    fn socket(&self) -> Option<OpenSocket> {
        let socket = OpenSocket(Arc::clone(&self.counters));
        let before = self.counters.open.fetch_add(1, Ordering::Relaxed);
        (before < self.sockets_max).then_some(socket)
    }
}

/// Counts a socket as open while it lives.
#[derive(Debug)]
struct OpenSocket(Arc<StreamCounters>);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts as long as the process lives.
async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => accepted(stream, remote, &shared).await,
            // Aborted by the peer, or no descriptor is left: the next one may fail at once, too.
            Err(_) => {
                shared.counters.accepts_failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        if shared.tell.is_closed() {
            return;
        }
    }
}

async fn accepted(stream: TcpStream, remote: SocketAddr, shared: &Shared) {
    let Some(socket) = shared.socket() else {
        shared.counters.accepts_refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let Ok(local) = stream.local_addr() else { return }; // it has gone already
    set_up(&stream);
    shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
    let flow = Flow { transport: Transport::Tcp, local: unmapped(local), remote };
    let id = shared.next_id();
    let (writer, queue) = Writer::new();
    // While the engine is busy nobody is accepted: the rest waits in the kernel.
    if shared.tell.send(Told::Accepted { id, flow, writer }).await.is_ok() {
        let shared = shared.clone();
        tokio::spawn(async move {
            connection::run(stream, id, flow, queue, &shared).await;
            drop(socket);
        });
    }
}

/// From the address that Via and Contact show, where that is one of ours.
async fn connected(flow: Flow) -> io::Result<TcpStream> {
    let socket = if flow.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let ours = flow.local.ip();
    if !ours.is_unspecified() && ours.is_ipv4() == flow.remote.is_ipv4() {
        // An address that is not ours (any more) leaves the choice to the system.
        let _ = socket.bind(SocketAddr::new(ours, 0));
    }
    let stream = socket.connect(flow.remote).await?;
    set_up(&stream);
    Ok(stream)
}

/// Small messages leave at once, dead peers are found, and nobody holds much. Without any of it SIP works, too.
fn set_up(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let (idle, every, times) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(every).with_retries(times);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
}

#[cfg(test)]
mod tests;
