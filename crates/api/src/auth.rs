//! Who asks: a bearer token (RFC 6750 section 2.1), compared by its SHA-256 without telling by time how near it was.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
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

impl Caller {
    /// The same caller as things are now; `None` once the token or the user is gone.
    pub(crate) fn still(&self, api: &Api) -> Option<Self> {
        let user = user_of(&api.inner.credentials.load(), &self.token)?;
        if user != self.user.id {
            return None;
        }
        Some(Self { user: api.inner.model.user(&user)?, token: self.token })
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
        let caller = bearer(parts).and_then(|token| {
            let token: [u8; 32] = Sha256::digest(token).into();
            let user = user_of(&api.inner.credentials.load(), &token)?;
            Some(Self { user: api.inner.model.user(&user)?, token })
        });
        caller.ok_or_else(|| {
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
fn bearer(parts: &Parts) -> Option<&[u8]> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
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
