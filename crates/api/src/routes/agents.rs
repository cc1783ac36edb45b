//! The directory with live status.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use engine::view::{AgentStatus, AgentView};
use engine::{AgentChange, Command};
use utoipa::ToSchema;

use crate::Api;
use crate::answer::{Answer, precondition, read};
use crate::auth::Caller;
use crate::command::{Patience, under};
use crate::json::JsonBody;
use crate::paging::{List, by_name};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::Id;
use crate::routes::requests::unit;

/// Fields of an upsert; those that are left out stay as they are. A new agent needs name and number.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct AgentBody {
    /// Name.
    name: Option<String>,
    /// What the platform dials.
    number: Option<String>,
    /// User group.
    group: Option<String>,
    /// Skills.
    skills: Option<Vec<String>>,
    /// May be listened to.
    monitorable: Option<bool>,
    /// Fixed contact, `sip:user@IP:port`.
    contact: Option<String>,
    /// Encrypted media: `off`, `offer` or `require`.
    srtp: Option<String>,
}

/// Status from the platform.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct StatusBody {
    /// `ready`, `pause`, `wrap-up`, `busy`, `no-answer` or `logged-off`.
    status: AgentStatus,
}

/// Agents by name, with live status; a supervisor sees the permitted groups.
#[utoipa::path(get, path = "/v1/agents", tag = "agents",
    params(("search" = Option<String>, Query, description = "Part of id, name, number or a skill, in any case"),
        ("group" = Option<String>, Query, description = "User group"),
        ("connected" = Option<bool>, Query, description = "In a call, or not"),
        ("logged_on" = Option<bool>, Query, description = "Not logged off; where the platform never said, whether the phone can be reached"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<AgentView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Arc<AgentView>>>, Refusal> {
    let search = params.number("search").map(|search| search.to_lowercase());
    let group = params.text("group");
    let (connected, logged_on) = (params.flag("connected")?, params.flag("logged_on")?);
    let page = params.page()?;
    params.finish()?;
    let mut agents = api.inner.model.agents();
    agents.retain(|agent| {
        api.inner.model.sees_agent(&caller, agent)
            && search.as_deref().is_none_or(|search| is_found(agent, search))
            && (group.is_none() || group == agent.group)
            && connected.is_none_or(|wanted| wanted == (agent.status == AgentStatus::Connected))
            && logged_on.is_none_or(|wanted| wanted == is_logged_on(agent))
    });
    Ok(Json(by_name("agents", agents, &page)?))
}

/// One agent.
#[utoipa::path(get, path = "/v1/agents/{id}", tag = "agents", params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = AgentView, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    params.finish()?;
    let found = api.inner.model.agent(&id).filter(|agent| api.inner.model.sees_agent(&caller, agent));
    let found = found.ok_or_else(|| Refusal::not_found("agent-not-found"))?;
    Ok(read(&headers, &*found))
}

/// Put an agent into the directory, or change one (integrator, admin).
#[utoipa::path(put, path = "/v1/agents/{id}", tag = "agents", request_body = AgentBody, params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = AgentView, description = "Changed", headers(("ETag" = String))),
        (status = 201, body = AgentView, description = "New", headers(("Location" = String), ("ETag" = String)))))]
pub(crate) async fn upsert(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
    mut body: JsonBody,
) -> Result<Answer, Refusal> {
    params.finish()?;
    let fields = &mut body.fields;
    let agent = AgentChange {
        name: fields.text("name")?,
        number: fields.text("number")?,
        group: fields.text("group")?,
        skills: fields.texts("skills")?,
        monitorable: fields.flag("monitorable")?,
        contact: fields.text("contact")?,
        srtp: fields.text("srtp")?,
    };
    body.fields.finish()?;
    Ok(api.order(&caller, under(precondition(&headers), None, Command::PutAgent { id, agent })).await)
}

/// Take an agent out of the directory (integrator, admin).
#[utoipa::path(delete, path = "/v1/agents/{id}", tag = "agents", params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    params.finish()?;
    let command = under(precondition(&headers), None, Command::DeleteAgent { id });
    api.command(&caller, command, Patience::Client).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Status from the platform (integrator, admin). `connecting` and `connected` come from the calls themselves.
#[utoipa::path(put, path = "/v1/agents/{id}/status", tag = "agents", request_body = StatusBody, params(("id" = String, Path)),
    responses((status = 200, body = AgentView, headers(("ETag" = String)))))]
pub(crate) async fn status(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    mut body: JsonBody,
) -> Result<Answer, Refusal> {
    params.finish()?;
    let status = unit("status", &body.fields.required_text("status")?)?;
    body.fields.finish()?;
    if matches!(status, AgentStatus::Connecting | AgentStatus::Connected | AgentStatus::Unknown) {
        return Err(Refusal::invalid("status", "This status comes from the calls, not from the platform."));
    }
    Ok(api.order(&caller, Command::PutStatus { id, status }).await)
}

fn is_found(agent: &AgentView, search: &str) -> bool {
    let has = |text: &String| text.to_lowercase().contains(search);
    has(&agent.id) || has(&agent.name) || has(&agent.number) || agent.skills.iter().any(has)
}

fn is_logged_on(agent: &AgentView) -> bool {
    match agent.status {
        AgentStatus::LoggedOff => false,
        AgentStatus::Unknown => agent.registered,
        _ => true,
    }
}
