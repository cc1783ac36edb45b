//! What listeners cost: CPU time of N calls without and with M listeners, one on each of M calls and all on one, in the same
//! process; ours hear one mixed stream, rtpengine's subscribers the two streams of a call unmixed.

use serde_json::json;

use super::Stage;
use crate::generator::Measured;
use crate::peer::{Capacity, Name};
use crate::results::{Results, details};
use crate::setting::Setting;

const COLUMNS: &[&str] =
    &["loss %", "p99 µs", "CPU % of a core", "% per listener", "listener per relayed call", "heard packets/s"];
/// Listeners on one call; ours takes so many by configuration.
const ON_ONE: usize = 50;

pub(crate) fn run(setting: &Setting, peers: &[Name], calls: usize, listeners: usize) -> Result<(), String> {
    let mut results = Results::new("forks", COLUMNS)?;
    for _ in 0..setting.repeat {
        for name in peers.iter().filter(|name| !matches!(name, Name::Bare | Name::BareRing | Name::Direct)) {
            let capacity = Capacity { calls, listeners: listeners.max(ON_ONE) };
            let mut stage = Stage::new(*name, setting, capacity)?;
            let alone = stage.trial(setting, calls)?;
            let mut keep = |stage: &Stage, what: &str, listeners: usize, streams: usize, measured: &Measured| {
                let percent = |m: &Measured| m.device.cpu.as_secs_f64() * 100.0 / setting.measured.as_secs_f64();
                let heard: u64 = measured.heard.iter().map(|(_, count)| count).sum();
                let per_listener = (percent(measured) - percent(&alone)) / listeners.max(1) as f64;
                let figures = [
                    measured.loss(),
                    measured.delay.quantile(0.99).as_secs_f64() * 1e6,
                    percent(measured),
                    per_listener,
                    per_listener * calls as f64 / percent(&alone).max(f64::MIN_POSITIVE),
                    heard as f64 / setting.measured.as_secs_f64() / streams.max(1) as f64,
                ];
                let mut details = details(measured);
                details["streams"] = json!(streams);
                results.add(stage.peer.name(), what, &figures, &details);
            };
            keep(&stage, &format!("{calls} calls, 0 listeners"), 0, 0, &alone);
            let each: Vec<usize> = (0..listeners.min(calls)).collect();
            let one = vec![0; ON_ONE];
            for (called, what) in [(each, "one on each of"), (one, "all on one of")] {
                let heard = stage.peer.listen(&called)?;
                let measured = stage.trial(setting, calls)?;
                stage.peer.leave()?;
                let what = format!("{calls} calls, {} listeners, {what} them", called.len());
                keep(&stage, &what, called.len(), heard.streams, &measured);
            }
        }
    }
    results.print();
    Ok(())
}
