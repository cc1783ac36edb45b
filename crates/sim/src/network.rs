//! The air between the addresses: a queue by time, with latency, jitter, loss and duplication.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::cast::is_engine;

/// How well packets of one kind are carried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// At least so long.
    pub latency: Duration,
    /// Up to so much longer, evenly spread: more than the gap between packets reorders them.
    pub jitter: Duration,
    /// Share of packets that never come.
    pub loss: f64,
    /// Share of packets that come twice.
    pub duplicates: f64,
}

impl Default for Quality {
    fn default() -> Self {
        Self { latency: Duration::from_millis(1), jitter: Duration::ZERO, loss: 0.0, duplicates: 0.0 }
    }
}

/// One SIP message as it was put on the wire.
#[derive(Clone, Debug)]
pub struct Wire {
    /// When.
    pub at: Instant,
    /// By whom.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// The message.
    pub data: Bytes,
    /// It was lost.
    pub lost: bool,
}

/// A queue of what will happen, in order of time and then of coming.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    order: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }
    pub(crate) fn push(&mut self, at: Instant, what: T) {
        self.next += 1;
        self.heap.push(Reverse(Entry { at, order: self.next, what }));
    }
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(e)| e.at)
    }
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.heap.retain(|Reverse(entry)| keep(&entry.what));
    }
    pub(crate) fn pop(&mut self) -> Option<(Instant, T)> {
        self.heap.pop().map(|Reverse(e)| (e.at, e.what))
    }
}

/// Decides a packet's fate by who sends to whom and how many went before: what others send shifts nothing.
#[derive(Debug)]
pub(crate) struct Air {
    pub(crate) sip: Quality,
    pub(crate) rtp: Quality,
    pub(crate) wire: Vec<Wire>,
    seed: u64,
    sent: HashMap<(SocketAddr, SocketAddr), u64>,
}

/// SIP messages that are kept for looking at.
const MAX_WIRE: usize = 100_000;

impl Air {
    pub(crate) fn new(sip: Quality, rtp: Quality, seed: u64) -> Self {
        Self { sip, rtp, wire: Vec::new(), seed, sent: HashMap::new() }
    }

    /// When a SIP message arrives: never, once or twice.
    pub(crate) fn carry_sip(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, data: &Bytes) -> Vec<Instant> {
        let arrivals = self.arrivals(now, self.sip, (from, to));
        if self.wire.len() < MAX_WIRE {
            self.wire.push(Wire { at: now, from, to, data: data.clone(), lost: arrivals.is_empty() });
        }
        arrivals
    }

    /// When a media packet arrives. The engine's ports say nothing about who talks, so they are left out.
    pub(crate) fn carry_media(&mut self, now: Instant, from: SocketAddr, to: SocketAddr) -> Vec<Instant> {
        let anonymous = |addr: SocketAddr| {
            if is_engine(addr.ip()) { SocketAddr::new(addr.ip(), addr.port() % 2) } else { addr }
        };
        self.arrivals(now, self.rtp, (anonymous(from), anonymous(to)))
    }

    fn arrivals(&mut self, now: Instant, quality: Quality, flow: (SocketAddr, SocketAddr)) -> Vec<Instant> {
        if quality.jitter.is_zero() && quality.loss <= 0.0 && quality.duplicates <= 0.0 {
            return vec![now + quality.latency];
        }
        let number = self.sent.entry(flow).or_default();
        *number += 1;
        let mut fate = Fate::new(&[self.seed, word(flow.0), word(flow.1), *number]);
        if fate.happens(quality.loss) {
            return Vec::new();
        }
        let copies = if fate.happens(quality.duplicates) { 2 } else { 1 };
        (0..copies).map(|_| now + quality.latency + quality.jitter.mul_f64(fate.share())).collect()
    }
}

fn word(addr: SocketAddr) -> u64 {
    let ip = match addr.ip() {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6) as u64,
    };
    (ip << 16) | u64::from(addr.port())
}

/// A few random numbers out of a key (SplitMix64).
#[derive(Debug)]
pub(crate) struct Fate(u64);

impl Fate {
    pub(crate) fn new(key: &[u64]) -> Self {
        let mut fate = Self(0);
        for word in key {
            fate.0 = fate.next() ^ word;
        }
        fate
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test needs some instant to start from
mod tests {
    use super::*;

    #[test]
    fn what_others_send_shifts_no_packets_fate() {
        let bad = Quality { jitter: Duration::from_millis(40), loss: 0.2, duplicates: 0.2, ..Quality::default() };
        let now = Instant::now();
        let (a, b) = (SocketAddr::from(([127, 0, 0, 2], 5060)), SocketAddr::from(([127, 0, 0, 3], 5060)));
        let alone = |others: usize| -> Vec<Vec<Instant>> {
            let mut air = Air::new(bad, bad, 7);
            (0..200)
                .map(|_| {
                    (0..others).for_each(|_| drop(air.carry_media(now, b, a)));
                    air.carry_media(now, a, b)
                })
                .collect()
        };
        assert_eq!(alone(0), alone(3));
        let lost = alone(0).iter().filter(|arrivals| arrivals.is_empty()).count();
        assert!((20..=60).contains(&lost), "a fifth of 200 is lost: {lost}");
    }
}
