//! Who asks: a bearer token (RFC 6750 section 2.1), or the page's session by its cookie. A cookie comes by itself
//! wherever the browser is told to go, so what changes something by it must also prove that our own page asks.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, Method, StatusCode, Uri, header};
use engine::view::{Role, UserView};
use jiff::Timestamp;

use crate::Api;
use crate::problem::Refusal;
use crate::secrets;
use crate::sessions::{Proof, Session, csrf};
use crate::settings::Settings;

/// A token at most, in bytes.
const TOKEN_MAX: usize = 1024;
/// Addresses of `X-Forwarded-For` that are looked at.
const FORWARDS_MAX: usize = 16;
/// What the page sends with its cookie.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The user who sends a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: Arc<UserView>,
    by: By,
}

/// What proves it, by SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Token([u8; 32]),
    Session([u8; 32]),
}

/// Whence a request came: the address of its connection, or the client's where a trusted proxy names it.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub IpAddr);

impl Caller {
    /// Who sent a request with these headers, whether or not it may do what it wants.
    pub(crate) fn named(api: &Api, headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(header::AUTHORIZATION) {
            return Self::of(api, By::Token(secrets::hash(bearer(headers)?)));
        }
        let secret = cookie(headers, api.inner.settings.load().cookie_name())?;
        Self::of(api, By::Session(secrets::hash(secret)))
    }

    /// The same caller as things are now; `None` once the token, the session or the user is gone.
    pub(crate) fn still(&self, api: &Api) -> Option<Self> {
        Self::of(api, self.by).filter(|now| now.user.id == self.user.id)
    }

    /// Whose it is, as things are now.
    fn of(api: &Api, by: By) -> Option<Self> {
        let now = Timestamp::now();
        let user = match by {
            By::Token(hash) => api.token_user(&hash, now)?,
            By::Session(hash) => session(api, &hash, now)?.user.clone(),
        };
        Some(Self { user: api.inner.model.user(&user)?, by })
    }

    pub(crate) fn by(&self) -> By {
        self.by
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.user.role == Role::Admin
    }

    /// Requests and listenings are for those who may order them.
    pub(crate) fn may_monitor(&self) -> Result<(), Refusal> {
        match self.user.role {
            Role::Admin | Role::Supervisor => Ok(()),
            Role::Integrator => Err(Refusal::forbidden("An integrator sees no requests and no listenings.")),
        }
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let source = source(&parts.extensions);
        let Some(caller) = Self::named(api, &parts.headers) else {
            if parts.headers.contains_key(header::AUTHORIZATION) {
                api.inner.notes.failed(source);
            }
            return Err(unauthenticated(api, "Send `Authorization: Bearer TOKEN` with a valid token, or sign in."));
        };
        match caller.by {
            By::Token(hash) => {
                api.inner.notes.used(hash, &caller.user.id, source);
                api.token_used(&hash);
            }
            By::Session(_) => {
                if !matches!(parts.method, Method::GET | Method::HEAD) {
                    own_page(api, parts)?;
                    let settings = api.inner.settings.load();
                    let secret = cookie(&parts.headers, settings.cookie_name()).unwrap_or_default();
                    let given = parts.headers.get(CSRF).map(|value| value.as_bytes()).unwrap_or_default();
                    if !secrets::same(given, csrf(secret).as_bytes()) {
                        return Err(foreign("Send the session's `csrf` in the header `X-CSRF-Token`."));
                    }
                }
            }
        }
        Ok(caller)
    }
}

/// 401.
pub(crate) fn unauthenticated(api: &Api, detail: &str) -> Refusal {
    api.inner.counts.unauthenticated.inc();
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

/// Refuses what a page of another origin makes a browser send. Programs send neither header.
pub(crate) fn own_page(api: &Api, parts: &Parts) -> Result<(), Refusal> {
    let settings = api.inner.settings.load();
    let host = host(&parts.headers, &parts.uri).unwrap_or_default();
    let text = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if text(header::ORIGIN).is_some_and(|origin| !settings.is_own_origin(origin, host)) {
        return Err(foreign("The header Origin names another page than this server's."));
    }
    if text(FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(foreign("Another site sent this request."));
    }
    Ok(())
}

fn foreign(detail: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "csrf", detail)
}

/// The host that a request is for: of HTTP/2 in its pseudo-header, before that in Host.
pub(crate) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(header::HOST)?.to_str().ok(),
    }
}

/// A session that lives, of a user who could still sign in as then. It is used now.
pub(crate) fn session(api: &Api, hash: &[u8; 32], now: Timestamp) -> Option<Arc<Session>> {
    let session = api.inner.sessions.used(hash, now)?;
    let stands = match &session.by {
        Proof::Password(wanted) => api.password_proof(&session.user).is_some_and(|proof| proof == *wanted),
        Proof::Token(token) => {
            let hash = secrets::unhex(token)?;
            api.token_user(&hash, now).is_some_and(|user| user == session.user)
        }
    };
    if !stands {
        return None;
    }
    if let Some(change) = session.due() {
        let hash = session.hash;
        api.keep_later(change, move |api| api.inner.sessions.has(&hash));
    }
    Some(session)
}

/// Where a request came from; the door has put it there.
pub(crate) fn source(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Source>().map(|source| source.0)
}

/// The address of a connection, or the client's: the last of `X-Forwarded-For` that is no proxy of ours. What stands
/// before it, the client may have written itself.
pub(crate) fn client(settings: &Settings, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let ConnectInfo(Source(peer)) = *extensions.get::<ConnectInfo<Source>>()?;
    if !settings.is_proxy(peer) {
        return Some(peer);
    }
    let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let given: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut nearest = peer;
    for text in given.iter().rev().take(FORWARDS_MAX) {
        let Ok(ip) = text.parse::<IpAddr>() else { break };
        nearest = ip.to_canonical();
        if !settings.is_proxy(nearest) {
            break;
        }
    }
    Some(nearest)
}

/// The one token in the one Authorization header.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() || value.len() > TOKEN_MAX {
        return None;
    }
    let (scheme, token) = value.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// A cookie's value; none where it is there twice, because one of the two is somebody else's.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let values = headers.get_all(header::COOKIE).iter().map(|value| value.as_bytes());
    let pairs = values.flat_map(|value| value.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let mut found = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    let value = found.next()?;
    (found.next().is_none() && !value.is_empty() && value.len() <= TOKEN_MAX).then_some(value)
}
