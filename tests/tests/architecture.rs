//! The house stands as docs/ARCHITECTURE.md draws it: arrows between crates, floors inside signalling, cores without
//! clocks, sockets, threads and unseeded randomness. A wrong arrow fails with its file and line.
#![allow(clippy::unwrap_used, reason = "a house that cannot be read is a house that fails")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

/// Which of our crates each may depend on, tests included.
const ARROWS: [(&str, &[&str]); 10] = [
    ("signalling", &[]),
    ("media", &[]),
    ("engine", &["signalling", "media"]),
    ("phone", &["signalling", "media"]),
    ("store", &["engine"]),
    ("api", &["engine", "store"]),
    ("udp", &[]),
    ("app", &["signalling", "media", "engine", "store", "api", "phone", "udp"]),
    ("sim", &["signalling", "media", "engine", "store", "phone"]),
    ("fuzzing", &["signalling", "media", "engine", "store"]),
];

/// The sans-IO crates.
const CORES: [&str; 4] = ["signalling", "media", "engine", "phone"];

/// What brings IO, clocks, threads or randomness of its own.
const NOT_IN_CORES: [&str; 20] = [
    "async-nats",
    "async-std",
    "axum",
    "chrono",
    "crossbeam-channel",
    "fastrand",
    "getrandom",
    "hyper",
    "libc",
    "mio",
    "nix",
    "quinn",
    "rayon",
    "rusqlite",
    "rustix",
    "smol",
    "socket2",
    "time",
    "tokio",
    "ureq",
];

/// Floors of signalling, lowest first. A file may `use crate::` what is on its own floor or below.
const FLOORS: [&[&str]; 9] = [
    &["message", "transport"],
    &["sdp", "digest", "peers"],
    &["transaction", "registrar"],
    // What goes in and out is plain data that every floor above speaks.
    &["dialog", "interface"],
    &["session"],
    // A leg joins transaction, dialog and session; the door decides who gets one.
    &["leg", "ua", "invite", "admission"],
    &["b2bua", "outgoing", "orphan"],
    &["transfer"],
    &["core"],
];

/// Upward on purpose: the public type owns the core, and nothing else of it.
const UPWARD: [(&str, &str); 1] = [("interface", "core")];

/// The one package that may have `unsafe`, each block with its reason.
const WITH_UNSAFE: &str = "crates/udp";

/// What clippy.toml must go on banning.
const BANS: [&str; 9] = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "jiff::Timestamp::now",
    "tokio::spawn",
    "std::thread::spawn",
    "std::thread::sleep",
    "rand::rng",
    "rand::random",
    "std::net::UdpSocket::bind",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn toml(path: &Path) -> DocumentMut {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every dependency of a manifest, with its table's name.
fn dependencies(manifest: &DocumentMut) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut collect = |table: &str, item: Option<&Item>| {
        let names = item
            .and_then(Item::as_table_like)
            .into_iter()
            .flat_map(|table| table.iter().map(|(name, _)| name.to_owned()));
        found.extend(names.map(|name| (table.to_owned(), name)));
    };
    for table in ["dependencies", "dev-dependencies", "build-dependencies"] {
        collect(table, manifest.get(table));
        for (target, item) in manifest.get("target").and_then(Item::as_table_like).into_iter().flat_map(|t| t.iter()) {
            collect(&format!("target.{target}.{table}"), item.get(table));
        }
    }
    found
}

/// Every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn fail_with(wrong: Vec<String>) {
    let mut message = String::new();
    for line in &wrong {
        writeln!(message, "{line}").unwrap();
    }
    assert!(wrong.is_empty(), "\n{message}");
}

/// Line number and text of what is code, not comment.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn crates_depend_on_each_other_one_way() {
    let mut wrong = Vec::new();
    for (name, allowed) in ARROWS {
        let path = root().join("crates").join(name).join("Cargo.toml");
        for (table, dependency) in dependencies(&toml(&path)) {
            let ours = ARROWS.iter().any(|(other, _)| *other == dependency) || dependency.starts_with("medlytt-");
            if ours && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!(
                    "crates/{name}/Cargo.toml: [{table}] {dependency}: {name} may know {allowed:?} only"
                ));
            }
        }
    }
    fail_with(wrong);
}

#[test]
fn every_crate_has_its_place() {
    let members = toml(&root().join("Cargo.toml"));
    let members = members["workspace"]["members"].as_array().unwrap();
    let crates: Vec<&str> = members.iter().filter_map(|member| member.as_str()?.strip_prefix("crates/")).collect();
    let drawn: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for name in &crates {
        assert!(drawn.contains(name), "crates/{name} has no arrows: draw them in docs/ARCHITECTURE.md and here");
    }
    assert_eq!(crates.len(), drawn.len(), "a crate that is drawn is not in the workspace");
}

#[test]
fn cores_have_no_io_among_their_dependencies() {
    let mut wrong = Vec::new();
    for name in CORES {
        let path = root().join("crates").join(name).join("Cargo.toml");
        for (table, dependency) in dependencies(&toml(&path)) {
            if NOT_IN_CORES.contains(&dependency.as_str()) {
                wrong.push(format!("crates/{name}/Cargo.toml: [{table}] {dependency}: cores are sans-IO"));
            }
        }
    }
    fail_with(wrong);
}

#[test]
fn cores_read_no_clock_outside_their_tests() {
    let banned =
        ["Instant::now(", "SystemTime::now(", "Timestamp::now(", "thread::sleep(", "thread::spawn(", "rand::rng("];
    let mut wrong = Vec::new();
    for name in CORES {
        let folder = root().join("crates").join(name).join("src");
        for path in sources(&folder) {
            let relative = path.strip_prefix(root()).unwrap().display().to_string();
            if relative.contains("/tests") || relative.contains("/stories") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            // Tests are at the bottom.
            let tests =
                text.lines().position(|line| line.trim() == "#[cfg(test)]").map_or(usize::MAX, |index| index + 1);
            for (number, line) in code(&text).filter(|(number, _)| *number < tests) {
                if let Some(call) = banned.iter().find(|call| line.contains(**call)) {
                    wrong.push(format!("{relative}:{number}: {call}…): cores are told the time"));
                }
            }
        }
    }
    fail_with(wrong);
}

#[test]
fn signalling_keeps_its_floors() {
    let floor = |module: &str| FLOORS.iter().position(|modules| modules.contains(&module));
    let folder = root().join("crates/signalling/src");
    let mut wrong = Vec::new();
    for path in sources(&folder) {
        let inside = path.strip_prefix(&folder).unwrap();
        let module =
            inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if module == "lib" {
            continue;
        }
        let relative = path.strip_prefix(root()).unwrap().display().to_string();
        let Some(own) = floor(&module) else {
            wrong.push(format!("{relative}:1: `{module}` has no floor: give it one in docs/ARCHITECTURE.md and here"));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for (number, used) in used_modules(&text, inside) {
            let Some(other) = floor(&used) else { continue };
            if other > own && !UPWARD.contains(&(module.as_str(), used.as_str())) {
                wrong.push(format!(
                    "{relative}:{number}: `{module}` (floor {own}) uses `{used}` (floor {other}): arrows go down"
                ));
            }
        }
    }
    fail_with(wrong);
}

/// Every top-level module that a file names, with the line.
fn used_modules(text: &str, file: &Path) -> Vec<(usize, String)> {
    let is_top = file.components().count() == 1 || (file.components().count() == 2 && file.ends_with("mod.rs"));
    let mut found = Vec::new();
    for (number, line) in code(text) {
        for (at, _) in line.match_indices("crate::") {
            let name = line[at + "crate::".len()..].split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
            found.extend(name.filter(|name| !name.is_empty()).map(|name| (number, name.to_owned())));
        }
        if let Some(grouped) = line.trim().strip_prefix("use crate::{") {
            for part in grouped.split([',', '}', ';']) {
                found.push((number, part.trim().split("::").next().unwrap_or_default().to_owned()));
            }
        }
        // In a top-level file `super` is the crate; inside `mod tests` it is indented.
        if let Some(name) = line.strip_prefix("use super::").filter(|_| is_top) {
            found.push((number, name.split([':', ';']).next().unwrap_or_default().to_owned()));
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

#[test]
fn an_upward_use_is_seen() {
    let text = "use crate::message::uri::Uri;\n// crate::core is above\nuse crate::{dialog::Dialog, transfer};\nfn f() -> crate::core::Core {}\nuse super::b2bua::x;\n";
    let seen = used_modules(text, Path::new("session.rs"));
    let expected = [(1, "message"), (3, "dialog"), (3, "transfer"), (4, "core"), (5, "b2bua")];
    assert_eq!(seen, expected.map(|(line, name)| (line, name.to_owned())));
}

#[test]
fn every_package_inherits_the_lints() {
    let workspace = toml(&root().join("Cargo.toml"));
    let lints = &workspace["workspace"]["lints"];
    assert_eq!(lints["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for (group, lint) in [
        ("rust", "missing_docs"),
        ("rust", "unreachable_pub"),
        ("clippy", "disallowed_methods"),
        ("clippy", "unwrap_used"),
    ] {
        assert_eq!(lints[group][lint].as_str(), Some("warn"), "{group}::{lint}");
    }
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        let manifest = toml(&root().join(member).join("Cargo.toml"));
        if member == WITH_UNSAFE {
            let lints = &manifest["lints"];
            assert_eq!(lints["rust"]["unsafe_op_in_unsafe_fn"].as_str(), Some("deny"));
            assert_eq!(lints["clippy"]["undocumented_unsafe_blocks"].as_str(), Some("warn"));
            continue;
        }
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Item::as_bool);
        assert_eq!(inherits, Some(true), "{member}/Cargo.toml: [lints] workspace = true is missing");
    }
}

#[test]
fn clippy_bans_what_cores_may_not_call_each_with_its_reason() {
    let clippy = toml(&root().join("clippy.toml"));
    let bans = clippy["disallowed-methods"].as_array().unwrap();
    let mut paths = Vec::new();
    for ban in bans {
        let ban = ban.as_inline_table().unwrap();
        let path = ban["path"].as_str().unwrap();
        assert!(
            ban.get("reason").is_some_and(|reason| !reason.as_str().unwrap_or_default().is_empty()),
            "{path} has no reason"
        );
        paths.push(path);
    }
    for ban in BANS {
        assert!(paths.contains(&ban), "clippy.toml no longer bans {ban}");
    }
}
