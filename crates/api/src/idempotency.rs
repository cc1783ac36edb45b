//! `Idempotency-Key`: the same key and body get the first answer again, for 24 h. What is being
//! done and what was done lately is in memory; the store has what was done, written together with it.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::Key;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Api;
use crate::answer::Answer;
use crate::problem::Refusal;

/// Keys kept at most; the oldest goes first.
const KEYS_MAX: usize = 10_000;
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a caller waits for an answer that is being made.
const WAIT: Duration = Duration::from_secs(5);
/// A key at most, in characters.
const KEY_MAX: usize = 255;
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Keys in use, by user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Idempotency {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Place, Entry>,
    /// By age.
    order: VecDeque<(Instant, Place)>,
    evicted: u64,
    found: u64,
}

/// User and key.
type Place = (String, String);

#[derive(Debug)]
struct Entry {
    since: Instant,
    body: [u8; 32],
    answer: watch::Receiver<Option<Given>>,
}

/// An answer, and whether it was given before.
#[derive(Clone, Debug)]
struct Given {
    answer: Answer,
    is_replay: bool,
}

impl IntoResponse for Given {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        if self.is_replay {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// The right to answer a key. Dropped unanswered, the key is forgotten.
struct Ticket {
    keys: Idempotency,
    key: Place,
    since: Instant,
    answer: watch::Sender<Option<Given>>,
    finished: bool,
}

enum Claim {
    First(Ticket, watch::Receiver<Option<Given>>),
    Again(watch::Receiver<Option<Given>>),
    Reused,
}

impl Api {
    /// Does `work` unless this key already did it, in this process or one before, and goes on with it when the client
    /// has gone away. What `work` does is kept under the key that it is given.
    pub(crate) async fn once<W, F>(
        &self,
        user: &str,
        headers: &HeaderMap,
        what: &[&[u8]],
        work: W,
    ) -> Result<Response, Refusal>
    where
        W: FnOnce(Option<Key>) -> F + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let Some(key) = key_of(headers)? else { return Ok(work(None).await.into_response()) };
        let body = digest(what);
        match self.inner.idempotency.claim((user.to_owned(), key.clone()), body) {
            Claim::Reused => Err(reused()),
            Claim::First(ticket, answer) => {
                let (api, user) = (self.clone(), user.to_owned());
                let key = Key { key, asked: hex(&body) };
                tokio::spawn(async move {
                    match api.kept(user, &key).await {
                        Ok(None) => {
                            let answer = work(Some(key)).await;
                            let is_kept = answer.is_final();
                            ticket.finish(Given { answer, is_replay: false }, is_kept);
                        }
                        Ok(Some(answer)) => ticket.finish(Given { answer, is_replay: true }, true),
                        // the key belongs to another body: this one must not take its place
                        Err(refusal) => {
                            ticket.finish(Given { answer: Answer::Refused(refusal), is_replay: false }, false);
                        }
                    }
                });
                Ok(wait(answer).await?.into_response())
            }
            Claim::Again(answer) => Ok(Given { is_replay: true, ..wait(answer).await? }.into_response()),
        }
    }

    /// The answer that the store has for a key, from before this process or from before this table forgot it.
    async fn kept(&self, user: String, key: &Key) -> Result<Option<Answer>, Refusal> {
        let name = key.key.clone();
        let Some(kept) = self.stored(move |store| store.answer(&user, &name)).await? else { return Ok(None) };
        if Timestamp::now().duration_since(kept.at).unsigned_abs() >= KEPT {
            return Ok(None);
        }
        if kept.asked != key.asked {
            return Err(reused());
        }
        self.inner.idempotency.lock().found += 1;
        let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
        Ok(Some(Answer::request(status, &kept.request)))
    }
}

impl Idempotency {
    /// Keys in use, keys forgotten before their time, and answers that the store had.
    pub(crate) fn figures(&self) -> (usize, u64, u64) {
        let table = self.lock();
        (table.entries.len(), table.evicted, table.found)
    }

    fn claim(&self, key: Place, body: [u8; 32]) -> Claim {
        let now = Instant::now();
        let mut table = self.lock();
        table.forget_old(now);
        if let Some(entry) = table.entries.get(&key) {
            return if entry.body == body { Claim::Again(entry.answer.clone()) } else { Claim::Reused };
        }
        let (sender, receiver) = watch::channel(None);
        table.entries.insert(key.clone(), Entry { since: now, body, answer: receiver.clone() });
        table.order.push_back((now, key.clone()));
        Claim::First(Ticket { keys: self.clone(), key, since: now, answer: sender, finished: false }, receiver)
    }

    // Whoever panicked while holding the lock left a table whose worst fault is a forgotten key.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_old(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.front() {
            let old = now.saturating_duration_since(*since) >= KEPT;
            if !old && self.entries.len() < KEYS_MAX && self.order.len() < 2 * KEYS_MAX {
                return;
            }
            let Some((since, key)) = self.order.pop_front() else { return };
            if self.forget(&key, since) && !old {
                self.evicted += 1;
            }
        }
    }

    /// Forgets a key unless it was claimed anew since.
    fn forget(&mut self, key: &Place, since: Instant) -> bool {
        let same = self.entries.get(key).is_some_and(|entry| entry.since == since);
        same && self.entries.remove(key).is_some()
    }
}

impl Ticket {
    fn finish(mut self, answer: Given, is_kept: bool) {
        self.finished = is_kept;
        if !self.finished {
            self.keys.lock().forget(&self.key, self.since);
        }
        self.answer.send_replace(Some(answer));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.keys.lock().forget(&self.key, self.since);
        }
    }
}

async fn wait(mut answer: watch::Receiver<Option<Given>>) -> Result<Given, Refusal> {
    let unavailable = || {
        Refusal::unavailable("engine-unavailable", "The engine has not answered in time; ask again with the same key.")
    };
    let answered = tokio::time::timeout(WAIT, answer.wait_for(Option::is_some)).await;
    let found = answered.map_err(|_| unavailable())?.map_err(|_| unavailable())?;
    found.clone().ok_or_else(unavailable)
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(&HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let good = |key: &&str| (1..=KEY_MAX).contains(&key.len()) && values.next().is_none();
    match value.to_str().ok().filter(good) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Refusal::invalid(HEADER.to_string(), format!("One key of 1 to {KEY_MAX} printable characters."))),
    }
}

fn reused() -> Refusal {
    let detail = "This key was used for another request.";
    let refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail);
    Refusal { field: Some(HEADER.to_string()), ..refusal }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest(what: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in what {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Place {
        ("sue".to_owned(), n.to_string())
    }

    fn given(answer: Answer) -> Given {
        Given { answer, is_replay: false }
    }

    fn answer(keys: &Idempotency, key: Place) {
        match keys.claim(key, [0; 32]) {
            Claim::First(ticket, _) => ticket.finish(given(Answer::Nothing), true),
            _ => panic!("the key is taken"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_forgotten_after_a_day() {
        let keys = Idempotency::default();
        answer(&keys, key(1));
        tokio::time::advance(KEPT - Duration::from_secs(1)).await;
        assert!(matches!(keys.claim(key(1), [0; 32]), Claim::Again(_)));
        tokio::time::advance(Duration::from_secs(1)).await;
        answer(&keys, key(1));
        assert_eq!(keys.figures(), (1, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_has_an_end_and_counts_what_it_lost() {
        let keys = Idempotency::default();
        for n in 0..KEYS_MAX + 5 {
            answer(&keys, key(n));
        }
        assert_eq!(keys.figures(), (KEYS_MAX, 5, 0));
        assert!(matches!(keys.claim(key(KEYS_MAX + 4), [0; 32]), Claim::Again(_)));
        answer(&keys, key(0));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_fail_leave_nothing_behind() {
        let keys = Idempotency::default();
        for _ in 0..3 * KEYS_MAX {
            match keys.claim(key(1), [0; 32]) {
                Claim::First(ticket, _) => {
                    ticket.finish(given(Answer::Refused(Refusal::unavailable("busy", ""))), false)
                }
                _ => panic!("a failed key is not kept"),
            }
        }
        assert_eq!(keys.figures(), (0, 0, 0));
        assert!(keys.lock().order.len() <= 2 * KEYS_MAX);
    }
}
