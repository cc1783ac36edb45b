//! Packet indices: the roll-over counter that packets do not carry (RFC 3711 §3.3.1, appendix A), which of the last 128
//! packets were there already (§3.3.2), and this for each synchronisation source.

use crate::shard::Fetch;

/// Packets that the replay window looks back over. RFC 3711 §3.3.2 asks for 64.
pub const REPLAY_WINDOW: u32 = u128::BITS;
/// An SRTP index has 48 bits, after which the key has served (RFC 3711 §9.2).
pub(super) const RTP_INDICES: u64 = 1 << 48;
/// An SRTCP index has 31.
pub(super) const RTCP_INDICES: u64 = 1 << 31;

/// The highest index so far and those just below it that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    highest: u64,
    /// Bit n: the index n below the highest.
    seen: u128,
}

impl Window {
    /// With one index seen.
    pub(super) fn starting(index: u64) -> Self {
        Self { highest: index, seen: 1 }
    }

    /// Neither seen nor too old to tell.
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index).map(u32::try_from) {
            None => true,
            Some(Ok(below)) if below < REPLAY_WINDOW => self.seen >> below & 1 == 0,
            Some(_) => false,
        }
    }

    /// It is seen now.
    pub(super) fn note(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            Some(above) => {
                self.seen = u32::try_from(above).ok().and_then(|above| self.seen.checked_shl(above)).unwrap_or(0) | 1;
                self.highest = index;
            }
            None => {
                let bit = u32::try_from(self.highest - index).ok().and_then(|below| 1u128.checked_shl(below));
                self.seen |= bit.unwrap_or(0);
            }
        }
    }

    /// The index that a sequence number most likely means: the one nearest to the highest. `None`: from before the
    /// first, or beyond the last.
    pub(super) fn estimate(&self, sequence: u16) -> Option<u64> {
        estimate(self.highest, sequence)
    }

    /// The highest index so far.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }
}

/// RFC 3711 appendix A.
pub(super) fn estimate(highest: u64, sequence: u16) -> Option<u64> {
    let (rolled, last) = (highest >> 16, (highest & 0xffff) as u16);
    let rolled = if last < 0x8000 {
        if sequence > last + 0x8000 { rolled.checked_sub(1)? } else { rolled }
    } else if sequence < last - 0x8000 {
        rolled + 1
    } else {
        rolled
    };
    Some(rolled << 16 | u64::from(sequence)).filter(|index| *index < RTP_INDICES)
}

/// What was seen of each source, a few of them; the one of the last packet stands last.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(Vec<(u32, Window)>);

impl Sources {
    /// What was seen of a source.
    pub(super) fn find(&mut self, ssrc: u32) -> Option<&mut Window> {
        if self.0.last().is_none_or(|(last, _)| *last != ssrc) {
            let place = self.0.iter().position(|(other, _)| *other == ssrc)?;
            self.0.get_mut(place..)?.rotate_left(1);
        }
        self.0.last_mut().map(|(_, window)| window)
    }

    /// A source that is not there yet takes the place of the one that was silent for longest if there are `limit`
    /// of them; true: it did.
    pub(super) fn displace(&mut self, ssrc: u32, window: Window, limit: usize) -> bool {
        let is_full = self.0.len() >= limit;
        if is_full {
            self.0.remove(0);
        }
        self.0.push((ssrc, window));
        is_full
    }

    /// Each source's highest index.
    pub(super) fn highest(&self) -> impl Iterator<Item = (u32, u64)> {
        self.0.iter().map(|(ssrc, window)| (*ssrc, window.highest()))
    }

    /// What a packet needs of it: mostly that of the last one.
    pub(super) fn ahead(&self, fetch: &mut impl Fetch) {
        if let Some(last) = self.0.last() {
            fetch.fetch(last, size_of_val(last));
        }
    }

    /// Sources that are known.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roll_over_counter_follows_a_sequence_number_to_either_side() {
        assert_eq!(estimate(65_534, 65_535), Some(65_535));
        assert_eq!(estimate(65_535, 0), Some(65_536));
        assert_eq!(estimate(65_535, 300), Some(65_836));
        assert_eq!(estimate(65_536, 65_535), Some(65_535));
        assert_eq!(estimate(65_536 + 300, 65_400), Some(65_400));
        assert_eq!(estimate(0x7fff, 0xffff), Some(0xffff));
        assert_eq!(estimate(0x1_8000, 0), Some(0x1_0000));
        assert_eq!(estimate(0x1_8001, 0), Some(0x2_0000));
        assert_eq!(estimate(3, 65_534), None, "from before the beginning");
        assert_eq!(estimate(RTP_INDICES - 1, 0), None, "the key has served");
    }

    #[test]
    fn a_window_tells_new_seen_and_old() {
        let mut window = Window::starting(1_000);
        assert!(!window.is_new(1_000) && window.is_new(1_001) && window.is_new(999));
        assert!(window.is_new(1_000 - 127) && !window.is_new(1_000 - 128) && !window.is_new(0));
        window.note(1_000 - 127);
        assert!(!window.is_new(1_000 - 127) && window.is_new(1_000 - 126));
        window.note(1_001);
        assert!(!window.is_new(1_000) && !window.is_new(1_001) && !window.is_new(1_000 - 126 - 1));
        window.note(1_001 + 500);
        assert!(!window.is_new(1_001) && window.is_new(1_500) && !window.is_new(1_501));
        window.note(u64::from(u32::MAX) * 4);
        assert!(!window.is_new(1_500));
    }

    #[test]
    fn sources_are_few() {
        let mut sources = Sources::default();
        for ssrc in 0..4 {
            assert!(!sources.displace(ssrc, Window::starting(u64::from(ssrc)), 4));
        }
        assert_eq!(sources.find(0).map(|window| window.highest()), Some(0));
        assert!(sources.displace(4, Window::starting(4), 4));
        assert!(
            sources.find(1).is_none() && sources.find(0).is_some() && sources.find(4).is_some(),
            "0 was found last"
        );
        assert_eq!(sources.len(), 4);
    }
}
