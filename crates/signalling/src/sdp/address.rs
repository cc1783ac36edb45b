//! Where a stream of ours can be reached: by IPv4, by IPv6 or by both (RFC 6157).

use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

/// A version of IP, as c= names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `IP4`.
    V4,
    /// `IP6`.
    V6,
}

impl Family {
    /// Of an address. One of IPv4 that is written as IPv6 is IPv4.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        if ip.to_canonical().is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// The RTP address of one stream of ours, in each family that its sockets take; RTCP is one port above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaAddress {
    /// `None`: no peer reaches it by IPv4.
    pub v4: Option<SocketAddr>,
    /// `None`: no peer reaches it by IPv6.
    pub v6: Option<SocketAddr>,
    /// Streams are bridged within one shard of the media plane alone; its number.
    pub shard: usize,
}

impl MediaAddress {
    /// An address, and the same port's in the other family.
    #[must_use]
    pub fn new(address: SocketAddr, other: Option<SocketAddr>) -> Self {
        let both = [Some(address), other];
        let of = |family| both.into_iter().flatten().find(|address| Family::of(address.ip()) == family);
        Self { v4: of(Family::V4), v6: of(Family::V6), shard: 0 }
    }

    /// The same on another shard.
    #[must_use]
    pub fn on_shard(self, shard: usize) -> Self {
        Self { shard, ..self }
    }

    /// What a peer of this family is shown.
    #[must_use]
    pub fn of(&self, family: Family) -> Option<SocketAddr> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// The same, or the other family's where it has none of this.
    #[must_use]
    pub fn preferring(&self, family: Family) -> Option<SocketAddr> {
        self.of(family).or(self.v4).or(self.v6)
    }
}

impl From<SocketAddr> for MediaAddress {
    fn from(address: SocketAddr) -> Self {
        Self::new(address, None)
    }
}

impl FromStr for MediaAddress {
    type Err = AddrParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<SocketAddr>().map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_shown_its_own_family() {
        let (v4, v6) = ("192.0.2.1:4000".parse().unwrap(), "[2001:db8::1]:4000".parse().unwrap());
        let both = MediaAddress::new(v6, Some(v4));
        assert_eq!((both.of(Family::V4), both.of(Family::V6)), (Some(v4), Some(v6)));
        let one = MediaAddress::from(v4);
        assert_eq!((one.of(Family::V6), one.preferring(Family::V6)), (None, Some(v4)));
        assert_eq!(Family::of("::ffff:192.0.2.1".parse().unwrap()), Family::V4);
    }
}
