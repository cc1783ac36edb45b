//! Refusals as RFC 9457 problems: one type, one place that renders it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of every error (RFC 9457 section 3).
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was refused. Becomes the body once [`crate::door`] knows the request's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    pub(crate) field: Option<String>,
    pub(crate) related: Option<String>,
    pub(crate) reasons: Box<[String]>,
    /// When to come again, in seconds, where this is temporary.
    pub(crate) retry_after: u32,
    /// The engine said so, and has it in the audit trail.
    pub(crate) by_engine: Option<Box<ByEngine>>,
}

/// What only the engine knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByEngine {
    /// The resource's entity tag as it is now, in the header ETag.
    pub(crate) etag: Option<String>,
}

/// An error, RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `urn:medlytt:problem:CODE`.
    #[serde(rename = "type")]
    kind: String,
    /// The code in words.
    title: String,
    /// HTTP status.
    status: u16,
    /// Stable code for programs.
    code: &'static str,
    /// What was wrong this time, for people.
    detail: String,
    /// The field of the body, the query parameter or the header that was wrong, as a dotted path.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Id of what is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<String>,
    /// Several reasons (`/readyz`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// Also in the header `x-request-id`.
    request_id: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            field: None,
            related: None,
            reasons: Box::default(),
            retry_after: 1,
            by_engine: None,
        }
    }

    /// A field that is missing, unknown or mistyped: 422 `invalid-request`.
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", detail) }
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404 for things that are not there and for those that the caller may not see: the two look alike.
    pub(crate) fn not_found(code: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, "There is nothing here by that id.")
    }

    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// 429, and when to come again.
    pub(crate) fn too_many(detail: &str, wait: std::time::Duration) -> Self {
        let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        Self { retry_after: seconds, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail) }
    }

    pub(crate) fn internal(detail: &str) -> Self {
        tracing::error!(detail, "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here; the log says what.")
    }

    /// What an error status means that came without a refusal: from the router or an extractor.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(status, "not-found", "There is nothing at this path."),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method-not-allowed", "The header Allow names the methods of this path.")
            }
            _ if status.is_client_error() => {
                Self::new(status, "malformed-request", "The request cannot be understood.")
            }
            _ => Self::internal("an answer without a reason"),
        }
    }

    /// The body.
    pub(crate) fn render(&self, request_id: &str) -> Vec<u8> {
        let problem = Problem {
            kind: format!("urn:medlytt:problem:{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail.clone(),
            field: self.field.clone(),
            related: self.related.clone(),
            reasons: self.reasons.to_vec(),
            request_id: request_id.to_owned(),
        };
        serde_json::to_vec(&problem).unwrap_or_default()
    }
}

impl From<engine::Problem> for Refusal {
    fn from(problem: engine::Problem) -> Self {
        Self {
            status: StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: problem.code,
            detail: problem.detail,
            field: problem.field.map(str::to_owned),
            related: problem.related,
            reasons: Box::default(),
            retry_after: 1,
            by_engine: Some(Box::new(ByEngine { etag: problem.etag })),
        }
    }
}

impl From<store::StoreError> for Refusal {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::Cursor => Self::invalid("cursor", "This cursor does not belong to this list."),
            store::StoreError::Unavailable(why) | store::StoreError::Damaged(why) => {
                tracing::warn!(why, "the store cannot be read");
                Self::unavailable("store-unavailable", "The archive cannot be read now; try again.")
            }
            other => Self::internal(&other.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        match self.status {
            // RFC 6750 section 3.
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"medlytt\""))
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after))
            }
            _ => None,
        };
        if let Some(etag) = self.by_engine.as_ref().and_then(|said| said.etag.as_ref()) {
            crate::answer::insert(response.headers_mut(), header::ETAG, etag);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// `agent-not-found` → `Agent not found`.
fn title(code: &str) -> String {
    let words = code.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
