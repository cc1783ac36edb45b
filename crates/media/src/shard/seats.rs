//! Where listeners sit: on the tap of the leg that they want to hear, or alone in a phase; and what each of them gets.

use std::time::{Duration, Instant};

use super::{Shard, Tapped};
use crate::browser::BrowserLeg;
use crate::fork::{Tap, best_tick};
use crate::interface::{Counters, Event, Mix, Port, Quality, Sink, StreamId};
use crate::listener::{Ear, ListenerLeg, Tick};
use crate::mixer::{Desk, Ending, Entry, Silence, TRACKS, Tail, Track, WantedTracks};

/// A listener, its leg, and where it sits.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) ear: Ear,
    pub(super) leg: Leg,
    /// It has a place: in a phase, and on a tap if it hears one.
    pub(super) is_seated: bool,
    /// Kept while it has none.
    pub(super) phase: Option<usize>,
    pub(super) tap: Option<usize>,
    /// The kinds that it gets, on its tap's desk.
    pub(super) tracks: [Option<usize>; TRACKS],
    /// Of tracks that have lost their kinds.
    pub(super) endings: [Option<Box<Ending>>; TRACKS],
    /// Of tracks that are on their way from one desk to another.
    tails: [Option<Tail>; TRACKS],
}

/// How a listener is reached. Whatever it is, nothing that it sends comes out of it.
#[derive(Debug)]
pub(super) enum Leg {
    /// RTP on a port of its own.
    Rtp(Box<ListenerLeg>),
    /// WebRTC, on the port for browsers.
    Browser(Box<BrowserLeg>),
}

impl Leg {
    /// It can be sent to.
    pub(super) fn is_listening(&self) -> bool {
        match self {
            Self::Rtp(leg) => leg.is_listening(),
            Self::Browser(leg) => leg.is_listening(),
        }
    }

    /// What each of its tracks gets, of a listener that wants this mix.
    pub(super) fn wanted(&self, mix: Mix) -> WantedTracks {
        match self {
            Self::Rtp(leg) => leg.wanted(mix),
            Self::Browser(leg) => leg.wanted(mix),
        }
    }

    /// One tick: the next packet of each track. True: they went.
    fn tick(&mut self, tick: Tick<'_>, counters: &mut Counters, sink: &mut impl Sink) -> bool {
        match self {
            Self::Rtp(leg) => leg.tick(tick, counters, sink),
            Self::Browser(leg) => leg.tick(&tick, counters, sink),
        }
    }

    /// Whether it gave no sign of life for so long.
    pub(super) fn is_silent(&mut self, now: Instant, limit: Duration) -> bool {
        match self {
            Self::Rtp(leg) => leg.is_silent(now, limit),
            // it is asked all the time: its consent expires
            Self::Browser(_) => false,
        }
    }

    /// What it told of the stream to it.
    fn tell(&self, quality: &mut Quality) {
        match self {
            Self::Rtp(leg) => leg.tell(quality),
            Self::Browser(leg) => leg.tell(quality),
        }
    }

    /// What is sent to it is lost, by three of its reports in a row.
    fn loses(&self) -> bool {
        match self {
            Self::Rtp(leg) => leg.loses(),
            Self::Browser(leg) => leg.loses(),
        }
    }

    /// A tick then would come too soon after its last packet, and send nothing.
    fn is_early(&self, ms: u64) -> bool {
        match self {
            Self::Rtp(leg) => leg.is_early(ms),
            Self::Browser(leg) => leg.is_early(ms),
        }
    }

    /// Packets of its own that were dropped.
    fn dropped(&self) -> u64 {
        match self {
            Self::Rtp(leg) => leg.dropped(),
            Self::Browser(leg) => leg.dropped(),
        }
    }

    /// The pair of sockets that is its own.
    pub(super) fn port(&self) -> Option<Port> {
        match self {
            Self::Rtp(leg) => Some(leg.port()),
            Self::Browser(_) => None,
        }
    }

    /// See [`ListenerLeg::reclock`].
    pub(super) fn reclock(&mut self, later_us: i64) -> Option<usize> {
        match self {
            Self::Rtp(leg) => leg.reclock(later_us),
            Self::Browser(leg) => leg.reclock(later_us),
        }
    }

    /// The one in a browser.
    pub(super) fn browser(&mut self) -> Option<&mut BrowserLeg> {
        match self {
            Self::Rtp(_) => None,
            Self::Browser(leg) => Some(leg),
        }
    }

    fn close(self, now: Instant, elapsed: Duration, counters: &mut Counters, sink: &mut impl Sink) {
        match self {
            Self::Rtp(leg) => leg.close(elapsed, counters, sink),
            Self::Browser(leg) => leg.close(now, sink),
        }
    }
}

impl Seat {
    pub(super) fn new(ear: Ear, leg: Leg) -> Self {
        let (tracks, endings, tails) = ([None; TRACKS], Default::default(), Default::default());
        Self { ear, leg, is_seated: false, phase: None, tap: None, tracks, endings, tails }
    }

    /// One tick. `desk`: that of its tap.
    pub(super) fn tick(
        &mut self,
        desk: Option<&Desk>,
        silence: &mut Silence,
        moment: Moment<'_>,
        counters: &mut Counters,
        sink: &mut impl Sink,
    ) {
        if !self.leg.is_listening() {
            return;
        }
        let Moment { ms, now, at, elapsed, rng } = moment;
        let wanted = self.leg.wanted(self.ear.mix);
        let kinds = self.tracks.map(|key| key.and_then(|key| desk?.track(key)));
        for (wanted, _) in wanted.iter().zip(kinds).filter(|(_, kind)| kind.is_none()) {
            wanted.iter().for_each(|wanted| silence.tick(wanted.codec(), ms));
        }
        let mut tracks: [Track<'_>; TRACKS] = std::array::from_fn(|n| {
            let payload = wanted[n].map_or(&[][..], |wanted| silence.of(wanted.codec(), ms));
            kinds[n].unwrap_or(Track { payload, is_heard: false })
        });
        for (n, ending) in self.endings.iter_mut().enumerate().filter(|(n, _)| kinds[*n].is_none()) {
            let payload = ending.as_mut().zip(wanted[n]).and_then(|(ending, wanted)| ending.next(wanted.codec()));
            payload.into_iter().for_each(|payload| tracks[n].payload = payload);
        }
        let is_heard = tracks.iter().any(|track| track.is_heard);
        if self.leg.tick(Tick { ms, at, now, elapsed, tracks, rng }, counters, sink) {
            self.ear.note_sent(now, is_heard, sink);
        }
        for (ending, kind) in self.endings.iter_mut().zip(kinds) {
            ending.take_if(|ending| kind.is_some() || ending.is_over());
        }
    }

    /// Its tracks lose their kinds on that desk.
    fn end(&mut self, desk: &Desk) {
        for (ending, kind) in self.endings.iter_mut().zip(self.tracks) {
            *ending = kind.and_then(|kind| desk.ending(kind)).or(ending.take());
        }
    }

    /// How well it is served.
    fn quality(&self, tap: Option<&Tap>) -> Quality {
        let mut quality = self.ear.quality(tap);
        self.leg.tell(&mut quality);
        quality
    }

    /// Of what it was sent, so much did not get there.
    pub(super) fn remote_lost(&self) -> Option<f32> {
        let mut quality = Quality::default();
        self.leg.tell(&mut quality);
        quality.remote_lost
    }

    /// Loss that lasts, or does no more.
    pub(super) fn tell_loss(&mut self, sink: &mut impl Sink) {
        let (lasts, lost) = (self.leg.loses(), self.remote_lost().unwrap_or(0.0));
        self.ear.tell_loss(lasts, lost, sink);
    }

    /// Its figures, if they have changed since they were told.
    pub(super) fn news(&mut self, tap: Option<&Tap>) -> Option<Quality> {
        let quality = self.quality(tap);
        (std::mem::replace(&mut self.ear.told, quality) != quality).then_some(quality)
    }

    /// The end of both: figures, and whatever the leg says.
    pub(super) fn close(self, now: Instant, elapsed: Duration, counters: &mut Counters, sink: &mut impl Sink) {
        sink.event(Event::ListenerClosed {
            listener: self.ear.id,
            heard_ms: self.ear.heard_ms,
            dropped: self.leg.dropped(),
            quality: self.quality(None),
        });
        self.leg.close(now, elapsed, counters, sink);
    }
}

/// A tick of the shard.
pub(super) struct Moment<'a> {
    /// Milliseconds of the shard's clock.
    pub(super) ms: u64,
    /// When it is carried out,
    pub(super) now: Instant,
    /// and when it was due.
    pub(super) at: Instant,
    /// Since the shard began, when it was due.
    pub(super) elapsed: Duration,
    pub(super) rng: &'a mut rand::rngs::StdRng,
}

impl Shard {
    /// A listener turns to another leg, or to silence. Its stream goes on, and one leg fades into the other.
    pub(super) fn focus(&mut self, key: usize, focus: Option<StreamId>) {
        let Some(seat) = self.listeners.get_mut(key) else { return };
        if seat.ear.focus == focus {
            return;
        }
        seat.ear.focus = focus;
        if let Some(tapped) = seat.tap.filter(|_| seat.ear.hears().is_some()).and_then(|tap| self.taps.get(tap))
            && let Some(agent) = self.streams.get(tapped.agent).map(|stream| stream.id)
        {
            seat.tails = seat.tracks.map(|kind| kind.and_then(|kind| tapped.desk.tail(agent, kind)));
        }
        self.unseat(key);
        self.seat(key);
        self.listeners.get_mut(key).into_iter().for_each(|seat| seat.tails = Default::default());
    }

    /// Gives a listener its place: with the others on its tap, or alone in a phase. One whose phone still rings has one
    /// if it is to hear something: the tap fills meanwhile, and the first packet is of the call.
    pub(super) fn seat(&mut self, key: usize) {
        let Some(seat) = self.listeners.get(key) else { return };
        let agent = seat.ear.focus.and_then(|id| self.stream(id));
        if seat.is_seated || !(seat.leg.is_listening() || agent.is_some()) {
            return;
        }
        let phase = seat.phase;
        let tap = agent.map(|agent| self.tap_on(agent, phase));
        let phase = phase.unwrap_or_else(|| self.beat.choose());
        let phase = tap.and_then(|tap| self.taps.get(tap)).map_or(phase, |tapped| tapped.phase);
        if let Some(seat) = self.listeners.get_mut(key) {
            (seat.is_seated, seat.phase, seat.tap) = (true, Some(phase), tap);
        }
        self.beat.seated(phase);
        match tap.and_then(|tap| self.taps.get_mut(tap)) {
            Some(tapped) => tapped.listeners.push(key),
            None => self.beat.phase_mut(phase).alone.push(key),
        }
        self.tune(key);
    }

    /// Takes a listener from its place; a tap without listeners goes.
    pub(super) fn unseat(&mut self, key: usize) {
        let Some(seat) = self.listeners.get_mut(key) else { return };
        let Some(phase) = seat.phase.filter(|_| std::mem::take(&mut seat.is_seated)) else { return };
        self.beat.left(phase);
        let phase = self.beat.phase_mut(phase);
        phase.alone.retain(|other| *other != key);
        let Some(tap) = seat.tap.take() else { return };
        let Some(tapped) = self.taps.get_mut(tap) else { return };
        seat.ear.ends(&tapped.tap);
        seat.end(&tapped.desk);
        std::mem::take(&mut seat.tracks).into_iter().flatten().for_each(|kind| tapped.desk.leave(kind));
        tapped.listeners.retain(|other| *other != key);
        if tapped.listeners.is_empty() {
            phase.taps.retain(|other| *other != tap);
            let agent = self.taps.remove(tap).agent;
            self.streams.get_mut(agent).into_iter().for_each(|agent| agent.tap = None);
            self.reroute_pair(agent);
        }
    }

    /// Gives a listener's tracks the kinds that they want now. Shielded, it has none: what it gets then comes from no
    /// encoder that heard the call, and when it hears again, a fresh one begins.
    pub(super) fn tune(&mut self, key: usize) {
        let Some(seat) = self.listeners.get_mut(key) else { return };
        let wanted = if seat.leg.is_listening() { seat.leg.wanted(seat.ear.mix) } else { [None; TRACKS] };
        if let Some(phase) = seat.phase {
            wanted.iter().flatten().for_each(|wanted| _ = self.silence.begin(wanted.codec(), phase));
        }
        let Some(tapped) = seat.tap.and_then(|tap| self.taps.get_mut(tap)) else { return };
        if seat.leg.is_listening() {
            seat.ear.begins(&tapped.tap);
        }
        let hears = seat.ear.hears().is_some();
        if !hears {
            seat.end(&tapped.desk);
        }
        let is_early = seat.leg.is_early(self.beat.next_ms_of(tapped.phase));
        let entry = if is_early { Entry::Next } else { Entry::Now };
        for ((track, wanted), tail) in seat.tracks.iter_mut().zip(wanted).zip(&mut seat.tails) {
            *track = match (wanted.filter(|_| hears), *track) {
                (Some(wanted), before) => match tail.take().filter(|_| before.is_none()) {
                    Some(tail) => tapped.desk.take_over(wanted, tail, entry),
                    None => tapped.desk.tune(wanted, before),
                },
                (None, Some(before)) => {
                    tapped.desk.leave(before);
                    None
                }
                (None, None) => None,
            };
        }
    }

    /// The tap on a leg. A new one ticks when what both sides send waits least; before they send, where its first listener
    /// has its place.
    fn tap_on(&mut self, agent: usize, phase: Option<usize>) -> usize {
        let stream = self.streams.get(agent);
        if let Some(tap) = stream.and_then(|stream| stream.tap) {
            return tap;
        }
        let partner = stream.and_then(|stream| stream.partner).and_then(|partner| self.streams.get(partner));
        let arrivals = [stream, partner].map(|side| side.and_then(|side| side.last.rtp));
        let jitter_ms = [stream, partner].map(|side| side.map_or(0.0, |side| side.reception.figures().jitter_ms));
        let best = best_tick(self.beat.soon(), arrivals).map(|at| self.beat.phase_of(at));
        let phase = best.or(phase).unwrap_or_else(|| self.beat.choose());
        let mut tap = Tap::new(&self.settings, self.beat.next_of(phase));
        tap.up.expect(jitter_ms[0]);
        tap.down.expect(jitter_ms[1]);
        let (listeners, desk) = (Vec::new(), Desk::default());
        let key = self.taps.insert(Tapped { tap, agent, phase, ticked_ms: None, listeners, desk });
        self.beat.phase_mut(phase).taps.push(key);
        if let (Some(stream), Some(tapped)) = (self.streams.get_mut(agent), self.taps.get_mut(key)) {
            stream.tap = Some(key);
            tapped.desk.watch_levels(stream.cold.watches_levels);
        }
        self.gate(agent);
        self.reroute_pair(agent);
        key
    }
}
