//! The engine's side of the media threads: commands to the thread that has the stream, what all of them tell put in order.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use media::ports::Layout;
use media::router::{MAX_WAITING, Routed, Router, RouterFigures, ToShard};
use media::{Command, Event};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::Config;
use crate::limits::Capacity;
use crate::media_addresses::MediaAddresses;
pub(crate) use crate::media_thread::FromThread;
use crate::media_thread::{Binding, BrowserSockets, LagLimits, Luggage, MediaFigures, MediaThread, Room, Setup};

/// Receive buffer of a socket (the kernel doubles it): about 0.8 s of one G.711 stream. The system's default holds five
/// seconds, which a loaded machine would turn into five seconds of delay; overload is to drop instead.
const RECEIVE_BUFFER: usize = 32 * 1024;
/// Pairs that each thread keeps ready at least.
const READY_LEAST: usize = 4;

/// All media threads.
#[derive(Debug)]
pub(crate) struct MediaPlane {
    router: Router<Luggage>,
    threads: Vec<MediaThread>,
    browser_ports: Vec<u16>,
    events: VecDeque<Event>,
    routed: Vec<Routed<Luggage>>,
}

impl MediaPlane {
    /// Starts every thread; what they tell goes to `told`, and from there to [`MediaPlane::told`].
    ///
    /// # Errors
    /// The system has no thread, no randomness or no sockets of the configured kind to give.
    pub(crate) fn start(
        config: &Config,
        addresses: &MediaAddresses,
        capacity: &Capacity,
        clock: &Clock,
        told: &mpsc::Sender<FromThread>,
    ) -> io::Result<Self> {
        let layout = layout(config);
        let cpus = udp::allowed_cpus().unwrap_or_default();
        // Copies share what is open: every thread knows the ports of all.
        let settings = shard_settings(config, addresses);
        let binding = binding(config, addresses);
        let at = SocketAddr::new(config.media.address, config.media.browser_port);
        let (sockets, browsers) = BrowserSockets::bind(at, layout.shards, &binding.options)?;
        let threads = sockets.into_iter().zip(&browsers).enumerate().map(|(shard, (sockets, bound))| {
            let mut settings = settings.clone();
            settings.browsers.home = shard;
            settings.browsers.candidates = addresses.candidates(bound.port());
            let setup = Setup {
                clock: clock.clone(),
                shard,
                layout,
                last_port: config.media.ports.1,
                settings,
                binding: binding.clone(),
                browsers: sockets,
                room: room(config, capacity, layout.shards),
                quarantine: config.media.quarantine,
                lag_limits: LagLimits { forks: config.media.fork_lag, calls: config.media.call_lag },
                seed: crate::shell::random_seed()?,
                cpu: cpu(&cpus, shard, layout.shards),
            };
            MediaThread::start(config.media.io, setup, told.clone())
        });
        let threads = threads.collect::<io::Result<_>>()?;
        let router = Router::new(layout, MAX_WAITING);
        let browser_ports = browsers.iter().map(SocketAddr::port).collect();
        Ok(Self { router, threads, browser_ports, events: VecDeque::new(), routed: Vec::new() })
    }

    /// Where browsers reach each thread.
    pub(crate) fn browser_ports(&self) -> &[u16] {
        &self.browser_ports
    }

    /// A command of the engine; [`MediaPlane::flush`] hands everything over.
    pub(crate) fn send(&mut self, command: Command) {
        self.router.command(command, &mut self.routed);
        self.carry_out();
    }

    /// What a thread told.
    pub(crate) fn told(&mut self, (shard, told): FromThread) {
        self.router.told(shard, told, &mut self.routed);
        self.carry_out();
    }

    /// The next that the engine is to hear.
    pub(crate) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Hands queued commands over and wakes the threads. True if some had no room and must be flushed again.
    pub(crate) fn flush(&mut self) -> bool {
        self.threads.iter_mut().fold(false, |is_full, thread| thread.flush() | is_full)
    }

    /// What each thread has done.
    pub(crate) fn figures(&self) -> Vec<MediaFigures> {
        self.threads.iter().map(MediaThread::figures).collect()
    }

    /// What went between them.
    pub(crate) fn router_figures(&self) -> RouterFigures {
        self.router.figures()
    }

    fn carry_out(&mut self) {
        while !self.routed.is_empty() {
            for routed in std::mem::take(&mut self.routed) {
                match routed {
                    Routed::Event(event) => self.events.push_back(event),
                    Routed::To(shard, to) => self.hand(shard, to),
                }
            }
        }
    }

    fn hand(&mut self, shard: usize, to: ToShard<Luggage>) {
        let Some(thread) = self.threads.get_mut(shard) else { return };
        if let Some(command) = thread.send(to) {
            self.router.lost(shard, &command, &mut self.routed);
        }
    }
}

/// What shards are told; the addresses of ours that nothing may be sent to among it.
fn shard_settings(config: &Config, addresses: &MediaAddresses) -> media::Settings {
    let mut settings = config.shard();
    let any = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let any = any.into_iter().filter(|_| config.media.address.is_unspecified());
    let shown = [Some(addresses.shown), addresses.shown6, Some(config.media.address)].into_iter().flatten();
    settings.own.addresses = addresses.own.iter().copied().chain(shown).chain(any).collect();
    settings
}

/// How the range's pairs are shared out.
pub(crate) fn layout(config: &Config) -> Layout {
    let shards = match config.media.shards {
        // The engine, HTTP and the store have the one that is left.
        0 => udp::allowed_cpus().map_or(1, |cpus| cpus.len().saturating_sub(1).max(1)),
        shards => shards,
    };
    let shards = shards.min(crate::config::pairs(config.media.ports)).max(1);
    Layout { first: config.media.ports.0.next_multiple_of(2), shards }
}

/// The last CPUs, one a thread; the engine's thread has the others. None where there is but one.
fn cpu(cpus: &[usize], shard: usize, shards: usize) -> Option<usize> {
    let first = cpus.len().saturating_sub(shards);
    let wrapped = (first + shard) % cpus.len().max(1);
    cpus.get(wrapped).copied().filter(|_| cpus.len() > 1)
}

fn binding(config: &Config, addresses: &MediaAddresses) -> Binding {
    let media = &config.media;
    Binding {
        address: media.address,
        announced: addresses.shown,
        announced6: addresses.shown6,
        own: addresses.own.clone(),
        connect: media.connect,
        // The two lowest bits are ECN's (RFC 3168) and stay 0.
        options: udp::Options { receive_buffer: RECEIVE_BUFFER, tos: media.dscp << 2, dual_stack: true },
    }
}

/// A thread's part of what there may be in all.
fn room(config: &Config, capacity: &Capacity, shards: usize) -> Room {
    Room {
        ready: config.media.port_pool.div_ceil(shards).max(READY_LEAST),
        kept: config.media.kept_ports / shards,
        descriptors: capacity.media_sockets / shards,
    }
}

/// Whether media sockets can be bound there at all: better said at start than by calls that fail.
///
/// # Errors
/// The system's.
pub(crate) fn try_address(address: IpAddr) -> io::Result<()> {
    std::net::UdpSocket::bind((address, 0)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_the_last_cpus() {
        let cpus = |cpus: &[usize], shards| (0..shards).map(|shard| cpu(cpus, shard, shards)).collect::<Vec<_>>();
        assert_eq!(cpus(&[0, 1, 2, 3], 3), [Some(1), Some(2), Some(3)]);
        assert_eq!(cpus(&[2, 5], 1), [Some(5)]);
        assert_eq!(cpus(&[2, 5], 3), [Some(2), Some(5), Some(2)]);
        assert_eq!(cpus(&[3], 2), [None, None]);
        assert_eq!(cpus(&[], 1), [None]);
    }

    #[test]
    fn there_are_no_more_threads_than_pairs() {
        let mut config = Config::default();
        config.media.ports = (20_001, 20_005);
        config.media.shards = 9;
        assert_eq!(layout(&config), Layout { first: 20_002, shards: 2 });
        config.media.shards = 0;
        assert!(layout(&config).shards >= 1);
    }
}
