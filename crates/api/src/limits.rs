//! Token buckets by key: so many at once, so many a second after that. A table has an end; whoever finds it full shares
//! one bucket with everybody else who does.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Buckets of one table.
pub(crate) const BUCKETS_MAX: usize = 10_000;
/// A full table looks for buckets that have filled up again this often.
const SWEPT_EVERY: Duration = Duration::from_secs(1);

/// How many may come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// One table.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    buckets: HashMap<K, Bucket>,
    /// For all whom the table has no place for.
    others: Option<Bucket>,
    swept: Option<Instant>,
    shared: u64,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self { table: Mutex::new(Table { buckets: HashMap::new(), others: None, swept: None, shared: 0 }) }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// Takes one; how many are left.
    ///
    /// # Errors
    /// So long it takes until there is one.
    pub(crate) fn take(&self, key: K, rate: Rate, now: Instant) -> Result<u32, Duration> {
        let mut table = self.lock();
        let bucket = table.bucket(key, rate, now);
        bucket.fill(rate, now);
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64(((1.0 - bucket.left) / rate.per_second).clamp(0.0, 86_400.0)));
        }
        bucket.left -= 1.0;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the burst")]
        Ok(bucket.left as u32)
    }

    /// Gives one back that was taken in advance.
    pub(crate) fn give_back(&self, key: &K, rate: Rate) {
        if let Some(bucket) = self.lock().buckets.get_mut(key) {
            bucket.left = (bucket.left + 1.0).min(rate.burst);
        }
    }

    /// Buckets now, and how often a full table made somebody share.
    pub(crate) fn figures(&self) -> (usize, u64) {
        let table = self.lock();
        (table.buckets.len(), table.shared)
    }

    // A panic while the lock is held leaves numbers, whatever they are.
    fn lock(&self) -> MutexGuard<'_, Table<K>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Table<K> {
    fn bucket(&mut self, key: K, rate: Rate, now: Instant) -> &mut Bucket {
        let full = Bucket { left: rate.burst, at: now };
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&key) {
            self.sweep(rate, now);
            if self.buckets.len() >= BUCKETS_MAX {
                self.shared += 1;
                return self.others.get_or_insert(full);
            }
        }
        self.buckets.entry(key).or_insert(full)
    }

    /// A bucket that is full says no more than none.
    fn sweep(&mut self, rate: Rate, now: Instant) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEPT_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.buckets.retain(|_, bucket| {
            bucket.fill(rate, now);
            bucket.left < rate.burst
        });
    }
}

impl Bucket {
    fn fill(&mut self, rate: Rate, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * rate.per_second).min(rate.burst);
        self.at = now;
    }
}

/// Whom an address stands for: one who has an IPv6 network has all of its addresses.
pub(crate) fn neighbourhood(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3.0 };

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate() {
        let buckets = Buckets::default();
        let now = Instant::now();
        assert_eq!([(); 3].map(|()| buckets.take("sue", RATE, now)), [Ok(2), Ok(1), Ok(0)]);
        assert_eq!(buckets.take("sue", RATE, now), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take("sam", RATE, now), Ok(2), "another's is another");
        assert_eq!(buckets.take("sue", RATE, now + Duration::from_millis(500)), Ok(0));
        buckets.give_back(&"sue", RATE);
        assert_eq!(buckets.take("sue", RATE, now + Duration::from_millis(500)), Ok(0));
        assert_eq!(buckets.take("sue", RATE, now + Duration::from_secs(60)), Ok(2), "never more than the burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_shares_and_finds_room_again() {
        let buckets = Buckets::default();
        let now = Instant::now();
        for n in 0..BUCKETS_MAX + 3 {
            assert!(buckets.take(n, RATE, now).is_ok());
        }
        assert!(buckets.take(BUCKETS_MAX + 9, RATE, now).is_err(), "the shared one is empty");
        assert_eq!(buckets.figures(), (BUCKETS_MAX, 4));
        assert!(buckets.take(BUCKETS_MAX + 9, RATE, now + Duration::from_secs(2)).is_ok());
        assert_eq!(buckets.figures(), (1, 4));
    }

    #[test]
    fn a_network_of_ipv6_is_one() {
        let of = |ip: &str| neighbourhood(ip.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
