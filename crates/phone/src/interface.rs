//! What goes in and out of a phone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use signalling::message::Message;
use signalling::sdp::Direction;
pub use signalling::sdp::crypto::Suite;

use crate::g711::Codec;
use crate::voice::Voice;

/// One call of a phone. Ids are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// Who a phone is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SIP user.
    pub user: String,
    /// Display name, or empty.
    pub display: String,
    /// Domain of its address of record.
    pub domain: String,
    /// Its own SIP address.
    pub local: SocketAddr,
    /// Where requests outside dialogs go.
    pub proxy: SocketAddr,
    /// Digest password.
    pub password: Option<String>,
    /// What it sounds like.
    pub voice: Voice,
    /// Codecs it offers and takes, best first.
    pub codecs: Vec<Codec>,
    /// Whether and how its media is encrypted.
    pub srtp: Srtp,
    /// T1 (RFC 3261 §17.1.1.1).
    pub t1: Duration,
    /// What it does by itself; can be changed at any time.
    pub habits: Habits,
}

impl Settings {
    /// A phone that rings 50 ms and answers, speaks µ-law first and says nothing.
    #[must_use]
    pub fn new(user: &str, domain: &str, local: SocketAddr, proxy: SocketAddr) -> Self {
        Self {
            user: user.into(),
            display: String::new(),
            domain: domain.into(),
            local,
            proxy,
            password: None,
            voice: Voice::Silent,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            srtp: Srtp::default(),
            t1: Duration::from_millis(500),
            habits: Habits::default(),
        }
    }
}

/// Encryption of a phone's media: SRTP with keys from the session descriptions (RFC 4568).
#[derive(Clone, Debug)]
pub struct Srtp {
    /// Whether it must be.
    pub policy: Policy,
    /// What it offers and takes, best first.
    pub suites: Vec<Suite>,
    /// It offers and takes RTCP on RTP's port (RFC 5761), encrypted or not.
    pub mux: bool,
}

impl Default for Srtp {
    /// No encryption, RTCP on a port of its own.
    fn default() -> Self {
        Self {
            policy: Policy::Off,
            suites: vec![Suite::AesCm128HmacSha1_80, Suite::AesCm128HmacSha1_32, Suite::AeadAes256Gcm],
            mux: false,
        }
    }
}

/// Whether media is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Never.
    Off,
    /// If the other side can: RTP/AVP with keys beside it (RFC 8643).
    Offer,
    /// Always: RTP/SAVP, and no call without keys.
    Require,
}

/// What a phone does by itself.
#[derive(Clone, Debug)]
pub struct Habits {
    /// With a call that comes in.
    pub on_call: OnCall,
    /// The direction in which it answers a new call.
    pub answer_direction: Direction,
    /// Rings with 183 and a session description instead of 180, and plays its voice already then.
    pub early_media: bool,
    /// Sends RTP whatever was negotiated (a held party whose phone keeps sending, a listener who talks).
    pub keep_sending: bool,
    /// Sends RTCP sender reports every 5 s.
    pub rtcp: bool,
    /// Refuses re-INVITEs and UPDATEs with this status.
    pub refuse_changes: Option<u16>,
    /// Says BYE by itself when a NOTIFY told that its transfer succeeded.
    pub bye_after_transfer: bool,
    /// Sounds of every other call of this phone are mixed into what each call is sent (local conference).
    pub conference: bool,
    /// Offers and takes a video stream in new calls, beside audio; the shell sends and hears it.
    pub video: bool,
    /// Answers requests inside dialogs at all (false: a phone that lost its power).
    pub alive: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            on_call: OnCall::Answer { after: Duration::from_millis(50) },
            answer_direction: Direction::SendRecv,
            early_media: false,
            keep_sending: false,
            rtcp: false,
            refuse_changes: None,
            bye_after_transfer: false,
            conference: false,
            video: false,
            alive: true,
        }
    }
}

/// What happens with a call that comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnCall {
    /// Rings and answers.
    Answer {
        /// So long after the INVITE.
        after: Duration,
    },
    /// Rings until somebody answers or rejects by hand.
    Ring,
    /// 100 and nothing more until somebody does something by hand.
    Wait,
    /// Refuses.
    Reject {
        /// With this status.
        status: u16,
    },
    /// 302 to this URI.
    Redirect {
        /// For the Contact.
        to: String,
    },
    /// Not even a 100.
    Ignore,
}

/// How a call is made.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Request-URI.
    pub uri: String,
    /// User part of From; `None`: its own.
    pub from_user: Option<String>,
    /// Display name of From.
    pub from_display: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// No offer in the INVITE; the answer goes out with the ACK (RFC 3264 §5, RFC 3261 §13.2.1).
    pub late_offer: bool,
    /// The dialog to be replaced (RFC 3891), as [`crate::Call::replaces`] gives it.
    pub replaces: Option<String>,
    /// Direction of the offer.
    pub direction: Direction,
}

impl Dial {
    /// A plain call.
    #[must_use]
    pub fn to(uri: &str) -> Self {
        Self {
            uri: uri.into(),
            from_user: None,
            from_display: String::new(),
            headers: Vec::new(),
            late_offer: false,
            replaces: None,
            direction: Direction::SendRecv,
        }
    }
    /// With this user in From.
    #[must_use]
    pub fn from(mut self, user: &str) -> Self {
        self.from_user = Some(user.into());
        self
    }
    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
    /// In place of another dialog.
    #[must_use]
    pub fn replacing(mut self, dialog: &str) -> Self {
        self.replaces = Some(dialog.into());
        self
    }
    /// Without an offer in the INVITE.
    #[must_use]
    pub fn late_offer(mut self) -> Self {
        self.late_offer = true;
        self
    }
}

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// We dialled; nothing but 100 came.
    Calling,
    /// We dialled; it rings there.
    Ringing,
    /// Somebody calls us.
    Incoming,
    /// Answered and acknowledged.
    Up,
    /// Over.
    Ended,
}

/// Which of a call's two media sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The even port.
    Rtp,
    /// The next.
    Rtcp,
}

/// What can happen to a phone.
#[derive(Debug)]
pub enum Input {
    /// A SIP datagram.
    Sip {
        /// Who sent it.
        from: SocketAddr,
        /// The whole datagram.
        data: Bytes,
    },
    /// A packet on a call's media sockets.
    Media {
        /// The call.
        call: CallId,
        /// Which socket.
        kind: Kind,
        /// Who sent it.
        from: SocketAddr,
        /// The whole packet.
        data: Bytes,
    },
    /// The shell made the sockets that [`Output::OpenMedia`] asked for.
    MediaOpened {
        /// The call.
        call: CallId,
        /// Address of the RTP socket; RTCP is on the next port.
        rtp: SocketAddr,
    },
    /// The wake-up time has come.
    Timeout,
}

/// What a phone wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this message.
    Sip {
        /// To whom.
        to: SocketAddr,
        /// One message.
        data: Bytes,
    },
    /// Send this packet from a call's media socket.
    Media {
        /// The call.
        call: CallId,
        /// Which socket.
        kind: Kind,
        /// To whom.
        to: SocketAddr,
        /// One packet.
        data: Bytes,
    },
    /// Make a pair of media sockets for the call, in place of the one that it has, if any.
    OpenMedia {
        /// The call.
        call: CallId,
    },
    /// The call is over: its sockets may go.
    CloseMedia {
        /// The call.
        call: CallId,
    },
    /// Something happened.
    Event(Event),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The registrar's final word.
    Registered {
        /// Its status.
        status: u16,
    },
    /// A call came in.
    Incoming {
        /// The call.
        call: CallId,
    },
    /// A call changed its state.
    Changed {
        /// The call.
        call: CallId,
        /// To this.
        state: State,
    },
    /// A NOTIFY told how a transfer goes.
    Transfer {
        /// The transferor's call.
        call: CallId,
        /// Status in the sipfrag.
        status: u16,
    },
}

/// One message that went or came, for looking at.
#[derive(Clone, Debug)]
pub struct Logged {
    /// When.
    pub at: Instant,
    /// It was sent by this phone.
    pub sent: bool,
    /// The message.
    pub message: Message,
}
