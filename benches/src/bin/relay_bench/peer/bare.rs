//! The least that a relay in user space can do: two sockets a call, edge-triggered epoll, read until dry, send to where
//! the other side was last heard from. It knows no signalling, checks no source and counts nothing; nobody could use it.
//! The same by io_uring, with the crate `udp`: what our relay costs beside its sockets is the difference.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum;
use rustix::event::epoll;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};
use udp::{Io as _, Options, Uring};

use super::{Calls, Peer};
use crate::device::Device;
use crate::generator::{Generator, Leg};
use crate::setting::Setting;

/// Addresses of the two sides.
const SIDES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 21), Ipv4Addr::new(127, 0, 0, 22)];
/// Port of the first call, above it every other one.
const FIRST_PORT: u16 = 10_000;
/// Sub-command that makes this program the relay.
pub(crate) const COMMAND: &str = "bare-relay";

/// By which means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    Epoll,
    Ring,
}

/// The relay as a process of its own.
#[derive(Debug)]
pub(crate) struct Bare {
    way: Way,
    device: Option<Device>,
}

impl Bare {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, device: None }
    }
}

impl Peer for Bare {
    fn name(&self) -> &'static str {
        match self.way {
            Way::Epoll => "bare",
            Way::Ring => "barering",
        }
    }

    fn pid(&self) -> Option<u32> {
        self.device.as_ref().map(Device::pid)
    }

    fn set_up(&mut self, setting: &Setting, calls: usize, _: &Generator) -> Result<Calls, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = setting.on_device_core(&this.to_string_lossy());
        let way = self.way.to_possible_value().map_or(String::new(), |way| way.get_name().to_owned());
        command.args([COMMAND, &way, &calls.to_string()]).stdout(Stdio::piped());
        let mut device = Device::start(&mut command)?;
        let mut line = String::new();
        let read = device.output().map(|output| BufReader::new(output).read_line(&mut line));
        if !matches!(read, Some(Ok(1..))) {
            return Err("the bare relay did not start".to_owned());
        }
        self.device = Some(device);
        let legs =
            (0..2 * calls).map(|n| Leg { socket: Generator::socket_of(n), to: SocketAddr::V4(address(n)), keys: None });
        Ok(Calls { legs: legs.collect() })
    }
}

fn address(leg: usize) -> SocketAddrV4 {
    SocketAddrV4::new(SIDES[leg % 2], FIRST_PORT + 2 * (leg / 2) as u16)
}

/// Relays until it is killed.
pub(crate) fn relay(way: Way, calls: usize) -> Result<(), String> {
    match way {
        Way::Epoll => by_epoll(calls),
        Way::Ring => by_ring(calls).map_err(|error| error.to_string()),
    }
}

fn by_ring(calls: usize) -> std::io::Result<()> {
    let mut io = Uring::new()?;
    let options = Options { receive_buffer: 32 * 1024, tos: 0, dual_stack: false };
    for leg in 0..2 * calls {
        let bind = |io: &mut Uring| io.bind(leg as udp::Key, address(leg).into(), &options);
        // The kernel lets go of a ring's sockets some time after its process was killed: the last trial's may be there.
        let mut bound = bind(&mut io);
        for _ in 0..50 {
            if !is_in_use(&bound) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
            bound = bind(&mut io);
        }
        bound?;
    }
    println!("ready");
    let mut peers: Vec<Option<SocketAddr>> = vec![None; 2 * calls];
    let mut buffer = [0; udp::LONGEST];
    loop {
        io.wait(Duration::from_secs(1))?;
        while let Some(received) = io.receive(&mut buffer) {
            let leg = received.key as usize;
            if peers[leg] != Some(received.from) {
                peers[leg] = Some(received.from);
                io.connect(received.key, Some(received.from))?;
            }
            if let Some(to) = peers[leg ^ 1] {
                io.send(received.key ^ 1, to, &buffer[..received.length]);
            }
        }
    }
}

fn is_in_use<T>(bound: &std::io::Result<T>) -> bool {
    bound.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

fn by_epoll(calls: usize) -> Result<(), String> {
    let failed = |error: rustix::io::Errno| error.to_string();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
    let mut sockets: Vec<OwnedFd> = Vec::new();
    for leg in 0..2 * calls {
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::NONBLOCK, None)
            .map_err(failed)?;
        rustix::net::bind(&socket, &address(leg)).map_err(failed)?;
        let data = epoll::EventData::new_u64(leg as u64);
        epoll::add(&poll, &socket, data, epoll::EventFlags::IN | epoll::EventFlags::ET).map_err(failed)?;
        sockets.push(socket);
    }
    println!("ready");
    let mut peers: Vec<Option<SocketAddrAny>> = vec![None; sockets.len()];
    let (mut ready, mut buffer) = (Vec::with_capacity(512), [0; 2048]);
    loop {
        ready.clear();
        let _ = epoll::wait(&poll, rustix::buffer::spare_capacity(&mut ready), None);
        for event in &ready {
            let leg = event.data.u64() as usize;
            while let Ok((_, length, from)) = rustix::net::recvfrom(&sockets[leg], &mut buffer, RecvFlags::DONTWAIT) {
                peers[leg] = from;
                if let Some(to) = &peers[leg ^ 1] {
                    let _ = rustix::net::sendto(&sockets[leg ^ 1], &buffer[..length], SendFlags::DONTWAIT, to);
                }
            }
        }
    }
}
