//! Limiter of one channel: no sum clips, and what is not too loud stays as it was, bit for bit.
//!
//! It turns the gain, not the wave: within a frame it looks 2.5 ms ahead, holds for as long as peaks come back at the
//! pace of a low voice, and gives up slowly. So two loud voices are a little quieter together instead of distorted.

/// Parts of a frame that have a gain each at their end: 2.5 ms.
const BLOCKS: usize = 8;
/// Full scale. A lone voice at it is let through.
const CEILING: f32 = 32_768.0;
/// Blocks before the gain rises again: 100 ms.
const HOLD: u32 = 40;
/// Of what is missing, so much comes back each block: a time constant of 300 ms.
const RELEASE: f32 = 0.0083;
/// A peak at a frame's very beginning was not foreseen: the gain falls within so much of the block.
const ATTACK: usize = 4;
/// Gain above which it is 1.
const WHOLE: f32 = 0.9995;

/// One channel's gain, from frame to frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limiter {
    gain: f32,
    hold: u32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0, hold: 0 }
    }
}

impl Limiter {
    /// One frame: every `stride`th sample from the first.
    pub(super) fn limit(&mut self, frame: &mut [f32], stride: usize) {
        let length = frame.len().div_ceil(BLOCKS * stride) * stride;
        let mut needed = [1.0_f32; BLOCKS + 1];
        for (needed, block) in needed.iter_mut().zip(frame.chunks(length)) {
            let peak = block.iter().step_by(stride).fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            *needed = if peak > CEILING { CEILING / peak } else { 1.0 };
        }
        if self.gain >= 1.0 && needed.iter().all(|needed| *needed >= 1.0) {
            return;
        }
        needed[BLOCKS] = needed[BLOCKS - 1];
        for (block, ahead) in frame.chunks_mut(length).zip(needed.windows(2)) {
            let (before, is_sudden) = (self.gain, ahead[0] < self.gain);
            self.follow(ahead[0].min(ahead[1]));
            let ramp = block.len().div_ceil(stride) / if is_sudden { ATTACK } else { 1 };
            let step = (self.gain - before) / ramp.max(1) as f32;
            for (n, sample) in block.iter_mut().step_by(stride).enumerate() {
                *sample *= if n < ramp { before + step * (n + 1) as f32 } else { self.gain };
            }
        }
    }

    fn follow(&mut self, wanted: f32) {
        if wanted <= self.gain {
            self.gain = wanted;
            self.hold = HOLD;
        } else if self.hold > 0 {
            self.hold -= 1;
        } else {
            let gain = self.gain + (1.0 - self.gain) * RELEASE;
            self.gain = if gain > WHOLE { 1.0 } else { gain }.min(wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f32 = 8_000.0;

    /// So many frames of a sum of tones, limited.
    fn limited(tones: &[(f32, f32)], frames: usize) -> Vec<f32> {
        let mut limiter = Limiter::default();
        let wave = |n: usize| {
            let angle = std::f32::consts::TAU * n as f32 / RATE;
            tones.iter().map(|(hz, amplitude)| (angle * hz).sin() * amplitude).sum::<f32>()
        };
        let mut samples: Vec<f32> = (0..frames * 160).map(wave).collect();
        samples.chunks_mut(160).for_each(|frame| limiter.limit(frame, 1));
        samples
    }

    /// Power of all but these tones, against theirs, in decibels; a second of samples.
    fn distortion_db(samples: &[f32], tones: &[f32]) -> f64 {
        let mut rest: Vec<f64> = samples.iter().map(|sample| f64::from(*sample)).collect();
        let whole: f64 = rest.iter().map(|s| s * s).sum();
        for hz in tones {
            let angle = |n: usize| std::f64::consts::TAU * f64::from(*hz) * n as f64 / f64::from(RATE);
            for part in [f64::sin, f64::cos] {
                let share = rest.iter().enumerate().map(|(n, s)| s * part(angle(n))).sum::<f64>() * 2.0;
                let share = share / samples.len() as f64;
                rest.iter_mut().enumerate().for_each(|(n, s)| *s -= share * part(angle(n)));
            }
        }
        10.0 * (rest.iter().map(|s| s * s).sum::<f64>() / whole).log10()
    }

    #[test]
    fn a_full_scale_voice_is_not_touched() {
        for tones in [&[(440.0, 32_767.0)][..], &[(440.0, 16_000.0), (1000.0, 16_700.0)]] {
            let frames = limited(tones, 20);
            let mut same = Limiter::default();
            assert!(frames.iter().all(|sample| sample.abs() <= 32_768.0));
            let mut again = frames.clone();
            again.chunks_mut(160).for_each(|frame| same.limit(frame, 1));
            assert_eq!(frames, again);
            assert_eq!(same.gain, 1.0);
        }
    }

    #[test]
    fn two_voices_at_3_db_below_full_scale_are_not_distorted() {
        let tones = [(440.0, 23_170.0), (1000.0, 23_170.0)];
        let samples = limited(&tones, 100);
        let worst = samples.iter().fold(0.0_f32, |worst, sample| worst.max(sample.abs()));
        assert!((30_000.0..=33_500.0).contains(&worst), "{worst}");
        let distortion = distortion_db(&samples[8_000..], &[440.0, 1000.0]);
        assert!(distortion < -50.0, "{distortion} dB");
    }

    #[test]
    fn after_the_loud_moment_the_gain_comes_back_slowly() {
        let mut limiter = Limiter::default();
        limiter.limit(&mut [60_000.0; 160], 1);
        assert!(limiter.gain < 0.55);
        let mut gains = Vec::new();
        for _ in 0..150 {
            limiter.limit(&mut [1_000.0; 160], 1);
            gains.push(limiter.gain);
        }
        assert!(gains[4] < 0.6, "held: {}", gains[4]);
        assert!(gains.windows(2).all(|pair| pair[1] - pair[0] < 0.04), "no jump");
        assert_eq!(gains[149], 1.0, "and whole after three seconds");
    }

    #[test]
    fn a_sudden_peak_neither_clips_for_long_nor_steps() {
        let mut limiter = Limiter::default();
        let mut frame: [f32; 160] = std::array::from_fn(|n| if n < 100 { 1_000.0 } else { 50_000.0 });
        limiter.limit(&mut frame, 1);
        assert!(frame.iter().all(|sample| *sample <= 32_770.0), "seen 2.5 ms ahead");
        let mut first = [50_000.0_f32; 160];
        Limiter::default().limit(&mut first, 1);
        assert_eq!(first.iter().filter(|sample| **sample > 32_770.0).count(), 4, "half a millisecond at most");
    }

    #[test]
    fn channels_are_limited_apart() {
        let mut frame: [f32; 320] = std::array::from_fn(|n| if n % 2 == 0 { 60_000.0 } else { 500.0 });
        Limiter::default().limit(&mut frame, 2);
        assert!(frame[319] == 500.0 && frame[318] <= 32_770.0, "{:?}", &frame[316..]);
    }
}
