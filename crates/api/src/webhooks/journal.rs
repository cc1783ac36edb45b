//! What the store is told of deliveries: many at a time, so that 300 events a second are not 300 transactions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::persist::Change;
use store::Store;
use tokio::sync::{Notify, oneshot};

use super::DELIVERY;

/// How long the first change waits for company.
const LINGER: Duration = Duration::from_millis(50);
/// Pause after the store refused.
const REFUSED: Duration = Duration::from_secs(1);
/// Outcomes in one transaction, so that no order waits long behind it.
const BATCH: usize = 1000;

/// Changes on their way to the store.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Transactions so far.
    pub(super) batches: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Nobody waits for these; the last word on each delivery. As many as there are deliveries at most.
    behind: BTreeMap<String, Option<String>>,
    /// Somebody waits until they are kept.
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    docs: Vec<(String, String)>,
    done: oneshot::Sender<()>,
}

impl Journal {
    /// Writes some time soon; `None` deletes.
    pub(crate) fn write(&self, id: String, doc: Option<String>) {
        self.lock().behind.insert(id, doc);
        self.wake.notify_one();
    }

    /// Waits until these are kept, however long the store takes.
    pub(crate) async fn keep(&self, docs: Vec<(String, String)>) {
        let (done, is_done) = oneshot::channel();
        self.lock().kept.push_back(Kept { docs, done });
        self.wake.notify_one();
        // never dropped unanswered while it runs
        let _ = is_done.await;
    }

    /// Writes until it is dropped.
    pub(crate) async fn run(&self, store: &Arc<dyn Store>) {
        loop {
            self.wake.notified().await;
            tokio::time::sleep(LINGER).await;
            if !self.flush(store).await {
                tokio::time::sleep(REFUSED).await;
            }
            if self.is_waiting() {
                self.wake.notify_one();
            }
        }
    }

    /// Writes one batch; false: the store refused, and everything still waits.
    pub(crate) async fn flush(&self, store: &Arc<dyn Store>) -> bool {
        let (behind, kept) = self.take();
        let own = behind.iter().map(|(id, doc)| change(id, doc.clone()));
        let first = kept.iter().flat_map(|kept| &kept.docs).map(|(id, doc)| change(id, Some(doc.clone())));
        // what is kept now may be over in `behind` already
        let changes: Vec<Change> = first.chain(own).collect();
        if changes.is_empty() {
            return true;
        }
        let there = Arc::clone(store);
        let written = tokio::task::spawn_blocking(move || there.apply(&changes)).await;
        let why = match written {
            Ok(Ok(())) => {
                self.batches.fetch_add(1, Ordering::Relaxed);
                for kept in kept {
                    // the feed may have ended meanwhile
                    let _ = kept.done.send(());
                }
                return true;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(why, "deliveries of webhooks cannot be kept; trying again");
        self.put_back(behind, kept);
        false
    }

    fn is_waiting(&self) -> bool {
        let waiting = self.lock();
        !waiting.behind.is_empty() || !waiting.kept.is_empty()
    }

    fn take(&self) -> (BTreeMap<String, Option<String>>, VecDeque<Kept>) {
        let mut waiting = self.lock();
        let rest = waiting.behind.keys().nth(BATCH).cloned().map(|id| waiting.behind.split_off(&id));
        let behind = std::mem::replace(&mut waiting.behind, rest.unwrap_or_default());
        (behind, std::mem::take(&mut waiting.kept))
    }

    fn put_back(&self, behind: BTreeMap<String, Option<String>>, mut kept: VecDeque<Kept>) {
        let mut waiting = self.lock();
        for (id, doc) in behind {
            waiting.behind.entry(id).or_insert(doc);
        }
        kept.append(&mut waiting.kept);
        waiting.kept = kept;
    }

    // Every change under the lock is one step.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn change(id: &str, doc: Option<String>) -> Change {
    Change::Document { kind: DELIVERY.to_owned(), id: id.to_owned(), doc }
}
