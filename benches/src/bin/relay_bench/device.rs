//! The process that is measured: started on its core, asked for by `/proc`, killed when dropped.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

/// A running program.
#[derive(Debug)]
pub(crate) struct Device(Child);

impl Device {
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| format!("{}: {error}", command.get_program().display()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its standard output, where it was asked for.
    pub(crate) fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has used so far, or within a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu: Duration,
    /// The same of each, by name.
    pub(crate) threads: Vec<(String, Duration)>,
    /// How often a thread waited, and how often it was made to.
    pub(crate) switches: (u64, u64),
}

impl Usage {
    pub(crate) fn since(&self, before: &Self) -> Self {
        let earlier = |name: &str| before.threads.iter().find(|(n, _)| n == name).map_or(Duration::ZERO, |(_, t)| *t);
        let threads =
            self.threads.iter().map(|(name, time)| (name.clone(), time.saturating_sub(earlier(name)))).collect();
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            threads,
            switches: (
                self.switches.0.saturating_sub(before.switches.0),
                self.switches.1.saturating_sub(before.switches.1),
            ),
        }
    }
}

/// The scheduler's own account, in nanoseconds: ticks of 10 ms are too coarse for a trial of seconds.
pub(crate) fn usage(pid: u32) -> Usage {
    let mut usage = Usage::default();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return usage };
    for task in tasks.flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let time = read("schedstat")
            .split(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .map_or(Duration::ZERO, Duration::from_nanos);
        usage.cpu += time;
        let name = read("comm").trim().to_owned();
        match usage.threads.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += time,
            None => usage.threads.push((name, time)),
        }
        let status = read("status");
        usage.switches.0 += field(&status, "voluntary_ctxt_switches:");
        usage.switches.1 += field(&status, "nonvoluntary_ctxt_switches:");
    }
    usage
}

/// Resident memory in kB.
pub(crate) fn resident_kb(pid: u32) -> u64 {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default(), "VmRSS:")
}

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What all sockets of the system take of the kernel, in kB, without queued packets; `None` where it is not told (only
/// root may read it).
pub(crate) fn kernel_sockets_kb() -> Option<u64> {
    const CACHES: [&str; 8] =
        ["UDP", "UDPv6", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "ip_dst_cache"];
    let text = fs::read_to_string("/proc/slabinfo").ok()?;
    let bytes = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let active: u64 = words.next()?.parse().ok()?;
        let size: u64 = words.nth(1)?.parse().ok()?;
        CACHES.contains(&name).then_some(active * size)
    });
    Some(bytes.sum::<u64>() / 1024)
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
