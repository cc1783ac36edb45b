//! The clock: takes whatever is due next, whoever it is for, and gives it to them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::persist::Change;
use engine::{Engine, Input, Now, PersistId, Problem, Reply, ReplyId};
use jiff::{SignedDuration, Timestamp};
use phone::{CallId, Kind, Phone};

use crate::cast::{ENGINE, Setup, is_engine};
use crate::disk::Disk;
use crate::model::Model;
use crate::network::{Air, Quality, Queue, Wire};
use crate::plant::Plant;
use crate::watch::Watch;

/// What waits for its time.
#[derive(Debug)]
pub(crate) enum Happening {
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        data: Bytes,
    },
    ToShard(usize, media::router::ToShard),
    FromShard(usize, media::router::FromShard),
    MediaEvent(media::Event),
    /// Without changes the store's queue was full.
    Persist {
        persist: PersistId,
        changes: Option<Vec<Change>>,
    },
}

/// A phone in the world.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) phone: Phone,
    pub(crate) next_port: u16,
    /// Calls that a story has already been given by [`World::next_call`].
    pub(crate) told: HashSet<CallId>,
}

/// Everything. See [`crate`].
#[derive(Debug)]
pub struct World {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) wall_start: Timestamp,
    pub(crate) wall_jump: SignedDuration,
    pub(crate) queue: Queue<Happening>,
    pub(crate) air: Air,
    pub(crate) plant: Plant,
    pub(crate) shard_delay: Duration,
    pub(crate) event_delay: Duration,
    /// Media commands, media events and changes arrive in the order in which they left.
    pub(crate) last_arrivals: [Instant; 3],
    pub(crate) phones: Vec<Slot>,
    pub(crate) sip_owners: HashMap<SocketAddr, usize>,
    pub(crate) media_owners: HashMap<SocketAddr, (usize, CallId, Kind)>,
    /// Calls that are listeners' legs.
    pub(crate) listener_calls: HashSet<(usize, CallId)>,
    pub(crate) listener_ssrcs: HashSet<u32>,
    /// Phones whose media no longer arrives.
    pub(crate) cut: HashSet<usize>,
    /// Phones behind a router, and by how much it shifts their media ports.
    pub(crate) translated: HashMap<usize, u16>,
    /// Phones that nothing reaches and that reach nobody.
    pub(crate) isolated: HashSet<usize>,
    /// Call-IDs of calls that were dialled with the do-not-monitor header.
    pub(crate) private: HashSet<String>,
    /// Limits as the engine has them now, for the checkers.
    pub(crate) limits: Limits,
    pub(crate) ring_timeout_most: Duration,
    pub(crate) store_delay_most: Duration,
    pub(crate) watch: Option<Box<Watch>>,
    /// Every packet that each party's call received, with its time, where somebody compares them.
    pub(crate) received: Option<Received>,
    pub(crate) taps: crate::wiretap::Taps,
    #[cfg(test)]
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) replies: HashMap<ReplyId, Result<Reply, Problem>>,
    pub(crate) next_reply: u64,
    pub(crate) undelivered: u64,
    /// Packets for addresses that a story listens at itself.
    pub(crate) heard_at: HashMap<SocketAddr, Vec<(SocketAddr, Bytes)>>,
    pub(crate) drained: bool,
    pub(crate) leaves_open: bool,
    #[allow(clippy::type_complexity)]
    pub(crate) logs: Vec<(Instant, &'static str, String, Vec<(&'static str, String)>)>,
    pub(crate) setup: Setup,
    /// There is no engine now.
    pub(crate) down: bool,
    /// Processes before this one.
    pub(crate) lives: u64,
    /// Inputs that the engine has had.
    pub(crate) steps: u64,
    /// What earlier processes showed, one each.
    pub past: Vec<Model>,
    /// The store.
    pub disk: Disk,
    /// What the API would show.
    pub model: Model,
}

/// Packets by phone and call, each with its time.
pub(crate) type Received = BTreeMap<(usize, CallId), Vec<(Duration, Bytes)>>;

/// Changes what the engine says, to show that the checkers see it.
#[cfg(test)]
pub(crate) struct Sabotage(pub(crate) Box<Mutation>);

#[cfg(test)]
type Mutation = dyn FnMut(&mut Vec<engine::Output>);

#[cfg(test)]
impl std::fmt::Debug for Sabotage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sabotage")
    }
}

/// Limits of the engine that people can pass by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) listeners: usize,
    pub(crate) supervisor: Option<usize>,
    pub(crate) admin: Option<usize>,
    /// `max_transactions` is within reach: 503 without state.
    pub(crate) stateless: bool,
}

impl Limits {
    pub(crate) fn of(settings: &engine::Settings) -> Self {
        Self {
            listeners: settings.max_listeners_per_agent,
            supervisor: settings.max_active_requests_supervisor,
            admin: settings.max_active_requests_admin,
            stateless: settings.signalling.max_transactions < 100,
        }
    }
}

/// Which of the queues between engine, media plane and store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    ToMedia,
    FromMedia,
    ToStore,
}

/// More steps than this at one moment are no progress.
const MAX_STEPS_AT_ONCE: usize = 100_000;

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The usual cast on a good network.
    #[must_use]
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// The usual cast, changed.
    #[must_use]
    pub fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        Self::begin(setup)
    }

    fn begin(setup: Setup) -> Self {
        let start = Instant::now();
        let wall_start: Timestamp = "2026-11-22T12:00:00Z".parse().expect("it is a time");
        let now = Now { mono: start, wall: wall_start };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&setup.seed.to_le_bytes());
        let (limits, ring_timeout_most) = (Limits::of(&setup.settings), setup.settings.ring_timeout);
        let mut outputs = Vec::new();
        let mut setup = setup;
        setup.settings.media_layout = crate::plant::layout(setup.shards);
        let kept = setup.clone();
        let engine = Engine::new(now, setup.settings, setup.directory, setup.restored, seed, &mut outputs);
        let shards = Plant::shards(setup.shards, &setup.media, seed);
        let mut world = Self {
            now: start,
            start,
            wall_start,
            wall_jump: SignedDuration::ZERO,
            queue: Queue::new(),
            air: Air::new(setup.sip, setup.rtp, setup.seed),
            plant: Plant::new(engine, shards, setup.ports_ready),
            shard_delay: setup.shard_delay,
            event_delay: setup.shard_delay,
            last_arrivals: [start; 3],
            phones: Vec::new(),
            sip_owners: HashMap::new(),
            media_owners: HashMap::new(),
            listener_calls: HashSet::new(),
            listener_ssrcs: HashSet::new(),
            cut: HashSet::new(),
            translated: HashMap::new(),
            isolated: HashSet::new(),
            private: HashSet::new(),
            limits,
            ring_timeout_most,
            store_delay_most: setup.store_delay,
            watch: setup.watch.map(|history| Box::new(Watch::new(history))),
            received: None,
            taps: Default::default(),
            #[cfg(test)]
            sabotage: None,
            replies: HashMap::new(),
            next_reply: 1,
            undelivered: 0,
            heard_at: HashMap::new(),
            drained: false,
            leaves_open: false,
            logs: Vec::new(),
            setup: kept,
            down: false,
            lives: 0,
            steps: 0,
            past: Vec::new(),
            disk: Disk::new(setup.store_delay),
            model: Model::default(),
        };
        world.take_engine_outputs(outputs);
        world.drive_engine(Input::Timeout);
        for settings in setup.phones {
            world.add_phone(settings);
        }
        for name in setup.registering {
            world.register(&name);
        }
        world
    }

    /// Monotonic time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Wall-clock time.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.clocks().wall
    }

    /// The wall clock jumps; monotonic time does not.
    pub fn jump_wall(&mut self, by: SignedDuration) {
        self.wall_jump += by;
    }

    pub(crate) fn clocks(&self) -> Now {
        let elapsed = SignedDuration::try_from(self.now - self.start).expect("a story is short");
        let wall = self.wall_start.saturating_add(elapsed + self.wall_jump).expect("a duration without calendar units");
        Now { mono: self.now, wall }
    }

    /// Lets time go by.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Lets time go by until something is so; false if it is not within `timeout`.
    pub fn reaches(&mut self, timeout: Duration, so: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + timeout;
        if self.run_until(end, so) {
            return true;
        }
        self.now = end;
        false
    }

    /// Lets time go by until something is so.
    ///
    /// # Panics
    /// If it is not so within `timeout`.
    #[track_caller]
    pub fn until(&mut self, what: &str, timeout: Duration, so: impl FnMut(&Self) -> bool) {
        assert!(self.reaches(timeout, so), "{what}: not within {timeout:?}");
    }

    fn run_until(&mut self, end: Instant, mut so: impl FnMut(&Self) -> bool) -> bool {
        let mut steps = 0;
        let mut moment = self.now;
        loop {
            if so(self) {
                return true;
            }
            let Some(at) = self.next_at().filter(|at| *at <= end) else {
                return false;
            };
            self.now = self.now.max(at);
            steps = if self.now > moment { 0 } else { steps + 1 };
            assert!(steps < MAX_STEPS_AT_ONCE, "time stands still: {}", self.who_is_due());
            moment = self.now;
            self.step();
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let phones = self.phones.iter().filter_map(|s| s.phone.wake_at()).min();
        [self.queue.next_at(), self.plant_wakes_at(), phones].into_iter().flatten().min()
    }

    /// Everything of one kind that is due now.
    fn step(&mut self) {
        if self.queue.next_at().is_some_and(|at| at <= self.now) {
            if let Some((_, happening)) = self.queue.pop() {
                self.happen(happening);
            }
            return;
        }
        if !self.down && self.plant.engine.wake_at().is_some_and(|at| at <= self.now) {
            self.drive_engine(Input::Timeout);
        }
        if !self.down && self.plant.media_wakes_at().is_some_and(|at| at <= self.now) {
            self.wake_shards();
        }
        for index in 0..self.phones.len() {
            if self.phones[index].phone.wake_at().is_some_and(|at| at <= self.now) {
                self.drive_phone(index, phone::Input::Timeout);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Datagram { to, .. } if is_engine(to.ip()) && self.down => {} // nobody listens there
            Happening::Datagram { from, to, data } if is_engine(to.ip()) => self.deliver_to_engine(from, to, &data),
            Happening::Datagram { from, to, data } => self.deliver_to_phone(from, to, data),
            Happening::ToShard(shard, to) => self.order_shard(shard, to),
            Happening::FromShard(shard, told) => self.told(shard, told),
            Happening::MediaEvent(event) => self.drive_engine(Input::Media(event)),
            Happening::Persist { persist, changes } => {
                let full = || Err("the store's queue is full".to_owned());
                let result = changes.map_or_else(full, |changes| self.disk.write(changes));
                self.drive_engine(Input::Persisted { persist, result });
            }
        }
    }

    /// When something that leaves now arrives: never before what left earlier.
    pub(crate) fn arrival(&mut self, way: Way, delay: Duration) -> Instant {
        let last = &mut self.last_arrivals[way as usize];
        *last = (self.now + delay).max(*last);
        *last
    }

    /// Puts a SIP message on the wire.
    pub(crate) fn send_sip(&mut self, from: SocketAddr, to: SocketAddr, data: Bytes) {
        assert!(!to.ip().is_unspecified(), "a SIP message for {to}");
        for at in self.air.carry_sip(self.now, from, to, &data) {
            self.queue.push(at, Happening::Datagram { from, to, data: data.clone() });
        }
    }

    /// Puts a media packet on the wire.
    pub(crate) fn send_media(&mut self, from: SocketAddr, to: SocketAddr, data: Bytes) {
        assert!(!to.ip().is_unspecified(), "media for {to}: nothing is ever sent to 0.0.0.0");
        self.check_wire(if from.ip() == ENGINE.ip() { to } else { from }, &data);
        for at in self.air.carry_media(self.now, from, to) {
            self.queue.push(at, Happening::Datagram { from, to, data: data.clone() });
        }
    }

    /// A raw SIP datagram from any address, as a stranger sends it.
    pub fn send_raw(&mut self, from: SocketAddr, data: impl Into<Bytes>) {
        self.send_sip(from, ENGINE, data.into());
    }

    /// From now on the story hears what comes for this address, which is no phone's.
    pub fn listen_at(&mut self, address: SocketAddr) {
        self.heard_at.entry(address).or_default();
    }

    /// What came there: from where, and what.
    #[must_use]
    pub fn heard_at(&self, address: SocketAddr) -> &[(SocketAddr, Bytes)] {
        self.heard_at.get(&address).map_or(&[], Vec::as_slice)
    }

    /// A raw packet from any address to any other.
    pub fn send_packet(&mut self, from: SocketAddr, to: SocketAddr, data: impl Into<Bytes>) {
        self.send_media(from, to, data.into());
    }

    /// How SIP and media are carried from now on.
    pub fn network(&mut self, sip: Quality, rtp: Quality) {
        (self.air.sip, self.air.rtp) = (sip, rtp);
    }

    /// SIP messages that were put on the wire.
    #[must_use]
    pub fn wire(&self) -> &[Wire] {
        &self.air.wire
    }

    /// The engine's counters.
    #[must_use]
    pub fn counters(&self) -> BTreeMap<&'static str, u64> {
        self.plant.engine.counters()
    }

    /// One of the media plane's counters, over all shards.
    #[must_use]
    pub fn media_count(&self, which: impl Fn(&media::Counters) -> u64) -> u64 {
        self.plant.media_count(which)
    }

    /// How much the engine holds.
    #[must_use]
    pub fn sizes(&self) -> engine::Sizes {
        self.plant.engine.sizes()
    }

    /// SIGTERM.
    pub fn drain(&mut self) {
        self.drive_engine(Input::Drain);
    }

    /// A second SIGTERM.
    pub fn stop(&mut self) {
        self.drive_engine(Input::Stop);
    }

    /// The last call is over after [`World::drain`] or [`World::stop`].
    #[must_use]
    pub fn drained(&self) -> bool {
        self.drained
    }

    /// The configuration is read again.
    pub fn reload(&mut self, change: impl FnOnce(&mut Setup)) {
        let mut setup = Setup::default();
        change(&mut setup);
        self.setup.directory.clone_from(&setup.directory);
        self.drive_engine(Input::Reload(setup.directory));
    }

    pub(crate) fn engine_wakes_at(&self) -> Option<Instant> {
        self.plant.engine.wake_at()
    }

    fn who_is_due(&self) -> String {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= self.now);
        let phones: Vec<&str> =
            self.phones.iter().filter(|s| due(s.phone.wake_at())).map(|s| s.name.as_str()).collect();
        format!(
            "engine {}, shard {}, queue {}, phones {phones:?}",
            due(self.plant.engine.wake_at()),
            due(self.plant.media_wakes_at()),
            due(self.queue.next_at())
        )
    }
}
