//! Streams besides a call's audio stream (video, text): addresses that signalling may give to them, and the streams in the
//! media plane that they become. They are relayed and never tapped, and their silence ends no call.

use media::{Port, Remote, StreamId};
use signalling::{LegId, MediaAddress, OTHER_STREAMS_MAX, OtherStream, Session};

use crate::call::latch;
use crate::engine::Core;
use crate::view::CallState;

/// Addresses that signalling has at hand: what one call can take at once, on both of its legs.
const SPARE: usize = 2 * OTHER_STREAMS_MAX;
/// Pairs that stay back for the audio of the next call.
const KEPT_FOR_AUDIO: usize = 2;

impl Core {
    /// Sees to it that signalling has addresses at hand, while there are enough for calls.
    pub(crate) fn lend(&mut self) {
        if !self.settings.other_streams {
            return;
        }
        while self.ports.len() > KEPT_FOR_AUDIO && self.sip.spare_media().len() < SPARE {
            let Some((port, media)) = self.ports.pop_front() else { break };
            self.sip.spare_media().push(media);
            self.lent.push((port, media));
        }
    }

    /// Pairs that can be given to calls and listeners. What signalling has at hand is not lost to them.
    pub(crate) fn ports_left(&mut self) -> usize {
        self.ports.len() + self.sip.spare_media().len()
    }

    /// A pair for audio; `None` when there is none.
    pub(crate) fn take_port(&mut self) -> Option<(Port, MediaAddress)> {
        if let Some(port) = self.ports.pop_front() {
            return Some(port);
        }
        let media = self.sip.spare_media().pop()?;
        self.returned(media)
    }

    /// Signalling has given one of them to a leg.
    pub(crate) fn media_taken(&mut self, leg: LegId, media: MediaAddress) {
        let Some((port, _)) = self.returned(media) else { return };
        let stream = StreamId(self.ids.next());
        self.out.media(media::Command::Open { stream, port });
        self.counters.count("other_streams_opened");
        let call = self.legs.get(&leg).and_then(|leg| self.calls.get(&leg.call));
        if call.is_none_or(|call| call.state == CallState::Ended) {
            self.out.media(media::Command::Close { stream }); // the leg went as it came
        } else if let Some(leg) = self.legs.get_mut(&leg) {
            leg.others.push(media);
            self.others.insert(media, stream);
        }
    }

    /// Tells media what a leg's party described besides audio.
    pub(crate) fn others_planned(&mut self, session: &Session) {
        for other in &session.others {
            if let Some(stream) = self.others.get(&other.media).copied() {
                self.out.media(media::Command::Describe { stream, remote: remote(other, session) });
            }
        }
    }

    /// Packets of each go out by the other.
    pub(crate) fn streams_paired(&mut self, pairs: &[(MediaAddress, MediaAddress)]) {
        for (a, b) in pairs {
            if let (Some(a), Some(b)) = (self.others.get(a).copied(), self.others.get(b).copied()) {
                self.out.media(media::Command::Bridge { a, b });
            }
        }
    }

    /// A leg, or its call, is over.
    pub(crate) fn close_others(&mut self, others: Vec<MediaAddress>) {
        for media in others {
            if let Some(stream) = self.others.remove(&media) {
                self.out.media(media::Command::Close { stream });
            }
        }
    }

    fn returned(&mut self, media: MediaAddress) -> Option<(Port, MediaAddress)> {
        let at = self.lent.iter().position(|(_, lent)| *lent == media)?;
        Some(self.lent.swap_remove(at))
    }
}

fn remote(other: &OtherStream, session: &Session) -> Remote {
    Remote {
        rtp: other.rtp,
        rtcp: other.rtcp,
        sends: other.sends,
        receives: other.receives,
        decodable: Vec::new(),
        telephone_event: None,
        latch: latch(session),
        mux: false,
        keys: None,
    }
}
