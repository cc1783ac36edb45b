//! What the engine orders. `None` means refused.

use std::time::Instant;

use super::{Owner, Seat, Shard, Tapped};
use crate::fork::Tap;
use crate::interface::{Command, Event, Kind, ListenerId, Port, Sink, StreamId};
use crate::listener::{Identity, ListenerLeg};
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
                let leg = &mut self.listeners.get_mut(key)?.leg;
                let is_new = !leg.is_listening();
                leg.listen(now, remote, &self.settings.own)?;
                leg.tell_source(Kind::Rtp, sink);
                leg.tell_source(Kind::Rtcp, sink);
                if is_new {
                    self.seat(key);
                }
                Some(())
            }
            Command::Focus { listener, taps } => {
                let key = self.listener(listener)?;
                let focus = taps.map(|taps| taps.agent);
                let is_known = focus.is_none_or(|agent| self.stream(agent).is_some());
                self.focus(key, focus.filter(|_| is_known));
                is_known.then_some(())
            }
            // not yet
            Command::Mix { .. }
            | Command::WatchKeys { .. }
            | Command::WatchPartyKeys { .. }
            | Command::WatchLevels { .. }
            | Command::OpenBrowser { .. }
            | Command::RestartBrowser { .. } => None,
            Command::Shield { listener, on } => {
                let key = self.listener(listener)?;
                self.listeners.get_mut(key)?.leg.set_shield(on);
                Some(())
            }
            Command::CloseListener { listener } => {
                let key = self.listener(listener)?;
                self.unseat(key);
                self.listener_ids.remove(&listener);
                let leg = self.listeners.try_remove(key)?.leg;
                self.disown(leg.port());
                leg.close(self.beat.elapsed(now), &mut self.counters, sink);
                Some(())
            }
            Command::Done(_) => Some(()),
        }
    }

    fn stream(&self, id: StreamId) -> Option<usize> {
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
        let leg = ListenerLeg::new(id, port, Identity::draw(&mut self.rng));
        let key = self.listeners.insert(Seat { leg, tap: None, phase: None });
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

    /// A listener turns to another leg, or to silence. Its stream goes on.
    pub(super) fn focus(&mut self, key: usize, focus: Option<StreamId>) {
        let Some(seat) = self.listeners.get_mut(key) else { return };
        if seat.leg.focus() == focus {
            return;
        }
        seat.leg.set_focus(focus);
        if seat.leg.is_listening() {
            self.unseat(key);
            self.seat(key);
        }
    }

    /// Gives a listener its place: with the others on its tap, or alone in a phase.
    pub(super) fn seat(&mut self, key: usize) {
        let Some(seat) = self.listeners.get(key) else { return };
        let agent = seat.leg.focus().and_then(|id| self.stream(id));
        let phase = seat.phase.unwrap_or_else(|| self.beat.choose());
        let tap = agent.map(|agent| self.tap_on(agent, phase));
        let phase = tap.and_then(|tap| self.taps.get(tap)).map_or(phase, |tapped| tapped.phase);
        if let Some(seat) = self.listeners.get_mut(key) {
            seat.phase = Some(phase);
            seat.tap = tap;
        }
        self.beat.seated(phase);
        match tap.and_then(|tap| self.taps.get_mut(tap)) {
            Some(tapped) => tapped.listeners.push(key),
            None => self.beat.phase_mut(phase).alone.push(key),
        }
    }

    /// Takes a listener from its place; a tap without listeners goes.
    pub(super) fn unseat(&mut self, key: usize) {
        let Some(seat) = self.listeners.get_mut(key) else { return };
        let Some(phase) = seat.phase.filter(|_| seat.leg.is_listening()) else { return };
        let tap = seat.tap.take();
        self.beat.left(phase);
        let phase = self.beat.phase_mut(phase);
        phase.alone.retain(|other| *other != key);
        let Some(tap) = tap else { return };
        let is_empty = self.taps.get_mut(tap).is_some_and(|tapped| {
            tapped.listeners.retain(|other| *other != key);
            tapped.listeners.is_empty()
        });
        if is_empty {
            phase.taps.retain(|other| *other != tap);
            let Some(agent) = self.taps.try_remove(tap).map(|tapped| tapped.agent) else { return };
            self.streams.get_mut(agent).into_iter().for_each(|agent| agent.tap = None);
            self.reroute_pair(agent);
        }
    }

    /// The tap on a leg; a new one ticks in the phase of its first listener.
    fn tap_on(&mut self, agent: usize, phase: usize) -> usize {
        if let Some(tap) = self.streams.get(agent).and_then(|stream| stream.tap) {
            return tap;
        }
        let tap = Tap::new(&self.settings, self.beat.next_of(phase));
        let key = self.taps.insert(Tapped { tap, agent, phase, ticked_ms: None, listeners: Vec::new() });
        self.beat.phase_mut(phase).taps.push(key);
        if let Some(stream) = self.streams.get_mut(agent) {
            stream.tap = Some(key);
        }
        self.gate(agent);
        self.reroute_pair(agent);
        key
    }

    /// A tap lets through what its leg's negotiated direction does.
    fn gate(&mut self, key: usize) {
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
