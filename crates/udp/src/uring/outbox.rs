//! Datagrams on their way into the kernel. It reads them while it is entered, so one entering later all are free again.

use std::net::SocketAddr;

use super::tag::GENERATIONS;
use crate::name::Name;
use crate::{Key, LONGEST};

/// Datagrams that one entering sends; more enter by themselves, so that the first does not wait for the last.
const DATAGRAMS: usize = 64;

/// See [the module](self).
#[derive(Debug)]
pub(super) struct Outbox {
    letters: Vec<Letter>,
    /// Never moves: the kernel knows where the letters lie.
    bytes: Box<[u8]>,
    used: usize,
    /// How often all were sent: a completion that comes late is told apart.
    batch: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Letter {
    pub(super) key: Key,
    pub(super) to: SocketAddr,
    /// As the kernel reads it.
    pub(super) name: Name,
    start: usize,
    length: usize,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            letters: Vec::with_capacity(DATAGRAMS),
            bytes: vec![0; DATAGRAMS * LONGEST].into_boxed_slice(),
            used: 0,
            batch: 0,
        }
    }

    pub(super) fn batch(&self) -> u32 {
        self.batch
    }

    pub(super) fn is_full(&self) -> bool {
        self.letters.len() == DATAGRAMS
    }

    /// Puts one in, of `LONGEST` bytes at most; returns its place. There must be room.
    pub(super) fn put(&mut self, key: Key, to: SocketAddr, name: Name, data: &[u8]) -> usize {
        let start = self.used;
        self.bytes[start..start + data.len()].copy_from_slice(data);
        self.used = (start + data.len()).next_multiple_of(16);
        self.letters.push(Letter { key, to, name, start, length: data.len() });
        self.letters.len() - 1
    }

    pub(super) fn letter(&self, place: usize) -> Option<(&Letter, &[u8])> {
        let letter = self.letters.get(place)?;
        Some((letter, &self.bytes[letter.start..letter.start + letter.length]))
    }

    /// The kernel has read all of them. Returns how many.
    pub(super) fn clear(&mut self) -> usize {
        let sent = self.letters.len();
        if sent == 0 {
            return 0;
        }
        self.letters.clear();
        self.used = 0;
        self.batch = (self.batch + 1) & GENERATIONS;
        sent
    }
}
