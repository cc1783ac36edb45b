//! What an answer may say, given its offer (RFC 3264 §6, §8.4). Pure rules, no state.

use super::streams::Line;
use crate::interface::LegId;
use crate::sdp::{Direction, Payload, Sdp};

/// What we said to a leg's remote party, as far as media goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Our direction, from our view.
    pub(crate) direction: Direction,
    /// Payload types in our description, telephone-event included.
    pub(crate) payloads: Vec<u8>,
    /// Every m-line.
    pub(crate) lines: Vec<Line>,
    /// Which of them is the audio stream.
    pub(crate) audio_at: usize,
    /// The leg whose description it shows; `None`: it is of our own making.
    pub(crate) from: Option<LegId>,
}

impl Told {
    /// What the description has (or of it only these payload types), in m-lines like these.
    pub(crate) fn new(sdp: &Sdp, only: Option<&[u8]>, lines: Vec<Line>, from: Option<LegId>) -> Self {
        let kept = |pt: &&u8| only.is_none_or(|only| only.contains(pt));
        let payloads = sdp.formats().iter().filter(kept).copied().collect();
        let at = lines.iter().position(|line| line.source == Some(sdp.audio_at()));
        let audio_at = at.unwrap_or(sdp.audio_at());
        let direction = lines.get(audio_at).and_then(|line| line.live).unwrap_or(Direction::Inactive);
        Self { direction, payloads, lines, audio_at, from }
    }

    /// Other streams that have a port: their places, and those of what they show.
    pub(crate) fn links(&self) -> Vec<(usize, usize)> {
        let live = |(place, line): (usize, &Line)| {
            line.live.filter(|_| place != self.audio_at).and_then(|_| Some((place, line.source?)))
        };
        self.lines.iter().enumerate().filter_map(live).collect()
    }
}

/// The direction that a description comes to: one who names no address receives nothing (the old way of hold,
/// RFC 3264 §8.4).
pub(crate) fn effective(sdp: &Sdp) -> Direction {
    sdp.effective()
}

/// The answer's direction made legal: an answerer sends only to who receives, and receives only from who sends
/// (RFC 3264 §6.1). Phones that answer a hold with sendrecv are corrected here.
pub(crate) fn legal_answer(answer: Direction, offer: Direction) -> Direction {
    Direction::of(answer.sends() && offer.receives(), answer.receives() && offer.sends())
}

/// Payload types of the answer that were offered. `None`: they have no audio codec in common, not even by name under
/// other numbers (which RFC 3264 §6.1 allows an answerer, and then all of the answer's stand).
pub(crate) fn common(answer: &Sdp, offer: &Sdp) -> Option<Vec<u8>> {
    if answer.rejected() {
        return None;
    }
    let offered = |pt: &u8| offer.formats().contains(pt);
    if answer.formats().iter().any(|pt| offered(pt) && is_voice(answer, *pt)) {
        let events = |pt: &u8| answer.is_event(*pt) && offer.telephone_event().is_some();
        return Some(answer.formats().iter().filter(|pt| offered(pt) || events(pt)).copied().collect());
    }
    let named = answer.payloads().iter().any(|payload| offer.payloads().iter().any(|other| same_codec(payload, other)));
    named.then(|| answer.formats().to_vec())
}

/// The payload types of a description that one of these codecs serves, telephone-event included where there is one.
/// `None`: no voice is among them.
pub(crate) fn served(described: &Sdp, codecs: &[Payload]) -> Option<Vec<u8>> {
    let audio: Vec<u8> = described
        .payloads()
        .iter()
        .filter(|payload| codecs.iter().any(|codec| same_codec(payload, codec)))
        .map(|payload| payload.pt)
        .collect();
    let voice = audio.iter().any(|pt| is_voice(described, *pt));
    voice.then(|| audio.into_iter().chain(described.telephone_event()).collect())
}

/// Both mean the same encoding (RFC 8866 §6.6: names without case).
pub(crate) fn same_codec(one: &Payload, other: &Payload) -> bool {
    one.clock == other.clock
        && one.channels.max(1) == other.channels.max(1)
        && one.name.eq_ignore_ascii_case(&other.name)
}

/// A codec, also one that nobody says the name of; comfort noise (RFC 3389) and events (RFC 4733) are none by themselves.
fn is_voice(sdp: &Sdp, pt: u8) -> bool {
    let named = sdp.payloads().iter().find(|payload| payload.pt == pt);
    !sdp.is_event(pt) && named.is_none_or(|payload| !payload.name.eq_ignore_ascii_case("CN"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};

    fn sdp(payloads: &str, lines: &str) -> Sdp {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP {payloads}\r\n{lines}"
        );
        Sdp::parse(&text.into()).expect("a description")
    }

    #[test]
    fn an_answer_stays_inside_its_offer() {
        for (answer, offer, legal) in [
            (SendRecv, SendRecv, SendRecv),
            (SendRecv, SendOnly, RecvOnly),
            (SendRecv, RecvOnly, SendOnly),
            (SendRecv, Inactive, Inactive),
            (SendOnly, SendOnly, Inactive),
            (RecvOnly, SendOnly, RecvOnly),
            (Inactive, SendRecv, Inactive),
        ] {
            assert_eq!(legal_answer(answer, offer), legal, "{answer:?} to {offer:?}");
        }
    }

    #[test]
    fn a_null_address_receives_nothing() {
        let held = Sdp::parse(
            &"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n".into(),
        )
        .expect("a description");
        assert_eq!(effective(&held), SendOnly);
    }

    #[test]
    fn payload_types_that_were_not_offered_are_left_out() {
        let offer = sdp("8 0 101", "a=rtpmap:101 telephone-event/8000\r\n");
        let answer = sdp("0 18 101", "a=rtpmap:101 telephone-event/8000\r\n");
        assert_eq!(common(&answer, &offer), Some(vec![0, 101]));
        assert_eq!(common(&sdp("18", ""), &offer), None);
    }

    #[test]
    fn comfort_noise_alone_is_no_voice() {
        let ours = sdp("8 13", "").payloads().to_vec();
        assert_eq!(served(&sdp("13 8", ""), &ours), Some(vec![13, 8]));
        assert_eq!(served(&sdp("13", ""), &ours), None);
        assert_eq!(served(&sdp("13 101", "a=rtpmap:101 telephone-event/8000\r\n"), &ours), None);
    }

    #[test]
    fn the_same_codec_under_another_number_is_common() {
        let offer = sdp("96", "a=rtpmap:96 opus/48000/2\r\n");
        let answer = sdp("111", "a=rtpmap:111 opus/48000/2\r\n");
        assert_eq!(common(&answer, &offer), Some(vec![111]));
    }
}
