//! Two phones and what is between them.
#![allow(dead_code, unreachable_pub, reason = "each of the tests uses some of it")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use phone::{CallId, Dial, Input, Kind, Output, Phone, Session, Settings, Srtp, State, Voice};

/// Two phones and the air between them: 5 ms, and every `lose`-th SIP message is lost.
pub struct Pair {
    pub now: Instant,
    pub phones: [Phone; 2],
    pub air: Vec<(Instant, usize, Input)>,
    pub sent: usize,
    pub lose: Option<usize>,
    pub media_port: u16,
    /// Packets that anybody on the way could read.
    pub plain_on_the_air: usize,
}

pub fn sip(i: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + i as u8], 5060))
}

impl Pair {
    pub fn new() -> Self {
        Self::encrypted([Srtp::default(), Srtp::default()])
    }

    pub fn encrypted(srtp: [Srtp; 2]) -> Self {
        let phone = |i: usize, user: &str, hz: f32| {
            let srtp = srtp[i].clone();
            let settings =
                Settings { voice: Voice::Tone(hz), srtp, ..Settings::new(user, "example", sip(i), sip(1 - i)) };
            Phone::new(settings, [i as u8; 32])
        };
        let phones = [phone(0, "anna", 440.0), phone(1, "bo", 620.0)];
        Self {
            now: Instant::now(),
            phones,
            air: Vec::new(),
            sent: 0,
            lose: None,
            media_port: 20_000,
            plain_on_the_air: 0,
        }
    }

    pub fn act<T>(&mut self, who: usize, what: impl FnOnce(&mut Phone, Instant, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let result = what(&mut self.phones[who], self.now, &mut out);
        self.phones[who].drive(self.now, Input::Timeout, &mut out);
        self.carry(who, out);
        result
    }

    pub fn carry(&mut self, who: usize, out: Vec<Output>) {
        let at = self.now + Duration::from_millis(5);
        for output in out {
            match output {
                Output::Sip { data, .. } => {
                    self.sent += 1;
                    if self.lose.is_none_or(|n| !self.sent.is_multiple_of(n)) {
                        self.air.push((at, 1 - who, Input::Sip { from: sip(who), data }));
                    }
                }
                Output::Media { kind, to, data, .. } => self.carry_media(who, at, kind, to, data),
                Output::OpenMedia { call } => {
                    self.media_port += 2;
                    let rtp = SocketAddr::new(sip(who).ip(), self.media_port);
                    self.air.push((self.now, who, Input::MediaOpened { call, rtp }));
                }
                Output::CloseMedia { .. } | Output::Event(_) => {}
            }
        }
    }

    pub fn carry_media(&mut self, who: usize, at: Instant, kind: Kind, to: SocketAddr, data: Bytes) {
        let rtp = SocketAddr::new(to.ip(), to.port() & !1);
        let call = self.phones[1 - who].calls().find(|c| c.session().local_rtp() == Some(rtp)).map(|c| c.id());
        // 160 bytes of sound, or a report that adds up, and nothing behind them
        let readable = data.len() == 172 || (data.get(1) == Some(&200) && data.get(29) == Some(&202));
        self.plain_on_the_air += usize::from(readable);
        if let Some(call) = call {
            self.air.push((at, 1 - who, Input::Media { call, kind, from: sip(who), data }));
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let woken = self.phones.iter().enumerate().filter_map(|(i, p)| Some((p.wake_at()?, i))).min();
            let carried = self.air.iter().enumerate().map(|(i, (at, ..))| (*at, i)).min();
            let (at, who, input) = match (woken, carried) {
                (Some((wake, _)), Some((at, i))) if at <= wake && at <= end => self.air.remove(i),
                (None, Some((at, i))) if at <= end => self.air.remove(i),
                (Some((wake, who)), _) if wake <= end => (wake, who, Input::Timeout),
                _ => break,
            };
            self.now = self.now.max(at);
            let mut out = Vec::new();
            self.phones[who].drive(self.now, input, &mut out);
            self.carry(who, out);
        }
        self.now = end;
    }

    pub fn call(&mut self) -> (CallId, CallId) {
        let a = self.act(0, |p, now, out| p.dial(now, Dial::to("sip:bo@example"), out));
        self.run(Duration::from_millis(500));
        (a, self.last(1))
    }

    pub fn last(&self, who: usize) -> CallId {
        self.phones[who].calls().next_back().expect("a call came").id()
    }

    pub fn state(&self, who: usize, call: CallId) -> State {
        self.phones[who].call(call).unwrap().state()
    }

    pub fn session(&self, who: usize, call: CallId) -> &Session {
        self.phones[who].call(call).unwrap().session()
    }

    pub fn hears(&mut self, who: usize, call: CallId) -> Vec<f32> {
        self.run(Duration::from_millis(100));
        let from = self.now;
        self.run(Duration::from_millis(400));
        let ears = self.phones[who].call(call).unwrap().ears();
        [440.0, 620.0, 800.0].into_iter().filter(|hz| ears.hears(*hz, from, self.now)).collect()
    }
}
