//! RTCP compound packets: checked, walked, and our own reports written (RFC 3550 §6).

use crate::rtp::{MAX_PACKET, Refused};

/// Packet types (RFC 3550 §12.1).
pub const SR: u8 = 200;
/// Receiver report.
pub const RR: u8 = 201;
/// Source description.
pub const SDES: u8 = 202;
/// Goodbye.
pub const BYE: u8 = 203;

/// Checks a compound packet (RFC 3550 Appendix A.2): version 2 throughout, an SR or RR first, lengths that add up,
/// padding only on the last. Gives the packet types that are in it through `visit`.
///
/// # Errors
/// [`Refused`], by whose kind it is counted.
pub fn check(data: &[u8], mut visit: impl FnMut(u8, &[u8])) -> Result<(), Refused> {
    match data.first() {
        Some(first) if (128..=191).contains(first) => {}
        Some(_) => return Err(Refused::NotRtp),
        None => return Err(Refused::Malformed),
    }
    if data.len() > MAX_PACKET || !data.get(1).is_some_and(|t| (SR..=RR).contains(t)) {
        return Err(Refused::Malformed);
    }
    let mut rest = data;
    while !rest.is_empty() {
        let head: &[u8; 4] = rest.first_chunk().ok_or(Refused::Malformed)?;
        let length = 4 + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let packet = rest.get(..length).ok_or(Refused::Malformed)?;
        rest = &rest[length..];
        let padded = head[0] & 0x20 != 0;
        if head[0] >> 6 != 2 || (padded && !rest.is_empty()) || length < needed(head[1], head[0] & 0x1F) {
            return Err(Refused::Malformed);
        }
        visit(head[1], packet);
    }
    Ok(())
}

/// Bytes that a packet of this type with this count holds at least.
fn needed(kind: u8, count: u8) -> usize {
    match kind {
        SR => 28 + 24 * usize::from(count),
        RR => 8 + 24 * usize::from(count),
        BYE | SDES => 4 + 4 * usize::from(count),
        _ => 4,
    }
}

/// What our own sender report says.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Our SSRC.
    pub ssrc: u32,
    /// NTP time, 32.32 fixed point; any epoch (the listener only needs differences, RFC 3550 §6.4.1).
    pub ntp: u64,
    /// RTP time of the same moment.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub bytes: u32,
}

/// A compound packet of SR and SDES CNAME, with BYE at the end of a stream.
#[must_use]
pub fn report(report: &Report, cname: &str, bye: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend([0x80, SR, 0, 6]);
    out.extend(report.ssrc.to_be_bytes());
    out.extend(report.ntp.to_be_bytes());
    out.extend(report.timestamp.to_be_bytes());
    out.extend(report.packets.to_be_bytes());
    out.extend(report.bytes.to_be_bytes());
    let name = &cname.as_bytes()[..cname.len().min(64)];
    // SSRC, item header, name, at least one zero byte, filled up to a word.
    let length = (4 + 2 + name.len() + 1).next_multiple_of(4);
    out.extend([0x81, SDES]);
    out.extend(u16::try_from(length / 4).unwrap_or(0).to_be_bytes());
    let items = out.len();
    out.extend(report.ssrc.to_be_bytes());
    out.extend([1, u8::try_from(name.len()).unwrap_or(0)]);
    out.extend(name);
    out.resize(items + length, 0);
    if bye {
        out.extend([0x81, BYE, 0, 1]);
        out.extend(report.ssrc.to_be_bytes());
    }
    out
}
