//! RTP, sans-IO: packets and times come in, packets and events go out.
//!
//! Read this first. A [`Shard`] owns every stream of its calls and all their listeners. Packets take the short way:
//! socket token → slab index → source check → relay output → (only if somebody listens) the tap's jitter ring. On its
//! 20 ms tick the mixer pulls one frame a side and every listener of that kind gets the same payload. What arrives on a
//! listener's port is counted and dropped: [`listener::ListenerLeg`] has no method that yields media into a call.

pub mod codec;
pub mod fork;
pub mod jitter;
pub mod listener;
pub mod mixer;
pub mod plc;
pub mod ports;
pub mod relay;
pub mod rtcp;
pub mod rtp;

mod interface;
mod reception;
mod shard;

pub use interface::*;
pub use shard::Shard;
