//! The binary's ways in: the token of the first start, and HTTPS with a certificate that is read again.

// A real process, real sockets and real signals.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const LIMIT: Duration = Duration::from_secs(30);

/// A folder of one test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("medlytt-sign-in-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A configuration; `api` goes into `[api]`, `users` to the end.
    fn config(&self, api: &str, users: &str) -> PathBuf {
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[media]\naddress = \"127.0.0.1\"\nport_pool = 4\n\
             [store]\nurl = \"sqlite:{}\"\n[api]\nlisten = \"127.0.0.1:0\"\n{api}\n{users}",
            self.path("medlytt.db").display(),
        );
        std::fs::write(self.path("medlytt.toml"), text).unwrap();
        self.path("medlytt.toml")
    }

    /// A new certificate for `localhost`, and its key.
    fn certify(&self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(self.path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    fn https(&self) -> String {
        let of = |name| self.path(name).display().to_string();
        format!("certificate = \"{}\"\nkey = \"{}\"", of("cert.pem"), of("key.pem"))
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
    errors: PathBuf,
    _stdout: BufReader<ChildStdout>,
}

impl Engine {
    fn start(config: &Path) -> Self {
        let errors = config.with_extension("log");
        let mut process = Command::new(env!("CARGO_BIN_EXE_medlytt"))
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self { process, line, errors, _stdout: stdout }
    }

    /// `http://127.0.0.1:40123`, as the line at start has it.
    fn url(&self) -> &str {
        let found = self.line.split_whitespace().find(|word| word.starts_with("http"));
        found.unwrap_or_else(|| panic!("no address in {:?}: {}", self.line, self.errors()))
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap().success());
    }

    fn stop(mut self) {
        self.signal("INT");
        until("the process ends", || self.process.try_wait().unwrap());
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
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn me(engine: &Engine, token: &str) -> Option<serde_json::Value> {
    let request = ureq::get(format!("{}/v1/me", engine.url())).header("Authorization", format!("Bearer {token}"));
    request.call().ok()?.body_mut().read_json().ok()
}

/// The token on standard error, if there is one.
fn printed(engine: &Engine) -> Option<String> {
    let errors = engine.errors();
    let token = errors.lines().map(str::trim).find(|line| line.starts_with("mdl_")).map(str::to_owned);
    token.inspect(|token| assert!(errors.contains(&format!("{}/#{token}", engine.url())), "{errors}"))
}

#[test]
fn the_first_admin_gets_a_token_once() {
    let folder = Folder::new("first");
    let sue = "[[user]]\nid = \"sue\"\nname = \"Sue\"\nrole = \"supervisor\"\n";
    let config = folder.config("", sue);
    let engine = Engine::start(&config);
    let token = printed(&engine).unwrap();
    let admin = until("the admin is there", || me(&engine, &token));
    assert_eq!((admin["id"].as_str(), admin["role"].as_str()), (Some("admin"), Some("admin")));
    // a reload keeps the admin that the configuration does not have
    engine.signal("HUP");
    until("the reload", || engine.errors().contains("the configuration was reloaded").then_some(()));
    assert!(me(&engine, &token).is_some());
    assert_eq!(engine.errors().matches(&token).count(), 2, "the token, and the address with it; never the log");
    engine.stop();

    let engine = Engine::start(&config);
    assert_eq!(printed(&engine), None);
    until("the token is still good", || me(&engine, &token));
    engine.stop();

    // an admin of the configuration who can sign in needs none
    let hash = "10a4c7c9fc5206d6f36dc6944a81bb6f4a3cb0e25014ae3b12e6c3e52712292a";
    let ada =
        format!("{sue}[[user]]\nid = \"ada\"\nname = \"Ada\"\nrole = \"admin\"\ntoken_hash = \"sha256:{hash}\"\n");
    std::fs::remove_file(folder.path("medlytt.db")).unwrap();
    let engine = Engine::start(&folder.config("", &ada));
    assert_eq!(printed(&engine), None);
    until("ada is there", || me(&engine, "admin-token"));
}

/// What HTTPS answers to one who knows this certificate.
fn over_https(url: &str, certificate: &Path) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let client = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(url.strip_prefix("https://").unwrap())?);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn https_takes_another_certificate_by_reload() {
    let folder = Folder::new("https");
    folder.certify();
    let config = folder.config(&folder.https(), "");
    let engine = Engine::start(&config);
    assert!(engine.url().starts_with("https://"), "{}", engine.line);
    assert!(printed(&engine).is_some());
    let answer = over_https(engine.url(), &folder.path("cert.pem")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("strict-transport-security"), "{answer}");

    let first = folder.path("first.pem");
    std::fs::copy(folder.path("cert.pem"), &first).unwrap();
    folder.certify();
    engine.signal("HUP");
    let own = folder.path("cert.pem");
    until("the new certificate", || over_https(engine.url(), &own).ok());
    assert!(over_https(engine.url(), &first).is_err());

    // a broken one changes nothing
    std::fs::write(folder.path("key.pem"), "no key").unwrap();
    engine.signal("HUP");
    until("the refusal", || engine.errors().contains("was not reloaded").then_some(()));
    assert!(over_https(engine.url(), &own).is_ok());
}

#[test]
fn check_says_what_is_wrong_with_the_certificate() {
    let folder = Folder::new("check");
    folder.certify();
    let key = folder.path("key.pem").display().to_string();
    for (api, wanted) in [
        (folder.https().replace("cert.pem", "none.pem"), "api.certificate"),
        (folder.https().replace("key.pem", "cert.pem"), "api.key"),
        (format!("key = \"{key}\""), "a key needs its certificate"),
        ("public_url = \"monitor.example.com\"".to_owned(), "api.public_url"),
        ("allowed_hosts = [\"a:80\"]".to_owned(), "api.allowed_hosts"),
        ("rate = 0".to_owned(), "api.rate"),
    ] {
        let config = folder.config(&api, "");
        let output =
            Command::new(env!("CARGO_BIN_EXE_medlytt")).args(["check", "--config"]).arg(&config).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{api}: {text}");
        assert!(text.contains(wanted), "{api}: {text}");
    }
}
