//! The least that a relay in user space can do: two sockets a call, edge-triggered epoll, read until dry, send to where
//! the other side was last heard from. It knows no signalling, checks no source and counts nothing; nobody could use it.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::event::epoll;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};

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

/// The relay as a process of its own.
#[derive(Debug, Default)]
pub(crate) struct Bare(Option<Device>);

impl Peer for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn pid(&self) -> Option<u32> {
        self.0.as_ref().map(Device::pid)
    }

    fn set_up(&mut self, setting: &Setting, calls: usize, _: &Generator) -> Result<Calls, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = setting.on_device_core(&this.to_string_lossy());
        command.args([COMMAND, &calls.to_string()]).stdout(Stdio::piped());
        let mut device = Device::start(&mut command)?;
        let mut line = String::new();
        let read = device.output().map(|output| BufReader::new(output).read_line(&mut line));
        if !matches!(read, Some(Ok(1..))) {
            return Err("the bare relay did not start".to_owned());
        }
        self.0 = Some(device);
        let legs =
            (0..2 * calls).map(|n| Leg { socket: Generator::socket_of(n), to: SocketAddr::V4(address(n)), keys: None });
        Ok(Calls { legs: legs.collect() })
    }
}

fn address(leg: usize) -> SocketAddrV4 {
    SocketAddrV4::new(SIDES[leg % 2], FIRST_PORT + 2 * (leg / 2) as u16)
}

/// Relays until it is killed.
pub(crate) fn relay(calls: usize) -> Result<(), String> {
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
