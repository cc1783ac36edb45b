//! Positions and lengths of audio, whatever its rate: in samples of 48 kHz, which all rates here divide.

use std::time::{Duration, Instant};

use crate::codec::Rate;

/// 48 a millisecond.
pub(super) type Units = i64;

/// A millisecond.
pub(super) const MS: Units = 48;
/// 20 ms: what a tick reads, and the step in which a delay costs anything. See [`super::delay`].
pub(super) const FRAME: Units = 20 * MS;

/// How many units a sample has.
pub(super) const fn scale(rate: Rate) -> Units {
    48_000 / rate.hertz() as Units
}

/// Whole samples of a rate.
pub(super) fn samples(units: Units, rate: Rate) -> usize {
    usize::try_from(units / scale(rate)).unwrap_or(0)
}

/// Samples of a rate, in units.
pub(super) fn units(samples: usize, rate: Rate) -> Units {
    samples as Units * scale(rate)
}

/// From one instant to a later one; negative if that has passed. Within ten minutes: nothing here lasts longer.
pub(super) fn between(from: Instant, to: Instant) -> Units {
    match to.checked_duration_since(from) {
        Some(ahead) => of(ahead),
        None => -of(from.saturating_duration_since(to)),
    }
}

pub(super) fn of(duration: Duration) -> Units {
    (duration.as_micros().min(600_000_000) as Units) * MS / 1000
}

pub(super) fn duration(units: Units) -> Duration {
    Duration::from_micros(units.clamp(0, 600_000 * MS) as u64 * 1000 / MS as u64)
}
