//! Listenings, live and archived: the "monitored by" search, and hanging one up.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use engine::view::{ListeningState, ListeningView};
use engine::{Command, MixChange};
use store::{ListeningQuery, decode_cursor};
use utoipa::ToSchema;

use crate::Api;
use crate::answer::{Answer, precondition, read};
use crate::auth::Caller;
use crate::command::{Patience, under};
use crate::json::JsonBody;
use crate::levels;
use crate::model::sees_order;
use crate::paging::{List, live, merged};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::{Id, operations};

/// Own listenings, newest first; admins see all.
#[utoipa::path(get, path = "/v1/listenings", tag = "listenings",
    params(("live" = Option<bool>, Query, description = "`true`: not ended; `false`: ended; both without it"),
        ("agent" = Option<String>, Query, description = "Agent id"),
        ("listener" = Option<String>, Query, description = "User id, agent id or number"),
        ("ordered_by" = Option<String>, Query, description = "User id"),
        ("from" = Option<String>, Query, format = DateTime, description = "Began at or after, RFC 3339"),
        ("to" = Option<String>, Query, format = DateTime, description = "Began before, RFC 3339"),
        ("caller" = Option<String>, Query, description = "Part of the caller's number"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<ListeningView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Arc<ListeningView>>>, Refusal> {
    caller.may_monitor()?;
    let is_live = params.flag("live")?;
    let mut query = ListeningQuery {
        state: (is_live == Some(false)).then_some(ListeningState::Ended),
        agent: params.text("agent"),
        listener: params.number("listener"),
        ordered_by: params.text("ordered_by"),
        caller: params.number("caller"),
        from: params.time("from")?,
        to: params.time("to")?,
        ..ListeningQuery::default()
    };
    let page = params.page()?;
    params.finish()?;
    page.cursor.as_deref().map(|cursor| decode_cursor("listenings", cursor)).transpose()?;
    if !caller.is_admin() {
        match &query.ordered_by {
            Some(other) if *other != caller.user.id => return Ok(Json(List { items: Vec::new(), next_cursor: None })),
            _ => query.ordered_by = Some(caller.user.id.clone()),
        }
    }
    (query.limit, query.cursor) = (page.limit, page.cursor.clone());
    // The read model first: what leaves it is in the store by then.
    let views = api.inner.model.listenings();
    let known: HashSet<String> = views.iter().map(|listening| listening.id.clone()).collect();
    let hidden = |listening: &ListeningView| is_live == Some(true) && listening.state == ListeningState::Ended;
    let matching = views.into_iter().filter(|listening| !hidden(listening) && query.matches(listening)).collect();
    let list = if is_live == Some(true) {
        live("listenings", matching, &page)?
    } else {
        let stored = api.stored(move |store| store.listenings(&query)).await?;
        merged("listenings", matching, &known, stored, &page)?
    };
    Ok(Json(list))
}

/// One listening.
#[utoipa::path(get, path = "/v1/listenings/{id}", tag = "listenings", params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = ListeningView, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    caller.may_monitor()?;
    params.finish()?;
    let found = match api.inner.model.listening(&id) {
        Some(listening) => Some(listening),
        None => api.stored(move |store| store.listening(&id)).await?.map(Arc::new),
    };
    let found = found.filter(|listening| sees_order(&caller, &listening.ordered_by));
    Ok(read(&headers, &*found.ok_or_else(|| Refusal::not_found("listening-not-found"))?))
}

/// Hang one listener up.
#[utoipa::path(delete, path = "/v1/listenings/{id}", tag = "listenings", params(("id" = String, Path)),
    responses((status = 204, description = "Hung up")))]
pub(crate) async fn hang_up(
    State(api): State<Api>,
    caller: Caller,
    Id(listening): Id,
    params: Params,
) -> Result<StatusCode, Refusal> {
    params.finish()?;
    api.command(&caller, Command::HangUp { listening }, Patience::Client).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where the two sides are.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "the document's shape")]
enum Layout {
    Mono,
    Stereo,
    Agent,
    Caller,
}

/// What changes; at least one of them.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape; the body is read field by field so that errors can name them")]
#[schema(min_properties = 1)]
pub(crate) struct ListeningChange {
    /// `mono`, `stereo` (agent left, caller right), `agent` or `caller`.
    layout: Option<Layout>,
    /// Decibels that the agent's side is raised by.
    #[schema(minimum = -40, maximum = 20)]
    agent_gain_db: Option<i64>,
    /// Decibels that the caller's side is raised by.
    #[schema(minimum = -40, maximum = 20)]
    caller_gain_db: Option<i64>,
    /// Both sides are brought to the same loudness.
    level_matching: Option<bool>,
}

/// Change what a listener hears of the call, and how loud; at once, in the stream that it has.
#[utoipa::path(patch, path = "/v1/listenings/{id}", tag = "listenings", request_body = ListeningChange,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = ListeningView, headers(("ETag" = String))), (status = 409, description = "`listening-ended`")))]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Id(listening): Id,
    params: Params,
    headers: HeaderMap,
    mut body: JsonBody,
) -> Result<Answer, Refusal> {
    caller.may_monitor()?;
    params.finish()?;
    let change = MixChange {
        layout: body.fields.text("layout")?,
        agent_gain_db: body.fields.integer("agent_gain_db")?,
        caller_gain_db: body.fields.integer("caller_gain_db")?,
        level_matching: body.fields.flag("level_matching")?,
    };
    body.fields.finish()?;
    if change == MixChange::default() {
        return Err(Refusal::invalid("layout", "Give at least one of the fields."));
    }
    let command = Command::ChangeListening { listening, change };
    Ok(api.order(&caller, under(precondition(&headers), None, command)).await)
}

/// Loudness of both sides, ten times a second while the listening is live. Server-sent events; nothing of it is stored.
#[utoipa::path(get, path = "/v1/listenings/{id}/levels", tag = "listenings", params(("id" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = String,
        description = "`event: levels`; `data:` LevelsView as JSON; ends with the listening"), (status = 503)))]
pub(crate) async fn watch_levels(
    State(api): State<Api>,
    caller: Caller,
    Id(listening): Id,
    params: Params,
) -> Result<Response, Refusal> {
    caller.may_monitor()?;
    params.finish()?;
    Ok(operations::stream(levels::read(&api, caller, listening)?))
}
