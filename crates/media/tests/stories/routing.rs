//! The router over several shards against one shard alone: whoever gives the commands sees no difference.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::browser::Browsers;
use media::ports::Layout;
use media::router::{FromShard, MAX_WAITING, Routed, Router, RouterFigures, ToShard};
use media::{BatchId, Command, Event, Kind, ListenerId, ListenerRemote, Port, Remote, Settings, Shard, StreamId, Taps};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::page::{Page, Wants};
use crate::world::{Recorder, addr, port, rtp};

const FIRST: u16 = 20_000;

fn phone(stream: StreamId) -> SocketAddr {
    SocketAddr::from(([10, 1, (stream.0 >> 8) as u8, stream.0 as u8], 4000))
}

fn remote(stream: StreamId) -> Remote {
    Remote { rtp: Some(phone(stream)), ..crate::world::remote(StreamId(1)) }
}

fn listener_remote(n: u64) -> ListenerRemote {
    ListenerRemote { rtp: Some(phone(StreamId(n))), ..crate::world::listener_remote(1) }
}

/// Shards behind a router, each with a queue to it and one from it.
struct Plane {
    router: Router,
    shards: Vec<Shard>,
    to: Vec<VecDeque<ToShard>>,
    from: Vec<VecDeque<FromShard>>,
    /// Which shard has a port's sockets.
    sockets: BTreeMap<Port, usize>,
    layout: Layout,
    done: BTreeMap<BatchId, bool>,
    returned: Vec<Port>,
    recorder: Recorder,
    told: Vec<Event>,
}

/// Shards have a socket for browsers each.
fn ours(home: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 40_000 + home as u16))
}

fn settings(home: usize) -> Settings {
    let browsers = Browsers { home, candidates: vec![ours(home)], max_legs: 4 };
    Settings { browsers, ..Settings::default() }
}

fn recorder(now: Instant) -> Recorder {
    Recorder::new(now)
}

impl Plane {
    fn new(count: usize, now: Instant) -> Self {
        let layout = Layout { first: FIRST, shards: count };
        Self {
            router: Router::new(layout, MAX_WAITING),
            shards: (0..count).map(|n| Shard::new(settings(n), [n as u8; 32])).collect(),
            to: (0..count).map(|_| VecDeque::new()).collect(),
            from: (0..count).map(|_| VecDeque::new()).collect(),
            sockets: BTreeMap::new(),
            layout,
            done: BTreeMap::new(),
            returned: Vec::new(),
            recorder: recorder(now),
            told: Vec::new(),
        }
    }

    fn command(&mut self, command: Command) {
        if let Command::Open { port, .. } | Command::OpenListener { port, .. } = &command {
            self.sockets.insert(*port, self.layout.shard_of(*port));
        }
        let mut out = Vec::new();
        self.router.command(command, &mut out);
        self.route(out);
    }

    fn route(&mut self, out: Vec<Routed>) {
        for routed in out {
            match routed {
                Routed::To(shard, to) => self.to[shard].push_back(to),
                Routed::Event(Event::Done { batch, ok }) => {
                    assert!(self.done.insert(batch, ok).is_none(), "{batch:?} was acknowledged twice");
                }
                Routed::Event(event) => self.told.push(event),
            }
        }
    }

    /// One thing that waits in a queue happens, if any does.
    fn step(&mut self, pick: usize) -> bool {
        let count = self.shards.len();
        let busy: Vec<usize> = (0..2 * count)
            .filter(|n| if *n < count { !self.to[*n].is_empty() } else { !self.from[n - count].is_empty() })
            .collect();
        let Some(queue) = (!busy.is_empty()).then(|| busy[pick % busy.len()]) else { return false };
        if queue >= count {
            let mut out = Vec::new();
            if let Some(told) = self.from[queue - count].pop_front() {
                self.router.told(queue - count, told, &mut out);
            }
            self.route(out);
        } else if let Some(to) = self.to[queue].pop_front() {
            self.obey(queue, to);
        }
        true
    }

    fn obey(&mut self, index: usize, to: ToShard) {
        let now = self.recorder.now;
        match to {
            ToShard::Command(command) => self.shards[index].command(now, command, &mut self.recorder),
            ToShard::Take(take) => {
                let parcel = self.shards[index].take(&take);
                for port in parcel.iter().flat_map(|parcel| parcel.ports().collect::<Vec<_>>()) {
                    assert_eq!(self.sockets.remove(&port), Some(index));
                }
                self.from[index].push_back(FromShard::Taken { id: take.id, parcel });
            }
            ToShard::Adopt(parcel) => {
                self.sockets.extend(parcel.ports().map(|port| (port, index)));
                self.shards[index].adopt(now, parcel);
            }
            ToShard::Note(note) => self.shards[index].note(now, note, &mut self.recorder),
            ToShard::Returned(port) => {
                assert_eq!(self.layout.shard_of(port), index, "to the shard that the number belongs to");
                self.returned.push(port);
            }
        }
        self.hear(index);
    }

    fn hear(&mut self, index: usize) {
        for (_, event) in self.recorder.events.drain(..) {
            self.from[index].push_back(FromShard::Event(event));
        }
        for note in self.recorder.notes.drain(..) {
            self.from[index].push_back(FromShard::Note(note));
        }
        for port in self.recorder.released.drain(..) {
            assert_eq!(self.sockets.remove(&port), Some(index), "a shard closes sockets that it has");
            if self.layout.shard_of(port) == index {
                self.returned.push(port);
            } else {
                self.from[index].push_back(FromShard::Released(port));
            }
        }
    }

    fn wake(&mut self) {
        let now = self.recorder.now;
        for index in 0..self.shards.len() {
            self.shards[index].wake(now, &mut self.recorder);
            self.hear(index);
        }
    }

    fn settle(&mut self) {
        while self.step(0) {}
        assert_eq!(self.router.figures().waiting, 0);
    }
}

/// Random commands as an engine gives them: ids once, known and unknown ones, batches of any length.
struct Orders {
    rng: StdRng,
    streams: Vec<StreamId>,
    listeners: Vec<ListenerId>,
    next: u64,
    batch: u64,
    round: u32,
}

impl Orders {
    fn next(&mut self) -> Command {
        let known = |rng: &mut StdRng, ids: &[StreamId]| {
            let any = rng.random_range(0..=ids.len());
            ids.get(any).copied().unwrap_or(StreamId(9_999))
        };
        let rng = &mut self.rng;
        let stream = known(rng, &self.streams);
        let ear = self.listeners.get(rng.random_range(0..=self.listeners.len())).copied();
        let listener = ear.unwrap_or(ListenerId(9_999));
        match rng.random_range(0..100) {
            0..15 if self.streams.len() < 12 => {
                self.next += 1;
                let stream = StreamId(self.next);
                self.streams.push(stream);
                Command::Open { stream, port: port(stream) }
            }
            15..25 if self.listeners.len() < 8 => {
                self.next += 1;
                let listener = ListenerId(self.next);
                self.listeners.push(listener);
                Command::OpenListener { listener, port: port(StreamId(self.next)) }
            }
            0..32 => Command::Describe { stream, remote: remote(stream) },
            32..50 => Command::Bridge { a: stream, b: known(rng, &self.streams) },
            50..53 => Command::Unbridge { stream },
            53..57 => {
                self.streams.retain(|other| *other != stream);
                Command::Close { stream }
            }
            57..65 => Command::Listen { listener, remote: listener_remote(listener.0) },
            65..80 => {
                let taps = rng.random_bool(0.85).then_some(Taps { agent: stream });
                Command::Focus { listener, taps }
            }
            80..84 => Command::Shield { listener, on: rng.random_bool(0.5) },
            84..87 => {
                self.listeners.retain(|other| *other != listener);
                Command::CloseListener { listener }
            }
            _ => {
                self.batch += 1;
                Command::Done(BatchId(self.batch))
            }
        }
    }
}

/// Who gets what when every party says one word, and which listeners get a packet within 40 ms.
fn who_hears(
    streams: &[StreamId],
    now: Instant,
    round: u32,
    mut datagram: impl FnMut(Instant, Port, SocketAddr, &mut [u8]) -> Vec<(Port, SocketAddr)>,
) -> BTreeMap<StreamId, Vec<(Port, SocketAddr)>> {
    let words = streams.iter().map(|stream| {
        // every round is another source: what the taps made of those before does not matter
        let mut data = rtp(0, 7, 160, (round << 16) + stream.0 as u32, &[0x55; 160]);
        (*stream, datagram(now, port(*stream), phone(*stream), &mut data))
    });
    words.collect()
}

fn live(seed: u64) -> RouterFigures {
    let now = Instant::now();
    let mut orders = Orders {
        rng: StdRng::seed_from_u64(seed),
        streams: Vec::new(),
        listeners: Vec::new(),
        next: 0,
        batch: 0,
        round: 0,
    };
    let count = 1 + (seed % 4) as usize;
    let mut plane = Plane::new(count, now);
    let (mut alone, mut seen) = (Shard::new(Settings::default(), [7; 32]), recorder(now));
    let mut steps = StdRng::seed_from_u64(!seed);
    let patience = steps.random_range(1..6);
    for _ in 0..400 {
        let command = orders.next();
        alone.command(seen.now, command.clone(), &mut seen);
        plane.command(command);
        for _ in 0..steps.random_range(0..patience) {
            plane.step(steps.random_range(0..64));
        }
        if steps.random_bool(0.03) {
            plane.settle();
            seen.now += Duration::from_millis(20);
            plane.recorder.now = seen.now;
            alone.wake(seen.now, &mut seen);
            plane.wake();
            compare(&mut orders, &mut alone, &mut seen, &mut plane, seed);
        }
    }
    plane.settle();
    compare(&mut orders, &mut alone, &mut seen, &mut plane, seed);
    let asked: BTreeMap<BatchId, bool> = seen
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Done { batch, ok } => Some((*batch, *ok)),
            _ => None,
        })
        .collect();
    assert_eq!(plane.done, asked, "seed {seed}: acknowledged as one shard would");
    for stream in std::mem::take(&mut orders.streams) {
        alone.command(seen.now, Command::Close { stream }, &mut seen);
        plane.command(Command::Close { stream });
    }
    for listener in std::mem::take(&mut orders.listeners) {
        alone.command(seen.now, Command::CloseListener { listener }, &mut seen);
        plane.command(Command::CloseListener { listener });
    }
    plane.settle();
    let everything = |ports: &[Port]| ports.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(plane.returned.len(), seen.released.len(), "seed {seed}: each number comes back once");
    assert_eq!(everything(&plane.returned), everything(&seen.released), "seed {seed}");
    assert!(plane.sockets.is_empty(), "seed {seed}: {:?}", plane.sockets);
    assert!(plane.shards.iter().all(|shard| shard.sizes() == (0, 0)), "seed {seed}");
    let figures = plane.router.figures();
    assert_eq!((figures.streams, figures.listeners), (0, 0), "seed {seed}");
    figures
}

fn compare(orders: &mut Orders, alone: &mut Shard, seen: &mut Recorder, plane: &mut Plane, seed: u64) {
    let sizes = plane.shards.iter().fold((0, 0), |sum, shard| (sum.0 + shard.sizes().0, sum.1 + shard.sizes().1));
    assert_eq!(sizes, alone.sizes(), "seed {seed}");
    let now = seen.now;
    orders.round += 1;
    let one = who_hears(&orders.streams, now, orders.round, |now, port, from, data| {
        seen.sent.clear();
        alone.datagram(now, port, Kind::Rtp, from, data, seen);
        seen.sent.iter().map(|sent| (sent.port, sent.to)).collect()
    });
    let several = who_hears(&orders.streams, now, orders.round, |now, port, from, data| {
        plane.recorder.sent.clear();
        let index = plane.sockets[&port];
        plane.shards[index].datagram(now, port, Kind::Rtp, from, data, &mut plane.recorder);
        plane.hear(index);
        plane.recorder.sent.iter().map(|sent| (sent.port, sent.to)).collect()
    });
    assert_eq!(several, one, "seed {seed}: packets go where one shard would send them");
    for ms in 0..80 {
        // Who falls silent fades out first, and not while it moves.
        if ms == 20 {
            seen.sent.clear();
            plane.recorder.sent.clear();
        }
        seen.now += Duration::from_millis(1);
        plane.recorder.now = seen.now;
        alone.wake(seen.now, seen);
        plane.wake();
    }
    let loud = |sent: &[crate::world::Sent]| {
        let to_listener = sent.iter().filter(|sent| sent.kind == Kind::Rtp);
        let mut loud: BTreeMap<_, bool> = BTreeMap::new();
        for sent in to_listener {
            *loud.entry((sent.port, sent.to)).or_default() |= sent.data[12..].iter().any(|byte| *byte & 0x7f < 0x70);
        }
        loud
    };
    assert_eq!(loud(&plane.recorder.sent), loud(&seen.sent), "seed {seed}: listeners hear what they would");
}

#[test]
fn several_shards_are_as_one() {
    let mut moves = (0, 0);
    for seed in 0..300 {
        let figures = live(seed);
        moves = (moves.0 + figures.stream_moves, moves.1 + figures.listener_moves);
    }
    assert!(moves.0 > 1_000 && moves.1 > 1_000, "{moves:?}");
}

fn two() -> (Plane, StreamId, StreamId) {
    let mut plane = Plane::new(2, Instant::now());
    let (a, b) = (StreamId(1), StreamId(2));
    for stream in [a, b] {
        plane.command(Command::Open { stream, port: port(stream) });
        plane.command(Command::Describe { stream, remote: remote(stream) });
    }
    plane.settle();
    (plane, a, b)
}

#[test]
fn a_batch_waits_for_every_shard_that_it_concerns_and_for_no_other() {
    let (mut plane, a, b) = two();
    plane.command(Command::Done(BatchId(1)));
    assert!(plane.done.is_empty());
    let (home, other) = (plane.layout.shard_of(port(a)), plane.layout.shard_of(port(b)));
    assert_ne!(home, other);
    plane.command(Command::Describe { stream: a, remote: remote(a) });
    plane.command(Command::Done(BatchId(2)));
    // the other shard stands still
    while let Some(to) = plane.to[home].pop_front() {
        plane.obey(home, to);
    }
    let mut out = Vec::new();
    while let Some(told) = plane.from[home].pop_front() {
        plane.router.told(home, told, &mut out);
    }
    plane.route(out);
    assert_eq!(plane.done, [(BatchId(2), true)].into());
    plane.settle();
    assert_eq!(plane.done, [(BatchId(1), true), (BatchId(2), true)].into());
    plane.command(Command::Done(BatchId(3)));
    assert_eq!(plane.done.get(&BatchId(3)), Some(&true), "nothing of it went anywhere");
}

#[test]
fn a_stream_that_closes_while_it_moves_is_closed_where_it_comes_to() {
    let (mut plane, a, b) = two();
    plane.command(Command::Bridge { a, b });
    plane.command(Command::Close { stream: b });
    plane.command(Command::Close { stream: a });
    plane.command(Command::Done(BatchId(1)));
    plane.settle();
    assert_eq!(plane.done, [(BatchId(1), true)].into());
    assert_eq!(plane.returned.iter().collect::<BTreeSet<_>>(), [&port(a), &port(b)].into());
    assert!(plane.sockets.is_empty() && plane.shards.iter().all(|shard| shard.sizes() == (0, 0)));
}

#[test]
fn the_younger_pair_moves_whoever_listens() {
    for listeners in [0, 5] {
        let mut plane = Plane::new(2, Instant::now());
        // even ids lie on one shard, odd ones on the other
        let [old, old_peer, young, young_peer] = [1, 3, 4, 6].map(StreamId);
        for stream in [old, old_peer, young, young_peer] {
            plane.command(Command::Open { stream, port: port(stream) });
        }
        plane.command(Command::Bridge { a: old, b: old_peer });
        plane.command(Command::Bridge { a: young_peer, b: young });
        for n in 0..listeners {
            let listener = ListenerId(n);
            plane.command(Command::OpenListener { listener, port: port(StreamId(10 + n)) });
            plane.command(Command::Focus { listener, taps: Some(Taps { agent: young }) });
        }
        plane.settle();
        plane.command(Command::Bridge { a: young, b: old });
        plane.settle();
        let home = plane.layout.shard_of(port(old));
        assert_eq!(plane.shards[home].sizes(), (4, listeners as usize));
        assert_eq!(plane.router.figures().stream_moves, 1);
    }
}

#[test]
fn a_moving_listener_holds_nobody_up() {
    let (mut plane, a, b) = two();
    let listener = ListenerId(1);
    plane.command(Command::OpenListener { listener, port: port(StreamId(3)) });
    plane.settle();
    plane.command(Command::Focus { listener, taps: Some(Taps { agent: b }) });
    plane.command(Command::Shield { listener, on: true });
    assert_eq!(plane.router.figures().waiting, 2);
    plane.command(Command::Describe { stream: a, remote: remote(a) });
    plane.command(Command::Done(BatchId(1)));
    assert_eq!(plane.router.figures().waiting, 2, "the call's commands are on their way");
    plane.settle();
    assert_eq!(plane.done, [(BatchId(1), true)].into());
}

#[test]
fn what_has_no_room_is_refused_and_acknowledged_as_refused() {
    let (mut plane, a, b) = two();
    plane.router = Router::new(plane.layout, 2);
    for stream in [a, b] {
        plane.command(Command::Open { stream, port: port(stream) });
    }
    plane.to.iter_mut().for_each(VecDeque::clear);
    plane.command(Command::Bridge { a, b });
    plane.command(Command::Describe { stream: a, remote: remote(a) });
    plane.command(Command::Describe { stream: b, remote: remote(b) });
    plane.command(Command::Done(BatchId(1)));
    assert_eq!(plane.done, [(BatchId(1), false)].into());
    assert_eq!(plane.router.figures().dropped, 2);
}

#[test]
fn a_full_queue_of_a_shard_refuses_the_batch() {
    let (mut plane, a, b) = two();
    plane.command(Command::Done(BatchId(1)));
    plane.settle();
    let home = plane.layout.shard_of(port(a));
    let mut out = Vec::new();
    plane.router.command(Command::Describe { stream: a, remote: remote(a) }, &mut out);
    let Some(Routed::To(shard, ToShard::Command(lost))) = out.pop() else { panic!("it goes to a shard") };
    plane.router.lost(shard, &lost, &mut out);
    plane.command(Command::Describe { stream: b, remote: remote(b) });
    plane.command(Command::Done(BatchId(2)));
    plane.settle();
    assert_eq!((shard, plane.done.get(&BatchId(2))), (home, Some(&false)));
    plane.router.command(Command::Done(BatchId(3)), &mut out);
    plane.router.command(Command::Describe { stream: a, remote: remote(a) }, &mut out);
    out.clear();
    plane.router.command(Command::Done(BatchId(4)), &mut out);
    let Some(Routed::To(shard, ToShard::Command(lost))) = out.pop() else { panic!("it goes to a shard") };
    plane.router.lost(shard, &lost, &mut out);
    assert!(matches!(out[..], [Routed::Event(Event::Done { batch: BatchId(4), ok: false })]), "{out:?}");
}

/// A page whose leg began on the first of several shards, and streams on all of them.
struct Guest {
    plane: Plane,
    page: Page,
    steps: StdRng,
    streams: Vec<StreamId>,
}

const EAR: ListenerId = ListenerId(500);

impl Guest {
    fn new(seed: u64) -> Self {
        let mut plane = Plane::new(3, Instant::now());
        let streams: Vec<StreamId> = (1..=6).map(StreamId).collect();
        for stream in &streams {
            plane.command(Command::Open { stream: *stream, port: port(*stream) });
            plane.command(Command::Describe { stream: *stream, remote: remote(*stream) });
        }
        let mut page = Page::new(plane.recorder.now, addr("198.51.100.9:5000"), Wants::Pcmu);
        let offer = page.offer(1);
        plane.command(Command::OpenBrowser { listener: EAR, shard: 0, offer });
        plane.settle();
        let mut guest = Self { plane, page, steps: StdRng::seed_from_u64(seed), streams };
        let answer = guest.answer();
        guest.page.answer(&answer);
        guest
    }

    fn answer(&mut self) -> String {
        self.plane.settle();
        match self.plane.told.pop() {
            Some(Event::BrowserAnswer { listener: EAR, answer: Ok(answer) }) => answer,
            other => panic!("no answer but {other:?}"),
        }
    }

    /// Every stream's party talks all the time; queues between shards and router move at any pace.
    fn run(&mut self, ms: u64) {
        for n in 0..ms {
            self.plane.recorder.now += Duration::from_millis(1);
            let now = self.plane.recorder.now;
            if n % 20 == 0 {
                for stream in self.streams.clone() {
                    let elapsed = (n / 20) as u16;
                    let mut data = rtp(0, elapsed, u32::from(elapsed) * 160, stream.0 as u32, &[0x55; 160]);
                    let Some(index) = self.plane.sockets.get(&port(stream)).copied() else { continue };
                    let recorder = &mut self.plane.recorder;
                    self.plane.shards[index].datagram(now, port(stream), Kind::Rtp, phone(stream), &mut data, recorder);
                    self.plane.hear(index);
                }
            }
            self.plane.wake();
            for _ in 0..self.steps.random_range(0..4) {
                let pick = self.steps.random_range(0..64);
                self.plane.step(pick);
            }
            self.page.wake(now);
            for (to, data) in std::mem::take(&mut self.page.out) {
                assert_eq!(to, ours(0), "it is sent to where the leg began");
                self.plane.shards[0].browser_datagram(now, self.page.address, &data, &mut self.plane.recorder);
                self.plane.hear(0);
            }
            for (home, to, data) in std::mem::take(&mut self.plane.recorder.browser) {
                assert_eq!((home, to), (0, self.page.address), "and comes from there");
                self.page.receive(now, ours(home), &data);
            }
        }
    }

    /// On which shard the leg is.
    fn seat(&self) -> Vec<usize> {
        (0..3).filter(|index| self.plane.shards[*index].sizes().1 == 1).collect()
    }
}

#[test]
fn a_browser_hears_calls_of_all_shards_by_the_socket_where_it_began() {
    for seed in 0..6 {
        let mut guest = Guest::new(seed);
        guest.plane.command(Command::Focus { listener: EAR, taps: Some(Taps { agent: StreamId(1) }) });
        guest.run(1_000);
        assert!(guest.page.is_connected, "seed {seed}");
        let mut seats = BTreeSet::new();
        for turn in 0..30 {
            if turn == 15 {
                let fragment = guest.page.restart();
                guest.plane.command(Command::RestartBrowser { listener: EAR, fragment });
                let answer = guest.answer();
                guest.page.answer(&answer);
            }
            let stream = guest.streams[guest.steps.random_range(0..guest.streams.len())];
            guest.plane.command(Command::Focus { listener: EAR, taps: Some(Taps { agent: stream }) });
            guest.run(400);
            guest.plane.settle();
            let seat = guest.seat();
            assert_eq!(seat, [guest.plane.sockets[&port(stream)]], "seed {seed}: it is where the call is");
            seats.extend(seat);
        }
        // Longer than consent lasts, away from where it began.
        let away = guest.streams.iter().copied().find(|stream| guest.plane.sockets[&port(*stream)] != 0);
        guest.plane.command(Command::Focus { listener: EAR, taps: away.map(|agent| Taps { agent }) });
        guest.run(40_000);
        assert_eq!(seats.len(), 3);
        assert!(!guest.plane.told.iter().any(|event| matches!(event, Event::BrowserGone { .. })), "seed {seed}");
        let heard = &guest.page.heard[&0];
        for pair in heard.windows(2) {
            let (before, after) = (&pair[0].header, &pair[1].header);
            assert_eq!(after.sequence_number, before.sequence_number.wrapping_add(1), "seed {seed}");
            let step = after.timestamp.wrapping_sub(before.timestamp);
            assert!(step.is_multiple_of(160) && (160..=800).contains(&step), "seed {seed}: {step}");
        }
        assert!(heard.len() > 2_500, "{}", heard.len());
        // It ends away from where it began: nothing of it stays there.
        guest.plane.command(Command::CloseListener { listener: EAR });
        guest.run(40);
        guest.plane.settle();
        assert!(guest.page.is_closed);
        assert_eq!(guest.plane.router.figures().listeners, 0);
        for _ in 0..4 {
            let offer = Page::new(guest.plane.recorder.now, addr("198.51.100.8:5000"), Wants::Pcmu).offer(1);
            guest.plane.command(Command::OpenBrowser { listener: ListenerId(guest.steps.random()), shard: 0, offer });
            guest.plane.settle();
            assert!(
                matches!(guest.plane.told.last(), Some(Event::BrowserAnswer { answer: Ok(_), .. })),
                "there is room"
            );
        }
    }
}

#[test]
fn a_call_that_moves_takes_its_browser_along() {
    let mut guest = Guest::new(9);
    let (young, old) = (StreamId(4), StreamId(2));
    guest.plane.command(Command::Focus { listener: EAR, taps: Some(Taps { agent: young }) });
    guest.run(1_000);
    let before = guest.seat();
    guest.plane.command(Command::Bridge { a: old, b: young });
    guest.run(500);
    guest.plane.settle();
    let after = guest.seat();
    assert_ne!(after, before);
    assert_eq!(after, [guest.plane.sockets[&port(old)]]);
    let count = guest.page.heard[&0].len();
    guest.run(1_000);
    assert!(guest.page.heard[&0].len() >= count + 49);
}

#[test]
fn an_offer_that_is_refused_leaves_nothing() {
    let mut plane = Plane::new(2, Instant::now());
    plane.command(Command::OpenBrowser { listener: EAR, shard: 7, offer: "v=0".to_owned() });
    plane.settle();
    assert!(matches!(plane.told[..], [Event::BrowserAnswer { listener: EAR, answer: Err(_) }]), "{:?}", plane.told);
    assert_eq!(plane.router.figures().listeners, 0);
}
