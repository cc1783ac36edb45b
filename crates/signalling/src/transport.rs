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

impl Transport {
    /// As it stands in Via (RFC 3261 §20.42).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
        }
    }

    /// As it stands in `;transport=`, in the configuration and in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
        }
    }

    /// The transport of this name, in any case; `None` for those that are not served.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Udp].into_iter().find(|transport| name.eq_ignore_ascii_case(transport.name()))
    }

    /// It has connections, which are opened and closed and carry a stream: none of them outlives us.
    #[must_use]
    pub fn is_stream(self) -> bool {
        match self {
            Self::Udp => false,
        }
    }
}

/// Our topmost Via on a flow.
#[must_use]
pub fn via(transport: Transport, sent_by: &str, branch: &str) -> String {
    format!("SIP/2.0/{} {sent_by};branch={branch};rport", transport.as_str())
}

/// What Via and Contact show as our host and port on this flow (RFC 3261 §18.1.1): the advertised host with the
/// socket's port, unless it names a port itself; else the flow's local address.
#[must_use]
pub fn sent_by(advertised: Option<&str>, flow: Flow) -> String {
    match advertised.map(str::trim).filter(|host| !host.is_empty()) {
        Some(host) if has_port(host) => host.to_owned(),
        Some(host) if is_bare_ipv6(host) => format!("[{host}]:{}", flow.local.port()),
        Some(host) => format!("{host}:{}", flow.local.port()),
        None => unmapped(flow.local).to_string(),
    }
}

/// An IPv4 address that a dual-stack socket shows as IPv6, as IPv4; one form for every look-up.
#[must_use]
pub fn unmapped(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn is_bare_ipv6(host: &str) -> bool {
    host.parse::<std::net::Ipv6Addr>().is_ok()
}

fn has_port(host: &str) -> bool {
    !is_bare_ipv6(host) && host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(local: &str) -> Flow {
        Flow { transport: Transport::Udp, local: local.parse().unwrap(), remote: "192.0.2.9:5060".parse().unwrap() }
    }

    #[test]
    fn our_address_is_the_sockets_unless_another_is_advertised() {
        assert_eq!(sent_by(None, flow("10.0.0.1:5062")), "10.0.0.1:5062");
        assert_eq!(sent_by(None, flow("[2001:db8::1]:5062")), "[2001:db8::1]:5062");
        assert_eq!(sent_by(None, flow("[::ffff:10.0.0.1]:5062")), "10.0.0.1:5062");
        assert_eq!(sent_by(Some("sbc.example.com"), flow("10.0.0.1:5062")), "sbc.example.com:5062");
        assert_eq!(sent_by(Some("sbc.example.com:5090"), flow("10.0.0.1:5062")), "sbc.example.com:5090");
        assert_eq!(sent_by(Some("2001:db8::7"), flow("[::1]:5062")), "[2001:db8::7]:5062");
        assert_eq!(sent_by(Some("[2001:db8::7]"), flow("[::1]:5062")), "[2001:db8::7]:5062");
        assert_eq!(sent_by(Some("[2001:db8::7]:5090"), flow("[::1]:5062")), "[2001:db8::7]:5090");
        assert_eq!(sent_by(Some(" "), flow("10.0.0.1:5062")), "10.0.0.1:5062");
    }
}
