//! SIP, sans-IO: bytes and times come in, bytes, events and a wake-up time go out.
//!
//! Read this first. [`Signalling::drive`] takes one [`Input`] and appends what follows from it to the outputs; it
//! always drains, so nobody can forget to. Floors, each using only those below it:
//! `message` → `transaction` → `dialog` → `session` → `b2bua` → `transfer`.
//!
//! What a datagram meets on its way: `core` parses it and gives it to the transactions; `admission` decides who it is
//! from and whether it may come in; what belongs to a `leg` goes to its pair (`b2bua`), its listener (`outgoing`) or its
//! transfer (`transfer`), which all speak through the one user agent (`ua`).
//!
//! ```
//! use std::time::{Duration, Instant};
//! use signalling::transport::{Flow, Transport};
//! use signalling::{Input, Output, Settings, Signalling};
//!
//! let mut core = Signalling::new(Settings::for_domain("medlytt.test"), [1; 32]);
//! let flow = Flow { transport: Transport::Udp, local: "192.0.2.1:5060".parse()?, remote: "192.0.2.9:5060".parse()? };
//! let options = "OPTIONS sip:192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
//!     From: <sip:probe@192.0.2.9>;tag=1\r\nTo: <sip:192.0.2.1>\r\nCall-ID: a\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
//! let mut outputs = Vec::new();
//! core.drive(Instant::now(), Input::Datagram { flow, data: options.into() }, &mut outputs);
//! assert!(matches!(&outputs[..], [Output::Transmit { data, .. }] if data.starts_with(b"SIP/2.0 200 OK")));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod message;
pub mod sdp;

pub mod digest;
pub mod peers;
pub mod transport;

pub mod transaction;

pub mod dialog;

mod session;

pub mod registrar;

mod admission;
mod invite;
mod leg;
mod orphan;
mod outgoing;
mod ua;

mod b2bua;

mod transfer;

mod core;
mod interface;
pub use interface::*;
