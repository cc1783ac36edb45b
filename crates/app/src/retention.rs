//! Forgets call records and answers that are older than they are kept: now and then, a share at a time, on threads that may
//! wait for the disk.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use store::{Retention, Store, StoreError};

/// So often it looks.
const EVERY: Duration = Duration::from_secs(600);
/// Records of a kind in one transaction: what waits for the store meanwhile waits a few milliseconds longer.
const SHARE: usize = 200;
/// Between two shares, so that the disk has others to serve.
const PAUSE: Duration = Duration::from_millis(100);
/// First answers to idempotency keys (API.md).
const ANSWERS_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Runs for ever; `call_records`: how long they are kept, 0 for ever.
pub(crate) async fn run(store: Arc<dyn Store>, call_records: Duration) {
    loop {
        tokio::time::sleep(EVERY).await;
        let mut forgotten = 0;
        loop {
            let store = Arc::clone(&store);
            let share = tokio::task::spawn_blocking(move || forget(&*store, Timestamp::now(), call_records));
            match share.await {
                Ok(Ok(0)) | Err(_) => break,
                Ok(Ok(gone)) => forgotten += gone,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "old records cannot be deleted now");
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        if forgotten > 0 {
            tracing::info!(forgotten, "old call records and answers were deleted");
        }
    }
}

/// One share.
fn forget(store: &dyn Store, now: Timestamp, call_records: Duration) -> Result<usize, StoreError> {
    let before = |kept: SignedDuration| now.checked_sub(kept).unwrap_or(Timestamp::MIN);
    let kept = SignedDuration::try_from(call_records).unwrap_or(SignedDuration::MAX);
    let calls_before = (!call_records.is_zero()).then(|| before(kept));
    store.forget(&Retention { calls_before, answers_before: before(ANSWERS_KEPT) }, SHARE)
}

#[cfg(test)]
mod tests {
    use engine::persist::Change;
    use engine::view::{CallDirection, CallState, CallView};
    use store::{CallQuery, MemoryStore};

    use super::*;

    fn call(id: &str, ended_at: &str) -> Change {
        let ended_at: Timestamp = ended_at.parse().unwrap();
        Change::Call(CallView {
            id: id.to_owned(),
            interaction: String::new(),
            agent: None,
            direction: CallDirection::Inbound,
            caller_number: None,
            called_number: None,
            access_number: None,
            queue: None,
            state: CallState::Ended,
            held: false,
            shielded: false,
            started_at: ended_at,
            answered_at: None,
            ended_at: Some(ended_at),
            end: None,
            listenings: Vec::new(),
            legs: Vec::new(),
        })
    }

    #[test]
    fn what_is_older_than_it_is_kept_goes_and_0_keeps_all() {
        let store = MemoryStore::new();
        store.apply(&[call("call_1", "2026-01-01T00:00:00Z"), call("call_2", "2026-03-01T00:00:00Z")]).unwrap();
        let now: Timestamp = "2026-04-01T00:00:00Z".parse().unwrap();
        let days = |days: u64| Duration::from_secs(days * 86_400);
        assert_eq!(forget(&store, now, Duration::ZERO).unwrap(), 0);
        assert_eq!(forget(&store, now, days(90) + Duration::from_secs(1)).unwrap(), 0);
        assert_eq!(forget(&store, now, days(60)).unwrap(), 1);
        assert_eq!(store.calls(&CallQuery::default()).unwrap().items[0].id, "call_2");
        // Longer than there is time.
        assert_eq!(forget(&store, now, Duration::MAX).unwrap(), 0);
    }
}
