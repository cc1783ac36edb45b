//! Several shards, seen as one: which of them gets a command, and how what must be together comes together.
//!
//! Every stream and listener lives on one shard; a new one on that of its port ([`Layout::shard_of`]). A bridge between
//! streams of two shards, or a listener that turns to a stream of another, first needs a *move*: [`ToShard::Take`] to
//! the one shard, its parcel back, [`ToShard::Adopt`] to the other. Who moves does not depend on listeners, whom calls
//! must not feel: of two bridged pairs the younger goes, with all who listen to it; a listener goes to its stream.
//! While streams move, every later command waits; while a listener moves, those of that listener alone.
//!
//! Ports keep their numbers. A port that ends on another shard than its own is closed there, and its own shard learns
//! by [`ToShard::Returned`] that the number may rest and be drawn again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::browser::Note;
use crate::interface::{BatchId, Command, Event, ListenerId, Port, StreamId};
use crate::ports::Layout;
use crate::shard::{Parcel, is_waited_for};

/// Commands that wait for a move at most, by default.
pub const MAX_WAITING: usize = 65_536;

/// One move. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MoveId(pub u64);

/// Streams and listeners that leave a shard together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// For the answer.
    pub id: MoveId,
    /// These streams.
    pub streams: Vec<StreamId>,
    /// These listeners.
    pub listeners: Vec<ListenerId>,
}

/// What a shard's thread is told, in order. `P` is what the shell makes of a [`Parcel`]: with the sockets of its ports.
#[derive(Debug)]
pub enum ToShard<P = Parcel> {
    /// For [`crate::Shard::command`].
    Command(Command),
    /// For [`crate::Shard::take`]; answered with [`FromShard::Taken`].
    Take(Take),
    /// For [`crate::Shard::adopt`].
    Adopt(P),
    /// A port of this shard's numbers was closed on another one: its number may rest now.
    Returned(Port),
    /// For [`crate::Shard::note`].
    Note(Note),
}

/// What a shard's thread tells.
#[derive(Debug)]
pub enum FromShard<P = Parcel> {
    /// For the engine.
    Event(Event),
    /// The answer to [`ToShard::Take`].
    Taken {
        /// To which.
        id: MoveId,
        /// `None`: nothing of it was there.
        parcel: Option<P>,
    },
    /// The sockets of a port were closed that is not of this shard's numbers.
    Released(Port),
    /// For the shard where a browser's leg is, or where it began.
    Note(Note),
}

/// What the router wants done.
#[derive(Debug)]
pub enum Routed<P = Parcel> {
    /// Tell this shard.
    To(usize, ToShard<P>),
    /// Tell the engine.
    Event(Event),
}

/// Work of a router; `waiting`, `streams` and `listeners` are what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct RouterFigures {
    pub stream_moves: u64,
    pub listener_moves: u64,
    /// Commands dropped: too many waited, or a shard's queue was full.
    pub dropped: u64,
    pub waiting: usize,
    pub streams: usize,
    pub listeners: usize,
}

/// Stands between the engine and its shards. See the module.
#[derive(Debug)]
pub struct Router<P = Parcel> {
    layout: Layout,
    max_waiting: usize,
    streams: BTreeMap<StreamId, Placed>,
    listeners: BTreeMap<ListenerId, Seated>,
    /// Shards that got commands since the last [`Command::Done`].
    asked: BTreeSet<usize>,
    /// A command since then was dropped.
    is_spoilt: bool,
    batches: Vec<Batch>,
    trips: BTreeMap<MoveId, Trip>,
    /// Streams are moving.
    is_held: bool,
    waiting: VecDeque<Command>,
    next_move: u64,
    figures: RouterFigures,
    out: Vec<Routed<P>>,
}

#[derive(Debug)]
struct Placed {
    shard: usize,
    partner: Option<StreamId>,
}

#[derive(Debug)]
struct Seated {
    shard: usize,
    focus: Option<StreamId>,
    /// It moves; commands for it wait here.
    held: Option<VecDeque<Command>>,
    browser: Option<Browser>,
}

/// A listener in a browser.
#[derive(Debug)]
struct Browser {
    /// The shard where it began: what comes for it comes there.
    home: usize,
    /// It has got an answer.
    is_open: bool,
}

#[derive(Debug)]
struct Batch {
    id: BatchId,
    waits_for: BTreeSet<usize>,
    ok: bool,
}

#[derive(Debug)]
struct Trip {
    to: usize,
    /// `None`: streams travel.
    listener: Option<ListenerId>,
}

impl<P> Router<P> {
    /// Nothing is anywhere yet.
    #[must_use]
    pub fn new(layout: Layout, max_waiting: usize) -> Self {
        Self {
            layout,
            max_waiting,
            streams: BTreeMap::new(),
            listeners: BTreeMap::new(),
            asked: BTreeSet::new(),
            is_spoilt: false,
            batches: Vec::new(),
            trips: BTreeMap::new(),
            is_held: false,
            waiting: VecDeque::new(),
            next_move: 0,
            figures: RouterFigures::default(),
            out: Vec::new(),
        }
    }

    /// A command of the engine.
    pub fn command(&mut self, command: Command, out: &mut Vec<Routed<P>>) {
        if self.waiting.len() >= self.max_waiting {
            self.figures.dropped += 1;
            self.is_spoilt |= is_waited_for(&command);
            if let Command::Done(batch) = command {
                out.push(Routed::Event(Event::Done { batch, ok: false }));
            }
            return;
        }
        self.waiting.push_back(command);
        self.proceed();
        out.append(&mut self.out);
    }

    /// What a shard's thread told. Of one shard in order; what it told before a parcel comes before the parcel.
    pub fn told(&mut self, shard: usize, told: FromShard<P>, out: &mut Vec<Routed<P>>) {
        match told {
            FromShard::Event(Event::Done { batch, ok }) => self.answered(shard, batch, ok),
            FromShard::Event(event) => {
                if let Event::BrowserAnswer { listener, answer } = &event {
                    self.browser_answered(*listener, answer.is_ok());
                }
                self.out.push(Routed::Event(event));
            }
            FromShard::Note(note) => self.noted(note),
            FromShard::Taken { id, parcel } => self.taken(id, parcel),
            FromShard::Released(port) => self.released(shard, port),
        }
        self.proceed();
        out.append(&mut self.out);
    }

    /// A shard's queue had no room for this command and it was dropped. Only commands may be: [`ToShard::Take`],
    /// [`ToShard::Adopt`] and [`ToShard::Returned`] are few, and have their place beside the bound.
    pub fn lost(&mut self, shard: usize, command: &Command, out: &mut Vec<Routed<P>>) {
        self.figures.dropped += 1;
        match command {
            Command::Done(batch) => self.answered(shard, *batch, false),
            command if is_waited_for(command) => {
                self.is_spoilt |= self.asked.contains(&shard);
                let asked = self.batches.iter_mut().filter(|batch| batch.waits_for.contains(&shard));
                asked.for_each(|batch| batch.ok = false);
            }
            _ => {}
        }
        out.append(&mut self.out);
    }

    /// What it did, and what it knows of.
    #[must_use]
    pub fn figures(&self) -> RouterFigures {
        let held = self.listeners.values().filter_map(|seated| seated.held.as_ref()).map(VecDeque::len);
        RouterFigures {
            waiting: self.waiting.len() + held.sum::<usize>(),
            streams: self.streams.len(),
            listeners: self.listeners.len(),
            ..self.figures
        }
    }

    /// Routes what waits until streams move, or nothing waits.
    fn proceed(&mut self) {
        while !self.is_held {
            let Some(command) = self.waiting.pop_front() else { return };
            self.route(command);
        }
    }

    fn route(&mut self, command: Command) {
        match command {
            Command::Open { stream, port } => {
                let home = self.layout.shard_of(port);
                let shard = self.streams.entry(stream).or_insert(Placed { shard: home, partner: None }).shard;
                self.send(shard, command);
            }
            Command::OpenListener { listener, port } => {
                let home = self.layout.shard_of(port);
                let seated = Seated { shard: home, focus: None, held: None, browser: None };
                let shard = self.listeners.entry(listener).or_insert(seated).shard;
                self.send(shard, command);
            }
            Command::Describe { stream, .. } => self.send(self.shard_of(stream), command),
            Command::Bridge { a, b } => self.bridge(a, b),
            Command::Unbridge { stream } => {
                self.part(stream);
                self.send(self.shard_of(stream), command);
            }
            Command::Close { stream } => {
                self.part(stream);
                let shard = self.shard_of(stream);
                self.streams.remove(&stream);
                self.listeners.values_mut().filter(|s| s.focus == Some(stream)).for_each(|s| s.focus = None);
                self.send(shard, command);
            }
            Command::WatchPartyKeys { stream, .. } | Command::WatchLevels { stream, .. } => {
                self.send(self.shard_of(stream), command);
            }
            Command::OpenBrowser { listener, shard, .. } => {
                let home = shard.min(self.layout.shards.saturating_sub(1));
                let browser = Some(Browser { home, is_open: false });
                let seated = Seated { shard: home, focus: None, held: None, browser };
                let shard = self.listeners.entry(listener).or_insert(seated).shard;
                self.send(shard, command);
            }
            Command::Listen { listener, .. }
            | Command::Focus { listener, .. }
            | Command::Mix { listener, .. }
            | Command::WatchKeys { listener, .. }
            | Command::RestartBrowser { listener, .. }
            | Command::Shield { listener, .. }
            | Command::CloseListener { listener } => self.of_listener(listener, command),
            Command::Done(batch) => self.done(batch),
        }
    }

    fn of_listener(&mut self, id: ListenerId, command: Command) {
        // one that nobody knows is refused by any shard
        let Some(seated) = self.listeners.get_mut(&id) else { return self.send(0, command) };
        if let Some(held) = &mut seated.held {
            held.push_back(command);
            return;
        }
        let shard = seated.shard;
        match command {
            Command::Focus { taps, .. } => {
                let focus = taps.map(|taps| taps.agent).filter(|agent| self.streams.contains_key(agent));
                let wanted = focus.map_or(shard, |agent| self.shard_of(agent));
                let Some(seated) = self.listeners.get_mut(&id) else { return };
                if wanted != shard {
                    seated.shard = wanted;
                    seated.focus = None;
                    seated.held = Some(VecDeque::from([command]));
                    self.figures.listener_moves += 1;
                    return self.depart(shard, Trip { to: wanted, listener: Some(id) }, Vec::new(), vec![id]);
                }
                seated.focus = focus;
            }
            Command::CloseListener { .. } => {
                let home = self.listeners.remove(&id).and_then(|seated| seated.browser).map(|browser| browser.home);
                if let Some(home) = home.filter(|home| *home != shard) {
                    self.out.push(Routed::To(home, ToShard::Note(Note::Left { listener: id })));
                }
            }
            _ => {}
        }
        self.send(shard, command);
    }

    fn bridge(&mut self, a: StreamId, b: StreamId) {
        let command = Command::Bridge { a, b };
        let (Some(one), Some(other)) = (self.streams.get(&a), self.streams.get(&b)) else {
            let known = if self.streams.contains_key(&a) { a } else { b };
            return self.send(self.shard_of(known), command);
        };
        let (one, other) = (one.shard, other.shard);
        if one != other {
            let (from, to, streams) = match (self.together(a), self.together(b)) {
                (young, old) if young.iter().min() > old.iter().min() => (one, other, young),
                (_, young) => (other, one, young),
            };
            self.waiting.push_front(command);
            return self.move_streams(from, to, streams);
        }
        if a != b && self.streams.get(&a).is_some_and(|placed| placed.partner != Some(b)) {
            for (stream, partner) in [(a, b), (b, a)] {
                self.part(stream);
                if let Some(placed) = self.streams.get_mut(&stream) {
                    placed.partner = Some(partner);
                }
            }
        }
        self.send(one, command);
    }

    /// A stream and whatever it is bridged to.
    fn together(&self, stream: StreamId) -> Vec<StreamId> {
        let partner = self.streams.get(&stream).and_then(|placed| placed.partner);
        std::iter::once(stream).chain(partner).collect()
    }

    fn part(&mut self, stream: StreamId) {
        let partner = self.streams.get_mut(&stream).and_then(|placed| placed.partner.take());
        if let Some(partner) = partner.and_then(|partner| self.streams.get_mut(&partner)) {
            partner.partner = partner.partner.filter(|other| *other != stream);
        }
    }

    fn move_streams(&mut self, from: usize, to: usize, streams: Vec<StreamId>) {
        for stream in &streams {
            if let Some(placed) = self.streams.get_mut(stream) {
                placed.shard = to;
            }
        }
        let mut listeners = Vec::new();
        for (id, seated) in &mut self.listeners {
            if seated.focus.is_some_and(|focus| streams.contains(&focus)) {
                seated.shard = to;
                listeners.push(*id);
            }
        }
        self.is_held = true;
        self.figures.stream_moves += 1;
        self.depart(from, Trip { to, listener: None }, streams, listeners);
    }

    fn depart(&mut self, from: usize, trip: Trip, streams: Vec<StreamId>, listeners: Vec<ListenerId>) {
        self.next_move += 1;
        let id = MoveId(self.next_move);
        self.trips.insert(id, trip);
        self.out.push(Routed::To(from, ToShard::Take(Take { id, streams, listeners })));
    }

    /// It left its shard, or was not there: what waited for it comes next.
    fn taken(&mut self, id: MoveId, parcel: Option<P>) {
        let Some(Trip { to, listener }) = self.trips.remove(&id) else { return };
        if let Some(parcel) = parcel {
            self.out.push(Routed::To(to, ToShard::Adopt(parcel)));
        }
        let Some(listener) = listener else {
            self.is_held = false;
            return;
        };
        // older than anything else that waits
        let held = self.listeners.get_mut(&listener).and_then(|seated| seated.held.take()).unwrap_or_default();
        held.into_iter().rev().for_each(|command| self.waiting.push_front(command));
    }

    /// One that got no answer to its first offer is not there.
    fn browser_answered(&mut self, id: ListenerId, is_ok: bool) {
        let Some(browser) = self.listeners.get_mut(&id).and_then(|seated| seated.browser.as_mut()) else { return };
        browser.is_open |= is_ok;
        if !browser.is_open {
            self.listeners.remove(&id);
        }
    }

    /// Between where a browser's leg is and where it began. On its way, what comes for it is lost, and sent again.
    fn noted(&mut self, note: Note) {
        let (Note::Datagram { listener, .. } | Note::Renamed { listener, .. } | Note::Left { listener }) = &note;
        let Some(seated) = self.listeners.get(listener) else { return };
        let shard = match (&note, &seated.browser) {
            (Note::Datagram { .. }, _) => seated.shard,
            (_, Some(browser)) => browser.home,
            (_, None) => return,
        };
        self.out.push(Routed::To(shard, ToShard::Note(note)));
    }

    /// Where a stream is; a shard that does not know it says so.
    fn shard_of(&self, stream: StreamId) -> usize {
        self.streams.get(&stream).map_or(0, |placed| placed.shard)
    }

    fn send(&mut self, shard: usize, command: Command) {
        self.asked.insert(shard);
        self.out.push(Routed::To(shard, ToShard::Command(command)));
    }

    /// Asks every shard that got something of the batch.
    fn done(&mut self, batch: BatchId) {
        let asked = std::mem::take(&mut self.asked);
        let ok = !std::mem::take(&mut self.is_spoilt);
        if asked.is_empty() {
            return self.out.push(Routed::Event(Event::Done { batch, ok }));
        }
        self.out.extend(asked.iter().map(|shard| Routed::To(*shard, ToShard::Command(Command::Done(batch)))));
        self.batches.push(Batch { id: batch, waits_for: asked, ok });
    }

    fn answered(&mut self, shard: usize, id: BatchId, ok: bool) {
        let waits = |batch: &Batch| batch.id == id && batch.waits_for.contains(&shard);
        let Some(place) = self.batches.iter().position(waits) else { return };
        let batch = &mut self.batches[place];
        batch.ok &= ok;
        batch.waits_for.remove(&shard);
        if batch.waits_for.is_empty() {
            let ok = self.batches.remove(place).ok;
            self.out.push(Routed::Event(Event::Done { batch: id, ok }));
        }
    }

    fn released(&mut self, shard: usize, port: Port) {
        let home = self.layout.shard_of(port);
        if home != shard {
            self.out.push(Routed::To(home, ToShard::Returned(port)));
        }
    }
}
