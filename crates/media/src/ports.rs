//! Which RTP ports to bind next: drawn at random, neighbours of busy ones, quarantine after use. Numbers only.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How long a port that somebody else has is left alone.
const BUSY_REST: Duration = Duration::from_secs(30);

/// The range and what of it is in use, pure.
#[derive(Debug)]
pub struct PortNumbers {
    free: Vec<u16>,
    used: HashSet<u16>,
    resting: VecDeque<(Instant, u16)>,
    busy: VecDeque<(Instant, u16)>,
    quarantine: Duration,
    random: StdRng,
    neighbour: Option<u16>,
}

impl PortNumbers {
    /// Even ports of `first..=last` whose next port is in the range too.
    #[must_use]
    pub fn new(first: u16, last: u16, quarantine: Duration, seed: [u8; 32]) -> Self {
        let free = (first..last).filter(|p| p % 2 == 0).collect();
        Self {
            free,
            used: HashSet::new(),
            resting: VecDeque::new(),
            busy: VecDeque::new(),
            quarantine,
            random: StdRng::from_seed(seed),
            neighbour: None,
        }
    }

    /// A number to try to bind; `None`: all are in use or in quarantine. It counts as in use from now on.
    pub fn draw(&mut self, now: Instant) -> Option<u16> {
        for line in [&mut self.resting, &mut self.busy] {
            while line.front().is_some_and(|(until, _)| *until <= now) {
                self.free.extend(line.pop_front().map(|(_, port)| port));
            }
        }
        if self.free.is_empty() {
            return None;
        }
        let near = self.neighbour.take().and_then(|port| self.free.iter().position(|p| *p == port));
        let place = near.unwrap_or_else(|| self.random.random_range(0..self.free.len()));
        let port = self.free.swap_remove(place);
        self.used.insert(port);
        Some(port)
    }

    /// Somebody else has that port: not tried again for a while; the next draw takes its neighbour.
    pub fn busy(&mut self, now: Instant, port: u16) {
        if self.used.remove(&port) {
            self.busy.push_back((now + BUSY_REST, port));
            self.neighbour = port.checked_add(2);
        }
    }

    /// The call is over: the number rests for the quarantine.
    pub fn release(&mut self, now: Instant, port: u16) {
        if self.used.remove(&port) {
            self.resting.push_back((now + self.quarantine, port));
        }
    }

    /// Numbers in use.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.used.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> PortNumbers {
        PortNumbers::new(20_001, 20_009, Duration::from_secs(5), [1; 32])
    }

    #[test]
    fn only_even_ports_with_their_neighbour_in_the_range() {
        let (mut ports, now) = (ports(), Instant::now());
        let mut drawn: Vec<u16> = std::iter::from_fn(|| ports.draw(now)).collect();
        drawn.sort_unstable();
        assert_eq!(drawn, [20_002, 20_004, 20_006, 20_008]);
        assert_eq!(ports.in_use(), 4);
    }

    #[test]
    fn a_released_port_rests_and_a_busy_one_gives_way_to_its_neighbour() {
        let (mut ports, now) = (ports(), Instant::now());
        let drawn: Vec<u16> = std::iter::from_fn(|| ports.draw(now)).collect();
        ports.release(now, drawn[0]);
        assert_eq!(ports.draw(now + Duration::from_secs(4)), None);
        assert_eq!(ports.draw(now + Duration::from_secs(5)), Some(drawn[0]));
        ports.release(now, 20_004);
        let later = now + Duration::from_secs(5);
        ports.busy(later, 20_002);
        assert_eq!(ports.draw(later), Some(20_004));
        assert_eq!(ports.draw(later), None);
    }
}
