//! One leg's description shown on another: the audio stream, and the other streams that both have an address for.

use bytes::Bytes;

use super::Ua;
use crate::interface::{Event, LegId, OTHER_STREAMS_MAX};
use crate::leg::Leg;
use crate::message::Message;
use crate::sdp::{Direction, MediaAddress, Place, Sdp, Stream};
use crate::session::offer_answer::{Told, common, effective, legal_answer};
use crate::session::streams::{Line, places};

/// What of a leg is offered to another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// What its party offers now.
    Offer(&'a Sdp),
    /// What is agreed with it.
    Agreed,
    /// The same with every stream both ways: whoever held is a thing of the past.
    Opened,
}

impl Ua {
    /// Writes what `from` says as our offer on `to`, and keeps it as that.
    pub(crate) fn offer_on(&mut self, to: LegId, from: LegId, source: Source<'_>) -> Option<Bytes> {
        let mut leg = self.legs.remove(&to)?;
        let body = self.offer_to(&mut leg, from, source);
        self.legs.insert(to, leg);
        body
    }

    /// The same for a leg that is not in the table yet.
    pub(crate) fn offer_to(&mut self, to: &mut Leg, from: LegId, source: Source<'_>) -> Option<Bytes> {
        let mut from = self.legs.remove(&from)?;
        let body = self.write_offer(to, &mut from, source);
        self.legs.insert(from.id, from);
        body
    }

    fn write_offer(&mut self, to: &mut Leg, from: &mut Leg, source: Source<'_>) -> Option<Bytes> {
        let agreed = from.descriptions.agreed();
        let (sdp, agreed) = match source {
            Source::Offer(sdp) => (sdp.clone(), None),
            Source::Agreed | Source::Opened => agreed.map(|agreed| (agreed.remote, Some(agreed.told)))?,
        };
        let way = |direction| if matches!(source, Source::Opened) { Direction::SendRecv } else { direction };
        // Refused to its party once, it is not offered to another.
        let stands =
            |of: usize| agreed.as_ref().is_none_or(|told| told.lines.get(of).is_some_and(|l| l.live.is_some()));
        let offered = Some(&sdp).filter(|_| matches!(source, Source::Offer(_)));
        let is_open = !from.descriptions.is_closed(offered) && !to.descriptions.is_closed(None);
        let order = places(to.descriptions.lines(), sdp.streams());
        let (mut shown, mut lines, mut relayed) = (Vec::new(), Vec::with_capacity(order.len()), 0);
        for (place, of) in order.into_iter().enumerate() {
            let Some((of, stream)) = of.and_then(|of| Some((of, sdp.streams().get(of)?))) else {
                let line = to.descriptions.lines().get(place)?.clone();
                shown.push(Place::Missing { media: line.media.clone(), rest: line.rest.clone() });
                lines.push(Line { source: None, live: None, ..line });
                continue;
            };
            let mut line = Line::refused(stream, Some(of));
            let media = if of == sdp.audio_at() || !stream.is_live() || !stands(of) {
                None
            } else if is_open && relayed < OTHER_STREAMS_MAX && self.slot(from, of) && self.slot(to, place) {
                to.descriptions.shown_at(place)
            } else {
                self.count("other_streams_refused");
                None
            };
            if of == sdp.audio_at() {
                line.live = (!sdp.rejected()).then(|| way(effective(&sdp)));
            } else if media.is_some() {
                line.live = Some(way(direction_of(stream)));
                relayed += 1;
            }
            shown.push(match (media, line.live) {
                (Some(media), Some(direction)) => Place::Relayed { source: of, media, direction },
                _ => Place::Kept(of),
            });
            lines.push(line);
        }
        to.descriptions.offer_from(&sdp, way(effective(&sdp)), &shown, Told::new(&sdp, None, lines, Some(from.id)))
    }

    /// A stream of a leg has an address of its own; it gets one if there is one to spare.
    fn slot(&mut self, leg: &mut Leg, place: usize) -> bool {
        if leg.descriptions.shown_at(place).is_some() {
            return true;
        }
        if !leg.descriptions.slots().has_room(place) || leg.descriptions.slots().at(place).is_some() {
            return false;
        }
        let fits = |media: &MediaAddress| leg.descriptions.may_have(media);
        let Some(at) = self.spare_media.iter().position(fits) else { return false };
        let media = self.spare_media.swap_remove(at);
        leg.descriptions.put_slot(place, media);
        self.emit(Event::MediaTaken { leg: leg.id, media });
        true
    }

    /// The description that a leg's party sent, where we have an address that it can send to. The audio stream of an
    /// answer is the one that was offered as such, whatever else was accepted.
    pub(crate) fn answer_of(&self, id: LegId, message: &Message) -> Option<Sdp> {
        let answer = crate::admission::session_body(message).ok().flatten()?;
        let leg = self.leg(id)?;
        let place = leg.descriptions.local_offer().map(|told| told.audio_at);
        let is_audio = |place: &usize| answer.streams().get(*place).is_some_and(|stream| stream.media == "audio");
        let answer = match place.filter(is_audio) {
            Some(place) => answer.with_audio_at(place)?,
            None => answer,
        };
        Some(answer).filter(|answer| leg.descriptions.serves(answer))
    }

    /// What `from` answered written as the answer to the open offer of `to`, made legal: each of its m-lines at its place.
    pub(crate) fn write_answer_for(&mut self, to: LegId, from: LegId, answer: &Sdp) -> Option<(Bytes, Told)> {
        let offered = self.leg(from)?.descriptions.local_offer()?.lines.clone();
        let leg = self.leg_mut(to)?;
        let offer = leg.descriptions.remote_offer()?.clone();
        let only = common(answer, &offer)?;
        let direction = legal_answer(effective(answer), effective(&offer));
        let (mut shown, mut lines) = (Vec::new(), Vec::with_capacity(offer.streams().len()));
        for (place, stream) in offer.streams().iter().enumerate() {
            let (kept, line) = if place == offer.audio_at() {
                let line = Line { live: Some(direction), ..Line::refused(stream, Some(answer.audio_at())) };
                (Place::Kept(answer.audio_at()), line)
            } else {
                let at = offered.iter().position(|line| line.source == Some(place));
                let theirs =
                    at.filter(|at| *at != answer.audio_at()).and_then(|at| Some((at, answer.streams().get(at)?)));
                let live = at.is_some_and(|at| offered.get(at).is_some_and(|line| line.live.is_some()));
                let media = leg.descriptions.shown_at(place).filter(|_| live);
                match (theirs, media) {
                    (Some((at, theirs)), Some(media)) if theirs.is_live() => {
                        let direction = legal_answer(direction_of(theirs), direction_of(stream));
                        let line = Line { live: Some(direction), ..Line::refused(stream, Some(at)) };
                        (Place::Relayed { source: at, media, direction }, line)
                    }
                    (Some((at, _)), _) => (Place::Kept(at), Line::refused(stream, Some(at))),
                    (None, _) => {
                        let missing = Place::Missing { media: stream.media.clone(), rest: stream.rest.clone() };
                        (missing, Line::refused(stream, None))
                    }
                }
            };
            shown.push(kept);
            lines.push(line);
        }
        let told = Told { audio_at: offer.audio_at(), ..Told::new(answer, Some(&only), lines, Some(from)) };
        leg.descriptions.write_answer(answer, direction, &only, &shown).map(|body| (body, told))
    }

    /// Tells which streams of two legs belong together, by what was agreed with either of them about the other.
    pub(crate) fn pair_streams(&mut self, one: LegId, other: LegId) {
        let (Some(a), Some(b)) = (self.leg(one), self.leg(other)) else { return };
        let pairs: Vec<_> = linked(a, b)
            .into_iter()
            .filter_map(|(own, theirs)| Some((a.descriptions.slots().at(own)?, b.descriptions.slots().at(theirs)?)))
            .collect();
        let are_peers = a.peer == Some(other) && b.peer == Some(one);
        if are_peers && !pairs.is_empty() {
            self.emit(Event::StreamsPaired { pairs });
        }
    }
}

/// Other streams of two legs that each other's descriptions show: places of the one, and of the other.
pub(crate) fn linked(one: &Leg, other: &Leg) -> Vec<(usize, usize)> {
    let by = |leg: &Leg, of: &Leg| {
        // An early answer counts like the one that it may become.
        let told = leg.descriptions.told().or(leg.descriptions.local_offer());
        told.filter(|told| told.from == Some(of.id)).map(Told::links)
    };
    match by(one, other) {
        Some(links) => links,
        None => by(other, one).unwrap_or_default().into_iter().map(|(own, theirs)| (theirs, own)).collect(),
    }
}

fn direction_of(stream: &Stream) -> Direction {
    stream.rtp.as_ref().map_or(Direction::Inactive, |rtp| rtp.effective())
}
