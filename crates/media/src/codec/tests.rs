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
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::G729, Codec::Opus, Codec::OpusStereo] {
        assert_eq!(Decoder::new(codec).is_some(), codec.is_readable());
        assert_eq!(Encoder::new(codec).is_some(), codec.is_readable());
    }
    assert!(!Codec::G729.is_readable());
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

mod opus {
    use ropus::{Application, Bitrate, Channels, InbandFec};

    use super::*;

    /// Synthetic speech: harmonics of a gliding pitch, in syllables of 200 ms.
    fn speech(from: usize, samples: usize) -> Vec<i16> {
        let at = |n: usize| n as f64 / 48_000.0;
        let turn = 2.0 * std::f64::consts::PI;
        let phase = |n: usize| turn * (120.0 * at(n) - 30.0 / (turn * 2.0) * (turn * 2.0 * at(n)).cos());
        let syllable = |n: usize| (turn * 2.5 * at(n)).sin().abs();
        let sample = |n: usize| {
            let harmonics = (1..20).map(|k| (phase(n) * f64::from(k)).sin() / f64::from(k)).sum::<f64>();
            (harmonics * syllable(n) * 6_000.0) as i16
        };
        (from..from + samples).map(sample).collect()
    }

    /// A sender that is not ours.
    fn sender(application: Application, channels: Channels, bits: u32) -> ropus::Encoder {
        ropus::Encoder::builder(48_000, channels, application)
            .bitrate(Bitrate::Bits(bits))
            .complexity(5)
            .build()
            .unwrap()
    }

    fn sent(encoder: &mut ropus::Encoder, samples: &[i16]) -> Vec<u8> {
        let mut out = [0; 1_500];
        let length = encoder.encode(samples, &mut out).unwrap();
        out[..length].to_vec()
    }

    fn loudness(samples: &[i16]) -> f64 {
        (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn every_length_of_frame_in_every_mode_is_read() {
        for (application, bits) in
            [(Application::Voip, 12_000), (Application::Voip, 32_000), (Application::Audio, 64_000)]
        {
            for length in [120, 240, 480, 960, 1_920, 2_880, 3_840, 4_800, 5_760] {
                let (mut encoder, mut decoder) =
                    (sender(application, Channels::Mono, bits), Decoder::new(Codec::Opus).unwrap());
                for n in 0..12 {
                    let packet = sent(&mut encoder, &speech(n * length, length));
                    assert_eq!(decoded(&mut decoder, &packet).len(), length, "{application:?} {bits}");
                }
            }
        }
    }

    #[test]
    fn two_channels_are_read_as_their_mean() {
        for (application, bits) in [(Application::Audio, 96_000), (Application::Voip, 24_000)] {
            let mut encoder = sender(application, Channels::Stereo, bits);
            let mut decoder = Decoder::new(Codec::Opus).unwrap();
            let (mut said, mut heard) = (Vec::new(), Vec::new());
            for n in 0..50 {
                let left = speech(n * 960, 960);
                let stereo: Vec<i16> = left.iter().flat_map(|sample| [*sample, sample / 2]).collect();
                said.extend(left.iter().map(|sample| sample / 4 * 3));
                heard.extend(decoded(&mut decoder, &sent(&mut encoder, &stereo)));
            }
            let ratio = loudness(&heard[9_600..]) / loudness(&said[9_600..]);
            assert!((0.85..1.15).contains(&ratio), "{application:?}: {ratio}");
        }
    }

    #[test]
    fn redundancy_is_found_where_it_is_and_better_than_a_guess() {
        let mut encoder = sender(Application::Voip, Channels::Mono, 32_000);
        encoder.set_inband_fec(InbandFec::Enabled).unwrap();
        encoder.set_packet_loss_perc(20).unwrap();
        let packets: Vec<_> = (0..150).map(|n| sent(&mut encoder, &speech(n * 960, 960))).collect();
        let mut whole = Decoder::new(Codec::Opus).unwrap();
        let expected: Vec<_> = packets.iter().map(|packet| decoded(&mut whole, packet)).collect();

        let (mut mending, mut guessing) = (Decoder::new(Codec::Opus).unwrap(), Decoder::new(Codec::Opus).unwrap());
        let (mut mended, mut guessed, mut found, mut losses) = (0.0, 0.0, 0, 0);
        for (n, packet) in packets.iter().enumerate() {
            if n % 10 != 5 {
                decoded(&mut mending, packet);
                decoded(&mut guessing, packet);
                continue;
            }
            let error = |heard: &[i16]| {
                heard.iter().zip(&expected[n]).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
            };
            let mut lost = [0; 960];
            losses += 1;
            if mending.recover(&packets[n + 1], &mut lost) {
                found += 1;
            } else {
                assert!(mending.conceal(&mut lost));
            }
            mended += error(&lost);
            assert!(guessing.conceal(&mut lost));
            guessed += error(&lost);
        }
        assert!(found * 10 >= losses * 8, "{found} of {losses}");
        assert!(mended * 3.0 < guessed, "{mended} {guessed}");
    }

    #[test]
    fn without_redundancy_nothing_is_recovered_and_nothing_is_spoilt() {
        let mut low_delay = Encoder::new(Codec::Opus).unwrap();
        let mut plain = sender(Application::Voip, Channels::Mono, 16_000);
        for n in 0..20 {
            let samples = speech(n * 960, 960);
            for packet in [payload(&mut low_delay, &samples), sent(&mut plain, &samples)] {
                let mut lost = [3; 960];
                assert!(!Decoder::new(Codec::Opus).unwrap().recover(&packet, &mut lost));
                assert_eq!(lost, [3; 960]);
            }
        }
    }

    #[test]
    fn what_is_lost_fades_and_is_silent_at_last() {
        let (mut encoder, mut decoder) = (Encoder::new(Codec::Opus).unwrap(), Decoder::new(Codec::Opus).unwrap());
        for n in 0..20 {
            decoded(&mut decoder, &payload(&mut encoder, &speech(n * 960, 960)));
        }
        let mut lost = [0; 960];
        assert!(decoder.conceal(&mut lost));
        assert!(loudness(&lost) > 300.0);
        for _ in 0..6 {
            assert!(decoder.conceal(&mut lost));
        }
        assert_eq!(lost, [0; 960]);
        // Back without a step.
        let heard = decoded(&mut decoder, &payload(&mut encoder, &speech(20 * 960, 960)));
        assert!(heard[..10].iter().all(|sample| sample.unsigned_abs() < 400), "{:?}", &heard[..10]);
        assert!(loudness(&heard[240..]) > 300.0);
        assert!(!decoder.conceal(&mut lost[..100]), "no whole 2.5 ms");
        assert!(!decoder.conceal(&mut []));
    }

    #[test]
    fn a_sender_that_stops_in_silence_is_read() {
        let mut encoder = sender(Application::Voip, Channels::Mono, 16_000);
        encoder.set_dtx(true).unwrap();
        let mut decoder = Decoder::new(Codec::Opus).unwrap();
        let mut shortest = usize::MAX;
        for n in 0..100 {
            let samples = if n < 20 { speech(n * 960, 960) } else { vec![0; 960] };
            let packet = sent(&mut encoder, &samples);
            shortest = shortest.min(packet.len());
            assert_eq!(decoded(&mut decoder, &packet).len(), 960);
        }
        assert!(shortest <= 2, "{shortest}");
        assert_eq!(decoder.decode(&[], &mut [0; MAX_DECODED]), Err(Broken));
    }

    #[test]
    fn redundancy_is_written_while_listeners_lose() {
        for codec in [Codec::Opus, Codec::OpusStereo] {
            let mut encoder = Encoder::new(codec).unwrap();
            let redundant = |encoder: &mut Encoder| {
                let mut recovered = 0;
                for n in 0..50 {
                    let samples: Vec<i16> =
                        speech(n * 960, 960).iter().flat_map(|s| vec![*s; codec.channels()]).collect();
                    let packet = payload(encoder, &samples);
                    assert!(packet.len() <= MAX_PAYLOAD);
                    recovered += usize::from(Decoder::new(codec).unwrap().recover(&packet, &mut [0; 960]));
                }
                recovered
            };
            assert_eq!(redundant(&mut encoder), 0);
            encoder.expect_loss(10);
            assert!(redundant(&mut encoder) > 30);
            encoder.expect_loss(3);
            assert!(redundant(&mut encoder) > 20, "it goes on until there is less than half");
            encoder.expect_loss(1);
            assert_eq!(redundant(&mut encoder), 0);
            encoder.expect_loss(3);
            assert_eq!(redundant(&mut encoder), 0);
        }
    }

    #[test]
    fn a_change_of_mode_does_not_click() {
        let (mut encoder, mut decoder) = (Encoder::new(Codec::Opus).unwrap(), Decoder::new(Codec::Opus).unwrap());
        let mut heard = Vec::new();
        for n in 0..100 {
            match n {
                30 => encoder.expect_loss(10),
                60 => encoder.expect_loss(0),
                _ => {}
            }
            heard.extend(decoded(&mut decoder, &payload(&mut encoder, &sine(Rate::Full, 300.0, n, 1))));
        }
        let largest = heard[4_800..].windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
        // A step of the sine itself is 314 at most.
        assert!(largest < 900, "{largest}");
        for frame in heard[4_800..].chunks(960) {
            assert!(loudness(frame) > 2_500.0, "{}", loudness(frame));
        }
    }

    #[test]
    fn stereo_keeps_sides_apart() {
        let mut encoder = Encoder::new(Codec::OpusStereo).unwrap();
        let mut ears = ropus::Decoder::new(48_000, Channels::Stereo).unwrap();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for n in 0..100 {
            let samples: Vec<i16> = speech(n * 960, 960).iter().flat_map(|sample| [*sample, 0]).collect();
            let mut out = [0; 1_920];
            ears.decode(&payload(&mut encoder, &samples), &mut out, ropus::DecodeMode::Normal).unwrap();
            left.extend(out.chunks(2).map(|pair| pair[0]));
            right.extend(out.chunks(2).map(|pair| pair[1]));
        }
        let apart = 20.0 * (loudness(&left) / loudness(&right).max(0.1)).log10();
        assert!(apart > 25.0, "{apart:.1} dB");
    }
}

mod g722 {
    /// CRC-32 of what spandsp 0.0.6 makes of the same.
    #[test]
    fn codes_and_samples_are_those_of_another_implementation() {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16 / 4
        };
        // Without sines, so that it is the same everywhere: a falling tooth, in noise, louder and louder.
        let samples: Vec<i16> =
            (0..16_000_i32).map(|n| ((n % 97 - 48) * (n / 100) + i32::from(noise()) * (n / 400) / 40) as i16).collect();
        let mut codes = vec![0; samples.len() / 2];
        super::super::g722::Encoder::default().encode(&samples, &mut codes);
        let mut heard = vec![0; samples.len()];
        super::super::g722::Decoder::default().decode(&codes, &mut heard);
        let bytes: Vec<u8> = heard.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        assert_eq!((crc(&codes), crc(&bytes)), (0xcae2_57a9, 0x1cc0_d21f));
    }

    fn crc(bytes: &[u8]) -> u32 {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
    }

    #[test]
    fn the_loudest_clips_instead_of_wrapping() {
        let mut decoder = super::super::g722::Decoder::default();
        let mut out = vec![0; 64_000];
        let codes: Vec<u8> = (0..32_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        decoder.decode(&codes, &mut out);
        assert!(out.contains(&i16::MAX) && out.contains(&i16::MIN));
    }
}
