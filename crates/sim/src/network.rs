//! The air between the addresses: a queue by time, with latency, jitter, loss and duplication.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

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

/// Decides a packet's fate.
#[derive(Debug)]
pub(crate) struct Air {
    pub(crate) sip: Quality,
    pub(crate) rtp: Quality,
    pub(crate) wire: Vec<Wire>,
    rng: StdRng,
}

/// SIP messages that are kept for looking at.
const MAX_WIRE: usize = 100_000;

impl Air {
    pub(crate) fn new(sip: Quality, rtp: Quality, seed: u64) -> Self {
        Self { sip, rtp, wire: Vec::new(), rng: StdRng::seed_from_u64(seed) }
    }

    /// When a SIP message arrives: never, once or twice.
    pub(crate) fn carry_sip(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, data: &Bytes) -> Vec<Instant> {
        let arrivals = self.arrivals(now, self.sip);
        if self.wire.len() < MAX_WIRE {
            self.wire.push(Wire { at: now, from, to, data: data.clone(), lost: arrivals.is_empty() });
        }
        arrivals
    }

    /// When a media packet arrives.
    pub(crate) fn carry_media(&mut self, now: Instant) -> Vec<Instant> {
        self.arrivals(now, self.rtp)
    }

    fn arrivals(&mut self, now: Instant, quality: Quality) -> Vec<Instant> {
        if quality.loss > 0.0 && self.rng.random_bool(quality.loss) {
            return Vec::new();
        }
        let copies = if quality.duplicates > 0.0 && self.rng.random_bool(quality.duplicates) { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let jitter = match quality.jitter.as_micros() as u64 {
                    0 => 0,
                    most => self.rng.random_range(0..=most),
                };
                now + quality.latency + Duration::from_micros(jitter)
            })
            .collect()
    }
}
