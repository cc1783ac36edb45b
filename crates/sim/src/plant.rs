//! The machine room: the engine and one media shard, and how their outputs reach each other and the network.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Engine, Input, Now, Output};
use media::{Kind, Port, Shard, Sink};
use signalling::transport::{Flow, Transport};

use crate::cast::{ENGINE, ENGINE_V6, is_engine};
use crate::world::{Happening, Way, World};

/// Bound pairs of sockets that the engine is kept supplied with, unless a world says otherwise.
pub(crate) const READY: usize = 16;
/// The engine's first RTP port.
const FIRST_PORT: u16 = 20_000;

/// The engine with its shard and its sockets.
#[derive(Debug)]
pub(crate) struct Plant {
    pub(crate) engine: Engine,
    pub(crate) shard: Shard,
    pub(crate) open: BTreeSet<u16>,
    /// The engine is kept supplied with so many.
    pub(crate) ready: usize,
    /// The host has no more than these.
    pub(crate) most: usize,
    /// The next process does not begin with the ports of the last one.
    pub(crate) next_port: u16,
}

/// Collects what the shard wants done.
#[derive(Debug, Default)]
struct Collected {
    packets: Vec<(SocketAddr, SocketAddr, Bytes)>,
    events: Vec<media::Event>,
    released: Vec<Port>,
}

impl Sink for Collected {
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        let number = port.0 + u16::from(kind == Kind::Rtcp);
        let own = if to.is_ipv4() { ENGINE } else { ENGINE_V6 };
        self.packets.push((SocketAddr::new(own.ip(), number), to, Bytes::copy_from_slice(data)));
    }
    fn event(&mut self, event: media::Event) {
        self.events.push(event);
    }
    fn release(&mut self, port: Port) {
        self.released.push(port);
    }
}

impl Plant {
    pub(crate) fn new(engine: Engine, shard: Shard) -> Self {
        Self { engine, shard, open: BTreeSet::new(), ready: READY, most: usize::MAX, next_port: FIRST_PORT }
    }

    /// Which of the engine's media sockets has that address.
    fn port_of(&self, addr: SocketAddr) -> Option<(Port, Kind)> {
        let rtp = addr.port() & !1;
        let kind = if addr.port() == rtp { Kind::Rtp } else { Kind::Rtcp };
        (is_engine(addr.ip()) && self.open.contains(&rtp)).then_some((Port(rtp), kind))
    }

    fn draw(&mut self) -> Port {
        let port = self.next_port;
        self.next_port = if port >= 60_000 { FIRST_PORT } else { port + 2 };
        assert!(self.open.insert(port), "the simulated host ran out of ports: somebody keeps them");
        Port(port)
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
        while self.plant.engine.sizes().ports_ready < self.plant.ready && self.plant.open.len() < self.plant.most {
            let port = self.plant.draw();
            let addr = SocketAddr::new(ENGINE.ip(), port.0);
            let addr6 = self.setup.dual_stack.then(|| SocketAddr::new(ENGINE_V6.ip(), port.0));
            let mut outputs = Vec::new();
            let event = media::Event::PortReady { port, addr, addr6 };
            self.plant.engine.drive(now, Input::Media(event), &mut outputs);
            self.take_engine_outputs(outputs);
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
                    let at = self.arrival(Way::ToMedia, self.shard_delay);
                    self.queue.push(at, Happening::MediaCommand(command));
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
            let mut buffer = data.to_vec();
            let now = self.now;
            self.drive_shard(|shard, sink| shard.datagram(now, port, kind, from, &mut buffer, sink));
        } else {
            self.undelivered += 1;
        }
    }

    /// Something for the shard, and everything that follows at once.
    fn drive_shard(&mut self, what: impl FnOnce(&mut Shard, &mut Collected)) {
        let mut collected = Collected::default();
        what(&mut self.plant.shard, &mut collected);
        for (from, to, data) in collected.packets {
            let at = self.now - self.start;
            let (port, kind) = (from.port() & !1, if from.port() % 2 == 0 { Kind::Rtp } else { Kind::Rtcp });
            self.watched(|watch, _| watch.media_sent(at, port, kind, &data));
            self.send_media(from, to, data);
        }
        for event in collected.events {
            let at = self.arrival(Way::FromMedia, self.event_delay);
            self.queue.push(at, Happening::MediaEvent(event));
        }
        for port in collected.released {
            assert!(self.plant.open.remove(&port.0), "a port was given back twice");
        }
    }

    pub(crate) fn command_shard(&mut self, command: media::Command) {
        let now = self.now;
        self.drive_shard(|shard, sink| shard.command(now, command, sink));
    }

    pub(crate) fn wake_shard(&mut self) {
        let now = self.now;
        self.drive_shard(|shard, sink| shard.wake(now, sink));
    }

    pub(crate) fn plant_wakes_at(&self) -> Option<Instant> {
        if self.down {
            return None;
        }
        [self.plant.engine.wake_at(), self.plant.shard.wake_at()].into_iter().flatten().min()
    }
}
