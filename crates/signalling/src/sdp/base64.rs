//! Base64 with the alphabet of RFC 4648 §4, as `inline:` keys are written (RFC 4568 §9.2).

use zeroize::Zeroizing;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as text, with padding.
pub(super) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let letter = ALPHABET.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'A');
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Text as bytes; padding may be missing, as some phones leave it out. `None`: it is no base64, or does not fit.
pub(super) fn decode<const N: usize>(text: &str) -> Option<(Zeroizing<[u8; N]>, usize)> {
    let letters = text.trim_end_matches('=');
    if text.len() - letters.len() > 2 || letters.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Zeroizing::new([0; N]);
    let (mut length, mut bits, mut filled) = (0, 0_u32, 0_u32);
    for letter in letters.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        filled += 6;
        if filled >= 8 {
            filled -= 8;
            *bytes.get_mut(length)? = u8::try_from(bits >> filled & 0xff).ok()?;
            length += 1;
        }
    }
    Some((bytes, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(plain.as_bytes()).as_str(), text);
            for written in [text, text.trim_end_matches('=')] {
                let (bytes, length) = decode::<16>(written).unwrap();
                assert_eq!(&bytes[..length], plain.as_bytes(), "{written}");
            }
        }
        for broken in ["A", "Zm9v!", "Zm 9v", "Zm=9v", "Z===", "Zm9-"] {
            assert!(decode::<16>(broken).is_none(), "{broken}");
        }
        assert!(decode::<2>("Zm9v").is_none(), "too long");
    }
}
