//! SIP over TCP against the binary: streams that are cut anywhere, broken, slow, or never end.

// A real process and real sockets.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// The running engine, with a folder of its own; both end with it.
struct Engine {
    process: Child,
    sip: SocketAddr,
    http: String,
    folder: PathBuf,
}

impl Engine {
    fn start(name: &str, sip: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("medlytt-streams-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("medlytt.toml");
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\n{sip}\n[media]\naddress = \"127.0.0.1\"\nport_pool = 4\n\
             [api]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:{}\"\n",
            folder.join("medlytt.db").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_medlytt"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let word = |start: &str| line.split_whitespace().find_map(|word| word.strip_prefix(start)).unwrap().to_owned();
        Self { process, sip: word("tcp:").parse().unwrap(), http: word("http://"), folder }
    }

    fn connect(&self) -> TcpStream {
        let peer = TcpStream::connect(self.sip).unwrap();
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        peer.set_nodelay(true).unwrap();
        peer
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    fn metric(&self, name: &str) -> f64 {
        let text =
            ureq::get(format!("http://{}/metrics", self.http)).call().unwrap().body_mut().read_to_string().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("medlytt_{name} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// It still serves whoever behaves.
    fn serves(&self) {
        let mut peer = self.connect();
        let begin = Instant::now();
        peer.write_all(options(9999).as_bytes()).unwrap();
        assert_eq!(Answers::of(peer).next().unwrap().0, "200");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !check() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Responses as they come: status and Call-ID.
struct Answers(BufReader<TcpStream>);

impl Answers {
    fn of(peer: TcpStream) -> Self {
        Self(BufReader::new(peer))
    }

    /// Nothing more: the engine has closed it.
    fn end(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.0.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

impl Iterator for Answers {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut status, mut call) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end() {
                "" if status.is_empty() => {}
                "" => return Some((status, call)),
                line => {
                    if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
                        status = rest[..3].to_owned();
                    } else if let Some(rest) = line.strip_prefix("Call-ID: ") {
                        call = rest.to_owned();
                    }
                }
            }
        }
    }
}

fn request(method: &str, n: usize, lines: &str, body: &str) -> String {
    format!(
        "{method} sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5061;branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:t@127.0.0.1>;tag=t{n}\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: {n}\r\nCSeq: 1 {method}\r\n{lines}\r\n{body}"
    )
}

fn options(n: usize) -> String {
    request("OPTIONS", n, "Content-Length: 0\r\n", "")
}

#[test]
fn messages_are_found_however_they_are_cut() {
    let engine = Engine::start("cut", "");
    let mut peer = engine.connect();
    for byte in options(1).bytes() {
        peer.write_all(&[byte]).unwrap();
    }
    let three = options(2) + "\r\n\r\n" + &request("OPTIONS", 3, "l: 5\r\n", "hello") + &options(4);
    peer.write_all(three.as_bytes()).unwrap();
    let broken = request("OPTIONS", 5, "Max-Forwards: 999\r\nContent-Length: 0\r\n", "");
    peer.write_all((broken + &options(6)).as_bytes()).unwrap();
    let answers: Vec<_> = Answers::of(peer).take(6).collect();
    let expected = [("200", "1"), ("200", "2"), ("200", "3"), ("200", "4"), ("400", "5"), ("200", "6")];
    assert_eq!(answers, expected.map(|(status, call)| (status.to_owned(), call.to_owned())));
}

#[test]
fn a_stream_whose_framing_is_lost_is_answered_and_closed() {
    let engine = Engine::start("lost", "");
    let inner = options(666);
    for (text, answer) in [
        (request("INVITE", 1, "", "v=0\r\n"), Some("400")),
        (
            request("OPTIONS", 2, &format!("Content-Length: 0\r\nContent-Length : {}\r\n", inner.len()), &inner),
            Some("400"),
        ),
        // What is announced never comes, but more than is ever held does.
        (request("INVITE", 3, "Content-Length: 1073741824\r\n", &"A".repeat(200_000)), Some("513")),
        (format!("OPTIONS sip:x SIP/2.0\r\nSubject: {}", "A".repeat(1_000_000)), None),
        (format!("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n{inner}"), None),
        ("\u{16}\u{3}\u{1}\0\u{1}\u{1}".to_owned(), None),
    ] {
        let mut peer = engine.connect();
        // It may be closed before all of it was written.
        let _ = peer.write_all(text.as_bytes());
        let mut answers = Answers::of(peer);
        if let Some(answer) = answer {
            assert_eq!(answers.next().unwrap().0, answer);
        }
        answers.end();
    }
    engine.serves();
    until("six were closed", || engine.metric("connections_closed_framing_total") >= 6.0);
}

#[test]
fn connections_that_end_in_the_middle_leave_nothing() {
    let engine = Engine::start("churn", "max_connections_per_source = 4096");
    engine.serves();
    until("the first one is gone", || engine.metric("sip_connections") == 0.0);
    let base = engine.descriptors();
    let half = &request("INVITE", 7, "Content-Length: 0\r\n", "")[..150];
    for n in 0..2_000 {
        let mut peer = engine.connect();
        match n % 4 {
            0 => {}
            1 => peer.write_all(half.as_bytes()).unwrap(),
            2 => peer.write_all(options(n).as_bytes()).unwrap(),
            _ => peer.write_all(b"\r\n\r\n").unwrap(),
        }
        if n % 2 == 0 {
            socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap(); // RST
        }
    }
    engine.serves();
    until("descriptors are back", || engine.descriptors() <= base + 5);
    until("nothing is left", || engine.metric("sip_connections") == 0.0 && engine.metric("sip_transactions") == 0.0);
}

#[test]
fn one_address_cannot_take_every_connection() {
    let engine = Engine::start("source", "max_connections_per_source = 5");
    let mut peers: Vec<TcpStream> = (0..8).map(|_| engine.connect()).collect();
    until("three are closed", || engine.metric("connections_refused_source_total") == 3.0);
    // Another address is served meanwhile.
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    other.connect(&engine.sip.into()).unwrap();
    let mut other: TcpStream = other.into();
    other.set_read_timeout(Some(LIMIT)).unwrap();
    other.write_all(options(1).as_bytes()).unwrap();
    assert_eq!(Answers::of(other).next().unwrap().0, "200");
    // Who says nothing, or nothing whole, has ten seconds.
    let begin = Instant::now();
    let mut slow = peers.remove(0);
    slow.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let text = options(2);
    let mut bytes = text.bytes();
    let closed = std::iter::from_fn(|| {
        let _ = slow.write_all(&[bytes.next().unwrap_or(b'x')]);
        Some(matches!(slow.read(&mut [0; 16]), Ok(0)))
    });
    assert!(closed.take(150).any(|closed| closed), "slow-loris stays");
    assert!(begin.elapsed() > Duration::from_secs(5));
    until("the silent ones are gone", || engine.metric("sip_connections") == 0.0);
    engine.serves();
}

#[test]
fn who_never_reads_is_closed() {
    let engine = Engine::start("deaf", "");
    let mut peer = engine.connect();
    peer.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let flood: String = (0..200).map(options).collect();
    let mut sent = 0;
    until("it is closed, or not read any more", || {
        sent += 1;
        peer.write_all(flood.as_bytes()).is_err() || engine.metric("sip_stream_queues_full_total") > 0.0
    });
    assert!(sent < 1_000);
    engine.serves();
    drop(peer);
    until("nothing is left", || engine.metric("sip_connections") == 0.0);
}
