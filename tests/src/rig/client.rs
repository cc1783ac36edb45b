//! The control API, as a client that is told every status and is not surprised by an engine that has just died.

use std::time::Duration;

use serde_json::Value;

use super::engine::TOKEN;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    /// `Idempotent-Replayed` was there.
    pub replayed: bool,
}

impl Answer {
    /// The problem's code, or empty.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A client of its own connections. The admin's token.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

impl Client {
    pub fn new(api: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self { base: format!("http://{api}"), agent }
    }

    /// `None`: no answer came, and nobody knows what was done.
    pub fn send(&self, method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> Option<Answer> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("Authorization", format!("Bearer {TOKEN}"));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = match body {
            Some(body) => {
                self.agent.run(request.header("Content-Type", "application/json").body(body.to_string()).unwrap())
            }
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let replayed = answer.headers().contains_key("idempotent-replayed");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(Answer { status: answer.status().as_u16(), body, replayed })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, None).unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, None, Some(body)).unwrap_or_else(|| panic!("no answer to POST {path}"))
    }

    /// Every item of a list, page by page.
    pub fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        let join = if path.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&format!("{path}{join}limit=200{cursor}")).body;
            items.extend(page["items"].as_array().cloned().unwrap_or_else(|| panic!("{path}: {page}")));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }
}
