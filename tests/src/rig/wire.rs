//! HTTP/1.1 by hand: what a client library would put right is sent as it is written.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// The first of that name, or empty.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// A request as it goes out. The connection ends with its answer.
pub fn request(method: &str, path: &str, headers: &[(String, String)], body: Option<&str>) -> Vec<u8> {
    let has = |name: &str| headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !has("host") {
        text += "Host: 127.0.0.1\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body
        && !has("content-length")
        && !has("transfer-encoding")
    {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    (text + "\r\n" + body.unwrap_or_default()).into_bytes()
}

/// Sends bytes and reads until the connection is closed; status 0 if no answer came.
pub fn exchange(address: &str, bytes: &[u8], patience: Duration) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    // an engine that has heard enough answers and closes before all is sent
    let _ = stream.write_all(bytes);
    let (mut got, mut buffer) = (Vec::new(), [0; 65_536]);
    while let Ok(length) = stream.read(&mut buffer) {
        if length == 0 {
            break;
        }
        got.extend_from_slice(&buffer[..length]);
    }
    parse(&String::from_utf8_lossy(&got))
}

fn parse(text: &str) -> Reply {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    let reply = Reply { status, headers: lines.filter_map(header).collect(), body: String::new() };
    let body = if reply.header("transfer-encoding") == "chunked" { unchunked(body) } else { body.to_owned() };
    Reply { body, ..reply }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        whole += chunk;
        text = rest.get(size + 2..).unwrap_or_default();
    }
    whole
}
