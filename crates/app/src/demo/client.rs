//! The demo's own orders, over HTTP like anybody's.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client of the control API.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    token: String,
}

impl Client {
    pub(crate) fn new(api: SocketAddr, token: String) -> Self {
        Self { base: format!("http://{api}/v1"), token }
    }

    /// Where the API is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The player page's address, with the token that signs in: what follows `#` is never sent to a server.
    pub(crate) fn page(&self) -> String {
        format!("{}/#{}", self.base.trim_end_matches("/v1"), self.token)
    }

    /// What a person types to order.
    pub(crate) fn curl(&self, agent: &str) -> String {
        format!(
            "curl -s {}/requests -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' -d '{}'",
            self.base,
            self.token,
            order(agent)
        )
    }

    /// Orders the next or present call of an agent for Lisa; gives the request's id.
    pub(crate) async fn order(&self, agent: &str) -> Result<String, String> {
        let request = self.ask(Some(order(agent)), "/requests").await?;
        id(&request).ok_or_else(|| format!("an order without an id: {request}"))
    }

    /// Why the newest listening of an agent ended, if it has.
    pub(crate) async fn end_reason(&self, request: &str) -> Result<Option<String>, String> {
        let list = self.ask(None, "/listenings").await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let mine = items.iter().find(|l| l["request"] == request);
        Ok(mine.and_then(|l| l["end_reason"].as_str()).map(str::to_owned))
    }

    async fn ask(&self, body: Option<Value>, path: &str) -> Result<Value, String> {
        let (url, token) = (format!("{}{path}", self.base), format!("Bearer {}", self.token));
        let asked = tokio::task::spawn_blocking(move || {
            let agent = ureq::Agent::config_builder()
                .timeout_global(Some(PATIENCE))
                .http_status_as_error(false)
                .build()
                .new_agent();
            let answer = match body {
                Some(body) => agent.post(&url).header("Authorization", &token).send_json(&body),
                None => agent.get(&url).header("Authorization", &token).call(),
            };
            let mut answer = answer.map_err(|error| format!("{url}: {error}"))?;
            let status = answer.status();
            let value: Value = answer.body_mut().read_json().map_err(|error| format!("{url}: {status}: {error}"))?;
            if status.is_success() { Ok(value) } else { Err(format!("{url}: {status}: {value}")) }
        });
        asked.await.map_err(|error| error.to_string())?
    }
}

fn order(agent: &str) -> Value {
    json!({"agent": agent, "listener": {"user": "lisa"}, "calls": 1})
}

fn id(value: &Value) -> Option<String> {
    value["id"].as_str().map(str::to_owned)
}
