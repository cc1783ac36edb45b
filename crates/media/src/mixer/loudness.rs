//! How loud both sides are, and what would bring them to the same loudness.

use super::leveller::Leveller;
use crate::codec::Pcm;
use crate::interface::Level;
use crate::level::Meter;

/// The agent's side and the caller's.
#[derive(Debug, Default)]
pub(super) struct Loudness {
    meters: [Meter; 2],
    levellers: [Leveller; 2],
}

impl Loudness {
    /// One frame of both: the factor of each towards the common loudness.
    pub(super) fn measure(&mut self, sides: [&Pcm; 2]) -> [f32; 2] {
        self.meters.iter_mut().zip(sides).for_each(|(meter, pcm)| meter.feed(pcm.samples()));
        let [agent, caller] = &mut self.levellers;
        [agent.follow(&self.meters[0]), caller.follow(&self.meters[1])]
    }

    pub(super) fn levels(&self) -> [Level; 2] {
        let of = |meter: &Meter| Level { below_full_db: meter.level(), speaks: meter.is_speaking() };
        [of(&self.meters[0]), of(&self.meters[1])]
    }
}
