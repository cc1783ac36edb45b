//! Every path of the control API, with the methods it answers.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod calls;
pub(crate) mod listenings;
pub(crate) mod operations;
pub(crate) mod page;
pub(crate) mod people;
pub(crate) mod player;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod tokens;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use crate::Api;
use crate::problem::Refusal;

/// A path parameter.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        // What is not UTF-8 names nothing.
        path.map(|Path(id)| Self(id)).map_err(|_| Refusal::not_found("not-found"))
    }
}

/// Two path parameters, in order.
#[derive(Debug)]
pub(crate) struct Ids(pub(crate) [String; 2]);

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path: Result<Path<[String; 2]>, PathRejection> = Path::from_request_parts(parts, state).await;
        path.map(|Path(ids)| Self(ids)).map_err(|_| Refusal::not_found("not-found"))
    }
}

/// Path and methods; the document has the same, a test compares them.
pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Api>)> {
    vec![
        ("/v1/requests", get(requests::list).post(requests::order)),
        ("/v1/requests/{id}", get(requests::one).patch(requests::change).delete(requests::delete)),
        ("/v1/requests/{id}/resume", post(requests::resume)),
        ("/v1/agents", get(agents::list)),
        ("/v1/agents/{id}", get(agents::one).put(agents::upsert).delete(agents::delete)),
        ("/v1/agents/{id}/status", put(agents::status)),
        ("/v1/calls", get(calls::list)),
        ("/v1/calls/{id}", get(calls::one)),
        ("/v1/calls/{id}/shield", put(calls::shield)),
        ("/v1/listenings", get(listenings::list)),
        ("/v1/listenings/{id}", get(listenings::one).patch(listenings::change).delete(listenings::hang_up)),
        ("/v1/listenings/{id}/levels", get(listenings::watch_levels)),
        ("/v1/listenings/{id}/whep", post(player::start)),
        ("/v1/listenings/{id}/whep/{session}", patch(player::restart).delete(player::stop)),
        ("/v1/events", get(operations::events)),
        ("/v1/users", get(people::list)),
        ("/v1/users/{id}", get(people::one)),
        ("/v1/me", get(people::me)),
        ("/v1/status", get(operations::status)),
        ("/v1/audit", get(audit::list)),
        ("/healthz", get(operations::healthz)),
        ("/readyz", get(operations::readyz)),
        ("/metrics", get(operations::metrics)),
        ("/openapi.json", get(operations::openapi)),
        ("/", get(page::page)),
        ("/assets/{file}", get(page::asset)),
        ("/icon.svg", get(page::icon)),
        ("/v1/session", get(session::shown).post(session::sign_in).delete(session::sign_out)),
        ("/v1/sessions", delete(session::sign_out_everywhere)),
        ("/v1/tokens", get(tokens::list).post(tokens::make)),
        ("/v1/tokens/{id}", delete(tokens::revoke)),
    ]
}
