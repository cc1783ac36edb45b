//! What a party hears: every packet with its time, and which tones or voices are in a stretch of sound.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::g711::Codec;
use crate::rtp::Packet;

/// Packets that one call's ears keep at most: 10 minutes; older ones are forgotten.
pub const MAX_HEARD: usize = 30_000;

/// One RTP packet that came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// From where.
    pub source: SocketAddr,
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// RTP time stamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload as it came.
    pub payload: Vec<u8>,
}

impl Heard {
    /// As a packet again.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        Packet {
            payload_type: self.payload_type,
            marker: self.marker,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload: &self.payload,
        }
    }

    /// Its sound: nothing for what is no G.711.
    pub fn pcm(&self) -> impl Iterator<Item = i16> + '_ {
        let codec = Codec::of(self.payload_type);
        self.payload.iter().filter_map(move |byte| codec.map(|c| c.decode(*byte)))
    }
}

/// The ears of one call.
#[derive(Clone, Debug, Default)]
pub struct Ears {
    packets: VecDeque<Heard>,
    /// Digits of RFC 4733 that were heard, each once.
    pub digits: Vec<u8>,
    last_event: Option<u32>,
    /// RTCP packets that came.
    pub rtcp: Vec<Vec<u8>>,
    /// RTP packets that came, forgotten ones included.
    pub count: u64,
}

impl Ears {
    pub(crate) fn hear(&mut self, at: Instant, source: SocketAddr, packet: &Packet<'_>, telephone_event: Option<u8>) {
        self.count += 1;
        if telephone_event == Some(packet.payload_type)
            && let Some(&digit) = packet.payload.first()
            && self.last_event != Some(packet.timestamp)
        {
            self.last_event = Some(packet.timestamp);
            self.digits.push(digit);
        }
        if self.packets.len() >= MAX_HEARD {
            self.packets.pop_front();
        }
        self.packets.push_back(Heard {
            at,
            source,
            payload_type: packet.payload_type,
            marker: packet.marker,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            payload: packet.payload.to_vec(),
        });
    }

    /// Every packet kept, oldest first.
    pub fn packets(&self) -> impl DoubleEndedIterator<Item = &Heard> {
        self.packets.iter()
    }

    /// Packets that came in `from..to`.
    pub fn between(&self, from: Instant, to: Instant) -> impl Iterator<Item = &Heard> {
        let first = self.packets.partition_point(|p| p.at < from);
        self.packets.range(first..).take_while(move |p| p.at < to)
    }

    /// The sound of `from..to`, in order of sequence within 200 ms.
    #[must_use]
    pub fn pcm(&self, from: Instant, to: Instant) -> Vec<i16> {
        self.between(from, to).flat_map(Heard::pcm).collect()
    }

    /// A tone of `hz` is in the sound of `from..to`.
    #[must_use]
    pub fn hears(&self, hz: f32, from: Instant, to: Instant) -> bool {
        hears(&self.pcm(from, to), hz)
    }

    /// The synthetic voice of that pitch is in the sound of `from..to`.
    #[must_use]
    pub fn hears_voice(&self, pitch: f32, from: Instant, to: Instant) -> bool {
        hears_voice(&self.pcm(from, to), pitch)
    }

    /// How loud the last `window` was, in dB below full scale (0 is the loudest, −96 silence).
    #[must_use]
    pub fn level(&self, now: Instant, window: Duration) -> f32 {
        level(&self.pcm(now.checked_sub(window).unwrap_or(now), now + Duration::from_millis(1)))
    }
}

/// RMS level in dBFS; −96 for silence.
#[must_use]
pub fn level(pcm: &[i16]) -> f32 {
    let power = mean_power(pcm);
    if power < 1e-3 { -96.0 } else { (10.0 * (power / (32768.0 * 32768.0)).log10()).max(-96.0) }
}

/// A tenth of the sound's energy (and more than a whisper) is at `hz`.
#[must_use]
pub fn hears(pcm: &[i16], hz: f32) -> bool {
    let total = mean_power(pcm);
    pcm.len() >= BLOCK && total > 500.0 && power_at(pcm, hz, BLOCK) / total >= 0.1
}

/// The first four harmonics of that pitch carry a good part of the energy, the first one a part of its own.
#[must_use]
pub fn hears_voice(pcm: &[i16], pitch: f32) -> bool {
    let total = mean_power(pcm);
    pcm.len() >= VOICE_BLOCK && total > 500.0 && power_at(pcm, pitch, VOICE_BLOCK) / total >= 0.06
}

/// 50 ms: short enough that a lost packet spoils one block only.
const BLOCK: usize = 400;
/// 100 ms: resolves 10 Hz.
const VOICE_BLOCK: usize = 800;

fn mean_power(pcm: &[i16]) -> f32 {
    if pcm.is_empty() {
        return 0.0;
    }
    (pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>() / pcm.len() as f64) as f32
}

/// Mean power at one frequency over whole blocks (Goertzel, with a Hann window so that neighbours do not leak in).
fn power_at(pcm: &[i16], hz: f32, block: usize) -> f32 {
    let coefficient = 2.0 * (std::f32::consts::TAU * hz / 8000.0).cos();
    let window: Vec<f32> =
        (0..block).map(|i| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / block as f32).cos()).collect();
    // A sine of amplitude A has power A²/2, and the Hann window halves what Goertzel sees of A.
    let scale = 8.0 / (block as f32 * block as f32);
    let blocks = pcm.chunks_exact(block);
    let count = blocks.len().max(1) as f32;
    blocks
        .map(|chunk| {
            let (mut q1, mut q2) = (0.0f32, 0.0f32);
            for (sample, weight) in chunk.iter().zip(&window) {
                let q0 = coefficient * q1 - q2 + f32::from(*sample) * weight;
                (q2, q1) = (q1, q0);
            }
            (q1 * q1 + q2 * q2 - coefficient * q1 * q2) * scale
        })
        .sum::<f32>()
        / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_sine_is_at_minus_three_decibels() {
        let pcm: Vec<i16> =
            (0..8000).map(|i| ((std::f32::consts::TAU * 1000.0 * i as f32 / 8000.0).sin() * 32767.0) as i16).collect();
        assert!((level(&pcm) + 3.01).abs() < 0.1, "{}", level(&pcm));
        assert!((power_at(&pcm, 1000.0, BLOCK) / mean_power(&pcm) - 1.0).abs() < 0.05);
        assert_eq!(level(&[0; 800]), -96.0);
    }
}
