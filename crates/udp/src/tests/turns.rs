//! Turns: waiting, waking, receiving, sending.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::{LIMIT, any, bind, nothing, take};
use crate::{Io, LONGEST, Received};

pub(super) fn what_is_sent_arrives_and_a_wake_ends_a_wait<I: Io>() {
    let mut io = I::new().unwrap();
    let (a, b) = (bind(&mut io, 1), bind(&mut io, 2));
    io.send(1, b, b"one");
    io.connect(1, Some(b)).unwrap();
    io.send(1, b, b"two");
    // An empty datagram is one.
    io.send(1, b, b"");
    let taken = take(&mut io, 3);
    assert_eq!(taken, [(2, a, b"one".to_vec()), (2, a, b"two".to_vec()), (2, a, Vec::new())]);
    assert_eq!((io.counters().sent, io.counters().received), (3, 3));
    // Twice is once.
    io.waker().wake();
    io.waker().wake();
    let start = Instant::now();
    io.wait(LIMIT).unwrap();
    assert!(start.elapsed() < LIMIT);
    nothing(&mut io);
    // What is sent from or to nowhere is nothing.
    io.send(7, b, b"x");
    io.send_later(7, b, b"x");
    nothing(&mut io);
}

pub(super) fn a_wake_comes_from_another_thread_and_is_not_lost<I: Io>() {
    let mut io = I::new().unwrap();
    for _ in 0..200 {
        let waker = io.waker();
        let thread = std::thread::spawn(move || waker.wake());
        let start = Instant::now();
        io.wait(LIMIT).unwrap();
        assert!(start.elapsed() < LIMIT);
        assert_eq!(io.receive(&mut []), None);
        thread.join().unwrap();
    }
}

pub(super) fn a_wait_ends_when_its_time_is_over<I: Io>() {
    let mut io = I::new().unwrap();
    bind(&mut io, 0);
    io.wait(Duration::ZERO).unwrap();
    for micros in [300, 1_000, 2_700] {
        let (limit, start) = (Duration::from_micros(micros), Instant::now());
        // A wait may end early, but not all the time.
        let mut waits = 0;
        while start.elapsed() < limit {
            io.wait(limit.saturating_sub(start.elapsed())).unwrap();
            waits += 1;
        }
        assert!(waits < 100, "{waits}");
    }
    // For ever is allowed.
    io.waker().wake();
    io.wait(Duration::MAX).unwrap();
}

pub(super) fn a_datagram_that_is_too_long_is_dropped_and_counted<I: Io>() {
    let mut io = I::new().unwrap();
    let (a, b) = (bind(&mut io, 1), bind(&mut io, 2));
    let longest = vec![7; LONGEST];
    io.send(1, b, &longest);
    io.send(1, b, &vec![8; LONGEST + 1]);
    io.send(1, b, &vec![8; 20_000]);
    io.send(1, b, b"behind");
    assert_eq!(take(&mut io, 2), [(2, a, longest), (2, a, b"behind".to_vec())]);
    assert_eq!((io.counters().truncated, io.counters().received), (2, 2));
    io.send(1, b, b"12345");
    io.send(1, b, b"1234");
    let (start, mut buffer, mut got) = (Instant::now(), [0; 4], None);
    while got.is_none() && start.elapsed() < LIMIT {
        io.wait(LIMIT).unwrap();
        got = io.receive(&mut buffer);
    }
    assert_eq!(got, Some(Received { key: 2, from: a, length: 4 }));
    assert_eq!(io.counters().truncated, 3);
}

pub(super) fn what_waits_for_the_end_of_a_turn_leaves_in_order<I: Io>() {
    let mut io = I::new().unwrap();
    let (a, b, sink) = (bind(&mut io, 1), bind(&mut io, 2), bind(&mut io, 3));
    io.connect(2, Some(sink)).unwrap();
    for number in 0..1_000_u32 {
        // Runs of several lengths, from two sockets.
        let key = 1 + u32::from(number % 70 > 65);
        io.send_later(key, sink, &number.to_be_bytes());
        if number % 50 == 49 {
            let taken = take(&mut io, 50);
            for (key, address) in [(1, a), (2, b)] {
                let wanted: Vec<u32> = (number - 49..=number).filter(|n| 1 + u32::from(n % 70 > 65) == key).collect();
                let numbers: Vec<u32> = taken
                    .iter()
                    .filter(|(_, from, _)| *from == address)
                    .map(|(_, _, data)| u32::from_be_bytes(data[..].try_into().unwrap()))
                    .collect();
                assert_eq!(numbers, wanted);
            }
        }
    }
    assert_eq!(io.counters().sent, 1_000);
    // A flush does not wait for the next turn, and a close sends what waits.
    let outside = UdpSocket::bind(any()).unwrap();
    outside.set_read_timeout(Some(LIMIT)).unwrap();
    io.send_later(1, outside.local_addr().unwrap(), b"flushed");
    io.flush();
    let mut buffer = [0; 16];
    assert_eq!(outside.recv(&mut buffer).unwrap(), 7);
    io.send_later(1, outside.local_addr().unwrap(), b"last");
    io.close(1);
    assert_eq!(outside.recv(&mut buffer).unwrap(), 4);
}

pub(super) fn drained_datagrams_are_gone<I: Io>() {
    let mut io = I::new().unwrap();
    let (a, b) = (bind(&mut io, 1), bind(&mut io, 2));
    let outside = UdpSocket::bind(any()).unwrap();
    let send = |count: usize| (0..count).for_each(|_| assert_eq!(outside.send_to(b"old", b).unwrap(), 3));
    send(40);
    assert_eq!(io.drain(2), 40);
    // Some were already handed out.
    send(10);
    outside.send_to(b"other", a).unwrap();
    io.wait(LIMIT).unwrap();
    send(5);
    assert_eq!(io.drain(2), 15);
    outside.send_to(b"new", b).unwrap();
    let mut taken = take(&mut io, 2);
    taken.sort();
    let from = outside.local_addr().unwrap();
    assert_eq!(taken, [(1, from, b"other".to_vec()), (2, from, b"new".to_vec())]);
    assert_eq!(io.drain(2), 0);
    assert_eq!(io.drain(9), 0);
}

pub(super) fn an_icmp_error_swallows_nothing<I: Io>() {
    let mut io = I::new().unwrap();
    let a = bind(&mut io, 1);
    let peer = UdpSocket::bind(any()).unwrap();
    let b = peer.local_addr().unwrap();
    io.connect(1, Some(b)).unwrap();
    for round in 0..20_u8 {
        // Two wait; then the peer is away, an error comes in before them; and it is back.
        peer.send_to(&[round, 1], a).unwrap();
        peer.send_to(&[round, 2], a).unwrap();
        let away = UdpSocket::bind(any()).unwrap();
        let gone = away.local_addr().unwrap();
        drop(away);
        io.connect(1, Some(gone)).unwrap();
        io.send(1, gone, b"refused");
        io.flush();
        io.connect(1, Some(b)).unwrap();
        let taken = take(&mut io, 2);
        assert_eq!(taken, [(1, b, vec![round, 1]), (1, b, vec![round, 2])]);
        nothing(&mut io);
    }
}

pub(super) fn a_refused_datagram_is_counted_and_the_socket_goes_on<I: Io>() {
    let mut io = I::new().unwrap();
    let a = bind(&mut io, 1);
    let b = UdpSocket::bind(any()).unwrap().local_addr().unwrap();
    io.connect(1, Some(b)).unwrap();
    // Nobody is there: the first is refused, which the second hears of, and goes all the same.
    io.send(1, b, b"one");
    io.flush();
    let peer = UdpSocket::bind(b).unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    io.send(1, b, b"two");
    io.flush();
    let mut buffer = [0; 16];
    assert_eq!(peer.recv_from(&mut buffer).unwrap(), (3, a));
    assert_eq!(&buffer[..3], b"two");
    nothing(&mut io);
    assert_eq!(io.counters().refused, 1);
    // Again, now heard of by whoever waits.
    drop(peer);
    io.send(1, b, b"three");
    io.flush();
    nothing(&mut io);
    assert_eq!(io.counters().refused, 2);
    let peer = UdpSocket::bind(b).unwrap();
    peer.send_to(b"back", a).unwrap();
    assert_eq!(take(&mut io, 1), [(1, b, b"back".to_vec())]);
    let counters = io.counters();
    assert_eq!((counters.send_failed, counters.receive_failed, counters.full), (0, 0, 0));
}

pub(super) fn a_turn_may_be_left_before_its_end<I: Io>() {
    let mut io = I::new().unwrap();
    let (a, b) = (bind(&mut io, 1), bind(&mut io, 2));
    for number in 0..60_u8 {
        io.send(1, b, &[number]);
        io.send(2, a, &[number]);
    }
    let (mut numbers, mut buffer, start) = ([Vec::new(), Vec::new()], [0; 8], Instant::now());
    while numbers.iter().any(|numbers| numbers.len() < 60) && start.elapsed() < LIMIT {
        io.wait(LIMIT).unwrap();
        if let Some(received) = io.receive(&mut buffer) {
            numbers[received.key as usize - 1].push(buffer[0]);
        }
    }
    assert_eq!(numbers, [(0..60).collect::<Vec<u8>>(), (0..60).collect()]);
}

pub(super) fn who_comes_next_can_be_told_ahead<I: Io>() {
    let mut io = I::new().unwrap();
    let to: Vec<_> = (0..4).map(|key| bind(&mut io, key)).collect();
    to.iter().for_each(|to| io.send(0, *to, b"x"));
    // The sends leave with the first wait; what is to be armed again takes another.
    let mut told = Vec::new();
    let start = Instant::now();
    let mut buffer = [0; 16];
    while told.len() < 4 {
        assert!(start.elapsed() < LIMIT);
        io.wait(Duration::from_millis(10)).unwrap();
        while let Some(next) = io.ahead(0) {
            io.prepare(next);
            let Some(received) = io.receive(&mut buffer) else { break };
            // A socket that is dry by now is told of, and passed over.
            told.push((next, received.key));
        }
    }
    let right = told.iter().filter(|(told, came)| told == came).count();
    assert!(right > 0, "{told:?}");
    io.prepare(99_999);
    assert_eq!(io.ahead(1_000_000), None);
}
