//! Where sound begins, ends, or comes from somebody else: none of it clicks, nor lasts.

use super::*;
use crate::jitter::SenderClock;

fn talking() -> Path {
    let mut path = Path::new(ms(6));
    path.run(3.0);
    path.forget();
    path
}

#[test]
fn a_first_packet_comes_up_out_of_silence() {
    let mut path = Path::new(ms(6));
    path.spoken = 10; // near its peak
    path.run(0.5);
    path.assert_no_click();
    assert!(loudness(&path.heard[1600..]) > 600.0);
}

#[test]
fn what_is_stopped_dies_away_and_leaves_nothing() {
    for at in 0..10 {
        let mut path = talking();
        path.run(0.1 + f64::from(at) * 0.003);
        path.jitter.stop();
        path.talks = false;
        path.wire.clear();
        let stopped = path.heard.len();
        path.run(0.5);
        path.assert_no_click();
        assert!(path.heard[stopped + 40..].iter().all(|sample| *sample == 0), "after 5 ms there is silence");
        path.talks = true;
        path.run(0.5);
        path.assert_no_click();
        assert!(loudness(&path.heard[path.heard.len() - 1600..]) > 600.0, "and it is heard again");
    }
}

#[test]
fn another_source_goes_on_where_the_one_before_ended() {
    for jump in [0, 1, 2] {
        let mut path = talking();
        match jump {
            0 => (path.ssrc, path.sequence, path.timestamp) = (99, 3, 77_777),
            1 => path.timestamp = path.timestamp.wrapping_add(1 << 30),
            _ => path.sequence = path.sequence.wrapping_add(20_000),
        }
        path.spoken += 13;
        path.run(1.0);
        path.assert_no_click();
        let holes = path.heard.chunks(160).filter(|frame| loudness(frame) < 300.0).count();
        assert!(holes <= 1, "{jump}: {holes}");
        assert!(path.concealed() <= 2, "{jump}: {}", path.concealed());
        assert_eq!(path.jitter.served().lost, 0);
        assert!(percentile(&path.leads, 1.0) <= 45.0, "{jump}");
    }
}

#[test]
fn another_codec_is_not_noticed() {
    let mut path = talking();
    for codec in [Codec::Pcma, Codec::Pcmu, Codec::Pcma] {
        path.codec = codec;
        path.run(0.31);
    }
    assert_eq!(path.concealed(), 0);
    path.assert_no_click();
}

#[test]
fn a_sender_that_is_silent_by_intent_is_not_spoken_for() {
    let mut path = talking();
    path.run(0.113);
    (path.talks, path.is_quiet) = (false, true);
    path.run(0.05);
    let silent_from = path.heard.len();
    path.run(0.5);
    assert!(path.heard[silent_from..].iter().all(|sample| *sample == 0));
    (path.talks, path.is_quiet) = (true, false);
    path.run(0.5);
    path.assert_no_click();
    let served = path.jitter.served();
    assert_eq!((served.lost, served.gaps), (0, 0));
    assert!(percentile(&path.leads, 1.0) <= 45.0);
}

#[test]
fn after_silence_a_voice_does_not_wait_longer_than_before() {
    let mut path = talking();
    for shift in [3, 11, 17, 5, 13] {
        path.talks = false;
        path.run(0.3);
        path.next_packet += ms(shift); // another phase, as a talk spurt may have
        path.talks = true;
        path.forget();
        path.run(1.0);
        assert!(percentile(&path.leads, 1.0) <= 43.0, "{shift}: {}", percentile(&path.leads, 1.0));
    }
}

#[test]
fn skipped_ticks_pass_over_their_sound() {
    let mut path = talking();
    path.run(0.5);
    let before = percentile(&path.leads, 0.5);
    path.missed = 5;
    path.next_tick += 5 * FRAME_TIME;
    path.run(0.15);
    path.forget();
    path.run(1.0);
    assert!((percentile(&path.leads, 0.5) - before).abs() < 1.0);
    assert_eq!(path.concealed(), 0);
}

/// 32.32 seconds.
fn ntp(at: Duration) -> u64 {
    ((1000 + at.as_secs()) << 32) | ((u64::from(at.subsec_nanos()) << 32) / 1_000_000_000)
}

fn report(path: &mut Path, later: Duration) {
    let clock = SenderClock { ssrc: path.ssrc, ntp: ntp(path.next_packet + later), timestamp: path.timestamp };
    path.jitter.report(path.instant(), clock);
}

/// Another source of the same party; how much longer its packets wait than those of the one before.
fn change(path: &mut Path, reported: Option<Duration>) -> f64 {
    let before = percentile(&path.leads, 0.5);
    (path.ssrc, path.sequence, path.timestamp) = (path.ssrc + 1, 3, 77_777);
    if let Some(later) = reported {
        report(path, later);
    }
    path.forget();
    path.run(0.3);
    percentile(&path.leads, 0.5) - before
}

#[test]
fn a_report_before_another_source_of_the_same_clock_places_it() {
    let mut path = talking();
    report(&mut path, Duration::ZERO);
    path.run(1.0);
    assert!(change(&mut path, None).abs() < 1.0, "by its arrival");
    report(&mut path, Duration::ZERO);
    let longer = change(&mut path, Some(ms(40)));
    assert!((longer - 40.0).abs() < 2.0, "{longer}");
    path.assert_no_click();
    report(&mut path, ms(40));
    let longer = change(&mut path, Some(Duration::from_secs(1 << 31)));
    assert!(longer < 1.0, "what is absurd changes nothing: {longer}");
}

#[test]
fn a_report_after_another_source_of_the_same_clock_moves_it() {
    let mut path = talking();
    report(&mut path, Duration::ZERO);
    path.run(1.0);
    assert!(change(&mut path, None).abs() < 1.0);
    let before = percentile(&path.leads, 0.5);
    report(&mut path, ms(30));
    path.run(1.7);
    let longer = path.leads.last().expect("packets") - before;
    assert!((15.0..46.0).contains(&longer), "{longer}");
    path.assert_no_click();
}

#[test]
fn the_room_of_a_silent_sender_is_heard_until_it_speaks() {
    let mut path = talking();
    path.run(0.113);
    // 45 dB below full scale, right after the last packet, which is still to be said.
    let comfort = Packet {
        marker: false,
        payload_type: 13,
        sequence: path.sequence,
        timestamp: path.timestamp,
        ssrc: path.ssrc,
        payload: &[45],
    };
    path.jitter.push_comfort(path.instant(), &comfort);
    path.sequence = path.sequence.wrapping_add(1);
    (path.talks, path.is_quiet) = (false, true);
    path.run(0.1);
    path.forget();
    path.run(0.5);
    let level = 20.0 * (loudness(&path.heard) / 32_768.0).log10();
    assert!((level + 45.0).abs() < 3.0, "{level} dB");
    (path.talks, path.is_quiet) = (true, false);
    path.run(0.1);
    path.forget();
    path.run(0.5);
    path.assert_no_click();
    assert!(loudness(&path.heard) > 600.0);
    let served = path.jitter.served();
    assert_eq!((served.lost, served.gaps, path.concealed()), (0, 0, 0));
}
