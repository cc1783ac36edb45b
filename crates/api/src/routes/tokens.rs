//! API tokens: whoever may sign in makes and revokes their own; an admin everybody's.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Deed;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Api;
use crate::auth::Caller;
use crate::json::JsonBody;
use crate::paging::{List, Named, by_name};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::Id;
use crate::tokens::{PER_USER_MAX, Token};

/// A token of the configuration goes by this and the user's id.
const CONFIGURED: &str = "config:";
/// A token's name at most, in characters.
const NAME_MAX: usize = 64;

/// An API token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// `tok_…`; `config:USER` of one in the configuration.
    id: String,
    /// Whose rights it has.
    user: String,
    /// What it is for.
    name: String,
    /// `null` of one in the configuration.
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    /// From then on it is of no use; `null`: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To the hour; `null`: not yet (of one in the configuration: not since the start).
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// It stands in the configuration and is revoked there.
    configured: bool,
}

/// A token that was made, with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewTokenView {
    #[serde(flatten)]
    view: TokenView,
    /// `mdl_…`: what follows `Bearer `. It is shown this once and kept nowhere.
    token: String,
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "documents the body; it is read field by field")]
pub(crate) struct TokenBody {
    /// What it is for; 1 to 64 characters.
    name: String,
    /// For another user (admin).
    user: Option<String>,
    /// From then on it is of no use; without it: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

impl Named for TokenView {
    fn key(&self) -> (String, &str) {
        (self.name.to_lowercase(), &self.id)
    }
}

/// Tokens by name: one's own; an admin sees all.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens",
    params(("user" = Option<String>, Query, description = "Of this user"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<TokenView>), (status = 401), (status = 403, description = "`forbidden`: another's"), (status = 422)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<std::sync::Arc<TokenView>>>, Refusal> {
    let (user, page) = (params.text("user"), params.page()?);
    params.finish()?;
    let user = match user {
        Some(user) => Some(whom(&caller, Some(user))?),
        None => (!caller.is_admin()).then(|| caller.user.id.clone()),
    };
    let mut all: Vec<TokenView> = api.inner.tokens.all().iter().map(|token| view(token)).collect();
    all.extend(api.inner.credentials.load().tokens().map(|token| TokenView {
        id: format!("{CONFIGURED}{}", token.user),
        user: token.user.clone(),
        name: "configuration".to_owned(),
        created_at: None,
        expires_at: None,
        last_used_at: token.last_used_at(),
        configured: true,
    }));
    all.retain(|token| user.as_ref().is_none_or(|user| token.user == *user));
    Ok(Json(by_name("tokens", all.into_iter().map(std::sync::Arc::new).collect(), &page)?))
}

/// Make a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = TokenBody,
    responses((status = 201, body = NewTokenView, headers(("Location" = String))), (status = 400), (status = 401), (status = 403, description = "`forbidden`: for another, or `csrf`"),
        (status = 409, description = "`too-many-tokens`"), (status = 415), (status = 422), (status = 503)))]
pub(crate) async fn make(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
    JsonBody { mut fields, .. }: JsonBody,
) -> Result<Response, Refusal> {
    params.finish()?;
    let (name, user, expires_at) = (fields.required_text("name")?, fields.text("user")?, fields.time("expires_at")?);
    fields.finish()?;
    let (name, now) = (name.trim(), Timestamp::now());
    if name.is_empty() || name.chars().count() > NAME_MAX {
        return Err(Refusal::invalid("name", format!("1 to {NAME_MAX} characters.")));
    }
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(Refusal::invalid("expires_at", "Must be later than now."));
    }
    let user = whom(&caller, user)?;
    if api.inner.model.user(&user).is_none() {
        return Err(Refusal::invalid("user", "There is no user by that id."));
    }
    if !api.inner.tokens.has_room(&user) {
        let detail = format!("{user} has {PER_USER_MAX} tokens already; revoke one.");
        return Err(Refusal::new(StatusCode::CONFLICT, "too-many-tokens", detail));
    }
    let (secret, token, change) = api.inner.tokens.make(&user, name, expires_at, now)?;
    api.keep(vec![change]).await?;
    let view = view(&token);
    api.inner.tokens.add(token);
    let mut details = vec![("user".to_owned(), user), ("name".to_owned(), view.name.clone())];
    details.extend(expires_at.map(|at| ("expires_at".to_owned(), at.to_string())));
    api.inner.notes.did(&caller.user.id, Deed::TokenCreated, &view.id, details);
    let at = format!("/v1/tokens/{}", view.id);
    let mut response = (StatusCode::CREATED, Json(NewTokenView { view, token: secret })).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    crate::answer::insert(response.headers_mut(), header::LOCATION, &at);
    Ok(response)
}

/// Revoke a token: what comes with it is refused from now on, and streams of events that it opened end.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204, description = "Revoked"), (status = 401), (status = 403, description = "`csrf`"), (status = 404, description = "`token-not-found`"),
        (status = 409, description = "`token-configured`: it stands in the configuration"), (status = 503, description = "`store-unavailable`: revoked, but not for good if the engine starts anew")))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
) -> Result<StatusCode, Refusal> {
    params.finish()?;
    let is_own = |user: &str| caller.is_admin() || user == caller.user.id;
    let none = || Refusal::not_found("token-not-found");
    if let Some(user) = id.strip_prefix(CONFIGURED) {
        let is_there = is_own(user) && api.inner.credentials.load().tokens().any(|token| token.user == user);
        return Err(match is_there {
            true => Refusal::new(
                StatusCode::CONFLICT,
                "token-configured",
                "This token stands in the configuration: take `token_hash` out there and reload.",
            ),
            false => none(),
        });
    }
    let token = api.inner.tokens.by_id(&id).filter(|token| is_own(&token.user)).ok_or_else(none)?;
    let change = api.inner.tokens.revoke(&token.hash).ok_or_else(none)?;
    let details = vec![("user".to_owned(), token.user.clone()), ("name".to_owned(), token.name.clone())];
    api.inner.notes.did(&caller.user.id, Deed::TokenRevoked, &token.id, details);
    api.inner.events.wake();
    api.keep(vec![change]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Oneself, or whom an admin names.
fn whom(caller: &Caller, user: Option<String>) -> Result<String, Refusal> {
    match user {
        Some(user) if user != caller.user.id && !caller.is_admin() => {
            Err(Refusal::forbidden("Only an admin sees and makes tokens of others."))
        }
        Some(user) => Ok(user),
        None => Ok(caller.user.id.clone()),
    }
}

fn view(token: &Token) -> TokenView {
    TokenView {
        id: token.id.clone(),
        user: token.user.clone(),
        name: token.name.clone(),
        created_at: Some(token.created_at),
        expires_at: token.expires_at,
        last_used_at: token.last_used_at(),
        configured: false,
    }
}
