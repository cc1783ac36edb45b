//! Who asks: a bearer token (RFC 6750 section 2.1), compared by its SHA-256 without telling by time how near it was.

use std::net::IpAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use engine::view::{Role, UserView};
use sha2::{Digest, Sha256};
use std::sync::Arc;

use crate::problem::Refusal;
use crate::{Api, Credential};

/// A token at most, in bytes.
const TOKEN_MAX: usize = 1024;

/// The user whose token a request carries.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: Arc<UserView>,
    token: [u8; 32],
}

/// Whence a request came: the address of its connection, which is the proxy's where there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source(pub(crate) IpAddr);

impl Caller {
    /// Whose token it is.
    fn of(api: &Api, token: &[u8]) -> Option<Self> {
        let token: [u8; 32] = Sha256::digest(token).into();
        let user = user_of(&api.inner.credentials.load(), &token)?;
        Some(Self { user: api.inner.model.user(&user)?, token })
    }

    /// Who sent a request with these headers, for the record alone.
    pub(crate) fn named(api: &Api, headers: &HeaderMap) -> Option<String> {
        Self::of(api, bearer(headers)?).map(|caller| caller.user.id.clone())
    }

    /// The same caller as things are now; `None` once the token or the user is gone.
    pub(crate) fn still(&self, api: &Api) -> Option<Self> {
        let user = user_of(&api.inner.credentials.load(), &self.token)?;
        if user != self.user.id {
            return None;
        }
        Some(Self { user: api.inner.model.user(&user)?, token: self.token })
    }

    /// What acts with a user's rights, without a token: a webhook.
    pub(crate) fn acting(user: Arc<UserView>) -> Self {
        Self { user, token: [0; 32] }
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
        let source = parts.extensions.get::<ConnectInfo<Source>>().map(|ConnectInfo(Source(ip))| *ip);
        let token = bearer(&parts.headers);
        if let Some(caller) = token.and_then(|token| Self::of(api, token)) {
            api.inner.notes.used(caller.token, &caller.user.id, source);
            return Ok(caller);
        }
        if token.is_some() {
            api.inner.notes.failed(source);
        }
        Err({
            api.inner.counts.unauthenticated.inc();
            Refusal::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "Send `Authorization: Bearer TOKEN` with a valid token.",
            )
        })
    }
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

/// Looks at every credential to its last byte, whichever matches.
fn user_of(credentials: &[Credential], token: &[u8; 32]) -> Option<String> {
    let mut found = None;
    for credential in credentials {
        let Some(known) = &credential.token_sha256 else { continue };
        let difference =
            known.iter().zip(token).fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b)));
        if difference == 0 {
            found = Some(&credential.user);
        }
    }
    found.cloned()
}
