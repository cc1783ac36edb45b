//! Sockets that begin, move and end.

use std::io::ErrorKind;
use std::net::UdpSocket;

use super::{LIMIT, OPTIONS, any, bind, nothing, take};
use crate::{Epoll, Io, Uring};

pub(super) fn a_key_in_use_is_refused<I: Io>() {
    let mut io = I::new().unwrap();
    let a = bind(&mut io, 1);
    assert_eq!(io.bind(1, any(), &OPTIONS).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(io.bind(2, a, &OPTIONS).unwrap_err().kind(), ErrorKind::AddrInUse);
    bind(&mut io, 2);
    let two = io.detach(2).unwrap();
    assert_eq!(io.attach(1, two).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(io.detach(2).is_none() && io.detach(99).is_none());
    io.close(99);
    // The first still works.
    io.send(1, a, b"myself");
    assert_eq!(take(&mut io, 1), [(1, a, b"myself".to_vec())]);
}

pub(super) fn a_closed_sockets_key_and_address_are_free_at_once<I: Io>() {
    let mut io = I::new().unwrap();
    let peer = UdpSocket::bind(any()).unwrap();
    let mut address = bind(&mut io, 1);
    for round in 0..100_u32 {
        // Some are read, some have been handed out, some wait, when it goes.
        (0..5).for_each(|_| assert_eq!(peer.send_to(b"old", address).unwrap(), 3));
        if round % 3 > 0 {
            io.wait(LIMIT).unwrap();
        }
        if round % 3 > 1 {
            io.receive(&mut [0; 8]).unwrap();
        }
        peer.send_to(b"old", address).unwrap();
        io.close(1);
        // Another, or the same address under another key, or an address of its own.
        match round % 4 {
            0 => {
                UdpSocket::bind(address).unwrap();
                address = bind(&mut io, 1);
            }
            1 => {
                assert_eq!(io.bind(2, address, &OPTIONS).unwrap(), address);
                io.close(2);
                address = bind(&mut io, 1);
            }
            _ => assert_eq!(io.bind(1, address, &OPTIONS).unwrap(), address),
        }
        peer.send_to(&round.to_be_bytes(), address).unwrap();
        let from = peer.local_addr().unwrap();
        assert_eq!(take(&mut io, 1), [(1, from, round.to_be_bytes().to_vec())]);
        nothing(&mut io);
    }
}

pub(super) fn an_io_that_is_dropped_frees_its_addresses<I: Io>() {
    let peer = UdpSocket::bind(any()).unwrap();
    for round in 0..20 {
        let mut io = I::new().unwrap();
        let addresses: Vec<_> = (0..50).map(|key| bind(&mut io, key)).collect();
        for address in &addresses {
            peer.send_to(b"x", address).unwrap();
        }
        if round % 2 == 0 {
            io.wait(LIMIT).unwrap();
        }
        drop(io);
        for address in addresses {
            UdpSocket::bind(address).unwrap();
        }
    }
}

pub(super) fn a_socket_moves_with_what_waits_in_it<I: Io>() {
    moves(&mut I::new().unwrap(), &mut I::new().unwrap());
}

pub(super) fn a_socket_moves_between_epoll_and_io_uring<I: Io>() {
    moves(&mut I::new().unwrap(), &mut Epoll::new().unwrap());
    if Uring::probe().is_ok() {
        moves(&mut I::new().unwrap(), &mut Uring::new().unwrap());
    }
}

/// To and fro, with datagrams that were handed out, that wait, and that come when it is nobody's.
fn moves(one: &mut impl Io, other: &mut impl Io) {
    let peer = UdpSocket::bind(any()).unwrap();
    let from = peer.local_addr().unwrap();
    let address = bind(one, 1);
    bind(one, 2);
    let mut next = 0_u32;
    let mut send = |count: u32| {
        for _ in 0..count {
            peer.send_to(&next.to_be_bytes(), address).unwrap();
            next += 1;
        }
    };
    one.connect(1, Some(from)).unwrap();
    for round in 0..10 {
        send(7);
        if round % 2 == 0 {
            one.wait(LIMIT).unwrap();
        }
        send(3);
        let detached = one.detach(1).unwrap();
        send(2);
        other.attach(8, detached).unwrap();
        send(1);
        if round % 3 == 0 {
            // Back and forth before anything was read; what was held under the old key must not come under it.
            let detached = other.detach(8).unwrap();
            other.attach(9, detached).unwrap();
            bind(other, 8);
            other.close(8);
            let detached = other.detach(9).unwrap();
            other.attach(8, detached).unwrap();
        }
        let numbers: Vec<u32> = (round * 13..round * 13 + 13).collect();
        let taken: Vec<_> = take(other, 13).into_iter().map(|(key, _, data)| (key, data)).collect();
        let wanted: Vec<_> = numbers.iter().map(|number| (8, number.to_be_bytes().to_vec())).collect();
        assert_eq!(taken, wanted);
        // It is still connected, at the same address.
        let stranger = UdpSocket::bind(any()).unwrap();
        let _ = stranger.send_to(b"foreign", address);
        nothing(other);
        other.send(8, from, b"hello");
        other.flush();
        assert_eq!(peer.recv_from(&mut [0; 8]).unwrap(), (5, address));
        let detached = other.detach(8).unwrap();
        one.attach(1, detached).unwrap();
    }
    nothing(one);
}

pub(super) fn two_thousand_sockets_come_and_go<I: Io>() {
    let mut io = I::new().unwrap();
    let peer = UdpSocket::bind(any()).unwrap();
    let from = peer.local_addr().unwrap();
    for round in 0..3_u32 {
        let addresses: Vec<_> = (0..2_000).map(|key| bind(&mut io, key)).collect();
        for (key, address) in addresses.iter().enumerate().step_by(3) {
            peer.send_to(&(round + key as u32).to_be_bytes(), address).unwrap();
        }
        // Every third has something, every fourth goes before it is read.
        (0..2_000).step_by(4).for_each(|key| io.close(key));
        let mut taken: Vec<_> = take(&mut io, 2_000_usize.div_ceil(3) - 2_000_usize.div_ceil(12));
        taken.sort();
        let wanted: Vec<_> = (0..2_000_u32)
            .filter(|key| key % 3 == 0 && key % 4 != 0)
            .map(|key| (key, from, (round + key).to_be_bytes().to_vec()))
            .collect();
        assert!(taken == wanted);
        (0..2_000).for_each(|key| io.close(key));
        nothing(&mut io);
    }
    assert_eq!(io.counters().receive_failed, 0);
}
