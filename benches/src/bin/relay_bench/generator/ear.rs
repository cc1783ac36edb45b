//! What a listener hears: when its first packet came, and when each word began.

use super::packet;

/// Samples that are looked at together, and how many of them must be loud: more than the stamps of packets have.
const SPAN: u32 = 80;
const LOUD: u32 = 60;
/// The word is over.
const QUIET: u32 = 20;
/// Time of a sample at 8 kHz, in nanoseconds.
const SAMPLE: u64 = 125_000;
const HEADER: usize = 12;
const PCMA: u8 = 8;

/// See [the module](self). Times are the kernel's of reception, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear {
    pub(crate) first: Option<u64>,
    /// As if each packet were played the moment it came.
    pub(crate) words: Vec<u64>,
    /// The last samples, the newest lowest.
    loud: u128,
    is_in_word: bool,
}

impl Ear {
    pub(super) fn take(&mut self, packet: &[u8], at: u64) {
        self.first.get_or_insert(at);
        if packet.len() <= HEADER || packet[1] & 0x7F != PCMA {
            return;
        }
        for (n, sample) in (0..).zip(&packet[HEADER..]) {
            self.loud = (self.loud << 1 | u128::from(packet::is_loud(*sample))) & ((1 << SPAN) - 1);
            let count = self.loud.count_ones();
            if count >= LOUD && !self.is_in_word {
                let back = u64::from(u128::BITS - 1 - self.loud.leading_zeros());
                self.words.push((at + n * SAMPLE).saturating_sub(back * SAMPLE));
            }
            self.is_in_word = if self.is_in_word { count > QUIET } else { count >= LOUD };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::{LENGTH, Stamp, write};
    use super::*;

    #[test]
    fn a_word_is_heard_once_and_where_it_begins() {
        let mut ear = Ear::default();
        let mut packet = [0; LENGTH];
        for round in 98..103 {
            let at = 1_000_000_000 + u64::from(round) * 20_000_000;
            write(&mut packet, Stamp { leg: 4, round, sent: at });
            ear.take(&packet, at);
        }
        assert_eq!(ear.first, Some(1_000_000_000 + 98 * 20_000_000));
        assert_eq!(ear.words.len(), 1, "{:?}", ear.words);
        let begins = 1_000_000_000 + 100 * 20_000_000;
        assert!(ear.words[0].abs_diff(begins) <= 20 * SAMPLE, "{:?}", ear.words[0].abs_diff(begins));
    }

    #[test]
    fn the_other_side_says_nothing() {
        let mut ear = Ear::default();
        let mut packet = [0; LENGTH];
        write(&mut packet, Stamp { leg: 5, round: 100, sent: u64::MAX });
        ear.take(&packet, 7);
        assert!(ear.words.is_empty());
    }
}
