//! Commands to the engine's task, and reads of the store, each with a limit and a deadline.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use engine::persist::Change;
use engine::{Command, Key, Precondition, Reply, Terms};
use store::{Store, StoreError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use crate::answer::Answer;
use crate::auth::Caller;
use crate::problem::Refusal;
use crate::routes::calls::shown;
use crate::{Api, CommandCall};

/// Reads of the store at one time.
pub(crate) const READS_MAX: usize = 16;
/// How long a client waits for the engine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an order with an Idempotency-Key is waited for when its client no longer is.
const LATE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client waits for its turn at the store.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer is worth waiting for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// As long as the client waits.
    Client,
    /// Longer: somebody may ask again for what it came to.
    Key,
}

/// A command under its terms, where there are any.
pub(crate) fn under(expect: Precondition, key: Option<Key>, command: Command) -> Command {
    if expect == Precondition::None && key.is_none() {
        return command;
    }
    Command::Under { terms: Terms { expect, key }, command: Box::new(command) }
}

impl Api {
    /// Sends a command and waits for what it came to.
    pub(crate) async fn command(
        &self,
        caller: &Caller,
        command: Command,
        patience: Patience,
    ) -> Result<Reply, Refusal> {
        let (answer, answered) = oneshot::channel();
        let call = CommandCall { actor: caller.user.id.clone(), command, answer };
        let gone = || {
            Refusal::unavailable(
                "engine-unavailable",
                "The engine does not answer; the order may still be carried out.",
            )
        };
        self.inner.commands.try_send(call).map_err(|error| match error {
            TrySendError::Full(_) => {
                self.inner.counts.busy.inc();
                Refusal::unavailable("busy", "Too many orders at once; try again.")
            }
            TrySendError::Closed(_) => gone(),
        })?;
        let deadline = match patience {
            Patience::Client => ANSWER_TIMEOUT,
            Patience::Key => LATE_TIMEOUT,
        };
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok(result)) => result.map_err(Refusal::from),
            Ok(Err(_)) | Err(_) => Err(gone()),
        }
    }

    /// Sends a command; its resource, or 204.
    pub(crate) async fn order(&self, caller: &Caller, command: Command) -> Answer {
        self.command(caller, command, Patience::Client)
            .await
            .map_or_else(Answer::Refused, |reply| self.answer(caller, reply))
    }

    /// A reply as it is shown to a caller.
    pub(crate) fn answer(&self, caller: &Caller, reply: Reply) -> Answer {
        match reply {
            // the player's own routes read this one
            Reply::Nothing | Reply::Whep { .. } => Answer::Nothing,
            Reply::Listening(listening) => Answer::resource(StatusCode::OK, &listening),
            Reply::Request(request) => Answer::request(StatusCode::OK, &request),
            Reply::Agent(agent, is_new) => Answer::agent(&agent, is_new),
            Reply::Call(call) => Answer::resource(StatusCode::OK, &shown(self, caller, &call)),
        }
    }

    /// Writes what is the API's own on a thread that may block, within the same limit as reads.
    pub(crate) async fn keep(&self, changes: Vec<Change>) -> Result<(), Refusal> {
        let api = self.clone();
        self.stored(move |store| {
            let _turn = api.inner.keeping.lock().unwrap_or_else(PoisonError::into_inner);
            store.apply(&changes)
        })
        .await
    }

    /// Writes a last use, which may be late, unless what was used is gone by then: nothing may bring it back.
    pub(crate) fn keep_later(&self, change: Change, is_there: impl FnOnce(&Self) -> bool + Send + 'static) {
        let api = self.clone();
        tokio::spawn(async move {
            let writer = api.clone();
            let written = api.stored(move |store| {
                let _turn = writer.inner.keeping.lock().unwrap_or_else(PoisonError::into_inner);
                if is_there(&writer) { store.apply(&[change]) } else { Ok(()) }
            });
            if written.await.is_err() {
                tracing::debug!("a last use was not written down");
            }
        });
    }

    /// Reads the store on a thread that may block.
    pub(crate) async fn stored<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || Refusal::unavailable("busy", "Too many searches at once; try again.");
        let turn = tokio::time::timeout(READ_TIMEOUT, Arc::clone(&self.inner.reads).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let store = Arc::clone(&self.inner.store);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&*store)
        });
        Ok(done.await.map_err(|error| Refusal::internal(&error.to_string()))??)
    }
}
