//! No relay at all: what the generator and the kernel add by themselves.

use std::net::SocketAddr;

use super::{Calls, Peer};
use crate::generator::{Generator, Leg};
use crate::setting::Setting;

/// See [the module](self).
#[derive(Debug)]
pub(crate) struct Direct;

impl Peer for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn set_up(&mut self, _: &Setting, calls: usize, generator: &Generator) -> Result<Calls, String> {
        let legs = (0..2 * calls).map(|n| Leg {
            socket: Generator::socket_of(n),
            to: SocketAddr::V4(generator.address_of(n ^ 1)),
            keys: None,
        });
        Ok(Calls { legs: legs.collect() })
    }
}
