//! The fuzz bodies on stable: the checked-in corpus, and random mutations of it. `MEDLYTT_FUZZ_SEED` and
//! `MEDLYTT_FUZZ_RUNS` (mutations for each target) change what is tried, `MEDLYTT_FUZZ_SECONDS` goes on for so long; a
//! failure prints what it was fed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "how long to go on is asked of the real clock")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use fuzzing::{Body, TARGETS};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const SEED: u64 = 20_261_124;
/// Mutations of a target in an ordinary run: some seconds in all.
const RUNS: u64 = 1_000;
/// Bytes of a mutated input at most.
const BYTES_MAX: usize = 8_192;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{} is empty", folder.display());
    found
}

/// Runs one input; a failure is named so that it can be put into the corpus.
fn feed(target: &str, body: Body, name: &str, data: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(data))) {
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("{target}: {name} fails; its bytes: {hex}\n{}", String::from_utf8_lossy(data));
        std::panic::resume_unwind(panic);
    }
}

fn mutated(random: &mut StdRng, corpus: &[(String, Vec<u8>)]) -> Vec<u8> {
    let pick = |random: &mut StdRng| &corpus[random.random_range(0..corpus.len())].1;
    let mut data = pick(random).clone();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=data.len());
        match random.random_range(0..8) {
            0 if at < data.len() => data[at] = random.random(),
            1 if at < data.len() => data[at] ^= 1 << random.random_range(0..8),
            2 => data.truncate(at.max(1)),
            3 => data.insert(at, *b"\r\n\t \"<>;,:=@/[]%\0\x7f\xff0"[..].get(random.random_range(0..22)).unwrap_or(&0)),
            4 if at < data.len() => drop(data.drain(at..(at + random.random_range(1..20)).min(data.len()))),
            5 => data.extend_from_within(at..),
            6 => {
                let other = pick(random).clone();
                let from = random.random_range(0..=other.len());
                data.splice(at.., other[from..].iter().copied());
            }
            _ => {
                let other = pick(random).clone();
                let from = random.random_range(0..=other.len());
                let to = (from + random.random_range(0..80)).min(other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
        }
        data.truncate(BYTES_MAX);
    }
    data
}

fn try_target(wanted: &str) {
    let (name, body) = TARGETS.into_iter().find(|(name, _)| *name == wanted).unwrap();
    let corpus = corpus(name);
    for (file, data) in &corpus {
        feed(name, body, file, data);
    }
    let (seed, runs) = (setting("MEDLYTT_FUZZ_SEED", SEED), setting("MEDLYTT_FUZZ_RUNS", RUNS));
    println!("{name}: MEDLYTT_FUZZ_SEED={seed} MEDLYTT_FUZZ_RUNS={runs}");
    let mut random = StdRng::seed_from_u64(seed);
    let (until, mut run) = (Instant::now() + Duration::from_secs(setting("MEDLYTT_FUZZ_SECONDS", 0)), 0);
    while run < runs || Instant::now() < until {
        feed(name, body, &format!("seed {seed} run {run}"), &mutated(&mut random, &corpus));
        run += 1;
    }
    println!("{name}: {run} mutations");
}

#[test]
fn message() {
    try_target("message");
}

#[test]
fn stream() {
    try_target("stream");
}

#[test]
fn sdp() {
    try_target("sdp");
}

#[test]
fn rtp() {
    try_target("rtp");
}

#[test]
fn rtcp() {
    try_target("rtcp");
}

#[test]
fn srtp() {
    try_target("srtp");
}

#[test]
fn decoder() {
    try_target("decoder");
}

#[test]
fn store_record() {
    try_target("store_record");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", fuzzing::store_record::path().display()));
    }
}

#[test]
fn engine_ops() {
    try_target("engine_ops");
}

#[test]
fn every_target_has_its_corpus_and_its_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, _) in TARGETS {
        assert!(!corpus(name).is_empty());
        let target = root.join(format!("../../fuzz/fuzz_targets/{name}.rs"));
        assert!(target.exists(), "{} is missing", target.display());
    }
}
