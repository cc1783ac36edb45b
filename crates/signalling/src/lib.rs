//! SIP, sans-IO: bytes and times come in, bytes, events and a wake-up time go out.
//!
//! Read this first. [`Signalling::drive`] takes one [`Input`] and appends what follows from it to the outputs; it
//! always drains, so nobody can forget to. Floors, each using only those below it:
//! `message` → `transaction` → `dialog` → `session` → `b2bua` → `transfer`.

pub mod message;
pub mod sdp;

pub mod digest;
pub mod peers;
pub mod transport;

pub mod transaction;

pub mod dialog;

pub mod session;

pub mod outgoing;
pub mod registrar;

pub mod b2bua;

pub mod transfer;

mod interface;
pub use interface::*;
