//! Packet-loss concealment after ITU-T G.711 Appendix I: the last pitch cycle repeats and fades, then silence.

/// Concealment ends after so many samples: 60 ms.
pub const FADED: usize = 480;

const FULL: usize = 80; // 10 ms at full level
const OVERLAP: usize = 32; // 4 ms from concealment back to sound
const PITCH_MIN: usize = 40; // 200 Hz
const PITCH_MAX: usize = 120; // 66 Hz
const WINDOW: usize = 160;
const HISTORY: usize = WINDOW + PITCH_MAX;

/// One direction's recent past.
#[derive(Clone, Debug)]
pub struct Plc {
    history: [i16; HISTORY],
    cycle: [i16; PITCH_MAX],
    period: usize,
    /// Samples concealed since the last sound.
    missing: usize,
}

impl Default for Plc {
    fn default() -> Self {
        Self { history: [0; HISTORY], cycle: [0; PITCH_MAX], period: PITCH_MIN, missing: FADED }
    }
}

impl Plc {
    /// Sound that came; its first 4 ms are blended into a concealment before it.
    pub fn heard(&mut self, samples: &mut [i16]) {
        if self.missing > 0 {
            for (n, sample) in samples.iter_mut().take(OVERLAP).enumerate() {
                let old = self.concealed(self.missing + n);
                *sample = blend(old, *sample, n + 1, OVERLAP + 1);
            }
            self.missing = 0;
        }
        let kept = samples.len().min(HISTORY);
        self.history.copy_within(kept.., 0);
        let newest = samples.iter().skip(samples.len() - kept);
        self.history.iter_mut().skip(HISTORY - kept).zip(newest).for_each(|(to, from)| *to = *from);
    }

    /// Fills what did not come. False: that is silence, the past has faded.
    pub fn conceal(&mut self, samples: &mut [i16]) -> bool {
        if self.missing == 0 {
            self.find_cycle();
        }
        let audible = self.missing < FADED;
        for (n, sample) in samples.iter_mut().enumerate() {
            *sample = self.concealed(self.missing + n);
        }
        self.missing = (self.missing + samples.len()).min(FADED);
        audible
    }

    fn concealed(&self, at: usize) -> i16 {
        if at >= FADED {
            return 0;
        }
        let sample = i32::from(self.cycle.get(at % self.period).copied().unwrap_or(0));
        let gain = FADED.saturating_sub(at.max(FULL)) as i32;
        (sample * gain / (FADED - FULL) as i32) as i16
    }

    /// The last pitch cycle, its end blended into what came before its beginning so that it repeats without a step.
    fn find_cycle(&mut self) {
        self.period = self.pitch();
        let start = HISTORY - self.period;
        let quarter = self.period / 4;
        for n in 0..self.period {
            let sample = self.history[start + n];
            let blended = (n + quarter).saturating_sub(self.period);
            self.cycle[n] = match start.checked_sub(self.period) {
                Some(before) if n + quarter >= self.period => {
                    blend(sample, self.history[before + n], blended + 1, quarter + 1)
                }
                _ => sample,
            };
        }
    }

    /// The lag at which the past is most like itself (normalised cross-correlation over 20 ms).
    fn pitch(&self) -> usize {
        let recent = &self.history[PITCH_MAX..];
        let mut best = (PITCH_MIN, f32::MIN);
        for lag in PITCH_MIN..=PITCH_MAX {
            let earlier = &self.history[PITCH_MAX - lag..HISTORY - lag];
            let (mut product, mut energy) = (0.0_f32, 1.0_f32);
            for (a, b) in recent.iter().zip(earlier) {
                let (a, b) = (f32::from(*a), f32::from(*b));
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
}

/// From `old` to `new`, `n` of `of` steps done.
pub(crate) fn blend(old: i16, new: i16, n: usize, of: usize) -> i16 {
    let (n, of) = (n as i32, of.max(1) as i32);
    ((i32::from(old) * (of - n) + i32::from(new) * n) / of) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(at: usize, samples: usize) -> Vec<i16> {
        let phase = |n: usize| (at + n) as f32 * 2.0 * std::f32::consts::PI * 500.0 / 8000.0;
        (0..samples).map(|n| (phase(n).sin() * 8000.0) as i16).collect()
    }

    fn loudness(samples: &[i16]) -> f32 {
        (samples.iter().map(|s| f32::from(*s).powi(2)).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_lost_frame_sounds_like_the_one_before() {
        let mut plc = Plc::default();
        for n in 0..4 {
            plc.heard(&mut tone(n * 160, 160));
        }
        let mut lost = [0; 160];
        assert!(plc.conceal(&mut lost));
        assert!(loudness(&lost[..80]) > 5000.0, "{}", loudness(&lost[..80]));
        let expected = tone(640, 80);
        let wrong: Vec<i16> = lost.iter().zip(&expected).map(|(a, b)| a.saturating_sub(*b)).collect();
        assert!(loudness(&wrong) < 800.0, "the tone goes on in phase: {}", loudness(&wrong));
    }

    #[test]
    fn it_fades_within_60_ms_and_then_is_silent() {
        let mut plc = Plc::default();
        plc.heard(&mut tone(0, 320));
        let levels: Vec<f32> = (0..5)
            .map(|_| {
                let mut lost = [1; 160];
                plc.conceal(&mut lost);
                loudness(&lost)
            })
            .collect();
        assert!(levels[0] > levels[1] && levels[1] > levels[2] && levels[2] > 0.0, "{levels:?}");
        assert_eq!(levels[3..], [0.0, 0.0]);
        assert!(!plc.conceal(&mut [0; 160]));
    }

    #[test]
    fn nothing_heard_is_silence() {
        let mut plc = Plc::default();
        let mut lost = [7; 160];
        assert!(!plc.conceal(&mut lost));
        assert_eq!(lost, [0; 160]);
    }

    #[test]
    fn odd_lengths_are_taken() {
        let mut plc = Plc::default();
        for length in [0, 1, 7, 160, 279, 280, 281, 1000] {
            plc.heard(&mut tone(0, length));
            plc.conceal(&mut vec![0; length]);
        }
    }
}
