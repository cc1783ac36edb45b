//! Starts the binary that `MEDLYTT_BIN` names, with a configuration of its own, and talks to its API.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Client;

/// Bearer token of the admin in every configuration made here.
pub const TOKEN: &str = "interop-admin";
/// Its hash, as the configuration has it.
pub const TOKEN_SHA256: &str = "0de620316c1dcd3bf34bd07e6a506d0c435e53aa6420d91b2a3bc85523f48f05";

/// The running engine; killed when dropped.
pub struct Engine {
    process: Child,
    /// Its address over UDP, and over TCP.
    pub sip: String,
    pub sip_tcp: String,
    pub api: String,
    pub folder: PathBuf,
}

/// A folder of this test's own.
pub fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("medlytt-interop-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A UDP port that is free on that address now.
pub fn free_port(ip: &str) -> u16 {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap().port()
}

/// A free, even port with a free block of `size` above it, for media.
pub fn media_range(size: u16) -> String {
    for base in (10_000..45_000).step_by(usize::from(size / 4)) {
        let sockets = [base, base + size - 2].map(|p| UdpSocket::bind(("127.0.0.1", p)));
        if sockets.iter().all(Result::is_ok) {
            return format!("{base}-{}", base + size - 1);
        }
    }
    panic!("no free range of media ports");
}

/// What differs from test to test.
#[derive(Clone, Debug, Default)]
pub struct Setup<'a> {
    /// Trunks, agents, users.
    pub parties: &'a str,
    /// Further lines of agent `anna`, where a scene has her.
    pub anna: &'a str,
    /// Further lines of `[media]`.
    pub media: &'a str,
    /// Further lines of `[api]`.
    pub api: &'a str,
    /// Lines of `[monitoring]`.
    pub monitoring: &'a str,
    /// Where the store lies; its own folder if not given.
    pub store: Option<&'a Path>,
    /// Media ports; 20,000 if not given.
    pub media_ports: Option<u16>,
}

impl Engine {
    /// Starts it with `parties` (trunks, agents, users) and waits until it is ready.
    pub fn start(name: &str, parties: &str) -> Self {
        Self::set_up(name, &Setup { parties, ..Setup::default() })
    }

    /// Starts it and waits until it is ready.
    pub fn set_up(name: &str, setup: &Setup<'_>) -> Self {
        let folder = folder(name);
        let store = setup.store.unwrap_or(&folder).join("medlytt.db");
        let config = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\ndomain = \"medlytt.test\"\n\n[media]\naddress = \"127.0.0.1\"\nports = \"{}\"\n{}\n\
             [api]\nlisten = \"127.0.0.1:0\"\n{}\n[store]\nurl = \"sqlite:{}\"\n\n\
             [monitoring]\naccess_number = \"+4721000000\"\nheaders = {{ queue = \"X-Queue\" }}\n{}\n\
             [[user]]\nid = \"admin\"\nname = \"Admin\"\nrole = \"admin\"\ntoken_hash = \"sha256:{TOKEN_SHA256}\"\n\n{}",
            media_range(setup.media_ports.unwrap_or(20_000)),
            setup.media,
            setup.api,
            store.display(),
            setup.monitoring,
            setup.parties,
        );
        std::fs::write(folder.join("medlytt.toml"), config).unwrap();
        let (process, line) = launch(&folder);
        let find = |prefix: &str| {
            line.split_whitespace().find_map(|w| w.trim_end_matches(',').split_once(prefix).map(|(_, a)| a.to_owned()))
        };
        let sip = find("udp:").unwrap_or_else(|| panic!("no SIP address in {line:?}; see {}", folder.display()));
        let sip_tcp = find("tcp:").unwrap_or_else(|| panic!("no SIP address over TCP in {line:?}"));
        let api = find("http://").unwrap_or_else(|| panic!("no API address in {line:?}"));
        let engine = Self { process, sip, sip_tcp, api: api.trim_end_matches('/').to_owned(), folder };
        engine.until_ready(Duration::from_secs(15));
        engine
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again after [`Engine::kill`], on the same addresses and the same store. Gives the time until it was ready.
    pub fn start_again(&mut self) -> Duration {
        let path = self.folder.join("medlytt.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let config = config.replacen("udp:127.0.0.1:0", &format!("udp:{}", self.sip), 1).replacen(
            "listen = \"127.0.0.1:0\"",
            &format!("listen = \"{}\"", self.api),
            1,
        );
        std::fs::write(&path, config).unwrap();
        let since = Instant::now();
        self.process = launch(&self.folder).0;
        self.until_ready(Duration::from_secs(15));
        since.elapsed()
    }

    /// Starts it again where it may refuse to: `Err` is what it said before it ended.
    pub fn try_to_start(&mut self) -> Result<(), String> {
        let before = self.log().len();
        let (process, line) = launch(&self.folder);
        self.process = process;
        if line.is_empty() {
            let _ = self.process.wait();
            return Err(self.log()[before..].to_owned());
        }
        self.until_ready(Duration::from_secs(15));
        Ok(())
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        Client::new(&self.api)
    }

    /// One of its figures in `/metrics`; 0 if it is not there.
    pub fn figure(&self, name: &str) -> u64 {
        let text = self.client().get("/metrics").body;
        let value = text.as_str().and_then(|t| {
            t.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.split(' ').next()?.parse::<f64>().ok())
        });
        value.unwrap_or(0.0) as u64
    }

    /// Resident memory in kB.
    pub fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    fn until_ready(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while ureq::get(format!("http://{}/readyz", self.api)).call().is_err() {
            assert!(
                Instant::now() < end,
                "not ready within {limit:?}; see {}\n{}",
                self.folder.display(),
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// GET as the admin.
    pub fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.api);
        ureq::get(url)
            .header("Authorization", format!("Bearer {TOKEN}"))
            .call()
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    /// Orders a listening as the admin.
    pub fn order(&self, agent: &str, listener: &Value) -> Value {
        self.order_in(agent, listener, "mono")
    }

    /// The same, with where the two sides are.
    pub fn order_in(&self, agent: &str, listener: &Value, layout: &str) -> Value {
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(900);
        let body =
            serde_json::json!({"agent": agent, "listener": listener, "until": until.to_string(), "layout": layout});
        let url = format!("http://{}/v1/requests", self.api);
        ureq::post(url)
            .header("Authorization", format!("Bearer {TOKEN}"))
            .send_json(body)
            .unwrap()
            .body_mut()
            .read_json()
            .unwrap()
    }

    /// A counter (0 before it counted anything).
    pub fn metric(&self, counter: &str) -> f64 {
        let url = format!("http://{}/metrics", self.api);
        let text = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("medlytt_{counter}_total ")));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// What the engine logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("engine.log")).unwrap_or_default()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Runs the binary on the configuration in `folder` and gives its first line. SIGXFSZ is ignored, so that a test may take
/// the disk away by a limit on the size of files.
fn launch(folder: &Path) -> (Child, String) {
    let binary = std::env::var("MEDLYTT_BIN").expect("MEDLYTT_BIN names the binary: run `cargo xtask test`");
    let log = std::fs::File::options().create(true).append(true).open(folder.join("engine.log")).unwrap();
    let mut process = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" serve --config \"$1\""])
        .arg(binary)
        .arg(folder.join("medlytt.toml"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (process, line)
}

/// Waits until something is true, and says what was waited for if it never is.
pub fn until(what: &str, limit: Duration, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !check() {
        assert!(Instant::now() < end, "never true within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Copies a file of `scenarios/` into a test's folder.
pub fn scenario(folder: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rig/scenarios").join(name);
    let target = folder.join(name);
    std::fs::copy(&source, &target).unwrap();
    target
}
