//! Calls and silent monitoring, sans-IO. SEMANTICS.md is what this crate does.
//!
//! Read this first. [`Engine::drive`] takes one [`Input`] and appends what follows to the outputs: transmits, media
//! commands, things to persist, replies, views and events. It owns [`signalling::Signalling`]; media shards are driven
//! by the shell with the commands that come out here.

pub mod directory;
pub mod persist;
pub mod view;

mod call;
mod commands;
mod engine;
mod ids;
mod interaction;
mod interface;
mod legs;
mod monitoring;
mod outbox;
mod pii;
mod problem;
mod sip;
mod status;
mod store;
mod timers;
mod transfer;

#[cfg(test)]
mod stories;

pub use interface::*;
