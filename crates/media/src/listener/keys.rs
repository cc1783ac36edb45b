//! A listener's keys, while somebody waits for one: events of RFC 4733, or tones in what it sends. Nothing else is made of
//! its audio.

use std::time::{Duration, Instant};

use crate::codec::{Decoder, FRAME, MAX_DECODED, Rate};
use crate::interface::Codec;
use crate::resample::Resampler;
use crate::rtp::Packet;
use crate::telephone_event::Presses;
use crate::tone::Detector;

/// A press may come as an event and as a tone: the second of the two is none.
const TWICE: Duration = Duration::from_millis(1_000);

/// Packets of audio that are decoded in a second at most: as many as there are with 10 ms each. A flood costs no more.
const DECODED_A_SECOND: u32 = 100;

/// What was pressed so far.
#[derive(Debug, Default)]
pub(super) struct Keys {
    presses: Presses,
    tones: Option<Tones>,
    /// When the present second began, and how many packets were decoded in it.
    decoded: Option<(Instant, u32)>,
    last: Option<(char, Way, Instant)>,
    /// Not told yet.
    pressed: Option<char>,
}

/// How a press came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Event,
    Tone,
}

/// What a payload type is in what it sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sounds {
    /// Its events.
    pub(super) telephone_event: Option<u8>,
    /// What both send, and under which type.
    pub(super) codec: (u8, Codec),
}

/// Tones in one source's audio.
#[derive(Debug)]
struct Tones {
    ssrc: u32,
    /// Of the newest packet.
    sequence: u16,
    decoder: Decoder,
    resampler: Resampler,
    detector: Detector,
}

impl Keys {
    /// A packet that it sent, from where it may.
    pub(super) fn hear(&mut self, now: Instant, packet: &Packet<'_>, sounds: Sounds) {
        if sounds.telephone_event == Some(packet.payload_type) {
            let key = self.presses.feed(packet.payload, packet.timestamp);
            key.into_iter().for_each(|key| self.press(now, key, Way::Event));
            return;
        }
        let Some(codec) = sounds.of(packet.payload_type).filter(|_| self.may_decode(now)) else { return };
        if !self.tones.as_ref().is_some_and(|tones| tones.ssrc == packet.ssrc && tones.decoder.codec() == codec) {
            self.tones = Tones::new(packet, codec);
        }
        let key = self.tones.as_mut().and_then(|tones| tones.hear(packet));
        key.into_iter().for_each(|key| self.press(now, key, Way::Tone));
    }

    fn may_decode(&mut self, now: Instant) -> bool {
        let (_, decoded) = match &mut self.decoded {
            Some(second) if now < second.0 + Duration::from_secs(1) => second,
            second => second.insert((now, 0)),
        };
        *decoded += 1;
        *decoded <= DECODED_A_SECOND
    }

    fn press(&mut self, now: Instant, key: char, way: Way) {
        let is_same = |(last, by, at): (char, Way, Instant)| last == key && by != way && now < at + TWICE;
        if !self.last.is_some_and(is_same) {
            self.pressed = Some(key);
        }
        self.last = Some((key, way, now));
    }

    /// The key that has been pressed since this was asked last.
    pub(super) fn take(&mut self) -> Option<char> {
        self.pressed.take()
    }
}

impl Sounds {
    fn of(self, payload_type: u8) -> Option<Codec> {
        let (negotiated, codec) = self.codec;
        if payload_type == negotiated { Some(codec) } else { Codec::of_static_type(payload_type) }
    }
}

impl Tones {
    fn new(packet: &Packet<'_>, codec: Codec) -> Option<Self> {
        Some(Self {
            ssrc: packet.ssrc,
            sequence: packet.sequence.wrapping_sub(1),
            decoder: Decoder::new(codec)?,
            resampler: Resampler::new(codec.rate(), Rate::Narrow),
            detector: Detector::default(),
        })
    }

    /// A key, with the packet in which it has lasted for long enough. What comes late or twice is left out: a tone stands
    /// that.
    fn hear(&mut self, packet: &Packet<'_>) -> Option<char> {
        if packet.sequence.wrapping_sub(self.sequence).cast_signed() <= 0 {
            return None;
        }
        self.sequence = packet.sequence;
        let mut samples = [0; MAX_DECODED];
        let length = self.decoder.decode(packet.payload, &mut samples).ok()?;
        let mut pressed = None;
        for frame in samples.get(..length)?.chunks(self.decoder.codec().rate().frame()) {
            let mut narrow = [0; FRAME];
            let length = frame.len() * FRAME / self.decoder.codec().rate().frame();
            self.resampler.process(frame, &mut narrow[..length]);
            pressed = self.detector.feed(&narrow[..length]).or(pressed);
        }
        pressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_not_decoded() {
        #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin")]
        let now = Instant::now();
        let mut keys = Keys::default();
        let mut allowed = |ms| keys.may_decode(now + Duration::from_millis(ms));
        assert_eq!((0..1_000).filter(|n| allowed(n / 10)).count(), 100);
        assert_eq!((0..1_000).filter(|n| allowed(1_000 + n * 20)).count(), 1_000, "50 a second are");
    }
}
