//! What is measured of sound: how much later it is, how like it is, and whether it clicks.

use media::codec::Rate;

/// Segmental SNR counts a frame for no less and no more than this, decibels, as is usual.
const CLAMP: (f64, f64) = (-10.0, 35.0);
/// A frame of speech is louder than this (root of the mean square).
const SPEECH: f64 = 300.0;

/// By how many samples `heard` is later than `said`, of the lags given; and how alike they then are, at most 1.
pub fn lag(said: &[i16], heard: &[i16], from: usize, length: usize, lags: std::ops::Range<i64>) -> (i64, f64) {
    let score = |lag: i64| {
        let (mut dot, mut a2, mut b2) = (0.0, 1.0, 1.0);
        for n in from..(from + length).min(said.len()) {
            let Ok(at) = usize::try_from(n as i64 + lag) else { continue };
            let Some(b) = heard.get(at) else { break };
            let (a, b) = (f64::from(said[n]), f64::from(*b));
            (dot, a2, b2) = (dot + a * b, a2 + a * a, b2 + b * b);
        }
        dot / (a2 * b2).sqrt()
    };
    lags.map(|lag| (lag, score(lag))).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
}

/// Mean SNR of frames with speech, decibels. Each half second is aligned by itself, within `lags` (samples): a buffer's
/// delay may change, and that is no noise.
pub fn segmental_snr(said: &[i16], heard: &[i16], rate: Rate, lags: std::ops::Range<i64>) -> f64 {
    let (frame, block) = (rate.frame(), 25 * rate.frame());
    let mut frames = Vec::new();
    let mut before: Option<i64> = None;
    for from in (0..said.len().saturating_sub(block)).step_by(block) {
        // First where it was before, then everywhere.
        let near = before.map(|at| (at, lag(said, heard, from, block, at..at + 1).1)).filter(|(_, alike)| *alike > 0.9);
        let (at, _) = near.unwrap_or_else(|| coarse_lag(said, heard, from, block, lags.clone(), rate));
        before = Some(at);
        for n in (from..from + block).step_by(frame) {
            let Some(start) = usize::try_from(n as i64 + at).ok().filter(|start| start + frame <= heard.len()) else {
                continue;
            };
            frames.extend(snr(&said[n..n + frame], &heard[start..start + frame]));
        }
    }
    frames.iter().sum::<f64>() / frames.len().max(1) as f64
}

/// As [`lag`], in two passes where samples are dense.
fn coarse_lag(
    said: &[i16],
    heard: &[i16],
    from: usize,
    length: usize,
    lags: std::ops::Range<i64>,
    rate: Rate,
) -> (i64, f64) {
    let step = i64::from(rate.hertz() / 8_000);
    let every = |samples: &[i16]| -> Vec<i16> {
        samples
            .chunks_exact(step as usize)
            .map(|c| (c.iter().map(|s| i64::from(*s)).sum::<i64>() / step) as i16)
            .collect()
    };
    if step == 1 {
        return lag(said, heard, from, length, lags);
    }
    let (s, h) = (step as usize, heard.len());
    let low = (from as i64 + lags.start).max(0) as usize / s * s;
    let high = ((from + length) as i64 + lags.end).clamp(0, h as i64) as usize;
    let (near, far) = (every(&said[from..(from + length).min(said.len())]), every(&heard[low.min(high)..high]));
    let shift = (low as i64 - from as i64) / step;
    let lags = lags.start.div_euclid(step) - shift..lags.end.div_euclid(step) - shift + 1;
    let (coarse, _) = lag(&near, &far, 0, near.len(), lags);
    let at = (coarse + shift) * step;
    lag(said, heard, from, length, at - 2 * step..at + 2 * step + 1)
}

fn snr(said: &[i16], heard: &[i16]) -> Option<f64> {
    let power: f64 = said.iter().map(|s| f64::from(*s).powi(2)).sum();
    let noise: f64 = said.iter().zip(heard).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let is_speech = power > SPEECH.powi(2) * said.len() as f64;
    is_speech.then(|| (10.0 * (power / noise.max(1.0)).log10()).clamp(CLAMP.0, CLAMP.1))
}

/// Samples of linear prediction.
const ORDER: usize = 16;

/// Where it clicks (sample numbers).
///
/// A click is what nothing before it and nothing around it lets expect: linear predictors, fitted to 32 ms around, before
/// and after, leave of speech little but a pulse per pitch period; of a tone it leaves its coding noise. A sample is a click
/// if what is left of it is `TIMES` as much as the most that is left within 25 ms before and after it, but for the
/// millisecond and a half next to it, and more than `FLOOR`. So pitch pulses excuse each other, and so do the beginnings of
/// vowels, which go on; a splice, a cut or a spike stands alone. In a tone any is found, in speech those that are
/// not in the midst of its own pulses. Wider bands are looked at below 4 kHz: a step has all frequencies.
pub fn clicks(samples: &[i16], rate: Rate) -> Vec<usize> {
    const TIMES: f64 = 4.0;
    const FLOOR: f64 = 250.0;
    if rate != Rate::Narrow {
        let found = clicks(&crate::fidelity::resampled(samples, rate, Rate::Narrow), Rate::Narrow);
        return found.into_iter().map(|at| at * rate.frame() / Rate::Narrow.frame()).collect();
    }
    let left = residual(samples, rate);
    let ms = rate.hertz() as usize / 1_000;
    let (wide, near) = (25 * ms, 3 * ms / 2);
    let blocks: Vec<f64> = left.chunks(ms).map(|c| c.iter().fold(0.0, |m: f64, e| m.max(*e))).collect();
    let most = |from: usize, to: usize| {
        blocks[from.min(blocks.len())..to.min(blocks.len())].iter().copied().fold(0.0, f64::max)
    };
    let mut found: Vec<usize> = Vec::new();
    for n in wide..left.len().saturating_sub(wide) {
        let error = left[n];
        if error < FLOOR || found.last().is_some_and(|last| n - last < wide) {
            continue;
        }
        let around = most((n - wide) / ms, (n - near) / ms).max(most((n + near) / ms + 1, (n + wide) / ms));
        if error > TIMES * around {
            found.push(n);
        }
    }
    found
}

/// What linear predictors leave of each sample: the least of three's, as one that was fitted to a click no longer fits the
/// speech around it.
fn residual(samples: &[i16], rate: Rate) -> Vec<f64> {
    let hop = rate.hertz() as usize / 125;
    let at = |n: i64| usize::try_from(n).ok().and_then(|n| samples.get(n)).map_or(0.0, |s| f64::from(*s));
    let fitted = |from: usize| {
        let start = from as i64 - 3 * hop as i64 / 2;
        let hann = |n| 0.5 - 0.5 * (std::f64::consts::TAU * (n as f64 + 0.5) / (4 * hop) as f64).cos();
        let window: Vec<f64> = (0..4 * hop).map(|n| at(start + n as i64) * hann(n)).collect();
        predictor(&window)
    };
    let predictors: Vec<_> = (0..samples.len()).step_by(hop).map(fitted).collect();
    let left = |n: usize| {
        let own = n / hop;
        let of = [own.saturating_sub(3), own, (own + 3).min(predictors.len() - 1)].map(|which| {
            let told = predictors[which].iter().zip(1..).map(|(a, k)| a * at(n as i64 - k)).sum::<f64>();
            (at(n as i64) - told).abs()
        });
        of.into_iter().fold(f64::MAX, f64::min)
    };
    (0..samples.len()).map(left).collect()
}

/// Levinson and Durbin's recursion over the window's autocorrelation.
fn predictor(window: &[f64]) -> [f64; ORDER] {
    let r: [f64; ORDER + 1] = std::array::from_fn(|k| window.iter().zip(&window[k..]).map(|(a, b)| a * b).sum::<f64>());
    let mut a = [0.0; ORDER];
    // White noise 60 dB down keeps it well conditioned.
    let mut error = r[0] * 1.000_001 + 1.0;
    for k in 0..ORDER {
        let reflection = (r[k + 1] - (0..k).map(|j| a[j] * r[k - j]).sum::<f64>()) / error;
        let before = a;
        (0..k).for_each(|j| a[j] = before[j] - reflection * before[k - 1 - j]);
        a[k] = reflection;
        error *= 1.0 - reflection * reflection;
    }
    a
}

/// The value below which a share of them lie.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

pub fn rms(samples: &[i16]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64).sqrt()
}
