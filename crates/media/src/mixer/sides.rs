//! Both sides at the rates that listeners' codecs want: resampled once for each, and not at all where rates agree.

use crate::codec::{Pcm, Rate};
use crate::resample::Resampler;

const RATES: [Rate; 3] = [Rate::Narrow, Rate::Wide, Rate::Full];

/// The agent's side and the caller's, at every rate but their own.
#[derive(Debug, Default)]
pub(super) struct Sides([Side; 2]);

/// One side; what nobody wants is not kept.
#[derive(Debug, Default)]
struct Side([Option<Box<Converted>>; RATES.len()]);

#[derive(Debug)]
struct Converted {
    from: Rate,
    resampler: Resampler,
    pcm: Pcm,
}

impl Sides {
    /// The present frame at each rate that is wanted.
    pub(super) fn convert(&mut self, sides: [&Pcm; 2], is_wanted: impl Fn(Rate) -> bool) {
        for (side, pcm) in self.0.iter_mut().zip(sides) {
            for (converted, rate) in side.0.iter_mut().zip(RATES) {
                if pcm.rate() == rate || !is_wanted(rate) {
                    *converted = None;
                    continue;
                }
                let converted = match converted.as_mut().filter(|converted| converted.from == pcm.rate()) {
                    Some(converted) => converted,
                    None => converted.insert(Box::new(Converted::new(pcm.rate(), rate))),
                };
                converted.resampler.process(pcm.samples(), converted.pcm.samples_mut());
            }
        }
    }

    /// The agent's side and the caller's at a rate that was wanted.
    pub(super) fn at<'a>(&'a self, sides: [&'a Pcm; 2], rate: Rate) -> [&'a Pcm; 2] {
        let of = |n: usize| self.0[n].0[rate as usize].as_ref().map_or(sides[n], |converted| &converted.pcm);
        [of(0), of(1)]
    }
}

impl Converted {
    fn new(from: Rate, to: Rate) -> Self {
        Self { from, resampler: Resampler::new(from, to), pcm: Pcm::silence(to) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: Rate, frame: usize) -> Pcm {
        let mut pcm = Pcm::silence(rate);
        for (n, sample) in pcm.samples_mut().iter_mut().enumerate() {
            let at = (frame * rate.frame() + n) as f32 / rate.hertz() as f32;
            *sample = (10_000.0 * (std::f32::consts::TAU * 400.0 * at).sin()) as i16;
        }
        pcm
    }

    #[test]
    fn a_side_is_the_same_at_every_rate_and_untouched_at_its_own() {
        let mut sides = Sides::default();
        for frame in 0..10 {
            let both = [&tone(Rate::Narrow, frame), &tone(Rate::Full, frame)];
            sides.convert(both, |_| true);
            for rate in RATES {
                for (n, pcm) in sides.at(both, rate).into_iter().enumerate() {
                    assert_eq!(pcm.rate(), rate);
                    assert!(pcm.rate() != both[n].rate() || pcm == both[n]);
                    let peak = pcm.samples().iter().map(|sample| sample.unsigned_abs()).max();
                    assert!(frame == 0 || peak.is_some_and(|peak| (9_700..=10_300).contains(&peak)), "{peak:?}");
                }
            }
        }
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let mut sides = Sides::default();
        let both = [&tone(Rate::Narrow, 0), &tone(Rate::Narrow, 0)];
        let kept = |sides: &Sides| sides.0.iter().flat_map(|side| &side.0).flatten().count();
        sides.convert(both, |rate| rate != Rate::Wide);
        assert_eq!(kept(&sides), 2, "to 48 kHz only");
        sides.convert(both, |rate| rate == Rate::Narrow);
        assert_eq!(kept(&sides), 0);
    }
}
