//! `cargo xtask`: the project's own commands.
//!
//! `cargo xtask test` runs everything: unit tests, stories and the architecture test by `cargo test --workspace`, then the
//! interop tests against the release binary: SIPp, baresip, linphone, Chromium, generated clients, kills, floods, hostile input, a
//! disk that goes away, and ten calls through the relay's bench; and the page's own. It installs the programs that they need if it may, and says
//! so if it may not.
//! `durability` and `flood` are the long forms of two of them; `fuzz` goes on from where a part of the first ends, by coverage.

// Starts other programs and waits for them.
#![allow(clippy::disallowed_methods)]

mod fuzz;
mod page;
mod python;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The programs that the interop tests need, each with its Debian package; of several words: a command that succeeds where it is.
const TOOLS: [(&str, &str); 8] = [
    ("sipp", "sip-tester"),
    ("baresip", "baresip-core"),
    ("linphonec", "linphone-cli"),
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("curl", "curl"),
    ("jq", "jq"),
    ("python3 -m ensurepip --version", "python3-venv"),
];
/// Comes with some packages of Node, and by itself with Debian's.
const NPM: [(&str, &str); 1] = [("npm", "npm")];

const USAGE: &str = "\
cargo xtask test                       all tests: unit, stories, architecture, and those against the release binary
cargo xtask test --plain               the same without those against the release binary
cargo xtask interop [NAME]             those against the release binary alone, or what of them has NAME in its path
cargo xtask durability [--rounds N] [--seed N]   kill -9 under load, 200 times if not told otherwise
cargo xtask fuzz [--seconds N]         rtp, rtcp, srtp and decoder by libFuzzer, for a minute each if not told otherwise
cargo xtask page [--check]             builds web/ into crates/api/page, or tests it and whether what is there is fresh
cargo xtask flood [--seconds N]        50,000 packets a second of garbage, for a minute if not told otherwise";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["test"] => test(true),
        ["test", "--plain"] => test(false),
        ["interop"] => release_tests(&[], &[]),
        ["interop", name] => release_tests(&[name], &[]),
        ["durability", options @ ..] => long_form("durability::", options, [("--rounds", "200"), ("--seed", "1")]),
        ["fuzz"] => fuzz::fuzz("60"),
        ["fuzz", "--seconds", seconds] => fuzz::fuzz(seconds),
        ["page"] => page::build(),
        ["page", "--check"] => page::check(),
        ["flood", options @ ..] => long_form("flood::", options, [("--seconds", "60"), ("--seed", "7")]),
        _ => Err(format!("usage:\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn test(interop: bool) -> Result<(), String> {
    // First, so that a missing tool is known before ten minutes of building.
    let missing = if interop { [install(&TOOLS), install(&NPM)].concat() } else { Vec::new() };
    run(cargo().args(["test", "--workspace"]))?;
    if !interop {
        println!("xtask: the tests against the real binary were NOT run (--plain)");
        return Ok(());
    }
    if !missing.is_empty() {
        return Err(format!("the tests against the real binary were NOT run: {} missing", missing.join(" and ")));
    }
    page::check()?;
    release_tests(&[], &[])
}

/// One test for longer; its options are told by the environment (`MEDLYTT_ROUNDS=200`).
fn long_form(test: &str, options: &[&str], known: [(&str, &str); 2]) -> Result<(), String> {
    let mut given = known.to_vec();
    let (pairs, rest) = options.as_chunks::<2>();
    for [name, value] in pairs {
        let option = given.iter_mut().find(|(known, _)| known == name).ok_or_else(|| format!("usage:\n{USAGE}"))?;
        let _: u64 = value.parse().map_err(|_| format!("{name} takes a number"))?;
        option.1 = value;
    }
    if !rest.is_empty() {
        return Err(format!("usage:\n{USAGE}"));
    }
    release_tests(&[test, "--nocapture"], &given)
}

/// Builds the release binary and runs the interop tests against it, one after the other: they measure times.
fn release_tests(arguments: &[&str], settings: &[(&str, &str)]) -> Result<(), String> {
    run(cargo().args(["build", "--release", "--package", "medlytt-app"]))?;
    for folder in ["tests/browser", "tests/clients"] {
        run(Command::new("npm").current_dir(root().join(folder)).args(["ci", "--no-audit", "--no-fund"]))?;
    }
    let python = python::programs()?;
    let tests = [
        "test",
        "--package",
        "medlytt-stories",
        "--features",
        "interop",
        "--test",
        "interop",
        "--",
        "--test-threads=1",
    ];
    let settings = settings
        .iter()
        .map(|(name, value)| (format!("MEDLYTT_{}", name.trim_start_matches('-').to_uppercase()), (*value).to_owned()));
    let mut interop = cargo();
    interop
        .args(tests)
        .args(arguments)
        .envs(settings)
        .env("MEDLYTT_BIN", release_binary())
        .env("MEDLYTT_PYTHON", python);
    run(&mut interop)?;
    if !arguments.is_empty() {
        return Ok(());
    }
    let bench = ["test", "--package", "medlytt-benches", "--features", "interop", "--test", "smoke"];
    run(cargo().args(bench).env("MEDLYTT_BIN", release_binary()))
}

/// Installs what is missing and returns what still is.
fn install(tools: &[(&'static str, &'static str)]) -> Vec<&'static str> {
    let missing = || tools.iter().copied().filter(|(program, _)| !is_installed(program));
    let packages: Vec<&str> = missing().map(|(_, package)| package).collect();
    if packages.is_empty() {
        return packages;
    }
    if !(is_root() && is_installed("apt-get")) {
        eprintln!("xtask: {} must be installed by hand: this is not root on a Debian system", packages.join(" and "));
        return packages;
    }
    println!("xtask: installing {}", packages.join(" and "));
    let apt =
        |arguments: &[&str]| run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    let installed = apt(&["update", "--quiet"]).and_then(|()| {
        let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
        apt(&[&install[..], &packages].concat())
    });
    if let Err(message) = installed {
        eprintln!("xtask: {message}");
    }
    missing().map(|(_, package)| package).collect()
}

fn is_installed(program: &str) -> bool {
    if let Some((program, arguments)) = program.split_once(' ') {
        return Command::new(program).args(arguments.split(' ')).output().is_ok_and(|output| output.status.success());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

fn release_binary() -> PathBuf {
    target().join("release/medlytt")
}

/// Where builds go.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |target| root().join(target))
}

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

fn run(command: &mut Command) -> Result<(), String> {
    println!("xtask: {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", shown(command))),
        Err(error) => Err(format!("{}: {error}", shown(command))),
    }
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}
