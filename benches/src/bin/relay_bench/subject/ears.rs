//! How soon and how late listeners hear, in the whole process beside N calls: time from a listener's 200 OK to its first packet,
//! and from the moment that a word leaves its speaker to the moment that a listener has it, beside the far side's.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::Stage;
use crate::generator::Measured;
use crate::generator::histogram::Histogram;
use crate::peer::{Capacity, Name};
use crate::results::{Results, details};
use crate::setting::Setting;

const COLUMNS: &[&str] = &[
    "loss %",
    "CPU % of a core",
    "first packet p50 ms",
    "first packet p99 ms",
    "relayed p50 ms",
    "heard p50 ms",
    "heard p99 ms",
    "over the relay p50 ms",
];
/// From one listener to the next.
const PACE: Duration = Duration::from_millis(50);
/// A word that is heard later than this, in nanoseconds, was another one.
const LATEST: u64 = 500_000_000;

/// One listener: the call that it hears, the relay's port for it, and when it answered.
struct Listener {
    call: usize,
    port: u16,
    answered: u64,
}

pub(crate) fn run(setting: &Setting, peers: &[Name], calls: usize, listeners: usize) -> Result<(), String> {
    let mut results = Results::new("ears", COLUMNS)?;
    for _ in 0..setting.repeat {
        for name in peers.iter().filter(|name| matches!(name, Name::Medlytt)) {
            let mut stage = Stage::new(*name, setting, Capacity { calls, listeners })?;
            let (measured, ears) = stage.heard_by(setting, listeners.min(calls))?;
            let (first, heard, relayed) = times(&measured, &ears);
            let ms = |histogram: &Histogram, share| histogram.quantile(share).as_secs_f64() * 1e3;
            let figures = [
                measured.loss(),
                measured.device.cpu.as_secs_f64() * 100.0 / setting.measured.as_secs_f64(),
                ms(&first, 0.5),
                ms(&first, 0.99),
                ms(&relayed, 0.5),
                ms(&heard, 0.5),
                ms(&heard, 0.99),
                ms(&heard, 0.5) - ms(&relayed, 0.5),
            ];
            let mut details = details(&measured);
            details["listeners"] = json!(ears.len());
            details["deaf"] = json!(ears.iter().filter(|ear| !measured.ears.contains_key(&ear.port)).count());
            results.add(stage.peer.name(), &format!("{calls} calls, {} listeners", ears.len()), &figures, &details);
        }
    }
    results.print();
    Ok(())
}

/// From answers to first packets, and of words: until they were heard, until the far side had them.
fn times(measured: &Measured, listeners: &[Listener]) -> (Histogram, Histogram, Histogram) {
    let (mut first, mut heard, mut relayed) = (Histogram::default(), Histogram::default(), Histogram::default());
    for listener in listeners {
        let Some(ear) = measured.ears.get(&listener.port) else { continue };
        first.add(ear.first.unwrap_or(u64::MAX).saturating_sub(listener.answered));
        let words = measured.words.iter().filter(|word| word.call == listener.call);
        for word in words {
            let after = ear.words.iter().copied().filter(|at| *at >= word.sent && *at - word.sent < LATEST).min();
            if let Some(at) = after {
                heard.add(at - word.sent);
                relayed.add(word.relayed.saturating_sub(word.sent));
            }
        }
    }
    (first, heard, relayed)
}

impl Stage {
    fn heard_by(&mut self, setting: &Setting, listeners: usize) -> Result<(Measured, Vec<Listener>), String> {
        let Self { peer, calls, generator } = self;
        let (generator, pid) = (&*generator, peer.pid());
        std::thread::scope(|scope| {
            let measuring = scope.spawn(|| generator.run(setting, &calls.legs, pid));
            std::thread::sleep(setting.warm);
            let mut ears = Vec::new();
            for call in 0..listeners {
                let heard = peer.listen(&[call])?;
                if let (Some(port), Some(answered)) =
                    (heard.relay.first().map(SocketAddr::port), heard.answered.first())
                {
                    ears.push(Listener { call, port, answered: *answered });
                }
                if measuring.is_finished() {
                    return Err(format!("{call} of {listeners} listeners were called in time: give it more --secs"));
                }
                std::thread::sleep(PACE);
            }
            let measured = measuring.join().map_err(|_| "the generator has panicked".to_owned())?;
            Ok((measured, ears))
        })
    }
}
