//! The connections that there are, how long each may stay, and which may be opened: decisions only, the sockets are the
//! shell's (RFC 3261 §18, RFC 5923).

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::framing::{Framer, Piece};
use super::{Flow, Transport, unmapped};
use crate::message::Limits;

/// Addresses whose failed connections are remembered; above it all are forgotten, which costs one attempt each.
const FAILURES_MAX: usize = 1024;
/// Shortest and longest pause before an address is connected to again; it doubles with each failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What connections may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections that came in, in all: 4,096.
    pub total: usize,
    /// Of these from one address: 256.
    pub per_source: usize,
    /// Connections that are being opened at once: 64.
    pub connecting: usize,
    /// Bytes of unfinished messages, in all: 16 MiB. One connection holds one message at most.
    pub buffered: usize,
    /// A connection that has sent no whole message: 10 s.
    pub first_message: Duration,
    /// An unfinished message: 10 s.
    pub message: Duration,
    /// A connection that nothing goes over, and that no registration and no call needs: 5 min.
    pub idle: Duration,
    /// A connection that is being opened: 4 s.
    pub connect: Duration,
    /// The same where UDP is the other choice (RFC 3261 §18.1.1): 1 s.
    pub connect_or_datagram: Duration,
    /// An address that took no connection is sent large messages by UDP for so long: 10 min.
    pub datagram_for: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 4096,
            per_source: 256,
            connecting: 64,
            buffered: 16 * 1024 * 1024,
            first_message: Duration::from_secs(10),
            message: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            connect: Duration::from_secs(4),
            connect_or_datagram: Duration::from_secs(1),
            datagram_for: Duration::from_secs(600),
        }
    }
}

/// Every connection.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: ConnectionLimits,
    of_message: Limits,
    table: HashMap<Flow, Connection>,
    /// How many came in from each address.
    by_source: HashMap<IpAddr, usize>,
    due: BTreeSet<(Instant, Flow)>,
    /// By which connection of theirs a peer is reached under the address that it announced (RFC 5923).
    aliases: HashMap<(Transport, SocketAddr), Flow>,
    failures: HashMap<(Transport, SocketAddr), Failure>,
    incoming: usize,
    connecting: usize,
    buffered: usize,
}

#[derive(Debug)]
struct Connection {
    state: State,
    incoming: bool,
    /// Something went over it last.
    active: Instant,
    due: Instant,
    framer: Framer,
    alias: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting {
        until: Instant,
    },
    /// Nothing whole has come yet.
    Silent {
        until: Instant,
    },
    /// Between messages.
    Idle,
    /// In the middle of one.
    Partial {
        until: Instant,
    },
}

/// Connections to an address that did not come about.
#[derive(Clone, Copy, Debug)]
struct Failure {
    at: Instant,
    pause: Duration,
}

/// Why a connection has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It did not come about.
    Connect,
    /// No whole message, or one that does not end.
    Message,
    /// Nothing for long; whoever needs it says [`Connections::touch`].
    Idle,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            of_message: Limits::default(),
            table: HashMap::new(),
            by_source: HashMap::new(),
            due: BTreeSet::new(),
            aliases: HashMap::new(),
            failures: HashMap::new(),
            incoming: 0,
            connecting: 0,
            buffered: 0,
        }
    }

    /// A connection stands: one of ours that was asked for, or one that came in.
    ///
    /// # Errors
    /// The counter of the limit that it is over; it is to be closed.
    pub(crate) fn opened(&mut self, now: Instant, flow: Flow) -> Result<(), &'static str> {
        if self.table.get(&flow).is_some_and(|known| matches!(known.state, State::Connecting { .. })) {
            self.connecting -= 1;
            self.failures.remove(&key(flow));
            self.set(flow, now, State::Idle);
            return Ok(());
        }
        let source = unmapped(flow.remote).ip();
        if self.incoming >= self.limits.total {
            return Err("connections_refused_total");
        }
        if self.by_source.get(&source).is_some_and(|there| *there >= self.limits.per_source) {
            return Err("connections_refused_source");
        }
        self.incoming += 1;
        *self.by_source.entry(source).or_default() += 1;
        self.insert(now, flow, State::Silent { until: now + self.limits.first_message }, true);
        Ok(())
    }

    /// Asks for a connection to be opened. True: the shell must do it; false: there is one, or one is being opened.
    ///
    /// # Errors
    /// The counter of what stands against it.
    pub(crate) fn connect(&mut self, now: Instant, flow: Flow, or_datagram: bool) -> Result<bool, &'static str> {
        if self.table.contains_key(&flow) {
            return Ok(false);
        }
        if self.failures.get(&key(flow)).is_some_and(|failure| now < failure.at + failure.pause) {
            return Err("connects_paused");
        }
        if self.connecting >= self.limits.connecting {
            return Err("connects_refused");
        }
        let patience = if or_datagram { self.limits.connect_or_datagram } else { self.limits.connect };
        self.connecting += 1;
        self.insert(now, flow, State::Connecting { until: now + patience }, false);
        Ok(true)
    }

    /// Bytes have come. False: no such connection, or too much is held already; the connection is to be closed.
    pub(crate) fn receive(&mut self, now: Instant, flow: Flow, data: &[u8]) -> bool {
        let Some(connection) = self.table.get_mut(&flow) else { return false };
        connection.active = now;
        connection.framer.push(data);
        self.buffered += data.len();
        self.buffered <= self.limits.buffered
    }

    /// The next piece of what has come.
    pub(crate) fn next(&mut self, now: Instant, flow: Flow) -> Option<Piece> {
        let connection = self.table.get_mut(&flow)?;
        let before = connection.framer.len();
        let piece = connection.framer.next(&self.of_message);
        self.buffered = self.buffered.saturating_sub(before - connection.framer.len().min(before));
        let state = match (connection.state, &piece) {
            (_, Some(Piece::Message(_))) => State::Idle,
            (State::Idle, None) if connection.framer.is_partial() => {
                State::Partial { until: now + self.limits.message }
            }
            (state, _) => state,
        };
        if state != connection.state {
            self.set(flow, now, state);
        }
        piece
    }

    /// It is in use, or still needed.
    pub(crate) fn touch(&mut self, now: Instant, flow: Flow) {
        if let Some(connection) = self.table.get_mut(&flow) {
            connection.active = now;
            let state = connection.state;
            // What was due has been taken out; it is due again later.
            if !self.due.contains(&(connection.due, flow)) {
                self.set(flow, now, state);
            }
        }
    }

    /// It is gone. `Some(true)`: it never stood.
    pub(crate) fn remove(&mut self, now: Instant, flow: Flow) -> Option<bool> {
        let connection = self.table.remove(&flow)?;
        self.due.remove(&(connection.due, flow));
        self.buffered = self.buffered.saturating_sub(connection.framer.len());
        if let Some(alias) = connection.alias.map(|alias| (flow.transport, alias))
            && self.aliases.get(&alias) == Some(&flow)
        {
            self.aliases.remove(&alias);
        }
        let connecting = matches!(connection.state, State::Connecting { .. });
        if connecting {
            self.connecting -= 1;
            self.failed(now, flow);
        }
        if connection.incoming {
            self.incoming -= 1;
            let source = unmapped(flow.remote).ip();
            if let Some(there) = self.by_source.get_mut(&source) {
                *there -= 1;
                if *there == 0 {
                    self.by_source.remove(&source);
                }
            }
        }
        Some(connecting)
    }

    /// The peer wants this connection to be used for requests to its sent-by (RFC 5923 §5). The newest one is.
    pub(crate) fn announce(&mut self, flow: Flow, alias: SocketAddr) {
        if let Some(connection) = self.table.get_mut(&flow)
            && connection.alias.is_none_or(|known| known == alias)
        {
            connection.alias = Some(alias);
            self.aliases.insert((flow.transport, alias), flow);
        }
    }

    /// The connection of the peer that stands for this address.
    pub(crate) fn alias(&self, flow: Flow) -> Option<Flow> {
        self.aliases.get(&key(flow)).copied()
    }

    /// It stands, or is being opened.
    pub(crate) fn has(&self, flow: Flow) -> bool {
        self.table.contains_key(&flow)
    }

    /// It stands.
    pub(crate) fn is_open(&self, flow: Flow) -> bool {
        self.table.get(&flow).is_some_and(|connection| !matches!(connection.state, State::Connecting { .. }))
    }

    /// A connection to it failed not long ago, so that a large message goes by UDP.
    pub(crate) fn prefers_datagrams(&self, now: Instant, flow: Flow) -> bool {
        self.failures.get(&key(flow)).is_some_and(|failure| now < failure.at + self.limits.datagram_for)
    }

    /// It stood, but a request that was too large for UDP got no answer over it.
    pub(crate) fn distrust(&mut self, now: Instant, flow: Flow) {
        if !self.failures.contains_key(&key(flow)) {
            self.failed(now, flow);
        }
    }

    /// The next connection whose time is up.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<(Flow, Overdue)> {
        while let Some(&(at, flow)) = self.due.first().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, flow));
            let Some(connection) = self.table.get(&flow) else { continue };
            let why = match connection.state {
                State::Connecting { .. } => Overdue::Connect,
                State::Silent { .. } | State::Partial { .. } => Overdue::Message,
                State::Idle => Overdue::Idle,
            };
            let active = connection.active;
            if why == Overdue::Idle && active + self.limits.idle > now {
                self.set(flow, active, State::Idle); // something went over it meanwhile
                continue;
            }
            return Some((flow, why));
        }
        None
    }

    /// When the first one's time is up.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many there are, those that are being opened included.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

impl Connections {
    fn insert(&mut self, now: Instant, flow: Flow, state: State, incoming: bool) {
        let connection = Connection { state, incoming, active: now, due: now, framer: Framer::default(), alias: None };
        self.table.insert(flow, connection);
        self.set(flow, now, state);
    }

    fn set(&mut self, flow: Flow, now: Instant, state: State) {
        let Some(connection) = self.table.get_mut(&flow) else { return };
        self.due.remove(&(connection.due, flow));
        connection.state = state;
        connection.due = match state {
            State::Connecting { until } | State::Silent { until } | State::Partial { until } => until,
            State::Idle => connection.active.max(now) + self.limits.idle,
        };
        self.due.insert((connection.due, flow));
    }

    fn failed(&mut self, now: Instant, flow: Flow) {
        if self.failures.len() >= FAILURES_MAX && !self.failures.contains_key(&key(flow)) {
            self.failures.clear();
        }
        let pause = self.failures.get(&key(flow)).map_or(PAUSES.0, |before| (before.pause * 2).min(PAUSES.1));
        self.failures.insert(key(flow), Failure { at: now, pause });
    }
}

/// What failures and aliases are known by: the peer's address, whichever of ours leads there.
fn key(flow: Flow) -> (Transport, SocketAddr) {
    (flow.transport, unmapped(flow.remote))
}
