//! The benches work: ten calls arrive whole, and events reach everybody. What they cost is not asked here.

#![allow(clippy::unwrap_used, reason = "what cannot be read is a failure")]

use std::process::Command;

use serde_json::Value;

#[test]
fn ten_calls_arrive_through_the_bare_relay() {
    ten_calls_arrive_through("bare");
}

/// Set up by SIP through the binary that `MEDLYTT_BIN` names.
#[cfg(feature = "interop")]
#[test]
fn ten_calls_arrive_through_the_engine() {
    ten_calls_arrive_through("medlytt");
}

/// Every event comes to every reader once and in order, and no call fails. How late it comes is not asked here.
#[cfg(feature = "interop")]
#[test]
fn every_stream_gets_every_event() {
    let output = Command::new(env!("CARGO_BIN_EXE_event_streams"))
        .args(["--streams", "5", "--agents", "50", "--rate", "10", "--seconds", "3", "--rounds", "1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let turns: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(turns.len(), 2, "{text}");
    for (turn, streams) in turns.iter().zip([0, 5]) {
        assert_eq!((&turn["streams"], &turn["whole_streams"]), (&streams.into(), &streams.into()), "{turn}");
        assert_eq!((&turn["calls"], &turn["failed"]), (&30.into(), &0.into()), "{turn}");
    }
    assert!(turns[1]["events"].as_u64().unwrap() >= 5 * 30 * 6, "{}", turns[1]);
}

fn ten_calls_arrive_through(peer: &str) {
    let folder = std::env::temp_dir().join(format!("medlytt-relay-smoke-{peer}-{}", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_relay_bench"))
        .args(["--peers", peer, "levels", "10"])
        .envs([("REPEAT", "1"), ("SECS", "2"), ("RT", "0"), ("OUT", &*folder.to_string_lossy())])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = std::fs::read_to_string(folder.join("relay-levels.jsonl")).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let trial: Value = serde_json::from_str(results.trim()).unwrap();
    let details = &trial["details"];
    assert!(details["sent"].as_u64().unwrap() >= 1_980, "{trial}");
    assert_eq!(details["received"], details["sent"], "{trial}");
    for nothing in ["altered", "strayed", "duplicates", "dead_legs"] {
        assert_eq!(details[nothing], 0, "{nothing}: {trial}");
    }
}
