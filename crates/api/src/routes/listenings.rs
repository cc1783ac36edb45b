//! Listenings, live and archived: the "monitored by" search, and hanging one up.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use engine::Command;
use engine::view::{ListeningState, ListeningView};
use store::{ListeningQuery, decode_cursor};

use crate::Api;
use crate::answer::read;
use crate::auth::Caller;
use crate::command::Patience;
use crate::model::sees_order;
use crate::paging::{List, live, merged};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::Id;

/// Own listenings, newest first; admins see all.
#[utoipa::path(get, path = "/v1/listenings", tag = "listenings",
    params(("live" = Option<bool>, Query, description = "`true`: not ended; `false`: ended; both without it"),
        ("agent" = Option<String>, Query, description = "Agent id"),
        ("listener" = Option<String>, Query, description = "User id, agent id or number"),
        ("ordered_by" = Option<String>, Query, description = "User id"),
        ("from" = Option<String>, Query, description = "Began at or after, RFC 3339"),
        ("to" = Option<String>, Query, description = "Began before, RFC 3339"),
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

/// Layout and gains: not in this version (422 `not-supported`).
#[utoipa::path(patch, path = "/v1/listenings/{id}", tag = "listenings", params(("id" = String, Path)), responses((status = 422, description = "`not-supported`")))]
pub(crate) async fn change(caller: Caller) -> Result<StatusCode, Refusal> {
    caller.may_monitor()?;
    Err(Refusal::not_supported("Layout and gains of a listening are not in this version."))
}

/// The page's player (WHEP): not in this version (422 `not-supported`).
#[utoipa::path(post, path = "/v1/listenings/{id}/whep", tag = "listenings", params(("id" = String, Path)), responses((status = 422, description = "`not-supported`")))]
pub(crate) async fn whep(caller: Caller) -> Result<StatusCode, Refusal> {
    caller.may_monitor()?;
    Err(Refusal::not_supported("Listening in the browser is not in this version."))
}

/// ICE restart of the page's player: not in this version (422 `not-supported`).
#[utoipa::path(patch, path = "/v1/listenings/{id}/whep/{session}", tag = "listenings", params(("id" = String, Path), ("session" = String, Path)),
    responses((status = 422, description = "`not-supported`")))]
pub(crate) async fn whep_restart(caller: Caller) -> Result<StatusCode, Refusal> {
    whep(caller).await
}

/// Stop of the page's player: not in this version (422 `not-supported`).
#[utoipa::path(delete, path = "/v1/listenings/{id}/whep/{session}", tag = "listenings", params(("id" = String, Path), ("session" = String, Path)),
    responses((status = 422, description = "`not-supported`")))]
pub(crate) async fn whep_stop(caller: Caller) -> Result<StatusCode, Refusal> {
    whep(caller).await
}
