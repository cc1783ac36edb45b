//! The offer/answer session of one leg (RFC 3264): what its remote party said, what we told it, and what that means.

pub(crate) mod glare;
pub(crate) mod keys;
pub(crate) mod offer_answer;
pub(crate) mod streams;
pub(crate) mod update;

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::interface::{OtherStream, Session};
use crate::sdp::crypto::Protection;
use crate::sdp::{self, Direction, Family, MediaAddress, Payload, Place, Rewrite, Sdp};
use keys::{Secured, Shield};
use offer_answer::{Told, effective};
use streams::{Line, Slots};

/// The descriptions of one leg: those in force, and the offer that has no answer yet.
#[derive(Debug)]
pub(crate) struct Descriptions {
    /// Our RTP address on this leg; known from when the engine decided about it.
    media: Option<MediaAddress>,
    /// Those of other streams.
    slots: Slots,
    /// The family that the remote party's last description used; before that, the one of the flow to it.
    family: Family,
    session_id: u64,
    version: u64,
    /// Digest of what we wrote last: the version grows only when something changed (RFC 3264 §8).
    written: Option<[u8; 32]>,
    agreed: Option<Box<Kept>>,
    offer: Offer,
    shield: Shield,
}

/// The descriptions in force as a leg keeps them for the length of its call: what can be read out of the text again is.
struct Kept {
    /// What the remote party said, and nothing of the message that it came in.
    remote: Box<[u8]>,
    /// Which of its m-lines is the audio stream.
    audio_at: usize,
    told: Told,
}

/// Never with the text: keys stand in it.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("audio_at", &self.audio_at).field("told", &self.told).finish_non_exhaustive()
    }
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
    Local(Box<Told>),
    /// The remote party offered this.
    Remote(Box<Sdp>),
}

impl Descriptions {
    pub(crate) fn new(session_id: u64, family: Family, shield: Shield) -> Self {
        // RFC 8866 §5.2 wants numbers that 63 bits hold.
        Self {
            media: None,
            slots: Slots::default(),
            family,
            session_id: session_id >> 1,
            version: 1,
            written: None,
            agreed: None,
            offer: Offer::Stable,
            shield,
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
        self.as_shown(self.media?)
    }

    fn as_shown(&self, media: MediaAddress) -> Option<SocketAddr> {
        match self.remote_offer().and_then(Sdp::family) {
            Some(family) => media.of(family),
            None => media.preferring(self.family),
        }
    }

    /// The address of another stream as the remote party is shown it: in the same family.
    pub(crate) fn shown_at(&self, place: usize) -> Option<SocketAddr> {
        let family = Family::of(self.shown()?.ip());
        self.slots.at(place)?.of(family)
    }

    /// It can be the address of a stream of this leg: on the same shard, in the same family.
    pub(crate) fn may_have(&self, media: &MediaAddress) -> bool {
        let shown = self.shown().is_some_and(|shown| media.of(Family::of(shown.ip())).is_some());
        shown && self.media.is_some_and(|own| own.shard == media.shard)
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(crate) fn put_slot(&mut self, place: usize, media: MediaAddress) {
        self.slots.put(place, media);
    }

    /// The m-lines that the dialog has so far.
    pub(crate) fn lines(&self) -> &[Line] {
        self.told().map_or(&[], |told| &told.lines)
    }

    /// What is agreed, read anew.
    pub(crate) fn agreed(&self) -> Option<Agreed> {
        let kept = self.agreed.as_ref()?;
        let remote = Sdp::parse(&Bytes::copy_from_slice(&kept.remote)).ok()?.with_audio_at(kept.audio_at)?;
        Some(Agreed { remote, told: kept.told.clone(), secured: self.shield.in_force() })
    }

    /// Descriptions are agreed.
    pub(crate) fn is_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    /// What we said of what is agreed.
    pub(crate) fn told(&self) -> Option<&Told> {
        self.agreed.as_ref().map(|kept| &kept.told)
    }

    /// Both are in force.
    fn agree(&mut self, remote: &Sdp, told: Told) {
        let secured = self.shield.answered(remote);
        self.shield.agree(secured);
        let (audio_at, remote) = (remote.audio_at(), remote.bytes().as_ref().into());
        self.agreed = Some(Box::new(Kept { remote, audio_at, told }));
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

    /// Nothing plain goes beside its audio stream, by what is agreed or by this offer.
    pub(crate) fn is_closed(&self, offer: Option<&Sdp>) -> bool {
        self.shield.is_closed(offer)
    }

    /// An answer to our offer can be taken for what it says of encryption.
    pub(crate) fn reads(&self, answer: &Sdp) -> bool {
        self.shield.reads(answer)
    }

    /// The remote party offers.
    pub(crate) fn receive_offer(&mut self, offer: Sdp) {
        self.family = offer.family().unwrap_or(self.family);
        self.shield.drop_open();
        self.offer = Offer::Remote(Box::new(offer));
    }

    /// The open offer was refused: what was agreed stands.
    pub(crate) fn drop_offer(&mut self) {
        self.shield.drop_open();
        self.offer = Offer::Stable;
    }

    /// Writes another leg's description as ours, its m-lines so, and keeps that as our offer.
    pub(crate) fn offer_from(
        &mut self,
        source: &Sdp,
        direction: Direction,
        places: &[Place],
        told: Told,
    ) -> Option<Bytes> {
        let protection = self.shield.offer();
        let body = self.write(source, direction, None, Some(places), &protection)?;
        self.offer = Offer::Local(Box::new(told));
        Some(body)
    }

    /// An offer of our own making: events and comfort noise stand among the codecs.
    pub(crate) fn offer_codecs(&mut self, codecs: &[Payload], direction: Direction) -> Option<Bytes> {
        let media = self.shown()?;
        let payloads = codecs.iter().map(|codec| codec.pt).collect();
        let session_id = self.session_id;
        let protection = self.shield.offer();
        let body = self.versioned(|version| sdp::compose(media, session_id, version, codecs, direction, &protection));
        let audio = Line { media: "audio".into(), rest: String::new(), source: None, live: Some(direction) };
        self.offer = Offer::Local(Box::new(Told { direction, payloads, lines: vec![audio], audio_at: 0, from: None }));
        Some(body)
    }

    /// What is agreed, as an offer of our own: the audio stream alone.
    pub(crate) fn offer_again(&mut self) -> Option<Bytes> {
        let Agreed { remote, told, .. } = self.agreed()?;
        let only: Vec<u8> = remote.formats().iter().filter(|pt| told.payloads.contains(pt)).copied().collect();
        let only = Some(only.as_slice()).filter(|only| !only.is_empty());
        let protection = self.shield.offer();
        let body = self.write(&remote, told.direction, only, None, &protection)?;
        self.offer = Offer::Local(Box::new(Told::new(&remote, only, Line::of(&remote, told.direction), None)));
        Some(body)
    }

    /// Writes another leg's description as ours, in the answer to the remote party's offer: the direction is as given,
    /// which must be legal, and only these payload types are named.
    pub(crate) fn write_answer(
        &mut self,
        source: &Sdp,
        direction: Direction,
        only: &[u8],
        places: &[Place],
    ) -> Option<Bytes> {
        let Offer::Remote(offer) = &self.offer else { return None };
        let protection = self.shield.answer(offer);
        self.write(source, direction, Some(only), Some(places), &protection)
    }

    /// The remote party's offer answered by ourselves: its audio stream alone.
    pub(crate) fn answer_alone(&mut self, offer: &Sdp, direction: Direction, only: &[u8]) -> Option<Bytes> {
        let protection = self.shield.answer(offer);
        let body = self.write(offer, direction, Some(only), None, &protection)?;
        self.agree_as_answerer(Told::new(offer, Some(only), Line::of(offer, direction), None));
        Some(body)
    }

    /// The remote party's offer is answered with this: both are in force.
    pub(crate) fn agree_as_answerer(&mut self, told: Told) -> bool {
        match std::mem::take(&mut self.offer) {
            Offer::Remote(remote) => {
                self.agree(&remote, told);
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
                self.agree(&remote, *told);
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
        places: Option<&[Place]>,
        protection: &Protection,
    ) -> Option<Bytes> {
        let (media, session_id) = (self.shown()?, self.session_id);
        Some(self.versioned(|version| {
            source.rewrite(&Rewrite { media, session_id, version, direction, only, places, protection })
        }))
    }

    fn versioned(&mut self, write: impl Fn(u64) -> Bytes) -> Bytes {
        let digest = |body: &Bytes| Some(Sha256::digest(body).into());
        let mut body = write(self.version);
        let mut written = digest(&body);
        if self.written.is_some() && written != self.written {
            self.version = self.version.saturating_add(1);
            body = write(self.version);
            written = digest(&body);
        }
        self.written = written;
        body
    }
}

impl Descriptions {
    /// What media does on a leg whose party and we said this.
    pub(crate) fn session(&self, agreed: &Agreed, signalling: SocketAddr, nat: bool, early: bool) -> Session {
        Session { others: self.others(agreed), ..agreed.session(signalling, nat, early) }
    }

    /// Every stream that has an address, also one that was taken back.
    fn others(&self, agreed: &Agreed) -> Vec<OtherStream> {
        let other = |(place, media): (usize, MediaAddress)| {
            let ours =
                agreed.told.lines.get(place).filter(|_| place != agreed.told.audio_at).and_then(|line| line.live);
            let theirs = agreed.remote.streams().get(place).filter(|stream| stream.is_live());
            let theirs = theirs.and_then(|stream| stream.rtp.as_ref());
            let (Some(ours), Some(theirs)) = (ours, theirs) else { return OtherStream::unused(media) };
            let way = theirs.effective();
            OtherStream {
                media,
                rtp: theirs.rtp(),
                rtcp: theirs.rtcp(),
                sends: way.sends() && ours.receives(),
                receives: way.receives() && ours.sends(),
            }
        };
        self.slots.all().map(other).collect()
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

    /// Other streams that both have a port for: place, and whether the remote party sends and receives.
    pub(crate) fn live_others(&self) -> Vec<(usize, bool, bool)> {
        let live = |(place, line): (usize, &Line)| {
            let ours = line.live.filter(|_| place != self.told.audio_at)?;
            let theirs = self.remote.streams().get(place).filter(|stream| stream.is_live())?.rtp.as_ref()?.effective();
            Some((place, theirs.sends() && ours.receives(), theirs.receives() && ours.sends()))
        };
        self.told.lines.iter().enumerate().filter_map(live).collect()
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

    fn session(&self, signalling: SocketAddr, nat: bool, early: bool) -> Session {
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
            others: Vec::new(),
        }
    }
}
