//! Encrypted legs: what their parties say is heard by whom it is meant for, in each one's suite, and by nobody without the
//! keys.

use std::collections::BTreeMap;
use std::time::Duration;

use media::srtp::{OVERHEAD, Protection, REKEY_OVERLAP};
use media::{Command, Counters, Event, Key, Kind, ListenerId, Port, Settings, SrtpKeys, StreamId, Suite};

use crate::relaying::RR;
use crate::world::*;

const SUITES: [Suite; 6] = [
    Suite::AesCm128HmacSha1_80,
    Suite::AesCm128HmacSha1_32,
    Suite::AesCm256HmacSha1_80,
    Suite::AesCm256HmacSha1_32,
    Suite::AeadAes128Gcm,
    Suite::AeadAes256Gcm,
];

/// A receiver report with one block.
const REPORT: [u8; 32] = {
    let mut report = [5; 32];
    (report[0], report[1], report[2], report[3]) = (0x81, 201, 0, 7);
    report
};

fn key(suite: Suite, seed: u8) -> Key {
    let bytes: Vec<u8> = (0..46).map(|n: u8| n.wrapping_mul(31) ^ seed).collect();
    Key::new(suite, &bytes[..suite.key_length() + suite.salt_length()]).expect("of its length")
}

/// Keys as the shard is told them.
fn keys(suite: Suite, ours: u8, theirs: u8) -> SrtpKeys {
    SrtpKeys { ours: key(suite, ours), theirs: key(suite, theirs) }
}

/// The same at the other end of the leg.
fn far_end(keys: &SrtpKeys) -> SrtpKeys {
    SrtpKeys { ours: keys.theirs.clone(), theirs: keys.ours.clone() }
}

/// A call whose parties have keys, or not, and what they have heard.
struct Encrypted {
    world: World,
    ends: BTreeMap<Port, Protection>,
}

impl Encrypted {
    fn call(legs: &[(StreamId, &SrtpKeys)]) -> Self {
        let mut call = Self { world: World::call(), ends: BTreeMap::new() };
        for (stream, keys) in legs {
            call.describe(*stream, keys);
            call.renew(port(*stream), keys);
        }
        call
    }

    /// The shard is told of keys.
    fn describe(&mut self, stream: StreamId, keys: &SrtpKeys) {
        self.world.describe(stream, |remote| remote.keys = Some(Box::new(keys.clone())));
    }

    /// The phone at a port has these keys.
    fn renew(&mut self, port: Port, keys: &SrtpKeys) {
        let now = self.world.now();
        match self.ends.get_mut(&port) {
            Some(end) => end.describe(now, far_end(keys)).expect("keys"),
            None => drop(self.ends.insert(port, Protection::new(far_end(keys)).expect("keys"))),
        }
    }

    fn listener(&mut self, n: u64, keys: &SrtpKeys) -> ListenerId {
        let listener = ListenerId(n);
        self.world.ok(Command::OpenListener { listener, port: listener_port(n) });
        self.world.focus(n, Some(AGENT));
        let mut remote = listener_remote(n);
        remote.keys = Some(Box::new(keys.clone()));
        self.world.ok(Command::Listen { listener, remote });
        self.renew(listener_port(n), keys);
        listener
    }

    /// What a phone would send for a packet.
    fn sealed(&mut self, port: Port, kind: Kind, plain: &[u8]) -> Vec<u8> {
        let Some(end) = self.ends.get_mut(&port) else { return plain.to_vec() };
        let mut buffer = [plain, &[0; OVERHEAD]].concat();
        let length = end.seal(kind, &mut buffer, plain.len()).expect("sealed");
        buffer.truncate(length);
        buffer
    }

    /// What was sent by a port since it was asked last, as its phone reads it. Panics if it cannot.
    fn read(&mut self, port: Port, kind: Kind) -> Vec<Vec<u8>> {
        let now = self.world.now();
        let sent = &mut self.world.recorder.sent;
        let mine: Vec<_> = sent.extract_if(.., |sent| sent.port == port && sent.kind == kind).collect();
        let end = &mut self.ends.get_mut(&port);
        let open = |sent: Sent| {
            let mut data = sent.data;
            if let Some(end) = end {
                let length = end.open(now, kind, &mut data).expect("authentic").length;
                data.truncate(length);
            }
            data
        };
        mine.into_iter().map(open).collect()
    }

    /// Both talk; returns what each said, in order.
    fn talk(&mut self, ms: u64) -> BTreeMap<StreamId, Vec<Vec<u8>>> {
        let mut said: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut voices = std::mem::take(&mut self.world.voices);
        for _ in 0..ms {
            self.world.run(1);
            for voice in &mut voices {
                voice.due_ms -= 1;
                if voice.due_ms == 0 {
                    voice.due_ms = 20;
                    let plain = voice.speak();
                    let sealed = self.sealed(port(voice.stream), Kind::Rtp, &plain);
                    self.world.packet(port(voice.stream), Kind::Rtp, voice.source, &sealed);
                    said.entry(voice.stream).or_default().push(plain);
                }
            }
        }
        self.world.voices = voices;
        said
    }

    /// Both talk, and each gets all that the other says.
    #[track_caller]
    fn talks(&mut self, ms: u64) {
        let said = self.talk(ms);
        for (from, to) in [(CALLER, AGENT), (AGENT, CALLER)] {
            let read = self.read(port(to), Kind::Rtp);
            assert_eq!(said.get(&from), Some(&read), "{from:?}");
        }
    }

    fn heard(&mut self, n: u64) -> Vec<i16> {
        let frames = self.read(listener_port(n), Kind::Rtp);
        let decoded = frames.iter().map(|data| {
            let mut frame = [0; 160];
            media::Codec::Pcmu.decode(&data[12..], &mut frame);
            frame
        });
        decoded.flatten().collect()
    }

    fn counters(&self) -> Counters {
        self.world.shard.counters()
    }
}

#[test]
fn a_plain_and_an_encrypted_leg_talk_and_are_heard() {
    for (n, suite) in SUITES.into_iter().enumerate() {
        let leg = if n % 2 == 0 { CALLER } else { AGENT };
        let mut call = Encrypted::call(&[(leg, &keys(suite, 1, 2))]);
        call.world.listener(1);
        call.talks(1_500);
        let heard = call.heard(1);
        assert_hears(&heard[8_000..], &[CALLER_HZ, AGENT_HZ]);
        let counters = call.counters();
        assert_eq!((counters.relayed_rtp, counters.srtp_auth_failed, counters.srtp_unknown), (150, 0, 0), "{suite:?}");
    }
}

#[test]
fn each_leg_has_a_suite_of_its_own() {
    for (a, b) in SUITES.into_iter().flat_map(|a| SUITES.map(|b| (a, b))) {
        let mut call = Encrypted::call(&[(CALLER, &keys(a, 1, 2)), (AGENT, &keys(b, 3, 4))]);
        call.talks(2_000);
    }
}

#[test]
fn nobody_reads_it_without_the_key() {
    let mut call = Encrypted::call(&[(AGENT, &keys(Suite::AesCm128HmacSha1_80, 1, 2))]);
    let said = call.talk(100).remove(&CALLER).expect("packets");
    let sent = call.world.sent(port(AGENT), Kind::Rtp);
    assert_eq!(sent.len(), said.len());
    for (sent, said) in sent.iter().zip(&said) {
        assert_eq!(sent.data[..12], said[..12], "the header stands as it was");
        assert!(!sent.data.windows(16).any(|window| said[12..].windows(16).any(|plain| plain == window)));
    }
}

#[test]
fn an_encrypted_listener_hears_and_its_reports_count_once_they_are_authentic() {
    for suite in SUITES {
        let mut call = Encrypted::call(&[(AGENT, &keys(suite, 1, 2))]);
        let listener = call.listener(1, &keys(suite, 5, 6));
        call.talks(1_500);
        assert_hears(&call.heard(1)[8_000..], &[CALLER_HZ, AGENT_HZ]);
        call.talks(8_000);
        let reports = call.read(listener_port(1), Kind::Rtcp);
        assert!(!reports.is_empty() && reports.iter().all(|report| media::rtcp::compound(report).is_some()));

        let from = std::net::SocketAddr::new(ear(1).ip(), ear(1).port() + 1);
        let report = call.sealed(listener_port(1), Kind::Rtcp, &RR);
        call.world.packet(listener_port(1), Kind::Rtcp, addr("203.0.113.9:1"), &report);
        call.world.packet(listener_port(1), Kind::Rtcp, from, &RR);
        assert_eq!(
            call.counters().listener_rtcp_received,
            0,
            "a stranger with the packet, and the listener without its key"
        );
        call.world.packet(listener_port(1), Kind::Rtcp, from, &report);
        assert_eq!(call.counters().listener_rtcp_received, 1);

        call.world.forget_sent();
        call.world.ok(Command::CloseListener { listener });
        let goodbye = call.read(listener_port(1), Kind::Rtcp);
        assert!(
            media::rtcp::compound(&goodbye[0]).expect("a compound").any(|packet| packet.kind == media::rtcp::Kind::Bye)
        );
    }
}

#[test]
fn only_what_is_authentic_shows_that_a_listener_lives() {
    let mut call = Encrypted::call(&[]);
    call.world = World::with(Settings { listener_lost_after: Duration::from_secs(5), ..Settings::default() });
    call.world.set_up_call();
    call.listener(1, &keys(Suite::AeadAes128Gcm, 1, 2));
    let silent = |call: &Encrypted| call.world.count(|event| matches!(event, Event::ListenerSilent { .. }));
    for n in 0..7 {
        call.world.packet(listener_port(1), Kind::Rtp, ear(1), &rtp(0, n, 0, 9, &[0; 60]));
        call.talk(1_000);
    }
    assert_eq!(silent(&call), 1, "plain packets are no sign of life");
    for n in 0..7 {
        let packet = call.sealed(listener_port(1), Kind::Rtp, &rtp(0, n, 0, 9, &[0; 60]));
        call.world.packet(listener_port(1), Kind::Rtp, ear(1), &packet);
        call.talk(1_000);
    }
    assert_eq!(silent(&call), 1);
}

#[test]
fn reports_are_relayed_between_suites_on_two_ports_and_on_one() {
    for mux in [false, true] {
        let (a, b) = (keys(Suite::AesCm128HmacSha1_32, 1, 2), keys(Suite::AeadAes256Gcm, 3, 4));
        let mut call = Encrypted::call(&[(CALLER, &a), (AGENT, &b)]);
        if mux {
            let describe = |remote: &mut media::Remote| {
                (remote.mux, remote.rtcp, remote.keys) = (true, remote.rtp, Some(Box::new(b.clone())));
            };
            call.world.describe(AGENT, describe);
        }
        let from = std::net::SocketAddr::new(phone(CALLER).ip(), phone(CALLER).port() + 1);
        for n in 1..=3 {
            let report = call.sealed(port(CALLER), Kind::Rtcp, &REPORT);
            assert_ne!(report[8..REPORT.len()], REPORT[8..], "encrypted");
            call.world.packet(port(CALLER), Kind::Rtcp, from, &report);
            let mut sent = call.world.recorder.sent.remove(0);
            assert_eq!(sent.kind, if mux { Kind::Rtp } else { Kind::Rtcp });
            let now = call.world.now();
            let end = call.ends.get_mut(&port(AGENT)).expect("keys");
            let length = end.open(now, Kind::Rtcp, &mut sent.data).expect("authentic").length;
            assert_eq!(sent.data[..length], REPORT);
            // Again: replayed. Without its tag: not authentic.
            call.world.packet(port(CALLER), Kind::Rtcp, from, &report);
            call.world.packet(port(CALLER), Kind::Rtcp, from, &REPORT);
            assert!(call.world.recorder.sent.is_empty());
            assert_eq!((call.counters().relayed_rtcp, call.counters().srtp_replayed), (n, n));
        }
        assert_eq!(call.counters().srtp_malformed, 3);
    }
}

#[test]
fn keys_are_renewed_with_packets_under_way() {
    for suite in SUITES {
        let (old, new) = (keys(suite, 1, 2), keys(suite, 3, 4));
        let mut call = Encrypted::call(&[(AGENT, &old)]);
        call.talks(2_000);
        // Sent before the new keys, there after them.
        let under_way: Vec<_> = (0..3).map(|_| call.world.voice(AGENT).speak()).collect();
        let under_way: Vec<_> = under_way.iter().map(|plain| call.sealed(port(AGENT), Kind::Rtp, plain)).collect();
        call.describe(AGENT, &new);
        call.renew(port(AGENT), &new);
        call.talks(100);
        for packet in &under_way[..2] {
            call.world.from(AGENT, packet);
        }
        assert_eq!(call.read(port(CALLER), Kind::Rtp).len(), 2, "{suite:?}");
        call.talks(REKEY_OVERLAP.as_millis() as u64);
        call.world.from(AGENT, &under_way[2]);
        assert!(call.read(port(CALLER), Kind::Rtp).is_empty(), "too late");
        assert_eq!(call.counters().srtp_auth_failed, 1);
        call.talks(1_000);
    }
}

/// The voices' sequence numbers start at 65,500: they have rolled over once before the hold.
#[test]
fn a_hold_with_the_same_keys_keeps_what_was_counted() {
    let keys = keys(Suite::AesCm128HmacSha1_80, 1, 2);
    let mut call = Encrypted::call(&[(AGENT, &keys)]);
    call.talks(2_000);
    let replayed = call.sealed(port(AGENT), Kind::Rtp, &rtp(0, 200, 0, 0x2222, &[1; 160]));
    call.world.from(AGENT, &replayed);
    call.world.forget_sent();
    let hold = |remote: &mut media::Remote| {
        (remote.sends, remote.receives, remote.keys) = (false, false, Some(Box::new(keys.clone())));
    };
    call.world.describe(AGENT, hold);
    let voices = std::mem::take(&mut call.world.voices);
    call.world.run(60_000);
    call.world.voices = voices;
    call.describe(AGENT, &keys);
    call.world.from(AGENT, &replayed);
    assert!(call.world.recorder.sent.is_empty());
    assert_eq!(call.counters().srtp_replayed, 1);
    call.world.voice(AGENT).sequence = 201;
    call.talks(4_000);
}

#[test]
fn wrong_keys_are_silence_and_a_figure_but_no_end() {
    let mut call = Encrypted::call(&[(AGENT, &keys(Suite::AesCm128HmacSha1_80, 1, 2))]);
    call.ends.clear();
    call.renew(port(AGENT), &keys(Suite::AesCm128HmacSha1_80, 1, 9));
    call.world.listener(1);
    let said = call.talk(30_000);
    assert!(call.read(port(CALLER), Kind::Rtp).is_empty(), "nothing of the agent is believed");
    assert_eq!(call.read(port(AGENT), Kind::Rtp), said[&CALLER], "the agent reads what it gets");
    assert_hears(&call.heard(1)[80_000..], &[CALLER_HZ]);
    assert_eq!(call.counters().srtp_unknown, 1_500);
    assert_eq!(call.world.count(|event| matches!(event, Event::Dead { .. } | Event::Closed { .. })), 0);
    assert_eq!(call.world.count(|event| *event == Event::OneWay { stream: AGENT }), 1);
    assert_eq!(call.world.count(|event| *event == Event::FirstPacket { stream: AGENT }), 0);
}

/// CVE-2021-41105: elsewhere a hundred bad packets ended a call.
#[test]
fn a_flood_of_forgeries_from_the_partys_own_address_changes_nothing() {
    let mut call = Encrypted::call(&[(AGENT, &keys(Suite::AesCm128HmacSha1_80, 1, 2))]);
    call.world.listener(1);
    call.talks(500);
    for n in 0..20u32 {
        for m in 0..500u32 {
            let ssrc = if m % 2 == 0 { 0x2222 } else { m << 16 | n };
            call.world.from(AGENT, &rtp(0, (m * 131 + n) as u16, 0, ssrc, &[m as u8; 170]));
        }
        call.talks(100);
    }
    call.world.forget_sent();
    call.talks(1_000);
    assert_hears(&call.heard(1)[1_000..], &[CALLER_HZ, AGENT_HZ]);
    let c = call.counters();
    assert_eq!(c.srtp_auth_failed + c.srtp_unknown + c.srtp_replayed, 10_000);
    assert!(c.srtp_unknown >= 5_000 && c.srtp_displaced == 0);
}

#[test]
fn a_stranger_with_an_authentic_packet_is_a_stranger() {
    let mut call = Encrypted::call(&[(AGENT, &keys(Suite::AeadAes128Gcm, 1, 2))]);
    let packet = call.sealed(port(AGENT), Kind::Rtp, &rtp(0, 1, 0, 0x2222, &[1; 160]));
    call.world.packet(port(AGENT), Kind::Rtp, addr("203.0.113.9:4000"), &packet);
    assert!(call.world.recorder.sent.is_empty());
    assert_eq!(call.counters().rtp_foreign, 1);
    call.world.from(AGENT, &packet);
    assert_eq!(call.world.recorder.sent.len(), 1, "it never reached the key's state");
}

#[test]
fn a_latch_falls_by_an_authentic_packet_alone() {
    let keys = keys(Suite::AesCm128HmacSha1_80, 1, 2);
    let mut call = Encrypted::call(&[(AGENT, &keys)]);
    let public = addr("198.51.100.7:0").ip();
    call.world.describe(AGENT, |remote| {
        (remote.keys, remote.latch) = (Some(Box::new(keys.clone())), Some(public));
    });
    let (liar, agent) = (addr("198.51.100.7:31000"), addr("198.51.100.7:31002"));
    call.world.packet(port(AGENT), Kind::Rtp, liar, &rtp(0, 1, 0, 0x2222, &[1; 170]));
    let packet = call.sealed(port(AGENT), Kind::Rtp, &rtp(0, 1, 0, 0x2222, &[1; 160]));
    call.world.packet(port(AGENT), Kind::Rtp, agent, &packet);
    call.world.from(CALLER, &rtp(0, 1, 0, 0x1111, &[1; 160]));
    let to: Vec<_> = call.world.sent(port(AGENT), Kind::Rtp).iter().map(|sent| sent.to).collect();
    assert_eq!(to, [agent]);
}

/// The engine forbids it; told so, the shard obeys at once in both directions, and forgets the keys.
#[test]
fn keys_that_are_taken_away_leave_a_plain_leg() {
    let keys = keys(Suite::AesCm128HmacSha1_80, 1, 2);
    let mut call = Encrypted::call(&[(AGENT, &keys)]);
    call.talks(200);
    call.world.describe(AGENT, |_| {});
    let end = call.ends.remove(&port(AGENT));
    call.talks(200);
    call.describe(AGENT, &keys);
    call.world.forget_sent();
    call.talk(200);
    assert!(call.read(port(CALLER), Kind::Rtp).is_empty(), "and an encrypted one again takes nothing plain");
    call.ends.extend(end.map(|end| (port(AGENT), end)));
    call.world.forget_sent();
    call.talks(200);
}

#[test]
fn a_party_that_repeats_sequence_numbers_does_not_give_the_key_stream_away() {
    let mut call = Encrypted::call(&[(AGENT, &keys(Suite::AeadAes128Gcm, 1, 2))]);
    for payload in [[1; 160], [2; 160], [3; 160]] {
        call.world.from(CALLER, &rtp(0, 7, 0, 0x1111, &payload));
    }
    assert_eq!(call.world.recorder.sent.len(), 1);
    assert_eq!((call.counters().srtp_unsent, call.counters().relayed_rtp), (2, 1));
}

#[test]
fn a_packet_that_fills_an_mtu_is_sealed_whole() {
    for suite in SUITES {
        let mut call = Encrypted::call(&[(AGENT, &keys(suite, 1, 2))]);
        for (n, length) in [1_460, 2_036].into_iter().enumerate() {
            let plain = rtp(0, n as u16, 0, 0x1111, &vec![7; length]);
            call.world.from(CALLER, &plain);
            assert_eq!(call.read(port(AGENT), Kind::Rtp), [plain], "{suite:?}");
        }
    }
}
