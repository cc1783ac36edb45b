//! The audit trail, for admins to read. Nothing in the API can change it.

use axum::Json;
use axum::extract::State;
use engine::AUDIT_ACTIONS;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use store::{AuditQuery, AuditRow};
use utoipa::ToSchema;

use crate::Api;
use crate::auth::Caller;
use crate::paging::List;
use crate::params::Params;
use crate::problem::Refusal;

/// One entry of the audit trail with its place in the chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntryView {
    /// 1 for the first, then without a gap.
    seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// User id; `engine`; `sip:ADDRESS` or `http:ADDRESS` of a stranger; `others` for many of them.
    actor: String,
    /// What, out of the closed list of API.md.
    action: String,
    /// Id of the thing that it was done to.
    target: Option<String>,
    /// Agent id.
    agent: Option<String>,
    /// What else there is to know.
    #[schema(value_type = Object)]
    details: Map<String, Value>,
    /// Hash of the entry before, hex; zeros for the first.
    prev: String,
    /// Hash of this one, hex.
    hash: String,
}

impl From<AuditRow> for AuditEntryView {
    fn from(AuditRow { seq, entry, prev, hash }: AuditRow) -> Self {
        let engine::persist::AuditEntry { at, actor, action, target, agent, details } = entry;
        Self { seq, at, actor, action, target, agent, details, prev, hash }
    }
}

/// Who did what to whom, newest first (admin).
#[utoipa::path(get, path = "/v1/audit", tag = "audit",
    params(("actor" = Option<String>, Query, description = "User id, `engine`, or a stranger's `sip:ADDRESS`"),
        ("agent" = Option<String>, Query, description = "Agent id"),
        ("action" = Option<String>, Query, description = "One action, such as `request.created`"),
        ("target" = Option<String>, Query, description = "Id of a request, a listening, a call or an agent"),
        ("from" = Option<String>, Query, format = DateTime, description = "At or after, RFC 3339"),
        ("to" = Option<String>, Query, format = DateTime, description = "Before, RFC 3339"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<AuditEntryView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<AuditEntryView>>, Refusal> {
    if !caller.is_admin() {
        return Err(Refusal::forbidden("The audit trail is for admins."));
    }
    let query = AuditQuery {
        actor: params.text("actor"),
        agent: params.text("agent"),
        action: params.text("action"),
        target: params.text("target"),
        from: params.time("from")?,
        to: params.time("to")?,
        ..AuditQuery::default()
    };
    let page = params.page()?;
    params.finish()?;
    if query.action.as_deref().is_some_and(|action| !AUDIT_ACTIONS.contains(&action)) {
        return Err(Refusal::invalid("action", "Not one of the actions of the audit trail."));
    }
    let query = AuditQuery { limit: page.limit, cursor: page.cursor, ..query };
    let found = api.stored(move |store| store.audit(&query)).await?;
    let items = found.items.into_iter().map(AuditEntryView::from).collect();
    Ok(Json(List { items, next_cursor: found.next_cursor }))
}
