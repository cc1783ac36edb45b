//! What must be true in every story: no listener is ever heard, every ending is told once, and nothing is left.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use engine::view::{EventName, ListeningState};
use phone::{CallId, Kind, State};

use crate::world::World;

/// Longer than an INVITE to a phone that does not answer and its last transaction (timers B and D, 32 s each).
const UNTIL_ALL_IS_QUIET: Duration = Duration::from_secs(70);

/// What listeners alone press in a swarm,
pub(crate) const LISTENERS_DIGITS: [u8; 3] = [1, 2, 9];
/// and write in INFO.
pub(crate) const LISTENERS_WORD: &str = "Signal=listener";

impl World {
    /// Every packet that reaches a phone: none carries a listener's source.
    pub(crate) fn check_media(&self, to: SocketAddr, kind: Kind, data: &Bytes, encrypted: bool) {
        if kind == Kind::Rtp
            && let Some(packet) = phone::rtp::Packet::parse(data)
        {
            assert!(!self.listener_ssrcs.contains(&packet.ssrc), "a listener's packet reached {to}");
            // listeners alone press these in a swarm
            let is_theirs = packet.payload.first().is_some_and(|digit| LISTENERS_DIGITS.contains(digit));
            let digit = !encrypted && packet.payload_type == 101 && is_theirs;
            assert!(!digit || self.watch.is_none(), "a listener's digit reached {to}");
        }
        if kind == Kind::Rtcp
            && let Some(Ok(ssrc)) = data.get(4..8).map(<[u8; 4]>::try_from)
        {
            let ssrc = u32::from_be_bytes(ssrc);
            assert!(!self.listener_ssrcs.contains(&ssrc), "a listener's report reached {to}");
        }
    }

    /// What a listener says in SIP goes nowhere.
    pub(crate) fn check_sip(&self, from: SocketAddr, index: usize, data: &Bytes) {
        if self.watch.is_some() && crate::cast::is_engine(from.ip()) && !data.starts_with(b"SIP/2.0") {
            let reached = String::from_utf8_lossy(data).contains(LISTENERS_WORD);
            assert!(!reached, "a listener's INFO reached {}", self.phones[index].name);
        }
    }

    /// This story ends with calls that nobody can hang up (a dead engine, a lost phone): no check for leaks.
    pub fn leaves_open(&mut self) {
        self.leaves_open = true;
    }

    /// Everybody hangs up; 70 s later nothing may be left. Called by itself when the world ends.
    #[track_caller]
    pub fn finish(&mut self) {
        if self.leaves_open {
            return;
        }
        self.leaves_open = true;
        self.hang_up_all();
        self.run_for(Duration::from_secs(1));
        self.hang_up_all();
        self.run_for(UNTIL_ALL_IS_QUIET);
        self.check_nobody_heard_a_listener();
        self.check_endings();
        self.check_leaks();
    }

    pub(crate) fn hang_up_all(&mut self) {
        for index in 0..self.phones.len() {
            self.phones[index].phone.habits_mut().alive = true;
            let calls: Vec<CallId> =
                self.phones[index].phone.calls().filter(|c| c.state() != State::Ended).map(phone::Call::id).collect();
            for call in calls {
                let mut out = Vec::new();
                let now = self.now;
                self.phones[index].phone.hang_up(now, call, &mut out);
                self.take_phone_outputs(index, out);
            }
        }
    }

    #[track_caller]
    pub(crate) fn check_nobody_heard_a_listener(&self) {
        for slot in &self.phones {
            for call in slot.phone.calls() {
                let pcm = call.ears().pcm(self.start, self.now);
                let heard = pcm.chunks(4_000).any(|second| phone::ears::hears(second, 1500.0));
                assert!(!heard, "{} heard a listener", slot.name);
            }
        }
    }

    /// Every listening has ended, with one reason, one event and one record.
    #[track_caller]
    fn check_endings(&self) {
        for listening in self.listenings() {
            assert_eq!(listening.state, ListeningState::Ended, "{listening:?} never ended");
            assert!(listening.end_reason.is_some() && listening.ended_at.is_some(), "{listening:?} has no reason");
            let events = self.model.events_of(&listening.id);
            let ended = events.iter().filter(|e| **e == EventName::ListeningEnded).count();
            assert_eq!(ended, 1, "listening {} told its end {ended} times: {events:?}", listening.id);
            assert_eq!(events.last(), Some(&EventName::ListeningEnded), "its end is the last that is told");
            if !self.disk.full {
                let record = self.disk.listenings.get(&listening.id);
                assert_eq!(
                    record.map(|r| (r.end_reason, r.counted)),
                    Some((listening.end_reason, listening.counted)),
                    "the archive differs from what was shown"
                );
            }
        }
        for call in self.model.calls.values() {
            assert!(call.ended_at.is_some(), "call {} never ended: {call:?}", call.id);
            assert!(self.disk.full || self.disk.calls.contains_key(&call.id), "call {} has no record", call.id);
        }
    }

    /// What is still there that must not be when nobody talks, by the rule that it breaks.
    pub(crate) fn what_is_left(&self) -> Vec<(&'static str, String)> {
        let mut left = Vec::new();
        let mut must = |so: bool, rule: &'static str, what: String| {
            if !so {
                left.push((rule, what));
            }
        };
        let mut sizes = self.plant.engine.sizes();
        let refused = |slot: &crate::world::Slot| slot.phone.registered().is_some_and(|status| status != 200);
        if self.limits.stateless || self.phones.iter().any(refused) {
            // a phone that wanted to leave was refused: its account was deleted meanwhile, or there were too many
            sizes.signalling.bindings = 0;
        }
        let kept = engine::Sizes { ports_ready: sizes.ports_ready, shards: sizes.shards, ..engine::Sizes::default() };
        must(sizes == kept, "nothing is left in the engine", format!("{sizes:?}"));
        let (streams, listeners) = self.plant.media_sizes();
        must((streams, listeners) == (0, 0), "nothing is left in the media plane", format!("{streams}, {listeners}"));
        let routed = self.router();
        let known = (routed.streams, routed.listeners, routed.waiting);
        must(known == (0, 0, 0), "nothing is left in the router", format!("{routed:?}"));
        let (open, ready) = (self.plant.open.len(), sizes.ports_ready);
        must(open == ready, "every port comes back", format!("{open} are open, {ready} are ready"));
        for slot in &self.phones {
            let waiting = slot.phone.pending_lines();
            must(waiting.is_empty(), "no phone waits for an answer", format!("{}: {waiting:?}", slot.name));
            let up = slot.phone.calls().filter(|c| c.state() != State::Ended).count();
            must(up == 0, "no phone is in a call", format!("{}: {up}", slot.name));
        }
        for call in self.model.calls.values().filter(|c| c.ended_at.is_none()) {
            must(false, "every call ends", format!("{call:?}"));
        }
        for agent in self.model.agents.values() {
            must(agent.calls.is_empty(), "no agent is shown in a call", format!("{agent:?}"));
        }
        for (id, view) in &self.model.listenings {
            must(view.ended_at.is_some(), "every listening ends", format!("{view:?}"));
            let kept = self.disk.listenings.get(id).map(|r| (r.end_reason, r.counted));
            must(
                kept == Some((view.end_reason, view.counted)),
                "the archive says what was shown",
                format!("{view:?}: {kept:?}"),
            );
        }
        for view in self.disk.listenings.values() {
            must(view.ended_at.is_some(), "no record of a listening stays open", format!("{view:?}"));
        }
        for (id, record) in &self.disk.requests {
            let counted = self.disk.listenings.values().filter(|l| l.counted && l.request == *id).count();
            let used = record.view.calls.used as usize;
            must(counted == used, "what is counted was heard", format!("{id}: {used} used, {counted} in the archive"));
        }
        left
    }

    #[track_caller]
    fn check_leaks(&self) {
        let sizes = self.plant.engine.sizes();
        let kept = (sizes.calls, sizes.interactions, sizes.listenings);
        assert_eq!(kept, (0, 0, 0), "calls, interactions, listenings are left");
        let left = (sizes.signalling.legs, sizes.signalling.transactions, sizes.signalling.transfers);
        assert_eq!(left, (0, 0, 0), "legs, transactions, transfers are left");
        let routed = self.router();
        let known = (routed.streams, routed.listeners, routed.waiting);
        assert_eq!(known, (0, 0, 0), "the router knows of streams, listeners, commands");
        assert_eq!(self.plant.media_sizes(), (0, 0), "streams and listeners are left in the media plane");
        assert_eq!(self.plant.open.len(), sizes.ports_ready, "ports are kept that nobody uses");
        assert!(self.disk.full || self.disk.dialogs.is_empty(), "dialogs are left on disk: {:?}", self.disk.dialogs);
        for slot in &self.phones {
            let waiting = slot.phone.pending_lines();
            assert!(waiting.is_empty(), "{} still waits: {waiting:?}", slot.name);
        }
    }

    /// The stream that a leg got since a moment is one stream: one source, no gap in sequence, an even clock.
    #[track_caller]
    pub fn is_one_stream(&self, leg: crate::Leg, from: std::time::Instant) {
        let packets: Vec<_> = self.call(leg).ears().between(from, self.now).collect();
        assert!(packets.len() > 1, "too few packets to judge");
        for pair in packets.windows(2) {
            let [a, b] = pair else { continue };
            assert_eq!(a.ssrc, b.ssrc, "the source changed");
            assert_eq!(b.sequence, a.sequence.wrapping_add(1), "the sequence has a gap");
            assert_eq!(b.timestamp, a.timestamp.wrapping_add(160), "the clock jumps");
            let gap = b.at - a.at;
            assert!(gap <= Duration::from_millis(60), "{gap:?} without a packet");
        }
    }

    /// The SIP messages of the story as a ladder, for a person who looks for a mistake.
    #[must_use]
    pub fn ladder(&self) -> String {
        let name = |addr: SocketAddr| match self.sip_owners.get(&addr) {
            Some(&i) => self.phones[i].name.clone(),
            None if crate::cast::is_engine(addr.ip()) => "engine".into(),
            None => addr.to_string(),
        };
        let mut text = String::new();
        for message in &self.air.wire {
            let lossy = String::from_utf8_lossy(&message.data);
            let first = lossy.lines().next().unwrap_or_default();
            let find = |name: &str| lossy.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().to_owned();
            let direction = lossy.lines().find(|l| l.strip_prefix("a=").is_some_and(is_direction)).unwrap_or_default();
            text += &format!(
                "{:>9.3} {:>7} -> {:<7} {first} [{}; {}] {direction}{}\n",
                (message.at - self.start).as_secs_f64(),
                name(message.from),
                name(message.to),
                find("CSeq: "),
                find("Call-ID: ").chars().take(14).collect::<String>(),
                if message.lost { " LOST" } else { "" }
            );
        }
        text
    }
}

fn is_direction(word: &str) -> bool {
    ["sendrecv", "sendonly", "recvonly", "inactive"].contains(&word)
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if std::env::var_os("LADDER").is_some() {
                eprintln!("{}", self.ladder());
                for (at, level, message, ids) in &self.logs {
                    eprintln!("{:>9.3} {level} {message} {ids:?}", (*at - self.start).as_secs_f64());
                }
            }
        } else {
            self.finish();
        }
    }
}
