//! Reads what comes back and compares it with what was sent. Times of reception are the kernel's, so that the generator's
//! own turn does not count as delay.
//!
//! A packet that wakes a thread costs its sender, and on loopback the sender is the relay. Without wake-ups the generator
//! looks by itself, as a network would have it, where the relay wakes nobody at the far end.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};
use rustix::event::{Timespec, epoll};

use super::packet::{self, LONGEST, Stamp};
use super::secure::{Secure, Unprotector};
use super::{Bound, Leg, Measured, Window, Word, sleep_until, wall_clock};

/// Packets of one system call.
const BATCH: usize = 64;
/// Waits for a packet no longer.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// Looks so often, in nanoseconds.
const LOOK_EVERY: u64 = 500_000;
/// Nothing for so long after the last was sent, in nanoseconds: nothing more comes.
const QUIET: u64 = 300_000_000;
/// A relay that has fallen so far behind is not waited for, in nanoseconds.
const PATIENCE: u64 = 15_000_000_000;

/// See [the module](self).
pub(super) struct Receiver<'a> {
    sockets: &'a [Bound],
    window: Window,
    secure: Option<Arc<Secure>>,
    legs: Vec<Far>,
    measured: Measured,
    /// By the sender's port, at sockets that only hear.
    heard: Vec<u64>,
}

/// What is known of a leg by what its far side hears of it.
struct Far {
    /// The socket that hears it.
    socket: usize,
    last_round: Option<u32>,
    last_at: u64,
    received: u64,
    unprotector: Option<Unprotector>,
}

impl<'a> Receiver<'a> {
    pub(super) fn new(sockets: &'a [Bound], legs: &[Leg], window: Window, secure: Option<Arc<Secure>>) -> Self {
        let far = |n: usize| &legs[n ^ 1];
        let legs = (0..legs.len())
            .map(|n| Far {
                socket: far(n).socket,
                last_round: None,
                last_at: 0,
                received: 0,
                unprotector: far(n).keys.as_ref().map(Unprotector::new),
            })
            .collect();
        Self { sockets, window, secure, legs, measured: Measured::default(), heard: vec![0; 1 << 16] }
    }

    /// Until nothing comes any more after `stop`.
    pub(super) fn run(mut self, stop: &AtomicBool, is_woken: bool) -> Measured {
        let poll = is_woken.then(|| self.poll());
        let mut ready = Vec::with_capacity(self.sockets.len());
        let mut look: Vec<usize> = (0..self.sockets.len()).collect();
        let mut packets = Packets::new();
        let give_up = self.window.to + PATIENCE;
        let mut last = wall_clock();
        loop {
            let begun = wall_clock();
            for n in &look {
                while packets.read(self.sockets[*n].socket.as_raw_fd(), |packet, at, from| {
                    last = begun;
                    self.take(*n, packet, at, from);
                }) {}
            }
            let is_over = begun > last + QUIET || begun > give_up;
            if is_over && stop.load(Ordering::Relaxed) {
                return self.finish();
            }
            match &poll {
                Some(poll) => {
                    ready.clear();
                    let _ = epoll::wait(poll, rustix::buffer::spare_capacity(&mut ready), Some(&WAIT));
                    look.clear();
                    look.extend(ready.iter().map(|event: &epoll::Event| event.data.u64() as usize));
                }
                None => sleep_until(begun + LOOK_EVERY),
            }
        }
    }

    fn poll(&self) -> OwnedFd {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("the system has an epoll to give");
        for (n, bound) in self.sockets.iter().enumerate() {
            epoll::add(&poll, &bound.socket, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN)
                .expect("a socket can be polled");
        }
        poll
    }

    fn take(&mut self, socket: usize, packet: &mut [u8], at: u64, from: u16) {
        if socket >= 2 * super::SOCKETS_OF_A_SIDE {
            self.heard[usize::from(from)] += u64::from(self.window.has(at));
            self.measured.ears.entry(from).or_default().take(packet, at);
            return;
        }
        let Some(stamp) = self.stamp(packet) else {
            self.measured.strayed += 1;
            return;
        };
        let Some(far) = self.legs.get_mut(stamp.leg as usize) else { return };
        if far.socket != socket {
            self.measured.strayed += 1;
            return;
        }
        let gap = at.saturating_sub(std::mem::replace(&mut far.last_at, at));
        if !self.window.has(stamp.sent) {
            return;
        }
        if far.last_round.is_some_and(|last| last >= stamp.round) {
            self.measured.duplicates += 1;
            return;
        }
        if far.last_round.replace(stamp.round).is_some() {
            self.measured.spacing.add(gap);
        }
        far.received += 1;
        if packet::is_word(stamp) {
            self.measured.words.push(Word { call: stamp.leg as usize / 2, sent: stamp.sent, relayed: at });
        }
        self.measured.received += 1;
        self.measured.delay.add(at.saturating_sub(stamp.sent));
    }

    /// What the packet says; it is counted if a byte of it is not as it was sent.
    fn stamp(&mut self, packet: &mut [u8]) -> Option<Stamp> {
        let Some(secure) = &self.secure else {
            let stamp = packet::read(packet)?;
            self.measured.altered += u64::from(!packet::is_unaltered(packet, stamp));
            return Some(stamp);
        };
        let (leg, sequence) = packet::read_header(packet)?;
        let stamp = secure.stamp(leg, sequence)?;
        let unprotector = self.legs.get_mut(leg as usize)?.unprotector.as_mut()?;
        let plain = unprotector.unprotect(packet, stamp.round);
        let is_unaltered = plain.is_none_or(|plain| packet::is_unaltered(plain, stamp));
        self.measured.altered += u64::from(!is_unaltered);
        Some(stamp)
    }

    fn finish(mut self) -> Measured {
        self.measured.dead = self.legs.iter().filter(|far| far.received == 0).count();
        self.measured.heard = (0..=u16::MAX).zip(self.heard).filter(|(_, count)| *count > 0).collect();
        self.measured
    }
}

struct Packets {
    buffers: Box<[[u8; LONGEST]; BATCH]>,
    headers: MultiHeaders<SockaddrIn>,
}

/// Of one packet: its length, when the kernel had it, and the port it came from.
type Arrival = (usize, u64, u16);

impl Packets {
    fn new() -> Self {
        let space = nix::cmsg_space!(nix::sys::time::TimeSpec);
        Self { buffers: Box::new([[0; LONGEST]; BATCH]), headers: MultiHeaders::preallocate(BATCH, Some(space)) }
    }

    /// Reads one batch; false: there is nothing left for now.
    fn read(&mut self, socket: std::os::fd::RawFd, mut take: impl FnMut(&mut [u8], u64, u16)) -> bool {
        let mut arrivals: [Arrival; BATCH] = [(0, 0, 0); BATCH];
        let count = self.receive(socket, &mut arrivals);
        for (buffer, (length, at, from)) in self.buffers.iter_mut().zip(&arrivals[..count]) {
            take(&mut buffer[..*length], *at, *from);
        }
        count == BATCH
    }

    fn receive(&mut self, socket: std::os::fd::RawFd, arrivals: &mut [Arrival; BATCH]) -> usize {
        let mut buffers = self.buffers.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(buffers.next().expect("one for each"))]);
        let Ok(messages) = recvmmsg(socket, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) else {
            return 0;
        };
        let now = wall_clock();
        let mut count = 0;
        for (arrival, message) in arrivals.iter_mut().zip(messages) {
            let stamp = message.cmsgs().ok().and_then(|mut all| {
                all.find_map(|one| match one {
                    ControlMessageOwned::ScmTimestampns(at) => Some(at),
                    _ => None,
                })
            });
            let at = stamp.map_or(now, |at| at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64);
            *arrival = (message.bytes.min(LONGEST), at, message.address.map_or(0, |from| from.port()));
            count += 1;
        }
        count
    }
}
