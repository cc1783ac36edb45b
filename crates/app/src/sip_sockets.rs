//! The UDP sockets that SIP comes in by: which of our addresses a peer sees, reading in batches, sending without waiting.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::directory::Seed;
use signalling::transport::{Flow, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// Datagrams taken from one socket before anything else has its turn.
const PER_SOCKET: usize = 64;
/// Wish for the receive buffer: a burst of calls while the engine is busy. The system may give less.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Peers whose route is remembered.
const ROUTES: usize = 4096;
/// A route is looked up again after this, in case the network changed.
const ROUTE_AGE: Duration = Duration::from_secs(30);
/// Largest UDP datagram.
const DATAGRAM: usize = 65_536;

/// What went wrong, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SipCounters {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// An error of a read (ICMP).
    pub(crate) receive_failed: u64,
    /// The send buffer was full: lost, as on any network; SIP repeats.
    pub(crate) send_full: u64,
    /// The system refused to send.
    pub(crate) send_failed: u64,
    /// No socket of ours for that flow.
    pub(crate) no_socket: u64,
}

/// Binds a socket for every address, or says which could not be bound.
///
/// # Errors
/// The address and why.
pub(crate) fn bind(addrs: &[SocketAddr]) -> Result<Vec<std::net::UdpSocket>, (SocketAddr, io::Error)> {
    addrs.iter().map(|addr| bind_one(*addr).map_err(|error| (*addr, error))).collect()
}

fn bind_one(addr: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(socket.into())
}

/// All SIP sockets of the process.
#[derive(Debug)]
pub(crate) struct SipSockets {
    sockets: Vec<(UdpSocket, SocketAddr)>,
    routes: Routes,
    buffer: Vec<u8>,
    pub(crate) counters: SipCounters,
}

impl SipSockets {
    /// Hands bound sockets to the runtime that this is called on.
    ///
    /// # Errors
    /// The runtime's.
    pub(crate) fn new(sockets: Vec<std::net::UdpSocket>) -> io::Result<Self> {
        let sockets: io::Result<Vec<_>> = sockets
            .into_iter()
            .map(|socket| {
                let bound = socket.local_addr()?;
                Ok((UdpSocket::from_std(socket)?, bound))
            })
            .collect();
        let routes = Routes { known: HashMap::new() };
        Ok(Self { sockets: sockets?, routes, buffer: vec![0; DATAGRAM], counters: SipCounters::default() })
    }

    /// Until at least one socket may have something.
    pub(crate) async fn readable(&self) {
        poll_fn(|context| {
            // Every socket is asked, so that every one will wake this task.
            let ready = self.sockets.iter().filter(|(socket, _)| socket.poll_recv_ready(context).is_ready()).count();
            if ready > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes what has come, up to a share per socket.
    pub(crate) fn receive(&mut self, now: Instant, mut take: impl FnMut(Flow, Bytes)) {
        for (socket, bound) in &self.sockets {
            for _ in 0..PER_SOCKET {
                match socket.try_recv_from(&mut self.buffer) {
                    Ok((length, remote)) => {
                        self.counters.received += 1;
                        let local = self.routes.local(now, *bound, remote);
                        let data = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
                        take(Flow { transport: Transport::Udp, local, remote }, data);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => self.counters.receive_failed += 1,
                }
            }
        }
    }

    /// Sends one datagram. False: the system refused it, and the flow is of no use now.
    pub(crate) fn send(&mut self, flow: Flow, data: &[u8]) -> bool {
        let Some(socket) = self.socket_for(flow) else {
            self.counters.no_socket += 1;
            return false;
        };
        match socket.try_send_to(data, flow.remote) {
            Ok(_) => self.counters.sent += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.counters.send_full += 1,
            Err(_) => {
                self.counters.send_failed += 1;
                return false;
            }
        }
        true
    }

    /// Which of our addresses leads to each host of the directory that may be called before it has called. Without a
    /// socket here it is one where connections are taken.
    pub(crate) fn routes(&self, directory: &Seed, streams: &[SocketAddr]) -> Vec<(IpAddr, SocketAddr)> {
        let own: Vec<SocketAddr> = self.sockets.iter().map(|(_, bound)| *bound).collect();
        let bound = if own.is_empty() { streams } else { &own };
        let agents = directory.agents.iter().map(|agent| &agent.phone);
        let phones = agents.chain(directory.users.iter().map(|user| &user.phone));
        let contacts = phones.filter_map(|phone| phone.contact.as_ref().map(|(_, addr)| addr.ip()));
        let hosts: BTreeSet<IpAddr> =
            contacts.chain(directory.trunks.iter().map(|trunk| trunk.next_hop.ip())).collect();
        hosts.into_iter().filter_map(|host| Some((host, route(bound, host)?))).collect()
    }

    /// The socket that is bound to the flow's address, else one that stands for all addresses, else any of its family.
    fn socket_for(&self, flow: Flow) -> Option<&UdpSocket> {
        let local = flow.local;
        let fits = |bound: &SocketAddr| {
            let family = bound.is_ipv4() == flow.remote.is_ipv4();
            match bound {
                bound if *bound == local => 3,
                bound if family && bound.ip().is_unspecified() && bound.port() == local.port() => 2,
                _ if family => 1,
                _ => 0,
            }
        };
        // The first of the best.
        let mut best: Option<(u8, &UdpSocket)> = None;
        for (socket, bound) in &self.sockets {
            let fit = fits(bound);
            if fit > best.map_or(0, |(fit, _)| fit) {
                best = Some((fit, socket));
            }
        }
        best.map(|(_, socket)| socket)
    }
}

/// By the system's routing table: the socket of that address, else one for all addresses, else any of the family.
fn route(bound: &[SocketAddr], host: IpAddr) -> Option<SocketAddr> {
    let ip = route_to(host)?;
    let bound = || bound.iter().copied();
    let own = bound().find(|bound| bound.ip() == ip);
    let any = || bound().find(|bound| bound.ip().is_unspecified() && bound.is_ipv4() == host.is_ipv4());
    let family = || bound().find(|bound| bound.is_ipv4() == host.is_ipv4());
    own.or_else(|| any().map(|bound| SocketAddr::new(ip, bound.port()))).or_else(family)
}

/// Which of our addresses leads to a peer, for sockets that are bound to all of them.
#[derive(Debug)]
struct Routes {
    known: HashMap<IpAddr, (IpAddr, Instant)>,
}

impl Routes {
    fn local(&mut self, now: Instant, bound: SocketAddr, remote: SocketAddr) -> SocketAddr {
        if !bound.ip().is_unspecified() {
            return bound;
        }
        if let Some((ip, at)) = self.known.get(&remote.ip())
            && now.saturating_duration_since(*at) < ROUTE_AGE
        {
            return SocketAddr::new(*ip, bound.port());
        }
        let ip = route_to(remote.ip()).unwrap_or(bound.ip());
        // Strangers may come from any address: the table starts anew rather than growing.
        if self.known.len() >= ROUTES {
            self.known.clear();
        }
        self.known.insert(remote.ip(), (ip, now));
        SocketAddr::new(ip, bound.port())
    }
}

/// The address that packets to `remote` leave from. Connecting a UDP socket asks the routing table and sends nothing.
pub(crate) fn route_to(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let probe = std::net::UdpSocket::bind((any, 0)).ok()?;
    probe.connect((remote, 5060)).ok()?;
    probe.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use engine::directory::{Srtp, TrunkSeed};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn on(addrs: &[&str]) -> (tokio::runtime::Runtime, SipSockets) {
        let listens: Vec<SocketAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sockets = runtime.block_on(async { SipSockets::new(bind(&listens).unwrap()).unwrap() });
        (runtime, sockets)
    }

    #[test]
    fn a_wildcard_socket_shows_the_address_of_the_route() {
        let (runtime, mut sockets) = on(&["0.0.0.0:0"]);
        let bound = sockets.sockets[0].1;
        let peer = std::net::UdpSocket::bind("127.0.0.5:0").unwrap();
        peer.send_to(b"hello", ("127.0.0.1", bound.port())).unwrap();
        let mut got = Vec::new();
        runtime.block_on(async {
            tokio::time::timeout(LIMIT, sockets.readable()).await.unwrap();
            sockets.receive(Instant::now(), |flow, data| got.push((flow, data)));
        });
        let (flow, data) = got.pop().unwrap();
        assert_eq!(&data[..], b"hello");
        assert_eq!(flow.remote, peer.local_addr().unwrap());
        assert!(flow.local.ip().is_loopback() && flow.local.port() == bound.port(), "{flow:?}");
        assert!(runtime.block_on(async { sockets.send(flow, b"answer") }));
        let mut buffer = [0; 16];
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.port()), (&b"answer"[..], bound.port()));
    }

    #[test]
    fn a_flow_goes_out_by_its_own_socket() {
        let (_runtime, sockets) = on(&["127.0.0.1:0", "127.0.0.2:0", "0.0.0.0:0"]);
        let find = |local: SocketAddr| {
            let flow = Flow { transport: Transport::Udp, local, remote: "127.0.0.9:5060".parse().unwrap() };
            sockets.socket_for(flow).unwrap().local_addr().unwrap()
        };
        for (_, bound) in &sockets.sockets {
            assert_eq!(find(*bound), *bound);
        }
        let wildcard = sockets.sockets[2].1;
        assert_eq!(find(SocketAddr::new(IpAddr::from([192, 0, 2, 1]), wildcard.port())), wildcard);
        assert_eq!(find("192.0.2.1:1".parse().unwrap()), sockets.sockets[0].1);
        let v6 = Flow {
            transport: Transport::Udp,
            local: "[::1]:5060".parse().unwrap(),
            remote: "[::1]:5060".parse().unwrap(),
        };
        assert!(sockets.socket_for(v6).is_none());
    }

    #[test]
    fn a_host_that_is_called_first_has_a_route() {
        let trunk = |addr: &str| TrunkSeed {
            name: addr.to_owned(),
            host: addr.to_owned(),
            next_hop: addr.parse().unwrap(),
            allow: Vec::new(),
            nat: false,
            srtp: Srtp::Off,
            offer_sendrecv: false,
        };
        let directory = Seed { trunks: vec![trunk("127.0.0.9:5060"), trunk("[::1]:5060")], ..Seed::default() };
        let (_runtime, sockets) = on(&["127.0.0.2:0", "0.0.0.0:0"]);
        let wildcard = sockets.sockets[1].1.port();
        let routes = sockets.routes(&directory, &[]);
        assert_eq!(routes, [(IpAddr::from([127, 0, 0, 9]), SocketAddr::from(([127, 0, 0, 1], wildcard)))]);
        let (_runtime, sockets) = on(&["127.0.0.1:0", "0.0.0.0:0"]);
        let own = sockets.sockets[0].1;
        assert_eq!(sockets.routes(&directory, &[])[0].1, own);
        let (_runtime, none) = on(&[]);
        let streams = ["0.0.0.0:5070".parse().unwrap()];
        assert_eq!(none.routes(&directory, &streams)[0].1, "127.0.0.1:5070".parse().unwrap());
    }

    #[test]
    fn the_table_of_routes_has_an_end() {
        let mut routes = Routes { known: HashMap::new() };
        let (now, bound) = (Instant::now(), "0.0.0.0:5060".parse().unwrap());
        for n in 0..u32::try_from(ROUTES * 2 + 1).unwrap() {
            let remote = SocketAddr::new(Ipv4Addr::from(0x7f00_0001 + n).into(), 5060);
            assert_eq!(routes.local(now, bound, remote).port(), 5060);
        }
        assert!(routes.known.len() <= ROUTES);
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let first = bind_one("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = first.local_addr().unwrap();
        let (named, error) = bind(&[addr]).unwrap_err();
        assert_eq!((named, error.kind()), (addr, io::ErrorKind::AddrInUse));
    }
}
