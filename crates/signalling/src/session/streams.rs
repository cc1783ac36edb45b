//! Streams besides the audio stream: which m-line of one leg is which of the other's, and the addresses they have.
//!
//! RFC 3264 §8 lets no m-line move or vanish for the length of a dialog. Legs that began as a pair have theirs at the same
//! places; those that a transfer joined need not.

use crate::interface::OTHER_STREAMS_MAX;
use crate::sdp::{Direction, MediaAddress, STREAMS_MAX, Sdp, Stream};

/// One m-line of what we told a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// `video`.
    pub(crate) media: String,
    /// What follows the port.
    pub(crate) rest: String,
    /// The m-line of the other leg that it shows.
    pub(crate) source: Option<usize>,
    /// The direction that it shows; `None`: port 0.
    pub(crate) live: Option<Direction>,
}

impl Line {
    pub(crate) fn refused(stream: &Stream, source: Option<usize>) -> Self {
        Self { media: stream.media.clone(), rest: stream.rest.clone(), source, live: None }
    }

    /// All of a description whose audio stream alone has a port.
    pub(crate) fn of(sdp: &Sdp, direction: Direction) -> Vec<Self> {
        let mut lines: Vec<Self> = sdp.streams().iter().map(|stream| Self::refused(stream, None)).collect();
        if let Some(audio) = lines.get_mut(sdp.audio_at()) {
            audio.live = Some(direction);
        }
        lines
    }
}

/// The places of a leg that has these m-lines so far: which of the source's each shows. New ones of the source come
/// behind them, up to the last that has a port.
pub(crate) fn places(own: &[Line], source: &[Stream]) -> Vec<Option<usize>> {
    let same = |place: &usize, of: usize| own.get(*place).map(|line| &line.media) == source.get(of).map(|s| &s.media);
    let mut places: Vec<Option<usize>> =
        (0..own.len()).map(|place| Some(place).filter(|at| *at < source.len() && same(at, *at))).collect();
    for place in 0..places.len() {
        if places.get(place) == Some(&None) {
            let of = (0..source.len()).find(|of| !places.contains(&Some(*of)) && same(&place, *of));
            if let Some(slot) = places.get_mut(place) {
                *slot = of;
            }
        }
    }
    let last =
        if own.is_empty() { source.len() } else { source.iter().rposition(Stream::has_port).map_or(0, |at| at + 1) };
    let new: Vec<usize> = (0..last).filter(|of| !places.contains(&Some(*of))).collect();
    places.extend(new.into_iter().map(Some));
    places.truncate(STREAMS_MAX);
    places
}

/// The addresses of a leg's other streams by place: taken when first needed, kept until the leg is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Vec<Option<MediaAddress>>);

impl Slots {
    pub(crate) fn at(&self, place: usize) -> Option<MediaAddress> {
        self.0.get(place).copied().flatten()
    }

    /// Each with its place.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, MediaAddress)> + '_ {
        self.0.iter().enumerate().filter_map(|(place, slot)| Some((place, (*slot)?)))
    }

    /// It has one, or may have one more.
    pub(crate) fn has_room(&self, place: usize) -> bool {
        self.at(place).is_some() || self.all().count() < OTHER_STREAMS_MAX
    }

    pub(crate) fn put(&mut self, place: usize, media: MediaAddress) {
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        if let Some(slot) = self.0.get_mut(place) {
            *slot = Some(media);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(lines: &[&str]) -> Sdp {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        let lines: String = lines.iter().map(|line| format!("m={line}\r\n")).collect();
        Sdp::parse(&(head.to_owned() + &lines).into()).expect("a description")
    }

    fn of(own: &[&str], source: &[&str]) -> Vec<Option<usize>> {
        let own = if own.is_empty() { Vec::new() } else { Line::of(&sdp(own), Direction::SendRecv) };
        places(&own, sdp(source).streams())
    }

    const AUDIO: &str = "audio 4000 RTP/AVP 0";
    const VIDEO: &str = "video 4002 RTP/AVP 96";
    const NO_VIDEO: &str = "video 0 RTP/AVP 96";
    const TEXT: &str = "text 4004 RTP/AVP 98";

    #[test]
    fn a_first_offer_stands_as_it_came() {
        assert_eq!(of(&[], &[NO_VIDEO, AUDIO, NO_VIDEO]), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn legs_of_one_call_stay_as_they_are() {
        assert_eq!(of(&[VIDEO, AUDIO], &[NO_VIDEO, AUDIO]), [Some(0), Some(1)]);
        assert_eq!(of(&[AUDIO], &[AUDIO, NO_VIDEO, TEXT]), [Some(0), Some(1), Some(2)]);
        assert_eq!(of(&[AUDIO, AUDIO], &[AUDIO, AUDIO]), [Some(0), Some(1)]);
    }

    #[test]
    fn joined_legs_match_by_kind_and_nothing_vanishes() {
        assert_eq!(of(&[AUDIO, VIDEO], &[AUDIO]), [Some(0), None]);
        assert_eq!(of(&[VIDEO, AUDIO], &[AUDIO, VIDEO]), [Some(1), Some(0)]);
        assert_eq!(of(&[AUDIO, TEXT], &[AUDIO, VIDEO, TEXT]), [Some(0), Some(2), Some(1)]);
        assert_eq!(of(&[AUDIO], &[AUDIO, NO_VIDEO]), [Some(0)], "what has no port is not added");
    }

    #[test]
    fn a_leg_has_so_many_addresses_and_no_more() {
        let mut slots = Slots::default();
        for place in 1..=OTHER_STREAMS_MAX {
            assert!(slots.has_room(place));
            slots.put(place, "192.0.2.1:4000".parse().expect("an address"));
        }
        assert!(!slots.has_room(9) && slots.has_room(1));
    }
}
