//! What every request and answer passes: names that are not ours are turned away, those who ask too often wait; answers
//! get their id, the headers that browsers heed, and problems made of bare errors.

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::Api;
use crate::answer::insert;
use crate::auth::{Caller, Source, client, host};
use crate::limits::neighbourhood;
use crate::problem::{PROBLEM_JSON, Refusal};
use crate::settings::Settings;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A client's own request id at most.
const REQUEST_ID_MAX: usize = 64;
/// A year, as browsers' preload lists want it at least.
const HSTS: &str = "max-age=31536000";

/// Whose bucket a request takes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    User(String),
    Source(std::net::IpAddr),
}

pub(crate) async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = theirs(request.headers()).unwrap_or_else(|| api.next_request_id());
    let settings = api.inner.settings.load_full();
    let (method, path) = (request.method().clone(), request.uri().path().starts_with("/v1"));
    // The template, not the path: ids and numbers stay out of the log.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let source = client(&settings, request.extensions(), request.headers()).map(Source);
    if let Some(source) = source {
        request.extensions_mut().insert(source);
    }
    let caller = Caller::named(&api, request.headers()).map(|caller| caller.user.id.clone());
    let (mut response, limit) = match enter(&api, &settings, &request, caller.as_deref(), source) {
        Ok(limit) => (next.run(request).await, limit),
        Err(refusal) => (refusal.into_response(), None),
    };
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let refusal = response.extensions_mut().remove::<Refusal>().unwrap_or_else(|| Refusal::of_status(status));
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        api.inner.counts.refused(refusal.code);
        if status == StatusCode::FORBIDDEN && refusal.by_engine.is_none() {
            let what = format!("{method} {}", route.as_deref().unwrap_or("none"));
            api.inner.notes.denied(caller.as_deref().unwrap_or("http:unknown"), refusal.code, what);
        }
        let body = refusal.render(&id);
        *response.body_mut() = Body::from(body);
    }
    api.inner.counts.answered(status.as_u16());
    tracing::debug!(request_id = id, %method, route = route.as_deref().unwrap_or("none"), status = status.as_u16(), "http");
    protect(response.headers_mut(), path, &settings);
    if let Some(left) = limit {
        // draft-ietf-httpapi-ratelimit-headers: what is left of the bucket, and what fills it
        insert(response.headers_mut(), HeaderName::from_static("ratelimit"), &format!("\"requests\";r={left}"));
        let policy = format!("\"requests\";q={};w={}", settings.burst, settings.burst.div_ceil(settings.rate.max(1)));
        insert(response.headers_mut(), HeaderName::from_static("ratelimit-policy"), &policy);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Whether a request may come in, and how many more may come now.
fn enter(
    api: &Api,
    settings: &Settings,
    request: &Request,
    caller: Option<&str>,
    source: Option<Source>,
) -> Result<Option<u32>, Refusal> {
    named_rightly(settings, request)?;
    let payer = match (caller, source) {
        (Some(user), _) => Payer::User(user.to_owned()),
        (None, Some(Source(ip))) => Payer::Source(neighbourhood(ip)),
        // the router was called without a server
        (None, None) => return Ok(None),
    };
    let taken = api.inner.requests_taken.take(payer, settings.request_rate(), Instant::now());
    taken.map(Some).map_err(|wait| {
        api.inner.counts.limited.inc();
        Refusal::too_many("Too many requests; the header Retry-After says when to come again.", wait)
    })
}

/// A request must be for this server. A page of elsewhere whose name was made to mean this address (DNS rebinding) would
/// otherwise be of the same origin as ours.
fn named_rightly(settings: &Settings, request: &Request) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let several = hosts.next().is_some() && hosts.next().is_some();
    let is_connected = request.extensions().get::<ConnectInfo<Source>>().is_some();
    match host(request.headers(), request.uri()) {
        Some(host) if !several && settings.knows_host(host) => Ok(()),
        Some(_) if !several => Err(Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected-request",
            "This server does not go by that name; `[api] allowed_hosts` has its names.",
        )),
        // HTTP/1.0 and a router without a server have none
        None if !several && (request.version() < Version::HTTP_11 || !is_connected) => Ok(()),
        // RFC 9112 section 3.2
        _ => Err(Refusal::new(StatusCode::BAD_REQUEST, "malformed-request", "A request has one Host.")),
    }
}

fn protect(headers: &mut HeaderMap, is_private: bool, settings: &Settings) {
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    // the page has its own
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // knows no list of origins; where there is one, the policy's frame-ancestors stands alone
    if is_private || settings.frame_ancestors.is_empty() {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if settings.is_secure() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    if is_private && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

/// The id that the client gave its request, if it is harmless in a log.
fn theirs(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ((1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(harmless)).then(|| id.to_owned())
}
