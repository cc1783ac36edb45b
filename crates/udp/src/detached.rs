//! Sockets between two owners, and the datagrams that travel with them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::{Key, Received};

/// A socket on its way to another thread's [`Io`](crate::Io), with what waits in it.
#[derive(Debug)]
pub struct Detached {
    pub(crate) socket: socket2::Socket,
    pub(crate) peer: Option<SocketAddr>,
    /// What the kernel had already handed out, oldest first.
    pub(crate) waiting: Vec<Waiting>,
}

/// A datagram that its next owner has to take.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) from: SocketAddr,
    pub(crate) data: Vec<u8>,
}

/// Datagrams that came with attached sockets; empty nearly always.
#[derive(Debug, Default)]
pub(crate) struct Held(VecDeque<(Key, Waiting)>);

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn hold(&mut self, key: Key, waiting: Vec<Waiting>) {
        self.0.extend(waiting.into_iter().map(|one| (key, one)));
    }

    /// The next one; its length may be more than the buffer has.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> Option<Received> {
        let (key, Waiting { from, data }) = self.0.pop_front()?;
        let length = data.len();
        let copied = length.min(buffer.len());
        buffer[..copied].copy_from_slice(&data[..copied]);
        Some(Received { key, from, length })
    }

    /// All of one socket.
    pub(crate) fn take(&mut self, key: Key) -> Vec<Waiting> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let (taken, left): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|(of, _)| *of == key);
        self.0.extend(left);
        taken.into_iter().map(|(_, waiting)| waiting).collect()
    }
}
