//! The sending side of a call's media: frames on a 20 ms clock, digits, and the sounds of the phone's other calls.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::g711::Codec;
use crate::interface::CallId;
use crate::rtp::{Packet, sender_report};
use crate::voice::{FRAME, Speaker, Voice};

/// Time between two frames.
pub(crate) const PERIOD: Duration = Duration::from_millis(20);
/// Time between two RTCP reports.
const REPORT_PERIOD: Duration = Duration::from_secs(5);
/// A phone that fell behind by more than this starts anew instead of catching up.
const MAX_LAG: Duration = Duration::from_millis(200);
/// Sound of another call that waits to be mixed, at most: 100 ms.
const MAX_MIX: usize = 5 * FRAME;
/// Digits that wait, at most.
const MAX_DIGIT_PACKETS: usize = 2_000;

/// The mouth of one call.
#[derive(Debug)]
pub(crate) struct Mouth {
    pub(crate) ssrc: u32,
    pub(crate) sent: u64,
    pub(crate) next_at: Option<Instant>,
    pub(crate) report_at: Option<Instant>,
    speaker: Speaker,
    sequence: u16,
    timestamp: u32,
    octets: u32,
    last_at: Option<Instant>,
    marker: bool,
    digits: VecDeque<Digit>,
    digit_start: u32,
    others: BTreeMap<CallId, Mix>,
}

#[derive(Debug, Default)]
struct Mix {
    samples: VecDeque<i16>,
    primed: bool,
}

/// One packet of a telephone event.
#[derive(Clone, Copy, Debug)]
struct Digit {
    event: u8,
    duration: u16,
    first: bool,
    end: bool,
    payload_type: u8,
}

impl Mouth {
    pub(crate) fn new(voice: Voice, ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            ssrc,
            sent: 0,
            next_at: None,
            report_at: None,
            speaker: Speaker::new(voice),
            sequence,
            timestamp,
            octets: 0,
            last_at: None,
            marker: true,
            digits: VecDeque::new(),
            digit_start: 0,
            others: BTreeMap::new(),
        }
    }

    pub(crate) fn say(&mut self, voice: Voice) {
        self.speaker = Speaker::new(voice);
    }

    /// Another source, as after a change of the sending equipment.
    pub(crate) fn restart(&mut self, ssrc: u32, sequence: u16, timestamp: u32) {
        (self.ssrc, self.sequence, self.timestamp) = (ssrc, sequence, timestamp);
        (self.last_at, self.marker) = (None, true);
    }

    /// Not allowed to speak now.
    pub(crate) fn rest(&mut self) {
        self.next_at = None;
        self.report_at = None;
    }

    /// Every RTP packet that is due.
    pub(crate) fn frames(&mut self, now: Instant, codec: Codec) -> Vec<Vec<u8>> {
        let mut due = self.next_at.unwrap_or(now);
        if due + MAX_LAG < now {
            due = now;
        }
        let mut packets = Vec::new();
        while due <= now {
            packets.push(self.packet(due, codec));
            due += PERIOD;
        }
        self.next_at = Some(due);
        packets
    }

    /// The report that is due, if one is.
    pub(crate) fn report(&mut self, now: Instant, cname: &str) -> Option<Vec<u8>> {
        let due = *self.report_at.get_or_insert(now + Duration::from_millis(500));
        if due > now {
            return None;
        }
        self.report_at = Some(now + REPORT_PERIOD);
        Some(sender_report(self.ssrc, self.timestamp, self.sent as u32, self.octets, cname))
    }

    /// Queues a digit of that length.
    pub(crate) fn dial_digit(&mut self, event: u8, length: Duration, payload_type: u8) {
        let frames = (length.as_millis() / PERIOD.as_millis()).clamp(2, 100) as u16;
        for i in 1..=frames + 2 {
            if self.digits.len() >= MAX_DIGIT_PACKETS {
                return;
            }
            let duration = i.min(frames) * FRAME as u16;
            // The last packet is sent three times (RFC 4733 §2.5.1.4).
            self.digits.push_back(Digit { event, duration, first: i == 1, end: i >= frames, payload_type });
        }
    }

    /// What another call of this phone hears is said here too.
    pub(crate) fn overhear(&mut self, from: CallId, pcm: impl Iterator<Item = i16>) {
        let mix = self.others.entry(from).or_default();
        mix.samples.extend(pcm);
        let excess = mix.samples.len().saturating_sub(MAX_MIX);
        mix.samples.drain(..excess);
        mix.primed |= mix.samples.len() >= 2 * FRAME;
    }

    /// No longer in conference with anyone.
    pub(crate) fn forget_others(&mut self) {
        self.others.clear();
    }

    fn packet(&mut self, at: Instant, codec: Codec) -> Vec<u8> {
        if let Some(last) = self.last_at {
            // The RTP clock runs on through silence.
            let missed = at.saturating_duration_since(last + PERIOD).as_micros() / 125;
            if missed > 0 {
                self.timestamp = self.timestamp.wrapping_add(missed as u32);
                self.marker = true;
            }
        }
        self.last_at = Some(at);
        let frame = self.mixed();
        let data = match self.digits.pop_front() {
            Some(digit) => self.digit(digit),
            None => {
                let payload: Vec<u8> = frame.iter().map(|s| codec.encode(*s)).collect();
                self.write(codec.payload_type(), self.marker, self.timestamp, &payload)
            }
        };
        self.marker = false;
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        data
    }

    fn digit(&mut self, digit: Digit) -> Vec<u8> {
        // All packets of one event carry the time stamp of its beginning (RFC 4733 §2.3.4).
        if digit.first {
            self.digit_start = self.timestamp;
        }
        let start = self.digit_start;
        let [high, low] = digit.duration.to_be_bytes();
        let payload = [digit.event, if digit.end { 0x8a } else { 0x0a }, high, low];
        self.write(digit.payload_type, digit.first, start, &payload)
    }

    fn write(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let data =
            Packet { payload_type, marker, sequence: self.sequence, timestamp, ssrc: self.ssrc, payload }.write();
        self.sequence = self.sequence.wrapping_add(1);
        self.sent += 1;
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        data
    }

    fn mixed(&mut self) -> [i16; FRAME] {
        let mut frame = self.speaker.frame();
        for mix in self.others.values_mut().filter(|m| m.primed) {
            for sample in &mut frame {
                *sample = sample.saturating_add(mix.samples.pop_front().unwrap_or(0));
            }
        }
        frame
    }
}
