//! Edge-triggered epoll: a socket is read until it is dry, for nobody tells twice.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Counters, Detached, Io, Key, Options, Received, Waker};

/// Sockets that one wait reports.
const EVENTS: usize = 1024;
/// Datagrams read from one socket before the next has its turn.
const SHARE: u32 = 16;
/// The waker's key.
const WAKE: u64 = u64::MAX;

/// See [the module](self).
pub struct Epoll {
    epoll: OwnedFd,
    waker: Waker,
    sockets: Vec<Option<Bound>>,
    events: Vec<epoll::Event>,
    /// Sockets that may have something, and how much of their share they had.
    ready: Vec<(Key, u32)>,
    /// Sockets that had their share: they come first in the next turn.
    unread: Vec<Key>,
    counters: Counters,
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoll").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Bound {
    socket: Socket,
    is_v6: bool,
    peer: Option<SocketAddr>,
}

impl Io for Epoll {
    const NAME: &'static str = "epoll";

    fn new() -> io::Result<Self> {
        let (epoll, waker) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, Waker::new()?);
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, waker.as_fd(), data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Self {
            epoll,
            waker,
            sockets: Vec::new(),
            events: Vec::with_capacity(EVENTS),
            ready: Vec::with_capacity(EVENTS),
            unread: Vec::new(),
            counters: Counters::default(),
        })
    }

    fn bind(&mut self, key: Key, addr: SocketAddr, options: &Options) -> io::Result<SocketAddr> {
        let socket = open(addr, options)?;
        let local = local(&socket)?;
        self.keep(key, Bound { socket, is_v6: addr.is_ipv6(), peer: None })?;
        Ok(local)
    }

    fn connect(&mut self, key: Key, to: Option<SocketAddr>) -> io::Result<SocketAddr> {
        let bound = self.bound(key).ok_or(io::ErrorKind::NotFound)?;
        if bound.peer.take().is_some() {
            rustix::net::connect_unspec(&bound.socket)?;
        }
        if let Some(to) = to {
            bound.socket.connect(&bound.addr(to))?;
            bound.peer = Some(to);
        }
        local(&bound.socket)
    }

    fn close(&mut self, key: Key) {
        // Closing takes it out of the epoll.
        if let Some(place) = self.sockets.get_mut(key as usize) {
            *place = None;
        }
    }

    fn detach(&mut self, key: Key) -> Option<Detached> {
        let bound = self.sockets.get_mut(key as usize)?.take()?;
        epoll::delete(&self.epoll, &bound.socket).ok()?;
        Some(Detached { socket: bound.socket, peer: bound.peer })
    }

    fn attach(&mut self, key: Key, socket: Detached) -> io::Result<()> {
        let Detached { socket, peer } = socket;
        let is_v6 = socket.local_addr()?.is_ipv6();
        self.keep(key, Bound { socket, is_v6, peer })
    }

    fn drain(&mut self, key: Key) -> usize {
        let Some(bound) = self.bound(key) else { return 0 };
        let mut one = [std::mem::MaybeUninit::uninit(); 1];
        std::iter::from_fn(|| bound.socket.recv(&mut one).ok()).count()
    }

    fn send(&mut self, key: Key, to: SocketAddr, data: &[u8]) {
        let Some(bound) = self.sockets.get(key as usize).and_then(Option::as_ref) else { return };
        let send = || match bound.peer {
            Some(peer) if peer == to => bound.socket.send(data),
            _ => bound.socket.send_to(data, &bound.addr(to)),
        };
        let mut result = send();
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // An earlier datagram's ICMP error; it has swallowed this one.
            self.counters.refused += 1;
            result = send();
        }
        *match result {
            Ok(_) => &mut self.counters.sent,
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => &mut self.counters.refused,
                io::ErrorKind::WouldBlock => &mut self.counters.full,
                _ => &mut self.counters.send_failed,
            },
        } += 1;
    }

    fn send_later(&mut self, key: Key, to: SocketAddr, data: &[u8]) {
        self.send(key, to, data);
    }

    fn flush(&mut self) {}

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.ready.clear();
        let timeout = if self.unread.is_empty() { timeout } else { Duration::ZERO };
        self.ready.extend(self.unread.drain(..).map(|key| (key, 0)));
        self.events.clear();
        let timeout = rustix::event::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            match event.data.u64() {
                WAKE => self.waker.clear(),
                key => self.ready.push((key as Key, 0)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        while let Some((key, share)) = self.ready.last_mut() {
            let key = *key;
            *share += 1;
            if *share > SHARE {
                self.unread.push(key);
                self.ready.pop();
                continue;
            }
            let Some(bound) = self.sockets.get(key as usize).and_then(Option::as_ref) else {
                self.ready.pop();
                continue;
            };
            match receive(bound, buffer) {
                Ok((length, from)) if length <= buffer.len() => {
                    self.counters.received += 1;
                    return Some(Received { key, from, length });
                }
                Ok(_) => self.counters.truncated += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(self.ready.pop()),
                // An ICMP error: the socket has been emptied of it, what waits behind it is still there.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.counters.refused += 1,
                Err(_) => {
                    self.counters.receive_failed += 1;
                    self.ready.pop();
                }
            }
        }
        None
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Epoll {
    fn keep(&mut self, key: Key, bound: Bound) -> io::Result<()> {
        let place = key as usize;
        if self.sockets.get(place).is_some_and(Option::is_some) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let data = epoll::EventData::new_u64(key.into());
        epoll::add(&self.epoll, &bound.socket, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        if place >= self.sockets.len() {
            self.sockets.resize_with(place + 1, || None);
        }
        self.sockets[place] = Some(bound);
        Ok(())
    }

    fn bound(&mut self, key: Key) -> Option<&mut Bound> {
        self.sockets.get_mut(key as usize)?.as_mut()
    }
}

impl Bound {
    /// As the socket's family wants it.
    fn addr(&self, to: SocketAddr) -> SockAddr {
        match to {
            SocketAddr::V4(v4) if self.is_v6 => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()).into(),
            _ => to.into(),
        }
    }
}

/// One datagram, its whole length (which may be more than the buffer has) and who sent it.
fn receive(bound: &Bound, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    let flags = rustix::net::RecvFlags::DONTWAIT | rustix::net::RecvFlags::TRUNC;
    let (_, length, from) = rustix::net::recvfrom(&bound.socket, buffer, flags)?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((length, SocketAddr::new(from.ip().to_canonical(), from.port())))
}

fn open(addr: SocketAddr, options: &Options) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!(options.dual_stack && addr.ip().is_unspecified()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    let _ = socket.set_recv_buffer_size(options.receive_buffer);
    let _ = socket.set_tos_v4(options.tos.into());
    if addr.is_ipv6() {
        let _ = socket.set_tclass_v6(options.tos.into());
    }
    Ok(socket)
}

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok(SocketAddr::new(local.ip().to_canonical(), local.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options = Options { receive_buffer: 32 * 1024, tos: 0xb8, dual_stack: false };
    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_sent_arrives_and_a_wake_ends_a_wait() {
        let mut io = Epoll::new().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let (a, b) = (io.bind(1, any, &OPTIONS).unwrap(), io.bind(2, any, &OPTIONS).unwrap());
        io.send(1, b, b"one");
        io.connect(1, Some(b)).unwrap();
        io.send(1, b, b"two");
        io.flush();
        io.wait(LIMIT).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(io.receive(&mut buffer), Some(Received { key: 2, from: a, length: 3 }));
        assert_eq!(&buffer[..3], b"one");
        assert_eq!(io.receive(&mut buffer), Some(Received { key: 2, from: a, length: 3 }));
        assert_eq!(&buffer[..3], b"two");
        assert_eq!(io.receive(&mut buffer), None);
        io.waker().wake();
        io.wait(LIMIT).unwrap();
        assert_eq!(io.receive(&mut buffer), None);
    }
}
