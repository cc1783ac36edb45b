//! The stream to a listener, once it answered: where it goes, its clock, and who may answer.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::REPORT_INTERVAL;
use super::feedback::Feedback;
use super::keys::Sounds;
use crate::codec::MAX_PAYLOAD;
use crate::guard;
use crate::interface::{Codec, Counters, Kind, ListenerRemote, Port, Sink};
use crate::relay::describe_keys;
use crate::rtcp::{Compound, SenderReport};
use crate::rtp::HEADER;
use crate::source::{Admission, OwnMedia, Sources};
use crate::srtp::{OVERHEAD, Protection};

/// Between two ticks.
const FRAME_MS: i64 = 20;
/// Room for the longest packet that a listener gets, sealed.
pub(super) const SEALED: usize = HEADER + MAX_PAYLOAD + OVERHEAD;

/// By which socket a packet leaves, and where to.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) port: Port,
    pub(super) socket: Kind,
    pub(super) to: SocketAddr,
}

/// The stream.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) sources: Sources,
    from: Option<IpAddr>,
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) mux: bool,
    protection: Option<Box<Protection>>,
    pub(super) marker: bool,
    /// It sends keys as events under this type.
    telephone_event: Option<u8>,
    pub(super) feedback: Feedback,
    pub(super) packets: u32,
    octets: u32,
    /// Last tick, in milliseconds of the shard.
    ticked_ms: Option<u64>,
    /// By how much the ticks so far were early (negative) or late.
    owed_ms: i64,
    /// The shard that it began on is so much older than this one: wall-clock time of its reports goes on.
    elder_us: i64,
    pub(super) report_due: Instant,
    silent_since: Instant,
    /// A packet was accepted since the last description.
    has_sent_rtp: bool,
    has_sent_rtcp: bool,
}

impl Outbound {
    pub(super) fn new(now: Instant, codec: Codec) -> Self {
        Self {
            sources: Sources::default(),
            from: None,
            codec,
            payload_type: 0,
            mux: false,
            protection: None,
            marker: true,
            telephone_event: None,
            feedback: Feedback::default(),
            packets: 0,
            octets: 0,
            ticked_ms: None,
            owed_ms: 0,
            elder_us: 0,
            report_due: now + REPORT_INTERVAL / 2,
            silent_since: now,
            has_sent_rtp: false,
            has_sent_rtcp: false,
        }
    }

    /// `None`: the keys are refused, and nothing has changed.
    pub(super) fn describe(&mut self, now: Instant, remote: ListenerRemote, own: &OwnMedia) -> Option<()> {
        describe_keys(&mut self.protection, now, remote.keys)?;
        let rtcp = Some(remote.rtcp).filter(|_| !remote.mux);
        self.sources.describe(remote.rtp, rtcp, remote.latch, own);
        self.from = remote.latch.or(remote.rtp.map(|rtp| rtp.ip())).map(|ip| ip.to_canonical()).or(self.from);
        // Another clock begins: a receiver that begins anew with it takes no gap for loss.
        self.marker |= self.codec.clock() != remote.codec.clock();
        self.codec = remote.codec;
        self.payload_type = remote.payload_type;
        self.mux = remote.mux;
        self.telephone_event = remote.telephone_event;
        (self.has_sent_rtp, self.has_sent_rtcp) = (false, false);
        Some(())
    }

    /// Its clock runs.
    pub(super) fn has_ticked(&self) -> bool {
        self.ticked_ms.is_some()
    }

    /// A packet went out, with so much payload.
    pub(super) fn note_sent(&mut self, octets: usize) {
        self.marker = false;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
    }

    /// What its own packets are.
    pub(super) fn sounds(&self) -> Sounds {
        Sounds { telephone_event: self.telephone_event, codec: (self.payload_type, self.codec) }
    }

    /// Reports of the listener: what they say of our stream.
    pub(super) fn read(&mut self, now: Instant, compound: Compound<'_>, ssrc: u32) {
        for packet in compound {
            for report in packet.reports().filter(|report| report.ssrc == ssrc) {
                self.feedback.note(now, &report, self.codec.clock());
            }
        }
    }

    /// Whom a socket hears, if that has changed.
    pub(super) fn source_news(&mut self, socket: Kind) -> Option<Option<SocketAddr>> {
        let has_sent = if socket == Kind::Rtp { self.has_sent_rtp } else { self.has_sent_rtcp };
        self.sources.of_mut(socket).news(has_sent)
    }

    /// Whether nothing came for `limit`; then so long again. Keys that were replaced do not wait for a packet to be
    /// wiped.
    pub(super) fn is_silent(&mut self, now: Instant, limit: Duration) -> bool {
        if let Some(protection) = &mut self.protection {
            protection.retire(now);
        }
        let is_silent = now.saturating_duration_since(self.silent_since) >= limit;
        if is_silent {
            self.silent_since = now;
        }
        is_silent
    }

    /// See [`super::ListenerLeg::reclock`].
    pub(super) fn reclock(&mut self, later_us: i64) -> Option<usize> {
        self.elder_us = self.elder_us.saturating_add(later_us);
        let ticked_ms = i64::try_from(self.ticked_ms?).unwrap_or(i64::MAX / 2) - rounded_ms(later_us);
        // the new clock may not have begun yet at the last tick
        self.ticked_ms = Some(u64::try_from(ticked_ms).unwrap_or(0));
        self.owed_ms -= ticked_ms.min(0);
        let due_ms = ticked_ms.max(0) + FRAME_MS - self.owed_ms;
        usize::try_from(due_ms.rem_euclid(FRAME_MS)).ok()
    }

    /// Frames that have passed since the last tick; `None`: this tick comes too early, after a move to another phase.
    pub(super) fn frames_due(&mut self, ms: u64) -> Option<u32> {
        let Some(before) = self.ticked_ms else {
            self.ticked_ms = Some(ms);
            return Some(1);
        };
        let (passed, frames) = self.passed(before, ms);
        if frames == 0 {
            return None;
        }
        self.ticked_ms = Some(ms);
        self.owed_ms = passed - frames * 20;
        Some(u32::try_from(frames).unwrap_or(u32::MAX))
    }

    /// A tick then would come too early.
    pub(super) fn is_early(&self, ms: u64) -> bool {
        self.ticked_ms.is_some_and(|before| self.passed(before, ms).1 == 0)
    }

    /// Milliseconds on its own clock, and the frames that they are.
    fn passed(&self, before: u64, ms: u64) -> (i64, i64) {
        let passed = i64::try_from(ms.saturating_sub(before)).unwrap_or(i64::MAX / 2) + self.owed_ms;
        (passed, (passed + FRAME_MS / 2).max(0) / FRAME_MS)
    }

    /// Where its reports go, and by which socket.
    pub(super) fn reports_to(&self) -> Option<(Kind, SocketAddr)> {
        let socket = if self.mux { Kind::Rtp } else { Kind::Rtcp };
        self.sources.of(socket).to().map(|to| (socket, to))
    }

    /// A packet goes out, sealed if the leg is encrypted. True: it went.
    pub(super) fn send(
        &mut self,
        way: Way,
        kind: Kind,
        packet: &[u8],
        counters: &mut Counters,
        sink: &mut impl Sink,
    ) -> bool {
        let mut buffer = [0; SEALED];
        let packet = match &mut self.protection {
            None => Some(packet),
            Some(protection) => guard::protect(protection, kind, packet, &mut buffer, counters),
        };
        let Some(packet) = packet else { return false };
        sink.send_copy(way.port, way.socket, way.to, packet);
        true
    }

    /// A packet as it was before it was encrypted, if it was. Strangers' are not looked at.
    pub(super) fn open<'a>(
        &mut self,
        now: Instant,
        (socket, kind): (Kind, Kind),
        source: SocketAddr,
        data: &'a mut [u8],
        counters: &mut Counters,
    ) -> Option<&'a [u8]> {
        if self.protection.is_none() {
            return Some(data);
        }
        let may_be_ours = self.sources.of(socket).admits(source) != Admission::Foreign || self.is_near(source);
        let protection = self.protection.as_mut().filter(|_| may_be_ours)?;
        let length = guard::unprotect(protection, now, kind, data, counters)?;
        data.get(..length)
    }

    /// It comes from the listener's address, whatever the port.
    fn is_near(&self, source: SocketAddr) -> bool {
        self.from == Some(source.ip().to_canonical())
    }

    /// A valid packet came from there; false: from somebody else. It may latch.
    pub(super) fn note_alive(&mut self, now: Instant, socket: Kind, source: SocketAddr) -> bool {
        let admission = self.sources.of(socket).admits(source);
        if admission == Admission::Learns {
            self.sources.of_mut(socket).latch(source);
        }
        let has_sent = if socket == Kind::Rtp { &mut self.has_sent_rtp } else { &mut self.has_sent_rtcp };
        *has_sent |= admission != Admission::Foreign;
        let is_ours = admission != Admission::Foreign || self.is_near(source);
        if is_ours {
            self.silent_since = now;
        }
        is_ours
    }

    pub(super) fn report(&self, ssrc: u32, timestamp: u32, elapsed: Duration) -> SenderReport {
        let elder = Duration::from_micros(self.elder_us.unsigned_abs());
        let elapsed = if self.elder_us < 0 { elapsed.saturating_sub(elder) } else { elapsed + elder };
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        SenderReport {
            ssrc,
            ntp: elapsed.as_secs() << 32 | fraction,
            timestamp,
            packets: self.packets,
            octets: self.octets,
        }
    }
}

/// Whole milliseconds, the nearest.
pub(crate) fn rounded_ms(us: i64) -> i64 {
    (us + 500).div_euclid(1_000)
}
