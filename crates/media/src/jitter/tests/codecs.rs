//! Codecs that remember: G.722 and Opus, and changes from one to another.

use super::*;
use crate::codec::{Decoder, MAX_DECODED};

fn speaking(codec: Codec) -> Path {
    let mut path = Path::new(ms(8));
    path.switch(codec);
    path
}

/// What the codec alone makes of what was sent.
fn straight(codec: Codec, sent: &[Vec<u8>]) -> Vec<i16> {
    let mut decoder = Decoder::new(codec).expect("a codec that is read");
    let mut out = vec![0; MAX_DECODED];
    let mut decode = |payload: &Vec<u8>| {
        let length = decoder.decode(payload, &mut out).expect("a packet of its codec");
        out[..length].to_vec()
    };
    sent.iter().flat_map(&mut decode).collect()
}

/// The first sample of the first packet. Before it, frames may have had another rate.
fn first(path: &Path) -> usize {
    let frames = path.frames.iter().skip_while(|frame| !frame.real).count();
    path.full.len() - frames * path.codec.rate().frame()
}

/// Signal to noise in decibels, beside what the codec alone makes of it.
fn likeness(heard: &[i16], straight: &[i16]) -> f64 {
    let difference: Vec<i16> = heard.iter().zip(straight).map(|(a, b)| a.saturating_sub(*b)).collect();
    20.0 * (loudness(straight) / loudness(&difference).max(1e-3)).log10()
}

#[test]
fn on_a_clean_network_every_codec_sounds_as_it_does_alone() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
        let mut path = speaking(codec);
        path.run(2.0);
        let alone = straight(codec, &path.sent);
        let start = first(&path);
        // But for the 5 ms in which it comes up out of silence.
        let seam = codec.rate().frame() / 4;
        let (heard, alone) = (&path.full[start + seam..], &alone[seam..]);
        let same = heard.iter().zip(alone).take_while(|(a, b)| a == b).count();
        assert_eq!(same, heard.len().min(alone.len()), "{codec:?}");
        assert_eq!(path.concealed(), 0);
    }
}

#[test]
fn what_is_lost_is_made_up_in_every_codec() {
    for codec in [Codec::G722, Codec::Opus] {
        let mut path = speaking(codec);
        path.speech = warble;
        path.run(1.0);
        path.loss = 0.05;
        path.run(20.0);
        path.loss = 0.0;
        path.run(0.2);
        let served = path.jitter.served();
        assert_eq!(served.lost, path.lost, "{codec:?}");
        assert!(served.gaps > 20, "{codec:?}: {served:?}");
        let holes = path.heard[1600..].chunks(160).filter(|frame| loudness(frame) < 200.0).count() as u64;
        assert!(holes <= path.lost / 5, "{codec:?}: {holes} silent frames, {} lost", path.lost);
        path.assert_no_click();
    }
}

#[test]
fn opus_packets_hold_what_was_lost_before_them() {
    let heard = |per_cent: u8| {
        let mut path = speaking(Codec::Opus);
        path.speech = warble;
        path.encoder.as_mut().expect("Opus").expect_loss(per_cent);
        // The other side waits so long that here the next packet is there when one is missed.
        path.jitter.expect(ms(8));
        path.jitter.beside(Some(ms(40)));
        path.run(0.5);
        for _ in 0..40 {
            path.loss = 1.0;
            path.run(0.02);
            path.loss = 0.0;
            path.run(0.18);
        }
        let alone = straight(Codec::Opus, &path.sent);
        let start = first(&path);
        assert_eq!(path.jitter.served().lost, 40);
        (path.concealed(), likeness(&path.full[start + 9600..], &alone[9600..]))
    };
    let (made_up, guessed) = heard(0);
    let (not_made_up, recovered) = heard(20);
    // Not every packet holds something: the encoder decides.
    assert!(made_up == 40 && not_made_up <= 20, "{made_up} {not_made_up}");
    assert!(recovered > guessed + 1.0, "recovered {recovered} dB, guessed {guessed} dB");
}

/// A voice whose pitch changes, so that nobody can guess it.
fn warble(n: f64) -> f64 {
    let seconds = n / 8000.0;
    let phase = 180.0 * seconds + 12.0 * (seconds * 9.0).sin();
    (1..6).map(|k| (phase * f64::from(k) * std::f64::consts::TAU).sin() * 2500.0 / f64::from(k)).sum()
}

#[test]
fn a_change_to_a_codec_of_another_rate_does_not_click() {
    let order = [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::Pcma, Codec::Opus, Codec::G722, Codec::Pcmu];
    for phase in [3, 8, 14, 19] {
        let mut path = Path::new(ms(phase));
        for codec in order {
            path.switch(codec);
            path.run(0.5);
        }
        path.assert_no_click();
        assert_eq!(path.jitter.served().lost, 0);
        assert!(path.concealed() <= order.len(), "{}", path.concealed());
        let holes = path.heard[1600..].chunks(160).filter(|frame| loudness(frame) < 150.0).count();
        assert!(holes <= order.len(), "{phase}: {holes}");
        assert!(percentile(&path.leads, 1.0) <= 65.0, "{phase}: {}", percentile(&path.leads, 1.0));
    }
}

#[test]
fn opus_that_has_nothing_to_say_is_not_lost() {
    let mut path = speaking(Codec::Opus);
    path.run(1.0);
    for _ in 0..5 {
        // The table of contents alone: discontinuous transmission begins.
        let Path { codec, ssrc, sequence, timestamp, .. } = path;
        let sent = Sent { codec, ssrc, sequence, timestamp, payload: vec![path.sent[0][0]] };
        path.sequence = path.sequence.wrapping_add(1);
        path.run(0.0);
        path.now = path.next_packet;
        path.push(&sent);
        path.talks = false;
        path.run(0.4);
        path.talks = true;
        path.run(0.6);
    }
    let served = path.jitter.served();
    assert_eq!((served.lost, served.gaps, path.concealed()), (0, 0, 0));
    path.assert_no_click();
}

#[test]
fn what_is_no_packet_of_its_codec_is_counted_and_made_up() {
    let mut path = speaking(Codec::Opus);
    path.run(1.0);
    let Path { codec, ssrc, sequence, timestamp, .. } = path;
    // Code 3 with no count of frames (RFC 6716 §3.2.5).
    path.push(&Sent { codec, ssrc, sequence, timestamp, payload: vec![0xff] });
    path.sequence = path.sequence.wrapping_add(1);
    path.timestamp = path.timestamp.wrapping_add(960);
    path.next_packet += FRAME_TIME;
    path.run(1.0);
    assert_eq!(path.counters.tap_undecodable, 1);
    assert!(path.frames[path.frames.len() - 40..].iter().all(|frame| frame.real));
    path.assert_no_click();
}
