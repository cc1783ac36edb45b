//! What is measured, each as a process on the device's core with N calls set up.

pub(crate) mod bare;
mod bencode;
mod direct;
mod medlytt;
mod phones;
mod rtpengine;
mod sdp;

use std::fmt;
use std::net::{SocketAddr, SocketAddrV4};

use clap::ValueEnum;

use crate::generator::{Generator, Leg};
use crate::setting::Setting;

/// Which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// The release binary that MEDLYTT_BIN names, its calls set up by SIP
    Medlytt,
    /// Debian's rtpengine in user space, its calls set up by its ng protocol
    Rtpengine,
    /// The least that a relay can do
    Bare,
    /// The same by io_uring
    BareRing,
    /// No relay at all
    Direct,
}

/// A relay and its calls. Dropped, its process ends.
pub(crate) trait Peer: fmt::Debug {
    fn name(&self) -> &'static str;
    /// Its process.
    fn pid(&self) -> Option<u32>;
    /// Sets so many calls up, once.
    fn set_up(&mut self, setting: &Setting, calls: usize, generator: &Generator) -> Result<Calls, String>;
    /// Where listeners from now on want to be sent to.
    fn listeners_at(&mut self, _: SocketAddrV4) {}
    /// Lets a listener hear each of these calls.
    fn listen(&mut self, calls: &[usize]) -> Result<Heard, String> {
        Err(format!("{} has no listeners for {} calls", self.name(), calls.len()))
    }
    /// Hangs every listener up.
    fn leave(&mut self) -> Result<(), String> {
        Err(format!("{} has no listeners", self.name()))
    }
}

/// Calls that are up.
#[derive(Debug)]
pub(crate) struct Calls {
    /// Legs 2n and 2n + 1 are call n.
    pub(crate) legs: Vec<Leg>,
}

/// Listeners that hear.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Streams that the relay sends to listeners.
    pub(crate) streams: usize,
    /// The relay's addresses for them, the last one first.
    pub(crate) relay: Vec<SocketAddr>,
    /// When each of these was answered, where that is known: nanoseconds of the wall clock.
    pub(crate) answered: Vec<u64>,
}

/// Starts a peer, its process not yet burdened.
pub(crate) fn start(name: Name, setting: &Setting, capacity: &Capacity) -> Result<Box<dyn Peer>, String> {
    Ok(match name {
        Name::Medlytt => Box::new(medlytt::Medlytt::start(setting, capacity)?),
        Name::Rtpengine => Box::new(rtpengine::Rtpengine::start(setting)?),
        Name::Bare => Box::new(bare::Bare::new(bare::Way::Epoll)),
        Name::BareRing => Box::new(bare::Bare::new(bare::Way::Ring)),
        Name::Direct => Box::new(direct::Direct),
    })
}

/// What a peer is to have room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    pub(crate) calls: usize,
    pub(crate) listeners: usize,
}
