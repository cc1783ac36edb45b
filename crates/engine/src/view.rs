//! Resources as the API shows them (API.md); also what the store keeps.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An agent with live status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentView {
    /// Stable id.
    pub id: String,
    /// Name.
    pub name: String,
    /// What the platform dials.
    pub number: String,
    /// User group.
    pub group: Option<String>,
    /// Skills.
    pub skills: Vec<String>,
    /// Live status.
    pub status: AgentStatus,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub status_since: Timestamp,
    /// Its phone can be reached.
    pub registered: bool,
    /// May be listened to.
    pub monitorable: bool,
    /// Ids of its live calls.
    pub calls: Vec<String>,
}

/// Status: `connecting` and `connected` come from the calls, `unknown` until the platform speaks, the rest from the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum AgentStatus {
    Ready,
    Pause,
    WrapUp,
    Busy,
    NoAnswer,
    LoggedOff,
    Connecting,
    Connected,
    Unknown,
}

/// Roles (API.md, Rights).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Role {
    Admin,
    Supervisor,
    Integrator,
}

/// A user, without secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Stable id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Whom a supervisor may monitor; `null`: all.
    pub groups: Option<Vec<String>>,
    /// SIP user of the softphone.
    pub softphone: Option<String>,
    /// The softphone can be reached.
    pub registered: bool,
}

/// Id and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentRef {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
}

/// Who listens. Exactly one of `user`, `agent`, `number` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListenerRef {
    /// User id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<String>,
    /// Agent id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<String>,
    /// Number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub number: Option<String>,
    /// Name to show.
    pub name: String,
    /// What rings.
    pub kind: ListenerKind,
}

/// What rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ListenerKind {
    Softphone,
    Agent,
    Number,
    Page,
}

/// N and how many were heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallCount {
    /// N; `null`: only `until` ends it.
    pub limit: Option<u32>,
    /// Heard calls, stored.
    pub used: u32,
}

/// A monitoring request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RequestView {
    /// `req_…`.
    pub id: String,
    /// User id.
    pub ordered_by: String,
    /// Whom.
    pub agent: AgentRef,
    /// By whom.
    pub listener: ListenerRef,
    /// N.
    pub calls: CallCount,
    /// End.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// Which calls trigger.
    pub directions: Vec<CallDirection>,
    /// What of the call the listener gets, and where, when it is called.
    pub layout: Layout,
    /// The listener presses 1 before it hears anything.
    pub confirm: bool,
    /// State.
    pub state: RequestState,
    /// Why it is (or was last) `suspended`, or was ended by the engine before its time; `null`: neither.
    #[serde(default)]
    pub reason: Option<RequestReason>,
    /// When it was ordered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// What the orderer should know; only in the answer to the order.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// A warning of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// Stable code (`listener-already-assigned`).
    pub code: String,
    /// In words.
    pub message: String,
}

/// Request states (SEMANTICS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum RequestState {
    Waiting,
    Calling,
    Listening,
    Suspended,
    Fulfilled,
    Expired,
    Deleted,
}

impl RequestState {
    /// `waiting`, `calling`, `listening` and `suspended`.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Calling | Self::Listening | Self::Suspended)
    }
}

/// Why a request is suspended, or was ended by the engine (SEMANTICS, closed list).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestReason {
    /// Three interactions in a row did not reach the listener.
    ListenerNotReached,
    /// Who ordered it may not listen to the agent any more, or is gone.
    AgentNotMonitorable,
    /// Who ordered it may not have this listener called any more, or it is gone.
    ListenerNotAllowed,
    /// The agent was deleted.
    AgentDeleted,
}

impl RequestReason {
    /// For the log.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::ListenerNotReached => "its listener could not be reached",
            Self::AgentNotMonitorable => "who ordered it may not listen to the agent any more",
            Self::ListenerNotAllowed => "who ordered it may not have this listener called any more",
            Self::AgentDeleted => "its agent was deleted",
        }
    }
}

/// Which way a call goes, from the agent's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum CallDirection {
    Inbound,
    Outbound,
    Internal,
}

/// A listening: one listener leg on one interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListeningView {
    /// `lst_…`.
    pub id: String,
    /// The request.
    pub request: String,
    /// Whom.
    pub agent: AgentRef,
    /// By whom.
    pub listener: ListenerRef,
    /// User id.
    pub ordered_by: String,
    /// The call that triggered it.
    pub call: String,
    /// Who called.
    pub caller_number: Option<String>,
    /// What the caller dialled.
    pub access_number: Option<String>,
    /// Queue.
    pub queue: Option<String>,
    /// State.
    pub state: ListeningState,
    /// When the listener's phone first rang.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ringing_at: Option<Timestamp>,
    /// When it answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Call audio that reached the listener.
    pub heard_ms: u64,
    /// It counts as one of N.
    pub counted: bool,
    /// One of SEMANTICS' closed list.
    pub end_reason: Option<EndReason>,
    /// What the listener hears.
    pub focus: Focus,
    /// The shield is on.
    pub shielded: bool,
    /// What of the call the listener gets, and where.
    #[serde(default)]
    pub layout: Layout,
    /// How loud each side is.
    #[serde(default)]
    pub gains: Gains,
    /// Both sides are brought to the same loudness.
    #[serde(default)]
    pub level_matching: bool,
    /// How well the listener is served; `null` until it hears something.
    #[serde(default)]
    pub quality: Option<ListeningQuality>,
}

/// What of the call a listener gets, and where (SEMANTICS, What a listener gets).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Layout {
    #[default]
    Mono,
    Stereo,
    Agent,
    Caller,
}

impl Layout {
    /// By its name in the API.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "mono" => Some(Self::Mono),
            "stereo" => Some(Self::Stereo),
            "agent" => Some(Self::Agent),
            "caller" => Some(Self::Caller),
            _ => None,
        }
    }
}

/// How loud each side is, in decibels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gains {
    /// The agent's side.
    pub agent_db: i8,
    /// The caller's.
    pub caller_db: i8,
}

/// How well a listener is served, since it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListeningQuality {
    /// From its answer to the first packet.
    pub first_audio_ms: Option<u32>,
    /// Stretches in which a side that spoke was late or lost.
    pub gaps: u32,
    /// Packets of the call that were lost on the way here.
    pub lost: u64,
    /// Audio that was made up for them.
    pub concealed_ms: u64,
    /// Jitter of the worse side, as it reached us.
    pub jitter_ms: f32,
    /// Of what the listener was sent, lost on the way: 0 to 1, as it reported last.
    pub remote_lost: Option<f32>,
    /// Jitter that it reported.
    pub remote_jitter_ms: Option<f32>,
    /// Round trip to it.
    pub round_trip_ms: Option<f32>,
}

/// Listening states (SEMANTICS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum ListeningState {
    Waiting,
    Ringing,
    Confirming,
    Live,
    Ended,
}

/// Why a listening ended (SEMANTICS, closed list).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum EndReason {
    CallEnded,
    AgentTransferred,
    ListenerHungUp,
    ListenerBusy,
    ListenerNoAnswer,
    ListenerDeclined,
    ListenerUnreachable,
    ListenerDiverted,
    ListenerNotConfirmed,
    ListenerInCall,
    ListenerLost,
    LimitReached,
    CodecUnsupported,
    Deleted,
    AgentNotMonitorable,
    PolicyDenied,
    AuditUnavailable,
    EngineRestarted,
    EngineStopped,
}

/// What the agent is doing in the interaction (and so what the listener hears).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Focus {
    Talk,
    Hold,
    Consult,
    Conference,
    Lingering,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CallView {
    /// `call_…`.
    pub id: String,
    /// `int_…`, or what the platform's header said.
    pub interaction: String,
    /// Agent id; `null` for a call with no agent on it.
    pub agent: Option<String>,
    /// Direction from the agent's view.
    pub direction: CallDirection,
    /// Who called.
    pub caller_number: Option<String>,
    /// Who was called.
    pub called_number: Option<String>,
    /// What the caller dialled.
    pub access_number: Option<String>,
    /// Queue.
    pub queue: Option<String>,
    /// State.
    pub state: CallState,
    /// The agent holds the other party.
    pub held: bool,
    /// The shield is on.
    pub shielded: bool,
    /// When the INVITE came.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it was answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub end: Option<CallEnd>,
    /// Listenings on it, ended ones included.
    pub listenings: Vec<String>,
    /// Its legs.
    pub legs: Vec<LegView>,
}

/// Call states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum CallState {
    Ringing,
    Up,
    Ended,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallEnd {
    /// `answered`, `busy`, `no-answer`, `cancelled`, `refused`, `failed`, `rtp-timeout`, `engine-stopped`.
    pub cause: String,
    /// `caller`, `agent`, `engine`, `network`.
    pub by: String,
    /// SIP status of the INVITE that failed.
    pub sip_status: Option<u16>,
}

/// One leg with its reception figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LegView {
    /// `caller` or `agent` (`callee` where the called party is no agent).
    pub role: String,
    /// Call-ID.
    pub sip_call_id: String,
    /// Negotiated codec.
    pub codec: Option<String>,
    /// SRTP suite by its name in SDP; `null`: the leg is plain.
    pub srtp: Option<String>,
    /// Packets received from this party.
    pub packets: u64,
    /// Lost before they reached us.
    pub lost: u64,
    /// Interarrival jitter.
    pub jitter_ms: f32,
    /// It should send and does not, while the other does (`audio.one-way`).
    #[serde(default)]
    pub silent: bool,
}

/// Event names (API.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub enum EventName {
    #[serde(rename = "agent.status")]
    AgentStatus,
    /// An agent is new in the directory, or its entry or reachability changed.
    #[serde(rename = "agent.updated")]
    AgentUpdated,
    /// An agent, as it was, is gone from the directory, or from the group that it was in: with another group
    /// `agent.updated` follows.
    #[serde(rename = "agent.removed")]
    AgentRemoved,
    #[serde(rename = "call.started")]
    CallStarted,
    #[serde(rename = "call.answered")]
    CallAnswered,
    #[serde(rename = "call.held")]
    CallHeld,
    #[serde(rename = "call.resumed")]
    CallResumed,
    #[serde(rename = "call.consulting")]
    CallConsulting,
    #[serde(rename = "call.transferring")]
    CallTransferring,
    #[serde(rename = "call.transferred")]
    CallTransferred,
    #[serde(rename = "call.ended")]
    CallEnded,
    #[serde(rename = "call.shielded")]
    CallShielded,
    #[serde(rename = "request.created")]
    RequestCreated,
    #[serde(rename = "request.updated")]
    RequestUpdated,
    #[serde(rename = "request.ended")]
    RequestEnded,
    #[serde(rename = "listening.ringing")]
    ListeningRinging,
    #[serde(rename = "listening.live")]
    ListeningLive,
    #[serde(rename = "listening.focus")]
    ListeningFocus,
    #[serde(rename = "listening.ended")]
    ListeningEnded,
    #[serde(rename = "audio.one-way")]
    AudioOneWay,
    #[serde(rename = "webhook.paused")]
    WebhookPaused,
}

/// The resource in an event, under its own key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum EventBody {
    Agent(AgentView),
    Call(CallView),
    Request(RequestView),
    Listening(ListeningView),
    Webhook(WebhookPaused),
}

/// A webhook that was paused. Told by the API, never by the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookPaused {
    /// `whk_…`.
    pub id: String,
    /// User id.
    pub owner: String,
    /// `gone` (410), `failing` (a delivery failed for 24 h), `too-many-pending`, `owner-gone`.
    pub reason: String,
}
