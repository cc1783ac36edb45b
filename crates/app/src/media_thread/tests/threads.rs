//! Whole threads behind their doors.

use std::net::Ipv6Addr;

use media::{BatchId, StreamId};

use super::*;

/// Each of these with every kind of sockets.
macro_rules! with_each_kind {
    ($($story:ident),* $(,)?) => {
        mod epoll {
            $(#[test] fn $story() { super::$story(super::IoKind::Epoll); })*
        }
        mod io_uring {
            $(#[test] fn $story() { if super::has_io_uring() { super::$story(super::IoKind::IoUring); } })*
        }
    };
}

with_each_kind!(
    packets_pass_between_two_phones,
    a_busy_port_is_passed_over,
    a_used_pair_stays_bound_and_comes_again,
    a_closed_door_ends_the_thread,
    two_shards_share_the_ports,
    both_families_come_in_by_one_socket,
);

fn packets_pass_between_two_phones(kind: IoKind) {
    let mut stage = stage(kind, set_up(range(4), 2, Duration::ZERO));
    let ((a_port, a_addr), (b_port, b_addr)) = (stage.ready(), stage.ready());
    let (alice, bob) = (phone(), phone());
    let (a, b) = (StreamId(1), StreamId(2));
    stage.order([
        Command::Open { stream: a, port: a_port },
        Command::Open { stream: b, port: b_port },
        Command::Describe { stream: a, remote: remote(&alice) },
        Command::Describe { stream: b, remote: remote(&bob) },
        Command::Bridge { a, b },
        Command::Done(BatchId(1)),
    ]);
    let events: Vec<Event> = (0..3).map(|_| stage.next()).collect();
    assert!(events.contains(&Event::Done { batch: BatchId(1), ok: true }), "{events:?}");
    let refilled = events.iter().filter(|event| matches!(event, Event::PortReady { .. })).count();
    assert_eq!(refilled, 2, "two were taken, so two are made ready: {events:?}");

    // More than one socket's share at once: an edge-triggered socket that is left half read would never tell again.
    let sent: Vec<Vec<u8>> = (0..MANY).map(packet).collect();
    for data in &sent {
        alice.send_to(data, a_addr).unwrap();
    }
    let mut buffer = [0; 2048];
    for data in &sent {
        let (length, from) = bob.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (data.as_slice(), b_addr));
    }
    bob.send_to(&packet(9), b_addr).unwrap();
    assert_eq!(alice.recv_from(&mut buffer).unwrap().1, a_addr);
    stage.until("what it did is published", |figures| figures.shard.relayed_rtp == u64::from(MANY) + 1);
    let figures = stage.media.figures();
    assert_eq!((figures.streams, figures.open, figures.ports.0), (2, 8, 4));
    assert!(figures.lag.classes.iter().sum::<u64>() > 0 && figures.sockets.io.sent > u64::from(MANY));
    stage.order([Command::Close { stream: a }, Command::Close { stream: b }]);
    let mut closed = 0;
    while closed < 2 {
        closed += usize::from(matches!(stage.next(), Event::Closed { .. }));
    }
}

fn a_busy_port_is_passed_over(kind: IoKind) {
    let (first, last) = range(3);
    let taken = UdpSocket::bind(("127.0.0.1", first + 3)).unwrap(); // the RTCP port of the second pair
    let mut stage = stage(kind, set_up((first, last), 2, Duration::ZERO));
    let mut ready = [stage.ready().0.0, stage.ready().0.0];
    ready.sort_unstable();
    assert_eq!(ready, [first, first + 4]);
    drop(taken);
}

fn a_used_pair_stays_bound_and_comes_again(kind: IoKind) {
    let ports = range(1);
    let mut stage = stage(kind, set_up(ports, 1, Duration::from_millis(300)));
    let (port, addr) = stage.ready();
    let since = Instant::now();
    stage.order([Command::Open { stream: StreamId(1), port }, Command::Close { stream: StreamId(1) }]);
    assert!(matches!(stage.next(), Event::Closed { .. }));
    phone().send_to(&packet(1), addr).unwrap();
    UdpSocket::bind(addr).expect_err("nobody else can have the port while it rests");
    assert_eq!(stage.ready(), (port, addr), "the only pair there is");
    assert!(since.elapsed() >= Duration::from_millis(300), "it has rested");
    stage.until("the late one is counted", |figures| figures.sockets.late == 1);
    let sockets = stage.media.figures().sockets;
    assert_eq!((sockets.bound, sockets.reused), (1, 1));
    assert_eq!(stage.media.figures().shard.unknown_port, 0);
}

fn a_closed_door_ends_the_thread(kind: IoKind) {
    let mut stage = stage(kind, set_up(range(2), 1, Duration::ZERO));
    stage.ready();
    drop(stage.media);
    let events = &mut stage.events;
    assert!(stage.runtime.block_on(async { tokio::time::timeout(LIMIT, events.recv()).await }).unwrap().is_none());
}

fn two_shards_share_the_ports(kind: IoKind) {
    let ports = range(4);
    let layout = Layout { first: ports.0, shards: 2 };
    let mut all = Vec::new();
    let stages: Vec<Stage> = (0..2)
        .map(|shard| {
            let mut stage = stage(kind, Setup { shard, layout, ..set_up(ports, 2, Duration::ZERO) });
            for _ in 0..2 {
                let port = stage.ready().0;
                assert_eq!(layout.shard_of(port), shard);
                all.push(port.0);
            }
            stage
        })
        .collect();
    all.sort_unstable();
    assert_eq!(all, (ports.0..ports.1).step_by(2).collect::<Vec<u16>>());
    drop(stages);
}

fn both_families_come_in_by_one_socket(kind: IoKind) {
    let any = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("this machine has no IPv6: nothing to see");
        return;
    }
    let (v4, v6) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from(Ipv6Addr::LOCALHOST));
    let binding = Binding { announced: v4, announced6: Some(v6), own: vec![v4, v6], ..binding(any) };
    let mut stage = stage(kind, Setup { binding, ..set_up(range(2), 2, Duration::ZERO) });
    let mut ready = || match stage.next() {
        Event::PortReady { port, addr, addr6: Some(addr6) } => (port, addr, addr6),
        other => panic!("{other:?}"),
    };
    let ((a_port, a4, a6), (b_port, b4, b6)) = (ready(), ready());
    assert_eq!((a4, a6), (SocketAddr::new(v4, a_port.0), SocketAddr::new(v6, a_port.0)));
    let (alice, bob) = (phone(), UdpSocket::bind("[::1]:0").unwrap());
    bob.set_read_timeout(Some(LIMIT)).unwrap();
    let (a, b) = (StreamId(1), StreamId(2));
    stage.order([
        Command::Open { stream: a, port: a_port },
        Command::Open { stream: b, port: b_port },
        Command::Describe { stream: a, remote: remote(&alice) },
        Command::Describe { stream: b, remote: remote(&bob) },
        Command::Bridge { a, b },
        Command::Done(BatchId(1)),
    ]);
    while stage.next() != (Event::Done { batch: BatchId(1), ok: true }) {}
    let mut buffer = [0; 2048];
    alice.send_to(&packet(1), a4).unwrap();
    assert_eq!(bob.recv_from(&mut buffer).unwrap().1, b6, "IPv4 in, IPv6 out");
    bob.send_to(&packet(2), b6).unwrap();
    assert_eq!(alice.recv_from(&mut buffer).unwrap().1, a4, "and back");
    assert_eq!(b4.ip(), v4);
}
