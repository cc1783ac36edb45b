//! The task of one endpoint: sends what is due over a few lines. Each webhook has its first line for itself, so that a
//! slow one delays no other; further lines come out of a common stock, and not while attempts fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::task::JoinSet;

use super::line::{IDLE, Line, Outcome};
use super::{LINES_MAX, Webhooks, acting};
use crate::Api;

/// How long it sleeps at most: clocks are set, and owners come back.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// How long it waits for an owner.
const OWNER_WAIT: Duration = Duration::from_secs(1);

/// Serves a webhook until it is gone.
pub(super) async fn serve(api: Api, id: String) {
    let webhooks = &api.inner.webhooks;
    let Some(wake) = webhooks.table().wake_of(&id) else { return };
    let mut endpoint = Endpoint { api: &api, id, lines: Vec::new(), under_way: JoinSet::new(), is_failing: false };
    endpoint.run(&wake).await;
}

struct Endpoint<'a> {
    api: &'a Api,
    id: String,
    /// Lines that rest.
    lines: Vec<Box<dyn Line>>,
    under_way: JoinSet<Attempt>,
    is_failing: bool,
}

/// An attempt that is over.
struct Attempt {
    line: Box<dyn Line>,
    delivery: String,
    outcome: Outcome,
    _extra: Option<OwnedSemaphorePermit>,
}

impl Endpoint<'_> {
    async fn run(&mut self, wake: &Notify) {
        loop {
            let Some(hook) = self.webhooks().hook(&self.id) else { return };
            let has_owner = acting(self.api, &hook).is_some();
            if has_owner {
                while self.send_one() {}
            }
            // what is not in use does not hold sockets
            self.lines.truncate(1);
            let pause = if has_owner { self.pause() } else { OWNER_WAIT };
            tokio::select! {
                Some(done) = self.under_way.join_next() => match done {
                    Ok(attempt) => self.settle(attempt),
                    Err(error) => tracing::error!(%error, "an attempt broke off"),
                },
                () = wake.notified() => {}
                () = tokio::time::sleep(pause) => {
                    if pause >= IDLE && self.under_way.is_empty() {
                        self.lines.iter_mut().for_each(|line| line.rest());
                    }
                }
            }
        }
    }

    /// Starts the attempt that is due, if there is a line for it.
    fn send_one(&mut self) -> bool {
        let webhooks = Arc::clone(&self.api.inner.webhooks);
        let extra = match self.under_way.len() {
            0 => None,
            few if few < LINES_MAX && !self.is_failing => {
                let Ok(permit) = Arc::clone(&webhooks.extra_lines).try_acquire_owned() else { return false };
                Some(permit)
            }
            _ => return false,
        };
        let taken = webhooks.table().take(&self.id, webhooks.now());
        let Some((hook, delivery)) = taken else { return false };
        let parcel = webhooks.parcel(&hook, &delivery);
        let policy = webhooks.policy.load_full();
        let mut line = self.lines.pop().unwrap_or_else(|| (webhooks.line)());
        let cut = Cut { webhooks: Arc::clone(&webhooks), hook: self.id.clone(), delivery: delivery.id };
        webhooks.counts.under_way.fetch_add(1, Ordering::Relaxed);
        self.under_way.spawn(async move {
            let outcome = line.post(&policy, &parcel).await;
            Attempt { line, delivery: cut.done(), outcome, _extra: extra }
        });
        true
    }

    fn settle(&mut self, attempt: Attempt) {
        self.is_failing = !attempt.outcome.is_success();
        self.webhooks().settle(self.api, &self.id, &attempt.delivery, &attempt.outcome);
        self.lines.push(attempt.line);
    }

    /// Until the next delivery is due.
    fn pause(&self) -> Duration {
        let now = self.webhooks().now();
        let next_at: Option<Timestamp> = self.webhooks().table().next_at(&self.id);
        let pause = next_at.map_or(SLEEP_MAX, |at| at.duration_since(now).max(SignedDuration::ZERO).unsigned_abs());
        if pause.is_zero() {
            // due, but without a line: those under way wake it, and at the latest this
            return OWNER_WAIT;
        }
        // a timer must not wake it just before the time
        pause.min(SLEEP_MAX) + Duration::from_millis(1)
    }

    fn webhooks(&self) -> &Webhooks {
        &self.api.inner.webhooks
    }
}

/// Gives a delivery back if its attempt is cut short.
struct Cut {
    webhooks: Arc<Webhooks>,
    hook: String,
    delivery: String,
}

impl Cut {
    fn done(mut self) -> String {
        std::mem::take(&mut self.delivery)
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.webhooks.counts.under_way.fetch_sub(1, Ordering::Relaxed);
        if !self.delivery.is_empty() {
            self.webhooks.table().give_back(&self.hook, &self.delivery);
        }
    }
}
