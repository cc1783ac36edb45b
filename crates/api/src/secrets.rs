//! Secrets that the API makes: 256 bits of the system's randomness, shown once; only their SHA-256 is kept.

use sha2::{Digest, Sha256};

use crate::problem::Refusal;

/// A secret in hexadecimal.
pub(crate) fn new() -> Result<String, Refusal> {
    random::<32>().map(|bytes| hex(&bytes))
}

/// A new id: prefix, and 80 bits.
pub(crate) fn id(prefix: &str) -> Result<String, Refusal> {
    random::<10>().map(|bytes| format!("{prefix}{}", hex(&bytes)))
}

fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    // up to 256 bytes come whole (getrandom(2))
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Refusal::internal(&format!("no randomness: {error}")))?;
    Ok(bytes)
}

pub(crate) fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] printed of 32 bytes.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Whether two are the same, without telling by time how near they are.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_hashes_are_read_back() {
        let (one, other) = (new().unwrap(), new().unwrap());
        assert_eq!((one.len(), one == other), (64, false));
        let hash = hash(one.as_bytes());
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex(&"+1".repeat(32)), None);
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab"));
    }
}
