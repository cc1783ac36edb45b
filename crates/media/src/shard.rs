//! The owner of streams and listeners: matches packets and commands to them.

mod beat;
mod commands;
mod parcel;
mod sweep;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use slab::Slab;

use self::beat::Beat;
pub use self::parcel::Parcel;
use self::sweep::Sweep;
use crate::fork::Tap;
use crate::interface::{Command, Counters, Event, Kind, ListenerId, Port, Settings, Sink, StreamId};
use crate::listener::{ListenerLeg, Tick};
use crate::mixer::Mixer;
use crate::relay::{Sound, Stream};
use crate::rtp::{Demux, Packet, demux, event_ended};

/// One thread's share of the media plane. See [`crate`].
#[derive(Debug)]
pub struct Shard {
    settings: Settings,
    rng: StdRng,
    counters: Counters,
    /// What a port belongs to, by half its number.
    ports: Vec<Owner>,
    streams: Slab<Stream>,
    listeners: Slab<Seat>,
    taps: Slab<Tapped>,
    stream_ids: BTreeMap<StreamId, usize>,
    listener_ids: BTreeMap<ListenerId, usize>,
    beat: Beat,
    sweep: Sweep,
    mixer: Mixer,
    /// A command of the current batch was refused.
    batch_refused: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Owner {
    #[default]
    Nobody,
    Stream(u32),
    Listener(u32),
}

/// A listener leg, and where it sits.
#[derive(Debug)]
struct Seat {
    leg: ListenerLeg,
    tap: Option<usize>,
    phase: Option<usize>,
}

/// A tap, whose it is, and who listens to it: all in one phase, so that they share its frames.
#[derive(Debug)]
struct Tapped {
    tap: Tap,
    agent: usize,
    phase: usize,
    ticked_ms: Option<u64>,
    listeners: Vec<usize>,
}

impl Shard {
    /// Without streams. `seed` feeds SSRCs, sequence numbers and time stamps.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            settings,
            rng: StdRng::from_seed(seed),
            counters: Counters::default(),
            ports: Vec::new(),
            streams: Slab::new(),
            listeners: Slab::new(),
            taps: Slab::new(),
            stream_ids: BTreeMap::new(),
            listener_ids: BTreeMap::new(),
            beat: Beat::default(),
            sweep: Sweep::default(),
            mixer: Mixer::default(),
            batch_refused: false,
        }
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
            (Owner::Nobody, _) => self.counters.unknown_port += 1,
            (Owner::Stream(key), Kind::Rtp) => self.rtp(now, key as usize, source, data, sink),
            (Owner::Stream(key), Kind::Rtcp) => self.rtcp(now, key as usize, source, data, sink),
            (Owner::Listener(key), kind) => {
                let Some(seat) = self.listeners.get_mut(key as usize) else { return };
                match kind {
                    Kind::Rtp => seat.leg.drop_rtp(now, source, data, &mut self.counters),
                    Kind::Rtcp => seat.leg.drop_rtcp(now, source, data, &mut self.counters),
                }
            }
        }
    }

    /// One command.
    pub fn command(&mut self, now: Instant, command: Command, sink: &mut impl Sink) {
        self.beat.begin(now);
        if let Command::Done(batch) = command {
            let ok = !std::mem::take(&mut self.batch_refused);
            sink.event(Event::Done { batch, ok });
        } else {
            let is_waited_for = is_waited_for(&command);
            if self.obey(now, command, sink).is_none() {
                self.counters.commands_refused += 1;
                self.batch_refused |= is_waited_for;
            }
        }
        self.sweep.arm(now, self.sizes() != (0, 0));
    }

    /// Ticks the mixer, RTCP and timeouts that are due.
    pub fn wake(&mut self, now: Instant, sink: &mut impl Sink) {
        self.counters.ticks_skipped += self.beat.catch_up(now);
        while let Some(ms) = self.beat.take_due(now) {
            self.tick(ms, sink);
        }
        while let Some(turn) = self.sweep.take_due(now) {
            self.watch(now, turn, sink);
        }
    }

    /// When [`Shard::wake`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        [self.beat.due(), self.sweep.due()].into_iter().flatten().min()
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

    fn owner(&self, port: Port) -> Owner {
        self.ports.get(usize::from(port.0 / 2)).copied().unwrap_or_default()
    }

    /// RTP on a leg's port: relay first, taps after.
    fn rtp(&mut self, now: Instant, key: usize, source: SocketAddr, data: &[u8], sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let is_rtp = demux(data) == Demux::Rtp;
        let Some(packet) = Packet::parse(data).ok().filter(|packet| is_rtp && !stream.is_cut_event(packet)) else {
            *if is_rtp { &mut self.counters.rtp_malformed } else { &mut self.counters.rtp_not_rtp } += 1;
            stream.reception.figures.malformed += 1;
            return;
        };
        if !stream.rtp.accept(source) {
            self.counters.rtp_foreign += 1;
            stream.reception.figures.foreign += 1;
            return;
        }
        if stream.note_rtp(now, &packet) {
            sink.event(Event::FirstPacket { stream: stream.id });
        }
        let (own_tap, partner) = (stream.tap, stream.partner);
        let mut partner_tap = None;
        match partner.and_then(|partner| self.streams.get(partner)).and_then(|to| Some((to, to.rtp.to()?))) {
            Some((partner, to)) => {
                sink.send(partner.port, Kind::Rtp, to, data);
                self.counters.relayed_rtp += 1;
                partner_tap = partner.tap;
            }
            None => self.counters.rtp_unbridged += 1,
        }
        if own_tap.is_some() || partner_tap.is_some() {
            self.feed(now, key, own_tap, partner_tap, &packet);
        }
    }

    /// An accepted packet goes to the tap on its own leg (what the agent sends) and on the leg that it was relayed to
    /// (what the agent hears).
    fn feed(
        &mut self,
        now: Instant,
        key: usize,
        own_tap: Option<usize>,
        partner_tap: Option<usize>,
        packet: &Packet<'_>,
    ) {
        let Some(stream) = self.streams.get(key) else { return };
        let partner = stream.partner.and_then(|partner| self.streams.get(partner));
        let sound: Sound = stream.sound(partner.map(|partner| &partner.remote), packet.payload_type);
        if let Some(tapped) = own_tap.and_then(|tap| self.taps.get_mut(tap)) {
            tapped.tap.up.feed(now, packet, sound, &self.settings, &mut self.counters);
        }
        if let Some(tapped) = partner_tap.and_then(|tap| self.taps.get_mut(tap)) {
            tapped.tap.down.feed(now, packet, sound, &self.settings, &mut self.counters);
        }
    }

    /// RTCP on a leg's port: relayed unchanged if it is a valid compound.
    fn rtcp(&mut self, now: Instant, key: usize, source: SocketAddr, data: &[u8], sink: &mut impl Sink) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        if crate::rtcp::compound(data).is_none() {
            self.counters.rtcp_malformed += 1;
            return;
        }
        if !stream.rtcp.accept(source) {
            self.counters.rtcp_foreign += 1;
            return;
        }
        stream.note_rtcp(now);
        match stream.partner.and_then(|partner| self.streams.get(partner)).and_then(|to| Some((to.port, to.rtcp.to()?)))
        {
            Some((port, to)) => {
                sink.send(port, Kind::Rtcp, to, data);
                self.counters.relayed_rtcp += 1;
            }
            None => self.counters.rtcp_unbridged += 1,
        }
    }

    /// One tick of one phase: each tap's frame is mixed once and goes to all who listen to it.
    fn tick(&mut self, ms: u64, sink: &mut impl Sink) {
        let (at, elapsed) = self.beat.instant(ms);
        let phase = self.beat.phase(ms);
        for tap in &phase.taps {
            let Some(tapped) = self.taps.get_mut(*tap) else { continue };
            let is_heard = tapped.mix(ms, at, &mut self.mixer, &mut self.counters);
            for listener in &tapped.listeners {
                let Some(leg) = self.listeners.get_mut(*listener).map(|seat| &mut seat.leg) else { continue };
                let Some(codec) = leg.codec() else { continue };
                let is_heard = is_heard && !leg.is_shielded();
                let packet = if leg.is_shielded() { self.mixer.silence(codec) } else { self.mixer.mixed(codec) };
                leg.tick(Tick { ms, at, elapsed, packet, is_heard, rng: &mut self.rng }, &mut self.counters, sink);
            }
        }
        for listener in &phase.alone {
            let Some(leg) = self.listeners.get_mut(*listener).map(|seat| &mut seat.leg) else { continue };
            let Some(codec) = leg.codec() else { continue };
            let packet = self.mixer.silence(codec);
            leg.tick(Tick { ms, at, elapsed, packet, is_heard: false, rng: &mut self.rng }, &mut self.counters, sink);
        }
    }
}

/// Somebody asks by [`Command::Done`] whether it was carried out. The others come at any time between the batches of
/// calls: one of a listener that was refused must not refuse a call.
pub(crate) fn is_waited_for(command: &Command) -> bool {
    matches!(
        command,
        Command::Open { .. } | Command::Describe { .. } | Command::Bridge { .. } | Command::OpenListener { .. }
    )
}

impl Tapped {
    /// The frame of this tick, after those that were missed.
    fn mix(&mut self, ms: u64, at: Instant, mixer: &mut Mixer, counters: &mut Counters) -> bool {
        let before = self.ticked_ms.replace(ms);
        let missed = before.map_or(0, |before| (ms.saturating_sub(before) / beat::PHASES as u64).saturating_sub(1));
        self.tap.skip(missed);
        self.tap.mix(at, mixer, counters)
    }
}

impl Stream {
    /// An event without its four bytes (RFC 4733 §2.3) is malformed.
    fn is_cut_event(&self, packet: &Packet<'_>) -> bool {
        self.remote.telephone_event == Some(packet.payload_type) && event_ended(packet.payload).is_none()
    }
}
