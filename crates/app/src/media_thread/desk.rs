//! What a media thread does: waits, carries out commands, reads until dry, drives the shard, sends what it says.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use media::ports::PortNumbers;
use media::router::{FromShard, Take, ToShard};
use media::{Command, Event, Port, Shard};
use tokio::sync::mpsc;
use udp::Io;

use super::browser_sockets::BROWSERS;
use super::lag::Lag;
use super::luggage::{Leg, Luggage};
use super::sockets::{Sockets, socket_of};
use super::{FromThread, MediaFigures, Setup};
use crate::clock::Clock;

/// Figures are published so often.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// A turn that begins so late finds sound that nobody wants any more: it is thrown away, or calls would lag behind by it
/// for good, or hear it in a burst.
const STALE: Duration = Duration::from_millis(200);
/// Sockets that one wait reports at most, more or less.
const PER_WAIT: usize = 1024;
/// "Descriptors are used up" is logged so often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What the thread works with.
pub(super) struct Desk<I> {
    shard: Shard,
    number: usize,
    sockets: Sockets<I>,
    clock: Clock,
    /// This turn, or the last.
    began: Instant,
    began_system: Instant,
    commands: Receiver<ToShard<Luggage>>,
    events: mpsc::Sender<FromThread>,
    published: Arc<Mutex<MediaFigures>>,
    /// Whose descriptions belong to which pair.
    ports: HashMap<Leg, Port>,
    buffer: Vec<u8>,
    lag: Lag,
    stale: u64,
    publish_at: Instant,
    complain_at: Instant,
    complained: u64,
}

/// The door is closed, or nothing can be waited for: the thread ends.
pub(super) struct Ended;

impl<I: Io> Desk<I> {
    pub(super) fn new(
        io: I,
        setup: Setup,
        commands: Receiver<ToShard<Luggage>>,
        events: mpsc::Sender<FromThread>,
        published: Arc<Mutex<MediaFigures>>,
    ) -> Self {
        let clock = setup.clock;
        let (now, now_system) = (clock.now(), clock.system_now());
        let mut seed = setup.seed;
        seed[0] ^= 1; // ports and SSRCs are drawn from different streams
        let numbers = PortNumbers::of_shard(setup.layout, setup.shard, setup.last_port, setup.quarantine, seed);
        Self {
            shard: Shard::new(setup.settings, setup.seed),
            number: setup.shard,
            sockets: Sockets::new(io, setup.binding, setup.browsers, setup.room, numbers, now),
            clock,
            began: now,
            began_system: now_system,
            commands,
            events,
            published,
            ports: HashMap::new(),
            buffer: vec![0; udp::LONGEST],
            lag: Lag::new(now, setup.lag_limits),
            stale: 0,
            publish_at: now,
            complain_at: now,
            complained: 0,
        }
    }

    /// Until the door closes.
    pub(super) fn run(mut self) {
        while self.turn().is_ok() {}
    }

    /// Waits, and does what is due.
    pub(super) fn turn(&mut self) -> Result<(), Ended> {
        // By the system's clock: another thread may have taken the time of a stop out of ours already.
        let waits_system = self.clock.system_now();
        let since_last = waits_system.saturating_duration_since(self.began_system);
        self.clock.ran(self.began);
        let waits = self.clock.now();
        let timeout = self.timeout(waits);
        if let Err(error) = self.sockets.io.wait(timeout) {
            tracing::error!(%error, shard = self.number, "a media thread cannot wait for packets");
            return Err(Ended);
        }
        // What waits may have waited since it was last looked for, and for as long as this woke too late.
        self.began_system = self.clock.system_now();
        let held_up = since_last + self.began_system.saturating_duration_since(waits_system + timeout);
        self.clock.ran(waits + timeout);
        self.began = self.clock.now();
        self.sockets.now = self.began;
        self.obey()?;
        if held_up > STALE {
            self.drop_stale();
        } else {
            self.read();
        }
        let overdue = self.wake();
        self.sockets.refill();
        let ended = self.clock.now();
        let mut lag = overdue.max(ended.saturating_duration_since(self.began));
        if held_up > STALE {
            lag = lag.max(held_up);
        }
        if let Some(lag) = self.lag.turn(ended, lag) {
            self.sockets.tell(FromShard::Event(Event::Load { shard: self.number, lag }));
        }
        self.tell();
        if self.publish_at <= ended {
            self.publish(ended);
        }
        Ok(())
    }

    /// Until the next thing is due.
    fn timeout(&self, now: Instant) -> Duration {
        let backlog = (!self.sockets.told.is_empty()).then(|| now + Duration::from_millis(1));
        let due = [self.shard.wake_at(), self.sockets.refill_at(), self.lag.wake_at(), backlog];
        let due = due.into_iter().flatten().min().unwrap_or(self.publish_at).min(self.publish_at);
        due.saturating_duration_since(now)
    }

    /// Carries out what the engine ordered.
    fn obey(&mut self) -> Result<(), Ended> {
        loop {
            match self.commands.try_recv() {
                Ok(ToShard::Command(command)) => self.carry_out(command),
                Ok(ToShard::Take(take)) => self.take(&take),
                Ok(ToShard::Adopt(luggage)) => self.adopt(luggage),
                Ok(ToShard::Returned(port)) => self.sockets.returned(port),
                Ok(ToShard::Note(note)) => self.shard.note(self.sockets.now, note, &mut self.sockets),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Ended),
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        let muxed = match &command {
            Command::Open { stream, port } => self.took(Leg::Stream(*stream), *port),
            Command::OpenListener { listener, port } => self.took(Leg::Listener(*listener), *port),
            Command::Describe { stream, remote } => self.muxed(Leg::Stream(*stream), remote.mux),
            Command::Listen { listener, remote } => self.muxed(Leg::Listener(*listener), remote.mux),
            Command::Close { stream } => self.left(Leg::Stream(*stream)),
            Command::CloseListener { listener } => self.left(Leg::Listener(*listener)),
            _ => None,
        };
        if let Some((port, false)) = muxed {
            // Before the shard sends by it.
            self.sockets.muxed(port, false);
        }
        self.shard.command(self.sockets.now, command, &mut self.sockets);
        if let Some((port, true)) = muxed {
            self.sockets.muxed(port, true);
        }
    }

    fn took(&mut self, leg: Leg, port: Port) -> Option<(Port, bool)> {
        self.sockets.taken();
        self.ports.insert(leg, port);
        None
    }

    fn muxed(&self, leg: Leg, is_muxed: bool) -> Option<(Port, bool)> {
        Some((*self.ports.get(&leg)?, is_muxed))
    }

    fn left(&mut self, leg: Leg) -> Option<(Port, bool)> {
        self.ports.remove(&leg);
        None
    }

    /// Streams and listeners leave for another thread, and their sockets with what waits in them.
    fn take(&mut self, take: &Take) {
        let luggage = self.shard.take(take).map(|parcel| {
            let sockets = parcel.ports().map(|port| self.sockets.pack(port)).collect();
            let streams = take.streams.iter().copied().map(Leg::Stream);
            let legs = streams.chain(take.listeners.iter().copied().map(Leg::Listener));
            let legs = legs.filter_map(|leg| Some((leg, self.ports.remove(&leg)?))).collect();
            Luggage { parcel, sockets, legs }
        });
        self.sockets.tell(FromShard::Taken { id: take.id, parcel: luggage });
    }

    fn adopt(&mut self, luggage: Luggage) {
        let Luggage { parcel, sockets, legs } = luggage;
        for packed in sockets {
            self.sockets.unpack(packed);
        }
        self.ports.extend(legs);
        self.shard.adopt(self.sockets.now, parcel);
    }

    /// Every datagram that has come, up to each socket's share.
    fn read(&mut self) {
        while let Some(received) = self.sockets.receive(&mut self.buffer) {
            let now = self.clock.now();
            if received.key == BROWSERS {
                let data = &self.buffer[..received.length];
                self.shard.browser_datagram(now, received.from, data, &mut self.sockets);
                continue;
            }
            let (port, kind) = socket_of(received.key);
            let data = &mut self.buffer[..received.length];
            self.shard.datagram(now, port, kind, received.from, data, &mut self.sockets);
        }
    }

    /// Empties every socket.
    fn drop_stale(&mut self) {
        for pass in 0..=self.sockets.open() / PER_WAIT + 1 {
            // A wait that a signal ended has told of nothing, though much may wait.
            if pass > 0 && self.sockets.io.wait(Duration::ZERO).is_err() {
                return;
            }
            let before = self.stale;
            while let Some(received) = self.sockets.receive(&mut self.buffer) {
                self.stale += 1 + self.sockets.drop_waiting(received);
            }
            if pass > 0 && self.stale == before {
                return;
            }
        }
    }

    /// Ticks and time-outs that are due. Returns how late the first of them is.
    fn wake(&mut self) -> Duration {
        self.clock.ran(self.began);
        self.sockets.now = self.clock.now();
        let now = self.sockets.now;
        let Some(due) = self.shard.wake_at().filter(|due| *due <= now) else { return Duration::ZERO };
        self.shard.wake(now, &mut self.sockets);
        now.saturating_duration_since(due)
    }

    /// Tells the engine what happened; what has no room stays for the next turn.
    fn tell(&mut self) {
        while let Some(told) = self.sockets.told.pop_front() {
            match self.events.try_send((self.number, told)) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full((_, told))) => {
                    self.sockets.told.push_front(told);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }

    fn publish(&mut self, now: Instant) {
        self.publish_at = now + PUBLISH_EVERY;
        let (streams, listeners) = self.shard.sizes();
        let figures = MediaFigures {
            shard: self.shard.counters(),
            sockets: self.sockets.counters(),
            streams,
            listeners,
            ports: self.sockets.in_use(),
            open: self.sockets.open(),
            lag_max: self.lag.max(),
            lag: self.lag.histogram,
            stale: self.stale,
        };
        self.complain(now, &figures);
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// Says that descriptors are used up, now and then.
    fn complain(&mut self, now: Instant, figures: &MediaFigures) {
        let failed = figures.sockets.no_descriptors;
        if failed > self.complained && now >= self.complain_at {
            self.complain_at = now + COMPLAIN_EVERY;
            self.complained = failed;
            tracing::warn!(
                shard = self.number,
                open = figures.open,
                failed,
                "no descriptors for media ports: new calls get 503 until others end; raise the limit of open files"
            );
        }
    }
}

#[cfg(test)]
impl<I: Io> Desk<I> {
    /// As if the process had been stopped for so long.
    pub(super) fn stop_for(&mut self, time: Duration) {
        self.clock.stop_for(time);
    }

    pub(super) fn stale(&self) -> u64 {
        self.stale
    }
}
