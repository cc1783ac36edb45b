//! What a thread of sockets asks of the machine: a core of its own, and descriptors.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that this thread may run on, lowest first: what `taskset` or a container left of the machine.
///
/// # Errors
/// The machine has more cores than a set holds (1,024).
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Keeps this thread on one core; threads that it starts later inherit it.
///
/// # Errors
/// There is no such core, or it is not allowed.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the soft limit of open descriptors to the hard one, and returns what is in force then. A socket is one.
#[must_use]
pub fn descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let in_force = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    in_force.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_stays_on_its_core() {
        std::thread::spawn(|| {
            let cpu = *allowed_cpus().unwrap().last().unwrap();
            pin_to(cpu).unwrap();
            assert_eq!(allowed_cpus().unwrap(), [cpu]);
            assert!(pin_to(CpuSet::MAX_CPU).is_err());
            assert!(pin_to(CpuSet::MAX_CPU - 1).is_err());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_limit_of_descriptors_is_the_hard_one() {
        let limit = descriptor_limit();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), limit);
        assert_eq!(descriptor_limit(), limit);
    }
}
