//! A second hand on a socket that another thread reads: it sends, and nothing else.

use std::io;
use std::net::SocketAddr;

use crate::detached::Detached;
use crate::socket::Bound;
use crate::{Counters, Options};

/// Sends by a socket that is somebody else's. It costs a descriptor.
#[derive(Debug)]
pub struct Sender(Bound);

impl Detached {
    /// Binds a socket that some thread will [`attach`](crate::Io::attach). Returns where it is bound, too.
    ///
    /// # Errors
    /// The address is in use, or descriptors are used up.
    pub fn bind(addr: SocketAddr, options: &Options) -> io::Result<(Self, SocketAddr)> {
        let (bound, local) = Bound::open(addr, options)?;
        Ok((Self { socket: bound.socket, peer: None, waiting: Vec::new() }, local))
    }

    /// Another hand on this socket.
    ///
    /// # Errors
    /// Descriptors are used up.
    pub fn sender(&self) -> io::Result<Sender> {
        Ok(Sender(Bound::again(self.socket.try_clone()?, None)?))
    }
}

impl Sender {
    /// Sends one datagram at once.
    pub fn send(&self, to: SocketAddr, data: &[u8], counters: &mut Counters) {
        self.0.send(to, data, counters);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Epoll, Io};

    #[test]
    fn two_hands_are_one_address() -> io::Result<()> {
        let options = Options { receive_buffer: 32 * 1024, tos: 0, dual_stack: true };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (socket, local) = Detached::bind(any, &options)?;
        let (sender, peer) = (socket.sender()?, std::net::UdpSocket::bind(any)?);
        let mut io = Epoll::new()?;
        io.attach(0, socket)?;
        let mut counters = Counters::default();
        sender.send(peer.local_addr()?, b"hello", &mut counters);
        peer.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut buffer = [0; crate::LONGEST];
        let (length, from) = peer.recv_from(&mut buffer)?;
        assert_eq!((&buffer[..length], from, counters.sent), (&b"hello"[..], local, 1));
        peer.send_to(b"back", local)?;
        let heard = loop {
            io.wait(Duration::from_secs(1))?;
            if let Some(received) = io.receive(&mut buffer) {
                break received;
            }
        };
        assert_eq!((heard.key, heard.length), (0, 4), "only the one that is attached hears");
        Ok(())
    }
}
