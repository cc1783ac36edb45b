//! What the engine orders. `None` means refused.

use std::time::Instant;

use super::seats::{Leg, Seat};
use super::{Owner, Shard};
use crate::interface::{Command, Event, Kind, ListenerId, Port, Sink, StreamId};
use crate::listener::{Ear, Identity, ListenerLeg};
use crate::relay::Stream;

impl Shard {
    pub(super) fn obey(&mut self, now: Instant, command: Command, sink: &mut impl Sink) -> Option<()> {
        match command {
            Command::Open { stream, port } => self.open(now, stream, port, sink),
            Command::Describe { stream, remote } => {
                let key = self.stream(stream)?;
                self.streams.get_mut(key)?.describe(now, remote, &self.settings.own)?;
                self.gate(key);
                self.reroute_pair(key);
                self.tell_sources(key, sink);
                Some(())
            }
            Command::Bridge { a, b } => self.bridge(now, a, b),
            Command::Unbridge { stream } => {
                let key = self.stream(stream)?;
                self.unbridge(key);
                Some(())
            }
            Command::Close { stream } => self.close(stream, sink),
            Command::OpenListener { listener, port } => self.open_listener(listener, port, sink),
            Command::Listen { listener, remote } => {
                let key = self.listener(listener)?;
                self.silence.begin(remote.codec, 0)?;
                let Seat { ear, leg, .. } = self.listeners.get_mut(key)?;
                let Leg::Rtp(leg) = leg;
                leg.listen(now, remote, &self.settings.own)?;
                ear.answered(now);
                leg.tell_source(Kind::Rtp, sink);
                leg.tell_source(Kind::Rtcp, sink);
                self.seat(key);
                self.tune(key);
                Some(())
            }
            Command::Focus { listener, taps } => {
                let key = self.listener(listener)?;
                let focus = taps.map(|taps| taps.agent);
                let is_known = focus.is_none_or(|agent| self.stream(agent).is_some());
                self.focus(key, focus.filter(|_| is_known));
                is_known.then_some(())
            }
            Command::Mix { listener, mix } => {
                let key = self.listener(listener)?;
                self.listeners.get_mut(key)?.ear.mix = mix;
                self.tune(key);
                Some(())
            }
            Command::WatchKeys { listener, on } => {
                let key = self.listener(listener)?;
                let Leg::Rtp(leg) = &mut self.listeners.get_mut(key)?.leg;
                leg.watch_keys(on);
                Some(())
            }
            Command::WatchPartyKeys { stream, on } => {
                let key = self.stream(stream)?;
                let keys = &mut self.streams.get_mut(key)?.cold.keys;
                *keys = keys.take().filter(|_| on).or_else(|| on.then(Box::default));
                self.reroute(key);
                Some(())
            }
            Command::WatchLevels { stream, on } => {
                let key = self.stream(stream)?;
                let stream = self.streams.get_mut(key)?;
                stream.cold.watches_levels = on;
                let tapped = stream.tap.and_then(|tap| self.taps.get_mut(tap));
                tapped.into_iter().for_each(|tapped| tapped.desk.watch_levels(on));
                Some(())
            }
            // not yet
            Command::OpenBrowser { .. } | Command::RestartBrowser { .. } => None,
            Command::Shield { listener, on } => {
                let key = self.listener(listener)?;
                self.listeners.get_mut(key)?.ear.is_shielded = on;
                self.tune(key);
                Some(())
            }
            Command::CloseListener { listener } => {
                let key = self.listener(listener)?;
                self.unseat(key);
                self.listener_ids.remove(&listener);
                let seat = self.listeners.try_remove(key)?;
                seat.leg.port().into_iter().for_each(|port| self.disown(port));
                seat.close(self.beat.elapsed(now), &mut self.counters, sink);
                Some(())
            }
            Command::Done(_) => Some(()),
        }
    }

    pub(super) fn stream(&self, id: StreamId) -> Option<usize> {
        self.stream_ids.get(&id).copied()
    }

    fn listener(&self, id: ListenerId) -> Option<usize> {
        self.listener_ids.get(&id).copied()
    }

    fn open(&mut self, now: Instant, id: StreamId, port: Port, sink: &mut impl Sink) -> Option<()> {
        self.is_free(port).then_some(())?;
        if self.streams.len() >= self.settings.max_streams || self.stream_ids.contains_key(&id) {
            sink.release(port);
            return None;
        }
        let key = self.streams.insert(Stream::new(now, id, port));
        self.stream_ids.insert(id, key);
        self.own(port, Owner::stream(key, id));
        Some(())
    }

    fn open_listener(&mut self, id: ListenerId, port: Port, sink: &mut impl Sink) -> Option<()> {
        self.is_free(port).then_some(())?;
        if self.listeners.len() >= self.settings.max_listeners || self.listener_ids.contains_key(&id) {
            sink.release(port);
            return None;
        }
        let leg = ListenerLeg::new(port, Identity::draw(&mut self.rng));
        let key = self.listeners.insert(Seat::new(Ear::new(id), Leg::Rtp(Box::new(leg))));
        self.listener_ids.insert(id, key);
        self.own(port, Owner::listener(key, id));
        Some(())
    }

    fn bridge(&mut self, now: Instant, a: StreamId, b: StreamId) -> Option<()> {
        let (a, b) = (self.stream(a)?, self.stream(b)?);
        if a == b {
            return None;
        }
        if self.streams.get(a)?.partner == Some(b) {
            return Some(());
        }
        self.unbridge(a);
        self.unbridge(b);
        let (one, other) = self.streams.get2_mut(a, b)?;
        (one.partner, other.partner) = (Some(b), Some(a));
        one.cold.watch.patience(now);
        other.cold.watch.patience(now);
        self.reroute_pair(a);
        Some(())
    }

    /// Parts a pair. Either's tap hears somebody else from now on, or nobody.
    pub(super) fn unbridge(&mut self, key: usize) {
        let partner = self.streams.get_mut(key).and_then(|stream| stream.partner.take());
        let other = partner.and_then(|partner| self.streams.get_mut(partner)).and_then(|other| {
            other.partner = None;
            other.tap
        });
        let own = self.streams.get(key).and_then(|stream| stream.tap);
        for tap in [own, other].into_iter().flatten() {
            if let Some(tapped) = self.taps.get_mut(tap) {
                tapped.tap.down.start_anew();
            }
        }
        self.reroute(key);
        partner.into_iter().for_each(|partner| self.reroute(partner));
    }

    fn close(&mut self, id: StreamId, sink: &mut impl Sink) -> Option<()> {
        let key = self.stream(id)?;
        self.unbridge(key);
        let tap = self.streams.get(key)?.tap;
        let listeners =
            tap.and_then(|tap| self.taps.get(tap)).map(|tapped| tapped.listeners.clone()).unwrap_or_default();
        for listener in listeners {
            self.focus(listener, None);
        }
        self.stream_ids.remove(&id);
        let stream = self.streams.try_remove(key)?;
        self.disown(stream.port);
        sink.event(Event::Closed { stream: id, figures: stream.reception.figures() });
        sink.release(stream.port);
        Some(())
    }

    /// A tap lets through what its leg's negotiated direction does.
    pub(super) fn gate(&mut self, key: usize) {
        let Some(stream) = self.streams.get(key) else { return };
        if let Some(tapped) = stream.tap.and_then(|tap| self.taps.get_mut(tap)) {
            tapped.tap.up.gate(stream.cold.sends);
            tapped.tap.down.gate(stream.cold.receives);
        }
    }

    /// Decides anew what happens to a leg's packets, and to its partner's, which go to it.
    pub(super) fn reroute_pair(&mut self, key: usize) {
        self.reroute(key);
        if let Some(partner) = self.streams.get(key).and_then(|stream| stream.partner) {
            self.reroute(partner);
        }
    }

    /// Decides anew what happens to a leg's packets.
    pub(super) fn reroute(&mut self, key: usize) {
        let Some(stream) = self.streams.get(key) else { return };
        let partner = stream.partner.and_then(|partner| self.streams.get(partner));
        let (rtp, rtcp) = (stream.route(Kind::Rtp, partner), stream.route(Kind::Rtcp, partner));
        if let Some(stream) = self.streams.get_mut(key) {
            (stream.rtp, stream.rtcp) = (rtp, rtcp);
        }
    }

    /// Tells the shell whom a leg's sockets accept, where that has changed.
    pub(super) fn tell_sources(&mut self, key: usize, sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        for socket in [Kind::Rtp, Kind::Rtcp] {
            stream.cold.tell(stream.port, socket, sink);
        }
    }

    fn is_free(&self, port: Port) -> bool {
        port.0 != 0 && port.0.is_multiple_of(2) && self.owner(port) == Owner::Nobody
    }

    pub(super) fn own(&mut self, port: Port, owner: Owner) {
        let place = usize::from(port.0 / 2);
        if place >= self.ports.len() {
            self.ports.resize(place + 1, Owner::Nobody);
        }
        self.ports[place] = owner;
        self.settings.own.opened(port);
    }

    pub(super) fn disown(&mut self, port: Port) {
        if let Some(owner) = self.ports.get_mut(usize::from(port.0 / 2)) {
            *owner = Owner::Nobody;
            self.settings.own.closed(port);
        }
    }
}
