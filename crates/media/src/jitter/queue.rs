//! Decoded samples that wait for their tick, at the rate of their codec. Where they are joined, nothing clicks.

use crate::codec::{MAX_DECODED, MAX_FRAME, Rate};
use crate::plc::blend;

/// What waits before a packet is decoded is less than two frames; and then room for the longest packet.
const CAPACITY: usize = 2 * MAX_FRAME + MAX_DECODED;

/// See above.
#[derive(Debug)]
pub(super) struct Queue {
    rate: Rate,
    samples: Box<[i16]>,
    start: usize,
    end: usize,
    /// So many at the end are made up.
    made_up: usize,
    /// The next packet's first samples come out of these: what would have been heard instead, or silence.
    seam: Vec<i16>,
}

/// What `length` samples of silence and those from here on are blended over: 5 ms.
pub(super) const fn seam(rate: Rate) -> usize {
    rate.frame() / 4
}

impl Queue {
    pub(super) fn new() -> Self {
        let seam = Vec::with_capacity(MAX_FRAME / 4);
        Self { rate: Rate::Narrow, samples: vec![0; CAPACITY].into(), start: 0, end: 0, made_up: 0, seam }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(super) fn samples(&self) -> &[i16] {
        &self.samples[self.start..self.end]
    }

    /// The last samples, to be written over.
    pub(super) fn last_mut(&mut self, samples: usize) -> &mut [i16] {
        let from = self.end.saturating_sub(samples).max(self.start);
        &mut self.samples[from..self.end]
    }

    /// Samples at the end that are made up.
    pub(super) fn made_up(&self) -> usize {
        self.made_up
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.made_up) = (0, 0, 0);
        self.seam.clear();
    }

    /// Room behind the last sample for the longest packet; [`Queue::add`] says how much of it was filled.
    pub(super) fn room(&mut self) -> &mut [i16] {
        self.start += (self.len() + MAX_DECODED).saturating_sub(CAPACITY);
        self.samples.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        self.made_up = self.made_up.min(self.end);
        &mut self.samples[self.end..]
    }

    /// So many samples of [`Queue::room`] were said.
    pub(super) fn add(&mut self, samples: usize) {
        let added = self.put(samples);
        let steps = self.seam.len();
        for (n, (new, old)) in self.samples[added..self.end].iter_mut().zip(&self.seam).enumerate() {
            *new = blend(*old, *new, n + 1, steps + 1);
        }
        self.seam.clear();
        self.made_up = 0;
    }

    /// So many samples of [`Queue::room`] are made up.
    pub(super) fn add_made_up(&mut self, samples: usize) {
        self.put(samples);
        self.made_up = (self.made_up + samples).min(self.len());
    }

    fn put(&mut self, samples: usize) -> usize {
        let before = self.end;
        self.end = (self.end + samples).min(CAPACITY);
        before
    }

    /// What is said next comes up out of silence.
    pub(super) fn rises(&mut self) {
        self.seam.clear();
        self.seam.resize(seam(self.rate), 0);
    }

    /// What is said next takes the place of the last `samples`, all made up: out of which it comes.
    pub(super) fn retract(&mut self, samples: usize) {
        let samples = samples.min(self.made_up);
        self.end -= samples;
        self.made_up -= samples;
        self.seam.clear();
        self.seam.extend_from_slice(&self.samples[self.end..self.end + samples.min(seam(self.rate))]);
    }

    /// Takes the oldest samples. Short: the rest is left as it is.
    pub(super) fn take(&mut self, out: &mut [i16]) {
        let taken = self.len().min(out.len());
        out[..taken].copy_from_slice(&self.samples[self.start..self.start + taken]);
        self.pass(taken);
    }

    /// Passes over the oldest samples.
    pub(super) fn pass(&mut self, samples: usize) {
        self.start += samples.min(self.len());
        self.made_up = self.made_up.min(self.len());
    }

    /// The first `lag` samples go; those after them follow by way of them. There are `lag` and a seam at least.
    pub(super) fn shorten(&mut self, lag: usize) {
        let steps = seam(self.rate);
        for n in 0..steps {
            let (old, new) = (self.samples[self.start + n], self.samples[self.start + lag + n]);
            self.samples[self.start + lag + n] = blend(old, new, n + 1, steps + 1);
        }
        self.pass(lag);
    }

    /// The first `lag` samples are heard twice. There are `lag` and a seam at least.
    pub(super) fn lengthen(&mut self, lag: usize) {
        let steps = seam(self.rate);
        let _room = self.room();
        let lag = lag.min(CAPACITY - self.end);
        self.samples.copy_within(self.start..self.end, self.start + lag);
        self.end += lag;
        // Now 0..lag is there twice, and behind the first of them lies what follows it only by way of the second.
        for n in 0..steps {
            let from = self.start + 2 * lag + n;
            let (old, new) = (self.samples[from.min(self.end - 1)], self.samples[self.start + lag + n]);
            self.samples[self.start + lag + n] = blend(old, new, n + 1, steps + 1);
        }
    }

    /// What comes next has another rate, and so has what waits from now on. It is little, and it is not worth a filter.
    pub(super) fn convert(&mut self, rate: Rate) {
        if rate == self.rate {
            return;
        }
        let mut waiting = [0; 2 * MAX_FRAME];
        let from = self.len().min(waiting.len() * self.rate.frame() / rate.frame().max(self.rate.frame()));
        let made_up = self.made_up.min(from) * rate.frame() / self.rate.frame();
        let length = interpolate(&self.samples()[..from], self.rate, rate, &mut waiting);
        let mut joins = [0; MAX_FRAME / 4];
        let seam = interpolate(&self.seam, self.rate, rate, &mut joins);
        self.clear();
        self.rate = rate;
        self.samples[..length].copy_from_slice(&waiting[..length]);
        (self.end, self.made_up) = (length, made_up);
        self.seam.extend_from_slice(&joins[..seam]);
    }
}

/// The same sound at another rate: how many samples.
fn interpolate(from: &[i16], old: Rate, new: Rate, to: &mut [i16]) -> usize {
    let length = (from.len() * new.frame() / old.frame()).min(to.len());
    for (n, sample) in to.iter_mut().take(length).enumerate() {
        let (at, part) = (n * old.frame() / new.frame(), n * old.frame() % new.frame());
        let (here, next) = (from[at], *from.get(at + 1).unwrap_or(&from[at]));
        *sample = blend(here, next, part, new.frame());
    }
    length
}
