//! What is true of every listener, whatever its leg: what it wants to hear, and what it has heard.

use std::time::Instant;

use crate::interface::{Event, ListenerId, Mix, Quality, Sink, StreamId};

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
