//! `kill -9` at random moments under load: what was acknowledged is there afterwards, and nothing else is.
//!
//! A life is one store and one set of phones, whose sockets outlive the engine; it is killed and started again up to
//! twenty times. `MEDLYTT_ROUNDS` says how often in all (`cargo xtask durability --rounds N`), `MEDLYTT_SEED` where to begin.

mod checks;
mod house;
mod load;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use house::House;

const ROUNDS_IN_CI: u64 = 15;
const ROUNDS_PER_LIFE: u64 = 20;
/// From the start of the process to `readyz`.
const READY_WITHIN: Duration = Duration::from_secs(2);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let (rounds, seed) = (number("MEDLYTT_ROUNDS", ROUNDS_IN_CI), number("MEDLYTT_SEED", 1));
    let since = Instant::now();
    let mut tally = Tally::default();
    for first in (0..rounds).step_by(ROUNDS_PER_LIFE as usize) {
        let mut house = House::new(seed + first);
        for n in first..rounds.min(first + ROUNDS_PER_LIFE) {
            let outcome = catch_unwind(AssertUnwindSafe(|| round(&mut house, seed + n, &mut tally)));
            if let Err(panic) = outcome {
                println!("{tally:?}");
                println!(
                    "round {n} of the life that began with MEDLYTT_SEED={}; the engine's last lines:",
                    seed + first
                );
                println!("{}", house.engine.log_tail());
                std::panic::resume_unwind(panic);
            }
        }
        house.farewell();
    }
    println!("{rounds} rounds in {:.0?}: {tally:?}", since.elapsed());
    assert!(tally.orders > rounds && tally.listeners_up > 0 && tally.calls_up > 0, "the load was none: {tally:?}");
    assert!(tally.unanswered > 0, "no order was under way at a kill: {tally:?}");
    // one in five rounds has one
    assert!(tally.counted > 0 || rounds < 100, "no listening counted: {tally:?}");
}

/// What was examined, so that a run that examined nothing shows.
#[derive(Debug, Default)]
struct Tally {
    orders: u64,
    unanswered: u64,
    replays: u64,
    counted: u64,
    listeners_up: u64,
    calls_up: u64,
    registered: u64,
    slowest_start: Duration,
}

fn round(house: &mut House, seed: u64, tally: &mut Tally) {
    let mut rng = StdRng::seed_from_u64(seed);
    let killed = house.work(&mut rng);
    let left = checks::left_behind(house, killed);
    // Meanwhile phones go on: a listener answers, a caller hangs up, and nobody is there.
    std::thread::sleep(Duration::from_millis(rng.random_range(0..250)));
    let took = house.engine.start_again();
    tally.slowest_start = tally.slowest_start.max(took);
    assert!(took <= READY_WITHIN, "ready after {took:?}");
    checks::orders(house, killed, tally);
    checks::directory(house);
    checks::registrations(house, tally);
    checks::everybody_is_let_go(house, &left, tally);
    checks::listenings(house, &left);
    checks::audit_trail(house);
    checks::phones_are_reached(house, &mut rng);
    assert!(!house.engine.log().contains("panicked"), "a panic in the log");
    house.tidy();
}
