//! Socket addresses as the kernel writes them (`sockaddr_in`, `sockaddr_in6`).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Bytes of a `sockaddr_in6`, the longer of the two.
pub(crate) const BYTES: usize = size_of::<libc::sockaddr_in6>();

/// One address to hand to the kernel.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(crate) struct Name {
    bytes: [u8; BYTES],
    length: u32,
}

impl Name {
    pub(crate) const EMPTY: Self = Self { bytes: [0; BYTES], length: 0 };

    pub(crate) fn of(addr: SocketAddr) -> Self {
        let mut name = Self::EMPTY;
        let bytes = &mut name.bytes;
        bytes[2..4].copy_from_slice(&addr.port().to_be_bytes());
        let family = match addr {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                name.length = size_of::<libc::sockaddr_in>() as u32;
                libc::AF_INET
            }
            SocketAddr::V6(v6) => {
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                name.length = BYTES as u32;
                libc::AF_INET6
            }
        };
        bytes[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
        name
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    pub(crate) fn length(&self) -> u32 {
        self.length
    }

    /// What the kernel wrote.
    pub(crate) fn read(bytes: &[u8]) -> Option<SocketAddr> {
        let family = i32::from(u16::from_ne_bytes(bytes.first_chunk().copied()?));
        let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
        match family {
            libc::AF_INET => {
                let ip: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
                Some(SocketAddr::from((Ipv4Addr::from(ip), port)))
            }
            libc::AF_INET6 => {
                let flow = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
                let ip: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
                let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
                Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_back_as_it_went() {
        for addr in ["192.0.2.1:5004", "[2001:db8::1]:65535", "[fe80::1%7]:1", "0.0.0.0:0"] {
            let addr: SocketAddr = addr.parse().unwrap();
            let name = Name::of(addr);
            assert_eq!(Name::read(&name.bytes[..name.length as usize]), Some(addr));
            // socket2 encodes the same bytes.
            let theirs = socket2::SockAddr::from(addr);
            assert_eq!(theirs.len(), name.length());
            assert_eq!(theirs.as_socket(), Some(addr));
        }
        assert_eq!(Name::read(&[]), None);
        assert_eq!(Name::read(&[2, 0, 1, 2, 127]), None);
        assert_eq!(Name::read(&[0; BYTES]), None);
    }
}
