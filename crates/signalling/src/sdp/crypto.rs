//! `a=crypto` (RFC 4568): suites, keys, and which lines can be used.

use std::fmt;

use zeroize::Zeroizing;

use super::base64;

/// Lines of a stream that are looked at; what follows them is passed over.
pub const CRYPTO_MAX: usize = 16;
/// Bytes of the longest master key with its salt.
const KEY_MAX: usize = 46;

/// Crypto suites that legs may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// RFC 4568 §6.2.1.
    AesCm128HmacSha1_80,
    /// RFC 4568 §6.2.2.
    AesCm128HmacSha1_32,
    /// RFC 6188 §4.
    AesCm256HmacSha1_80,
    /// RFC 6188 §4.
    AesCm256HmacSha1_32,
    /// RFC 7714 §14.2.
    AeadAes128Gcm,
    /// RFC 7714 §14.2.
    AeadAes256Gcm,
}

impl Suite {
    /// What we offer, best first. The one that every implementation has (RFC 4568 §6.2.1) leads, because many phones read
    /// the first line only; the short tags are taken but never offered.
    pub const OFFERED: [Self; 4] =
        [Self::AesCm128HmacSha1_80, Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::AesCm256HmacSha1_80];

    /// The name in SDP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// By its name, compared without case; phones older than RFC 6188 write the 256-bit ones as its drafts did.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "AES_CM_128_HMAC_SHA1_80" => Some(Self::AesCm128HmacSha1_80),
            "AES_CM_128_HMAC_SHA1_32" => Some(Self::AesCm128HmacSha1_32),
            "AES_256_CM_HMAC_SHA1_80" | "AES_CM_256_HMAC_SHA1_80" => Some(Self::AesCm256HmacSha1_80),
            "AES_256_CM_HMAC_SHA1_32" | "AES_CM_256_HMAC_SHA1_32" => Some(Self::AesCm256HmacSha1_32),
            "AEAD_AES_128_GCM" => Some(Self::AeadAes128Gcm),
            "AEAD_AES_256_GCM" => Some(Self::AeadAes256Gcm),
            _ => None,
        }
    }

    /// Bytes of master key and master salt together.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 30,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 => 46,
            Self::AeadAes128Gcm => 28,
            Self::AeadAes256Gcm => 44,
        }
    }
}

/// Master key and master salt of one direction, one after the other, of its suite's exact length. Wiped when dropped, never
/// shown.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after their suites")]
pub enum Key {
    AesCm128HmacSha1_80(Zeroizing<[u8; 30]>),
    AesCm128HmacSha1_32(Zeroizing<[u8; 30]>),
    AesCm256HmacSha1_80(Zeroizing<[u8; 46]>),
    AesCm256HmacSha1_32(Zeroizing<[u8; 46]>),
    AeadAes128Gcm(Zeroizing<[u8; 28]>),
    AeadAes256Gcm(Zeroizing<[u8; 44]>),
}

impl Key {
    /// Key and salt, one after the other; `None`: not of the suite's length.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        Some(match suite {
            Suite::AesCm128HmacSha1_80 => Self::AesCm128HmacSha1_80(exactly(key_and_salt)?),
            Suite::AesCm128HmacSha1_32 => Self::AesCm128HmacSha1_32(exactly(key_and_salt)?),
            Suite::AesCm256HmacSha1_80 => Self::AesCm256HmacSha1_80(exactly(key_and_salt)?),
            Suite::AesCm256HmacSha1_32 => Self::AesCm256HmacSha1_32(exactly(key_and_salt)?),
            Suite::AeadAes128Gcm => Self::AeadAes128Gcm(exactly(key_and_salt)?),
            Suite::AeadAes256Gcm => Self::AeadAes256Gcm(exactly(key_and_salt)?),
        })
    }

    /// What it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        match self {
            Self::AesCm128HmacSha1_80(_) => Suite::AesCm128HmacSha1_80,
            Self::AesCm128HmacSha1_32(_) => Suite::AesCm128HmacSha1_32,
            Self::AesCm256HmacSha1_80(_) => Suite::AesCm256HmacSha1_80,
            Self::AesCm256HmacSha1_32(_) => Suite::AesCm256HmacSha1_32,
            Self::AeadAes128Gcm(_) => Suite::AeadAes128Gcm,
            Self::AeadAes256Gcm(_) => Suite::AeadAes256Gcm,
        }
    }

    /// Key and salt, one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::AesCm128HmacSha1_80(bytes) | Self::AesCm128HmacSha1_32(bytes) => &bytes[..],
            Self::AesCm256HmacSha1_80(bytes) | Self::AesCm256HmacSha1_32(bytes) => &bytes[..],
            Self::AeadAes128Gcm(bytes) => &bytes[..],
            Self::AeadAes256Gcm(bytes) => &bytes[..],
        }
    }
}

fn exactly<const LENGTH: usize>(key_and_salt: &[u8]) -> Option<Zeroizing<[u8; LENGTH]>> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    if key_and_salt.len() != LENGTH {
        return None;
    }
    bytes.copy_from_slice(key_and_salt);
    Some(bytes)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.suite().name())
    }
}

/// A leg's keys: each side encrypts with its own (RFC 4568 §5.1). Both are of one suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKeys {
    /// What we send.
    pub ours: Key,
    /// What the remote party sends.
    pub theirs: Key,
}

impl SessionKeys {
    /// The suite of both.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.ours.suite()
    }
}

/// One usable `a=crypto` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Names it in offer and answer.
    pub tag: u32,
    /// Of whoever wrote the line.
    pub key: Key,
}

impl Crypto {
    /// `tag suite inline:key[|lifetime][|MKI:length] [session parameters]`. `None`: the line cannot be used.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (tag, suite, key) = (words.next()?, words.next()?, words.next()?);
        let known = words.all(is_harmless);
        let (1..=9, true) = (tag.len(), tag.bytes().all(|byte| byte.is_ascii_digit())) else { return None };
        let key = inline(Suite::of_name(suite)?, key)?;
        known.then_some(Self { tag: tag.parse().ok()?, key })
    }
}

/// What a description of ours says of encryption and of multiplexing. The default: plain RTP on two ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// The profile is RTP/SAVP instead of RTP/AVP.
    pub secure: bool,
    /// It is the one with feedback (RFC 4585, 5124); `None`: as in the description that is rewritten.
    pub feedback: Option<bool>,
    /// Our `a=crypto` lines.
    pub crypto: Vec<Crypto>,
    /// `a=rtcp-mux`.
    pub mux: bool,
}

impl Protection {
    /// The m-line's third word.
    pub(super) fn profile(&self, source_feedback: bool) -> &'static str {
        match (self.secure, self.feedback.unwrap_or(source_feedback)) {
            (false, false) => "RTP/AVP",
            (false, true) => "RTP/AVPF",
            (true, false) => "RTP/SAVP",
            (true, true) => "RTP/SAVPF",
        }
    }

    /// The lines of the stream.
    pub(super) fn lines(&self) -> Zeroizing<String> {
        let mut lines = Zeroizing::new(String::with_capacity(self.crypto.len() * 128 + 16));
        for crypto in &self.crypto {
            lines.push_str(&crypto.line());
        }
        if self.mux {
            lines.push_str("a=rtcp-mux\r\n");
        }
        lines
    }
}

/// As the line's value.
impl Crypto {
    /// The whole attribute, wiped when dropped.
    pub(super) fn line(&self) -> Zeroizing<String> {
        let key = base64::encode(self.key.bytes());
        Zeroizing::new(format!("a=crypto:{} {} inline:{}\r\n", self.tag, self.key.suite().name(), *key))
    }
}

/// One key. Several need an MKI in every packet to be told apart, which the media plane does not read.
fn inline(suite: Suite, text: &str) -> Option<Key> {
    let (method, info) = text.split_once(':')?;
    if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
        return None;
    }
    let mut parts = info.split('|');
    let (bytes, length) = base64::decode::<KEY_MAX>(parts.next()?)?;
    let mut lifetime = false;
    for part in parts {
        match part.split_once(':') {
            // A length of 0 is as if there were none.
            Some((_, length)) if number(length)? == 0 => {}
            Some(_) => return None,
            None if lifetime => return None,
            None => lifetime = is_lifetime(part),
        }
        if !part.contains(':') && !lifetime {
            return None;
        }
    }
    Key::new(suite, bytes.get(..length)?)
}

/// Packets that a key may protect, at most 2^48 (RFC 3711 §9.2). It is for the sender to renew its key in time.
fn is_lifetime(text: &str) -> bool {
    match text.strip_prefix("2^") {
        Some(power) => number(power).is_some_and(|power| power <= 48),
        None => number(text).is_some_and(|packets| (1..=1 << 48).contains(&packets)),
    }
}

/// Session parameters that change nothing for us (RFC 4568 §6.3): a key derivation rate of 0, a hint about the replay
/// window, and what says itself that it may be passed over. Others, known or not, make the line unusable (§6.3.7, §7.1.1):
/// above all UNENCRYPTED_SRTP, UNENCRYPTED_SRTCP and UNAUTHENTICATED_SRTP.
fn is_harmless(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    match name.to_ascii_uppercase().as_str() {
        "KDR" => number(value) == Some(0),
        "WSH" => number(value).is_some(),
        name => name.starts_with('-'),
    }
}

fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 bytes.
    const K: &str = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkw";

    fn usable(value: &str) -> bool {
        Crypto::parse(value).is_some()
    }

    #[test]
    fn the_example_of_rfc_4568() {
        let line =
            Crypto::parse("1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20").unwrap();
        assert_eq!((line.tag, line.key.suite()), (1, Suite::AesCm128HmacSha1_80));
        assert_eq!(
            line.line().as_str(),
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR\r\n"
        );
        assert_eq!(format!("{line:?}"), "Crypto { tag: 1, key: Key(AES_CM_128_HMAC_SHA1_80) }");
    }

    #[test]
    fn every_suite_reads_what_it_writes() {
        for suite in Suite::OFFERED.into_iter().chain([Suite::AesCm128HmacSha1_32, Suite::AesCm256HmacSha1_32]) {
            let bytes: Vec<u8> = (0..suite.length()).map(|at| at as u8 * 5).collect();
            let line = Crypto { tag: 7, key: Key::new(suite, &bytes).unwrap() };
            let text = line.line();
            assert_eq!(Crypto::parse(text.trim_start_matches("a=crypto:")), Some(line), "{suite:?}");
            assert!(Key::new(suite, &bytes[1..]).is_none());
        }
        assert_eq!(Suite::of_name("aes_cm_256_hmac_sha1_80"), Some(Suite::AesCm256HmacSha1_80));
    }

    #[test]
    fn what_can_be_used() {
        for rest in ["", "|2^48", "|2^0", "|1048576", "|2^31|1:0", "|1:0", " KDR=0 WSH=64 -X=1 -NEW"] {
            assert!(usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{K}{rest}")), "{rest}");
        }
    }

    #[test]
    fn what_cannot() {
        for rest in [
            "|2^49",
            "|0",
            "|",
            "|2^20|2^20",
            "|1:4",
            "|2^20|1:1",
            "|1:x",
            &format!(";inline:{K}"),
            " KDR=1",
            " KDR",
            " UNENCRYPTED_SRTP",
            " UNENCRYPTED_SRTCP",
            " UNAUTHENTICATED_SRTP",
            " unauthenticated_srtp",
            " FEC_ORDER=FEC_SRTP",
            " NEW=1",
        ] {
            assert!(!usable(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{K}{rest}")), "{rest}");
        }
        for value in [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
            "1 AES_CM_128_HMAC_SHA1_80 inline:",
            &format!("1 AES_CM_128_HMAC_SHA1_80 inline:{K}AAAA"),
            &format!("1 NULL_HMAC_SHA1_80 inline:{K}"),
            &format!("1 F8_128_HMAC_SHA1_80 inline:{K}"),
            &format!("1 AES_256_CM_HMAC_SHA1_80 inline:{K}"),
            &format!("x AES_CM_128_HMAC_SHA1_80 inline:{K}"),
            &format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{K}"),
            &format!("1 AES_CM_128_HMAC_SHA1_80 uri:{K}"),
        ] {
            assert!(!usable(value), "{value}");
        }
    }
}
