//! What is asked of the peers.

pub(crate) mod ears;
pub(crate) mod forks;
pub(crate) mod impact;
pub(crate) mod levels;
pub(crate) mod memory;
pub(crate) mod search;

use crate::generator::{Generator, Measured};
use crate::peer::{self, Calls, Capacity, Name, Peer};
use crate::setting::Setting;

/// A peer with its calls up, and the generator whose sockets they name.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) peer: Box<dyn Peer>,
    calls: Calls,
    generator: Generator,
}

impl Stage {
    pub(crate) fn new(name: Name, setting: &Setting, capacity: Capacity) -> Result<Self, String> {
        let peer = peer::start(name, setting, &capacity)?;
        Self::with(peer, setting, capacity.calls)
    }

    pub(crate) fn with(mut peer: Box<dyn Peer>, setting: &Setting, calls: usize) -> Result<Self, String> {
        let generator = Generator::new().map_err(|error| error.to_string())?;
        let calls = peer.set_up(setting, calls, &generator)?;
        Ok(Self { peer, calls, generator })
    }

    /// The first `calls` of the calls speak; the others are up and silent.
    pub(crate) fn trial(&self, setting: &Setting, calls: usize) -> Result<Measured, String> {
        let legs = &self.calls.legs[..(2 * calls).min(self.calls.legs.len())];
        let measured = self.generator.run(setting, legs, self.peer.pid());
        if measured.altered + measured.strayed > 0 {
            return Err(format!(
                "{} altered {} packets and led {} astray",
                self.peer.name(),
                measured.altered,
                measured.strayed
            ));
        }
        Ok(measured)
    }
}
