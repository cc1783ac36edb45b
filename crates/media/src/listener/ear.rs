//! What is true of every listener, whatever its leg: what it wants to hear, and what it has heard.

use std::time::Instant;

use crate::fork::Tap;
use crate::interface::{Event, ListenerId, Mix, Quality, Sink, StreamId};
use crate::jitter::Served;

/// [`Event::Heard`] is told each time so much more was heard; 3 s, the default of what counts, is a multiple.
const HEARD_STEP_MS: u64 = 1_000;

/// One listener.
#[derive(Debug)]
pub(crate) struct Ear {
    pub(crate) id: ListenerId,
    pub(crate) focus: Option<StreamId>,
    pub(crate) is_shielded: bool,
    pub(crate) mix: Mix,
    /// Milliseconds of call audio that went to it.
    pub(crate) heard_ms: u64,
    /// When it answered first.
    answered_at: Option<Instant>,
    pub(crate) first_audio_ms: Option<u32>,
    /// Figures, when they were told last.
    pub(crate) told: Quality,
    /// What is sent to it is lost, as told last.
    loses: bool,
    /// What became of the packets that it was to hear, on taps before this one,
    served: Served,
    /// and of its tap's when it began to hear it.
    served_from: Option<Served>,
}

impl Ear {
    /// It hears nothing yet.
    pub(crate) fn new(id: ListenerId) -> Self {
        Self {
            id,
            focus: None,
            is_shielded: false,
            mix: Mix::default(),
            heard_ms: 0,
            answered_at: None,
            first_audio_ms: None,
            told: Quality::default(),
            loses: false,
            served: Served::default(),
            served_from: None,
        }
    }

    /// What it is to hear: nothing while shielded.
    pub(crate) fn hears(&self) -> Option<StreamId> {
        self.focus.filter(|_| !self.is_shielded)
    }

    /// It can be sent to.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.answered_at.get_or_insert(now);
    }

    /// What it is sent is lost, or no more: once each.
    pub(crate) fn tell_loss(&mut self, lasts: bool, lost: f32, sink: &mut impl Sink) {
        if std::mem::replace(&mut self.loses, lasts) != lasts {
            sink.event(Event::ListenerLoss { listener: self.id, lost, lasts });
        }
    }

    /// It is served by this tap from now on, if it is not already.
    pub(crate) fn begins(&mut self, tap: &Tap) {
        self.served_from.get_or_insert_with(|| both(tap));
    }

    /// And no more.
    pub(crate) fn ends(&mut self, tap: &Tap) {
        self.served = self.served_by(Some(tap));
        self.served_from = None;
    }

    /// How well it is served, by this tap now.
    pub(crate) fn quality(&self, tap: Option<&Tap>) -> Quality {
        let Served { gaps, lost, concealed, jitter_ms } = self.served_by(tap);
        let concealed_ms = u64::try_from(concealed.as_millis()).unwrap_or(u64::MAX);
        Quality { first_audio_ms: self.first_audio_ms, gaps, lost, concealed_ms, jitter_ms, ..Quality::default() }
    }

    fn served_by(&self, tap: Option<&Tap>) -> Served {
        let (Some(from), Some(to)) = (self.served_from, tap.map(both)) else { return self.served };
        Served {
            gaps: self.served.gaps + to.gaps.saturating_sub(from.gaps),
            lost: self.served.lost + to.lost.saturating_sub(from.lost),
            concealed: self.served.concealed + to.concealed.saturating_sub(from.concealed),
            jitter_ms: to.jitter_ms,
        }
    }

    /// A packet went out to it.
    pub(crate) fn note_sent(&mut self, now: Instant, is_heard: bool, sink: &mut impl Sink) {
        if self.first_audio_ms.is_none() {
            let waited = self.answered_at.map_or_else(Default::default, |then| now.saturating_duration_since(then));
            self.first_audio_ms = Some(u32::try_from(waited.as_millis()).unwrap_or(u32::MAX));
            sink.event(Event::Live { listener: self.id });
        }
        if is_heard {
            self.heard_ms += 20;
            if self.heard_ms.is_multiple_of(HEARD_STEP_MS) {
                sink.event(Event::Heard { listener: self.id, heard_ms: self.heard_ms });
            }
        }
    }
}

/// Of both directions; the jitter is that of the worse.
fn both(tap: &Tap) -> Served {
    let (up, down) = (tap.up.served(), tap.down.served());
    Served {
        gaps: up.gaps + down.gaps,
        lost: up.lost + down.lost,
        concealed: up.concealed + down.concealed,
        jitter_ms: up.jitter_ms.max(down.jitter_ms),
    }
}
