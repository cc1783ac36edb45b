//! The configuration: a TOML file with environment overrides, read into typed settings. Every error is found at once.

mod api;
mod directory;
mod environment;
mod listing;
mod media;
mod monitoring;
mod report;
mod section;
mod server;
mod settings;
mod tree;
mod values;
mod webhooks;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::directory::Seed;
use engine::view::CallDirection;
use signalling::digest::Algorithm;
use signalling::transport::Transport;

pub(crate) use api::ControlApi;
pub(crate) use media::pairs;
pub(crate) use report::{Problem, Report};
pub(crate) use values::Listen;

use crate::media_thread::IoChoice;
use section::Section;

/// How a drain ends at the latest where the configuration does not say.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that the configuration says, with defaults where it says nothing.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) sip: Sip,
    pub(crate) media: Media,
    pub(crate) api: ControlApi,
    /// `sqlite:PATH`.
    pub(crate) store_url: String,
    /// How long call records are kept; 0: for ever.
    pub(crate) call_records: Duration,
    pub(crate) monitoring: Monitoring,
    /// Where events may be sent.
    pub(crate) webhooks: ::api::WebhookSettings,
    pub(crate) log: Log,
    /// After SIGTERM, how long calls may go on.
    pub(crate) drain_timeout: Duration,
    /// Agents, users and trunks.
    pub(crate) directory: Seed,
    /// The users' API secrets.
    pub(crate) credentials: Vec<::api::Credential>,
}

/// `[sip]`.
#[derive(Clone, Debug)]
pub(crate) struct Sip {
    pub(crate) listen: Vec<Listen>,
    pub(crate) advertised: Option<String>,
    pub(crate) domain: String,
    pub(crate) digest: Vec<Algorithm>,
    pub(crate) max_calls: usize,
    pub(crate) max_transactions: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_source: usize,
    pub(crate) connection_idle: Duration,
}

impl Sip {
    /// What is to be bound of a transport.
    pub(crate) fn addrs(&self, transport: Transport) -> Vec<SocketAddr> {
        self.listen.iter().filter(|listen| listen.transport == transport).map(|listen| listen.addr).collect()
    }
}

/// `[media]`.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    pub(crate) address: std::net::IpAddr,
    pub(crate) advertised: Option<std::net::IpAddr>,
    /// The same for IPv6, where `address` stands for both.
    pub(crate) advertised6: Option<std::net::Ipv6Addr>,
    /// First and last port.
    pub(crate) ports: (u16, u16),
    /// Where browsers come to; the thread after takes the port after. 0: any.
    pub(crate) browser_port: u16,
    /// Listeners in browsers on each thread.
    pub(crate) max_browsers: usize,
    pub(crate) port_pool: usize,
    /// Pairs kept bound beyond the pool.
    pub(crate) kept_ports: usize,
    pub(crate) quarantine: Duration,
    /// Threads; 0: one for each CPU but one.
    pub(crate) shards: usize,
    pub(crate) io: IoChoice,
    /// Sockets are connected to a known source.
    pub(crate) connect: bool,
    /// Of RTP and RTCP (RFC 2474).
    pub(crate) dscp: u8,
    pub(crate) rtp_timeout: Duration,
    pub(crate) rtp_timeout_held: Duration,
    pub(crate) one_way_after: Duration,
    pub(crate) fork_lag: Duration,
    pub(crate) call_lag: Duration,
    /// Relayed, or refused.
    pub(crate) other_streams: bool,
    pub(crate) rtcp_mux: bool,
}

/// `[monitoring]`.
#[derive(Clone, Debug)]
pub(crate) struct Monitoring {
    pub(crate) access_number: Option<String>,
    pub(crate) listener_display: String,
    pub(crate) header_queue: Option<String>,
    pub(crate) header_access_number: Option<String>,
    pub(crate) header_interaction: Option<String>,
    pub(crate) header_do_not_monitor: Option<String>,
    pub(crate) directions: Vec<CallDirection>,
    pub(crate) ring_timeout: Duration,
    pub(crate) min_heard: Duration,
    pub(crate) busy_retry: Duration,
    pub(crate) busy_retries: u32,
    pub(crate) suspend_after: u32,
    pub(crate) max_listeners_per_agent: usize,
    pub(crate) plain_listeners: bool,
    pub(crate) transfer_linger: Duration,
    pub(crate) shield_timeout: Option<Duration>,
    pub(crate) shield_info: Option<String>,
    pub(crate) shield_on_keys: Option<String>,
    pub(crate) shield_off_keys: Option<String>,
    pub(crate) confirm_numbers: bool,
    pub(crate) confirm_timeout: Duration,
    pub(crate) default_until: Duration,
    pub(crate) max_until: Duration,
    pub(crate) strict_listener: bool,
    pub(crate) max_active_requests_supervisor: Option<usize>,
    pub(crate) max_active_requests_admin: Option<usize>,
    pub(crate) listener_lost_after: Duration,
    pub(crate) dtmf_to_listener: bool,
    pub(crate) max_requests: usize,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: String,
}

/// `[log] format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    Human,
    Json,
}

/// A configuration that can be used, and what its owner should know about it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) warnings: Vec<Problem>,
    /// Every key that this version knows, for the test of `config/medlytt.toml`.
    #[cfg(test)]
    keys: std::collections::BTreeSet<String>,
}

/// Names of hosts to addresses.
pub(crate) trait Resolver {
    /// The addresses of `host`, best first.
    ///
    /// # Errors
    /// Says why there are none.
    fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>>;
}

/// The system's resolver. Blocks; used at start and on reload only.
#[derive(Debug)]
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        std::net::ToSocketAddrs::to_socket_addrs(&(host, port)).map(Iterator::collect)
    }
}

/// Reads a configuration file and the environment's overrides.
///
/// # Errors
/// Everything that is wrong with either, sorted by place.
pub(crate) fn load(path: &Path) -> Result<Loaded, Report> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Err(Report::of_file(path.to_owned(), &format!("cannot be read: {error}"))),
    };
    read(path.to_owned(), &text, std::env::vars(), &SystemResolver)
}

/// The configuration of a file's text.
///
/// # Errors
/// Everything that is wrong, sorted by place.
pub(crate) fn read(
    path: PathBuf,
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
    resolver: &dyn Resolver,
) -> Result<Loaded, Report> {
    let mut tree = match tree::parse(text) {
        Ok(tree) => tree,
        Err(problem) => return Err(Report { file: path, problems: vec![problem] }),
    };
    let listing = listing::Listing::default();
    environment::apply(&mut tree, variables, &listing);
    let config = walk(&tree, &listing, resolver);
    let listing = listing.into_inner();
    if listing.problems.is_empty() {
        Ok(Loaded {
            config,
            warnings: listing.warnings,
            #[cfg(test)]
            keys: listing.keys,
        })
    } else {
        Err(Report::new(path, listing.problems))
    }
}

/// Walks the whole tree, whatever is wrong with its parts.
fn walk(tree: &tree::Node, listing: &listing::Listing, resolver: &dyn Resolver) -> Config {
    let root = Section::root(tree, listing);
    let sip = server::sip(&root);
    let (store_url, call_records) = server::store(&root);
    let config = Config {
        media: media::media(&root),
        api: api::api(&root),
        store_url,
        call_records,
        monitoring: monitoring::monitoring(&root),
        webhooks: webhooks::webhooks(&root),
        log: server::log(&root),
        drain_timeout: root.duration("drain_timeout", values::ANY_DURATION).unwrap_or(DRAIN_TIMEOUT),
        directory: Seed::default(),
        credentials: Vec::new(),
        sip,
    };
    for later in ["page", "tls", "srtp", "oidc", "cluster"] {
        root.not_in_this_version(later);
    }
    let reach = values::Reach {
        resolver,
        ipv6: config.sip.listen.iter().all(|listen| listen.addr.is_ipv6()),
        tcp: config.sip.listen.iter().any(|listen| listen.transport == Transport::Tcp),
    };
    let (directory, credentials) = directory::directory(&root, reach);
    root.finish();
    Config { directory, credentials, ..config }
}

impl Default for Config {
    /// What an empty file means.
    fn default() -> Self {
        walk(&tree::Node::empty(), &listing::Listing::default(), &SystemResolver)
    }
}
