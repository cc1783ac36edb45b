//! 300 random lives of the whole engine (`sim::swarm`): no rule of any checker is broken, and the lives are deep enough.
//!
//! More of them, and one again with its history: `cargo run --release -p medlytt-stories --bin swarm -- --help`.
#![allow(clippy::disallowed_methods, reason = "asks how many threads may run at once")]

use sim::swarm::run;

/// What the lives must have met, or they would prove little.
const MUST_BE_MET: [(&str, &str); 14] = [
    ("listening end", "CallEnded"),
    ("listening end", "AgentTransferred"),
    ("listening end", "ListenerHungUp"),
    ("listening end", "ListenerBusy"),
    ("listening end", "ListenerNoAnswer"),
    ("listening end", "ListenerUnreachable"),
    ("listening end", "LimitReached"),
    ("listening end", "Deleted"),
    ("listening end", "AgentNotMonitorable"),
    ("listening end", "PolicyDenied"),
    ("listening end", "AuditUnavailable"),
    ("a listener gets", "sound"),
    ("a listener gets", "silence"),
    ("event", "CallTransferred"),
];

#[test]
fn three_hundred_lives_break_no_rule() {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let figures = run(0..300, jobs, |seed, life| {
        for broken in &life.broken {
            eprintln!("seed {seed}: {}: {}", broken.rule, broken.what);
        }
    });
    assert!(figures.failed.is_empty(), "seeds and the rules that they broke: {:?}", figures.failed);
    for (kind, name) in MUST_BE_MET {
        assert!(figures.met.times(kind, name) > 0, "no life met {kind} {name}");
    }
}
