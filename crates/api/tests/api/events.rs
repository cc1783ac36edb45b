//! Server-sent events: resume, rights, keep-alives, slow and too many subscribers.

use axum::body::BodyDataStream;
use axum::http::StatusCode;
use engine::view::{AgentStatus, CallState, EventBody, EventName, ListeningState, RequestState};
use engine::{Event, View};
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt;

use crate::stage::{Stage, agent, call, credential, listening, monitoring, raw};

struct Client {
    stream: BodyDataStream,
    text: String,
}

#[derive(Debug, Default, PartialEq)]
struct Block {
    id: Option<String>,
    event: Option<String>,
    data: Option<Value>,
    comment: bool,
}

impl Client {
    async fn open(stage: &Stage, who: &str, last_id: Option<&str>) -> Self {
        let headers: Vec<_> = last_id.map(|id| ("Last-Event-ID", id)).into_iter().collect();
        let response = stage.router.clone().oneshot(raw(who, "GET", "/v1/events", None, &headers)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { stream: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next block; `None`: the stream is over.
    async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let parsed = parse(block);
                self.text = rest.to_owned();
                return Some(parsed);
            }
            self.text.push_str(std::str::from_utf8(&self.stream.next().await?.unwrap()).unwrap());
        }
    }

    /// The next event's name.
    async fn name(&mut self) -> String {
        loop {
            if let Some(name) = self.next().await.unwrap().event {
                return name;
            }
        }
    }
}

fn parse(text: &str) -> Block {
    let mut block = Block::default();
    for line in text.lines() {
        match line.split_once(':').unwrap() {
            ("", _) => block.comment = true,
            ("id", value) => block.id = Some(value.trim().to_owned()),
            ("event", value) => block.event = Some(value.trim().to_owned()),
            ("data", value) => block.data = Some(serde_json::from_str(value).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    block
}

fn agent_event(n: usize) -> Event {
    let mut anna = agent("anna", &format!("Anna {n}"), "1001", Some("Support"));
    anna.status = AgentStatus::Pause;
    Event { name: EventName::AgentStatus, at: Timestamp::UNIX_EPOCH, body: EventBody::Agent(anna) }
}

fn event(name: EventName, body: EventBody) -> Event {
    Event { name, at: "2026-01-01T10:00:00Z".parse().unwrap(), body }
}

#[tokio::test(start_paused = true)]
async fn an_event_has_id_name_time_and_resource() {
    let stage = Stage::new();
    let mut client = Client::open(&stage, "ada", None).await;
    let first = client.next().await.unwrap();
    assert!(first.comment && first.id.is_some() && first.event.is_none(), "says at once where it begins: {first:?}");
    stage.api.event(event(EventName::CallStarted, EventBody::Call(call("call_1", Some("anna"), CallState::Ringing))));
    let block = client.next().await.unwrap();
    assert_eq!(block.event.as_deref(), Some("call.started"));
    let data = block.data.unwrap();
    assert_eq!(data["id"].as_str(), block.id.as_deref());
    assert_eq!(data["at"], "2026-01-01T10:00:00Z");
    assert_eq!(data["call"]["id"], "call_1");
    assert_eq!(data.as_object().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_back_misses_nothing() {
    let stage = Stage::new();
    let mut client = Client::open(&stage, "ada", None).await;
    let start = client.next().await.unwrap().id.unwrap();
    for n in 0..200 {
        stage.api.event(agent_event(n));
    }
    let third = (client.next().await, client.next().await, client.next().await).2.unwrap();
    assert_eq!(third.data.as_ref().unwrap()["agent"]["name"], "Anna 2");
    drop(client);
    let mut again = Client::open(&stage, "ada", third.id.as_deref()).await;
    for n in 3..200 {
        assert_eq!(again.next().await.unwrap().data.unwrap()["agent"]["name"], format!("Anna {n}"));
    }
    let mut from_start = Client::open(&stage, "ada", Some(&start)).await;
    assert_eq!(from_start.next().await.unwrap().data.unwrap()["agent"]["name"], "Anna 0");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_not_ours_resyncs_first() {
    let stage = Stage::new();
    let epoch = Client::open(&stage, "ada", None).await.next().await.unwrap().id.unwrap();
    let epoch = epoch.rsplit_once('-').unwrap().0.to_owned();
    stage.api.event(agent_event(0));
    for odd in [
        "x",
        "abc-1",
        "-",
        &format!("{epoch}-"),
        &format!("{epoch}-2"),
        &format!("{epoch}-99999999999999999999"),
        &format!("{epoch}-+1"),
        &format!("{epoch}-01"),
    ] {
        let first = Client::open(&stage, "ada", Some(odd)).await.next().await.unwrap();
        assert_eq!(first.event.as_deref(), Some("resync"), "{odd}");
        assert_eq!(first.data.unwrap()["reason"], "unknown-id");
        assert_eq!(first.id, Some(format!("{epoch}-1")));
    }
    let mut client = Client::open(&stage, "ada", Some("x")).await;
    stage.api.event(agent_event(1));
    assert_eq!((client.name().await.as_str(), client.name().await.as_str()), ("resync", "agent.status"));
}

#[tokio::test(start_paused = true)]
async fn one_who_was_away_too_long_resyncs_first() {
    let stage = Stage::new();
    let start = Client::open(&stage, "ada", None).await.next().await.unwrap().id.unwrap();
    for n in 0..10_000 {
        stage.api.event(agent_event(n));
    }
    let mut in_time = Client::open(&stage, "ada", Some(&start)).await;
    assert_eq!(in_time.next().await.unwrap().data.unwrap()["agent"]["name"], "Anna 0");
    stage.api.event(agent_event(10_000));
    let first = Client::open(&stage, "ada", Some(&start)).await.next().await.unwrap();
    assert_eq!((first.event.as_deref(), first.data.unwrap()["reason"].as_str()), (Some("resync"), Some("too-old")));
}

#[tokio::test(start_paused = true)]
async fn a_slow_subscriber_is_resynced_and_holds_nobody_up() {
    let stage = Stage::new();
    let mut slow = Client::open(&stage, "ada", None).await;
    slow.next().await.unwrap();
    for n in 0..10_100 {
        stage.api.event(agent_event(n));
    }
    let resync = slow.next().await.unwrap();
    assert_eq!((resync.event.as_deref(), resync.data.unwrap()["reason"].as_str()), (Some("resync"), Some("too-slow")));
    stage.api.event(agent_event(7));
    assert_eq!(slow.next().await.unwrap().data.unwrap()["agent"]["name"], "Anna 7");
}

#[tokio::test(start_paused = true)]
async fn each_one_hears_what_it_may_see() {
    let stage = Stage::new();
    stage.api.view(View::Listening(listening("lst_1", "sue", ListeningState::Live)));
    stage.api.view(View::Listening(listening("lst_2", "sam", ListeningState::Live)));
    let mut clients = Vec::new();
    for who in ["ada", "sue", "sam", "all", "platform"] {
        clients.push((who, Client::open(&stage, who, None).await));
    }
    let mut watched = call("call_1", Some("anna"), CallState::Up);
    watched.listenings = vec!["lst_1".to_owned(), "lst_2".to_owned()];
    for (name, body) in [
        (EventName::AgentStatus, EventBody::Agent(agent("cia", "Cia", "1003", Some("Sales")))),
        (EventName::CallAnswered, EventBody::Call(watched)),
        (EventName::CallStarted, EventBody::Call(call("call_2", Some("cia"), CallState::Ringing))),
        (EventName::AudioOneWay, EventBody::Call(call("call_3", None, CallState::Up))),
        (EventName::RequestCreated, EventBody::Request(monitoring("req_1", "sue", RequestState::Waiting))),
        (EventName::ListeningLive, EventBody::Listening(listening("lst_2", "sam", ListeningState::Live))),
        // Everybody sees this one, so it ends the round.
        (EventName::CallEnded, EventBody::Call(call("call_9", Some("anna"), CallState::Ended))),
    ] {
        stage.api.event(event(name, body));
    }
    for (who, mut client) in clients {
        let mut heard = Vec::new();
        let mut listenings = Value::Null;
        loop {
            let block = client.next().await.unwrap();
            let Some(name) = block.event else { continue };
            if name == "call.answered" {
                listenings = block.data.unwrap()["call"]["listenings"].clone();
            }
            if name == "call.ended" {
                break;
            }
            heard.push(name);
        }
        let (wanted, own): (&[&str], Value) = match who {
            "ada" => (
                &[
                    "agent.status",
                    "call.answered",
                    "call.started",
                    "audio.one-way",
                    "request.created",
                    "listening.live",
                ],
                serde_json::json!(["lst_1", "lst_2"]),
            ),
            "sue" => (&["call.answered", "request.created"], serde_json::json!(["lst_1"])),
            "sam" => {
                (&["agent.status", "call.answered", "call.started", "listening.live"], serde_json::json!(["lst_2"]))
            }
            _ => (&["agent.status", "call.answered", "call.started", "audio.one-way"], serde_json::json!([])),
        };
        assert_eq!(heard, wanted, "{who}");
        assert_eq!(listenings, own, "{who}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_every_15_s_that_it_lives_and_where_it_is() {
    let stage = Stage::new();
    let mut client = Client::open(&stage, "sue", None).await;
    client.next().await.unwrap();
    let started = tokio::time::Instant::now();
    let alive = client.next().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 15);
    assert!(alive.comment && alive.event.is_none() && alive.data.is_none());
    // Nothing of this is for sue, and still her place moves on.
    stage
        .api
        .event(event(EventName::RequestCreated, EventBody::Request(monitoring("req_1", "sam", RequestState::Waiting))));
    let alive = client.next().await.unwrap();
    assert!(alive.id.unwrap().ends_with("-1") && alive.comment);
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_or_its_user() {
    let stage = Stage::new();
    let (mut sue, mut sam) = (Client::open(&stage, "sue", None).await, Client::open(&stage, "sam", None).await);
    sue.next().await.unwrap();
    sam.next().await.unwrap();
    stage.api.credentials(vec![credential("sam")]);
    stage.api.event(agent_event(0));
    assert_eq!(sue.next().await, None);
    assert_eq!(sam.name().await, "agent.status");
    stage.api.view(View::UserRemoved("sam".to_owned()));
    stage.api.event(agent_event(1));
    assert_eq!(sam.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn subscribers_have_a_limit_and_leave_their_place_when_they_go() {
    let stage = Stage::new();
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(Client::open(&stage, "ada", None).await);
    }
    let got = stage.get("ada", "/v1/events").await;
    got.problem(503, "too-many-subscribers");
    assert_eq!(got.header("retry-after"), Some("1"));
    clients.pop();
    Client::open(&stage, "ada", None).await;
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_the_server_stops() {
    let stage = Stage::new();
    let mut client = Client::open(&stage, "ada", None).await;
    client.next().await.unwrap();
    let (ended, ()) = tokio::join!(client.next(), async { stage.api.close_events() });
    assert_eq!(ended, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_some_types_or_of_one_agent() {
    let stage = Stage::new();
    let open = async |query: &str| {
        let request = raw("ada", "GET", &format!("/v1/events?{query}"), None, &[]);
        let response = stage.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        Client { stream: response.into_body().into_data_stream(), text: String::new() }
    };
    let mut calls = open("types=call.started,%20call.ended").await;
    let mut anna = open("agent=anna&types=").await;
    let start = anna.next().await.unwrap().id.unwrap();
    for (name, body) in [
        (EventName::AgentStatus, EventBody::Agent(agent("anna", "A", "1", Some("Support")))),
        (EventName::CallStarted, EventBody::Call(call("call_1", Some("bo"), CallState::Ringing))),
        (EventName::CallAnswered, EventBody::Call(call("call_2", Some("anna"), CallState::Up))),
        (EventName::ListeningLive, EventBody::Listening(listening("lst_2", "sam", ListeningState::Live))),
        (EventName::CallEnded, EventBody::Call(call("call_3", None, CallState::Ended))),
        (EventName::RequestCreated, EventBody::Request(monitoring("req_1", "sue", RequestState::Waiting))),
    ] {
        stage.api.event(event(name, body));
    }
    assert_eq!((calls.name().await, calls.name().await), ("call.started".to_owned(), "call.ended".to_owned()));
    for wanted in ["agent.status", "call.answered", "listening.live", "request.created"] {
        assert_eq!(anna.name().await, wanted);
    }
    let mut after = open(&format!("after={start}&types=request.created")).await;
    assert_eq!(after.name().await, "request.created", "`after` is as good as the header");
    for (query, field) in [("types=call.begun", "types"), ("types=call.started,,", "types"), ("type=x", "type")] {
        for path in ["/v1/events", "/v1/events/log"] {
            let problem = stage.get("ada", &format!("{path}?{query}")).await.problem(422, "invalid-request");
            assert_eq!(problem["field"], field);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_polls_gets_the_same_events_as_pages() {
    let stage = Stage::new();
    let now = stage.get("ada", "/v1/events/log?after=now").await.json();
    assert_eq!(
        (&now["items"], &now["more"], &now["resync"]),
        (&Value::from(Vec::<Value>::new()), &false.into(), &Value::Null)
    );
    for n in 0..130 {
        stage.api.event(agent_event(n));
    }
    let (mut after, mut seen) = (now["next_after"].as_str().unwrap().to_owned(), 0);
    for wanted in [100, 30, 0] {
        let page = stage.get("ada", &format!("/v1/events/log?limit=100&after={after}")).await.json();
        let items = page["items"].as_array().unwrap();
        assert_eq!((items.len(), &page["more"]), (wanted, &Value::from(wanted == 100)));
        for item in items {
            assert_eq!(item["type"], "agent.status");
            assert_eq!(item["agent"]["name"], format!("Anna {seen}"));
            seen += 1;
        }
        after = page["next_after"].as_str().unwrap().to_owned();
    }
    assert_eq!(stage.get("ada", "/v1/events/log?limit=1").await.json()["items"][0]["agent"]["name"], "Anna 0");
    let unknown = stage.get("ada", "/v1/events/log?after=abc-1").await.json();
    assert_eq!((&unknown["resync"], &unknown["next_after"]), (&"unknown-id".into(), &after.as_str().into()));
    for n in 0..10_001 {
        stage.api.event(agent_event(n));
    }
    let old = stage.get("ada", &format!("/v1/events/log?after={after}")).await.json();
    assert_eq!(old["resync"], "too-old");
    for (query, field) in [("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor")] {
        let problem = stage.get("ada", &format!("/v1/events/log?{query}")).await.problem(422, "invalid-request");
        assert_eq!(problem["field"], field);
    }
}

/// Numbers without a clock: each life of the next test has its own.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

/// One of what happens in a centre, told apart by its serial number.
fn happening(n: usize, pick: usize) -> Event {
    let (whose, group, by) = [("anna", "Support", "sue"), ("cia", "Sales", "sam")][pick % 2];
    match pick / 2 % 4 {
        0 => event(EventName::AgentStatus, EventBody::Agent(agent(whose, &n.to_string(), "1", Some(group)))),
        1 => event(EventName::CallStarted, EventBody::Call(call(&format!("call_{n}"), Some(whose), CallState::Up))),
        2 => event(
            EventName::RequestUpdated,
            EventBody::Request(monitoring(&format!("req_{n}"), by, RequestState::Waiting)),
        ),
        _ => event(
            EventName::ListeningLive,
            EventBody::Listening(listening(&format!("lst_{n}"), by, ListeningState::Live)),
        ),
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_reconnects_at_any_moment_gets_each_event_once_and_in_order() {
    for seed in 1..=6 {
        let mut state = seed;
        let stage = Stage::new();
        let mut readers = Vec::new();
        for who in ["ada", "sue", "sam", "all", "platform"] {
            let mut client = Client::open(&stage, who, None).await;
            let start = client.next().await.unwrap().id.unwrap();
            readers.push((who, client, start.clone(), start, Vec::new()));
        }
        let mut n = 0;
        for _ in 0..40 {
            for _ in 0..random(&mut state) % 50 {
                stage.api.event(happening(n, random(&mut state)));
                n += 1;
            }
            for (who, client, _, last, got) in &mut readers {
                if random(&mut state).is_multiple_of(3) {
                    // the connection dies with something in it that nobody read
                    *client = Client::open(&stage, who, Some(last.as_str())).await;
                }
                for _ in 0..random(&mut state) % 20 {
                    let Ok(block) = tokio::time::timeout(std::time::Duration::from_secs(1), client.next()).await else {
                        break;
                    };
                    let block = block.expect("the stream goes on");
                    last.clone_from(&block.id.expect("an id"));
                    assert_ne!(block.event.as_deref(), Some("resync"), "{who}");
                    got.extend(block.event.is_some().then(|| last.clone()));
                }
            }
        }
        for (who, _, start, last, mut got) in readers {
            let mut client = Client::open(&stage, who, Some(&last)).await;
            while let Ok(block) = tokio::time::timeout(std::time::Duration::from_secs(1), client.next()).await {
                let block = block.expect("the stream goes on");
                got.extend(block.event.and(block.id));
            }
            let mut all = Vec::new();
            let mut after = start;
            loop {
                let page = stage.get(who, &format!("/v1/events/log?limit=77&after={after}")).await.json();
                all.extend(
                    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
                );
                after = page["next_after"].as_str().unwrap().to_owned();
                if page["more"] == false {
                    break;
                }
            }
            assert_eq!(got, all, "{who}, seed {seed}");
            assert!(who == "all" || !all.is_empty() && all.len() <= n, "{who}");
        }
    }
}
