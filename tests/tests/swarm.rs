//! 300 random lives of the whole engine (`sim::swarm`): no rule of any checker is broken, and the lives are deep enough.
//!
//! More of them, and one again with its history: `cargo run --release -p medlytt-stories --bin swarm -- --help`.
#![allow(clippy::disallowed_methods, reason = "asks how many threads may run at once")]

use sim::swarm::run;

/// What the lives must have met, or they would prove little.
const MUST_BE_MET: [(&str, &str); 19] = [
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
    ("move", "of streams"),
    ("move", "of a listener"),
    ("an encrypted leg", "hears"),
    ("a listener gets", "what is encrypted"),
    ("keys", "renewed"),
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

/// An INFO, an UPDATE and an answer forgotten too soon; a BYE for which there was no room; a call
/// that took a private one in; counts that a full disk and a kill parted from their listening; a CANCEL that overtook its
/// INVITE; phones that a new directory knew when they asked again; a transfer whose pause was another with listeners; a BYE
/// that the network kept for longer than its answer was remembered; a report by the socket of what must be silent.
#[test]
fn lives_that_broke_a_rule_once_break_none() {
    for seed in
        [974, 1257, 2390, 2575, 2760, 3441, 3823, 6016, 10418, 11595, 2052, 16444, 17710, 13547, 287_671, 288_741]
    {
        let figures = run(seed..seed + 1, 1, |seed, life| {
            for broken in &life.broken {
                eprintln!("seed {seed}: {}: {}", broken.rule, broken.what);
            }
        });
        assert!(figures.failed.is_empty(), "{:?}", figures.failed);
    }
}
