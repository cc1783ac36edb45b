//! A stage: the API with a few people, agents, calls and orders, and an engine that answers as a test says.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use engine::view::{
    AgentRef, AgentStatus, AgentView, CallCount, CallDirection, CallState, CallView, Focus, ListenerKind, ListenerRef,
    ListeningState, ListeningView, RequestState, RequestView, Role, UserView,
};
use engine::{Command, Problem, Reply, View};
use jiff::Timestamp;
use medlytt_api::{Api, CommandCall, Credential, Settings, Status};
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::{MemoryStore, Store};
use tokio::sync::mpsc;
use tower::ServiceExt;

pub(crate) struct Stage {
    pub(crate) api: Api,
    pub(crate) router: Router,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) commands: mpsc::Receiver<CommandCall>,
}

pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}: {:?}", self.status, String::from_utf8_lossy(&self.body)))
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
    /// Ids of a list.
    pub(crate) fn ids(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }
    /// A problem in all its parts.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.status);
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:medlytt:problem:{code}"));
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(problem["detail"].is_string());
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        problem
    }
}

/// `TOKEN` of a user is `token-USER`.
pub(crate) fn credential(user: &str) -> Credential {
    Credential {
        user: user.to_owned(),
        token_sha256: Some(Sha256::digest(format!("token-{user}")).into()),
        password_hash: None,
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (sender, commands) = mpsc::channel(4);
        let store = Arc::new(MemoryStore::new());
        let mut credentials: Vec<_> = ["ada", "sue", "sam", "all", "platform", "ghost"].map(credential).into();
        credentials.push(Credential { user: "tokenless".to_owned(), token_sha256: None, password_hash: None });
        let api = Api::new(sender, store.clone() as Arc<dyn Store>, credentials);
        // tests ask faster than anybody may
        api.settings(Settings { burst: 1_000_000, ..Settings::default() });
        api.status(Status {
            ready: true,
            version: "1.2.3".to_owned(),
            sip: vec!["udp:127.0.0.1:5060".to_owned()],
            ..Status::default()
        });
        for (id, role, groups) in [
            ("ada", Role::Admin, None),
            ("sue", Role::Supervisor, Some(vec!["Support"])),
            ("sam", Role::Supervisor, Some(vec!["Support", "Sales"])),
            ("all", Role::Supervisor, None),
            ("platform", Role::Integrator, None),
            ("tokenless", Role::Admin, None),
        ] {
            api.view(View::User(user(id, role, groups)));
        }
        let mut bo = agent("bo", "Bo Lie", "1002", Some("Support"));
        bo.status = AgentStatus::Connected;
        let mut cia = agent("cia", "cia Holm", "1003", Some("Sales"));
        cia.status = AgentStatus::LoggedOff;
        let mut dag = agent("dag", "Dag", "+4721004", None);
        dag.status = AgentStatus::Unknown;
        for agent in [agent("anna", "Anna Berg", "1001", Some("Support")), bo, cia, dag] {
            api.view(View::Agent(agent));
        }
        Self { router: api.router(), api, store, commands }
    }

    /// The same people over another store.
    pub(crate) fn over(&mut self, store: Arc<MemoryStore>) {
        let (sender, commands) = mpsc::channel(4);
        let api = Api::new(sender, store.clone() as Arc<dyn Store>, ["ada", "sue"].map(credential).into());
        api.view(View::User(user("ada", Role::Admin, None)));
        api.view(View::User(user("sue", Role::Supervisor, Some(vec!["Support"]))));
        (self.router, self.api, self.store, self.commands) = (api.router(), api, store, commands);
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Got {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Got { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, who: &str, path: &str) -> Got {
        self.send(request(who, "GET", path, None)).await
    }

    /// A command's request, with the engine's answer; what the engine was asked.
    pub(crate) async fn ask(
        &mut self,
        request: Request<Body>,
        answer: Result<Reply, Problem>,
    ) -> (Got, String, Command) {
        let asked = Mutex::new(None);
        let router = self.router.clone();
        let commands = &mut self.commands;
        let engine = async {
            let call = commands.recv().await.unwrap();
            *asked.lock().unwrap() = Some((call.actor, call.command));
            let _ = call.answer.send(answer);
            std::future::pending::<()>().await;
        };
        let got = async {
            let response = router.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
            Got { status: parts.status, headers: parts.headers, body }
        };
        let got = tokio::select! {
            got = got => got,
            () = engine => unreachable!("the engine never ends"),
        };
        let (actor, command) = asked
            .into_inner()
            .unwrap()
            .unwrap_or_else(|| panic!("no command: {} {}", got.status, String::from_utf8_lossy(&got.body)));
        (got, actor, command)
    }
}

pub(crate) fn request(who: &str, method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    raw(who, method, path, body.map(|body| body.to_string().into_bytes()), &[])
}

pub(crate) fn raw(
    who: &str,
    method: &str,
    path: &str,
    body: Option<Vec<u8>>,
    headers: &[(&str, &str)],
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !who.is_empty() {
        request = request.header("Authorization", format!("Bearer token-{who}"));
    }
    if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request = request.header("Content-Type", "application/json");
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    request.body(body.map_or_else(Body::empty, Body::from)).unwrap()
}

pub(crate) fn refused(status: u16, code: &'static str) -> Problem {
    Problem { status, code, detail: "No.".to_owned(), field: None, related: None, etag: None }
}

pub(crate) fn order() -> Value {
    serde_json::json!({"agent": "anna", "listener": {"user": "sue"}, "calls": 2})
}

pub(crate) fn user(id: &str, role: Role, groups: Option<Vec<&str>>) -> UserView {
    let groups = groups.map(|groups| groups.into_iter().map(str::to_owned).collect());
    UserView {
        id: id.to_owned(),
        name: format!("User {id}"),
        role,
        groups,
        softphone: Some(id.to_owned()),
        registered: true,
    }
}

pub(crate) fn agent(id: &str, name: &str, number: &str, group: Option<&str>) -> AgentView {
    AgentView {
        id: id.to_owned(),
        name: name.to_owned(),
        number: number.to_owned(),
        group: group.map(str::to_owned),
        skills: vec![format!("Skill-{id}")],
        status: AgentStatus::Ready,
        status_since: Timestamp::UNIX_EPOCH,
        registered: true,
        monitorable: true,
        calls: Vec::new(),
    }
}

pub(crate) fn listening(id: &str, ordered_by: &str, state: ListeningState) -> ListeningView {
    ListeningView {
        id: id.to_owned(),
        request: "req_1".to_owned(),
        agent: AgentRef { id: "anna".to_owned(), name: "Anna Berg".to_owned() },
        listener: listener(ordered_by),
        ordered_by: ordered_by.to_owned(),
        call: "call_1".to_owned(),
        caller_number: Some("+4755512345".to_owned()),
        access_number: None,
        queue: None,
        state,
        ringing_at: Some("2026-01-01T10:00:00Z".parse().unwrap()),
        answered_at: None,
        ended_at: None,
        heard_ms: 0,
        counted: false,
        end_reason: None,
        focus: Focus::Talk,
        shielded: false,
        layout: Default::default(),
        gains: Default::default(),
        level_matching: false,
        quality: None,
    }
}

fn listener(user: &str) -> ListenerRef {
    ListenerRef {
        user: Some(user.to_owned()),
        agent: None,
        number: None,
        name: user.to_owned(),
        kind: ListenerKind::Softphone,
    }
}

pub(crate) fn monitoring(id: &str, ordered_by: &str, state: RequestState) -> RequestView {
    RequestView {
        id: id.to_owned(),
        ordered_by: ordered_by.to_owned(),
        agent: AgentRef { id: "anna".to_owned(), name: "Anna Berg".to_owned() },
        listener: listener(ordered_by),
        calls: CallCount { limit: Some(2), used: 0 },
        until: "2026-11-22T16:00:00Z".parse().unwrap(),
        directions: vec![CallDirection::Inbound],
        layout: Default::default(),
        confirm: false,
        state,
        created_at: Timestamp::UNIX_EPOCH,
        ended_at: None,
        warnings: Vec::new(),
    }
}

pub(crate) fn call(id: &str, agent: Option<&str>, state: CallState) -> CallView {
    CallView {
        id: id.to_owned(),
        interaction: "int_1".to_owned(),
        agent: agent.map(str::to_owned),
        direction: CallDirection::Inbound,
        caller_number: Some("+4755512345".to_owned()),
        called_number: Some("1001".to_owned()),
        access_number: None,
        queue: None,
        state,
        held: false,
        shielded: false,
        started_at: Timestamp::UNIX_EPOCH,
        answered_at: None,
        ended_at: None,
        end: None,
        listenings: Vec::new(),
        legs: Vec::new(),
    }
}
