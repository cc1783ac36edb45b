//! The corpus of `tests/vectors/http` against the real binary: every request gets a verdict that the index allows, and what the
//! index says must hold is looked at, while a call goes on that somebody hears. `MEDLYTT_VECTORS` names another folder of the
//! same form.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use phone::{Settings, Voice};
use serde_json::{Value, json};

use medlytt_stories::rig::engine::{Setup, TOKEN, until};
use medlytt_stories::rig::lines::Jack;
use medlytt_stories::rig::scene::{Monitored, Scene};
use medlytt_stories::rig::wire::{self, Reply};

use super::hostile::Health;

const SUP1: &str = "vector-sup1";
const SUP2: &str = "vector-sup2";
const INTEGRATOR: &str = "vector-integrator";
const USERS: &str = r#"
[[user]]
id = "sup1"
name = "Sup One"
role = "supervisor"
groups = ["Support"]
listener_numbers = ["+47"]
token_hash = "sha256:514f4afbe24c6b98f6b98202ca5c13cbdea71e8cd34174fe13838fee5780d5d8"
softphone = "sup1"
contact = "sip:sup1@SUP1"

[[user]]
id = "sup2"
name = "Sup Two"
role = "supervisor"
groups = ["Sales"]
token_hash = "sha256:ec3eb144cca163e09ae3ade2b865d5483f7b62c13f22e3c1971a9e24f51cddee"
softphone = "sup2"
contact = "sip:sup2@SUP2"

[[user]]
id = "crm"
name = "CRM"
role = "integrator"
token_hash = "sha256:50eb8fad453d5c9b641a57c2d52298ca57a9815588cdc77ba2bd1a69987f5bc4"

[[agent]]
id = "bert"
name = "Bert"
number = "8001"
contact = "sip:bert@127.0.0.3:9"
group = "Sales"

[[agent]]
id = "doctor"
name = "Doctor"
number = "7009"
contact = "sip:doctor@127.0.0.3:9"
group = "Support"
monitorable = false

[webhooks]
allow_http = true
allow = ["127.0.0.5/32"]
timeout = "1s"
"#;
/// A user's requests at once: all that this test asks, and less than the burst that ends it.
const LIMITS: &str = "rate = 5\nburst = 1200\n";
const BURST: usize = 1_300;
const BURST_THREADS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(8);
/// Nobody waits for these entries: they are written soon.
const TRAIL: Duration = Duration::from_secs(10);
/// What is said to be the body of `json-huge`, and how much of it is sent.
const HUGE: usize = 20_000_000;
const HUGE_SENT: usize = 1_000_000;
/// What one refused body may cost.
const HUGE_KB: u64 = 4 * 1024;

/// One entry of the index.
struct Vector {
    id: String,
    file: PathBuf,
    verdict: String,
    status: Vec<u16>,
    invariants: Vec<String>,
}

/// The engine with a monitored call, and those whom nothing may reach.
struct Stand {
    scene: Scene,
    call: Monitored,
    sup1: usize,
    traps: Traps,
    words: Vec<(&'static str, String)>,
}

#[test]
fn every_vector_gets_its_verdict() {
    let vectors = vectors();
    let stand = Stand::new();
    let mut health = Health::of(&stand.scene.engine);
    let (from, mut wrong, mut seen) = (Instant::now(), Vec::new(), BTreeMap::<String, usize>::new());
    for vector in &vectors {
        let (before, reply) = (stand.state(), stand.send(vector));
        *seen.entry(format!("{} {}", vector.verdict, reply.status)).or_default() += 1;
        if !vector.status.contains(&reply.status) {
            wrong.push(format!("{}: {} {}, wanted {:?}", vector.id, reply.status, reply.body, vector.status));
        }
        wrong.extend(vector.invariants.iter().filter_map(|invariant| {
            let fault = stand.fault(vector, invariant, &before, &reply)?;
            Some(format!("{}: {invariant}: {fault}", vector.id))
        }));
        stand.tidy();
        health.assert_alive(&vector.id);
    }
    println!("{} vectors: {seen:?}", vectors.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (who, quality) in
        ["caller", "agent", "listener"].into_iter().zip(stand.scene.assert_heard(&stand.call, from, Instant::now()))
    {
        assert!(quality.lost * 100 <= quality.packets, "the {who} lost packets: {quality:?}");
    }
    stand.scene.hang_up(&stand.call);
    health.assert_whole(&stand.scene.engine);
    stand.assert_nothing_secret_logged();
}

fn vectors() -> Vec<Vector> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let folder = std::env::var_os("MEDLYTT_VECTORS").map_or(own, PathBuf::from);
    let index: Value =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).expect("an index")).expect("JSON");
    let http = index["vectors"].as_array().expect("vectors").iter().filter(|vector| vector["transport"] == "http");
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    let mut vectors: Vec<Vector> = http
        .map(|vector| Vector {
            id: vector["id"].as_str().expect("an id").to_owned(),
            file: folder.join(vector["file"].as_str().expect("a file")),
            verdict: vector["expected"]["verdict"].as_str().expect("a verdict").to_owned(),
            status: vector["expected"]["status"].as_array().expect("statuses").iter().map(status).collect(),
            invariants: texts(&vector["expected"]["invariants"]),
        })
        .collect();
    assert!(vectors.len() >= 34, "only {} vectors", vectors.len());
    // the burst leaves nothing of the user's allowance
    vectors.sort_by_key(|vector| vector.id == "http.order-burst");
    vectors
}

fn status(value: &Value) -> u16 {
    value.as_u64().and_then(|status| status.try_into().ok()).expect("a status")
}

impl Stand {
    fn new() -> Self {
        let [sup1, sup2] = ["127.0.0.6", "127.0.0.7"].map(Jack::new);
        let traps = Traps::set();
        let parties = USERS.replace("SUP1", &sup1.address.to_string()).replace("SUP2", &sup2.address.to_string());
        let setup = Setup { parties: &parties, anna: "group = \"Support\"", api: LIMITS, ..Setup::default() };
        let scene = Scene::new("http-vectors", &setup);
        let proxy = scene.engine.sip.parse().expect("an address");
        let [sup1, _] = [("sup1", sup1), ("sup2", sup2)].map(|(user, jack)| {
            let settings =
                Settings { voice: Voice::Silent, ..Settings::new(user, "medlytt.test", jack.address, proxy) };
            scene.lines.plug(jack, settings)
        });
        let call = scene.monitored_call();
        let words = words(&scene.engine.api, &traps);
        Self { scene, call, sup1, traps, words }
    }

    fn send(&self, vector: &Vector) -> Reply {
        if vector.id == "http.json-huge" {
            return self.send_huge();
        }
        let text = std::fs::read_to_string(&vector.file).unwrap_or_else(|error| panic!("{}: {error}", vector.id));
        let spec: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", vector.id));
        let fill =
            |text: &str| self.words.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let body = match (spec["raw_body"].as_str(), &spec["json"]) {
            (Some(raw), _) => Some(fill(&in_our_words(raw))),
            (None, Value::Null) => None,
            (None, json) => Some(fill(&ordered(json).to_string())),
        };
        let headers = spec["headers"].as_object().expect("headers").iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.clone(), fill(value.as_str().expect("text")))).collect();
        let path = match spec["path"].as_str().expect("a path") {
            path if path.starts_with("/audit") => format!("/v1{path}"),
            path => fill(path),
        };
        let method = spec["method"].as_str().expect("a method");
        let bytes = wire::request(method, &path, &headers, body.as_deref());
        let send = || wire::exchange(&self.scene.engine.api, &bytes, PATIENCE);
        match vector.id.as_str() {
            "http.replay-idempotency" => {
                let (first, second) = (send(), send());
                assert_eq!(first.json()["id"], second.json()["id"], "the first answer again: {second:?}");
                second
            }
            "http.order-burst" => self.burst(&send),
            _ => send(),
        }
    }

    /// The head of a body that never ends, and no more of it than anybody should want to read.
    fn send_huge(&self) -> Reply {
        let headers = [
            ("Authorization".to_owned(), format!("Bearer {SUP1}")),
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("Content-Length".to_owned(), HUGE.to_string()),
        ];
        let body = "{\"agent\":\"".to_owned() + &"a".repeat(HUGE_SENT);
        let before = self.scene.engine.resident_kb();
        let reply = wire::exchange(
            &self.scene.engine.api,
            &wire::request("POST", "/v1/requests", &headers, Some(&body)),
            PATIENCE,
        );
        let grown = self.scene.engine.resident_kb().saturating_sub(before);
        assert!(grown <= HUGE_KB, "a body that is refused cost {grown} kB");
        reply
    }

    /// One order stands, whoever else asks at the same moment, and there is a limit.
    fn burst(&self, send: &(dyn Fn() -> Reply + Sync)) -> Reply {
        let replies: Vec<Reply> = std::thread::scope(|scope| {
            let some = || (0..BURST / BURST_THREADS).map(|_| send()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..BURST_THREADS).map(|_| scope.spawn(some)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("it sends")).collect()
        });
        let count = |status| replies.iter().filter(|reply| reply.status == status).count();
        assert_eq!(count(201), 1, "one order stands");
        assert!(count(429) > 0, "the limit was never reached");
        assert_eq!(count(201) + count(409) + count(429), replies.len());
        let last = replies.into_iter().find(|reply| reply.status == 429).expect("one");
        assert!(last.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{last:?}");
        last
    }

    /// Calls that sup1's phone ever had.
    fn legs(&self) -> usize {
        self.scene.lines.look(self.sup1, |phone| phone.calls().count())
    }

    fn state(&self) -> State {
        let listenings = self.scene.engine.client().all("/v1/listenings").len();
        let requests = self.scene.engine.client().all("/v1/requests").len();
        State { legs: self.legs(), listenings, requests }
    }

    /// What is wrong with an invariant; one that nobody knows is wrong, too.
    fn fault(&self, vector: &Vector, invariant: &str, before: &State, reply: &Reply) -> Option<String> {
        let refused = reply.status >= 400;
        let kept = |what: &str, before: usize, now: usize| {
            (before != now).then(|| format!("{what}: {before} before, {now} now"))
        };
        match invariant {
            // an order that was taken may ring; one that was not leaves nothing
            "no SIP leg started" if refused => {
                let now = self.state();
                kept("legs", before.legs, now.legs).or(kept("listenings", before.listenings, now.listenings)).or(kept(
                    "requests",
                    before.requests,
                    now.requests,
                ))
            }
            "no SIP leg started" => None,
            // who shows nothing at all tries nothing: a figure counts them
            "audit record written" if ["http.no-token", "http.token-in-query"].contains(&vector.id.as_str()) => None,
            // what is badly written says nothing about anybody: the trail has those who were turned away
            "audit record written" if [401, 403].contains(&reply.status) => self.unrecorded(reply),
            "audit record written" => None,
            "exactly one listener leg" => {
                until("sup1's phone is called", PATIENCE, || self.legs() > before.legs);
                kept("legs", before.legs + 1, self.legs())
            }
            "listener legs <= configured cap" => (self.legs() > before.legs + 1).then(|| "more than one".to_owned()),
            "429 after the limit" => (reply.status != 429).then(|| "it was never said".to_owned()),
            "no phone number, no SIP URI in the body" => {
                let told = ["sip:", "+47", "anna", "Anna", "7001"].into_iter().find(|text| reply.body.contains(text));
                told.map(|text| format!("it has {text}"))
            }
            "no packet to the address" | "no header injected in the INVITE" => {
                let caught = self.traps.caught.load(Ordering::SeqCst);
                let now = self.legs();
                (caught > 0 || now != before.legs).then(|| format!("{caught} packets, {now} legs"))
            }
            // a name is only looked up for a webhook; what it leads to is not connected to (the traps)
            "refused before DNS or after DNS with the resolved address pinned (rebinding)" => {
                (!refused && !vector.id.starts_with("http.webhook")).then(|| "it was taken".to_owned())
            }
            // one call goes on through all of it and is measured at the end
            "call path unaffected" | "calls unaffected" => {
                let calls = self.scene.engine.get("/v1/calls")["items"].as_array().map_or(0, Vec::len);
                kept("calls", 1, calls)
            }
            "a test event is not delivered" => self.delivered(reply),
            "no link built from Host" => reply.body.contains("evil.invalid").then(|| reply.body.clone()),
            "no CORS header" => {
                let cors = reply.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
                cors.map(|header| format!("{header:?}"))
            }
            "nothing deleted" => kept("requests", before.requests, self.state().requests).or_else(|| {
                let foreign = self.scene.engine.get("/v1/requests?ordered_by=sup2");
                (foreign["items"][0]["state"] != "waiting").then(|| foreign.to_string())
            }),
            "rejected before 1 MiB is buffered" => None,
            page if page.starts_with("CSP frame-ancestors 'none'") => unprotected(reply),
            unknown => Some(format!("nobody knows {unknown}")),
        }
    }

    /// The trail gets a denial or a failed sign-in; more of one actor in the same minute come as a count.
    fn unrecorded(&self, reply: &Reply) -> Option<String> {
        let action = if reply.status == 401 { "sign-in-failed" } else { "denied" };
        let end = Instant::now() + TRAIL;
        loop {
            let entries = self.scene.engine.get(&format!("/v1/audit?limit=1&action={action}"));
            let at = entries["items"][0]["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
            if at.is_some_and(|at| jiff::Timestamp::now().duration_since(at).as_secs() < 61) {
                return None;
            }
            if Instant::now() > end {
                return Some(format!("no {action} in the trail: {entries}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether a webhook that could be made also reaches its endpoint; it is deleted.
    fn delivered(&self, made: &Reply) -> Option<String> {
        let hook = format!("/v1/webhooks/{}", made.json()["id"].as_str().expect("an id"));
        let send = |method, path: &str| self.scene.engine.client().send(method, path, None, None).expect("an answer");
        let tested = send("POST", &format!("{hook}/test"));
        assert_eq!(send("DELETE", &hook).status, 204);
        (tested.body["delivered"] != false).then(|| tested.body.to_string())
    }

    /// Orders that were taken do not stand in the way of the next.
    fn tidy(&self) {
        for request in self.scene.engine.client().all("/v1/requests?state=active&ordered_by=sup1") {
            let id = request["id"].as_str().expect("an id");
            self.scene.engine.client().send("DELETE", &format!("/v1/requests/{id}"), None, None).expect("an answer");
            until("sup1's phone is on the hook", PATIENCE, || self.scene.lines.live(self.sup1).is_empty());
        }
    }

    fn assert_nothing_secret_logged(&self) {
        let log = self.scene.engine.log();
        let cookie = self.words.iter().find(|(name, _)| *name == "{SESSION_COOKIE}").map_or("", |(_, cookie)| cookie);
        let cookie = cookie.split_once('=').map_or(cookie, |(_, secret)| secret);
        for secret in [SUP1, SUP2, INTEGRATOR, TOKEN, cookie] {
            assert!(!log.contains(secret), "a secret in the log: {secret}");
        }
        assert!(!log.contains("X-Injected") && !log.contains("evil.invalid"), "what strangers wrote is in the log");
    }
}

/// What a refused request must leave as it was.
#[derive(Debug)]
struct State {
    legs: usize,
    listenings: usize,
    requests: usize,
}

/// What stands in the vectors for what only a running engine has.
fn words(api: &str, traps: &Traps) -> Vec<(&'static str, String)> {
    let send = |token: &str, method: &str, path: &str, body: &Value| {
        let header = |name: &str, value: String| (name.to_owned(), value);
        let headers =
            [header("Authorization", format!("Bearer {token}")), header("Content-Type", "application/json".to_owned())];
        let reply = wire::exchange(api, &wire::request(method, path, &headers, Some(&body.to_string())), PATIENCE);
        assert_eq!(reply.status, 201, "{method} {path}: {}", reply.body);
        reply
    };
    let foreign =
        send(SUP2, "POST", "/v1/requests", &json!({"agent": "bert", "listener": {"user": "sup2"}, "calls": 1}));
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    let short = json!({"name": "short", "user": "sup1", "expires_at": soon.to_string()});
    let expired = send(TOKEN, "POST", "/v1/tokens", &short).json();
    let expired = expired["token"].as_str().expect("a token").to_owned();
    let session = send(SUP1, "POST", "/v1/session", &json!({"token": SUP1}));
    let cookie = session.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    until("a token has expired", PATIENCE, || jiff::Timestamp::now() > soon);
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    vec![
        ("{LISTEN}", "/v1/requests".to_owned()),
        ("{LIST}", "/v1/requests".to_owned()),
        ("{PAGE}", "/".to_owned()),
        ("{WEBHOOK}", "/v1/webhooks".to_owned()),
        ("{HOST}", "127.0.0.1".to_owned()),
        ("{AGENT}", "anna".to_owned()),
        ("{AGENT_FOREIGN}", "bert".to_owned()),
        ("{AGENT_DND_MONITOR}", "doctor".to_owned()),
        ("{TOKEN_SUP1}", SUP1.to_owned()),
        // nobody has the role of an agent here; an integrator may order as little
        ("{TOKEN_AGENT}", INTEGRATOR.to_owned()),
        ("{TOKEN_INTEGRATOR}", INTEGRATOR.to_owned()),
        ("{TOKEN_EXPIRED}", expired),
        ("{ID_OF_SUP2}", text(&foreign.json()["id"])),
        ("{SESSION_COOKIE}", cookie),
        ("{CSRF}", text(&session.json()["csrf"])),
        ("{TEST_SERVER}", traps.server.to_string()),
    ]
}

/// An order of the vectors as this API has it: ids for URIs of ours, what is none of ours as a number to be called, one call.
fn ordered(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(agent) = body["agent"].as_str() {
        body["agent"] = match agent {
            "sip:7001@127.0.0.1" => json!("{AGENT}"),
            "sip:8001@127.0.0.1" => json!("{AGENT_FOREIGN}"),
            other => json!(other),
        };
    }
    if let Some(listener) = body["listener"].as_str() {
        body["listener"] = match listener {
            "sip:sup1@127.0.0.1" => json!({"user": "sup1"}),
            "sip:sup2@127.0.0.1" => json!({"user": "sup2"}),
            other => json!({ "number": other }),
        };
    }
    if body["listener"].is_object() && body["calls"].is_null() {
        body["calls"] = json!(1);
    }
    body
}

fn in_our_words(raw: &str) -> String {
    raw.replace("\"sip:sup1@127.0.0.1\"", "{\"user\":\"sup1\"}")
        .replace("sip:7001@127.0.0.1", "{AGENT}")
        .replace("sip:8001@127.0.0.1", "{AGENT_FOREIGN}")
}

fn unprotected(reply: &Reply) -> Option<String> {
    let policy = reply.header("content-security-policy");
    let whole = policy.contains("frame-ancestors 'none'")
        && policy.contains("default-src")
        && !policy.contains("unsafe")
        && reply.header("x-content-type-options") == "nosniff"
        && !reply.body.contains("<script>")
        && !reply.body.contains("style=");
    (!whole).then(|| format!("{:?}", reply.headers))
}

/// Places that the vectors name on this machine, where nothing may arrive, and a server for webhooks that leads to one.
struct Traps {
    caught: Arc<AtomicUsize>,
    server: SocketAddr,
}

impl Traps {
    fn set() -> Self {
        let caught = Arc::new(AtomicUsize::new(0));
        // whoever has such a port already keeps it: then this machine's own service is the one that hears nothing of it
        if let Ok(sip) = UdpSocket::bind("127.0.0.1:5060") {
            let caught = Arc::clone(&caught);
            std::thread::spawn(move || {
                while sip.recv(&mut [0; 2048]).is_ok_and(|_| caught.fetch_add(1, Ordering::SeqCst) < 1000) {}
            });
        }
        for address in ["[::1]:6379", "127.0.0.1:6379"] {
            if let Ok(listener) = TcpListener::bind(address) {
                let caught = Arc::clone(&caught);
                std::thread::spawn(move || {
                    for _ in listener.incoming() {
                        caught.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        }
        let server = TcpListener::bind("127.0.0.5:0").expect("a loopback address");
        let address = server.local_addr().expect("it is bound");
        std::thread::spawn(move || server.incoming().flatten().for_each(serve));
        Self { caught, server: address }
    }
}

/// `/302-to-127.0.0.1` sends elsewhere, `/slow-60s` never says anything.
fn serve(mut stream: std::net::TcpStream) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap_or(0);
        if String::from_utf8_lossy(&buffer[..length]).contains("/slow-60s") {
            std::thread::park_timeout(Duration::from_secs(60));
        }
        let _ =
            stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:6379/\r\nContent-Length: 0\r\n\r\n");
    });
}
