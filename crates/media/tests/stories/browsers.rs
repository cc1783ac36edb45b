//! Listeners in browsers: they connect, hear each side where it belongs, restart ICE, and leave in every way there is.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use media::browser::Browsers;
use media::{Codec, Command, Event, Layout, ListenerId, Mix, Settings, Taps};

use crate::page::{Page, Wants};
use crate::world::*;

pub const EAR: ListenerId = ListenerId(70);

pub fn ours() -> SocketAddr {
    addr("192.0.2.1:40000")
}

pub fn theirs() -> SocketAddr {
    addr("198.51.100.9:5000")
}

pub fn settings() -> Settings {
    let candidates = vec![ours(), addr("[2001:db8::1]:40000")];
    Settings { browsers: Browsers { home: 0, candidates, max_legs: 4 }, ..Settings::default() }
}

/// A call, and a page that has offered to listen to it.
pub struct Visit {
    pub world: World,
    pub page: Page,
    pub answer: String,
}

impl Visit {
    pub fn offered(wants: Wants, lines: usize) -> Self {
        let mut world = World::with(settings());
        world.set_up_call();
        world.run(100);
        let mut page = Page::new(world.now(), theirs(), wants);
        let offer = page.offer(lines);
        let answer = world.open(EAR, offer).expect("an answer");
        page.answer(&answer);
        world.focus(EAR.0, Some(AGENT));
        Self { world, page, answer }
    }

    pub fn connected(wants: Wants, lines: usize) -> Self {
        let mut visit = Self::offered(wants, lines);
        visit.run(1_000);
        assert!(visit.page.is_connected);
        visit
    }

    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.world.run(1);
            self.exchange();
        }
    }

    pub fn exchange(&mut self) {
        let now = self.world.now();
        self.page.wake(now);
        loop {
            let out = std::mem::take(&mut self.page.out);
            let back = std::mem::take(&mut self.world.recorder.browser);
            if out.is_empty() && back.is_empty() {
                return;
            }
            for (to, data) in out {
                if to == ours() {
                    self.world.arrives_from(self.page.address, &data);
                }
            }
            for (home, to, data) in back {
                assert_eq!(home, 0);
                if to == self.page.address {
                    self.page.receive(now, ours(), &data);
                }
            }
        }
    }

    pub fn restart(&mut self, text: &str) -> Option<Result<String, String>> {
        let now = self.world.now();
        let command = Command::RestartBrowser { listener: EAR, fragment: text.to_owned() };
        self.world.shard.command(now, command, &mut self.world.recorder);
        self.world.answer_of(EAR)
    }

    /// What was heard on a line since the last `forget`, at 8 kHz.
    pub fn heard(&self, line: usize) -> Vec<i16> {
        let packets = self.page.heard.get(&line).map(Vec::as_slice).unwrap_or_default();
        let decode = |payload: &[u8]| {
            let mut frame = [0; 160];
            Codec::Pcmu.decode(payload, &mut frame);
            frame
        };
        packets.iter().flat_map(|packet| decode(&packet.payload)).collect()
    }

    /// The same of Opus: left and right, at 8 kHz. By the library's own decoder, whose encoder the shard has.
    pub fn heard_in_opus(&self, line: usize) -> [Vec<i16>; 2] {
        let mut decoder = ropus::Decoder::new(48_000, ropus::Channels::Stereo).expect("a decoder");
        let mut sides = [Vec::new(), Vec::new()];
        for packet in &self.page.heard[&line] {
            let mut frame = [0; 2 * 960];
            let length = decoder.decode(&packet.payload, &mut frame, ropus::DecodeMode::Normal).expect("Opus");
            assert_eq!(length, 960);
            // tones are far below the 4 kHz at which this would fold
            for (side, samples) in sides.iter_mut().enumerate() {
                samples.extend(frame.iter().skip(side).step_by(12));
            }
        }
        sides
    }

    pub fn forget(&mut self) {
        self.page.heard = BTreeMap::new();
    }

    /// Sequence numbers and time stamps of a line are without a gap.
    #[track_caller]
    pub fn assert_smooth(&self, line: usize, step: u32) {
        let packets = &self.page.heard[&line];
        for pair in packets.windows(2) {
            let (before, after) = (&pair[0].header, &pair[1].header);
            assert_eq!(after.sequence_number, before.sequence_number.wrapping_add(1));
            assert_eq!(after.timestamp.wrapping_sub(before.timestamp), step);
        }
    }

    pub fn gone(&self) -> Vec<bool> {
        let gone = |event: &&Event| match event {
            Event::BrowserGone { listener, closed } => {
                assert_eq!(*listener, EAR);
                Some(*closed)
            }
            _ => None,
        };
        self.world.events().iter().filter_map(gone).collect()
    }
}

impl World {
    pub fn open(&mut self, listener: ListenerId, offer: String) -> Result<String, String> {
        let now = self.now();
        self.shard.command(now, Command::OpenBrowser { listener, shard: 0, offer }, &mut self.recorder);
        self.answer_of(listener).expect("it is answered at once")
    }

    fn answer_of(&mut self, of: ListenerId) -> Option<Result<String, String>> {
        match self.recorder.events.pop() {
            Some((_, Event::BrowserAnswer { listener, answer })) if listener == of => Some(answer),
            _ => None,
        }
    }

    pub fn arrives_from(&mut self, source: SocketAddr, data: &[u8]) {
        let now = self.now();
        self.shard.browser_datagram(now, source, data, &mut self.recorder);
    }
}

#[test]
fn one_line_hears_both_and_goes_live_when_it_is_connected() {
    let mut visit = Visit::offered(Wants::Pcmu, 1);
    assert_eq!(visit.world.count(|event| matches!(event, Event::Live { .. })), 0);
    visit.run(4_500);
    assert!(visit.page.is_connected);
    assert_hears(&visit.heard(0), &[AGENT_HZ, CALLER_HZ]);
    visit.assert_smooth(0, 160);
    assert_eq!(visit.world.count(|event| *event == Event::Live { listener: EAR }), 1);
    let heard = |ms: u64| Event::Heard { listener: EAR, heard_ms: ms };
    assert_eq!(visit.world.count(|event| *event == heard(3_000)), 1);
    assert!(visit.page.heard[&0][0].header.marker && !visit.page.heard[&0][1].header.marker);
    assert!(*visit.page.heard[&0][0].seq_no < 65_536);
}

#[test]
fn two_lines_have_a_side_each() {
    let mut visit = Visit::connected(Wants::Pcmu, 2);
    visit.forget();
    visit.run(1_000);
    assert_hears(&visit.heard(0), &[AGENT_HZ]);
    assert_hears(&visit.heard(1), &[CALLER_HZ]);
    visit.assert_smooth(0, 160);
    visit.assert_smooth(1, 160);
}

#[test]
fn opus_carries_a_side_in_each_ear_or_on_each_line() {
    let mut visit = Visit::connected(Wants::OpusStereo, 1);
    let mix = Mix { layout: Layout::Stereo, ..Mix::default() };
    visit.world.ok(Command::Mix { listener: EAR, mix });
    visit.run(500);
    visit.forget();
    visit.run(1_000);
    let [left, right] = visit.heard_in_opus(0);
    assert_hears(&left, &[AGENT_HZ]);
    assert_hears(&right, &[CALLER_HZ]);
    visit.assert_smooth(0, 960);
    assert!(visit.page.heard[&0].iter().all(|packet| packet.payload[0] & 4 != 0), "two channels (RFC 6716 §3.1)");

    let mut visit = Visit::connected(Wants::Opus, 1);
    visit.world.ok(Command::Mix { listener: EAR, mix });
    visit.run(500);
    visit.forget();
    visit.run(1_000);
    let [left, right] = visit.heard_in_opus(0);
    assert_hears(&left, &[AGENT_HZ, CALLER_HZ]);
    assert_hears(&right, &[AGENT_HZ, CALLER_HZ]);
    assert!(visit.page.heard[&0].iter().all(|packet| packet.payload[0] & 4 == 0), "it did not ask for stereo");

    let mut visit = Visit::connected(Wants::Opus, 2);
    visit.run(500);
    visit.forget();
    visit.run(1_000);
    assert_hears(&visit.heard_in_opus(0)[0], &[AGENT_HZ]);
    assert_hears(&visit.heard_in_opus(1)[0], &[CALLER_HZ]);
}

#[test]
fn what_the_browser_reports_is_told() {
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    visit.run(20_000);
    let told = visit.world.events().into_iter().rev().find_map(|event| match event {
        Event::ListenerProgress { listeners } => {
            listeners.iter().find(|(id, _)| *id == EAR).map(|(_, quality)| *quality)
        }
        _ => None,
    });
    let quality = told.expect("its quality is told");
    assert_eq!(quality.remote_lost, Some(0.0), "{quality:?}");
    assert!(quality.remote_jitter_ms.is_some_and(|jitter| jitter < 5.0), "{quality:?}");
    assert!(quality.first_audio_ms.is_some_and(|first| first <= 20), "{quality:?}");
}

#[test]
fn mix_focus_and_shield_are_as_on_a_phone() {
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    let mix = Mix { layout: Layout::Caller, ..Mix::default() };
    visit.world.ok(Command::Mix { listener: EAR, mix });
    visit.run(100);
    visit.forget();
    visit.run(500);
    assert_hears(&visit.heard(0), &[CALLER_HZ]);
    visit.world.ok(Command::Shield { listener: EAR, on: true });
    visit.forget();
    visit.run(500);
    assert!(visit.heard(0)[40..].iter().all(|sample| *sample == 0), "from the very next packet on, but for a fade");
    visit.assert_smooth(0, 160);
    visit.world.ok(Command::Shield { listener: EAR, on: false });
    visit.world.focus(EAR.0, None);
    visit.forget();
    visit.run(500);
    assert!(visit.heard(0).iter().all(|sample| *sample == 0));
    visit.world.ok(Command::Mix { listener: EAR, mix: Mix::default() });
    visit.world.ok(Command::Focus { listener: EAR, taps: Some(Taps { agent: AGENT }) });
    visit.run(200);
    visit.forget();
    visit.run(500);
    assert_hears(&visit.heard(0), &[AGENT_HZ, CALLER_HZ]);
}

#[test]
fn ice_restarts_without_a_gap_by_fragment_and_by_offer() {
    for is_fragment in [true, false] {
        let mut visit = Visit::connected(Wants::Pcmu, 2);
        let offer = visit.page.restart();
        let credentials = |text: &str| -> String {
            let wanted = ["a=ice-ufrag:", "a=ice-pwd:"];
            text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))).take(2).collect()
        };
        if is_fragment {
            let lines = offer.lines().filter(|line| line.starts_with("a=ice-") || line.starts_with("a=candidate:"));
            let fragment = lines.take(3).map(|line| format!("{line}\r\n")).collect::<String>();
            let answer = visit.restart(&fragment).expect("answered").expect("a fragment");
            assert!(answer.starts_with("a=ice-lite\r\n") && answer.contains("a=candidate:"), "{answer}");
            assert!(!answer.contains("v=0") && !answer.contains("a=fingerprint"), "{answer}");
            assert_ne!(credentials(&answer), credentials(&visit.answer));
            let before = visit.answer.clone();
            visit.page.answer_fragment(&answer, &before);
            assert_eq!(visit.restart(&fragment), Some(Ok(String::new())), "the same again brings nothing new");
        } else {
            let answer = visit.restart(&offer).expect("answered").expect("an answer");
            assert_ne!(credentials(&answer), credentials(&visit.answer));
            visit.page.answer(&answer);
        }
        // It has another address, too.
        let elsewhere = addr("203.0.113.77:6000");
        visit.page.moves_to(elsewhere);
        visit.forget();
        visit.run(3_000);
        let lines = [&visit.page.heard[&0], &visit.page.heard[&1]];
        assert!(lines.iter().all(|packets| packets.len() >= 140), "{} {}", lines[0].len(), lines[1].len());
        visit.forget();
        visit.run(60_000);
        visit.assert_smooth(0, 160);
        assert_hears(&visit.heard(0), &[AGENT_HZ]);
        assert_eq!(visit.gone(), [], "the new address keeps it");
    }
}

#[test]
fn an_offer_that_changes_more_than_credentials_is_refused_without_harm() {
    let mut visit = Visit::connected(Wants::Pcmu, 2);
    let mut other = Page::new(visit.world.now(), theirs(), Wants::Pcmu);
    let stranger = other.offer(2);
    assert!(visit.restart(&stranger).expect("answered").is_err(), "another certificate");
    assert!(visit.restart("a=ice-ufrag:abcd\r\n").expect("answered").is_err(), "no password");
    visit.forget();
    visit.run(500);
    assert_hears(&visit.heard(1), &[CALLER_HZ]);
}

#[test]
fn consent_expires_after_thirty_seconds_of_silence() {
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    // The browser is killed: nothing comes from it any more.
    visit.world.recorder.browser.clear();
    visit.world.run(26_000);
    assert_eq!(visit.gone(), [], "disconnected is not final");
    assert!(!visit.world.recorder.browser.is_empty(), "it goes on being sent to");
    visit.world.run(5_000);
    assert_eq!(visit.gone(), [false]);
    visit.world.recorder.browser.clear();
    visit.world.run(5_000);
    assert!(visit.world.recorder.browser.is_empty(), "nothing is sent without consent");
    visit.world.ok(Command::CloseListener { listener: EAR });
    assert_eq!(visit.world.count(|event| matches!(event, Event::ListenerClosed { listener: EAR, .. })), 1);
    assert_eq!(visit.world.shard.sizes().1, 0);
}

#[test]
fn one_that_never_connects_is_given_up() {
    let mut visit = Visit::offered(Wants::Pcmu, 1);
    visit.world.run(29_900);
    assert_eq!(visit.gone(), []);
    visit.world.run(200);
    assert_eq!(visit.gone(), [false]);
}

#[test]
fn a_closed_page_is_seen_at_once() {
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    let now = visit.world.now();
    visit.page.close(now);
    visit.exchange();
    assert_eq!(visit.gone(), [true]);
}

#[test]
fn a_page_is_told_of_the_end() {
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    visit.world.ok(Command::CloseListener { listener: EAR });
    visit.exchange();
    visit.run(20);
    assert!(visit.page.is_closed);
    assert_eq!(visit.gone(), [], "whoever orders the end need not be told");
}

#[test]
fn lines_that_cannot_be_heard_are_refused_one_by_one() {
    let mut world = World::with(settings());
    let mut page = Page::new(world.now(), theirs(), Wants::Pcmu);
    let video =
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\n";
    let data =
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\na=sctp-port:5000\r\n";
    let offer = page.offer(2).replacen("m=audio", &format!("{video}m=audio"), 1) + data;
    let answer = world.open(EAR, offer).expect("an answer");
    let lines: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines[0], "m=video 0 UDP/TLS/RTP/SAVPF 96");
    assert!(lines[1].starts_with("m=audio 9 ") && lines[2].starts_with("m=audio 9 "), "{lines:?}");
    assert_eq!(lines[3], "m=application 0 UDP/DTLS/SCTP webrtc-datachannel");
    let group = answer.lines().find(|line| line.starts_with("a=group:BUNDLE ")).expect("a group");
    assert!(!group.split(' ').any(|mid| ["v", "d"].contains(&mid)), "{group}");
}

#[test]
fn no_offer_no_leg() {
    let mut world = World::with(settings());
    let good = Page::new(world.now(), theirs(), Wants::Opus).offer(1);
    let long = format!("{good}{}", "a=x:y\r\n".repeat(10_000));
    let many = format!("{good}{}", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(9));
    let without =
        |what: &str| good.lines().filter(|line| !line.starts_with(what)).map(|line| format!("{line}\r\n")).collect();
    let bad: [String; 9] = [
        String::new(),
        "hello".to_owned(),
        long,
        many,
        without("a=fingerprint"),
        without("a=ice-pwd"),
        without("m="),
        good.replace("a=recvonly", "a=sendonly"),
        good.replace("a=setup:actpass", "a=setup:passive"),
    ];
    for offer in bad {
        assert!(world.open(EAR, offer.clone()).is_err(), "{offer}");
        assert_eq!(world.shard.sizes().1, 0);
    }
    assert_eq!(world.shard.counters().browser_refused, 9);
    for n in 0..4 {
        let offer = Page::new(world.now(), theirs(), Wants::Opus).offer(1);
        assert!(world.open(ListenerId(n), offer).is_ok());
    }
    assert!(world.open(EAR, good.clone()).is_err(), "more than there may be");
    world.ok(Command::CloseListener { listener: ListenerId(0) });
    assert!(world.open(EAR, good).is_ok(), "room again");
    world.run(20);
}
