//! Comfort noise (RFC 3389): what a sender that is silent says of its room, and that room's sound.

/// Coefficients of the spectrum that are looked at; a sender may tell more (RFC 3389 §3 leaves the order open).
pub const MAX_ORDER: usize = 12;
/// The quietest level that there is, in decibels below full scale.
const QUIETEST: u8 = 127;
/// Of the way from the level that is to the one that was told, in a sample at 8 kHz: some 20 ms.
const GLIDE: f32 = 1.0 / 160.0;

/// A room: how loud it is, and its spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comfort {
    below_full_scale: u8,
    /// Reflection coefficients of an all-pole filter.
    reflections: [f32; MAX_ORDER],
    /// Of them.
    order: usize,
}

/// Makes the sound of rooms, one after another without a step between.
#[derive(Clone, Debug)]
pub struct Generator {
    state: u32,
    /// What is played, and where it goes.
    gain: f32,
    target: f32,
    comfort: Comfort,
    lattice: [f32; MAX_ORDER + 1],
}

impl Comfort {
    /// What a payload of comfort noise tells; `None`: it is empty. Without a spectrum it is white.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (level, spectrum) = payload.split_first()?;
        let order = spectrum.len().min(MAX_ORDER);
        let mut reflections = [0.0; MAX_ORDER];
        for (reflection, byte) in reflections.iter_mut().zip(spectrum) {
            // RFC 3389 §3.2: N = 127 (1 + k); what no filter can bear is kept within.
            *reflection = ((f32::from(*byte) - 127.0) / 127.0).clamp(-0.99, 0.99);
        }
        Some(Self { below_full_scale: level & 0x7f, reflections, order })
    }

    /// A room without a spectrum, so many decibels below full scale.
    #[must_use]
    pub fn white(below_full_scale: u8) -> Self {
        Self { below_full_scale: below_full_scale.min(QUIETEST), reflections: [0.0; MAX_ORDER], order: 0 }
    }

    /// How loud it is, in decibels below full scale.
    #[must_use]
    pub fn below_full_scale(&self) -> u8 {
        self.below_full_scale
    }

    /// The payload for a listener that takes comfort noise: its level alone, as telephones write it.
    #[must_use]
    pub fn payload(&self) -> [u8; 1] {
        [self.below_full_scale]
    }

    /// By which white noise of power 1 must be multiplied so that the filter makes it as loud as told. An all-pole filter
    /// makes power larger by the product of 1 / (1 - k²).
    fn gain(&self) -> f32 {
        if self.below_full_scale >= QUIETEST {
            return 0.0;
        }
        let left: f32 = self.reflections[..self.order].iter().map(|k| 1.0 - k * k).product();
        32_767.0 * 10_f32.powf(-f32::from(self.below_full_scale) / 20.0) * left.sqrt()
    }
}

impl Generator {
    /// In silence. The seed is anything but the same for two that are heard together.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        let comfort = Comfort::white(QUIETEST);
        Self { state: seed | 1, gain: 0.0, target: 0.0, comfort, lattice: [0.0; MAX_ORDER + 1] }
    }

    /// The room from now on.
    pub fn tell(&mut self, comfort: Comfort) {
        self.target = comfort.gain();
        self.comfort = comfort;
    }

    /// The sound of the room, as long as `out`.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            self.gain += (self.target - self.gain) * GLIDE;
            let white = self.white() * self.gain;
            *sample = self.shaped(white).clamp(-32_768.0, 32_767.0) as i16;
        }
    }

    /// Of power 1: xorshift, evenly spread.
    fn white(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        const SPREAD: f32 = 1.732_050_8; // ±√3 evenly has a power of 1
        self.state as i32 as f32 / 2_147_483_648.0 * SPREAD
    }

    /// Through the all-pole lattice of the reflection coefficients.
    fn shaped(&mut self, input: f32) -> f32 {
        let mut forward = input;
        for n in (0..self.comfort.order).rev() {
            let k = self.comfort.reflections[n];
            forward -= k * self.lattice[n];
            self.lattice[n + 1] = self.lattice[n] + k * forward;
        }
        self.lattice[0] = forward;
        forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Meter;

    fn sound(comfort: Comfort, samples: usize) -> Vec<i16> {
        let mut generator = Generator::new(20_261_124);
        generator.tell(comfort);
        let mut out = vec![0; samples + 1_600];
        generator.fill(&mut out);
        out.split_off(1_600)
    }

    /// Likeness of each sample to the next: -1 to 1.
    fn colour(samples: &[i16]) -> f64 {
        let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        samples.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1])).sum::<f64>() / power
    }

    #[test]
    fn noise_is_as_loud_as_told() {
        for payload in [&[30_u8][..], &[50], &[65], &[50, 200], &[50, 40, 180, 127, 100], &[40, 0], &[40, 127, 255]] {
            let mut meter = Meter::default();
            sound(Comfort::parse(payload).unwrap(), 16_000).chunks(160).for_each(|frame| meter.feed(frame));
            assert!(meter.level().abs_diff(payload[0]) <= 3, "{payload:?}: {}", meter.level());
        }
        assert_eq!(sound(Comfort::white(127), 800), vec![0; 800]);
    }

    #[test]
    fn its_spectrum_is_as_told() {
        // A first reflection of -0.8 makes neighbours alike, 0.8 makes them opposite.
        assert!(colour(&sound(Comfort::parse(&[30, 25]).unwrap(), 16_000)) > 0.7);
        assert!(colour(&sound(Comfort::parse(&[30, 229]).unwrap(), 16_000)) < -0.7);
        assert!(colour(&sound(Comfort::parse(&[30, 127]).unwrap(), 16_000)).abs() < 0.05);
    }

    #[test]
    fn a_level_glides_to_the_next() {
        let mut generator = Generator::new(1);
        let mut frame = [0; 160];
        generator.tell(Comfort::white(20));
        (0..10).for_each(|_| generator.fill(&mut frame));
        generator.tell(Comfort::white(127));
        let levels: Vec<u16> = (0..8)
            .map(|_| {
                generator.fill(&mut frame);
                frame.iter().map(|sample| sample.unsigned_abs()).max().unwrap()
            })
            .collect();
        assert!(levels[0] > levels[1] && levels[1] > levels[3] && levels[0] > 1_000, "{levels:?}");
        assert!(levels[7] < 20, "{levels:?}");
    }

    #[test]
    fn any_payload_is_taken() {
        assert_eq!(Comfort::parse(&[]), None);
        let long = vec![255; 300];
        let comfort = Comfort::parse(&long).unwrap();
        assert_eq!((comfort.below_full_scale(), comfort.payload()), (127, [127]));
        for byte in 0..=255 {
            sound(Comfort::parse(&[0, byte, 255 - byte, byte, 255, 0, byte]).unwrap(), 500);
        }
    }
}
