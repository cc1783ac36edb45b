//! The control API: HTTP below `/v1`, events, OpenAPI, metrics.
//!
//! The engine's task writes the read model ([`Api::view`]) and the events ([`Api::event`]) and answers
//! [`CommandCall`]s; handlers read the model and the store and never touch the engine.
//!
//! ```
//! let (commands, _engine) = tokio::sync::mpsc::channel(64);
//! let store = std::sync::Arc::new(store::MemoryStore::new());
//! let api = medlytt_api::Api::new(commands, store, Vec::new());
//! let router: axum::Router = api.router();
//! # drop(router);
//! ```

// The API is a shell: it stamps its answers, and an order goes on in a task of its own when its client has gone.
#![allow(clippy::disallowed_methods)]

mod answer;
mod auth;
mod command;
mod credentials;
mod door;
mod events;
mod idempotency;
mod json;
mod levels;
mod limits;
mod metrics;
mod model;
mod notes;
mod openapi;
mod paging;
mod params;
mod problem;
mod routes;
mod secrets;
mod server;
mod sessions;
mod settings;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use engine::{Command, Event, Note, Problem, Reply, View};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use auth::Source;
use credentials::Credentials;
use door::Payer;
use events::Events;
use idempotency::Idempotency;
use levels::Levels;
pub use levels::{LevelsView, SideLevel};
use limits::Buckets;
use metrics::Counts;
use model::Model;
use notes::Notes;
pub use server::CONNECTIONS_MAX;
use sessions::Sessions;
pub use settings::Settings;
use tokens::Tokens;

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
    /// Argon2id of the password for the page, as a PHC string.
    pub password_hash: Option<String>,
}

/// What the API reads and where it sends commands. Cloned into every request handler.
#[derive(Clone, Debug)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    commands: mpsc::Sender<CommandCall>,
    store: Arc<dyn store::Store>,
    reads: Arc<Semaphore>,
    credentials: ArcSwap<Credentials>,
    settings: ArcSwap<Settings>,
    tokens: Tokens,
    sessions: Sessions,
    /// Held while tokens and sessions are written, so that the end of one comes after its last use.
    keeping: std::sync::Mutex<()>,
    /// Turns at hashing passwords.
    passwords: Arc<Semaphore>,
    failures_of_users: Buckets<String>,
    failures_of_sources: Buckets<std::net::IpAddr>,
    requests_taken: Buckets<Payer>,
    model: Model,
    events: Events,
    levels: Levels,
    idempotency: Idempotency,
    notes: Notes,
    figures: ArcSwap<Figures>,
    status: ArcSwap<Status>,
    counts: Counts,
    /// Of this start: event and request ids of another one are told apart by it.
    epoch: String,
    requests: AtomicU64,
}

/// Live figures for `/metrics` and `/v1/status`; the shell publishes them about once a second.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Name (snake case, without prefix and `_total`) → value. Monotonic counters.
    pub counters: BTreeMap<String, u64>,
    /// Name → value. Gauges.
    pub gauges: BTreeMap<String, f64>,
    /// One for each thread of media, in order.
    pub shards: Vec<ShardFigures>,
}

/// Live figures of one thread of media.
#[derive(Clone, Debug, Default)]
pub struct ShardFigures {
    /// How it waits for packets: `io_uring` or `epoll`.
    pub io: &'static str,
    /// Longest that a packet or a tick waited within the last second.
    pub lag_seconds: f64,
    /// Legs of calls.
    pub streams: usize,
    /// Legs of listeners.
    pub listeners: usize,
    /// Sockets that are open.
    pub sockets: usize,
    /// Turns by their lag: upper bound in seconds (the last is infinite), and how many were within it and above the one
    /// before.
    pub lags: Vec<(f64, u64)>,
    /// All lags together, in seconds.
    pub lags_sum: f64,
}

/// How many calls fit, worked out at start.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    /// Calls without listeners.
    pub calls: usize,
    /// The same where every leg agrees to rtcp-mux.
    pub calls_muxed: usize,
    /// What allows no more: `max_calls`, `media ports` or `open files`.
    pub limited_by: String,
    /// `[sip] max_calls`.
    pub max_calls: usize,
    /// Pairs of media ports.
    pub port_pairs: usize,
    /// Open files that the process may have.
    pub open_files: usize,
    /// Of them for media.
    pub media_sockets: usize,
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
    /// `udp:127.0.0.1:40000` …: where browsers listen, by media thread.
    pub browsers: Vec<String>,
    /// How many calls fit.
    pub capacity: Capacity,
    /// No new calls.
    pub draining: bool,
    /// SIP is bound, media ports are ready and the store can be written.
    pub ready: bool,
    /// Why not.
    pub not_ready: Vec<String>,
}

impl Api {
    /// An API over a store's archive; commands go out by `commands`, whose bound is the limit of orders under way.
    #[must_use]
    pub fn new(
        commands: mpsc::Sender<CommandCall>,
        store: Arc<dyn store::Store>,
        credentials: Vec<Credential>,
    ) -> Self {
        let epoch = format!("{:x}", jiff::Timestamp::now().as_microsecond());
        let inner = Inner {
            commands,
            store,
            reads: Arc::new(Semaphore::new(command::READS_MAX)),
            credentials: ArcSwap::from_pointee(Credentials::new(credentials, &Credentials::default())),
            settings: ArcSwap::default(),
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            keeping: std::sync::Mutex::default(),
            passwords: Arc::new(Semaphore::new(routes::session::PASSWORDS_MAX)),
            failures_of_users: Buckets::default(),
            failures_of_sources: Buckets::default(),
            requests_taken: Buckets::default(),
            model: Model::default(),
            events: Events::new(epoch.clone()),
            levels: Levels::default(),
            idempotency: Idempotency::default(),
            notes: Notes::default(),
            figures: ArcSwap::default(),
            status: ArcSwap::default(),
            counts: Counts::default(),
            epoch,
            requests: AtomicU64::new(0),
        };
        let api = Self { inner: Arc::new(inner) };
        api.restore();
        api
    }

    /// Tokens and sessions as the store has them.
    fn restore(&self) {
        let Inner { store, tokens, sessions, .. } = &*self.inner;
        let read = |kind| {
            store.documents(kind).unwrap_or_else(|error| {
                tracing::error!(%error, kind, "cannot be read from the store");
                Vec::new()
            })
        };
        tokens.restore(read("token"));
        let over = sessions.restore(read("session"), jiff::Timestamp::now());
        if !over.is_empty() && store.apply(&over).is_err() {
            tracing::warn!("sessions that are over stay in the store");
        }
    }

    /// Applies one change of the read model. Called by the engine task before replies and events go out.
    pub fn view(&self, view: View) {
        self.inner.model.apply(view);
    }

    /// Publishes one event to every subscriber that may see it. Never waits for one.
    pub fn event(&self, event: Event) {
        self.inner.events.publish(event);
    }

    /// Tells whoever looks how loud a listening is.
    pub fn levels(&self, listening: &str, levels: LevelsView) {
        self.inner.levels.publish(listening, levels);
    }

    /// Takes what the API noticed by itself, for [`engine::Input::Note`]. Called by the engine's task once a second.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        self.inner.notes.take()
    }

    /// Replaces figures.
    pub fn figures(&self, figures: Figures) {
        self.inner.figures.store(Arc::new(figures));
    }

    /// Replaces the status.
    pub fn status(&self, status: Status) {
        self.inner.status.store(Arc::new(status));
    }

    /// Replaces the users' secrets (reload). Streams of events whose token is gone end with their next line.
    pub fn credentials(&self, credentials: Vec<Credential>) {
        let before = self.inner.credentials.load_full();
        self.inner.credentials.store(Arc::new(Credentials::new(credentials, &before)));
        self.inner.events.wake();
    }

    /// Replaces what `[api]` says (reload).
    pub fn settings(&self, settings: Settings) {
        self.inner.settings.store(Arc::new(settings));
    }

    /// Ends all streams of events, so that a server can stop; new ones end at once.
    pub fn close_events(&self) {
        self.inner.events.close();
    }

    /// The axum router with everything mounted.
    pub fn router(&self) -> axum::Router {
        let mut router = axum::Router::new();
        for (path, methods) in routes::routes() {
            router = router.route(path, methods);
        }
        router
            .fallback(|| async { axum::http::StatusCode::NOT_FOUND })
            .layer(axum::extract::DefaultBodyLimit::max(json::BODY_MAX))
            .layer(axum::middleware::from_fn_with_state(self.clone(), door::pass))
            .with_state(self.clone())
    }

    /// The OpenAPI document as JSON.
    #[must_use]
    pub fn openapi() -> String {
        openapi::document()
    }

    fn next_request_id(&self) -> String {
        format!("{}-{}", self.inner.epoch, self.inner.requests.fetch_add(1, Ordering::Relaxed))
    }
}
