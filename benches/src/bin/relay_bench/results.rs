//! What is kept of trials: a line of JSON for each in a folder that git ignores, and a table of medians at the end.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::generator::Measured;

/// Trials of one subject.
#[derive(Debug)]
pub(crate) struct Results {
    file: File,
    columns: &'static [&'static str],
    /// Peer and workload in the order of their first trial, with the figures of each trial.
    rows: Vec<(String, String, Vec<Vec<f64>>)>,
}

impl Results {
    pub(crate) fn new(subject: &str, columns: &'static [&'static str]) -> Result<Self, String> {
        let folder = std::env::var_os("OUT")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("results"), PathBuf::from);
        let path = folder.join(format!("relay-{subject}.jsonl"));
        let open = || {
            std::fs::create_dir_all(&folder)?;
            File::options().create(true).append(true).open(&path)
        };
        let file = open().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { file, columns, rows: Vec::new() })
    }

    /// Keeps a trial; `figures` are those of the columns.
    pub(crate) fn add(&mut self, peer: &str, workload: &str, figures: &[f64], details: &Value) {
        let named: serde_json::Map<_, _> =
            self.columns.iter().zip(figures).map(|(name, figure)| ((*name).to_owned(), json!(figure))).collect();
        let at = jiff::Timestamp::now().to_string();
        let line = json!({"at": at, "peer": peer, "workload": workload, "figures": named, "details": details});
        if let Err(error) = writeln!(self.file, "{line}") {
            eprintln!("a result cannot be written: {error}");
        }
        let shown: Vec<_> =
            self.columns.iter().zip(figures).map(|(name, figure)| format!("{name} {figure:.2}")).collect();
        eprintln!("  {peer}, {workload}: {}", shown.join(", "));
        match self.rows.iter_mut().find(|(p, w, _)| p == peer && w == workload) {
            Some((_, _, trials)) => trials.push(figures.to_vec()),
            None => self.rows.push((peer.to_owned(), workload.to_owned(), vec![figures.to_vec()])),
        }
    }

    /// The median of a column.
    pub(crate) fn median(&self, peer: &str, workload: &str, column: usize) -> Option<f64> {
        let (_, _, trials) = self.rows.iter().find(|(p, w, _)| p == peer && w == workload)?;
        spread(trials, column).map(|(_, median, _)| median)
    }

    /// Medians, with the lowest and highest of each, as Markdown.
    pub(crate) fn print(&self) {
        println!("\n| peer | workload | n | {} |", self.columns.join(" | "));
        println!("| --- | --- | --- |{}", " --- |".repeat(self.columns.len()));
        for (peer, workload, trials) in &self.rows {
            let cells = (0..self.columns.len()).filter_map(|column| {
                let (low, median, high) = spread(trials, column)?;
                Some(if trials.len() > 1 {
                    format!("{median:.2} ({low:.2}–{high:.2})")
                } else {
                    format!("{median:.2}")
                })
            });
            println!("| {peer} | {workload} | {} | {} |", trials.len(), cells.collect::<Vec<_>>().join(" | "));
        }
    }
}

/// Lowest, median, highest.
fn spread(trials: &[Vec<f64>], column: usize) -> Option<(f64, f64, f64)> {
    let mut figures: Vec<f64> = trials.iter().filter_map(|trial| trial.get(column).copied()).collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let median = match figures.len() {
        0 => return None,
        n if n % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    };
    Some((*figures.first()?, median, *figures.last()?))
}

/// Everything else of a run, for the file.
pub(crate) fn details(measured: &Measured) -> Value {
    let us = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    let threads: serde_json::Map<_, _> =
        measured.device.threads.iter().map(|(name, time)| (name.clone(), json!(us(*time)))).collect();
    json!({
        "sent": measured.sent, "received": measured.received, "altered": measured.altered, "strayed": measured.strayed,
        "duplicates": measured.duplicates, "dead_legs": measured.dead,
        "delay_us": {"p50": us(measured.delay.quantile(0.5)), "p99": us(measured.delay.quantile(0.99)), "p999": us(measured.delay.quantile(0.999)), "longest": us(measured.delay.longest())},
        "spacing_us": {"p1": us(measured.spacing.quantile(0.01)), "p50": us(measured.spacing.quantile(0.5)), "p99": us(measured.spacing.quantile(0.99))},
        "sent_late_us": {"p50": us(measured.late.quantile(0.5)), "p99": us(measured.late.quantile(0.99))},
        "device_cpu_us": us(measured.device.cpu), "device_threads_us": threads,
        "device_waits": measured.device.switches.0, "device_preempted": measured.device.switches.1,
        "generator_cpu_us": us(measured.generator.cpu),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_of_the_middle() {
        let trials = [vec![3.0], vec![1.0], vec![2.0], vec![10.0]];
        assert_eq!(spread(&trials[..3], 0), Some((1.0, 2.0, 3.0)));
        assert_eq!(spread(&trials, 0), Some((1.0, 2.5, 10.0)));
        assert_eq!(spread(&trials, 1), None);
    }
}
