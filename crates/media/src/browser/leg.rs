//! Leg of a listener in a browser: a sink by type, as the one on a phone is. No method yields media into a call.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Format, News, Stream};
use crate::interface::{Codec, Counters, Layout, Mix, Quality, Sink};
use crate::listener::{Tick, rounded_ms};
use crate::mixer::{TRACKS, Wanted, WantedTracks};

/// Between two ticks.
const FRAME_MS: i64 = 20;

/// One browser's leg.
#[derive(Debug)]
pub(crate) struct BrowserLeg {
    stream: Stream,
    /// Last tick, in milliseconds of the shard.
    ticked_ms: Option<u64>,
    /// By how much the ticks so far were early (negative) or late.
    owed_ms: i64,
    /// What came of a tick, for [`BrowserLeg::serve`].
    news: Option<News>,
    dropped: u64,
}

impl BrowserLeg {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, ticked_ms: None, owed_ms: 0, news: None, dropped: 0 }
    }

    pub(crate) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// ICE and DTLS are done, and it is not over.
    pub(crate) fn is_listening(&self) -> bool {
        self.stream.is_connected()
    }

    /// What each line gets, of a listener that wants this mix. With two, the agent's side is on the first and the
    /// caller's on the second.
    pub(crate) fn wanted(&self, mix: Mix) -> WantedTracks {
        let mut formats = self.stream.formats();
        let (first, second) = (formats.next(), formats.next());
        let alone = if second.is_some() { Layout::Agent } else { mix.layout };
        let wanted = |format: Format, layout: Layout| {
            let codec = match format {
                Format::Pcmu => Codec::Pcmu,
                Format::Opus { is_stereo: true } if layout == Layout::Stereo => Codec::OpusStereo,
                Format::Opus { .. } => Codec::Opus,
            };
            Wanted::new(codec, Mix { layout, ..mix })
        };
        [first.map(|format| wanted(format, alone)), second.map(|format| wanted(format, Layout::Caller))]
    }

    /// One tick: the next packet of each line. True: they went.
    pub(crate) fn tick(&mut self, tick: &Tick<'_>, counters: &mut Counters, sink: &mut impl Sink) -> bool {
        let Some(frames) = self.frames_due(tick.ms) else { return false };
        let lines = self.stream.formats().count().min(TRACKS);
        let mut is_written = false;
        for (n, track) in tick.tracks.iter().take(lines).enumerate() {
            is_written |= self.stream.write(n, frames, track.payload);
        }
        self.stream.wake(tick.at);
        let (news, _) = self.drain(tick.at, sink);
        self.news = self.news.or(news);
        counters.listener_packets_sent += if is_written { lines as u64 } else { 0 };
        is_written && self.is_listening()
    }

    /// What has come of everything so far, and when it is to be woken.
    pub(crate) fn serve(&mut self, now: Instant, sink: &mut impl Sink) -> (Option<News>, Option<Instant>) {
        let (news, until) = self.drain(now, sink);
        (self.news.take().or(news), until)
    }

    /// A datagram that the door let in.
    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, data: &[u8], counters: &mut Counters) {
        let is_check = data.first().is_some_and(|first| *first < 4);
        if !self.stream.receive(now, source, is_check, data) {
            self.dropped += 1;
            counters.browser_malformed += 1;
        }
    }

    /// What the browser reported of the stream, of the worse line.
    pub(crate) fn tell(&self, quality: &mut Quality) {
        let (lost, jitter_ms, round_trip_ms) = self.stream.report();
        quality.remote_lost = lost;
        quality.remote_jitter_ms = jitter_ms;
        quality.round_trip_ms = round_trip_ms;
    }

    /// A tick then would come too soon after its last packet.
    pub(crate) fn is_early(&self, ms: u64) -> bool {
        self.ticked_ms.is_some_and(|before| self.passed(before, ms).1 == 0)
    }

    /// Milliseconds on its own clock, and the frames that they are.
    fn passed(&self, before: u64, ms: u64) -> (i64, i64) {
        let passed = i64::try_from(ms.saturating_sub(before)).unwrap_or(i64::MAX / 2) + self.owed_ms;
        (passed, (passed + FRAME_MS / 2).max(0) / FRAME_MS)
    }

    /// What is sent to it is lost, by three of its reports in a row.
    pub(crate) fn loses(&self) -> bool {
        self.stream.loses()
    }

    /// What came for it and was dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// See [`crate::listener::ListenerLeg::reclock`].
    pub(crate) fn reclock(&mut self, later_us: i64) -> Option<usize> {
        let ticked_ms = i64::try_from(self.ticked_ms?).unwrap_or(i64::MAX / 2) - rounded_ms(later_us);
        self.ticked_ms = Some(u64::try_from(ticked_ms).unwrap_or(0));
        self.owed_ms -= ticked_ms.min(0);
        let due_ms = ticked_ms.max(0) + FRAME_MS - self.owed_ms;
        usize::try_from(due_ms.rem_euclid(FRAME_MS)).ok()
    }

    /// The end: RTCP BYE and a DTLS alert, if it was connected.
    pub(crate) fn close(mut self, now: Instant, sink: &mut impl Sink) {
        self.stream.close(now);
        self.drain(now, sink);
    }

    fn drain(&mut self, now: Instant, sink: &mut impl Sink) -> (Option<News>, Option<Instant>) {
        let home = self.stream.home();
        self.stream.drain(now, |to, data| sink.send_browser(home, to, data))
    }

    /// Frames that have passed since the last tick; `None`: this tick comes too early, after a move to another phase.
    fn frames_due(&mut self, ms: u64) -> Option<u32> {
        let Some(before) = self.ticked_ms.replace(ms) else { return Some(1) };
        let (passed, frames) = self.passed(before, ms);
        if frames == 0 {
            self.ticked_ms = Some(before);
            return None;
        }
        self.owed_ms = passed - frames * FRAME_MS;
        Some(u32::try_from(frames).unwrap_or(u32::MAX))
    }
}
