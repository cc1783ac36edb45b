//! What goes in and out of a shard: the types that `engine` and the shells work with.

use std::net::SocketAddr;
use std::time::Duration;

use crate::browser::{Browsers, Note};
use crate::source::OwnMedia;
pub use crate::srtp::{Key, SrtpKeys, Suite};

/// The media of one leg (of a call or of a listener): one RTP and one RTCP socket. Ids are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// One listener on one interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u64);

/// A batch of commands that is acknowledged with [`Event::Done`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// A bound pair of sockets that the shell made: even RTP port, RTCP on the next. The number is the RTP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port(pub u16);

/// Which of a port's two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// RTP, on the port itself.
    Rtp,
    /// RTCP, on the next.
    Rtcp,
}

/// How a shard is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The call is dead after so long without RTP and RTCP from either side, once RTP was seen; 0: never. 60 s.
    pub rtp_timeout: Duration,
    /// The same while either side is held: 1 h.
    pub rtp_timeout_held: Duration,
    /// One side sends nothing for so long while the other does: [`Event::OneWay`]. 10 s.
    pub one_way_after: Duration,
    /// A listener sends neither RTP nor RTCP for so long: [`Event::ListenerSilent`]. 60 s.
    pub listener_lost_after: Duration,
    /// Tones and events of RFC 4733 reach the listener. Default false.
    pub dtmf_to_listener: bool,
    /// Streams at most.
    pub max_streams: usize,
    /// Listeners at most.
    pub max_listeners: usize,
    /// Jitter ring: packets a direction at most.
    pub max_ring: usize,
    /// The relay's own sockets, which are no party's address. Default: none known.
    pub own: OwnMedia,
    /// Where browsers reach this shard. Default: nowhere.
    pub browsers: Browsers,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rtp_timeout: Duration::from_secs(60),
            rtp_timeout_held: Duration::from_secs(3600),
            one_way_after: Duration::from_secs(10),
            listener_lost_after: Duration::from_secs(60),
            dtmf_to_listener: false,
            max_streams: 10_000,
            max_listeners: 5_000,
            max_ring: 64,
            own: OwnMedia::default(),
            browsers: Browsers::default(),
        }
    }
}

/// What the engine orders. Executed in order; a shard answers [`Command::Done`] with [`Event::Done`].
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A leg of a call takes a port.
    Open {
        /// The new stream.
        stream: StreamId,
        /// Taken from [`Event::PortReady`].
        port: Port,
    },
    /// What the remote party of a stream described.
    Describe {
        /// The stream.
        stream: StreamId,
        /// Its description.
        remote: Remote,
    },
    /// Packets of each go out by the other. Replaces what either was bridged to.
    Bridge {
        /// One.
        a: StreamId,
        /// The other.
        b: StreamId,
    },
    /// A stream without a partner: what arrives is dropped.
    Unbridge {
        /// The stream.
        stream: StreamId,
    },
    /// The leg is over: [`Event::Closed`] with its figures follows and the port is given back.
    Close {
        /// The stream.
        stream: StreamId,
    },
    /// A listener's leg takes a port. Nothing is sent before [`Command::Listen`].
    OpenListener {
        /// The new listener.
        listener: ListenerId,
        /// Its port.
        port: Port,
    },
    /// The listener answered: the stream starts on the next tick, with silence where there is nothing to hear.
    /// Again when its description changed: same SSRC, sequence and clock.
    Listen {
        /// The listener.
        listener: ListenerId,
        /// Where it wants its stream, and how.
        remote: ListenerRemote,
    },
    /// What the listener hears from now on; the switch costs no packet.
    Focus {
        /// The listener.
        listener: ListenerId,
        /// Taps; `None`: silence (lingering, an unmonitorable colleague).
        taps: Option<Taps>,
    },
    /// How a listener's sides are put together from the next tick on; `Mix::default()` until the first of these.
    Mix {
        /// The listener.
        listener: ListenerId,
        /// How.
        mix: Mix,
    },
    /// [`Event::Key`] is told of this listener's keys (RFC 4733 or tones in its audio) from now on, or no more.
    WatchKeys {
        /// The listener.
        listener: ListenerId,
        /// On or off.
        on: bool,
    },
    /// The same of a call leg's party, by RFC 4733 alone: [`Event::PartyKey`].
    WatchPartyKeys {
        /// The leg.
        stream: StreamId,
        /// On or off.
        on: bool,
    },
    /// [`Event::Levels`] is told of this leg's two directions while somebody listens to it, or no more.
    WatchLevels {
        /// The agent's leg.
        stream: StreamId,
        /// On or off.
        on: bool,
    },
    /// A listener in a browser: answered by [`Event::BrowserAnswer`]. It listens when ICE and DTLS are done; `Focus`,
    /// `Mix`, `Shield` and `CloseListener` are as for others.
    OpenBrowser {
        /// The new listener.
        listener: ListenerId,
        /// Where it begins: the shard of the call that it will hear.
        shard: usize,
        /// Its SDP offer.
        offer: String,
    },
    /// ICE restart of a listener in a browser: answered by [`Event::BrowserAnswer`], with a fragment or with an SDP answer.
    /// A fragment whose credentials are those that hold brings candidates alone; its answer is empty.
    RestartBrowser {
        /// The listener.
        listener: ListenerId,
        /// `application/trickle-ice-sdpfrag` (RFC 8840), with the new user fragment and password; or a whole offer with them.
        fragment: String,
    },
    /// Silence for this listener until switched off (shield).
    Shield {
        /// The listener.
        listener: ListenerId,
        /// On or off.
        on: bool,
    },
    /// The listener is over: RTCP BYE, [`Event::ListenerClosed`], port back.
    CloseListener {
        /// The listener.
        listener: ListenerId,
    },
    /// All commands before this one are carried out.
    Done(BatchId),
}

/// A remote party's description, as far as media needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// Where it wants RTP; `None`: nowhere (held with 0.0.0.0, or not known yet).
    pub rtp: Option<SocketAddr>,
    /// Where it wants RTCP.
    pub rtcp: Option<SocketAddr>,
    /// It sends, by negotiation: its uplink may be tapped.
    pub sends: bool,
    /// It receives, by negotiation: its downlink may be tapped.
    pub receives: bool,
    /// Payload types that the fork can decode, and what they are.
    pub decodable: Vec<(u8, Codec)>,
    /// RFC 4733 events.
    pub telephone_event: Option<u8>,
    /// Latch once to this IP (any port) on the first valid packet (SEMANTICS, NAT). Each `Describe` arms it again.
    pub latch: Option<std::net::IpAddr>,
    /// RTCP comes and goes on the RTP port (RFC 5761); `rtcp` is then the same address as `rtp`.
    pub mux: bool,
    /// The leg is encrypted with these; `None`: plain.
    pub keys: Option<Box<SrtpKeys>>,
}

/// Codecs that the fork reads and a listener gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, 8 kHz (payload type 0).
    Pcmu,
    /// G.711 A-law, 8 kHz (payload type 8).
    Pcma,
    /// G.722 at 64 kbit/s: 16 kHz, though its RTP clock is 8 kHz (payload type 9, RFC 3551 §4.5.2).
    G722,
    /// G.729, 8 kHz (payload type 18): read only, no listener gets it.
    G729,
    /// Opus, one channel, 48 kHz (RFC 7587).
    Opus,
    /// Opus with two channels: for listeners; what a party sends is read as one.
    OpusStereo,
}

/// What of the call a listener hears, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Both sides in one channel.
    #[default]
    Mono,
    /// The agent left, the caller right; both in one channel where the codec has but one.
    Stereo,
    /// The agent's side alone.
    Agent,
    /// The caller's (what the agent hears) alone.
    Caller,
}

/// How a listener's two sides are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mix {
    /// Where they are.
    pub layout: Layout,
    /// Gain of the agent's side, decibels; -40 to 20. 0.
    pub agent_db: i8,
    /// Gain of the caller's side, decibels; -40 to 20. 0.
    pub caller_db: i8,
    /// Both sides are brought to the same loudness.
    pub is_levelled: bool,
}

/// A listener's description.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerRemote {
    /// Where; `None`: it holds us, nothing is sent but the clock runs on.
    pub rtp: Option<SocketAddr>,
    /// RTCP.
    pub rtcp: Option<SocketAddr>,
    /// What it gets.
    pub codec: Codec,
    /// Under which payload type.
    pub payload_type: u8,
    /// Send to where its packets come from (NAT), latched once like a call's.
    pub latch: Option<std::net::IpAddr>,
    /// RTCP comes and goes on the RTP port (RFC 5761).
    pub mux: bool,
    /// The leg is encrypted with these; `None`: plain.
    pub keys: Option<Box<SrtpKeys>>,
    /// It sends its keys as events (RFC 4733) under this payload type.
    pub telephone_event: Option<u8>,
}

/// What is tapped: one stream's two directions. What its party sends (uplink) and what it is sent (downlink), each gated
/// by the stream's `sends` and `receives`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// The agent's stream.
    pub agent: StreamId,
}

/// What a shard tells the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The shell bound a pair of sockets for the engine to give out.
    PortReady {
        /// The pair.
        port: Port,
        /// Address that peers send to.
        addr: SocketAddr,
        /// The same port's IPv6 address, where `addr` is IPv4 and the socket takes both.
        addr6: Option<SocketAddr>,
    },
    /// Every command up to [`Command::Done`] is carried out. `ok` is false if an `Open`, `Describe`, `Bridge` or
    /// `OpenListener` was refused (limit, unknown port).
    Done {
        /// Which.
        batch: BatchId,
        /// Whether all of them were.
        ok: bool,
    },
    /// First RTP packet of a stream.
    FirstPacket {
        /// The stream.
        stream: StreamId,
    },
    /// Neither of a bridged pair sent anything for the timeout.
    Dead {
        /// One of the two.
        stream: StreamId,
    },
    /// A party that should send sends nothing while the other does (once per occurrence).
    OneWay {
        /// The silent one.
        stream: StreamId,
    },
    /// First packet to the listener left.
    Live {
        /// The listener.
        listener: ListenerId,
    },
    /// Call audio that reached the listener so far: once a second while it grows, and at once when it passes 3 s.
    Heard {
        /// The listener.
        listener: ListenerId,
        /// Milliseconds with at least one real frame of call audio, unshielded.
        heard_ms: u64,
    },
    /// The listener sent no RTP and no RTCP for 60 s: ask it by OPTIONS. Repeated each 60 s.
    ListenerSilent {
        /// The listener.
        listener: ListenerId,
    },
    /// Figures of a stream at its end.
    Closed {
        /// The stream.
        stream: StreamId,
        /// Its figures.
        figures: Figures,
    },
    /// Figures of a listener at its end.
    ListenerClosed {
        /// The listener.
        listener: ListenerId,
        /// Milliseconds heard.
        heard_ms: u64,
        /// Packets that it sent and that were dropped.
        dropped: u64,
        /// How well it was served.
        quality: Quality,
    },
    /// Figures of live listeners, every 5 s while they change.
    ListenerProgress {
        /// Each one's.
        listeners: Vec<(ListenerId, Quality)>,
    },
    /// What is sent to a listener is lost on its way: three of its reports in a row said 5 % or more. Then again when one
    /// says less.
    ListenerLoss {
        /// The listener.
        listener: ListenerId,
        /// As its last report has it, 0 to 1.
        lost: f32,
        /// False: it is over.
        lasts: bool,
    },
    /// A listener pressed a key: `0`-`9`, `*`, `#`, `A`-`D`. Once a press.
    Key {
        /// The listener.
        listener: ListenerId,
        /// Which.
        key: char,
    },
    /// The same of a call leg's party.
    PartyKey {
        /// The leg.
        stream: StreamId,
        /// Which.
        key: char,
    },
    /// Ten times a second, of legs that are watched.
    Levels {
        /// Each leg's.
        levels: Vec<Levels>,
    },
    /// The answer to [`Command::OpenBrowser`] (SDP) or [`Command::RestartBrowser`] (fragment); or why there is none.
    BrowserAnswer {
        /// The listener.
        listener: ListenerId,
        /// What the browser is told. `Err`: in words; the listener is closed if it was to be opened.
        answer: Result<String, String>,
    },
    /// A browser's consent has expired, or it closed its side: nothing is sent any more. [`Command::CloseListener`] is
    /// still to come.
    BrowserGone {
        /// The listener.
        listener: ListenerId,
        /// It said so itself.
        closed: bool,
    },
    /// How late a shard's thread is: the longest that a packet or a tick waited within the last interval. Told when it
    /// passes a limit of admission either way.
    Load {
        /// Which, from 0.
        shard: usize,
        /// Its loop lag.
        lag: Duration,
    },
    /// Figures of live streams, every 5 s while they change (for views).
    Progress {
        /// Each stream's.
        streams: Vec<(StreamId, Figures)>,
    },
}

/// Reception figures of one stream (RFC 3550 §6.4.1 and A.8).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Packets received.
    pub packets: u64,
    /// Bytes of payload received.
    pub bytes: u64,
    /// Lost, by sequence numbers.
    pub lost: u64,
    /// Interarrival jitter.
    pub jitter_ms: f32,
    /// Last payload type seen.
    pub payload_type: Option<u8>,
    /// Refused by the source rule.
    pub foreign: u64,
    /// Refused as no RTP.
    pub malformed: u64,
}

/// How well a listener was served, from its answer on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// From its answer to the first packet.
    pub first_audio_ms: Option<u32>,
    /// Stretches in which a side that spoke was late or lost.
    pub gaps: u32,
    /// Packets of the call that were lost on the way here, both sides, while it listened.
    pub lost: u64,
    /// Audio that was made up for them.
    pub concealed_ms: u64,
    /// Interarrival jitter of the worse side (RFC 3550 A.8).
    pub jitter_ms: f32,
    /// Of what we sent, lost on the way to the listener: its last report's fraction, 0 to 1.
    pub remote_lost: Option<f32>,
    /// Jitter that it reported.
    pub remote_jitter_ms: Option<f32>,
    /// Round trip by its reports (RFC 3550 §6.4.1).
    pub round_trip_ms: Option<f32>,
}

/// How loud both directions of a leg were in the last tenth of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// The agent's leg.
    pub stream: StreamId,
    /// What its party sends.
    pub up: Level,
    /// What it is sent.
    pub down: Level,
}

/// One direction's loudness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Decibels below full scale as in RFC 6464: 0 is the loudest, 127 silence.
    pub below_full_db: u8,
    /// Somebody speaks, with hysteresis.
    pub speaks: bool,
}

/// Where a shard's output goes: the shell's sockets, or the simulator's network.
pub trait Sink {
    /// Sends one packet from a port's socket. The slice is only lent.
    fn send(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]);
    /// The same for a listener's packet, which may wait for the end of the turn: what parties get goes first.
    fn send_copy(&mut self, port: Port, kind: Kind, to: SocketAddr, data: &[u8]) {
        self.send(port, kind, to, data);
    }
    /// The only source that a socket accepts from now on; `None`: it is still learning, or hears several. The shell may
    /// connect the socket; the shard goes on checking sources itself.
    fn connect(&mut self, port: Port, kind: Kind, only: Option<SocketAddr>) {
        let _ = (port, kind, only);
    }
    /// Sends one packet to a browser, from the socket for browsers of shard `home`.
    fn send_browser(&mut self, home: usize, to: SocketAddr, data: &[u8]) {
        let _ = (home, to, data);
    }
    /// Tells the shard where a browser's leg is, or where it began: the router knows which.
    fn note(&mut self, note: Note) {
        let _ = note;
    }
    /// Tells the engine.
    fn event(&mut self, event: Event);
    /// The sockets of this port are no longer used: close them and quarantine the numbers.
    fn release(&mut self, port: Port);
}

/// Counted drops and work of a shard; monotonically growing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Counters {
    pub relayed_rtp: u64,
    pub relayed_rtcp: u64,
    pub rtp_malformed: u64,
    pub rtp_foreign: u64,
    pub rtp_unbridged: u64,
    pub rtcp_malformed: u64,
    pub rtcp_foreign: u64,
    pub rtcp_unbridged: u64,
    /// RTCP on the RTP port of a leg that does not multiplex.
    pub rtcp_on_rtp_port: u64,
    /// Of either kind, before the leg's first description.
    pub media_early: u64,
    /// No RTP and no RTCP by its first byte, on either socket (RFC 7983).
    pub media_stun: u64,
    pub media_dtls: u64,
    pub media_zrtp: u64,
    pub media_turn: u64,
    pub media_unknown: u64,
    /// Not sent: the other party described an address that is refused (our own ports, a group, the link).
    pub media_target_refused: u64,
    /// To an encrypted leg, from a source that is known, and not authentic.
    pub srtp_auth_failed: u64,
    /// The same, from a source that none of its packets has made known: plain packets, or another key.
    pub srtp_unknown: u64,
    /// Came before, or is too old to tell.
    pub srtp_replayed: u64,
    /// Too short for its tag, or SRTCP that is not encrypted.
    pub srtp_malformed: u64,
    /// A new source took another one's place.
    pub srtp_displaced: u64,
    /// Not sent to an encrypted leg: its index was used, or its key has served.
    pub srtp_unsent: u64,
    /// Connectivity checks of browsers: authentic ones, and others.
    pub browser_checks: u64,
    pub browser_checks_refused: u64,
    /// DTLS or RTCP from an address that no authentic check came from.
    pub browser_foreign: u64,
    /// Media from a browser, or from anybody on that port.
    pub browser_rtp_dropped: u64,
    pub browser_rtcp_received: u64,
    pub browser_unknown: u64,
    /// Let in and found wrong by the WebRTC stack (forged or broken DTLS).
    pub browser_malformed: u64,
    /// Too much at once for a leg that is on another shard, or for none.
    pub browser_unpassed: u64,
    /// Offers that got no answer: malformed, too many legs.
    pub browser_refused: u64,
    pub listener_rtp_dropped: u64,
    pub listener_rtcp_received: u64,
    pub listener_rtcp_dropped: u64,
    pub listener_packets_sent: u64,
    /// By encoders for listeners: once a kind (codec and mix) and tick, however many share it.
    pub frames_encoded: u64,
    pub frames_concealed: u64,
    pub frames_late: u64,
    pub ring_overflow: u64,
    pub tap_undecodable: u64,
    pub ticks_skipped: u64,
    pub unknown_port: u64,
    pub commands_refused: u64,
}

impl Counters {
    /// Everything that was neither RTP nor RTCP by its first byte.
    #[must_use]
    pub fn not_rtp(&self) -> u64 {
        self.media_stun + self.media_dtls + self.media_zrtp + self.media_turn + self.media_unknown
    }
}
