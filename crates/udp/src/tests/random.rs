//! Random lives of sockets, compared with what a plain table says must happen.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{LIMIT, bind};
use crate::{Io, Key, Received};

const SEEDS: u64 = 30;
const STEPS: usize = 400;
const KEYS: u64 = 12;
/// Datagrams that wait in one socket at most: its buffer holds more.
const WAITING: usize = 60;

/// What a socket should be.
struct Model {
    address: SocketAddr,
    peer: Option<SocketAddr>,
    /// On which of the two it lives.
    side: usize,
    waiting: VecDeque<(SocketAddr, u64)>,
}

struct World<I> {
    sides: [I; 2],
    sockets: BTreeMap<Key, Model>,
    /// An address where nobody is.
    nobody: SocketAddr,
    next: u64,
}

pub(super) fn random_lives_agree_with_a_model<I: Io>() {
    for seed in 1..=SEEDS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut sides = [I::new().unwrap(), I::new().unwrap()];
        let nobody = bind(&mut sides[0], 0);
        sides[0].close(0);
        let mut world = World { sides, sockets: BTreeMap::new(), nobody, next: 0 };
        for step in 0..STEPS {
            let context = format!("seed {seed}, step {step}");
            world.step(&mut random, &context);
        }
        world.take_all("the end");
        for io in &world.sides {
            let counters = io.counters();
            assert_eq!((counters.receive_failed, counters.truncated), (0, 0), "seed {seed}: {counters:?}");
        }
    }
}

impl<I: Io> World<I> {
    fn step(&mut self, random: &mut Random, context: &str) {
        let key = random.below(KEYS) as Key;
        match random.below(100) {
            0..12 => self.open(key, random.below(2) as usize),
            12..18 => self.close(key),
            18..28 => self.connect(key, random),
            28..36 => self.travel(key, random.below(KEYS) as Key),
            36..40 => self.drain(key, context),
            40..45 => self.sides[random.below(2) as usize].waker().wake(),
            45..55 => self.take_some(random.below(2) as usize, random.below(5), context),
            55..60 => self.take_all(context),
            _ => (0..=random.below(4)).for_each(|_| self.send(key, random)),
        }
    }

    fn open(&mut self, key: Key, side: usize) {
        if !self.sockets.contains_key(&key) {
            let address = bind(&mut self.sides[side], key);
            let model = Model { address, peer: None, side, waiting: VecDeque::new() };
            self.sockets.insert(key, model);
        }
    }

    fn close(&mut self, key: Key) {
        if let Some(model) = self.sockets.remove(&key) {
            self.sides[model.side].close(key);
        }
    }

    fn connect(&mut self, key: Key, random: &mut Random) {
        let others: Vec<_> = self.sockets.values().map(|model| model.address).chain([self.nobody]).collect();
        let Some(model) = self.sockets.get_mut(&key) else { return };
        model.peer = (random.below(3) > 0).then(|| others[random.below(others.len() as u64) as usize]);
        let local = self.sides[model.side].connect(key, model.peer).unwrap();
        assert_eq!(local, model.address);
    }

    /// To the other side, under another key.
    fn travel(&mut self, key: Key, to: Key) {
        if self.sockets.contains_key(&to) {
            return;
        }
        let Some(mut model) = self.sockets.remove(&key) else { return };
        let detached = self.sides[model.side].detach(key).unwrap();
        model.side = 1 - model.side;
        self.sides[model.side].attach(to, detached).unwrap();
        self.sockets.insert(to, model);
    }

    fn drain(&mut self, key: Key, context: &str) {
        let Some(model) = self.sockets.get_mut(&key) else { return };
        let thrown = self.sides[model.side].drain(key);
        assert_eq!(thrown, model.waiting.len(), "{context}: drained");
        model.waiting.clear();
    }

    fn send(&mut self, key: Key, random: &mut Random) {
        let addresses: Vec<_> = self.sockets.values().map(|model| model.address).chain([self.nobody]).collect();
        let Some(model) = self.sockets.get(&key) else { return };
        let (from, side) = (model.address, model.side);
        let to = match model.peer {
            Some(peer) if random.below(2) == 0 => peer,
            _ => addresses[random.below(addresses.len() as u64) as usize],
        };
        let number = self.next;
        self.next += 1;
        let hearer = self.sockets.values_mut().find(|model| model.address == to);
        if let Some(hearer) = hearer.filter(|hearer| hearer.peer.is_none_or(|peer| peer == from)) {
            if hearer.waiting.len() == WAITING {
                return;
            }
            hearer.waiting.push_back((from, number));
        }
        let io = &mut self.sides[side];
        if random.below(2) == 0 {
            io.send(key, to, &number.to_be_bytes());
        } else {
            io.send_later(key, to, &number.to_be_bytes());
        }
        // Else the order among different senders would be open.
        io.flush();
    }

    fn take_some(&mut self, side: usize, count: u64, context: &str) {
        self.sides[side].wait(Duration::ZERO).unwrap();
        for _ in 0..count {
            if !self.take_one(side, context) {
                break;
            }
        }
    }

    fn take_all(&mut self, context: &str) {
        let start = Instant::now();
        loop {
            for side in 0..2 {
                self.sides[side].wait(Duration::ZERO).unwrap();
                while self.take_one(side, context) {}
            }
            let left: usize = self.sockets.values().map(|model| model.waiting.len()).sum();
            if left == 0 {
                break;
            }
            assert!(start.elapsed() < LIMIT, "{context}: {left} never came");
        }
    }

    fn take_one(&mut self, side: usize, context: &str) -> bool {
        let mut buffer = [0; 64];
        let Some(Received { key, from, length }) = self.sides[side].receive(&mut buffer) else { return false };
        let number = u64::from_be_bytes(buffer[..length].try_into().unwrap());
        let model = self.sockets.get_mut(&key).unwrap_or_else(|| panic!("{context}: {key} is not open"));
        assert_eq!(model.side, side, "{context}: {key}");
        assert_eq!(Some((from, number)), model.waiting.pop_front(), "{context}: {key}");
        true
    }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}
