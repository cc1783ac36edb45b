//! The page's player: WHEP, a WebRTC listener leg (SDP offer in, answer out), ICE restart and stop.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use engine::{Command, Reply};

use crate::Api;
use crate::answer::insert;
use crate::auth::Caller;
use crate::command::Patience;
use crate::json::{is_of_type, read_body};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::{Id, Ids};

const SDP: &str = "application/sdp";
/// Of ICE restarts (RFC 8840 section 9).
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A session description, or a fragment of one.
pub(crate) struct Description(String);

impl<S: Send + Sync> FromRequest<S> for Description {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let wanted = if request.method() == axum::http::Method::PATCH { FRAGMENT } else { SDP };
        if !is_of_type(&request, wanted) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                format!("Send the body as `Content-Type: {wanted}`."),
            ));
        }
        let bytes: Bytes = read_body(request, state).await?;
        let text = String::from_utf8(bytes.into());
        text.map(Self).map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "malformed-body", "The body is not UTF-8."))
    }
}

/// Listen in this browser (WHEP): the listening is one of the page and rings, or is live and its player begins anew.
/// Nothing is ever taken from the browser; no microphone is needed.
#[utoipa::path(post, path = "/v1/listenings/{id}/whep", tag = "listenings", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/sdp", description = "SDP offer: one or two audio m-lines (agent, caller), recvonly; Opus (with `stereo=1` for two channels) or PCMU"),
    responses((status = 201, content_type = "application/sdp", body = String, description = "SDP answer", headers(("Location" = String, description = "For ICE restart and stop"))),
        (status = 409, description = "`listening-ended`, or it is not one of the page"), (status = 415), (status = 422, description = "`invalid-offer`"), (status = 503)))]
pub(crate) async fn start(
    State(api): State<Api>,
    caller: Caller,
    Id(listening): Id,
    params: Params,
    Description(offer): Description,
) -> Result<Response, Refusal> {
    caller.may_monitor()?;
    params.finish()?;
    let command = Command::Whep { listening: listening.clone(), offer };
    let Reply::Whep { session, body } = api.command(&caller, command, Patience::Client).await? else {
        return Err(Refusal::internal("a player without an answer"));
    };
    let mut response = (StatusCode::CREATED, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert("accept-patch", HeaderValue::from_static(FRAGMENT));
    insert(headers, header::LOCATION, &format!("/v1/listenings/{listening}/whep/{session}"));
    Ok(response)
}

/// ICE restart of a player whose network has changed. A fragment with candidates alone needs no answer: the engine's
/// side waits for the browser's checks (ICE-lite).
#[utoipa::path(patch, path = "/v1/listenings/{id}/whep/{session}", tag = "listenings",
    params(("id" = String, Path), ("session" = String, Path)),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag", description = "RFC 8840: `a=ice-ufrag` and `a=ice-pwd`, candidates"),
    responses((status = 200, content_type = "application/trickle-ice-sdpfrag", body = String, description = "The engine's own user fragment, password and candidates"),
        (status = 204, description = "Nothing to answer"), (status = 415), (status = 422, description = "`invalid-offer`")))]
pub(crate) async fn restart(
    State(api): State<Api>,
    caller: Caller,
    Ids([listening, session]): Ids,
    params: Params,
    Description(fragment): Description,
) -> Result<Response, Refusal> {
    caller.may_monitor()?;
    params.finish()?;
    if !fragment.contains("a=ice-ufrag:") {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let command = Command::WhepRestart { listening, session, fragment };
    let Reply::Whep { body, .. } = api.command(&caller, command, Patience::Client).await? else {
        return Err(Refusal::internal("a player without an answer"));
    };
    if body.is_empty() {
        // the credentials are those that it has
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let mut response = Body::from(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    Ok(response)
}

/// Stop listening in this browser: the listening ends with `listener-hung-up`.
#[utoipa::path(delete, path = "/v1/listenings/{id}/whep/{session}", tag = "listenings",
    params(("id" = String, Path), ("session" = String, Path)), responses((status = 204, description = "Stopped")))]
pub(crate) async fn stop(
    State(api): State<Api>,
    caller: Caller,
    Ids([listening, session]): Ids,
    params: Params,
) -> Result<StatusCode, Refusal> {
    caller.may_monitor()?;
    params.finish()?;
    api.command(&caller, Command::WhepStop { listening, session }, Patience::Client).await?;
    Ok(StatusCode::NO_CONTENT)
}
