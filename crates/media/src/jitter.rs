//! A jitter ring for one direction of a tapped stream: encoded packets in, 20 ms frames out, by RTP time.
//!
//! Filled only while somebody listens. Keyed on the stream, not on its SSRC: another source, a jump of its clock or a
//! long pause starts it anew; the other direction never notices.

use std::time::{Duration, Instant};

use crate::codec::{FRAME, Frame};
use crate::interface::Codec;
use crate::rtp::Header;

/// Longest payload that is kept: 120 ms of G.711.
const PAYLOAD: usize = 960;
/// Depth before play-out begins, and how far lateness may raise it.
const DEPTH_MIN: u32 = 160;
const DEPTH_MAX: u32 = 960;
/// Samples by which a clock may jump before everything starts anew: 1 s.
const JUMP: u32 = 8000;
/// Ticks without any packet after which play-out starts anew when they come again.
const PAUSE: u32 = 3;
/// Ticks in a row with too much in the ring until a frame is skipped.
const PATIENCE: u32 = 50;

#[derive(Clone, Debug)]
struct Packet {
    timestamp: u32,
    codec: Codec,
    length: usize,
    payload: Box<[u8; PAYLOAD]>,
}

/// What a tick gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// The frame was filled with what came (a hole inside it is silence).
    Voice,
    /// Something is missing that was expected: conceal.
    Missing,
    /// Nothing is expected: silence.
    Nothing,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Kept.
    Kept,
    /// Its time has passed.
    Late,
    /// There already, or no audio in it.
    Useless,
    /// The ring was full: the oldest was dropped for it.
    Overflow,
}

/// The ring. Buffers are boxed so that packets are moved within the ring and reused without copying them.
#[derive(Clone, Debug)]
pub struct Ring {
    packets: Vec<Packet>,
    #[expect(clippy::vec_box, reason = "the box moves on into a packet")]
    spare: Vec<Box<[u8; PAYLOAD]>>,
    limit: usize,
    ssrc: Option<u32>,
    /// RTP time of the next frame; `None`: not playing.
    next: Option<u32>,
    begun: Option<Instant>,
    depth: u32,
    starved: u32,
    surplus: u32,
}

impl Ring {
    /// Empty, for at most `limit` packets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            packets: Vec::with_capacity(limit),
            spare: Vec::new(),
            limit: limit.max(2),
            ssrc: None,
            next: None,
            begun: None,
            depth: DEPTH_MIN,
            starved: 0,
            surplus: 0,
        }
    }

    /// Drops everything and waits for the next packet (hold, another focus): no backlog is ever played.
    pub fn restart(&mut self) {
        let packets = std::mem::take(&mut self.packets);
        self.spare.extend(packets.into_iter().map(|p| p.payload));
        (self.next, self.begun, self.starved, self.surplus) = (None, None, 0, 0);
    }

    /// Takes one accepted packet.
    pub fn push(&mut self, now: Instant, header: &Header, codec: Codec, data: &[u8]) -> Pushed {
        let payload = data.get(header.payload.clone()).unwrap_or_default();
        if payload.is_empty() || payload.len() > PAYLOAD {
            return Pushed::Useless;
        }
        let expected = self.next.or_else(|| self.packets.last().map(|p| p.timestamp));
        let jumped = expected.is_some_and(|at| distance(at, header.timestamp).unsigned_abs() > JUMP);
        if self.ssrc.replace(header.ssrc).is_some_and(|old| old != header.ssrc) || jumped {
            self.restart();
        }
        if let Some(next) = self.next
            && distance(next, header.timestamp) + payload.len() as i32 <= 0
        {
            self.depth = (self.depth + FRAME as u32).min(DEPTH_MAX);
            return Pushed::Late;
        }
        let place = self.packets.partition_point(|p| distance(header.timestamp, p.timestamp) < 0);
        if self.packets.get(place).is_some_and(|p| p.timestamp == header.timestamp) {
            return Pushed::Useless;
        }
        let full = self.packets.len() >= self.limit;
        let place = if full {
            self.spare.push(self.packets.remove(0).payload);
            place.saturating_sub(1)
        } else {
            place
        };
        let mut kept = self.spare.pop().unwrap_or_else(|| Box::new([0; PAYLOAD]));
        kept[..payload.len()].copy_from_slice(payload);
        self.begun.get_or_insert(now);
        self.packets.insert(place, Packet { timestamp: header.timestamp, codec, length: payload.len(), payload: kept });
        if full { Pushed::Overflow } else { Pushed::Kept }
    }

    /// Fills the next 20 ms.
    pub fn pull(&mut self, now: Instant, frame: &mut Frame) -> Pulled {
        *frame = [0; FRAME];
        let Some(next) = self.next.or_else(|| self.begin(now)) else { return Pulled::Nothing };
        self.next = Some(next);
        if self.packets.is_empty() {
            self.starved += 1;
            if self.starved > PAUSE {
                self.restart();
            }
            return Pulled::Missing;
        }
        self.starved = 0;
        let filled = self.fill(next, frame);
        self.advance(next.wrapping_add(FRAME as u32));
        self.keep_depth();
        if filled { Pulled::Voice } else { Pulled::Missing }
    }

    fn begin(&mut self, now: Instant) -> Option<u32> {
        let waited = now.saturating_duration_since(self.begun?);
        let first = self.packets.first()?.timestamp;
        // The depth less the frame that the tick itself waits for on average.
        let wait = Duration::from_micros(u64::from(self.depth - DEPTH_MIN) * 125);
        (waited >= wait).then_some(first)
    }

    fn fill(&self, next: u32, frame: &mut Frame) -> bool {
        let mut filled = 0;
        for packet in &self.packets {
            let offset = distance(next, packet.timestamp);
            if offset >= FRAME as i32 {
                break;
            }
            let (from, to) = (offset.min(0).unsigned_abs() as usize, offset.max(0) as usize);
            let bytes = packet.payload[..packet.length].get(from..).unwrap_or_default();
            for (sample, byte) in frame[to..].iter_mut().zip(bytes) {
                *sample = packet.codec.decode(*byte);
                filled += 1;
            }
        }
        filled * 2 > FRAME
    }

    fn advance(&mut self, next: u32) {
        self.next = Some(next);
        while self.packets.first().is_some_and(|p| distance(next, p.timestamp) + p.length as i32 <= 0) {
            let gone = self.packets.remove(0);
            self.spare.push(gone.payload);
        }
    }

    /// Skips a frame when too much has waited for a second, and everything but the depth when far too much waits.
    fn keep_depth(&mut self) {
        let (Some(next), Some(last)) = (self.next, self.packets.last()) else {
            self.surplus = 0;
            return;
        };
        let waiting = (distance(next, last.timestamp) + last.length as i32).max(0) as u32;
        if waiting > DEPTH_MAX + 2 * FRAME as u32 {
            self.advance(next.wrapping_add(waiting - self.depth));
        } else if waiting > self.depth + 2 * FRAME as u32 {
            self.surplus += 1;
            if self.surplus >= PATIENCE {
                self.surplus = 0;
                self.depth = self.depth.saturating_sub(FRAME as u32).max(DEPTH_MIN);
                self.advance(next.wrapping_add(FRAME as u32));
            }
        } else {
            self.surplus = 0;
        }
    }
}

/// `b - a` in RTP time, which wraps.
fn distance(a: u32, b: u32) -> i32 {
    b.wrapping_sub(a) as i32
}
