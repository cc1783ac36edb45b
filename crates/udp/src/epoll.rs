//! Edge-triggered epoll: a socket is read until it is dry, for nobody tells twice.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::io::Errno;

use crate::detached::Held;
use crate::fetch::prefetch;
use crate::later::Later;
use crate::nap::nap;
use crate::socket::Bound;
use crate::{Counters, Detached, Io, Key, LONGEST, Options, Received, Waker};

/// Sockets that one wait reports.
const EVENTS: usize = 1024;
/// Datagrams read from one socket before the next has its turn.
const SHARE: u32 = 16;
/// The waker's key.
const WAKE: u64 = u64::MAX;

/// Sockets behind edge-triggered epoll.
pub struct Epoll {
    epoll: OwnedFd,
    waker: Waker,
    sockets: Vec<Option<Bound>>,
    events: Vec<epoll::Event>,
    /// Sockets that may have something, in the order of arrival; `at` is the one that is being read.
    ready: Vec<Reading>,
    at: usize,
    /// Sockets that had their share: they come first in the next turn.
    unread: Vec<Key>,
    held: Held,
    later: Later,
    counters: Counters,
}

/// A socket's part of a turn. Its key may mean another socket by now, or none: then a read finds nothing.
#[derive(Clone, Copy, Debug)]
struct Reading {
    key: Key,
    share: u32,
    failed: bool,
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoll").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

impl Io for Epoll {
    const NAME: &'static str = "epoll";

    fn new() -> io::Result<Self> {
        let (epoll, waker) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, Waker::new()?);
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, waker.as_fd(), data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        Ok(Self {
            epoll,
            waker,
            sockets: Vec::new(),
            events: Vec::with_capacity(EVENTS),
            ready: Vec::with_capacity(EVENTS),
            at: 0,
            unread: Vec::new(),
            held: Held::default(),
            later: Later::default(),
            counters: Counters::default(),
        })
    }

    fn bind(&mut self, key: Key, addr: SocketAddr, options: &Options) -> io::Result<SocketAddr> {
        self.free(key)?;
        let (bound, local) = Bound::open(addr, options)?;
        self.keep(key, bound)?;
        Ok(local)
    }

    fn connect(&mut self, key: Key, to: Option<SocketAddr>) -> io::Result<SocketAddr> {
        let bound = self.sockets.get_mut(key as usize).and_then(Option::as_mut).ok_or(io::ErrorKind::NotFound)?;
        bound.connect(to)
    }

    fn close(&mut self, key: Key) {
        self.flush();
        self.held.take(key);
        // Closing takes it out of the epoll.
        if let Some(place) = self.sockets.get_mut(key as usize) {
            *place = None;
        }
    }

    fn detach(&mut self, key: Key) -> Option<Detached> {
        self.flush();
        let Bound { socket, peer, .. } = self.sockets.get_mut(key as usize)?.take()?;
        let _ = epoll::delete(&self.epoll, &socket);
        Some(Detached { socket, peer, waiting: self.held.take(key) })
    }

    fn attach(&mut self, key: Key, socket: Detached) -> io::Result<()> {
        let Detached { socket, peer, waiting } = socket;
        self.free(key)?;
        // Adding it reports anew what the kernel still has.
        self.keep(key, Bound::again(socket, peer)?)?;
        self.held.hold(key, waiting);
        Ok(())
    }

    fn drain(&mut self, key: Key) -> usize {
        let held = self.held.take(key).len();
        held + self.bound(key).map_or(0, Bound::drain)
    }

    fn send(&mut self, key: Key, to: SocketAddr, data: &[u8]) {
        if let Some(bound) = self.sockets.get(key as usize).and_then(Option::as_ref) {
            bound.send(to, data, &mut self.counters);
        }
    }

    fn send_later(&mut self, key: Key, to: SocketAddr, data: &[u8]) {
        if !self.later.push(key, to, data) {
            self.flush();
            self.later.push(key, to, data);
        }
    }

    fn flush(&mut self) {
        let Self { later, sockets, counters, .. } = self;
        later.send(|key| sockets.get(key as usize)?.as_ref(), counters);
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        self.flush();
        let unfinished = !self.unread.is_empty() || !self.held.is_empty() || self.at < self.ready.len();
        let timeout = if unfinished { Duration::ZERO } else { timeout };
        self.ready.drain(..self.at);
        self.at = 0;
        self.ready.extend(self.unread.drain(..).map(Reading::of));
        match nap(&self.epoll, &mut self.events, timeout) {
            Ok(()) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            match event.data.u64() {
                WAKE => self.waker.clear(),
                key => self.ready.push(Reading::of(key as Key)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        while !self.held.is_empty() {
            let received = self.held.next(buffer)?;
            if self.fits(received.length, buffer) {
                return Some(received);
            }
        }
        while let Some(Reading { key, share, failed }) = self.ready.get_mut(self.at) {
            let key = *key;
            if *share == SHARE {
                self.unread.push(key);
                self.at += 1;
                continue;
            }
            *share += 1;
            let Some(bound) = self.sockets.get(key as usize).and_then(Option::as_ref) else {
                self.at += 1;
                continue;
            };
            match bound.receive(buffer) {
                Ok((length, from)) => {
                    *failed = false;
                    if self.fits(length, buffer) {
                        return Some(Received { key, from, length });
                    }
                }
                Err(Errno::AGAIN) => self.at += 1,
                Err(error) => {
                    // Mostly what ICMP left behind: that is gone now, and what waits behind it is still there. An
                    // error that stays would keep us from sleeping.
                    if std::mem::replace(failed, true) {
                        self.at += 1;
                    }
                    self.counters.receive_failed(error);
                }
            }
        }
        None
    }

    fn ahead(&self, n: usize) -> Option<Key> {
        self.ready.get(self.at + n).map(|reading| reading.key)
    }

    fn prepare(&self, key: Key) {
        if let Some(place) = self.sockets.get(key as usize) {
            prefetch(place, size_of_val(place));
        }
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Reading {
    fn of(key: Key) -> Self {
        Self { key, share: 0, failed: false }
    }
}

impl Epoll {
    fn free(&self, key: Key) -> io::Result<()> {
        match self.bound(key) {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(()),
        }
    }

    fn keep(&mut self, key: Key, bound: Bound) -> io::Result<()> {
        let data = epoll::EventData::new_u64(key.into());
        epoll::add(&self.epoll, &bound.socket, data, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        let place = key as usize;
        if place >= self.sockets.len() {
            self.sockets.resize_with(place + 1, || None);
        }
        self.sockets[place] = Some(bound);
        Ok(())
    }

    fn bound(&self, key: Key) -> Option<&Bound> {
        self.sockets.get(key as usize)?.as_ref()
    }

    fn fits(&mut self, length: usize, buffer: &[u8]) -> bool {
        let fits = length <= buffer.len().min(LONGEST);
        *if fits { &mut self.counters.received } else { &mut self.counters.truncated } += 1;
        fits
    }
}
