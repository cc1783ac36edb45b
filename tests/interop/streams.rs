//! SIP over TCP, by people who do not mean well: framing that lies, messages in messages, connections by the thousand.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use medlytt_stories::rig::engine::Setup;
use medlytt_stories::rig::hostile;
use medlytt_stories::rig::scene::Scene;

use super::hostile::Health;

const PATIENCE: Duration = Duration::from_secs(2);
/// Nothing more comes after so long.
const SILENCE: Duration = Duration::from_millis(150);
const CHURN: usize = 2_000;
/// Pieces of 16 KiB: more than is thrown away after the answer (4 MiB, 2 s) and what the kernel holds.
const ENDLESS: usize = 2_000;

/// One connection.
struct Stream(TcpStream);

/// What came back until nothing more did.
#[derive(Debug)]
struct Heard {
    text: String,
    /// The engine closed the connection.
    closed: bool,
}

impl Heard {
    /// Status of each answer, in order.
    fn statuses(&self) -> Vec<u16> {
        self.text.split("SIP/2.0 ").skip(1).filter_map(|t| t.get(..3)?.parse().ok()).collect()
    }
    /// Call-ID of each 200, in order.
    fn answered(&self) -> Vec<&str> {
        let ok = self.text.split("SIP/2.0 ").skip(1).filter(|t| t.starts_with("200"));
        ok.filter_map(|t| t.lines().find_map(|l| l.strip_prefix("Call-ID: "))).collect()
    }
}

impl Stream {
    fn open(scene: &Scene) -> Self {
        let stream = TcpStream::connect(&scene.engine.sip_tcp).expect("it accepts");
        stream.set_nodelay(true).expect("an option");
        Self(stream)
    }

    /// What was written before an engine that had enough closed the connection is as good as sent.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.0.write_all(bytes.as_ref());
        self
    }

    fn hear(&mut self, wanted: usize) -> Heard {
        let (mut bytes, mut buffer, mut closed) = (Vec::new(), [0; 65_536], false);
        let end = Instant::now() + PATIENCE;
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let enough = text.matches("SIP/2.0 ").count() >= wanted;
            let wait = if enough { SILENCE } else { end.saturating_duration_since(Instant::now()) };
            if wait.is_zero() {
                return Heard { text, closed };
            }
            self.0.set_read_timeout(Some(wait)).expect("a time");
            match self.0.read(&mut buffer) {
                Ok(0) => closed = true,
                Ok(length) => {
                    bytes.extend_from_slice(&buffer[..length]);
                    continue;
                }
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(_) => closed = true,
            }
            return Heard { text: String::from_utf8_lossy(&bytes).into_owned(), closed };
        }
    }
}

fn options(id: &str) -> String {
    hostile::request("OPTIONS", id, 9, "", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP")
}

fn scene(name: &str) -> Scene {
    Scene::new(name, &Setup::default())
}

#[test]
fn streams_are_cut_where_content_length_says() {
    let scene = scene("streams-framing");
    let mut health = Health::of(&scene.engine);

    let mut slow = Stream::open(&scene);
    for byte in options("byte-by-byte").as_bytes() {
        slow.send([*byte]);
    }
    assert_eq!(slow.hear(1).statuses(), [200], "a byte a segment");

    let three = ["one", "two", "three"].map(options).concat();
    let heard = Stream::open(&scene).send(three).hear(3);
    assert_eq!(heard.answered(), ["one", "two", "three"], "three in one segment, in order");

    // RFC 3261 §25.1, HCOLON: white space before the colon is right, and the length counts.
    let spaced = options("spaced")
        .replace("Content-Length: 0\r\n\r\n", "Content-Type: text/plain\r\nContent-Length \t: 4\r\n\r\nbody");
    let heard = Stream::open(&scene).send(spaced + &options("after")).hear(2);
    assert!(heard.answered().ends_with(&["after"]) && heard.statuses().len() == 2, "{heard:?}");

    let broken = options("broken").replace("CSeq: 1 OPTIONS", "CSeq: nonsense");
    let heard = Stream::open(&scene).send(broken + &options("after-broken")).hear(2);
    assert_eq!(heard.answered(), ["after-broken"], "a bad message does not end the connection: {heard:?}");
    assert!(!heard.closed);

    let heard = Stream::open(&scene).send("\r\n\r\n").send(options("after-ping")).hear(1);
    assert_eq!(heard.answered(), ["after-ping"], "keep-alives lie between messages");
    assert!(heard.text.starts_with("\r\n"), "and are answered (RFC 5626 §4.4.1): {heard:?}");

    let large = hostile::request("OPTIONS", "large", 9, "Content-Type: text/plain\r\n", &"x".repeat(50_000));
    let heard = Stream::open(&scene).send(large.replace("/UDP", "/TCP") + &options("after-large")).hear(2);
    assert_eq!(heard.answered().last(), Some(&"after-large"), "{heard:?}");
    health.assert_alive("streams");
    health.assert_whole(&scene.engine);
}

/// Whatever is sent after the framing was lost is executed by nobody.
#[test]
fn nobody_smuggles_a_request() {
    let scene = scene("streams-smuggling");
    let mut health = Health::of(&scene.engine);
    let length = |value: &str| options("outer").replace("Content-Length: 0", value);
    let lies = [
        ("two lengths", length(&format!("Content-Length: 0\r\nContent-Length: {}", options("inner").len()))),
        ("two lengths, compact", length(&format!("l: 0\r\nContent-Length: {}", options("inner").len()))),
        ("two in one", length("Content-Length: 0, 500")),
        ("minus", length("Content-Length: -1")),
        ("plus", length("Content-Length: +0")),
        ("hex", length("Content-Length: 0x0")),
        ("huge", length("Content-Length: 99999999999999999999")),
        ("a gigabyte", length("Content-Length: 1073741824")),
        ("of nothing", length("Content-Length:")),
        ("none", options("outer").replace("Content-Length: 0\r\n", "")),
        ("proxy line", format!("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n{}", options("outer"))),
        ("http", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_owned()),
        ("tls", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}".to_owned()),
        ("nothing but spaces", " ".repeat(500)),
    ];
    for (name, lie) in lies {
        let heard = Stream::open(&scene).send(lie + &options("inner")).hear(usize::MAX);
        assert!(!heard.answered().contains(&"inner"), "{name}: the second request was executed: {heard:?}");
        assert!(heard.closed, "{name}: the connection is of no use any more: {heard:?}");
        health.assert_alive(name);
    }
    // A body is a body, whatever it looks like.
    let inner = options("body");
    let outer = length(&format!("Content-Type: text/plain\r\nContent-Length: {}", inner.len())) + &inner;
    let heard = Stream::open(&scene).send(outer + &options("behind")).hear(2);
    assert!(!heard.answered().contains(&"body"), "{heard:?}");
    assert_eq!(heard.answered().last(), Some(&"behind"), "{heard:?}");
    health.assert_whole(&scene.engine);
}

#[test]
fn endless_streams_and_churn_cost_nothing() {
    let scene = scene("streams-endless");
    let mut health = Health::of(&scene.engine);
    let call = scene.monitored_call();
    let from = Instant::now();

    let mut endless = Stream::open(&scene);
    endless.send(options("endless").replace("Content-Length: 0\r\n\r\n", "Subject: "));
    let mut taken = 0;
    while endless.0.write_all(&[b'A'; 16_384]).is_ok() && taken < ENDLESS {
        taken += 1;
        // So that the engine, and not the kernel's buffers, decides when it is enough.
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(taken < ENDLESS, "a header without end is cut off");
    health.assert_alive("an endless header");

    for n in 0..CHURN {
        let stream = Stream::open(&scene);
        match n % 3 {
            0 => drop(stream.0.shutdown(Shutdown::Both)),
            1 => drop((&stream.0).write_all(&options("churn").as_bytes()[..120])),
            _ => {}
        }
        if n % 250 == 0 {
            health.assert_alive("churn");
        }
    }
    // As many as one may have, and then some, which say nothing.
    let idle: Vec<_> = (0..600).map_while(|_| TcpStream::connect(&scene.engine.sip_tcp).ok()).collect();
    health.assert_alive("idle connections");
    println!("{} idle connections were made", idle.len());
    for (who, quality) in
        ["caller", "agent", "listener"].into_iter().zip(scene.assert_heard(&call, from, Instant::now()))
    {
        println!("{who}: {quality:?}");
        assert!(quality.lost * 100 <= quality.packets, "the {who} lost packets: {quality:?}");
    }
    drop(idle);
    scene.hang_up(&call);
    health.assert_whole(&scene.engine);
}
