//! The offer/answer session of one leg (RFC 3264): what its remote party said, what we told it, and what that means.

pub(crate) mod glare;
pub(crate) mod keys;
pub(crate) mod offer_answer;
pub(crate) mod update;

use std::net::SocketAddr;

use bytes::Bytes;

use crate::interface::Session;
use crate::sdp::crypto::Protection;
use crate::sdp::{self, Direction, Payload, Rewrite, Sdp};
use keys::{Secured, Shield};
use offer_answer::{Told, effective};

/// The descriptions of one leg: those in force, and the offer that has no answer yet.
#[derive(Debug)]
pub(crate) struct Descriptions {
    /// Our RTP address on this leg; known from when the engine decided about it.
    media: Option<SocketAddr>,
    session_id: u64,
    version: u64,
    /// What we wrote last: the version grows only when something changed (RFC 3264 §8).
    written: Bytes,
    agreed: Option<Agreed>,
    offer: Offer,
    shield: Shield,
}

/// Both descriptions in force.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    /// What the remote party said.
    pub(crate) remote: Sdp,
    /// What we said.
    pub(crate) told: Told,
    /// What protects it.
    pub(crate) secured: Secured,
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
    pub(crate) fn new(session_id: u64, shield: Shield) -> Self {
        // RFC 8866 §5.2 wants numbers that 63 bits hold.
        Self {
            media: None,
            session_id: session_id >> 1,
            version: 1,
            written: Bytes::new(),
            agreed: None,
            offer: Offer::Stable,
            shield,
        }
    }

    pub(crate) fn set_media(&mut self, media: SocketAddr) {
        self.media = Some(media);
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

    /// No plain RTP on this leg, whatever its party's policy.
    pub(crate) fn require_encryption(&mut self, seed: [u8; 32]) {
        self.shield.require(seed);
    }

    /// Judges an offer of the remote party; what comes back is what is to be received.
    pub(crate) fn admit(&self, offer: Sdp) -> Result<Sdp, &'static str> {
        self.shield.admit(offer)
    }

    /// An answer to our offer can be taken for what it says of encryption.
    pub(crate) fn reads(&self, answer: &Sdp) -> bool {
        self.shield.reads(answer)
    }

    /// The remote party offers.
    pub(crate) fn receive_offer(&mut self, offer: Sdp) {
        self.shield.drop_open();
        self.offer = Offer::Remote(offer);
    }

    /// The open offer was refused: what was agreed stands.
    pub(crate) fn drop_offer(&mut self) {
        self.shield.drop_open();
        self.offer = Offer::Stable;
    }

    /// Writes another leg's description as ours and keeps it as our offer.
    pub(crate) fn offer_from(&mut self, source: &Sdp, direction: Direction) -> Option<Bytes> {
        let protection = self.shield.offer();
        let body = self.write(source, direction, None, &protection)?;
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
        let media = self.media?;
        let (session_id, codecs_told) =
            (self.session_id, codecs.iter().map(|codec| codec.pt).chain(telephone_event).collect());
        let protection = self.shield.offer();
        let body = self.versioned(|version| {
            sdp::compose(media, session_id, version, codecs, telephone_event, direction, &protection)
        });
        self.offer = Offer::Local(Told { direction, payloads: codecs_told });
        Some(body)
    }

    /// Writes another leg's description as ours, in the answer to the remote party's offer: the direction is as given,
    /// which must be legal, and only these payload types are named.
    pub(crate) fn write_answer(&mut self, source: &Sdp, direction: Direction, only: &[u8]) -> Option<(Bytes, Told)> {
        let Offer::Remote(offer) = &self.offer else { return None };
        let protection = self.shield.answer(offer);
        let body = self.write(source, direction, Some(only), &protection)?;
        Some((body, Told::of(source, Some(only), direction)))
    }

    /// The remote party's offer is answered with this: both are in force.
    pub(crate) fn agree_as_answerer(&mut self, told: Told) -> bool {
        match std::mem::take(&mut self.offer) {
            Offer::Remote(remote) => {
                let secured = self.shield.answered(&remote);
                self.shield.agree(&secured);
                self.agreed = Some(Agreed { remote, told, secured });
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
        match std::mem::take(&mut self.offer) {
            Offer::Local(told) => {
                let secured = self.shield.answered(&remote);
                self.shield.agree(&secured);
                self.agreed = Some(Agreed { remote, told, secured });
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
        Agreed { remote: remote.clone(), told: told.clone(), secured: self.shield.answered(remote) }
    }

    /// Our open offer.
    pub(crate) fn local_offer(&self) -> Option<&Told> {
        match &self.offer {
            Offer::Local(told) => Some(told),
            _ => None,
        }
    }

    fn write(
        &mut self,
        source: &Sdp,
        direction: Direction,
        only: Option<&[u8]>,
        protection: &Protection,
    ) -> Option<Bytes> {
        let (media, session_id) = (self.media?, self.session_id);
        Some(
            self.versioned(|version| {
                source.rewrite(&Rewrite { media, session_id, version, direction, only, protection })
            }),
        )
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
            // RFC 5761 §5.1.1: with multiplexing, whatever a=rtcp says
            rtcp: if self.secured.mux { self.remote.rtp() } else { self.remote.rtcp() },
            signalling,
            sends: self.sends(),
            receives: self.receives(),
            payloads: self.payloads(),
            telephone_event: self.telephone_event(),
            early,
            nat,
            mux: self.secured.mux,
            keys: self.secured.keys.clone(),
        }
    }
}
