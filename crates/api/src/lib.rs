//! The control API: HTTP below `/v1`, events, OpenAPI, metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Command, Event, Problem, Reply, View};
use tokio::sync::{mpsc, oneshot};

/// A command on its way to the engine task, with where its answer goes.
#[derive(Debug)]
pub struct CommandCall {
    /// User id.
    pub actor: String,
    /// What.
    pub command: Command,
    /// Where the answer goes; dropped unanswered: 503.
    pub answer: oneshot::Sender<Result<Reply, Problem>>,
}

/// A user's API secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// User id.
    pub user: String,
    /// SHA-256 of the bearer token.
    pub token_sha256: Option<[u8; 32]>,
}

/// What the API reads and where it sends commands. Cloned into every request handler.
#[derive(Clone, Debug)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    _commands: mpsc::Sender<CommandCall>,
}

/// Live figures for `/metrics` and `/v1/status`; the shell publishes them about once a second.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Name (snake case, without prefix and `_total`) → value. Monotonic counters.
    pub counters: BTreeMap<String, u64>,
    /// Name → value. Gauges.
    pub gauges: BTreeMap<String, f64>,
}

/// What `/v1/status` and `/readyz` show besides figures.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Version.
    pub version: String,
    /// `udp:127.0.0.1:5060` …, bound ports.
    pub sip: Vec<String>,
    /// Bound address.
    pub http: String,
    /// Media range.
    pub media: String,
    /// No new calls.
    pub draining: bool,
    /// SIP is bound, media ports are ready and the store can be written.
    pub ready: bool,
    /// Why not.
    pub not_ready: Vec<String>,
}

impl Api {
    /// An API over a store's archive; commands go out by `commands`.
    #[must_use]
    pub fn new(commands: mpsc::Sender<CommandCall>, _store: Arc<dyn store::Store>, _credentials: Vec<Credential>) -> Self {
        Self { inner: Arc::new(Inner { _commands: commands }) }
    }
    /// Applies one change of the read model. Called by the engine task before replies and events go out.
    pub fn view(&self, _view: View) {
        let _ = &self.inner;
        todo!()
    }
    /// Publishes one event to every subscriber that may see it.
    pub fn event(&self, _event: Event) {
        todo!()
    }
    /// Replaces figures.
    pub fn figures(&self, _figures: Figures) {
        todo!()
    }
    /// Replaces the status.
    pub fn status(&self, _status: Status) {
        todo!()
    }
    /// Replaces the users' secrets (reload).
    pub fn credentials(&self, _credentials: Vec<Credential>) {
        todo!()
    }
    /// The axum router with everything mounted.
    pub fn router(&self) -> axum::Router {
        todo!()
    }
    /// The OpenAPI document as JSON.
    #[must_use]
    pub fn openapi() -> String {
        todo!()
    }
}
