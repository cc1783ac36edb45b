//! Level meter: how loud a voice is, whether it speaks, and how loud it is when it does not.

/// Frames of 20 ms that a level is taken over.
const SHOWN: usize = 5;
/// Frames that must be loud before it is speech: a click is not.
const ONSET: u8 = 2;
/// Frames that speech lasts after its last loud one: gaps between words are speech.
const HANGOVER: u8 = 15;
/// Decibels above the noise at which speech begins, and below which it may end.
const BEGINS_ABOVE: f32 = 10.0;
const ENDS_BELOW: f32 = 6.0;
/// Speech is never as quiet as this, whatever the noise: decibels relative to full scale.
const QUIETEST_SPEECH: f32 = -58.0;
/// The noise is thought to be within these. A tone that lasts is not noise, digital silence says nothing about the room.
const NOISE: std::ops::RangeInclusive<f32> = -75.0..=-50.0;
/// The noise is the least of so many pieces of half a second each.
const PIECES: usize = 6;
const PIECE: u8 = 25;
/// Of a new frame in the speaker's usual level: some two seconds of speech.
const USUAL: f32 = 0.01;
/// Nothing at all, in decibels.
const NOTHING: f32 = -127.0;

/// One voice's meter, fed 20 ms at a time.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Mean squares of the last frames.
    powers: [f32; SHOWN],
    /// The last frame, smoothed over some 60 ms, in decibels.
    smoothed: f32,
    least: [f32; PIECES],
    frames: u8,
    loud: u8,
    hangover: u8,
    speaking: bool,
    usual: Option<f32>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            powers: [0.0; SHOWN],
            smoothed: NOTHING,
            least: [0.0; PIECES],
            frames: 0,
            loud: 0,
            hangover: 0,
            speaking: false,
            usual: None,
        }
    }
}

impl Meter {
    /// The next 20 ms, at any rate.
    pub fn feed(&mut self, samples: &[i16]) {
        let power = power(samples);
        self.powers.rotate_left(1);
        self.powers[SHOWN - 1] = power;
        let level = decibels(power);
        // Up at once, down over three frames: the least of it is not the valley between two cycles.
        self.smoothed = if level > self.smoothed { level } else { self.smoothed + (level - self.smoothed) / 3.0 };
        self.follow_noise();
        self.judge(level);
    }

    /// Decibels below full scale over the last 100 ms: 0 to 127, as RFC 6464 §3 counts; 127 is silence.
    #[must_use]
    pub fn level(&self) -> u8 {
        below_full_scale(decibels(self.powers.iter().sum::<f32>() / SHOWN as f32))
    }

    /// The same of the last frame alone.
    #[must_use]
    pub fn frame_level(&self) -> u8 {
        below_full_scale(decibels(self.powers[SHOWN - 1]))
    }

    /// It speaks: 40 ms were well above the noise, and no 300 ms since were near it.
    #[must_use]
    pub fn is_speaking(&self) -> bool {
        self.speaking
    }

    /// The last frame may be left out or doubled unheard: it does not speak, and is as quiet as the noise.
    #[must_use]
    pub fn is_pause(&self) -> bool {
        !self.speaking && decibels(self.powers[SHOWN - 1]) < self.ends_below()
    }

    /// The noise behind the voice, in decibels below full scale: the least of the last 3 s, between 50 and 75.
    #[must_use]
    pub fn noise(&self) -> u8 {
        below_full_scale(self.noise_decibels())
    }

    /// How loud it usually speaks, in decibels below full scale; `None` until it has spoken.
    #[must_use]
    pub fn usual(&self) -> Option<u8> {
        self.usual.map(below_full_scale)
    }

    fn follow_noise(&mut self) {
        if self.frames == 0 {
            self.least.rotate_left(1);
            self.least[PIECES - 1] = 0.0;
        }
        self.frames = (self.frames + 1) % PIECE;
        let least = &mut self.least[PIECES - 1];
        *least = least.min(self.smoothed);
    }

    fn noise_decibels(&self) -> f32 {
        self.least.iter().copied().fold(0.0, f32::min).clamp(*NOISE.start(), *NOISE.end())
    }

    fn ends_below(&self) -> f32 {
        (self.noise_decibels() + ENDS_BELOW).max(QUIETEST_SPEECH - (BEGINS_ABOVE - ENDS_BELOW))
    }

    fn judge(&mut self, level: f32) {
        let begins_above = (self.noise_decibels() + BEGINS_ABOVE).max(QUIETEST_SPEECH);
        self.loud = if level > begins_above { self.loud.saturating_add(1) } else { 0 };
        let goes_on = if self.speaking { level > self.ends_below() } else { self.loud >= ONSET };
        if goes_on {
            self.speaking = true;
            self.hangover = HANGOVER;
        } else if self.speaking {
            self.hangover -= 1;
            self.speaking = self.hangover > 0;
        }
        if self.speaking && level > begins_above {
            let usual = self.usual.get_or_insert(level);
            *usual += (level - *usual) * USUAL;
        }
    }
}

fn power(samples: &[i16]) -> f32 {
    // In whole vectors: 16 squares of 30 bits at most, by 64 bits.
    let sum: u64 = samples
        .chunks(2)
        .map(|pair| pair.iter().map(|sample| i32::from(*sample).pow(2) as u32).sum::<u32>())
        .map(u64::from)
        .sum();
    sum as f32 / samples.len().max(1) as f32
}

/// Relative to a full-scale square wave (RFC 6464 §3: dBov).
fn decibels(power: f32) -> f32 {
    if power > 0.0 { (10.0 * (power / (32_767.0 * 32_767.0)).log10()).clamp(NOTHING, 0.0) } else { NOTHING }
}

fn below_full_scale(decibels: f32) -> u8 {
    (-decibels).round().clamp(0.0, 127.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 160;

    fn tone(amplitude: f32, frame: usize) -> Vec<i16> {
        let phase = |n: usize| (frame * FRAME + n) as f32 * 2.0 * std::f32::consts::PI * 440.0 / 8_000.0;
        (0..FRAME).map(|n| (phase(n).sin() * amplitude) as i16).collect()
    }

    fn noise(amplitude: i32, frame: usize) -> Vec<i16> {
        let mut state = frame as u32 * 7_919 + 1;
        (0..FRAME)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 16) as i32 % (2 * amplitude + 1) - amplitude) as i16
            })
            .collect()
    }

    #[test]
    fn levels_are_those_of_rfc_6464() {
        for (samples, level) in [
            (vec![i16::MAX; FRAME], 0),
            (tone(32_767.0, 0), 3),
            (tone(3_276.7, 0), 23),
            (vec![0; FRAME], 127),
            (vec![1; FRAME], 90),
        ] {
            let mut meter = Meter::default();
            (0..5).for_each(|_| meter.feed(&samples));
            assert_eq!(meter.level(), level);
            assert_eq!(meter.frame_level(), level);
        }
        assert_eq!(Meter::default().level(), 127);
        Meter::default().feed(&[]);
    }

    #[test]
    fn a_level_is_of_100_ms() {
        let mut meter = Meter::default();
        meter.feed(&[i16::MAX; FRAME]);
        assert_eq!(meter.level(), 7, "a fifth of it");
        (0..4).for_each(|_| meter.feed(&[0; FRAME]));
        assert_eq!((meter.level(), meter.frame_level()), (7, 127));
        meter.feed(&[0; FRAME]);
        assert_eq!(meter.level(), 127);
    }

    #[test]
    fn speech_begins_after_two_frames_and_ends_after_300_ms() {
        let mut meter = Meter::default();
        for n in 0..50 {
            meter.feed(&noise(20, n));
        }
        assert!(!meter.is_speaking() && meter.is_pause());
        meter.feed(&tone(5_000.0, 0));
        assert!(!meter.is_speaking() && !meter.is_pause(), "one frame may be a click");
        meter.feed(&tone(5_000.0, 1));
        assert!(meter.is_speaking());
        let lasted = (0..50)
            .take_while(|n| {
                meter.feed(&noise(20, *n));
                meter.is_speaking()
            })
            .count();
        assert_eq!(lasted, 14);
        assert!(meter.is_pause());
        assert_eq!(meter.usual(), Some(19));
    }

    #[test]
    fn between_the_thresholds_it_stays_as_it_was() {
        let mut meter = Meter::default();
        (0..50).for_each(|n| meter.feed(&noise(100, n)));
        let between = 100 * 10_i32.pow(2) / 40; // 8 dB up
        (0..50).for_each(|n| meter.feed(&noise(between, n)));
        assert!(!meter.is_speaking());
        (0..5).for_each(|n| meter.feed(&tone(5_000.0, n)));
        (0..50).for_each(|n| meter.feed(&noise(between, n)));
        assert!(meter.is_speaking());
    }

    #[test]
    fn noise_is_followed_down_at_once_and_up_within_seconds() {
        let mut meter = Meter::default();
        (0..10).for_each(|n| meter.feed(&noise(100, n)));
        let loud = meter.noise();
        assert!((54..=56).contains(&loud), "{loud}");
        (0..30).for_each(|n| meter.feed(&noise(20, n)));
        assert!((68..=70).contains(&meter.noise()), "{}", meter.noise());
        (0..200).for_each(|n| meter.feed(&noise(100, n)));
        assert_eq!(meter.noise(), loud);
        assert!(!meter.is_speaking());
    }

    #[test]
    fn a_tone_that_lasts_stays_speech_and_silence_is_no_noise() {
        let mut meter = Meter::default();
        (0..1_000).for_each(|n| meter.feed(&tone(2_000.0, n)));
        assert!(meter.is_speaking());
        (0..1_000).for_each(|_| meter.feed(&[0; FRAME]));
        assert!(meter.is_pause());
        (0..10).for_each(|n| meter.feed(&noise(40, n)));
        assert!(!meter.is_speaking(), "the room after silence is not speech");
    }
}
