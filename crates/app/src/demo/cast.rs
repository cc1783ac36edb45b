//! Who is in the demo, and the engine's configuration for them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use phone::{OnCall, Voice};
use sha2::{Digest, Sha256};
use signalling::sdp::Direction;

use super::line::Line;
use crate::shell::random_seed;

/// What Lisa's phone shows.
pub(crate) const ACCESS_NUMBER: &str = "+4721000000";
/// Kari's number.
pub(crate) const CALLER_NUMBER: &str = "+4755512345";
const DOMAIN: &str = "demo.medlytt";

/// Pitches in Hz at which the four are told apart.
pub(crate) const KARI: f32 = 171.0;
pub(crate) const ANNA: f32 = 233.0;
pub(crate) const BO: f32 = 123.0;

/// The phones' SIP sockets, before the engine is there.
#[derive(Debug)]
pub(crate) struct Sockets {
    kari: UdpSocket,
    anna: UdpSocket,
    bo: UdpSocket,
    lisa: UdpSocket,
}

impl Sockets {
    pub(crate) fn bind() -> io::Result<Self> {
        let bind = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { kari: bind()?, anna: bind()?, bo: bind()?, lisa: bind()? })
    }
}

/// Everybody, on their telephones.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) caller: Line,
    pub(crate) anna: Line,
    pub(crate) bo: Line,
    pub(crate) listener: Line,
}

impl Cast {
    /// Puts the phones on their sockets. `engine` is where they send their requests.
    pub(crate) fn gather(sockets: Sockets, engine: SocketAddr) -> io::Result<Self> {
        let line = |user: &str, socket: UdpSocket, voice: Voice, receives_only: bool| {
            let local = socket.local_addr()?;
            let mut settings = phone::Settings { voice, ..phone::Settings::new(user, DOMAIN, local, engine) };
            settings.habits.on_call = OnCall::Answer { after: Duration::from_secs(1) };
            settings.habits.rtcp = true;
            settings.habits.bye_after_transfer = true;
            if receives_only {
                settings.habits.answer_direction = Direction::RecvOnly;
            }
            Ok::<_, io::Error>(Line::new(settings, tokio::net::UdpSocket::from_std(socket)?))
        };
        Ok(Self {
            caller: line("kari", sockets.kari, Voice::Synth(KARI), false)?,
            anna: line("anna", sockets.anna, Voice::Synth(ANNA), false)?,
            bo: line("bo", sockets.bo, Voice::Synth(BO), false)?,
            listener: line("lisa", sockets.lisa, Voice::Silent, true)?,
        })
    }

    /// Everybody hangs up.
    pub(crate) async fn hang_up(&self) {
        for line in [&self.caller, &self.anna, &self.bo, &self.listener] {
            line.hang_up_all().await;
        }
    }
}

/// What the engine needs for this one demo: a token for orders, a directory for its store.
#[derive(Debug)]
pub(crate) struct Stage {
    /// API token of the user who orders.
    pub(crate) token: String,
    /// The same user's password for the page.
    pub(crate) password: String,
    directory: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Result<Self, String> {
        let seed = random_seed().map_err(|error| error.to_string())?;
        let hex: String = seed.iter().map(|b| format!("{b:02x}")).collect();
        let directory = std::env::temp_dir().join(format!("medlytt-demo-{}", &hex[..12]));
        std::fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(Self { token: format!("demo-{}", &hex[32..]), password: format!("demo-{}", &hex[12..20]), directory })
    }

    /// The engine's configuration for these phones, with the control API on `api`.
    ///
    /// # Errors
    /// The password cannot be hashed.
    pub(crate) fn configuration(&self, api: SocketAddr, sockets: &Sockets) -> Result<String, String> {
        let password_hash = crate::password::hash(&self.password)?;
        let hash: String = Sha256::digest(self.token.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        let store = self.directory.join("demo.db").display().to_string();
        // A socket that is bound has an address.
        let addr = |socket: &UdpSocket| socket.local_addr().map(|addr| addr.to_string()).unwrap_or_default();
        let (kari, anna, bo, lisa) = (addr(&sockets.kari), addr(&sockets.anna), addr(&sockets.bo), addr(&sockets.lisa));
        Ok(format!(
            r#"
[sip]
listen = ["udp:127.0.0.1:0"]
domain = "{DOMAIN}"

[media]
# One call on a machine that may be busy with anything: nobody is refused for that.
fork_lag = "10s"
call_lag = "10s"
address = "127.0.0.1"

[api]
listen = "{api}"

[store]
url = "sqlite:{store}"

[log]
level = "error"

[monitoring]
access_number = "{ACCESS_NUMBER}"
headers = {{ queue = "X-Queue", access_number = "X-Access-Number" }}

[[trunk]]
name = "outside"
uri = "sip:{kari}"
allow = ["127.0.0.1/32"]

[[agent]]
id = "anna"
name = "Anna Berg"
number = "1001"
contact = "sip:anna@{anna}"
group = "Support"

[[agent]]
id = "bo"
name = "Bo Lie"
number = "1002"
contact = "sip:bo@{bo}"
group = "Support"

[[user]]
id = "lisa"
name = "Lisa Listener"
role = "admin"
token_hash = "sha256:{hash}"
password_hash = "{password_hash}"
softphone = "lisa"
contact = "sip:lisa@{lisa}"
"#
        ))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
