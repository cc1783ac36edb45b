//! Clocks that differ: an hour at 100 millionths, either way.

use super::*;

fn an_hour(ppm: f64, speech: Speech, hours: f64) -> (Path, Vec<f64>) {
    let mut path = Path::new(ms(10));
    path.ppm = ppm;
    path.speech = speech;
    path.spread = ms(1);
    path.run(10.0);
    let mut depths = Vec::new();
    let (mut concealed, mut clicks) = (0, 0);
    for _ in 0..(hours * 60.0) as usize {
        path.forget();
        path.run(60.0);
        depths.push(percentile(&path.leads, 0.01));
        depths.push(percentile(&path.leads, 0.99));
        concealed += path.concealed();
        clicks += usize::from(roughness(&path.heard).1 > 400);
        path.assert_no_click();
    }
    assert_eq!((concealed, clicks), (0, 0));
    (path, depths)
}

#[test]
fn an_hour_of_drift_is_made_up_for_in_pauses() {
    for ppm in [-100.0, 100.0] {
        let (path, depths) = an_hour(ppm, words, 1.0);
        let (least, most) = (percentile(&depths, 0.0), percentile(&depths, 1.0));
        assert!(most - least < 40.0, "{ppm}: the delay went from {least} to {most} ms");
        assert!(most <= 45.0, "{ppm}: {most}");
        let served = path.jitter.served();
        assert_eq!((served.lost, served.gaps), (0, 0), "{ppm}");
        assert_eq!(path.counters.frames_late, 0, "{ppm}");
    }
}

#[test]
fn drift_is_made_up_for_where_nobody_ever_pauses() {
    for ppm in [-300.0, 300.0] {
        let (path, depths) = an_hour(ppm, hum, 0.34);
        let (least, most) = (percentile(&depths, 0.0), percentile(&depths, 1.0));
        assert!(most - least < 40.0, "{ppm}: the delay went from {least} to {most} ms");
        let served = path.jitter.served();
        assert_eq!((served.lost, served.gaps), (0, 0), "{ppm}");
    }
}
