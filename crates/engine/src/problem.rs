//! The refusals of SEMANTICS.md, each made in one place.

use crate::interface::Problem;

impl Problem {
    pub(crate) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), field: None, related: None, etag: None }
    }

    pub(crate) fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(422, "invalid-request", detail) }
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, "forbidden", detail)
    }

    pub(crate) fn related(self, id: &str) -> Self {
        Self { related: Some(id.to_owned()), ..self }
    }

    pub(crate) fn agent_not_found() -> Self {
        Self::new(404, "agent-not-found", "there is no such agent")
    }

    pub(crate) fn request_not_found() -> Self {
        Self::new(404, "request-not-found", "there is no such request, or it is not yours")
    }

    pub(crate) fn call_not_found() -> Self {
        Self::new(404, "call-not-found", "there is no such live call")
    }

    pub(crate) fn listening_not_found() -> Self {
        Self::new(404, "listening-not-found", "there is no such live listening, or it is not yours")
    }
}
