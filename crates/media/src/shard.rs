//! The owner of streams and listeners: matches packets and commands to them.

use std::time::Instant;

use crate::interface::{Command, Counters, Kind, Port, Settings, Sink};
use std::net::SocketAddr;

/// One thread's share of the media plane. See [`crate`].
#[derive(Debug)]
pub struct Shard {}

impl Shard {
    /// Without streams. `seed` feeds SSRCs, sequence numbers and time stamps.
    #[must_use]
    pub fn new(_settings: Settings, _seed: [u8; 32]) -> Self {
        todo!()
    }
    /// One datagram that arrived on a port's socket.
    pub fn datagram(&mut self, _now: Instant, _port: Port, _kind: Kind, _source: SocketAddr, _data: &mut [u8], _sink: &mut impl Sink) {
        todo!()
    }
    /// One command.
    pub fn command(&mut self, _now: Instant, _command: Command, _sink: &mut impl Sink) {
        todo!()
    }
    /// Ticks the mixer, RTCP and timeouts that are due.
    pub fn wake(&mut self, _now: Instant, _sink: &mut impl Sink) {
        todo!()
    }
    /// When [`Shard::wake`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        todo!()
    }
    /// Drops and work so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        todo!()
    }
    /// Streams and listeners that are there: both 0 when all is over.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        todo!()
    }
}
