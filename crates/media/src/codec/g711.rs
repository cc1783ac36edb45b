//! ITU-T G.711: A-law and µ-law on 16-bit linear samples, scaled as in ITU-T G.191.

/// By which law 16 bits become 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// µ-law: payload type 0.
    Mu,
    /// A-law: payload type 8.
    A,
}

impl Law {
    /// Linear samples, one for each byte of payload, as far as `out` reaches.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) {
        let table = match self {
            Self::Mu => &ULAW,
            Self::A => &ALAW,
        };
        for (sample, byte) in out.iter_mut().zip(payload) {
            *sample = table[usize::from(*byte)];
        }
    }

    /// Payload for linear samples, as far as `out` reaches.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) {
        let encode = match self {
            Self::Mu => ulaw,
            Self::A => alaw,
        };
        for (byte, sample) in out.iter_mut().zip(samples) {
            *byte = encode(*sample);
        }
    }

    /// The byte that is silence.
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xff,
            Self::A => 0xd5,
        }
    }
}

/// µ-law bytes as samples.
pub static ULAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand_ulaw(byte as u8);
        byte += 1;
    }
    table
};

/// A-law bytes as samples.
pub static ALAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = expand_alaw(byte as u8);
        byte += 1;
    }
    table
};

/// The µ-law byte of a sample.
#[must_use]
pub fn ulaw(sample: i16) -> u8 {
    // 13-bit magnitude in one's complement, biased by 33 so that each of eight segments begins at a power of two.
    let magnitude = ((magnitude(sample) >> 2) + 33).min(0x1fff);
    let segment = 10_u32.saturating_sub(magnitude.leading_zeros()); // 33 has ten zeros before it
    let mantissa = (magnitude >> (segment + 1)) as u8 & 0x0f;
    !((segment as u8) << 4 | mantissa) & 0x7f | sign(sample)
}

/// The A-law byte of a sample.
#[must_use]
pub fn alaw(sample: i16) -> u8 {
    let magnitude = magnitude(sample) >> 4; // 11 bits
    let segment = 12_u32.saturating_sub(magnitude.leading_zeros()); // 16 has eleven zeros before it
    // The two lowest segments have the same step.
    let mantissa = (magnitude >> segment.saturating_sub(1)) as u8 & 0x0f;
    ((segment as u8) << 4 | mantissa | sign(sample)) ^ 0x55
}

fn magnitude(sample: i16) -> u16 {
    (if sample < 0 { !sample } else { sample }) as u16
}

fn sign(sample: i16) -> u8 {
    if sample < 0 { 0 } else { 0x80 }
}

const fn expand_ulaw(byte: u8) -> i16 {
    let code = !byte;
    let magnitude = ((((code & 0x0f) as i16) << 3) + 0x84) << (code >> 4 & 0x07);
    if code & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

const fn expand_alaw(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = code >> 4 & 0x07;
    let mantissa = (((code & 0x0f) as i16) << 4) + 8;
    let magnitude = if segment == 0 { mantissa } else { (mantissa + 0x100) << (segment - 1) };
    if code & 0x80 == 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ITU-T G.191's `ulaw_compress`, step by step.
    fn reference_ulaw(sample: i16) -> u8 {
        let mut magnitude = if sample < 0 { (!sample >> 2) + 33 } else { (sample >> 2) + 33 };
        if magnitude > 0x1fff {
            magnitude = 0x1fff;
        }
        let mut segment = 1;
        let mut above = magnitude >> 6;
        while above != 0 {
            segment += 1;
            above >>= 1;
        }
        let byte = ((8 - segment) << 4) | (0x0f - ((magnitude >> segment) & 0x0f));
        (if sample >= 0 { byte | 0x80 } else { byte }) as u8
    }

    /// ITU-T G.191's `alaw_compress`, step by step.
    fn reference_alaw(sample: i16) -> u8 {
        let mut code = if sample < 0 { !sample >> 4 } else { sample >> 4 };
        if code > 15 {
            let mut exponent = 1;
            while code > 16 + 15 {
                code >>= 1;
                exponent += 1;
            }
            code = code - 16 + (exponent << 4);
        }
        ((if sample >= 0 { code | 0x80 } else { code }) ^ 0x55) as u8
    }

    #[test]
    fn every_sample_is_encoded_as_the_reference_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(ulaw(sample), reference_ulaw(sample), "µ-law of {sample}");
            assert_eq!(alaw(sample), reference_alaw(sample), "A-law of {sample}");
        }
    }

    #[test]
    fn every_byte_survives_the_round_trip() {
        for byte in 0..=255u8 {
            assert_eq!(alaw(ALAW[usize::from(byte)]), byte);
            // µ-law has a negative zero, which linear samples have not.
            assert_eq!(ulaw(ULAW[usize::from(byte)]), if byte == 0x7f { 0xff } else { byte });
        }
    }

    #[test]
    fn known_values() {
        assert_eq!((ULAW[0x80], ULAW[0x00], ULAW[0xff], ULAW[0xfe]), (32_124, -32_124, 0, 8));
        assert_eq!((ALAW[0xaa], ALAW[0x2a], ALAW[0xd5], ALAW[0x55]), (32_256, -32_256, 8, -8));
    }

    #[test]
    fn the_error_stays_within_half_a_step() {
        for sample in i16::MIN..=i16::MAX {
            for decoded in [ULAW[usize::from(ulaw(sample))], ALAW[usize::from(alaw(sample))]] {
                let error = (i32::from(sample) - i32::from(decoded)).abs();
                let clipped = i32::from(sample).abs() > 31_600;
                assert!(clipped || error <= (i32::from(sample).abs() + 132) / 32 + 4, "{sample} became {decoded}");
            }
        }
    }
}
