//! Which RTP ports to bind next: drawn at random, neighbours of busy ones, quarantine after use. Numbers only.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::interface::Port;

/// A released number rests so long by default: late packets of the old call must not reach a new one.
pub const QUARANTINE: Duration = Duration::from_secs(5);

/// A number that somebody else holds is not tried for so long.
const BUSY_REST: Duration = Duration::from_secs(30);

/// Neighbours that are looked at when a number was busy.
const NEIGHBOURS: usize = 8;

/// Which shard a port belongs to, by arithmetic: pairs of the range go to the shards by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First port of the range, even.
    pub first: u16,
    /// Shards, at least 1.
    pub shards: usize,
}

impl Layout {
    /// The shard of a port.
    #[must_use]
    pub fn shard_of(self, port: Port) -> usize {
        usize::from(port.0.saturating_sub(self.first) / 2) % self.shards.max(1)
    }
}

/// The range and what of it is in use, pure.
#[derive(Debug)]
pub struct PortNumbers {
    first: u16,
    quarantine: Duration,
    rng: StdRng,
    /// Pairs that may be drawn, in no order.
    free: Vec<u16>,
    pairs: Vec<Pair>,
    /// In order of their ends.
    resting: VecDeque<(Instant, u16)>,
    resting_busy: VecDeque<(Instant, u16)>,
    /// Pair after one that was busy.
    hint: Option<u16>,
    in_use: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    /// At this place in `free`.
    Free(usize),
    InUse,
    Resting,
}

impl PortNumbers {
    /// Even ports of `first..=last` whose next port is in the range too.
    #[must_use]
    pub fn new(first: u16, last: u16, quarantine: Duration, seed: [u8; 32]) -> Self {
        let first = first.max(1).checked_next_multiple_of(2).unwrap_or(u16::MAX);
        let count = (u32::from(last) + 1).saturating_sub(first.into()) / 2;
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        Self {
            first,
            quarantine,
            rng: StdRng::from_seed(seed),
            free: (0..count).collect(),
            pairs: (0..usize::from(count)).map(Pair::Free).collect(),
            resting: VecDeque::new(),
            resting_busy: VecDeque::new(),
            hint: None,
            in_use: 0,
        }
    }

    /// A number to try to bind; `None`: all are in use or in quarantine. It counts as in use from now on.
    pub fn draw(&mut self, now: Instant) -> Option<u16> {
        self.wake_rested(now);
        let place = self.hint.take().and_then(|hint| self.free_from(hint)).or_else(|| {
            let count = self.free.len();
            (count > 0).then(|| self.rng.random_range(0..count))
        })?;
        let pair = self.free.swap_remove(place);
        if let Some(moved) = self.free.get(place) {
            self.pairs[usize::from(*moved)] = Pair::Free(place);
        }
        self.pairs[usize::from(pair)] = Pair::InUse;
        self.in_use += 1;
        Some(self.first + pair * 2)
    }

    /// Somebody else has that port: not tried again for a while; draw another.
    pub fn busy(&mut self, now: Instant, port: u16) {
        if let Some(pair) = self.rest(port) {
            self.resting_busy.push_back((now + BUSY_REST, pair));
            self.hint = Some(pair);
        }
    }

    /// The call is over: the number rests for the quarantine.
    pub fn release(&mut self, now: Instant, port: u16) {
        if let Some(pair) = self.rest(port) {
            self.resting.push_back((now + self.quarantine, pair));
        }
    }

    /// Numbers in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Takes a number out of use; `None` if it was not in use.
    fn rest(&mut self, port: u16) -> Option<u16> {
        let pair = port.checked_sub(self.first).filter(|offset| offset % 2 == 0)? / 2;
        let state = self.pairs.get_mut(usize::from(pair)).filter(|state| **state == Pair::InUse)?;
        *state = Pair::Resting;
        self.in_use -= 1;
        Some(pair)
    }

    /// The place of the first free one of some neighbours.
    fn free_from(&self, pair: u16) -> Option<usize> {
        self.pairs.iter().skip(usize::from(pair)).take(NEIGHBOURS).find_map(|state| match state {
            Pair::Free(place) => Some(*place),
            _ => None,
        })
    }

    fn wake_rested(&mut self, now: Instant) {
        for resting in [&mut self.resting, &mut self.resting_busy] {
            while resting.front().is_some_and(|(until, _)| *until <= now) {
                let Some((_, pair)) = resting.pop_front() else { break };
                self.pairs[usize::from(pair)] = Pair::Free(self.free.len());
                self.free.push(pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin")]
        Instant::now()
    }

    fn numbers(first: u16, last: u16) -> PortNumbers {
        PortNumbers::new(first, last, QUARANTINE, [7; 32])
    }

    fn drawn(numbers: &mut PortNumbers, now: Instant) -> Vec<u16> {
        std::iter::from_fn(|| numbers.draw(now)).collect()
    }

    #[test]
    fn each_even_port_with_a_neighbour_is_drawn_once_and_in_no_order() {
        let mut ports = numbers(20_001, 20_101);
        let drawn = drawn(&mut ports, start());
        assert_eq!(drawn.iter().copied().collect::<BTreeSet<_>>(), (20_002..=20_100).step_by(2).collect());
        assert!(!drawn.is_sorted());
        assert_eq!(ports.in_use(), 50);
        assert_eq!(numbers(20_000, 20_000).draw(start()), None);
        assert_eq!(numbers(20_001, 20_002).draw(start()), None);
        assert_eq!(numbers(0, 3).draw(start()), Some(2));
        assert_eq!(numbers(65_534, 65_535).draw(start()), Some(65_534));
        assert_eq!(numbers(65_535, 65_535).draw(start()), None);
        assert_eq!(numbers(30_000, 20_000).draw(start()), None);
    }

    #[test]
    fn a_released_number_rests_for_the_quarantine() {
        let (mut ports, now) = (numbers(20_000, 20_003), start());
        let all = drawn(&mut ports, now);
        ports.release(now, all[0]);
        ports.release(now, all[0]);
        ports.release(now, 19_999);
        assert_eq!(ports.in_use(), 1);
        assert_eq!(ports.draw(now + QUARANTINE - Duration::from_millis(1)), None);
        assert_eq!(ports.draw(now + QUARANTINE), Some(all[0]));
        assert_eq!(ports.draw(now + QUARANTINE), None);
    }

    #[test]
    fn after_a_busy_one_its_neighbour_is_tried() {
        let (mut ports, now) = (numbers(20_000, 29_999), start());
        for _ in 0..100 {
            let port = ports.draw(now).expect("many are free");
            if port < 29_990 {
                ports.busy(now, port);
                let next = ports.draw(now).expect("many are free");
                assert!(next > port && next <= port + 16, "{next} after {port}");
                ports.release(now, next);
            }
        }
        assert!(ports.in_use() <= 1);
    }

    #[test]
    fn a_busy_one_is_tried_again_later() {
        let (mut ports, now) = (numbers(20_000, 20_001), start());
        assert_eq!(ports.draw(now), Some(20_000));
        ports.busy(now, 20_000);
        assert_eq!(ports.draw(now + BUSY_REST / 2), None);
        assert_eq!(ports.draw(now + BUSY_REST), Some(20_000));
    }
}
