//! Addresses, connections, what others may send.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::{OPTIONS, any, bind, nothing, take};
use crate::{Io, Options};

const DUAL: Options = Options { dual_stack: true, ..OPTIONS };

fn with_port(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

pub(super) fn ipv6_comes_and_goes<I: Io>() {
    let mut io = I::new().unwrap();
    let localhost = with_port("::1", 0);
    let (a, b) = (io.bind(1, localhost, &OPTIONS).unwrap(), io.bind(2, localhost, &OPTIONS).unwrap());
    io.send(1, b, b"one");
    io.connect(1, Some(b)).unwrap();
    io.send(1, b, b"two");
    assert_eq!(take(&mut io, 2), [(2, a, b"one".to_vec()), (2, a, b"two".to_vec())]);
    io.send_later(2, a, b"three");
    io.send_later(2, a, b"four");
    assert_eq!(take(&mut io, 2), [(1, b, b"three".to_vec()), (1, b, b"four".to_vec())]);
}

pub(super) fn a_dual_stack_socket_speaks_plain_ipv4_and_ipv6<I: Io>() {
    let mut io = I::new().unwrap();
    let local = io.bind(1, with_port("::", 0), &DUAL).unwrap();
    assert_eq!(local.ip(), "::".parse::<IpAddr>().unwrap());
    let v4 = UdpSocket::bind("127.0.0.1:0").unwrap();
    let v6 = UdpSocket::bind("[::1]:0").unwrap();
    let (four, six) = (v4.local_addr().unwrap(), v6.local_addr().unwrap());
    v4.send_to(b"four", SocketAddr::new(four.ip(), local.port())).unwrap();
    v6.send_to(b"six", with_port("::1", local.port())).unwrap();
    let mut taken = take(&mut io, 2);
    taken.sort();
    assert_eq!(taken, [(1, four, b"four".to_vec()), (1, six, b"six".to_vec())]);

    let mut buffer = [0; 16];
    for connected in [false, true, false] {
        for (peer, to) in [(&v4, four), (&v6, six)] {
            let here = SocketAddr::new(to.ip(), local.port());
            if connected {
                assert_eq!(io.connect(1, Some(to)).unwrap(), here);
            } else {
                assert_eq!(io.connect(1, None).unwrap(), local);
            }
            io.send(1, to, b"now");
            io.send_later(1, to, b"later");
            io.send_later(1, to, b"later");
            io.flush();
            for length in [3, 5, 5] {
                assert_eq!(peer.recv_from(&mut buffer).unwrap(), (length, here));
            }
            peer.send_to(b"back", here).unwrap();
            assert_eq!(take(&mut io, 1), [(1, to, b"back".to_vec())]);
            // Connected to one family, it is deaf to the other.
            let (other, ip) = if to == four { (&v6, six.ip()) } else { (&v4, four.ip()) };
            let _ = other.send_to(b"other", SocketAddr::new(ip, local.port()));
            if connected {
                nothing(&mut io);
            } else {
                take(&mut io, 1);
            }
        }
    }
}

pub(super) fn an_ipv6_socket_is_deaf_to_ipv4_unless_asked<I: Io>() {
    let mut io = I::new().unwrap();
    let local = io.bind(1, with_port("::", 0), &OPTIONS).unwrap();
    // So an IPv4 socket may have the same port.
    let v4 = io.bind(2, SocketAddr::new(any().ip(), local.port()), &OPTIONS).unwrap();
    let outside = UdpSocket::bind(any()).unwrap();
    outside.send_to(b"x", v4).unwrap();
    assert_eq!(take(&mut io, 1), [(2, outside.local_addr().unwrap(), b"x".to_vec())]);
    nothing(&mut io);
}

pub(super) fn connecting_to_nobody_keeps_the_port<I: Io>() {
    let mut io = I::new().unwrap();
    for (ip, peer) in [("127.0.0.1", "127.0.0.1:0"), ("0.0.0.0", "127.0.0.1:0"), ("::1", "[::1]:0"), ("::", "[::1]:0")]
    {
        for chosen in [false, true] {
            // A port that we name is of those that the system gives to nobody.
            let mut ports = if chosen { 20_000..30_000 } else { 0..1 };
            let local = ports.find_map(|port| io.bind(1, with_port(ip, port), &OPTIONS).ok()).unwrap();
            let peers: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind(peer).unwrap()).collect();
            for _ in 0..3 {
                for peer in &peers {
                    let peer = peer.local_addr().unwrap();
                    let connected = io.connect(1, Some(peer)).unwrap();
                    assert_eq!(connected, SocketAddr::new(peer.ip(), local.port()), "{ip}");
                }
                assert_eq!(io.connect(1, None).unwrap(), local, "{ip}");
                // Nobody twice is nobody.
                assert_eq!(io.connect(1, None).unwrap(), local, "{ip}");
            }
            // All are heard, at the same port.
            for peer in &peers {
                let here = SocketAddr::new(peer.local_addr().unwrap().ip(), local.port());
                peer.send_to(b"x", here).unwrap();
                assert_eq!(take(&mut io, 1), [(1, peer.local_addr().unwrap(), b"x".to_vec())]);
            }
            io.close(1);
        }
    }
}

pub(super) fn a_connected_socket_hears_its_peer_alone<I: Io>() {
    let mut io = I::new().unwrap();
    let a = bind(&mut io, 1);
    let (peer, stranger) = (UdpSocket::bind(any()).unwrap(), UdpSocket::bind(any()).unwrap());
    io.connect(1, Some(peer.local_addr().unwrap())).unwrap();
    for number in 0..50_u8 {
        let _ = stranger.send_to(b"foreign", a);
        peer.send_to(&[number], a).unwrap();
    }
    let taken = take(&mut io, 50);
    assert!(taken.iter().enumerate().all(|(number, (.., data))| data[..] == [number as u8]));
    nothing(&mut io);
    // It may send to others all the same.
    io.send(1, stranger.local_addr().unwrap(), b"hello");
    io.flush();
    let mut buffer = [0; 16];
    assert_eq!(stranger.recv_from(&mut buffer).unwrap(), (5, a));
}

pub(super) fn what_was_sent_to_the_old_peer_goes_there<I: Io>() {
    let mut io = I::new().unwrap();
    let a = bind(&mut io, 1);
    let peers = [UdpSocket::bind(any()).unwrap(), UdpSocket::bind(any()).unwrap()];
    let mut buffer = [0; 16];
    for number in 0..10 {
        let (old, new) = (&peers[number % 2], &peers[1 - number % 2]);
        let (b, c) = (old.local_addr().unwrap(), new.local_addr().unwrap());
        io.connect(1, Some(b)).unwrap();
        io.send(1, b, b"old");
        io.send_later(1, b, b"later");
        io.connect(1, Some(c)).unwrap();
        io.send(1, c, b"new peer");
        io.flush();
        assert_eq!(new.recv_from(&mut buffer).unwrap(), (8, a));
        let lengths = [old.recv(&mut buffer).unwrap(), old.recv(&mut buffer).unwrap()];
        assert_eq!(lengths, [3, 5]);
    }
}

pub(super) fn what_waited_before_a_connection_keeps_its_source<I: Io>() {
    let mut io = I::new().unwrap();
    let (peer, stranger) = (UdpSocket::bind(any()).unwrap(), UdpSocket::bind(any()).unwrap());
    let (b, c) = (peer.local_addr().unwrap(), stranger.local_addr().unwrap());
    for handed_out in [false, true] {
        let a = bind(&mut io, 1);
        stranger.send_to(b"foreign", a).unwrap();
        peer.send_to(b"early", a).unwrap();
        if handed_out {
            io.wait(super::LIMIT).unwrap();
        }
        io.connect(1, Some(b)).unwrap();
        let _ = stranger.send_to(b"late", a);
        peer.send_to(b"peer", a).unwrap();
        let taken = take(&mut io, 3);
        assert_eq!(taken, [(1, c, b"foreign".to_vec()), (1, b, b"early".to_vec()), (1, b, b"peer".to_vec())]);
        nothing(&mut io);
        io.close(1);
    }
}

pub(super) fn a_connection_that_cannot_be_leaves_the_socket_open_to_all<I: Io>() {
    let mut io = I::new().unwrap();
    let a = bind(&mut io, 1);
    let (peer, other) = (UdpSocket::bind(any()).unwrap(), UdpSocket::bind(any()).unwrap());
    io.connect(1, Some(peer.local_addr().unwrap())).unwrap();
    // An IPv4 socket has no way to an IPv6 peer.
    io.connect(1, Some(with_port("::1", 9))).unwrap_err();
    other.send_to(b"x", a).unwrap();
    assert_eq!(take(&mut io, 1), [(1, other.local_addr().unwrap(), b"x".to_vec())]);
    assert_eq!(io.connect(1, None).unwrap(), a);
    assert_eq!(io.connect(5, None).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    // Nor to send to one.
    io.send(1, with_port("::1", 9), b"x");
    nothing(&mut io);
    assert_eq!((io.counters().sent, io.counters().send_failed), (0, 1));
}

pub(super) fn packets_are_marked_for_expedited_forwarding<I: Io>() {
    let mut io = I::new().unwrap();
    bind(&mut io, 1);
    io.bind(2, with_port("::", 0), &DUAL).unwrap();
    let (v4, v6) = (io.detach(1).unwrap().socket, io.detach(2).unwrap().socket);
    assert_eq!(v4.tos_v4().unwrap(), 0xb8);
    assert_eq!((v6.tclass_v6().unwrap(), v6.tos_v4().unwrap()), (0xb8, 0xb8));
    assert!(v4.recv_buffer_size().unwrap() >= OPTIONS.receive_buffer.min(212_992));
}
