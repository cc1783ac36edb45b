//! Where encryption goes: before anything that came is believed, after everything is decided for what goes.
//!
//! A leg with keys neither takes nor gets plain packets. Without a cipher behind these two steps, it takes and gets none.

use crate::interface::Kind;
use crate::relay::Stream;

/// Opens a packet of an encrypted leg in place. Its source is one that may send; nothing has been learnt from it yet.
/// Returns its length, shorter than before; `None`: it is not to be believed.
pub(super) fn unprotect(stream: &mut Stream, kind: Kind, data: &mut [u8]) -> Option<usize> {
    let _ = (stream, kind, data);
    None
}

/// Seals a packet for an encrypted leg, in a buffer of the shard's own. `None`: it cannot be, and is not sent.
pub(super) fn protect<'a>(stream: &mut Stream, kind: Kind, data: &[u8], buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let _ = (stream, kind, data, buffer);
    None
}
