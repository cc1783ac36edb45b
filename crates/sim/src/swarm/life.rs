//! A plan is lived: action by action, checkers after each, and at the end everybody hangs up and nothing may be left.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use engine::Command;
use phone::Voice;

use super::act::Passing;
use super::plan::{Kind, Plan};
use super::run::last_panic;
use crate::network::{Fate, Quality};
use crate::watch::{Met, Violation};
use crate::world::World;

/// Longer than any transaction, ring time and media time-out of a life's setup.
const UNTIL_ALL_IS_QUIET: Duration = Duration::from_secs(135);
/// A process that was told to stop has sent its BYEs and given them up.
const UNTIL_STOPPED: Duration = Duration::from_secs(75);

/// How a life went.
#[derive(Debug)]
pub struct Life {
    /// Rules that were broken, oldest first.
    pub broken: Vec<Violation>,
    /// What it met.
    pub met: Met,
    /// Readable, where asked for.
    pub history: Vec<String>,
    /// Simulated time.
    pub lasted: Duration,
    /// What each party's calls received; for equal lives.
    pub(crate) received: Vec<(String, Vec<(Duration, u64)>)>,
    /// Some re-INVITEs met (491): the engine's random waits made the rest.
    pub(crate) glare: bool,
}

/// A life while it is lived.
pub(crate) struct Stage {
    pub(crate) w: World,
    pub(crate) plan: Plan,
    pub(crate) listeners: usize,
    /// Drain or stop has begun.
    pub(crate) ending: bool,
    passing: Vec<(Instant, Passing)>,
    /// Some phone was out of reach for a while.
    pub(crate) lost_phones: bool,
    /// What players were answered, or will be.
    pub(crate) plays: Vec<super::listening::Played>,
}

impl Plan {
    /// Lives it; with a readable history if wanted.
    #[must_use]
    pub fn live(&self, history: bool) -> Life {
        match self.kind {
            Kind::Wild => self.live_with(0, history),
            Kind::Equal => super::equal::live(self, history),
        }
    }

    pub(crate) fn live_with(&self, listeners: usize, history: bool) -> Life {
        let mut stage = Stage::new(self.clone(), listeners, history);
        let lived = catch_unwind(AssertUnwindSafe(|| {
            for action in &self.actions {
                if !stage.step(action) {
                    return;
                }
            }
            stage.finish();
        }));
        if lived.is_err() {
            let at = stage.w.now - stage.w.start;
            if let Some(watch) = &mut stage.w.watch {
                watch.break_rule(at, "nothing panics", last_panic());
            }
        }
        stage.into_life()
    }
}

impl Stage {
    pub(crate) fn new(plan: Plan, listeners: usize, history: bool) -> Self {
        let mut w = World::with(|setup| {
            setup.seed = plan.seed;
            plan.config.apply(setup);
            setup.watch = Some(history);
            if plan.kind == Kind::Equal {
                super::equal::add_listeners(setup);
            }
            super::encrypted::equip(setup, &plan.config.encrypting);
        });
        // the checks at a world's end are this module's own
        w.leaves_open();
        w.network(plan.config.network.0, plan.config.network.1);
        if plan.kind == Kind::Equal {
            w.received = Some(std::collections::BTreeMap::new());
        }
        for index in 0..w.phones.len() {
            // listeners' phones send at the top of their voices from the first moment on
            let listens = w.phones[index].phone.settings().voice == Voice::Tone(1500.0);
            w.phones[index].phone.habits_mut().keep_sending = listens;
        }
        let mut stage =
            Self { w, plan, listeners, ending: false, passing: Vec::new(), lost_phones: false, plays: Vec::new() };
        stage.set_ports();
        stage
    }

    pub(crate) fn set_ports(&mut self) {
        if let Some(ports) = self.plan.config.ports {
            let ready = if self.plan.config.scattered { 1 } else { 2 };
            (self.w.plant.ready, self.w.plant.most) = (ready, ports.max(self.w.plant.open.len()));
        }
    }

    /// One action; false if a rule is broken.
    pub(crate) fn step(&mut self, action: &super::Action) -> bool {
        let at = self.w.now - self.w.start;
        if let Some(watch) = &mut self.w.watch {
            watch.note(at, || format!("--- {action:?}"));
        }
        self.act(action);
        if self.plan.config.loaded {
            self.load();
        }
        if !self.plan.config.encrypting.is_empty() {
            self.check_keys();
            if self.plan.kind == Kind::Wild {
                self.renew_keys();
            }
        }
        self.w.watched(|watch, world| watch.step(world));
        !self.is_broken()
    }

    /// Now and then a shard is late, or in time again. Which and when is no draw of the plan's.
    fn load(&mut self) {
        let mut fate = Fate::new(&[self.plan.seed, self.w.steps()]);
        if fate.happens(0.1) {
            let (shard, lag) =
                (fate.next() % self.plan.config.shards as u64, [0, 0, 6, 25][(fate.next() % 4) as usize]);
            self.w.media_lag(shard as usize, Duration::from_millis(lag));
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.w.watch.as_ref().is_some_and(|watch| !watch.broken.is_empty())
    }

    /// Lets time go by, and what passes by itself pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.w.now + time;
        while let Some(at) = self.passing.iter().map(|(at, _)| *at).filter(|at| *at <= end).min() {
            self.w.run_for(at.saturating_duration_since(self.w.now));
            let over: Vec<Passing> = self.passing.iter().filter(|(due, _)| *due <= at).map(|(_, what)| *what).collect();
            self.passing.retain(|(due, _)| *due > at);
            over.into_iter().for_each(|what| self.pass(what));
        }
        self.w.run_for(end.saturating_duration_since(self.w.now));
    }

    pub(crate) fn passes(&mut self, what: Passing, lasts: Duration) {
        self.lost_phones |= matches!(what, Passing::Isolated(_) | Passing::Dead(_));
        self.passing.retain(|(_, other)| *other != what);
        self.passing.push((self.w.now + lasts, what));
    }

    fn pass(&mut self, what: Passing) {
        match what {
            Passing::BadNetwork => self.w.network(self.plan.config.network.0, self.plan.config.network.1),
            Passing::Isolated(who) => {
                let index = self.w.index(who);
                self.w.isolated.remove(&index);
            }
            Passing::Dead(who) => self.w.habits(who, |h| h.alive = true),
            Passing::DiskFull => self.w.disk.full = false,
            Passing::StoreQueueFull => self.w.disk.queue_full = false,
        }
    }

    /// Everything works again, everybody hangs up, all orders are withdrawn; then nothing may be left.
    fn finish(&mut self) {
        for (_, what) in std::mem::take(&mut self.passing) {
            self.pass(what);
        }
        self.w.network(Quality::default(), Quality::default());
        (self.w.shard_delay, self.w.event_delay) = (Duration::from_millis(1), Duration::from_millis(1));
        self.w.disk.delay = Duration::from_millis(2);
        for shard in 0..self.plan.config.shards {
            self.w.media_lag(shard, Duration::ZERO);
        }
        self.w.check_nobody_heard_a_listener();
        self.w.hang_up_all();
        self.wait(Duration::from_secs(5));
        self.w.hang_up_all();
        let active: Vec<String> =
            self.w.model.requests.values().filter(|r| r.state.is_active()).map(|r| r.id.clone()).collect();
        for id in active {
            self.w.ask("admin", Command::DeleteRequest { id });
        }
        // twice, because a refresh may have been on its way
        for _ in 0..2 {
            for who in crate::cast::ALL {
                if self.w.phone(who).registered().is_some() {
                    self.act(&super::Action::Register { who, seconds: 0 });
                }
            }
            self.wait(Duration::from_secs(5));
        }
        self.settle(UNTIL_ALL_IS_QUIET);
        if self.lost_phones && self.w.sizes().calls > 0 && !self.is_broken() {
            // a call whose phones were lost both, and never sent any RTP, is left to the operator
            self.met("ghost", "calls that only a stop ended");
            self.w.stop();
            self.settle(UNTIL_STOPPED);
        }
        if self.w.sizes().signalling.timers > 0 {
            // of answered re-INVITEs: they find nothing to do when they are due
            self.settle(self.plan.config.settings.signalling.invite_timeout);
        }
        if !self.is_broken() {
            self.w.watched(|watch, world| watch.quiet(world));
            let left = self.w.what_is_left();
            let at = self.w.now - self.w.start;
            for (rule, what) in left {
                if let Some(watch) = &mut self.w.watch {
                    watch.break_rule(at, rule, what);
                }
            }
        }
        self.note_counters();
    }

    /// Time goes by in pieces, with a look after each; no longer than needed.
    fn settle(&mut self, most: Duration) {
        let end = self.w.now + most;
        while self.w.now < end && !self.is_broken() {
            self.wait(Duration::from_secs(5));
            self.w.watched(|watch, world| watch.step(world));
        }
    }

    fn met(&mut self, kind: &'static str, name: &str) {
        if let Some(watch) = &mut self.w.watch {
            watch.met.met(kind, name.into());
        }
    }

    fn note_counters(&mut self) {
        let counters = self.w.counters();
        if let Some(watch) = &mut self.w.watch {
            for (name, value) in counters {
                watch.met.add("counter", name, value);
            }
        }
    }

    fn into_life(mut self) -> Life {
        let lasted = self.w.now - self.w.start;
        let is_glare = |data: &[u8]| data.starts_with(b"SIP/2.0 491") || data.starts_with(b"SIP/2.0 500");
        // a transfer finds out by itself that somebody else is changing the leg, and waits as after a 491
        let glare = self.w.wire().iter().any(|message| is_glare(&message.data))
            || self.w.counters().get("transfers_paused").is_some_and(|paused| *paused > 0);
        let received = std::mem::take(&mut self.w.received).unwrap_or_default();
        let received =
            received.into_iter().filter(|((phone, call), _)| !self.w.listener_calls.contains(&(*phone, *call)));
        let received = received
            .map(|((phone, call), packets)| {
                let packets = packets.into_iter().map(|(at, data)| (at, hash(&data))).collect();
                (format!("{} {call:?}", self.w.phones[phone].name), packets)
            })
            .collect();
        let (broken, met, history) = match self.w.watch.take() {
            Some(watch) => (watch.broken, watch.met, watch.history.unwrap_or_default()),
            None => Default::default(),
        };
        Life { broken, met, history, lasted, received, glare }
    }
}

/// FNV-1a.
fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
