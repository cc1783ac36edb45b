//! The API over its router, with a fake engine: no sockets, no sleeping.
#![allow(clippy::disallowed_methods, reason = "the fake engine is a task")]
#![allow(clippy::unwrap_used, reason = "all of it is tests; clippy.toml's exception ends at their helpers")]

mod audit;
mod commands;
mod errors;
mod events;
mod idempotency;
mod lists;
mod operations;
mod paging;
mod player;
mod rights;
mod server;
mod session;
mod stage;
mod tokens;
