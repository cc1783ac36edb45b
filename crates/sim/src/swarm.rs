//! Random lives of the whole engine, with checkers after every step.
//!
//! Read this first. A seed makes a [`Plan`]: how the engine is set up, and what people, network, disk and media plane do.
//! [`Plan::live`] carries it out in a [`World`](crate::World) whose checkers look at everything, and says what was broken.
//! A plan is data, so that it can be made shorter ([`shrink`]) while it still breaks the same rule.
//!
//! ```no_run
//! let life = sim::swarm::Plan::of(7).live(false);
//! assert!(life.broken.is_empty(), "{:?}", life.broken);
//! ```

mod act;
mod action;
mod config;
mod encrypted;
mod equal;
mod life;
mod listening;
mod plan;
mod run;
mod scene;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use config::Config;
pub use life::Life;
pub use plan::{Kind, Plan};
pub use run::{Figures, run, shrink};
