//! Key presses by RFC 4733: one for each event, whichever of its packets came.
//!
//! All packets of an event bear the time stamp of its beginning, and its last one comes three times (§2.5.1.4). An event
//! is told with the first that comes. The rest of it is known by what an event has lasted: the next one cannot begin
//! before (§2.5.1.2), while senders that advance the time stamp wrongly, and those that split a long event in segments
//! (§2.5.1.3), stay within.

/// One stream's events so far. Another source may follow: its time stamps lie elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presses {
    last: Option<Press>,
}

#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    timestamp: u32,
    /// As long as it has lasted by its packets, over all segments.
    duration: u32,
    is_over: bool,
}

/// An event that began so much before the last one is a straggler; still earlier, the clock began anew. 10 s at 8 kHz.
const STRAGGLES: i32 = 80_000;

/// Events that are keys (RFC 4733 §3.2).
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

impl Presses {
    /// A packet's payload and time stamp: the key, with the first packet of its event. Other events, and what is too
    /// short for one, are no key.
    pub fn feed(&mut self, payload: &[u8], timestamp: u32) -> Option<char> {
        let &[event, flags, d0, d1] = payload.first_chunk::<4>()?;
        let duration = u32::from(u16::from_be_bytes([d0, d1]));
        let is_over = flags & 0x80 != 0;
        if let Some(last) = &mut self.last
            && last.has(event, timestamp, duration, is_over)
        {
            return None;
        }
        self.last = Some(Press { event, timestamp, duration, is_over });
        KEYS.get(usize::from(event)).copied()
    }
}

impl Press {
    /// Whether a packet is of this event, or of one before it; if so, what it says is noted.
    fn has(&mut self, event: u8, timestamp: u32, duration: u32, is_over: bool) -> bool {
        let step = timestamp.wrapping_sub(self.timestamp) as i32;
        if step < 0 {
            return step > -STRAGGLES;
        }
        let within = step.unsigned_abs();
        let next_segment = u32::from(!self.is_over);
        if step != 0 && (event != self.event || within >= self.duration + next_segment) {
            return false;
        }
        self.duration = self.duration.max(within.saturating_add(duration));
        self.is_over |= is_over;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: u8 = 0x80;

    /// What packets of (event, flags, duration, time stamp) amount to.
    fn pressed(packets: &[(u8, u8, u16, u32)]) -> String {
        let mut presses = Presses::default();
        let payload = |event, flags, duration: u16| [&[event, flags | 10], &duration.to_be_bytes()[..]].concat();
        packets
            .iter()
            .filter_map(|(event, flags, duration, at)| presses.feed(&payload(*event, *flags, *duration), *at))
            .collect()
    }

    /// A press of a key as it is sent: updates every 20 ms for 100 ms, the end three times.
    fn press(event: u8, at: u32) -> Vec<(u8, u8, u16, u32)> {
        let updates = (1..5).map(|n| (event, 0, n * 160, at));
        updates.chain([(event, END, 800, at); 3]).collect()
    }

    #[test]
    fn each_press_is_one_key() {
        let mut packets = Vec::new();
        for event in 0..=16 {
            packets.extend(press(event, u32::from(event) * 1600));
        }
        assert_eq!(pressed(&packets), "0123456789*#ABCD", "flash is no key");
    }

    #[test]
    fn the_same_key_twice_is_two() {
        assert_eq!(pressed(&[press(5, 0), press(5, 1200)].concat()), "55");
        assert_eq!(pressed(&[press(5, u32::MAX - 300), press(5, 900)].concat()), "55");
    }

    #[test]
    fn any_one_packet_of_a_press_is_enough() {
        for first in press(5, 0) {
            for second in press(5, 1200) {
                for third in press(7, 2400) {
                    assert_eq!(pressed(&[first, second, third]), "557");
                }
            }
        }
    }

    #[test]
    fn stragglers_of_a_press_before_are_not_told_again() {
        let (one, two) = (press(1, 0), press(2, 1200));
        assert_eq!(pressed(&[&one[..5], &two[..2], &one[4..], &two[2..]].concat()), "12");
        assert_eq!(pressed(&[two, one].concat()), "2");
    }

    #[test]
    fn a_key_held_for_long_is_one_press() {
        let segment = |at: u32| (1..=u16::MAX / 400).map(move |n| (9, 0, n * 400, at));
        let whole = |at: u32| segment(at).chain([(9, 0, u16::MAX, at)]).collect::<Vec<_>>();
        let ended = [(9, END, 800, 2 * 0xffff)];
        assert_eq!(pressed(&[&whole(0)[..], &whole(0xffff), &ended].concat()), "9");
    }

    #[test]
    fn a_time_stamp_that_advances_wrongly_is_the_same_press() {
        let packets: Vec<_> =
            (1..=6).map(|n| (3, if n > 5 { END } else { 0 }, n * 160, u32::from(n - 1) * 160)).collect();
        assert_eq!(pressed(&packets), "3");
    }

    #[test]
    fn another_source_begins_anew() {
        assert_eq!(pressed(&[press(1, 1_000_000), press(2, 5), press(1, 0x9000_0000)].concat()), "121");
    }

    #[test]
    fn what_is_cut_is_no_key() {
        let mut presses = Presses::default();
        for length in 0..4 {
            assert_eq!(presses.feed(&[1, 0x80, 0, 160][..length], 5), None);
        }
        assert_eq!(presses.feed(&[1, 0x80, 0, 160, 9], 5), Some('1'), "further bytes are redundancy");
    }
}
