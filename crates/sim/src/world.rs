//! The clock: takes whatever is due next, whoever it is for, and gives it to them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::persist::Change;
use engine::{Engine, Input, Now, PersistId, Problem, Reply, ReplyId};
use jiff::{SignedDuration, Timestamp};
use phone::{CallId, Kind, Phone};

use crate::cast::{ENGINE, Setup};
use crate::disk::Disk;
use crate::model::Model;
use crate::network::{Air, Quality, Queue, Wire};
use crate::plant::Plant;

/// What waits for its time.
#[derive(Debug)]
pub(crate) enum Happening {
    Datagram { from: SocketAddr, to: SocketAddr, data: Bytes },
    MediaCommand(media::Command),
    MediaEvent(media::Event),
    Persist { persist: PersistId, changes: Vec<Change> },
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
    pub(crate) replies: HashMap<ReplyId, Result<Reply, Problem>>,
    pub(crate) next_reply: u64,
    pub(crate) undelivered: u64,
    pub(crate) drained: bool,
    pub(crate) leaves_open: bool,
    #[allow(clippy::type_complexity)]
    pub(crate) logs: Vec<(Instant, &'static str, String, Vec<(&'static str, String)>)>,
    /// The store.
    pub disk: Disk,
    /// What the API would show.
    pub model: Model,
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
        let mut outputs = Vec::new();
        let engine = Engine::new(now, setup.settings, setup.directory, setup.restored, seed, &mut outputs);
        let shard = media::Shard::new(setup.media, seed);
        let mut world = Self {
            now: start,
            start,
            wall_start,
            wall_jump: SignedDuration::ZERO,
            queue: Queue::new(),
            air: Air::new(setup.sip, setup.rtp, setup.seed),
            plant: Plant::new(engine, shard),
            shard_delay: setup.shard_delay,
            phones: Vec::new(),
            sip_owners: HashMap::new(),
            media_owners: HashMap::new(),
            listener_calls: HashSet::new(),
            listener_ssrcs: HashSet::new(),
            cut: HashSet::new(),
            translated: HashMap::new(),
            replies: HashMap::new(),
            next_reply: 1,
            undelivered: 0,
            drained: false,
            leaves_open: false,
            logs: Vec::new(),
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
        if self.plant.engine.wake_at().is_some_and(|at| at <= self.now) {
            self.drive_engine(Input::Timeout);
        }
        if self.plant.shard.wake_at().is_some_and(|at| at <= self.now) {
            self.wake_shard();
        }
        for index in 0..self.phones.len() {
            if self.phones[index].phone.wake_at().is_some_and(|at| at <= self.now) {
                self.drive_phone(index, phone::Input::Timeout);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Datagram { from, to, data } if to.ip() == ENGINE.ip() => self.deliver_to_engine(from, to, &data),
            Happening::Datagram { from, to, data } => self.deliver_to_phone(from, to, data),
            Happening::MediaCommand(command) => self.command_shard(command),
            Happening::MediaEvent(event) => self.drive_engine(Input::Media(event)),
            Happening::Persist { persist, changes } => {
                let result = self.disk.write(changes);
                self.drive_engine(Input::Persisted { persist, result });
            }
        }
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
        for at in self.air.carry_media(self.now) {
            self.queue.push(at, Happening::Datagram { from, to, data: data.clone() });
        }
    }

    /// A raw SIP datagram from any address, as a stranger sends it.
    pub fn send_raw(&mut self, from: SocketAddr, data: impl Into<Bytes>) {
        self.send_sip(from, ENGINE, data.into());
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

    /// The media plane's counters.
    #[must_use]
    pub fn media_counters(&self) -> media::Counters {
        self.plant.shard.counters()
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
        self.drive_engine(Input::Reload(setup.directory));
    }

    fn who_is_due(&self) -> String {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= self.now);
        let phones: Vec<&str> =
            self.phones.iter().filter(|s| due(s.phone.wake_at())).map(|s| s.name.as_str()).collect();
        format!(
            "engine {}, shard {}, queue {}, phones {phones:?}",
            due(self.plant.engine.wake_at()),
            due(self.plant.shard.wake_at()),
            due(self.queue.next_at())
        )
    }
}
