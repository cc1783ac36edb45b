//! The least a relay can do, with [`udp::Epoll`] or [`udp::Uring`]: it stands in for `udpraw relay` of the shared
//! harness, takes the same options, and hears the same generator.
//!
//! `relay --io epoll|io_uring --base PORT --calls N --cpu C --secs S`: call I has the port BASE + 2 I on 127.0.0.21 for
//! side A and on 127.0.0.22 for side B. A side's first packet says where it is, and connects its socket.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench that cannot run is a bench that fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use udp::{Epoll, Io, Key, Options, Uring};

const OPTIONS: Options = Options { receive_buffer: 32 * 1024, tos: 0xb8, dual_stack: false };

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let text = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: u64| text(name).map_or(default, |text| text.parse().unwrap());
    udp::pin_to(number("--cpu", 1) as usize).unwrap();
    assert!(udp::descriptor_limit() >= 2 * number("--calls", 100), "too few descriptors");
    let (base, calls, seconds) = (number("--base", 31_000) as u16, number("--calls", 100), number("--secs", 10));
    let limit = Duration::from_secs(seconds);
    match text("--io").as_deref() {
        None | Some("epoll") => relay(Epoll::new().unwrap(), base, calls as Key, limit),
        Some("io_uring") => relay(Uring::new().unwrap(), base, calls as Key, limit),
        Some(other) => panic!("--io epoll or --io io_uring, not {other}"),
    }
}

fn relay<I: Io>(mut io: I, base: u16, calls: Key, limit: Duration) {
    for key in 0..2 * calls {
        let ip = Ipv4Addr::new(127, 0, 0, 21 + (key & 1) as u8);
        io.bind(key, SocketAddr::from((ip, base + (key & !1) as u16)), &OPTIONS).unwrap();
    }
    let mut peers: Vec<Option<SocketAddr>> = vec![None; 2 * calls as usize];
    println!("ready");
    let (start, mut forwarded, mut buffer) = (Instant::now(), 0_u64, [0; 2048]);
    while start.elapsed() < limit {
        io.wait(Duration::from_millis(100)).unwrap();
        while let Some(received) = io.receive(&mut buffer) {
            let (key, from) = (received.key, received.from);
            if peers[key as usize] != Some(from) {
                peers[key as usize] = Some(from);
                io.connect(key, Some(from)).unwrap();
            }
            if let Some(to) = peers[(key ^ 1) as usize] {
                io.send(key ^ 1, to, &buffer[..received.length]);
                forwarded += 1;
            }
        }
    }
    println!("{{\"mode\":\"{}\",\"forwarded\":{forwarded},\"counters\":\"{:?}\"}}", I::NAME, io.counters());
}
