//! What protects media: keys on their way from signalling to the media plane.

use media::srtp::{Key, SrtpKeys, Suite};
use signalling::{Session, Suite as Named};

/// A leg's keys as the media plane takes them.
pub(crate) fn keys(session: &Session) -> Option<Box<SrtpKeys>> {
    let keys = session.keys.as_ref()?;
    let key = |key: &signalling::Key| Key::new(suite(key.suite()), key.bytes());
    Some(Box::new(SrtpKeys { ours: key(&keys.ours)?, theirs: key(&keys.theirs)? }))
}

fn suite(named: Named) -> Suite {
    match named {
        Named::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        Named::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        Named::AesCm256HmacSha1_80 => Suite::AesCm256HmacSha1_80,
        Named::AesCm256HmacSha1_32 => Suite::AesCm256HmacSha1_32,
        Named::AeadAes128Gcm => Suite::AeadAes128Gcm,
        Named::AeadAes256Gcm => Suite::AeadAes256Gcm,
    }
}
