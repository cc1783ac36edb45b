//! One leg's stream: who may send to it, where its partner's packets go, and its reception figures.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::interface::{Codec, Figures, Port, Remote, StreamId};
use crate::rtp::Header;

/// A stream: its port, its remote party and what came from it.
#[derive(Debug)]
pub struct Stream {
    /// Whose.
    pub id: StreamId,
    /// Our pair of sockets.
    pub port: Port,
    /// Slot of the stream that this one's packets go out by.
    pub peer: Option<usize>,
    /// Slot of the fork that taps this stream.
    pub fork: Option<usize>,
    remote: Option<Remote>,
    rtp: Source,
    rtcp: Source,
    reception: Reception,
    /// Last RTP that was accepted.
    pub rtp_at: Option<Instant>,
    /// Last RTP or RTCP that was accepted.
    pub heard_at: Option<Instant>,
    /// One-way has been told for this silence.
    pub one_way_told: bool,
    /// When it should have begun to send: described or last resumed.
    pub described_at: Instant,
    /// Figures changed since they were last told.
    pub figures_changed: bool,
}

/// Who may send to one of the two sockets.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    signalled: Option<SocketAddr>,
    latch: Option<IpAddr>,
    latched: Option<SocketAddr>,
}

impl Source {
    /// SEMANTICS, NAT: latches once to the signalling source's IP, any port; without `latch` the signalled address alone.
    fn accepts(&mut self, from: SocketAddr) -> bool {
        match (self.latched, self.latch) {
            (Some(latched), _) => latched == from,
            (None, Some(ip)) if from.ip() == ip || self.signalled == Some(from) => {
                self.latched = Some(from);
                true
            }
            _ => self.signalled == Some(from),
        }
    }

    fn target(&self) -> Option<SocketAddr> {
        self.latched.filter(|_| self.signalled.is_some()).or(self.signalled)
    }
}

impl Stream {
    /// A stream that knows nothing of its remote party yet.
    #[must_use]
    pub fn new(now: Instant, id: StreamId, port: Port) -> Self {
        Self {
            id,
            port,
            peer: None,
            fork: None,
            remote: None,
            rtp: Source::default(),
            rtcp: Source::default(),
            reception: Reception::default(),
            rtp_at: None,
            heard_at: None,
            one_way_told: false,
            described_at: now,
            figures_changed: false,
        }
    }

    /// Takes a description; arms the latch again.
    pub fn describe(&mut self, now: Instant, remote: Remote) {
        let source = |signalled: Option<SocketAddr>| Source {
            signalled: signalled.filter(usable),
            latch: remote.latch,
            latched: None,
        };
        self.rtp = source(remote.rtp);
        self.rtcp = source(remote.rtcp);
        self.described_at = now;
        self.one_way_told = false;
        self.remote = Some(remote);
    }

    /// Whether RTP from this address is its remote party's.
    pub fn accepts_rtp(&mut self, from: SocketAddr) -> bool {
        self.rtp.accepts(from)
    }

    /// Whether RTCP from this address is its remote party's.
    pub fn accepts_rtcp(&mut self, from: SocketAddr) -> bool {
        self.rtcp.accepts(from)
    }

    /// Where its partner's RTP goes.
    #[must_use]
    pub fn rtp_target(&self) -> Option<SocketAddr> {
        self.rtp.target()
    }

    /// Where its partner's RTCP goes.
    #[must_use]
    pub fn rtcp_target(&self) -> Option<SocketAddr> {
        self.rtcp.target()
    }

    /// By negotiation its party sends: the uplink may be tapped.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.remote.as_ref().is_some_and(|r| r.sends)
    }

    /// By negotiation its party receives: the downlink may be tapped.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.remote.as_ref().is_some_and(|r| r.receives)
    }

    /// What the fork makes of a payload type that this party sends.
    #[must_use]
    pub fn codec(&self, payload_type: u8) -> Option<Codec> {
        let described = self.remote.as_ref().and_then(|r| r.decodable.iter().find(|(pt, _)| *pt == payload_type));
        described.map(|(_, codec)| *codec).or(match payload_type {
            0 => Some(Codec::Pcmu),
            8 => Some(Codec::Pcma),
            _ => None,
        })
    }

    /// The payload type of RFC 4733 events.
    #[must_use]
    pub fn telephone_event(&self) -> Option<u8> {
        self.remote.as_ref().and_then(|r| r.telephone_event)
    }

    /// Counts an accepted packet.
    pub fn received(&mut self, now: Instant, header: &Header) {
        self.reception.take(now, header);
        self.rtp_at = Some(now);
        self.heard_at = Some(now);
        self.one_way_told = false;
        self.figures_changed = true;
    }

    /// Counts a refused one.
    pub fn refused(&mut self, foreign: bool) {
        let figures = &mut self.reception.figures;
        *if foreign { &mut figures.foreign } else { &mut figures.malformed } += 1;
    }

    /// Its figures so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.reception.figures()
    }
}

/// Nothing is ever sent to nobody, to many, or to port 0.
fn usable(addr: &SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// RFC 3550 Appendix A.1, A.3 and A.8, for one source at a time.
#[derive(Debug, Default)]
struct Reception {
    figures: Figures,
    source: Option<Counting>,
    lost_before: u64,
}

#[derive(Debug)]
struct Counting {
    ssrc: u32,
    base: u64,
    highest: u64,
    received: u64,
    arrival: Instant,
    timestamp: u32,
    /// In time-stamp units of an 8 kHz clock.
    jitter: f64,
}

impl Reception {
    fn take(&mut self, now: Instant, header: &Header) {
        self.figures.packets += 1;
        self.figures.bytes += header.payload.len() as u64;
        self.figures.payload_type = Some(header.payload_type);
        match &mut self.source {
            Some(source) if source.ssrc == header.ssrc && source.near(header.sequence) => source.take(now, header),
            source => {
                self.lost_before += source.as_ref().map_or(0, Counting::lost);
                let jitter = source.as_ref().map_or(0.0, |s| s.jitter);
                let first = u64::from(header.sequence) + (1 << 16);
                *source = Some(Counting {
                    ssrc: header.ssrc,
                    base: first,
                    highest: first,
                    received: 1,
                    arrival: now,
                    timestamp: header.timestamp,
                    jitter,
                });
            }
        }
    }

    fn figures(&self) -> Figures {
        let source = self.source.as_ref();
        Figures {
            lost: self.lost_before + source.map_or(0, Counting::lost),
            jitter_ms: source.map_or(0.0, |s| (s.jitter / 8.0) as f32),
            ..self.figures
        }
    }
}

impl Counting {
    /// Within 3,000 of the highest (MAX_DROPOUT): else the source has started anew.
    fn near(&self, sequence: u16) -> bool {
        i32::from(sequence.wrapping_sub(self.highest as u16) as i16).abs() < 3000
    }

    fn take(&mut self, now: Instant, header: &Header) {
        self.received += 1;
        let ahead = i64::from(header.sequence.wrapping_sub(self.highest as u16) as i16);
        let extended = self.highest.saturating_add_signed(ahead);
        self.highest = self.highest.max(extended);
        let elapsed = now.saturating_duration_since(self.arrival).as_secs_f64() * 8000.0;
        let stamped = f64::from(header.timestamp.wrapping_sub(self.timestamp) as i32);
        // A new talkspurt's clock may jump: not jitter.
        if ahead > 0 && (stamped - elapsed).abs() < 8000.0 {
            self.jitter += ((elapsed - stamped).abs() - self.jitter) / 16.0;
        }
        (self.arrival, self.timestamp) = (now, header.timestamp);
    }

    fn lost(&self) -> u64 {
        (self.highest - self.base + 1).saturating_sub(self.received)
    }
}
