//! Session descriptions (RFC 8866): what a B2BUA must know of them, and rewriting of c= and m= (RFC 3264).

mod address;
mod compose;
mod parse;
mod rewrite;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

pub use address::{Family, MediaAddress};
pub use compose::compose;

/// Bytes of a description; above it is Malformed.
pub const BYTES_MAX: usize = 32_768;
/// Lines of a description; above it is Malformed.
pub const LINES_MAX: usize = 1_024;
/// m-lines of a description; above it is Malformed.
pub const STREAMS_MAX: usize = 32;
/// Formats of an m-line; above it is Malformed.
pub const PAYLOADS_MAX: usize = 128;

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
    /// As an attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
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
    lines: Vec<Line>,
    audio: Audio,
}

/// One line's place: `text[from..end]` is `x=value`, `text[end..next]` its line end.
#[derive(Clone, Copy, Debug)]
struct Line {
    from: u32,
    end: u32,
    next: u32,
    kind: u8,
    /// 0 for the session, then the number of m-lines up to here.
    section: u16,
}

/// What is known of the audio stream.
#[derive(Clone, Debug)]
struct Audio {
    section: u16,
    port: u16,
    /// `None` for a host name, or without any c= (only where the port is 0).
    address: Option<IpAddr>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    direction: Direction,
    payloads: Vec<Payload>,
    telephone_event: Option<u8>,
}

impl Sdp {
    /// Parses a body of type application/sdp. CRLF, LF and CR are line ends.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn parse(text: &Bytes) -> Result<Self, SdpError> {
        parse::parse(text)
    }
    /// The body as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.text
    }
    /// RTP address of the audio stream; `None` for port 0, for 0.0.0.0 and for a host name.
    pub fn rtp(&self) -> Option<SocketAddr> {
        let address = self.audio.address.filter(|address| !address.is_unspecified())?;
        (self.audio.port > 0).then(|| SocketAddr::new(address, self.audio.port))
    }
    /// RTCP address: a=rtcp (RFC 3605), else port + 1.
    pub fn rtcp(&self) -> Option<SocketAddr> {
        let rtp = self.rtp()?;
        match self.audio.rtcp {
            Some((port, address)) => {
                let address = address.unwrap_or(rtp.ip());
                (port > 0 && !address.is_unspecified()).then(|| SocketAddr::new(address, port))
            }
            None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }
    /// c= is 0.0.0.0 (or ::): the old way of hold.
    pub fn null_address(&self) -> bool {
        self.audio.address.is_some_and(|address| address.is_unspecified())
    }
    /// The family of the audio stream's address; `None` for 0.0.0.0, a host name and port 0.
    pub fn family(&self) -> Option<Family> {
        self.rtp().map(|rtp| Family::of(rtp.ip()))
    }
    /// The audio stream was refused (port 0).
    pub fn rejected(&self) -> bool {
        self.audio.port == 0
    }
    /// Direction as written, session level inherited.
    pub fn direction(&self) -> Direction {
        self.audio.direction
    }
    /// Payload types in order of the m-line, telephone-event left out, and dynamic ones without an rtpmap too.
    pub fn payloads(&self) -> &[Payload] {
        &self.audio.payloads
    }
    /// Payload type of telephone-event.
    pub fn telephone_event(&self) -> Option<u8> {
        self.audio.telephone_event
    }
    /// The same description for the other leg: our address in o=, c= and m=, a=rtcp set right, other m-lines refused
    /// (port 0), ICE, DTLS, crypto and rtcp-mux attributes taken out, direction set, everything else byte-identical.
    pub fn rewrite(&self, to: &Rewrite<'_>) -> Bytes {
        rewrite::rewrite(self, to)
    }

    fn line(&self, line: &Line) -> &[u8] {
        self.text.get(line.from as usize..line.end as usize).unwrap_or_default()
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
