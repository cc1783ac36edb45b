//! Clean, lossy, jittery and disordered networks.

use super::*;

#[test]
fn on_a_clean_network_nothing_is_touched() {
    for samples in [80, 160, 240, 320, 480] {
        let mut path = Path::new(ms(7));
        path.samples = samples;
        path.run(5.0);
        // Blended out of silence, 4 ms.
        let first = path.heard.iter().position(|sample| *sample != 0).expect("sound") as u64;
        let offset = (0..40).find(|offset| through_codec(hum, *offset) != 0).expect("sound");
        let start = first.saturating_sub(offset) as usize;
        let straight = |n: usize| through_codec(hum, (n - start) as u64);
        let wrong = (start + 40..path.heard.len()).filter(|n| path.heard[*n] != straight(*n)).count();
        assert!(wrong <= 480, "{samples}: {wrong} samples are not as the codec's own");
        assert_eq!(path.jitter.served().lost, 0);
    }
}

#[test]
fn on_a_clean_network_packets_hardly_wait() {
    let mut waits = Vec::new();
    for phase in 0..80_u32 {
        let mut path = Path::new(STEP * phase);
        path.spread = ms(1);
        path.run(1.0);
        let first = path.frames.iter().position(|frame| frame.real).expect("a first frame");
        assert!(first <= 2, "{phase}: the first packet is heard at the next tick or the one after: {first}");
        path.run(9.0);
        path.forget();
        path.run(10.0);
        assert!(path.concealed() <= 1, "{phase}");
        let most = percentile(&path.leads, 1.0);
        assert!(most <= 24.5, "{phase}: {most} ms");
        waits.extend(path.leads);
    }
    let (half, most) = (percentile(&waits, 0.5), percentile(&waits, 0.99));
    assert!(half <= 14.0 && most <= 24.0, "arrival to tick: p50 {half} ms, p99 {most} ms");
}

#[test]
fn what_is_lost_is_made_up_and_counted() {
    for loss in [0.01, 0.05, 0.1] {
        let mut path = Path::new(ms(12));
        path.run(2.0);
        path.loss = loss;
        path.forget();
        path.run(60.0);
        path.loss = 0.0;
        path.run(0.2);
        let served = path.jitter.served();
        assert_eq!(served.lost, path.lost);
        assert!(u64::from(served.gaps) <= path.lost && served.gaps > 0, "{served:?}");
        let (made_up, missing) = (served.concealed.as_millis() as u64, path.lost * 20);
        assert!(made_up <= missing + 20 && made_up * 10 >= missing * 8, "{made_up} of {missing} ms");
        let holes = path.heard.chunks(160).filter(|frame| loudness(frame) < 200.0).count() as u64;
        assert!(holes <= path.lost / 5, "{loss}: {holes} silent frames, {} lost", path.lost);
        path.assert_no_click();
    }
}

#[test]
fn on_a_jittery_network_the_delay_grows_until_nothing_is_late() {
    let mut path = Path::new(ms(3));
    path.spread = ms(60);
    path.run(10.0);
    path.forget();
    path.run(50.0);
    assert!(path.concealed() <= 25, "{} of 2,500 frames", path.concealed());
    assert!(path.jitter.served().jitter_ms > 10.0);
    let most = percentile(&path.leads, 1.0);
    assert!(most <= 100.0, "{most} ms and the frame are within 120 ms");
    path.spread = ms(1);
    path.run(30.0);
    path.forget();
    path.run(5.0);
    let most = percentile(&path.leads, 1.0);
    assert!(most <= 45.0, "and shrinks when it is calm: {most} ms");
}

#[test]
fn expected_jitter_is_waited_for_from_the_first_packet_on() {
    let late = |expected: u64| {
        let mut path = Path::new(ms(3));
        path.spread = ms(30);
        path.jitter.expect(ms(expected));
        path.run(1.0);
        path.concealed()
    };
    assert!(late(10) < late(0), "{} {}", late(10), late(0));
    assert_eq!(late(10), 0);
}

#[test]
fn disorder_is_put_right() {
    let mut path = Path::new(ms(9));
    path.swapped = 0.02;
    path.run(5.0);
    path.forget();
    path.run(60.0);
    assert!(path.concealed() <= 2, "{} of 3,000 frames", path.concealed());
    assert_eq!(path.jitter.served().lost, 0, "late at first, not lost");
}

#[test]
fn a_stall_is_no_loss_and_leaves_no_delay() {
    for stall in [60, 100, 200, 400, 1000] {
        let mut path = Path::new(ms(5));
        path.run(3.0);
        let (until, before) = (path.now + ms(stall), path.wire.len());
        path.spread = Duration::ZERO;
        while path.now < until {
            path.run(0.01);
            path.wire.iter_mut().for_each(|(at, _)| *at = until);
        }
        assert!(before == 0 || path.wire.len() >= before);
        path.run(12.0);
        path.forget();
        path.run(1.0);
        assert!(percentile(&path.leads, 1.0) <= 45.0, "{stall}: {}", percentile(&path.leads, 1.0));
        assert_eq!(path.concealed(), 0);
    }
}

#[test]
fn silence_without_lost_numbers_is_no_loss() {
    let mut path = Path::new(ms(4));
    path.speech = words;
    for _ in 0..20 {
        path.talks = true;
        path.run(1.0);
        path.talks = false;
        path.run(0.3);
    }
    path.talks = true;
    path.run(1.0);
    let served = path.jitter.served();
    assert_eq!((served.lost, served.gaps, served.concealed), (0, 0, Duration::ZERO));
}

#[test]
fn an_outage_is_counted_when_it_is_over() {
    for packets in [10, 24, 40] {
        let mut path = Path::new(ms(4));
        path.run(2.0);
        path.loss = 1.0;
        path.run(f64::from(packets) * 0.02);
        path.loss = 0.0;
        path.run(1.0);
        let served = path.jitter.served();
        assert_eq!((served.lost, served.gaps), (path.lost, 1), "{packets}");
        assert!(
            (55..=65).contains(&served.concealed.as_millis()),
            "60 ms are made up, the rest is silence: {served:?}"
        );
        path.assert_no_click();
    }
}
