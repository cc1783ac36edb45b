//! The tasks of webhooks: the feed, the journal, and one task for each endpoint.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::hook::PauseReason;
use super::{acting, endpoint, feed, kept};
use crate::Api;

/// How often owners are looked for and what could not be written is tried again.
const TICK: Duration = Duration::from_secs(1);

impl Api {
    /// Sends events to webhooks until [`Api::close_events`]. What is not delivered then is in the store.
    pub async fn send_webhooks(&self) {
        let webhooks = &self.inner.webhooks;
        let mut endpoints = JoinSet::new();
        tokio::select! {
            () = feed::feed(self) => {}
            () = webhooks.journal.run(&self.inner.store) => {}
            () = look_after(self, &mut endpoints) => {}
            () = self.inner.events.closed() => {}
        }
        endpoints.shutdown().await;
        // at least once: what this does not reach is sent again by the next process
        webhooks.journal.flush(&self.inner.store).await;
    }
}

/// Starts what is missing, ends what nobody owns, writes down what changed by itself.
async fn look_after(api: &Api, endpoints: &mut JoinSet<()>) {
    let webhooks = &api.inner.webhooks;
    let mut served: HashMap<String, AbortHandle> = HashMap::new();
    loop {
        served.retain(|_, task| !task.is_finished());
        while endpoints.try_join_next().is_some() {}
        for hook in webhooks.hooks() {
            let start = || endpoints.spawn(endpoint::serve(api.clone(), hook.id.clone()));
            served.entry(hook.id.clone()).or_insert_with(start);
        }
        let orphans = webhooks.table().orphans(webhooks.now(), |hook| acting(api, hook).is_some());
        for orphan in orphans {
            webhooks.pause(api, &orphan, PauseReason::OwnerGone);
        }
        write_down(api).await;
        let _ = tokio::time::timeout(TICK, webhooks.wake.notified()).await;
    }
}

/// Webhooks that were paused; what the store refuses is tried again.
async fn write_down(api: &Api) {
    let webhooks = &api.inner.webhooks;
    if webhooks.unwritten().is_empty() {
        return;
    }
    let _turn = webhooks.changes.lock().await;
    for hook in webhooks.unwritten() {
        let change = kept(&hook);
        let written = api.stored(move |store| store.apply(&[change])).await;
        if written.is_ok() {
            webhooks.table().written(&hook);
        }
    }
}
