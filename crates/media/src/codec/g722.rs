//! ITU-T G.722 at 64 kbit/s: two bands by a quadrature mirror filter, each coded by adaptive differences, a byte for every
//! two samples at 16 kHz. Blocks are named as in the Recommendation (clauses 3 and 4).

const LOW: usize = 0;
const HIGH: usize = 1;

/// Decision levels of the lower band's 6-bit quantiser (table 14).
const Q6: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
/// Codes of the lower band's intervals, negative and positive.
const ILN: [u8; 30] =
    [63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4];
const ILP: [u8; 30] = [
    61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33,
    32,
];
/// Inverse quantisers: lower band by 6 and by 4 bits, higher band by 2.
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
const QM4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
/// Steps of the scale factors' logarithms, by code.
const WL: [i32; 16] = [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];
const WH: [i32; 4] = [798, -214, 798, -214];
/// 2048 · 2^(n/32).
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// Half of the mirror filter's 24 taps; the other half is the same backwards (table 11).
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
const QMF_BACKWARDS: [i32; 12] = [-11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3];

/// One stream's reader.
#[derive(Clone, Debug)]
pub struct Decoder {
    bands: Bands,
    sums: Delay,
    differences: Delay,
}

/// One stream's writer.
#[derive(Clone, Debug)]
pub struct Encoder {
    bands: Bands,
    odd: Delay,
    even: Delay,
}

impl Decoder {
    /// Two samples a byte, as far as `out` reaches.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) {
        for (byte, pair) in payload.iter().zip(out.chunks_exact_mut(2)) {
            let low = self.low(byte & 0x3f).clamp(-16_384, 16_383);
            let high = self.high(byte >> 6).clamp(-16_384, 16_383);
            let first = self.differences.push(low - high, &QMF_BACKWARDS);
            let second = self.sums.push(low + high, &QMF);
            pair[0] = clipped(first >> 11) as i16;
            pair[1] = clipped(second >> 11) as i16;
        }
    }

    fn low(&mut self, code: u8) -> i32 {
        let band = &mut self.bands[LOW];
        // What is heard is read by all six bits, what predicts by the upper four: lower bits may be stolen for data.
        let heard = band.estimate + ((band.scale * QM6[usize::from(code)]) >> 15);
        band.adapt_low(usize::from(code >> 2));
        heard
    }

    fn high(&mut self, code: u8) -> i32 {
        let band = &mut self.bands[HIGH];
        let estimate = band.estimate;
        estimate + band.adapt_high(usize::from(code))
    }
}

impl Encoder {
    /// A byte for two samples, as far as `out` reaches.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) {
        for (pair, byte) in samples.chunks_exact(2).zip(out) {
            let odd = self.odd.push(i32::from(pair[0]), &QMF);
            let even = self.even.push(i32::from(pair[1]), &QMF_BACKWARDS);
            let low = self.low((even + odd) >> 14);
            let high = self.high((even - odd) >> 14);
            *byte = high << 6 | low;
        }
    }

    fn low(&mut self, sample: i32) -> u8 {
        let band = &mut self.bands[LOW];
        let error = clipped(sample - band.estimate);
        let magnitude = if error < 0 { !error } else { error };
        let interval = Q6.partition_point(|level| (level * band.scale) >> 12 <= magnitude);
        let code = if error < 0 { ILN[interval] } else { ILP[interval] };
        band.adapt_low(usize::from(code >> 2));
        code
    }

    fn high(&mut self, sample: i32) -> u8 {
        let band = &mut self.bands[HIGH];
        let error = clipped(sample - band.estimate);
        let magnitude = if error < 0 { !error } else { error };
        let is_large = magnitude >= (564 * band.scale) >> 12;
        let code = if error < 0 { u8::from(!is_large) } else { 2 | u8::from(!is_large) };
        band.adapt_high(usize::from(code));
        code
    }
}

/// Twelve past values, of every second sample.
#[derive(Clone, Debug, Default)]
struct Delay([i32; 12]);

impl Delay {
    /// One more value: what they are by the taps.
    fn push(&mut self, value: i32, taps: &[i32; 12]) -> i32 {
        self.0.copy_within(1.., 0);
        self.0[11] = value;
        self.0.iter().zip(taps).map(|(value, tap)| value * tap).sum()
    }
}

type Bands = [Band; 2];

/// A band's adaptive predictor and quantiser.
#[derive(Clone, Debug)]
struct Band {
    /// What the next sample is thought to be.
    estimate: i32,
    /// The part of it that the zeros have (FILTEZ).
    zeros: i32,
    /// Logarithm of the quantiser's scale, and the scale (NABL, DETL).
    log_scale: i32,
    scale: i32,
    /// Coefficients and past of the second-order pole section.
    a: [i32; 2],
    reconstructed: [i32; 2],
    partial: [i32; 2],
    /// Coefficients and past of the sixth-order zero section.
    b: [i32; 6],
    differences: [i32; 6],
}

impl Band {
    fn with_scale(scale: i32) -> Self {
        Self {
            estimate: 0,
            zeros: 0,
            log_scale: 0,
            scale,
            a: [0; 2],
            reconstructed: [0; 2],
            partial: [0; 2],
            b: [0; 6],
            differences: [0; 6],
        }
    }

    fn adapt_low(&mut self, code: usize) {
        let difference = (self.scale * QM4[code]) >> 15;
        self.log_scale = (((self.log_scale * 127) >> 7) + WL[code]).clamp(0, 18_432);
        self.scale = scale(self.log_scale, 8);
        self.predict(difference);
    }

    fn adapt_high(&mut self, code: usize) -> i32 {
        let difference = (self.scale * QM2[code]) >> 15;
        self.log_scale = (((self.log_scale * 127) >> 7) + WH[code]).clamp(0, 22_528);
        self.scale = scale(self.log_scale, 10);
        self.predict(difference);
        difference
    }

    /// Block 4: both sections adapt to the difference, then say what comes next.
    fn predict(&mut self, difference: i32) {
        let reconstructed = clipped(self.estimate + difference);
        let partial = clipped(self.zeros + difference);
        self.adapt_poles(partial);
        self.adapt_zeros(difference);

        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.partial = [partial, self.partial[0]];

        let by = |coefficient: i32, past: i32| (coefficient * clipped(past << 1)) >> 15;
        let poles = by(self.a[0], self.reconstructed[0]) + by(self.a[1], self.reconstructed[1]);
        self.zeros = clipped(self.b.iter().zip(&self.differences).map(|(b, past)| by(*b, *past)).sum());
        self.estimate = clipped(clipped(poles) + self.zeros);
    }

    /// UPPOL2, UPPOL1.
    fn adapt_poles(&mut self, partial: i32) {
        let same = |past: i32| (partial < 0) == (past < 0);
        let first = clipped(self.a[0] << 2);
        let step = if same(self.partial[0]) { (-first).min(32_767) } else { first };
        let step = (step >> 7) + if same(self.partial[1]) { 128 } else { -128 };
        let second = (step + ((self.a[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        let step = if same(self.partial[0]) { 192 } else { -192 };
        let limit = clipped(15_360 - second);
        self.a = [clipped(step + ((self.a[0] * 32_640) >> 15)).clamp(-limit, limit), second];
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, difference: i32) {
        let size = if difference == 0 { 0 } else { 128 };
        for (b, past) in self.b.iter_mut().zip(&self.differences) {
            let step = if (difference < 0) == (*past < 0) { size } else { -size };
            *b = clipped(step + ((*b * 32_640) >> 15));
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self { bands: bands(), sums: Delay::default(), differences: Delay::default() }
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self { bands: bands(), odd: Delay::default(), even: Delay::default() }
    }
}

fn bands() -> Bands {
    [Band::with_scale(32), Band::with_scale(8)]
}

/// SCALEL, SCALEH.
fn scale(log: i32, shift: i32) -> i32 {
    let mantissa = ILB[(log >> 6 & 31) as usize];
    let shift = shift - (log >> 11);
    (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2
}

fn clipped(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}
