//! RTP, sans-IO: packets and times come in, packets and events go out.
//!
//! Read this first. A [`Shard`] owns every stream of its calls and all their listeners. Packets take the short way:
//! port → slab index → source check → [`Route`] → (only if somebody listens) the tap's jitter ring. On its
//! 20 ms tick the mixer pulls one frame a side and every listener of that kind gets the same payload. What arrives on a
//! listener's port is counted and dropped: [`listener::ListenerLeg`] has no method that yields media into a call.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::Instant;
//!
//! use media::{Command, Event, Kind, Port, Remote, Settings, Shard, Sink, StreamId};
//!
//! #[derive(Default)]
//! struct Sent(Vec<(Port, SocketAddr, Vec<u8>)>);
//! impl Sink for Sent {
//!     fn send(&mut self, port: Port, _: Kind, to: SocketAddr, data: &[u8]) {
//!         self.0.push((port, to, data.to_vec()));
//!     }
//!     fn event(&mut self, _: Event) {}
//!     fn release(&mut self, _: Port) {}
//! }
//!
//! # #[allow(clippy::disallowed_methods)]
//! let (now, mut sent) = (Instant::now(), Sent::default());
//! let mut shard = Shard::new(Settings::default(), [0; 32]);
//! let (caller, agent) = (StreamId(1), StreamId(2));
//! for (stream, port, phone) in [(caller, 20_000, "192.0.2.1:4000"), (agent, 20_002, "192.0.2.2:4000")] {
//!     let rtp = phone.parse().ok();
//!     let (sends, receives) = (true, true);
//!     let (rtcp, telephone_event, latch, keys) = (None, None, None, None);
//!     let remote = Remote { rtp, rtcp, sends, receives, decodable: vec![], telephone_event, latch, mux: false, keys };
//!     shard.command(now, Command::Open { stream, port: Port(port) }, &mut sent);
//!     shard.command(now, Command::Describe { stream, remote }, &mut sent);
//! }
//! shard.command(now, Command::Bridge { a: caller, b: agent }, &mut sent);
//!
//! let mut packet = media::rtp::header(false, 0, 1, 160, 7).to_vec();
//! packet.extend([0xff; 160]);
//! let from = "192.0.2.1:4000".parse().expect("an address");
//! shard.datagram(now, Port(20_000), Kind::Rtp, from, &mut packet, &mut sent);
//! assert_eq!(sent.0, [(Port(20_002), "192.0.2.2:4000".parse().expect("an address"), packet)]);
//! ```

pub mod browser;
pub mod codec;
pub mod fork;
pub mod jitter;
pub mod level;
pub mod listener;
pub mod mixer;
pub mod noise;
pub mod plc;
pub mod ports;
pub mod resample;
pub mod router;
pub mod rtcp;
pub mod rtp;
pub mod source;
pub mod srtp;
pub mod telephone_event;
pub mod tone;

mod guard;
mod interface;
mod losses;
mod reception;
mod relay;
mod route;
mod shard;

pub use interface::*;
pub use route::{Flags, Route};
pub use shard::{Fetch, Parcel, Shard, Step};
pub use source::{Endpoint, OwnMedia};
