//! Decoders: any payloads in any order, losses among them, give no more than fits, and the next good one is read.
//!
//! An input is a byte that chooses the codec, then payloads: a byte that says what happens, a length in two bytes, the
//! payload.

use media::Codec;
use media::codec::{Decoder, Encoder, MAX_DECODED, MAX_PAYLOAD};
use media::noise::{Comfort, Generator};
use media::plc::Plc;

const CODECS: [Codec; 5] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::OpusStereo];
/// Payloads of an input that are looked at.
const PAYLOADS_MAX: usize = 64;

/// Any bytes.
pub fn body(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let codec = CODECS[usize::from(*choice) % CODECS.len()];
    let mut stream = Stream::new(codec);
    for _ in 0..PAYLOADS_MAX {
        let [control, high, low, after @ ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (payload, others) = after.split_at(length);
        rest = others;
        stream.take(*control, payload);
    }
    stream.good();
}

/// A direction as a tap hears it.
struct Stream {
    codec: Codec,
    decoder: Decoder,
    plc: Plc,
    room: Generator,
    out: Vec<i16>,
}

impl Stream {
    fn new(codec: Codec) -> Self {
        let decoder = Decoder::new(codec).expect("it is read");
        Self { codec, decoder, plc: Plc::new(codec.rate()), room: Generator::new(1), out: vec![0; MAX_DECODED] }
    }

    fn take(&mut self, control: u8, payload: &[u8]) {
        // In steps of 2.5 ms at most as long as a packet may be; every other time by a step that is none.
        let step = self.codec.rate().frame() / 8;
        let lost = (1 + usize::from(control >> 3)) * step + usize::from(control & 4 != 0);
        match control & 3 {
            0 => self.lost(lost),
            1 if self.decoder.recover(payload, &mut self.out[..lost]) => {}
            2 => self.noise(payload, lost),
            _ => self.came(payload),
        }
    }

    fn came(&mut self, payload: &[u8]) {
        if let Ok(samples) = self.decoder.decode(payload, &mut self.out) {
            assert!(samples <= MAX_DECODED);
            self.plc.heard(&mut self.out[..samples]);
        }
        // What does not fit is refused instead of cut.
        if let Ok(samples) = self.decoder.decode(payload, &mut self.out[..100]) {
            assert!(samples <= 100);
        }
    }

    fn lost(&mut self, samples: usize) {
        if !self.decoder.conceal(&mut self.out[..samples]) {
            self.plc.conceal(&mut self.out[..samples]);
        }
    }

    fn noise(&mut self, payload: &[u8], samples: usize) {
        if let Some(comfort) = Comfort::parse(payload) {
            assert!(comfort.payload()[0] < 128);
            self.room.tell(comfort);
        }
        self.room.fill(&mut self.out[..samples]);
    }

    /// Whatever was before, a packet of a sender that keeps to the rules is read.
    fn good(&mut self) {
        let mut encoder = Encoder::new(self.codec).expect("it is written");
        let samples = vec![1_000; self.codec.rate().frame() * self.codec.channels()];
        let mut payload = [0; MAX_PAYLOAD];
        let length = encoder.encode(&samples, &mut payload);
        assert_eq!(self.decoder.decode(&payload[..length], &mut self.out), Ok(self.codec.rate().frame()));
    }
}
