//! `epoll_wait` to the nanosecond: rounded to milliseconds it would be late by half of one, which a listener hears.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// The longest wait: what the kernel cannot count it takes for none.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// `epoll_pwait2` is missing (Linux before 5.11), or forbidden: then milliseconds have to do.
static COARSE: AtomicBool = AtomicBool::new(false);

/// Waits for events and replaces the last ones by them, as many as there is capacity for.
pub(crate) fn nap(epoll: impl AsFd, events: &mut Vec<epoll::Event>, timeout: Duration) -> Result<(), Errno> {
    events.clear();
    let timeout = timeout.min(LONGEST_WAIT);
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let whole = timeout.tv_nsec % 1_000_000 == 0;
    if !whole && !COARSE.load(Ordering::Relaxed) {
        match pwait2(epoll.as_fd(), events, &timeout) {
            Err(Errno::NOSYS | Errno::PERM) => COARSE.store(true, Ordering::Relaxed),
            result => return result,
        }
    }
    epoll::wait(epoll, rustix::buffer::spare_capacity(events), Some(&timeout)).map(drop)
}

fn pwait2(epoll: impl AsFd, events: &mut Vec<epoll::Event>, timeout: &Timespec) -> Result<(), Errno> {
    let room = events.spare_capacity_mut();
    // SAFETY: `room` is writable memory for `room.len()` events, which have the kernel's layout (`rustix` hands the
    // same pointer to the kernel); `timeout` is a `__kernel_timespec` that outlives the call; no signal mask.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_fd().as_raw_fd(),
            room.as_mut_ptr(),
            libc::c_int::try_from(room.len()).unwrap_or(libc::c_int::MAX),
            std::ptr::from_ref(timeout),
            std::ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    let count = usize::try_from(count)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))?;
    // SAFETY: the events vector was empty, and the kernel has written its first `count` events.
    unsafe { events.set_len(count) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_wait_of_a_fraction_of_a_millisecond_is_not_rounded_up() {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let mut events = Vec::with_capacity(1);
        // The best of many: others use this machine too. Rounded up, each would last a millisecond.
        let best = (0..50)
            .map(|_| {
                let start = Instant::now();
                nap(&epoll, &mut events, Duration::from_micros(300)).unwrap();
                start.elapsed()
            })
            .min()
            .unwrap();
        assert!(best >= Duration::from_micros(300), "{best:?}");
        assert!(best < Duration::from_micros(900) || COARSE.load(Ordering::Relaxed), "{best:?}");
        nap(&epoll, &mut events, Duration::ZERO).unwrap();
        assert!(events.is_empty());
    }
}
