//! What the store is asked to keep, and what it gives back at start-up.

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
}
