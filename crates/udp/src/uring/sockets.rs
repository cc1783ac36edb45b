//! The sockets of a ring, and what completions mean for them. Enters nothing.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use io_uring::cqueue;
use rustix::io::Errno;

use super::buffers::Buffers;
use super::outbox::Outbox;
use super::tag::{Kind, Tag};
use crate::detached::{Held, Waiting};
use crate::fetch::prefetch;
use crate::socket::Bound;
use crate::{Counters, Key, LONGEST, Received};

/// A starved socket is armed again when this share of the buffers is free for it.
const BUFFERS_A_SOCKET: usize = 8;

#[derive(Debug)]
pub(super) struct Sockets {
    places: Vec<Place>,
    buffers: Buffers,
    /// Datagrams that the kernel has handed out, oldest first.
    arrived: VecDeque<Arrived>,
    /// Sockets whose receive has ended by itself.
    to_arm: VecDeque<Key>,
    /// Receives that the kernel has not ended yet, and what else it has not.
    receives: usize,
    /// The kernel reports wakes; somebody woke; nothing is to begin any more.
    pub(super) wakes: bool,
    pub(super) woken: bool,
    pub(super) ends: bool,
    /// Sends of this batch that came to nothing.
    failed: u64,
    pub(super) held: Held,
    pub(super) counters: Counters,
}

#[derive(Debug, Default)]
struct Place {
    bound: Option<Bound>,
    /// Sockets that this key meant before.
    generation: u32,
    armed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    tag: Tag,
    buffer: u16,
    written: u32,
}

impl Sockets {
    pub(super) fn new(buffers: Buffers) -> Self {
        Self {
            places: Vec::new(),
            buffers,
            arrived: VecDeque::new(),
            to_arm: VecDeque::new(),
            receives: 0,
            wakes: false,
            woken: false,
            ends: false,
            failed: 0,
            held: Held::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn free(&self, key: Key) -> io::Result<()> {
        match self.bound(key) {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(()),
        }
    }

    pub(super) fn keep(&mut self, key: Key, bound: Bound) {
        let place = key as usize;
        if place >= self.places.len() {
            self.places.resize_with(place + 1, Place::default);
        }
        self.places[place].bound = Some(bound);
    }

    pub(super) fn bound(&self, key: Key) -> Option<&Bound> {
        self.places.get(key as usize)?.bound.as_ref()
    }

    pub(super) fn bound_mut(&mut self, key: Key) -> Option<&mut Bound> {
        self.places.get_mut(key as usize)?.bound.as_mut()
    }

    /// Frees a key; completions that come late for it mean nobody.
    pub(super) fn release(&mut self, key: Key) -> Option<Bound> {
        let place = self.places.get_mut(key as usize)?;
        place.generation = place.generation.wrapping_add(1);
        place.armed = false;
        place.bound.take()
    }

    /// What to arm a socket with, unless it is armed or gone.
    pub(super) fn arm(&mut self, key: Key) -> Option<(i32, Tag)> {
        use std::os::fd::AsRawFd;
        let place = self.places.get_mut(key as usize)?;
        let fd = place.bound.as_ref()?.socket.as_raw_fd();
        if std::mem::replace(&mut place.armed, true) {
            return None;
        }
        self.receives += 1;
        Some((fd, Tag::new(Kind::Receive, place.generation, key)))
    }

    /// The kernel did not take it.
    pub(super) fn not_armed(&mut self, key: Key) {
        self.ended(key);
    }

    pub(super) fn armed(&self, key: Key) -> Option<Tag> {
        let place = self.places.get(key as usize)?;
        place.armed.then(|| Tag::new(Kind::Receive, place.generation, key))
    }

    /// Sockets to arm before the next wait: not more than there are buffers for, or all would starve each other again.
    pub(super) fn to_arm(&self) -> usize {
        let allowed = (self.buffers.free() / BUFFERS_A_SOCKET).max(usize::from(self.buffers.free() > 0));
        allowed.min(self.to_arm.len())
    }

    pub(super) fn next_to_arm(&mut self) -> Option<Key> {
        self.to_arm.pop_front()
    }

    /// Nothing is left to be taken, and nothing to be armed.
    pub(super) fn turn_is_over(&self) -> bool {
        self.arrived.is_empty() && self.held.is_empty() && self.to_arm.is_empty()
    }

    /// The kernel may still write to buffers, or hold files.
    pub(super) fn in_flight(&self) -> usize {
        self.receives + usize::from(self.wakes)
    }

    /// The kernel does not let go of the buffers: they stay for ever.
    pub(super) fn leak(&mut self) {
        self.buffers.leak();
    }

    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Option<Received> {
        while let Some(received) = self.next(buffer) {
            if received.length <= buffer.len().min(LONGEST) {
                self.counters.received += 1;
                return Some(received);
            }
            self.counters.truncated += 1;
        }
        None
    }

    fn next(&mut self, buffer: &mut [u8]) -> Option<Received> {
        if !self.held.is_empty() {
            return self.held.next(buffer);
        }
        while let Some(arrived) = self.arrived.pop_front() {
            let read = self.buffers.read(arrived.buffer, arrived.written as usize, buffer);
            self.buffers.give_back(arrived.buffer);
            match read {
                // What came late, for an earlier socket of the key, is nobody's.
                _ if !self.is_current(arrived.tag) => {}
                Some((length, from)) => return Some(Received { key: arrived.tag.key, from, length }),
                None => self.counters.receive_failed += 1,
            }
        }
        None
    }

    pub(super) fn ahead(&self, n: usize) -> Option<Key> {
        self.arrived.get(n).map(|arrived| arrived.tag.key)
    }

    pub(super) fn prepare(&self, key: Key) {
        if let Some(place) = self.places.get(key as usize) {
            prefetch(place, size_of::<Place>());
        }
    }

    /// Throws away what has arrived for a socket; returns how much.
    pub(super) fn forget(&mut self, key: Key) -> usize {
        let Self { arrived, buffers, held, .. } = self;
        let before = arrived.len();
        arrived.retain(|one| {
            let stays = one.tag.key != key;
            if !stays {
                buffers.give_back(one.buffer);
            }
            stays
        });
        before - arrived.len() + held.take(key).len()
    }

    /// What has arrived for a socket, to be taken by another owner.
    pub(super) fn take_waiting(&mut self, key: Key) -> Vec<Waiting> {
        let mut waiting = self.held.take(key);
        let mut buffer = [0; LONGEST + 1];
        for one in self.arrived.iter().filter(|one| one.tag.key == key && self.is_current(one.tag)) {
            if let Some((length, from)) = self.buffers.read(one.buffer, one.written as usize, &mut buffer) {
                waiting.push(Waiting { from, data: buffer[..length.min(buffer.len())].to_vec() });
            }
        }
        self.forget(key);
        waiting
    }

    /// Sends without the ring.
    pub(super) fn send_now(&mut self, key: Key, to: SocketAddr, data: &[u8]) {
        let Self { places, counters, .. } = self;
        if let Some(bound) = places.get(key as usize).and_then(|place| place.bound.as_ref()) {
            bound.send(to, data, counters);
        }
    }

    /// All sends of a batch are through, and those that failed are counted.
    pub(super) fn batch_is_through(&mut self, sends: usize) {
        let failed = std::mem::take(&mut self.failed);
        self.counters.sent += (sends as u64).saturating_sub(failed);
    }

    /// A completion: whose, with what result and flags.
    pub(super) fn complete(&mut self, data: u64, result: i32, flags: u32, outbox: &Outbox) {
        let Some(tag) = Tag::unpack(data) else { return };
        let ended = !cqueue::more(flags);
        match tag.kind {
            Kind::Receive => self.received(tag, result, cqueue::buffer_select(flags), ended),
            Kind::Send => self.send_failed(tag, result, outbox),
            Kind::Wake => {
                self.woken = true;
                self.wakes = !ended;
            }
            Kind::Cancel => {}
        }
    }

    fn received(&mut self, tag: Tag, result: i32, buffer: Option<u16>, ended: bool) {
        if let Some(buffer) = buffer {
            self.buffers.taken();
            match u32::try_from(result) {
                // Whose it is is looked up when its turn comes: by then the table's line is there.
                Ok(written) => {
                    self.arrived.push_back(Arrived { tag, buffer, written });
                    self.prepare(tag.key);
                }
                Err(_) => self.buffers.give_back(buffer),
            }
        }
        match error(result) {
            Some(Errno::NOBUFS) => self.counters.starved += 1,
            Some(Errno::CANCELED) | None => {}
            Some(error) => self.counters.receive_failed(error),
        }
        if ended && self.armed(tag.key) == Some(tag) {
            self.ended(tag.key);
        } else if ended {
            self.receives = self.receives.saturating_sub(1);
        }
    }

    /// It is of the socket that the key means now.
    fn is_current(&self, tag: Tag) -> bool {
        let place = self.places.get(tag.key as usize).filter(|place| place.bound.is_some());
        place.is_some_and(|place| Tag::new(tag.kind, place.generation, tag.key) == tag)
    }

    fn ended(&mut self, key: Key) {
        self.receives = self.receives.saturating_sub(1);
        if let Some(place) = self.places.get_mut(key as usize) {
            place.armed = false;
            self.to_arm.push_back(key);
        }
    }

    /// A failed send; what an earlier datagram's ICMP error has swallowed goes once more, as with epoll.
    fn send_failed(&mut self, tag: Tag, result: i32, outbox: &Outbox) {
        let Some(error) = error(result) else { return };
        self.failed += 1;
        self.counters.send_failed(error);
        let letter = outbox.letter(tag.key as usize).filter(|_| tag.generation == outbox.batch());
        if let (Errno::CONNREFUSED | Errno::HOSTUNREACH, Some((letter, data))) = (error, letter) {
            let Some(bound) = self.places.get(letter.key as usize).and_then(|place| place.bound.as_ref()) else {
                return;
            };
            bound.send_again(letter.to, data, &mut self.counters);
        }
    }
}

fn error(result: i32) -> Option<Errno> {
    (result < 0).then(|| Errno::from_raw_os_error(-result))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::OPTIONS;
    use crate::uring::{SIZES, probe};

    /// Flags of a completion with a buffer: this one, and more to come.
    const BUFFER_0: u32 = 0b11;

    #[test]
    fn a_late_completion_does_not_reach_the_next_socket_of_the_key() {
        let Ok(ring) = probe::ring(SIZES) else { return };
        let mut sockets = Sockets::new(Buffers::register(&ring.submitter(), 8).unwrap());
        let outbox = Outbox::new();
        let keep = |sockets: &mut Sockets| {
            sockets.keep(3, Bound::open("127.0.0.1:0".parse().unwrap(), &OPTIONS).unwrap().0);
            sockets.arm(3).unwrap().1
        };
        let old = keep(&mut sockets);
        sockets.complete(old.pack(), 100, BUFFER_0, &outbox);
        assert_eq!((sockets.arrived.len(), sockets.buffers.free()), (1, 7));
        sockets.forget(3);
        sockets.release(3);

        let new = keep(&mut sockets);
        assert_ne!(old, new);
        sockets.complete(old.pack(), 100, BUFFER_0, &outbox);
        sockets.complete(old.pack(), -libc::ECANCELED, 0, &outbox);
        assert_eq!((sockets.receive(&mut [0; 100]), sockets.counters), (None, Counters::default()));
        // The buffer went back, the new socket is armed still, and both requests were counted.
        assert_eq!((sockets.buffers.free(), sockets.armed(3), sockets.receives), (8, Some(new), 1));
        sockets.complete(new.pack(), -libc::ENOBUFS, 0, &outbox);
        assert_eq!((sockets.armed(3), sockets.receives, sockets.to_arm()), (None, 0, 1));
        assert_eq!(sockets.counters.starved, 1);
        // What makes no sense changes nothing.
        sockets.complete(u64::MAX, 0, 0, &outbox);
        sockets.complete(Tag::new(Kind::Send, 5, 9).pack(), -libc::ECONNREFUSED, 0, &outbox);
        assert_eq!((sockets.counters.refused, sockets.counters.sent), (1, 0));
    }
}
