//! Which addresses media sockets show and have: configured, bound, or those of the routes to where calls come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Config;
use crate::sip_sockets::route_to;

/// The addresses of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaAddresses {
    /// What descriptions show.
    pub(crate) shown: IpAddr,
    /// Their IPv6 address, where the other is IPv4 and sockets take both.
    pub(crate) shown6: Option<IpAddr>,
    /// Our own that those lead to: what a connected socket may be bound to.
    pub(crate) own: Vec<IpAddr>,
}

impl MediaAddresses {
    /// What a configuration comes to on this machine.
    pub(crate) fn of(config: &Config) -> Self {
        let media = &config.media;
        if !media.address.is_unspecified() {
            let shown = media.advertised.unwrap_or(media.address);
            return Self { shown, shown6: None, own: vec![media.address] };
        }
        if media.address.is_ipv4() {
            let own = own(config, &Peers::V4).unwrap_or(Ipv4Addr::LOCALHOST.into());
            return Self { shown: media.advertised.unwrap_or(own), shown6: None, own: vec![own] };
        }
        let (own4, own6) = (own(config, &Peers::V4), own(config, &Peers::V6));
        let shown4 = media.advertised.or(own4);
        let shown6 = media.advertised6.map(IpAddr::V6).or(own6);
        let (shown, shown6) = match (shown4, shown6) {
            (Some(shown), shown6) => (shown, shown6),
            (None, Some(shown6)) => (shown6, None),
            (None, None) => (Ipv4Addr::LOCALHOST.into(), Some(Ipv6Addr::LOCALHOST.into())),
        };
        Self { shown, shown6, own: own4.into_iter().chain(own6).collect() }
    }
}

impl MediaAddresses {
    /// What answers to browsers name, on a port: what descriptions show, and behind NAT what only the own network reaches.
    pub(crate) fn candidates(&self, port: u16) -> Vec<SocketAddr> {
        let shown = [Some(self.shown), self.shown6].into_iter().flatten();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in shown.chain(self.own.iter().copied()) {
            if !address.is_unspecified() && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
    }
}

impl fmt::Display for MediaAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shown6 {
            Some(shown6) => write!(f, "{},[{shown6}]", self.shown),
            None if self.shown.is_ipv6() => write!(f, "[{}]", self.shown),
            None => write!(f, "{}", self.shown),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peers {
    V4,
    V6,
}

/// The address of ours that leads to the first trunk, else to the first agent with a fixed contact, else to where SIP
/// listens, else to anywhere.
fn own(config: &Config, peers: &Peers) -> Option<IpAddr> {
    let directory = &config.directory;
    let trunks = directory.trunks.iter().map(|trunk| trunk.next_hop);
    let agents = directory.agents.iter().filter_map(|agent| agent.phone.contact.as_ref().map(|contact| contact.1));
    let sip = config.sip.listen.iter().map(|listen| listen.addr).filter(|addr| !addr.ip().is_unspecified());
    // Addresses of documentation stand for anywhere: the default route (RFC 5737, RFC 3849).
    let anywhere: IpAddr = match peers {
        Peers::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Peers::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let family = |addr: &SocketAddr| addr.is_ipv4() == (*peers == Peers::V4);
    let mut addrs = trunks.chain(agents).chain(sip).chain([SocketAddr::new(anywhere, 9)]).filter(family);
    addrs.find_map(|peer| route_to(peer.ip()))
}

#[cfg(test)]
mod tests {
    use engine::directory::TrunkSeed;

    use super::*;

    fn addresses(address: &str, advertised: Option<&str>, advertised6: Option<&str>, hop: &str) -> MediaAddresses {
        let mut config = Config::default();
        config.media.address = address.parse().unwrap();
        config.media.advertised = advertised.map(|ip| ip.parse().unwrap());
        config.media.advertised6 = advertised6.map(|ip| ip.parse().unwrap());
        config.directory.trunks.push(TrunkSeed {
            name: "t".to_owned(),
            host: "t".to_owned(),
            next_hop: hop.parse().unwrap(),
            allow: Vec::new(),
            nat: false,
            srtp: signalling::peers::Srtp::Off,
            offer_sendrecv: false,
        });
        MediaAddresses::of(&config)
    }

    #[test]
    fn one_address_is_shown_as_it_is_or_as_advertised() {
        let bound = addresses("127.0.0.5", None, None, "192.0.2.1:5060");
        assert_eq!((bound.to_string(), bound.own), ("127.0.0.5".to_owned(), vec![IpAddr::from([127, 0, 0, 5])]));
        let nat = addresses("127.0.0.5", Some("203.0.113.7"), None, "192.0.2.1:5060");
        assert_eq!((nat.to_string(), nat.own), ("203.0.113.7".to_owned(), vec![IpAddr::from([127, 0, 0, 5])]));
        let v6 = addresses("::1", None, None, "192.0.2.1:5060");
        assert_eq!((v6.to_string(), v6.shown6), ("[::1]".to_owned(), None));
    }

    #[test]
    fn all_addresses_are_shown_as_the_route_to_the_trunk() {
        let v4 = addresses("0.0.0.0", None, None, "127.0.0.9:5060");
        assert_eq!((v4.to_string(), v4.own), ("127.0.0.1".to_owned(), vec![IpAddr::from([127, 0, 0, 1])]));
        let both = addresses("::", None, Some("2001:db8::7"), "127.0.0.9:5060");
        assert_eq!(both.to_string(), "127.0.0.1,[2001:db8::7]");
        assert!(both.own.contains(&IpAddr::from([127, 0, 0, 1])));
        let loopback6 = addresses("::", Some("203.0.113.7"), None, "[::1]:5060");
        assert_eq!(loopback6.to_string(), "203.0.113.7,[::1]");
        assert!(loopback6.own.contains(&IpAddr::from(Ipv6Addr::LOCALHOST)));
    }
}
