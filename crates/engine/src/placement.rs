//! On which media shard a call or a listener begins, and whether there is room: ports that are ready, load, lag.
//!
//! A guess at the best place, no more: what must be together and is not is moved by the media plane's router.

use std::collections::VecDeque;
use std::time::Duration;

use media::Port;
use media::ports::Layout;
use signalling::MediaAddress;

/// A bound pair of sockets that waits for a leg.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) port: Port,
    pub(crate) addr: MediaAddress,
}

/// Why no call can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// No two ports are ready.
    Ports,
    /// Every shard that has ports is late.
    Load,
}

/// Limits of admission: a shard whose lag is above takes no new forks, no new calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) fork_lag: Duration,
    pub(crate) call_lag: Duration,
    /// How much a listener weighs beside a call.
    pub(crate) listener_weight: usize,
}

/// All shards.
#[derive(Debug)]
pub(crate) struct Shards {
    layout: Layout,
    all: Vec<Shard>,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    ready: VecDeque<Ready>,
    calls: usize,
    listeners: usize,
    lag: Duration,
}

impl Shards {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, all: vec![Shard::default(); layout.shards.max(1)] }
    }

    /// Shards in all, above the limit for forks, above that for calls.
    pub(crate) fn counts(&self, limits: Limits) -> [usize; 3] {
        let above = |limit| self.all.iter().filter(|shard| shard.lag > limit).count();
        [self.all.len(), above(limits.fork_lag), above(limits.call_lag)]
    }

    /// Ports that are ready.
    pub(crate) fn ready(&self) -> usize {
        self.all.iter().map(|shard| shard.ready.len()).sum()
    }

    pub(crate) fn add_ready(&mut self, port: Port, addr: MediaAddress) {
        let home = self.layout.shard_of(port);
        if let Some(shard) = self.all.get_mut(home) {
            shard.ready.push_back(Ready { port, addr: addr.on_shard(home) });
        }
    }

    #[cfg(test)]
    pub(crate) fn forget_ready(&mut self) {
        self.all.iter_mut().for_each(|shard| shard.ready.clear());
    }

    /// A port of each shard that has more than so many ready and of which `is_wanted`.
    pub(crate) fn spare(&mut self, kept: usize, mut is_wanted: impl FnMut(usize) -> bool) -> Vec<Ready> {
        let rich = self.all.iter_mut().enumerate().filter(|(_, shard)| shard.ready.len() > kept);
        rich.filter(|(index, _)| is_wanted(*index)).filter_map(|(_, shard)| shard.ready.pop_front()).collect()
    }

    /// A port of that shard; if it has none ready, one of the shard that has most.
    pub(crate) fn take(&mut self, wanted: usize) -> Option<Ready> {
        let own = self.all.get_mut(wanted).and_then(|shard| shard.ready.pop_front());
        own.or_else(|| self.all.iter_mut().max_by_key(|shard| shard.ready.len())?.ready.pop_front())
    }

    /// Where a call begins: where its agents are already, else on the least loaded shard that is not late.
    pub(crate) fn place_call(&self, wanted: &[usize], limits: Limits) -> Result<usize, NoPlace> {
        let enough = |(_, shard): &(usize, &Shard)| shard.ready.len() >= 2;
        let in_time = || self.all.iter().enumerate().filter(|(_, shard)| shard.lag <= limits.call_lag);
        if self.ready() < 2 {
            return Err(NoPlace::Ports);
        }
        if in_time().map(|(_, shard)| shard.ready.len()).sum::<usize>() < 2 {
            return Err(NoPlace::Load);
        }
        let has_room = |at: &&usize| in_time().filter(enough).any(|(index, _)| index == **at);
        if let Some(at) = wanted.iter().find(has_room) {
            return Ok(*at);
        }
        let load = |(_, shard): &(usize, &Shard)| {
            (shard.lag > limits.fork_lag, shard.calls + shard.listeners * limits.listener_weight)
        };
        // two ports on two shards serve too: the legs come together by a move
        let least = in_time().filter(enough).min_by_key(load);
        let least = least.or_else(|| in_time().filter(|(_, shard)| !shard.ready.is_empty()).min_by_key(load));
        least.map(|(index, _)| index).ok_or(NoPlace::Ports)
    }

    /// No new listener is called for what is on that shard.
    pub(crate) fn refuses_forks(&self, shard: usize, limits: Limits) -> bool {
        self.all.get(shard).is_some_and(|shard| shard.lag > limits.fork_lag)
    }

    /// How late a shard is. Returns how late it was.
    pub(crate) fn told_lag(&mut self, shard: usize, lag: Duration) -> Option<Duration> {
        Some(std::mem::replace(&mut self.all.get_mut(shard)?.lag, lag))
    }

    pub(crate) fn call_began(&mut self, shard: usize) {
        self.change(shard, |shard| shard.calls += 1);
    }

    pub(crate) fn call_ended(&mut self, shard: usize) {
        self.change(shard, |shard| shard.calls = shard.calls.saturating_sub(1));
    }

    pub(crate) fn listener_came(&mut self, shard: usize) {
        self.change(shard, |shard| shard.listeners += 1);
    }

    pub(crate) fn listener_left(&mut self, shard: usize) {
        self.change(shard, |shard| shard.listeners = shard.listeners.saturating_sub(1));
    }

    /// Calls and listeners that are thought to be somewhere: 0 when all is over.
    pub(crate) fn placed(&self) -> usize {
        self.all.iter().map(|shard| shard.calls + shard.listeners).sum()
    }

    fn change(&mut self, shard: usize, what: impl FnOnce(&mut Shard)) {
        if let Some(shard) = self.all.get_mut(shard) {
            what(shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { fork_lag: Duration::from_millis(5), call_lag: Duration::from_millis(20), listener_weight: 1 };

    /// Three shards with so many ports ready.
    fn three(ready: [u16; 3]) -> Shards {
        let mut shards = Shards::new(Layout { first: 20_000, shards: 3 });
        for (index, count) in ready.into_iter().enumerate() {
            for n in 0..count {
                let port = 20_000 + 6 * n + 2 * index as u16;
                let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
                shards.add_ready(Port(port), addr.into());
            }
        }
        shards
    }

    fn lag(shards: &mut Shards, shard: usize, ms: u64) {
        shards.told_lag(shard, Duration::from_millis(ms));
    }

    #[test]
    fn a_call_begins_where_its_agents_are_else_where_least_is() {
        let mut shards = three([9, 9, 9]);
        assert_eq!(shards.place_call(&[2, 1], LIMITS), Ok(2));
        assert_eq!(shards.place_call(&[], LIMITS), Ok(0));
        shards.call_began(0);
        assert_eq!(shards.place_call(&[], LIMITS), Ok(1));
        shards.call_began(1);
        shards.listener_came(2);
        shards.listener_came(2);
        assert_eq!(shards.place_call(&[], LIMITS), Ok(0));
        assert_eq!(shards.place_call(&[], Limits { listener_weight: 0, ..LIMITS }), Ok(2));
        lag(&mut shards, 0, 6);
        assert_eq!(shards.place_call(&[], LIMITS), Ok(1), "that which takes listeners");
        assert_eq!(shards.placed(), 4);
    }

    #[test]
    fn a_late_shard_takes_no_calls_and_earlier_no_forks() {
        let mut shards = three([9, 9, 9]);
        lag(&mut shards, 1, 6);
        assert!(shards.refuses_forks(1, LIMITS) && !shards.refuses_forks(0, LIMITS));
        assert_eq!(shards.place_call(&[1], LIMITS), Ok(1), "late for forks alone");
        lag(&mut shards, 1, 21);
        assert_eq!(shards.place_call(&[1], LIMITS), Ok(0));
        assert_eq!(shards.counts(LIMITS), [3, 1, 1]);
        lag(&mut shards, 0, 21);
        lag(&mut shards, 2, 21);
        assert_eq!(shards.place_call(&[1], LIMITS), Err(NoPlace::Load));
        lag(&mut shards, 2, 20);
        assert_eq!(shards.place_call(&[1], LIMITS), Ok(2));
        lag(&mut shards, 7, 99);
    }

    #[test]
    fn where_ports_are_short_another_shard_helps_out() {
        let mut shards = three([1, 0, 4]);
        assert_eq!(shards.place_call(&[0, 1], LIMITS), Ok(2));
        assert_eq!(shards.take(1).map(|ready| shards.layout.shard_of(ready.port)), Some(2));
        let mut shards = three([1, 1, 0]);
        assert_eq!(shards.place_call(&[2], LIMITS), Ok(0), "one port here, the other there");
        lag(&mut shards, 1, 50);
        assert_eq!(shards.place_call(&[2], LIMITS), Err(NoPlace::Load));
        assert_eq!(three([1, 0, 0]).place_call(&[0], LIMITS), Err(NoPlace::Ports));
        assert!(three([0, 0, 0]).take(0).is_none());
    }
}
