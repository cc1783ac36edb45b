//! Stories without time: the whole engine, its media plane and its phones on a simulated clock and network.
//!
//! Read this first. A [`World`] holds an [`engine::Engine`], a [`media::Shard`], a store and phones, and carries packets
//! between them with latency, jitter, loss and duplication from a seeded source. Nothing in it waits: ten seconds of a
//! call take some milliseconds. Stories say what people do ([`World::dial`], [`World::hold`], [`World::order`]) and what
//! they hear ([`World::hears_exactly`]). When a world ends, everybody hangs up and nothing may be left.
//!
//! ```no_run
//! use sim::{World, user};
//!
//! let mut w = World::new();
//! let (caller, agent) = w.call_agent();
//! w.order("anna", user("sue")).calls(1).accepted();
//! let ear = w.answered("sue");
//! w.hears_exactly(ear, &[440, 800]);
//! w.hears_exactly(caller, &[440]);
//! w.hears_exactly(agent, &[800]);
//! ```
// A test bed reads the clock once, to have an `Instant` to count from, and panics are its way to fail.
#![allow(clippy::disallowed_methods, clippy::expect_used)]

mod cast;
mod checks;
mod disk;
mod lives;
mod model;
mod network;
mod orders;
mod people;
mod plant;
pub mod swarm;
mod watch;
mod wiretap;
mod world;

pub use cast::{ACCESS_NUMBER, CALLER, DOMAIN, ENGINE_V6, Setup, at_v6};
pub use disk::Disk;
pub use model::Model;
pub use network::{Quality, Wire};
pub use orders::{Draft, agent, number, user};
pub use people::{ALL_TONES, Leg};
pub use watch::{Met, Violation};
pub use world::World;
