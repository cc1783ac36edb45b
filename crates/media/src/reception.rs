//! Reception figures of one stream: extended sequence numbers and loss (RFC 3550 A.1, A.3), jitter (A.8).

use std::time::Instant;

use crate::interface::Figures;
use crate::relay::Payloads;
use crate::rtp::{Packet, static_clock_hz};

/// Within such a step ahead, packets between are lost; beyond, the sender has started anew (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// Within such a step back, a packet is merely late.
const MAX_MISORDER: u16 = 100;

/// What came so far.
#[derive(Debug, Default)]
pub(crate) struct Reception {
    pub(crate) figures: Figures,
    source: Option<Sequence>,
    /// Lost by sources before.
    lost_before: u64,
    transit: Option<Transit>,
    jitter_s: f32,
}

#[derive(Debug)]
struct Sequence {
    ssrc: u32,
    base: u64,
    highest: u64,
    received: u64,
    /// What would follow the last packet that was out of all order.
    restart: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Transit {
    arrived: Instant,
    timestamp: u32,
    clock_hz: u32,
}

impl Reception {
    /// One accepted packet. Payload types without a known clock do not count for jitter, nor do events, whose time
    /// stamp stands still.
    pub(crate) fn note(&mut self, now: Instant, packet: &Packet<'_>, payloads: &Payloads) {
        self.figures.packets += 1;
        self.figures.bytes += packet.payload.len() as u64;
        self.figures.payload_type = Some(packet.payload_type);
        let is_same =
            self.source.as_mut().is_some_and(|source| source.ssrc == packet.ssrc && source.note(packet.sequence));
        if !is_same {
            self.lost_before += self.source.as_ref().map_or(0, Sequence::lost);
            self.source = Some(Sequence::new(packet));
            self.transit = None;
        }
        let is_event = payloads.is_event(packet.payload_type);
        if let Some(clock_hz) = clock_hz(packet.payload_type, payloads).filter(|_| !is_event) {
            self.note_transit(Transit { arrived: now, timestamp: packet.timestamp, clock_hz });
        }
    }

    /// The figures now.
    pub(crate) fn figures(&self) -> Figures {
        let lost = self.lost_before + self.source.as_ref().map_or(0, Sequence::lost);
        Figures { lost, jitter_ms: self.jitter_s * 1000.0, ..self.figures }
    }

    fn note_transit(&mut self, transit: Transit) {
        if let Some(before) = self.transit.filter(|before| before.clock_hz == transit.clock_hz) {
            let arrival = transit.arrived.saturating_duration_since(before.arrived).as_secs_f32();
            let step = transit.timestamp.wrapping_sub(before.timestamp) as i32;
            let deviation = (arrival - step as f32 / transit.clock_hz as f32).abs();
            // A time stamp that starts anew is no jitter.
            if deviation < 10.0 {
                self.jitter_s += (deviation - self.jitter_s) / 16.0;
            }
        }
        self.transit = Some(transit);
    }
}

impl Sequence {
    fn new(packet: &Packet<'_>) -> Self {
        let first = u64::from(packet.sequence);
        Self { ssrc: packet.ssrc, base: first, highest: first, received: 1, restart: None }
    }

    /// False: the sender has started anew, as two packets in a row out of all order show.
    fn note(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < MAX_DROPOUT {
            self.highest += u64::from(ahead);
        } else if ahead <= u16::MAX - MAX_MISORDER {
            let restarted = self.restart == Some(sequence);
            self.restart = Some(sequence.wrapping_add(1));
            return !restarted;
        }
        self.restart = None;
        self.received += 1;
        true
    }

    fn lost(&self) -> u64 {
        (self.highest - self.base + 1).saturating_sub(self.received)
    }
}

fn clock_hz(payload_type: u8, payloads: &Payloads) -> Option<u32> {
    if payloads.is_decodable(payload_type) { Some(crate::codec::SAMPLE_RATE) } else { static_clock_hz(payload_type) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn figures(packets: &[(u64, u32, u16, u32)]) -> Figures {
        #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin")]
        let origin = Instant::now();
        let mut reception = Reception::default();
        for (ms, ssrc, sequence, timestamp) in packets {
            let (ssrc, sequence, timestamp) = (*ssrc, *sequence, *timestamp);
            let packet = Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc, payload: &[0; 160] };
            reception.note(origin + Duration::from_millis(*ms), &packet, &Payloads::default());
        }
        reception.figures()
    }

    #[test]
    fn loss_is_counted_over_the_roll_over() {
        let got = figures(&[(0, 1, 65_534, 0), (20, 1, 65_535, 160), (60, 1, 1, 480), (80, 1, 2, 640)]);
        assert_eq!((got.packets, got.bytes, got.lost, got.payload_type), (4, 640, 1, Some(0)));
        assert!(got.jitter_ms < 0.01, "{}", got.jitter_ms);
    }

    #[test]
    fn late_and_double_packets_are_no_loss() {
        assert_eq!(figures(&[(0, 1, 10, 0), (40, 1, 12, 320), (45, 1, 11, 160), (46, 1, 11, 160)]).lost, 0);
    }

    #[test]
    fn another_source_starts_anew() {
        assert_eq!(figures(&[(0, 1, 10, 0), (40, 1, 12, 320), (60, 2, 50_000, 7), (80, 2, 50_001, 167)]).lost, 1);
        assert_eq!(figures(&[(0, 1, 10, 0), (20, 1, 30_000, 9), (40, 1, 30_001, 169), (60, 1, 30_003, 489)]).lost, 1);
        assert_eq!(figures(&[(0, 1, 10, 0), (20, 1, 30_000, 9), (40, 1, 11, 160)]).lost, 0, "one stray packet");
    }

    #[test]
    fn jitter_follows_the_formula() {
        let got = figures(&[(0, 1, 0, 0), (36, 1, 1, 160), (40, 1, 2, 320)]);
        let expected = 1.0 + (16.0 - 1.0) / 16.0;
        assert!((got.jitter_ms - expected).abs() < 0.01, "{} instead of {expected}", got.jitter_ms);
    }
}
