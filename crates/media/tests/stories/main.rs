//! Stories: what callers, agents and listeners of a shard send, get and hear, on simulated time.
#![allow(unreachable_pub)] // a test binary has no outside
#![allow(clippy::disallowed_methods)] // the world's origin is any instant; after that, time is told

mod encryption;
mod endings;
mod families;
mod keys;
mod kinds;
mod listening;
mod moving;
mod multiplexed;
mod network;
mod relaying;
mod robustness;
mod routing;
mod serving;
mod sources;
mod vectors;
mod world;
mod zero_impact;
