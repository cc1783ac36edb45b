//! `medlytt audit verify`: whether the audit trail is as it was written. Reads, and works beside a running engine.

use std::path::Path;
use std::process::ExitCode;

use store::{AuditBreak, StoreError};

/// Looks through the trail of a store. `head` is one that was kept elsewhere.
pub(crate) fn verify(url: &str, head: Option<&str>) -> ExitCode {
    match look(url, head) {
        Ok((told, whole)) => {
            told.iter().for_each(|line| println!("{line}"));
            if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("medlytt: {url}: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What there is to say, and whether all is well.
fn look(url: &str, head: Option<&str>) -> Result<(Vec<String>, bool), String> {
    let in_words = |error: StoreError| error.to_string();
    // Opening would make an empty one, which has a trail without a fault.
    if url.strip_prefix("sqlite:").is_some_and(|path| path != ":memory:" && !Path::new(path).is_file()) {
        return Err("there is no such file".to_owned());
    }
    let store = store::open(url).map_err(in_words)?;
    let report = store.verify_audit().map_err(in_words)?;
    let mut told = vec![format!("entries: {}", report.entries), format!("head: {}", report.head)];
    if let Some(AuditBreak { seq, why }) = report.broken {
        let place = if seq == 0 { "the file".to_owned() } else { format!("entry {seq}") };
        told.push(format!("broken: {place}: {why}"));
        return Ok((told, false));
    }
    let Some(head) = head.map(str::trim) else { return Ok((told, true)) };
    let seq = if report.head.eq_ignore_ascii_case(head) {
        Some(report.entries)
    } else {
        store.audit_seq(head).map_err(in_words)?
    };
    told.push(match seq {
        Some(seq) => format!("kept head: entry {seq}"),
        None => "broken: the kept head is not in the trail: entries were cut off or written anew".to_owned(),
    });
    Ok((told, seq.is_some()))
}
