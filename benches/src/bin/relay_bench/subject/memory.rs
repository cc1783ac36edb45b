//! Memory of N calls that are up and speak: the process's own, and what the kernel keeps for its sockets.

use super::Stage;
use crate::device::{descriptors, kernel_sockets_kb, resident_kb};
use crate::peer::{self, Capacity, Name};
use crate::results::{Results, details};
use crate::setting::Setting;

const COLUMNS: &[&str] =
    &["idle kB", "calls up kB", "after RTP kB", "own kB per call", "kernel kB per call", "descriptors"];

pub(crate) fn run(setting: &Setting, peers: &[Name], calls: usize) -> Result<(), String> {
    let mut results = Results::new("memory", COLUMNS)?;
    for _ in 0..setting.repeat {
        for name in peers.iter().filter(|name| !matches!(name, Name::Bare | Name::BareRing | Name::Direct)) {
            let peer = peer::start(*name, setting, &Capacity { calls, listeners: 0 })?;
            let pid = peer.pid().ok_or("a peer without a process has no memory")?;
            let (idle, kernel) = (resident_kb(pid), kernel_sockets_kb());
            let stage = Stage::with(peer, setting, calls)?;
            let up = resident_kb(pid);
            let measured = stage.trial(setting, calls)?;
            let spoken = resident_kb(pid);
            let kernel =
                kernel.zip(kernel_sockets_kb()).map_or(f64::NAN, |(before, after)| after as f64 - before as f64);
            let per_call = |kb: f64| kb / calls as f64;
            let figures = [
                idle as f64,
                up as f64,
                spoken as f64,
                per_call(spoken as f64 - idle as f64),
                per_call(kernel),
                descriptors(pid) as f64,
            ];
            results.add(stage.peer.name(), &format!("{calls} calls"), &figures, &details(&measured));
        }
    }
    results.print();
    Ok(())
}
