//! Webhooks: where events are POSTed to, with whose rights, and what became of each.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Deed;
use engine::view::EventName;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use crate::Api;
use crate::answer::{Answer, precondition, read};
use crate::auth::Caller;
use crate::json::{Fields, JsonBody, OptionalBody};
use crate::paging::{List, live};
use crate::params::Params;
use crate::problem::{ByEngine, Refusal};
use crate::routes::requests::unit;
use crate::routes::{Id, Ids};
use crate::webhooks::hook::{OldSecret, WebhookSecretView, WebhookView, may_have};
use crate::webhooks::{self, Barred, DeliveryView, Hook, URL_MAX, WEBHOOK, kept};

/// How long a replaced secret signs where nobody says it.
const OLD_SECRET: SignedDuration = SignedDuration::from_hours(24);
/// And at most.
const OLD_SECRET_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A new webhook.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct WebhookBody {
    /// `https://…`; `http` where the operator allows it. No user, no fragment; up to 2048 characters.
    url: String,
    /// Names of events; absent or empty: all.
    #[schema(value_type = Option<Vec<EventName>>)]
    events: Option<Vec<EventName>>,
    /// Only events of these agents, and of those in `groups`.
    agents: Option<Vec<String>>,
    /// Only events of agents in these user groups, and of `agents`.
    groups: Option<Vec<String>>,
    /// False: nothing is sent yet.
    active: Option<bool>,
}

/// Changes; what is left out stays, an empty list means all. `"active": true` ends a pause.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct WebhookChangeBody {
    /// Where to.
    url: Option<String>,
    /// Names of events.
    #[schema(value_type = Option<Vec<EventName>>)]
    events: Option<Vec<EventName>>,
    /// Agents.
    agents: Option<Vec<String>>,
    /// User groups.
    groups: Option<Vec<String>>,
    /// Whether events are sent.
    active: Option<bool>,
}

/// How a secret is replaced.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct RotateBody {
    /// Until then the old secret signs too; default 24 h from now, 7 days at most. A time that has passed ends it at once.
    #[schema(value_type = Option<String>, format = DateTime)]
    old_until: Option<Timestamp>,
}

/// What came of a test event.
#[derive(Serialize, ToSchema)]
pub(crate) struct TestView {
    /// `webhook-id` of the event.
    id: String,
    /// The endpoint answered 2xx.
    delivered: bool,
    /// HTTP status of its answer, if there was one.
    status: Option<u16>,
    /// What went wrong where a status does not say it (see `last` of a delivery).
    error: Option<&'static str>,
    /// How long it took.
    took_ms: u64,
}

/// Webhooks, newest first: one's own, an admin's all (integrator, admin).
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    params(("owner" = Option<String>, Query, description = "User id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<WebhookView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Arc<WebhookView>>>, Refusal> {
    may_use(&caller)?;
    let (owner, page) = (params.text("owner"), params.page()?);
    params.finish()?;
    let hooks = api.inner.webhooks.hooks();
    let own = hooks.iter().filter(|hook| is_own(&caller, hook) && owner.as_ref().is_none_or(|o| *o == hook.owner));
    Ok(Json(live("webhooks", own.map(|hook| Arc::new(hook.view())).collect(), &page)?))
}

/// Make a webhook. It sees what its owner may see (integrator, admin).
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookBody,
    responses((status = 201, body = WebhookSecretView, description = "Made; the secret is shown this once",
        headers(("Location" = String), ("ETag" = String))), (status = 409, description = "`limit-reached`")))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
    mut body: JsonBody,
) -> Result<Response, Refusal> {
    may_use(&caller)?;
    params.finish()?;
    let asked = Asked::read(&mut body.fields)?;
    body.fields.finish()?;
    let url = asked.url.as_deref().ok_or_else(|| Refusal::invalid("url", "This field is required."))?;
    let (url, now) = (judged(&api, url).await?, api.inner.webhooks.now());
    let id = new_id(now)?;
    let _turn = api.inner.webhooks.changes.lock().await;
    has_room(&api, &caller)?;
    let hook = Arc::new(Hook {
        id,
        owner: caller.user.id.clone(),
        url,
        events: asked.events.unwrap_or_default(),
        agents: asked.agents.unwrap_or_default(),
        groups: asked.groups.unwrap_or_default(),
        active: asked.active.unwrap_or(true),
        paused: None,
        secret: new_secret()?,
        old_secret: None,
        created_at: now,
        changed_at: now,
    });
    write(&api, &hook, None).await?;
    told(&api, &caller, Deed::WebhookCreated, &hook, "url,events,agents,groups");
    Ok(secret_answer(StatusCode::CREATED, &hook))
}

/// One webhook, without its secrets.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = WebhookView, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    params.finish()?;
    Ok(read(&headers, &find(&api, &caller, &id)?.view()))
}

/// Change a webhook, pause it, or let it go on: then what waits is tried anew, and a `resync` tells that events were missed.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookChangeBody,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = WebhookView, headers(("ETag" = String)))))]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
    mut body: JsonBody,
) -> Result<Answer, Refusal> {
    find(&api, &caller, &id)?;
    params.finish()?;
    let asked = Asked::read(&mut body.fields)?;
    body.fields.finish()?;
    let url = match &asked.url {
        Some(url) => Some(judged(&api, url).await?),
        None => None,
    };
    let _turn = api.inner.webhooks.changes.lock().await;
    let (before, hook) = changed(&api, &caller, &id, &headers, |hook| {
        hook.url = url.clone().unwrap_or_else(|| hook.url.clone());
        hook.events = asked.events.clone().unwrap_or_else(|| hook.events.clone());
        hook.agents = asked.agents.clone().unwrap_or_else(|| hook.agents.clone());
        hook.groups = asked.groups.clone().unwrap_or_else(|| hook.groups.clone());
        hook.active = asked.active.unwrap_or(hook.active);
        if asked.active.is_some() {
            hook.paused = None;
        }
        Ok(())
    })
    .await?;
    if hook.active && !before.active {
        api.inner.webhooks.resume(&hook);
    }
    told(&api, &caller, Deed::WebhookChanged, &hook, &asked.names());
    Ok(Answer::resource(StatusCode::OK, &hook.view()))
}

/// Delete a webhook with all that waits for it.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    find(&api, &caller, &id)?;
    params.finish()?;
    let _turn = api.inner.webhooks.changes.lock().await;
    let hook = find(&api, &caller, &id)?;
    matches(&headers, &hook)?;
    let gone = engine::persist::Change::Document { kind: WEBHOOK.to_owned(), id: id.clone(), doc: None };
    let there = api.clone();
    let both = move |store: &dyn store::Store| {
        store.apply(&[gone])?;
        there.inner.webhooks.remove(&id);
        Ok(())
    };
    api.stored(both).await?;
    told(&api, &caller, Deed::WebhookDeleted, &hook, "");
    Ok(StatusCode::NO_CONTENT)
}

/// Send a `webhook.test` event now, active or not, and see what the endpoint says. It is not kept and not tried again.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = String, Path)),
    responses((status = 200, body = TestView, description = "What came of it"), (status = 503, description = "`busy`")))]
pub(crate) async fn test(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    body: OptionalBody,
) -> Result<Json<TestView>, Refusal> {
    let hook = find(&api, &caller, &id)?;
    params.finish()?;
    body.fields.finish()?;
    let tested = api.inner.webhooks.test(&hook).await;
    let tested = tested.ok_or_else(|| Refusal::unavailable("busy", "Too many test events at once; try again."))?;
    Ok(Json(TestView {
        delivered: tested.outcome.is_success(),
        id: tested.id,
        status: tested.outcome.status,
        error: tested.outcome.error,
        took_ms: u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Replace the secret. The old one signs too for a while, so that the endpoint can change over.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks", request_body = RotateBody,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses((status = 200, body = WebhookSecretView, description = "The new secret is shown this once", headers(("ETag" = String)))))]
pub(crate) async fn rotate(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
    mut body: OptionalBody,
) -> Result<Response, Refusal> {
    find(&api, &caller, &id)?;
    params.finish()?;
    let until = body.fields.time("old_until")?;
    body.fields.finish()?;
    let now = api.inner.webhooks.now();
    if until.is_some_and(|until| until.duration_since(now) > OLD_SECRET_MAX) {
        return Err(Refusal::invalid("old_until", "At most 7 days from now."));
    }
    let until = until.unwrap_or(now + OLD_SECRET);
    let _turn = api.inner.webhooks.changes.lock().await;
    let (_, hook) = changed(&api, &caller, &id, &headers, |hook| {
        let old = std::mem::replace(&mut hook.secret, new_secret()?);
        hook.old_secret = (until > now).then_some(OldSecret { secret: old, until });
        Ok(())
    })
    .await?;
    told(&api, &caller, Deed::WebhookChanged, &hook, "secret");
    Ok(secret_answer(StatusCode::OK, &hook))
}

/// Deliveries, newest first: those that wait and the last 200 that are over.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path), ("state" = Option<webhooks::State>, Query, description = "`pending`, `delivered` or `failed`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<DeliveryView>)))]
pub(crate) async fn deliveries(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    mut params: Params,
) -> Result<Json<List<Arc<DeliveryView>>>, Refusal> {
    find(&api, &caller, &id)?;
    let state = params.text("state").map(|state| unit("state", &state)).transpose()?;
    let page = params.page()?;
    params.finish()?;
    Ok(Json(live("deliveries", api.inner.webhooks.deliveries(&id, state), &page)?))
}

/// Try a delivery again, now and for another 24 h; one that was made, too.
#[utoipa::path(post, path = "/v1/webhooks/{id}/deliveries/{delivery}/retry", tag = "webhooks",
    params(("id" = String, Path), ("delivery" = String, Path)),
    responses((status = 202, body = DeliveryView, description = "Queued"), (status = 409, description = "`webhook-inactive`")))]
pub(crate) async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Ids([id, delivery]): Ids,
    params: Params,
    body: OptionalBody,
) -> Result<(StatusCode, Json<DeliveryView>), Refusal> {
    let hook = find(&api, &caller, &id)?;
    params.finish()?;
    body.fields.finish()?;
    if !hook.active {
        let detail = "The webhook is not active; PATCH it with `\"active\": true`.";
        return Err(Refusal::new(StatusCode::CONFLICT, "webhook-inactive", detail));
    }
    let again = api.inner.webhooks.retry(&id, &delivery).ok_or_else(|| Refusal::not_found("delivery-not-found"))?;
    Ok((StatusCode::ACCEPTED, Json(again)))
}

/// The fields of a body, as far as they are there.
struct Asked {
    url: Option<String>,
    events: Option<Vec<EventName>>,
    agents: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    active: Option<bool>,
}

impl Asked {
    fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        let url = fields.long_text("url", URL_MAX)?;
        let named = |names: Vec<String>| {
            let each = names.iter().enumerate().map(|(n, name)| unit(&format!("events.{n}"), name));
            each.collect::<Result<_, _>>()
        };
        let events = fields.texts("events")?.map(named).transpose()?;
        let (agents, groups) = (fields.texts("agents")?, fields.texts("groups")?);
        Ok(Self { url, events, agents, groups, active: fields.flag("active")? })
    }

    /// For the trail: names, no values.
    fn names(&self) -> String {
        let given = [
            (self.url.is_some(), "url"),
            (self.events.is_some(), "events"),
            (self.agents.is_some(), "agents"),
            (self.groups.is_some(), "groups"),
            (self.active == Some(true), "on"),
            (self.active == Some(false), "off"),
        ];
        given.iter().filter(|(is_given, _)| *is_given).map(|(_, name)| *name).collect::<Vec<_>>().join(",")
    }
}

fn may_use(caller: &Caller) -> Result<(), Refusal> {
    match may_have(&caller.user) {
        true => Ok(()),
        false => Err(Refusal::forbidden("Webhooks are for integrators and admins.")),
    }
}

fn is_own(caller: &Caller, hook: &Hook) -> bool {
    caller.is_admin() || caller.user.id == hook.owner
}

fn find(api: &Api, caller: &Caller, id: &str) -> Result<Arc<Hook>, Refusal> {
    may_use(caller)?;
    let found = api.inner.webhooks.hook(id).filter(|hook| is_own(caller, hook));
    found.ok_or_else(|| Refusal::not_found("webhook-not-found"))
}

/// The URL, if we may go there now. Each delivery asks again.
async fn judged(api: &Api, text: &str) -> Result<Url, Refusal> {
    let settings = api.inner.webhooks.settings();
    let refused = |barred: Barred| Refusal::invalid("url", barred.words());
    let url = webhooks::parse(text, settings.allow_http).map_err(refused)?;
    match webhooks::addresses(&url, &settings, settings.timeout).await {
        Ok(_) => Ok(url),
        Err(barred) => {
            api.inner.webhooks.barred();
            Err(refused(barred))
        }
    }
}

fn has_room(api: &Api, caller: &Caller) -> Result<(), Refusal> {
    let settings = api.inner.webhooks.settings();
    let hooks = api.inner.webhooks.hooks();
    let own = hooks.iter().filter(|hook| hook.owner == caller.user.id).count();
    let detail = match (hooks.len() >= settings.max, own >= settings.max_per_user) {
        (true, _) => format!("There are {} webhooks already.", settings.max),
        (_, true) => format!("You have {} webhooks already.", settings.max_per_user),
        _ => return Ok(()),
    };
    Err(Refusal::new(StatusCode::CONFLICT, "limit-reached", detail))
}

/// A change that is in the store when it comes back: before and after. It may be paused meanwhile; then once more.
async fn changed(
    api: &Api,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    change: impl Fn(&mut Hook) -> Result<(), Refusal>,
) -> Result<(Arc<Hook>, Arc<Hook>), Refusal> {
    loop {
        let before = find(api, caller, id)?;
        matches(headers, &before)?;
        let mut hook = Hook::clone(&before);
        change(&mut hook)?;
        hook.changed_at = api.inner.webhooks.now();
        let hook = Arc::new(hook);
        if write(api, &hook, Some(&before)).await? {
            return Ok((before, hook));
        }
    }
}

/// The store first.
async fn write(api: &Api, hook: &Arc<Hook>, before: Option<&Arc<Hook>>) -> Result<bool, Refusal> {
    let (there, hook, before) = (api.clone(), Arc::clone(hook), before.cloned());
    // together, so that both happen even if the client goes meanwhile
    let both = move |store: &dyn store::Store| {
        store.apply(&[kept(&hook)])?;
        Ok(there.inner.webhooks.put(&hook, before.as_ref()))
    };
    api.stored(both).await
}

/// `If-Match`, as for requests.
fn matches(headers: &HeaderMap, hook: &Hook) -> Result<(), Refusal> {
    let Answer::Resource { etag, .. } = Answer::resource(StatusCode::OK, &hook.view()) else { return Ok(()) };
    let is_met = match precondition(headers) {
        engine::Precondition::None | engine::Precondition::Any => true,
        engine::Precondition::OneOf(tags) => tags.contains(&etag),
    };
    if is_met {
        return Ok(());
    }
    let detail = "The webhook was changed meanwhile; read it again.";
    let refusal = Refusal::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail);
    Err(Refusal { by_engine: Some(Box::new(ByEngine { etag: Some(etag) })), ..refusal })
}

fn new_id(now: Timestamp) -> Result<String, Refusal> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Refusal::internal("no randomness"))?;
    let ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Ok(format!("whk_{}", ulid::Ulid::from_parts(ms, u128::from_be_bytes(random))))
}

fn new_secret() -> Result<String, Refusal> {
    webhooks::new_secret().ok_or_else(|| Refusal::internal("no randomness"))
}

/// With the tag of the webhook as it is read, and for nobody's cache.
fn secret_answer(status: StatusCode, hook: &Hook) -> Response {
    let mut response = Answer::resource(status, &hook.view_with_secret()).into_response();
    let headers = response.headers_mut();
    if let Answer::Resource { etag, .. } = Answer::resource(status, &hook.view()) {
        crate::answer::insert(headers, header::ETAG, &etag);
    }
    if status == StatusCode::CREATED {
        crate::answer::insert(headers, header::LOCATION, &format!("/v1/webhooks/{}", hook.id));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Into the trail: the host, and no more of the URL, which may hold a secret.
fn told(api: &Api, caller: &Caller, deed: Deed, hook: &Hook, changed: &str) {
    let details = [("owner", hook.owner.clone()), ("host", hook.host()), ("changed", changed.to_owned())];
    let details = details.into_iter().filter(|(_, value)| !value.is_empty());
    let details = details.map(|(name, value)| (name.to_owned(), value)).collect();
    api.inner.notes.did(&caller.user.id, deed, &hook.id, details);
}
