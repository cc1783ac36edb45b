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
mod tests;
