//! Many agents at once: what a platform sends every night. One write of the store, one result for each.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use engine::{AgentChange, Command, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::answer::Answer;
use crate::auth::Caller;
use crate::command::Patience;
use crate::json::{BULK_MAX, Fields, JsonBody};
use crate::params::Params;
use crate::problem::{Refusal, title};
use crate::routes::agents::read_change;

/// Agents of one body at most.
pub(crate) const AGENTS_MAX: usize = 1000;

/// Agents to put.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
#[schema(example = json!({"agents": [{"id": "kushen", "name": "Henrik Kusoa", "number": "1001", "group": "Support", "skills": ["Sales"]}]}))]
pub(crate) struct BulkBody {
    /// Judged in this order, each as if those before it were done.
    #[schema(max_items = 1000)]
    agents: Vec<BulkAgentBody>,
}

/// One of them. What is left out stays as it is; a new agent needs name and number.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the document's shape")]
pub(crate) struct BulkAgentBody {
    /// Stable id.
    #[schema(min_length = 1, max_length = 128)]
    id: String,
    /// Name.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// What the platform dials.
    #[schema(min_length = 1, max_length = 128)]
    number: Option<String>,
    /// User group.
    #[schema(min_length = 1, max_length = 128)]
    group: Option<String>,
    /// Skills.
    #[schema(max_items = 100)]
    skills: Option<Vec<String>>,
    /// May be listened to.
    monitorable: Option<bool>,
    /// Fixed contact, `sip:user@IP:port`.
    contact: Option<String>,
    /// Encrypted media: `off`, `offer` or `require`.
    srtp: Option<crate::routes::agents::SrtpPolicy>,
}

/// What became of each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResults {
    /// In the order of the body.
    results: Vec<BulkResult>,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResult {
    /// Its id.
    id: String,
    /// 201: it is new; 200: it is as it was sent; else as in `problem`.
    status: u16,
    /// Why it was not put.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<BulkProblem>,
}

/// Why one was not put.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkProblem {
    /// `urn:medlytt:problem:CODE`.
    #[serde(rename = "type")]
    kind: String,
    /// The code in words.
    title: String,
    /// As an HTTP status.
    status: u16,
    /// Stable code for programs.
    code: String,
    /// What was wrong, for people.
    detail: String,
    /// The field of the agent that was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
}

/// Its body may be larger than others.
pub(crate) fn route() -> MethodRouter<Api> {
    post(put).layer(DefaultBodyLimit::max(BULK_MAX))
}

/// Put up to 1000 agents into the directory, or change them (integrator, admin). All that is good is written at once;
/// what is not says why. Sent again it changes nothing.
#[utoipa::path(post, path = "/v1/agents/bulk", tag = "agents", request_body = BulkBody,
    params(("dry_run" = Option<bool>, Query, description = "Only check: nothing is kept"),
        ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = BulkResults, description = "One result for each agent, in their order")))]
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller,
    mut params: Params,
    uri: Uri,
    headers: HeaderMap,
    mut body: JsonBody,
) -> Result<Response, Refusal> {
    let dry_run = params.flag("dry_run")?.unwrap_or(false);
    params.finish()?;
    let missing = || Refusal::invalid("agents", "This field is required.");
    let entries = body.fields.objects("agents", AGENTS_MAX)?.ok_or_else(missing)?;
    body.fields.finish()?;
    let agents = entries.into_iter().map(read_agent).collect::<Result<Vec<_>, _>>()?;
    let what: [&[u8]; 2] = [uri.path_and_query().map_or("", |path| path.as_str()).as_bytes(), &body.bytes];
    let (user, there) = (caller.user.id.clone(), api.clone());
    let patience = if headers.contains_key("idempotency-key") { Patience::Key } else { Patience::Client };
    // Its key is kept in memory alone: after a restart it is carried out again, which changes nothing.
    let work = async move |_| {
        let reply = api.command(&caller, Command::PutAgents { agents, dry_run }, patience).await;
        reply.map_or_else(Answer::Refused, |reply| api.answer(&caller, reply))
    };
    there.once(&user, &headers, &what, work).await
}

/// The engine's results as they are answered.
pub(crate) fn answer(results: Vec<(String, Result<bool, Problem>)>) -> Answer {
    let results = results.into_iter().map(|(id, result)| match result {
        Ok(is_new) => BulkResult { id, status: if is_new { 201 } else { 200 }, problem: None },
        Err(problem) => BulkResult {
            id,
            status: problem.status,
            problem: Some(BulkProblem {
                kind: format!("urn:medlytt:problem:{}", problem.code),
                title: title(problem.code),
                status: problem.status,
                code: problem.code.to_owned(),
                detail: problem.detail,
                field: problem.field.map(str::to_owned),
            }),
        },
    });
    Answer::plain(&BulkResults { results: results.collect() })
}

/// A field of the wrong type spoils the whole body: whoever sends it has a fault in its program.
fn read_agent(mut fields: Fields) -> Result<(String, AgentChange), Refusal> {
    let id = fields.required_text("id")?;
    let change = read_change(&mut fields)?;
    fields.finish()?;
    Ok((id, change))
}
