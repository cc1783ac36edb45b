//! What stands before every route: names of this server, how often one may ask, and requests that end in two places.

use std::time::Duration;

use axum::extract::ConnectInfo;
use medlytt_api::{Settings, Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{Got, Stage, raw};

async fn from(stage: &Stage, ip: &str, who: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = raw(who, "GET", "/v1/me", None, headers);
    request.extensions_mut().insert(ConnectInfo(Source(ip.parse().unwrap())));
    stage.send(request).await
}

#[tokio::test]
async fn a_name_that_is_not_ours_gets_nothing() {
    let stage = Stage::new();
    for (path, host) in [("/", "evil.invalid"), ("/v1/me", "evil.invalid:8080"), ("/healthz", "localhost.evil.invalid")]
    {
        stage.send(raw("ada", "GET", path, None, &[("Host", host)])).await.problem(421, "misdirected-request");
    }
    for host in ["localhost:8080", "127.0.0.1", "[::1]:8080", "192.0.2.9:8080"] {
        assert_eq!(stage.send(raw("ada", "GET", "/v1/me", None, &[("Host", host)])).await.status, 200, "{host}");
    }
    let twice = raw("ada", "GET", "/v1/me", None, &[("Host", "localhost"), ("Host", "localhost")]);
    stage.send(twice).await.problem(400, "malformed-request");
    // over a connection there must be one (RFC 9112 section 3.2)
    from(&stage, "192.0.2.1", "ada", &[]).await.problem(400, "malformed-request");
    stage.api.settings(Settings { allowed_hosts: vec!["monitor.office".to_owned()], ..Settings::default() });
    assert_eq!(stage.send(raw("ada", "GET", "/v1/me", None, &[("Host", "Monitor.Office:80")])).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_often_waits_and_others_do_not() {
    let stage = Stage::new();
    stage.api.settings(Settings { rate: 2, burst: 5, ..Settings::default() });
    for left in ["4", "3", "2", "1", "0"] {
        let got = stage.get("sue", "/v1/me").await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("ratelimit"), Some(format!("\"requests\";r={left}").as_str()));
        assert_eq!(got.header("ratelimit-policy"), Some("\"requests\";q=5;w=3"));
    }
    let got = stage.get("sue", "/v1/me").await;
    got.problem(429, "too-many-requests");
    assert_eq!(got.header("retry-after"), Some("1"));
    assert_eq!(stage.get("sam", "/v1/me").await.status, 200);
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(stage.get("sue", "/v1/me").await.status, 200);
    stage.get("sue", "/v1/me").await.problem(429, "too-many-requests");
    let text = String::from_utf8(stage.get("", "/metrics").await.body).unwrap();
    assert!(text.contains("medlytt_http_limited_total 2\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn strangers_share_by_address() {
    let stage = Stage::new();
    stage.api.settings(Settings { rate: 1, burst: 3, ..Settings::default() });
    let host = [("Host", "localhost")];
    for n in 0..3 {
        let ip = format!("2001:db8:1:2::{n}");
        from(&stage, &ip, "nobody", &host).await.problem(401, "unauthenticated");
    }
    from(&stage, "2001:db8:1:2::9", "", &host).await.problem(429, "too-many-requests");
    from(&stage, "2001:db8:1:3::9", "", &host).await.problem(401, "unauthenticated");
    assert_eq!(from(&stage, "2001:db8:1:2::9", "ada", &host).await.status, 200, "a user has a bucket of their own");
}

/// Everything that a server says to these bytes until it closes.
async fn said(stage: &Stage, bytes: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let api = stage.api.clone();
    let server = tokio::spawn(async move { api.serve(listener, std::future::pending()).await });
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    server.abort();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_request_that_ends_in_two_places_smuggles_nothing() {
    let stage = Stage::new();
    let head = "POST /v1/requests HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-sue\r\nContent-Type: application/json\r\n";
    let behind = "GET /v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-sue\r\n\r\n";
    for lengths in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n",
    ] {
        let answer = said(&stage, format!("{head}{lengths}\r\n0\r\n\r\n{behind}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lengths}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
    }
}
