//! Monitoring requests: order, look up, change, resume, delete.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use engine::view::{CallDirection, Layout, RequestState, RequestView, Role};
use engine::{Command, ListenerOrder, Order, Precondition, Reply};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use store::{RequestQuery, decode_cursor};
use utoipa::ToSchema;

use crate::Api;
use crate::answer::{Answer, precondition, read};
use crate::auth::Caller;
use crate::command::{Patience, under};
use crate::json::{Fields, JsonBody, OptionalBody};
use crate::model::sees_order;
use crate::paging::{List, merged};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::Id;

/// An order: monitor this agent, for this listener, for N calls and/or until a time.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape; the body is read field by field so that errors can name them")]
#[schema(example = json!({"agent": "kushen", "listener": {"user": "paal"}, "calls": 2}))]
pub(crate) struct OrderBody {
    /// Agent id.
    agent: String,
    /// Who listens.
    listener: ListenerBody,
    /// N, 1 to 999. At least one of `calls` and `until` is needed.
    #[schema(minimum = 1, maximum = 999)]
    calls: Option<i64>,
    /// End, RFC 3339, any offset; 31 days ahead at most.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Which calls trigger; default `inbound`.
    directions: Option<Vec<CallDirection>>,
    /// `mono` (the default), `stereo` (agent left, caller right), `agent` or `caller`.
    layout: Option<Layout>,
    /// The listener hears nothing before it has pressed 1.
    confirm: Option<bool>,
}

/// Who listens: exactly one of these.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
#[schema(min_properties = 1, max_properties = 1)]
pub(crate) struct ListenerBody {
    /// A user's softphone.
    user: Option<String>,
    /// Another agent's phone.
    agent: Option<String>,
    /// A phone number.
    number: Option<String>,
    /// `true`: my browser.
    page: Option<bool>,
}

/// What changes; at least one of them.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
#[schema(min_properties = 1)]
pub(crate) struct RequestChange {
    /// New N.
    #[schema(minimum = 1, maximum = 999)]
    calls: Option<i64>,
    /// New end.
    #[schema(format = DateTime)]
    until: Option<String>,
}

/// Order a monitoring request.
#[utoipa::path(post, path = "/v1/requests", tag = "requests", request_body = OrderBody,
    params(("dry_run" = Option<bool>, Query, description = "Only check: nothing is kept, the answer is 200"),
        ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 201, body = RequestView, description = "Ordered; `warnings` included", headers(("Location" = String), ("ETag" = String))),
        (status = 200, body = RequestView, description = "`dry_run`: would be accepted")))]
pub(crate) async fn order(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
    uri: Uri,
    headers: HeaderMap,
    mut body: JsonBody,
) -> Result<Response, Refusal> {
    let dry_run = params.flag("dry_run")?.unwrap_or(false);
    params.finish()?;
    let order = read_order(&mut body.fields)?;
    body.fields.finish()?;
    let patience = patience(&headers);
    let what: [&[u8]; 2] = [uri.path_and_query().map_or("", |p| p.as_str()).as_bytes(), &body.bytes];
    let (user, there) = (caller.user.id.clone(), api.clone());
    let work = async move |key| {
        let command = under(Precondition::None, key, Command::Order { order, dry_run });
        match api.command(&caller, command, patience).await {
            Ok(Reply::Request(request)) if !dry_run => Answer::request(StatusCode::CREATED, &request),
            Ok(reply) => api.answer(&caller, reply),
            Err(refusal) => Answer::Refused(refusal),
        }
    };
    there.once(&user, &headers, &what, work).await
}

/// Which requests of a list.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) enum StateFilter {
    Active,
    Ended,
    Waiting,
    Calling,
    Listening,
    Suspended,
    Fulfilled,
    Expired,
    Deleted,
}

/// Own requests, newest first; admins see all.
#[utoipa::path(get, path = "/v1/requests", tag = "requests",
    params(("state" = Option<StateFilter>, Query, description = "`active`, `ended`, or one state"),
        ("agent" = Option<String>, Query, description = "Agent id"),
        ("ordered_by" = Option<String>, Query, description = "User id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<RequestView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Arc<RequestView>>>, Refusal> {
    caller.may_monitor()?;
    let mut query =
        RequestQuery { agent: params.text("agent"), ordered_by: params.text("ordered_by"), ..RequestQuery::default() };
    match params.text("state").as_deref() {
        None => {}
        Some("active") => query.active = Some(true),
        Some("ended") => query.active = Some(false),
        Some(state) => query.state = Some(unit::<RequestState>("state", state)?),
    }
    let page = params.page()?;
    params.finish()?;
    page.cursor.as_deref().map(|cursor| decode_cursor("requests", cursor)).transpose()?;
    if caller.user.role != Role::Admin {
        match &query.ordered_by {
            Some(other) if *other != caller.user.id => return Ok(Json(List { items: Vec::new(), next_cursor: None })),
            _ => query.ordered_by = Some(caller.user.id.clone()),
        }
    }
    (query.limit, query.cursor) = (page.limit, page.cursor.clone());
    // The read model first: what leaves it is in the store by then.
    let views = api.inner.model.requests();
    let known: HashSet<String> = views.iter().map(|request| request.id.clone()).collect();
    let live = views.into_iter().filter(|request| query.matches(request)).collect();
    let stored = api.stored(move |store| store.requests(&query)).await?;
    Ok(Json(merged("requests", live, &known, stored, &page)?))
}

/// One request.
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "requests", params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = RequestView, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    caller.may_monitor()?;
    params.finish()?;
    let found = find(&api, &caller, id).await?.ok_or_else(|| Refusal::not_found("request-not-found"))?;
    Ok(read(&headers, &*found))
}

/// Change N or `until`.
#[utoipa::path(patch, path = "/v1/requests/{id}", tag = "requests", request_body = RequestChange,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = RequestView, headers(("ETag" = String))), (status = 409, description = "`request-ended`")))]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
    mut body: JsonBody,
) -> Result<Answer, Refusal> {
    params.finish()?;
    let (calls, until) = (body.fields.integer("calls")?, body.fields.time("until")?);
    body.fields.finish()?;
    if calls.is_none() && until.is_none() {
        return Err(Refusal::invalid("calls", "Give `calls` or `until` or both."));
    }
    let command = Command::ChangeRequest { id: id.clone(), calls, until };
    let answer = api.order(&caller, under(precondition(&headers), None, command)).await;
    Ok(match answer {
        Answer::Refused(refusal) => Answer::Refused(ended(&api, &caller, id, refusal).await),
        answer => answer,
    })
}

/// Arm a suspended request again.
#[utoipa::path(post, path = "/v1/requests/{id}/resume", tag = "requests",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = RequestView, headers(("ETag" = String))), (status = 409, description = "`request-ended`")))]
pub(crate) async fn resume(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    uri: Uri,
    headers: HeaderMap,
    body: OptionalBody,
) -> Result<Response, Refusal> {
    params.finish()?;
    body.fields.finish()?;
    let patience = patience(&headers);
    let what: [&[u8]; 2] = [uri.path().as_bytes(), &body.bytes];
    let (user, there, expect) = (caller.user.id.clone(), api.clone(), precondition(&headers));
    let work = async move |key| {
        let command = Command::ResumeRequest { id: id.clone() };
        match api.command(&caller, under(expect, key, command), patience).await {
            Ok(reply) => api.answer(&caller, reply),
            Err(refusal) => Answer::Refused(ended(&api, &caller, id, refusal).await),
        }
    };
    there.once(&user, &headers, &what, work).await
}

/// Delete a request; its listeners are hung up at once. One that has ended stays as it is.
#[utoipa::path(delete, path = "/v1/requests/{id}", tag = "requests", params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted, or ended before")))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    params.finish()?;
    let command = under(precondition(&headers), None, Command::DeleteRequest { id: id.clone() });
    let Err(refusal) = api.command(&caller, command, Patience::Client).await else {
        return Ok(StatusCode::NO_CONTENT);
    };
    let refusal = ended(&api, &caller, id.clone(), refusal).await;
    // nothing is acknowledged that the store does not have
    if refusal.code == ENDED && api.stored(move |store| store.request(&id)).await?.is_some_and(|r| !r.state.is_active())
    {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(refusal)
}

const ENDED: &str = "request-ended";

/// The engine knows of no such request: it may have ended, and then whoever may see it is told so.
async fn ended(api: &Api, caller: &Caller, id: String, refusal: Refusal) -> Refusal {
    if refusal.code != "request-not-found" {
        return refusal;
    }
    match find(api, caller, id).await {
        Ok(Some(_)) => Refusal {
            status: StatusCode::CONFLICT,
            code: ENDED,
            detail: "This request has ended; order a new one.".to_owned(),
            ..refusal
        },
        Ok(None) | Err(_) => refusal,
    }
}

/// Somebody else's request is not there.
async fn find(api: &Api, caller: &Caller, id: String) -> Result<Option<Arc<RequestView>>, Refusal> {
    let found = match api.inner.model.request(&id) {
        Some(request) => Some(request),
        None => api.stored(move |store| store.request(&id)).await?.map(Arc::new),
    };
    Ok(found.filter(|request| sees_order(caller, &request.ordered_by)))
}

fn patience(headers: &HeaderMap) -> Patience {
    if headers.contains_key("idempotency-key") { Patience::Key } else { Patience::Client }
}

fn read_order(fields: &mut Fields) -> Result<Order, Refusal> {
    let directions = match fields.texts("directions")? {
        Some(names) if names.is_empty() => return Err(Refusal::invalid("directions", "At least one direction.")),
        Some(names) => {
            let each = names.iter().enumerate().map(|(n, name)| unit(&format!("directions.{n}"), name));
            Some(each.collect::<Result<_, _>>()?)
        }
        None => None,
    };
    Ok(Order {
        agent: fields.required_text("agent")?,
        listener: Some(read_listener(fields)?),
        calls: fields.integer("calls")?,
        until: fields.time("until")?,
        directions,
        layout: fields.text("layout")?,
        confirm: fields.flag("confirm")?,
    })
}

fn read_listener(fields: &mut Fields) -> Result<ListenerOrder, Refusal> {
    let Some(mut listener) = fields.object("listener")? else {
        return Err(Refusal::invalid("listener", "This field is required."));
    };
    let page = listener.flag("page")?;
    if page == Some(false) {
        return Err(Refusal::invalid("listener.page", "Must be true, or absent."));
    }
    let mut given = [
        listener.text("user")?.map(ListenerOrder::User),
        listener.text("agent")?.map(ListenerOrder::Agent),
        listener.text("number")?.map(ListenerOrder::Number),
        page.map(|_| ListenerOrder::Page),
    ]
    .into_iter()
    .flatten();
    let (first, second) = (given.next(), given.next());
    listener.finish()?;
    match (first, second) {
        (Some(one), None) => Ok(one),
        _ => Err(Refusal::invalid("listener", "Exactly one of `user`, `agent`, `number` and `page`.")),
    }
}

/// A name out of a closed list.
pub(crate) fn unit<T: DeserializeOwned>(field: &str, name: &str) -> Result<T, Refusal> {
    serde_json::from_value(Value::from(name))
        .map_err(|_| Refusal::invalid(field, "Not one of the values that this field may have."))
}
