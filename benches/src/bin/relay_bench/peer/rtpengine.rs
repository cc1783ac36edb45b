//! Debian's rtpengine in user space (`--table=-1`), one worker thread, driven by its ng protocol.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::bencode::Value;
use super::sdp::{self, Crypto};
use super::{Calls, Heard, Peer};
use crate::device::Device;
use crate::generator::{Generator, KEY, Leg, LegKeys, Suite};
use crate::setting::Setting;

const IP: &str = "127.0.0.2";
/// Answers are waited for so long, so often.
const PATIENCE: Duration = Duration::from_secs(3);

/// See [the module](self).
#[derive(Debug)]
pub(crate) struct Rtpengine {
    _device: Device,
    pid: u32,
    ng: Ng,
    folder: PathBuf,
    listener: Option<std::net::SocketAddrV4>,
    /// Calls that are listened to, with the tag of the subscription.
    subscribed: Vec<(String, String)>,
}

impl Rtpengine {
    pub(crate) fn start(setting: &Setting) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("medlytt-relay-bench-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(failed)?;
        // It wants a file that it can read, even where the command line says everything.
        std::fs::write(folder.join("rtpengine.conf"), "[rtpengine]\n").map_err(failed)?;
        let log = std::fs::File::create(folder.join("rtpengine.log")).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let port = UdpSocket::bind((IP, 0)).and_then(|socket| socket.local_addr()).map_err(failed)?.port();
        let program = std::env::var("RTPENGINE").unwrap_or_else(|_| "rtpengine".to_owned());
        let mut command = setting.on_device_core(&program);
        command.arg(format!("--config-file={}", folder.join("rtpengine.conf").display()));
        command.args(["--foreground", "--log-stderr", "--log-level=3", "--table=-1", "--num-threads=1"]);
        command.args(["--port-min=10000", "--port-max=32700", "--delete-delay=0", "--timeout=3600"]);
        command.args([format!("--interface={IP}"), format!("--listen-ng={IP}:{port}")]);
        let device = Device::start(command.stdin(Stdio::null()).stdout(log).stderr(errors))?;
        let mut peer = Self {
            pid: device.pid(),
            _device: device,
            ng: Ng::new(port)?,
            folder,
            listener: None,
            subscribed: Vec::new(),
        };
        let ready = Instant::now() + Duration::from_secs(10);
        while peer.ng.ask("ping", &[], Duration::from_millis(200)).is_err() {
            if peer._device.has_ended() || Instant::now() > ready {
                let log = std::fs::read_to_string(peer.folder.join("rtpengine.log")).unwrap_or_default();
                return Err(format!("rtpengine did not start ({program}): {log}"));
            }
        }
        Ok(peer)
    }

    /// Side B takes another suite than side A has: where both have the same, rtpengine hands keys through and decrypts
    /// nothing. The two suites differ in the length of the tag alone.
    fn call(&mut self, n: usize, generator: &Generator, is_secure: bool) -> Result<[Leg; 2], String> {
        let mut keys = vec![("call-id", id(n).into()), ("from-tag", format!("a{n}").into()), ("ICE", "remove".into())];
        if is_secure {
            keys.extend([("DTLS", "off".into()), ("transport-protocol", "RTP/SAVP".into())]);
        }
        let ask = |peer: &mut Self, command, side: usize, more: &[(&'static str, Value)], crypto| {
            let sdp = sdp::describe(generator.address_of(2 * n + side), "sendrecv", crypto);
            let keys: Vec<_> = keys.iter().chain(more).cloned().chain([("sdp", sdp.into())]).collect();
            peer.ng.ask(command, &keys, PATIENCE)
        };
        let offer = Crypto { tag: 1, suite: Suite::Sha1_80, key: key(2 * n) };
        let offered = ask(self, "offer", 0, &[], is_secure.then_some(offer))?;
        let line = sdp::crypto(offered.text("sdp").unwrap_or_default(), Suite::Sha1_32);
        let answer = line.map(|line| Crypto { key: key(2 * n + 1), ..line });
        let answered = ask(self, "answer", 1, &[("to-tag", format!("b{n}").into())], answer)?;
        let leg = |side: usize, told: &Value, suite: Suite| {
            let text = told.text("sdp").unwrap_or_default();
            let to = *sdp::addresses(text).first().ok_or_else(|| format!("no address in {text:?}"))?;
            let theirs = sdp::crypto(text, suite).map(|line| line.key);
            if is_secure && theirs.is_none_or(|theirs| theirs == key(2 * n + 1 - side)) {
                return Err(format!("rtpengine has no key of its own in {text:?}"));
            }
            let keys = theirs.map(|theirs| LegKeys { suite, ours: key(2 * n + side), theirs });
            Ok(Leg { socket: Generator::socket_of(2 * n + side), to, keys })
        };
        Ok([leg(0, &answered, Suite::Sha1_80)?, leg(1, &offered, Suite::Sha1_32)?])
    }
}

impl Peer for Rtpengine {
    fn name(&self) -> &'static str {
        "rtpengine"
    }

    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    fn set_up(&mut self, setting: &Setting, calls: usize, generator: &Generator) -> Result<Calls, String> {
        self.listener = Some(generator.address_of_listener(0));
        let mut legs = Vec::new();
        for n in 0..calls {
            legs.extend(self.call(n, generator, setting.srtp)?);
        }
        Ok(Calls { legs })
    }

    /// Its way to let a third party hear is a subscription to both streams of a call, not mixed.
    fn listen(&mut self, calls: &[usize]) -> Result<Heard, String> {
        let at = self.listener.ok_or("no calls yet")?;
        let mut relay = Vec::new();
        for n in calls {
            let all = Value::List(vec!["all".into()]);
            let request = [("call-id", Value::from(id(*n))), ("flags", all)];
            let offer = self.ng.ask("subscribe request", &request, PATIENCE)?;
            let tag = offer.text("to-tag").unwrap_or_default().to_owned();
            let theirs = sdp::addresses(offer.text("sdp").unwrap_or_default());
            let one = sdp::describe(at, "recvonly", None);
            let media = one.find("m=").map_or("", |start| &one[start..]);
            let answer = one.clone() + &media.repeat(theirs.len().saturating_sub(1));
            let answer = [("call-id", Value::from(id(*n))), ("to-tag", tag.clone().into()), ("sdp", answer.into())];
            self.ng.ask("subscribe answer", &answer, PATIENCE)?;
            self.subscribed.push((id(*n), tag));
            relay.extend(theirs);
        }
        Ok(Heard { streams: relay.len(), relay, answered: Vec::new() })
    }

    fn leave(&mut self) -> Result<(), String> {
        for (id, tag) in std::mem::take(&mut self.subscribed) {
            self.ng.ask("unsubscribe", &[("call-id", id.into()), ("to-tag", tag.into())], PATIENCE)?;
        }
        Ok(())
    }
}

impl Drop for Rtpengine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn id(call: usize) -> String {
    format!("relay-bench-{call}")
}

/// Any, each leg's own.
pub(super) fn key(leg: usize) -> [u8; KEY] {
    let mut key = [0x5A; KEY];
    key[..8].copy_from_slice(&(leg as u64).to_be_bytes());
    key
}

/// A client of the control protocol: a cookie and a bencoded dictionary in each datagram.
#[derive(Debug)]
struct Ng {
    socket: UdpSocket,
    asked: u64,
}

impl Ng {
    fn new(port: u16) -> Result<Self, String> {
        let socket = UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
            socket.connect((IP, port))?;
            Ok(socket)
        });
        Ok(Self { socket: socket.map_err(|error| error.to_string())?, asked: 0 })
    }

    fn ask(&mut self, command: &str, keys: &[(&str, Value)], patience: Duration) -> Result<Value, String> {
        self.asked += 1;
        let mut entries: BTreeMap<String, Value> =
            keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        entries.insert("command".to_owned(), command.into());
        let cookie = format!("{}_{} ", std::process::id(), self.asked);
        let request = format!("{cookie}{}", Value::Dictionary(entries).encode());
        self.socket.set_read_timeout(Some(patience)).map_err(|error| error.to_string())?;
        let mut buffer = vec![0; 65_536];
        for _ in 0..3 {
            // Refused: it does not listen yet.
            let sent = self.socket.send(request.as_bytes());
            while sent.is_ok() {
                let Ok(length) = self.socket.recv(&mut buffer) else { break };
                let Some(body) = buffer[..length].strip_prefix(cookie.as_bytes()) else { continue };
                let (answer, _) = Value::decode(body).ok_or("rtpengine's answer cannot be read")?;
                return match answer.text("result") {
                    Some("ok" | "pong") => Ok(answer),
                    _ => Err(format!("{command}: {answer:?}")),
                };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("rtpengine does not answer to {command}"))
    }
}
