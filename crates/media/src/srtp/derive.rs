//! Session keys from master key and salt (RFC 3711 §4.3, RFC 6188 §3, RFC 7714 §11), with a key derivation rate of 0.

use zeroize::Zeroizing;

use super::counter::Aes;
use super::{Key, Suite};

/// What a key is derived for (RFC 3711 §4.3.2); SRTCP's stand three further on.
const ENCRYPTION: u8 = 0;
const AUTHENTICATION: u8 = 1;
const SALTING: u8 = 2;
const FOR_RTCP: u8 = 3;

/// Length of the key for HMAC-SHA1 (RFC 3711 §5.2).
pub(super) const AUTHENTICATION_KEY: usize = 20;
/// Length of the longest salt; shorter ones are padded with zeros (RFC 7714 §11).
pub(super) const SALT: usize = 14;

/// The keys of SRTP or of SRTCP. Wiped when dropped.
pub(super) struct SessionKeys {
    pub(super) suite: Suite,
    encryption: Zeroizing<[u8; 32]>,
    pub(super) authentication: Zeroizing<[u8; AUTHENTICATION_KEY]>,
    pub(super) salt: Zeroizing<[u8; SALT]>,
}

impl SessionKeys {
    /// For SRTP.
    pub(super) fn rtp(master: &Key) -> Self {
        Self::derive(master, 0)
    }

    /// For SRTCP.
    pub(super) fn rtcp(master: &Key) -> Self {
        Self::derive(master, FOR_RTCP)
    }

    /// As they are, for vectors that begin there.
    #[cfg(test)]
    pub(super) fn given(suite: Suite, encryption: &[u8], salt: &[u8]) -> Self {
        let mut keys = Self::empty(suite);
        keys.encryption[..encryption.len()].copy_from_slice(encryption);
        keys.salt[..salt.len()].copy_from_slice(salt);
        keys
    }

    /// The key of the cipher.
    pub(super) fn encryption(&self) -> &[u8] {
        &self.encryption[..self.suite.key_length()]
    }

    fn derive(master: &Key, family: u8) -> Self {
        let suite = master.suite();
        let mut keys = Self::empty(suite);
        let prf = Prf::new(master);
        prf.fill(ENCRYPTION + family, &mut keys.encryption[..suite.key_length()]);
        prf.fill(AUTHENTICATION + family, &mut keys.authentication[..]);
        prf.fill(SALTING + family, &mut keys.salt[..suite.salt_length()]);
        keys
    }

    fn empty(suite: Suite) -> Self {
        Self {
            suite,
            encryption: Zeroizing::new([0; 32]),
            authentication: Zeroizing::new([0; AUTHENTICATION_KEY]),
            salt: Zeroizing::new([0; SALT]),
        }
    }
}

/// AES in counter mode under the master key (RFC 3711 §4.3.3), with 256 bits where the key has them (RFC 6188 §3).
struct Prf {
    aes: Aes,
    salt: Zeroizing<[u8; SALT]>,
}

impl Prf {
    fn new(master: &Key) -> Self {
        let mut salt = Zeroizing::new([0; SALT]);
        salt.iter_mut().zip(master.salt()).for_each(|(to, from)| *to = *from);
        Self { aes: Aes::new(master.key()), salt }
    }

    fn fill(&self, label: u8, out: &mut [u8]) {
        let mut start = [0; 16];
        start[..SALT].copy_from_slice(&self.salt[..]);
        // The label stands left of a 48-bit index, which is 0 (RFC 3711 §4.3.1).
        start[SALT - 7] ^= label;
        out.fill(0);
        self.aes.apply(start, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::vectors::hex;

    fn master(suite: Suite, key: &str, salt: &str) -> Key {
        Key::new(suite, &[hex(key), hex(salt)].concat()).expect("of its length")
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn the_session_keys_of_rfc_3711() {
        let master =
            master(Suite::AesCm128HmacSha1_80, "E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6");
        let keys = SessionKeys::rtp(&master);
        assert_eq!(keys.encryption(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.authentication[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
        let mut long = [0; 94];
        Prf::new(&master).fill(AUTHENTICATION, &mut long);
        assert_eq!(
            long[..],
            hex("CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
                 E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
                 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2")
        );
    }

    /// RFC 6188 §7.2.
    #[test]
    fn the_session_keys_of_rfc_6188() {
        let keys = SessionKeys::rtp(&master(
            Suite::AesCm256HmacSha1_80,
            "F0F04914B513F2763A1B1FA130F10E29 98F6F6E43E4309D1E622A0E332B9F1B6",
            "3B04803DE51EE7C96423AB5B78D2",
        ));
        assert_eq!(keys.encryption(), hex("5BA1064E30EC51613CAD926C5A28EF73 1EC7FB397F70A960653CAF06554CD8C4"));
        assert_eq!(keys.salt[..], hex("FA31791685CA444A9E07C6C64E93"));
        assert_eq!(keys.authentication[..], hex("FD9C32D39ED5FBB5A9DC96B30818454D1313DC05"));
    }
}
