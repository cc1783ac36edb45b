//! Looks at everything that goes in and out of the engine and its media plane, and says at once what breaks a rule.
//!
//! One file for each kind of rule. A checker is told what happened and knows nothing of the engine's inside but its sizes.

mod answers;
mod ears;
mod met;
mod orders;
mod told;
mod wakes;

use std::time::{Duration, Instant};

use engine::{Input, Output};

pub use met::Met;

use crate::world::World;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Since the world's beginning.
    pub at: Duration,
    /// The rule, in few words; the same for every violation of it.
    pub rule: &'static str,
    /// What happened.
    pub what: String,
}

/// Violations that are kept.
const MAX_VIOLATIONS: usize = 20;
/// Lines of history that are kept.
const MAX_HISTORY: usize = 50_000;

/// All checkers of one world.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) broken: Vec<Violation>,
    pub(crate) met: Met,
    /// Readable, if somebody wants to read it.
    pub(crate) history: Option<Vec<String>>,
    pub(crate) orders: orders::Orders,
    answers: answers::Answers,
    ears: ears::Ears,
    told: told::Told,
    wakes: wakes::Wakes,
}

/// Where checkers report to.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    at: Duration,
    broken: &'a mut Vec<Violation>,
    met: &'a mut Met,
}

impl Report<'_> {
    pub(crate) fn broken(&mut self, rule: &'static str, what: impl Into<String>) {
        if self.broken.len() < MAX_VIOLATIONS {
            self.broken.push(Violation { at: self.at, rule, what: what.into() });
        }
    }

    pub(crate) fn must(&mut self, so: bool, rule: &'static str, what: impl FnOnce() -> String) {
        if !so {
            self.broken(rule, what());
        }
    }

    pub(crate) fn met(&mut self, kind: &'static str, name: impl Into<String>) {
        self.met.met(kind, name.into());
    }
}

impl Watch {
    pub(crate) fn new(history: bool) -> Self {
        Self {
            broken: Vec::new(),
            met: Met::default(),
            history: history.then(Vec::new),
            orders: orders::Orders::default(),
            answers: answers::Answers::default(),
            ears: ears::Ears::default(),
            told: told::Told::default(),
            wakes: wakes::Wakes::default(),
        }
    }

    pub(crate) fn note(&mut self, at: Duration, line: impl FnOnce() -> String) {
        if let Some(history) = self.history.as_mut().filter(|history| history.len() < MAX_HISTORY) {
            history.push(format!("{:>9.3} {}", at.as_secs_f64(), line()));
        }
    }

    /// Something goes into the engine.
    pub(crate) fn input(&mut self, world: &World, input: &Input) {
        let at = world.now - world.start;
        match input {
            Input::Command { actor, command, .. } => self.note(at, || format!("{actor} orders {command:?}")),
            Input::Persisted { persist, result: Err(why) } => {
                self.note(at, || format!("store refused {persist:?}: {why}"))
            }
            Input::Sip { .. } | Input::Timeout | Input::Media(_) | Input::Persisted { .. } => {}
            other => self.note(at, || format!("engine gets {other:?}").chars().take(60).collect()),
        }
        let mut report = Report { at, broken: &mut self.broken, met: &mut self.met };
        self.answers.input(world.now, input);
        self.orders.input(world, input);
        self.wakes.input(world, input, &mut report);
    }

    /// Something comes out of the engine.
    pub(crate) fn output(&mut self, world: &World, output: &Output) {
        let at = world.now - world.start;
        match output {
            Output::Event(event) => self.note(at, || met::event_line(event)),
            Output::Log { level, message, .. } => self.note(at, || format!("log {level}: {message}")),
            Output::Reply { result: Err(problem), .. } => self.note(at, || format!("refused: {problem:?}")),
            Output::Media(command) => self.note(at, || format!("media {command:?}")),
            _ => {}
        }
        let mut report = Report { at, broken: &mut self.broken, met: &mut self.met };
        self.answers.output(world, output, &mut report);
        self.told.output(world, output, &mut report);
        self.orders.output(world, output, &mut report);
        self.ears.output(output);
        met::output(output, &mut report);
    }

    /// The engine has carried out one input.
    pub(crate) fn driven(&mut self, world: &World) {
        let mut report = Report { at: world.now - world.start, broken: &mut self.broken, met: &mut self.met };
        self.told.driven(world, &mut report);
        self.orders.driven(world, &mut report);
        self.ears.driven(world, &mut report);
        self.wakes.driven(world, &mut report);
    }

    /// The media plane has carried out a command.
    pub(crate) fn carried_out(&mut self, command: &media::Command) {
        self.ears.carried_out(command);
    }

    pub(crate) fn met(&mut self, kind: &'static str, name: &str) {
        self.met.met(kind, name.to_owned());
    }

    /// The media plane sends.
    pub(crate) fn media_sent(&mut self, now: Duration, port: u16, kind: media::Kind, data: &[u8]) {
        let mut report = Report { at: now, broken: &mut self.broken, met: &mut self.met };
        self.ears.sent(port, kind, data, &mut report);
    }

    /// A person has done something; slower looks than after every input.
    pub(crate) fn step(&mut self, world: &World) {
        let mut report = Report { at: world.now - world.start, broken: &mut self.broken, met: &mut self.met };
        self.answers.step(world, &mut report);
        self.told.step(world, &mut report);
        self.ears.step(world, &mut report);
        self.orders.step(world, &mut report);
    }

    /// Nobody talks any more.
    pub(crate) fn quiet(&mut self, world: &World) {
        let mut report = Report { at: world.now - world.start, broken: &mut self.broken, met: &mut self.met };
        self.told.quiet(&mut report);
    }

    /// The engine was killed: nobody answers any more for what it was asked.
    pub(crate) fn killed(&mut self) {
        self.answers = answers::Answers::default();
        self.ears = ears::Ears::default();
        self.told.killed();
        self.orders.killed();
        self.wakes = wakes::Wakes::default();
    }

    /// The next process has begun.
    pub(crate) fn restarted(&mut self, world: &World) {
        let mut report = Report { at: world.now - world.start, broken: &mut self.broken, met: &mut self.met };
        self.orders.restarted(world, &mut report);
    }

    pub(crate) fn break_rule(&mut self, at: Duration, rule: &'static str, what: impl Into<String>) {
        Report { at, broken: &mut self.broken, met: &mut self.met }.broken(rule, what);
    }
}

impl World {
    /// Lets the checkers look, if there are any.
    pub(crate) fn watched(&mut self, look: impl FnOnce(&mut Watch, &Self)) {
        if let Some(mut watch) = self.watch.take() {
            look(&mut watch, self);
            self.watch = Some(watch);
        }
    }
}

/// Time that has passed, or none where the clocks stand so.
fn since(now: Instant, then: Instant) -> Duration {
    now.saturating_duration_since(then)
}
