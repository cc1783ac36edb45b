//! Writes changes on a thread of its own: what waits goes into one transaction (group commit), so a slow disk costs
//! the engine nothing but later answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use engine::persist::Change;

use crate::Store;

/// Changes that may wait for the disk.
pub const QUEUE_DEFAULT: usize = 8192;
/// Changes in one transaction at most.
const BATCH: usize = 512;

/// The queue is full: the change was not taken, as if the store could not write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's queue is full")]
pub struct Full;

/// What a writer has done, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterFigures {
    /// Changes that are on disk.
    pub written: u64,
    /// Changes that could not be written.
    pub failed: u64,
    /// Changes refused because the queue was full.
    pub refused: u64,
    /// Transactions.
    pub batches: u64,
    /// Changes taken and not yet answered.
    pub waiting: u64,
}

/// The writing thread's door. Dropped, the thread writes what waits and ends; [`Writer::close`] waits for that.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<(u64, Vec<Change>)>,
    counts: Arc<Counts>,
    /// `None`: the system had no thread to give; the queue is closed and refuses everything.
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    written: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    batches: AtomicU64,
}

impl Writer {
    /// Starts the thread. `done` is called on it with the tokens of changes that share a fate, in the order sent, once
    /// they are on disk; or with the reason why they are not.
    pub fn spawn(store: Arc<dyn Store>, done: impl Fn(Vec<u64>, Result<(), String>) + Send + 'static) -> Self {
        Self::spawn_bounded(store, QUEUE_DEFAULT, done)
    }

    /// [`Writer::spawn`] with a queue of another length.
    pub fn spawn_bounded(
        store: Arc<dyn Store>,
        queue: usize,
        done: impl Fn(Vec<u64>, Result<(), String>) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = sync_channel(queue);
        let counts = Arc::new(Counts::default());
        let desk = Desk { store, done, counts: Arc::clone(&counts) };
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || desk.work(&receiver)).ok();
        Self { queue: sender, counts, thread }
    }

    /// Hands changes over that share a fate, all of them written or none; never blocks.
    ///
    /// # Errors
    /// [`Full`]: it was not taken and `done` will not be called for it.
    pub fn send(&self, token: u64, changes: Vec<Change>) -> Result<(), Full> {
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send((token, changes)).map_err(|_| {
            self.counts.sent.fetch_sub(1, Ordering::Relaxed);
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            Full
        })
    }

    /// What it has done.
    #[must_use]
    pub fn figures(&self) -> WriterFigures {
        let (written, failed) =
            (self.counts.written.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed));
        WriterFigures {
            written,
            failed,
            refused: self.counts.refused.load(Ordering::Relaxed),
            batches: self.counts.batches.load(Ordering::Relaxed),
            waiting: self.counts.sent.load(Ordering::Relaxed).saturating_sub(written + failed),
        }
    }

    /// Waits until everything that was sent is answered, and ends the thread.
    pub fn close(self) {
        drop(self.queue);
        if let Some(thread) = self.thread {
            // Only a panic in `done` fails here, and that has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread holds.
struct Desk<F> {
    store: Arc<dyn Store>,
    done: F,
    counts: Arc<Counts>,
}

impl<F: Fn(Vec<u64>, Result<(), String>)> Desk<F> {
    fn work(&self, queue: &Receiver<(u64, Vec<Change>)>) {
        while let Ok(first) = queue.recv() {
            let (tokens, changes): (Vec<u64>, Vec<Vec<Change>>) =
                std::iter::once(first).chain(queue.try_iter().take(BATCH - 1)).unzip();
            let all: Vec<Change> = changes.iter().flatten().cloned().collect();
            match self.write(&all) {
                Err(_) if tokens.len() > 1 => self.write_alone(&tokens, &changes),
                result => self.answer(tokens, result),
            }
        }
    }

    /// One bad record must not take its neighbours along; but when two fail in a row the disk is what is wrong, and
    /// waiting for it once per change would hold everybody up.
    fn write_alone(&self, tokens: &[u64], changes: &[Vec<Change>]) {
        let mut failed_in_a_row = 0;
        let mut result = Ok(());
        for (token, change) in tokens.iter().zip(changes) {
            if failed_in_a_row < 2 {
                result = self.write(change);
            }
            failed_in_a_row = if result.is_ok() { 0 } else { failed_in_a_row + 1 };
            self.answer(vec![*token], result.clone());
        }
    }

    fn write(&self, changes: &[Change]) -> Result<(), String> {
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        self.store.apply(changes).map_err(|error| error.reason())
    }

    fn answer(&self, tokens: Vec<u64>, result: Result<(), String>) {
        let counter = if result.is_ok() { &self.counts.written } else { &self.counts.failed };
        counter.fetch_add(u64::try_from(tokens.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        (self.done)(tokens, result);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use engine::persist::{AnswerRecord, Restored};
    use engine::view::{CallView, ListeningView, RequestView};

    use super::*;
    use crate::conformance::call;
    use crate::{
        AuditQuery, AuditReport, AuditRow, CallQuery, Claim, ListeningQuery, MemoryStore, Page, RequestQuery,
        Retention, StoreError,
    };

    /// Lets a test hold each transaction, and refuses batches that hold the bad ids.
    #[derive(Debug)]
    struct Gate {
        inner: MemoryStore,
        begun: Mutex<Sender<usize>>,
        go: Mutex<Receiver<()>>,
        bad: Vec<String>,
    }

    impl Store for Gate {
        fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
            self.begun.lock().unwrap().send(changes.len()).unwrap();
            self.go.lock().unwrap().recv().unwrap();
            if changes.iter().any(|c| matches!(c, Change::AgentRemoved(id) if self.bad.contains(id))) {
                return Err(StoreError::Unavailable("bad".to_owned()));
            }
            self.inner.apply(changes)
        }
        fn restore(&self) -> Result<Restored, StoreError> {
            self.inner.restore()
        }
        fn listenings(&self, query: &ListeningQuery) -> Result<Page<ListeningView>, StoreError> {
            self.inner.listenings(query)
        }
        fn listening(&self, id: &str) -> Result<Option<ListeningView>, StoreError> {
            self.inner.listening(id)
        }
        fn requests(&self, query: &RequestQuery) -> Result<Page<RequestView>, StoreError> {
            self.inner.requests(query)
        }
        fn request(&self, id: &str) -> Result<Option<RequestView>, StoreError> {
            self.inner.request(id)
        }
        fn calls(&self, query: &CallQuery) -> Result<Page<CallView>, StoreError> {
            self.inner.calls(query)
        }
        fn call(&self, id: &str) -> Result<Option<CallView>, StoreError> {
            self.inner.call(id)
        }
        fn audit(&self, query: &AuditQuery) -> Result<Page<AuditRow>, StoreError> {
            self.inner.audit(query)
        }
        fn verify_audit(&self) -> Result<AuditReport, StoreError> {
            self.inner.verify_audit()
        }
        fn audit_seq(&self, hash: &str) -> Result<Option<u64>, StoreError> {
            self.inner.audit_seq(hash)
        }
        fn answer(&self, user: &str, key: &str) -> Result<Option<AnswerRecord>, StoreError> {
            self.inner.answer(user, key)
        }
        fn forget(&self, limits: &Retention, at_most: usize) -> Result<usize, StoreError> {
            self.inner.forget(limits, at_most)
        }
        fn claim(&self, request: &str, listening: &str) -> Result<Claim, StoreError> {
            self.inner.claim(request, listening)
        }
        fn unclaim(&self, listening: &str) -> Result<(), StoreError> {
            self.inner.unclaim(listening)
        }
    }

    struct Stage {
        writer: Writer,
        store: Arc<Gate>,
        begun: Receiver<usize>,
        go: Sender<()>,
        done: Receiver<(Vec<u64>, Result<(), String>)>,
    }

    fn stage(queue: usize, bad: &[&str]) -> Stage {
        let (begun_in, begun) = channel();
        let (go, go_out) = channel();
        let (done_in, done) = channel();
        let bad = bad.iter().map(|id| (*id).to_owned()).collect();
        let store =
            Arc::new(Gate { inner: MemoryStore::new(), begun: Mutex::new(begun_in), go: Mutex::new(go_out), bad });
        let writer =
            Writer::spawn_bounded(store.clone(), queue, move |tokens, result| done_in.send((tokens, result)).unwrap());
        Stage { writer, store, begun, go, done }
    }

    fn removed(id: &str) -> Vec<Change> {
        vec![Change::AgentRemoved(id.to_owned())]
    }

    #[test]
    fn what_waits_goes_into_one_transaction() {
        let s = stage(10, &[]);
        s.writer.send(1, removed("a")).unwrap();
        assert_eq!(s.begun.recv().unwrap(), 1);
        for token in 2..=4 {
            s.writer.send(token, removed("b")).unwrap();
        }
        s.go.send(()).unwrap();
        assert_eq!(s.done.recv().unwrap(), (vec![1], Ok(())));
        assert_eq!(s.begun.recv().unwrap(), 3);
        assert_eq!(s.writer.figures().waiting, 3);
        s.go.send(()).unwrap();
        assert_eq!(s.done.recv().unwrap(), (vec![2, 3, 4], Ok(())));
        assert_eq!(s.writer.figures(), WriterFigures { written: 4, failed: 0, refused: 0, batches: 2, waiting: 0 });
    }

    #[test]
    fn one_bad_change_does_not_take_its_neighbours_along() {
        let s = stage(10, &["bad"]);
        s.writer.send(1, removed("a")).unwrap();
        s.begun.recv().unwrap();
        s.writer.send(2, removed("b")).unwrap();
        s.writer.send(3, removed("bad")).unwrap();
        s.writer.send(4, removed("d")).unwrap();
        for _ in 0..5 {
            s.go.send(()).unwrap();
        }
        let answers: Vec<_> = (0..4).map(|_| s.done.recv().unwrap()).collect();
        assert_eq!(
            answers,
            [(vec![1], Ok(())), (vec![2], Ok(())), (vec![3], Err("bad".to_owned())), (vec![4], Ok(()))]
        );
        assert_eq!(s.store.restore().unwrap().agents_removed, ["a", "b", "d"]);
    }

    #[test]
    fn a_dead_disk_is_tried_twice_and_not_once_per_change() {
        let s = stage(10, &["bad"]);
        s.writer.send(1, removed("bad")).unwrap();
        s.begun.recv().unwrap();
        for token in 2..=9 {
            s.writer.send(token, removed("bad")).unwrap();
        }
        for _ in 0..4 {
            s.go.send(()).unwrap();
        }
        assert!((0..9).map(|_| s.done.recv().unwrap()).all(|(_, result)| result == Err("bad".to_owned())));
        assert_eq!(s.writer.figures(), WriterFigures { written: 0, failed: 9, refused: 0, batches: 4, waiting: 0 });
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_counts() {
        let s = stage(1, &[]);
        s.writer.send(1, removed("a")).unwrap();
        s.begun.recv().unwrap();
        s.writer.send(2, removed("b")).unwrap();
        assert_eq!(s.writer.send(3, removed("c")), Err(Full));
        assert_eq!(s.writer.figures().refused, 1);
        assert_eq!(s.writer.figures().waiting, 2);
        s.go.send(()).unwrap();
        s.go.send(()).unwrap();
        s.writer.close();
    }

    #[test]
    fn closing_writes_what_waits() {
        let store = Arc::new(MemoryStore::new());
        let writer = Writer::spawn(store.clone(), |_, _| {});
        for n in 0..100 {
            writer.send(n, vec![Change::Call(call(&format!("call_{n:03}"), "anna"))]).unwrap();
        }
        writer.close();
        assert_eq!(store.calls(&CallQuery { limit: 200, ..CallQuery::default() }).unwrap().items.len(), 100);
    }
}
