//! The offer/answer session of one leg (RFC 3264): what its remote party said, what we told it, and what that means.

pub(crate) mod glare;
pub(crate) mod offer_answer;
pub(crate) mod update;

use std::net::SocketAddr;

use bytes::Bytes;

use crate::interface::Session;
use crate::sdp::{self, Direction, Family, MediaAddress, Payload, Rewrite, Sdp};
use offer_answer::{Told, effective};

/// The descriptions of one leg: those in force, and the offer that has no answer yet.
#[derive(Debug)]
pub(crate) struct Descriptions {
    /// Our RTP address on this leg; known from when the engine decided about it.
    media: Option<MediaAddress>,
    /// The family that the remote party's last description used; before that, the one of the flow to it.
    family: Family,
    session_id: u64,
    version: u64,
    /// What we wrote last: the version grows only when something changed (RFC 3264 §8).
    written: Bytes,
    agreed: Option<Agreed>,
    offer: Offer,
}

/// Both descriptions in force.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    /// What the remote party said.
    pub(crate) remote: Sdp,
    /// What we said.
    pub(crate) told: Told,
}

/// RFC 3264's states.
#[derive(Clone, Debug, Default)]
pub(crate) enum Offer {
    /// Nothing is open.
    #[default]
    Stable,
    /// We offered this.
    Local(Told),
    /// The remote party offered this.
    Remote(Sdp),
}

impl Descriptions {
    pub(crate) fn new(session_id: u64, family: Family) -> Self {
        // RFC 8866 §5.2 wants numbers that 63 bits hold.
        Self {
            media: None,
            family,
            session_id: session_id >> 1,
            version: 1,
            written: Bytes::new(),
            agreed: None,
            offer: Offer::Stable,
        }
    }

    pub(crate) fn set_media(&mut self, media: MediaAddress) {
        self.media = Some(media);
    }

    /// We have an address that who wrote this can send to.
    pub(crate) fn serves(&self, remote: &Sdp) -> bool {
        let has = |family| self.media.is_none_or(|media| media.of(family).is_some());
        remote.family().is_none_or(has)
    }

    /// Our address as the remote party is shown it: in the family that it uses itself (RFC 6157).
    fn shown(&self) -> Option<SocketAddr> {
        let media = self.media?;
        match self.remote_offer().and_then(Sdp::family) {
            Some(family) => media.of(family),
            None => media.preferring(self.family),
        }
    }

    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    pub(crate) fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The remote party's open offer.
    pub(crate) fn remote_offer(&self) -> Option<&Sdp> {
        match &self.offer {
            Offer::Remote(sdp) => Some(sdp),
            _ => None,
        }
    }

    /// The remote party offers.
    pub(crate) fn receive_offer(&mut self, offer: Sdp) {
        self.family = offer.family().unwrap_or(self.family);
        self.offer = Offer::Remote(offer);
    }

    /// The open offer was refused: what was agreed stands.
    pub(crate) fn drop_offer(&mut self) {
        self.offer = Offer::Stable;
    }

    /// Writes another leg's description as ours and keeps it as our offer.
    pub(crate) fn offer_from(&mut self, source: &Sdp, direction: Direction) -> Option<Bytes> {
        let body = self.write(source, direction, None)?;
        self.offer = Offer::Local(Told::of(source, None, direction));
        Some(body)
    }

    /// An offer of our own making.
    pub(crate) fn offer_codecs(
        &mut self,
        codecs: &[Payload],
        telephone_event: Option<u8>,
        direction: Direction,
    ) -> Option<Bytes> {
        let media = self.shown()?;
        let (session_id, codecs_told) =
            (self.session_id, codecs.iter().map(|codec| codec.pt).chain(telephone_event).collect());
        let body =
            self.versioned(|version| sdp::compose(media, session_id, version, codecs, telephone_event, direction));
        self.offer = Offer::Local(Told { direction, payloads: codecs_told });
        Some(body)
    }

    /// Writes another leg's description as ours, in the answer to the remote party's offer: the direction is as given,
    /// which must be legal, and only these payload types are named.
    pub(crate) fn write_answer(&mut self, source: &Sdp, direction: Direction, only: &[u8]) -> Option<(Bytes, Told)> {
        let body = self.write(source, direction, Some(only))?;
        Some((body, Told::of(source, Some(only), direction)))
    }

    /// The remote party's offer is answered with this: both are in force.
    pub(crate) fn agree_as_answerer(&mut self, told: Told) -> bool {
        match std::mem::take(&mut self.offer) {
            Offer::Remote(remote) => {
                self.agreed = Some(Agreed { remote, told });
                true
            }
            other => {
                self.offer = other;
                false
            }
        }
    }

    /// Our offer was answered with this: both are in force.
    pub(crate) fn agree_as_offerer(&mut self, remote: Sdp) -> bool {
        self.family = remote.family().unwrap_or(self.family);
        match std::mem::take(&mut self.offer) {
            Offer::Local(told) => {
                self.agreed = Some(Agreed { remote, told });
                true
            }
            other => {
                self.offer = other;
                false
            }
        }
    }

    /// Early media: the session as it will be if this answer becomes the final one; the offer stays open.
    pub(crate) fn preview(&self, remote: &Sdp, told: &Told) -> Agreed {
        Agreed { remote: remote.clone(), told: told.clone() }
    }

    /// Our open offer.
    pub(crate) fn local_offer(&self) -> Option<&Told> {
        match &self.offer {
            Offer::Local(told) => Some(told),
            _ => None,
        }
    }

    fn write(&mut self, source: &Sdp, direction: Direction, only: Option<&[u8]>) -> Option<Bytes> {
        let (media, session_id) = (self.shown()?, self.session_id);
        Some(self.versioned(|version| source.rewrite(&Rewrite { media, session_id, version, direction, only })))
    }

    fn versioned(&mut self, write: impl Fn(u64) -> Bytes) -> Bytes {
        let mut body = write(self.version);
        if !self.written.is_empty() && body != self.written {
            self.version = self.version.saturating_add(1);
            body = write(self.version);
        }
        self.written = body.clone();
        body
    }
}

impl Agreed {
    /// The remote party sends, and we said that we receive.
    pub(crate) fn sends(&self) -> bool {
        effective(&self.remote).sends() && self.told.direction.receives()
    }

    /// The remote party receives, and we said that we send.
    pub(crate) fn receives(&self) -> bool {
        effective(&self.remote).receives() && self.told.direction.sends()
    }

    /// Payload types that both named, best first as the remote party has them.
    pub(crate) fn payloads(&self) -> Vec<Payload> {
        let both: Vec<Payload> =
            self.remote.payloads().iter().filter(|payload| self.told.payloads.contains(&payload.pt)).cloned().collect();
        // The same codec under different numbers each way: the remote party's own are what it reads.
        if both.is_empty() { self.remote.payloads().to_vec() } else { both }
    }

    /// telephone-event, where both have it.
    pub(crate) fn telephone_event(&self) -> Option<u8> {
        self.remote.telephone_event().filter(|pt| self.told.payloads.contains(pt))
    }

    /// For the engine.
    pub(crate) fn session(&self, signalling: SocketAddr, nat: bool, early: bool) -> Session {
        Session {
            rtp: self.remote.rtp(),
            rtcp: self.remote.rtcp(),
            signalling,
            sends: self.sends(),
            receives: self.receives(),
            payloads: self.payloads(),
            telephone_event: self.telephone_event(),
            early,
            nat,
        }
    }
}
