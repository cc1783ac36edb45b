//! A listener's leg: a sink by type.
//!
//! ```compile_fail
//! // What a listener sends can be counted, never taken out again: there is no such method.
//! fn into_the_call(leg: &mut media::listener::ListenerLeg) {
//!     let _audio = leg.pull();
//! }
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::codec::FRAME;
use crate::interface::{Codec, Kind, ListenerId, ListenerRemote, Port, Sink};
use crate::rtcp;
use crate::rtp::{self, HEADER};

/// Time between our sender reports.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// Silence of the listener after which the engine is told.
const SILENT_AFTER: Duration = Duration::from_secs(60);

/// Where one listener's stream goes: own SSRC, sequence and clock, whatever happens on the call.
#[derive(Debug)]
pub struct ListenerLeg {
    id: ListenerId,
    port: Port,
    remote: Option<ListenerRemote>,
    learnt: Option<SocketAddr>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    packets: u32,
    bytes: u32,
    dropped: u64,
    heard_ms: u64,
    live: bool,
    shielded: bool,
    report_at: Instant,
    silent_since: Instant,
    begun: Instant,
}

/// What one frame to one listener amounted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The first packet of all left.
    First,
    /// A packet left.
    Packet,
    /// Nothing: it has not answered, or holds us.
    Nothing,
}

impl ListenerLeg {
    /// A leg that has not answered yet; SSRC, sequence and clock start at random (RFC 3550 §5.1).
    #[must_use]
    pub fn new(now: Instant, id: ListenerId, port: Port, random: (u32, u16, u32)) -> Self {
        Self {
            id,
            port,
            remote: None,
            learnt: None,
            ssrc: random.0,
            sequence: random.1,
            timestamp: random.2,
            marker: true,
            packets: 0,
            bytes: 0,
            dropped: 0,
            heard_ms: 0,
            live: false,
            shielded: false,
            report_at: now + REPORT_EVERY,
            silent_since: now,
            begun: now,
        }
    }

    /// Whose.
    #[must_use]
    pub fn id(&self) -> ListenerId {
        self.id
    }

    /// Its pair of sockets.
    #[must_use]
    pub fn port(&self) -> Port {
        self.port
    }

    /// Takes its description; the stream goes on where it was.
    pub fn describe(&mut self, now: Instant, remote: ListenerRemote) {
        if self.remote.is_none() {
            (self.silent_since, self.begun, self.report_at) = (now, now, now + REPORT_EVERY);
        }
        (self.remote, self.learnt, self.marker) = (Some(remote), None, true);
    }

    /// What it gets, once it answered.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        self.remote.as_ref().map(|r| r.codec)
    }

    /// Silence from now on, or no longer.
    pub fn shield(&mut self, on: bool) {
        self.shielded = on;
    }

    /// The shield is on.
    #[must_use]
    pub fn shielded(&self) -> bool {
        self.shielded
    }

    /// Sends one encoded frame and moves the clock on; held or unanswered, only the clock moves.
    pub fn send(&mut self, packet: &mut [u8; HEADER + FRAME], sink: &mut impl Sink) -> Sent {
        let remote = self.remote.as_ref();
        let target = remote.and_then(|r| r.rtp).map(|signalled| self.learnt.unwrap_or(signalled));
        let (timestamp, marker) = (self.timestamp, self.marker);
        self.timestamp = timestamp.wrapping_add(FRAME as u32);
        let (Some(target), Some(remote)) = (target, remote) else {
            self.marker = true;
            return Sent::Nothing;
        };
        if let Some(header) = packet.first_chunk_mut() {
            rtp::write(header, marker, remote.payload_type, self.sequence, timestamp, self.ssrc);
        }
        sink.send(self.port, Kind::Rtp, target, packet);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(FRAME as u32);
        self.marker = false;
        if std::mem::replace(&mut self.live, true) { Sent::Packet } else { Sent::First }
    }

    /// Moves the clock over ticks that were missed (the process was stopped): a gap, not a burst.
    pub fn skip(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks.wrapping_mul(FRAME as u32));
        self.marker = true;
    }

    /// Counts call audio that reached it.
    pub fn heard(&mut self) -> u64 {
        self.heard_ms += 20;
        self.heard_ms
    }

    /// Milliseconds of call audio so far.
    #[must_use]
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// What it sent and what was dropped of it.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Something came from it: counted as a sign of life if it is from its IP, learnt as its address behind NAT, and gone.
    pub fn swallow(&mut self, now: Instant, from: SocketAddr, kind: Kind) {
        self.dropped += u64::from(kind == Kind::Rtp);
        let Some(remote) = &self.remote else { return };
        let known: [Option<IpAddr>; 2] = [remote.rtp.map(|a| a.ip()), remote.latch];
        if known.contains(&Some(from.ip())) {
            self.silent_since = now;
        }
        if kind == Kind::Rtp && self.learnt.is_none() && remote.latch == Some(from.ip()) {
            self.learnt = Some(from);
        }
    }

    /// Sender report when due. True when the listener has been silent for another 60 s.
    pub fn house_keep(&mut self, now: Instant, sink: &mut impl Sink) -> bool {
        if self.remote.is_none() {
            return false;
        }
        if now >= self.report_at {
            self.report_at = now + REPORT_EVERY;
            self.report(now, false, sink);
        }
        let silent = now.saturating_duration_since(self.silent_since) >= SILENT_AFTER;
        if silent {
            self.silent_since = now;
        }
        silent
    }

    /// RTCP BYE at the end.
    pub fn bye(&mut self, now: Instant, sink: &mut impl Sink) {
        self.report(now, true, sink);
    }

    fn report(&mut self, now: Instant, bye: bool, sink: &mut impl Sink) {
        let Some(target) = self.remote.as_ref().and_then(|r| r.rtcp) else { return };
        let elapsed = now.saturating_duration_since(self.begun);
        let ntp = (elapsed.as_secs() << 32) | ((u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000);
        let report =
            rtcp::Report { ssrc: self.ssrc, ntp, timestamp: self.timestamp, packets: self.packets, bytes: self.bytes };
        let cname = format!("{:08x}@medlytt", self.ssrc);
        sink.send(self.port, Kind::Rtcp, target, &rtcp::report(&report, &cname, bye));
    }
}
