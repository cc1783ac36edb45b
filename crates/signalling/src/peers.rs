//! Who may talk to us: plain data, made by the engine from its directory.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::transport::{Transport, unmapped};

/// An agent's phone or a user's softphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u32);

/// A trunk: index into [`Peers::trunks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrunkId(pub u32);

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Phones, by their id.
    pub accounts: Vec<Account>,
    /// Trunks in configured order; [`TrunkId`] is the index.
    pub trunks: Vec<Trunk>,
    /// Which address of ours leads to a host, for hosts that we call before we have heard from them.
    pub routes: Vec<(IpAddr, SocketAddr)>,
}

/// Whether a party's media is encrypted (SRTP with keys from SDP).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Srtp {
    /// It is plain: an offer of SRTP alone is refused, keys beside plain RTP are passed over.
    #[default]
    Off,
    /// Encrypted where the party does it too (RFC 8643), else plain.
    Offer,
    /// Encrypted, or no call.
    Require,
}

impl Srtp {
    /// As it is configured.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Offer => "offer",
            Self::Require => "require",
        }
    }

    /// From [`Self::as_str`].
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Off, Self::Offer, Self::Require].into_iter().find(|policy| policy.as_str() == name)
    }
}

/// A phone that may register or has a fixed contact.
#[derive(Clone, Debug)]
pub struct Account {
    /// Stable id while the process lives.
    pub id: PeerId,
    /// SIP user: user part of its address of record and digest username.
    pub user: String,
    /// Fixed address and user part of its Request-URI; `None`: it registers.
    pub contact: Option<FixedContact>,
    /// Digest secret; `None`: it is known by its fixed contact's address alone.
    pub password: Option<String>,
    /// Latch media to the signalling source.
    pub nat: bool,
    /// Encrypted media.
    pub srtp: Srtp,
    /// REFER is allowed (agents; a user's softphone only listens): else 603.
    pub may_transfer: bool,
}

/// A configured contact, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedContact {
    /// The URI as configured, for the Request-URI.
    pub uri: String,
    /// Where it lives.
    pub addr: SocketAddr,
}

/// Where calls come from and go to.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Host part of Request-URIs sent to it, as configured, with the transport where one is named
    /// (`10.0.0.10:5060;transport=tcp`).
    pub host: String,
    /// Next hop, resolved.
    pub next_hop: SocketAddr,
    /// Source networks: address and prefix length.
    pub allow: Vec<(IpAddr, u8)>,
    /// Latch media to the signalling source.
    pub nat: bool,
    /// Encrypted media.
    pub srtp: Srtp,
}

impl FixedContact {
    /// How it is reached.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.named_transport().unwrap_or(Transport::Udp)
    }

    /// The transport that the configuration names.
    #[must_use]
    pub fn named_transport(&self) -> Option<Transport> {
        named_transport(&self.uri)
    }
}

impl Trunk {
    /// How it is reached.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.named_transport().unwrap_or(Transport::Udp)
    }

    /// The transport that the configuration names.
    #[must_use]
    pub fn named_transport(&self) -> Option<Transport> {
        named_transport(&self.host)
    }

    /// Host and port without parameters.
    #[must_use]
    pub fn host_port(&self) -> &str {
        self.host.split(';').next().unwrap_or_default()
    }

    /// The host alone.
    #[must_use]
    pub fn host_name(&self) -> &str {
        let host = self.host_port();
        if host.ends_with(']') { host } else { host.rsplit_once(':').map_or(host, |(host, _)| host) }
    }
}

/// `;transport=` of a URI, or of the end of one.
fn named_transport(uri: &str) -> Option<Transport> {
    let mut params = uri.split(';').skip(1);
    params.find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.eq_ignore_ascii_case("transport").then(|| Transport::of_name(value)).flatten()
    })
}

/// Fast look-ups over a [`Peers`] table, built once whenever it is replaced.
#[derive(Clone, Debug, Default)]
pub struct PeerIndex {
    peers: Arc<Peers>,
    by_id: HashMap<PeerId, usize>,
    by_user: HashMap<String, usize>,
    by_contact: HashMap<SocketAddr, SmallVec<[usize; 1]>>,
    routes: HashMap<IpAddr, SocketAddr>,
    /// Longest prefix first, then as configured.
    networks: Vec<Network>,
}

impl PeerIndex {
    /// Indexes the table. Of two accounts with one user name the first is found by it.
    #[must_use]
    pub fn new(peers: &Arc<Peers>) -> Self {
        let mut index = Self { peers: Arc::clone(peers), ..Self::default() };
        index.routes = peers.routes.iter().map(|(host, local)| (host.to_canonical(), *local)).collect();
        for (place, account) in peers.accounts.iter().enumerate() {
            index.by_id.insert(account.id, place);
            index.by_user.entry(account.user.clone()).or_insert(place);
            if let Some(contact) = &account.contact {
                index.by_contact.entry(unmapped(contact.addr)).or_default().push(place);
            }
        }
        for (place, trunk) in (0..).zip(&peers.trunks) {
            index.networks.extend(trunk.allow.iter().map(|&(addr, prefix)| Network::new(addr, prefix, TrunkId(place))));
        }
        index.networks.sort_by_key(|network| std::cmp::Reverse(network.prefix)); // stable: the configured order stays
        index
    }

    /// Which address of ours leads to a host.
    #[must_use]
    pub fn route(&self, host: IpAddr) -> Option<SocketAddr> {
        self.routes.get(&host.to_canonical()).copied()
    }

    /// The table itself.
    #[must_use]
    pub fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// An account by its id.
    #[must_use]
    pub fn account(&self, id: PeerId) -> Option<&Account> {
        self.by_id.get(&id).and_then(|place| self.peers.accounts.get(*place))
    }

    /// A trunk by its id.
    #[must_use]
    pub fn trunk(&self, id: TrunkId) -> Option<&Trunk> {
        self.peers.trunks.get(usize::try_from(id.0).ok()?)
    }

    /// The account of this SIP user, compared exactly (RFC 3261 §19.1.4).
    #[must_use]
    pub fn account_of_user(&self, user: &str) -> Option<&Account> {
        self.by_user.get(user).and_then(|place| self.peers.accounts.get(*place))
    }

    /// The accounts whose fixed contact is this very address and port, in configured order: one host may carry many.
    pub fn accounts_at(&self, addr: SocketAddr) -> impl Iterator<Item = &Account> {
        let places = self.by_contact.get(&unmapped(addr)).map(SmallVec::as_slice).unwrap_or_default();
        places.iter().filter_map(|place| self.peers.accounts.get(*place))
    }

    /// The account that speaks from this address: among several at one address the one whose user, or user part of
    /// whose contact, is `from_user`, else the first.
    #[must_use]
    pub fn account_at(&self, addr: SocketAddr, from_user: &str) -> Option<&Account> {
        if let Some(account) = self.account_of_user(from_user)
            && account.contact.as_ref().is_some_and(|contact| unmapped(contact.addr) == unmapped(addr))
        {
            return Some(account); // the common case, without a walk along the accounts of one host
        }
        let named = self.accounts_at(addr).find(|account| account.contact_user() == Some(from_user));
        named.or_else(|| self.accounts_at(addr).next())
    }

    /// The account whose fixed contact is on this host over this transport, and whose user is `from_user`: of a
    /// connection that a phone opened the port says nothing.
    #[must_use]
    pub fn account_on(&self, transport: Transport, ip: IpAddr, from_user: &str) -> Option<&Account> {
        self.account_of_user(from_user).filter(|account| {
            account.contact.as_ref().is_some_and(|contact| {
                contact.transport() == transport && contact.addr.ip().to_canonical() == ip.to_canonical()
            })
        })
    }

    /// The trunk whose network this address belongs to: longest prefix, then configured order.
    #[must_use]
    pub fn trunk_of(&self, ip: IpAddr) -> Option<TrunkId> {
        let ip = ip.to_canonical();
        self.networks.iter().find(|network| network.contains(ip)).map(|network| network.trunk)
    }
}

impl Account {
    /// User part of the fixed contact, as written.
    fn contact_user(&self) -> Option<&str> {
        let (_, rest) = self.contact.as_ref()?.uri.split_once(':')?;
        let (user, _) = rest.split_once('@')?;
        Some(user.split(':').next().unwrap_or(user))
    }
}

/// A trunk's network.
#[derive(Clone, Copy, Debug)]
struct Network {
    addr: IpAddr,
    prefix: u8,
    trunk: TrunkId,
}

impl Network {
    /// IPv4 written as IPv6 becomes IPv4; a prefix longer than the address means the address itself.
    fn new(addr: IpAddr, prefix: u8, trunk: TrunkId) -> Self {
        let (prefix, addr) = match (addr, addr.to_canonical()) {
            (IpAddr::V6(_), v4 @ IpAddr::V4(_)) => (prefix.saturating_sub(96), v4),
            (IpAddr::V4(_), addr) => (prefix.min(32), addr),
            (_, addr) => (prefix.min(128), addr),
        };
        Self { addr, prefix, trunk }
    }

    fn contains(&self, ip: IpAddr) -> bool {
        let differs = match (self.addr, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                (network.to_bits() ^ ip.to_bits()).checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) != 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                (network.to_bits() ^ ip.to_bits()).checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) != 0
            }
            _ => true,
        };
        !differs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: u32, user: &str, contact: Option<(&str, &str)>) -> Account {
        let contact = contact.map(|(uri, addr)| FixedContact { uri: uri.into(), addr: addr.parse().unwrap() });
        Account {
            id: PeerId(id),
            user: user.into(),
            contact,
            password: None,
            nat: false,
            srtp: Srtp::Off,
            may_transfer: true,
        }
    }

    fn trunk(name: &str, allow: &[(&str, u8)]) -> Trunk {
        let allow = allow.iter().map(|(addr, prefix)| (addr.parse().unwrap(), *prefix)).collect();
        Trunk {
            name: name.into(),
            host: name.into(),
            next_hop: "10.0.0.1:5060".parse().unwrap(),
            allow,
            nat: false,
            srtp: Srtp::Off,
        }
    }

    fn index(accounts: Vec<Account>, trunks: Vec<Trunk>) -> PeerIndex {
        PeerIndex::new(&Arc::new(Peers { accounts, trunks, routes: Vec::new() }))
    }

    #[test]
    fn five_hundred_agents_on_one_address_are_told_apart_by_user() {
        let at = "127.0.0.1:5070";
        let accounts =
            (0..500).map(|n| account(n, &format!("agent{n}"), Some((&format!("sip:1{n:03}@{at}"), at)))).collect();
        let index = index(accounts, vec![]);
        let addr: SocketAddr = at.parse().unwrap();
        assert_eq!(index.account_at(addr, "agent321").unwrap().id, PeerId(321));
        assert_eq!(index.account_at(addr, "1321").unwrap().id, PeerId(321), "by the user part of its contact");
        assert_eq!(index.account_at(addr, "stranger").unwrap().id, PeerId(0));
        assert_eq!(index.accounts_at(addr).count(), 500);
        let other_port: SocketAddr = "127.0.0.1:5071".parse().unwrap();
        assert!(index.account_at(other_port, "agent321").is_none(), "the port counts");
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:5070".parse().unwrap();
        assert_eq!(index.account_at(mapped, "agent7").unwrap().id, PeerId(7));
    }

    #[test]
    fn accounts_are_found_by_id_and_by_user() {
        let index = index(vec![account(4, "anna", None), account(9, "ben", None), account(11, "anna", None)], vec![]);
        assert_eq!(index.account(PeerId(9)).unwrap().user, "ben");
        assert!(index.account(PeerId(5)).is_none());
        assert_eq!(index.account_of_user("anna").unwrap().id, PeerId(4), "the first of two");
        assert!(index.account_of_user("Anna").is_none(), "user parts are compared with case");
    }

    #[test]
    fn the_longest_network_wins_then_the_configured_order() {
        let trunks = vec![
            trunk("wide", &[("10.0.0.0", 8)]),
            trunk("narrow", &[("10.1.0.0", 16), ("2001:db8::", 32)]),
            trunk("twin", &[("10.1.0.0", 16)]),
            trunk("host", &[("10.1.2.3", 32), ("::ffff:172.16.0.0", 108)]),
        ];
        let index = index(vec![], trunks);
        let of = |ip: &str| index.trunk_of(ip.parse().unwrap()).map(|id| id.0);
        assert_eq!(of("10.200.0.1"), Some(0));
        assert_eq!(of("10.1.9.9"), Some(1));
        assert_eq!(of("10.1.2.3"), Some(3));
        assert_eq!(of("::ffff:10.1.2.3"), Some(3), "a dual-stack socket's view of IPv4");
        assert_eq!(of("172.31.0.1"), Some(3), "a network written in that view");
        assert_eq!(of("172.32.0.1"), None);
        assert_eq!(of("2001:db8:1::5"), Some(1));
        assert_eq!(of("2001:db9::5"), None);
        assert_eq!(of("11.0.0.1"), None);
        assert_eq!(index.trunk(TrunkId(2)).unwrap().name, "twin");
        assert!(index.trunk(TrunkId(4)).is_none());
    }

    #[test]
    fn a_network_of_prefix_zero_is_everybody_of_its_family() {
        let index = index(vec![], vec![trunk("any", &[("0.0.0.0", 0)])]);
        assert_eq!(index.trunk_of("203.0.113.7".parse().unwrap()), Some(TrunkId(0)));
        assert_eq!(index.trunk_of("2001:db8::1".parse().unwrap()), None);
    }
}
