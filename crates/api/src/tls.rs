//! HTTPS: the server's certificate, and handshakes that hold nobody else up. A handshake goes on where the connection is
//! first read, never where connections are accepted; it has a limit of time, and all together one of number.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::Api;

/// Handshakes at one time; who comes then is closed at once.
pub const HANDSHAKES_MAX: usize = 256;
/// A handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A certificate chain with its key, ready to serve.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

/// Which of the two files is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// The chain.
    Certificate(String),
    /// The key.
    Key(String),
}

impl Identity {
    /// Reads two PEM files: the chain, the server's own certificate first, and the key.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain: Result<Vec<CertificateDer<'static>>, PemError> =
            CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain = chain.map_err(|error| IdentityError::Certificate(words(certificate, &error)))?;
        if chain.is_empty() {
            let message = format!("{} has no CERTIFICATE in PEM", certificate.display());
            return Err(IdentityError::Certificate(message));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| IdentityError::Key(words(key, &error)))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| match error {
                rustls::Error::InvalidCertificate(_) => IdentityError::Certificate(format!("cannot be used: {error}")),
                _ => IdentityError::Key(format!("cannot be used with this certificate: {error}")),
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// A connection whose handshake is still to come.
    pub(crate) fn wire(&self, api: Api, stream: TcpStream, permit: OwnedSemaphorePermit) -> Wire {
        let accept = TlsAcceptor::from(Arc::clone(&self.0)).accept(stream);
        let deadline = Box::pin(sleep(HANDSHAKE));
        Wire::Tls(Box::new(Tls::Greeting { accept, deadline, api, _permit: permit }))
    }
}

// neither the key nor what is derived from it is to be seen
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) | Self::Key(why) => f.write_str(why),
        }
    }
}

fn words(file: &Path, error: &PemError) -> String {
    match error {
        PemError::Io(error) => format!("{} cannot be read: {error}", file.display()),
        PemError::NoItemsFound => format!("{} has no such thing in PEM", file.display()),
        _ => format!("{} is not PEM: {error}", file.display()),
    }
}

/// A connection, with TLS or without.
pub(crate) enum Wire {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// TLS, from its first byte.
pub(crate) enum Tls {
    Greeting { accept: Accept<TcpStream>, deadline: Pin<Box<Sleep>>, api: Api, _permit: OwnedSemaphorePermit },
    Open(TlsStream<TcpStream>),
    Failed(io::ErrorKind),
}

impl Tls {
    /// Goes on with the handshake; the stream once it is over.
    fn open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut TlsStream<TcpStream>>>> {
        if let Self::Greeting { accept, deadline, api, .. } = self {
            let over = deadline.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
            let done = match Pin::new(accept).poll(context) {
                Poll::Ready(done) => done,
                Poll::Pending => ready!(over),
            };
            if let Err(error) = &done {
                api.inner.counts.handshakes_failed.inc();
                tracing::debug!(%error, "TLS handshake failed");
            }
            *self = match done {
                Ok(stream) => Self::Open(stream),
                Err(error) => Self::Failed(error.kind()),
            };
        }
        Poll::Ready(match self {
            Self::Open(stream) => Ok(Pin::new(stream)),
            Self::Failed(kind) => Err((*kind).into()),
            Self::Greeting { .. } => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(tls) => ready!(tls.open(context))?.poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, data),
            Self::Tls(tls) => ready!(tls.open(context))?.poll_write(context, data),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(tls) => ready!(tls.open(context))?.poll_flush(context),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(tls) => match &mut **tls {
                Tls::Open(stream) => Pin::new(stream).poll_shutdown(context),
                // nothing was said, so nothing is to be ended
                Tls::Greeting { .. } | Tls::Failed(_) => Poll::Ready(Ok(())),
            },
        }
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, data),
            Self::Tls(tls) => ready!(tls.open(context))?.poll_write_vectored(context, data),
        }
    }
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(tls) => matches!(&**tls, Tls::Open(stream) if stream.is_write_vectored()),
        }
    }
}
