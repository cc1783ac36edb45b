//! Mixing desk of one tapped leg: what its listeners get, encoded once for each kind of them.
//!
//! A [`Kind`] is a codec and a mix. All tracks that want the same share its payload; each sends it under its own SSRC,
//! sequence and clock. A kind lives while somebody uses it. Who changes codec or mix gets a kind of its own for a
//! moment: gains ramp over one frame, the encoder goes on from where it was, and when both are as those of the shared
//! kind would be, the two become one. So a change is no click, and 50 listeners still cost one encoder.

mod kind;
mod limiter;
mod silence;
mod weights;

use slab::Slab;

pub use self::kind::Wanted;
use self::kind::{Kind, Origin};
pub(crate) use self::kind::{Scratch, Track};
pub(crate) use self::silence::Silence;
use crate::codec::Pcm;
use crate::fork::Heard;
use crate::interface::Counters;

/// Tracks of one listener at most: a browser may have one for each side.
pub const TRACKS: usize = 2;

/// What each of a listener's tracks wants, in order; the first `None` ends them.
pub type WantedTracks = [Option<Wanted>; TRACKS];

/// The kinds of one tapped leg.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    kinds: Slab<Kind>,
    /// Some kind has just become what another may be already.
    has_settled: bool,
}

impl Desk {
    /// A track wants something from the next tick on. `from`: the kind that it has here now. `None`: that codec cannot
    /// be written.
    pub(crate) fn tune(&mut self, wanted: Wanted, from: Option<usize>) -> Option<usize> {
        let before = from.and_then(|key| self.kinds.get_mut(key));
        let origin = match before {
            Some(before) if before.wanted() == wanted => return from,
            Some(before) if before.wanted().codec == wanted.codec && before.users == 1 => {
                before.turn(wanted);
                return from;
            }
            Some(before) if before.wanted().codec == wanted.codec => from.map_or(Origin::Silence, Origin::Kind),
            _ => Origin::Silence,
        };
        let key = match self.kinds.iter().find(|(_, kind)| kind.is_born(origin, wanted)) {
            Some((key, _)) => key,
            None => {
                let before = from.filter(|_| origin != Origin::Silence).and_then(|key| self.kinds.get(key));
                self.kinds.insert(Kind::new(wanted, before, origin)?)
            }
        };
        self.kinds.get_mut(key)?.users += 1;
        from.into_iter().for_each(|from| self.leave(from));
        Some(key)
    }

    /// A track wants its kind no more.
    pub(crate) fn leave(&mut self, key: usize) {
        let Some(kind) = self.kinds.get_mut(key) else { return };
        kind.users -= 1;
        if kind.users == 0 {
            self.kinds.remove(key);
        }
    }

    /// One frame of both sides, for every kind that is wanted.
    pub(crate) fn mix(
        &mut self,
        (agent, caller): (&Pcm, &Pcm),
        heard: Heard,
        scratch: &mut Scratch,
        counters: &mut Counters,
    ) {
        for (_, kind) in &mut self.kinds {
            self.has_settled |= kind.write((agent, caller), heard, scratch);
            counters.frames_encoded += 1;
        }
    }

    /// What a kind's track is at this tick.
    pub(crate) fn track(&self, key: usize) -> Option<Track<'_>> {
        self.kinds.get(key).map(Kind::track)
    }

    /// Some kind may be given up for an equal one: [`Desk::settle`] every track, after this tick's packets.
    pub(crate) fn take_settled(&mut self) -> bool {
        std::mem::take(&mut self.has_settled)
    }

    /// The kind that a track shares from now on: its own, or an equal one.
    pub(crate) fn settle(&mut self, key: usize) -> usize {
        let Some(wanted) = self.kinds.get(key).filter(|kind| kind.is_settled()).map(Kind::wanted) else { return key };
        let mut equal = self.kinds.iter().filter(|(_, kind)| kind.is_settled() && kind.wanted() == wanted);
        let Some((shared, _)) = equal.next().filter(|(shared, _)| *shared != key) else { return key };
        self.kinds[shared].users += 1;
        self.leave(key);
        shared
    }

    /// Kinds that there are.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> usize {
        self.kinds.len()
    }
}

#[cfg(test)]
mod tests;
