//! Where a voice may be cut or repeated unheard: after a whole number of its cycles. In pauses ([`crate::level`]), anywhere.

use super::queue::seam;
use crate::codec::Rate;

/// Shortest piece: 2.5 ms.
pub(super) const fn shortest(rate: Rate) -> usize {
    rate.frame() / 8
}

/// Longest piece: 15 ms, a cycle of the deepest voice (66 Hz). With a seam it is a frame.
pub(super) const fn longest(rate: Rate) -> usize {
    rate.frame() / 4 * 3
}

/// The lag at which the beginning is most like what follows it, and how like: 1 is the same, 0 not at all. At first
/// every sixth sample of 48 kHz is looked at, then each around the best.
pub(super) fn cycle(samples: &[i16], rate: Rate, most: usize) -> (usize, f32) {
    let most = most.min(longest(rate)).min(samples.len().saturating_sub(seam(rate)));
    let least = shortest(rate);
    if most < least {
        return (0, 0.0);
    }
    let coarse = rate.hertz() as usize / 8000;
    let best = best_of((least..=most).step_by(coarse), samples, rate, coarse);
    if coarse == 1 {
        return best;
    }
    let around = best.0.saturating_sub(coarse).max(least)..=(best.0 + coarse).min(most);
    best_of(around, samples, rate, 1)
}

fn best_of(lags: impl Iterator<Item = usize>, samples: &[i16], rate: Rate, step: usize) -> (usize, f32) {
    let likeness = |lag: usize| (lag, likeness(samples, lag, seam(rate), step));
    lags.map(likeness).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

/// Normalised cross-correlation, less where one is louder than the other.
fn likeness(samples: &[i16], lag: usize, length: usize, step: usize) -> f32 {
    let (mut product, mut one, mut other) = (0.0_f32, 1.0_f32, 1.0_f32);
    let pairs = samples.iter().zip(samples.iter().skip(lag)).take(length).step_by(step);
    for (a, b) in pairs {
        let (a, b) = (f32::from(*a), f32::from(*b));
        product += a * b;
        one += a * a;
        other += b * b;
    }
    product / one.max(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, rate: Rate, amplitude: f32) -> Vec<i16> {
        let step = hz * std::f32::consts::TAU / rate.hertz() as f32;
        (0..rate.frame()).map(|n| ((n as f32 * step).sin() * amplitude) as i16).collect()
    }

    #[test]
    fn a_voice_is_cut_after_its_cycles() {
        for rate in [Rate::Narrow, Rate::Wide, Rate::Full] {
            for hz in [80.0, 125.0, 200.0, 330.0] {
                let (lag, likeness) = cycle(&tone(hz, rate, 8000.0), rate, longest(rate));
                let cycles = lag as f32 * hz / rate.hertz() as f32;
                assert!((cycles - cycles.round()).abs() < 0.04, "{rate:?} {hz}: {cycles} cycles");
                assert!(likeness > 0.95, "{rate:?} {hz}: {likeness}");
            }
        }
    }

    #[test]
    fn too_little_is_left_alone() {
        assert_eq!(cycle(&[1; 100], Rate::Full, 720), (0, 0.0));
        assert_eq!(cycle(&[], Rate::Narrow, 120), (0, 0.0));
    }
}
