//! The supervisor's page: `web/` is built anew, and what is checked in for the binary must be the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::{root, run};

/// Where the build that the binary carries is checked in.
const BUILT: &str = "crates/api/page";

/// Types, unit tests and a build, compared with the checked-in one.
pub(crate) fn check() -> Result<(), String> {
    let fresh = std::env::temp_dir().join(format!("medlytt-page-{}", std::process::id()));
    let out = fresh.display().to_string();
    let result = npm(&["ci", "--no-audit", "--no-fund"])
        .and_then(|()| npm(&["test"]))
        .and_then(|()| npm(&["run", "build", "--", "--outDir", &out]))
        .and_then(|()| compare(&fresh));
    let _ = std::fs::remove_dir_all(&fresh);
    result
}

/// Builds into the place that is checked in.
pub(crate) fn build() -> Result<(), String> {
    npm(&["ci", "--no-audit", "--no-fund"])?;
    npm(&["run", "build"])
}

fn npm(arguments: &[&str]) -> Result<(), String> {
    run(Command::new("npm").current_dir(root().join("web")).args(arguments))
}

fn compare(fresh: &Path) -> Result<(), String> {
    let (fresh, built) = (files(fresh)?, files(&root().join(BUILT))?);
    let names = fresh.keys().chain(built.keys().filter(|name| !fresh.contains_key(*name)));
    let stale: Vec<&str> = names.filter(|name| fresh.get(*name) != built.get(*name)).map(String::as_str).collect();
    if stale.is_empty() {
        println!("xtask: {BUILT} is what web/ makes: {} files", built.len());
        return Ok(());
    }
    Err(format!("{BUILT} is not what web/ makes (run `cargo xtask page` and commit): {}", stale.join(", ")))
}

/// Content by path below a folder.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        let entries = std::fs::read_dir(&next).map_err(|error| format!("{}: {error}", next.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            found.insert(name, std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?);
        }
    }
    Ok(found)
}
