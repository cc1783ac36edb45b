//! Lines of the story, and on a terminal a row of level meters below them.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Instant;

/// Loudness that fills a meter, and that empties it, in dBFS.
const LOUD: f32 = -14.0;
const QUIET: f32 = -54.0;
/// Cells of one meter.
const CELLS: usize = 8;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    begun: Instant,
    terminal: bool,
    /// A row of meters stands on the last line.
    metered: Mutex<bool>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), terminal: std::io::stdout().is_terminal(), metered: Mutex::new(false) }
    }

    /// One line of the story, with its time.
    pub(crate) fn say(&self, line: &str) {
        let mut metered = self.metered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let clear = if std::mem::take(&mut *metered) { "\r\x1b[2K" } else { "" };
        write(&format!("{clear}{:6.1} s  {line}\n", self.begun.elapsed().as_secs_f32()));
    }

    /// What everybody hears now; on a terminal only.
    pub(crate) fn meters(&self, levels: &[(&str, f32)]) {
        if !self.terminal {
            return;
        }
        let mut metered = self.metered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *metered = true;
        let row: Vec<String> = levels.iter().map(|(name, level)| format!("{name} {}", bar(*level))).collect();
        write(&format!("\r\x1b[2K          {}", row.join("  ")));
    }

    /// What everybody hears now, as a line; where there is no terminal to show meters on.
    pub(crate) fn levels(&self, levels: &[(&str, f32)]) {
        if !self.terminal {
            let row: Vec<String> = levels.iter().map(|(name, level)| format!("{name} {level:.0} dB")).collect();
            self.say(&format!("  hear: {}", row.join(", ")));
        }
    }
}

/// A reader that has gone (`| head`) is no reason to stop.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn bar(level: f32) -> String {
    let filled = ((level - QUIET) / (LOUD - QUIET) * CELLS as f32).round().clamp(0.0, CELLS as f32) as usize;
    format!("{}{}", "█".repeat(filled), "·".repeat(CELLS - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_is_full_empty_and_between() {
        assert_eq!(bar(0.0), "████████");
        assert_eq!(bar(-96.0), "········");
        assert_eq!(bar(-34.0), "████····");
    }
}
