//! G.711 (ITU-T G.711), by the formulas and not by the tables that `media` uses, so that a mistake there is heard here.

/// What a phone speaks. All have 8 kHz and 20 ms frames of 160 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// µ-law, payload type 0.
    Pcmu,
    /// A-law, payload type 8.
    Pcma,
    /// Stands for everything that is no G.711: named G.729, payload type 18. The two phones understand each other (it is
    /// µ-law inside), nobody between them does.
    G729,
}

impl Codec {
    /// Its static payload type (RFC 3551 §6).
    #[must_use]
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G729 => 18,
        }
    }

    /// By static payload type.
    #[must_use]
    pub fn of(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            18 => Some(Self::G729),
            _ => None,
        }
    }

    /// Encoding name in an rtpmap.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G729 => "G729",
        }
    }

    /// One sample to one byte.
    #[must_use]
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Pcmu | Self::G729 => encode_mu(sample),
            Self::Pcma => encode_a(sample),
        }
    }

    /// One byte to one sample.
    #[must_use]
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Pcmu | Self::G729 => decode_mu(byte),
            Self::Pcma => decode_a(byte),
        }
    }
}

const BIAS: i32 = 0x84;

fn encode_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs() + BIAS).min(0x7fff);
    let exponent = (31 - magnitude.leading_zeros() as i32 - 7).clamp(0, 7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !((sign | (exponent << 4) | mantissa) as u8)
}

fn decode_mu(byte: u8) -> i16 {
    let bits = i32::from(!byte);
    let exponent = (bits >> 4) & 7;
    let magnitude = ((((bits & 0x0f) << 3) + BIAS) << exponent) - BIAS;
    (if bits & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

fn encode_a(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = if sample < 0 { -(i32::from(sample)) - 1 } else { i32::from(sample) } >> 4;
    let bits = if magnitude < 16 {
        magnitude
    } else {
        let exponent = 31 - magnitude.leading_zeros() as i32 - 3;
        (exponent << 4) | ((magnitude >> (exponent - 1)) & 0x0f)
    };
    ((sign | bits) as u8) ^ 0x55
}

fn decode_a(byte: u8) -> i16 {
    let bits = i32::from(byte ^ 0x55);
    let exponent = (bits >> 4) & 7;
    let mantissa = bits & 0x0f;
    let magnitude = if exponent == 0 { (mantissa << 4) + 8 } else { ((mantissa << 4) + 0x108) << (exponent - 1) };
    (if bits & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            for byte in 0..=255u8 {
                let sample = codec.decode(byte);
                assert_eq!(codec.decode(codec.encode(sample)), sample, "{codec:?} {byte:#x}");
            }
        }
    }

    #[test]
    fn known_values_of_the_recommendation() {
        assert_eq!((decode_mu(0xff), decode_mu(0x80), decode_mu(0x00)), (0, 32124, -32124));
        assert_eq!((decode_a(0xd5), decode_a(0xaa), decode_a(0x2a)), (8, 32256, -32256));
    }
}
