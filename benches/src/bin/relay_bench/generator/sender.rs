//! Sends: each leg has its moment within the 20 ms, legs that share moment and socket leave in one system call.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};

use super::histogram::Histogram;
use super::packet::{self, LENGTH, LONGEST, Stamp};
use super::secure::{Protector, Secure};
use super::{Leg, PACKET_TIME, TAIL, Window, nanoseconds, sleep_until, wall_clock};

/// Moments within the 20 ms.
const SLOTS: usize = 40;
/// Packets of one system call.
const BATCH: usize = 32;

/// See [the module](self).
pub(super) struct Sender {
    /// Of one moment and one socket each, in the order of moments.
    groups: Vec<Group>,
    window: Window,
    /// Where the last run ended: sequence numbers go on, for SRTP takes no packet twice.
    first_round: u32,
    secure: Option<Arc<Secure>>,
}

struct Group {
    slot: usize,
    socket: RawFd,
    legs: Vec<Target>,
}

struct Target {
    leg: u32,
    to: Option<SockaddrIn>,
    protector: Option<Protector>,
}

impl Sender {
    pub(super) fn new(
        sockets: &[RawFd],
        legs: &[Leg],
        window: Window,
        first_round: u32,
        secure: Option<Arc<Secure>>,
    ) -> Self {
        let mut order: Vec<(usize, usize, usize)> =
            legs.iter().enumerate().map(|(n, leg)| (n * SLOTS / legs.len().max(1), leg.socket, n)).collect();
        order.sort_unstable();
        let mut groups: Vec<Group> = Vec::new();
        for (slot, socket, n) in order {
            let socket = sockets[socket];
            let has_room =
                |group: &&mut Group| (group.slot, group.socket) == (slot, socket) && group.legs.len() < BATCH;
            let target = Target::new(n, &legs[n]);
            match groups.last_mut().filter(has_room) {
                Some(group) => group.legs.push(target),
                None => groups.push(Group { slot, socket, legs: vec![target] }),
            }
        }
        Self { groups, window, first_round, secure }
    }

    /// Packets sent within the window, and how late.
    pub(super) fn run(mut self) -> (u64, Histogram) {
        let (mut sent, mut late) = (0, Histogram::default());
        let mut batch = Batch::new();
        for round in 0_u32.. {
            let begins = self.window.start + u64::from(round) * nanoseconds(PACKET_TIME);
            for group in &mut self.groups {
                let due = begins + group.slot as u64 * nanoseconds(PACKET_TIME) / SLOTS as u64;
                if due >= self.window.to + nanoseconds(TAIL) {
                    return (sent, late);
                }
                if wall_clock() < due {
                    sleep_until(due);
                }
                let now = wall_clock();
                batch.fill(group, self.first_round + round, now, self.secure.as_deref());
                let left = batch.send(group.socket);
                if self.window.has(now) {
                    sent += left as u64;
                    late.add(now - due);
                }
            }
        }
        (sent, late)
    }
}

impl Target {
    fn new(n: usize, leg: &Leg) -> Self {
        let SocketAddr::V4(to) = leg.to else { panic!("the generator speaks IPv4") };
        Self { leg: n as u32, to: Some(SockaddrIn::from(to)), protector: leg.keys.as_ref().map(Protector::new) }
    }
}

struct Batch {
    packets: Box<[[u8; LONGEST]; BATCH]>,
    lengths: [usize; BATCH],
    to: [Option<SockaddrIn>; BATCH],
    count: usize,
    headers: MultiHeaders<SockaddrIn>,
}

impl Batch {
    fn new() -> Self {
        let headers = MultiHeaders::preallocate(BATCH, None);
        Self { packets: Box::new([[0; LONGEST]; BATCH]), lengths: [0; BATCH], to: [None; BATCH], count: 0, headers }
    }

    fn fill(&mut self, group: &mut Group, round: u32, now: u64, secure: Option<&Secure>) {
        self.count = group.legs.len();
        for (n, target) in group.legs.iter_mut().enumerate() {
            let buffer = &mut self.packets[n];
            let plain = buffer.first_chunk_mut::<LENGTH>().expect("a packet fits");
            packet::write(plain, Stamp { leg: target.leg, round, sent: now });
            self.lengths[n] = match (&mut target.protector, secure) {
                (Some(protector), Some(secure)) => {
                    secure.sent(target.leg, round, now);
                    protector.protect(buffer, LENGTH)
                }
                _ => LENGTH,
            };
            self.to[n] = target.to;
        }
    }

    /// How many left.
    fn send(&mut self, socket: RawFd) -> usize {
        let mut done = 0;
        while done < self.count {
            let slices: [[IoSlice<'_>; 1]; BATCH] =
                std::array::from_fn(|n| [IoSlice::new(&self.packets[n][..self.lengths[n]])]);
            let (slices, to) = (&slices[done..self.count], &self.to[done..self.count]);
            match sendmmsg(socket, &mut self.headers, slices, to, [], MsgFlags::empty()) {
                Ok(results) => done += results.count().max(1),
                Err(_) => return done,
            }
        }
        done
    }
}
