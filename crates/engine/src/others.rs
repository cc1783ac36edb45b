//! Streams besides a call's audio stream (video, text): addresses that signalling may give to them, and the streams in the
//! media plane that they become. They are relayed and never tapped, and their silence ends no call.

use media::{Remote, StreamId};
use signalling::{LegId, MediaAddress, OTHER_STREAMS_MAX, OtherStream, Session};

use crate::call::latch;
use crate::engine::Core;
use crate::placement::Ready;
use crate::view::CallState;

/// Addresses that signalling has at hand on a shard: what one call can take at once, on both of its legs.
const SPARE: usize = 2 * OTHER_STREAMS_MAX;
/// Pairs of a shard that stay back for the audio of the next call.
const KEPT_FOR_AUDIO: usize = 2;

impl Core {
    /// Sees to it that signalling has addresses at hand on each shard, while there are enough for calls.
    pub(crate) fn lend(&mut self) {
        if !self.settings.other_streams {
            return;
        }
        loop {
            let lent = &self.lent;
            let has_few = |shard| lent.iter().filter(|ready| ready.addr.shard == shard).count() < SPARE;
            let spare = self.shards.spare(KEPT_FOR_AUDIO, has_few);
            if spare.is_empty() {
                return;
            }
            self.sip.spare_media().extend(spare.iter().map(|ready| ready.addr));
            self.lent.extend(spare);
        }
    }

    /// Takes back what signalling has at hand. True: there was something.
    pub(crate) fn recall(&mut self) -> bool {
        let had_some = !self.lent.is_empty();
        self.sip.spare_media().clear();
        for ready in std::mem::take(&mut self.lent) {
            self.shards.add_ready(ready.port, ready.addr);
        }
        had_some
    }

    /// Pairs that can be given to calls and listeners. What signalling has at hand is not lost to them.
    pub(crate) fn ports_left(&self) -> usize {
        self.shards.ready() + self.lent.len()
    }

    /// A pair for audio, on that shard if it can be; `None` when there is none.
    pub(crate) fn take_port(&mut self, shard: usize) -> Option<Ready> {
        if self.shards.ready() == 0 {
            self.recall();
        }
        self.shards.take(shard)
    }

    /// Signalling has given one of them to a leg.
    pub(crate) fn media_taken(&mut self, leg: LegId, media: MediaAddress) {
        let Some(at) = self.lent.iter().position(|ready| ready.addr == media) else { return };
        let Ready { port, .. } = self.lent.swap_remove(at);
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
