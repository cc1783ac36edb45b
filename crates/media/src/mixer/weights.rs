//! How much of each side goes to each channel.

use crate::interface::{Layout, Mix};

/// Channels of a kind at most: stereo.
pub(super) const CHANNELS: usize = 2;

/// Of one channel: the agent's side and the caller's, as factors.
pub(super) type Pair = [f32; 2];

/// Of each channel; the second counts where the codec has two.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weights(pub(super) [Pair; CHANNELS]);

impl Weights {
    /// Those of a mix, with both sides' own gain towards a common loudness (1 where that is not wanted).
    pub(super) fn of(mix: Mix, channels: usize, levelled: Pair) -> Self {
        let agent = factor(mix.agent_db) * levelled[0];
        let caller = factor(mix.caller_db) * levelled[1];
        Self(match mix.layout {
            Layout::Stereo if channels == CHANNELS => [[agent, 0.0], [0.0, caller]],
            Layout::Mono | Layout::Stereo => [[agent, caller]; CHANNELS],
            Layout::Agent => [[agent, 0.0]; CHANNELS],
            Layout::Caller => [[0.0, caller]; CHANNELS],
        })
    }

    /// Whether there is anything of the agent's side, and of the caller's.
    pub(super) fn sides(&self) -> (bool, bool) {
        let of = |side: usize| self.0.iter().any(|channel| channel[side] != 0.0);
        (of(0), of(1))
    }
}

/// Decibels as a factor of the amplitude; 0 is exactly 1.
fn factor(db: i8) -> f32 {
    if db == 0 { 1.0 } else { 10_f32.powf(f32::from(db) / 20.0) }
}

/// Adds both sides into one channel of `out`, which has `stride` of them; from one pair of weights to another over the
/// frame where they differ.
pub(super) fn blend(out: &mut [f32], stride: usize, (agent, caller): (&[i16], &[i16]), from: Pair, to: Pair) {
    let samples = agent.len().min(caller.len());
    let step = [(to[0] - from[0]) / samples as f32, (to[1] - from[1]) / samples as f32];
    let is_steady = from == to;
    let sides = agent.iter().zip(caller).enumerate();
    for (place, (n, (agent, caller))) in out.iter_mut().step_by(stride).zip(sides) {
        let [a, c] = if is_steady {
            to
        } else {
            let n = (n + 1) as f32;
            [from[0] + step[0] * n, from[1] + step[1] * n]
        };
        // Products and sum of 16-bit samples with a factor of 1 are exact in f32: a lone voice stays what it was.
        *place = f32::from(*agent) * a + f32::from(*caller) * c;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Layout; 4] = [Layout::Mono, Layout::Stereo, Layout::Agent, Layout::Caller];

    fn of(layout: Layout, channels: usize) -> [Pair; CHANNELS] {
        Weights::of(Mix { layout, ..Mix::default() }, channels, [1.0; 2]).0
    }

    #[test]
    fn the_agent_is_left_and_the_caller_right() {
        let (left, right, both) = ([1.0, 0.0], [0.0, 1.0], [1.0; 2]);
        assert_eq!(ALL.map(|layout| of(layout, 2)), [[both; 2], [left, right], [left; 2], [right; 2]]);
        assert_eq!(ALL.map(|layout| of(layout, 1)[0]), [both, both, left, right], "one channel has no sides");
    }

    #[test]
    fn gains_are_decibels_of_each_side() {
        let mix = Mix { agent_db: 20, caller_db: -40, ..Mix::default() };
        let [[agent, caller], _] = Weights::of(mix, 1, [1.0, 2.0]).0;
        assert!((agent - 10.0).abs() < 1e-4 && (caller - 0.02).abs() < 1e-6, "{agent} {caller}");
    }

    #[test]
    fn a_change_is_a_ramp_of_one_frame() {
        let mut out = [0.0; 160];
        blend(&mut out, 1, (&[1000; 160], &[0; 160]), [0.0, 1.0], [1.0, 1.0]);
        assert!((out[0] - 6.25).abs() < 0.01 && out[159] == 1000.0, "{} {}", out[0], out[159]);
        assert!(out.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] < 6.5));
    }
}
