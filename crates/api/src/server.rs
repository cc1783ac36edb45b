//! Serves the router on a listener: connections have a limit, and silent ones an end.

use std::future::{Future, IntoFuture as _};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::Api;
use crate::auth::Source;
use crate::tls::{HANDSHAKES_MAX, Wire};

/// Connections at one time; more wait in the kernel.
pub const CONNECTIONS_MAX: usize = 4096;
/// A connection on which nothing moves either way for so long is closed. Events send a line every 15 s.
const IDLE: Duration = Duration::from_secs(75);
/// How long answers under way may take once the server stops.
const GRACE: Duration = Duration::from_secs(5);

impl Api {
    /// Serves until `stop`; then streams of events end and answers under way are finished.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(
        &self,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let limited = Limited {
            api: self.clone(),
            listener,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        };
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let api = self.clone();
        let stop = async move {
            stop.await;
            api.close_events();
            let _ = stopping.send(());
        };
        let service = self.router().into_make_service_with_connect_info::<Source>();
        let served = axum::serve(limited, service).with_graceful_shutdown(stop);
        let mut served = pin!(served.into_future());
        tokio::select! {
            result = &mut served => result,
            _ = stopped => tokio::time::timeout(GRACE, served).await.unwrap_or(Ok(())),
        }
    }
}

struct Limited {
    api: Api,
    listener: TcpListener,
    permits: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
}

struct Connection<S> {
    stream: S,
    idle: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Listener for Limited {
    type Io = Connection<Wire>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection<Wire>, SocketAddr) {
        // Never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        loop {
            let (stream, from) = Listener::accept(&mut self.listener).await;
            // Events are small and should not wait for each other.
            let _ = stream.set_nodelay(true);
            if let Some(stream) = self.wire(stream) {
                return (Connection { stream, idle: Box::pin(sleep(IDLE)), _permit: permit }, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Limited {
    /// A connection by the certificate of now; `None` where too many shake hands.
    fn wire(&self, stream: TcpStream) -> Option<Wire> {
        let Some(identity) = self.api.inner.identity.load_full() else { return Some(Wire::Plain(stream)) };
        match Arc::clone(&self.handshakes).try_acquire_owned() {
            Ok(permit) => Some(identity.wire(self.api.clone(), stream, permit)),
            Err(_) => {
                self.api.inner.counts.handshakes_refused.inc();
                None
            }
        }
    }
}

impl Connected<IncomingStream<'_, Limited>> for Source {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        Self(stream.remote_addr().ip().to_canonical())
    }
}

impl<S> Connection<S> {
    /// Progress puts the end off; without it, the end may have come.
    fn moved<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return poll;
        }
        match self.idle.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.moved(context, poll)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, data);
        self.moved(context, poll)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.moved(context, poll)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_ends_and_a_moving_one_does_not() {
        let (stream, mut peer) = duplex(64);
        let mut connection = Connection { stream, idle: Box::pin(sleep(IDLE)), _permit: None };
        let started = Instant::now();
        let mut byte = [0];
        for _ in 0..3 {
            let (read, ()) = tokio::join!(connection.read_exact(&mut byte), async {
                tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
                peer.write_all(b"x").await.unwrap();
            });
            read.unwrap();
        }
        let silent = connection.read(&mut byte).await.unwrap_err();
        assert_eq!(
            (silent.kind(), started.elapsed()),
            (io::ErrorKind::TimedOut, 3 * (IDLE - Duration::from_secs(1)) + IDLE)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_does_not_take_its_answer_is_not_waited_for() {
        let (stream, _peer) = duplex(4);
        let mut connection = Connection { stream, idle: Box::pin(sleep(IDLE)), _permit: None };
        let stuck = connection.write_all(b"more than fits").await.unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn connections_have_a_limit_and_leave_their_place_when_they_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let permits = Arc::new(Semaphore::new(1));
        let (commands, _engine) = tokio::sync::mpsc::channel(1);
        let api = Api::new(commands, Arc::new(store::MemoryStore::new()), Vec::new());
        let handshakes = Arc::new(Semaphore::new(1));
        let mut limited = Limited { api, listener, permits: Arc::clone(&permits), handshakes };
        let _clients = (TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap());
        let (first, _) = limited.accept().await;
        assert!(permits.try_acquire().is_err());
        drop(first);
        let _second = limited.accept().await;
        assert!(permits.try_acquire().is_err());
    }
}
