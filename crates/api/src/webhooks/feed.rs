//! From the ring of events to the queues: a subscriber with a place of its own. What happens while the process lives is
//! delivered or made up for by `resync`; what happens while it is down does not happen.

use std::collections::HashMap;
use std::sync::Arc;

use engine::view::EventName;
use jiff::Timestamp;

use super::delivery::Delivery;
use super::hook::{Hook, PauseReason};
use super::{PENDING_MAX, acting, add};
use crate::Api;
use crate::auth::Caller;
use crate::events::{Entry, Next, Wanted, name, told};

/// Deliveries that are kept in one go; the batch of events that reaches it is the last.
const GATHERED: usize = 1000;

/// Feeds until the ring is gone.
pub(super) async fn feed(api: &Api) {
    let mut wake = api.inner.events.follow();
    let mut place = 0;
    loop {
        wake.borrow_and_update();
        let (next, deliveries) = gather(api, place);
        keep(api, deliveries).await;
        if next == place && wake.changed().await.is_err() {
            return;
        }
        place = next;
    }
}

/// Kept first, queued then.
async fn keep(api: &Api, deliveries: Vec<Delivery>) {
    if deliveries.is_empty() {
        return;
    }
    let webhooks = &api.inner.webhooks;
    let print = |delivery: &Delivery| Some((delivery.id.clone(), serde_json::to_string(delivery).ok()?));
    webhooks.journal.keep(deliveries.iter().filter_map(print).collect()).await;
    for unwanted in webhooks.table().queue(deliveries) {
        webhooks.journal.write(unwanted, None);
    }
}

/// What follows a place: the place after, and the deliveries.
fn gather(api: &Api, mut place: u64) -> (u64, Vec<Delivery>) {
    let mut audience = Audience::of(api);
    loop {
        match api.inner.events.after(place) {
            Next::Lost => {
                let latest = api.inner.events.latest();
                audience.resync(latest);
                return (latest, audience.deliveries);
            }
            Next::Events(entries) => {
                let Some(last) = entries.last() else { return (place, audience.deliveries) };
                place = last.sequence;
                entries.iter().for_each(|entry| audience.hear(entry));
                if audience.deliveries.len() >= GATHERED {
                    return (place, audience.deliveries);
                }
            }
        }
    }
}

/// Active webhooks with owners, as things are now, and what is for them.
struct Audience<'a> {
    api: &'a Api,
    listeners: Vec<Listener>,
    /// Waiting in all.
    pending: usize,
    now: Timestamp,
    deliveries: Vec<Delivery>,
}

struct Listener {
    hook: Arc<Hook>,
    owner: Caller,
    pending: usize,
    is_full: bool,
}

impl<'a> Audience<'a> {
    fn of(api: &'a Api) -> Self {
        let webhooks = &api.inner.webhooks;
        let table = webhooks.table();
        let active = table.hooks().into_iter().filter(|hook| hook.active);
        let listeners = active.filter_map(|hook| {
            let owner = acting(api, &hook)?;
            Some(Listener { pending: table.pending(&hook.id), owner, hook, is_full: false })
        });
        let (_, _, pending) = table.figures();
        Self { api, listeners: listeners.collect(), pending, now: webhooks.now(), deliveries: Vec::new() }
    }

    fn hear(&mut self, entry: &Entry) {
        let event = &entry.event;
        let (id, kind) = (self.api.inner.events.id(entry.sequence), name(event.name));
        // admins see everything, all integrators the same
        let mut bodies: HashMap<bool, Option<Arc<str>>> = HashMap::new();
        for at in 0..self.listeners.len() {
            let Some(listener) = self.listeners.get(at) else { return };
            if listener.is_full || !listener.hook.wants(&self.api.inner.model, event.name, &event.body) {
                continue;
            }
            let body = match event.name {
                EventName::WebhookPaused => None,
                _ => bodies.get(&listener.owner.is_admin()).cloned(),
            };
            let rendered = || {
                told(self.api, &listener.owner, &Wanted::default(), entry)
                    .map(|data| self::body(&kind, event.at, &data))
            };
            let body = body.unwrap_or_else(rendered);
            bodies.insert(listener.owner.is_admin(), body.clone());
            let Some(body) = body else { continue };
            let delivery = Delivery::new(&listener.hook.id, &kind, &id, event.at, body, self.now);
            self.push(at, delivery);
        }
    }

    /// Tells all that events were missed.
    fn resync(&mut self, latest: u64) {
        add(&self.api.inner.webhooks.counts.resyncs, self.listeners.len());
        for at in 0..self.listeners.len() {
            let Some(listener) = self.listeners.get(at) else { return };
            let id = self.api.inner.events.id(latest);
            let delivery = resync(&listener.hook.id, "too-slow", &id, self.now);
            self.push(at, delivery);
        }
    }

    fn push(&mut self, at: usize, delivery: Delivery) {
        let webhooks = &self.api.inner.webhooks;
        let most = webhooks.policy.load().settings.max_pending;
        let Some(listener) = self.listeners.get_mut(at) else { return };
        if listener.pending >= most || self.pending >= PENDING_MAX {
            add(&webhooks.counts.dropped, 1);
            if !std::mem::replace(&mut listener.is_full, true) {
                webhooks.pause(self.api, &listener.hook.id, PauseReason::TooManyPending);
            }
            return;
        }
        listener.pending += 1;
        self.pending += 1;
        self.deliveries.push(delivery);
    }
}

/// Word that events were missed: the lists have to be read again.
pub(super) fn resync(hook: &str, reason: &str, source: &str, now: Timestamp) -> Delivery {
    let data = serde_json::json!({"at": now, "reason": reason}).to_string();
    Delivery::new(hook, "resync", &format!("resync-{source}"), now, body("resync", now, &data), now)
}

/// The body of every delivery; `data` as in the stream of events.
pub(super) fn body(kind: &str, at: Timestamp, data: &str) -> Arc<str> {
    format!(r#"{{"type":"{kind}","timestamp":"{at}","data":{data}}}"#).into()
}
