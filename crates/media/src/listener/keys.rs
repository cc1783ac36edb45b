//! A listener's keys, while somebody waits for one: events of RFC 4733, or tones in what it sends. Nothing else is made of
//! its audio.

use std::time::{Duration, Instant};

use crate::rtp::Packet;
use crate::telephone_event::Presses;

/// A press may come as an event and as a tone: the second of the two is none.
const TWICE: Duration = Duration::from_millis(1_000);

/// What was pressed so far.
#[derive(Debug, Default)]
pub(super) struct Keys {
    presses: Presses,
    last: Option<(char, Way, Instant)>,
    /// Not told yet.
    pressed: Option<char>,
}

/// How a press came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Event,
}

impl Keys {
    /// A packet that it sent, from where it may.
    pub(super) fn hear(&mut self, now: Instant, packet: &Packet<'_>, telephone_event: Option<u8>) {
        if telephone_event == Some(packet.payload_type) {
            let key = self.presses.feed(packet.payload, packet.timestamp);
            key.into_iter().for_each(|key| self.press(now, key, Way::Event));
        }
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
