//! The way to an endpoint: one connection to an address that was judged, HTTP/1.1, one request at a time. No redirect is
//! followed, no proxy asked, and nobody waits for an endpoint beyond a time and a length.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use url::Url;

use super::Policy;
use super::guard::{self, Barred};

/// Bytes of an answer's body that are read so that the connection can serve again; of its head.
const ANSWER_MAX: usize = 64 * 1024;
/// A connection on which nothing was sent for so long is not used again.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// What goes to an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) url: Url,
    pub(super) id: String,
    /// Seconds since 1970, as signed.
    pub(super) timestamp: i64,
    pub(super) signature: String,
    pub(super) body: Arc<str>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    /// A word where there was no answer.
    pub(crate) error: Option<&'static str>,
    /// Seconds that the endpoint asks for.
    pub(super) retry_after: Option<u32>,
}

impl Outcome {
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// Nobody wants these any more.
    pub(super) fn is_gone(&self) -> bool {
        self.status == Some(410)
    }

    fn failed(error: &'static str) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}

pub(super) type Posting<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Something that takes parcels to endpoints, one at a time.
pub(super) trait Line: Send {
    fn post<'a>(&'a mut self, policy: &'a Arc<Policy>, parcel: &'a Parcel) -> Posting<'a>;
    /// Lets go of a connection that may be kept.
    fn rest(&mut self) {}
}

/// Connections over TCP and TLS.
#[derive(Default)]
pub(super) struct HttpLine {
    kept: Option<Kept>,
}

struct Kept {
    origin: url::Origin,
    sender: SendRequest<Full<Bytes>>,
    used: Instant,
    /// Ends with it.
    _driver: Driver,
}

/// The task that moves a connection's bytes.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Line for HttpLine {
    fn post<'a>(&'a mut self, policy: &'a Arc<Policy>, parcel: &'a Parcel) -> Posting<'a> {
        Box::pin(async move {
            let end = Instant::now() + policy.settings.timeout;
            match tokio::time::timeout_at(end, self.answer(policy, parcel)).await {
                Ok(Ok(response)) => self.read(response, end).await,
                Ok(Err(error)) => {
                    self.kept = None;
                    Outcome::failed(error)
                }
                Err(_) => {
                    self.kept = None;
                    Outcome::failed("timeout")
                }
            }
        })
    }

    fn rest(&mut self) {
        self.kept = None;
    }
}

type Answered = Result<Response<hyper::body::Incoming>, &'static str>;

impl HttpLine {
    async fn answer(&mut self, policy: &Arc<Policy>, parcel: &Parcel) -> Answered {
        let origin = parcel.url.origin();
        let kept = self.kept.take().filter(|kept| kept.origin == origin && kept.used.elapsed() < IDLE);
        if let Some(mut kept) = kept {
            // The endpoint may have closed it meanwhile; then a new one is as good.
            if kept.sender.ready().await.is_ok()
                && let Ok(response) = kept.sender.send_request(request(parcel)?).await
            {
                self.kept = Some(kept);
                return Ok(response);
            }
        }
        let (mut sender, driver) = open(policy, &parcel.url).await?;
        let response = sender.send_request(request(parcel)?).await.map_err(|_| "no-answer")?;
        self.kept = Some(Kept { origin, sender, used: Instant::now(), _driver: driver });
        Ok(response)
    }

    /// The head has decided; the rest is read for the sake of the connection.
    async fn read(&mut self, response: Response<hyper::body::Incoming>, end: Instant) -> Outcome {
        let (head, mut body) = response.into_parts();
        let whole = async {
            let mut left = ANSWER_MAX;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { return false };
                let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
                left = rest;
            }
            true
        };
        match (tokio::time::timeout_at(end, whole).await, &mut self.kept) {
            (Ok(true), Some(kept)) => kept.used = Instant::now(),
            _ => self.kept = None,
        }
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let asks = matches!(head.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Outcome {
            status: Some(head.status.as_u16()),
            error: head.status.is_redirection().then_some("redirect-not-followed"),
            retry_after: retry_after.filter(|_| asks),
        }
    }
}

fn request(parcel: &Parcel) -> Result<Request<Full<Bytes>>, &'static str> {
    let authority = &parcel.url[url::Position::BeforeHost..url::Position::AfterPort];
    let request = Request::post(&parcel.url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("Medlytt/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &parcel.id)
        .header("webhook-timestamp", parcel.timestamp)
        .header("webhook-signature", &parcel.signature);
    request.body(Full::new(Bytes::copy_from_slice(parcel.body.as_bytes()))).map_err(|_| "url")
}

/// A connection to the first address that takes one, of those that were judged just now.
async fn open(policy: &Arc<Policy>, url: &Url) -> Result<(SendRequest<Full<Bytes>>, Driver), &'static str> {
    let settings = &policy.settings;
    let url = guard::parse(url.as_str(), settings.allow_http).map_err(|_| "refused-url")?;
    let found = guard::addresses(&url, settings, settings.timeout).await.map_err(|barred| match barred {
        Barred::Unresolved => "unresolved",
        Barred::Address | Barred::Form(_) => {
            policy.barred.fetch_add(1, Ordering::Relaxed);
            "refused-address"
        }
    })?;
    let stream = connect(&found).await.ok_or("no-connection")?;
    let _ = stream.set_nodelay(true);
    if url.scheme() != "https" {
        return shake(stream).await;
    }
    let roots = policy.trusted().await?;
    // `host_str` has brackets around IPv6, which names in TLS have not.
    let host = url.host_str().ok_or("tls")?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|_| "tls")?;
    let stream = TlsConnector::from(roots).connect(name, stream).await.map_err(|_| "tls")?;
    shake(stream).await
}

async fn connect(addresses: &[SocketAddr]) -> Option<TcpStream> {
    for address in addresses {
        if let Ok(stream) = TcpStream::connect(address).await {
            return Some(stream);
        }
    }
    None
}

async fn shake<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
) -> Result<(SendRequest<Full<Bytes>>, Driver), &'static str> {
    let shaken = http1::Builder::new().max_buf_size(ANSWER_MAX).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|_| "no-connection")?;
    let driver = tokio::spawn(async move {
        // Its errors come out where the answer is waited for.
        let _ = connection.await;
    });
    Ok((sender, Driver(driver)))
}

/// Whom TLS trusts, read when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Trust(OnceLock<Arc<ClientConfig>>);

impl Trust {
    /// The system's certificates and the operator's own.
    pub(super) fn config(&self, own: Option<&[u8]>) -> Result<Arc<ClientConfig>, &'static str> {
        if let Some(config) = self.0.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "a certificate of the system cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
        roots.add_parsable_certificates(own.map(certificates).transpose().map_err(|_| "tls")?.unwrap_or_default());
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| "tls")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::clone(self.0.get_or_init(|| Arc::new(config))))
    }
}

/// The certificates of a PEM text: one at least.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("holds no certificate".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("is not PEM: {error}")),
    }
}
