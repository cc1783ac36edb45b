//! Offer and answer (RFC 3264) of one call, from the phone's side.

use std::net::SocketAddr;

use bytes::Bytes;
use signalling::sdp::{Direction, Sdp, SdpError};

use crate::g711::Codec;
use crate::interface::Suite;
use crate::srtp::{Lines, Vault};

/// What both sides described.
#[derive(Debug)]
pub struct Session {
    /// Our RTP address, once the shell has told it.
    pub(crate) local: Option<SocketAddr>,
    /// What this phone wants to do, whatever the other side says.
    pub(crate) wish: Direction,
    /// Direction that stood in our last description.
    pub(crate) shown: Direction,
    /// Hold in the old way: c=0.0.0.0.
    pub(crate) null_address: bool,
    pub(crate) codecs: Vec<Codec>,
    pub(crate) remote: Option<Sdp>,
    /// Last RTP address that the other side gave, kept while it holds with c=0.0.0.0.
    pub(crate) remote_rtp: Option<SocketAddr>,
    pub(crate) codec: Option<Codec>,
    /// It offers and takes a video stream, on a port so far above audio's ([`VIDEO_ABOVE`]).
    pub(crate) video: bool,
    /// m-lines behind the audio stream's: `video`, and what follows the port; and the other side's port.
    others: Vec<(String, String, u16)>,
    pub(crate) vault: Vault,
    session_id: u64,
    version: u64,
}

/// The phone's video port is so far above its audio port. What goes over it is the shell's.
pub(crate) const VIDEO_ABOVE: u16 = 800;

impl Session {
    pub(crate) fn new(codecs: Vec<Codec>, wish: Direction, session_id: u64, vault: Vault) -> Self {
        Self {
            local: None,
            wish,
            shown: wish,
            null_address: false,
            codecs,
            remote: None,
            remote_rtp: None,
            codec: None,
            video: false,
            others: Vec::new(),
            vault,
            session_id,
            version: 0,
        }
    }

    /// The codec that is sent.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// Our RTP address.
    #[must_use]
    pub fn local_rtp(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Where the other side wants RTP.
    #[must_use]
    pub fn remote_rtp(&self) -> Option<SocketAddr> {
        self.remote_rtp
    }

    /// The suite that media is encrypted with; `None`: it is plain.
    #[must_use]
    pub fn srtp(&self) -> Option<Suite> {
        self.vault.suite()
    }

    /// RTCP is on RTP's port.
    #[must_use]
    pub fn mux(&self) -> bool {
        self.vault.mux
    }

    /// Packets that were not authentic, or not new.
    #[must_use]
    pub fn undecryptable(&self) -> u64 {
        self.vault.undecryptable
    }

    /// Packets that came before the description that says how they are protected: they are not heard.
    #[must_use]
    pub fn before_keys(&self) -> u64 {
        self.vault.before_keys
    }

    /// How often other keys took the place of the first ones.
    #[must_use]
    pub fn rekeyed(&self) -> u64 {
        self.vault.rekeyed
    }

    /// A description was agreed on without encryption.
    #[must_use]
    pub fn was_plain(&self) -> bool {
        self.vault.was_plain
    }

    /// We may send by what was negotiated.
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.remote.as_ref().is_some_and(|r| r.direction().receives() && r.rtp().is_some())
            && self.shown.sends()
            && !self.null_address
    }

    /// Our video address and the other side's, where both have one.
    #[must_use]
    pub fn video(&self) -> Option<(SocketAddr, SocketAddr)> {
        let local = self.local.filter(|_| self.video)?;
        let port = self.others.iter().find(|(media, _, port)| media == "video" && *port > 0)?.2;
        let remote = self.remote_rtp?;
        Some((SocketAddr::new(local.ip(), local.port() + VIDEO_ABOVE), SocketAddr::new(remote.ip(), port)))
    }

    /// A new offer.
    pub(crate) fn offer(&mut self) -> Bytes {
        if self.video && self.others.is_empty() {
            self.others.push(("video".to_owned(), "RTP/AVP 96".to_owned(), 0));
        }
        // what was refused may be offered anew (RFC 3264 §8.2)
        let (video, offered) = (self.video, 9);
        self.others.iter_mut().for_each(|(media, _, port)| *port = if video && media == "video" { offered } else { 0 });
        self.shown = self.wish;
        let lines = self.vault.offer();
        self.compose(self.codecs.clone(), 101, &lines)
    }

    /// Takes an offer and gives the answer: what both want, with the codecs of the offer that we know.
    pub(crate) fn answer(&mut self, offer: &Bytes) -> Result<Bytes, SdpError> {
        let sdp = Sdp::parse(offer)?;
        self.common(&sdp)?;
        let (sdp, lines) = self.vault.answer(sdp)?;
        let common = self.accept(sdp)?;
        let theirs = self.remote.as_ref().map_or(Direction::SendRecv, Sdp::direction);
        let sends = theirs.receives() && self.wish.sends();
        let receives = theirs.sends() && self.wish.receives();
        self.shown = Direction::of(sends, receives);
        let event = self.remote.as_ref().and_then(Sdp::telephone_event).unwrap_or(101);
        Ok(self.compose(common, event, &lines))
    }

    /// Takes the other side's answer.
    pub(crate) fn take(&mut self, answer: &Bytes) -> Result<(), SdpError> {
        let sdp = Sdp::parse(answer)?;
        self.common(&sdp)?;
        self.vault.answered(&sdp)?;
        self.accept(sdp).map(|_| ())
    }

    /// The codecs that both know, in the other side's order.
    fn common(&self, sdp: &Sdp) -> Result<Vec<Codec>, SdpError> {
        let known = sdp.payloads().iter().filter_map(|p| Codec::of(p.pt));
        let common: Vec<Codec> = known.filter(|c| self.codecs.contains(c)).collect();
        if common.is_empty() { Err(SdpError::NotAcceptable("no codec in common")) } else { Ok(common) }
    }

    fn accept(&mut self, sdp: Sdp) -> Result<Vec<Codec>, SdpError> {
        let common = self.common(&sdp)?;
        self.others = others(sdp.bytes());
        self.codec = common.first().copied();
        if let Some(rtp) = sdp.rtp() {
            self.remote_rtp = Some(rtp);
        }
        self.remote = Some(sdp);
        Ok(common)
    }

    fn compose(&mut self, codecs: Vec<Codec>, event: u8, lines: &Lines) -> Bytes {
        self.version += 1;
        let local = self.local.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 9)));
        let family = if local.is_ipv4() { "IP4" } else { "IP6" };
        let shown = if self.null_address { "IP4 0.0.0.0".to_owned() } else { format!("{family} {}", local.ip()) };
        let mut text = format!(
            "v=0\r\no=- {} {} IN {family} {}\r\ns=-\r\nc=IN {shown}\r\nt=0 0\r\nm=audio {} {}",
            self.session_id,
            self.version,
            local.ip(),
            local.port(),
            lines.profile()
        );
        for codec in &codecs {
            text += &format!(" {}", codec.payload_type());
        }
        text += &format!(" {event}\r\n");
        for codec in &codecs {
            text += &format!("a=rtpmap:{} {}/8000\r\n", codec.payload_type(), codec.name());
        }
        text += &format!(
            "a=rtpmap:{event} telephone-event/8000\r\na=fmtp:{event} 0-15\r\na=ptime:20\r\na={}\r\n",
            word(self.shown)
        );
        text += &lines.attributes();
        for (media, rest, theirs) in &self.others {
            let takes = self.video && media == "video" && *theirs > 0 && rest.starts_with("RTP/AVP ");
            let port = if takes { local.port().saturating_add(VIDEO_ABOVE) } else { 0 };
            text += &format!("m={media} {port} {rest}\r\n");
        }
        Bytes::from(text)
    }
}

/// The m-lines behind the first.
fn others(body: &Bytes) -> Vec<(String, String, u16)> {
    let text = String::from_utf8_lossy(body).into_owned();
    let line = |line: &str| {
        let mut words = line.strip_prefix("m=")?.splitn(3, ' ');
        let (media, port, rest) = (words.next()?, words.next()?, words.next()?);
        Some((media.to_owned(), rest.to_owned(), port.parse().ok()?))
    };
    text.lines().filter_map(line).skip(1).collect()
}

fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}
