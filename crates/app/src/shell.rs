//! Binds every socket, opens the store and starts the threads: one for the engine, one for media, one for the store,
//! and a small runtime for HTTP. `serve` and `demo` both run this.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::Api;
use signalling::transport::Transport;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::{Config, ControlApi};
use crate::engine_task::{self, Beginning, Control, Inbox, Outside};
use crate::limits::Capacity;
use crate::media_addresses::MediaAddresses;
use crate::media_plane::{self, MediaPlane};
use crate::retention;
use crate::sip_sockets::{self, SipSockets};
use crate::sip_streams::{self, SipStreams};

/// API commands under way; above, 503.
const COMMANDS: usize = 1024;
/// Media events under way; more wait with the media thread.
const MEDIA_EVENTS: usize = 16_384;
/// Answers of the store under way; more wait with the store's thread.
const STORED: usize = 1024;
/// Orders of the shell under way.
const CONTROL: usize = 16;
/// Threads for HTTP.
const HTTP_THREADS: usize = 2;
/// How long answers under way may take once everything else is over.
const HTTP_GRACE: Duration = Duration::from_millis(500);

/// Where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) sip: Vec<(Transport, SocketAddr)>,
    pub(crate) http: SocketAddr,
    /// HTTPS on it.
    pub(crate) tls: bool,
    /// First and last media port, and the addresses that descriptions show.
    pub(crate) media: (u16, u16),
    pub(crate) media_addresses: MediaAddresses,
    /// Where browsers reach each media thread.
    pub(crate) browser_ports: Vec<u16>,
    /// How many calls fit.
    pub(crate) capacity: Capacity,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (transport, addr) in &self.sip {
            write!(f, "{}:{addr} ", transport.name())?;
        }
        let Self { http, tls, media_addresses, media: (first, last), browser_ports, .. } = self;
        let scheme = if *tls { "https" } else { "http" };
        write!(f, "{scheme}://{http} media:{media_addresses}:{first}-{last} browsers:udp:{}", joined(browser_ports))
    }
}

/// Why it cannot start.
#[derive(Debug)]
pub(crate) struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A running engine with everything around it.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) bound: Bound,
    pub(crate) api: Api,
    control: mpsc::Sender<Control>,
    ready: watch::Receiver<bool>,
    ended: oneshot::Receiver<()>,
    engine: JoinHandle<()>,
    http: tokio::runtime::Runtime,
    stop_http: oneshot::Sender<()>,
}

impl Shell {
    /// Starts everything that a configuration describes.
    ///
    /// # Errors
    /// The first thing that could not be had: an address, the store, a thread.
    pub(crate) fn start(config: &Config) -> Result<Self, StartError> {
        let sip = sip_sockets::bind(&config.sip.addrs(Transport::Udp))
            .map_err(|(addr, error)| cannot("bind", &format!("udp:{addr}"), &error))?;
        let streams = sip_streams::bind(&config.sip.addrs(Transport::Tcp))
            .map_err(|(addr, error)| cannot("bind", &format!("tcp:{addr}"), &error))?;
        let http = std::net::TcpListener::bind(config.api.listen)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| cannot("bind", &format!("http://{}", config.api.listen), &error))?;
        let mut bound = bound(config, &sip, &streams, &http)?;
        media_plane::try_address(config.media.address)
            .map_err(|error| cannot("bind", &format!("media {}", config.media.address), &error))?;
        let store = store::open(&config.store_url).map_err(|error| cannot("open", &config.store_url, &error))?;
        let restored = store.restore().map_err(|error| cannot("read", &config.store_url, &error))?;
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (stored, stored_in) = mpsc::channel(STORED);
        let (control, control_in) = mpsc::channel(CONTROL);
        let (media_events, media_in) = mpsc::channel(MEDIA_EVENTS);
        let (ready_in, ready) = watch::channel(false);
        let (end, ended) = oneshot::channel();

        let api = Api::new(commands, Arc::clone(&store), config.credentials.clone());
        api.webhook_settings(config.webhooks.clone());
        apply(&api, &config.api);
        let clock = Clock::new();
        let media = MediaPlane::start(config, &bound.media_addresses, &bound.capacity, &clock, &media_events)
            .map_err(|error| cannot("start", "the media threads", &error))?;
        bound.browser_ports = media.browser_ports().to_vec();
        let answers = stored.clone();
        // On the store's own thread, which may wait for the engine; the engine never waits for it.
        let written = move |tokens, result| drop(answers.blocking_send((tokens, result)));
        let writer = store::Writer::spawn(Arc::clone(&store), written);
        let mut settings = config.engine();
        settings.signalling.listen = bound.sip.iter().filter(|(transport, _)| transport.is_stream()).copied().collect();
        let connections_max = settings.signalling.connections.total + settings.signalling.connections.connecting;
        let beginning = Beginning {
            settings,
            directory: config.directory.clone(),
            restored,
            seed: random_seed().map_err(|error| cannot("read", "randomness", &error))?,
        };
        let inbox = Inbox { commands: commands_in, media: media_in, stored: stored_in, control: control_in };
        let status = status(&bound);
        api.status(api::Status { not_ready: vec!["starting".to_owned()], ..status.clone() });
        let (api_there, store_there) = (api.clone(), Arc::clone(&store));
        let run = move || -> io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let outside = Outside {
                    clock,
                    sip: SipSockets::new(sip)?,
                    streams: SipStreams::new(streams, connections_max)?,
                    media,
                    writer,
                    store: store_there,
                    stored,
                    api: api_there,
                    status,
                    ready: ready_in,
                };
                engine_task::run(beginning, inbox, outside).await;
                Ok(())
            })
        };
        let engine = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                if let Err(error) = run() {
                    tracing::error!(%error, "the engine's thread cannot run");
                }
                // Whoever waits for it may have gone.
                let _ = end.send(());
            })
            .map_err(|error| cannot("start", "the engine's thread", &error))?;
        let (http, stop_http) = serve_http(&api, http).map_err(|error| cannot("start", "HTTP", &error))?;
        http.spawn(retention::run(store, config.call_records));
        Ok(Self { bound, api, control, ready, ended, engine, http, stop_http })
    }

    /// Where the engine takes orders of the shell.
    pub(crate) fn control(&self) -> mpsc::Sender<Control> {
        self.control.clone()
    }

    /// Enters the HTTP runtime, for what must be made inside one.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.http.enter()
    }

    /// Waits until it is ready for calls. False: not within `limit`.
    pub(crate) fn until_ready(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let ready = &mut self.ready;
        self.http.block_on(async {
            tokio::time::timeout_at(end.into(), ready.wait_for(|ready| *ready)).await.is_ok_and(|ready| ready.is_ok())
        })
    }

    /// Runs `also` on the HTTP runtime until the engine has ended.
    pub(crate) fn run_until_ended(&mut self, also: impl Future<Output = ()>) {
        let ended = &mut self.ended;
        self.http.block_on(async {
            tokio::select! {
                _ = ended => {}
                () = also => {}
            }
        });
    }

    /// Waits for the engine to end (after [`Control::Stop`] or a drain), then closes the rest.
    pub(crate) fn close(self) {
        if self.engine.join().is_err() {
            tracing::error!("the engine's thread has panicked");
        }
        // The server may have ended by itself.
        let _ = self.stop_http.send(());
        self.http.shutdown_timeout(HTTP_GRACE);
    }
}

fn joined(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

fn cannot(what: &str, thing: &str, error: &dyn fmt::Display) -> StartError {
    StartError(format!("cannot {what} {thing}: {error}"))
}

fn bound(
    config: &Config,
    sip: &[std::net::UdpSocket],
    streams: &[std::net::TcpListener],
    http: &std::net::TcpListener,
) -> Result<Bound, StartError> {
    let unnamed = |error: io::Error| cannot("name", "a socket", &error);
    let datagrams = sip.iter().map(|socket| Ok((Transport::Udp, socket.local_addr()?)));
    let streams = streams.iter().map(|listener| Ok((Transport::Tcp, listener.local_addr()?)));
    let sip: io::Result<Vec<(Transport, SocketAddr)>> = datagrams.chain(streams).collect();
    Ok(Bound {
        sip: sip.map_err(unnamed)?,
        http: http.local_addr().map_err(unnamed)?,
        tls: config.api.identity.is_some(),
        media: config.media.ports,
        media_addresses: MediaAddresses::of(config),
        browser_ports: Vec::new(),
        capacity: Capacity::of(config),
    })
}

fn status(bound: &Bound) -> api::Status {
    api::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sip: bound.sip.iter().map(|(transport, addr)| format!("{}:{addr}", transport.name())).collect(),
        http: bound.http.to_string(),
        media: format!("{}:{}-{}", bound.media_addresses, bound.media.0, bound.media.1),
        browsers: bound.browser_ports.iter().map(|port| format!("udp:{}:{port}", bound.media_addresses)).collect(),
        capacity: capacity(&bound.capacity),
        ..api::Status::default()
    }
}

fn capacity(capacity: &Capacity) -> api::Capacity {
    api::Capacity {
        calls: capacity.calls,
        calls_muxed: capacity.calls_muxed,
        limited_by: capacity.limited_by.name().to_owned(),
        max_calls: capacity.max_calls,
        port_pairs: capacity.port_pairs,
        open_files: capacity.open_files,
        media_sockets: capacity.media_sockets,
    }
}

/// What a start and a reload set in the same way.
pub(crate) fn apply(api: &Api, config: &ControlApi) {
    let mut settings = config.settings.clone();
    // `http://SERVER:8080` in an office: the machine's own name is nobody else's
    let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    settings.allowed_hosts.push(own);
    api.settings(settings);
    api.identity(config.identity.clone());
}

fn serve_http(
    api: &Api,
    listener: std::net::TcpListener,
) -> io::Result<(tokio::runtime::Runtime, oneshot::Sender<()>)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stop, stopped) = oneshot::channel();
    let sender = api.clone();
    runtime.spawn(async move { sender.send_webhooks().await });
    let api = api.clone();
    runtime.spawn(async move {
        let stopped = async {
            // An error means that the shell has gone, which is an end as well.
            let _ = stopped.await;
        };
        if let Err(error) = api.serve(listener, stopped).await {
            tracing::error!(%error, "HTTP has ended");
        }
    });
    Ok((runtime, stop))
}

/// From the system's generator.
pub(crate) fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    // Up to 256 bytes come whole (getrandom(2)).
    rustix::rand::getrandom(&mut seed[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(seed)
}
