//! Answers: resources with their ETag (RFC 9110 section 8.8.3), preconditions, and what a command came to.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::view::{AgentView, RequestView};
use engine::{Precondition, etag_of};
use serde::Serialize;

use crate::problem::Refusal;

/// Entity tags of `If-Match` that are looked at.
const TAGS_MAX: usize = 64;

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
            Ok(body) => Self::Resource { status, etag: etag_of(&body), body: body.into(), location: None },
            Err(error) => Self::Refused(Refusal::internal(&error.to_string())),
        }
    }

    /// A request; its tag is that of the resource, without the order's warnings.
    pub(crate) fn request(status: StatusCode, request: &RequestView) -> Self {
        let at = (status == StatusCode::CREATED).then(|| format!("/v1/requests/{}", request.id));
        Self::resource(status, request).tagged(request.etag(), at)
    }

    /// An agent; 201 where it is new.
    pub(crate) fn agent(agent: &AgentView, is_new: bool) -> Self {
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Self::resource(status, agent).tagged(agent.etag(), is_new.then(|| format!("/v1/agents/{}", agent.id)))
    }

    fn tagged(self, etag: String, location: Option<String>) -> Self {
        match self {
            Self::Resource { status, body, .. } => Self::Resource { status, body, etag, location },
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
        Answer::Resource { etag, .. } if is_known(headers, etag) => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            insert(response.headers_mut(), header::ETAG, etag);
            response
        }
        _ => answer.into_response(),
    }
}

/// `If-Match`, for the engine to judge when it carries the command out.
pub(crate) fn precondition(headers: &HeaderMap) -> Precondition {
    let mut values = headers.get_all(header::IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return Precondition::None;
    }
    let tags: Vec<String> = values
        .flat_map(|value| value.to_str().unwrap_or("").split(','))
        .map(|tag| tag.trim().to_owned())
        .take(TAGS_MAX)
        .collect();
    if tags.iter().any(|tag| tag == "*") { Precondition::Any } else { Precondition::OneOf(tags) }
}

/// Whether `If-None-Match` names this tag; weak ones count (RFC 9110 section 13.1.2).
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().flat_map(|v| v.to_str().unwrap_or("").split(','));
    tags.any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag)
}

pub(crate) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // An id from the outside may hold what no header may.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
