//! Server-sent events: a ring that the engine's task writes and every subscriber reads at its own pace.
//!
//! A subscriber holds a place in the ring and nothing else, so a slow one costs the engine nothing: what it misses is
//! overwritten, and it is told to read everything again (`resync`). Ids are `EPOCH-SEQUENCE`; the epoch changes with
//! every start.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use axum::response::sse::Event as Sse;
use engine::Event;
use engine::view::{AgentView, EventBody, EventName};
use futures_util::{Stream, stream};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::Api;
use crate::auth::Caller;
use crate::model::{Model, sees_order};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::calls::shown;

/// Events kept for those who come back.
pub(crate) const RING_MAX: usize = 10_000;
/// Subscribers at one time.
pub(crate) const SUBSCRIBERS_MAX: usize = 1000;
/// Events of a page at most.
pub(crate) const PAGE_MAX: usize = 1000;
/// `after` that means: from now on.
const NOW: &str = "now";
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
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) event: Event,
    /// Of an agent that was removed: as it is now, where it only went to another group.
    moved: Option<Arc<AgentView>>,
    /// As those see it who see all; most do.
    full: OnceLock<String>,
}

/// Which events somebody asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// `None`: all.
    pub(crate) types: Option<Vec<EventName>>,
    /// Agent id; `None`: of all.
    pub(crate) agent: Option<String>,
}

impl Wanted {
    /// `types` and `agent`.
    pub(crate) fn parse(params: &mut Params) -> Result<Self, Refusal> {
        Ok(Self { types: params.names("types")?, agent: params.text("agent") })
    }

    fn takes(&self, event: &Event) -> bool {
        let agent = match &event.body {
            EventBody::Agent(agent) => Some(&agent.id),
            EventBody::Call(call) => call.agent.as_ref(),
            EventBody::Request(request) => Some(&request.agent.id),
            EventBody::Listening(listening) => Some(&listening.agent.id),
            EventBody::Webhook(_) => None,
        };
        self.types.as_ref().is_none_or(|types| types.contains(&event.name))
            && self.agent.as_ref().is_none_or(|wanted| agent == Some(wanted))
    }
}

/// The `data:` of an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventData<'a> {
    /// For `Last-Event-ID`.
    id: &'a str,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The resource, under the key `agent`, `call`, `request`, `listening` or `webhook`.
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
    /// Why.
    reason: ResyncReason,
}

/// Events as a page, for those who poll.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventPage {
    /// Oldest first.
    #[schema(value_type = Vec<LoggedEvent<'_>>)]
    items: Vec<Value>,
    /// For `after`, the next time.
    next_after: String,
    /// There are more already: ask again at once.
    more: bool,
    /// Events were missed, and why; read the lists again. `null`: none were.
    resync: Option<ResyncReason>,
}

/// One event of a page.
#[derive(Serialize, ToSchema)]
pub(crate) struct LoggedEvent<'a> {
    /// As in the stream.
    id: &'a str,
    /// Its name.
    #[serde(rename = "type")]
    #[schema(value_type = EventName)]
    kind: EventName,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The resource, under the key `agent`, `call`, `request` or `listening`.
    #[serde(flatten)]
    body: &'a EventBody,
}

/// Why events were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ResyncReason {
    /// The id is of another start of the engine, or none of ours.
    UnknownId,
    /// What followed is not kept any more.
    TooOld,
    /// The subscriber read too slowly.
    TooSlow,
}

/// What follows a place in the ring.
pub(crate) enum Next {
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
    pub(crate) fn publish(&self, event: Event, model: &Model) {
        let moved = match (&event.name, &event.body) {
            (EventName::AgentRemoved, EventBody::Agent(agent)) => model.agent(&agent.id),
            _ => None,
        };
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.latest += 1;
        let entry = Entry { sequence: ring.latest, event, moved, full: OnceLock::new() };
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

    pub(crate) fn after(&self, place: u64) -> Next {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.entries.front().map_or(ring.latest + 1, |entry| entry.sequence);
        if place + 1 < oldest || place > ring.latest {
            return Next::Lost;
        }
        let skip = usize::try_from(place + 1 - oldest).unwrap_or(usize::MAX);
        Next::Events(ring.entries.iter().skip(skip).take(BATCH).cloned().collect())
    }

    /// The place before the oldest event that is kept.
    fn before_oldest(&self) -> u64 {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.entries.front().map_or(ring.latest, |entry| entry.sequence.saturating_sub(1))
    }

    pub(crate) fn id(&self, sequence: u64) -> String {
        format!("{}-{sequence}", self.epoch)
    }

    /// Changes with every event.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The place of the newest event.
    pub(crate) fn latest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// Waits until the server stops.
    pub(crate) async fn closed(&self) {
        let mut wake = self.follow();
        while !self.is_closed() && wake.changed().await.is_ok() {}
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
    wanted: Wanted,
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
    wanted: Wanted,
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
        wanted,
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
        Some(None) => subscription.resync(ResyncReason::UnknownId),
    }
    if matches!(events.after(subscription.place), Next::Lost) {
        subscription.resync(ResyncReason::TooOld);
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
                Next::Lost => self.resync(ResyncReason::TooSlow),
                Next::Events(entries) if entries.is_empty() => self.sleep().await?,
                Next::Events(entries) => {
                    for entry in entries {
                        self.place = entry.sequence;
                        self.ready.extend(render(&api, &self.caller, &self.wanted, &entry));
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

    fn resync(&mut self, reason: ResyncReason) {
        self.api.inner.counts.resyncs.inc();
        self.place = *self.wake.borrow_and_update();
        let id = self.api.inner.events.id(self.place);
        let data = ResyncData { id: &id, at: Timestamp::now(), reason };
        let data = serde_json::to_string(&data).unwrap_or_default();
        self.ready.push_back(Sse::default().id(&id).event("resync").data(data));
    }
}

/// Events after an id, oldest first; without one, from the oldest that is kept.
pub(crate) fn log(api: &Api, caller: &Caller, wanted: &Wanted, after: Option<&str>, limit: usize) -> EventPage {
    let events = &api.inner.events;
    let (mut place, mut resync) = match after {
        None => (events.before_oldest(), None),
        Some(NOW) => (*events.latest.borrow(), None),
        Some(id) => match events.place(id) {
            Some(place) => (place, None),
            None => (*events.latest.borrow(), Some(ResyncReason::UnknownId)),
        },
    };
    let mut items = Vec::new();
    let more = loop {
        let entries = match events.after(place) {
            Next::Events(entries) if entries.is_empty() => break false,
            Next::Events(entries) => entries,
            // the window goes on while it is read: what was found of it is given, the rest is told next time
            Next::Lost if !items.is_empty() => break true,
            Next::Lost => {
                (place, resync) = (*events.latest.borrow(), Some(ResyncReason::TooOld));
                continue;
            }
        };
        let full = entries.into_iter().find_map(|entry| {
            if items.len() >= limit {
                return Some(true);
            }
            place = entry.sequence;
            items.extend(logged(api, caller, wanted, &entry));
            None
        });
        if full.is_some() {
            break true;
        }
    };
    if resync.is_some() {
        api.inner.counts.resyncs.inc();
    }
    EventPage { items, next_after: events.id(place), more, resync }
}

/// An event as this caller may see it.
fn render(api: &Api, caller: &Caller, wanted: &Wanted, entry: &Entry) -> Option<Sse> {
    let data = told(api, caller, wanted, entry)?;
    Some(Sse::default().id(api.inner.events.id(entry.sequence)).event(name(entry.event.name)).data(data))
}

/// The `data` of an event as this caller may see it; webhooks tell the same.
pub(crate) fn told(api: &Api, caller: &Caller, wanted: &Wanted, entry: &Entry) -> Option<String> {
    let id = api.inner.events.id(entry.sequence);
    let print =
        |body: &EventBody| serde_json::to_string(&EventData { id: &id, at: entry.event.at, body }).unwrap_or_default();
    Some(match seen(api, caller, wanted, entry)? {
        Cow::Borrowed(body) => entry.full.get_or_init(|| print(body)).clone(),
        Cow::Owned(body) => print(&body),
    })
}

/// The same for a page.
fn logged(api: &Api, caller: &Caller, wanted: &Wanted, entry: &Entry) -> Option<Value> {
    let body = seen(api, caller, wanted, entry)?;
    let id = api.inner.events.id(entry.sequence);
    serde_json::to_value(LoggedEvent { id: &id, kind: entry.event.name, at: entry.event.at, body: &body }).ok()
}

/// What somebody gets of an event, if it is wanted and may be seen.
fn seen<'a>(api: &Api, caller: &Caller, wanted: &Wanted, entry: &'a Entry) -> Option<Cow<'a, EventBody>> {
    let model = &api.inner.model;
    let body = &entry.event.body;
    let visible = wanted.takes(&entry.event)
        && match body {
            // only for those who lose sight of it
            EventBody::Agent(agent) => {
                let kept = entry.moved.as_ref().is_some_and(|now| model.sees_agent(caller, now));
                model.sees_agent(caller, agent) && !kept
            }
            EventBody::Call(call) => model.sees_call(caller, call),
            EventBody::Request(request) => sees_order(caller, &request.ordered_by),
            EventBody::Listening(listening) => sees_order(caller, &listening.ordered_by),
            EventBody::Webhook(webhook) => caller.is_admin() || caller.user.id == webhook.owner,
        };
    match body {
        _ if !visible => None,
        // Whose listenings hang on a call is not everybody's business.
        EventBody::Call(call) if !caller.is_admin() => Some(Cow::Owned(EventBody::Call(shown(api, caller, call)))),
        body => Some(Cow::Borrowed(body)),
    }
}

/// As it stands in `event:`.
pub(crate) fn name(name: EventName) -> String {
    match serde_json::to_value(name) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}
