//! Garbage: random bytes, SIP that was right before it was spoilt, and what does not belong on a media port. Seeded.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Packets that are made ahead, so that making them does not slow the sender down.
const STOCK: usize = 2_048;
/// Sockets that a flood comes from.
const SOURCES: usize = 16;
/// Packets sent between two looks at the clock.
const BURST: u64 = 25;

/// A source of garbage.
pub struct Noise {
    rng: StdRng,
}

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed) }
    }

    /// Up to `most` bytes of anything.
    pub fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.rng.random_range(1..=most);
        (0..length).map(|_| self.rng.random()).collect()
    }

    /// A message that is right but for one to five faults.
    pub fn spoilt_sip(&mut self) -> Vec<u8> {
        let mut message = self.sip();
        for _ in 0..self.rng.random_range(1..=5) {
            self.spoil(&mut message);
        }
        message
    }

    /// A right message of any method, from nobody.
    pub fn sip(&mut self) -> Vec<u8> {
        let methods =
            ["INVITE", "REGISTER", "OPTIONS", "BYE", "ACK", "CANCEL", "REFER", "SUBSCRIBE", "INFO", "PRACK", "UPDATE"];
        let (method, n) = (methods[self.rng.random_range(0..methods.len())], self.rng.random::<u64>());
        let body = if method == "INVITE" {
            "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
        } else {
            ""
        };
        let start = if self.rng.random_bool(0.15) {
            format!("SIP/2.0 {} Whatever", self.rng.random_range(100..700))
        } else {
            format!("{method} sip:1001@medlytt.test SIP/2.0")
        };
        format!(
            "{start}\r\nVia: SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bK{n:x};rport\r\nMax-Forwards: 70\r\nFrom: \"N\" <sip:n@127.0.0.9>;tag={n:x}\r\n\
             To: <sip:1001@medlytt.test>\r\nCall-ID: {n:x}@127.0.0.9\r\nCSeq: 1 {method}\r\nContact: <sip:n@127.0.0.9>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// What no media port wants: RTP of strangers, RTCP, STUN, DTLS, fragments, anything.
    pub fn media(&mut self) -> Vec<u8> {
        let mut packet = self.bytes(400);
        if packet.len() >= 2 {
            match self.rng.random_range(0..6) {
                0 => packet[..2].copy_from_slice(&[0x80, 0]),
                1 => packet[..2].copy_from_slice(&[0x80, 8]),
                2 => packet[..2].copy_from_slice(&[0x81, 200]),
                3 => packet[..2].copy_from_slice(&[0, 1]),
                4 => packet[..2].copy_from_slice(&[22, 254]),
                _ => {}
            }
        }
        packet
    }

    fn spoil(&mut self, message: &mut Vec<u8>) {
        if message.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..message.len());
        let end = (at + self.rng.random_range(1..20)).min(message.len());
        match self.rng.random_range(0..7) {
            0 => message[at] = self.rng.random(),
            1 => drop(message.drain(at..end)),
            2 => {
                let copy = message[at..end].to_vec();
                message.splice(at..at, copy);
            }
            3 => message.truncate(at),
            4 => {
                let noise = self.bytes(12);
                message.splice(at..at, noise);
            }
            5 => {
                let signs = b"9A;:,<\"\0 ";
                let long = vec![signs[self.rng.random_range(0..signs.len())]; self.rng.random_range(1..2_000)];
                message.splice(at..at, long);
            }
            _ => {
                let signs = b"\r\n\0\xff<>\";:,=@ ";
                message[at] = signs[self.rng.random_range(0..signs.len())];
            }
        }
    }
}

/// Garbage that waits to be sent, from 127.0.0.9.
pub struct Flood {
    sip: Vec<Vec<u8>>,
    media: Vec<Vec<u8>>,
    sockets: Vec<UdpSocket>,
}

impl Flood {
    pub fn new(seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        Self {
            sip: (0..STOCK).map(|n| if n % 3 == 0 { noise.bytes(1_200) } else { noise.spoilt_sip() }).collect(),
            media: (0..STOCK).map(|_| noise.media()).collect(),
            sockets: (0..SOURCES).map(|_| UdpSocket::bind("127.0.0.9:0").unwrap()).collect(),
        }
    }

    /// Sends so many packets a second for so long: every other one is SIP and goes to the first target, the rest goes to the
    /// others in turn. Gives the number that the system took.
    pub fn send(&self, targets: &[SocketAddr], per_second: u64, length: Duration) -> u64 {
        let since = Instant::now();
        let (mut turn, mut taken) = (0_u64, 0);
        while since.elapsed() < length {
            let due = since.elapsed().as_micros() as u64 * per_second / 1_000_000;
            if turn >= due {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            for _ in 0..BURST {
                let n = turn as usize;
                let (target, stock) = if n.is_multiple_of(2) || targets.len() == 1 {
                    (targets[0], &self.sip)
                } else {
                    (targets[1 + n / 2 % (targets.len() - 1)], &self.media)
                };
                taken += u64::from(self.sockets[n % SOURCES].send_to(&stock[n / 2 % STOCK], target).is_ok());
                turn += 1;
            }
        }
        taken
    }
}
