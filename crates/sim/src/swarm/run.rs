//! Many seeds on several threads, and how a plan that fails is made shorter.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::life::Life;
use super::plan::Plan;
use crate::watch::Met;

/// What many lives came to.
#[derive(Debug, Default)]
pub struct Figures {
    /// Lives in which no rule was broken.
    pub passed: u64,
    /// Seeds of the others, with the first rule that was broken.
    pub failed: Vec<(u64, String)>,
    /// Everything that they met.
    pub met: Met,
    /// Actions carried out or planned.
    pub actions: u64,
    /// Simulated time.
    pub lasted: Duration,
}

/// Failed seeds after which no more are begun.
const ENOUGH: usize = 100;

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Lives every seed of a range, on so many threads; `told` is called for each, failed or not.
pub fn run(seeds: Range<u64>, jobs: usize, told: impl Fn(u64, &Life) + Sync) -> Figures {
    quiet_panics();
    let next = AtomicU64::new(seeds.start);
    let figures = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let plan = Plan::of(seed);
                    let life = plan.live(false);
                    told(seed, &life);
                    let Ok(mut figures) = figures.lock() else { return };
                    figures.add(&plan, &life);
                    if figures.failed.len() >= ENOUGH {
                        return;
                    }
                }
            });
        }
    });
    let mut figures = figures.into_inner().unwrap_or_default();
    figures.failed.sort();
    figures
}

impl Figures {
    fn add(&mut self, plan: &Plan, life: &Life) {
        match life.broken.first() {
            None => self.passed += 1,
            Some(first) => self.failed.push((plan.seed, first.rule.to_owned())),
        }
        self.met.merge(&life.met);
        self.actions += plan.actions.len() as u64;
        self.lasted += life.lasted;
    }
}

/// A plan as short as may be that still breaks the same rule: halves, quarters and so on are left out as long as it does.
#[must_use]
pub fn shrink(plan: &Plan) -> Plan {
    quiet_panics();
    let mut shortest = plan.clone();
    let Some(rule) = shortest.live(false).broken.first().map(|broken| broken.rule) else { return shortest };
    let mut size = shortest.actions.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < shortest.actions.len() {
            let mut shorter = shortest.clone();
            shorter.actions.drain(at..(at + size).min(shorter.actions.len()));
            if shorter.live(false).broken.first().is_some_and(|broken| broken.rule == rule) {
                shortest = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    shortest
}

/// Where and why this thread panicked last.
pub(crate) fn last_panic() -> String {
    LAST_PANIC.with_borrow(Clone::clone)
}

/// A panic is a broken rule like any other: it is kept for the report, not printed at once.
fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let swarm = std::thread::current().name().is_none();
            LAST_PANIC.with_borrow_mut(|last| *last = info.to_string());
            if !swarm {
                before(info);
            }
        }));
    });
}
