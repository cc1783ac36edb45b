//! Answers: resources with their ETag (RFC 9110 section 8.8.3), preconditions, and what a command came to.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Refusal;

/// A finished answer that can be given again.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Resource { status: StatusCode, body: Bytes, etag: String, location: Option<String> },
    Nothing,
    Refused(Refusal),
}

impl Answer {
    pub(crate) fn resource(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::Resource { status, etag: etag(&body), body: body.into(), location: None },
            Err(error) => Self::Refused(Refusal::internal(&error.to_string())),
        }
    }

    /// A new resource: 201 and where it is.
    pub(crate) fn created(value: &impl Serialize, at: String) -> Self {
        match Self::resource(StatusCode::CREATED, value) {
            Self::Resource { status, body, etag, .. } => Self::Resource { status, body, etag, location: Some(at) },
            other => other,
        }
    }

    /// Worth keeping for the same Idempotency-Key: the engine has decided. What was its fault may be tried again.
    pub(crate) fn is_final(&self) -> bool {
        !matches!(self, Self::Refused(refusal) if refusal.status.is_server_error())
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Nothing => StatusCode::NO_CONTENT.into_response(),
            Self::Refused(refusal) => refusal.into_response(),
            Self::Resource { status, body, etag, location } => {
                let mut response = (status, Body::from(body)).into_response();
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                insert(headers, header::ETAG, &etag);
                if let Some(location) = location {
                    insert(headers, header::LOCATION, &location);
                }
                response
            }
        }
    }
}

/// A resource that was read: 304 where the client has it already.
pub(crate) fn read(headers: &HeaderMap, value: &impl Serialize) -> Response {
    let answer = Answer::resource(StatusCode::OK, value);
    match &answer {
        Answer::Resource { etag, .. } if matches(headers, header::IF_NONE_MATCH, etag, true) == Some(true) => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            insert(response.headers_mut(), header::ETAG, etag);
            response
        }
        _ => answer.into_response(),
    }
}

/// `If-Match` against a resource as it is now.
pub(crate) fn precondition(headers: &HeaderMap, value: &impl Serialize) -> Result<(), Refusal> {
    let current =
        serde_json::to_vec(value).map(|body| etag(&body)).map_err(|error| Refusal::internal(&error.to_string()))?;
    match matches(headers, header::IF_MATCH, &current, false) {
        Some(false) => Err(Refusal::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "The resource has changed; read it again.",
        )),
        _ => Ok(()),
    }
}

/// Whether a list of entity tags holds this one; `None` without the header. Weak tags count only in a weak comparison.
fn matches(headers: &HeaderMap, name: HeaderName, etag: &str, weak: bool) -> Option<bool> {
    let mut there = false;
    for value in headers.get_all(name) {
        there = true;
        let tags = value.to_str().unwrap_or("").split(',').map(str::trim);
        let hit = |tag: &str| tag == "*" || tag == etag || weak && tag.strip_prefix("W/") == Some(etag);
        if tags.into_iter().any(hit) {
            return Some(true);
        }
    }
    there.then_some(false)
}

fn etag(body: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = Sha256::digest(body);
    let mut tag = String::from("\"");
    for byte in digest.iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // An id from the outside may hold what no header may.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
