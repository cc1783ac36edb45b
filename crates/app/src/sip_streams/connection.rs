//! One connection: reads in bounded pieces, writes from a bounded queue, and ends without losing the last answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use signalling::transport::Flow;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};

use super::{Shared, Told};

/// Read at once.
const READ: usize = 16 * 1024;
/// Messages that wait to be sent, and their bytes; above it the peer does not read and is given up.
const QUEUE: usize = 1024;
const QUEUE_BYTES: usize = 512 * 1024;
/// A peer that takes nothing for so long is given up.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// After our end, what still comes is thrown away for so long: closed over unread bytes, TCP would take back the last
/// answer (RFC 1122 §4.2.2.13).
const LINGER: Duration = Duration::from_secs(2);
/// Thrown away at most.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// The engine's end of a connection; dropped, the connection is closed once the queue has been sent.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Bytes>,
    line: Arc<Line>,
}

/// What both ends know.
#[derive(Debug, Default)]
struct Line {
    /// Bytes that wait.
    bytes: AtomicUsize,
    /// The engine's end is gone.
    closing: Notify,
    /// And nothing of what waits is to be sent.
    aborted: AtomicBool,
}

/// The connection's end of it.
#[derive(Debug)]
pub(super) struct Queue {
    messages: mpsc::Receiver<Bytes>,
    line: Arc<Line>,
}

impl Writer {
    pub(super) fn new() -> (Self, Queue) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let line = Arc::<Line>::default();
        (Self { queue, line: Arc::clone(&line) }, Queue { messages, line })
    }

    /// False: the queue is full, or the connection has ended.
    pub(super) fn send(&self, data: Bytes) -> bool {
        let length = data.len();
        if self.line.bytes.fetch_add(length, Ordering::Relaxed) + length > QUEUE_BYTES {
            return false;
        }
        self.queue.try_send(data).is_ok()
    }

    /// Something has not been handed to the system yet.
    pub(super) fn waits(&self) -> bool {
        !self.queue.is_closed() && self.line.bytes.load(Ordering::Relaxed) > 0
    }

    /// Ends it without sending what waits.
    pub(super) fn abort(self) {
        self.line.aborted.store(true, Ordering::Relaxed);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.line.closing.notify_one();
    }
}

/// Who ended a connection.
enum Ended {
    ByPeer,
    ByEngine,
    /// The peer takes nothing any more.
    Failed,
}

/// Until either side has ended it.
pub(super) async fn run(stream: TcpStream, id: u64, flow: Flow, queue: Queue, shared: &Shared) {
    let (mut reading, writing) = stream.into_split();
    let line = Arc::clone(&queue.line);
    let mut write = std::pin::pin!(write(writing, queue, shared));
    let ended = tokio::select! {
        // The order matters: a queue that ends because the engine closed it has not failed.
        biased;
        () = line.closing.notified() => Ended::ByEngine,
        () = read(&mut reading, id, flow, shared) => Ended::ByPeer,
        _ = &mut write => Ended::Failed,
    };
    match ended {
        // The engine hears of it, and what it has sent by then still goes, if the peer only stopped speaking.
        Ended::ByPeer => {
            if shared.tell.send(Told::Ended { id, flow }).await.is_ok() {
                let _ = tokio::time::timeout(LINGER, write).await;
            }
        }
        Ended::ByEngine if !line.aborted.load(Ordering::Relaxed) => {
            if let Ok(Some(mut writing)) = tokio::time::timeout(LINGER, write).await {
                let _ = writing.shutdown().await;
                let _ = tokio::time::timeout(LINGER, throw_away(&mut reading)).await;
            }
        }
        Ended::ByEngine => forget(&reading),
        Ended::Failed => {
            forget(&reading);
            drop(shared.tell.send(Told::Ended { id, flow }).await);
        }
    }
}

/// What waits in the system goes with it: nobody takes it.
fn forget(reading: &OwnedReadHalf) {
    let _ = SockRef::from(reading.as_ref()).set_linger(Some(Duration::ZERO));
}

/// Until the peer ends it. While the engine is busy nothing is read, and the peer has to wait.
async fn read(reading: &mut OwnedReadHalf, id: u64, flow: Flow, shared: &Shared) {
    let mut buffer = BytesMut::with_capacity(READ);
    loop {
        match reading.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return, // ECONNRESET is an end like any other
            Ok(length) => shared.counters.bytes_received.fetch_add(length as u64, Ordering::Relaxed),
        };
        let data = buffer.split().freeze();
        if shared.tell.send(Told::Bytes { id, flow, data }).await.is_err() {
            return;
        }
        buffer.reserve(READ);
    }
}

/// Until the engine's end is gone and everything was sent; `None`: the peer takes nothing.
async fn write(mut writing: OwnedWriteHalf, mut queue: Queue, shared: &Shared) -> Option<OwnedWriteHalf> {
    while let Some(data) = queue.messages.recv().await {
        tokio::time::timeout(WRITE_WITHIN, writing.write_all(&data)).await.ok()?.ok()?;
        queue.line.bytes.fetch_sub(data.len(), Ordering::Relaxed);
        shared.counters.bytes_sent.fetch_add(data.len() as u64, Ordering::Relaxed);
    }
    Some(writing)
}

async fn throw_away(reading: &mut OwnedReadHalf) {
    let mut buffer = vec![0; READ];
    let mut thrown = 0;
    while let Ok(length @ 1..) = reading.read(&mut buffer).await {
        thrown += length;
        if thrown > LINGER_BYTES {
            return;
        }
    }
}
