//! The real binary against real parts: SIPp as trunk and agents, baresip as agent and listener, linphone as
//! listener, asserting on heard tones; and against what befalls it: kills, floods, hostile input, a disk that goes away.
//!
//! Run by `cargo xtask test`, which builds the binary, installs `sip-tester`, `baresip-core` and `linphone-cli`, and names the binary in
//! `MEDLYTT_BIN`. The listener phone (`rig::ear`) is a small one of the tests' own: it shares no code with the engine.
#![allow(clippy::disallowed_methods, reason = "these tests run against real clocks, sockets and processes")]

mod clients;
mod codecs;
mod demo;
mod disk;
mod durability;
mod encrypted;
mod flood;
mod hostile;
mod http_vectors;
mod integrating;
mod load;
mod no_way_in;
mod page;
mod phones;
mod schemathesis;
mod stopped;
mod streams;
mod tcp;
mod through;
