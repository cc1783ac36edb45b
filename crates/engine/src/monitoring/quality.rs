//! How well listeners are served: figures for views, records and `/metrics`, and loss that lasts, for the log.

use media::{ListenerId, Quality};

use crate::engine::Core;
use crate::monitoring::EarKey;
use crate::view::ListeningQuality;

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
        let Some(ear) = self.ears.get(&key) else { return };
        let shown = shown(quality);
        for id in ear.listenings.clone() {
            let Some(listening) = self.listenings.get_mut(&id) else { continue };
            listening.view.quality = Some(shown);
            self.out.listenings.insert(id);
        }
    }

    /// The media plane says that what a listener is sent is lost, time and again; or that this is over.
    pub(crate) fn listener_loss(&mut self, listener: ListenerId, lost: f32, lasts: bool) {
        let key = self.ear_of_listener(listener);
        let Some(ear) = self.ears.get(&key) else { return };
        if lasts {
            self.counters.count("listener_loss_alarms");
        }
        for id in ear.listenings.clone() {
            let (level, message) = match lasts {
                true => ("warn", format!("the listener loses {:.0} % of what it is sent", lost * 100.0)),
                false => ("info", "what the listener is sent arrives again".to_owned()),
            };
            self.out.log(level, message, vec![("listening", id)]);
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
