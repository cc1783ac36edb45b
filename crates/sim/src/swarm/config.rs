//! How an engine is set up for a life: mostly as usual, now and then with tiny limits and short timers.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::cast::Setup;
use crate::network::Quality;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Setup of one life.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) network: (Quality, Quality),
    pub(crate) store_delay: Duration,
    pub(crate) ports: Option<usize>,
    /// Media shards.
    pub(crate) shards: usize,
    /// A call's ports are of two shards: it begins with a move.
    pub(crate) scattered: bool,
    /// Shards are late now and then.
    pub(crate) loaded: bool,
    pub(crate) settings: engine::Settings,
    pub(crate) media: media::Settings,
    /// Phones of agents that register instead of having a fixed contact.
    pub(crate) registered: Vec<&'static str>,
    pub(crate) user_sendrecv: bool,
    pub(crate) nat: bool,
    /// Phones that offer and take video.
    pub(crate) video: Vec<&'static str>,
    /// Who encrypts; empty: nobody.
    pub(crate) encrypting: Vec<super::encrypted::Encrypting>,
}

impl Config {
    /// Any setup.
    pub(crate) fn wild(rng: &mut StdRng) -> Self {
        let mut config = Self::plain();
        config.timers(rng);
        config.limits(rng);
        if rng.random_bool(0.4) {
            config.network = quality(rng.random_range(0..4));
        }
        if rng.random_bool(0.25) {
            config.store_delay = one(rng, &[100, 400, 1_500]) * MS;
        }
        config.registered = ["anna", "bo", "cia"].into_iter().filter(|_| rng.random_bool(0.4)).collect();
        config.user_sendrecv = rng.random_bool(0.2);
        config.nat = rng.random_bool(0.2);
        config
    }

    /// A setup in which listeners take nothing from calls: no limit is near.
    pub(crate) fn roomy(rng: &mut StdRng) -> Self {
        let mut config = Self::plain();
        if rng.random_bool(0.6) {
            config.network = quality(rng.random_range(0..4));
        }
        config.settings.max_active_requests_admin = None;
        // calls begin on the same shards in each life
        config.settings.listener_weight = 0;
        config
    }

    fn plain() -> Self {
        let setup = Setup::default();
        Self {
            network: (Quality::default(), Quality::default()),
            store_delay: setup.store_delay,
            ports: None,
            shards: 1,
            scattered: false,
            loaded: false,
            settings: setup.settings,
            media: setup.media,
            registered: vec!["anna"],
            user_sendrecv: false,
            nat: false,
            video: Vec::new(),
            encrypting: Vec::new(),
        }
    }

    /// Short ones, so that a life of a minute meets them.
    fn timers(&mut self, rng: &mut StdRng) {
        let settings = &mut self.settings;
        settings.ring_timeout = one(rng, &[3, 6, 30]) * S;
        settings.busy_retry = one(rng, &[1, 3, 15]) * S;
        settings.busy_retries = one(rng, &[0, 1, 3]);
        settings.suspend_after = one(rng, &[1, 2, 3]);
        settings.min_heard = one(rng, &[200, 1_000, 3_000]) * MS;
        settings.transfer_linger = one(rng, &[2, 8, 30]) * S;
        settings.shield_timeout = rng.random_bool(0.3).then(|| 4 * S);
        settings.strict_listener = rng.random_bool(0.15);
        settings.signalling.invite_timeout = one(rng, &[8, 20, 180]) * S;
        settings.signalling.transfer_ring_timeout = one(rng, &[4, 10, 60]) * S;
        self.media.rtp_timeout = one(rng, &[5, 15, 60]) * S;
        self.media.rtp_timeout_held = one(rng, &[20, 60]) * S;
        self.media.one_way_after = one(rng, &[2, 10]) * S;
        self.media.listener_lost_after = one(rng, &[3, 10, 60]) * S;
    }

    fn limits(&mut self, rng: &mut StdRng) {
        let settings = &mut self.settings;
        let mut rarely = |share: f64| rng.random_bool(share);
        if rarely(0.25) {
            settings.max_listeners_per_agent = 1;
        }
        if rarely(0.1) {
            settings.max_requests = 2;
        }
        if rarely(0.5) {
            settings.max_active_requests_supervisor = None;
        }
        if rarely(0.1) {
            settings.max_active_requests_admin = Some(2);
        }
        if rarely(0.06) {
            settings.signalling.max_legs = 4;
        }
        if rarely(0.06) {
            settings.signalling.max_transactions = 12;
        }
        if rarely(0.1) {
            self.ports = Some(6);
        }
        if rarely(0.06) {
            self.media.max_streams = 4;
        }
        if rarely(0.06) {
            self.media.max_listeners = 1;
        }
        if rarely(0.03) {
            settings.access_number = None;
        }
    }

    /// Some phones show video, and some engines relay it. By the seed alone: what else a seed says stays as it was.
    pub(crate) fn with_video(&mut self, seed: u64) {
        self.settings.other_streams = seed % 2 == 1;
        let phones = ["trunk", "anna", "bo", "cia", "sue"];
        self.video =
            phones.into_iter().enumerate().filter(|(at, _)| seed >> (1 + at) & 1 == 1).map(|(_, p)| p).collect();
    }

    pub(crate) fn apply(&self, setup: &mut Setup) {
        setup.settings = self.settings.clone();
        setup.media = self.media.clone();
        setup.shards = self.shards;
        setup.ports_ready = if self.scattered { 1 } else { setup.ports_ready.div_ceil(self.shards) };
        setup.store_delay = self.store_delay;
        self.directory(&mut setup.directory);
        for (name, secret) in [("bo", "bo-secret"), ("cia", "cia-secret")] {
            if self.registered.contains(&name) {
                setup.phone(name).password = Some(secret.into());
            }
        }
        for name in &self.video {
            setup.phone(name).habits.video = true;
        }
        setup.registering = self.registered.iter().map(|name| (*name).to_owned()).collect();
        for name in ["anna", "sue"] {
            if !setup.registering.iter().any(|other| other == name) {
                setup.registering.push(name.to_owned());
            }
        }
    }

    /// Agents with passwords where they register; the same for every reload.
    pub(crate) fn directory(&self, seed: &mut engine::directory::Seed) {
        for (name, secret) in [("bo", "bo-secret"), ("cia", "cia-secret")] {
            let registered = self.registered.contains(&name);
            if let Some(agent) = seed.agents.iter_mut().find(|a| a.id == name && registered) {
                agent.phone.contact = None;
                agent.phone.password = Some(secret.into());
            }
        }
        for user in &mut seed.users {
            user.offer_sendrecv = self.user_sendrecv;
            if user.id == "sam" {
                user.listener_numbers = vec!["+4788".into()];
            }
        }
        for trunk in &mut seed.trunks {
            trunk.nat = self.nat;
        }
        super::encrypted::instruct(seed, &self.encrypting);
    }
}

/// How bad a network can be.
pub(crate) fn quality(bad: u32) -> (Quality, Quality) {
    let quality = |latency: u32, jitter: u32, loss: f64, duplicates: f64| Quality {
        latency: latency * MS,
        jitter: jitter * MS,
        loss,
        duplicates,
    };
    match bad % 4 {
        0 => (quality(5, 60, 0.1, 0.1), quality(5, 20, 0.05, 0.02)),
        1 => (quality(40, 400, 0.02, 0.3), quality(40, 60, 0.01, 0.1)),
        2 => (quality(1, 5, 0.35, 0.0), quality(1, 5, 0.3, 0.0)),
        _ => (quality(150, 900, 0.15, 0.1), quality(150, 100, 0.1, 0.0)),
    }
}

pub(crate) fn one<T: Copy>(rng: &mut StdRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())]
}
