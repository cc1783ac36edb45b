//! Many UDP sockets on one thread, behind one small trait.
//!
//! Read this first. A thread owns one [`Io`]: it binds sockets under keys of its own choosing (small numbers: a port
//! number serves), waits, takes one datagram after the other, sends, flushes. [`Epoll`] reads edge-triggered sockets
//! until they are dry. A [`Waker`] ends a wait from another thread. Nothing here knows of RTP.
//!
//! A socket that is connected takes datagrams from that peer alone: the kernel drops what others send. Errors of the
//! network (port unreachable and the like) are counted, never returned, and never end anything.

mod epoll;
mod waker;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use epoll::Epoll;
pub use waker::Waker;

/// What a thread calls one of its sockets. Tables are indexed by it, so keys are small; a port number is one.
pub type Key = u32;

/// How a socket is made. What the system refuses of these is left out: voice goes on.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `SO_RCVBUF` in bytes (the kernel doubles it).
    pub receive_buffer: usize,
    /// DSCP as the byte of the IP header (RFC 2474): 0xb8 is EF.
    pub tos: u8,
    /// A socket bound to `::` takes IPv4 too. IPv4 addresses go in and out as such, never mapped.
    pub dual_stack: bool,
}

/// One datagram that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The socket.
    pub key: Key,
    /// Who sent it; IPv4 is never mapped.
    pub from: SocketAddr,
    /// Bytes in the buffer.
    pub length: usize,
}

/// A socket on its way to another thread's [`Io`], with what waits in it.
#[derive(Debug)]
pub struct Detached {
    pub(crate) socket: socket2::Socket,
    pub(crate) peer: Option<SocketAddr>,
}

/// What happened to sockets; monotonically growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams read.
    pub received: u64,
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// The peer has no socket there (ICMP port unreachable).
    pub refused: u64,
    /// The socket's send buffer, or the batch, was full: dropped.
    pub full: u64,
    /// Any other error of a send: dropped.
    pub send_failed: u64,
    /// Any other error of a read.
    pub receive_failed: u64,
    /// Datagrams that were longer than the buffer: dropped.
    pub truncated: u64,
}

/// One thread's sockets.
pub trait Io: Sized {
    /// Without sockets.
    ///
    /// # Errors
    /// The system has none of this kind to give.
    fn new() -> io::Result<Self>;
    /// Binds a socket under a key that is not in use. Returns where it is bound.
    ///
    /// # Errors
    /// The address is in use, or descriptors are used up.
    fn bind(&mut self, key: Key, addr: SocketAddr, options: &Options) -> io::Result<SocketAddr>;
    /// From now on this peer alone is heard; `None`: everybody. What already waits in the socket is not affected, so
    /// callers go on checking sources. Returns the local address that the kernel now uses.
    ///
    /// # Errors
    /// No route, or no such socket; the socket then hears everybody.
    fn connect(&mut self, key: Key, to: Option<SocketAddr>) -> io::Result<SocketAddr>;
    /// Closes a socket; its key is free.
    fn close(&mut self, key: Key);
    /// Gives a socket away; its key is free.
    fn detach(&mut self, key: Key) -> Option<Detached>;
    /// Takes a socket of another [`Io`] under a key that is not in use; what waits in it is reported.
    ///
    /// # Errors
    /// The key is in use, or the system has no room.
    fn attach(&mut self, key: Key, socket: Detached) -> io::Result<()>;
    /// Throws away what waits in a socket. Returns how many datagrams that were.
    fn drain(&mut self, key: Key) -> usize;
    /// Sends one datagram, now or with the next [`Io::flush`]. The slice is only lent.
    fn send(&mut self, key: Key, to: SocketAddr, data: &[u8]);
    /// Sends what waits.
    fn flush(&mut self);
    /// Waits until something can be read, somebody wakes, or the time is over.
    ///
    /// # Errors
    /// The system cannot wait: nothing can be done about it. Interruptions are not errors.
    fn wait(&mut self, timeout: Duration) -> io::Result<()>;
    /// The next datagram of this turn; `None`: everything is dry, or has had its share of this turn and wants
    /// [`Io::wait`] called again, which then returns at once. Never waits.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<Received>;
    /// Ends a [`Io::wait`], now or the next.
    fn waker(&self) -> Waker;
    /// What happened so far.
    fn counters(&self) -> Counters;
}
