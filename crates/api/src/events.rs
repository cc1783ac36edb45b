//! Server-sent events: a ring that the engine's task writes and every subscriber reads at its own pace.
//!
//! A subscriber holds a place in the ring and nothing else, so a slow one costs the engine nothing: what it misses is
//! overwritten, and it is told to read everything again (`resync`). Ids are `EPOCH-SEQUENCE`; the epoch changes with
//! every start.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::response::sse::Event as Sse;
use engine::Event;
use engine::view::{EventBody, EventName};
use futures_util::{Stream, stream};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::Api;
use crate::auth::Caller;
use crate::model::sees_order;
use crate::problem::Refusal;
use crate::routes::calls::shown;

/// Events kept for those who come back.
pub(crate) const RING_MAX: usize = 10_000;
/// Subscribers at one time.
pub(crate) const SUBSCRIBERS_MAX: usize = 1000;
/// A line at least this often, so that proxies and clients know the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that a subscriber takes from the ring at one time.
const BATCH: usize = 64;

/// The stream's source.
#[derive(Debug)]
pub(crate) struct Events {
    epoch: String,
    ring: RwLock<Ring>,
    latest: watch::Sender<u64>,
    closed: AtomicBool,
    subscribers: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<Entry>>,
    latest: u64,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    event: Event,
    /// As those see it who see all; most do.
    full: OnceLock<String>,
}

/// The `data:` of an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventData<'a> {
    /// For `Last-Event-ID`.
    id: &'a str,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The resource, under the key `agent`, `call`, `request` or `listening`.
    #[serde(flatten)]
    body: &'a EventBody,
}

/// The `data:` of a `resync`: what came before is lost to this subscriber; read the lists again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ResyncData<'a> {
    /// For `Last-Event-ID`.
    id: &'a str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `unknown-id` (another start of the engine, or none of ours), `too-old` or `too-slow`.
    reason: &'a str,
}

/// What follows a place in the ring.
enum Next {
    Events(Vec<Arc<Entry>>),
    Lost,
}

impl Events {
    pub(crate) fn new(epoch: String) -> Self {
        Self {
            epoch,
            ring: RwLock::default(),
            latest: watch::Sender::new(0),
            closed: AtomicBool::new(false),
            subscribers: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)),
        }
    }

    /// Called by the engine's task: never waits for a subscriber's socket.
    pub(crate) fn publish(&self, event: Event) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.latest += 1;
        let entry = Entry { sequence: ring.latest, event, full: OnceLock::new() };
        if ring.entries.len() >= RING_MAX {
            ring.entries.pop_front();
        }
        ring.entries.push_back(Arc::new(entry));
        let latest = ring.latest;
        drop(ring);
        self.latest.send_replace(latest);
    }

    /// Ends every stream, so that the server can stop.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.latest.send_modify(|_| {});
    }

    /// Makes every stream look again whether its caller still may read it.
    pub(crate) fn wake(&self) {
        self.latest.send_modify(|_| {});
    }

    /// The server stops.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Subscribers now, and events since the start.
    pub(crate) fn figures(&self) -> (usize, u64) {
        (SUBSCRIBERS_MAX.saturating_sub(self.subscribers.available_permits()), *self.latest.borrow())
    }

    fn after(&self, place: u64) -> Next {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.entries.front().map_or(ring.latest + 1, |entry| entry.sequence);
        if place + 1 < oldest || place > ring.latest {
            return Next::Lost;
        }
        let skip = usize::try_from(place + 1 - oldest).unwrap_or(usize::MAX);
        Next::Events(ring.entries.iter().skip(skip).take(BATCH).cloned().collect())
    }

    fn id(&self, sequence: u64) -> String {
        format!("{}-{sequence}", self.epoch)
    }

    /// The place that a `Last-Event-ID` means; `None`: none of this start.
    fn place(&self, id: &str) -> Option<u64> {
        let (epoch, sequence) = id.rsplit_once('-')?;
        let place: u64 = sequence.parse().ok()?;
        (epoch == self.epoch && place <= *self.latest.borrow() && self.id(place) == id).then_some(place)
    }
}

/// One subscriber's place.
struct Subscription {
    api: Api,
    caller: Caller,
    place: u64,
    wake: watch::Receiver<u64>,
    ready: VecDeque<Sse>,
    alive_by: Instant,
    _permit: OwnedSemaphorePermit,
}

/// A stream from now on, or from after `last_id`.
///
/// # Errors
/// 503 `too-many-subscribers`.
pub(crate) fn subscribe(
    api: &Api,
    caller: Caller,
    last_id: Option<&str>,
) -> Result<impl Stream<Item = Result<Sse, Infallible>> + use<>, Refusal> {
    let events = &api.inner.events;
    let Ok(permit) = Arc::clone(&events.subscribers).try_acquire_owned() else {
        api.inner.counts.subscribers_refused.inc();
        return Err(Refusal::unavailable(
            "too-many-subscribers",
            format!("{SUBSCRIBERS_MAX} subscribers are listening already."),
        ));
    };
    let wake = events.latest.subscribe();
    let latest = *wake.borrow();
    let mut subscription = Subscription {
        api: api.clone(),
        caller,
        place: latest,
        wake,
        ready: VecDeque::new(),
        alive_by: Instant::now() + KEEP_ALIVE,
        _permit: permit,
    };
    match last_id.map(|id| events.place(id)) {
        // Says where the stream begins before anything happens, for a client that has to come back.
        None => subscription.ready.push_back(Sse::default().id(events.id(latest)).comment("medlytt events")),
        Some(Some(place)) => subscription.place = place,
        Some(None) => subscription.resync("unknown-id"),
    }
    if matches!(events.after(subscription.place), Next::Lost) {
        subscription.resync("too-old");
    }
    Ok(stream::unfold(subscription, |mut subscription| async {
        subscription.next().await.map(|event| (Ok(event), subscription))
    }))
}

impl Subscription {
    async fn next(&mut self) -> Option<Sse> {
        loop {
            let api = self.api.clone();
            if let Some(event) = self.ready.pop_front() {
                self.alive_by = Instant::now() + KEEP_ALIVE;
                return Some(event);
            }
            // Rights may have changed since: they are looked at before every batch.
            self.caller = self.caller.still(&api)?;
            if api.inner.events.closed.load(Ordering::SeqCst) {
                return None;
            }
            self.wake.borrow_and_update();
            match api.inner.events.after(self.place) {
                Next::Lost => self.resync("too-slow"),
                Next::Events(entries) if entries.is_empty() => self.sleep().await?,
                Next::Events(entries) => {
                    for entry in entries {
                        self.place = entry.sequence;
                        self.ready.extend(render(&api, &self.caller, &entry));
                    }
                }
            }
        }
    }

    /// Until something happens or a keep-alive is due. It carries the place, so that one who comes back after hours
    /// without an event for it need not read everything again.
    async fn sleep(&mut self) -> Option<()> {
        match tokio::time::timeout_at(self.alive_by, self.wake.changed()).await {
            Ok(changed) => changed.ok(),
            Err(_) => {
                self.ready.push_back(Sse::default().id(self.api.inner.events.id(self.place)).comment("keep-alive"));
                Some(())
            }
        }
    }

    fn resync(&mut self, reason: &str) {
        self.api.inner.counts.resyncs.inc();
        self.place = *self.wake.borrow_and_update();
        let id = self.api.inner.events.id(self.place);
        let data = ResyncData { id: &id, at: Timestamp::now(), reason };
        let data = serde_json::to_string(&data).unwrap_or_default();
        self.ready.push_back(Sse::default().id(&id).event("resync").data(data));
    }
}

/// An event as this caller may see it.
fn render(api: &Api, caller: &Caller, entry: &Entry) -> Option<Sse> {
    let id = api.inner.events.id(entry.sequence);
    let print =
        |body: &EventBody| serde_json::to_string(&EventData { id: &id, at: entry.event.at, body }).unwrap_or_default();
    let model = &api.inner.model;
    let visible = match &entry.event.body {
        EventBody::Agent(agent) => model.sees_agent(caller, agent),
        EventBody::Call(call) => model.sees_call(caller, call),
        EventBody::Request(request) => sees_order(caller, &request.ordered_by),
        EventBody::Listening(listening) => sees_order(caller, &listening.ordered_by),
    };
    if !visible {
        return None;
    }
    let data = match &entry.event.body {
        // Whose listenings hang on a call is not everybody's business.
        EventBody::Call(call) if !caller.is_admin() => print(&EventBody::Call(shown(api, caller, call))),
        body => entry.full.get_or_init(|| print(body)).clone(),
    };
    Some(Sse::default().id(id).event(name(entry.event.name)).data(data))
}

fn name(name: EventName) -> String {
    match serde_json::to_value(name) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
