//! Lasting loss on the way to a listener, by what it reports: one rule for phones and browsers.

/// A report that says this much of what was sent since the one before is lost is a bad one.
const LOSSY: f32 = 0.05;
/// So many of those in a row are an alarm.
const ALARM_AFTER: u32 = 3;

/// Of one stream.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Bad reports in a row.
    lossy: u32,
}

impl Losses {
    /// A report: so much was lost, 0 to 1.
    pub(crate) fn note(&mut self, lost: f32) {
        self.lossy = if lost >= LOSSY { self.lossy.saturating_add(1) } else { 0 };
    }

    /// Three reports in a row were bad, and none since was better.
    pub(crate) fn last(&self) -> bool {
        self.lossy >= ALARM_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_bad_reports_in_a_row_last_until_a_better_one() {
        let mut losses = Losses::default();
        let mut last = |reports: &[f32]| {
            reports.iter().for_each(|lost| losses.note(*lost));
            losses.last()
        };
        assert!(!last(&[0.05, 1.0, 0.049, 0.05, 0.05]));
        assert!(last(&[0.05]));
        assert!(last(&[0.3, 0.3]));
        assert!(!last(&[0.0]));
        assert!(!last(&[0.3, 0.3]));
        assert!(last(&[0.3]));
    }
}
