//! HTTPS by the server itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use medlytt_api::{HANDSHAKES_MAX, Identity, IdentityError, Settings};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stage::Stage;

/// A folder with a certificate and its key, gone when dropped.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("medlytt-api-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn identity(&self) -> Identity {
        Identity::read(&self.path("cert.pem"), &self.path("key.pem")).unwrap()
    }

    fn client(&self, protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("cert.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The stage's API on a port of its own, until the test ends.
async fn serve(stage: &Stage, identity: Option<Identity>) -> std::net::SocketAddr {
    stage.api.settings(Settings { tls: identity.is_some(), ..Settings::default() });
    stage.api.identity(identity);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let api = stage.api.clone();
    tokio::spawn(async move { api.serve(listener, std::future::pending()).await });
    at
}

async fn connect(client: &TlsConnector, at: std::net::SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    client.connect(name, TcpStream::connect(at).await?).await
}

async fn get_me(stream: &mut TlsStream<TcpStream>) -> String {
    let request =
        b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-ada\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn https_answers_and_says_so() {
    let (stage, files) = (Stage::new(), Files::new("answers"));
    let at = serve(&stage, Some(files.identity())).await;
    let mut stream = connect(&files.client(&["http/1.1"]), at).await.unwrap();
    let answer = get_me(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"id\":\"ada\""), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    let stream = connect(&files.client(&["h2", "http/1.1"]), at).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn who_is_slow_to_shake_hands_holds_nobody_up() {
    let (stage, files) = (Stage::new(), Files::new("slow"));
    let at = serve(&stage, Some(files.identity())).await;
    let mut silent = Vec::new();
    for _ in 0..HANDSHAKES_MAX / 2 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    let mut stream = connect(&files.client(&["http/1.1"]), at).await.unwrap();
    assert!(get_me(&mut stream).await.starts_with("HTTP/1.1 200"));
    for _ in 0..HANDSHAKES_MAX {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    // those above the limit are told at once
    let last = silent.last_mut().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), last.read(&mut [0])).await.unwrap();
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
    let text = String::from_utf8(stage.get("", "/metrics").await.body).unwrap();
    let refused = text.lines().find_map(|line| line.strip_prefix("medlytt_http_handshakes_refused_total "));
    assert!(refused.unwrap().parse::<u64>().unwrap() >= (HANDSHAKES_MAX / 2 - 1) as u64, "{refused:?}");
    // and those who gave up leave their place
    drop(silent);
    let client = files.client(&["http/1.1"]);
    let mut again = None;
    for _ in 0..500 {
        match connect(&client, at).await {
            Ok(stream) => {
                again = Some(stream);
                break;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    assert!(get_me(&mut again.unwrap()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn plain_http_gets_nothing_on_https() {
    let (stage, files) = (Stage::new(), Files::new("plain"));
    let at = serve(&stage, Some(files.identity())).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream
        .write_all(b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-ada\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
    let text = String::from_utf8(stage.get("", "/metrics").await.body).unwrap();
    assert!(text.contains("medlytt_http_handshakes_failed_total 1\n"), "{text}");
}

#[tokio::test]
async fn another_certificate_counts_from_the_next_connection_on() {
    let stage = Stage::new();
    let (before, after) = (Files::new("before"), Files::new("after"));
    let at = serve(&stage, Some(before.identity())).await;
    let mut open = connect(&before.client(&["http/1.1"]), at).await.unwrap();
    stage.api.identity(Some(after.identity()));
    assert!(connect(&before.client(&[]), at).await.is_err());
    assert!(get_me(&mut open).await.starts_with("HTTP/1.1 200"), "what is open goes on");
    let mut stream = connect(&after.client(&["http/1.1"]), at).await.unwrap();
    assert!(get_me(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[test]
fn what_is_wrong_with_the_files_is_said() {
    let (files, other) = (Files::new("files"), Files::new("other"));
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let why = |certificate: &Path, key: &Path| Identity::read(certificate, key).unwrap_err();
    let none = Path::new("/nowhere/cert.pem");
    assert!(matches!(why(none, &key), IdentityError::Certificate(why) if why.contains("cannot be read")));
    assert!(matches!(why(&certificate, none), IdentityError::Key(why) if why.contains("cannot be read")));
    assert!(matches!(why(&key, &key), IdentityError::Certificate(why) if why.contains("no CERTIFICATE")));
    assert!(matches!(why(&certificate, &certificate), IdentityError::Key(_)));
    assert!(
        matches!(why(&certificate, &other.path("key.pem")), IdentityError::Key(why) if why.contains("this certificate"))
    );
    std::fs::write(files.path("odd.pem"), "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(why(&files.path("odd.pem"), &key), IdentityError::Certificate(_)));
    assert_eq!(format!("{:?}", files.identity()), "Identity");
}
