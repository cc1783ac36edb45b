//! DTMF in sound: a key's two frequencies by Goertzel's algorithm, within the limits of ITU-T Q.24.

/// Samples of a block at 8 kHz, two of which always run, the second half a block behind. A key is heard in a block if it
/// fills three quarters of it: at least five have the 40 ms that Q.24 asks to be taken, at most three the 23 ms that it
/// asks to be refused.
const BLOCK: usize = 102;
const KEYS: [[char; 4]; 4] = [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// What each frequency must have at least: a sine of -40 dBm0, its power in a block as Goertzel sums it.
const LEAST: f32 = (BLOCK as f32 * 164.0) * (BLOCK as f32 * 164.0) / 4.0;
/// Twist: the lower frequency may be stronger by 8 dB, the higher by 4 dB.
const LOW_STRONGER: f32 = 6.31;
const HIGH_STRONGER: f32 = 2.51;
/// By how much each is stronger than others of its group: 8 dB.
const ABOVE_OTHERS: f32 = 6.31;
/// Of all the sound, the two must be so much: speech has more beside them. A frequency that is off by 1.5 % loses 1.4 dB.
const OF_ALL: f32 = 0.74 * BLOCK as f32 / 2.0;
/// Blocks that make a press, and blocks without it that end it. A drop-out of 10 ms spoils three, a pause of 40 ms seven.
const PRESSED: u8 = 4;
const RELEASED: u8 = 4;

/// One voice's detector.
#[derive(Clone, Debug)]
pub struct Detector {
    blocks: [Block; 2],
    /// In the block before.
    before: Option<char>,
    /// So many blocks had it.
    run: u8,
    /// Told, and not yet released.
    held: Option<char>,
    missing: u8,
}

impl Default for Detector {
    fn default() -> Self {
        let behind = Block { samples: BLOCK / 2, ..Block::default() };
        Self { blocks: [Block::default(), behind], before: None, run: 0, held: None, missing: 0 }
    }
}

impl Detector {
    /// The next samples at 8 kHz, 20 ms at most: a key that was pressed, once for each press, after some 33 ms of it.
    pub fn feed(&mut self, samples: &[i16]) -> Option<char> {
        let mut pressed = None;
        let mut rest = samples;
        while !rest.is_empty() {
            let until_full = self.blocks.iter().map(|block| BLOCK - block.samples).min().unwrap_or(BLOCK);
            let (now, later) = rest.split_at(until_full.min(rest.len()));
            rest = later;
            for n in 0..self.blocks.len() {
                if let Some(heard) = self.blocks[n].feed(now) {
                    pressed = self.follow(heard).or(pressed);
                }
            }
        }
        pressed
    }

    fn follow(&mut self, heard: Option<char>) -> Option<char> {
        self.run = if heard == self.before { self.run.saturating_add(1) } else { 1 };
        self.before = heard;
        if heard.is_some() && heard == self.held {
            self.missing = 0;
            return None;
        }
        self.missing = self.missing.saturating_add(1);
        if self.missing >= RELEASED {
            self.held = None;
        }
        let is_press = heard.is_some() && self.run >= PRESSED;
        if is_press {
            (self.held, self.missing) = (heard, 0);
        }
        heard.filter(|_| is_press)
    }
}

/// Goertzel's filters over one block, in the order of [`COEFFICIENTS`].
#[derive(Clone, Debug, Default)]
struct Block {
    last: [f32; 8],
    before: [f32; 8],
    energy: f32,
    samples: usize,
}

impl Block {
    /// Samples of this block. When it is full: the key that it holds, if any, and another begins.
    fn feed(&mut self, samples: &[i16]) -> Option<Option<char>> {
        for sample in samples {
            let sample = f32::from(*sample);
            self.energy += sample * sample;
            for ((last, before), by) in self.last.iter_mut().zip(&mut self.before).zip(&COEFFICIENTS) {
                let next = sample + by * *last - *before;
                (*last, *before) = (next, *last);
            }
        }
        self.samples += samples.len();
        (self.samples >= BLOCK).then(|| std::mem::take(self).key())
    }

    fn key(self) -> Option<char> {
        let power = |n: usize| {
            let (last, before) = (self.last[n], self.before[n]);
            last * last + before * before - COEFFICIENTS[n] * last * before
        };
        let powers: [f32; 8] = std::array::from_fn(power);
        let (low, high) = powers.split_at(4);
        let (row, low_power) = strongest(low)?;
        let (column, high_power) = strongest(high)?;
        let is_loud = low_power >= LEAST && high_power >= LEAST;
        let is_level = low_power <= high_power * LOW_STRONGER && high_power <= low_power * HIGH_STRONGER;
        let is_alone = low_power + high_power > self.energy * OF_ALL;
        (is_loud && is_level && is_alone).then(|| KEYS[row][column])
    }
}

/// 2 cos(2π f / 8000), those of the rows, then those of the columns.
const COEFFICIENTS: [f32; 8] =
    [1.707_737_8, 1.645_281_1, 1.568_687, 1.478_204_6, 1.164_104, 0.996_370_2, 0.798_618_4, 0.568_532_7];

/// The strongest of a group, if it stands out.
fn strongest(group: &[f32]) -> Option<(usize, f32)> {
    let (which, power) = group.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let stands_out = group.iter().enumerate().all(|(n, other)| n == which || other * ABOVE_OTHERS < power);
    stands_out.then_some((which, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

    /// Two sines for so long, the lower with `low` amplitude, each off its frequency by a part.
    fn key(row: usize, column: usize, low: f32, high: f32, off: f32, samples: usize) -> Vec<i16> {
        let turn = |hertz: f32, n: usize| (n as f32 * 2.0 * std::f32::consts::PI * hertz * (1.0 + off) / 8_000.0).sin();
        (0..samples).map(|n| (turn(LOW[row], n) * low + turn(HIGH[column], n) * high) as i16).collect()
    }

    fn noise(seed: u32, amplitude: i32, samples: usize) -> Vec<i16> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i32 % (2 * amplitude + 1) - amplitude) as i16
        };
        (0..samples).map(|_| next()).collect()
    }

    /// Keys in it, fed 20 ms at a time after `offset` samples of silence.
    fn keys(offset: usize, sound: &[i16]) -> String {
        let mut samples = vec![0; offset];
        samples.extend_from_slice(sound);
        samples.extend([0; 480]);
        let mut detector = Detector::default();
        samples.chunks(160).filter_map(|frame| detector.feed(frame)).collect()
    }

    #[test]
    fn coefficients_are_those_of_the_frequencies() {
        for (hertz, coefficient) in LOW.iter().chain(&HIGH).zip(COEFFICIENTS) {
            let expected = 2.0 * (2.0 * std::f64::consts::PI * f64::from(*hertz) / 8_000.0).cos();
            assert!((expected - f64::from(coefficient)).abs() < 1e-6, "{hertz}: {expected}");
        }
    }

    #[test]
    fn every_key_is_told_once_however_long_it_lasts() {
        for (row, keys_of_row) in KEYS.iter().enumerate() {
            for (column, expected) in keys_of_row.iter().enumerate() {
                for length in [320, 800, 8_000] {
                    assert_eq!(keys(0, &key(row, column, 5_000.0, 5_000.0, 0.0, length)), expected.to_string());
                }
            }
        }
    }

    #[test]
    fn forty_ms_are_enough_and_23_are_not_wherever_they_begin() {
        for offset in 0..BLOCK {
            assert_eq!(keys(offset, &key(0, 0, 5_000.0, 5_000.0, 0.0, 320)), "1", "after {offset}");
            assert_eq!(keys(offset, &key(0, 0, 5_000.0, 5_000.0, 0.0, 184)), "", "after {offset}");
        }
    }

    #[test]
    fn presses_40_ms_apart_are_two_and_a_drop_out_of_10_ms_is_none() {
        let press = key(1, 1, 5_000.0, 5_000.0, 0.0, 400);
        for offset in 0..BLOCK {
            assert_eq!(keys(offset, &[&press[..], &[0; 320], &press].concat()), "55", "after {offset}");
            let mut broken = key(1, 1, 5_000.0, 5_000.0, 0.0, 1_600);
            broken[700..780].fill(0);
            assert_eq!(keys(offset, &broken), "5", "after {offset}");
        }
    }

    #[test]
    fn frequencies_may_be_off_by_a_hundredth_and_a_half() {
        for off in [-0.015, 0.015] {
            for n in 0..16 {
                let (row, column) = (n / 4, n % 4);
                let heard = keys(0, &key(row, column, 5_000.0, 5_000.0, off, 480));
                assert_eq!(heard, KEYS[row][column].to_string(), "off by {off}");
            }
        }
    }

    #[test]
    fn twist_is_borne_to_its_limits() {
        let by = |decibels: f32| 5_000.0 * 10_f32.powf(-decibels / 20.0);
        assert_eq!(keys(0, &key(2, 2, 5_000.0, by(7.0), 0.0, 480)), "9");
        assert_eq!(keys(0, &key(2, 2, by(3.5), 5_000.0, 0.0, 480)), "9");
        assert_eq!(keys(0, &key(2, 2, 5_000.0, by(10.0), 0.0, 480)), "");
        assert_eq!(keys(0, &key(2, 2, by(7.0), 5_000.0, 0.0, 480)), "");
    }

    #[test]
    fn levels_from_minus_3_to_minus_30_and_noise_of_15_db_are_borne() {
        for amplitude in [15_000.0, 400.0] {
            assert_eq!(keys(0, &key(3, 1, amplitude, amplitude, 0.0, 480)), "0");
        }
        for seed in 0..50 {
            let mut sound = key(3, 1, 3_000.0, 3_000.0, 0.0, 480);
            sound.iter_mut().zip(noise(seed, 900, 480)).for_each(|(sample, noise)| *sample += noise);
            assert_eq!(keys(seed as usize, &sound), "0");
        }
        assert_eq!(keys(0, &key(3, 1, 100.0, 100.0, 0.0, 480)), "", "too quiet");
    }

    #[test]
    fn one_tone_noise_and_voices_are_no_keys() {
        assert_eq!(keys(0, &key(0, 0, 8_000.0, 0.0, 0.0, 8_000)), "");
        assert_eq!(keys(0, &key(0, 0, 0.0, 8_000.0, 0.0, 8_000)), "");
        assert_eq!(keys(0, &noise(1, 20_000, 160_000)), "");
        // Harmonics of a voice that glides over an octave, by a formant that glides too.
        let (mut phase, mut voice) = (0.0_f32, Vec::new());
        for n in 0..400_000 {
            let at = n as f32 / 8_000.0;
            let pitch = 100.0 + 100.0 * (at * 0.7).sin().abs();
            let formant = 600.0 + 500.0 * (at * 1.9).sin();
            phase += 2.0 * std::f32::consts::PI * pitch / 8_000.0;
            let partial = |k: f32| (phase * k).sin() * 4_000.0 / (1.0 + ((k * pitch - formant) / 150.0).powi(2));
            voice.push((1..16).map(|k| partial(k as f32)).sum::<f32>() as i16);
        }
        assert_eq!(keys(0, &voice), "");
    }
}
