//! Whose a datagram is on the port that all browsers of a shard come to, and whether it may come in.
//!
//! Two maps, never a scan: by our user fragment, which a connectivity check names, and by the address that an authentic
//! check came from. Everything but checks is let in from such an address alone.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::stun::{Check, Password};
use crate::interface::{Counters, ListenerId};
use crate::rtp::{Demux, demux};

/// Addresses of one leg at most; the one that was checked longest ago makes room.
const MAX_SOURCES: usize = 8;
/// Datagrams that are handed to another shard for one leg at most, each [`PASS_INTERVAL`]: a browser sends three a second.
const MAX_PASSED: u32 = 64;
/// And for all legs together.
const MAX_PASSED_IN_ALL: u32 = 2_048;
const PASS_INTERVAL: Duration = Duration::from_millis(100);

/// The entries of all legs that began here.
#[derive(Debug, Default)]
pub(crate) struct Door {
    guests: BTreeMap<ListenerId, Guest>,
    fragments: BTreeMap<Box<[u8]>, ListenerId>,
    sources: BTreeMap<SocketAddr, ListenerId>,
    passed: Passed,
}

#[derive(Debug)]
struct Guest {
    fragment: Box<[u8]>,
    password: Password,
    /// The one that was checked last stands last.
    sources: VecDeque<SocketAddr>,
    /// On another shard. What was handed over since then.
    away: Option<Passed>,
}

#[derive(Debug, Default)]
struct Passed {
    since: Option<Instant>,
    count: u32,
}

impl Passed {
    /// One more, if there is room in this interval.
    fn may(&mut self, now: Instant, limit: u32) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= PASS_INTERVAL) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= limit
    }
}

/// A datagram that may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// For a leg that is here.
    Here(ListenerId),
    /// For one on another shard.
    Away(ListenerId),
}

impl Door {
    /// Legs that began here.
    pub(crate) fn len(&self) -> usize {
        self.guests.len()
    }

    /// A leg begins, or has other credentials now: checks with those before are no longer authentic. Its addresses stay.
    pub(crate) fn name(&mut self, listener: ListenerId, fragment: &str, password: &str) {
        let fragment: Box<[u8]> = fragment.as_bytes().into();
        let password = Password::new(password);
        if let Some(guest) = self.guests.get_mut(&listener) {
            self.fragments.remove(&guest.fragment);
            (guest.fragment, guest.password) = (fragment.clone(), password);
        } else {
            let guest = Guest { fragment: fragment.clone(), password, sources: VecDeque::new(), away: None };
            self.guests.insert(listener, guest);
        }
        self.fragments.insert(fragment, listener);
    }

    /// The same, of a leg that may be over already.
    pub(crate) fn rename(&mut self, listener: ListenerId, fragment: &str, password: &str) {
        if self.guests.contains_key(&listener) {
            self.name(listener, fragment, password);
        }
    }

    /// A leg went to another shard, or came back.
    pub(crate) fn moved(&mut self, listener: ListenerId, is_away: bool) {
        if let Some(guest) = self.guests.get_mut(&listener) {
            guest.away = is_away.then(Passed::default);
        }
    }

    /// A leg is over.
    pub(crate) fn leave(&mut self, listener: ListenerId) {
        let Some(guest) = self.guests.remove(&listener) else { return };
        self.fragments.remove(&guest.fragment);
        for source in guest.sources {
            if self.sources.get(&source) == Some(&listener) {
                self.sources.remove(&source);
            }
        }
    }

    /// Whose a datagram is, if it may come in; counted, if not.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        source: SocketAddr,
        data: &[u8],
        counters: &mut Counters,
    ) -> Option<Admitted> {
        let listener = match demux(data) {
            Demux::Stun => self.check(source, data, counters)?,
            what @ (Demux::Dtls | Demux::Rtcp) => {
                let known = self.sources.get(&source).copied();
                counters.browser_foreign += u64::from(known.is_none());
                counters.browser_rtcp_received += u64::from(known.is_some() && what == Demux::Rtcp);
                known?
            }
            Demux::Rtp => {
                // whoever it is from
                counters.browser_rtp_dropped += 1;
                return None;
            }
            Demux::Zrtp | Demux::Turn | Demux::Other => {
                counters.browser_unknown += 1;
                return None;
            }
        };
        let Some(passed) = &mut self.guests.get_mut(&listener)?.away else { return Some(Admitted::Here(listener)) };
        if passed.may(now, MAX_PASSED) && self.passed.may(now, MAX_PASSED_IN_ALL) {
            return Some(Admitted::Away(listener));
        }
        counters.browser_unpassed += 1;
        None
    }

    /// An authentic check: its address is the leg's from now on.
    fn check(&mut self, source: SocketAddr, data: &[u8], counters: &mut Counters) -> Option<ListenerId> {
        let named = Check::parse(data).and_then(|check| Some((check, *self.fragments.get(check.fragment)?)));
        let found = named.and_then(|(check, listener)| {
            let guest = self.guests.get_mut(&listener)?;
            check.is_authentic(&guest.password).then_some((listener, guest))
        });
        let Some((listener, guest)) = found else {
            counters.browser_checks_refused += 1;
            return None;
        };
        counters.browser_checks += 1;
        if guest.sources.back() == Some(&source) && self.sources.get(&source) == Some(&listener) {
            return Some(listener);
        }
        guest.sources.retain(|known| *known != source);
        guest.sources.push_back(source);
        let oldest = (guest.sources.len() > MAX_SOURCES).then(|| guest.sources.pop_front()).flatten();
        if let Some(oldest) = oldest
            && self.sources.get(&oldest) == Some(&listener)
        {
            self.sources.remove(&oldest);
        }
        self.sources.insert(source, listener);
        Some(listener)
    }
}
