//! Signing in to the page and out of it: a cookie that no script can read, and a word that a request which changes
//! something must bring along.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::Deed;
use engine::view::UserView;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::Api;
use crate::answer::insert;
use crate::auth::{By, Caller, cookie, own_page, session, source, unauthenticated};
use crate::credentials::token_proof;
use crate::json::JsonBody;
use crate::limits::{Rate, neighbourhood};
use crate::params::Params;
use crate::problem::Refusal;
use crate::secrets;
use crate::sessions::{Proof, csrf};

/// Passwords that are tried at one time; each takes 19 MiB.
pub(crate) const PASSWORDS_MAX: usize = 2;
/// How long a password waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// Wrong passwords for one user: 10 at once, then one in 30 s.
const WRONG_OF_USER: Rate = Rate { per_second: 1.0 / 30.0, burst: 10.0 };
/// Failed sign-ins from one address: 30 at once, then one in 10 s.
const WRONG_OF_SOURCE: Rate = Rate { per_second: 0.1, burst: 30.0 };
/// What is tried for users whom nobody knows: made with the parameters of `medlytt hash-password`, of nothing known.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$TCbG6mMXZSUDbKLgMDTVDMJvQWwdVXLoUGfJqSlvKZc";

/// A session of the page.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// Who is signed in.
    #[schema(value_type = UserView)]
    user: Arc<UserView>,
    /// For the header `X-CSRF-Token` of requests by cookie that change something.
    csrf: String,
    /// When one has to sign in anew at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Name and password, or an API token.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "documents the body; it is read field by field")]
pub(crate) struct SignInBody {
    /// User id.
    user: Option<String>,
    /// The user's password.
    password: Option<String>,
    /// An API token, in place of user and password.
    token: Option<String>,
}

/// Whose page asks: a request that may carry no session yet.
pub(crate) struct OwnPage(Option<std::net::IpAddr>);

impl FromRequestParts<Api> for OwnPage {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        own_page(api, parts)?;
        Ok(Self(source(&parts.extensions)))
    }
}

/// Sign in to the page.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = SignInBody, security(()),
    responses((status = 201, body = SessionView, headers(("Set-Cookie" = String, description = "`medlytt_session` (HTTPS: `__Host-medlytt_session`), HttpOnly, SameSite=Strict"))),
        (status = 400), (status = 401, description = "`unauthenticated`: wrong, whatever of it"), (status = 403, description = "`csrf`: another site's page asks"),
        (status = 415), (status = 422), (status = 429, description = "`too-many-requests`: too many failures", headers(("Retry-After" = u32)))))]
pub(crate) async fn sign_in(
    State(api): State<Api>,
    OwnPage(source): OwnPage,
    params: Params,
    JsonBody { mut fields, .. }: JsonBody,
) -> Result<Response, Refusal> {
    params.finish()?;
    let (user, password, token) = (fields.text("user")?, fields.secret("password")?, fields.secret("token")?);
    fields.finish()?;
    let from = source.map(neighbourhood);
    if let Some(from) = from {
        let taken = api.inner.failures_of_sources.take(from, WRONG_OF_SOURCE, Instant::now());
        taken.map_err(|wait| limited(&api, wait))?;
    }
    let found = match (user, password, token) {
        (Some(user), Some(password), None) => by_password(&api, user, password).await?,
        (None, None, Some(token)) => by_token(&api, &token),
        _ => return Err(Refusal::invalid("user", "Send `user` and `password`, or `token`.")),
    };
    let now = Timestamp::now();
    let found = found.and_then(|(user, by, until)| Some((api.inner.model.user(&user)?, by, until)));
    let Some((user, by, until)) = found else {
        api.inner.notes.failed(source);
        return Err(unauthenticated(&api, "The name, the password or the token is wrong."));
    };
    // only failures count
    if let Some(from) = from {
        api.inner.failures_of_sources.give_back(&from, WRONG_OF_SOURCE);
    }
    let (secret, session, changes) = api.inner.sessions.begin(&user.id, by, until, now)?;
    if api.keep(changes).await.is_err() {
        tracing::warn!("a session could not be kept: it ends with this process");
    }
    api.inner.notes.signed_in(&user.id, source);
    let view = SessionView { user, csrf: csrf(secret.as_bytes()), expires_at: session.expires_at };
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    private(response.headers_mut());
    insert(response.headers_mut(), header::SET_COOKIE, &set_cookie(&api, &secret, ""));
    Ok(response)
}

/// Who is signed in here.
#[utoipa::path(get, path = "/v1/session", tag = "session", security(("session" = [])),
    responses((status = 200, body = SessionView), (status = 401)))]
pub(crate) async fn shown(State(api): State<Api>, params: Params, headers: HeaderMap) -> Result<Response, Refusal> {
    params.finish()?;
    let found = cookie(&headers, api.inner.settings.load().cookie_name()).and_then(|secret| {
        let session = session(&api, &secrets::hash(secret), Timestamp::now())?;
        let user = api.inner.model.user(&session.user)?;
        Some(SessionView { user, csrf: csrf(secret), expires_at: session.expires_at })
    });
    let view = found.ok_or_else(|| unauthenticated(&api, "Nobody is signed in here."))?;
    let mut response = Json(view).into_response();
    private(response.headers_mut());
    Ok(response)
}

/// Sign out here.
#[utoipa::path(delete, path = "/v1/session", tag = "session", security(("session" = [])),
    responses((status = 204, description = "Signed out"), (status = 401), (status = 403, description = "`csrf`"),
        (status = 404, description = "`session-not-found`: a token has no session"), (status = 503, description = "`store-unavailable`: signed out, but not for good if the engine starts anew")))]
pub(crate) async fn sign_out(State(api): State<Api>, caller: Caller, params: Params) -> Result<Response, Refusal> {
    params.finish()?;
    let By::Session(hash) = caller.by() else { return Err(Refusal::not_found("session-not-found")) };
    let change = api.inner.sessions.end(&hash);
    signed_out(&api, &caller, &caller.user.id, "here", change.into_iter().collect()).await
}

/// Sign out everywhere: all sessions of oneself, or of another user (admin).
#[utoipa::path(delete, path = "/v1/sessions", tag = "session",
    params(("user" = Option<String>, Query, description = "Of this user (admin)")),
    responses((status = 204, description = "Signed out"), (status = 401), (status = 403), (status = 422), (status = 503, description = "`store-unavailable`: signed out, but not for good if the engine starts anew")))]
pub(crate) async fn sign_out_everywhere(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Response, Refusal> {
    let user = params.text("user").unwrap_or_else(|| caller.user.id.clone());
    params.finish()?;
    if user != caller.user.id && !caller.is_admin() {
        return Err(Refusal::forbidden("Only an admin signs others out."));
    }
    let changes = api.inner.sessions.end_all(&user);
    signed_out(&api, &caller, &user, "everywhere", changes).await
}

async fn signed_out(
    api: &Api,
    caller: &Caller,
    user: &str,
    place: &str,
    changes: Vec<engine::persist::Change>,
) -> Result<Response, Refusal> {
    let details = vec![("where".to_owned(), place.to_owned()), ("sessions".to_owned(), changes.len().to_string())];
    api.inner.notes.did(&caller.user.id, Deed::SignedOut, user, details);
    api.inner.events.wake();
    api.keep(changes).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if user == caller.user.id && matches!(caller.by(), By::Session(_)) {
        insert(response.headers_mut(), header::SET_COOKIE, &set_cookie(api, "", "; Max-Age=0"));
    }
    Ok(response)
}

/// Who signs in, with what, and until when at the latest.
type SignedIn = (String, Proof, Option<Timestamp>);

/// Takes as long for those whom nobody knows as for those with another password.
async fn by_password(api: &Api, user: String, password: String) -> Result<Option<SignedIn>, Refusal> {
    let taken = api.inner.failures_of_users.take(user.clone(), WRONG_OF_USER, Instant::now());
    taken.map_err(|wait| limited(api, wait))?;
    let (known, tried) = {
        let credentials = api.inner.credentials.load();
        let known = credentials.password(&user).map(str::to_owned);
        let tried = known.as_deref().or(credentials.any_password()).unwrap_or(NOBODYS).to_owned();
        (known, tried)
    };
    let busy = || Refusal::unavailable("busy", "Too many sign in at once; try again.");
    let turn = tokio::time::timeout(TURN, Arc::clone(&api.inner.passwords).acquire_owned()).await;
    let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
    let fits = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let hash = PasswordHash::new(&tried);
        hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    let fits = fits.await.map_err(|error| Refusal::internal(&error.to_string()))?;
    let Some(hash) = known.filter(|_| fits) else { return Ok(None) };
    api.inner.failures_of_users.give_back(&user, WRONG_OF_USER);
    Ok(Some((user, Proof::Password(secrets::hex(&secrets::hash(hash.as_bytes()))), None)))
}

fn by_token(api: &Api, token: &str) -> Option<SignedIn> {
    let (hash, now) = (secrets::hash(token.as_bytes()), Timestamp::now());
    let user = api.token_user(&hash, now)?;
    api.token_used(&hash);
    Some((user, token_proof(&hash), api.inner.tokens.of(&hash, now).and_then(|token| token.expires_at)))
}

fn limited(api: &Api, wait: Duration) -> Refusal {
    api.inner.counts.sign_ins_limited.inc();
    Refusal::too_many("Too many wrong attempts; the header Retry-After says when to try again.", wait)
}

fn set_cookie(api: &Api, secret: &str, more: &str) -> String {
    let settings = api.inner.settings.load();
    let secure = if settings.is_secure() { "; Secure" } else { "" };
    format!("{}={secret}; Path=/; HttpOnly; SameSite=Strict{secure}{more}", settings.cookie_name())
}

fn private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_hash_can_be_tried_and_takes_as_long() {
        let hash = PasswordHash::new(NOBODYS).unwrap();
        assert!(Argon2::default().verify_password(b"", &hash).is_err());
        let own = argon2::password_hash::PasswordHasher::hash_password(&Argon2::default(), b"x").unwrap();
        assert_eq!(own.params.to_string(), hash.params.to_string());
    }
}
