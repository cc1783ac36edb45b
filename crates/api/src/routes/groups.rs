//! User groups and skills, as the directory has them: for filters and menus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engine::view::{AgentStatus, AgentView};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;
use crate::auth::Caller;
use crate::paging::{List, Named, by_name};
use crate::params::Params;
use crate::problem::Refusal;
use crate::routes::agents::is_logged_on;

/// A group or a skill, with how many of the agents that the caller may see have it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CountedName {
    /// As agents have it.
    name: String,
    /// Agents.
    agents: usize,
    /// Of them logged on.
    logged_on: usize,
    /// Of them in a call.
    connected: usize,
}

impl Named for CountedName {
    fn key(&self) -> (String, &str) {
        (self.name.to_lowercase(), &self.name)
    }
}

/// User groups of the agents that one may see, by name.
#[utoipa::path(get, path = "/v1/groups", tag = "agents",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<CountedName>)))]
pub(crate) async fn groups(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Arc<CountedName>>>, Refusal> {
    list("groups", &api, &caller, params, |agent| agent.group.as_slice())
}

/// Skills of the agents that one may see, by name.
#[utoipa::path(get, path = "/v1/skills", tag = "agents",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<CountedName>)))]
pub(crate) async fn skills(
    State(api): State<Api>,
    caller: Caller,
    params: Params,
) -> Result<Json<List<Arc<CountedName>>>, Refusal> {
    list("skills", &api, &caller, params, |agent| &agent.skills)
}

fn list(
    kind: &str,
    api: &Api,
    caller: &Caller,
    mut params: Params,
    names: impl Fn(&AgentView) -> &[String],
) -> Result<Json<List<Arc<CountedName>>>, Refusal> {
    let page = params.page()?;
    params.finish()?;
    let mut counts: BTreeMap<String, CountedName> = BTreeMap::new();
    for agent in api.inner.model.agents().iter().filter(|agent| api.inner.model.sees_agent(caller, agent)) {
        for name in names(agent).iter().collect::<BTreeSet<_>>() {
            let blank = || CountedName { name: name.clone(), agents: 0, logged_on: 0, connected: 0 };
            let count = counts.entry(name.clone()).or_insert_with(blank);
            count.agents += 1;
            count.logged_on += usize::from(is_logged_on(agent));
            count.connected += usize::from(agent.status == AgentStatus::Connected);
        }
    }
    Ok(Json(by_name(kind, counts.into_values().map(Arc::new).collect(), &page)?))
}
