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

/// One shard's numbers of the range and what of them is in use, pure.
#[derive(Debug)]
pub struct PortNumbers {
    first: u16,
    /// From one pair of this shard to its next.
    step: u16,
    quarantine: Duration,
    rng: StdRng,
    /// Pairs that may be drawn and are not bound, in no order.
    free: Vec<u16>,
    /// Pairs that may be drawn and are still bound, with the time since when, in no order.
    kept: Vec<(Instant, u16)>,
    pairs: Vec<Pair>,
    /// In order of their ends; whether they are still bound.
    resting: VecDeque<(Instant, u16, bool)>,
    resting_busy: VecDeque<(Instant, u16)>,
    /// Of those that rest, so many are still bound.
    resting_kept: usize,
    /// Pair after one that was busy.
    hint: Option<u16>,
    in_use: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    /// At this place in `free`.
    Free(usize),
    /// Somewhere in `kept`.
    Kept,
    InUse,
    Resting,
}

/// A number to be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// Its sockets are to be bound.
    Fresh(u16),
    /// Its sockets were kept through the quarantine.
    Kept(u16),
}

impl PortNumbers {
    /// Even ports of `first..=last` whose next port is in the range too.
    #[must_use]
    pub fn new(first: u16, last: u16, quarantine: Duration, seed: [u8; 32]) -> Self {
        Self::of_shard(Layout { first: even(first), shards: 1 }, 0, last, quarantine, seed)
    }

    /// Those of them that [`Layout::shard_of`] gives to a shard.
    #[must_use]
    pub fn of_shard(layout: Layout, shard: usize, last: u16, quarantine: Duration, seed: [u8; 32]) -> Self {
        let shards = u32::try_from(layout.shards.max(1)).unwrap_or(u32::MAX);
        let first = u32::from(even(layout.first)).saturating_add(u32::try_from(shard).unwrap_or(u32::MAX) * 2);
        let pairs = (u32::from(last) + 1).saturating_sub(first) / 2;
        let count = u16::try_from(pairs.div_ceil(shards)).unwrap_or(u16::MAX);
        Self {
            first: u16::try_from(first).unwrap_or(u16::MAX),
            step: u16::try_from(shards.saturating_mul(2)).unwrap_or(u16::MAX),
            quarantine,
            rng: StdRng::from_seed(seed),
            free: (0..count).collect(),
            kept: Vec::new(),
            pairs: (0..usize::from(count)).map(Pair::Free).collect(),
            resting: VecDeque::new(),
            resting_busy: VecDeque::new(),
            resting_kept: 0,
            hint: None,
            in_use: 0,
        }
    }

    /// A number to give out, one that is still bound if there is one; `None`: all are in use or in quarantine. It counts
    /// as in use from now on.
    pub fn draw(&mut self, now: Instant) -> Option<Drawn> {
        self.wake_rested(now);
        if !self.kept.is_empty() {
            let place = self.rng.random_range(0..self.kept.len());
            let (_, pair) = self.kept.swap_remove(place);
            return Some(Drawn::Kept(self.take(pair)));
        }
        let place = self.hint.take().and_then(|hint| self.free_from(hint)).or_else(|| {
            let count = self.free.len();
            (count > 0).then(|| self.rng.random_range(0..count))
        })?;
        let pair = self.free.swap_remove(place);
        if let Some(moved) = self.free.get(place) {
            self.pairs[usize::from(*moved)] = Pair::Free(place);
        }
        Some(Drawn::Fresh(self.take(pair)))
    }

    /// Somebody else has that port: not tried again for a while; draw another.
    pub fn busy(&mut self, now: Instant, port: u16) {
        if let Some(pair) = self.rest(port) {
            self.resting_busy.push_back((now + BUSY_REST, pair));
            self.hint = Some(pair);
        }
    }

    /// The call is over and the sockets are closed: the number rests for the quarantine.
    pub fn release(&mut self, now: Instant, port: u16) {
        if let Some(pair) = self.rest(port) {
            self.resting.push_back((now + self.quarantine, pair, false));
        }
    }

    /// The call is over and the sockets stay bound: the number rests for the quarantine and is drawn first then.
    pub fn release_kept(&mut self, now: Instant, port: u16) {
        if let Some(pair) = self.rest(port) {
            self.resting.push_back((now + self.quarantine, pair, true));
            self.resting_kept += 1;
        }
    }

    /// A number whose sockets are kept and are now to be closed: one whose quarantine is over, else the one that rests
    /// for longest, which goes on resting.
    pub fn give_up(&mut self) -> Option<u16> {
        if let Some((_, pair)) = self.kept.pop() {
            self.free(pair);
            return Some(self.port(pair));
        }
        let (_, pair, is_kept) = self.resting.iter_mut().find(|(_, _, is_kept)| *is_kept)?;
        *is_kept = false;
        self.resting_kept -= 1;
        let pair = *pair;
        Some(self.port(pair))
    }

    /// Numbers whose sockets nobody needed since `before`, and which are now to be closed: so many at most.
    pub fn give_up_idle(&mut self, before: Instant, most: usize) -> Vec<u16> {
        let mut idle = Vec::new();
        let mut place = 0;
        while place < self.kept.len() && idle.len() < most {
            if self.kept[place].0 > before {
                place += 1;
                continue;
            }
            let (_, pair) = self.kept.swap_remove(place);
            self.free(pair);
            idle.push(self.port(pair));
        }
        idle
    }

    /// Whether it is one of these numbers.
    #[must_use]
    pub fn has(&self, port: u16) -> bool {
        let pair =
            port.checked_sub(self.first).filter(|offset| offset % self.step == 0).map(|offset| offset / self.step);
        pair.is_some_and(|pair| usize::from(pair) < self.pairs.len())
    }

    /// Numbers in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Numbers whose sockets are kept: those that rest, and those that may be drawn.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.resting_kept, self.kept.len())
    }

    /// Numbers in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn port(&self, pair: u16) -> u16 {
        self.first + pair * self.step
    }

    fn take(&mut self, pair: u16) -> u16 {
        self.pairs[usize::from(pair)] = Pair::InUse;
        self.in_use += 1;
        self.port(pair)
    }

    fn free(&mut self, pair: u16) {
        self.pairs[usize::from(pair)] = Pair::Free(self.free.len());
        self.free.push(pair);
    }

    /// Takes a number out of use; `None` if it was not in use.
    fn rest(&mut self, port: u16) -> Option<u16> {
        let pair = port.checked_sub(self.first).filter(|offset| offset % self.step == 0)? / self.step;
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
        while self.resting.front().is_some_and(|(until, ..)| *until <= now) {
            let Some((until, pair, is_kept)) = self.resting.pop_front() else { break };
            if is_kept {
                self.resting_kept -= 1;
                self.pairs[usize::from(pair)] = Pair::Kept;
                self.kept.push((until, pair));
            } else {
                self.free(pair);
            }
        }
        while self.resting_busy.front().is_some_and(|(until, _)| *until <= now) {
            let Some((_, pair)) = self.resting_busy.pop_front() else { break };
            self.free(pair);
        }
    }
}

fn even(port: u16) -> u16 {
    port.max(1).checked_next_multiple_of(2).unwrap_or(u16::MAX)
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

    /// One that is to be bound.
    fn fresh(numbers: &mut PortNumbers, now: Instant) -> Option<u16> {
        match numbers.draw(now)? {
            Drawn::Fresh(port) => Some(port),
            Drawn::Kept(port) => panic!("{port} is still bound"),
        }
    }

    fn drawn(numbers: &mut PortNumbers, now: Instant) -> Vec<u16> {
        std::iter::from_fn(|| fresh(numbers, now)).collect()
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
        assert_eq!(fresh(&mut numbers(0, 3), start()), Some(2));
        assert_eq!(fresh(&mut numbers(65_534, 65_535), start()), Some(65_534));
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
        assert_eq!(fresh(&mut ports, now + QUARANTINE), Some(all[0]));
        assert_eq!(ports.draw(now + QUARANTINE), None);
    }

    #[test]
    fn after_a_busy_one_its_neighbour_is_tried() {
        let (mut ports, now) = (numbers(20_000, 29_999), start());
        for _ in 0..100 {
            let port = fresh(&mut ports, now).expect("many are free");
            if port < 29_990 {
                ports.busy(now, port);
                let next = fresh(&mut ports, now).expect("many are free");
                assert!(next > port && next <= port + 16, "{next} after {port}");
                ports.release(now, next);
            }
        }
        assert!(ports.in_use() <= 1);
    }

    #[test]
    fn a_busy_one_is_tried_again_later() {
        let (mut ports, now) = (numbers(20_000, 20_001), start());
        assert_eq!(fresh(&mut ports, now), Some(20_000));
        ports.busy(now, 20_000);
        assert_eq!(ports.draw(now + BUSY_REST / 2), None);
        assert_eq!(fresh(&mut ports, now + BUSY_REST), Some(20_000));
    }

    #[test]
    fn shards_share_the_range_by_turns() {
        let layout = Layout { first: 20_000, shards: 3 };
        let mut all: Vec<u16> = Vec::new();
        for shard in 0..3 {
            let mut ports = PortNumbers::of_shard(layout, shard, 20_019, QUARANTINE, [7; 32]);
            let own = drawn(&mut ports, start());
            assert_eq!(own.len(), ports.len());
            assert!(own.iter().all(|port| layout.shard_of(Port(*port)) == shard), "{own:?}");
            all.extend(own.iter());
            ports.release(start(), own[0] + 2);
            assert_eq!(ports.in_use(), own.len(), "a port of another shard is nothing to this one");
        }
        all.sort_unstable();
        assert_eq!(all, (20_000..20_020).step_by(2).collect::<Vec<u16>>());
        assert!(PortNumbers::of_shard(layout, 2, 20_003, QUARANTINE, [7; 32]).is_empty());
    }

    #[test]
    fn a_number_that_is_kept_bound_rests_and_is_drawn_first() {
        let (mut ports, now) = (numbers(20_000, 29_999), start());
        let port = fresh(&mut ports, now).expect("many are free");
        ports.release_kept(now, port);
        assert_eq!((ports.in_use(), ports.kept()), (0, (1, 0)));
        let other = fresh(&mut ports, now).expect("many are free");
        assert_ne!(other, port);
        assert_eq!(ports.draw(now + QUARANTINE), Some(Drawn::Kept(port)));
        assert_eq!((ports.in_use(), ports.kept()), (2, (0, 0)));
        ports.release(now, port);
        assert_eq!(ports.kept(), (0, 0));
    }

    #[test]
    fn what_is_kept_can_be_given_up_and_goes_on_resting() {
        let (mut ports, now) = (numbers(20_000, 20_005), start());
        let all = drawn(&mut ports, now);
        ports.release_kept(now, all[0]);
        ports.release_kept(now + Duration::from_secs(1), all[1]);
        assert_eq!(ports.give_up(), Some(all[0]), "the one that rests for longest");
        assert_eq!(ports.kept(), (1, 0));
        assert_eq!(ports.draw(now + QUARANTINE), Some(Drawn::Fresh(all[0])), "it must be bound again");
        ports.release_kept(now + QUARANTINE, all[0]);
        let later = now + QUARANTINE + Duration::from_secs(1);
        assert_eq!(ports.draw(later), Some(Drawn::Kept(all[1])));
        ports.release_kept(later, all[1]);
        assert_eq!((ports.give_up(), ports.give_up(), ports.give_up()), (Some(all[0]), Some(all[1]), None));
    }

    #[test]
    fn what_nobody_needs_is_given_up() {
        let (mut ports, now) = (numbers(20_000, 20_007), start());
        let all = drawn(&mut ports, now);
        for port in &all {
            ports.release_kept(now, *port);
        }
        let later = now + QUARANTINE;
        let taken = ports.draw(later);
        assert!(matches!(taken, Some(Drawn::Kept(_))));
        assert_eq!(ports.give_up_idle(now, 10), [], "they have rested until now");
        assert_eq!(ports.give_up_idle(later, 2).len(), 2);
        assert_eq!(ports.give_up_idle(later, 2).len(), 1);
        assert_eq!(ports.kept(), (0, 0));
        assert!(matches!(ports.draw(later), Some(Drawn::Fresh(_))));
    }
}
