//! The process's monotonic clock, without the time for which it was stopped.
//!
//! A process that is stopped (SIGSTOP, a debugger, a suspended virtual machine) and goes on ten seconds later has heard
//! nobody for ten seconds, but nobody was silent: what they said waits in the sockets. Were the clock to jump, every
//! deadline of those seconds would be over before the first packet is read: calls without RTP, listeners that answered
//! no OPTIONS, transactions, registrations. So that time is taken out. The process was stopped if a thread runs again
//! much later than it was to, and no other has run meanwhile; one thread alone that gets no CPU is merely late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long nobody ran who was to: stopped. Less is load.
const JUMP: Duration = Duration::from_secs(1);
/// That a thread runs is written down so often, for writing is dear where many threads read.
const NOTED_EVERY: Duration = Duration::from_millis(10);

/// A clock that all threads share: its instants may go from one to another.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    /// Nanoseconds that were taken out.
    stopped: AtomicU64,
    /// When any thread last ran, in nanoseconds of this clock since the origin.
    ran: AtomicU64,
    stops: AtomicU64,
    /// One thread at a time takes time out.
    taking: Mutex<()>,
    /// Tests stop nothing but make the system's clock go on.
    #[cfg(test)]
    ahead: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            origin: Instant::now(),
            stopped: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            taking: Mutex::new(()),
            #[cfg(test)]
            ahead: AtomicU64::new(0),
        }))
    }

    /// The time.
    pub(crate) fn now(&self) -> Instant {
        let now = self.system_now();
        // Never more than has passed since the origin.
        now.checked_sub(self.stopped()).unwrap_or(now)
    }

    /// The system's time, which goes on while the process is stopped.
    pub(crate) fn system_now(&self) -> Instant {
        let now = Instant::now();
        #[cfg(test)]
        let now = now + Duration::from_nanos(self.0.ahead.load(Ordering::Relaxed));
        now
    }

    /// An instant of this clock as the system's.
    pub(crate) fn system(&self, here: Instant) -> Instant {
        here + self.stopped()
    }

    /// The calling thread was to run again at `due` at the latest, and runs now. If the process was stopped, that time is
    /// taken out and returned: to the first thread that asks.
    pub(crate) fn ran(&self, due: Instant) -> Option<Duration> {
        let stopped = (self.late(due) >= JUMP).then(|| self.take_out(due)).flatten();
        let (now, ran) = (self.now(), self.ran_at());
        if now.saturating_duration_since(ran) >= NOTED_EVERY {
            self.note(now);
        }
        stopped
    }

    /// How often the process was stopped.
    pub(crate) fn stops(&self) -> u64 {
        self.0.stops.load(Ordering::Relaxed)
    }

    fn take_out(&self, due: Instant) -> Option<Duration> {
        let _alone = self.0.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let late = self.late(due);
        if late < JUMP {
            return None;
        }
        self.0.stopped.fetch_add(nanos(late), Ordering::Relaxed);
        self.0.stops.fetch_add(1, Ordering::Relaxed);
        self.note(self.now());
        tracing::warn!(stopped = ?late, "the process was stopped, or had no CPU: no timer has run meanwhile");
        Some(late)
    }

    fn late(&self, due: Instant) -> Duration {
        self.now().saturating_duration_since(due.max(self.ran_at()))
    }

    fn ran_at(&self) -> Instant {
        self.0.origin + Duration::from_nanos(self.0.ran.load(Ordering::Relaxed))
    }

    fn note(&self, now: Instant) {
        self.0.ran.store(nanos(now.saturating_duration_since(self.0.origin)), Ordering::Relaxed);
    }

    fn stopped(&self) -> Duration {
        Duration::from_nanos(self.0.stopped.load(Ordering::Relaxed))
    }

    /// As if the process had been stopped for so long.
    #[cfg(test)]
    pub(crate) fn stop_for(&self, time: Duration) {
        self.0.ahead.fetch_add(nanos(time), Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn a_stop_is_taken_out_once_and_for_all_threads() {
        let clock = Clock::new();
        let (before, other) = (clock.now(), clock.clone());
        assert_eq!(clock.ran(before), None);
        clock.stop_for(LONG);
        let due = before + Duration::from_millis(100);
        let out = clock.ran(due).unwrap();
        assert!(out >= LONG - 2 * JUMP && out <= LONG, "{out:?}");
        assert!(other.now() < before + JUMP);
        assert_eq!((other.ran(before), other.stops()), (None, 1), "it is taken out once");
        assert!(clock.system(clock.now()) >= before + LONG - JUMP, "the system's clock went on");
    }

    #[test]
    fn a_delay_is_not_taken_out() {
        let clock = Clock::new();
        let due = clock.now();
        clock.stop_for(JUMP / 2);
        assert_eq!(clock.ran(due), None);
        assert!(clock.now() >= due + JUMP / 2);
    }

    #[test]
    fn a_thread_alone_is_late_and_not_stopped() {
        let one = Clock::new();
        let due = one.now();
        for _ in 0..20 {
            one.stop_for(JUMP / 2);
            assert_eq!(one.clone().ran(one.now()), None, "another thread runs all the time");
        }
        assert_eq!(one.ran(due), None);
        assert!(one.now() >= due + LONG);
    }

    #[test]
    fn who_waits_for_long_was_not_to_run() {
        let clock = Clock::new();
        clock.stop_for(LONG);
        assert_eq!(clock.ran(clock.now() + JUMP), None);
    }
}
