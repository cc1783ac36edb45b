//! With a store whose every transaction the test holds.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use engine::persist::{AnswerRecord, Restored};
use engine::view::{CallView, ListeningView, RequestView};

use super::*;
use crate::conformance::call;
use crate::{
    AuditQuery, AuditReport, AuditRow, CallQuery, Claim, ListeningQuery, MemoryStore, Page, RequestQuery, Retention,
    StoreError,
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
    fn documents(&self, kind: &str) -> Result<Vec<(String, String)>, StoreError> {
        self.inner.documents(kind)
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
    let store = Arc::new(Gate { inner: MemoryStore::new(), begun: Mutex::new(begun_in), go: Mutex::new(go_out), bad });
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
    assert_eq!(answers, [(vec![1], Ok(())), (vec![2], Ok(())), (vec![3], Err("bad".to_owned())), (vec![4], Ok(()))]);
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
