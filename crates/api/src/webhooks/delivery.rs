//! One event for one webhook, and when it is tried again: for 24 h, ever more rarely.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::line::Outcome;
use crate::paging::Resource;

/// Pauses after the first, second … failed attempt, in seconds; the last one again and again.
const PAUSES: [i64; 6] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600];
/// A pause is this much longer or shorter at most, in thousandths, so that a host that comes back is not met by all at
/// once.
const JITTER: i64 = 100;
/// How long a delivery is tried.
pub(crate) const TRIED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// The longest `Retry-After` that is heeded, in seconds.
const RETRY_AFTER_MAX: i64 = 3600;

/// As it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// `msg_…`, the same in every attempt: the endpoint knows repetitions by it.
    pub(crate) id: String,
    pub(crate) hook: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) body: Arc<str>,
    pub(crate) state: State,
    pub(crate) created_at: Timestamp,
    /// Whence the 24 h count.
    pub(crate) tried_from: Timestamp,
    /// Failed attempts since then.
    pub(crate) failures: u32,
    pub(crate) attempts: u32,
    pub(crate) next_at: Timestamp,
    pub(crate) last: Option<Last>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Waits for its next attempt, or is under way.
    Pending,
    /// The endpoint answered 2xx.
    Delivered,
    /// Given up.
    Failed,
}

/// The last attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Last {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) at: Timestamp,
    /// HTTP status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// What went wrong where a status does not say it: `timeout`, `no-connection`, `unresolved`, `refused-address`,
    /// `refused-url`, `tls`, `no-answer`, `redirect-not-followed`.
    pub(crate) error: Option<String>,
}

/// A delivery as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    /// `webhook-id` of every attempt.
    id: String,
    /// Name of the event.
    #[serde(rename = "type")]
    kind: String,
    /// Where it stands.
    state: State,
    /// Attempts so far.
    attempts: u32,
    /// When the event was queued.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The next attempt; `null` where there is none, or the webhook is not active.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    /// How the last attempt went.
    last: Option<Last>,
}

impl Resource for DeliveryView {
    fn id(&self) -> &str {
        &self.id
    }
}

/// What an attempt made of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    Delivered,
    Again,
    /// The endpoint wants no more of this webhook.
    Gone,
    GivenUp,
}

impl Delivery {
    /// A new one, of what happened at `at`. `source` and webhook make its id: once more the same, should it be queued
    /// twice.
    pub(crate) fn new(hook: &str, kind: &str, source: &str, at: Timestamp, body: Arc<str>, now: Timestamp) -> Self {
        Self {
            id: id_of(hook, source, at),
            hook: hook.to_owned(),
            kind: kind.to_owned(),
            body,
            state: State::Pending,
            created_at: now,
            tried_from: now,
            failures: 0,
            attempts: 0,
            next_at: now,
            last: None,
        }
    }

    /// From the beginning: somebody wants it tried.
    pub(crate) fn again(&mut self, now: Timestamp) {
        (self.state, self.tried_from, self.failures, self.next_at) = (State::Pending, now, 0, now);
    }

    pub(crate) fn settle(&mut self, outcome: &Outcome, now: Timestamp) -> Settled {
        self.attempts = self.attempts.saturating_add(1);
        self.last = Some(Last { at: now, status: outcome.status, error: outcome.error.map(str::to_owned) });
        if outcome.is_success() {
            self.state = State::Delivered;
            return Settled::Delivered;
        }
        if outcome.is_gone() {
            self.state = State::Failed;
            return Settled::Gone;
        }
        let end = self.tried_from + TRIED_FOR;
        if now >= end {
            self.state = State::Failed;
            return Settled::GivenUp;
        }
        let asked = i64::from(outcome.retry_after.unwrap_or(0)).min(RETRY_AFTER_MAX);
        let pause = self.pause().max(SignedDuration::from_secs(asked));
        self.failures = self.failures.saturating_add(1);
        // the last attempt comes when the time is over
        self.next_at = (now + pause).min(end);
        Settled::Again
    }

    pub(crate) fn view(&self, is_active: bool) -> DeliveryView {
        let waits = is_active && self.state == State::Pending;
        DeliveryView {
            id: self.id.clone(),
            kind: self.kind.clone(),
            state: self.state,
            attempts: self.attempts,
            created_at: self.created_at,
            next_attempt_at: waits.then_some(self.next_at),
            last: self.last.clone(),
        }
    }

    /// Drawn from id and attempt, so that it can be told beforehand.
    fn pause(&self) -> SignedDuration {
        let at = usize::try_from(self.failures).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
        let [a, b, ..]: [u8; 32] = Sha256::digest(format!("{}/{}", self.id, self.failures)).into();
        let jitter = i64::from(u16::from_be_bytes([a, b])) % (2 * JITTER + 1) - JITTER;
        SignedDuration::from_millis(PAUSES[at] * (1000 + jitter))
    }
}

/// Sorts by the time of what happened.
fn id_of(hook: &str, source: &str, at: Timestamp) -> String {
    let hash: [u8; 32] = Sha256::digest(format!("{hook}/{source}")).into();
    let mut low = [0; 16];
    low.copy_from_slice(&hash[..16]);
    let ms = u64::try_from(at.as_millisecond()).unwrap_or_default();
    format!("msg_{}", ulid::Ulid::from_parts(ms, u128::from_be_bytes(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn answers(status: u16) -> Outcome {
        Outcome { status: Some(status), ..Outcome::default() }
    }

    #[test]
    fn it_is_tried_for_a_day_ever_more_rarely() {
        let mut delivery = Delivery::new("whk_1", "call.ended", "e-1", at(0), "{}".into(), at(0));
        let mut tried = Vec::new();
        loop {
            let now = delivery.next_at;
            tried.push(now.duration_since(at(0)).as_secs());
            if delivery.settle(&answers(500), now) == Settled::GivenUp {
                break;
            }
            assert_eq!(delivery.state, State::Pending);
        }
        let planned = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 86_400];
        assert_eq!(tried.len(), planned.len(), "{tried:?}");
        for (tried, planned) in tried.iter().zip(planned) {
            assert!((tried - planned).abs() * 10 <= planned + 10, "{tried} is not about {planned}");
        }
        assert_eq!((delivery.state, delivery.attempts), (State::Failed, 8));
        delivery.again(at(100_000));
        assert_eq!((delivery.state, delivery.next_at), (State::Pending, at(100_000)));
        assert_eq!(delivery.settle(&answers(500), at(100_000)), Settled::Again);
    }

    #[test]
    fn what_the_endpoint_asks_for_is_heeded_within_reason() {
        for (asked, waits) in [(2, 5), (60, 60), (86_400, 3600)] {
            let mut delivery = Delivery::new("whk_1", "x", "e-1", at(0), "{}".into(), at(0));
            let outcome = Outcome { retry_after: Some(asked), ..answers(429) };
            assert_eq!(delivery.settle(&outcome, at(0)), Settled::Again);
            assert!((delivery.next_at.duration_since(at(0)).as_secs() - waits).abs() <= 1);
        }
    }

    #[test]
    fn ids_are_the_same_for_the_same_and_differ_between_hooks() {
        let id = |hook: &str, source: &str| Delivery::new(hook, "x", source, at(0), "".into(), at(5)).id;
        assert_eq!(id("whk_1", "e-1"), id("whk_1", "e-1"));
        assert_ne!(id("whk_1", "e-1"), id("whk_2", "e-1"));
        assert_ne!(id("whk_1", "e-1"), id("whk_1", "e-2"));
        let later = Delivery::new("whk_1", "x", "e-0", at(1), "".into(), at(5)).id;
        assert!(later > id("whk_1", "e-9") && !later.contains('.'));
    }

    #[test]
    fn not_all_come_back_at_once() {
        let mut pauses = std::collections::BTreeSet::new();
        for n in 0..100 {
            let delivery = Delivery { failures: 3, ..Delivery::new("w", "x", &n.to_string(), at(0), "".into(), at(0)) };
            pauses.insert(delivery.pause().as_millis());
        }
        assert!(pauses.len() > 50 && *pauses.first().unwrap() >= 6_480_000 && *pauses.last().unwrap() <= 7_920_000);
    }
}
