//! Resampler: from one of our rates to another, by a factor of 2, 3 or 6, as a polyphase FIR filter of linear phase.
//!
//! Pass band to 3.4 kHz where 8 kHz is one of the two, to 7 kHz between 16 and 48; images and aliases of it are more than
//! 60 dB down. Taps are 16-bit and sums 32-bit, so that the compiler makes vectors of them.

use std::sync::OnceLock;
use std::time::Duration;

use crate::codec::{MAX_FRAME, Rate};

/// Taps of a phase.
const TAPS: usize = 32;
/// Taps in all, of the largest factor.
const MAX_TAPS: usize = TAPS * 6;
/// Kaiser's parameter for some 65 dB.
const BETA: f64 = 6.2;

/// One stream's way from a rate to another. It remembers what it was fed, so frames join without a seam.
#[derive(Clone, Debug)]
pub struct Resampler {
    way: Way,
    /// What was fed last, as far back as the filter reaches.
    past: [i16; MAX_TAPS],
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Same,
    Up(&'static Filter),
    Down(&'static Filter),
}

/// A low-pass filter at the higher of the two rates.
#[derive(Debug)]
struct Filter {
    factor: usize,
    /// At which it runs.
    rate: Rate,
    /// By phases, each backwards: 2^14 is 1.
    up: Vec<[i16; TAPS]>,
    /// In one, backwards: 2^15 is 1.
    down: Vec<i16>,
}

impl Resampler {
    /// With silence before.
    #[must_use]
    pub fn new(from: Rate, to: Rate) -> Self {
        let way = if from == to {
            Way::Same
        } else if from < to {
            Way::Up(filter(from, to))
        } else {
            Way::Down(filter(to, from))
        };
        Self { way, past: [0; MAX_TAPS] }
    }

    /// The input's samples at the other rate; `out` is as much longer or shorter as the rates have it. Where it is not, or
    /// where the input is no whole number of output samples, what has no counterpart is left out.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) {
        match self.way {
            Way::Same => out.iter_mut().zip(input).for_each(|(to, from)| *to = *from),
            Way::Up(filter) => {
                for (input, out) in input.chunks(MAX_FRAME).zip(out.chunks_mut(MAX_FRAME * filter.factor)) {
                    filter.up(&mut self.past, input, out);
                }
            }
            Way::Down(filter) => {
                for (input, out) in input.chunks(MAX_FRAME).zip(out.chunks_mut(MAX_FRAME / filter.factor)) {
                    filter.down(&mut self.past, input, out);
                }
            }
        }
    }

    /// Silence before, as at the beginning.
    pub fn reset(&mut self) {
        self.past.fill(0);
    }

    /// By how much what comes out is later than what went in: 1 ms between 16 and 48 kHz, 2 ms otherwise.
    #[must_use]
    pub fn delay(&self) -> Duration {
        match self.way {
            Way::Same => Duration::ZERO,
            Way::Up(filter) | Way::Down(filter) => {
                let half_samples = (filter.factor * TAPS - 1) as u64;
                Duration::from_nanos(half_samples * 500_000_000 / u64::from(filter.rate.hertz()))
            }
        }
    }
}

impl Filter {
    fn new(low: Rate, high: Rate) -> Self {
        let factor = (high.hertz() / low.hertz()) as usize;
        let taps = low_pass(factor);
        let up = (0..factor).map(|phase| {
            std::array::from_fn(|n| (taps[phase + (TAPS - 1 - n) * factor] * factor as f64 * 16_384.0).round() as i16)
        });
        let down = taps.iter().rev().map(|tap| (tap * 32_768.0).round() as i16);
        Self { factor, rate: high, up: up.collect(), down: down.collect() }
    }

    fn up(&self, past: &mut [i16; MAX_TAPS], input: &[i16], out: &mut [i16]) {
        let line = delay_line(past, TAPS, input);
        for (window, group) in line.windows(TAPS).skip(1).zip(out.chunks_exact_mut(self.factor)) {
            for (sample, taps) in group.iter_mut().zip(&self.up) {
                *sample = rounded(product(window, taps), 14);
            }
        }
        remember(past, input);
    }

    fn down(&self, past: &mut [i16; MAX_TAPS], input: &[i16], out: &mut [i16]) {
        let line = delay_line(past, self.down.len(), input);
        let windows = line.windows(self.down.len()).skip(self.factor).step_by(self.factor);
        for (window, sample) in windows.zip(out) {
            *sample = rounded(product(window, &self.down), 15);
        }
        remember(past, input);
    }
}

/// So much of the past, then the input.
struct Line {
    samples: [i16; MAX_TAPS + MAX_FRAME],
    length: usize,
}

impl std::ops::Deref for Line {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.samples[..self.length]
    }
}

fn delay_line(past: &[i16; MAX_TAPS], reach: usize, input: &[i16]) -> Line {
    let mut line = Line { samples: [0; MAX_TAPS + MAX_FRAME], length: reach + input.len() };
    line.samples[..reach].copy_from_slice(&past[MAX_TAPS - reach..]);
    line.samples[reach..reach + input.len()].copy_from_slice(input);
    line
}

fn remember(past: &mut [i16; MAX_TAPS], input: &[i16]) {
    let kept = input.len().min(MAX_TAPS);
    past.copy_within(kept.., 0);
    past[MAX_TAPS - kept..].copy_from_slice(&input[input.len() - kept..]);
}

fn product(samples: &[i16], taps: &[i16]) -> i32 {
    samples.iter().zip(taps).map(|(sample, tap)| i32::from(*sample) * i32::from(*tap)).sum()
}

fn rounded(sum: i32, bits: u32) -> i16 {
    ((sum + (1 << (bits - 1))) >> bits).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// The three that there are, made once.
fn filter(low: Rate, high: Rate) -> &'static Filter {
    static FILTERS: [OnceLock<Filter>; 3] = [const { OnceLock::new() }; 3];
    let which = match (low, high) {
        (Rate::Narrow, Rate::Wide) => 0,
        (Rate::Narrow, _) => 1,
        _ => 2,
    };
    FILTERS[which].get_or_init(|| Filter::new(low, high))
}

/// A sinc that passes half of the lower rate, in Kaiser's window; its taps sum up to 1.
fn low_pass(factor: usize) -> Vec<f64> {
    let length = factor * TAPS;
    let middle = (length - 1) as f64 / 2.0;
    let taps = (0..length).map(|n| {
        let at = n as f64 - middle;
        let phase = std::f64::consts::PI * at / factor as f64;
        let across = at / (middle + 0.5);
        let sinc = if at == 0.0 { 1.0 } else { phase.sin() / phase };
        sinc * bessel(BETA * (1.0 - across * across).sqrt()) / bessel(BETA)
    });
    let taps: Vec<f64> = taps.collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / sum).collect()
}

/// The modified Bessel function of the first kind and order zero.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..40 {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [(Rate, Rate); 6] = [
        (Rate::Narrow, Rate::Wide),
        (Rate::Narrow, Rate::Full),
        (Rate::Wide, Rate::Full),
        (Rate::Wide, Rate::Narrow),
        (Rate::Full, Rate::Narrow),
        (Rate::Full, Rate::Wide),
    ];

    fn sine(rate: Rate, hertz: f64, amplitude: f64, samples: usize) -> Vec<i16> {
        let step = 2.0 * std::f64::consts::PI * hertz / f64::from(rate.hertz());
        (0..samples).map(|n| ((n as f64 * step).sin() * amplitude).round() as i16).collect()
    }

    fn resampled(from: Rate, to: Rate, input: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut out = vec![0; input.len() / from.frame() * to.frame()];
        for (input, out) in input.chunks(from.frame()).zip(out.chunks_mut(to.frame())) {
            resampler.process(input, out);
        }
        out
    }

    /// Amplitude at a frequency, through a Hann window: ten frames, the first two left out.
    fn amplitude(rate: Rate, samples: &[i16], hertz: f64) -> f64 {
        let samples = &samples[2 * rate.frame()..];
        let (mut re, mut im, mut sum) = (0.0, 0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let window = (std::f64::consts::PI * n as f64 / samples.len() as f64).sin().powi(2);
            let phase = 2.0 * std::f64::consts::PI * hertz * n as f64 / f64::from(rate.hertz());
            re += f64::from(*sample) * window * phase.cos();
            im += f64::from(*sample) * window * phase.sin();
            sum += window;
        }
        2.0 * (re * re + im * im).sqrt() / sum
    }

    fn decibels(ratio: f64) -> f64 {
        20.0 * ratio.max(1e-9).log10()
    }

    #[test]
    fn the_pass_band_is_flat_within_half_a_decibel() {
        for (from, to) in WAYS {
            let edge = if from.min(to) == Rate::Narrow { 3_400 } else { 7_000 };
            for hertz in (100..=edge).step_by(100).map(f64::from) {
                let out = resampled(from, to, &sine(from, hertz, 10_000.0, 10 * from.frame()));
                let gain = decibels(amplitude(to, &out, hertz) / 10_000.0);
                assert!(gain.abs() < 0.5, "{from:?} to {to:?}: {hertz} Hz by {gain:.2} dB");
            }
        }
    }

    #[test]
    fn images_and_aliases_are_60_decibels_down() {
        for (from, to) in WAYS {
            let (low, edge) = if from.min(to) == Rate::Narrow { (8_000.0, 3_400) } else { (16_000.0, 7_000) };
            for hertz in (200..=edge).step_by(200).map(f64::from) {
                // Up: the image of what was said. Down: what would fall onto `hertz`.
                let (said, unwanted) = if from < to { (hertz, low - hertz) } else { (low - hertz, hertz) };
                let out = resampled(from, to, &sine(from, said, 20_000.0, 10 * from.frame()));
                let level = decibels(amplitude(to, &out, unwanted) / 20_000.0);
                assert!(level < -60.0, "{from:?} to {to:?}: {said} Hz is at {unwanted} Hz with {level:.1} dB");
            }
        }
    }

    #[test]
    fn frames_join_without_a_seam() {
        for (from, to) in WAYS {
            let input = sine(from, 1_000.0, 20_000.0, 10 * from.frame());
            let framed = resampled(from, to, &input);
            let mut whole = vec![0; framed.len()];
            let mut resampler = Resampler::new(from, to);
            let (half, half_out) = (5 * from.frame(), 5 * to.frame());
            resampler.process(&input[..half], &mut whole[..half_out]);
            resampler.process(&input[half..], &mut whole[half_out..]);
            assert_eq!(framed, whole, "{from:?} to {to:?}");
        }
    }

    #[test]
    fn it_is_late_by_what_it_says() {
        for (from, to) in WAYS {
            let mut input = vec![0; 4 * from.frame()];
            input[2 * from.frame()..].fill(10_000);
            let out = resampled(from, to, &input);
            let crossing = out.iter().position(|sample| *sample >= 5_000).unwrap() as f64 / f64::from(to.hertz());
            let delay = Resampler::new(from, to).delay().as_secs_f64();
            let off = crossing - 0.04 - delay;
            assert!(off.abs() < 1.0 / f64::from(from.min(to).hertz()), "{from:?} to {to:?}: {off}");
            assert!(delay < 0.002);
        }
    }

    #[test]
    fn equal_rates_change_nothing() {
        let input = sine(Rate::Wide, 5_000.0, 32_000.0, 320);
        assert_eq!(resampled(Rate::Wide, Rate::Wide, &input), input);
    }

    #[test]
    fn full_scale_clips_instead_of_wrapping() {
        for (from, to) in WAYS {
            let square: Vec<i16> =
                (0..4 * from.frame()).map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
            let out = resampled(from, to, &square);
            let jumps = out.windows(2).filter(|pair| i32::from(pair[0]) * i32::from(pair[1]) < -0x2000_0000).count();
            assert!(jumps <= 4 * from.frame() / 40, "{from:?} to {to:?}: {jumps}");
        }
    }

    #[test]
    fn odd_lengths_are_taken() {
        for (from, to) in WAYS {
            let mut resampler = Resampler::new(from, to);
            for (input, out) in [(0, 0), (1, 1), (7, 100), (960, 5_760), (2_000, 3), (3, 2_000)] {
                resampler.process(&vec![100; input], &mut vec![0; out]);
            }
        }
    }
}
