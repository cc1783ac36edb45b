//! Who was not invited: sockets that send a loud tone to media ports and must never get a byte back.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::tone;

/// What they would be heard by.
pub const STRANGER_HZ: f64 = 2_000.0;
/// Samples of one packet.
const FRAME: usize = 160;

/// Some sockets, each with a source of its own.
pub struct Strangers {
    sockets: Vec<UdpSocket>,
    frames: Vec<Vec<u8>>,
    sent: u64,
}

impl Strangers {
    /// One socket on each of these addresses, on a port that nobody named.
    pub fn on(addresses: &[IpAddr]) -> Self {
        let socket = |ip: &IpAddr| {
            let socket = UdpSocket::bind((*ip, 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let tone: Vec<u8> = tone::sine(STRANGER_HZ, 16_000.0).into_iter().map(tone::to_alaw).collect();
        Self {
            sockets: addresses.iter().map(socket).collect(),
            frames: tone.chunks(FRAME).map(<[u8]>::to_vec).collect(),
            sent: 0,
        }
    }

    /// Sends RTP as `voices` say (SSRC and next sequence number of streams that are known, so that nothing but its source
    /// tells it from the real one) to all targets by turns, and RTCP to odd ones. Gives the number sent.
    pub fn send(&mut self, targets: &[SocketAddr], voices: &[u32], per_second: u64, length: Duration) -> u64 {
        let (since, before) = (Instant::now(), self.sent);
        while since.elapsed() < length {
            let due = before + since.elapsed().as_millis() as u64 * per_second / 1_000;
            while self.sent < due {
                let n = self.sent as usize;
                let target = targets[n / self.sockets.len() % targets.len()];
                let packet = self.packet(n, voices[n % voices.len()], target.port() % 2 == 1);
                // A refusal (ICMP) is the kernel's word for an earlier one.
                let _ = self.sockets[n % self.sockets.len()].send_to(&packet, target);
                self.sent += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.sent - before
    }

    fn packet(&self, n: usize, ssrc: u32, is_rtcp: bool) -> Vec<u8> {
        if is_rtcp {
            // An empty receiver report and BYE (RFC 3550 §6.4.2, §6.6).
            let mut packet = vec![0x80, 201, 0, 1];
            packet.extend(ssrc.to_be_bytes());
            packet.extend([0x81, 203, 0, 1]);
            packet.extend(ssrc.to_be_bytes());
            return packet;
        }
        let mut packet = vec![0x80, 8];
        packet.extend((n as u16).to_be_bytes());
        packet.extend((n as u32).wrapping_mul(FRAME as u32).to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(&self.frames[n % self.frames.len()]);
        packet
    }

    /// Datagrams that came to any of them.
    pub fn received(&self) -> usize {
        let mut buffer = [0; 2048];
        let mut count = 0;
        for socket in &self.sockets {
            // Each refusal that waits is read before what may wait behind it.
            for _ in 0..1_000 {
                match socket.recv_from(&mut buffer) {
                    Ok(_) => count += 1,
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                    Err(_) => break,
                }
            }
        }
        count
    }
}
