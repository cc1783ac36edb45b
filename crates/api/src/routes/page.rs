//! The bare player page: one click, and this browser listens. Its files are small and come from the binary.

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

/// Nothing but its own script, style and calls to this server; audio comes by WebRTC, which no directive covers.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// No microphone, whoever asks.
const PERMISSIONS: &str = "microphone=(), camera=(), geolocation=(), display-capture=()";

/// The page: agents, and a player that listens to one of them.
#[utoipa::path(get, path = "/", tag = "operations", responses((status = 200, content_type = "text/html", body = String)))]
pub(crate) async fn page() -> Response {
    let mut response = Html(include_str!("page.html")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("permissions-policy", HeaderValue::from_static(PERMISSIONS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The page's script.
#[utoipa::path(get, path = "/player.js", tag = "operations", responses((status = 200, content_type = "text/javascript", body = String)))]
pub(crate) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("player.js"))
}

/// The page's style.
#[utoipa::path(get, path = "/player.css", tag = "operations", responses((status = 200, content_type = "text/css", body = String)))]
pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("player.css"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}
