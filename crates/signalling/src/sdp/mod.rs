//! Session descriptions (RFC 8866): what a B2BUA must know of them, and rewriting of c= and m= (RFC 3264).

mod address;
mod base64;
mod compose;
pub mod crypto;
mod parse;
mod rewrite;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

pub use address::{Family, MediaAddress};
use crypto::{Crypto, Protection};

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
#[derive(Clone)]
pub struct Sdp {
    text: Bytes,
    lines: Vec<Line>,
    audio: Audio,
    /// Every m-line in order, that of `audio` included.
    streams: Vec<Stream>,
}

/// One m-line.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// `audio`, `video`, `text` and the like, in lower case.
    pub(crate) media: String,
    /// What follows the port: `RTP/AVP 96 97`.
    pub(crate) rest: String,
    /// What it describes, where it is RTP or SRTP to one host; anything else can only be refused.
    pub(crate) rtp: Option<Audio>,
}

impl Stream {
    /// It has a port.
    pub(crate) fn has_port(&self) -> bool {
        self.rtp.as_ref().is_some_and(|rtp| rtp.port > 0)
    }

    /// It can be relayed beside the audio stream, and has a port: what is encrypted would need keys of its own.
    pub(crate) fn is_live(&self) -> bool {
        self.has_port() && self.rtp.as_ref().is_some_and(|rtp| !rtp.profile.secure)
    }
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

/// What is known of an RTP stream.
#[derive(Clone, Debug)]
pub(crate) struct Audio {
    section: u16,
    port: u16,
    /// `None` for a host name, or without any c= (only where the port is 0).
    address: Option<IpAddr>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    direction: Direction,
    /// Every payload type of the m-line.
    formats: Vec<u8>,
    payloads: Vec<Payload>,
    /// Those that are RFC 4733 events, and which of them goes with the voice.
    events: Vec<u8>,
    telephone_event: Option<u8>,
    profile: Profile,
    /// Usable `a=crypto` lines, in their order.
    crypto: Vec<Crypto>,
    /// There is an `a=crypto` line, usable or not.
    names_crypto: bool,
    mux: bool,
}

/// How RTP goes (RFC 3551, 3711, 4585, 5124).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Profile {
    secure: bool,
    feedback: bool,
}

/// Never with its text: keys stand in it.
impl fmt::Debug for Sdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sdp").field("audio", &self.audio).finish_non_exhaustive()
    }
}

impl Audio {
    pub(crate) fn rtp(&self) -> Option<SocketAddr> {
        let address = self.address.filter(|address| !address.is_unspecified())?;
        (self.port > 0).then(|| SocketAddr::new(address, self.port))
    }

    pub(crate) fn rtcp(&self) -> Option<SocketAddr> {
        let rtp = self.rtp()?;
        match self.rtcp {
            Some((port, address)) => {
                let address = address.unwrap_or(rtp.ip());
                (port > 0 && !address.is_unspecified()).then(|| SocketAddr::new(address, port))
            }
            None => Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)),
        }
    }

    /// The direction that it comes to: one who names no address receives nothing (the old way of hold, RFC 3264 §8.4).
    pub(crate) fn effective(&self) -> Direction {
        let null_address = self.address.is_some_and(|address| address.is_unspecified());
        Direction::of(self.direction.sends(), self.direction.receives() && !null_address)
    }
}

impl Sdp {
    /// Parses a body of type application/sdp. CRLF, LF and CR are line ends.
    ///
    /// # Errors
    /// [`SdpError`].
    pub fn parse(text: &Bytes) -> Result<Self, SdpError> {
        parse::parse(text, None)
    }
    /// The same body with the audio stream chosen among those over SRTP, or among those over plain RTP; `None`: there is
    /// no such stream with a port.
    pub fn with_profile(&self, secure: bool) -> Option<Self> {
        parse::parse(&self.text, Some(secure)).ok().filter(|sdp| !sdp.rejected())
    }
    /// The body as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.text
    }
    /// RTP address of the audio stream; `None` for port 0, for 0.0.0.0 and for a host name.
    pub fn rtp(&self) -> Option<SocketAddr> {
        self.audio.rtp()
    }
    /// RTCP address: a=rtcp (RFC 3605), else port + 1.
    pub fn rtcp(&self) -> Option<SocketAddr> {
        self.audio.rtcp()
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
    /// Every payload type of the audio stream's m-line, in its order: also those that nobody says the meaning of.
    pub fn formats(&self) -> &[u8] {
        &self.audio.formats
    }
    /// Payload type of telephone-event.
    pub fn telephone_event(&self) -> Option<u8> {
        self.audio.telephone_event
    }
    /// The audio stream's profile is RTP/SAVP or RTP/SAVPF.
    pub fn secure(&self) -> bool {
        self.audio.profile.secure
    }
    /// The audio stream's profile is one with feedback.
    pub fn feedback(&self) -> bool {
        self.audio.profile.feedback
    }
    /// The audio stream's keys that can be used, best first as the writer has them.
    pub fn crypto(&self) -> &[Crypto] {
        &self.audio.crypto
    }
    /// The audio stream has an a=crypto line, which may be of no use.
    pub fn names_crypto(&self) -> bool {
        self.audio.names_crypto
    }
    /// RTCP on RTP's port is offered or accepted (RFC 5761; RFC 8858 where nothing else is).
    pub fn mux(&self) -> bool {
        self.audio.mux
    }
    /// The same description for the other leg: our address in o=, c= and m=, a=rtcp set right, other m-lines relayed or
    /// refused (port 0), ICE, DTLS, crypto and rtcp-mux attributes taken out and ours put in, direction set, everything else
    /// byte-identical.
    pub fn rewrite(&self, to: &Rewrite<'_>) -> Bytes {
        rewrite::rewrite(self, to)
    }

    /// The payload type stands for RFC 4733 events.
    pub(crate) fn is_event(&self, pt: u8) -> bool {
        self.audio.events.contains(&pt)
    }
    /// The direction that the audio stream comes to.
    pub(crate) fn effective(&self) -> Direction {
        self.audio.effective()
    }
    /// Every m-line in order.
    pub(crate) fn streams(&self) -> &[Stream] {
        &self.streams
    }
    /// Which of them is the audio stream.
    pub(crate) fn audio_at(&self) -> usize {
        usize::from(self.audio.section).saturating_sub(1)
    }
    /// The same with the audio stream at this place; `None` where no RTP is there.
    pub(crate) fn with_audio_at(mut self, place: usize) -> Option<Self> {
        self.audio = self.streams.get(place)?.rtp.clone()?;
        Some(self)
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
    /// Encryption and multiplexing on the leg that gets the description.
    pub protection: &'a Protection,
    /// The m-lines in order; `None`: as the source has them, every one but the audio stream's refused.
    pub places: Option<&'a [Place]>,
}

/// What stands at one place of a description that [`Sdp::rewrite`] writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The source's m-line of this place: the audio stream as [`Rewrite`] says, any other one refused.
    Kept(usize),
    /// The source's m-line of this place, by an address of its own.
    Relayed {
        /// Place in the source.
        source: usize,
        /// Our RTP address for it on the leg that gets the description.
        media: SocketAddr,
        /// The direction to show.
        direction: Direction,
    },
    /// An m-line that the source lacks and the leg has: refused.
    Missing {
        /// `video`.
        media: String,
        /// `RTP/AVP 96`.
        rest: String,
    },
}
