//! What an answer may say, given its offer (RFC 3264 §6, §8.4). Pure rules, no state.

use crate::sdp::{Direction, Payload, Sdp};

/// What we said to a leg's remote party, as far as media goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Our direction, from our view.
    pub(crate) direction: Direction,
    /// Payload types in our description, telephone-event included.
    pub(crate) payloads: Vec<u8>,
}

impl Told {
    /// Everything that the description has (or of it only these types), under another direction.
    pub(crate) fn of(sdp: &Sdp, only: Option<&[u8]>, direction: Direction) -> Self {
        let kept = |pt: &u8| only.is_none_or(|only| only.contains(pt));
        Self { direction, payloads: payload_types(sdp).filter(kept).collect() }
    }
}

/// Every payload type of a description, telephone-event last.
pub(crate) fn payload_types(sdp: &Sdp) -> impl Iterator<Item = u8> + '_ {
    sdp.payloads().iter().map(|payload| payload.pt).chain(sdp.telephone_event())
}

/// The direction that a description comes to: one who names no address receives nothing (the old way of hold,
/// RFC 3264 §8.4).
pub(crate) fn effective(sdp: &Sdp) -> Direction {
    Direction::of(sdp.direction().sends(), sdp.direction().receives() && !sdp.null_address())
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
    let offered = |payload: &&Payload| offer.payloads().iter().any(|other| other.pt == payload.pt);
    if answer.payloads().iter().any(|payload| offered(&payload) && !is_comfort_noise(payload)) {
        let audio = answer.payloads().iter().filter(offered).map(|payload| payload.pt);
        let events = answer.telephone_event().filter(|_| offer.telephone_event().is_some());
        return Some(audio.chain(events).collect());
    }
    let named = answer.payloads().iter().any(|payload| offer.payloads().iter().any(|other| same_codec(payload, other)));
    named.then(|| payload_types(answer).collect())
}

/// The payload types of an offer that one of these codecs serves, telephone-event included where there is one.
pub(crate) fn served(offer: &Sdp, codecs: &[Payload]) -> Option<Vec<u8>> {
    let audio: Vec<u8> = offer
        .payloads()
        .iter()
        .filter(|payload| codecs.iter().any(|codec| same_codec(payload, codec)))
        .map(|payload| payload.pt)
        .collect();
    (!audio.is_empty()).then(|| audio.into_iter().chain(offer.telephone_event()).collect())
}

/// Both mean the same encoding (RFC 8866 §6.6: names without case).
pub(crate) fn same_codec(one: &Payload, other: &Payload) -> bool {
    one.clock == other.clock
        && one.channels.max(1) == other.channels.max(1)
        && one.name.eq_ignore_ascii_case(&other.name)
}

/// RFC 3389: no codec by itself.
fn is_comfort_noise(payload: &Payload) -> bool {
    payload.name.eq_ignore_ascii_case("CN")
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
    fn the_same_codec_under_another_number_is_common() {
        let offer = sdp("96", "a=rtpmap:96 opus/48000/2\r\n");
        let answer = sdp("111", "a=rtpmap:111 opus/48000/2\r\n");
        assert_eq!(common(&answer, &offer), Some(vec![111]));
    }
}
