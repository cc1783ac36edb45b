//! The owner of streams and listeners: matches packets and commands to them.

mod ahead;
mod beat;
mod commands;
mod packets;
mod parcel;
mod seats;
mod sweep;

use std::collections::BTreeMap;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use slab::Slab;

pub use self::ahead::{Fetch, Step};
use self::beat::Beat;
pub use self::parcel::Parcel;
use self::seats::{Moment, Seat};
use self::sweep::Sweep;
use crate::fork::Tap;
use crate::interface::{Command, Counters, Event, ListenerId, Port, Settings, Sink, StreamId};
use crate::mixer::{Desk, Scratch, Silence};
use crate::relay::Stream;
use crate::route::Route;
use crate::rtp::MAX_PACKET;
use crate::srtp::OVERHEAD;

/// Room for the longest packet and what encryption adds.
const SEALED: usize = MAX_PACKET + OVERHEAD;

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
    scratch: Box<Scratch>,
    silence: Silence,
    /// Where packets for encrypted legs are made.
    sealing: Box<[u8; SEALED]>,
    /// A command of the current batch was refused.
    batch_refused: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Owner {
    #[default]
    Nobody,
    Stream(Handle),
    Listener(Handle),
}

/// A place in a slab, and whose it is: a place that somebody else has since taken is not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle {
    index: u32,
    generation: u32,
}

/// A tap, whose it is, and who listens to it: all in one phase, so that they share its frames.
#[derive(Debug)]
struct Tapped {
    tap: Tap,
    agent: usize,
    phase: usize,
    ticked_ms: Option<u64>,
    listeners: Vec<usize>,
    desk: Desk,
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
            scratch: Box::default(),
            silence: Silence::default(),
            sealing: Box::new([0; SEALED]),
            batch_refused: false,
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
            self.tick(ms, now, sink);
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

    /// What happens to every leg's RTP and RTCP, as it stands. For who could do the plain part of it elsewhere.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        self.streams.iter().flat_map(|(_, stream)| [stream.rtp, stream.rtcp])
    }

    /// Streams and listeners that are there: both 0 when all is over.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.streams.len(), self.listeners.len())
    }

    #[inline]
    fn owner(&self, port: Port) -> Owner {
        self.ports.get(usize::from(port.0 / 2)).copied().unwrap_or_default()
    }

    /// One tick of one phase: each tap's frame is mixed once and goes to all who listen to it.
    fn tick(&mut self, ms: u64, now: Instant, sink: &mut impl Sink) {
        let (at, elapsed) = self.beat.instant(ms);
        let phase = self.beat.phase(ms);
        let (silence, counters) = (&mut self.silence, &mut self.counters);
        for tap in &phase.taps {
            let Some(tapped) = self.taps.get_mut(*tap) else { continue };
            tapped.mix(ms, at, &mut self.scratch, counters);
            for listener in &tapped.listeners {
                let Some(seat) = self.listeners.get_mut(*listener) else { continue };
                let moment = Moment { ms, now, at, elapsed, rng: &mut self.rng };
                seat.tick(Some(&tapped.desk), silence, moment, counters, sink);
            }
            if tapped.desk.take_settled() {
                for listener in &tapped.listeners {
                    let tracks = self.listeners.get_mut(*listener).map(|seat| &mut seat.tracks);
                    tracks.into_iter().flatten().flatten().for_each(|kind| *kind = tapped.desk.settle(*kind));
                }
            }
        }
        for listener in &phase.alone {
            let Some(seat) = self.listeners.get_mut(*listener) else { continue };
            let moment = Moment { ms, now, at, elapsed, rng: &mut self.rng };
            seat.tick(None, silence, moment, counters, sink);
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

impl Owner {
    fn stream(key: usize, id: StreamId) -> Self {
        Self::Stream(Handle::new(key, id.0))
    }

    fn listener(key: usize, id: ListenerId) -> Self {
        Self::Listener(Handle::new(key, id.0))
    }
}

impl Handle {
    /// Ids are never used again: the low half of one tells generations of a place apart.
    fn new(key: usize, id: u64) -> Self {
        Self { index: u32::try_from(key).unwrap_or(u32::MAX), generation: id as u32 }
    }

    fn index(self) -> usize {
        self.index as usize
    }

    fn is_of(self, id: u64) -> bool {
        self.generation == id as u32
    }
}

impl Tapped {
    /// The frame of this tick, after those that were missed.
    fn mix(&mut self, ms: u64, at: Instant, scratch: &mut Scratch, counters: &mut Counters) {
        let before = self.ticked_ms.replace(ms);
        let missed = before.map_or(0, |before| (ms.saturating_sub(before) / beat::PHASES as u64).saturating_sub(1));
        self.tap.skip(missed);
        let heard = self.tap.pull(at, counters);
        self.desk.mix((self.tap.up.pcm(), self.tap.down.pcm()), heard, scratch, counters);
    }
}
