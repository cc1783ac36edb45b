//! `medlytt`: the engine's shell. Sockets, threads, configuration, command line; decisions are the cores'.
//!
//! Read `shell` first: it binds everything and starts `engine_task`, which owns the engine, and the threads of `media_plane`,
//! which own the RTP sockets. `config` reads the file, `serve` and `demo` are the two ways to run.

// The shell is where clocks, sockets, threads and randomness live.
#![allow(clippy::disallowed_methods)]

mod audit;
mod cli;
mod clock;
mod config;
mod demo;
mod engine_task;
mod figures;
mod first_admin;
mod limits;
mod logging;
mod media_addresses;
mod media_plane;
mod media_thread;
mod password;
mod retention;
mod serve;
mod shell;
mod sip_sockets;
mod sip_streams;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
