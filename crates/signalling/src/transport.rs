//! Flows: which way a message came and which way one goes. Decisions only; the sockets are the shell's.

use std::net::SocketAddr;

/// How messages travel. Only UDP in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// RFC 3261 §18.
    Udp,
}

/// A pair of addresses (RFC 5626 calls it a flow): answers go back where the request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// Transport.
    pub transport: Transport,
    /// Our address; for a socket bound to 0.0.0.0 the address of the route, so that Via and Contact are right.
    pub local: SocketAddr,
    /// Theirs.
    pub remote: SocketAddr,
}
