//! Mixing desk of one tapped leg: what its listeners get, encoded once for each kind of them.
//!
//! A `Kind` is a codec and a mix. All tracks that want the same share its payload; each sends it under its own SSRC,
//! sequence and clock. A kind lives while somebody uses it. Who changes codec or mix gets a kind of its own for a
//! moment: gains ramp over one frame, the encoder goes on from where it was, and when both are as those of the shared
//! kind would be, the two become one. So a change is no click, and 50 listeners still cost one encoder.

mod kind;
mod leveller;
mod limiter;
mod loudness;
mod onward;
mod sides;
mod silence;
mod weights;

use slab::Slab;

pub use self::kind::Wanted;
pub(crate) use self::kind::{Entry, Scratch, Tail, Track};
use self::kind::{Kind, Origin};
use self::loudness::Loudness;
use self::sides::Sides;
pub(crate) use self::silence::{Ending, PHASES, Silence};
use crate::codec::{Pcm, Rate};
use crate::fork::Heard;
use crate::interface::{Counters, Level, StreamId};

/// Tracks of one listener at most: a browser may have one for each side.
pub const TRACKS: usize = 2;

/// What each of a listener's tracks wants, in order; the first `None` ends them.
pub type WantedTracks = [Option<Wanted>; TRACKS];

/// The kinds of one tapped leg.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    kinds: Slab<Kind>,
    sides: Sides,
    /// Of both sides, in the last frame.
    rates: Option<[Rate; 2]>,
    /// While somebody wants to know, or a kind is levelled.
    loudness: Option<Box<Loudness>>,
    is_watched: bool,
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
        let key = self.kinds.iter().find(|(_, kind)| kind.is_born(origin, wanted)).map(|(key, _)| key);
        let key = key.or_else(|| {
            let before = from.filter(|_| origin != Origin::Silence).and_then(|key| self.kinds.get(key));
            Kind::new(wanted, before, origin).map(|kind| self.kinds.insert(kind))
        });
        if let Some(kind) = key.and_then(|key| self.kinds.get_mut(key)) {
            kind.users += 1;
        }
        from.into_iter().for_each(|from| self.leave(from));
        key
    }

    /// A track comes from another desk, where it ended so.
    pub(crate) fn take_over(&mut self, wanted: Wanted, tail: Tail, entry: Entry) -> Option<usize> {
        if tail.codec() != wanted.codec {
            return self.tune(wanted, None);
        }
        let origin = tail.origin(entry);
        let key = self.kinds.iter().find(|(_, kind)| kind.is_born(origin, wanted)).map(|(key, _)| key);
        let key = key.or_else(|| Kind::after(tail, wanted, entry).map(|kind| self.kinds.insert(kind)))?;
        self.kinds[key].users += 1;
        Some(key)
    }

    /// Where a track with this kind ends, if it leaves for another desk. `agent`: the leg that this desk is of.
    pub(crate) fn tail(&self, agent: StreamId, key: usize) -> Option<Tail> {
        self.kinds.get(key)?.tail(agent, key)
    }

    /// A track wants its kind no more.
    pub(crate) fn leave(&mut self, key: usize) {
        let Some(kind) = self.kinds.get_mut(key) else { return };
        kind.users -= 1;
        if kind.users == 0 {
            self.kinds.remove(key);
        }
    }

    /// A listener of a kind loses so much, in per cent.
    pub(crate) fn expect_loss(&mut self, key: usize, per_cent: u8) {
        self.kinds.get_mut(key).into_iter().for_each(|kind| kind.expect_loss(per_cent));
    }

    /// What brings a track with this kind to rest, if anything has to.
    pub(crate) fn ending(&self, key: usize) -> Option<Box<Ending>> {
        self.kinds.get(key).and_then(Kind::ending)
    }

    /// One frame of both sides, for every kind that is wanted.
    pub(crate) fn mix(
        &mut self,
        (agent, caller): (&Pcm, &Pcm),
        heard: Heard,
        scratch: &mut Scratch,
        counters: &mut Counters,
    ) {
        let sides = [agent, caller];
        let levelled = self.measure(sides);
        self.sides.convert(sides, |rate| self.kinds.iter().any(|(_, kind)| kind.wanted().codec.rate() == rate));
        let rates = sides.map(Pcm::rate);
        let is_seam = self.rates.replace(rates).is_some_and(|before| before != rates);
        for (_, kind) in &mut self.kinds {
            let sides = self.sides.at(sides, kind.wanted().codec.rate());
            self.has_settled |= kind.write(is_seam, sides, levelled, heard, scratch);
            counters.frames_encoded += 1;
        }
    }

    /// How loud the sides are, if anybody needs it; and what brings each to the common loudness.
    fn measure(&mut self, sides: [&Pcm; 2]) -> [f32; 2] {
        if !self.is_watched && !self.kinds.iter().any(|(_, kind)| kind.wanted().mix.is_levelled) {
            self.loudness = None;
            return [1.0; 2];
        }
        self.loudness.get_or_insert_default().measure(sides)
    }

    /// Whether anybody wants to know how loud it is.
    pub(crate) fn watch_levels(&mut self, on: bool) {
        self.is_watched = on;
    }

    /// How loud the agent and the caller were in the last tenth of a second, if anybody wants to know.
    pub(crate) fn levels(&self) -> Option<[Level; 2]> {
        self.loudness.as_ref().filter(|_| self.is_watched).map(|loudness| loudness.levels())
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
