//! Packet-loss concealment after ITU-T G.711 Appendix I, at any rate: the last pitch cycles repeat and fade, then silence.
//!
//! Unlike there, nothing is held back to be blended into a loss that may come (3.75 ms): its first millisecond bends to where
//! the sound was instead.

use std::ops::RangeInclusive;

use crate::codec::Rate;

/// Half milliseconds, which the figures below count in.
const HALF_MS: usize = 2_000;
/// Full level for 10 ms, silence after 60; by a fifth down in every 10 between.
const FULL: usize = 20;
const FADED: usize = 120;
/// Two cycles repeat from 10 ms on, three from 20 ms on: one alone would beep.
const MORE_CYCLES: usize = 20;
/// Back to sound: a quarter of a cycle, and 4 ms more for each 10 ms that were lost, 10 ms at most. From silence 4 ms.
const OVERLAP_MORE: usize = 8;
const OVERLAP_MAX: usize = 20;
/// A loss begins where the sound was, for so long.
const BEND: usize = 2;
/// Cycles are 5 to 15 ms long (200 to 66 Hz), found by the last 20 ms.
const CYCLE_MIN: usize = 10;
const CYCLE_MAX: usize = 30;
const WINDOW: usize = 40;
/// Pitch is sought at so many samples a half millisecond first.
const COARSE: usize = 2;

/// One direction's recent past.
#[derive(Clone, Debug)]
pub struct Plc {
    rate: Rate,
    /// Three of the longest cycles and a quarter: what was played, concealed or not.
    past: Vec<i16>,
    /// The same as it was when the loss began.
    voice: Vec<i16>,
    /// Samples of a cycle of it.
    cycle: usize,
    now: Place,
    /// Blended out, and how many samples that still takes.
    before: Place,
    changing: usize,
    /// By how much the loss began beside where the sound was.
    bend: i32,
    /// Samples concealed since the last sound, and with those that sound was blended into.
    missing: usize,
    played: usize,
    /// Samples of sound that are still to be blended into the concealment before them, of how many.
    overlap: (usize, usize),
}

/// Where in how many repeating cycles.
#[derive(Clone, Copy, Debug)]
struct Place {
    cycles: usize,
    at: usize,
}

const BEGINNING: Place = Place { cycles: 1, at: 0 };

impl Default for Plc {
    fn default() -> Self {
        Self::new(Rate::Narrow)
    }
}

impl Plc {
    /// With silence before.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let unit = rate.hertz() as usize / HALF_MS;
        let past = vec![0; unit * CYCLE_MAX * 13 / 4];
        Self {
            rate,
            voice: past.clone(),
            past,
            cycle: unit * CYCLE_MIN,
            now: BEGINNING,
            before: BEGINNING,
            changing: 0,
            bend: 0,
            missing: unit * FADED,
            played: unit * FADED,
            overlap: (0, 0),
        }
    }

    /// Samples a second of what it conceals.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Sound that came; its beginning is blended into a concealment before it.
    pub fn heard(&mut self, samples: &mut [i16]) {
        if self.missing > 0 {
            let overlap = self.overlap_after_loss();
            self.overlap = (overlap, overlap);
        }
        let (left, of) = self.overlap;
        let blended = left.min(samples.len());
        for (n, sample) in samples.iter_mut().take(blended).enumerate() {
            *sample = blend(self.next(), *sample, of - left + n + 1, of + 1);
        }
        self.overlap.0 -= blended;
        self.missing = 0;
        self.remember(samples);
    }

    /// Fills what did not come. False: that is silence, the past has faded.
    pub fn conceal(&mut self, samples: &mut [i16]) -> bool {
        if self.missing == 0 {
            self.begin();
        }
        let faded = self.unit() * FADED;
        let audible = self.missing < faded;
        for sample in samples.iter_mut() {
            *sample = self.next();
        }
        self.missing = (self.missing + samples.len()).min(faded);
        self.remember(samples);
        audible
    }

    /// Samples in half a millisecond.
    fn unit(&self) -> usize {
        self.rate.hertz() as usize / HALF_MS
    }

    fn quarter(&self) -> usize {
        self.cycle / 4
    }

    fn overlap_after_loss(&self) -> usize {
        let unit = self.unit();
        if self.missing >= unit * FADED {
            return unit * OVERLAP_MORE;
        }
        let more = (self.missing / (unit * MORE_CYCLES)).saturating_sub(1) * unit * OVERLAP_MORE;
        (self.quarter() + more).min(unit * OVERLAP_MAX)
    }

    fn remember(&mut self, samples: &[i16]) {
        let length = self.past.len();
        let kept = samples.len().min(length);
        self.past.copy_within(kept.., 0);
        self.past[length - kept..].copy_from_slice(&samples[samples.len() - kept..]);
    }

    fn begin(&mut self) {
        self.voice.copy_from_slice(&self.past);
        self.cycle = self.pitch();
        (self.now, self.changing) = (BEGINNING, 0);
        (self.played, self.overlap) = (0, (0, 0));
        let last = self.voice.len() - 1;
        self.bend = i32::from(self.voice[last]) - i32::from(self.voice[last - self.cycle]);
    }

    /// One sample of concealment.
    fn next(&mut self) -> i16 {
        let unit = self.unit();
        let at = self.played;
        if at >= unit * FADED {
            return 0;
        }
        self.played += 1;
        if at > 0 && at.is_multiple_of(unit * MORE_CYCLES) && self.now.cycles < 3 {
            self.before = self.now;
            self.now.cycles += 1;
            self.changing = self.quarter();
        }
        let mut sample = i32::from(self.voice_at(self.now));
        if self.changing > 0 {
            let (left, of) = (self.changing, self.quarter());
            sample = i32::from(blend(self.voice_at(self.before), sample as i16, of - left + 1, of + 1));
            self.changing -= 1;
        }
        for place in [&mut self.now, &mut self.before] {
            place.at = (place.at + 1) % (place.cycles * self.cycle);
        }
        let bent = (unit * BEND).saturating_sub(at) as i32;
        sample += self.bend * bent / (unit * BEND + 1) as i32;
        let gain = (unit * FADED - at.max(unit * FULL)) as i32;
        (sample.clamp(-32_768, 32_767) * gain / (unit * (FADED - FULL)) as i32) as i16
    }

    /// The repeating cycles end in a quarter that is blended into what came before their beginning, so that they join.
    fn voice_at(&self, Place { cycles, at }: Place) -> i16 {
        let (length, quarter) = (cycles * self.cycle, self.quarter());
        let begin = self.voice.len() - length;
        let sample = self.voice[begin + at];
        match (at + quarter).checked_sub(length) {
            Some(n) => blend(sample, self.voice[begin - quarter + n], n + 1, quarter + 1),
            None => sample,
        }
    }

    /// The lag at which the last 20 ms are most like what was before (normalised cross-correlation): first coarsely at
    /// 4 kHz, then to the sample.
    fn pitch(&self) -> usize {
        let by = self.unit() / COARSE;
        let mut coarse = [0; CYCLE_MAX * COARSE * 13 / 4];
        for (sum, part) in coarse.iter_mut().zip(self.voice.chunks_exact(by)) {
            *sum = part.iter().map(|sample| i32::from(*sample)).sum();
        }
        let lag = best_lag(&coarse, WINDOW * COARSE, CYCLE_MIN * COARSE..=CYCLE_MAX * COARSE) * by;
        let (least, most) = (CYCLE_MIN * self.unit(), CYCLE_MAX * self.unit());
        best_lag(&self.voice, WINDOW * self.unit(), (lag - by).max(least)..=(lag + by).min(most))
    }
}

fn best_lag<T: Copy + Into<i32>>(samples: &[T], window: usize, lags: RangeInclusive<usize>) -> usize {
    let recent = &samples[samples.len() - window..];
    let mut best = (*lags.start(), f32::MIN);
    for lag in lags {
        let earlier = &samples[samples.len() - window - lag..];
        let (mut product, mut energy) = (0.0_f32, 1.0_f32);
        for (a, b) in recent.iter().zip(earlier) {
            let (a, b) = ((*a).into() as f32, (*b).into() as f32);
            product += a * b;
            energy += b * b;
        }
        let likeness = product / energy.sqrt();
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}

/// From `old` to `new`, `n` of `of` steps done.
pub(crate) fn blend(old: i16, new: i16, n: usize, of: usize) -> i16 {
    let (n, of) = (n as i32, of.max(1) as i32);
    ((i32::from(old) * (of - n) + i32::from(new) * n) / of) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [Rate; 3] = [Rate::Narrow, Rate::Wide, Rate::Full];

    /// So many milliseconds of a voice: harmonics of its pitch, from there on.
    fn voice(rate: Rate, pitch: f32, from_ms: usize, ms: usize) -> Vec<i16> {
        let per_ms = rate.hertz() as usize / 1_000;
        let phase = |n: usize| (from_ms * per_ms + n) as f32 * 2.0 * std::f32::consts::PI * pitch / rate.hertz() as f32;
        let harmonics =
            |n: usize| (1..8).map(|k| (phase(n) * k as f32 + k as f32).sin() * 4_000.0 / k as f32).sum::<f32>();
        (0..ms * per_ms).map(|n| harmonics(n) as i16).collect()
    }

    fn loudness(samples: &[i16]) -> f32 {
        (samples.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / samples.len() as f32).sqrt()
    }

    fn difference(a: &[i16], b: &[i16]) -> Vec<i16> {
        a.iter().zip(b).map(|(a, b)| a.saturating_sub(*b)).collect()
    }

    /// 100 ms of a voice, and the one who heard them.
    fn listener(rate: Rate, pitch: f32) -> Plc {
        let mut plc = Plc::new(rate);
        for frame in 0..5 {
            plc.heard(&mut voice(rate, pitch, frame * 20, 20));
        }
        plc
    }

    fn lost(plc: &mut Plc, ms: usize) -> Vec<i16> {
        let mut samples = vec![1; plc.rate().hertz() as usize / 1_000 * ms];
        plc.conceal(&mut samples);
        samples
    }

    #[test]
    fn a_voice_goes_on_in_phase() {
        for rate in RATES {
            for pitch in [70.0, 97.0, 118.0, 163.0, 199.0] {
                let concealed = lost(&mut listener(rate, pitch), 10);
                let expected = voice(rate, pitch, 100, 10);
                let wrong = loudness(&difference(&concealed, &expected)) / loudness(&expected);
                assert!(wrong < 0.2, "{rate:?} {pitch} Hz: {wrong}");
            }
        }
    }

    #[test]
    fn it_fades_by_a_fifth_in_10_ms_and_is_silent_after_60() {
        for rate in RATES {
            let mut plc = listener(rate, 100.0);
            let full = loudness(&lost(&mut plc, 10));
            for tenths in [9, 7, 5, 3, 1] {
                let level = loudness(&lost(&mut plc, 10)) / full;
                assert!((level - tenths as f32 / 10.0).abs() < 0.06, "{rate:?}: {level} for {tenths}");
            }
            let mut rest = vec![1; rate.frame()];
            assert!(!plc.conceal(&mut rest));
            assert_eq!(rest, vec![0; rate.frame()]);
        }
    }

    #[test]
    fn neither_the_beginning_nor_the_end_of_a_loss_clicks() {
        for rate in RATES {
            for pitch in [83.0, 121.0, 180.0] {
                // However it fell out of step, no step is larger than the voice's own, and by little beside the join.
                let own = voice(rate, pitch, 0, 100).windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
                for ms in [5, 10, 20, 40, 60, 100] {
                    let mut plc = listener(rate, pitch);
                    let mut sound = voice(rate, pitch, 80, 20);
                    sound.extend(lost(&mut plc, ms));
                    let mut after = voice(rate, pitch, 100 + ms + 3, 20);
                    plc.heard(&mut after);
                    sound.extend(after);
                    let largest = sound.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
                    assert!(
                        f32::from(largest) < f32::from(own) * 1.25,
                        "{rate:?} {pitch} Hz {ms} ms: {largest} of {own}"
                    );
                }
            }
        }
    }

    #[test]
    fn pieces_are_heard_and_concealed_like_frames() {
        let (mut whole, mut pieces) = (listener(Rate::Narrow, 110.0), listener(Rate::Narrow, 110.0));
        let expected = lost(&mut whole, 20);
        let concealed: Vec<i16> = (0..20).flat_map(|_| lost(&mut pieces, 1)).collect();
        assert_eq!(concealed, expected);
        let mut after = voice(Rate::Narrow, 110.0, 125, 20);
        let mut parts = after.clone();
        whole.heard(&mut after);
        parts.chunks_mut(7).for_each(|part| pieces.heard(part));
        assert_eq!(parts, after);
    }

    #[test]
    fn sound_after_a_loss_is_itself_after_10_ms() {
        let mut plc = listener(Rate::Wide, 110.0);
        lost(&mut plc, 55);
        let expected = voice(Rate::Wide, 70.0, 0, 20);
        let mut after = expected.clone();
        plc.heard(&mut after);
        assert_ne!(after[..100], expected[..100]);
        assert_eq!(after[160..], expected[160..]);
    }

    #[test]
    fn nothing_heard_is_silence() {
        let mut plc = Plc::default();
        let mut lost = [7; 160];
        assert!(!plc.conceal(&mut lost));
        assert_eq!(lost, [0; 160]);
    }

    #[test]
    fn odd_lengths_and_full_scale_are_taken() {
        for rate in RATES {
            let mut plc = Plc::new(rate);
            for length in [0, 1, 7, 160, 279, 280, 281, 1_000, 5_000] {
                let square = |n: usize| if (n / 37).is_multiple_of(2) { i16::MAX } else { i16::MIN };
                plc.heard(&mut (0..length).map(square).collect::<Vec<_>>());
                plc.conceal(&mut vec![0; length]);
            }
        }
    }
}
