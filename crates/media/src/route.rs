//! The shard's decision for one kind of packet of one leg, as plain data.
//!
//! It is made anew whenever a description, a bridge, a latch, a tap or a key changes, and never while a packet waits. A
//! program in the kernel could act on it as it stands (docs/decisions/0009-room-for-a-kernel-path.md).

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::interface::{Kind, Port};
use crate::source::Endpoint;

/// "A packet on this socket from there goes out by that one to there, unchanged."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it goes, if [`Flags::TARGETED`].
    pub to: SocketAddr,
    /// The only source that is accepted, if [`Flags::LEARNED`].
    pub from: Endpoint,
    /// It comes in here,
    pub port: Port,
    /// on this of the two sockets.
    pub kind: Kind,
    /// It goes out there,
    pub out: Port,
    /// by this of the two.
    pub out_kind: Kind,
    /// What is decided, and what must be seen in user space.
    pub flags: Flags,
}

impl Route {
    /// Of a leg that knows nobody yet.
    pub(crate) fn unknown(port: Port, kind: Kind) -> Self {
        let to = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        Self { to, from: Endpoint::NOWHERE, port, kind, out: port, out_kind: kind, flags: Flags::default() }
    }

    /// Whether a packet that is valid needs nothing but new addresses.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.flags == Flags::LEARNED | Flags::TARGETED
    }
}

/// What is true of a [`Route`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// One source is accepted, and no other.
    pub const LEARNED: Self = Self(1);
    /// There is somewhere to send.
    pub const TARGETED: Self = Self(1 << 1);
    /// The other party described an address that nothing is sent to.
    pub const REFUSED: Self = Self(1 << 2);
    /// Somebody listens on either leg, or waits for its keys.
    pub const TAPPED: Self = Self(1 << 3);
    /// What comes in is encrypted.
    pub const PROTECTED_IN: Self = Self(1 << 4);
    /// What goes out is to be encrypted.
    pub const PROTECTED_OUT: Self = Self(1 << 5);
    /// RTP and RTCP come on one socket, told apart by their second byte (RFC 5761 §4).
    pub const MUXED: Self = Self(1 << 6);

    /// Whether all of `others` are true.
    #[must_use]
    pub fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These, if it is so.
    #[must_use]
    pub(crate) fn when(self, is_so: bool) -> Self {
        if is_so { self } else { Self::default() }
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_fits_a_line_of_the_cache() {
        assert!(size_of::<Route>() <= 64, "{} bytes", size_of::<Route>());
    }
}
