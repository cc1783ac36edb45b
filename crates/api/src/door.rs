//! What every request and answer passes: its id, the headers that browsers heed, and problems made of bare errors.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::Api;
use crate::auth::Caller;
use crate::problem::{PROBLEM_JSON, Refusal};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A client's own request id at most.
const REQUEST_ID_MAX: usize = 64;

pub(crate) async fn pass(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = theirs(request.headers()).unwrap_or_else(|| api.next_request_id());
    let (method, path) = (request.method().clone(), request.uri().path().starts_with("/v1"));
    // The template, not the path: ids and numbers stay out of the log.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    // Kept for the record of a denial; cheap, and never shown.
    let mut token = HeaderMap::new();
    token.extend(request.headers().get(header::AUTHORIZATION).map(|value| (header::AUTHORIZATION, value.clone())));
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let refusal = response.extensions_mut().remove::<Refusal>().unwrap_or_else(|| Refusal::of_status(status));
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        api.inner.counts.refused(refusal.code);
        if status == StatusCode::FORBIDDEN && refusal.by_engine.is_none() {
            let user = Caller::named(&api, &token).unwrap_or_else(|| "http:unknown".to_owned());
            let what = format!("{method} {}", route.as_deref().unwrap_or("none"));
            api.inner.notes.denied(&user, refusal.code, what);
        }
        let body = refusal.render(&id);
        *response.body_mut() = Body::from(body);
    }
    api.inner.counts.answered(status.as_u16());
    tracing::debug!(request_id = id, %method, route = route.as_deref().unwrap_or("none"), status = status.as_u16(), "http");
    protect(response.headers_mut(), path);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn protect(headers: &mut HeaderMap, is_private: bool) {
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    // the page has its own
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
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
