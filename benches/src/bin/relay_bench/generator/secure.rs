//! SRTP of the generator's own, AES_CM_128 with HMAC_SHA1_80 and HMAC_SHA1_32 (RFC 3711 §4): it shares no code with the engine that it measures,
//! so that what both understand is the standard.
//!
//! Payloads cannot be read in passing, so the time of sending stands in a table by leg and sequence number. Sequence numbers
//! do not roll over: a call lives less than 65,536 packets (21 minutes).

use std::sync::atomic::{AtomicU64, Ordering};

use aes::Aes128;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use ctr::Ctr128BE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::packet::{LENGTH, LONGEST, Stamp};

/// Master key and master salt.
pub(crate) const KEY: usize = 16 + 14;
const HEADER: usize = 12;
/// Packets of a leg that may be on their way at once: five seconds.
const ON_THEIR_WAY: usize = 256;
/// One packet in so many is decrypted and compared.
const COMPARED: u32 = 16;

/// What the two differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Sha1_80,
    Sha1_32,
}

impl Suite {
    fn tag_length(self) -> usize {
        match self {
            Self::Sha1_80 => 10,
            Self::Sha1_32 => 4,
        }
    }
}

/// Master keys of one leg.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LegKeys {
    pub(crate) suite: Suite,
    /// What the generator sends.
    pub(crate) ours: [u8; KEY],
    /// What the relay sends.
    pub(crate) theirs: [u8; KEY],
}

/// When each packet on its way was sent.
#[derive(Debug)]
pub(crate) struct Secure {
    sent: Vec<AtomicU64>,
}

impl Secure {
    pub(super) fn new(legs: usize) -> Self {
        Self { sent: std::iter::repeat_with(AtomicU64::default).take(legs * ON_THEIR_WAY).collect() }
    }

    pub(super) fn sent(&self, leg: u32, round: u32, at: u64) {
        self.sent[leg as usize * ON_THEIR_WAY + round as usize % ON_THEIR_WAY].store(at, Ordering::Relaxed);
    }

    pub(super) fn stamp(&self, leg: u32, sequence: u16) -> Option<Stamp> {
        let place = (leg as usize).checked_mul(ON_THEIR_WAY)? + usize::from(sequence) % ON_THEIR_WAY;
        let sent = self.sent.get(place)?.load(Ordering::Relaxed);
        Some(Stamp { leg, round: sequence.into(), sent })
    }
}

/// Encrypts what one leg sends.
pub(super) struct Protector(Session);

impl Protector {
    pub(super) fn new(keys: &LegKeys) -> Self {
        Self(Session::new(&keys.ours, keys.suite))
    }

    /// Encrypts the packet in `buffer` and gives its new length.
    pub(super) fn protect(&mut self, buffer: &mut [u8; LONGEST], length: usize) -> usize {
        self.0.apply_keystream(&mut buffer[..length]);
        let tag = self.0.tag(&buffer[..length]);
        let tag = &tag[..self.0.tag_length];
        buffer[length..length + tag.len()].copy_from_slice(tag);
        length + tag.len()
    }
}

/// Decrypts what one leg receives.
pub(super) struct Unprotector(Session);

impl Unprotector {
    pub(super) fn new(keys: &LegKeys) -> Self {
        Self(Session::new(&keys.theirs, keys.suite))
    }

    /// The plain packet; empty if it is not authentic; `None` if it is none of those that are compared.
    pub(super) fn unprotect<'a>(&mut self, packet: &'a mut [u8], sequence: u32) -> Option<&'a [u8]> {
        if !sequence.is_multiple_of(COMPARED) {
            return None;
        }
        if packet.len() != LENGTH + self.0.tag_length {
            return Some(&[]);
        }
        let (plain, tag) = packet.split_at_mut(LENGTH);
        if self.0.tag(plain)[..self.0.tag_length] != *tag {
            return Some(&[]);
        }
        self.0.apply_keystream(plain);
        Some(plain)
    }
}

/// Session keys of one direction (RFC 3711 §4.3).
struct Session {
    cipher_key: [u8; 16],
    salt: [u8; 14],
    hmac: Hmac<Sha1>,
    tag_length: usize,
}

impl Session {
    fn new(master: &[u8; KEY], suite: Suite) -> Self {
        let (mut cipher_key, mut authentication_key, mut salt) = ([0; 16], [0; 20], [0; 14]);
        for (label, key) in [(0, &mut cipher_key[..]), (1, &mut authentication_key[..]), (2, &mut salt[..])] {
            let (master_key, master_salt) = master.split_at(16);
            let mut iv = [0; 16];
            iv[..14].copy_from_slice(master_salt);
            iv[7] ^= label;
            let mut stream = Ctr128BE::<Aes128>::new_from_slices(master_key, &iv).expect("lengths are right");
            stream.apply_keystream(key);
        }
        let hmac = Hmac::new_from_slice(&authentication_key).expect("any length will do");
        Self { cipher_key, salt, hmac, tag_length: suite.tag_length() }
    }

    /// Encrypts and decrypts the payload (§4.1.1); the roll-over counter is 0.
    fn apply_keystream(&self, packet: &mut [u8]) {
        let (header, payload) = packet.split_at_mut(HEADER);
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        for (byte, ssrc) in iv[4..8].iter_mut().zip(&header[8..12]) {
            *byte ^= ssrc;
        }
        for (byte, sequence) in iv[12..14].iter_mut().zip(&header[2..4]) {
            *byte ^= sequence;
        }
        let mut stream = Ctr128BE::<Aes128>::new_from_slices(&self.cipher_key, &iv).expect("lengths are right");
        stream.apply_keystream(payload);
    }

    /// §4.2: over the packet and the roll-over counter.
    fn tag(&self, packet: &[u8]) -> [u8; 20] {
        let mut hmac = self.hmac.clone();
        hmac.update(packet);
        hmac.update(&[0; 4]);
        hmac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet;
    use super::*;

    /// RFC 3711, appendix B.3.
    #[test]
    fn session_keys_are_those_of_the_rfc() {
        let master = *b"\xE1\xF9\x7A\x0D\x3E\x01\x8B\xE0\xD6\x4F\xA3\x2C\x06\xDE\x41\x39\
            \x0E\xC6\x75\xAD\x49\x8A\xFE\xEB\xB6\x96\x0B\x3A\xAB\xE6";
        let session = Session::new(&master, Suite::Sha1_80);
        assert_eq!(session.cipher_key, *b"\xC6\x1E\x7A\x93\x74\x4F\x39\xEE\x10\x73\x4A\xFE\x3F\xF7\xA0\x87");
        assert_eq!(session.salt, *b"\x30\xCB\xBC\x08\x86\x3D\x8C\x85\xD4\x9D\xB3\x4A\x9A\xE1");
    }

    #[test]
    fn what_is_protected_comes_back_and_a_forged_tag_does_not() {
        let keys = LegKeys { suite: Suite::Sha1_80, ours: [7; KEY], theirs: [7; KEY] };
        let (mut protector, mut unprotector) = (Protector::new(&keys), Unprotector::new(&keys));
        let stamp = Stamp { leg: 3, round: 32, sent: 1 };
        let mut buffer = [0; LONGEST];
        packet::write(buffer.first_chunk_mut().unwrap(), stamp);
        let length = protector.protect(&mut buffer, LENGTH);
        assert!(!packet::is_unaltered(&buffer[..LENGTH], stamp));
        let mut forged = buffer;
        forged[40] ^= 1;
        assert_eq!(unprotector.unprotect(&mut forged[..length], 32), Some(&[][..]));
        let plain = unprotector.unprotect(&mut buffer[..length], 32).unwrap();
        assert!(packet::is_unaltered(plain, stamp));
    }
}
