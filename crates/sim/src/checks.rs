//! What must be true in every story: no listener is ever heard, every ending is told once, and nothing is left.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use engine::view::{EventName, ListeningState};
use phone::{CallId, Kind, State};

use crate::world::World;

/// Longer than an INVITE to a phone that does not answer and its last transaction (timers B and D, 32 s each).
const UNTIL_ALL_IS_QUIET: Duration = Duration::from_secs(70);

impl World {
    /// Every packet that reaches a phone: none carries a listener's source.
    pub(crate) fn check_media(&self, to: SocketAddr, kind: Kind, data: &Bytes) {
        if kind == Kind::Rtp
            && let Some(packet) = phone::rtp::Packet::parse(data)
        {
            assert!(!self.listener_ssrcs.contains(&packet.ssrc), "a listener's packet reached {to}");
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

    fn hang_up_all(&mut self) {
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
    fn check_nobody_heard_a_listener(&self) {
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

    #[track_caller]
    fn check_leaks(&self) {
        let sizes = self.plant.engine.sizes();
        let kept = (sizes.calls, sizes.interactions, sizes.listenings);
        assert_eq!(kept, (0, 0, 0), "calls, interactions, listenings are left");
        let left = (sizes.signalling.legs, sizes.signalling.transactions, sizes.signalling.transfers);
        assert_eq!(left, (0, 0, 0), "legs, transactions, transfers are left");
        assert_eq!(self.plant.shard.sizes(), (0, 0), "streams and listeners are left in the media plane");
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
            None if addr == crate::cast::ENGINE => "engine".into(),
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
