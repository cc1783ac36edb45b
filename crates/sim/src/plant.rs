//! The machine room: the engine, its media shards behind their router, and how their outputs reach each other and the
//! network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Engine, Input, Now, Output};
use media::ports::Layout;
use media::router::{FromShard, MAX_WAITING, Routed, Router, RouterFigures, ToShard};
use media::{Command, Counters, Kind, Port, Shard, Sink};
use signalling::transport::{Flow, Transport};

use crate::cast::{ENGINE, ENGINE_V6, is_engine};
use crate::world::{Happening, Way, World};

/// The engine's first RTP port.
const FIRST_PORT: u16 = 20_000;

/// Whose number a port is.
pub(crate) fn layout(shards: usize) -> Layout {
    Layout { first: FIRST_PORT, shards }
}

/// The engine with its shards and its sockets.
#[derive(Debug)]
pub(crate) struct Plant {
    pub(crate) engine: Engine,
    pub(crate) router: Router,
    pub(crate) shards: Vec<Shard>,
    /// Numbers that are not to be drawn.
    pub(crate) open: BTreeSet<u16>,
    /// Which shard has a port's sockets.
    sockets: BTreeMap<u16, usize>,
    /// What came for sockets that are between two shards: it waits in them.
    in_transit: BTreeMap<u16, Vec<(SocketAddr, SocketAddr, Bytes)>>,
    layout: Layout,
    /// Ports of each shard that the engine has not given out.
    ready_on: Vec<usize>,
    /// The engine is kept supplied with so many of each shard.
    pub(crate) ready: usize,
    /// The host has no more than these.
    pub(crate) most: usize,
    /// Of each shard. The next process does not begin with the ports of the last one.
    pub(crate) next_port: Vec<u16>,
}

/// Collects what the shard wants done.
#[derive(Debug, Default)]
struct Collected {
    packets: Vec<(SocketAddr, SocketAddr, Bytes)>,
    events: Vec<media::Event>,
    released: Vec<Port>,
    notes: Vec<media::browser::Note>,
}

impl Sink for Collected {
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        let number = port.0 + u16::from(kind == Kind::Rtcp);
        let own = if to.is_ipv4() { ENGINE } else { ENGINE_V6 };
        self.packets.push((SocketAddr::new(own.ip(), number), to, Bytes::copy_from_slice(data)));
    }
    fn note(&mut self, note: media::browser::Note) {
        self.notes.push(note);
    }
    fn event(&mut self, event: media::Event) {
        self.events.push(event);
    }
    fn release(&mut self, port: Port) {
        self.released.push(port);
    }
}

impl Plant {
    pub(crate) fn new(engine: Engine, shards: Vec<Shard>, ready: usize) -> Self {
        let layout = layout(shards.len());
        let first = |shard: usize| FIRST_PORT + 2 * shard as u16;
        Self {
            engine,
            router: Router::new(layout, MAX_WAITING),
            ready_on: vec![0; shards.len()],
            next_port: (0..shards.len()).map(first).collect(),
            shards,
            open: BTreeSet::new(),
            sockets: BTreeMap::new(),
            in_transit: BTreeMap::new(),
            layout,
            ready,
            most: usize::MAX,
        }
    }

    /// So many shards, each with a seed of its own.
    pub(crate) fn shards(count: usize, settings: &media::Settings, seed: [u8; 32]) -> Vec<Shard> {
        let seed_of = |shard: usize| {
            let mut seed = seed;
            seed[16] = shard as u8;
            seed
        };
        let settings_of = |shard: usize| {
            let mut settings = settings.clone();
            settings.browsers.home = shard;
            settings
        };
        (0..count).map(|shard| Shard::new(settings_of(shard), seed_of(shard))).collect()
    }

    /// Streams and listeners, on all shards.
    pub(crate) fn media_sizes(&self) -> (usize, usize) {
        let sizes = self.shards.iter().map(Shard::sizes);
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }

    /// One of the media plane's counters.
    pub(crate) fn media_count(&self, which: impl Fn(&Counters) -> u64) -> u64 {
        self.shards.iter().map(|shard| which(&shard.counters())).sum()
    }

    pub(crate) fn media_wakes_at(&self) -> Option<Instant> {
        self.shards.iter().filter_map(Shard::wake_at).min()
    }

    /// Which of the engine's media sockets has that address.
    fn port_of(&self, addr: SocketAddr) -> Option<(Port, Kind)> {
        let rtp = addr.port() & !1;
        let kind = if addr.port() == rtp { Kind::Rtp } else { Kind::Rtcp };
        (is_engine(addr.ip()) && self.open.contains(&rtp)).then_some((Port(rtp), kind))
    }

    fn draw(&mut self, shard: usize) -> Port {
        let step = 2 * self.shards.len() as u16;
        let port = self.next_port[shard];
        self.next_port[shard] = if port >= 60_000 { FIRST_PORT + 2 * shard as u16 } else { port + step };
        assert!(self.open.insert(port), "the simulated host ran out of ports: somebody keeps them");
        self.sockets.insert(port, shard);
        self.ready_on[shard] += 1;
        Port(port)
    }

    fn given_out(&mut self, command: &Command) {
        if let Command::Open { port, .. } | Command::OpenListener { port, .. } = command {
            self.ready_on[self.layout.shard_of(*port)] -= 1;
        }
    }
}

impl World {
    /// One input for the engine, and everything that follows at once.
    pub(crate) fn drive_engine(&mut self, input: Input) {
        if self.down {
            return;
        }
        self.steps += 1;
        let mut outputs = Vec::new();
        let now = self.clocks();
        self.watched(|watch, world| watch.input(world, &input));
        self.plant.engine.drive(now, input, &mut outputs);
        self.take_engine_outputs(outputs);
        self.supply_ports(now);
        self.watched(|watch, world| watch.driven(world));
    }

    fn supply_ports(&mut self, now: Now) {
        let ready = self.plant.engine.sizes().ports_ready;
        assert_eq!(
            ready,
            self.plant.ready_on.iter().sum::<usize>(),
            "the engine has the ports that it did not give out"
        );
        for shard in 0..self.plant.shards.len() {
            while self.plant.ready_on[shard] < self.plant.ready && self.plant.open.len() < self.plant.most {
                let port = self.plant.draw(shard);
                let addr = SocketAddr::new(ENGINE.ip(), port.0);
                let addr6 = self.setup.dual_stack.then(|| SocketAddr::new(ENGINE_V6.ip(), port.0));
                let mut outputs = Vec::new();
                let event = media::Event::PortReady { port, addr, addr6 };
                self.plant.engine.drive(now, Input::Media(event), &mut outputs);
                self.take_engine_outputs(outputs);
            }
        }
    }

    pub(crate) fn take_engine_outputs(&mut self, outputs: Vec<Output>) {
        #[cfg(test)]
        let outputs = self.sabotaged(outputs);
        for output in outputs {
            self.watched(|watch, world| watch.output(world, &output));
            match output {
                Output::Transmit { flow, data } => {
                    assert!([ENGINE, ENGINE_V6].contains(&flow.local), "the engine has two SIP sockets: {flow:?}");
                    self.send_sip(flow.local, flow.remote, data);
                }
                Output::Connect { .. } | Output::Close { .. } => {
                    panic!("the simulated network has datagrams alone, and the engine listens on nothing else")
                }
                Output::Media(command) => {
                    self.plant.given_out(&command);
                    let mut routed = Vec::new();
                    self.plant.router.command(command, &mut routed);
                    self.take_routed(routed);
                }
                Output::Persist { persist, changes } => {
                    let delay = if self.disk.queue_full { Duration::ZERO } else { self.disk.delay };
                    let at = self.arrival(Way::ToStore, delay);
                    let changes = if self.disk.queue_full { None } else { Some(changes) };
                    self.queue.push(at, Happening::Persist { persist, changes });
                }
                Output::Reply { reply, result } => {
                    let twice = self.replies.insert(reply, result);
                    assert!(twice.is_none(), "an order was answered twice");
                }
                Output::View(view) => self.model.see(view),
                Output::Event(event) => self.model.events.push(event),
                Output::Log { level, message, ids } => self.logs.push((self.now, level, message, ids)),
                Output::Levels { .. } => {}
                Output::Drained => self.drained = true,
            }
        }
    }

    #[cfg(test)]
    fn sabotaged(&mut self, mut outputs: Vec<Output>) -> Vec<Output> {
        if let Some(sabotage) = &mut self.sabotage {
            (sabotage.0)(&mut outputs);
        }
        outputs
    }

    /// A datagram that arrived at the engine's host.
    pub(crate) fn deliver_to_engine(&mut self, from: SocketAddr, to: SocketAddr, data: &Bytes) {
        if to == ENGINE || to == ENGINE_V6 {
            let flow = Flow { transport: Transport::Udp, local: to, remote: from };
            self.drive_engine(Input::Sip { flow, data: data.clone() });
        } else if let Some((port, kind)) = self.plant.port_of(to) {
            let Some(shard) = self.plant.sockets.get(&port.0).copied() else {
                self.plant.in_transit.entry(port.0).or_default().push((from, to, data.clone()));
                return;
            };
            let mut buffer = data.to_vec();
            let now = self.now;
            self.drive_shard(shard, |shard, sink| shard.datagram(now, port, kind, from, &mut buffer, sink));
        } else {
            self.undelivered += 1;
        }
    }

    /// Something for a shard, and everything that follows at once.
    fn drive_shard(&mut self, index: usize, what: impl FnOnce(&mut Shard, &mut Collected)) {
        let mut collected = Collected::default();
        what(&mut self.plant.shards[index], &mut collected);
        for (from, to, data) in collected.packets {
            let at = self.now - self.start;
            let (port, kind) = (from.port() & !1, if from.port() % 2 == 0 { Kind::Rtp } else { Kind::Rtcp });
            assert_eq!(self.plant.sockets.get(&port), Some(&index), "a shard sends from sockets that it has");
            self.watched(|watch, _| watch.media_sent(at, port, kind, &data));
            self.send_media(from, to, data);
        }
        for event in collected.events {
            self.tells(index, FromShard::Event(event));
        }
        for note in collected.notes {
            self.tells(index, FromShard::Note(note));
        }
        for port in collected.released {
            assert_eq!(self.plant.sockets.remove(&port.0), Some(index), "a shard closes sockets that it has, once");
            if self.plant.layout.shard_of(port) == index {
                self.plant.open.remove(&port.0);
            } else {
                self.tells(index, FromShard::Released(port));
            }
        }
    }

    /// A shard tells something: it is on its way.
    fn tells(&mut self, shard: usize, told: FromShard) {
        let at = self.arrival(Way::FromMedia, self.event_delay);
        self.queue.push(at, Happening::FromShard(shard, told));
    }

    pub(crate) fn told(&mut self, shard: usize, told: FromShard) {
        let mut routed = Vec::new();
        self.plant.router.told(shard, told, &mut routed);
        // orders first: what the engine says to an event comes after them
        let (events, orders): (Vec<_>, Vec<_>) = routed.into_iter().partition(|r| matches!(r, Routed::Event(_)));
        self.take_routed(orders);
        for routed in events {
            if let Routed::Event(event) = routed {
                self.drive_engine(Input::Media(event));
            }
        }
    }

    fn take_routed(&mut self, routed: Vec<Routed>) {
        for routed in routed {
            match routed {
                Routed::To(shard, to) => {
                    let at = self.arrival(Way::ToMedia, self.shard_delay);
                    self.queue.push(at, Happening::ToShard(shard, to));
                }
                Routed::Event(event) => {
                    let at = self.arrival(Way::FromMedia, self.event_delay);
                    self.queue.push(at, Happening::MediaEvent(event));
                }
            }
        }
    }

    /// What arrives at a shard.
    pub(crate) fn order_shard(&mut self, index: usize, to: ToShard) {
        let now = self.now;
        match to {
            ToShard::Command(command) => {
                self.watched(|watch, _| watch.carried_out(&command));
                self.drive_shard(index, |shard, sink| shard.command(now, command, sink));
            }
            ToShard::Take(take) => {
                let what = if take.streams.is_empty() { "of a listener" } else { "of streams" };
                self.watched(|watch, _| watch.met("move", what));
                let parcel = self.plant.shards[index].take(&take);
                for port in parcel.iter().flat_map(media::Parcel::ports) {
                    assert_eq!(self.plant.sockets.remove(&port.0), Some(index), "sockets leave where they are");
                }
                self.tells(index, FromShard::Taken { id: take.id, parcel });
            }
            ToShard::Adopt(parcel) => self.adopt(index, parcel),
            ToShard::Note(note) => self.drive_shard(index, |shard, sink| shard.note(now, note, sink)),
            ToShard::Returned(port) => {
                assert_eq!(self.plant.layout.shard_of(port), index, "a number comes back to its shard");
                assert!(self.plant.open.remove(&port.0), "a port was given back twice");
            }
        }
    }

    fn adopt(&mut self, index: usize, parcel: media::Parcel) {
        let ports: Vec<u16> = parcel.ports().map(|port| port.0).collect();
        let now = self.now;
        self.plant.sockets.extend(ports.iter().map(|port| (*port, index)));
        self.plant.shards[index].adopt(now, parcel);
        for port in ports {
            for (from, to, data) in self.plant.in_transit.remove(&port).unwrap_or_default() {
                self.deliver_to_engine(from, to, &data);
            }
        }
    }

    pub(crate) fn wake_shards(&mut self) {
        let now = self.now;
        for index in 0..self.plant.shards.len() {
            if self.plant.shards[index].wake_at().is_some_and(|at| at <= now) {
                self.drive_shard(index, |shard, sink| shard.wake(now, sink));
            }
        }
    }

    pub(crate) fn plant_wakes_at(&self) -> Option<Instant> {
        if self.down {
            return None;
        }
        [self.plant.engine.wake_at(), self.plant.media_wakes_at()].into_iter().flatten().min()
    }

    /// How late a shard is, as its thread would tell.
    pub fn media_lag(&mut self, shard: usize, lag: Duration) {
        self.tells(shard, FromShard::Event(media::Event::Load { shard, lag }));
    }

    /// What the media plane's router did and knows.
    #[must_use]
    pub fn router(&self) -> RouterFigures {
        self.plant.router.figures()
    }

    /// Streams and listeners of each shard.
    #[must_use]
    pub fn shard_sizes(&self) -> Vec<(usize, usize)> {
        self.plant.shards.iter().map(Shard::sizes).collect()
    }
}
