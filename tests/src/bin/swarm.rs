//! Random lives of the whole engine, as many as wanted: `cargo run --release -p medlytt-stories --bin swarm -- --seeds 20000`.
//!
//! A seed that fails is printed with the rule that it broke and the tail of its history, and replays in full with
//! `--seed N`. The last line is the summary.

// A shell: it reads the clock to say how fast it was, and has threads.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;
use std::time::Instant;

use sim::swarm::{Life, Plan, run, shrink};

const USAGE: &str = "\
swarm [--seeds N] [--from N] [--jobs N] [--table]   lives N seeds (300) from the first (0) on; --table: what they met
swarm --seed N                                      one life with its whole history
swarm --seed N --shrink                             makes its plan as short as may be that still fails";

/// Lines of history that are shown of a life that failed.
const TAIL: usize = 60;

struct Arguments {
    seeds: u64,
    from: u64,
    jobs: usize,
    seed: Option<u64>,
    shrink: bool,
    table: bool,
}

fn main() -> ExitCode {
    let arguments = match read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("swarm: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let passed = match arguments.seed {
        Some(seed) => replay(seed, arguments.shrink),
        None => many(&arguments),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut arguments = Arguments { seeds: 300, from: 0, jobs, seed: None, shrink: false, table: false };
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let value = words.next().ok_or(format!("{word} needs a number"))?;
            value.parse().map_err(|_| format!("{word} {value}: not a number"))
        };
        match word.as_str() {
            "--seeds" => arguments.seeds = number()?,
            "--from" => arguments.from = number()?,
            "--jobs" => arguments.jobs = usize::try_from(number()?).map_err(|_| "too many jobs".to_owned())?,
            "--seed" => arguments.seed = Some(number()?),
            "--shrink" => arguments.shrink = true,
            "--table" => arguments.table = true,
            other => return Err(format!("{other}: what is that?")),
        }
    }
    Ok(arguments)
}

fn many(arguments: &Arguments) -> bool {
    let began = Instant::now();
    let seeds = arguments.from..arguments.from.saturating_add(arguments.seeds);
    let figures = run(seeds, arguments.jobs, |seed, life| {
        if !life.broken.is_empty() {
            // the same life again, this time with its history
            eprintln!("{}", story(seed, &Plan::of(seed).live(true), TAIL));
        }
    });
    if arguments.table {
        println!("{}", figures.met.table());
    }
    for (seed, rule) in &figures.failed {
        println!("seed {seed} broke: {rule}");
    }
    let took = began.elapsed().as_secs_f64();
    let lives = figures.passed + figures.failed.len() as u64;
    println!(
        "{lives} lives in {took:.1} s ({:.1} a second), {} actions, {:.1} simulated hours",
        lives as f64 / took,
        figures.actions,
        figures.lasted.as_secs_f64() / 3_600.0
    );
    println!("{} passed, {} failed", figures.passed, figures.failed.len());
    figures.failed.is_empty()
}

fn replay(seed: u64, shorter: bool) -> bool {
    let plan = Plan::of(seed);
    let plan = if shorter { shrink(&plan) } else { plan };
    let life = plan.live(true);
    println!("{}", story(seed, &life, usize::MAX));
    if shorter {
        println!("{} actions: {:#?}", plan.actions.len(), plan.actions);
    }
    println!("{} passed, {} failed", u8::from(life.broken.is_empty()), u8::from(!life.broken.is_empty()));
    life.broken.is_empty()
}

fn story(seed: u64, life: &Life, most: usize) -> String {
    let skipped = life.history.len().saturating_sub(most);
    let mut text = life.history.iter().skip(skipped).cloned().collect::<Vec<_>>().join("\n");
    for broken in &life.broken {
        text += &format!("\nseed {seed}, {:.3} s: BROKEN: {}: {}", broken.at.as_secs_f64(), broken.rule, broken.what);
    }
    text += &format!("\nseed {seed} again: cargo run --release -p medlytt-stories --bin swarm -- --seed {seed}");
    text
}
