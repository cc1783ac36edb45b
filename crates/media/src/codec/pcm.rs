//! 20 ms of linear samples, at the rate that they were spoken at.

/// Samples a second of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// 8 kHz: G.711, G.729.
    #[default]
    Narrow,
    /// 16 kHz: G.722.
    Wide,
    /// 48 kHz: Opus.
    Full,
}

/// Samples in the longest frame of one channel: 20 ms at 48 kHz.
pub const MAX_FRAME: usize = 960;

/// 20 ms of one voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcm {
    rate: Rate,
    samples: [i16; MAX_FRAME],
}

impl Rate {
    /// Samples a second.
    #[must_use]
    pub const fn hertz(self) -> u32 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
            Self::Full => 48_000,
        }
    }

    /// Samples in 20 ms.
    #[must_use]
    pub const fn frame(self) -> usize {
        self.hertz() as usize / 50
    }
}

impl Pcm {
    /// 20 ms of silence.
    #[must_use]
    pub const fn silence(rate: Rate) -> Self {
        Self { rate, samples: [0; MAX_FRAME] }
    }

    /// Its rate.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Another rate, and silence.
    pub fn reset(&mut self, rate: Rate) {
        self.rate = rate;
        self.samples.fill(0);
    }

    /// As many samples as 20 ms have.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples[..self.rate.frame()]
    }

    /// The same, to be written.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..self.rate.frame()]
    }
}

impl Default for Pcm {
    fn default() -> Self {
        Self::silence(Rate::Narrow)
    }
}
