//! The binary's lives: killed and started again, drained, stopped, reloaded, with phones in calls (SEMANTICS, After a
//! restart).

// A real process, real sockets and real signals.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Parties, Party};

const TOKEN: &str = "admin-token";
const SECOND: Duration = Duration::from_secs(1);

/// Places in [`Parties`].
const TRUNK: usize = 0;
const ANNA: usize = 1;
const ADA: usize = 2;

/// The binary, its folder, and who talks to it.
struct Stage {
    folder: PathBuf,
    sip: SocketAddr,
    engine: Option<Engine>,
    parties: Parties,
}

struct Engine {
    process: Child,
    http: String,
    _stdout: BufReader<ChildStdout>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(engine) = &mut self.engine {
            let _ = engine.process.kill();
            let _ = engine.process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    /// A caller behind a trunk, an agent who registers, and an admin with a phone of her own.
    fn new(name: &str, drain_timeout: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("medlytt-lives-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let sip = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let parties = Parties(vec![
            Party::new("trunk", "127.0.0.2", sip, |_| {}),
            Party::new("anna", "127.0.0.1", sip, |settings| settings.password = Some("secret".into())),
            Party::new("ada", "127.0.0.1", sip, |settings| {
                settings.habits.answer_direction = signalling::sdp::Direction::RecvOnly;
            }),
        ]);
        let mut stage = Self { folder, sip, engine: None, parties };
        stage.configure(
            &format!("drain_timeout = \"{drain_timeout}\"\n"),
            "10a4c7c9fc5206d6f36dc6944a81bb6f4a3cb0e25014ae3b12e6c3e52712292a",
            "",
        );
        stage.start();
        let anna = &mut stage.parties.0[ANNA];
        anna.act(|phone, now, out| phone.register(now, 3600, out));
        stage.until("anna is registered", |stage| stage.get("/v1/agents/anna")["registered"] == true);
        stage
    }

    fn configure(&self, top: &str, token_hash: &str, more: &str) {
        let (trunk, ada) = (self.parties.0[TRUNK].address(), self.parties.0[ADA].address());
        let text = format!(
            "{top}[sip]\nlisten = [\"udp:{}\"]\ndomain = \"medlytt.test\"\n[media]\naddress = \"127.0.0.1\"\nport_pool = 8\n\
             [api]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:{}\"\n[monitoring]\naccess_number = \"+4721000000\"\n\
             [[trunk]]\nname = \"platform\"\nuri = \"sip:{trunk}\"\n\
             [[agent]]\nid = \"anna\"\nname = \"Anna\"\nnumber = \"1001\"\npassword = \"secret\"\n\
             [[user]]\nid = \"ada\"\nname = \"Ada\"\nrole = \"admin\"\nsoftphone = \"ada\"\ncontact = \"sip:ada@{ada}\"\n\
             token_hash = \"sha256:{token_hash}\"\n{more}",
            self.sip,
            self.folder.join("medlytt.db").display(),
        );
        std::fs::write(self.folder.join("medlytt.toml"), text).unwrap();
    }

    fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_medlytt"))
            .args(["serve", "--config"])
            .arg(self.folder.join("medlytt.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let http = line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned);
        let http = http.unwrap_or_else(|| panic!("no address in {line:?}: {}", self.log()));
        self.engine = Some(Engine { process, http, _stdout: stdout });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn kill(&mut self) {
        let mut engine = self.engine.take().expect("it runs");
        engine.process.kill().unwrap();
        engine.process.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.engine.as_ref().expect("it runs").process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The status of a request, and its body.
    fn ask(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let url = format!("{}{path}", self.engine.as_ref().expect("it runs").http);
        let bearer = format!("Bearer {token}");
        let answer = match (method, body) {
            ("POST", Some(body)) => agent.post(url).header("Authorization", bearer).send_json(body),
            _ => agent.get(url).header("Authorization", bearer).call(),
        };
        let mut answer = answer.unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or_default())
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", path, TOKEN, None).1
    }

    #[track_caller]
    fn until(&mut self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + 20 * SECOND;
        while !so(self) {
            assert!(Instant::now() < end, "never: {what}\n{}", self.log());
            self.parties.live_for(Duration::from_millis(20));
        }
    }

    /// The trunk calls the agent, and the admin listens to it for long enough to count.
    fn listens(&mut self) {
        self.calls();
        let order = json!({"agent": "anna", "listener": {"user": "ada"}, "calls": 3});
        let (status, request) = self.ask("POST", "/v1/requests", TOKEN, Some(&order));
        assert_eq!(status, 201, "{request}");
        let path = format!("/v1/requests/{}", request["id"].as_str().unwrap());
        self.until("it counts", |stage| stage.get(&path)["calls"]["used"] == 1);
    }

    fn calls(&mut self) {
        let uri = format!("sip:1001@{}", self.sip);
        self.parties.0[TRUNK].dial(&uri);
        self.parties.until("the call is up", 5 * SECOND, |all| all.0[TRUNK].is_up() && all.0[ANNA].is_up());
    }

    /// Waits for the process to end by itself, and gives what it left in its store.
    fn ended(&mut self, limit: Duration) -> engine::persist::Restored {
        let mut engine = self.engine.take().expect("it runs");
        let end = Instant::now() + limit;
        while engine.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "still there\n{}", self.log());
            self.parties.live_for(Duration::from_millis(20));
        }
        assert!(engine.process.wait().unwrap().success(), "{}", self.log());
        let url = format!("sqlite:{}", self.folder.join("medlytt.db").display());
        store::open(&url).unwrap().restore().unwrap()
    }
}

#[test]
fn killed_it_leaves_nobody_in_a_call_and_knows_its_phones() {
    let mut stage = Stage::new("killed", "20s");
    stage.listens();
    let call = stage.get("/v1/calls")["items"][0]["id"].as_str().unwrap().to_owned();
    stage.kill();
    let started = Instant::now();
    stage.start();
    assert!(started.elapsed() < 2 * SECOND, "{:?}", started.elapsed());
    stage.parties.until("everybody is free", 5 * SECOND, Parties::are_idle);
    let record = stage.get(&format!("/v1/calls/{call}"));
    assert_eq!(
        (&record["end"]["cause"], &record["end"]["by"]),
        (&json!("engine-restarted"), &json!("engine")),
        "{record}"
    );
    let listening = &stage.get("/v1/listenings")["items"][0];
    assert_eq!((&listening["end_reason"], &listening["counted"]), (&json!("engine-restarted"), &json!(true)));
    stage.calls(); // though anna has not registered again
    stage.until("the listener too", |stage| stage.parties.0[ADA].is_up());
    stage.signal("INT");
    let left = stage.ended(5 * SECOND);
    assert!(left.dialogs.is_empty(), "{:?}", left.dialogs);
    assert_eq!(left.registrations.len(), 1);
}

#[test]
fn sigterm_takes_no_new_calls_and_waits_for_those_that_are_up() {
    let mut stage = Stage::new("drains", "20s");
    stage.calls();
    stage.signal("TERM");
    stage.until("it drains", |stage| stage.ask("GET", "/readyz", TOKEN, None).0 == 503);
    let uri = format!("sip:1001@{}", stage.sip);
    let late = stage.parties.0[TRUNK].dial(&uri);
    stage.parties.until("it is refused", 5 * SECOND, |all| {
        all.0[TRUNK].phone.call(late).is_some_and(|call| call.status() == Some(503))
    });
    assert!(stage.parties.0[ANNA].is_up(), "hers goes on");
    stage.parties.0[TRUNK].hang_up();
    let left = stage.ended(5 * SECOND);
    assert!(left.dialogs.is_empty(), "{:?}", left.dialogs);
    assert!(stage.parties.are_idle());
}

#[test]
fn a_drain_that_takes_too_long_hangs_up() {
    let mut stage = Stage::new("late", "1s");
    stage.listens();
    stage.signal("TERM");
    let asked = Instant::now();
    let left = stage.ended(6 * SECOND);
    assert!(asked.elapsed() >= SECOND, "{:?}", asked.elapsed());
    assert!(left.dialogs.is_empty() && left.listenings.is_empty(), "{left:?}");
    stage.parties.until("everybody is free", SECOND, Parties::are_idle);
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let mut stage = Stage::new("twice", "60s");
    stage.listens();
    stage.signal("TERM");
    stage.until("it drains", |stage| stage.ask("GET", "/readyz", TOKEN, None).0 == 503);
    stage.signal("TERM");
    let left = stage.ended(4 * SECOND);
    assert!(left.dialogs.is_empty() && left.listenings.is_empty(), "{left:?}");
    stage.parties.until("everybody is free", SECOND, Parties::are_idle);
}

#[test]
fn a_bad_reload_leaves_credentials_directory_and_settings_as_they_were() {
    let mut stage = Stage::new("reload", "20s");
    let other_token = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"; // "test"
    // another token, another number, one more agent and, at the end, a mistake
    stage.configure(
        "",
        other_token,
        "[[agent]]\nid = \"bo\"\nname = \"Bo\"\nnumber = \"1002\"\n[[agent]]\nid = \"cia\"\n",
    );
    let path = stage.folder.join("medlytt.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("access_number = \"+4721000000\"", "max_requests = 1");
    std::fs::write(&path, text).unwrap();
    stage.signal("HUP");
    stage.until("it is refused", |stage| stage.log().contains("was not reloaded"));
    assert_eq!(stage.ask("GET", "/v1/agents", "test", None).0, 401, "no new credentials");
    let agents = stage.get("/v1/agents");
    assert_eq!((agents["items"].as_array().unwrap().len(), &agents["items"][0]["registered"]), (1, &json!(true)));
    stage.listens(); // with the access number that the file does not name any more
    std::fs::remove_file(&path).unwrap();
    stage.signal("HUP");
    stage.until("it is refused too", |stage| stage.log().matches("was not reloaded").count() == 2);
    assert!(stage.parties.0[ADA].is_up(), "and nobody has noticed");
    stage.signal("INT");
    assert!(stage.ended(5 * SECOND).dialogs.is_empty());
}
