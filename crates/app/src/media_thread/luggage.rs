//! Streams and listeners on their way to another thread, with the sockets of their ports.

use media::{ListenerId, Port, StreamId};
use udp::Detached;

/// What goes from thread to thread.
#[derive(Debug)]
pub(crate) struct Luggage {
    pub(super) parcel: media::Parcel,
    pub(super) sockets: Vec<Packed>,
    pub(super) legs: Vec<(Leg, Port)>,
}

/// One pair of sockets.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) port: Port,
    pub(super) rtp: Option<PackedSocket>,
    pub(super) rtcp: Option<PackedSocket>,
    pub(super) is_muxed: bool,
}

/// A socket, and whether it is connected.
#[derive(Debug)]
pub(super) struct PackedSocket {
    pub(super) socket: Detached,
    pub(super) is_connected: bool,
}

/// Whose port it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Leg {
    Stream(StreamId),
    Listener(ListenerId),
}
