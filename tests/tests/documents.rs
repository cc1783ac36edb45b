//! The pages keep their word: what docs/security.md names as a proof is a test of this tree, and links lead somewhere.
#![allow(clippy::unwrap_used, reason = "a page that cannot be read is a page that fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files below a folder with this ending, but what is built or not ours.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// Names of all functions of the tree.
fn functions() -> BTreeSet<String> {
    let mut sources = Vec::new();
    files(&root(), ".rs", &mut sources);
    let mut names = BTreeSet::new();
    for source in sources {
        for line in fs::read_to_string(source).unwrap().lines() {
            let Some((_, rest)) = line.split_once("fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            names.insert(name);
        }
    }
    names
}

/// The tests that a page names: words in back ticks of the last column of its tables that look like a function.
fn named(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let proofs = rows.filter_map(|row| row.trim_end_matches(['|', ' ']).rsplit('|').next());
    let words = proofs.flat_map(|proof| proof.split('`').skip(1).step_by(2));
    let is_name = |word: &&str| word.contains('_') && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    words.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn every_proof_of_the_security_page_is_a_test() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 40, "the page names {} tests only", named.len());
    let known = functions();
    let missing: Vec<&String> = named.difference(&known).collect();
    assert!(missing.is_empty(), "docs/security.md names tests that do not exist: {missing:?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = Vec::new();
    files(&root(), ".md", &mut pages);
    let mut dead = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            if !page.parent().unwrap().join(file).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links: {dead:#?}");
}
