//! The binary from outside: command line, exit statuses, signals.

// A real process, real sockets and real signals.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(20);
const TOKEN: &str = "admin-token";

fn medlytt() -> Command {
    Command::new(env!("CARGO_BIN_EXE_medlytt"))
}

fn run(arguments: &[&str]) -> Output {
    medlytt().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder of one test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("medlytt-binary-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, content: &str) -> PathBuf {
        let path = self.0.join("medlytt.toml");
        std::fs::write(&path, content).unwrap();
        path
    }

    fn config(&self, agents: &str) -> PathBuf {
        self.write(&format!(
            "drain_timeout = \"20s\"\n[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\naddress = \"127.0.0.1\"\nport_pool = 4\n\
             [api]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:{}\"\n\
             [[user]]\nid = \"admin\"\nname = \"Ada\"\nrole = \"admin\"\n\
             token_hash = \"sha256:10a4c7c9fc5206d6f36dc6944a81bb6f4a3cb0e25014ae3b12e6c3e52712292a\"\n{agents}",
            self.0.join("medlytt.db").display(),
        ))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The running engine; killed when dropped.
struct Engine {
    process: Child,
    line: String,
    log: PathBuf,
    _stdout: BufReader<ChildStdout>,
}

impl Engine {
    fn start(config: &Path) -> Self {
        let log = config.with_extension("log");
        let mut process = medlytt()
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self { process, line, log, _stdout: stdout }
    }

    fn url(&self, path: &str) -> String {
        let http = self.line.split_whitespace().find(|word| word.starts_with("http://"));
        format!("{}{path}", http.unwrap_or_else(|| panic!("no address in {:?}", self.line)))
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let request = ureq::get(self.url(path)).header("Authorization", format!("Bearer {TOKEN}"));
        request.call().unwrap().body_mut().read_json().unwrap()
    }

    /// Its status once it is ready and has told of its threads.
    fn ready(&self) -> serde_json::Value {
        let is_told = |status: &serde_json::Value| status["ready"] == true && status["shards"][0].is_object();
        until("the engine is ready", || Some(self.get("/v1/status")).filter(is_told))
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        until("the process ends", || self.process.try_wait().unwrap())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn how_many_calls_fit_is_said_at_start_and_by_check() {
    let folder = Folder::new("room");
    let config = folder.config("");
    let engine = Engine::start(&config);
    let status = engine.ready();
    let capacity = &status["capacity"];
    let open_files = capacity["open_files"].as_u64().unwrap();
    assert_eq!((capacity["max_calls"].as_u64(), capacity["port_pairs"].as_u64()), (Some(5000), Some(10_000)));
    let sockets = open_files - (open_files / 16).clamp(128, 4096 + 4096 + 512);
    assert_eq!(capacity["media_sockets"].as_u64(), Some(sockets));
    assert_eq!(capacity["calls"].as_u64(), Some((sockets / 4).min(5000)));
    let room = format!("room for {} calls", capacity["calls"]);
    assert!(engine.log().contains(&room), "{room}: {}", engine.log());
    assert_eq!(status["shards"][0]["streams"], 0);
    drop(engine);

    let short = folder.write("[media]\nports = \"20000-20099\"\n[sip]\nmax_calls = 26\n");
    let output = run(&["check", "--config", short.to_str().unwrap()]);
    assert!(output.status.success());
    let warning = text(&output.stderr);
    assert!(
        warning.contains("max_calls cannot be reached here: room for 25 calls, limited by media ports"),
        "{warning}"
    );
    let fits = folder.write("[media]\nports = \"20000-20099\"\n[sip]\nmax_calls = 25\n");
    assert_eq!(text(&run(&["check", "--config", fits.to_str().unwrap()]).stderr), "");
}

#[test]
fn few_descriptors_are_no_reason_to_fail() {
    let folder = Folder::new("descriptors");
    let config = folder.config("").display().to_string();
    // 160 leave 32 to media: no room for the pool beside two calls.
    let script = format!("ulimit -n 160; exec {} serve --config {config}", env!("CARGO_BIN_EXE_medlytt"));
    let log = folder.0.join("few.log");
    let mut process = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let engine = Engine { process, line, log, _stdout: stdout };
    let status = engine.ready();
    assert_eq!((status["ready"].as_bool(), status["capacity"]["calls"].as_u64()), (Some(true), Some(8)));
    assert_eq!(status["capacity"]["limited_by"], "open files");
    assert!(engine.log().contains("raise the limit of open files"), "{}", engine.log());
}

#[test]
fn a_media_address_that_is_not_ours_ends_it_at_once() {
    let folder = Folder::new("media-address");
    let config = folder.config("");
    let given = std::fs::read_to_string(&config).unwrap();
    let config = folder.write(&given.replacen("address = \"127.0.0.1\"", "address = \"192.0.2.77\"", 1));
    let output = run(&["serve", "--config", config.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("cannot bind media 192.0.2.77"), "{}", text(&output.stderr));
}

#[test]
fn help_shows_an_example_for_each_command() {
    for command in ["serve", "check", "demo", "audit", "audit verify", "hash-password", "openapi", "completions"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let output = run(&words);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("Example"), "{command}");
    }
}

#[test]
fn the_shipped_configuration_is_good() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/medlytt.toml");
    let output = run(&["check", "--config", shipped]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_wrong_configuration_ends_with_2_and_every_error() {
    let folder = Folder::new("wrong");
    let config = folder.write("[sip]\nlisten = [\"tls:0.0.0.0:5061\"]\nmax_cals = 7\n");
    for command in ["check", "serve"] {
        let output = run(&[command, "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let errors = text(&output.stderr);
        let path = config.display();
        assert_eq!(
            errors.lines().collect::<Vec<_>>(),
            [
                format!("{path}:2:11: sip.listen: tls: not in this version"),
                format!("{path}:3:1: sip.max_cals: unknown key, did you mean `max_calls`?"),
            ],
            "{command}"
        );
    }
    let output = run(&["check", "--config", "/nowhere/medlytt.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("/nowhere/medlytt.toml: cannot be read: "));
}

#[test]
fn a_password_is_hashed() {
    let mut child = medlytt().arg("hash-password").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(text(&output.stdout).starts_with("$argon2id$"));
}

#[test]
fn the_document_and_completions_are_printed() {
    let document: serde_json::Value = serde_json::from_slice(&run(&["openapi"]).stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(text(&run(&["completions", "bash"]).stdout).contains("hash-password"));
}

#[test]
fn it_serves_reloads_and_ends_on_sigterm() {
    let folder = Folder::new("serves");
    let agent = |id: &str| format!("[[agent]]\nid = \"{id}\"\nname = \"{id}\"\nnumber = \"{id}1\"\npassword = \"p\"\n");
    let config = folder.config(&agent("anna"));
    let mut engine = Engine::start(&config);
    assert!(engine.line.contains(" udp:127.0.0.1:") && engine.line.contains(" http://127.0.0.1:"), "{}", engine.line);
    assert_eq!(ureq::get(engine.url("/readyz")).call().unwrap().status(), 200);
    let sip = engine.get("/v1/status")["sip"][0].as_str().unwrap().to_owned();
    assert!(engine.line.contains(&sip), "{sip} is not in {}", engine.line);

    let agents = |engine: &Engine| engine.get("/v1/agents")["items"].as_array().unwrap().len();
    assert_eq!(agents(&engine), 1);
    folder.config(&(agent("anna") + &agent("bo")));
    engine.signal("HUP");
    until("the new agent is there", || (agents(&engine) == 2).then_some(()));

    engine.signal("TERM");
    assert!(engine.ended().success());
    let log = engine.log();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "not JSON: {log}");
}

#[test]
fn a_reload_brings_new_limits() {
    let folder = Folder::new("limits");
    let agent = "[[agent]]\nid = \"anna\"\nname = \"Anna\"\nnumber = \"1001\"\npassword = \"p\"\n";
    let parties = format!("[[trunk]]\nname = \"t\"\nuri = \"sip:127.0.0.2:5999\"\n{agent}");
    let config = folder.config(&parties);
    let mut engine = Engine::start(&config);
    let order = |engine: &Engine| {
        let request = ureq::post(engine.url("/v1/requests")).header("Authorization", format!("Bearer {TOKEN}"));
        let body = serde_json::json!({"agent": "anna", "listener": {"number": "+4799999999"}, "calls": 1});
        match request.send_json(body) {
            Ok(response) => response.status().as_u16(),
            Err(ureq::Error::StatusCode(status)) => status,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(order(&engine), 409, "there is no access number to show");
    folder.config(&format!("[monitoring]\naccess_number = \"+4721000000\"\n{parties}"));
    engine.signal("HUP");
    until("the access number is known", || (order(&engine) == 201).then_some(()));
    engine.signal("INT");
    assert!(engine.ended().success());
}

#[test]
fn a_wrong_reload_changes_nothing() {
    let folder = Folder::new("reload");
    let agent = "[[agent]]\nid = \"anna\"\nname = \"Anna\"\nnumber = \"1001\"\npassword = \"p\"\n";
    let config = folder.config(agent);
    let mut engine = Engine::start(&config);
    folder.config("[[agent]]\nid = \"bo\"\n");
    engine.signal("HUP");
    until("the reload is refused", || engine.log().contains("agent[bo].name: is missing").then_some(()));
    assert_eq!(engine.get("/v1/agents")["items"][0]["id"], "anna");
    engine.signal("INT");
    assert!(engine.ended().success());
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let folder = Folder::new("taken");
    let config = folder.write(&format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[api]\nlisten = \"{addr}\"\n[store]\nurl = \"sqlite::memory:\"\n"
    ));
    let output = run(&["serve", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot bind http://{addr}")), "{}", text(&output.stderr));
}

/// Agents and an access number, so that an order can be taken.
fn orderable(folder: &Folder) -> PathBuf {
    folder.config(
        "[monitoring]\naccess_number = \"+4721000000\"\n[[trunk]]\nname = \"t\"\nuri = \"sip:127.0.0.2:5999\"\n\
         [[agent]]\nid = \"anna\"\nname = \"Anna\"\nnumber = \"1001\"\npassword = \"p\"\n",
    )
}

/// An order under a key: status, body, and whether it is the first answer again.
fn order_once(engine: &Engine, key: &str, calls: u32) -> (u16, serde_json::Value, bool) {
    let request = ureq::post(engine.url("/v1/requests"))
        .config()
        .http_status_as_error(false)
        .build()
        .header("Authorization", format!("Bearer {TOKEN}"))
        .header("Idempotency-Key", key);
    let body = serde_json::json!({"agent": "anna", "listener": {"number": "+4799999999"}, "calls": calls});
    let mut response = request.send_json(body).unwrap();
    let replayed = response.headers().get("idempotent-replayed").is_some();
    (response.status().as_u16(), response.body_mut().read_json().unwrap(), replayed)
}

fn verify(arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["audit", "verify"], arguments].concat());
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn one_changed_byte_of_the_audit_trail_is_found() {
    let folder = Folder::new("audit");
    let config = orderable(&folder);
    let mut engine = Engine::start(&config);
    let (status, request, _) = order_once(&engine, "k1", 2);
    assert_eq!(status, 201);
    assert!(ureq::get(engine.url("/v1/me")).header("Authorization", "Bearer nonsense").call().is_err());
    let actions = |engine: &Engine, query: &str| -> Vec<String> {
        let list = engine.get(&format!("/v1/audit{query}"));
        list["items"].as_array().unwrap().iter().map(|item| item["action"].as_str().unwrap().to_owned()).collect()
    };
    let target = format!("?target={}", request["id"].as_str().unwrap());
    assert_eq!(actions(&engine, &target), ["request.created"]);
    until("sign-ins are in the trail", || {
        let all = actions(&engine, "");
        ["engine.started", "signed-in", "sign-in-failed"].iter().all(|a| all.iter().any(|b| a == b)).then_some(())
    });

    let config = config.to_str().unwrap();
    let (code, told) = verify(&["--config", config]);
    assert_eq!(code, Some(0), "beside the running engine: {told}");
    let head = told.lines().find_map(|line| line.strip_prefix("head: ")).unwrap().to_owned();
    assert_eq!(head.len(), 64);
    engine.signal("INT");
    assert!(engine.ended().success());
    let (code, told) = verify(&["--config", config, "--head", &head]);
    assert!(code == Some(0) && told.contains("kept head: entry "), "{told}");
    let (code, told) = verify(&["--config", config, "--head", &"ab".repeat(32)]);
    assert!(code == Some(1) && told.contains("the kept head is not in the trail"), "{told}");

    // one byte of the order's entry, past SQLite
    let file = folder.0.join("medlytt.db");
    let url = format!("sqlite:{}", file.display());
    let all_in_one = rusqlite::Connection::open(&file).unwrap();
    all_in_one.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(all_in_one);
    let mut bytes = std::fs::read(&file).unwrap();
    let there = bytes.windows(15).rposition(|w| w == b"request.created").expect("the entry");
    bytes[there] = b'R';
    std::fs::write(&file, &bytes).unwrap();
    let (code, told) = verify(&["--store", &url]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("broken: entry 2: "), "{told}");

    let (code, told) = verify(&["--store", "sqlite:/nowhere/medlytt.db"]);
    assert!(code == Some(1) && told.contains("there is no such file"), "{told}");
}

#[test]
fn an_order_that_was_acknowledged_is_answered_again_after_kill_9() {
    let folder = Folder::new("replay");
    let config = orderable(&folder);
    let engine = Engine::start(&config);
    let (status, first, replayed) = order_once(&engine, "k1", 2);
    assert_eq!((status, replayed), (201, false));
    drop(engine); // SIGKILL
    let engine = Engine::start(&config);
    let (status, again, replayed) = order_once(&engine, "k1", 2);
    assert_eq!((status, replayed), (201, true));
    assert_eq!(again, first);
    assert_eq!(order_once(&engine, "k1", 3).0, 422, "another body");
    assert_eq!(engine.get("/v1/requests?state=active")["items"].as_array().unwrap().len(), 1, "one order");
}
