//! The supervisor's page: the files that its build made, from the binary. Names carry no hashes, so browsers ask again
//! and are told by ETag that nothing has changed.

use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::Api;
use crate::answer::{insert, is_known};
use crate::problem::Refusal;
use crate::routes::Id;

/// Path below `page/` and content.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));
/// No microphone, whoever asks.
const PERMISSIONS: &str = "microphone=(), camera=(), geolocation=(), display-capture=()";
/// What is smaller than a packet gains nothing by compression.
const COMPRESSED_FROM: usize = 1024;

/// A file, ready to be sent.
struct File {
    kind: &'static str,
    plain: &'static [u8],
    /// Where it is smaller.
    gzip: Option<Vec<u8>>,
    tag: String,
}

/// The page.
#[utoipa::path(get, path = "/", tag = "page", params(("If-None-Match" = Option<String>, Header)),
    responses((status = 200, content_type = "text/html", body = String, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn page(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Refusal> {
    let mut response = file("index.html", &headers)?;
    insert(
        response.headers_mut(),
        header::CONTENT_SECURITY_POLICY,
        &policy(&api.inner.settings.load().frame_ancestors),
    );
    response.headers_mut().insert("permissions-policy", HeaderValue::from_static(PERMISSIONS));
    Ok(response)
}

/// A script or a style of the page.
#[utoipa::path(get, path = "/assets/{file}", tag = "page", params(("file" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, content_type = "application/octet-stream", body = String, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"), (status = 404)))]
pub(crate) async fn asset(Id(name): Id, headers: HeaderMap) -> Result<Response, Refusal> {
    file(&format!("assets/{name}"), &headers)
}

/// The page's icon.
#[utoipa::path(get, path = "/icon.svg", tag = "page", params(("If-None-Match" = Option<String>, Header)),
    responses((status = 200, content_type = "image/svg+xml", body = String, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn icon(headers: HeaderMap) -> Result<Response, Refusal> {
    file("icon.svg", &headers)
}

/// Its own script, style, images and calls to this server, and nothing else; audio comes by WebRTC, which no directive
/// covers.
fn policy(frame_ancestors: &[String]) -> String {
    let ancestors = if frame_ancestors.is_empty() { "'none'".to_owned() } else { frame_ancestors.join(" ") };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    )
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
    let file = files().iter().find(|(known, _)| *known == name).map(|(_, file)| file);
    let file = file.ok_or_else(|| Refusal::not_found("not-found"))?;
    // a strong tag names one sequence of bytes (RFC 9110 section 8.8.1)
    let (body, tag) = match file.gzip.as_deref().filter(|_| takes_gzip(headers)) {
        Some(gzip) => (gzip, format!("\"{}-gzip\"", file.tag)),
        None => (file.plain, format!("\"{}\"", file.tag)),
    };
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Body::from(body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
        if tag.ends_with("-gzip\"") {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let own = response.headers_mut();
    insert(own, header::ETAG, &tag);
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    own.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

/// All files, compressed once.
fn files() -> &'static [(&'static str, File)] {
    static READY: OnceLock<Vec<(&'static str, File)>> = OnceLock::new();
    READY.get_or_init(|| FILES.iter().map(|(name, plain)| (*name, ready(name, plain))).collect())
}

fn ready(name: &str, plain: &'static [u8]) -> File {
    let gzip = (plain.len() >= COMPRESSED_FROM).then(|| gzip(plain)).flatten().filter(|gzip| gzip.len() < plain.len());
    let tag: String = Sha256::digest(plain).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    File { kind: kind(name), plain, gzip, tag }
}

fn gzip(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "woff2" => "font/woff2",
        "png" => "image/png",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        _ => "application/octet-stream",
    }
}

/// Whether `Accept-Encoding` names gzip and does not refuse it.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>().is_ok_and(|q| q == 0.0));
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "x-gzip") && !refused
    })
}
