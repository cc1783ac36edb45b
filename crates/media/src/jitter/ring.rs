//! Packets that wait for their turn, still encoded, in the order of their sequence numbers.

use std::collections::VecDeque;

use super::time::Units;
use crate::interface::Codec;

/// Payload that one direction holds at most: two seconds of G.711, a quarter of one of Opus at its fattest.
pub(super) const MAX_BYTES: usize = 16_384;

/// See above. What was taken leaves its memory to what comes: nothing is allocated for each packet.
#[derive(Debug)]
pub(super) struct Ring {
    waiting: VecDeque<Slot>,
    spare: Vec<Vec<u8>>,
    bytes: usize,
    max_packets: usize,
}

/// One packet.
#[derive(Debug)]
pub(super) struct Slot {
    /// Extended beyond 16 bits, and over changes of the source.
    pub(super) sequence: i64,
    /// Where its first sample belongs.
    pub(super) at: Units,
    pub(super) codec: Codec,
    /// It does not follow the packet before: another source, or a jump.
    pub(super) is_anew: bool,
    pub(super) payload: Vec<u8>,
}

/// What of a packet is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coded<'a> {
    pub(super) codec: Codec,
    pub(super) is_anew: bool,
    pub(super) payload: &'a [u8],
}

impl Ring {
    pub(super) fn new(max_packets: usize) -> Self {
        Self { waiting: VecDeque::new(), spare: Vec::new(), bytes: 0, max_packets: max_packets.max(1) }
    }

    /// The next in turn.
    pub(super) fn first(&self) -> Option<&Slot> {
        self.waiting.front()
    }

    /// Takes the next in turn; [`Ring::give_back`] when it was read.
    pub(super) fn take(&mut self) -> Option<Slot> {
        let slot = self.waiting.pop_front()?;
        self.bytes -= slot.payload.len();
        Some(slot)
    }

    pub(super) fn give_back(&mut self, slot: Slot) {
        self.spare.push(slot.payload);
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        while let Some(slot) = self.take() {
            self.give_back(slot);
        }
    }

    /// One more; how many had to go for it.
    pub(super) fn put(&mut self, sequence: i64, at: Units, coded: Coded<'_>) -> u64 {
        let Coded { codec, is_anew, payload } = coded;
        let mut gone = 0;
        while self.waiting.len() >= self.max_packets || self.bytes + payload.len() > MAX_BYTES {
            let Some(oldest) = self.take() else { break };
            self.give_back(oldest);
            gone += 1;
        }
        let mut held = self.spare.pop().unwrap_or_default();
        held.clear();
        held.extend_from_slice(payload);
        self.bytes += held.len();
        let place = self.waiting.partition_point(|slot| slot.sequence < sequence);
        self.waiting.insert(place, Slot { sequence, at, codec, is_anew, payload: held });
        gone
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.waiting.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coded(payload: &[u8]) -> Coded<'_> {
        Coded { codec: Codec::Pcmu, is_anew: false, payload }
    }

    #[test]
    fn they_come_out_in_their_order() {
        let mut ring = Ring::new(8);
        for n in [3, 1, 2] {
            ring.put(n, n * 10, coded(&[n as u8]));
        }
        let order: Vec<i64> = std::iter::from_fn(|| ring.take()).map(|slot| slot.sequence).collect();
        assert_eq!((order, ring.held()), (vec![1, 2, 3], (0, 0)));
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let mut ring = Ring::new(4);
        assert_eq!((0..6).map(|n| ring.put(n, n, coded(&[0; 10]))).sum::<u64>(), 2);
        assert_eq!(ring.held(), (4, 40));
        assert_eq!(ring.put(6, 6, coded(&[0; MAX_BYTES - 15])), 3, "by bytes too");
        assert_eq!(ring.first().map(|slot| slot.sequence), Some(5));
    }

    #[test]
    fn memory_is_used_again() {
        let mut ring = Ring::new(4);
        for n in 0..1000 {
            ring.put(n, n, coded(&[0; 160]));
            if let Some(slot) = (n % 3 > 0).then(|| ring.take()).flatten() {
                ring.give_back(slot);
            }
        }
        ring.clear();
        assert!(ring.spare.len() <= 5, "{}", ring.spare.len());
    }
}
