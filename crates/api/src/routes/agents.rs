//! The directory with live status.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use engine::view::{AgentStatus, AgentView};
use engine::{AgentChange, Command};
use serde::Deserialize;
use store::StoreError;
use utoipa::ToSchema;

use crate::Api;
use crate::answer::{Answer, precondition, read};
use crate::auth::Caller;
use crate::command::{Patience, under};
use crate::json::{Fields, JsonBody};
use crate::paging::{List, by_key, by_name};
use crate::params::{PageParams, Params};
use crate::problem::Refusal;
use crate::routes::Id;
use crate::routes::requests::unit;

/// Fields of an upsert; those that are left out stay as they are. A new agent needs name and number.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct AgentBody {
    /// Name.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// What the platform dials.
    #[schema(min_length = 1, max_length = 128)]
    number: Option<String>,
    /// User group.
    #[schema(min_length = 1, max_length = 128)]
    group: Option<String>,
    /// Skills.
    #[schema(max_items = 100)]
    skills: Option<Vec<String>>,
    /// May be listened to.
    monitorable: Option<bool>,
    /// Fixed contact, `sip:user@IP:port`.
    contact: Option<String>,
    /// Encrypted media: `off`, `offer` or `require`.
    srtp: Option<SrtpPolicy>,
}

/// Encrypted media.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) enum SrtpPolicy {
    Off,
    Offer,
    Require,
}

/// Status from the platform.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct StatusBody {
    /// `ready`, `pause`, `wrap-up`, `busy`, `no-answer` or `logged-off`.
    status: PlatformStatus,
}

/// What a platform may say of an agent.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) enum PlatformStatus {
    Ready,
    Pause,
    WrapUp,
    Busy,
    NoAnswer,
    LoggedOff,
}

/// In which order agents come.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(crate) enum Sort {
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
    #[serde(rename = "number")]
    Number,
    #[serde(rename = "-number")]
    NumberDown,
    #[serde(rename = "status")]
    Status,
    #[serde(rename = "-status")]
    StatusDown,
    #[serde(rename = "status_since")]
    Since,
    #[serde(rename = "-status_since")]
    SinceDown,
}

impl Sort {
    /// A cursor belongs to its order.
    fn page(self, agents: Vec<Arc<AgentView>>, page: &PageParams) -> Result<List<Arc<AgentView>>, StoreError> {
        let name = |agent: &AgentView| agent.name.to_lowercase();
        match self {
            Self::Name => by_name("agents", agents, page),
            Self::NameDown => by_key("agents-name", agents, page, true, name),
            Self::Number => by_key("agents+number", agents, page, false, |agent| agent.number.clone()),
            Self::NumberDown => by_key("agents-number", agents, page, true, |agent| agent.number.clone()),
            Self::Status => by_key("agents+status", agents, page, false, |a| format!("{}{}", rank(a), name(a))),
            Self::StatusDown => by_key("agents-status", agents, page, true, |a| format!("{}{}", rank(a), name(a))),
            Self::Since => by_key("agents+since", agents, page, false, since),
            Self::SinceDown => by_key("agents-since", agents, page, true, since),
        }
    }
}

/// Those whom one may listen to now come first.
fn rank(agent: &AgentView) -> char {
    match agent.status {
        AgentStatus::Connected => 'a',
        AgentStatus::Connecting => 'b',
        AgentStatus::Ready => 'c',
        AgentStatus::WrapUp => 'd',
        AgentStatus::Busy => 'e',
        AgentStatus::NoAnswer => 'f',
        AgentStatus::Pause => 'g',
        AgentStatus::LoggedOff => 'h',
        AgentStatus::Unknown => 'i',
    }
}

/// Text in the order of time.
fn since(agent: &AgentView) -> String {
    format!("{:020}", agent.status_since.as_microsecond().max(0))
}

/// Agents by name, with live status; a supervisor sees the permitted groups.
#[utoipa::path(get, path = "/v1/agents", tag = "agents",
    params(("search" = Option<String>, Query, description = "Part of id, name, number or a skill, in any case"),
        ("group" = Option<String>, Query, description = "User group"),
        ("skill" = Option<String>, Query, description = "Has this skill"),
        ("status" = Option<String>, Query, description = "One status or several with commas between them: `ready`, `pause`, `wrap-up`, `busy`, `no-answer`, `logged-off`, `connecting`, `connected`, `unknown`", example = "ready,pause"),
        ("connected" = Option<bool>, Query, description = "In a call, or not"),
        ("logged_on" = Option<bool>, Query, description = "Not logged off; where the platform never said, whether the phone can be reached"),
        ("sort" = Option<Sort>, Query, description = "Order; `-` before it turns it round. `name` is the default; `status` has the connected first; `status_since` the longest first"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<AgentView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Arc<AgentView>>>, Refusal> {
    let search = params.number("search").map(|search| search.to_lowercase());
    let (group, skill) = (params.text("group"), params.text("skill"));
    let statuses = params.names::<AgentStatus>("status")?;
    let sort = params.text("sort").map(|sort| unit::<Sort>("sort", &sort)).transpose()?.unwrap_or(Sort::Name);
    let (connected, logged_on) = (params.flag("connected")?, params.flag("logged_on")?);
    let page = params.page()?;
    params.finish()?;
    let mut agents = api.inner.model.agents();
    agents.retain(|agent| {
        api.inner.model.sees_agent(&caller, agent)
            && search.as_deref().is_none_or(|search| is_found(agent, search))
            && (group.is_none() || group == agent.group)
            && skill.as_ref().is_none_or(|skill| agent.skills.contains(skill))
            && statuses.as_ref().is_none_or(|statuses| statuses.contains(&agent.status))
            && connected.is_none_or(|wanted| wanted == (agent.status == AgentStatus::Connected))
            && logged_on.is_none_or(|wanted| wanted == is_logged_on(agent))
    });
    Ok(Json(sort.page(agents, &page)?))
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
    let agent = read_change(&mut body.fields)?;
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
#[utoipa::path(put, path = "/v1/agents/{id}/status", tag = "agents", request_body = StatusBody, params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = AgentView, headers(("ETag" = String)))))]
pub(crate) async fn status(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
    mut body: JsonBody,
) -> Result<Answer, Refusal> {
    params.finish()?;
    let status = unit("status", &body.fields.required_text("status")?)?;
    body.fields.finish()?;
    if matches!(status, AgentStatus::Connecting | AgentStatus::Connected | AgentStatus::Unknown) {
        return Err(Refusal::invalid("status", "This status comes from the calls, not from the platform."));
    }
    Ok(api.order(&caller, under(precondition(&headers), None, Command::PutStatus { id, status })).await)
}

/// The fields of an upsert.
pub(crate) fn read_change(fields: &mut Fields) -> Result<AgentChange, Refusal> {
    Ok(AgentChange {
        name: fields.text("name")?,
        number: fields.text("number")?,
        group: fields.text("group")?,
        skills: fields.texts("skills")?,
        monitorable: fields.flag("monitorable")?,
        contact: fields.text("contact")?,
        srtp: fields.text("srtp")?,
    })
}

fn is_found(agent: &AgentView, search: &str) -> bool {
    let has = |text: &String| text.to_lowercase().contains(search);
    has(&agent.id) || has(&agent.name) || has(&agent.number) || agent.skills.iter().any(has)
}

pub(crate) fn is_logged_on(agent: &AgentView) -> bool {
    match agent.status {
        AgentStatus::LoggedOff => false,
        AgentStatus::Unknown => agent.registered,
        _ => true,
    }
}
