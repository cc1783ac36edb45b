//! Silence in each codec: what a listener gets while shielded, or with nothing to hear.
//!
//! It comes from an encoder that never heard a call, so nothing of one can be in it; and since an encoder that hears
//! nothing for long writes the same payload again and again, it is made once.

use super::kind::Payload;
use crate::codec::{Encoder, MAX_FRAME};
use crate::interface::Codec;

/// Frames of silence until an encoder has forgotten how it began.
const RUN_IN: usize = 50;

/// One payload a codec.
#[derive(Debug, Default)]
pub(crate) struct Silence([Option<Box<Payload>>; CODECS]);

const CODECS: usize = 6;

impl Silence {
    /// 20 ms in a codec. `None`: it cannot be written.
    pub(crate) fn of(&mut self, codec: Codec) -> Option<&[u8]> {
        let place = self.0.get_mut(codec as usize)?;
        if place.is_none() {
            *place = Some(Box::new(make(codec)?));
        }
        place.as_deref().map(Payload::bytes)
    }

    /// The same, of one that was asked for before.
    pub(crate) fn known(&self, codec: Codec) -> &[u8] {
        self.0.get(codec as usize).and_then(Option::as_deref).map_or(&[], Payload::bytes)
    }
}

fn make(codec: Codec) -> Option<Payload> {
    let mut encoder = Encoder::new(codec)?;
    let samples = [0; 2 * MAX_FRAME];
    let frame = &samples[..codec.rate().frame() * codec.channels()];
    let mut payload = Payload::default();
    for _ in 0..RUN_IN {
        payload.write(&mut encoder, frame);
    }
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_the_same_for_ever() {
        let mut silence = Silence::default();
        for (codec, byte) in [(Codec::Pcmu, 0xff), (Codec::Pcma, 0xd5)] {
            assert_eq!(silence.of(codec), Some(&[byte; 160][..]));
            assert_eq!(silence.known(codec), [byte; 160]);
        }
        assert_eq!(silence.of(Codec::G729), None, "read only");
    }
}
