//! Which codecs the fork reads, which ones a listener is offered, and in which of them it then gets its stream.

use std::sync::LazyLock;

use media::codec::{Decoder, Encoder};
use media::{Codec, Mix};
use signalling::Session;
use signalling::sdp::Payload;

use crate::view::{Gains, Layout, ListeningView};

/// Payload types of ours that no RFC fixes.
const OPUS: u8 = 96;
const EVENTS: u8 = 101;
const EVENTS_48K: u8 = 102;

/// What this build reads and writes, found out once.
static READ: LazyLock<Vec<Codec>> = LazyLock::new(|| those(|codec| Decoder::new(codec).is_some()));
static WRITTEN: LazyLock<Vec<Codec>> = LazyLock::new(|| those(|codec| Encoder::new(codec).is_some()));

fn those(is: impl Fn(Codec) -> bool) -> Vec<Codec> {
    let all = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::G729, Codec::Opus, Codec::OpusStereo];
    all.into_iter().filter(|codec| is(*codec)).collect()
}

/// The codec of a payload, where the fork can decode it.
pub(crate) fn decodable(payload: &Payload) -> Option<Codec> {
    named(payload).filter(|codec| READ.contains(codec))
}

fn named(payload: &Payload) -> Option<Codec> {
    let is = |name: &str, clock, channels| {
        payload.name.eq_ignore_ascii_case(name) && payload.clock == clock && payload.channels.max(1) == channels
    };
    match () {
        () if is("PCMU", 8000, 1) => Some(Codec::Pcmu),
        () if is("PCMA", 8000, 1) => Some(Codec::Pcma),
        // RFC 3551 §4.5.2: its clock is half its rate
        () if is("G722", 8000, 1) => Some(Codec::G722),
        () if is("G729", 8000, 1) => Some(Codec::G729),
        // RFC 7587 §7: always said so, however many channels are sent
        () if is("opus", 48_000, 2) => Some(Codec::Opus),
        () => None,
    }
}

/// Comfort noise (RFC 3389): no codec by itself.
fn is_comfort_noise(payload: &Payload) -> bool {
    payload.name.eq_ignore_ascii_case("CN")
}

/// What the parties speak in: the first codec agreed.
pub(crate) fn voice(session: &Session) -> Option<&Payload> {
    session.payloads.iter().find(|payload| !is_comfort_noise(payload))
}

/// They speak in one that the fork cannot read.
pub(crate) fn is_undecodable(session: &Session) -> bool {
    voice(session).is_some_and(|codec| decodable(codec).is_none())
}

/// What a listener is offered, best first: the call's own codec, so that nothing is coded twice; then by quality. Two
/// channels go before that: no codec but Opus has them.
pub(crate) fn offered(own: Option<Codec>, layout: Layout, with_keys: bool) -> Vec<Payload> {
    let mut order = vec![Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];
    let first = if layout == Layout::Stereo { Some(Codec::Opus) } else { own };
    // stable: the rest stays as it is
    order.sort_by_key(|codec| (Some(*codec) != first, Some(*codec) != own));
    order.retain(|codec| WRITTEN.contains(codec));
    let has_opus = order.contains(&Codec::Opus);
    let mut payloads: Vec<Payload> = order.into_iter().filter_map(|codec| payload(codec, layout)).collect();
    if with_keys {
        let events = |pt, clock| Payload { fmtp: "0-16".to_owned(), ..plain(pt, "telephone-event", clock) };
        payloads.push(events(EVENTS, 8000));
        // RFC 4733 §2.1: on the clock of the voice beside it
        payloads.extend(has_opus.then(|| events(EVENTS_48K, 48_000)));
    }
    payloads
}

fn plain(pt: u8, name: &str, clock: u32) -> Payload {
    Payload { pt, name: name.to_owned(), clock, channels: 1, fmtp: String::new() }
}

fn payload(codec: Codec, layout: Layout) -> Option<Payload> {
    Some(match codec {
        Codec::Pcmu => plain(0, "PCMU", 8000),
        Codec::Pcma => plain(8, "PCMA", 8000),
        Codec::G722 => plain(9, "G722", 8000),
        Codec::Opus => {
            let stereo = if layout == Layout::Stereo { ";stereo=1;sprop-stereo=1" } else { "" };
            Payload { channels: 2, fmtp: format!("useinbandfec=1{stereo}"), ..plain(OPUS, "opus", 48_000) }
        }
        Codec::G729 | Codec::OpusStereo => return None,
    })
}

/// What a listener gets of what it answered: payload type and codec.
pub(crate) fn chosen(session: &Session, layout: media::Layout) -> Option<(u8, Codec)> {
    let encodable = |payload: &&Payload| named(payload).is_some_and(|codec| WRITTEN.contains(&codec));
    let payload = session.payloads.iter().find(encodable)?;
    let codec = match named(payload)? {
        // RFC 7587 §6.1: who does not say so wants one channel
        Codec::Opus
            if WRITTEN.contains(&Codec::OpusStereo)
                && layout == media::Layout::Stereo
                && says_stereo(&payload.fmtp) =>
        {
            Codec::OpusStereo
        }
        codec => codec,
    };
    Some((payload.pt, codec))
}

fn says_stereo(fmtp: &str) -> bool {
    fmtp.split(';').any(|parameter| {
        parameter
            .trim()
            .split_once('=')
            .is_some_and(|(name, value)| name.trim().eq_ignore_ascii_case("stereo") && value.trim() == "1")
    })
}

/// How a listening's sides are put together, for media.
pub(crate) fn mix(listening: &ListeningView) -> Mix {
    let Gains { agent_db, caller_db } = listening.gains;
    let layout = match listening.layout {
        Layout::Mono => media::Layout::Mono,
        Layout::Stereo => media::Layout::Stereo,
        Layout::Agent => media::Layout::Agent,
        Layout::Caller => media::Layout::Caller,
    };
    Mix { layout, agent_db, caller_db, is_levelled: listening.level_matching }
}

/// The same as a listening shows it.
pub(crate) fn unmix(mix: Mix) -> (Layout, Gains, bool) {
    let layout = match mix.layout {
        media::Layout::Mono => Layout::Mono,
        media::Layout::Stereo => Layout::Stereo,
        media::Layout::Agent => Layout::Agent,
        media::Layout::Caller => Layout::Caller,
    };
    (layout, Gains { agent_db: mix.agent_db, caller_db: mix.caller_db }, mix.is_levelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stories::{payload as agreed, session};

    fn speaks(name: &str, clock: u32, channels: u8) -> Session {
        let payload = Payload { channels, ..agreed(96, name, clock) };
        Session { payloads: vec![payload], ..session(true, true) }
    }

    fn names(payloads: &[Payload]) -> Vec<&str> {
        payloads.iter().map(|payload| payload.name.as_str()).collect()
    }

    /// Those of them that this build writes.
    fn writable(names: &[&'static str]) -> Vec<&'static str> {
        let codecs = [("opus", Codec::Opus), ("G722", Codec::G722)];
        let lacks = |name: &str| codecs.iter().any(|(own, codec)| *own == name && !WRITTEN.contains(codec));
        names.iter().copied().filter(|name| !lacks(name)).collect()
    }

    #[test]
    fn a_codec_is_known_by_name_clock_and_channels() {
        let decodes = |name: &str, clock, channels| decodable(&Payload { channels, ..agreed(96, name, clock) });
        assert_eq!(decodes("pcma", 8000, 1), Some(Codec::Pcma));
        assert_eq!(decodes("PCMU", 8000, 1), Some(Codec::Pcmu));
        assert_eq!(decodes("PCMU", 16_000, 1), None);
        assert_eq!(decodes("PCMU", 8000, 2), None);
        let read = |codec| Some(codec).filter(|codec| READ.contains(codec));
        assert_eq!(decodes("g722", 8000, 1), read(Codec::G722));
        assert_eq!(decodes("G722", 16_000, 1), None);
        assert_eq!(decodes("OPUS", 48_000, 2), read(Codec::Opus));
        assert_eq!(decodes("opus", 48_000, 1), None);
        assert_eq!(decodes("speex", 8000, 1), None);
        assert_eq!(decodes("G729", 8000, 1), read(Codec::G729));
    }

    #[test]
    fn comfort_noise_is_not_what_they_speak_in() {
        let mut session = speaks("speex", 8000, 1);
        session.payloads.insert(0, agreed(13, "CN", 8000));
        assert!(is_undecodable(&session));
        session.payloads = vec![agreed(13, "CN", 8000), agreed(8, "PCMA", 8000)];
        assert!(!is_undecodable(&session));
    }

    #[test]
    fn the_calls_own_codec_is_offered_first() {
        let offered = |own| offered(own, Layout::Mono, false);
        assert_eq!(names(&offered(Some(Codec::Pcmu))), writable(&["PCMU", "opus", "G722", "PCMA"]));
        assert_eq!(names(&offered(Some(Codec::G722))), writable(&["G722", "opus", "PCMA", "PCMU"]));
        assert_eq!(names(&offered(Some(Codec::G729))), writable(&["opus", "G722", "PCMA", "PCMU"]));
        assert_eq!(names(&offered(None)), writable(&["opus", "G722", "PCMA", "PCMU"]));
    }

    #[test]
    fn two_channels_go_before_that() {
        let stereo = offered(Some(Codec::Pcmu), Layout::Stereo, false);
        assert_eq!(names(&stereo), writable(&["opus", "PCMU", "G722", "PCMA"]));
        for (layout, fmtp) in
            [(Layout::Stereo, "useinbandfec=1;stereo=1;sprop-stereo=1"), (Layout::Mono, "useinbandfec=1")]
        {
            let offered = offered(None, layout, false);
            assert!(offered.iter().all(|payload| payload.name != "opus" || payload.fmtp == fmtp), "{offered:?}");
        }
    }

    #[test]
    fn keys_are_offered_where_they_matter() {
        let offered = offered(None, Layout::Mono, true);
        let events: Vec<_> = offered.iter().filter(|payload| payload.name == "telephone-event").collect();
        assert_eq!(events[0].clock, 8000);
        assert_eq!(events.len(), 1 + usize::from(WRITTEN.contains(&Codec::Opus)));
        let unique: std::collections::BTreeSet<u8> = offered.iter().map(|payload| payload.pt).collect();
        assert_eq!(unique.len(), offered.len());
    }

    #[test]
    fn the_answer_says_whether_opus_has_two_channels() {
        let answer = |fmtp: &str| {
            let mut session = speaks("opus", 48_000, 2);
            session.payloads[0].fmtp = fmtp.to_owned();
            session
        };
        assert!(says_stereo("minptime=10; stereo=1"));
        assert!(!says_stereo("sprop-stereo=1;stereo=0"));
        if !WRITTEN.contains(&Codec::OpusStereo) {
            return;
        }
        assert_eq!(chosen(&answer("stereo=1"), media::Layout::Stereo), Some((96, Codec::OpusStereo)));
        assert_eq!(chosen(&answer("stereo=1"), media::Layout::Mono), Some((96, Codec::Opus)));
        assert_eq!(chosen(&answer(""), media::Layout::Stereo), Some((96, Codec::Opus)));
    }

    #[test]
    fn a_listener_gets_the_first_that_we_write() {
        let session = Session {
            payloads: vec![agreed(13, "CN", 8000), agreed(18, "G729", 8000), agreed(0, "PCMU", 8000)],
            ..session(false, true)
        };
        assert_eq!(chosen(&session, media::Layout::Mono), Some((0, Codec::Pcmu)));
    }
}
