//! The largest number of calls that a peer relays on one core with less than 0.1 % loss and a p99 of delay below 20 ms.
//!
//! Both, for a queue that grows loses nothing for a while. A number that fails is tried once more, so that a moment's noise of
//! the machine does not decide. The first round brackets from afar, the next ones begin where the last ended.

use std::time::Duration;

use super::Stage;
use crate::generator::Measured;
use crate::peer::{Capacity, Name};
use crate::results::{Results, details};
use crate::setting::Setting;

const COLUMNS: &[&str] = &["calls", "CPU µs per packet"];
const LOSS: f64 = 0.1;
const DELAY: Duration = Duration::from_millis(20);
/// Begins here, and goes on by these steps until something fails and something does not.
const FIRST: usize = 800;
const FAR: f64 = 1.5;
const NEAR: f64 = 1.12;
/// Ends when what failed is so little above what did not.
const CLOSE: f64 = 1.025;
/// Calls that are set up above the first guess: more are set up anew.
const ROOM: f64 = 1.6;
/// Four descriptors each, of the 20,000 that a process may have here; ports of the peers' ranges.
const MOST: usize = 4500;

/// Medians of the peers.
pub(crate) fn run(setting: &Setting, peers: &[Name]) -> Result<Vec<(Name, f64)>, String> {
    let subject = if setting.srtp { "search-srtp" } else { "search" };
    let mut results = Results::new(subject, COLUMNS)?;
    let mut last: Vec<Option<usize>> = vec![None; peers.len()];
    for _ in 0..setting.repeat {
        for (peer, last) in peers.iter().zip(&mut last) {
            let (first, step) = last.map_or((FIRST, FAR), |last| (last, NEAR));
            let mut search = Search { setting, name: *peer, stage: None, room: 0 };
            let (calls, at_most) = search.bracket(first, step)?;
            *last = Some(calls.max(1));
            let figures = [calls as f64, at_most.as_ref().map_or(0.0, Measured::cpu_per_packet)];
            let details = at_most.as_ref().map_or(serde_json::Value::Null, details);
            results.add(&format!("{peer:?}").to_lowercase(), workload(setting), &figures, &details);
        }
    }
    results.print();
    let median = |name: &Name| results.median(&format!("{name:?}").to_lowercase(), workload(setting), 0).unwrap_or(0.0);
    Ok(peers.iter().map(|name| (*name, median(name))).collect())
}

fn workload(setting: &Setting) -> &'static str {
    if setting.srtp { "most calls, SRTP" } else { "most calls" }
}

struct Search<'a> {
    setting: &'a Setting,
    name: Name,
    stage: Option<Stage>,
    /// Calls that are up.
    room: usize,
}

impl Search<'_> {
    fn bracket(&mut self, first: usize, step: f64) -> Result<(usize, Option<Measured>), String> {
        let (mut good, mut bad, mut best) = (None::<usize>, None::<usize>, None);
        let mut calls = first.min(MOST);
        loop {
            let measured = self.attempt(calls)?;
            if is_good(&measured) {
                (good, best) = (Some(calls), Some(measured));
            } else {
                bad = Some(calls);
            }
            let scaled = |n: usize, by: f64| (n as f64 * by) as usize;
            calls = match (good, bad) {
                (Some(good), Some(bad)) if bad as f64 <= good as f64 * CLOSE || bad - good < 4 => {
                    return Ok((good, best));
                }
                (Some(good), Some(bad)) => scaled(good, (bad as f64 / good as f64).sqrt()),
                (Some(MOST), None) => return Ok((MOST, best)),
                (Some(good), None) => scaled(good, step).min(MOST),
                (None, Some(bad)) if bad < 4 => return Ok((0, None)),
                (None, _) => scaled(calls, 1.0 / step),
            };
        }
    }

    /// Twice, if it fails.
    fn attempt(&mut self, calls: usize) -> Result<Measured, String> {
        if calls > self.room {
            // The old process goes first: both may want the same ports.
            self.stage = None;
            self.room = ((calls as f64 * ROOM) as usize).min(MOST);
            let capacity = Capacity { calls: self.room, listeners: 0 };
            self.stage = Some(Stage::new(self.name, self.setting, capacity)?);
        }
        let stage = self.stage.as_ref().ok_or("there is no stage")?;
        let mut measured = stage.trial(self.setting, calls)?;
        for _ in 0..1 {
            eprintln!(
                "    {} with {calls} calls: loss {:.3} %, p99 {:.1} ms, device {:.0} %, generator {:.0} %",
                stage.peer.name(),
                measured.loss(),
                measured.delay.quantile(0.99).as_secs_f64() * 1e3,
                measured.device.cpu.as_secs_f64() * 100.0 / self.setting.measured.as_secs_f64(),
                measured.generator.cpu.as_secs_f64() * 100.0 / self.setting.measured.as_secs_f64(),
            );
            if !is_good(&measured) {
                measured = stage.trial(self.setting, calls)?;
            }
        }
        Ok(measured)
    }
}

fn is_good(measured: &Measured) -> bool {
    measured.loss() < LOSS && measured.dead == 0 && measured.delay.quantile(0.99) < DELAY
}
