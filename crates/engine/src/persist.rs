//! What the store is asked to keep, and what it gives back at start-up.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::view::{CallView, ListeningView, RequestView};

/// One thing to keep. Whole records: the last one wins.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // made once, moved to the store once
pub enum Change {
    /// A request, new or changed.
    Request(RequestRecord),
    /// A listening, from `waiting` or `ringing` on. A heard one comes together with its request's count, as one change.
    Listening(ListeningView),
    /// A listening and its request, written as one.
    Heard(ListeningView, RequestRecord),
    /// The record of a call that is over.
    Call(CallView),
    /// An agent that the API put into the directory or changed.
    Agent(AgentRecord),
    /// An agent that the API deleted.
    AgentRemoved(String),
    /// One more entry of the audit trail; the store gives it its number and chains it to the one before.
    Audit(AuditEntry),
    /// The answer that an idempotency key got first, kept together with what it did.
    Answer(AnswerRecord),
    /// Every binding of an account as they are now; none: it is not registered any more.
    Registrations {
        /// SIP user of the account.
        user: String,
        /// Newest last.
        bindings: Vec<BindingRecord>,
    },
    /// A dialog that somebody has to end if this process cannot.
    Dialog(DialogRecord),
    /// That dialog is over; its [`DialogRecord::key`].
    DialogEnded(String),
    /// A document of the API's own (a token, a session, a webhook, a delivery).
    Document {
        /// What it is.
        kind: String,
        /// Unique within its kind.
        id: String,
        /// JSON; `None`: it is gone.
        doc: Option<String>,
    },
}

/// Who did what to whom, as the audit trail keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// User id of who did it; `engine` where nobody did; `sip:ADDRESS` for a stranger.
    pub actor: String,
    /// What: `request.created`, `listening.live`, `denied`, … (closed list in API.md).
    pub action: String,
    /// Id of the thing that it was done to, if there is one.
    pub target: Option<String>,
    /// Agent that it concerns, for searches.
    pub agent: Option<String>,
    /// What else there is to know; strings and numbers by name, no secrets.
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// The first answer to an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// Whose key.
    pub user: String,
    /// The key.
    pub key: String,
    /// SHA-256 of what was asked, in hex.
    pub asked: String,
    /// When; it is forgotten 24 h later.
    pub at: Timestamp,
    /// The request as it was answered, warnings included.
    pub request: RequestView,
    /// 201 where it was made, 200 where it was changed.
    pub status: u16,
}

/// One binding of a phone (RFC 3261 §10), for the next process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BindingRecord {
    /// The Contact's URI.
    pub contact: String,
    /// `udp`, `tcp`, …
    pub transport: String,
    /// Our address of the flow that it came by.
    pub local: SocketAddr,
    /// Where it came from.
    pub remote: SocketAddr,
    /// When it ends.
    pub expires_at: Timestamp,
    /// `+sip.instance` as written.
    pub instance: Option<String>,
    /// Call-ID of its REGISTERs.
    pub call_id: String,
    /// CSeq of the last one.
    pub cseq: u32,
}

/// What it takes to end a dialog, or an INVITE that was not answered, of a process that is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DialogRecord {
    /// Unique; the call's or listening's id is its beginning.
    pub key: String,
    /// What state it is in.
    pub state: DialogState,
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// Our URI with display name, as in From (or To) without the tag.
    pub local: String,
    /// Their URI with display name, without the tag.
    pub remote: String,
    /// Their tag, of a provisional answer too; empty while there is none.
    pub remote_tag: String,
    /// Request-URI: their Contact, or whom the INVITE was for.
    pub target: String,
    /// Route set, first hop first, each as in a Route header.
    pub route: Vec<String>,
    /// CSeq that we used last.
    pub cseq: u32,
    /// Branch of our INVITE, for CANCEL; empty where the INVITE was theirs or is answered.
    pub branch: String,
    /// `udp`, `tcp`, …
    pub transport: String,
    /// Our address of the flow.
    pub local_addr: SocketAddr,
    /// Their address of the flow.
    pub remote_addr: SocketAddr,
    /// On one of the two legs of a call that is up: the call, for the record that it gets if its process dies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Box<CallView>>,
}

/// See [`DialogRecord`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DialogState {
    /// Our INVITE may have been sent and has no final answer that we know of: CANCEL, and BYE if it was answered.
    Calling,
    /// Answered: BYE.
    Confirmed,
}

/// A request with what only the engine needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// As shown.
    #[serde(flatten)]
    pub view: RequestView,
    /// Interactions in a row that failed to reach the listener.
    #[serde(default)]
    pub failures_in_a_row: u32,
}

/// An agent as the API left it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AgentRecord {
    pub id: String,
    pub name: String,
    pub number: String,
    pub group: Option<String>,
    pub skills: Vec<String>,
    pub monitorable: bool,
    pub contact: Option<String>,
    /// `None`: as the configuration has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<String>,
}

/// What was kept.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Requests that are active.
    pub requests: Vec<RequestRecord>,
    /// Listenings that were not ended.
    pub listenings: Vec<ListeningView>,
    /// Agents that the API put or changed.
    pub agents: Vec<AgentRecord>,
    /// Agents that the API deleted.
    pub agents_removed: Vec<String>,
    /// Registrations by SIP user, expired ones included.
    pub registrations: Vec<(String, Vec<BindingRecord>)>,
    /// Dialogs that the process before left open.
    pub dialogs: Vec<DialogRecord>,
}
