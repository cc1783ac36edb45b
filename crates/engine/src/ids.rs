//! Ids: `call_<ULID>` and the like for people and stores, plain numbers inside.

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ulid::Ulid;

/// The one source of new ids; its randomness is seeded by the shell.
#[derive(Debug)]
pub(crate) struct Ids {
    rng: StdRng,
    next: u64,
}

impl Ids {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { rng: StdRng::from_seed(seed), next: 0 }
    }

    /// `prefix` and a ULID of that time (<https://github.com/ulid/spec>): sorts by time of making.
    pub(crate) fn ulid(&mut self, prefix: &str, wall: Timestamp) -> String {
        let random = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        let millis = u64::try_from(wall.as_millisecond()).unwrap_or(0);
        format!("{prefix}_{}", Ulid::from_parts(millis, random))
    }

    /// A number that was never given before; grows.
    pub(crate) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulids_sort_by_time_and_never_repeat() {
        let mut ids = Ids::new([7; 32]);
        let early = ids.ulid("call", Timestamp::from_millisecond(1_000).unwrap());
        let late = ids.ulid("call", Timestamp::from_millisecond(2_000).unwrap());
        assert!(early < late, "{early} {late}");
        assert_eq!(early.len(), "call_".len() + 26);
        assert_ne!(ids.ulid("call", Timestamp::UNIX_EPOCH), ids.ulid("call", Timestamp::UNIX_EPOCH));
    }
}
