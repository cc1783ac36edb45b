//! The page's player (WHEP), a listening's mix and its levels.

use engine::view::ListeningState;
use engine::{Command, MixChange, Reply, View};
use futures_util::StreamExt;
use medlytt_api::{LevelsView, SideLevel};
use serde_json::json;
use tower::ServiceExt;

use crate::stage::{Stage, credential, listening, raw, refused, request};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n";
const SDP: [(&str, &str); 1] = [("Content-Type", "application/sdp")];
const FRAGMENT: [(&str, &str); 1] = [("Content-Type", "application/trickle-ice-sdpfrag")];

fn whep(
    who: &str,
    method: &str,
    path: &str,
    body: &str,
    headers: &[(&str, &str)],
) -> axum::http::Request<axum::body::Body> {
    raw(who, method, path, Some(body.as_bytes().to_vec()), headers)
}

fn answered(session: &str, body: &str) -> Result<Reply, engine::Problem> {
    Ok(Reply::Whep { session: session.to_owned(), body: body.to_owned() })
}

#[tokio::test]
async fn an_offer_gets_its_answer_and_a_place_to_restart_and_stop() {
    let mut stage = Stage::new();
    let offer = whep("sue", "POST", "/v1/listenings/lst_1/whep", OFFER, &SDP);
    let (got, actor, asked) = stage.ask(offer, answered("w7", "v=0\r\na=ice-lite\r\n")).await;
    assert_eq!((got.status.as_u16(), got.body.as_slice()), (201, &b"v=0\r\na=ice-lite\r\n"[..]));
    assert_eq!(got.header("content-type"), Some("application/sdp"));
    assert_eq!(got.header("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    assert_eq!(actor, "sue");
    assert!(matches!(asked, Command::Whep { listening, offer } if listening == "lst_1" && offer == OFFER));

    let at = got.header("location").unwrap().to_owned();
    assert_eq!(at, "/v1/listenings/lst_1/whep/w7");
    let fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n";
    let (got, _, asked) =
        stage.ask(whep("sue", "PATCH", &at, fragment, &FRAGMENT), answered("w7", "a=ice-ufrag:x\r\n")).await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (200, Some("application/trickle-ice-sdpfrag")));
    assert_eq!(got.body, b"a=ice-ufrag:x\r\n");
    assert!(matches!(asked, Command::WhepRestart { listening, session, fragment: f }
        if listening == "lst_1" && session == "w7" && f == fragment));

    let again = whep("sue", "PATCH", &at, fragment, &FRAGMENT);
    assert_eq!(stage.ask(again, answered("w7", "")).await.0.status, 204, "nothing has changed");

    let (got, _, asked) = stage.ask(request("sue", "DELETE", &at, None), Ok(Reply::Nothing)).await;
    assert_eq!(got.status, 204);
    assert!(matches!(asked, Command::WhepStop { listening, session } if listening == "lst_1" && session == "w7"));
}

#[tokio::test]
async fn candidates_alone_need_no_answer() {
    let stage = Stage::new();
    let fragment = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
    let got = stage.send(whep("sue", "PATCH", "/v1/listenings/lst_1/whep/w7", fragment, &FRAGMENT)).await;
    assert_eq!(got.status, 204, "and nobody was asked");
}

#[tokio::test]
async fn what_is_no_description_is_refused() {
    let mut stage = Stage::new();
    let path = "/v1/listenings/lst_1/whep";
    stage.send(request("sue", "POST", path, Some(json!({})))).await.problem(415, "unsupported-media-type");
    let wrong = whep("sue", "PATCH", "/v1/listenings/lst_1/whep/w7", OFFER, &SDP);
    stage.send(wrong).await.problem(415, "unsupported-media-type");
    let binary = raw("sue", "POST", path, Some(vec![0xff, 0xfe]), &SDP);
    stage.send(binary).await.problem(400, "malformed-body");
    let long = whep("sue", "POST", path, &"a".repeat(70_000), &SDP);
    stage.send(long).await.problem(413, "body-too-large");
    stage.send(whep("", "POST", path, OFFER, &SDP)).await.problem(401, "unauthenticated");
    stage.send(whep("platform", "POST", path, OFFER, &SDP)).await.problem(403, "forbidden");
    let (got, ..) = stage.ask(whep("sue", "POST", path, OFFER, &SDP), Err(refused(422, "invalid-offer"))).await;
    got.problem(422, "invalid-offer");
}

#[tokio::test]
async fn a_listening_is_mixed_anew() {
    let mut stage = Stage::new();
    let view = listening("lst_1", "sue", ListeningState::Live);
    let body = json!({"layout": "stereo", "agent_gain_db": -6, "level_matching": true});
    let change = request("sue", "PATCH", "/v1/listenings/lst_1", Some(body));
    let (got, _, asked) = stage.ask(change, Ok(Reply::Listening(view))).await;
    assert_eq!((got.status.as_u16(), got.json()["id"].as_str()), (200, Some("lst_1")));
    assert!(got.header("etag").is_some());
    let wanted = MixChange {
        layout: Some("stereo".to_owned()),
        agent_gain_db: Some(-6),
        caller_gain_db: None,
        level_matching: Some(true),
    };
    let asked = if let Command::Under { command, .. } = asked { *command } else { asked };
    assert!(
        matches!(asked, Command::ChangeListening { listening, change } if listening == "lst_1" && change == wanted)
    );
    for (body, field) in [
        (json!({}), "layout"),
        (json!({"layout": 1}), "layout"),
        (json!({"agent_gain_db": "loud"}), "agent_gain_db"),
        (json!({"level_matching": 1}), "level_matching"),
        (json!({"gain": 1}), "gain"),
    ] {
        let got = stage.send(request("sue", "PATCH", "/v1/listenings/lst_1", Some(body))).await;
        assert_eq!(got.problem(422, "invalid-request")["field"].as_str().unwrap_or_default(), field);
    }
}

/// What the engine was told about levels.
fn told(stage: &mut Stage) -> Option<(String, bool)> {
    match stage.commands.try_recv().ok()?.command {
        Command::WatchLevels { listening, on } => Some((listening, on)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn levels_flow_while_somebody_looks() {
    let mut stage = Stage::new();
    stage.api.view(View::Listening(listening("lst_1", "sue", ListeningState::Live)));
    let path = "/v1/listenings/lst_1/levels";
    let open = async |stage: &Stage, who: &str| {
        let response = stage.router.clone().oneshot(request(who, "GET", path, None)).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        response.into_body().into_data_stream()
    };
    let mut one = open(&stage, "sue").await;
    assert_eq!(told(&mut stage), Some(("lst_1".to_owned(), true)));
    let other = open(&stage, "ada").await;
    assert_eq!(told(&mut stage), None, "they are measured already");
    let side = |db, speaking| SideLevel { db, speaking };
    stage.api.levels("lst_1", LevelsView { agent: side(-20, true), caller: side(-127, false) });
    stage.api.levels("lst_2", LevelsView { agent: side(0, true), caller: side(0, true) });
    let event = String::from_utf8(one.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert_eq!(
        event,
        "event: levels\ndata: {\"agent\":{\"db\":-20,\"speaking\":true},\"caller\":{\"db\":-127,\"speaking\":false}}\n\n"
    );
    drop(other);
    assert_eq!(told(&mut stage), None, "sue still looks");
    stage.api.view(View::Listening(listening("lst_1", "sue", ListeningState::Ended)));
    assert!(one.next().await.is_none(), "the listening is over");
    drop(one);
    assert_eq!(told(&mut stage), Some(("lst_1".to_owned(), false)));
}

#[tokio::test(start_paused = true)]
async fn levels_are_for_those_who_may_see_the_listening() {
    let mut stage = Stage::new();
    stage.api.view(View::Listening(listening("lst_1", "sue", ListeningState::Live)));
    let path = "/v1/listenings/lst_1/levels";
    stage.get("sam", path).await.problem(404, "listening-not-found");
    stage.get("platform", path).await.problem(403, "forbidden");
    stage.get("", path).await.problem(401, "unauthenticated");
    stage.get("sue", "/v1/listenings/lst_9/levels").await.problem(404, "listening-not-found");
    assert_eq!(told(&mut stage), None);
    // a token that is gone ends the stream with its next look
    let mut one =
        stage.router.clone().oneshot(request("sue", "GET", path, None)).await.unwrap().into_body().into_data_stream();
    assert_eq!(told(&mut stage), Some(("lst_1".to_owned(), true)));
    stage.api.credentials(["ada"].map(credential).into());
    assert!(one.next().await.is_none());
}
