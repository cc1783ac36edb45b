//! What goes in and out of the engine: the types that `api`, `app`, `store` and `sim` work with.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use signalling::transport::Flow;

use crate::directory::Seed;
use crate::persist::{Change, Restored};
use crate::terms::Terms;
use crate::view::{AgentView, CallView, EventBody, EventName, ListenerRef, ListeningView, RequestView, UserView};

/// Both clocks, as the shell read them: `until` and records are wall-clock time, every timer is monotonic.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic.
    pub mono: Instant,
    /// UTC.
    pub wall: Timestamp,
}

/// Defaults of SEMANTICS.md, `[monitoring]` and the like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What signalling needs.
    pub signalling: signalling::Settings,
    /// Shown on the listener's phone; `None`: orders are refused with `access-number-missing`.
    pub access_number: Option<String>,
    /// Template of the listener's display name; `{agent}` is replaced. Default `Listen in: {agent}`.
    pub listener_display: String,
    /// Header that names the queue.
    pub header_queue: Option<String>,
    /// Header that names the access number that the caller dialled.
    pub header_access_number: Option<String>,
    /// Header that names the interaction.
    pub header_interaction: Option<String>,
    /// A call that carries this header (any value but `0`, `false`, `no`) is never tapped.
    pub header_do_not_monitor: Option<String>,
    /// The listener's phone rings so long: 30 s.
    pub ring_timeout: Duration,
    /// Call audio that makes a listening count: 3 s.
    pub min_heard: Duration,
    /// Pause after busy: 15 s.
    pub busy_retry: Duration,
    /// Retries after busy: 3.
    pub busy_retries: u32,
    /// Interactions in a row that failed to reach the listener before `suspended`: 3.
    pub suspend_after: u32,
    /// Listeners per agent: 8.
    pub max_listeners_per_agent: usize,
    /// A listener's leg may be plain though the call that it hears is encrypted: no.
    pub plain_listeners: bool,
    /// Silence after the transferor's BYE until the outcome, at most: 30 s.
    pub transfer_linger: Duration,
    /// The shield ends by itself; `None`: it does not.
    pub shield_timeout: Option<Duration>,
    /// Content-Type of an agent's INFO whose body is `on` or `off`, for the shield; `None`: no INFO does it.
    pub shield_info: Option<String>,
    /// Keys that an agent presses to close the shield (`*7`); `None`: no keys do it.
    pub shield_on_keys: Option<String>,
    /// Keys that open it again (`*8`).
    pub shield_off_keys: Option<String>,
    /// Outside numbers confirm with a key where an order does not say: no.
    pub confirm_numbers: bool,
    /// So long they may take: 10 s.
    pub confirm_timeout: Duration,
    /// `until` where only N is given: 12 h.
    pub default_until: Duration,
    /// `until` at most: 31 days.
    pub max_until: Duration,
    /// Second agent for the same listener: 409 instead of a warning.
    pub strict_listener: bool,
    /// Active requests of a supervisor: 1.
    pub max_active_requests_supervisor: Option<usize>,
    /// Active requests of an admin: unlimited.
    pub max_active_requests_admin: Option<usize>,
    /// Directions that trigger where an order names none: inbound.
    pub default_directions: Vec<crate::view::CallDirection>,
    /// Streams besides a call's audio stream are relayed: `[media] other_streams`. Default false: refused.
    pub other_streams: bool,
    /// Active requests at most, in all (503 above).
    pub max_requests: usize,
    /// Ended calls, listenings and requests kept in the views until the store has them, at most.
    pub max_ended_views: usize,
    /// Which media shard a port belongs to. As it was at the start.
    pub media_layout: media::ports::Layout,
    /// A media shard that is later than this takes no new listeners: 5 ms. As it was at the start.
    pub fork_lag: Duration,
    /// A media shard that is later than this takes no new calls: 20 ms. As it was at the start.
    pub call_lag: Duration,
    /// How much a listener weighs beside a call when the least loaded shard is looked for: 1.
    pub listener_weight: usize,
}

impl Settings {
    /// The defaults of SEMANTICS.md; nothing that only a configuration can name.
    #[must_use]
    pub fn new(signalling: signalling::Settings) -> Self {
        Self {
            signalling,
            access_number: None,
            listener_display: "Listen in: {agent}".to_owned(),
            header_queue: None,
            header_access_number: None,
            header_interaction: None,
            header_do_not_monitor: None,
            ring_timeout: Duration::from_secs(30),
            min_heard: Duration::from_secs(3),
            busy_retry: Duration::from_secs(15),
            busy_retries: 3,
            suspend_after: 3,
            max_listeners_per_agent: 8,
            plain_listeners: false,
            transfer_linger: Duration::from_secs(30),
            shield_timeout: None,
            shield_info: None,
            shield_on_keys: None,
            shield_off_keys: None,
            confirm_numbers: false,
            confirm_timeout: Duration::from_secs(10),
            default_until: Duration::from_secs(12 * 3600),
            max_until: Duration::from_secs(31 * 86_400),
            strict_listener: false,
            max_active_requests_supervisor: Some(1),
            max_active_requests_admin: None,
            default_directions: vec![crate::view::CallDirection::Inbound],
            other_streams: false,
            max_requests: 10_000,
            max_ended_views: 10_000,
            media_layout: media::ports::Layout { first: 20_000, shards: 1 },
            fork_lag: Duration::from_millis(5),
            call_lag: Duration::from_millis(20),
            listener_weight: 1,
        }
    }
}

/// Answered with [`Output::Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyId(pub u64);

/// Answered with [`Input::Persisted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersistId(pub u64);

/// What can happen.
#[derive(Debug)]
pub enum Input {
    /// A SIP datagram.
    Sip {
        /// Where it came in and from whom.
        flow: Flow,
        /// The whole datagram.
        data: Bytes,
    },
    /// A SIP connection stands: one that came in, or one that [`Output::Connect`] asked for.
    SipFlowOpened {
        /// Its name from now on.
        flow: Flow,
    },
    /// What has come over a SIP connection, cut anywhere.
    SipBytes {
        /// Which connection.
        flow: Flow,
        /// As much as was read at once.
        data: Bytes,
    },
    /// A SIP connection is gone, or could not be had. One that [`Output::Close`] ended is not told.
    SipFlowClosed {
        /// Which connection.
        flow: Flow,
    },
    /// A SIP transmit failed.
    SipSendFailed {
        /// Its flow.
        flow: Flow,
    },
    /// A shard tells.
    Media(media::Event),
    /// The wake-up time has come.
    Timeout,
    /// An order over the API. Rights are checked here.
    Command {
        /// For the answer.
        reply: ReplyId,
        /// User id of who asks (the API checked the token).
        actor: String,
        /// What.
        command: Command,
    },
    /// The store answered.
    Persisted {
        /// Which change.
        persist: PersistId,
        /// Written; or why not, in a few words: orders that wait for it get 503 with them.
        result: Result<(), String>,
    },
    /// The configuration was read again: users, agents and trunks as they are now.
    Reload(Seed),
    /// The configuration was read again: limits, timeouts, headers and the access number from now on. What signalling
    /// was set up with stays.
    Settings(Box<Settings>),
    /// For the audit trail: something that the API noticed by itself.
    Note(Note),
    /// SIGTERM: no new calls (503 with Retry-After); [`Output::Drained`] when the last call is over.
    Drain,
    /// Ends everything at once: BYE to all, listenings end `engine-stopped`; [`Output::Drained`] follows.
    Stop,
}

/// What the API noticed by itself: nobody waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When, the last time.
    pub at: Timestamp,
    /// User id, or `http:ADDRESS` of a stranger.
    pub actor: String,
    /// What.
    pub kind: NoteKind,
    /// How often since the note before.
    pub count: u64,
}

/// See [`Note`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NoteKind {
    /// A user's token was used for the first time, or again after an hour.
    SignedIn {
        /// Whence.
        source: Option<String>,
    },
    /// A request with a token that nobody has.
    SignInFailed,
    /// The API did something that is its own: tokens, sessions, webhooks.
    Did {
        /// What.
        deed: Deed,
        /// Id of the thing.
        target: String,
        /// What else there is to know, name and value; no secrets.
        details: Vec<(String, String)>,
    },
    /// 403 that the engine was not asked about.
    Denied {
        /// The problem's code.
        code: String,
        /// Method and path template.
        what: String,
    },
}

/// What the API does by itself, for the trail (see [`NoteKind::Did`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// An API token was made.
    TokenCreated,
    /// An API token was revoked.
    TokenRevoked,
    /// A session of the page ended, or all of a user.
    SignedOut,
    /// A webhook was made.
    WebhookCreated,
    /// A webhook was changed.
    WebhookChanged,
    /// A webhook was deleted.
    WebhookDeleted,
    /// A webhook's endpoint failed for too long.
    WebhookPaused,
}

/// Orders over the API.
#[derive(Clone, Debug)]
pub enum Command {
    /// A command with what the client said besides: `If-Match`, `Idempotency-Key`.
    Under {
        /// That.
        terms: Terms,
        /// Any other command.
        command: Box<Command>,
    },
    /// `POST /v1/requests`.
    Order {
        /// The body.
        order: Order,
        /// Only check: nothing is kept; the request that would be made is returned.
        dry_run: bool,
    },
    /// `PATCH /v1/requests/{id}`.
    ChangeRequest {
        /// Which.
        id: String,
        /// New N.
        calls: Option<i64>,
        /// New end.
        until: Option<Timestamp>,
    },
    /// `POST /v1/requests/{id}/resume`.
    ResumeRequest {
        /// Which.
        id: String,
    },
    /// `DELETE /v1/requests/{id}`.
    DeleteRequest {
        /// Which.
        id: String,
    },
    /// `PUT /v1/agents/{id}`: directory upsert.
    PutAgent {
        /// Which.
        id: String,
        /// The fields.
        agent: AgentChange,
    },
    /// `POST /v1/agents/bulk`: upserts, judged in their order, each as if those before it were done; [`Reply::Agents`].
    PutAgents {
        /// Ids and fields.
        agents: Vec<(String, AgentChange)>,
        /// Only check.
        dry_run: bool,
    },
    /// `DELETE /v1/agents/{id}`.
    DeleteAgent {
        /// Which.
        id: String,
    },
    /// `PUT /v1/agents/{id}/status`.
    PutStatus {
        /// Which.
        id: String,
        /// One of those that the platform may set.
        status: crate::view::AgentStatus,
    },
    /// `PUT /v1/calls/{id}/shield`.
    Shield {
        /// Which call.
        call: String,
        /// On or off.
        on: bool,
    },
    /// `PATCH /v1/listenings/{id}`: how a live or ringing listening's sides are put together. `None` leaves as it is.
    ChangeListening {
        /// Which.
        listening: String,
        /// What.
        change: MixChange,
    },
    /// `POST /v1/listenings/{id}/whep`: the page's player answers; [`Reply::Whep`].
    Whep {
        /// Which: one of the page, ringing or live (a player that lost its connection begins anew).
        listening: String,
        /// SDP offer.
        offer: String,
    },
    /// `PATCH` of its `Location`: ICE restart; [`Reply::Whep`].
    WhepRestart {
        /// Which.
        listening: String,
        /// From [`Reply::Whep`].
        session: String,
        /// `application/trickle-ice-sdpfrag`.
        fragment: String,
    },
    /// `DELETE` of its `Location`: the player hangs up (`listener-hung-up`).
    WhepStop {
        /// Which.
        listening: String,
        /// From [`Reply::Whep`].
        session: String,
    },
    /// Somebody looks at a listening's levels, or no longer: [`Output::Levels`]. Sent by `api` with the first and last
    /// reader of each.
    WatchLevels {
        /// Which.
        listening: String,
        /// On or off.
        on: bool,
    },
    /// `DELETE /v1/listenings/{id}`: hang one up (`deleted`).
    HangUp {
        /// Which.
        listening: String,
    },
}

/// Body of `PATCH /v1/listenings/{id}`; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixChange {
    /// `mono`, `stereo`, `agent` or `caller`.
    pub layout: Option<String>,
    /// Decibels, -40 to 20.
    pub agent_gain_db: Option<i64>,
    /// Decibels, -40 to 20.
    pub caller_gain_db: Option<i64>,
    /// Both sides are brought to the same loudness.
    pub level_matching: Option<bool>,
}

/// Body of an order, parsed but not judged.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Agent id.
    pub agent: String,
    /// Who listens.
    pub listener: Option<ListenerOrder>,
    /// N.
    pub calls: Option<i64>,
    /// End.
    pub until: Option<Timestamp>,
    /// Which calls trigger; `None`: the default.
    pub directions: Option<Vec<crate::view::CallDirection>>,
    /// `mono`, `stereo`, `agent` or `caller`; `None`: `mono`.
    pub layout: Option<String>,
    /// The listener presses 1 before it hears anything; `None`: as configured. Not of a page.
    pub confirm: Option<bool>,
}

/// Who listens, as ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerOrder {
    /// A user's softphone.
    User(String),
    /// Another agent's phone.
    Agent(String),
    /// A phone number (or the number of an agent or user here).
    Number(String),
    /// The browser of whoever orders.
    Page,
}

/// Fields of a directory upsert; `None` leaves as it is (new agents need name and number).
#[derive(Clone, Debug, Default)]
pub struct AgentChange {
    /// Name.
    pub name: Option<String>,
    /// Number.
    pub number: Option<String>,
    /// Group.
    pub group: Option<String>,
    /// Skills.
    pub skills: Option<Vec<String>>,
    /// May be listened to.
    pub monitorable: Option<bool>,
    /// Fixed contact, `sip:user@IP:port`.
    pub contact: Option<String>,
    /// Encrypted media: `off`, `offer` or `require`.
    pub srtp: Option<String>,
}

/// What an order came to.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The request as it is now. `warnings` are in it.
    Request(RequestView),
    /// The agent as it is now, and whether it is new.
    Agent(AgentView, bool),
    /// What became of each of many, in their order: id, and whether it is new.
    Agents(Vec<(String, Result<bool, Problem>)>),
    /// The call as it is now.
    Call(CallView),
    /// The listening as it is now.
    Listening(ListeningView),
    /// For the page's player.
    Whep {
        /// Last part of its `Location`; another one with each offer.
        session: String,
        /// SDP answer, or the fragment that answers an ICE restart.
        body: String,
    },
    /// Nothing to show (204).
    Nothing,
}

/// An order that was refused: RFC 9457, with SEMANTICS' code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: &'static str,
    /// In words, for people.
    pub detail: String,
    /// The field of the body, for 422.
    pub field: Option<&'static str>,
    /// Id of the thing in the way (the active request), for 409.
    pub related: Option<String>,
    /// The resource's entity tag as it is now, for 412.
    pub etag: Option<String>,
}

/// What comes out.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // lives in one vector for the length of one input
pub enum Output {
    /// Send this SIP message.
    Transmit {
        /// By this flow.
        flow: Flow,
        /// One message.
        data: Bytes,
    },
    /// Open a SIP connection to the flow's remote address; what is sent on it meanwhile waits.
    Connect {
        /// Its name.
        flow: Flow,
    },
    /// Close a SIP connection when what was sent on it before has gone.
    Close {
        /// Which.
        flow: Flow,
    },
    /// To the media shard, in order.
    Media(media::Command),
    /// To the store; its answer is [`Input::Persisted`].
    Persist {
        /// For the answer.
        persist: PersistId,
        /// What: all of it or nothing, in one transaction.
        changes: Vec<Change>,
    },
    /// Answer to a command, after the store has it.
    Reply {
        /// Whose.
        reply: ReplyId,
        /// What.
        result: Result<Reply, Problem>,
    },
    /// Into the read model.
    View(View),
    /// To the event stream.
    Event(Event),
    /// To whoever watches a listening's levels, ten times a second; never stored.
    Levels {
        /// Which.
        listening: String,
        /// Loudness of both sides as the listener hears them (shielded: silence).
        agent: media::Level,
        /// The caller's.
        caller: media::Level,
    },
    /// For the log; no personal data but what `pii` holds.
    Log {
        /// Level by name: `info`, `warn`.
        level: &'static str,
        /// What happened.
        message: String,
        /// Ids for look-up: (`call`, `call_01…`), (`sip_call_id`, …).
        ids: Vec<(&'static str, String)>,
    },
    /// After [`Input::Drain`] or [`Input::Stop`]: the last call is over.
    Drained,
}

/// One change of the read model: whole resources, so the last one wins.
#[derive(Clone, Debug)]
pub enum View {
    /// Upsert.
    Agent(AgentView),
    /// Gone.
    AgentRemoved(String),
    /// Upsert.
    User(UserView),
    /// Gone.
    UserRemoved(String),
    /// Upsert; ended ones too, until [`View::CallRemoved`].
    Call(CallView),
    /// The store has it: read it there.
    CallRemoved(String),
    /// Upsert.
    Request(RequestView),
    /// The store has it.
    RequestRemoved(String),
    /// Upsert.
    Listening(ListeningView),
    /// The store has it.
    ListeningRemoved(String),
    /// Listener known under this id, for lists (unused ids are harmless).
    Listener(ListenerRef),
}

/// One event for `GET /v1/events`.
#[derive(Clone, Debug)]
pub struct Event {
    /// `call.started` …
    pub name: EventName,
    /// When.
    pub at: Timestamp,
    /// The resource as it is now.
    pub body: EventBody,
}

/// Figures for `/metrics` and `/v1/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Sizes {
    pub calls: usize,
    pub interactions: usize,
    pub requests: usize,
    pub listenings: usize,
    pub ports_ready: usize,
    /// Media shards.
    pub shards: usize,
    /// Of these, too late for new listeners.
    pub shards_over_fork_lag: usize,
    /// Of these, too late for new calls.
    pub shards_over_call_lag: usize,
    pub desks: usize,
    pub ears: usize,
    /// Listeners' legs whose last figures are not in.
    pub closed_ears: usize,
    /// Legs, streams and transfers that the calls are found by; calls and listeners counted on shards.
    pub indexes: usize,
    pub timers: usize,
    /// Changes that the store has not answered, or refused.
    pub unsaved: usize,
    pub signalling: signalling::Sizes,
}

/// The engine. See [`crate`].
#[derive(Debug)]
pub struct Engine {
    core: crate::engine::Core,
}

impl Engine {
    /// An engine with its directory and what the store kept. Listenings that were not ended are closed with
    /// `engine-restarted`, requests past `until` become `expired`, phones are registered as they were, and dialogs that
    /// the process before left open are ended: the outputs say so.
    #[must_use]
    pub fn new(
        now: Now,
        settings: Settings,
        directory: Seed,
        restored: Restored,
        seed: [u8; 32],
        outputs: &mut Vec<Output>,
    ) -> Self {
        Self { core: crate::engine::Core::new(now, settings, directory, restored, seed, outputs) }
    }

    /// Takes one input and appends what follows from it.
    pub fn drive(&mut self, now: Now, input: Input, outputs: &mut Vec<Output>) {
        self.core.drive(now, input, outputs);
    }

    /// When to call with [`Input::Timeout`].
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.core.wake_at()
    }

    /// How much there is; all 0 but requests and registrations when nobody talks.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.core.sizes()
    }

    /// Named counters of signalling and engine, for `/metrics`.
    #[must_use]
    pub fn counters(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.core.counters()
    }
}
