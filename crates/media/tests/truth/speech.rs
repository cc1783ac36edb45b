//! Synthetic speech: a glottal source with a gliding pitch through formants, breathy consonants, words and pauses.
//! Different seeds say different things; different pitches are different people.

use media::codec::Rate;

/// Three formants of five vowels (Peterson and Barney), Hz.
const VOWELS: [[f64; 3]; 5] = [
    [730.0, 1090.0, 2440.0],
    [530.0, 1840.0, 2480.0],
    [270.0, 2290.0, 3010.0],
    [570.0, 840.0, 2410.0],
    [300.0, 870.0, 2240.0],
];
const BANDWIDTHS: [f64; 3] = [80.0, 110.0, 160.0];
const STRENGTHS: [f64; 3] = [1.0, 0.6, 0.35];
/// The loudest sample: about 9 dB below full scale, so that two speakers fit.
const PEAK: f64 = 11_000.0;

/// Random numbers that are the same every time (xorshift).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// From 0 to below 1.
    pub fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.roll()
    }
}

#[derive(Clone, Copy)]
enum Sound {
    Vowel([f64; 3], [f64; 3]),
    Consonant,
    Pause,
}

/// So many seconds of somebody with such a pitch; whole frames.
pub fn speech(seed: u64, pitch_hz: f64, rate: Rate, seconds: f64) -> Vec<i16> {
    let hertz = f64::from(rate.hertz());
    let length = (seconds * 50.0) as usize * rate.frame();
    let (mut plan, mut noise) = (Dice::new(seed), Dice::new(seed + 1));
    let mut tract = [Resonator::default(); 3];
    let mut breath = Resonator::default();
    let mut phase = 0.0;
    let mut wave = Vec::with_capacity(length);
    while wave.len() < length {
        for (sound, seconds) in word(&mut plan) {
            let samples = (seconds * hertz) as usize;
            let stress = plan.between(0.5, 1.0);
            let pitch = pitch_hz * plan.between(0.85, 1.2);
            for n in 0..samples {
                let done = n as f64 / samples as f64;
                let fade = (0.015 * hertz).min(samples as f64 / 2.0);
                let edge = (n.min(samples - 1 - n) as f64 / fade).min(1.0);
                let loud = stress * (0.5 - 0.5 * (std::f64::consts::PI * edge).cos());
                phase = (phase + pitch * (1.1 - 0.2 * done) / hertz) % 1.0;
                wave.push(match sound {
                    Sound::Vowel(from, to) => {
                        let source = loud * (glottal(phase) + 0.02 * noise.between(-1.0, 1.0));
                        let through = |k: usize, resonator: &mut Resonator| {
                            let formant = from[k] + (to[k] - from[k]) * done;
                            STRENGTHS[k] * resonator.pass(source, formant, BANDWIDTHS[k], hertz)
                        };
                        tract.iter_mut().enumerate().map(|(k, resonator)| through(k, resonator)).sum()
                    }
                    Sound::Consonant => 0.15 * breath.pass(loud * noise.between(-1.0, 1.0), 2_800.0, 900.0, hertz),
                    Sound::Pause => 0.0,
                });
            }
        }
    }
    wave.truncate(length);
    let peak = wave.iter().fold(0.0, |peak: f64, s| peak.max(s.abs()));
    wave.iter().map(|s| (s * PEAK / peak) as i16).collect()
}

/// Two to four syllables and what separates words: a short pause, or a long one.
fn word(plan: &mut Dice) -> Vec<(Sound, f64)> {
    let vowel = |plan: &mut Dice| VOWELS[(plan.roll() * 5.0) as usize];
    let mut word = Vec::new();
    for _ in 0..plan.between(2.0, 5.0) as usize {
        if plan.roll() < 0.6 {
            word.push((Sound::Consonant, plan.between(0.05, 0.1)));
        }
        word.push((Sound::Vowel(vowel(plan), vowel(plan)), plan.between(0.1, 0.26)));
    }
    let pause = if plan.roll() < 0.35 { plan.between(0.3, 0.7) } else { plan.between(0.04, 0.1) };
    word.push((Sound::Pause, pause));
    word
}

/// Rosenberg's pulse: opens slowly, closes quickly, rests.
fn glottal(phase: f64) -> f64 {
    const OPEN: f64 = 0.4;
    const CLOSED: f64 = 0.56;
    if phase < OPEN {
        0.5 - 0.5 * (std::f64::consts::PI * phase / OPEN).cos()
    } else if phase < CLOSED {
        (std::f64::consts::FRAC_PI_2 * (phase - OPEN) / (CLOSED - OPEN)).cos()
    } else {
        0.0
    }
}

#[derive(Clone, Copy, Default)]
struct Resonator {
    y1: f64,
    y2: f64,
    x1: f64,
}

impl Resonator {
    /// Two poles, and a zero at 0 Hz.
    fn pass(&mut self, x: f64, formant: f64, bandwidth: f64, hertz: f64) -> f64 {
        let r = (-std::f64::consts::PI * bandwidth / hertz).exp();
        let y = (1.0 - r) * (x - self.x1) * hertz / 1_000.0
            + 2.0 * r * (std::f64::consts::TAU * formant / hertz).cos() * self.y1
            - r * r * self.y2;
        (self.x1, self.y2, self.y1) = (x, self.y1, y);
        y
    }
}

/// A tone, whole frames.
pub fn tone(hz: f64, amplitude: f64, rate: Rate, seconds: f64) -> Vec<i16> {
    let turn = std::f64::consts::TAU * hz / f64::from(rate.hertz());
    (0..(seconds * 50.0) as usize * rate.frame()).map(|n| ((turn * n as f64).sin() * amplitude) as i16).collect()
}
