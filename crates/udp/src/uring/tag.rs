//! What a completion says about its request: which kind, of which socket, in which life of its key.

use crate::Key;

/// `user_data`: kind, then generation, then key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    /// Lives of the key before this one, modulo 2^24: a late completion of an earlier one is told apart.
    pub(super) generation: u32,
    /// The socket; of a send, its place in the outbox.
    pub(super) key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Receive,
    Send,
    Wake,
    Cancel,
}

const KINDS: [Kind; 4] = [Kind::Receive, Kind::Send, Kind::Wake, Kind::Cancel];
/// Bits of a generation.
pub(super) const GENERATIONS: u32 = (1 << 24) - 1;

impl Tag {
    pub(super) fn new(kind: Kind, generation: u32, key: Key) -> Self {
        Self { kind, generation: generation & GENERATIONS, key }
    }

    pub(super) fn pack(self) -> u64 {
        (self.kind as u64) << 56 | u64::from(self.generation) << 32 | u64::from(self.key)
    }

    pub(super) fn unpack(data: u64) -> Option<Self> {
        let kind = *KINDS.get(usize::try_from(data >> 56).ok()?)?;
        Some(Self { kind, generation: (data >> 32) as u32 & GENERATIONS, key: data as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_as_it_went() {
        for kind in KINDS {
            let tag = Tag::new(kind, GENERATIONS, Key::MAX);
            assert_eq!(Tag::unpack(tag.pack()), Some(tag));
        }
        assert_eq!(Tag::new(Kind::Send, GENERATIONS + 1, 7), Tag::new(Kind::Send, 0, 7));
        assert_eq!(Tag::unpack(u64::MAX), None);
    }
}
