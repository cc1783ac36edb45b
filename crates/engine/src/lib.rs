//! Calls and silent monitoring, sans-IO. SEMANTICS.md is what this crate does.
//!
//! Read this first. [`Engine::drive`] takes one [`Input`] and appends what follows to the outputs: transmits, media
//! commands, things to persist, replies, views and events. It owns [`signalling::Signalling`]; media shards are driven
//! by the shell with the commands that come out here.
//!
//! ```
//! # use medlytt_engine as engine;
//! use engine::directory::{AgentSeed, PhoneSeed, Seed};
//! use engine::{Engine, Input, Now, Output, Settings, View};
//! # use std::time::Duration;
//! let signalling = signalling::Settings::for_domain("pbx.example.com");
//! let phone = PhoneSeed { contact: Some(("sip:anna@10.0.1.5:5060".into(), "10.0.1.5:5060".parse()?)), ..PhoneSeed::default() };
//! let anna = AgentSeed { id: "anna".into(), name: "Anna Berg".into(), number: "1001".into(), phone, group: None, skills: vec![], monitorable: true };
//! let seed = Seed { agents: vec![anna], ..Seed::default() };
//! # #[allow(clippy::disallowed_methods)]
//! let now = Now { mono: std::time::Instant::now(), wall: jiff::Timestamp::now() };
//! let mut outputs = Vec::new();
//! let mut engine = Engine::new(now, Settings::new(signalling), seed, Default::default(), [0; 32], &mut outputs);
//! assert!(outputs.iter().any(|output| matches!(output, Output::View(View::Agent(anna)) if anna.number == "1001")));
//! outputs.clear();
//! engine.drive(now, Input::Drain, &mut outputs);
//! assert!(outputs.iter().any(|output| matches!(output, Output::Drained)));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

pub mod directory;
pub mod persist;
pub mod view;

mod agents;
mod audit;
mod call;
mod codecs;
mod commands;
mod dialog_log;
mod engine;
mod ids;
mod interaction;
mod interface;
mod keys;
mod legs;
mod monitoring;
mod others;
mod outbox;
mod pii;
mod placement;
mod problem;
mod protection;
mod restored;
mod sip;
mod status;
mod store;
mod terms;
mod timers;
mod transfer;

#[cfg(test)]
mod stories;

pub use audit::ACTIONS as AUDIT_ACTIONS;
pub use interface::*;
pub use terms::{Key, Precondition, Terms, etag, etag_of};
