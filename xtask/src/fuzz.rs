//! `cargo xtask fuzz`: what comes from the network to media, by libFuzzer with coverage.
//!
//! A stable compiler can do that: the instrumentation is an LLVM pass, and what is fuzzed has no `unsafe` of ours that a
//! sanitizer, which only a nightly compiler has, would watch. libFuzzer itself is C++. Where it cannot be built, the same
//! bodies are fed random mutations of their corpus, and that is said loudly.

use std::path::PathBuf;
use std::process::Command;

use crate::{cargo, install, root, run};

const TARGETS: [&str; 4] = ["rtp", "rtcp", "srtp", "decoder"];
/// What libFuzzer is compiled with, and its Debian package.
const COMPILER: [(&str, &str); 1] = [("c++", "g++")];
/// Those of cargo-fuzz, without a sanitizer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Each target for so long. What is new lands in `fuzz/corpus`, what fails in `fuzz/artifacts`.
pub(crate) fn fuzz(seconds: &str) -> Result<(), String> {
    let _: u64 = seconds.parse().map_err(|_| "--seconds takes a number".to_owned())?;
    match build() {
        Ok(folder) => TARGETS.iter().try_for_each(|target| cover(&folder.join(target), target, seconds)),
        Err(why) => {
            let line = "=".repeat(100);
            eprintln!(
                "{line}\nxtask: libFuzzer cannot be built: {why}\nxtask: fuzzing goes on WITHOUT COVERAGE\n{line}"
            );
            mutate(seconds)
        }
    }
}

/// Where the binaries are.
fn build() -> Result<PathBuf, String> {
    if !install(&COMPILER).is_empty() {
        return Err("there is no c++".to_owned());
    }
    // With a target named, build scripts and macros are spared the flags.
    let host = host()?;
    let folder = root().join("target/fuzz");
    run(cargo()
        .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml", "--no-default-features"])
        .args(TARGETS.iter().flat_map(|target| ["--bin", target]))
        .args(["--target", &host, "--target-dir"])
        .arg(&folder)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", COVERAGE))?;
    Ok(folder.join(host).join("release"))
}

fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).ok_or("rustc names no host".to_owned())
}

/// libFuzzer refuses to go on where the binary has no counters, so that it never runs blindly.
fn cover(program: &std::path::Path, target: &str, seconds: &str) -> Result<(), String> {
    let (corpus, artifacts) = (format!("fuzz/corpus/{target}"), format!("fuzz/artifacts/{target}/"));
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(root().join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    }
    run(Command::new(program)
        .current_dir(root())
        .args([&format!("-max_total_time={seconds}"), "-max_len=8192", "-timeout=10", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={artifacts}"))
        .args([&corpus, &format!("crates/fuzzing/corpus/{target}")]))
    .map_err(|message| format!("{message}; what failed is in {artifacts}, and belongs into crates/fuzzing/corpus"))
}

/// The seed is the clock's and is printed.
fn mutate(seconds: &str) -> Result<(), String> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    run(cargo()
        .args(["test", "--package", "medlytt-fuzzing", "--test", "corpus", "--", "--exact", "--nocapture"])
        .args(TARGETS)
        .env("MEDLYTT_FUZZ_SECONDS", seconds)
        .env("MEDLYTT_FUZZ_SEED", since.as_secs().to_string()))
}
