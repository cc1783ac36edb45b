//! Streams besides the audio stream: addresses lent to signalling, and what becomes of them.

use signalling::{Event, OtherStream};

use super::*;

fn relaying() -> Bench {
    Bench::with(Settings { other_streams: true, ..settings() }, seed(), Restored::default())
}

impl Bench {
    /// Signalling gives a leg one of the addresses that it has at hand.
    fn takes(&mut self, leg: LegId) -> MediaAddress {
        let media = self.core.sip.spare_media().pop().expect("one to spare");
        self.says(Event::MediaTaken { leg, media });
        media
    }

    fn other(&self, media: MediaAddress) -> StreamId {
        *self.core.others.get(&media).expect("a stream")
    }

    fn closed(&self, stream: StreamId) -> bool {
        self.media.contains(&media::Command::Close { stream })
    }

    /// A call with one video stream.
    fn video(&mut self) -> (Pair, MediaAddress, MediaAddress) {
        let call = self.call("1001");
        let media = (self.takes(call.caller), self.takes(call.callee));
        self.says(Event::StreamsPaired { pairs: vec![media] });
        (call, media.0, media.1)
    }
}

#[test]
fn nothing_is_lent_unless_it_is_configured() {
    let mut b = Bench::new();
    b.call("1001");
    assert!(b.core.sip.spare_media().is_empty());
    let mut b = relaying();
    b.call("1001");
    assert_eq!(b.core.sip.spare_media().len(), 6);
    assert_eq!(b.core.sizes().ports_ready, 98, "what is lent is still there for calls");
}

#[test]
fn a_video_stream_is_opened_described_paired_and_closed() {
    let mut b = relaying();
    let (call, at_caller, at_callee) = b.video();
    let (a, c) = (b.other(at_caller), b.other(at_callee));
    assert!(b.media.contains(&media::Command::Bridge { a, b: c }));
    let rtp = "10.0.0.9:4002".parse().ok();
    let video = OtherStream { media: at_caller, rtp, rtcp: None, sends: true, receives: false };
    b.planned(call.caller, Session { others: vec![video], ..session(true, true) });
    let described = b.media.iter().any(|command| {
        matches!(command, media::Command::Describe { stream, remote } if *stream == a
            && remote.rtp == rtp && remote.sends && !remote.receives && remote.decodable.is_empty())
    });
    assert!(described);
    assert_eq!(b.call_view(call).legs.len(), 2, "records speak of the audio streams alone");
    b.bye(call.callee);
    assert!(b.closed(a) && b.closed(c));
    b.is_quiet();
}

#[test]
fn a_silent_video_stream_ends_no_call() {
    let mut b = relaying();
    let (call, at_caller, _) = b.video();
    let stream = b.other(at_caller);
    b.drive(Input::Media(media::Event::Dead { stream }));
    b.drive(Input::Media(media::Event::OneWay { stream }));
    assert_eq!((b.call_view(call).state, b.ended_by_us(call.caller)), (CallState::Up, None));
    assert!(!b.names().contains(&EventName::AudioOneWay));
    b.bye(call.caller);
    b.is_quiet();
}

#[test]
fn an_address_for_a_leg_that_has_gone_is_given_back() {
    let mut b = relaying();
    let call = b.call("1001");
    b.bye(call.caller);
    b.takes(call.caller);
    assert!(b.core.others.is_empty());
    b.is_quiet();
}

#[test]
fn audio_gets_the_last_ports_and_video_none() {
    let mut b = relaying();
    b.call("1001");
    b.core.shards.forget_ready();
    let (mut calls, mut refused) = (0, false);
    while !refused {
        match b.phone_calls("anna", "1002") {
            Some(_) => calls += 1,
            None => refused = true,
        }
        assert!(calls < 10, "three calls are in six ports");
    }
    assert_eq!((calls, b.refused().map(|refused| refused.0)), (3, Some(503)));
    assert!(b.core.sip.spare_media().is_empty());
    for port in [40_000, 40_002] {
        b.ports(port);
    }
    assert!(b.core.sip.spare_media().is_empty(), "the next call's two are not lent");
}

#[test]
fn video_moves_with_its_leg_to_another_call() {
    let mut b = relaying();
    let (call, at_caller, at_callee) = b.video();
    let consultation = b.dial("anna", "1002");
    let at_bo = b.takes(consultation.callee);
    let (a, c, gone) = (b.other(at_caller), b.other(at_bo), b.other(at_callee));
    let transfer = b.refer(call.callee, "1002", Some(consultation.caller));
    b.joined(transfer, call.caller, consultation.callee, &[call.callee, consultation.caller]);
    b.says(Event::StreamsPaired { pairs: vec![(at_caller, at_bo)] });
    assert!(b.media.contains(&media::Command::Bridge { a, b: c }));
    assert!(b.closed(gone) && !b.closed(a) && !b.closed(c));
    b.bye(consultation.callee);
    assert!(b.closed(a) && b.closed(c));
    b.is_quiet();
}
