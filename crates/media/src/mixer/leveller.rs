//! Brings one side to a common loudness: slowly, and by what is spoken alone, so that pauses and noise move nothing.

use crate::level::Meter;

/// Where a voice is brought to: so much below full scale (RFC 6464).
const TARGET_DB: f32 = 24.0;
/// So much quieter or louder at most.
const RANGE_DB: std::ops::RangeInclusive<f32> = -12.0..=18.0;
/// The gain moves so much a frame at most: 6 dB a second of speech.
const SLEW_DB: f32 = 0.12;
/// A voice is known no better than this.
const NEAR_DB: f32 = 1.0;

/// One side's gain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leveller {
    gain_db: f32,
}

impl Leveller {
    /// One frame of the side, as its meter has it. The factor that its samples are to have at the frame's end.
    pub(super) fn follow(&mut self, meter: &Meter) -> f32 {
        if let Some(usual) = meter.usual().filter(|_| meter.is_speaking()) {
            let wanted = (f32::from(usual) - TARGET_DB).clamp(*RANGE_DB.start(), *RANGE_DB.end());
            if (wanted - self.gain_db).abs() > NEAR_DB {
                self.gain_db += (wanted - self.gain_db).clamp(-SLEW_DB, SLEW_DB);
            }
        }
        10_f32.powf(self.gain_db / 20.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square wave has its amplitude as its level.
    fn frame(level_db: f32) -> [i16; 160] {
        let amplitude = (32_767.0 * 10_f32.powf(level_db / 20.0)) as i16;
        std::array::from_fn(|n| if n % 2 == 0 { amplitude } else { -amplitude })
    }

    #[derive(Default)]
    struct Side {
        meter: Meter,
        leveller: Leveller,
    }

    impl Side {
        /// So many frames of this: the gain at the end.
        fn hear(&mut self, frames: usize, level_db: impl Fn(usize) -> f32) -> f32 {
            for n in 0..frames {
                let before = self.leveller.gain_db;
                self.meter.feed(&frame(level_db(n)));
                self.leveller.follow(&self.meter);
                assert!((self.leveller.gain_db - before).abs() <= SLEW_DB + 1e-4, "a jump");
            }
            self.leveller.gain_db
        }

        /// Words and pauses.
        fn speak(&mut self, level_db: f32) -> f32 {
            self.hear(600, |n| if n % 50 < 30 { level_db } else { -75.0 })
        }
    }

    #[test]
    fn a_low_voice_and_a_loud_one_meet() {
        for (level_db, gain_db) in [(-36.0, 12.0), (-14.0, -10.0), (-24.0, 0.0), (-48.0, 18.0), (-3.0, -12.0)] {
            let gain = Side::default().speak(level_db);
            assert!((gain - gain_db).abs() <= 1.5, "{level_db} dB: {gain} instead of {gain_db}");
        }
    }

    #[test]
    fn pauses_and_noise_move_nothing() {
        let mut side = Side::default();
        let gain = side.speak(-36.0);
        let later = side.hear(50, |_| -75.0);
        assert!((gain - later).abs() < 1.0, "{gain} dB, {later} after a second");
        assert_eq!(side.hear(500, |_| -75.0), later, "ten seconds of pause");
        assert_eq!(side.hear(500, |_| -127.0), later, "of nothing");
    }
}
