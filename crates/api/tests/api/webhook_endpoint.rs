//! An endpoint for webhooks: a real HTTP server on loopback that does what a test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use medlytt_api::{Network, WebhookSettings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::stage::{Got, Stage, request};

/// What came.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Post {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
    pub(crate) fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }
    /// Whether this secret signed it, as another implementation of the standard sees it.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        standardwebhooks::Webhook::new(secret).unwrap().verify(self.body.as_bytes(), &self.headers).is_ok()
    }
}

/// What it does with the next ones.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Answers(u16),
    RedirectsTo(String),
    /// No answer at all.
    Waits,
    /// 200 and a body without an end.
    Floods,
}

pub(crate) struct Endpoint {
    pub(crate) at: SocketAddr,
    posts: mpsc::UnboundedReceiver<Post>,
    does: Arc<Mutex<Does>>,
}

type There = (mpsc::UnboundedSender<Post>, Arc<Mutex<Does>>);

impl Endpoint {
    pub(crate) async fn new(does: Does) -> Self {
        let (sender, posts) = mpsc::unbounded_channel();
        let does = Arc::new(Mutex::new(does));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let router = Self::router((sender, Arc::clone(&does)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { at, posts, does }
    }

    fn router(there: There) -> Router {
        Router::new().fallback(take).with_state(there)
    }

    pub(crate) fn does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.at)
    }

    pub(crate) async fn next(&mut self) -> Post {
        tokio::time::timeout(Duration::from_secs(20), self.posts.recv()).await.unwrap().unwrap()
    }

    pub(crate) fn has_more(&mut self) -> bool {
        self.posts.try_recv().is_ok()
    }
}

async fn take(State((sender, does)): State<There>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let _ = sender.send(Post { path: uri.to_string(), headers, body });
    let does = does.lock().unwrap().clone();
    match does {
        Does::Answers(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Does::RedirectsTo(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
        Does::Waits => std::future::pending().await,
        Does::Floods => {
            let chunk = || async { Some((Ok::<_, std::convert::Infallible>(vec![b'x'; 4096]), ())) };
            Body::from_stream(futures_util::stream::unfold((), move |()| chunk())).into_response()
        }
    }
}

/// Loopback and plain http are allowed; little patience.
pub(crate) fn local() -> WebhookSettings {
    WebhookSettings {
        allow_http: true,
        allow: vec![Network { address: [127, 0, 0, 1].into(), prefix: 32 }],
        timeout: Duration::from_secs(2),
        ..WebhookSettings::default()
    }
}

/// A stage whose webhooks may go to loopback, and that sends them.
pub(crate) fn sending() -> Stage {
    let stage = Stage::new();
    stage.api.webhook_settings(local());
    send(&stage);
    stage
}

pub(crate) fn send(stage: &Stage) {
    let api = stage.api.clone();
    tokio::spawn(async move { api.send_webhooks().await });
}

/// The webhook with its secret.
pub(crate) async fn make(stage: &Stage, who: &str, url: &str, more: Value) -> Value {
    let mut body = json!({"url": url});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = stage.send(request(who, "POST", "/v1/webhooks", Some(body))).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    made.json()
}

pub(crate) fn path(hook: &Value, rest: &str) -> String {
    format!("/v1/webhooks/{}{rest}", hook["id"].as_str().unwrap())
}

pub(crate) async fn post(stage: &Stage, who: &str, path: &str, body: Option<Value>) -> Got {
    stage.send(request(who, "POST", path, body)).await
}

/// The only delivery, once it is as wanted.
pub(crate) async fn delivery(stage: &Stage, hook: &Value, is_wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let list = stage.get("ada", &path(hook, "/deliveries")).await.json();
        if let [one] = list["items"].as_array().unwrap().as_slice()
            && is_wanted(one)
        {
            return one.clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", stage.get("ada", &path(hook, "/deliveries")).await.json());
}
