//! Slow time-outs: a tenth of all streams and listeners every 100 ms, so that no sweep is ever long.

use std::time::{Duration, Instant};

use super::Shard;
use crate::interface::{Event, Levels, Sink};

const SLICES: usize = 10;
const INTERVAL: Duration = Duration::from_millis(100);
/// [`Event::Progress`] and [`Event::ListenerProgress`] each so many rounds of all slices: 5 s.
const PROGRESS_ROUNDS: usize = 5;
/// A party sends if its last packet is not older.
const SENDS_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Sweep {
    due: Option<Instant>,
    turn: usize,
}

impl Sweep {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Runs while there is something to watch.
    pub(super) fn arm(&mut self, now: Instant, is_needed: bool) {
        self.due = is_needed.then(|| self.due.unwrap_or(now + INTERVAL));
    }

    /// The turn that is due. Turns that were missed are not made up for: each looks at the time itself.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<usize> {
        let due = self.due.filter(|due| *due <= now)?;
        self.due = Some((due + INTERVAL).max(now.checked_sub(INTERVAL * SLICES as u32).unwrap_or(now)));
        self.turn = self.turn.wrapping_add(1);
        Some(self.turn)
    }
}

impl Shard {
    pub(super) fn watch(&mut self, now: Instant, turn: usize, sink: &mut impl Sink) {
        let slice = turn % SLICES;
        let mut progress = Vec::new();
        for key in (slice..self.streams.capacity()).step_by(SLICES) {
            self.judge_dead(now, key, sink);
            self.judge_one_way(now, key, sink);
            self.retire(now, key);
            let is_due = turn / SLICES % PROGRESS_ROUNDS == key / SLICES % PROGRESS_ROUNDS;
            if let Some(stream) = self.streams.get_mut(key).filter(|_| is_due) {
                let figures = stream.reception.figures();
                if std::mem::replace(&mut stream.packets_told, figures.packets) != figures.packets {
                    progress.push((stream.id, figures));
                }
            }
        }
        if !progress.is_empty() {
            sink.event(Event::Progress { streams: progress });
        }
        self.tell_levels(sink);
        let mut served = Vec::new();
        for key in (slice..self.listeners.capacity()).step_by(SLICES) {
            let Some(seat) = self.listeners.get_mut(key) else { continue };
            let is_due = turn / SLICES % PROGRESS_ROUNDS == key / SLICES % PROGRESS_ROUNDS;
            let tap = seat.tap.and_then(|tap| self.taps.get(tap)).map(|tapped| &tapped.tap);
            if let Some(quality) = is_due.then(|| seat.news(tap)).flatten() {
                served.push((seat.ear.id, quality));
            }
            seat.tell_loss(sink);
            // Once a second, whatever it told last.
            if let (Some(lost), Some(tapped)) = (seat.remote_lost(), seat.tap.and_then(|tap| self.taps.get_mut(tap))) {
                let per_cent = (lost * 100.0) as u8;
                seat.tracks.iter().flatten().for_each(|kind| tapped.desk.expect_loss(*kind, per_cent));
            }
            if seat.leg.is_silent(now, self.settings.listener_lost_after) {
                sink.event(Event::ListenerSilent { listener: seat.ear.id });
            }
        }
        if !served.is_empty() {
            sink.event(Event::ListenerProgress { listeners: served });
        }
    }

    /// How loud it is where somebody wants to know.
    fn tell_levels(&self, sink: &mut impl Sink) {
        let mut levels = Vec::new();
        for (_, tapped) in &self.taps {
            if let (Some([up, down]), Some(stream)) = (tapped.desk.levels(), self.streams.get(tapped.agent)) {
                levels.push(Levels { stream: stream.id, up, down });
            }
        }
        if !levels.is_empty() {
            sink.event(Event::Levels { levels });
        }
    }

    /// Keys that were replaced do not wait for a packet to be wiped.
    fn retire(&mut self, now: Instant, key: usize) {
        if let Some(protection) = self.streams.get_mut(key).and_then(|stream| stream.protection.as_mut()) {
            protection.retire(now);
        }
    }

    /// No RTP and no RTCP from either of a pair for the timeout, after RTP was once seen.
    fn judge_dead(&mut self, now: Instant, key: usize, sink: &mut impl Sink) {
        let Some(partner) = self.streams.get(key).and_then(|stream| stream.partner) else { return };
        let Some((a, b)) = self.streams.get2_mut(key, partner) else { return };
        // Nearly all are settled by this, without a look at what is not at hand.
        let soonest = self.settings.rtp_timeout.min(self.settings.rtp_timeout_held);
        if is_recent(now, a.last.rtp.max(b.last.rtp), soonest) {
            return;
        }
        let is_held = [&*a, &*b].iter().any(|stream| !stream.cold.sends || !stream.cold.receives);
        let limit = if is_held { self.settings.rtp_timeout_held } else { self.settings.rtp_timeout };
        let is_described = a.cold.is_described && b.cold.is_described;
        let is_up = is_described && (a.last.rtp.is_some() || b.last.rtp.is_some());
        let quiet = now.saturating_duration_since(a.alive().max(b.alive()));
        if is_up && !limit.is_zero() && quiet >= limit && !(a.is_told_dead() && b.is_told_dead()) {
            a.cold.watch.dead_told = Some(a.alive());
            b.cold.watch.dead_told = Some(b.alive());
            sink.event(Event::Dead { stream: a.id });
        }
    }

    /// A party that should send is silent while the other sends.
    fn judge_one_way(&mut self, now: Instant, key: usize, sink: &mut impl Sink) {
        let Some(partner) = self.streams.get(key).and_then(|stream| stream.partner) else { return };
        let Some((stream, partner)) = self.streams.get2_mut(key, partner) else { return };
        let since = |then: Instant| now.saturating_duration_since(then);
        let limit = self.settings.one_way_after;
        if is_recent(now, stream.last.rtp, limit) {
            return;
        }
        let is_silent = stream.cold.is_described && stream.cold.sends && since(stream.heard()) >= limit;
        let other_sends = partner.cold.is_described && partner.last.rtp.is_some_and(|at| since(at) <= SENDS_WITHIN);
        let is_told = stream.cold.watch.one_way_told == Some(stream.last.rtp);
        if is_silent && other_sends && !limit.is_zero() && !is_told {
            stream.cold.watch.one_way_told = Some(stream.last.rtp);
            sink.event(Event::OneWay { stream: stream.id });
        }
    }
}

fn is_recent(now: Instant, last: Option<Instant>, limit: Duration) -> bool {
    last.is_some_and(|last| now.saturating_duration_since(last) < limit)
}
