//! What the two parties of a call notice of being listened to: whether a byte is altered, and how far apart their packets
//! arrive, with 0, 1 and 50 listeners that join, misbehave and leave, again and again while it is measured: the first ones
//! flood the relay, the next ones stop reading what they are sent, the next ones are gone without a word.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::json;

use super::Stage;
use crate::generator::{Generator, Measured};
use crate::peer::{Capacity, Name};
use crate::results::{Results, details};
use crate::setting::Setting;

const COLUMNS: &[&str] =
    &["lost", "altered", "spacing p1 ms", "spacing p50 ms", "spacing p99 ms", "delay p50 µs", "delay p99 µs"];
const LISTENERS: [usize; 3] = [0, 1, 50];
/// Listeners stay, and stay away, for so long.
const STAY: Duration = Duration::from_millis(700);
const AWAY: Duration = Duration::from_millis(300);
/// Bytes that a listener's socket holds which nobody reads: the least that the kernel grants, a few packets.
const STALLED_BUFFER: usize = 1;

/// What listeners do while they hear.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// They send 1,000 packets a second.
    Flood,
    /// Nobody reads their socket: it is full after a few packets, and the kernel drops the rest.
    Stall,
    /// Their socket is closed: the relay is told by ICMP, packet by packet.
    Vanish,
}

/// Times that each was done.
#[derive(Debug, Default)]
struct Done {
    floods: u32,
    stalls: u32,
    vanished: u32,
}

pub(crate) fn run(setting: &Setting, peers: &[Name]) -> Result<(), String> {
    let mut results = Results::new("impact", COLUMNS)?;
    for _ in 0..setting.repeat {
        for name in peers.iter().filter(|name| !matches!(name, Name::Bare | Name::BareRing | Name::Direct)) {
            for listeners in LISTENERS {
                let mut stage = Stage::new(*name, setting, Capacity { calls: 1, listeners })?;
                let (measured, done) = stage.listened_to(setting, listeners)?;
                let mut details = details(&measured);
                details["rounds"] = json!({"floods": done.floods, "stalls": done.stalls, "vanished": done.vanished});
                let ms = |share| measured.spacing.quantile(share).as_secs_f64() * 1e3;
                let us = |share| measured.delay.quantile(share).as_secs_f64() * 1e6;
                let lost = measured.sent.saturating_sub(measured.received) as f64;
                let figures = [lost, measured.altered as f64, ms(0.01), ms(0.5), ms(0.99), us(0.5), us(0.99)];
                results.add(stage.peer.name(), &format!("1 call, {listeners} listeners"), &figures, &details);
            }
        }
    }
    results.print();
    Ok(())
}

impl Stage {
    fn listened_to(&mut self, setting: &Setting, listeners: usize) -> Result<(Measured, Done), String> {
        let Self { peer, calls, generator } = self;
        let (generator, pid) = (&*generator, peer.pid());
        let mut done = Done::default();
        std::thread::scope(|scope| {
            let measuring = scope.spawn(|| generator.run(setting, &calls.legs, pid));
            for manner in [Manner::Flood, Manner::Stall, Manner::Vanish].into_iter().cycle() {
                if listeners == 0 || measuring.is_finished() {
                    break;
                }
                let socket = unread(generator)?;
                let at = match manner {
                    Manner::Flood => generator.address_of_listener(0),
                    Manner::Stall | Manner::Vanish => address(&socket)?,
                };
                peer.listeners_at(at);
                let heard = peer.listen(&vec![0; listeners])?;
                done.count(manner);
                match manner {
                    Manner::Flood => generator.flood(&heard.relay, STAY),
                    Manner::Stall => {
                        std::thread::sleep(STAY);
                        socket.recv(&mut [0; 1]).map_err(|_| "nothing was sent to listeners that stall".to_owned())?;
                    }
                    Manner::Vanish => {
                        drop(socket);
                        std::thread::sleep(STAY);
                    }
                }
                peer.leave()?;
                std::thread::sleep(AWAY);
            }
            let measured = measuring.join().map_err(|_| "the generator has panicked".to_owned())?;
            Ok((measured, done))
        })
    }
}

impl Done {
    fn count(&mut self, manner: Manner) {
        *match manner {
            Manner::Flood => &mut self.floods,
            Manner::Stall => &mut self.stalls,
            Manner::Vanish => &mut self.vanished,
        } += 1;
    }
}

/// A socket of listeners that nobody reads.
fn unread(generator: &Generator) -> Result<UdpSocket, String> {
    let bound = UdpSocket::bind((*generator.address_of_listener(0).ip(), 0)).and_then(|socket| {
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::RcvBuf, &STALLED_BUFFER)?;
        Ok(socket)
    });
    bound.map_err(|error| error.to_string())
}

fn address(socket: &UdpSocket) -> Result<SocketAddrV4, String> {
    match socket.local_addr() {
        Ok(SocketAddr::V4(address)) => Ok(address),
        other => Err(format!("a listener's socket is at {other:?}")),
    }
}
