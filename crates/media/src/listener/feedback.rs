//! What a listener's reports tell of our stream (RFC 3550 §6.4.1): loss, jitter, round trip.

use std::time::{Duration, Instant};

use crate::interface::Quality;
use crate::losses::Losses;
use crate::rtcp::Report;

/// Reports of ours that an answer may be about: two are on their way at most.
const REMEMBERED: usize = 2;

/// Figures of the far end.
#[derive(Debug, Default)]
pub(super) struct Feedback {
    /// The middle of each report's NTP time, and when it went: the newest first.
    sent: [Option<(u32, Instant)>; REMEMBERED],
    lost: Option<f32>,
    jitter_ms: Option<f32>,
    round_trip_ms: Option<f32>,
    pub(super) losses: Losses,
}

impl Feedback {
    /// A sender report of ours went out.
    pub(super) fn note_sent(&mut self, now: Instant, ntp: u64) {
        self.sent = [Some(((ntp >> 16) as u32, now)), self.sent[0]];
    }

    /// What a report says of our stream, whose clock has so many ticks a second.
    pub(super) fn note(&mut self, now: Instant, report: &Report, clock: u32) {
        let lost = f32::from(report.fraction_lost) / 256.0;
        self.lost = Some(lost);
        self.losses.note(lost);
        self.jitter_ms = Some((f64::from(report.jitter) * 1_000.0 / f64::from(clock)) as f32);
        self.round_trip_ms = self.round_trip(now, report).or(self.round_trip_ms);
    }

    /// From our report to theirs, without the time that they held it. A report that we do not remember, or one that was
    /// held for longer than it is old, tells nothing.
    fn round_trip(&self, now: Instant, report: &Report) -> Option<f32> {
        let (_, sent) = self.sent.iter().flatten().find(|(ntp, _)| *ntp == report.last_report)?;
        let held = Duration::from_nanos((u64::from(report.held) * 1_000_000_000) >> 16);
        let trip = now.saturating_duration_since(*sent).checked_sub(held)?;
        Some(trip.as_secs_f32() * 1_000.0)
    }

    /// Its part of a listener's figures.
    pub(super) fn tell(&self, quality: &mut Quality) {
        (quality.remote_lost, quality.remote_jitter_ms) = (self.lost, self.jitter_ms);
        quality.round_trip_ms = self.round_trip_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fraction_lost: u8, last_report: u32, held: u32) -> Report {
        Report { ssrc: 1, fraction_lost, lost: 0, highest: 0, jitter: 160, last_report, held }
    }

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant serves as the origin")]
        Instant::now()
    }

    fn quality(feedback: &Feedback) -> (Option<f32>, Option<f32>, Option<f32>) {
        let mut quality = Quality::default();
        feedback.tell(&mut quality);
        (quality.remote_lost, quality.remote_jitter_ms, quality.round_trip_ms)
    }

    #[test]
    fn the_round_trip_is_what_the_standard_says() {
        // RFC 3550, figure 2: sent at 0xb710:8000 and held for 5.25 s, 6.125 s after that is here again.
        let mut feedback = Feedback::default();
        let sent = now();
        assert_eq!(quality(&feedback), (None, None, None));
        feedback.note_sent(sent, 0xb44d_b705_2000_0000);
        feedback.note_sent(sent + Duration::from_secs(5), 7);
        feedback.note(sent + Duration::from_millis(11_375), &report(64, 0xb705_2000, 0x0005_4000), 8_000);
        assert_eq!(quality(&feedback), (Some(0.25), Some(20.0), Some(6_125.0)));
        feedback.note(sent + Duration::from_secs(12), &report(0, 99, 0), 48_000);
        assert_eq!(
            quality(&feedback),
            (Some(0.0), Some(160.0 / 48.0), Some(6_125.0)),
            "of another report: nothing new"
        );
        feedback.note(sent + Duration::from_secs(12), &report(0, 0xb705_2000, u32::MAX), 8_000);
        assert_eq!(quality(&feedback).2, Some(6_125.0), "held for longer than it is old");
    }
}
