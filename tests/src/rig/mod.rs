//! The real binary and the real parts around it: its process, SIPp, baresip, a small listener phone, tones.
#![allow(clippy::disallowed_methods, reason = "the rig runs against real clocks, sockets and processes")]
#![allow(clippy::unwrap_used, reason = "the rig serves tests and benches: it fails by panicking")]
#![allow(missing_docs, reason = "fields and helpers of test code speak for themselves")]

pub mod baresip;
pub mod browser;
pub mod cable;
pub mod client;
pub mod disk;
pub mod ear;
pub mod engine;
pub mod hostile;
pub mod lines;
pub mod linphone;
pub mod noise;
pub mod office;
pub mod page;
pub mod scene;
pub mod script;
pub mod sipp;
pub mod strangers;
pub mod tone;
pub mod wire;
