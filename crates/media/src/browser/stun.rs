//! Connectivity checks (RFC 8489, 8445 §7): whose a request is, and whether it is authentic, before anybody else sees it.

use aws_lc_rs::hmac;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0, 1];
const USERNAME: u16 = 0x0006;
const INTEGRITY: u16 = 0x0008;
const PRIORITY: u16 = 0x0024;
const FINGERPRINT: u16 = 0x8028;
/// Longer than any check: those of browsers take 100 to 150 bytes.
const LONGEST: usize = 548;

/// A binding request whose authenticity is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check<'a> {
    data: &'a [u8],
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: usize,
    tag: &'a [u8],
    /// Our user fragment, by which it says whom it is for.
    pub(crate) fragment: &'a [u8],
}

/// A leg's password, ready to check with.
#[derive(Debug)]
pub(crate) struct Password(hmac::Key);

impl Password {
    pub(crate) fn new(password: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()))
    }
}

impl<'a> Check<'a> {
    /// A well-formed binding request with everything that ICE asks for.
    pub(crate) fn parse(data: &'a [u8]) -> Option<Self> {
        let (header, attributes) = data.split_at_checked(HEADER).filter(|_| data.len() <= LONGEST)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[..2] != BINDING_REQUEST || length != attributes.len() || length % 4 != 0 || header[4..8] != COOKIE {
            return None;
        }
        let (mut fragment, mut has_priority, mut integrity, mut is_intact) = (None, false, None, false);
        let mut at = HEADER;
        while at < data.len() {
            let (&[t0, t1, l0, l1], rest) = data.get(at..)?.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let value = rest.get(..length)?;
            match u16::from_be_bytes([t0, t1]) {
                // what follows the integrity is not covered by it (RFC 8489 §14.5)
                FINGERPRINT => is_intact = value == crc(data.get(..at)?) && at + 8 == data.len(),
                _ if integrity.is_some() => {}
                USERNAME => fragment = value.split(|byte| *byte == b':').next().filter(|ours| ours.len() < value.len()),
                PRIORITY => has_priority = length == 4,
                INTEGRITY => integrity = (length == 20).then_some((at, value)),
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        let (integrity_at, tag) = integrity.filter(|_| has_priority && is_intact)?;
        Some(Self { data, integrity_at, tag, fragment: fragment? })
    }

    /// Made by who knows the password: the length in the header counts up to the tag's end (RFC 8489 §14.5).
    pub(crate) fn is_authentic(&self, password: &Password) -> bool {
        let mut text = [0; LONGEST];
        let Some((to, from)) = text.get_mut(..self.integrity_at).zip(self.data.get(..self.integrity_at)) else {
            return false;
        };
        to.copy_from_slice(from);
        let covered = (self.integrity_at - HEADER + 24) as u16;
        to[2..4].copy_from_slice(&covered.to_be_bytes());
        hmac::verify(&password.0, to, self.tag).is_ok()
    }
}

/// CRC-32 of ISO 3309, and the mask of RFC 8489 §14.7.
fn crc(data: &[u8]) -> [u8; 4] {
    let sum = data.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    });
    (!sum ^ 0x5354_554e).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 §2.1: a request with short-term credentials.
    const SAMPLE: [u8; 108] = *b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\x80\x22\x00\x10\
        STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09\
        evtj:h6vY\x20\x20\x20\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";

    #[test]
    fn the_sample_of_rfc_5769_is_authentic_under_its_password_alone() {
        let check = Check::parse(&SAMPLE).expect("a check");
        assert_eq!(check.fragment, b"evtj");
        assert!(check.is_authentic(&Password::new("VOkJxbRl1RmTxUk/WvJxBt")));
        assert!(!check.is_authentic(&Password::new("VOkJxbRl1RmTxUk/WvJxBu")));
    }

    #[test]
    fn no_bit_of_it_may_change() {
        let password = Password::new("VOkJxbRl1RmTxUk/WvJxBt");
        for bit in 0..SAMPLE.len() * 8 {
            let mut data = SAMPLE;
            data[bit / 8] ^= 1 << (bit % 8);
            assert!(!Check::parse(&data).is_some_and(|check| check.is_authentic(&password)), "bit {bit}");
        }
        for length in 0..SAMPLE.len() {
            assert!(Check::parse(&SAMPLE[..length]).is_none(), "cut to {length}");
        }
    }
}
