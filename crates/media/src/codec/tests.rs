//! Every codec, through the seam that streams use.

use super::*;

/// 20 ms of a sine, interleaved for so many channels.
fn sine(rate: Rate, hertz: f64, frame: usize, channels: usize) -> Vec<i16> {
    let step = 2.0 * std::f64::consts::PI * hertz / f64::from(rate.hertz());
    (0..rate.frame() * channels)
        .map(|n| (((frame * rate.frame() + n / channels) as f64 * step).sin() * 8_000.0) as i16)
        .collect()
}

/// Decibels by which `heard` is like `said`, at the delay at which it is most like it.
fn likeness(said: &[i16], heard: &[i16]) -> f64 {
    let at = |delay: usize| {
        let (mut signal, mut error) = (0.0, 1.0);
        for (said, heard) in said.iter().zip(&heard[delay..]) {
            signal += f64::from(*said).powi(2);
            error += (f64::from(*said) - f64::from(*heard)).powi(2);
        }
        10.0 * (signal / error).log10()
    };
    (0..400).map(at).fold(f64::MIN, f64::max)
}

fn payload(encoder: &mut Encoder, samples: &[i16]) -> Vec<u8> {
    let mut out = [0; MAX_PAYLOAD];
    let length = encoder.encode(samples, &mut out);
    assert!(length > 0);
    out[..length].to_vec()
}

fn decoded(decoder: &mut Decoder, payload: &[u8]) -> Vec<i16> {
    let mut out = vec![0; MAX_DECODED];
    let length = decoder.decode(payload, &mut out).unwrap();
    out[..length].to_vec()
}

#[test]
fn every_codec_carries_a_tone() {
    for (codec, least) in
        [(Codec::Pcmu, 30.0), (Codec::Pcma, 30.0), (Codec::G722, 25.0), (Codec::Opus, 20.0), (Codec::OpusStereo, 20.0)]
    {
        let (mut encoder, mut decoder) = (Encoder::new(codec).unwrap(), Decoder::new(codec).unwrap());
        let rate = codec.rate();
        let (mut said, mut heard) = (Vec::new(), Vec::new());
        for n in 0..20 {
            said.extend(sine(rate, 400.0, n, 1));
            let frame = decoded(&mut decoder, &payload(&mut encoder, &sine(rate, 400.0, n, codec.channels())));
            assert_eq!(frame.len(), rate.frame());
            heard.extend(frame);
        }
        let (from, to) = (5 * rate.frame(), 18 * rate.frame());
        let likeness = likeness(&said[from..to], &heard[from..]);
        assert!(likeness > least, "{codec:?}: {likeness:.1} dB");
    }
}

#[test]
fn what_cannot_be_read_or_written_is_not_made() {
    assert!(Decoder::new(Codec::G729).is_none() && Encoder::new(Codec::G729).is_none());
}

#[test]
fn frames_that_are_not_20_ms_and_rooms_too_small_give_nothing() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::OpusStereo] {
        let mut encoder = Encoder::new(codec).unwrap();
        let frame = vec![500; codec.rate().frame() * codec.channels()];
        assert_eq!(encoder.encode(&frame[1..], &mut [0; MAX_PAYLOAD]), 0);
        assert_eq!(encoder.encode(&[], &mut [0; MAX_PAYLOAD]), 0);
        assert_eq!(encoder.encode(&frame, &mut []), 0);
    }
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        let mut decoder = Decoder::new(codec).unwrap();
        assert_eq!(decoder.decode(&[0x78; 200], &mut [0; 50]), Err(Broken), "{codec:?}");
    }
}

#[test]
fn static_types_are_those_of_rfc_3551() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::G729] {
        assert_eq!(codec.static_type().and_then(Codec::of_static_type), Some(codec));
    }
    assert_eq!((Codec::of_static_type(13), Codec::Opus.static_type()), (None, None));
}
