//! Both sides offer at once: 491, and when to try again (RFC 3261 §14.1).

use std::time::Duration;

use rand::RngExt;

/// How long the sender of a refused re-INVITE waits: 2.1 to 4 s for who made the Call-ID, else 0 to 2 s, in steps of 10 ms.
pub(crate) fn retry_after(made_call_id: bool, random: &mut impl RngExt) -> Duration {
    let steps = if made_call_id { random.random_range(210..=400) } else { random.random_range(0..=200) };
    Duration::from_millis(steps * 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn the_two_ranges_do_not_overlap() {
        let mut random = StdRng::from_seed([7; 32]);
        for _ in 0..500 {
            assert!((2100..=4000).contains(&retry_after(true, &mut random).as_millis()));
            assert!(retry_after(false, &mut random).as_millis() <= 2000);
        }
    }
}
