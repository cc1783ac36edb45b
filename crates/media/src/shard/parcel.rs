//! Streams and listeners on their way from one shard to another: whole, as they are, with ids in place of slab indices.
//!
//! What has its time from the shard's own clock (a listener's ticks, its reports, a tap's frames) is set to the other
//! shard's when it gets there; everything else is told in instants and needs nothing.

use std::time::Instant;

use super::beat::PHASES;
use super::seats::Seat;
use super::{Owner, Shard, Tapped};
use crate::fork::Tap;
use crate::interface::{Port, StreamId};
use crate::listener::rounded_ms;
use crate::mixer::Desk;
use crate::relay::Stream;
use crate::router::Take;

/// What left a shard by [`Shard::take`], for [`Shard::adopt`] of another. Plain data: it may change threads.
#[derive(Debug)]
pub struct Parcel {
    /// When the clock of the shard that it left began.
    epoch: Instant,
    streams: Vec<(Stream, Option<StreamId>)>,
    taps: Vec<Lifted>,
    listeners: Vec<Seat>,
}

/// A tap between two shards.
#[derive(Debug)]
struct Lifted {
    tap: Tap,
    desk: Desk,
    agent: StreamId,
    ticked_ms: Option<u64>,
}

impl Parcel {
    /// Whose sockets go along.
    pub fn ports(&self) -> impl Iterator<Item = Port> + '_ {
        let streams = self.streams.iter().map(|(stream, _)| stream.port);
        streams.chain(self.listeners.iter().filter_map(|seat| seat.leg.port()))
    }
}

impl Shard {
    /// Takes streams and listeners out, without a word to anybody; `None`: none of them is here. What stays behind is
    /// parted from them: a partner has none, a listener hears silence.
    pub fn take(&mut self, take: &Take) -> Option<Parcel> {
        let streams: Vec<usize> = take.streams.iter().filter_map(|id| self.stream_ids.get(id).copied()).collect();
        let listeners: Vec<usize> = take.listeners.iter().filter_map(|id| self.listener_ids.get(id).copied()).collect();
        if streams.is_empty() && listeners.is_empty() {
            return None;
        }
        let (epoch, _) = self.beat.instant(0);
        let partners: Vec<_> = streams.iter().map(|key| self.part_unless(*key, &streams)).collect();
        let taps = streams.iter().filter_map(|key| self.lift_tap(*key, &listeners)).collect();
        let listeners = listeners.into_iter().filter_map(|key| self.lift_listener(key, &take.streams)).collect();
        let streams = streams.into_iter().filter_map(|key| self.lift_stream(key)).zip(partners).collect();
        Some(Parcel { epoch, streams, taps, listeners })
    }

    /// Takes in what left another shard. Limits do not count: it was let in there.
    pub fn adopt(&mut self, now: Instant, parcel: Parcel) {
        self.beat.begin(now);
        let (epoch, _) = self.beat.instant(0);
        let later_us = micros(epoch.saturating_duration_since(parcel.epoch))
            - micros(parcel.epoch.saturating_duration_since(epoch));
        let partners: Vec<_> = parcel.streams.into_iter().map(|(stream, partner)| self.put(stream, partner)).collect();
        for (key, partner) in partners.iter().copied() {
            let partner = partner.and_then(|partner| self.stream_ids.get(&partner).copied());
            if let Some(stream) = self.streams.get_mut(key) {
                stream.partner = partner;
            }
        }
        for lifted in parcel.taps {
            self.put_tap(lifted, later_us);
        }
        for seat in parcel.listeners {
            self.put_listener(seat, later_us);
        }
        // Partners and taps have other places here.
        for (key, _) in partners {
            self.reroute(key);
        }
        self.sweep.arm(now, true);
    }

    /// The tap on a leg, if one of those who leave listens to it. Those who stay hear silence.
    fn lift_tap(&mut self, agent: usize, leaving: &[usize]) -> Option<Lifted> {
        let stream = self.streams.get(agent)?;
        let (id, key) = (stream.id, stream.tap?);
        let staying = self.taps.get(key)?.listeners.iter().filter(|other| !leaving.contains(other));
        for listener in staying.copied().collect::<Vec<_>>() {
            self.focus(listener, None);
        }
        let Tapped { tap, desk, phase, ticked_ms, listeners, .. } = self.taps.try_remove(key)?;
        self.beat.phase_mut(phase).taps.retain(|other| *other != key);
        for listener in listeners {
            if let Some(seat) = self.listeners.get_mut(listener) {
                seat.tap = None;
            }
        }
        self.streams.get_mut(agent)?.tap = None;
        Some(Lifted { tap, desk, agent: id, ticked_ms })
    }

    /// The partner's id, if it leaves too; else the two are parted.
    fn part_unless(&mut self, key: usize, leaving: &[usize]) -> Option<StreamId> {
        let partner = self.streams.get(key)?.partner?;
        if !leaving.contains(&partner) {
            self.unbridge(key);
            return None;
        }
        self.streams.get(partner).map(|partner| partner.id)
    }

    /// It keeps its kinds if its tap goes along.
    fn lift_listener(&mut self, key: usize, leaving: &[StreamId]) -> Option<Seat> {
        self.unseat(key);
        let mut seat = self.listeners.try_remove(key)?;
        seat.ear.focus = seat.ear.focus.filter(|focus| leaving.contains(focus));
        self.listener_ids.remove(&seat.ear.id);
        seat.leg.port().into_iter().for_each(|port| self.disown(port));
        Some(seat)
    }

    fn lift_stream(&mut self, key: usize) -> Option<Stream> {
        let mut stream = self.streams.try_remove(key)?;
        stream.partner = None;
        self.stream_ids.remove(&stream.id);
        self.disown(stream.port);
        Some(stream)
    }

    fn put(&mut self, stream: Stream, partner: Option<StreamId>) -> (usize, Option<StreamId>) {
        let (id, port) = (stream.id, stream.port);
        let key = self.streams.insert(stream);
        self.stream_ids.insert(id, key);
        self.own(port, Owner::stream(key, id));
        (key, partner)
    }

    /// Its place is on its tap, or that in which its next tick is due.
    fn put_listener(&mut self, mut seat: Seat, later_us: i64) {
        seat.phase = seat.leg.reclock(later_us);
        let (id, port) = (seat.ear.id, seat.leg.port());
        let key = self.listeners.insert(seat);
        self.listener_ids.insert(id, key);
        port.into_iter().for_each(|port| self.own(port, Owner::listener(key, id)));
        self.seat(key);
    }

    /// It ticks when its next frame is due.
    fn put_tap(&mut self, lifted: Lifted, later_us: i64) {
        let Lifted { tap, desk, agent, ticked_ms } = lifted;
        let Some(agent) = self.stream_ids.get(&agent).copied() else { return };
        let ticked = ticked_ms.and_then(|ms| i64::try_from(ms).ok()).map(|ms| ms - rounded_ms(later_us));
        let due = ticked.and_then(|ms| usize::try_from(ms.rem_euclid(PHASES as i64)).ok());
        let phase = due.unwrap_or_else(|| self.beat.choose());
        let ticked_ms = ticked.map(|ms| u64::try_from(ms).unwrap_or(0));
        let key = self.taps.insert(Tapped { tap, agent, phase, ticked_ms, listeners: Vec::new(), desk });
        self.beat.phase_mut(phase).taps.push(key);
        if let Some(stream) = self.streams.get_mut(agent) {
            stream.tap = Some(key);
        }
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_may_change_threads() {
        fn may<T: Send + 'static>() {}
        may::<Parcel>();
    }
}
