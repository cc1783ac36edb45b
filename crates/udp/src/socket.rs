//! One socket: how it is opened and connected, and how addresses look on it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Counters, LONGEST, Options};

/// Times that a port drawn by the system is asked for again when somebody was faster.
const ATTEMPTS: usize = 8;
/// Datagrams that one draining takes at most: more than a receive buffer holds, so a flood cannot keep it.
const DRAINED: usize = 65_536;

/// A socket that is bound.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<SocketAddr>,
    is_v6: bool,
}

impl Bound {
    pub(crate) fn open(addr: SocketAddr, options: &Options) -> io::Result<(Self, SocketAddr)> {
        let socket = open(addr, options)?;
        let bound = Self { socket, peer: None, is_v6: addr.is_ipv6() };
        let local = bound.local()?;
        Ok((bound, local))
    }

    /// One that was bound before.
    pub(crate) fn again(socket: Socket, peer: Option<SocketAddr>) -> io::Result<Self> {
        let is_v6 = socket.local_addr()?.is_ipv6();
        Ok(Self { socket, peer, is_v6 })
    }

    /// From now on the kernel drops what others send; returns the local address in use.
    pub(crate) fn connect(&mut self, to: Option<SocketAddr>) -> io::Result<SocketAddr> {
        if self.peer.take().is_some() {
            // To nobody first: a socket bound to a wildcard would keep the source address of the old route.
            rustix::net::connect_unspec(&self.socket)?;
        }
        if let Some(to) = to {
            if let Err(error) = rustix::net::connect(&self.socket, &self.spelled(to)) {
                let _ = rustix::net::connect_unspec(&self.socket);
                return Err(error.into());
            }
            self.peer = Some(to);
        }
        self.local()
    }

    /// Sends now. An error that an earlier datagram's ICMP left behind swallows this one: it is sent once more.
    pub(crate) fn send(&self, to: SocketAddr, data: &[u8], counters: &mut Counters) {
        match self.send_once(to, data) {
            Ok(_) => counters.sent += 1,
            Err(error) => {
                counters.send_failed(error);
                if matches!(error, Errno::CONNREFUSED | Errno::HOSTUNREACH) {
                    self.send_again(to, data, counters);
                }
            }
        }
    }

    pub(crate) fn send_again(&self, to: SocketAddr, data: &[u8], counters: &mut Counters) {
        match self.send_once(to, data) {
            Ok(_) => counters.sent += 1,
            Err(error) => counters.send_failed(error),
        }
    }

    fn send_once(&self, to: SocketAddr, data: &[u8]) -> Result<usize, Errno> {
        if self.peer == Some(to) {
            // A tenth cheaper: the kernel has the route at hand.
            return rustix::net::send(&self.socket, data, SendFlags::DONTWAIT);
        }
        rustix::net::sendto(&self.socket, data, SendFlags::DONTWAIT, &self.spelled(to))
    }

    /// One datagram: its whole length, which may be more than the buffer has, and who sent it.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Errno> {
        let room = buffer.len().min(LONGEST);
        // Always with the source, though a connected socket could do without for 2 to 5 % less: what came before the
        // connection would else be taken for the peer's.
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        let (_, length, from) = rustix::net::recvfrom(&self.socket, &mut buffer[..room], flags)?;
        let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(Errno::INVAL)?;
        Ok((length, canonical(from)))
    }

    /// Throws away what waits; returns how much.
    pub(crate) fn drain(&self) -> usize {
        let mut thrown = 0;
        for _ in 0..DRAINED {
            match rustix::net::recv(&self.socket, &mut [0_u8; 1], RecvFlags::DONTWAIT) {
                Ok(_) => thrown += 1,
                Err(Errno::AGAIN) => break,
                // An ICMP error stands before the datagrams.
                Err(_) => {}
            }
        }
        thrown
    }

    /// As the socket's family wants it: IPv4 is mapped on an IPv6 socket.
    pub(crate) fn spelled(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.is_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }

    fn local(&self) -> io::Result<SocketAddr> {
        let local = self.socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok(canonical(local))
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Counters {
    /// A datagram was dropped by this error, or by one that was left behind.
    pub(crate) fn send_failed(&mut self, error: Errno) {
        *match error {
            Errno::CONNREFUSED => &mut self.refused,
            Errno::AGAIN | Errno::NOBUFS => &mut self.full,
            _ => &mut self.send_failed,
        } += 1;
    }

    pub(crate) fn receive_failed(&mut self, error: Errno) {
        *match error {
            Errno::CONNREFUSED => &mut self.refused,
            _ => &mut self.receive_failed,
        } += 1;
    }
}

/// IPv4 as such, though it came through an IPv6 socket.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => SocketAddr::new(v6.ip().to_canonical(), v6.port()),
        _ => addr,
    }
}

fn open(addr: SocketAddr, options: &Options) -> io::Result<Socket> {
    let socket = unbound(addr, options)?;
    socket.bind(&addr.into())?;
    if addr.port() != 0 {
        return Ok(socket);
    }
    // The kernel takes back a port that it has chosen itself once the socket is connected to nobody (`udp_disconnect`
    // without SOCK_BINDPORT_LOCK): so it is bound again, by number.
    let mut socket = socket;
    for _ in 0..ATTEMPTS {
        let port = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidData)?.port();
        rustix::net::connect_unspec(&socket)?;
        match socket.bind(&SocketAddr::new(addr.ip(), port).into()) {
            Ok(()) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
        socket = unbound(addr, options)?;
        socket.bind(&addr.into())?;
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn unbound(addr: SocketAddr, options: &Options) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!(options.dual_stack && addr.ip().is_unspecified()))?;
        let _ = socket.set_tclass_v6(options.tos.into());
    }
    socket.set_nonblocking(true)?;
    let _ = socket.set_recv_buffer_size(options.receive_buffer);
    // An IPv6 socket takes it too: for the IPv4 that a dual-stack one sends.
    let _ = socket.set_tos_v4(options.tos.into());
    Ok(socket)
}
