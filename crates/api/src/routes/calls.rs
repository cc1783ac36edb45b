//! Calls, live and ended, and the card-data shield.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use engine::Command;
use engine::view::{CallState, CallView, Role};
use store::{CallQuery, decode_cursor};
use utoipa::ToSchema;

use crate::Api;
use crate::answer::{Answer, read};
use crate::auth::Caller;
use crate::json::JsonBody;
use crate::model::sees_order;
use crate::paging::{List, live, merged};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::Id;

/// The shield's switch.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct ShieldBody {
    /// On: every listener of the interaction hears silence.
    on: bool,
}

/// Live calls, newest first; `ended=true`: the records of those that are over.
#[utoipa::path(get, path = "/v1/calls", tag = "calls",
    params(("ended" = Option<bool>, Query, description = "`true`: ended calls instead of live ones"),
        ("agent" = Option<String>, Query, description = "Agent id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<CallView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Arc<CallView>>>, Refusal> {
    let ended = params.flag("ended")?.unwrap_or(false);
    let mut query = CallQuery {
        agent: params.text("agent"),
        agents: api.inner.model.permitted_agents(&caller),
        ..CallQuery::default()
    };
    let page = params.page()?;
    params.finish()?;
    page.cursor.as_deref().map(|cursor| decode_cursor("calls", cursor)).transpose()?;
    (query.limit, query.cursor) = (page.limit, page.cursor.clone());
    let views = api.inner.model.calls();
    let known: HashSet<String> = views.iter().map(|call| call.id.clone()).collect();
    let matching =
        views.into_iter().filter(|call| (call.state == CallState::Ended) == ended && query.matches(call)).collect();
    let mut list = if ended {
        let stored = api.stored(move |store| store.calls(&query)).await?;
        merged("calls", matching, &known, stored, &page)?
    } else {
        live("calls", matching, &page)?
    };
    if !caller.is_admin() {
        for call in &mut list.items {
            *call = Arc::new(shown_stored(&api, &caller, call).await?);
        }
    }
    Ok(Json(list))
}

/// One call.
#[utoipa::path(get, path = "/v1/calls/{id}", tag = "calls", params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = CallView, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    params.finish()?;
    let found = match api.inner.model.call(&id) {
        Some(call) => Some(call),
        None => api.stored(move |store| store.call(&id)).await?.map(Arc::new),
    };
    let found = found
        .filter(|call| api.inner.model.sees_call(&caller, call))
        .ok_or_else(|| Refusal::not_found("call-not-found"))?;
    Ok(read(&headers, &shown_stored(&api, &caller, &found).await?))
}

/// Shield a call: every listener of its interaction hears silence until it is turned off.
#[utoipa::path(put, path = "/v1/calls/{id}/shield", tag = "calls", request_body = ShieldBody, params(("id" = String, Path)),
    responses((status = 200, body = CallView, headers(("ETag" = String)))))]
pub(crate) async fn shield(
    State(api): State<Api>,
    caller: Caller,
    Id(call): Id,
    params: Params,
    mut body: JsonBody,
) -> Result<Answer, Refusal> {
    params.finish()?;
    let on = body.fields.flag("on")?.ok_or_else(|| Refusal::invalid("on", "This field is required."))?;
    body.fields.finish()?;
    Ok(api.order(&caller, Command::Shield { call, on }).await)
}

/// A call as a caller may see it: with those listenings only that are its own, as far as the read model knows them.
pub(crate) fn shown(api: &Api, caller: &Caller, call: &CallView) -> CallView {
    let mut call = call.clone();
    if !caller.is_admin() {
        let own = |id: &String| {
            api.inner.model.listening(id).is_some_and(|listening| sees_order(caller, &listening.ordered_by))
        };
        call.listenings.retain(own);
    }
    call
}

/// As [`shown`], with the archive's listenings too.
async fn shown_stored(api: &Api, caller: &Caller, call: &CallView) -> Result<CallView, Refusal> {
    let mut shown = shown(api, caller, call);
    if caller.user.role == Role::Supervisor && shown.listenings.len() < call.listenings.len() {
        let (ids, own) = (call.listenings.clone(), caller.clone());
        let live: HashSet<String> = shown.listenings.into_iter().collect();
        shown.listenings = api
            .stored(move |store| {
                let mut kept = Vec::new();
                for id in ids {
                    let is_own = live.contains(&id)
                        || store.listening(&id)?.is_some_and(|listening| sees_order(&own, &listening.ordered_by));
                    kept.extend(is_own.then_some(id));
                }
                Ok(kept)
            })
            .await?;
    }
    Ok(shown)
}
