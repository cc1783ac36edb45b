//! Our own release binary, its calls set up as in life: a trunk invites, agents answer, listeners are ordered over HTTP.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use medlytt_stories::rig::client::Client;
use medlytt_stories::rig::engine::{TOKEN_SHA256, media_range};
use serde_json::json;

use super::phones::{AGENT, LISTENER, Phones};
use super::rtpengine::key;
use super::{Calls, Capacity, Heard, Peer, sdp};
use crate::device::Device;
use crate::generator::{Generator, Leg, LegKeys, Suite};
use crate::setting::Setting;

/// Ports of its media: four a call (RTP and RTCP of both sides), two a listener.
const PORTS: u16 = 20_000;

/// See [the module](self).
#[derive(Debug)]
pub(crate) struct Medlytt {
    device: Device,
    folder: PathBuf,
    sip: SocketAddr,
    api: Client,
    phones: Phones,
    /// Orders that live, and listeners that were made busy by them.
    orders: Vec<String>,
}

impl Medlytt {
    pub(crate) fn start(setting: &Setting, capacity: &Capacity) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("medlytt-relay-bench-engine-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let phones = Phones::start()?;
        let file = folder.join("medlytt.toml");
        let store = folder.join("medlytt.db");
        std::fs::write(&file, configuration(setting, capacity, &phones, &store.to_string_lossy())).map_err(failed)?;
        let log = std::fs::File::create(folder.join("engine.log")).map_err(failed)?;
        let program = std::env::var("MEDLYTT_BIN").unwrap_or_else(|_| "target/release/medlytt".to_owned());
        let mut command = setting.on_device_core(&program);
        command.args(["serve", "--config"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut device = Device::start(&mut command)?;
        let mut line = String::new();
        if let Some(output) = device.output() {
            BufReader::new(output).read_line(&mut line).map_err(failed)?;
        }
        let find = |prefix: &str| {
            line.split_whitespace()
                .find_map(|word| word.split_once(prefix).map(|(_, a)| a.trim_end_matches(['/', ','])))
        };
        let (Some(sip), Some(api)) = (find("udp:").and_then(|a| a.parse().ok()), find("http://")) else {
            let log = std::fs::read_to_string(folder.join("engine.log")).unwrap_or_default();
            return Err(format!("medlytt did not start ({program}; MEDLYTT_BIN names another): {line}{log}"));
        };
        let api = Client::new(api);
        let limit = Instant::now() + Duration::from_secs(15);
        while api.send("GET", "/readyz", None, None).is_none_or(|answer| answer.status != 200) {
            if Instant::now() > limit {
                return Err("medlytt was not ready in time".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { device, folder, sip, api, phones, orders: Vec::new() })
    }

    fn order(&mut self, listener: usize, call: usize) -> Result<(), String> {
        let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3600);
        let body = json!({"agent": format!("{AGENT}{call}"), "listener": {"user": format!("{LISTENER}{listener}")}, "until": until.to_string()});
        let answer = self.api.send("POST", "/v1/requests", None, Some(&body)).ok_or("no answer to an order")?;
        if answer.status != 201 {
            return Err(format!("an order was refused: {} {}", answer.status, answer.body));
        }
        self.orders.push(answer.body["id"].as_str().unwrap_or_default().to_owned());
        Ok(())
    }

    fn until_hearing(&self, wanted: usize) -> Result<(), String> {
        let limit = Instant::now() + Duration::from_secs(30);
        while self.phones.hearing() != wanted {
            if Instant::now() > limit {
                return Err(format!("{} listeners instead of {wanted}", self.phones.hearing()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Peer for Medlytt {
    fn name(&self) -> &'static str {
        "medlytt"
    }

    fn pid(&self) -> Option<u32> {
        Some(self.device.pid())
    }

    fn set_up(&mut self, setting: &Setting, calls: usize, generator: &Generator) -> Result<Calls, String> {
        let addresses = (0..2 * calls).map(|leg| generator.address_of(leg)).collect();
        let told = self.phones.call(self.sip, addresses, generator.address_of_listener(0), setting.srtp)?;
        let legs = told.iter().enumerate().map(|(n, text)| {
            let to = *sdp::addresses(text).first().ok_or_else(|| format!("no address in {text:?}"))?;
            let keys = match (setting.srtp, sdp::crypto(text, Suite::Sha1_80)) {
                (true, None) => return Err(format!("no key in {text:?}")),
                (true, Some(line)) => Some(LegKeys { suite: line.suite, ours: key(n), theirs: line.key }),
                (false, _) => None,
            };
            Ok(Leg { socket: Generator::socket_of(n), to, keys })
        });
        Ok(Calls { legs: legs.collect::<Result<_, String>>()? })
    }

    fn listeners_at(&mut self, address: SocketAddrV4) {
        self.phones.listeners_at(address);
    }

    fn listen(&mut self, calls: &[usize]) -> Result<Heard, String> {
        let first = self.orders.len();
        for (n, call) in calls.iter().enumerate() {
            self.order(first + n, *call)?;
        }
        self.until_hearing(first + calls.len())?;
        let (relay, answered) = self.phones.relay_of_listeners().into_iter().unzip();
        Ok(Heard { streams: calls.len(), relay, answered })
    }

    fn leave(&mut self) -> Result<(), String> {
        for order in std::mem::take(&mut self.orders) {
            self.api.send("DELETE", &format!("/v1/requests/{order}"), None, None).ok_or("no answer to a deletion")?;
        }
        self.until_hearing(0)
    }
}

impl Drop for Medlytt {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Everything else may be set from the environment (`MEDLYTT_MEDIA__…`).
fn configuration(setting: &Setting, capacity: &Capacity, phones: &Phones, store: &str) -> String {
    let srtp = if setting.srtp { "srtp = \"require\"\n" } else { "" };
    let (trunk, agents, listeners) = (phones.trunk, phones.agents, phones.listeners);
    let mut text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\ndomain = \"bench.test\"\n\n\
         [media]\naddress = \"127.0.0.1\"\nports = \"{}\"\nrtp_timeout = 0\n\n[api]\nlisten = \"127.0.0.1:0\"\n\n\
         [store]\nurl = \"sqlite:{store}\"\n\n[monitoring]\naccess_number = \"+4721000000\"\nmax_listeners_per_agent = 64\n\n\
         [[user]]\nid = \"admin\"\nname = \"Admin\"\nrole = \"admin\"\ntoken_hash = \"sha256:{TOKEN_SHA256}\"\n\n\
         [[trunk]]\nname = \"bench\"\nuri = \"sip:{trunk}\"\nallow = [\"{}/32\"]\n{srtp}\n",
        media_range(PORTS),
        trunk.ip(),
    );
    for n in 0..capacity.calls {
        let _ = write!(
            text,
            "[[agent]]\nid = \"{AGENT}{n}\"\nname = \"Agent {n}\"\nnumber = \"{}\"\ncontact = \"sip:{AGENT}{n}@{agents}\"\n{srtp}\n",
            10_000 + n
        );
    }
    for n in 0..capacity.listeners {
        let _ = write!(
            text,
            "[[user]]\nid = \"{LISTENER}{n}\"\nname = \"Listener {n}\"\nrole = \"supervisor\"\nsoftphone = \"{LISTENER}{n}\"\n\
             contact = \"sip:{LISTENER}{n}@{listeners}\"\n{srtp}\n"
        );
    }
    text
}
