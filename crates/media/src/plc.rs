//! Packet-loss concealment in the manner of G.711 appendix I: repeat the last pitch period, fade within 60 ms, then silence.

use crate::codec::{FRAME, Frame};

/// Samples kept: enough for the longest pitch period (15 ms) twice and the comparison window (20 ms).
const HISTORY: usize = 400;
/// Pitch periods that are looked for: 5 to 15 ms, 66 to 200 Hz.
const PITCH: std::ops::RangeInclusive<usize> = 40..=120;
/// Window that is compared.
const WINDOW: usize = 160;
/// Concealed samples until silence: 60 ms.
const FADE: usize = 480;
/// Overlap when the voice comes back: 5 ms.
const OVERLAP: usize = 40;

/// What one direction said last, and how long it has been concealed.
#[derive(Clone, Debug)]
pub struct Concealer {
    history: [i16; HISTORY],
    period: usize,
    concealed: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Self { history: [0; HISTORY], period: 0, concealed: 0 }
    }
}

impl Concealer {
    /// Takes a frame that came, smooths its beginning if it follows a concealed one, and remembers it.
    pub fn good(&mut self, frame: &mut Frame) {
        if self.concealed > 0 {
            for (n, sample) in frame.iter_mut().enumerate().take(OVERLAP) {
                let before = i32::from(self.sample(n));
                let (rising, falling) = (n as i32, (OVERLAP - n) as i32);
                *sample = ((i32::from(*sample) * rising + before * falling) / OVERLAP as i32) as i16;
            }
        }
        self.concealed = 0;
        self.history.copy_within(FRAME.., 0);
        self.history[HISTORY - FRAME..].copy_from_slice(frame);
    }

    /// Makes up a frame that did not come; silence once 60 ms are concealed.
    pub fn conceal(&mut self) -> Frame {
        if self.concealed == 0 {
            self.period = self.pitch();
        }
        let mut frame = [0; FRAME];
        for (n, sample) in frame.iter_mut().enumerate() {
            *sample = self.sample(n);
        }
        self.concealed = (self.concealed + FRAME).min(FADE + FRAME);
        frame
    }

    /// Forgets the voice (hold, another source): nothing of it is repeated.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The `n`th sample from here on, of the repeated period, faded.
    fn sample(&self, n: usize) -> i16 {
        let at = self.concealed + n;
        if self.period == 0 || at >= FADE {
            return 0;
        }
        let repeated = i32::from(self.history[HISTORY - self.period + at % self.period]);
        // Full for 10 ms, then a straight line to nothing at 60 ms.
        let gain = if at < 80 { 400 } else { FADE - at } as i32;
        (repeated * gain / 400) as i16
    }

    /// The lag with the highest normalised cross-correlation over the last 20 ms.
    fn pitch(&self) -> usize {
        let recent = &self.history[HISTORY - WINDOW..];
        let score = |lag: &usize| {
            let earlier = &self.history[HISTORY - WINDOW - lag..HISTORY - lag];
            let (mut cross, mut energy) = (0.0f64, 1.0f64);
            for (a, b) in recent.iter().zip(earlier) {
                cross += f64::from(*a) * f64::from(*b);
                energy += f64::from(*b) * f64::from(*b);
            }
            cross / energy.sqrt()
        };
        PITCH.max_by(|a, b| score(a).total_cmp(&score(b))).unwrap_or(80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(at: usize) -> Frame {
        std::array::from_fn(|n| {
            (8000.0 * (((at + n) as f64) * 100.0 * 2.0 * std::f64::consts::PI / 8000.0).sin()) as i16
        })
    }

    fn power(frame: &Frame) -> f64 {
        frame.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / FRAME as f64
    }

    #[test]
    fn a_lost_frame_is_repeated_then_faded_to_silence() {
        let mut concealer = Concealer::default();
        for n in 0..5 {
            concealer.good(&mut tone(n * FRAME));
        }
        let whole = power(&tone(0));
        let powers: Vec<f64> = (0..4).map(|_| power(&concealer.conceal())).collect();
        assert!(powers[0] > 0.6 * whole, "{powers:?} of {whole}");
        assert!(powers[1] < powers[0] && powers[2] < powers[1], "{powers:?}");
        assert!(powers[3] < 1.0, "60 ms, then silence: {powers:?}");
    }

    #[test]
    fn nothing_is_made_up_after_a_reset() {
        let mut concealer = Concealer::default();
        concealer.good(&mut tone(0));
        concealer.reset();
        assert_eq!(concealer.conceal(), [0; FRAME]);
    }
}
