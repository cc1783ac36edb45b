//! What sender reports add: which instant of the sender's own clock a time stamp stands for (RFC 3550 §6.4.1).
//!
//! Within a source, time stamps alone say where a packet belongs. Where a source follows another of the same party, its
//! reports tell where both lie to each other, which the first packet's arrival tells only up to its jitter. Clocks of
//! two parties are not compared: they need not agree. Both are told by when their packets come.

use super::time::{FRAME, MS, Units};
use super::timeline::Timeline;
use crate::rtp::Packet;

/// Two sources that seem further apart than this by their reports are not of one clock.
const PLAUSIBLE: Units = 200 * MS;

/// What a sender report says of its source's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderClock {
    /// The source.
    pub ssrc: u32,
    /// An instant of the sender's own clock: 32.32 seconds.
    pub ntp: u64,
    /// The same instant as a time stamp.
    pub timestamp: u32,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Wall {
    /// An instant, and where it lies on the line; by which source's report.
    known: Option<(u32, u64, Units)>,
    /// The report of a source that is not heard yet.
    ahead: Option<SenderClock>,
}

impl Wall {
    /// A report. If it is the first of a source that follows another: by how much that should be heard later.
    pub(super) fn note(&mut self, clock: SenderClock, timeline: &Timeline) -> Option<Units> {
        if timeline.ssrc() != Some(clock.ssrc) {
            self.ahead = Some(clock);
            return None;
        }
        let at = timeline.position(clock.timestamp)?;
        let before = self.known.replace((clock.ssrc, clock.ntp, at));
        let (_, ntp, known_at) = before.filter(|(ssrc, ..)| *ssrc != clock.ssrc)?;
        let late = known_at + since(ntp, clock.ntp)? - at;
        (GROWS..PLAUSIBLE).contains(&late).then_some(late)
    }

    /// Where a packet of a source belongs that was reported on before it was heard; not before `soonest`.
    pub(super) fn place(&mut self, packet: &Packet<'_>, clock_hz: u32, soonest: Units) -> Option<Units> {
        let ahead = self.ahead.take_if(|ahead| ahead.ssrc == packet.ssrc)?;
        let (_, ntp, at) = self.known?;
        let step = Units::from(packet.timestamp.wrapping_sub(ahead.timestamp) as i32);
        let place = at + since(ntp, ahead.ntp)? + step * (48_000 / Units::from(clock_hz.max(1)));
        (soonest..soonest + PLAUSIBLE / 2).contains(&place).then_some(place)
    }
}

/// Less than half a frame is not worth to be corrected.
const GROWS: Units = FRAME / 2;

/// From one instant to another, if they lie within a minute.
fn since(from: u64, to: u64) -> Option<Units> {
    let step = to.wrapping_sub(from) as i64;
    (step.unsigned_abs() >> 32 < 60).then(|| ((step >> 8) * 48_000) >> 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_apart_in_units() {
        let second = 1_u64 << 32;
        assert_eq!(since(5 * second, 6 * second), Some(48_000));
        assert_eq!(since(second, second / 2), Some(-24_000));
        assert_eq!(since(u64::MAX, second / 1000 - 1), Some(47), "over the end of an era");
        assert_eq!(since(0, 61 * second), None);
    }
}
