//! Orders per second and how long one waits for its acknowledgement, with the disk in use: what an order writes (the
//! request and its audit entry, one transaction or a part of one) goes through the writer's group commit, as in the engine.
//!
//! `store_orders [DIRECTORY]`: where the file lies; a memory file system measures nothing. See docs/performance.md.

#![allow(clippy::disallowed_methods, reason = "a bench runs against real clocks and a real disk")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use engine::persist::{AuditEntry, Change, RequestRecord};
use engine::view::{AgentRef, CallCount, CallDirection, ListenerKind, ListenerRef, RequestState, RequestView};
use store::{SqliteStore, Writer};

/// Orders under way at once.
const WRITERS: [usize; 3] = [1, 8, 64];
/// How long each is measured.
const TIME: Duration = Duration::from_secs(5);
/// Writes that tell what the disk itself takes.
const PROBES: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("medlytt-store-orders-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = measure_all(&directory);
    std::fs::remove_dir_all(&directory)?;
    result
}

fn measure_all(directory: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let disk = probe_disk(&directory.join("probe"))?;
    println!(
        "the disk: 4 KiB written and synced, p50 {}, p99 {}",
        ms(percentile(&disk, 50)),
        ms(percentile(&disk, 99))
    );
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>10} {:>16}",
        "writers", "orders/s", "p50", "p99", "longest", "orders a commit"
    );
    for writers in WRITERS {
        let store = Arc::new(SqliteStore::open(&directory.join(format!("{writers}.db")))?);
        let run = measure(store, writers);
        println!(
            "{writers:>8} {:>10.0} {:>10} {:>10} {:>10} {:>16.1}",
            run.waits.len() as f64 / run.took.as_secs_f64(),
            ms(percentile(&run.waits, 50)),
            ms(percentile(&run.waits, 99)),
            ms(percentile(&run.waits, 100)),
            run.waits.len() as f64 / run.batches as f64,
        );
    }
    Ok(())
}

struct Run {
    /// Of every order, sorted.
    waits: Vec<Duration>,
    took: Duration,
    batches: u64,
}

fn measure(store: Arc<SqliteStore>, writers: usize) -> Run {
    let (doors, ends): (Vec<Sender<()>>, Vec<Receiver<()>>) = (0..writers).map(|_| channel()).unzip();
    let writer = Writer::spawn(store, move |tokens, result| {
        result.expect("the disk takes it");
        for token in tokens {
            // A thread whose time is over has gone.
            let _ = doors[token as usize % doors.len()].send(());
        }
    });
    let begun = Instant::now();
    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = ends
            .into_iter()
            .enumerate()
            .map(|(index, end)| {
                let writer = &writer;
                scope.spawn(move || one_after_the_other(writer, index, writers, &end, begun))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let took = begun.elapsed();
    waits.sort_unstable();
    let batches = writer.figures().batches;
    writer.close();
    Run { waits, took, batches }
}

/// Orders, waits for the acknowledgement, orders again.
fn one_after_the_other(
    writer: &Writer,
    index: usize,
    writers: usize,
    end: &Receiver<()>,
    begun: Instant,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    for n in 0.. {
        if begun.elapsed() > TIME {
            break;
        }
        let token = n * writers + index;
        let changes = order(token);
        let asked = Instant::now();
        writer.send(token as u64, changes).expect("no queue is that short");
        end.recv().expect("every order is answered");
        waits.push(asked.elapsed());
    }
    waits
}

/// What an order writes.
fn order(n: usize) -> Vec<Change> {
    let id = format!("req_{n:026}");
    let at = jiff::Timestamp::now();
    let listener = ListenerRef {
        user: Some("sue".to_owned()),
        agent: None,
        number: None,
        name: "Sue Berg".to_owned(),
        kind: ListenerKind::Softphone,
    };
    let view = RequestView {
        id: id.clone(),
        ordered_by: "sue".to_owned(),
        agent: AgentRef { id: "anna".to_owned(), name: "Anna Dahl".to_owned() },
        listener,
        calls: CallCount { limit: Some(3), used: 0 },
        until: at,
        directions: vec![CallDirection::Inbound],
        layout: engine::view::Layout::Mono,
        confirm: false,
        state: RequestState::Waiting,
        reason: None,
        created_at: at,
        ended_at: None,
        warnings: Vec::new(),
    };
    let entry = AuditEntry {
        at,
        actor: "sue".to_owned(),
        action: "request.created".to_owned(),
        target: Some(id),
        agent: Some("anna".to_owned()),
        details: serde_json::Map::from_iter([("calls".to_owned(), serde_json::Value::from(3))]),
    };
    vec![Change::Request(RequestRecord { view, failures_in_a_row: 0 }), Change::Audit(entry)]
}

fn probe_disk(file: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = std::fs::File::create(file)?;
    let mut waits = Vec::new();
    for _ in 0..PROBES {
        let begun = Instant::now();
        file.write_all(&[0x5A; 4096])?;
        file.sync_data()?;
        waits.push(begun.elapsed());
    }
    waits.sort_unstable();
    Ok(waits)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

fn ms(wait: Duration) -> String {
    format!("{:.2} ms", wait.as_secs_f64() * 1000.0)
}
