//! Session descriptions (RFC 8866): what a B2BUA must know of them, and rewriting of c= and m= (RFC 3264).

use std::net::SocketAddr;

use bytes::Bytes;

/// A payload type and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payload {
    /// 0–127.
    pub pt: u8,
    /// Encoding name as written (`PCMU`), from rtpmap or the static table of RFC 3551.
    pub name: String,
    /// Clock rate in Hz.
    pub clock: u32,
    /// Channels.
    pub channels: u8,
    /// fmtp parameters, or empty.
    pub fmtp: String,
}

/// Media direction (RFC 8866 §6.7), from the view of whoever wrote the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
    /// The writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
    /// From what the writer does.
    pub fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
    /// The same session seen by the other party.
    pub fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }
}

/// Why a description is refused: 400 for broken ones, 488 for ones we cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdpError {
    /// Broken grammar: 400 with this phrase.
    Malformed(&'static str),
    /// No audio stream over RTP/AVP (or AVPF) with a port: 488.
    NotAcceptable(&'static str),
}

/// A parsed description: text, and the parts of its one relayed audio stream (the first audio m-line with a port
/// other than 0, else the first audio m-line).
#[derive(Clone, Debug)]
pub struct Sdp {
    text: Bytes,
}

impl Sdp {
    /// Parses a body of type application/sdp. CRLF, LF and CR are line ends.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn parse(text: &Bytes) -> Result<Self, SdpError> {
        let _ = text;
        todo!()
    }
    /// The body as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.text
    }
    /// RTP address of the audio stream; `None` for port 0, for 0.0.0.0 and for a host name.
    pub fn rtp(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// RTCP address: a=rtcp (RFC 3605), else port + 1.
    pub fn rtcp(&self) -> Option<SocketAddr> {
        todo!()
    }
    /// c= is 0.0.0.0 (or ::): the old way of hold.
    pub fn null_address(&self) -> bool {
        todo!()
    }
    /// The audio stream was refused (port 0).
    pub fn rejected(&self) -> bool {
        todo!()
    }
    /// Direction as written, session level inherited.
    pub fn direction(&self) -> Direction {
        todo!()
    }
    /// Payload types in order of the m-line, telephone-event left out.
    pub fn payloads(&self) -> &[Payload] {
        todo!()
    }
    /// Payload type of telephone-event.
    pub fn telephone_event(&self) -> Option<u8> {
        todo!()
    }
    /// The same description for the other leg: our address in o=, c= and m=, a=rtcp set right, other m-lines refused
    /// (port 0), ICE, DTLS, crypto and rtcp-mux attributes taken out, direction set, everything else byte-identical.
    pub fn rewrite(&self, to: &Rewrite<'_>) -> Bytes {
        let _ = to;
        todo!()
    }
}

/// What [`Sdp::rewrite`] puts in place.
#[derive(Clone, Debug)]
pub struct Rewrite<'a> {
    /// Our RTP address on the leg that gets the description.
    pub media: SocketAddr,
    /// o= session id of that leg, constant through its dialog.
    pub session_id: u64,
    /// o= version of that leg; grows by one with every change.
    pub version: u64,
    /// The direction to show.
    pub direction: Direction,
    /// Only these payload types (an answer's restriction to what was offered); `None`: all.
    pub only: Option<&'a [u8]>,
}

/// A description of our own with one audio stream (the listener's offer, an answer for Replaces).
pub fn compose(_media: SocketAddr, _session_id: u64, _version: u64, _payloads: &[Payload], _telephone_event: Option<u8>, _direction: Direction) -> Bytes {
    todo!()
}
