//! Real phones around the real binary: `phone`'s decisions on sockets of the loopback network.
#![allow(unreachable_pub, reason = "it is a module of a story's own crate")]

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use phone::{Call, CallId, Dial, Input, Kind, Output, Phone, Settings, State};

/// A phone with its sockets.
pub struct Party {
    pub phone: Phone,
    sip: UdpSocket,
    media: HashMap<CallId, [UdpSocket; 2]>,
}

/// Everybody; they live only while somebody waits for something.
pub struct Parties(pub Vec<Party>);

impl Party {
    /// A phone at a free port of this host.
    pub fn new(user: &str, host: &str, proxy: SocketAddr, change: impl FnOnce(&mut Settings)) -> Self {
        let sip = UdpSocket::bind((host, 0)).unwrap();
        sip.set_nonblocking(true).unwrap();
        let mut settings = Settings::new(user, "medlytt.test", sip.local_addr().unwrap(), proxy);
        change(&mut settings);
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&sip.local_addr().unwrap().port().to_le_bytes());
        Self { phone: Phone::new(settings, seed), sip, media: HashMap::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.sip.local_addr().unwrap()
    }

    pub fn dial(&mut self, uri: &str) -> CallId {
        self.act(|phone, now, out| phone.dial(now, Dial::to(uri).from("+4755512345"), out))
    }

    pub fn hang_up(&mut self) {
        for call in self.open() {
            self.act(|phone, now, out| phone.hang_up(now, call, out));
        }
    }

    /// Calls that are not over.
    pub fn open(&self) -> Vec<CallId> {
        self.phone.calls().filter(|call| call.state() != State::Ended).map(Call::id).collect()
    }

    pub fn is_up(&self) -> bool {
        self.phone.calls().any(|call| call.state() == State::Up)
    }

    pub fn act<T>(&mut self, what: impl FnOnce(&mut Phone, Instant, &mut Vec<Output>) -> T) -> T {
        let mut outputs = Vec::new();
        let result = what(&mut self.phone, Instant::now(), &mut outputs);
        self.carry_out(outputs);
        result
    }

    /// Takes what has come and does what is due.
    fn turn(&mut self) {
        let mut inputs = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = self.sip.recv_from(&mut buffer) {
            inputs.push(Input::Sip { from, data: buffer[..length].to_vec().into() });
        }
        for (call, sockets) in &self.media {
            for (kind, socket) in [Kind::Rtp, Kind::Rtcp].into_iter().zip(sockets) {
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    inputs.push(Input::Media { call: *call, kind, from, data: buffer[..length].to_vec().into() });
                }
            }
        }
        if self.phone.wake_at().is_some_and(|at| at <= Instant::now()) {
            inputs.push(Input::Timeout);
        }
        for input in inputs {
            self.act(|phone, now, out| phone.drive(now, input, out));
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                // what cannot be sent is lost
                Output::Sip { to, data } => drop(self.sip.send_to(&data, to)),
                Output::Media { call, kind, to, data } => {
                    if let Some([rtp, rtcp]) = self.media.get(&call) {
                        drop(if kind == Kind::Rtp { rtp } else { rtcp }.send_to(&data, to));
                    }
                }
                Output::OpenMedia { call } => {
                    let pair = media_pair();
                    let rtp = pair[0].local_addr().unwrap();
                    self.media.insert(call, pair);
                    self.act(|phone, now, out| phone.drive(now, Input::MediaOpened { call, rtp }, out));
                }
                Output::CloseMedia { call } => drop(self.media.remove(&call)),
                Output::Event(_) => {}
            }
        }
    }
}

impl Parties {
    /// Lets everybody live until something is so.
    #[track_caller]
    pub fn until(&mut self, what: &str, limit: Duration, mut so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + limit;
        while !so(self) {
            assert!(Instant::now() < end, "not within {limit:?}: {what}");
            self.0.iter_mut().for_each(Party::turn);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn live_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.until("time goes by", time + Duration::from_secs(1), |_| Instant::now() >= end);
    }

    pub fn are_idle(&self) -> bool {
        self.0.iter().all(|party| party.open().is_empty())
    }
}

fn media_pair() -> [UdpSocket; 2] {
    let pair = (0..200).find_map(|_| {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = rtp.local_addr().unwrap().port();
        let rtcp = (port % 2 == 0).then(|| UdpSocket::bind(("127.0.0.1", port + 1)).ok()).flatten()?;
        Some([rtp, rtcp])
    });
    let pair = pair.expect("two neighbouring ports are free");
    pair.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    pair
}
