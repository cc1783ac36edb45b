//! The router on a real socket, once: it answers, streams end with it, and it stops.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::stage::Stage;

#[tokio::test]
async fn serves_until_it_is_stopped() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let api = stage.api.clone();
    let server = tokio::spawn(async move {
        let stop = async { drop(stopped.await) };
        api.serve(listener, stop).await
    });
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream
        .write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-ada\r\n\r\n")
        .await
        .unwrap();
    let mut seen = String::new();
    while !seen.contains("medlytt events") {
        let mut part = [0; 1024];
        let n = stream.read(&mut part).await.unwrap();
        assert!(n > 0, "{seen}");
        seen.push_str(std::str::from_utf8(&part[..n]).unwrap());
    }
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"));
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the stream was ended, not cut");
}
