//! The owner of streams and listeners: matches packets, commands and ticks to them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use slab::Slab;

use crate::codec::FRAME;
use crate::fork::Fork;
use crate::interface::{
    Command, Counters, Event, Kind, ListenerId, ListenerRemote, Port, Remote, Settings, Sink, StreamId, Taps,
};
use crate::jitter::Pushed;
use crate::listener::{ListenerLeg, Sent};
use crate::mixer::Encoded;
use crate::relay::Stream;
use crate::rtcp;
use crate::rtp::{Header, Refused};

/// Ticks of a fork lie in one of so many milliseconds.
const PHASES: u64 = 20;
/// After a stop of more than this, missed ticks become a gap instead of a burst.
const CATCH_UP: u64 = 100;
/// Timeouts, reports and figures are looked at so often.
const HOUSE_KEEPING: Duration = Duration::from_secs(1);
/// Figures of live streams go out every so many house-keepings.
const PROGRESS_EVERY: u32 = 5;
/// Who sent within this is sending.
const SENDING: Duration = Duration::from_secs(2);

/// What a port belongs to; both slots are slab indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Stream(usize),
    Listener(usize),
}

#[derive(Debug)]
struct Listening {
    leg: ListenerLeg,
    fork: usize,
}

/// One thread's share of the media plane. See [`crate`].
#[derive(Debug)]
pub struct Shard {
    settings: Settings,
    random: StdRng,
    counters: Counters,
    owners: Vec<Owner>,
    streams: Slab<Stream>,
    stream_slots: HashMap<StreamId, usize>,
    listeners: Slab<Listening>,
    listener_slots: HashMap<ListenerId, usize>,
    forks: Slab<Fork>,
    silent: usize,
    buckets: [Vec<usize>; PHASES as usize],
    base: Option<Instant>,
    /// Milliseconds since `base` of the next tick.
    tick: u64,
    house_at: Option<Instant>,
    house_keepings: u32,
    refused: bool,
}

impl Shard {
    /// Without streams. `seed` feeds SSRCs, sequence numbers and time stamps.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut forks = Slab::new();
        let silent = forks.insert(Fork::new(None, 0, 2));
        let mut buckets: [Vec<usize>; PHASES as usize] = Default::default();
        buckets[0].push(silent);
        Self {
            settings,
            random: StdRng::from_seed(seed),
            counters: Counters::default(),
            owners: vec![Owner::Nobody; 1 << 15],
            streams: Slab::new(),
            stream_slots: HashMap::new(),
            listeners: Slab::new(),
            listener_slots: HashMap::new(),
            forks,
            silent,
            buckets,
            base: None,
            tick: 0,
            house_at: None,
            house_keepings: 0,
            refused: false,
        }
    }

    /// Drops and work so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Streams and listeners that are there: both 0 when all is over.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.streams.len(), self.listeners.len())
    }

    /// One datagram that arrived on a port's socket.
    pub fn datagram(
        &mut self,
        now: Instant,
        port: Port,
        kind: Kind,
        source: SocketAddr,
        data: &mut [u8],
        sink: &mut impl Sink,
    ) {
        match (self.owner(port), kind) {
            (Owner::Stream(slot), Kind::Rtp) => self.relay_rtp(now, slot, source, data, sink),
            (Owner::Stream(slot), Kind::Rtcp) => self.relay_rtcp(now, slot, source, data, sink),
            (Owner::Listener(slot), _) => self.swallow(now, slot, kind, source, data),
            (Owner::Nobody, _) => self.counters.unknown_port += 1,
        }
    }

    fn owner(&self, port: Port) -> Owner {
        self.owners[usize::from(port.0 >> 1)]
    }

    fn relay_rtp(&mut self, now: Instant, slot: usize, source: SocketAddr, data: &[u8], sink: &mut impl Sink) {
        let stream = &mut self.streams[slot];
        let header = match Header::parse(data) {
            Ok(header) => header,
            Err(refused) => {
                stream.refused(false);
                *match refused {
                    Refused::NotRtp | Refused::Rtcp => &mut self.counters.rtp_not_rtp,
                    Refused::Malformed => &mut self.counters.rtp_malformed,
                } += 1;
                return;
            }
        };
        if !stream.accepts_rtp(source) {
            stream.refused(true);
            self.counters.rtp_foreign += 1;
            return;
        }
        if stream.rtp_at.is_none() {
            sink.event(Event::FirstPacket { stream: stream.id });
        }
        stream.received(now, &header);
        let (peer, uplink) = (stream.peer, stream.fork);
        let Some(peer) = peer else {
            self.counters.rtp_unbridged += 1;
            return;
        };
        // The relay has its output first; whoever listens comes after.
        let partner = &self.streams[peer];
        if let Some(to) = partner.rtp_target() {
            sink.send(partner.port, Kind::Rtp, to, data);
            self.counters.relayed_rtp += 1;
        }
        let downlink = partner.fork;
        if uplink.is_some() || downlink.is_some() {
            self.tap(now, slot, peer, &header, data);
        }
    }

    /// An accepted packet of `from`, relayed to `to`: the uplink of a fork on `from`, the downlink of one on `to`.
    fn tap(&mut self, now: Instant, from: usize, to: usize, header: &Header, data: &[u8]) {
        let (sender, receiver) = (&self.streams[from], &self.streams[to]);
        let event = [sender.telephone_event(), receiver.telephone_event()].contains(&Some(header.payload_type));
        let codec = sender.codec(header.payload_type);
        let taps = [
            sender.fork.filter(|_| sender.sends()).map(|f| (f, true)),
            receiver.fork.filter(|_| receiver.receives()).map(|f| (f, false)),
        ];
        for (fork, uplink) in taps.into_iter().flatten() {
            let fork = &mut self.forks[fork];
            let tap = if uplink { &mut fork.uplink } else { &mut fork.downlink };
            match codec {
                _ if event && !self.settings.dtmf_to_listener => tap.mute(now),
                Some(codec) if !event => match tap.push(now, header, codec, data) {
                    Pushed::Late => self.counters.frames_late += 1,
                    Pushed::Overflow => self.counters.ring_overflow += 1,
                    Pushed::Kept | Pushed::Useless => {}
                },
                _ => self.counters.tap_undecodable += 1,
            }
        }
    }

    fn relay_rtcp(&mut self, now: Instant, slot: usize, source: SocketAddr, data: &[u8], sink: &mut impl Sink) {
        let stream = &mut self.streams[slot];
        if rtcp::check(data, |_, _| {}).is_err() {
            self.counters.rtcp_malformed += 1;
            return;
        }
        if !stream.accepts_rtcp(source) {
            self.counters.rtcp_foreign += 1;
            return;
        }
        stream.heard_at = Some(now);
        let Some(peer) = stream.peer else { return };
        let partner = &self.streams[peer];
        if let Some(to) = partner.rtcp_target() {
            sink.send(partner.port, Kind::Rtcp, to, data);
            self.counters.relayed_rtcp += 1;
        }
    }

    fn swallow(&mut self, now: Instant, slot: usize, kind: Kind, source: SocketAddr, data: &[u8]) {
        self.listeners[slot].leg.swallow(now, source, kind);
        match kind {
            Kind::Rtp => self.counters.listener_rtp_dropped += 1,
            Kind::Rtcp if rtcp::check(data, |_, _| {}).is_ok() => self.counters.listener_rtcp_received += 1,
            Kind::Rtcp => self.counters.listener_rtcp_dropped += 1,
        }
    }

    /// One command.
    pub fn command(&mut self, now: Instant, command: Command, sink: &mut impl Sink) {
        let done = match command {
            Command::Open { stream, port } => self.open(now, stream, port),
            Command::Describe { stream, remote } => self.describe(now, stream, remote),
            Command::Bridge { a, b } => self.bridge(a, b),
            Command::Unbridge { stream } => self.stream_slots.get(&stream).copied().map(|slot| self.unbridge(slot)),
            Command::Close { stream } => self.close(stream, sink),
            Command::OpenListener { listener, port } => self.open_listener(now, listener, port),
            Command::Listen { listener, remote } => self.listen(now, listener, remote),
            Command::Focus { listener, taps } => self.focus(listener, taps),
            Command::Shield { listener, on } => self.listener(listener).map(|l| l.leg.shield(on)),
            Command::CloseListener { listener } => self.close_listener(now, listener, sink),
            Command::Done(batch) => {
                let ok = !std::mem::take(&mut self.refused);
                sink.event(Event::Done { batch, ok });
                Some(())
            }
        };
        if done.is_none() {
            self.refused = true;
            self.counters.commands_refused += 1;
        }
        if self.house_at.is_none() && !(self.streams.is_empty() && self.listeners.is_empty()) {
            self.house_at = Some(now + HOUSE_KEEPING);
        }
    }

    fn listener(&mut self, id: ListenerId) -> Option<&mut Listening> {
        self.listener_slots.get(&id).and_then(|slot| self.listeners.get_mut(*slot))
    }

    fn open(&mut self, now: Instant, id: StreamId, port: Port) -> Option<()> {
        let room = self.streams.len() < self.settings.max_streams && self.owner(port) == Owner::Nobody;
        if !room || self.stream_slots.contains_key(&id) {
            return None;
        }
        let slot = self.streams.insert(Stream::new(now, id, port));
        self.stream_slots.insert(id, slot);
        self.owners[usize::from(port.0 >> 1)] = Owner::Stream(slot);
        Some(())
    }

    fn describe(&mut self, now: Instant, id: StreamId, remote: Remote) -> Option<()> {
        let slot = *self.stream_slots.get(&id)?;
        self.streams[slot].describe(now, remote);
        Some(())
    }

    fn bridge(&mut self, a: StreamId, b: StreamId) -> Option<()> {
        let (a, b) = (*self.stream_slots.get(&a)?, *self.stream_slots.get(&b)?);
        if a == b {
            return None;
        }
        if self.streams[a].peer == Some(b) && self.streams[b].peer == Some(a) {
            return Some(());
        }
        self.unbridge(a);
        self.unbridge(b);
        self.streams[a].peer = Some(b);
        self.streams[b].peer = Some(a);
        Some(())
    }

    fn unbridge(&mut self, slot: usize) {
        let Some(peer) = self.streams[slot].peer.take() else { return };
        self.streams[peer].peer = None;
        for stream in [slot, peer] {
            if let Some(fork) = self.streams[stream].fork {
                self.forks[fork].restart_downlink();
            }
        }
    }

    fn close(&mut self, id: StreamId, sink: &mut impl Sink) -> Option<()> {
        let slot = self.stream_slots.remove(&id)?;
        self.unbridge(slot);
        if let Some(fork) = self.streams[slot].fork {
            for listener in self.forks[fork].listeners.clone() {
                self.move_to(listener, self.silent);
            }
        }
        let stream = self.streams.remove(slot);
        self.owners[usize::from(stream.port.0 >> 1)] = Owner::Nobody;
        sink.event(Event::Closed { stream: id, figures: stream.figures() });
        sink.release(stream.port);
        Some(())
    }

    fn open_listener(&mut self, now: Instant, id: ListenerId, port: Port) -> Option<()> {
        let room = self.listeners.len() < self.settings.max_listeners && self.owner(port) == Owner::Nobody;
        if !room || self.listener_slots.contains_key(&id) {
            return None;
        }
        let random = (self.random.random(), self.random.random(), self.random.random());
        let slot = self.listeners.insert(Listening { leg: ListenerLeg::new(now, id, port, random), fork: self.silent });
        self.listener_slots.insert(id, slot);
        self.forks[self.silent].listeners.push(slot);
        self.owners[usize::from(port.0 >> 1)] = Owner::Listener(slot);
        Some(())
    }

    fn listen(&mut self, now: Instant, id: ListenerId, remote: ListenerRemote) -> Option<()> {
        let idle = self.listeners.iter().all(|(_, l)| l.leg.codec().is_none());
        self.listener(id)?.leg.describe(now, remote);
        if idle {
            // Nobody heard anything so far: ticks begin now.
            self.tick = self.milliseconds(now);
        }
        Some(())
    }

    fn focus(&mut self, id: ListenerId, taps: Option<Taps>) -> Option<()> {
        let slot = *self.listener_slots.get(&id)?;
        let fork = match taps {
            None => self.silent,
            Some(Taps { agent }) => {
                let stream = *self.stream_slots.get(&agent)?;
                self.streams[stream].fork.unwrap_or_else(|| self.new_fork(stream))
            }
        };
        self.move_to(slot, fork);
        Some(())
    }

    fn new_fork(&mut self, stream: usize) -> usize {
        let phase = self.streams[stream].id.0 % PHASES;
        let fork = self.forks.insert(Fork::new(Some(stream), phase, self.settings.max_ring));
        self.buckets[phase as usize].push(fork);
        self.streams[stream].fork = Some(fork);
        fork
    }

    fn move_to(&mut self, listener: usize, fork: usize) {
        let from = std::mem::replace(&mut self.listeners[listener].fork, fork);
        if from == fork {
            return;
        }
        self.forks[fork].listeners.push(listener);
        self.leave(listener, from);
    }

    /// Takes a listener from a fork; a fork without listeners goes, so that an unmonitored call costs nothing.
    fn leave(&mut self, listener: usize, fork: usize) {
        let listeners = &mut self.forks[fork].listeners;
        listeners.retain(|l| *l != listener);
        if listeners.is_empty() && fork != self.silent {
            let gone = self.forks.remove(fork);
            self.buckets[gone.phase as usize].retain(|f| *f != fork);
            if let Some(stream) = gone.agent {
                self.streams[stream].fork = None;
            }
        }
    }

    fn close_listener(&mut self, now: Instant, id: ListenerId, sink: &mut impl Sink) -> Option<()> {
        let slot = self.listener_slots.remove(&id)?;
        let fork = self.listeners[slot].fork;
        self.leave(slot, fork);
        let mut gone = self.listeners.remove(slot).leg;
        gone.bye(now, sink);
        self.owners[usize::from(gone.port().0 >> 1)] = Owner::Nobody;
        sink.event(Event::ListenerClosed { listener: id, heard_ms: gone.heard_ms(), dropped: gone.dropped() });
        sink.release(gone.port());
        Some(())
    }

    /// Ticks the mixer, RTCP and timeouts that are due.
    pub fn wake(&mut self, now: Instant, sink: &mut impl Sink) {
        let end = self.milliseconds(now);
        if self.listeners.is_empty() {
            self.tick = end;
        } else if end > self.tick + CATCH_UP {
            self.skip(end);
        }
        while self.tick <= end && !self.listeners.is_empty() {
            let bucket = (self.tick % PHASES) as usize;
            for n in 0..self.buckets[bucket].len() {
                let fork = self.buckets[bucket][n];
                self.mix(now, fork, sink);
            }
            self.tick += 1;
        }
        if self.house_at.is_some_and(|at| at <= now) {
            self.keep_house(now, sink);
        }
    }

    /// When [`Shard::wake`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        let listening = self.forks.iter().any(|(_, fork)| !fork.listeners.is_empty());
        let tick = self.base.filter(|_| listening).and_then(|base| {
            let due = (self.tick..self.tick + PHASES).find(|tick| {
                self.buckets[(tick % PHASES) as usize].iter().any(|fork| !self.forks[*fork].listeners.is_empty())
            })?;
            Some(base + Duration::from_millis(due))
        });
        [tick, self.house_at].into_iter().flatten().min()
    }

    fn milliseconds(&mut self, now: Instant) -> u64 {
        let base = *self.base.get_or_insert(now);
        u64::try_from(now.saturating_duration_since(base).as_millis()).unwrap_or(u64::MAX)
    }

    /// The process was stopped: every listener's clock moves over the gap, nothing is played late.
    fn skip(&mut self, end: u64) {
        let missed = u32::try_from((end - self.tick) / PHASES).unwrap_or(u32::MAX);
        self.listeners.iter_mut().for_each(|(_, l)| l.leg.skip(missed));
        self.forks.iter_mut().for_each(|(_, fork)| fork.restart());
        self.tick += u64::from(missed) * PHASES;
    }

    fn mix(&mut self, now: Instant, slot: usize, sink: &mut impl Sink) {
        let fork = &mut self.forks[slot];
        if fork.listeners.is_empty() {
            return;
        }
        let agent = fork.agent.map(|stream| &self.streams[stream]);
        let (up, down) = agent.map_or((false, false), |a| (a.sends(), a.receives()));
        let mixed = fork.mix(now, up, down);
        self.counters.frames_concealed += mixed.concealed;
        let (mut audio, mut silence) = (Encoded::new(mixed.frame), Encoded::new([0; FRAME]));
        for listener in &fork.listeners {
            let leg = &mut self.listeners[*listener].leg;
            let Some(codec) = leg.codec() else { continue };
            let shielded = leg.shielded();
            let packet = if shielded { silence.packet(codec) } else { audio.packet(codec) };
            let sent = leg.send(packet, sink);
            if sent == Sent::Nothing {
                continue;
            }
            self.counters.listener_packets_sent += 1;
            if sent == Sent::First {
                sink.event(Event::Live { listener: leg.id() });
            }
            if mixed.real && !shielded {
                let heard_ms = leg.heard();
                if heard_ms.is_multiple_of(1000) {
                    sink.event(Event::Heard { listener: leg.id(), heard_ms });
                }
            }
        }
    }

    fn keep_house(&mut self, now: Instant, sink: &mut impl Sink) {
        let idle = self.streams.is_empty() && self.listeners.is_empty();
        self.house_at = (!idle).then_some(now + HOUSE_KEEPING);
        for (_, listening) in &mut self.listeners {
            if listening.leg.house_keep(now, sink) {
                sink.event(Event::ListenerSilent { listener: listening.leg.id() });
            }
        }
        let pairs: Vec<(usize, usize)> = self
            .streams
            .iter()
            .filter_map(|(slot, s)| s.peer.filter(|peer| slot < *peer).map(|peer| (slot, peer)))
            .collect();
        for (a, b) in pairs {
            self.watch(now, a, b, sink);
        }
        self.house_keepings = self.house_keepings.wrapping_add(1);
        if self.house_keepings.is_multiple_of(PROGRESS_EVERY) {
            let changed = |s: &mut Stream| std::mem::take(&mut s.figures_changed).then(|| (s.id, s.figures()));
            let streams: Vec<_> = self.streams.iter_mut().filter_map(|(_, s)| changed(s)).collect();
            if !streams.is_empty() {
                sink.event(Event::Progress { streams });
            }
        }
    }

    /// Dead pairs and one-way audio.
    fn watch(&mut self, now: Instant, a: usize, b: usize, sink: &mut impl Sink) {
        let pair = [&self.streams[a], &self.streams[b]];
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let held = pair.iter().any(|s| !(s.sends() && s.receives()));
        let limit = if held { self.settings.rtp_timeout_held } else { self.settings.rtp_timeout };
        let seen = pair.iter().any(|s| s.rtp_at.is_some());
        let quiet = pair.iter().filter_map(|s| since(s.heard_at)).min();
        // A call that was just held or resumed starts its time anew.
        let described = pair.iter().map(|s| now.saturating_duration_since(s.described_at)).min();
        if seen && !limit.is_zero() && quiet.min(described).is_some_and(|q| q >= limit) {
            sink.event(Event::Dead { stream: pair[0].id });
            for slot in [a, b] {
                self.streams[slot].described_at = now;
            }
            return;
        }
        for (slot, other) in [(a, b), (b, a)] {
            let sending = since(self.streams[other].rtp_at).is_some_and(|t| t < SENDING);
            let stream = &mut self.streams[slot];
            let silent =
                since(stream.rtp_at).unwrap_or(Duration::MAX).min(now.saturating_duration_since(stream.described_at));
            if sending && stream.sends() && !stream.one_way_told && silent >= self.settings.one_way_after {
                stream.one_way_told = true;
                sink.event(Event::OneWay { stream: stream.id });
            }
        }
    }
}
