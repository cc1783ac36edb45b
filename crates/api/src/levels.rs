//! Levels of both sides of a listening, ten times a second, for whoever looks: never stored, and only measured while
//! somebody does.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event as Sse;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use engine::Command;
use engine::view::ListeningState;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::model::sees_order;
use crate::problem::Refusal;
use crate::{Api, CommandCall};

/// Readers at one time, of all listenings.
pub(crate) const WATCHERS_MAX: usize = 500;
/// A reader's rights and its listening's end are looked at so often.
const CHECK: Duration = Duration::from_secs(1);
/// So many looks without levels (held, ringing, shielded) are answered by a comment, so that proxies keep the stream.
const QUIET_CHECKS: u32 = 15;

/// How loud both sides of a listening are, as its listener hears them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LevelsView {
    /// The agent's side.
    pub agent: SideLevel,
    /// The caller's.
    pub caller: SideLevel,
}

/// One side's loudness in the last tenth of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SideLevel {
    /// Decibels relative to full scale: 0 is the loudest, -127 silence.
    #[schema(minimum = -127, maximum = 0)]
    pub db: i16,
    /// Somebody speaks.
    pub speaking: bool,
}

/// Who looks at what.
#[derive(Debug)]
pub(crate) struct Levels {
    watched: DashMap<String, Watched>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Watched {
    latest: watch::Sender<Option<LevelsView>>,
    readers: usize,
}

impl Default for Levels {
    fn default() -> Self {
        Self { watched: DashMap::new(), permits: Arc::new(Semaphore::new(WATCHERS_MAX)) }
    }
}

impl Levels {
    /// From the engine's task; whoever reads slowly sees the latest alone.
    pub(crate) fn publish(&self, listening: &str, levels: LevelsView) {
        if let Some(watched) = self.watched.get(listening) {
            watched.latest.send_replace(Some(levels));
        }
    }

    /// Readers now.
    pub(crate) fn readers(&self) -> usize {
        WATCHERS_MAX.saturating_sub(self.permits.available_permits())
    }
}

/// One reader: the last of a listening that goes switches its levels off.
struct Reader {
    api: Api,
    caller: Caller,
    listening: String,
    latest: watch::Receiver<Option<LevelsView>>,
    quiet: u32,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Entry::Occupied(mut entry) = self.api.inner.levels.watched.entry(self.listening.clone()) else { return };
        entry.get_mut().readers -= 1;
        if entry.get().readers == 0 {
            entry.remove();
            tell(&self.api, &self.caller, &self.listening, false);
        }
    }
}

/// A stream of levels until the listening ends or the right to see it does.
///
/// # Errors
/// 404 for a listening that is not live or not the caller's, 503 `too-many-subscribers`.
pub(crate) fn read(
    api: &Api,
    caller: Caller,
    listening: String,
) -> Result<impl Stream<Item = Result<Sse, Infallible>> + use<>, Refusal> {
    if !is_open(api, &caller, &listening) {
        return Err(Refusal::not_found("listening-not-found"));
    }
    let Ok(permit) = Arc::clone(&api.inner.levels.permits).try_acquire_owned() else {
        api.inner.counts.subscribers_refused.inc();
        return Err(Refusal::unavailable("too-many-subscribers", format!("{WATCHERS_MAX} read levels already.")));
    };
    let latest = {
        let mut watched = api
            .inner
            .levels
            .watched
            .entry(listening.clone())
            .or_insert_with(|| Watched { latest: watch::Sender::new(None), readers: 0 });
        watched.readers += 1;
        if watched.readers == 1 {
            tell(api, &caller, &listening, true);
        }
        watched.latest.subscribe()
    };
    let reader = Reader { api: api.clone(), caller, listening, latest, quiet: 0, _permit: permit };
    Ok(stream::unfold(reader, |mut reader| async { reader.next().await.map(|event| (Ok(event), reader)) }))
}

impl Reader {
    async fn next(&mut self) -> Option<Sse> {
        loop {
            let api = self.api.clone();
            self.caller = self.caller.still(&api)?;
            if !is_open(&api, &self.caller, &self.listening) || api.inner.events.is_closed() {
                return None;
            }
            if let Ok(changed) = tokio::time::timeout(CHECK, self.latest.changed()).await {
                changed.ok()?;
                self.quiet = 0;
                let latest = *self.latest.borrow_and_update();
                let data = latest.and_then(|levels| serde_json::to_string(&levels).ok()).unwrap_or_default();
                return Some(Sse::default().event("levels").data(data));
            }
            self.quiet += 1;
            if self.quiet.is_multiple_of(QUIET_CHECKS) {
                return Some(Sse::default().comment("keep-alive"));
            }
        }
    }
}

fn is_open(api: &Api, caller: &Caller, listening: &str) -> bool {
    api.inner
        .model
        .listening(listening)
        .is_some_and(|listening| listening.state != ListeningState::Ended && sees_order(caller, &listening.ordered_by))
}

/// Nobody waits for the answer; a queue that is full loses levels, not orders.
fn tell(api: &Api, caller: &Caller, listening: &str, on: bool) {
    let (answer, _) = tokio::sync::oneshot::channel();
    let command = Command::WatchLevels { listening: listening.to_owned(), on };
    if api.inner.commands.try_send(CommandCall { actor: caller.user.id.clone(), command, answer }).is_err() {
        api.inner.counts.busy.inc();
    }
}
