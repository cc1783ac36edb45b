//! Users, without their secrets, and who one is oneself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use engine::view::{Role, UserView};

use crate::Api;
use crate::answer::read;
use crate::auth::Caller;
use crate::paging::{List, by_name};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::Id;

/// Users by name: whom one may choose as listener (supervisor, admin).
#[utoipa::path(get, path = "/v1/users", tag = "people",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Items of a page; default 50"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before")),
    responses((status = 200, body = List<UserView>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
) -> Result<Json<List<Arc<UserView>>>, Refusal> {
    no_integrator(&caller)?;
    let page = params.page()?;
    params.finish()?;
    Ok(Json(by_name("users", api.inner.model.users(), &page)?))
}

/// One user (supervisor, admin).
#[utoipa::path(get, path = "/v1/users/{id}", tag = "people", params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = UserView, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    no_integrator(&caller)?;
    params.finish()?;
    let found = api.inner.model.user(&id).ok_or_else(|| Refusal::not_found("user-not-found"))?;
    Ok(read(&headers, &*found))
}

/// The user whose token this is.
#[utoipa::path(get, path = "/v1/me", tag = "people", params(("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = UserView, headers(("ETag" = String))), (status = 304, description = "Unchanged")))]
pub(crate) async fn me(caller: Caller, params: Params, headers: HeaderMap) -> Result<Response, Refusal> {
    params.finish()?;
    Ok(read(&headers, &*caller.user))
}

fn no_integrator(caller: &Caller) -> Result<(), Refusal> {
    match caller.user.role {
        Role::Integrator => Err(Refusal::forbidden("An integrator sees no users.")),
        Role::Admin | Role::Supervisor => Ok(()),
    }
}
