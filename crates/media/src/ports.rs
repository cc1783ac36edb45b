//! Which RTP ports to bind next: drawn at random, neighbours of busy ones, quarantine after use. Numbers only.

use std::time::Instant;

/// The range and what of it is in use, pure.
#[derive(Debug)]
pub struct PortNumbers {}

impl PortNumbers {
    /// Even ports of `first..=last` whose next port is in the range too.
    #[must_use]
    pub fn new(_first: u16, _last: u16, _quarantine: std::time::Duration, _seed: [u8; 32]) -> Self {
        todo!()
    }
    /// A number to try to bind; `None`: all are in use or in quarantine. It counts as in use from now on.
    pub fn draw(&mut self, _now: Instant) -> Option<u16> {
        todo!()
    }
    /// Somebody else has that port: not tried again for a while; draw another.
    pub fn busy(&mut self, _now: Instant, _port: u16) {
        todo!()
    }
    /// The call is over: the number rests for the quarantine.
    pub fn release(&mut self, _now: Instant, _port: u16) {
        todo!()
    }
    /// Numbers in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        todo!()
    }
}
