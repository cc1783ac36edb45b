//! How well listeners are served: figures for views, records and `/metrics`, and an alarm for the log.

use media::{ListenerId, Quality};

use crate::engine::Core;
use crate::monitoring::EarKey;
use crate::view::ListeningQuality;

/// A listener that loses so much of what it is sent is told to the log, once until it is better again.
const LOSS_ALARM: f32 = 0.05;
/// Bounds of the histogram of first audio, in milliseconds: its counters.
const FIRST_AUDIO: [(u32, &str); 6] = [
    (10, "listener_first_audio_le_10"),
    (25, "listener_first_audio_le_25"),
    (60, "listener_first_audio_le_60"),
    (150, "listener_first_audio_le_150"),
    (500, "listener_first_audio_le_500"),
    (2000, "listener_first_audio_le_2000"),
];

impl Core {
    /// Which ear a listener of the media plane is: a phone's own, or that of a player.
    pub(crate) fn ear_of_listener(&self, listener: ListenerId) -> EarKey {
        self.players.get(&listener).copied().unwrap_or(listener.0)
    }

    /// Figures of a live listener so far.
    pub(crate) fn listener_progress(&mut self, listener: ListenerId, quality: &Quality) {
        let key = self.ear_of_listener(listener);
        let Some(ear) = self.ears.get_mut(&key) else { return };
        let loss = quality.remote_lost.unwrap_or(0.0);
        let alarms = loss >= LOSS_ALARM && !ear.alarmed;
        ear.alarmed = loss >= LOSS_ALARM;
        let shown = shown(quality);
        for id in ear.listenings.clone() {
            let Some(listening) = self.listenings.get_mut(&id) else { continue };
            listening.view.quality = Some(shown);
            self.out.listenings.insert(id.clone());
            if alarms {
                self.counters.count("listeners_losing");
                let message = format!("the listener loses {:.0} % of what it is sent", loss * 100.0);
                self.out.log("warn", message, vec![("listening", id)]);
            }
        }
    }

    /// Figures of a listener at its end, for `/metrics`. Returns them as they are shown; none if it heard nothing.
    pub(crate) fn listener_figures(&mut self, quality: &Quality) -> Option<ListeningQuality> {
        let mut add = |name, value| *self.counters.values.entry(name).or_default() += value;
        add("listener_gaps", u64::from(quality.gaps));
        add("listener_lost", quality.lost);
        add("listener_concealed_ms", quality.concealed_ms);
        let first = quality.first_audio_ms?;
        add("listener_first_audio_count", 1);
        add("listener_first_audio_ms", u64::from(first));
        for (_, name) in FIRST_AUDIO.iter().filter(|(bound, _)| first <= *bound) {
            add(name, 1);
        }
        Some(shown(quality))
    }
}

fn shown(quality: &Quality) -> ListeningQuality {
    let Quality { first_audio_ms, gaps, lost, concealed_ms, jitter_ms, remote_lost, remote_jitter_ms, round_trip_ms } =
        *quality;
    // JSON has no other numbers
    let finite = |value: Option<f32>| value.filter(|value| value.is_finite());
    ListeningQuality {
        first_audio_ms,
        gaps,
        lost,
        concealed_ms,
        jitter_ms: finite(Some(jitter_ms)).unwrap_or(0.0),
        remote_lost: finite(remote_lost),
        remote_jitter_ms: finite(remote_jitter_ms),
        round_trip_ms: finite(round_trip_ms),
    }
}
