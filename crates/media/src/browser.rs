//! A listener in a browser: ICE-lite, DTLS-SRTP, one or two lines of audio, towards the browser alone.
//!
//! Read this first. All browsers of a shard come to one UDP port. Its `Door` finds out whose a datagram is and lets
//! through what it must: connectivity checks that are authentic, and DTLS and RTCP from an address that such a check came
//! from. Media is let through from nobody: the WebRTC stack never sees any, so a browser cannot be heard, by construction.
//! A `Stream` is what a listener's leg sends by: it negotiates (`offer`, `answer`), keeps the time of its tracks and of
//! its consent, and drives a `Peer`, behind which stands the WebRTC stack (`rtc`).
//!
//! A leg goes with the call that it hears, its port does not. The shard where a leg began has its entry at the door for
//! as long as it lives, hands what comes for it to the shard where it is ([`Note::Datagram`]), and what it sends leaves by
//! that shard's socket ([`crate::Sink::send_browser`]).

mod answer;
mod deadlines;
mod door;
mod leg;
mod offer;
mod rtc;
mod stream;
mod stun;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use self::offer::Offer;
use crate::interface::ListenerId;

pub(crate) use self::deadlines::Deadlines;
pub(crate) use self::door::{Admitted, Door};
pub(crate) use self::leg::BrowserLeg;
pub(crate) use self::offer::{Credentials, Format};
pub(crate) use self::rtc::{Certificate, Rtc};
pub(crate) use self::stream::{News, Stream};

/// Listeners in browsers on a shard at most, by default.
pub const MAX_BROWSERS: usize = 500;

/// Where browsers reach a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browsers {
    /// Which shard this is: its legs are told by it.
    pub home: usize,
    /// The candidates that answers name: addresses of the shard's UDP port for browsers. Empty: none can listen.
    pub candidates: Vec<SocketAddr>,
    /// Legs that begin here, at most.
    pub max_legs: usize,
}

impl Default for Browsers {
    fn default() -> Self {
        Self { home: 0, candidates: Vec::new(), max_legs: MAX_BROWSERS }
    }
}

/// What shards tell each other of a browser's leg that is not where it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// To where the leg is: this came for it, and may come in.
    Datagram {
        /// Whose.
        listener: ListenerId,
        /// From where.
        source: SocketAddr,
        /// As it came.
        data: Vec<u8>,
    },
    /// To where the leg began: these are its credentials now.
    Renamed {
        /// Whose.
        listener: ListenerId,
        /// ICE user fragment.
        fragment: String,
        /// ICE password.
        password: Secret,
    },
    /// To where the leg began: it is over.
    Left {
        /// Which.
        listener: ListenerId,
    },
}

/// Not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("***")
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooLong,
    TooManyLines,
    TooManyLegs,
    NoOffer,
    NothingToHear,
    NoCredentials,
    NoFingerprint,
    WantsToBeAsked,
    IceLite,
    Changed,
    NoAddress,
    Ended,
    Stack,
}

impl Refusal {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::TooLong => "the description is too long",
            Self::TooManyLines => "the offer has too many m-lines",
            Self::TooManyLegs => "too many browsers listen already",
            Self::NoOffer => "this is no SDP offer",
            Self::NothingToHear => "the offer has no line of audio that it receives as Opus or PCMU over DTLS-SRTP",
            Self::NoCredentials => "ICE user fragment or password is missing or malformed",
            Self::NoFingerprint => "the offer has no SHA-256 fingerprint",
            Self::WantsToBeAsked => "the offer must let the browser begin DTLS (a=setup:actpass)",
            Self::IceLite => "both ends are ICE-lite",
            Self::Changed => "an offer for a leg that there is may change its ICE credentials alone",
            Self::NoAddress => "no address for browsers is configured",
            Self::Ended => "the leg has ended",
            Self::Stack => "the offer was not understood",
        }
    }
}

/// What a leg needs of a WebRTC stack, which never gets to see media from the browser.
pub(crate) trait Peer: Send + std::fmt::Debug {
    /// Takes an offer, the first or one with other credentials, and answers.
    fn accept(&mut self, now: Instant, offer: &Offer) -> Result<String, Refusal>;
    /// Something came for it. `at`: by which of our candidates. False: it was not what it looked like.
    fn receive(&mut self, now: Instant, source: SocketAddr, at: SocketAddr, data: &[u8]) -> bool;
    /// Queues a packet of a track; [`Peer::wake`] sends it.
    fn write(&mut self, track: usize, packet: Packet);
    /// Time passes.
    fn wake(&mut self, now: Instant);
    /// Says goodbye.
    fn close(&mut self);
    /// What comes of it all, until [`Happening::Until`].
    fn next(&mut self) -> Happening;
}

/// An RTP packet for a browser. Its payload is shared with other listeners.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) payload_type: u8,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Arc<[u8]>,
}

/// What a WebRTC stack wants.
#[derive(Debug)]
pub(crate) enum Happening {
    /// This is to be sent there.
    Send(SocketAddr, Vec<u8>),
    /// ICE and DTLS are done.
    Connected,
    /// The browser closed its side.
    Closed,
    /// It cannot go on.
    Failed,
    /// What the browser reports of a track: fraction lost, jitter in units of its clock, round trip in milliseconds.
    Report(usize, Report),
    /// Nothing more until then.
    Until(Instant),
}

/// A receiver report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) lost: Option<f32>,
    pub(crate) jitter: Option<u32>,
    pub(crate) round_trip_ms: Option<f32>,
}
