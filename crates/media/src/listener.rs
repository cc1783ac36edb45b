//! Listener leg: a sink by type. It takes encoded frames and sends them; no method yields media into a call.
//!
//! ```compile_fail
//! fn whisper(mut leg: media::listener::ListenerLeg) {
//!     let _audio = leg.receive(); // there is no such thing
//! }
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::codec::FRAME;
use crate::guard;
use crate::interface::{Codec, Counters, Event, Kind, ListenerId, ListenerRemote, Port, Quality, Sink, StreamId};
use crate::mixer::Outgoing;
use crate::relay::describe_keys;
use crate::rtcp::{self, Cname, SenderReport};
use crate::rtp;
use crate::source::{Admission, OwnMedia, Sources};
use crate::srtp::{OVERHEAD, Protection};

/// Sender reports are so far apart on average (RFC 3550 §6.2); each is drawn from half to one and a half of it.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// [`Event::Heard`] is told each time so much more was heard; 3 s, the default of what counts, is a multiple.
const HEARD_STEP_MS: u64 = 1_000;
/// Between two ticks.
const FRAME_MS: i64 = 20;
/// Room for the longest packet that a listener gets, sealed.
const SEALED: usize = size_of::<Outgoing>() + OVERHEAD;

/// One listener's leg.
#[derive(Debug)]
pub struct ListenerLeg {
    id: ListenerId,
    port: Port,
    identity: Identity,
    stream: Option<Outbound>,
    focus: Option<StreamId>,
    is_shielded: bool,
    heard_ms: u64,
    dropped: u64,
}

/// Random beginnings of a listener's stream (RFC 3550 §5.1).
#[derive(Clone, Debug)]
pub struct Identity {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First time stamp.
    pub timestamp: u32,
    /// Name in RTCP.
    pub cname: Cname,
}

impl Identity {
    /// Drawn from the shard's source.
    #[must_use]
    pub fn draw(rng: &mut StdRng) -> Self {
        let cname = std::array::from_fn(|_| b"0123456789abcdef"[rng.random_range(0..16)]);
        Self { ssrc: rng.random(), sequence: rng.random(), timestamp: rng.random(), cname }
    }
}

/// The stream, once the listener answered.
#[derive(Debug)]
struct Outbound {
    sources: Sources,
    from: Option<IpAddr>,
    codec: Codec,
    payload_type: u8,
    mux: bool,
    protection: Option<Box<Protection>>,
    marker: bool,
    is_live: bool,
    packets: u32,
    octets: u32,
    /// Last tick, in milliseconds of the shard.
    ticked_ms: Option<u64>,
    /// By how much the ticks so far were early (negative) or late.
    owed_ms: i64,
    /// The shard that it began on is so much older than this one: wall-clock time of its reports goes on.
    elder_us: i64,
    report_due: Instant,
    silent_since: Instant,
    /// A packet was accepted since the last description.
    has_sent_rtp: bool,
    has_sent_rtcp: bool,
}

/// By which socket a packet leaves, and where to.
#[derive(Clone, Copy)]
struct Way {
    port: Port,
    socket: Kind,
    to: SocketAddr,
}

/// What a tick brings for one listener.
pub(crate) struct Tick<'a> {
    /// Milliseconds of the shard's clock.
    pub(crate) ms: u64,
    /// The same instant.
    pub(crate) at: Instant,
    /// Since the shard began.
    pub(crate) elapsed: Duration,
    /// The shared payload, with room for the header.
    pub(crate) packet: &'a mut Outgoing,
    /// It holds call audio.
    pub(crate) is_heard: bool,
    /// Draws when the next report is due.
    pub(crate) rng: &'a mut StdRng,
}

impl ListenerLeg {
    /// A leg that sends nothing yet.
    #[must_use]
    pub fn new(id: ListenerId, port: Port, identity: Identity) -> Self {
        Self { id, port, identity, stream: None, focus: None, is_shielded: false, heard_ms: 0, dropped: 0 }
    }

    /// Which.
    #[must_use]
    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port
    }

    /// What it wants to hear.
    #[must_use]
    pub fn focus(&self) -> Option<StreamId> {
        self.focus
    }

    /// What it hears from now on.
    pub fn set_focus(&mut self, focus: Option<StreamId>) {
        self.focus = focus;
    }

    /// Silence, whatever the focus.
    pub fn set_shield(&mut self, is_shielded: bool) {
        self.is_shielded = is_shielded;
    }

    /// Whether it hears silence whatever the focus.
    #[must_use]
    pub fn is_shielded(&self) -> bool {
        self.is_shielded
    }

    /// Whether it answered.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.stream.is_some()
    }

    /// What it gets.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        self.stream.as_ref().map(|stream| stream.codec)
    }

    /// Milliseconds of call audio sent to it, and packets of its own that were dropped.
    #[must_use]
    pub fn figures(&self) -> (u64, u64) {
        (self.heard_ms, self.dropped)
    }

    /// It answered, or changed its description: SSRC, sequence and clock stay.
    /// `None`: the keys are refused.
    pub(crate) fn listen(&mut self, now: Instant, remote: ListenerRemote, own: &OwnMedia) -> Option<()> {
        let stream = self.stream.get_or_insert_with(|| Outbound {
            sources: Sources::default(),
            from: None,
            codec: remote.codec,
            payload_type: remote.payload_type,
            mux: remote.mux,
            protection: None,
            marker: true,
            is_live: false,
            packets: 0,
            octets: 0,
            ticked_ms: None,
            owed_ms: 0,
            elder_us: 0,
            report_due: now + REPORT_INTERVAL / 2,
            silent_since: now,
            has_sent_rtp: false,
            has_sent_rtcp: false,
        });
        if describe_keys(&mut stream.protection, now, remote.keys).is_none() {
            self.stream = self.stream.take().filter(|stream| stream.ticked_ms.is_some());
            return None;
        }
        let rtcp = Some(remote.rtcp).filter(|_| !remote.mux);
        stream.sources.describe(remote.rtp, rtcp, remote.latch, own);
        stream.from = remote.latch.or(remote.rtp.map(|rtp| rtp.ip())).map(|ip| ip.to_canonical()).or(stream.from);
        stream.codec = remote.codec;
        stream.payload_type = remote.payload_type;
        stream.mux = remote.mux;
        (stream.has_sent_rtp, stream.has_sent_rtcp) = (false, false);
        Some(())
    }

    /// What came on its RTP socket: it lives, that is all.
    pub fn drop_rtp(&mut self, now: Instant, source: SocketAddr, data: &mut [u8], counters: &mut Counters) {
        if self.stream.as_ref().is_some_and(|stream| stream.mux) && rtp::demux(data) == rtp::Demux::Rtcp {
            self.drop_reports(now, Kind::Rtp, source, data, counters);
            return;
        }
        self.dropped += 1;
        counters.listener_rtp_dropped += 1;
        let is_rtp = rtp::demux(data) == rtp::Demux::Rtp;
        let Some(stream) = self.stream.as_mut().filter(|_| is_rtp) else { return };
        let opened = stream.open(now, (Kind::Rtp, Kind::Rtp), source, data, counters);
        if opened.is_some_and(|data| rtp::Packet::parse(data).is_ok()) {
            stream.note_alive(now, Kind::Rtp, source);
        }
    }

    /// What came on its RTCP socket: it lives, that is all. Anything but reports is dropped.
    pub fn drop_rtcp(&mut self, now: Instant, source: SocketAddr, data: &mut [u8], counters: &mut Counters) {
        self.drop_reports(now, Kind::Rtcp, source, data, counters);
    }

    /// What came from one of the relay's own sockets: nothing is learnt from it.
    pub(crate) fn drop_own(&mut self, counters: &mut Counters) {
        self.dropped += 1;
        counters.listener_rtp_dropped += 1;
    }

    fn drop_reports(
        &mut self,
        now: Instant,
        socket: Kind,
        source: SocketAddr,
        data: &mut [u8],
        counters: &mut Counters,
    ) {
        let has_app = |mut packets: rtcp::Compound<'_>| packets.any(|packet| packet.kind == rtcp::Kind::App);
        let mut compound = None;
        let is_ours = self.stream.as_mut().is_some_and(|stream| {
            compound = stream.open(now, (socket, Kind::Rtcp), source, data, counters).and_then(rtcp::compound);
            compound.is_some() && stream.note_alive(now, socket, source)
        });
        counters.listener_rtcp_received += u64::from(is_ours);
        if !is_ours || compound.is_some_and(has_app) {
            self.dropped += 1;
            counters.listener_rtcp_dropped += 1;
        }
    }

    /// Tells the shell whom a socket hears, where that has changed. A listener may send from all its address: one source
    /// is the only one when it has sent.
    pub(crate) fn tell_source(&mut self, socket: Kind, sink: &mut impl Sink) {
        let Some(stream) = &mut self.stream else { return };
        let has_sent = if socket == Kind::Rtp { stream.has_sent_rtp } else { stream.has_sent_rtcp };
        if let Some(only) = stream.sources.of_mut(socket).news(has_sent) {
            sink.connect(self.port, socket, only);
        }
    }

    /// One tick: the next packet goes out, and every few seconds a report.
    pub(crate) fn tick(&mut self, tick: Tick<'_>, counters: &mut Counters, sink: &mut impl Sink) {
        let Some(stream) = &mut self.stream else { return };
        let Some(frames) = stream.frames_due(tick.ms) else { return };
        let identity = &mut self.identity;
        // Missed ticks pass on the clock instead of going out in a burst.
        identity.timestamp = identity.timestamp.wrapping_add((frames - 1).wrapping_mul(FRAME as u32));
        stream.marker |= frames > 1;
        let timestamp = identity.timestamp;
        identity.timestamp = timestamp.wrapping_add(FRAME as u32);
        let Some(to) = stream.sources.of(Kind::Rtp).to() else {
            stream.marker = true;
            return;
        };
        let header = rtp::header(stream.marker, stream.payload_type, identity.sequence, timestamp, identity.ssrc);
        if let Some(place) = tick.packet.first_chunk_mut::<{ rtp::HEADER }>() {
            *place = header;
        }
        let way = Way { port: self.port, socket: Kind::Rtp, to };
        identity.sequence = identity.sequence.wrapping_add(1);
        if !stream.send(way, Kind::Rtp, tick.packet, counters, sink) {
            stream.marker = true;
            return;
        }
        counters.listener_packets_sent += 1;
        stream.marker = false;
        stream.packets = stream.packets.wrapping_add(1);
        stream.octets = stream.octets.wrapping_add(FRAME as u32);
        if !std::mem::replace(&mut stream.is_live, true) {
            sink.event(Event::Live { listener: self.id });
        }
        if tick.is_heard {
            self.heard_ms += 20;
            if self.heard_ms.is_multiple_of(HEARD_STEP_MS) {
                sink.event(Event::Heard { listener: self.id, heard_ms: self.heard_ms });
            }
        }
        if tick.at >= stream.report_due {
            stream.report_due = tick.at + REPORT_INTERVAL.mul_f32(0.5 + tick.rng.random::<f32>());
            if let Some((socket, to)) = stream.reports_to() {
                let report = stream.report(identity.ssrc, timestamp, tick.elapsed);
                let report = rtcp::sender_report(&report, &identity.cname);
                stream.send(Way { port: self.port, socket, to }, Kind::Rtcp, &report, counters, sink);
            }
        }
    }

    /// Reports a listener that sent nothing for `limit`.
    pub(crate) fn watch(&mut self, now: Instant, limit: Duration, sink: &mut impl Sink) {
        if let Some(protection) = self.stream.as_mut().and_then(|stream| stream.protection.as_mut()) {
            protection.retire(now);
        }
        if let Some(stream) = &mut self.stream
            && now.saturating_duration_since(stream.silent_since) >= limit
        {
            stream.silent_since = now;
            sink.event(Event::ListenerSilent { listener: self.id });
        }
    }

    /// Another shard's clock from now on, which began so much later: the stream's own goes on as it was. Returns the
    /// phase of 20 ms in which the next tick is due.
    pub(crate) fn reclock(&mut self, later_us: i64) -> Option<usize> {
        let stream = self.stream.as_mut()?;
        stream.elder_us = stream.elder_us.saturating_add(later_us);
        let ticked_ms = i64::try_from(stream.ticked_ms?).unwrap_or(i64::MAX / 2) - rounded_ms(later_us);
        // the new clock may not have begun yet at the last tick
        stream.ticked_ms = Some(u64::try_from(ticked_ms).unwrap_or(0));
        stream.owed_ms -= ticked_ms.min(0);
        let due_ms = ticked_ms.max(0) + FRAME_MS - stream.owed_ms;
        usize::try_from(due_ms.rem_euclid(FRAME_MS)).ok()
    }

    /// The end: RTCP BYE, if anything was sent.
    pub(crate) fn close(self, elapsed: Duration, counters: &mut Counters, sink: &mut impl Sink) {
        if let Some(mut stream) = self.stream.filter(|stream| stream.packets > 0)
            && let Some((socket, to)) = stream.reports_to()
        {
            let report = stream.report(self.identity.ssrc, self.identity.timestamp, elapsed);
            let farewell = rtcp::farewell(&report, &self.identity.cname);
            stream.send(Way { port: self.port, socket, to }, Kind::Rtcp, &farewell, counters, sink);
        }
        sink.event(Event::ListenerClosed {
            listener: self.id,
            heard_ms: self.heard_ms,
            dropped: self.dropped,
            quality: Quality::default(),
        });
        sink.release(self.port);
    }
}

/// Whole milliseconds, the nearest.
pub(crate) fn rounded_ms(us: i64) -> i64 {
    (us + 500).div_euclid(1_000)
}

impl Outbound {
    /// Frames that have passed since the last tick; `None`: this tick comes too early, after a move to another phase.
    fn frames_due(&mut self, ms: u64) -> Option<u32> {
        let Some(before) = self.ticked_ms else {
            self.ticked_ms = Some(ms);
            return Some(1);
        };
        let passed = i64::try_from(ms.saturating_sub(before)).unwrap_or(i64::MAX / 2) + self.owed_ms;
        let frames = (passed + 10).max(0) / 20;
        if frames == 0 {
            return None;
        }
        self.ticked_ms = Some(ms);
        self.owed_ms = passed - frames * 20;
        Some(u32::try_from(frames).unwrap_or(u32::MAX))
    }

    /// Where its reports go, and by which socket.
    fn reports_to(&self) -> Option<(Kind, SocketAddr)> {
        let socket = if self.mux { Kind::Rtp } else { Kind::Rtcp };
        self.sources.of(socket).to().map(|to| (socket, to))
    }

    /// A packet goes out, sealed if the leg is encrypted. True: it went.
    fn send(&mut self, way: Way, kind: Kind, packet: &[u8], counters: &mut Counters, sink: &mut impl Sink) -> bool {
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
    fn open<'a>(
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
    fn note_alive(&mut self, now: Instant, socket: Kind, source: SocketAddr) -> bool {
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

    fn report(&self, ssrc: u32, timestamp: u32, elapsed: Duration) -> SenderReport {
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
