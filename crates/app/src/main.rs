//! `medlytt`: the engine's shell. Sockets, threads, configuration, command line; decisions are the cores'.
//!
//! [`serve`] binds everything and owns the engine; `media_thread` owns the RTP sockets; `config` reads the file.

// The shell is where clocks, sockets, threads and randomness live.
#![allow(clippy::disallowed_methods)]

mod cli;
mod config;
mod demo;
mod logging;
mod media_thread;
mod password;
mod serve;
mod sip_sockets;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
