//! Webhooks: events go out as signed POSTs (Standard Webhooks), at least once each.
//!
//! A feed reads the ring of events as a subscriber does, renders each for the webhooks that want and may see it, keeps
//! the deliveries in the store and only then queues them. Each webhook has an endpoint's task that sends what is due.
//! Webhooks are read from the store at start, deliveries that were not made go on.

mod delivery;
mod endpoint;
mod feed;
mod guard;
pub(crate) mod hook;
mod journal;
mod line;
mod queue;
mod run;
mod signature;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::persist::Change;
use engine::view::{EventBody, EventName, WebhookPaused};
use engine::{Deed, Event};
use jiff::Timestamp;
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::rustls::ClientConfig;

use crate::Api;
use crate::auth::Caller;
pub(crate) use delivery::{Delivery, DeliveryView, State};
pub(crate) use guard::{Barred, URL_MAX, addresses, parse};
pub use guard::{Network, Resolve, Resolved};
pub(crate) use hook::Hook;
use hook::PauseReason;
use journal::Journal;
use line::{HttpLine, Line, Outcome, Parcel, Trust};
pub(crate) use signature::new_secret;
use table::Table;

/// Kinds of documents in the store.
pub(crate) const WEBHOOK: &str = "webhook";
const DELIVERY: &str = "delivery";
/// Deliveries that wait, of all webhooks together.
pub(crate) const PENDING_MAX: usize = 100_000;
/// Deliveries under way to one endpoint.
const LINES_MAX: usize = 8;
/// Of all webhooks, beyond the first of each.
const EXTRA_LINES_MAX: usize = 64;
/// Test events under way.
const TESTS_MAX: usize = 8;

/// What the operator says about webhooks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Plain http may be used, too.
    pub allow_http: bool,
    /// Networks that may be gone to although they are not public.
    pub allow: Vec<Network>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub certificates: Option<Vec<u8>>,
    /// How long an endpoint may take to be connected to and to answer.
    pub timeout: Duration,
    /// Webhooks in all.
    pub max: usize,
    /// Webhooks of one user.
    pub max_per_user: usize,
    /// Deliveries that wait for one endpoint.
    pub max_pending: usize,
    /// Names to addresses.
    pub resolver: Arc<dyn Resolve>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_http: false,
            allow: Vec::new(),
            certificates: None,
            timeout: Duration::from_secs(5),
            max: 64,
            max_per_user: 16,
            max_pending: 10_000,
            resolver: Arc::new(guard::SystemResolver),
        }
    }
}

/// Whether certificates can be read: a PEM text with one at least.
///
/// # Errors
/// Says why not.
pub fn check_certificates(pem: &[u8]) -> Result<(), String> {
    line::certificates(pem).map(drop)
}

/// The settings, and what was made of them.
#[derive(Debug, Default)]
struct Policy {
    settings: Settings,
    trust: Trust,
    barred: AtomicU64,
}

impl Policy {
    /// Reads files the first time, which may take a moment.
    async fn trusted(self: &Arc<Self>) -> Result<Arc<ClientConfig>, &'static str> {
        let there = Arc::clone(self);
        let read = move || there.trust.config(there.settings.certificates.as_deref());
        tokio::task::spawn_blocking(read).await.map_err(|_| "tls")?
    }
}

/// A figure by its name.
type Figure<T> = (&'static str, T);

/// All webhooks.
pub(crate) struct Webhooks {
    policy: ArcSwap<Policy>,
    table: Mutex<Table>,
    /// Changes of webhooks come one after another.
    pub(crate) changes: tokio::sync::Mutex<()>,
    journal: Journal,
    /// There are other webhooks than before, or one has to be written down.
    wake: Notify,
    extra_lines: Arc<Semaphore>,
    tests: Semaphore,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    line: Box<dyn Fn() -> Box<dyn Line> + Send + Sync>,
    counts: Counts,
}

/// Since the start.
#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    failed_attempts: AtomicU64,
    given_up: AtomicU64,
    dropped: AtomicU64,
    paused: AtomicU64,
    resyncs: AtomicU64,
    barred: AtomicU64,
    under_way: AtomicUsize,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Those that the store has, and what is still to be delivered.
    pub(crate) fn load(store: &dyn Store) -> Self {
        Self::with(store, Box::new(Timestamp::now), Box::new(|| Box::new(HttpLine::default())))
    }

    fn with(
        store: &dyn Store,
        now: Box<dyn Fn() -> Timestamp + Send + Sync>,
        line: Box<dyn Fn() -> Box<dyn Line> + Send + Sync>,
    ) -> Self {
        let journal = Journal::default();
        let table = Table::load(store, &journal).unwrap_or_else(|error| {
            tracing::error!(%error, "webhooks cannot be read: none is served");
            Table::default()
        });
        Self {
            policy: ArcSwap::default(),
            table: Mutex::new(table),
            changes: tokio::sync::Mutex::new(()),
            journal,
            wake: Notify::new(),
            extra_lines: Arc::new(Semaphore::new(EXTRA_LINES_MAX)),
            tests: Semaphore::new(TESTS_MAX),
            now,
            line,
            counts: Counts::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub(crate) fn settings(&self) -> Settings {
        self.policy.load().settings.clone()
    }

    pub(crate) fn hooks(&self) -> Vec<Arc<Hook>> {
        self.table().hooks()
    }

    pub(crate) fn hook(&self, id: &str) -> Option<Arc<Hook>> {
        self.table().hook(id)
    }

    fn unwritten(&self) -> Vec<Arc<Hook>> {
        self.table().unwritten()
    }

    /// Puts a webhook that the store has; false: meanwhile it is another than `before`, or there are too many.
    pub(crate) fn put(&self, hook: &Arc<Hook>, before: Option<&Arc<Hook>>) -> bool {
        let is_put = self.table().put(hook, before);
        self.wake.notify_one();
        is_put
    }

    /// Takes a webhook out that the store no longer has, with all that waits for it.
    pub(crate) fn remove(&self, id: &str) {
        for delivery in self.table().remove(id) {
            self.journal.write(delivery, None);
        }
        self.wake.notify_one();
    }

    /// A URL was refused.
    pub(crate) fn barred(&self) {
        add(&self.counts.barred, 1);
    }

    /// A webhook goes on: what waits is tried anew, after word that events were missed.
    pub(crate) fn resume(&self, hook: &Hook) {
        let now = self.now();
        let resync = feed::resync(&hook.id, "paused", &format!("resumed-{now}"), now);
        let mut table = self.table();
        let again = table.resume(&hook.id, now, resync);
        drop(table);
        for delivery in again {
            self.write(&delivery);
        }
    }

    /// The deliveries of a webhook.
    pub(crate) fn deliveries(&self, id: &str, state: Option<State>) -> Vec<Arc<DeliveryView>> {
        self.table().deliveries(id, state)
    }

    /// Tries a delivery again, now and from the beginning.
    pub(crate) fn retry(&self, hook: &str, delivery: &str) -> Option<DeliveryView> {
        let again = self.table().retry(hook, delivery, self.now())?;
        self.write(&again);
        Some(again.view(true))
    }

    /// Sends a test event now and waits for what comes of it. `None`: too many at once.
    pub(crate) async fn test(&self, hook: &Hook) -> Option<Tested> {
        let _turn = self.tests.try_acquire().ok()?;
        let now = self.now();
        let data = serde_json::json!({"webhook": {"id": hook.id, "url": hook.url}}).to_string();
        let body = feed::body("webhook.test", now, &data);
        let delivery = Delivery::new(&hook.id, "webhook.test", &format!("test-{now}"), now, body, now);
        let started = tokio::time::Instant::now();
        let outcome = (self.line)().post(&self.policy.load_full(), &self.parcel(hook, &delivery)).await;
        Some(Tested { id: delivery.id, outcome, took: started.elapsed() })
    }

    /// Nothing more is sent for a webhook until somebody says so; its owner is told.
    fn pause(&self, api: &Api, id: &str, reason: PauseReason) {
        let now = self.now();
        let Some(hook) = self.table().pause(id, reason, now) else { return };
        add(&self.counts.paused, 1);
        tracing::warn!(webhook = id, reason = reason.word(), "a webhook was paused");
        let details = [("owner", hook.owner.clone()), ("reason", reason.word().to_owned()), ("host", hook.host())];
        let details = details.map(|(name, value)| (name.to_owned(), value)).into();
        api.inner.notes.did("engine", Deed::WebhookPaused, id, details);
        let body = WebhookPaused { id: id.to_owned(), owner: hook.owner.clone(), reason: reason.word().to_owned() };
        api.event(Event { at: now, name: EventName::WebhookPaused, body: EventBody::Webhook(body) });
        self.wake.notify_one();
    }

    fn parcel(&self, hook: &Hook, delivery: &Delivery) -> Parcel {
        let now = self.now();
        let timestamp = now.as_second();
        Parcel {
            url: hook.url.clone(),
            id: delivery.id.clone(),
            timestamp,
            signature: signature::sign(hook.secrets(now), &delivery.id, timestamp, &delivery.body),
            body: Arc::clone(&delivery.body),
        }
    }

    /// What became of an attempt.
    fn settle(&self, api: &Api, hook: &str, delivery: &str, outcome: &Outcome) {
        let Some(after) = self.table().settle(hook, delivery, outcome, self.now()) else { return };
        if let Some(forgotten) = after.forgotten {
            self.journal.write(forgotten, None);
        }
        match after.settled {
            delivery::Settled::Delivered => {
                add(&self.counts.delivered, 1);
                return self.journal.write(after.delivery.id, None);
            }
            delivery::Settled::Again => {}
            delivery::Settled::Gone => self.pause(api, hook, PauseReason::Gone),
            delivery::Settled::GivenUp => self.pause(api, hook, PauseReason::Failing),
        }
        add(&self.counts.failed_attempts, 1);
        if after.settled != delivery::Settled::Again {
            add(&self.counts.given_up, 1);
        }
        self.write(&after.delivery);
    }

    fn write(&self, delivery: &Delivery) {
        self.journal.write(delivery.id.clone(), serde_json::to_string(delivery).ok());
    }

    /// Counters and gauges for `/metrics`.
    pub(crate) fn figures(&self) -> ([Figure<u64>; 8], [Figure<usize>; 4]) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        let (hooks, active, pending) = self.table().figures();
        let counters = [
            ("webhook_deliveries_made", count(&counts.delivered)),
            ("webhook_attempts_failed", count(&counts.failed_attempts)),
            ("webhook_deliveries_given_up", count(&counts.given_up)),
            ("webhook_deliveries_dropped", count(&counts.dropped)),
            ("webhook_pauses", count(&counts.paused)),
            ("webhook_store_batches", count(&self.journal.batches)),
            ("webhook_resyncs", count(&counts.resyncs)),
            ("webhook_addresses_refused", count(&counts.barred) + count(&self.policy.load().barred)),
        ];
        let gauges = [
            ("webhooks", hooks),
            ("webhooks_active", active),
            ("webhook_deliveries_pending", pending),
            ("webhook_attempts_under_way", counts.under_way.load(Ordering::Relaxed)),
        ];
        (counters, gauges)
    }

    // Every change under the lock is one step of the table's own.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a test event.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
    pub(crate) took: Duration,
}

/// A webhook as the store keeps it.
pub(crate) fn kept(hook: &Hook) -> Change {
    Change::Document { kind: WEBHOOK.to_owned(), id: hook.id.clone(), doc: serde_json::to_string(hook).ok() }
}

/// Its owner, if the owner still may have webhooks.
fn acting(api: &Api, hook: &Hook) -> Option<Caller> {
    let owner = api.inner.model.user(&hook.owner).filter(|owner| hook::may_have(owner))?;
    Some(Caller::acting(owner))
}

impl Api {
    /// Replaces the settings of webhooks.
    pub fn webhook_settings(&self, settings: Settings) {
        let webhooks = &self.inner.webhooks;
        let policy = Policy { settings, ..Policy::default() };
        let before = webhooks.policy.swap(Arc::new(policy));
        webhooks.counts.barred.fetch_add(before.barred.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
