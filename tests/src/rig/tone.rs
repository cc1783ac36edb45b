//! Tones: made as A-law files for SIPp and WAV files for baresip, and found again in what was heard.

/// One second of a sine at 8 kHz, 16 bit.
pub fn sine(hz: f64, amplitude: f64) -> Vec<i16> {
    sine_at(hz, amplitude, 8000)
}

/// The same at another rate.
pub fn sine_at(hz: f64, amplitude: f64, rate: u32) -> Vec<i16> {
    let step = 2.0 * std::f64::consts::PI * hz / f64::from(rate);
    (0..rate).map(|n| (amplitude * (step * f64::from(n)).sin()) as i16).collect()
}

/// G.711 A-law by the segment rule (ITU-T G.711 table 1a), written apart from the engine's tables.
pub fn to_alaw(sample: i16) -> u8 {
    let (sign, magnitude) =
        if sample >= 0 { (0x80u8, i32::from(sample) >> 3) } else { (0, (-i32::from(sample) - 1).max(0) >> 3) };
    let magnitude = magnitude.min(0xFFF);
    let segment = if magnitude < 0x20 { 0 } else { 27 - magnitude.leading_zeros() as i32 };
    let low = if segment < 2 { (magnitude >> 1) & 0xF } else { (magnitude >> segment) & 0xF };
    (sign | (segment << 4) as u8 | low as u8) ^ 0x55
}

/// The inverse of [`to_alaw`], to the middle of its interval.
pub fn from_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let segment = i32::from((byte >> 4) & 7);
    let low = i32::from(byte & 0xF);
    let magnitude = if segment == 0 { (low << 4) + 8 } else { ((low << 4) + 0x108) << (segment - 1) };
    if byte & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 }
}

/// G.711 µ-law to linear.
pub fn from_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i32::from(byte & 0xF) << 3) + 0x84) << ((byte >> 4) & 7)) - 0x84;
    if byte & 0x80 != 0 { -magnitude as i16 } else { magnitude as i16 }
}

/// Share (0 to 1) of the energy that lies at `hz`, by Goertzel over 50 ms blocks; 0 in silence.
pub fn share(samples: &[i16], hz: f64, rate: f64) -> f64 {
    let total: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    if total < 500.0 {
        return 0.0;
    }
    let size = (rate / 20.0) as usize;
    let coefficient = 2.0 * (2.0 * std::f64::consts::PI * hz / rate).cos();
    let (mut power, mut blocks) = (0.0, 0);
    for block in samples.chunks_exact(size) {
        let (mut q1, mut q2) = (0.0, 0.0);
        for sample in block {
            let q0 = coefficient * q1 - q2 + f64::from(*sample);
            (q2, q1) = (q1, q0);
        }
        power += (q1 * q1 + q2 * q2 - coefficient * q1 * q2) * 2.0 / (size * size) as f64;
        blocks += 1;
    }
    if blocks == 0 { 0.0 } else { (power / f64::from(blocks) / total).min(1.0) }
}

#[test]
fn a_tone_survives_alaw_and_is_found_alone() {
    let heard: Vec<i16> = sine(800.0, 8000.0).into_iter().map(|s| from_alaw(to_alaw(s))).collect();
    assert!(share(&heard, 800.0, 8000.0) > 0.95);
    assert!(share(&heard, 440.0, 8000.0) < 0.01);
}
