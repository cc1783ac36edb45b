//! Where encryption goes: before anything that came is believed, after everything is decided for what goes.
//!
//! A leg with keys neither takes nor gets plain packets.

use std::time::Instant;

use crate::interface::{Counters, Kind};
use crate::srtp::{Protection, Refused};

/// Opens a packet of an encrypted leg in place. Its source is one that may send; nothing has been learnt from it yet.
/// Returns its length, shorter than before; `None`: it is not to be believed.
#[inline]
pub(crate) fn unprotect(
    protection: &mut Protection,
    now: Instant,
    kind: Kind,
    data: &mut [u8],
    counters: &mut Counters,
) -> Option<usize> {
    match protection.open(now, kind, data) {
        Ok(opened) => {
            counters.srtp_displaced += u64::from(opened.displaced);
            Some(opened.length)
        }
        Err(refused) => {
            *match refused {
                Refused::Malformed => &mut counters.srtp_malformed,
                Refused::Unauthentic => &mut counters.srtp_auth_failed,
                Refused::Unknown => &mut counters.srtp_unknown,
                Refused::Replayed => &mut counters.srtp_replayed,
            } += 1;
            None
        }
    }
}

/// Seals a packet for an encrypted leg, in a buffer that has room for what is added. `None`: it cannot be, and is not
/// sent.
#[inline]
pub(crate) fn protect<'a>(
    protection: &mut Protection,
    kind: Kind,
    data: &[u8],
    buffer: &'a mut [u8],
    counters: &mut Counters,
) -> Option<&'a [u8]> {
    buffer.get_mut(..data.len())?.copy_from_slice(data);
    let sealed = protection.seal(kind, buffer, data.len());
    counters.srtp_unsent += u64::from(sealed.is_err());
    buffer.get(..sealed.ok()?)
}
