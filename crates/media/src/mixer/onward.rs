//! How a sound would have gone on: linear prediction by Burg's method, for the few milliseconds in which one sound fades
//! into another. An ADPCM's predictor follows such an end as it followed the sound, where any bend would be a click.

use crate::codec::MAX_FRAME;

/// Samples of the past that the next one is told from.
const ORDER: usize = 32;
/// The power of rounding to whole numbers, a sample's; it keeps silence and pure tones from dividing by nothing.
const ROUNDING: f64 = 1.0 / 12.0;

/// Predicts one channel of interleaved samples onward from their end, as far as `out` reaches.
pub(super) fn onward(last: &[i16], channels: usize, channel: usize, out: &mut [f32]) {
    let mut past = [0.0; MAX_FRAME];
    let samples = last.iter().skip(channel).step_by(channels);
    let length = past.iter_mut().zip(samples).map(|(past, sample)| *past = f64::from(*sample)).count();
    let past = &past[..length];
    let coefficients = burg(past);
    let mut near = [0.0; ORDER];
    near.iter_mut().zip(past.iter().rev()).for_each(|(near, sample)| *near = *sample);
    for place in out {
        let next: f64 = near.iter().zip(&coefficients).map(|(sample, by)| sample * by).sum();
        near.copy_within(..ORDER - 1, 1);
        near[0] = next;
        *place = next as f32;
    }
}

/// What each of the last samples has of the next one, the latest first. All its reflections are below 1: it dies away.
fn burg(past: &[f64]) -> [f64; ORDER] {
    let (mut forward, mut backward) = ([0.0; MAX_FRAME], [0.0; MAX_FRAME]);
    forward[..past.len()].copy_from_slice(past);
    backward[..past.len()].copy_from_slice(past);
    let mut by = [0.0; ORDER];
    for order in 0..ORDER.min(past.len() / 2) {
        let (ahead, behind) = (&mut forward[order + 1..past.len()], &mut backward[order..past.len() - 1]);
        let (mut common, mut power) = (0.0, 0.0);
        for (f, b) in ahead.iter().zip(behind.iter()) {
            common += f * b;
            power += f * f + b * b;
        }
        let reflection = 2.0 * common / (power + ROUNDING * ahead.len() as f64);
        let before = by;
        by[order] = reflection;
        for n in 0..order {
            by[n] = before[n] - reflection * before[order - 1 - n];
        }
        for (f, b) in ahead.iter_mut().zip(behind.iter_mut()) {
            (*f, *b) = (*f - reflection * *b, *b - reflection * *f);
        }
        // The backward errors of this order lie one sample later.
        backward.copy_within(order..past.len() - 1, order + 1);
    }
    by
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_tones(n: usize) -> f32 {
        let at = n as f32 / 16_000.0 * std::f32::consts::TAU;
        6_000.0 * (350.0 * at).sin() + 6_000.0 * (600.0 * at).cos()
    }

    #[test]
    fn tones_go_on() {
        let last: Vec<i16> = (0..640).map(|n| if n % 2 == 0 { two_tones(n / 2) } else { 0.0 } as i16).collect();
        let (mut left, mut right) = ([0.0; 160], [0.0; 160]);
        onward(&last, 2, 0, &mut left);
        onward(&last, 2, 1, &mut right);
        for (n, told) in left.iter().take(40).enumerate() {
            let said = two_tones(320 + n);
            assert!((told - said).abs() < 600.0, "sample {n}: {told}, not {said}");
        }
        assert_eq!(right, [0.0; 160], "silence goes on as silence");
    }

    #[test]
    fn nothing_grows() {
        let loud: Vec<i16> = (0..320).map(|n| if n % 7 < 3 { i16::MAX } else { i16::MIN }).collect();
        let mut out = [0.0; 320];
        onward(&loud, 1, 0, &mut out);
        assert!(out.iter().all(|sample| sample.abs() < 120_000.0));
        onward(&loud[..3], 1, 0, &mut out);
        assert!(out.iter().all(|sample| sample.is_finite()));
    }
}
