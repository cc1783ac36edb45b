//! What the listener heard, as a file.

use std::path::Path;
use std::time::Duration;

use super::line::Line;

/// Samples a second.
const RATE: u32 = 8_000;

/// Writes everything that a phone heard, call after call: 8 kHz, 16 bits, mono. Gives its length.
pub(crate) fn write(path: &Path, line: &Line) -> Result<Duration, String> {
    let samples: Vec<i16> = line.look(|phone| {
        phone.calls().flat_map(|call| call.ears().packets().flat_map(phone::Heard::pcm).collect::<Vec<_>>()).collect()
    });
    let spec =
        hound::WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let failed = |error: hound::Error| format!("{}: {error}", path.display());
    let mut writer = hound::WavWriter::create(path, spec).map_err(failed)?;
    for sample in &samples {
        writer.write_sample(*sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)?;
    Ok(Duration::from_millis(samples.len() as u64 * 1_000 / u64::from(RATE)))
}
