//! Counts of times, in buckets that grow with the time: an answer is at most 0.2 % too low.

use std::time::Duration;

/// Buckets of each power of two.
const STEPS: u64 = 512;
/// Powers of two of nanoseconds that are told apart: up to about 18 minutes.
const POWERS: u64 = 36;

/// See [the module](self).
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; (POWERS * STEPS) as usize], count: 0, longest: 0 }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, nanoseconds: u64) {
        let last = self.buckets.len() - 1;
        self.buckets[bucket(nanoseconds).min(last)] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    /// What `share` of all (0 to 1) does not exceed; zero of none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(lower_edge(index as u64));
            }
        }
        Duration::from_nanos(self.longest)
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }
}

/// The first `STEPS` buckets are a nanosecond wide; from there on each power of two has `STEPS`.
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let power = u64::from(value.ilog2() - STEPS.ilog2());
    ((power + 1) * STEPS + (value >> power) - STEPS) as usize
}

fn lower_edge(index: u64) -> u64 {
    if index < STEPS {
        return index;
    }
    let power = index / STEPS - 1;
    (STEPS + index % STEPS) << power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_five_hundredth_too_low() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000_u64 {
            histogram.add(value * 1_000);
        }
        for (share, exact) in [(0.5, 50_000_000_u64), (0.99, 99_000_000), (1.0, 100_000_000)] {
            let told = histogram.quantile(share).as_nanos() as u64;
            assert!(told <= exact && told as f64 > exact as f64 * 0.997, "{share}: {told} of {exact}");
        }
    }
}
