//! Starts the binary that `MEDLYTT_BIN` names, with a configuration of its own, and talks to its API.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Bearer token of the admin in every configuration made here.
pub const TOKEN: &str = "interop-admin";
const TOKEN_SHA256: &str = "0de620316c1dcd3bf34bd07e6a506d0c435e53aa6420d91b2a3bc85523f48f05";

/// The running engine; killed when dropped.
pub struct Engine {
    process: Child,
    /// Its address over UDP, and over TCP.
    pub sip: String,
    pub sip_tcp: String,
    api: String,
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

impl Engine {
    /// Starts it with `parties` (trunks, agents, users) and waits until it is ready.
    pub fn start(name: &str, parties: &str) -> Self {
        let folder = folder(name);
        let config = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\ndomain = \"medlytt.test\"\n\n[media]\naddress = \"127.0.0.1\"\nports = \"{}\"\n\n\
             [api]\nlisten = \"127.0.0.1:0\"\n\n[store]\nurl = \"sqlite:{}\"\n\n\
             [monitoring]\naccess_number = \"+4721000000\"\nheaders = {{ queue = \"X-Queue\" }}\n\n\
             [[user]]\nid = \"admin\"\nname = \"Admin\"\nrole = \"admin\"\ntoken_hash = \"sha256:{TOKEN_SHA256}\"\n\n{parties}",
            media_range(20_000),
            folder.join("medlytt.db").display(),
        );
        let path = folder.join("medlytt.toml");
        std::fs::write(&path, config).unwrap();
        let binary = std::env::var("MEDLYTT_BIN").expect("MEDLYTT_BIN names the binary: run `cargo xtask test`");
        let log = std::fs::File::create(folder.join("engine.log")).unwrap();
        let mut process = Command::new(binary)
            .arg("serve")
            .arg("--config")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let find = |prefix: &str| {
            line.split_whitespace().find_map(|w| w.trim_end_matches(',').split_once(prefix).map(|(_, a)| a.to_owned()))
        };
        let sip = find("udp:").unwrap_or_else(|| panic!("no SIP address in {line:?}; see {}", folder.display()));
        let sip_tcp = find("tcp:").unwrap_or_else(|| panic!("no SIP address over TCP in {line:?}"));
        let api = find("http://").unwrap_or_else(|| panic!("no API address in {line:?}"));
        let engine = Self { process, sip, sip_tcp, api: api.trim_end_matches('/').to_owned(), folder };
        engine.until_ready();
        engine
    }

    fn until_ready(&self) {
        let end = Instant::now() + Duration::from_secs(15);
        while ureq::get(format!("http://{}/readyz", self.api)).call().is_err() {
            assert!(Instant::now() < end, "not ready within 15 s; see {}", self.folder.display());
            std::thread::sleep(Duration::from_millis(50));
        }
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
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(900);
        let body = serde_json::json!({"agent": agent, "listener": listener, "until": until.to_string()});
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
