//! Many UDP sockets on one thread, behind one small trait.
//!
//! Read this first. A thread owns one [`Io`]: it binds sockets under keys of its own choosing (small numbers: a port
//! number serves), waits, takes one datagram after the other, sends. A [`Waker`] ends a wait from another thread.
//! Nothing here knows of RTP.
//!
//! ```
//! use std::time::Duration;
//! use udp::{Epoll, Io, Options};
//!
//! # fn main() -> std::io::Result<()> {
//! let mut io = Epoll::new()?;
//! let options = Options { receive_buffer: 32 * 1024, tos: 0xb8, dual_stack: false };
//! let (a, b) = (io.bind(1, "127.0.0.1:0".parse().unwrap(), &options)?, io.bind(2, "127.0.0.1:0".parse().unwrap(), &options)?);
//! io.send(1, b, b"hello");
//! let mut buffer = [0; udp::LONGEST];
//! let heard = loop {
//!     io.wait(Duration::from_secs(1))?;
//!     if let Some(received) = io.receive(&mut buffer) {
//!         break received;
//!     }
//! };
//! assert_eq!((heard.key, heard.from, &buffer[..heard.length]), (2, a, &b"hello"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! | | [`Epoll`] | [`Uring`] |
//! | --- | --- | --- |
//! | needs | Linux 3.9; 5.11 for waits finer than 1 ms | Linux 6.1, and nobody who forbids it: [`Uring::probe`] |
//! | receives | edge-triggered, each socket read until dry, 16 datagrams a turn | receives that stay armed, 1,024 buffers that all sockets share |
//! | sends | at once; copies ([`Io::send_later`]) at the end of the turn, those of one socket in one call | 64 at a time, with the wait that ends the turn |
//! | costs | [decision 7](../../docs/decisions/0007-sockets-epoll-and-io-uring.md) | the same |
//!
//! A socket that is connected takes datagrams from that peer alone: the kernel drops what others send. What was queued
//! before keeps its true source. Errors of the network (port unreachable and the like) are counted, never returned, and
//! never end anything; a datagram that such an error of an earlier one would swallow is sent once more.
//!
//! The only crate of ours with `unsafe`: what the kernel is handed in `uring`, two system calls that `rustix` does not
//! offer safely in `later` and `nap`.
#![allow(clippy::disallowed_methods, reason = "a shell: sockets are its business, and tests have threads")]

mod detached;
mod epoll;
mod later;
mod machine;
mod name;
mod nap;
mod sender;
mod socket;
mod uring;
mod waker;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use detached::Detached;
pub use epoll::Epoll;
pub use machine::{allowed_cpus, descriptor_limit, pin_to};
pub use sender::Sender;
pub use uring::{Unavailable, Uring};
pub use waker::Waker;

/// What a thread calls one of its sockets. Tables are indexed by it, so keys are small; a port number is one.
pub type Key = u32;

/// Bytes of the longest datagram that is received; longer ones are dropped and counted. What Ethernet carries fits.
pub const LONGEST: usize = 2000;

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
    /// Times that a socket had to wait because all receive buffers were in use; nothing is lost by that alone.
    pub starved: u64,
}

impl std::ops::Add for Counters {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            refused: self.refused + other.refused,
            full: self.full + other.full,
            send_failed: self.send_failed + other.send_failed,
            receive_failed: self.receive_failed + other.receive_failed,
            truncated: self.truncated + other.truncated,
            starved: self.starved + other.starved,
        }
    }
}

/// One thread's sockets: made, used and dropped on that thread.
pub trait Io: Sized {
    /// What logs and metrics call it.
    const NAME: &'static str;

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
    /// From now on this peer alone is heard; `None`: everybody. What already waits in the socket is not affected and
    /// comes with its true source, so callers go on checking sources. Returns the local address that the kernel now
    /// uses; the port never changes.
    ///
    /// # Errors
    /// No route, or no such socket; the socket then hears everybody.
    fn connect(&mut self, key: Key, to: Option<SocketAddr>) -> io::Result<SocketAddr>;
    /// Closes a socket: its key and its address are free when this returns.
    fn close(&mut self, key: Key);
    /// Gives a socket away; its key is free.
    fn detach(&mut self, key: Key) -> Option<Detached>;
    /// Takes a socket of another [`Io`] under a key that is not in use; what waits in it is reported.
    ///
    /// # Errors
    /// The key is in use, or the system has no room; the socket is then closed.
    fn attach(&mut self, key: Key, socket: Detached) -> io::Result<()>;
    /// Throws away what waits in a socket. Returns how many datagrams that were.
    fn drain(&mut self, key: Key) -> usize;
    /// Sends one datagram at once, or as soon as the kernel is entered next: what is relayed. The slice is only lent.
    fn send(&mut self, key: Key, to: SocketAddr, data: &[u8]);
    /// Sends one datagram with the next [`Io::flush`] or [`Io::wait`]: what can wait for the end of the turn, such as
    /// listeners' copies. Those of one socket keep their order among themselves, but not with [`Io::send`].
    fn send_later(&mut self, key: Key, to: SocketAddr, data: &[u8]);
    /// Sends what waits. [`Io::wait`] does so by itself: only a turn that goes on for long calls this.
    fn flush(&mut self);
    /// Sends what waits, then waits until something can be read, somebody wakes, or the time is over.
    ///
    /// # Errors
    /// The system cannot wait: nothing can be done about it. Interruptions are not errors.
    fn wait(&mut self, timeout: Duration) -> io::Result<()>;
    /// The next datagram of this turn; `None`: everything is dry, or has had its share of this turn and wants
    /// [`Io::wait`] called again, which then returns at once. Never waits. A turn takes until `None`.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<Received>;
    /// Ends a [`Io::wait`], now or the next.
    fn waker(&self) -> Waker;
    /// What happened so far.
    fn counters(&self) -> Counters;
}
