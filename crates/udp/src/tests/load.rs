//! More than one turn, one buffer or one batch holds.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::{LIMIT, any, bind, nothing, take};
use crate::Io;

pub(super) fn each_of_many_sockets_gets_its_own<I: Io>() {
    let mut io = I::new().unwrap();
    let addresses: Vec<_> = (0..500).map(|key| bind(&mut io, key)).collect();
    for round in 0..5_u32 {
        for (key, address) in addresses.iter().enumerate() {
            let data = [round.to_be_bytes(), (key as u32).to_be_bytes()].concat();
            io.send((key as u32 + 1) % 500, *address, &data);
        }
        let mut taken = take(&mut io, 500);
        taken.sort();
        for (key, (to, from, data)) in taken.into_iter().enumerate() {
            assert_eq!((to, from), (key as u32, addresses[(key + 1) % 500]));
            assert_eq!(data, [round.to_be_bytes(), (key as u32).to_be_bytes()].concat());
        }
    }
    assert_eq!((io.counters().sent, io.counters().received), (2_500, 2_500));
}

pub(super) fn a_flood_on_one_socket_does_not_keep_another_waiting<I: Io>() {
    let mut io = I::new().unwrap();
    let (flooded, quiet) = (bind(&mut io, 1), bind(&mut io, 2));
    let stranger = UdpSocket::bind(any()).unwrap();
    for _ in 0..10 {
        (0..200).for_each(|_| assert_eq!(stranger.send_to(b"flood", flooded).unwrap(), 5));
        stranger.send_to(b"quiet", quiet).unwrap();
        (0..20).for_each(|_| assert_eq!(stranger.send_to(b"flood", flooded).unwrap(), 5));
        let before = take(&mut io, 221).iter().position(|(key, ..)| *key == 2).unwrap();
        assert!(before <= 64, "{before} of the flood came first");
    }
}

pub(super) fn more_than_all_buffers_hold_is_received<I: Io>() {
    let mut io = I::new().unwrap();
    let stranger = UdpSocket::bind(any()).unwrap();
    let addresses: Vec<_> = (0..100).map(|key| bind(&mut io, key)).collect();
    for round in 0..3 {
        for number in 0..50_u32 {
            for address in &addresses {
                stranger.send_to(&number.to_be_bytes(), address).unwrap();
            }
        }
        // In one round all are handed out before any is read.
        for _ in 0..if round == 1 { 300 } else { 0 } {
            io.wait(Duration::ZERO).unwrap();
        }
        let taken = take(&mut io, 5_000);
        for key in 0..100 {
            let numbers: Vec<u32> = taken
                .iter()
                .filter(|(of, ..)| *of == key)
                .map(|(.., data)| u32::from_be_bytes(data[..].try_into().unwrap()))
                .collect();
            assert_eq!(numbers, (0..50).collect::<Vec<_>>(), "of socket {key}");
        }
        nothing(&mut io);
    }
    assert_eq!(io.counters().receive_failed, 0);
    if I::NAME == "io_uring" {
        assert!(io.counters().starved > 0, "{:?}", io.counters());
    }
}

pub(super) fn fifty_copies_from_fifty_sockets_and_fifty_from_one<I: Io>() {
    let mut io = I::new().unwrap();
    let sink = bind(&mut io, 99);
    let addresses: Vec<_> = (0..50).map(|key| bind(&mut io, key)).collect();
    for turn in 0..20_u8 {
        (0..50).for_each(|key| io.send_later(key, sink, &[turn, 0]));
        (0..50).for_each(|number| io.send_later(7, sink, &[turn, number]));
        let taken = take(&mut io, 100);
        assert!(taken.iter().all(|(key, ..)| *key == 99));
        assert!(addresses.iter().all(|address| taken.iter().any(|(_, from, data)| from == address && data[1] == 0)));
        let of_one: Vec<u8> =
            taken.iter().filter(|(_, from, _)| *from == addresses[7]).map(|(.., data)| data[1]).collect();
        assert_eq!(of_one[1..], (0..50).collect::<Vec<u8>>());
    }
    assert_eq!(io.counters().sent, 2_000);
    // What nobody hears is not an error either.
    let start = Instant::now();
    io.close(99);
    (0..50).for_each(|key| io.send_later(key, sink, b"gone"));
    nothing(&mut io);
    assert!(start.elapsed() < LIMIT);
}
