//! What a party sounds like: a steady tone for stories, or a synthetic voice of its own for people.

use std::f32::consts::TAU;

/// Samples in one 20 ms frame at 8 kHz.
pub const FRAME: usize = 160;

/// How a party sounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Voice {
    /// A sine of that many Hz.
    Tone(f32),
    /// Syllables on a pitch of that many Hz, formed by moving formants: recognisable, and nearly a voice.
    Synth(f32),
    /// Says nothing (but sends packets).
    Silent,
}

/// A voice that is speaking: makes one frame after another.
#[derive(Clone, Debug)]
pub struct Speaker {
    voice: Voice,
    samples: u64,
    phase: f32,
}

/// Formants (F1, F2) in Hz of the vowels that a synthetic voice walks through: a, e, i, o, u.
const VOWELS: [(f32, f32); 5] = [(730.0, 1090.0), (530.0, 1840.0), (310.0, 2200.0), (570.0, 840.0), (320.0, 900.0)];
const RATE: f32 = 8000.0;
/// One syllable with its pause, in samples.
const SYLLABLE: u64 = 2200;
const AMPLITUDE: f32 = 8000.0;

impl Speaker {
    /// Begins at the voice's first syllable.
    #[must_use]
    pub fn new(voice: Voice) -> Self {
        Self { voice, samples: 0, phase: 0.0 }
    }

    /// The next 20 ms.
    pub fn frame(&mut self) -> [i16; FRAME] {
        let mut frame = [0i16; FRAME];
        for sample in &mut frame {
            *sample = match self.voice {
                Voice::Tone(hz) => (self.advance(hz).sin() * AMPLITUDE) as i16,
                Voice::Synth(pitch) => self.syllable(pitch),
                Voice::Silent => 0,
            };
            self.samples += 1;
        }
        frame
    }

    fn advance(&mut self, hz: f32) -> f32 {
        self.phase = (self.phase + TAU * hz / RATE) % TAU;
        self.phase
    }

    /// Harmonics of the pitch, weighted by the vowel's formants, under the syllable's envelope. Every fifth one is a pause.
    fn syllable(&mut self, pitch: f32) -> i16 {
        let index = self.samples / SYLLABLE;
        let within = (self.samples % SYLLABLE) as f32 / SYLLABLE as f32;
        // Vibrato stays below the resolution of `Ears::hears_voice`.
        let wobble = 1.0 + 0.004 * (TAU * 5.0 * self.samples as f32 / RATE).sin();
        let phase = self.advance(pitch * wobble);
        // The vowel's order differs from person to person, or a choir would come out of it.
        let vowel = (index.wrapping_mul(7).wrapping_add(pitch as u64) % 11) as usize;
        if vowel >= VOWELS.len() * 2 {
            return 0;
        }
        let (f1, f2) = VOWELS[vowel % VOWELS.len()];
        let envelope = (within * std::f32::consts::PI).sin().powf(0.6);
        let mut sum = 0.9 * phase.sin();
        for k in 2..=12u8 {
            let hz = pitch * f32::from(k);
            if hz > 3200.0 {
                break;
            }
            let weight = formant(hz, f1, 120.0) + 0.6 * formant(hz, f2, 160.0) + 0.03;
            sum += weight * (phase * f32::from(k)).sin();
        }
        (sum * envelope * AMPLITUDE * 0.7).clamp(-24_000.0, 24_000.0) as i16
    }
}

fn formant(hz: f32, centre: f32, width: f32) -> f32 {
    1.0 / (1.0 + ((hz - centre) / width).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ears::{hears, hears_voice};

    fn spoken(voice: Voice, seconds: usize) -> Vec<i16> {
        let mut speaker = Speaker::new(voice);
        (0..seconds * 50).flat_map(|_| speaker.frame()).collect()
    }

    #[test]
    fn a_tone_is_heard_and_no_other() {
        let pcm = spoken(Voice::Tone(440.0), 1);
        assert!(hears(&pcm, 440.0));
        for other in [620.0, 800.0, 1050.0, 1500.0] {
            assert!(!hears(&pcm, other), "{other}");
        }
    }

    #[test]
    fn synthetic_voices_are_told_apart_alone_and_mixed() {
        let pitches = [123.0, 171.0, 233.0, 97.0];
        for (i, a) in pitches.iter().enumerate() {
            for b in &pitches[i + 1..] {
                let mixed: Vec<i16> = spoken(Voice::Synth(*a), 3)
                    .iter()
                    .zip(spoken(Voice::Synth(*b), 3))
                    .map(|(x, y)| x.saturating_add(y))
                    .collect();
                let heard: Vec<f32> = pitches.into_iter().filter(|p| hears_voice(&mixed, *p)).collect();
                assert_eq!(heard, pitches.into_iter().filter(|p| p == a || p == b).collect::<Vec<_>>(), "{a} and {b}");
            }
        }
    }
}
