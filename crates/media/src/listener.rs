//! Listener leg: a sink by type. It takes encoded frames and sends them; no method yields media into a call.
//!
//! ```compile_fail
//! fn whisper(mut leg: media::listener::ListenerLeg) {
//!     let _audio = leg.receive(); // there is no such thing
//! }
//! ```

mod ear;
mod feedback;
mod keys;
mod outbound;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

pub(crate) use self::ear::Ear;
use self::keys::Keys;
pub(crate) use self::outbound::rounded_ms;
use self::outbound::{Outbound, SEALED, Way};
use crate::codec::MAX_PAYLOAD;
use crate::interface::{Counters, Kind, ListenerRemote, Mix, Port, Quality, Sink};
use crate::mixer::{TRACKS, Track, Wanted, WantedTracks};
use crate::rtcp::{self, Cname};
use crate::rtp;
use crate::source::OwnMedia;

/// Sender reports are so far apart on average (RFC 3550 §6.2); each is drawn from half to one and a half of it.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// One listener's leg.
#[derive(Debug)]
pub struct ListenerLeg {
    port: Port,
    identity: Identity,
    stream: Option<Outbound>,
    /// While somebody waits for one.
    keys: Option<Box<Keys>>,
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

/// What a tick brings for one listener.
pub(crate) struct Tick<'a> {
    /// Milliseconds of the shard's clock.
    pub(crate) ms: u64,
    /// The same instant,
    pub(crate) at: Instant,
    /// and when it is carried out.
    pub(crate) now: Instant,
    /// Since the shard began.
    pub(crate) elapsed: Duration,
    /// What each of its tracks gets, in the order of what it wants.
    pub(crate) tracks: [Track<'a>; TRACKS],
    /// Draws when the next report is due.
    pub(crate) rng: &'a mut StdRng,
}

impl ListenerLeg {
    /// A leg that sends nothing yet.
    #[must_use]
    pub fn new(port: Port, identity: Identity) -> Self {
        Self { port, identity, stream: None, keys: None, dropped: 0 }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port
    }

    /// Whether it answered.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.stream.is_some()
    }

    /// What it gets, of a listener that wants this mix.
    #[must_use]
    pub fn wanted(&self, mix: Mix) -> WantedTracks {
        [self.stream.as_ref().map(|stream| Wanted::new(stream.codec, mix)), None]
    }

    /// Packets of its own that were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// It answered, or changed its description: SSRC, sequence and clock stay.
    /// `None`: the keys are refused.
    pub(crate) fn listen(&mut self, now: Instant, remote: ListenerRemote, own: &OwnMedia) -> Option<()> {
        let stream = self.stream.get_or_insert_with(|| Outbound::new(now, remote.codec));
        if stream.describe(now, remote, own).is_none() {
            self.stream = self.stream.take().filter(Outbound::has_ticked);
            return None;
        }
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
        let Some(Ok(packet)) = opened.map(rtp::Packet::parse) else { return };
        if stream.note_alive(now, Kind::Rtp, source)
            && let Some(keys) = &mut self.keys
        {
            keys.hear(now, &packet, stream.sounds());
        }
    }

    /// Whether its keys are told, from now on.
    pub(crate) fn watch_keys(&mut self, on: bool) {
        self.keys = self.keys.take().filter(|_| on).or_else(|| on.then(Box::default));
    }

    /// The key that it has pressed since this was asked last.
    pub(crate) fn take_key(&mut self) -> Option<char> {
        self.keys.as_mut()?.take()
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
        if let (true, Some(stream), Some(compound)) = (is_ours, &mut self.stream, compound.clone()) {
            stream.read(now, compound, self.identity.ssrc);
        }
        if !is_ours || compound.is_some_and(has_app) {
            self.dropped += 1;
            counters.listener_rtcp_dropped += 1;
        }
    }

    /// Tells the shell whom a socket hears, where that has changed. A listener may send from all its address: one source
    /// is the only one when it has sent.
    pub(crate) fn tell_source(&mut self, socket: Kind, sink: &mut impl Sink) {
        if let Some(only) = self.stream.as_mut().and_then(|stream| stream.source_news(socket)) {
            sink.connect(self.port, socket, only);
        }
    }

    /// One tick: the next packet goes out, and every few seconds a report. True: it went.
    pub(crate) fn tick(&mut self, tick: Tick<'_>, counters: &mut Counters, sink: &mut impl Sink) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let Some(frames) = stream.frames_due(tick.ms) else { return false };
        let payload = tick.tracks[0].payload;
        let identity = &mut self.identity;
        // Missed ticks pass on the clock instead of going out in a burst.
        let step = stream.codec.clock() / 50;
        identity.timestamp = identity.timestamp.wrapping_add((frames - 1).wrapping_mul(step));
        stream.marker |= frames > 1;
        let timestamp = identity.timestamp;
        identity.timestamp = timestamp.wrapping_add(step);
        let Some(to) = stream.sources.of(Kind::Rtp).to() else {
            stream.marker = true;
            return false;
        };
        let header = rtp::header(stream.marker, stream.payload_type, identity.sequence, timestamp, identity.ssrc);
        let mut packet = [0; rtp::HEADER + MAX_PAYLOAD];
        let Some(packet) = packet.get_mut(..rtp::HEADER + payload.len()) else { return false };
        packet[..rtp::HEADER].copy_from_slice(&header);
        packet[rtp::HEADER..].copy_from_slice(payload);
        let way = Way { port: self.port, socket: Kind::Rtp, to };
        identity.sequence = identity.sequence.wrapping_add(1);
        if !stream.send(way, Kind::Rtp, packet, counters, sink) {
            stream.marker = true;
            return false;
        }
        counters.listener_packets_sent += 1;
        stream.note_sent(payload.len());
        if tick.at >= stream.report_due {
            stream.report_due = tick.at + REPORT_INTERVAL.mul_f32(0.5 + tick.rng.random::<f32>());
            if let Some((socket, to)) = stream.reports_to() {
                let report = stream.report(identity.ssrc, timestamp, tick.elapsed);
                stream.feedback.note_sent(tick.now, report.ntp);
                let report = rtcp::sender_report(&report, &identity.cname);
                stream.send(Way { port: self.port, socket, to }, Kind::Rtcp, &report, counters, sink);
            }
        }
        true
    }

    /// What it told of the stream to it.
    pub(crate) fn tell(&self, quality: &mut Quality) {
        self.stream.iter().for_each(|stream| stream.feedback.tell(quality));
    }

    /// A tick then would come too soon after its last packet.
    pub(crate) fn is_early(&self, ms: u64) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_early(ms))
    }

    /// What is sent to it is lost, by three of its reports in a row.
    pub(crate) fn loses(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.feedback.losses.last())
    }

    /// Whether it sent nothing for `limit`; asked again, only after so long once more.
    pub(crate) fn is_silent(&mut self, now: Instant, limit: Duration) -> bool {
        self.stream.as_mut().is_some_and(|stream| stream.is_silent(now, limit))
    }

    /// Another shard's clock from now on, which began so much later: the stream's own goes on as it was. Returns the
    /// phase of 20 ms in which the next tick is due.
    pub(crate) fn reclock(&mut self, later_us: i64) -> Option<usize> {
        self.stream.as_mut()?.reclock(later_us)
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
        sink.release(self.port);
    }
}

const _: () = assert!(SEALED >= rtcp::REPORT + 8, "a report fits where packets are sealed");
