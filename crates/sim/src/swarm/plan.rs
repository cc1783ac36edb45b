//! A seed becomes a plan: setup and actions.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::action::Action;
use super::config::Config;
use super::scene;
use crate::network::Fate;

/// What a life is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything happens.
    Wild,
    /// The same life is lived with 0, 1 and 8 listeners: the parties must receive the same bytes at the same times.
    Equal,
}

/// One life, before it is lived.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// What it is about.
    pub kind: Kind,
    /// Setup.
    pub config: Config,
    /// What happens, in order.
    pub actions: Vec<Action>,
}

/// Beside the seed for the number of shards: a life's other draws are what they were with one.
const SHARDS: u64 = 0x5a4d;
/// Scenes in a life.
const SCENES: std::ops::Range<usize> = 15..50;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let kind = if seed % 6 == 5 { Kind::Equal } else { Kind::Wild };
        let mut actions = Vec::new();
        let scenes = rng.random_range(SCENES);
        let mut config = match kind {
            Kind::Wild => Config::wild(&mut rng),
            Kind::Equal => Config::roomy(&mut rng),
        };
        let mut fate = Fate::new(&[seed, SHARDS]);
        config.shards = 1 + (fate.next() % 3) as usize;
        config.scattered = config.shards > 1 && fate.happens(0.4);
        config.loaded = kind == Kind::Wild && fate.happens(0.25);
        config.with_video(seed);
        config.encrypting = super::encrypted::of(seed);
        if kind == Kind::Equal {
            actions.push(Action::Listeners);
        }
        for _ in 0..scenes {
            match kind {
                Kind::Wild => scene::wild(&mut rng, &mut actions),
                Kind::Equal => scene::parties(&mut rng, &mut actions),
            }
        }
        if kind == Kind::Wild {
            scene::ending(&mut rng, &mut actions);
            super::listening::enrich(seed, &mut config, &mut actions);
        }
        Self { seed, kind, config, actions }
    }
}
