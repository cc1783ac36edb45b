//! CPU time and delay at fixed numbers of calls.

use super::Stage;
use crate::peer::{Capacity, Name};
use crate::results::{Results, details};
use crate::setting::Setting;

const COLUMNS: &[&str] = &["loss %", "p50 µs", "p99 µs", "CPU % of a core", "CPU µs per packet", "waits per packet"];

pub(crate) fn run(setting: &Setting, peers: &[Name], levels: &[usize]) -> Result<(), String> {
    let subject = if setting.srtp { "levels-srtp" } else { "levels" };
    let mut results = Results::new(subject, COLUMNS)?;
    let calls = levels.iter().copied().max().unwrap_or(0);
    for _ in 0..setting.repeat {
        for peer in peers {
            let stage = Stage::new(*peer, setting, Capacity { calls, listeners: 0 })?;
            for level in levels {
                let measured = stage.trial(setting, *level)?;
                let us = |share| measured.delay.quantile(share).as_secs_f64() * 1e6;
                let figures = [
                    measured.loss(),
                    us(0.5),
                    us(0.99),
                    measured.device.cpu.as_secs_f64() * 100.0 / setting.measured.as_secs_f64(),
                    measured.cpu_per_packet(),
                    measured.device.switches.0 as f64 / measured.received.max(1) as f64,
                ];
                results.add(stage.peer.name(), &format!("{level} calls"), &figures, &details(&measured));
            }
        }
    }
    results.print();
    Ok(())
}
