//! Who may send to a socket, and where its packets go.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::interface::{Kind, Port};

/// The relay's own sockets: a packet sent there would come back to it. Clones share the ports, so that all shards know
/// of each other's.
#[derive(Clone, Debug, Default)]
pub struct OwnMedia {
    /// Every address that a media socket can be reached at.
    pub addresses: Vec<IpAddr>,
    open: Arc<OpenPorts>,
}

/// One bit a pair of ports that a leg has now. Others in the range may be anybody's on the same machine.
#[derive(Debug)]
struct OpenPorts([AtomicU32; PAIRS / 32]);

/// Even port numbers.
const PAIRS: usize = 1 << 15;

impl Default for OpenPorts {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; PAIRS / 32])
    }
}

impl OwnMedia {
    /// Whether a leg of ours has that address and port now.
    #[must_use]
    pub fn contains(&self, to: &SocketAddr) -> bool {
        let (word, bit) = self.place(Port(to.port()));
        let is_open = word.load(Ordering::Relaxed) & bit != 0;
        let ip = to.ip().to_canonical();
        is_open && self.addresses.iter().any(|own| own.to_canonical() == ip)
    }

    pub(crate) fn opened(&self, port: Port) {
        let (word, bit) = self.place(port);
        word.fetch_or(bit, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, port: Port) {
        let (word, bit) = self.place(port);
        word.fetch_and(!bit, Ordering::Relaxed);
    }

    fn place(&self, port: Port) -> (&AtomicU32, u32) {
        let pair = usize::from(port.0 / 2);
        (&self.open.0[pair / 32], 1 << (pair % 32))
    }
}

/// An address and a port in one shape for both families, as a kernel's map would key them: IPv4 mapped into IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Sixteen bytes, in network order.
    pub ip: [u8; 16],
    /// The UDP port.
    pub port: u16,
}

impl Endpoint {
    /// No address at all.
    pub const NOWHERE: Self = Self { ip: [0; 16], port: 0 };

    /// The socket address; IPv4 where it was.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.ip).to_canonical(), self.port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self { ip: ip.octets(), port: addr.port() }
    }
}

/// Source check and destination of one socket (SEMANTICS, NAT).
///
/// Without a latch only the signalled address is accepted. With one, the first valid packet from the latch's IP (any
/// port) or from the signalled address decides: from then on its source is the only one accepted, and the destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Described last; a hold without an address leaves it.
    signalled: Option<Endpoint>,
    /// Where the latch fell last, and so far for this signalled address.
    latched: Option<Endpoint>,
    accepts: Accepts,
    sends: Sends,
    /// What the shell was told last of whom is accepted.
    told: Option<Endpoint>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Accepts {
    /// Not described yet, or described without an address from the beginning.
    #[default]
    Nobody,
    Only(Endpoint),
    /// This IP, or the signalled address.
    First(IpAddr),
}

/// What the last description said of where to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sends {
    /// It gave no address, or 0.0.0.0.
    #[default]
    Nowhere,
    /// It gave one that nothing is ever sent to.
    Refused,
    There,
}

/// Those of a leg's two sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    rtp: Source,
    rtcp: Source,
}

impl Sources {
    /// A new description of both; `rtcp` is `None` where RTCP comes by the RTP socket (RFC 5761).
    pub(crate) fn describe(
        &mut self,
        rtp: Option<SocketAddr>,
        rtcp: Option<Option<SocketAddr>>,
        latch: Option<IpAddr>,
        own: &OwnMedia,
    ) {
        self.rtp.describe(rtp, latch, own);
        match rtcp {
            Some(rtcp) => self.rtcp.describe(rtcp, latch, own),
            None => self.rtcp.shut(),
        }
    }

    pub(crate) fn of(&self, socket: Kind) -> &Source {
        match socket {
            Kind::Rtp => &self.rtp,
            Kind::Rtcp => &self.rtcp,
        }
    }

    pub(crate) fn of_mut(&mut self, socket: Kind) -> &mut Source {
        match socket {
            Kind::Rtp => &mut self.rtp,
            Kind::Rtcp => &mut self.rtcp,
        }
    }
}

/// What a packet's source is to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The one source that is accepted.
    Known,
    /// The first from where one may latch: if the packet proves valid, [`Source::latch`].
    Learns,
    /// Somebody else.
    Foreign,
}

impl Source {
    /// A new description; a latch is armed again. Until it falls, packets go on to where they went, if the signalled
    /// address is the old one.
    pub fn describe(&mut self, signalled: Option<SocketAddr>, latch: Option<IpAddr>, own: &OwnMedia) {
        let good = signalled.filter(|to| is_target(to, own)).map(Endpoint::from);
        let has_moved = good.is_some() && good != self.signalled;
        let latch = latch.map(|ip| ip.to_canonical());
        self.latched = self.latched.filter(|latched| latch == Some(latched.address().ip()) && !has_moved);
        self.signalled = good.or(self.signalled);
        self.sends = match (good, signalled) {
            (Some(_), _) => Sends::There,
            (None, Some(to)) if !is_hold(&to) => Sends::Refused,
            (None, _) => Sends::Nowhere,
        };
        self.accepts = match (latch, good) {
            (Some(ip), _) => Accepts::First(ip),
            (None, Some(signalled)) => Accepts::Only(signalled),
            // Held with 0.0.0.0: it does not say where it sends from, so what was true goes on.
            (None, None) => self.accepts,
        };
    }

    /// A socket that has no use from now on (RTCP beside a multiplexed leg): nobody is heard, nothing is sent.
    pub fn shut(&mut self) {
        *self = Self { told: self.told, ..Self::default() };
    }

    /// What a packet from there is. That it is none of the relay's own addresses is up to the caller.
    #[must_use]
    pub fn admits(&self, from: SocketAddr) -> Admission {
        let endpoint = Endpoint::from(from);
        match self.accepts {
            Accepts::Only(only) if only == endpoint => Admission::Known,
            Accepts::First(ip) => {
                let is_signalled = self.sends == Sends::There && self.signalled == Some(endpoint);
                let is_near = from.ip().to_canonical() == ip && is_sendable(&from);
                if is_near || is_signalled { Admission::Learns } else { Admission::Foreign }
            }
            Accepts::Nobody | Accepts::Only(_) => Admission::Foreign,
        }
    }

    /// A valid packet came from there, which was [`Admission::Learns`]: from now on nobody else is accepted.
    pub fn latch(&mut self, from: SocketAddr) {
        let from = Endpoint::from(from);
        self.accepts = Accepts::Only(from);
        self.latched = Some(from);
    }

    /// Where to send; `None`: nowhere.
    #[must_use]
    pub fn to(&self) -> Option<SocketAddr> {
        self.latched.or(self.signalled).filter(|_| self.sends == Sends::There).map(Endpoint::address)
    }

    /// The only source that is accepted; `None`: nobody yet, or the first of several.
    #[must_use]
    pub fn only(&self) -> Option<Endpoint> {
        match self.accepts {
            Accepts::Only(only) => Some(only),
            _ => None,
        }
    }

    /// The only source that is accepted (and may be told), if that has changed since it was asked last.
    pub fn news(&mut self, may_be_told: bool) -> Option<Option<SocketAddr>> {
        let only = self.only().filter(|_| may_be_told);
        let before = std::mem::replace(&mut self.told, only);
        (before != only).then(|| only.map(Endpoint::address))
    }

    /// The last description named an address that nothing is ever sent to.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.sends == Sends::Refused
    }
}

/// A unicast address with a port that is not the relay's own: nothing is ever sent to 0.0.0.0, a group, everybody, the
/// neighbours on the link, or the relay itself.
#[must_use]
pub fn is_target(to: &SocketAddr, own: &OwnMedia) -> bool {
    is_sendable(to) && !own.contains(to)
}

fn is_sendable(to: &SocketAddr) -> bool {
    let ip = to.ip().to_canonical();
    let is_elsewhere = match ip {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    to.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_elsewhere
}

/// An address that says "send nothing": 0.0.0.0 (RFC 2543 holds) or port 0.
fn is_hold(to: &SocketAddr) -> bool {
    to.port() == 0 || to.ip().to_canonical().is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn nothing() -> OwnMedia {
        OwnMedia::default()
    }

    /// As the shard does with a packet that proves valid.
    fn accept(source: &mut Source, from: &str) -> bool {
        let admission = source.admits(addr(from));
        if admission == Admission::Learns {
            source.latch(addr(from));
        }
        admission != Admission::Foreign
    }

    fn describe(source: &mut Source, signalled: &str, latch: Option<IpAddr>) {
        source.describe(Some(addr(signalled)), latch, &nothing());
    }

    #[test]
    fn without_a_latch_only_the_signalled_address_is_accepted() {
        let mut source = Source::default();
        assert!(!accept(&mut source, "10.0.0.1:4000"));
        describe(&mut source, "10.0.0.1:4000", None);
        assert!(accept(&mut source, "10.0.0.1:4000"));
        assert!(accept(&mut source, "[::ffff:10.0.0.1]:4000"), "as a socket of both families shows it");
        assert!(!accept(&mut source, "10.0.0.1:4002"));
        assert!(!accept(&mut source, "10.0.0.2:4000"));
        assert_eq!(source.to(), Some(addr("10.0.0.1:4000")));
        assert_eq!(source.only(), Some(addr("10.0.0.1:4000").into()));
    }

    #[test]
    fn a_latch_falls_once_and_is_armed_again_by_a_description() {
        let ip = Some(addr("198.51.100.7:0").ip());
        let mut source = Source::default();
        describe(&mut source, "192.168.1.5:4000", ip);
        assert_eq!((source.to(), source.only()), (Some(addr("192.168.1.5:4000")), None));
        assert!(!accept(&mut source, "203.0.113.9:4000"));
        assert!(accept(&mut source, "198.51.100.7:31000"));
        assert_eq!(source.to(), Some(addr("198.51.100.7:31000")));
        assert!(!accept(&mut source, "198.51.100.7:31002"), "only once");
        assert!(!accept(&mut source, "192.168.1.5:4000"), "nor the signalled one any more");
        describe(&mut source, "192.168.1.5:4000", ip);
        assert_eq!(source.to(), Some(addr("198.51.100.7:31000")), "until then, where it was");
        assert!(accept(&mut source, "198.51.100.7:31002"));
        assert_eq!(source.to(), Some(addr("198.51.100.7:31002")));
        describe(&mut source, "192.168.1.6:4000", ip);
        assert_eq!(source.to(), Some(addr("192.168.1.6:4000")), "somewhere else by signalling");
        assert!(accept(&mut source, "192.168.1.6:4000"));
    }

    #[test]
    fn held_without_an_address_nothing_is_sent_and_the_source_stays() {
        let mut source = Source::default();
        describe(&mut source, "10.0.0.1:4000", None);
        source.describe(None, None, &nothing());
        assert_eq!((source.to(), source.is_refused()), (None, false));
        assert!(accept(&mut source, "10.0.0.1:4000"));
        let mut natted = Source::default();
        natted.describe(None, Some(addr("10.0.0.1:0").ip()), &nothing());
        assert!(accept(&mut natted, "10.0.0.1:5000"));
        assert_eq!(natted.to(), None, "a latch gives no leave to send");
    }

    #[test]
    fn a_latch_outlives_a_hold_without_an_address() {
        let ip = Some(addr("198.51.100.7:0").ip());
        let mut source = Source::default();
        describe(&mut source, "192.168.1.5:4000", ip);
        assert!(accept(&mut source, "198.51.100.7:31000"));
        source.describe(None, ip, &nothing());
        assert_eq!(source.to(), None);
        describe(&mut source, "192.168.1.5:4000", ip);
        assert_eq!(source.to(), Some(addr("198.51.100.7:31000")));
    }

    #[test]
    fn nothing_is_sent_to_nowhere_everybody_or_the_link() {
        for (bad, is_refused) in [
            ("0.0.0.0:4000", false),
            ("0.1.2.3:4000", true),
            ("255.255.255.255:4000", true),
            ("224.0.0.1:4000", true),
            ("169.254.1.1:4000", true),
            ("10.0.0.1:0", false),
            ("[::]:4000", false),
            ("[ff02::1]:4000", true),
            ("[fe80::1]:4000", true),
            ("[::ffff:0.0.0.0]:4000", false),
            ("[::ffff:224.0.0.1]:4000", true),
        ] {
            assert!(!is_target(&addr(bad), &nothing()), "{bad}");
            let mut source = Source::default();
            describe(&mut source, bad, None);
            assert_eq!((source.to(), source.is_refused()), (None, is_refused), "{bad}");
            let mut natted = Source::default();
            describe(&mut natted, bad, Some(addr(bad).ip()));
            assert!(!accept(&mut natted, bad), "{bad} is no source to latch to either");
        }
        assert!(is_target(&addr("127.0.0.1:4000"), &nothing()) && is_target(&addr("[::1]:4000"), &nothing()));
    }

    #[test]
    fn the_relay_is_no_target_of_its_own() {
        let own =
            OwnMedia { addresses: vec![addr("127.0.0.1:0").ip(), addr("[2001:db8::1]:0").ip()], ..OwnMedia::default() };
        let other_shards = own.clone();
        for port in [0, 20_000, 29_998, 65_534] {
            other_shards.opened(Port(port));
        }
        for bad in ["127.0.0.1:20000", "127.0.0.1:20001", "[::ffff:127.0.0.1]:29999", "[2001:db8::1]:65535"] {
            assert!(!is_target(&addr(bad), &own), "{bad}");
            let mut source = Source::default();
            source.describe(Some(addr(bad)), None, &own);
            assert_eq!((source.to(), source.only(), source.is_refused()), (None, None, true), "{bad}");
        }
        for good in ["127.0.0.1:19999", "127.0.0.1:20002", "127.0.0.2:20000", "[2001:db8::2]:65535"] {
            assert!(is_target(&addr(good), &own), "{good}");
        }
        other_shards.closed(Port(20_000));
        assert!(is_target(&addr("127.0.0.1:20000"), &own), "somebody else's now");
    }

    #[test]
    fn an_endpoint_is_the_address_that_it_came_from() {
        for text in ["10.0.0.1:4000", "[2001:db8::1]:4000", "0.0.0.0:0"] {
            assert_eq!(Endpoint::from(addr(text)).address(), addr(text));
        }
        assert_eq!(Endpoint::from(addr("[::ffff:10.0.0.1]:9")).address(), addr("10.0.0.1:9"));
    }
}
