//! A-law and µ-law (ITU-T G.711 tables 1 and 2).

const ULAW: [i16; 256] = table(true);
const ALAW: [i16; 256] = table(false);

const fn table(ulaw: bool) -> [i16; 256] {
    let mut out = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        out[byte] = if ulaw { ulaw_value(byte as u8) } else { alaw_value(byte as u8) };
        byte += 1;
    }
    out
}

const fn ulaw_value(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((((byte & 0x0F) as i16) << 3) + 0x84) << ((byte >> 4) & 7);
    if byte & 0x80 != 0 { 0x84 - magnitude } else { magnitude - 0x84 }
}

const fn alaw_value(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let low = ((byte & 0x0F) as i16) << 4;
    let magnitude = match (byte >> 4) & 7 {
        0 => low + 8,
        segment => (low + 0x108) << (segment - 1),
    };
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

/// µ-law to 16-bit linear.
#[must_use]
pub fn ulaw_decode(byte: u8) -> i16 {
    ULAW[usize::from(byte)]
}

/// A-law to 16-bit linear.
#[must_use]
pub fn alaw_decode(byte: u8) -> i16 {
    ALAW[usize::from(byte)]
}

/// 16-bit linear to µ-law.
#[must_use]
pub fn ulaw_encode(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80u8 } else { 0 };
    let magnitude = (i32::from(sample).abs().min(32_635)) + 0x84;
    let segment = (24 - magnitude.leading_zeros() as i32).max(0);
    let low = (magnitude >> (segment + 3)) & 0x0F;
    !(sign | (segment as u8) << 4 | low as u8)
}

/// 16-bit linear to A-law.
#[must_use]
pub fn alaw_encode(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80u8, i32::from(sample)) } else { (0, -i32::from(sample) - 1) };
    let magnitude = (magnitude >> 4).min(0x7FF);
    let segment = (28 - magnitude.leading_zeros() as i32).max(0);
    let low = if segment < 2 { magnitude & 0x0F } else { (magnitude >> (segment - 1)) & 0x0F };
    (sign | (segment as u8) << 4 | low as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code comes back to itself (µ-law has two zeros), and no sample is off by more than half its step.
    #[test]
    fn codes_round_trip_and_samples_are_off_by_half_a_step_at_most() {
        type Law = (fn(u8) -> i16, fn(i16) -> u8);
        for (decode, encode) in
            [(ulaw_decode as fn(u8) -> i16, ulaw_encode as fn(i16) -> u8), (alaw_decode, alaw_encode)] as [Law; 2]
        {
            for byte in 0..=255u8 {
                assert_eq!(decode(encode(decode(byte))), decode(byte), "code {byte:#x}");
            }
            for sample in (i16::MIN..=i16::MAX).step_by(7) {
                let error = (i32::from(decode(encode(sample))) - i32::from(sample)).abs();
                // Half a step: a 32nd of the segment's start, and the smallest step near zero.
                assert!(error * 32 <= i32::from(sample).abs() + 600, "sample {sample}: error {error}");
            }
        }
    }
}
