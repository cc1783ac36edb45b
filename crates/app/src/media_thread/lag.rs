//! How late a media thread is: the longest that a packet or a tick waited, and when the engine is told.

use std::time::{Duration, Instant};

/// Above these the engine is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LagLimits {
    /// No new forks.
    pub(crate) forks: Duration,
    /// No new calls.
    pub(crate) calls: Duration,
}

/// The maximum is taken over windows of this.
const WINDOW: Duration = Duration::from_millis(100);
/// So many windows, a second, have to be below a limit before the lag counts as below it.
const WINDOWS: usize = 10;

/// Upper bounds of the histogram, and one class above.
pub(crate) const BOUNDS: [Duration; 7] = [
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
];

/// Turns by their lag: one class for each of [`BOUNDS`], and what is above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    pub(crate) classes: [u64; BOUNDS.len() + 1],
    /// Of all turns.
    pub(crate) sum: Duration,
}

/// The lag of one thread.
#[derive(Debug)]
pub(super) struct Lag {
    limits: LagLimits,
    windows: [Duration; WINDOWS],
    window_at: usize,
    window_since: Instant,
    /// What the engine was told.
    told: Level,
    pub(super) histogram: Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Good,
    NoForks,
    NoCalls,
}

impl Lag {
    pub(super) fn new(now: Instant, limits: LagLimits) -> Self {
        Self {
            limits,
            windows: [Duration::ZERO; WINDOWS],
            window_at: 0,
            window_since: now,
            told: Level::Good,
            histogram: Histogram::default(),
        }
    }

    /// A turn has ended. The lag to tell the engine, if it passed a limit: upwards with the second late window, downwards
    /// after a calm second.
    pub(super) fn turn(&mut self, now: Instant, lag: Duration) -> Option<Duration> {
        let class = BOUNDS.iter().position(|bound| lag <= *bound).unwrap_or(BOUNDS.len());
        self.histogram.classes[class] += 1;
        self.histogram.sum += lag;
        self.roll(now);
        self.windows[self.window_at] = self.windows[self.window_at].max(lag);
        let lasting = self.lasting();
        let level = self.limits.level(lasting);
        (std::mem::replace(&mut self.told, level) != level).then_some(lasting)
    }

    /// The most within the last second.
    pub(super) fn max(&self) -> Duration {
        self.windows.iter().copied().max().unwrap_or_default()
    }

    /// The second most of the windows: one turn that was late is no load that lasts, and no reason to refuse anybody.
    fn lasting(&self) -> Duration {
        let (_, second) = self.windows.iter().fold((Duration::ZERO, Duration::ZERO), |(most, second), lag| {
            if *lag > most { (*lag, most) } else { (most, second.max(*lag)) }
        });
        second
    }

    /// The engine must hear that it is over although nothing may happen here.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        (self.told > Level::Good).then(|| self.window_since + WINDOW)
    }

    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.window_since).as_millis() / WINDOW.as_millis();
        for _ in 0..passed.min(WINDOWS as u128) {
            self.window_at = (self.window_at + 1) % WINDOWS;
            self.windows[self.window_at] = Duration::ZERO;
        }
        if passed > 0 {
            let whole = u32::try_from(passed).unwrap_or(u32::MAX);
            self.window_since += WINDOW.saturating_mul(whole);
        }
    }
}

impl LagLimits {
    fn level(self, lag: Duration) -> Level {
        match lag {
            lag if lag > self.calls => Level::NoCalls,
            lag if lag > self.forks => Level::NoForks,
            _ => Level::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LIMITS: LagLimits = LagLimits { forks: Duration::from_millis(5), calls: Duration::from_millis(20) };

    #[test]
    fn up_with_the_second_late_window_and_down_after_a_calm_second() {
        let start = Instant::now();
        let mut lag = Lag::new(start, LIMITS);
        assert_eq!(lag.turn(start + MS, MS), None);
        assert_eq!(lag.turn(start + 2 * MS, 30 * MS), None);
        assert_eq!(lag.turn(start + 3 * MS, 40 * MS), None, "one window");
        assert_eq!(lag.turn(start + 101 * MS, 6 * MS), Some(6 * MS));
        assert_eq!(lag.turn(start + 102 * MS, 7 * MS), None, "told already");
        assert_eq!(lag.turn(start + 201 * MS, 30 * MS), Some(30 * MS));
        assert_eq!(lag.wake_at(), Some(start + 300 * MS));
        assert_eq!(lag.turn(start + 999 * MS, MS), None, "not calm for long enough");
        assert_eq!(lag.turn(start + 1001 * MS, MS), Some(7 * MS), "one of the two is a second old");
        assert_eq!(lag.turn(start + 1101 * MS, MS), Some(MS));
        assert_eq!(lag.wake_at(), None);
    }

    #[test]
    fn one_late_turn_is_shown_and_refuses_nobody() {
        let start = Instant::now();
        let mut lag = Lag::new(start, LIMITS);
        assert_eq!(lag.turn(start, Duration::from_secs(10)), None);
        assert_eq!(lag.max(), Duration::from_secs(10));
        assert_eq!(lag.turn(start + 500 * MS, MS), None);
    }

    #[test]
    fn a_long_silence_is_calm() {
        let start = Instant::now();
        let mut lag = Lag::new(start, LIMITS);
        lag.turn(start, 50 * MS);
        assert_eq!(lag.turn(start + 100 * MS, 50 * MS), Some(50 * MS));
        assert_eq!(lag.turn(start + Duration::from_secs(7000), MS), Some(Duration::ZERO));
        assert_eq!(lag.max(), MS);
    }

    #[test]
    fn turns_are_sorted_into_classes() {
        let start = Instant::now();
        let mut lag = Lag::new(start, LIMITS);
        for one in [MS / 20, MS / 10, MS, 600 * MS] {
            lag.turn(start, one);
        }
        assert_eq!(lag.histogram.classes, [2, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!(lag.histogram.sum, 601 * MS + MS / 20 + MS / 10);
    }
}
