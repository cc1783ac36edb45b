//! More than one turn, one buffer or one batch holds.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{LIMIT, any, bind, nothing, take};
use crate::{Io, Key, Received};

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

/// A thread that never stops sends to all sockets, while they are closed, bound anew, moved and connected: what is heard
/// under a key was sent to the address that it has, and no buffer is lost on the way.
pub(super) fn sockets_come_and_go_under_fire<I: Io>() {
    const KEYS: usize = 16;
    let mut sides = [I::new().unwrap(), I::new().unwrap()];
    let bound: Vec<_> = (0..KEYS).map(|key| bind(&mut sides[0], key as Key)).collect();
    let addresses = Mutex::new(bound);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let gun = UdpSocket::bind(any_of(addresses.lock().unwrap()[0])).unwrap();
            while !stop.load(Ordering::Relaxed) {
                for key in 0..KEYS {
                    let to = addresses.lock().unwrap()[key];
                    let _ = gun.send_to(&to.port().to_be_bytes(), to);
                }
            }
        });
        let (mut heard, mut side, mut step, start) = ([0; KEYS], [0; KEYS], 0_usize, Instant::now());
        while step < 2_000 || heard.contains(&0) {
            assert!(start.elapsed() < LIMIT, "{heard:?}");
            step += 1;
            let key = step * 7 % KEYS;
            let io = &mut sides[side[key]];
            match step % 11 {
                0..3 => {
                    io.close(key as Key);
                    addresses.lock().unwrap()[key] = bind(io, key as Key);
                }
                3..6 => {
                    let detached = io.detach(key as Key).unwrap();
                    side[key] = 1 - side[key];
                    sides[side[key]].attach(key as Key, detached).unwrap();
                }
                6 => drop(io.drain(key as Key)),
                7 => {
                    // To itself: deaf to the gun, until it is connected to nobody again.
                    let address = addresses.lock().unwrap()[key];
                    io.connect(key as Key, Some(address)).unwrap();
                    io.send(key as Key, address, &address.port().to_be_bytes());
                    io.connect(key as Key, None).unwrap();
                }
                _ => {}
            }
            for (of, io) in sides.iter_mut().enumerate() {
                io.wait(Duration::ZERO).unwrap();
                let mut buffer = [0; 64];
                for _ in 0..step % 100 {
                    let Some(Received { key, length, .. }) = io.receive(&mut buffer) else { break };
                    let address = addresses.lock().unwrap()[key as usize];
                    assert_eq!(buffer[..length], address.port().to_be_bytes(), "step {step}, key {key}");
                    assert_eq!(side[key as usize], of);
                    heard[key as usize] += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    for io in &sides {
        assert_eq!((io.counters().receive_failed, io.counters().send_failed), (0, 0));
    }
}

fn any_of(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip(), 0)
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
