//! Hostile and unusual packets, one by one, each with its verdict: relayed as it came, or dropped, counted once, and
//! nothing learnt from it.

use media::{Counters, Key, Kind, SrtpKeys, Suite};

use crate::world::*;

/// Byte 0, byte 1, sequence number 1000, time stamp 160,000, and an SSRC.
fn head(first: u8, second: u8) -> Vec<u8> {
    vec![first, second, 0x03, 0xe8, 0, 2, 0x71, 0, 0x11, 0x22, 0x33, 0x44]
}

fn with(head: Vec<u8>, rest: &[u8]) -> Vec<u8> {
    [&head, rest].concat()
}

/// 20 ms of silence.
fn good() -> Vec<u8> {
    with(head(0x80, 0), &[0xff; 160])
}

/// Everything that counts a packet which did not get through.
fn drops(counters: &Counters) -> u64 {
    let c = counters;
    let rtp = c.rtp_malformed + c.rtp_foreign + c.rtp_unbridged + c.rtcp_malformed + c.rtcp_foreign + c.rtcp_unbridged;
    let other = c.rtcp_on_rtp_port
        + c.media_early
        + c.not_rtp()
        + c.media_target_refused
        + c.srtp_auth_failed
        + c.srtp_unknown
        + c.srtp_replayed
        + c.srtp_malformed;
    rtp + other + c.unknown_port + c.listener_rtp_dropped + c.listener_rtcp_dropped
}

type Counted = fn(&Counters) -> u64;

const MALFORMED: Counted = |counters| counters.rtp_malformed;
const RTCP_MALFORMED: Counted = |counters| counters.rtcp_malformed;
const STUN: Counted = |counters| counters.media_stun;
const DTLS: Counted = |counters| counters.media_dtls;
const TURN: Counted = |counters| counters.media_turn;
const UNKNOWN: Counted = |counters| counters.media_unknown;
const RTCP_ON_RTP: Counted = |counters| counters.rtcp_on_rtp_port;

fn rtcp_source(kind: Kind) -> std::net::SocketAddr {
    let phone = phone(CALLER);
    std::net::SocketAddr::new(phone.ip(), phone.port() + u16::from(kind == Kind::Rtcp))
}

/// From the party's own address: to nobody, counted once and in the right place. From where one may latch: not latched.
#[track_caller]
fn is_dropped(id: &str, kind: Kind, data: &[u8], counted: Counted) {
    let mut world = World::call();
    world.voices.clear();
    world.listener(1);
    world.packet(port(CALLER), kind, rtcp_source(kind), data);
    let after = world.shard.counters();
    assert!(world.recorder.sent.is_empty(), "{id}: forwarded, or answered");
    assert_eq!((counted(&after), drops(&after)), (1, 1), "{id}: {after:?}");
    assert!(world.events().is_empty(), "{id}");

    let public = addr("198.51.100.7:0").ip();
    world.describe(CALLER, |remote| remote.latch = Some(public));
    world.recorder.sources.clear();
    world.packet(port(CALLER), kind, addr("198.51.100.7:666"), data);
    assert!(world.recorder.sources.is_empty(), "{id}: latched");
    let (valid, expected) = match kind {
        Kind::Rtp => (good(), 1),
        Kind::Rtcp => (crate::relaying::RR.to_vec(), 1),
    };
    world.packet(port(CALLER), kind, addr("198.51.100.7:31000"), &valid);
    assert_eq!(world.recorder.sent.len(), expected, "{id}: the party itself is still heard");
    world.run(100);
}

/// Byte by byte the same to the other party, whatever a tap makes of it.
#[track_caller]
fn is_relayed(id: &str, kind: Kind, data: &[u8]) {
    let mut world = World::call();
    world.voices.clear();
    world.listener(1);
    world.packet(port(CALLER), kind, rtcp_source(kind), data);
    assert_eq!(world.sent(port(AGENT), kind).len(), 1, "{id}");
    assert_eq!(world.recorder.sent[0].data, data, "{id}");
    assert_eq!(drops(&world.shard.counters()), 0, "{id}");
    world.run(200);
    assert_eq!(world.sent(port(AGENT), kind).len(), 1, "{id}: and nothing after it");
}

#[test]
fn rtp_that_does_not_add_up_is_dropped() {
    let cases: [(&str, Vec<u8>, Counted); 12] = [
        ("2 bytes", good()[..2].to_vec(), MALFORMED),
        ("11 bytes", good()[..11].to_vec(), MALFORMED),
        ("65,507 bytes", with(head(0x80, 0), &vec![0xd5; 65_495]), MALFORMED),
        ("version 0", with(head(0x00, 0), &[0xff; 160]), STUN),
        ("version 1", with(head(0x40, 0), &[0xff; 160]), TURN),
        ("version 3", with(head(0xc0, 0), &[0xff; 160]), UNKNOWN),
        ("15 CSRCs, none there", head(0x8f, 0), MALFORMED),
        ("extension, none there", head(0x90, 0), MALFORMED),
        (
            "extension of 65,535 words",
            with(head(0x90, 0), &[&[0xbe, 0xde, 0xff, 0xff], &[0; 100][..]].concat()),
            MALFORMED,
        ),
        ("255 bytes of padding in 10", with(head(0xa0, 0), &[0xff; 10]), MALFORMED),
        ("padding into the header", with(head(0xa0, 0), &[13]), MALFORMED),
        ("an event of 2 bytes", with(head(0x80, 101), &[5, 10]), MALFORMED),
    ];
    for (id, data, counted) in cases {
        is_dropped(id, Kind::Rtp, &data, counted);
    }
    is_dropped("payload type 76", Kind::Rtp, &with(head(0x80, 76), &[0xff; 160]), RTCP_ON_RTP);
}

#[test]
fn rtp_that_is_merely_unusual_is_relayed_as_it_came() {
    let csrcs: Vec<u8> = (0..15).flat_map(|_| [0, 0, 0, 1]).chain([0xff; 160]).collect();
    let cases: [(&str, Vec<u8>); 19] = [
        ("plain", good()),
        ("no payload", head(0x80, 0)),
        ("one sample", with(head(0x80, 0), &[0xff])),
        ("an MTU", with(head(0x80, 0), &[0xd5; 1460])),
        ("the longest", with(head(0x80, 0), &[0xd5; 2036])),
        ("15 CSRCs", with(head(0x8f, 0), &csrcs)),
        ("extension without words", with(head(0x90, 0), &[&[0xbe, 0xde, 0, 0], &[0xff; 160][..]].concat())),
        (
            "element longer than its extension",
            with(head(0x90, 0), &[&[0xbe, 0xde, 0, 1, 0x1f, 0xaa, 0xaa, 0xaa], &[0xff; 160][..]].concat()),
        ),
        ("element 15", with(head(0x90, 0), &[&[0xbe, 0xde, 0, 1, 0xf0, 1, 2, 3], &[0xff; 160][..]].concat())),
        ("padding", with(head(0xa0, 0), &[&[0xff; 160][..], &[0, 0, 0, 4]].concat())),
        ("500 coefficients of noise", with(head(0x80, 13), &[&[0x40], &[0xff; 500][..]].concat())),
        ("an event", with(head(0x80, 0x80 | 101), &[5, 10, 0, 160])),
        ("event 255", with(head(0x80, 101), &[0xff, 0x8a, 0xff, 0xff])),
        // The relay knows no redundancy and no Opus: what is inside is the receiver's (transparent).
        ("a redundant block beyond the packet", with(head(0x80, 96), &[0x80, 0, 3, 0xff, 0])),
        ("a broken Opus frame", with(head(0x80, 111), &[0xff; 4])),
        ("SSRC 0", with(vec![0x80, 0, 3, 0xe8, 0, 2, 0x71, 0, 0, 0, 0, 0], &[0xff; 160])),
        ("another SSRC", with(vec![0x80, 0, 0, 7, 0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef], &[0xff; 160])),
        ("video", with(head(0x80, 0x80 | 97), &[0x7c; 1200])),
        ("sequence number 0", with(vec![0x80, 0, 0, 0, 0, 2, 0x71, 0xa0, 0x11, 0x22, 0x33, 0x44], &[0xff; 160])),
    ];
    for (id, data) in cases {
        is_relayed(id, Kind::Rtp, &data);
    }
}

const SDES: [u8; 16] = [0x81, 202, 0, 3, 0, 0, 0, 1, 1, 3, b'a', b'b', b'c', 0, 0, 0];
const BYE: [u8; 16] = [0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 203, 0, 1, 0x11, 0x22, 0x33, 0x44];

fn report(fill: u8) -> Vec<u8> {
    [&[0x80, 200, 0, 6, 0, 0, 0, 1][..], &[fill; 20], &SDES].concat()
}

#[test]
fn rtcp_that_does_not_add_up_is_dropped() {
    let cases: [(&str, Vec<u8>, Counted); 10] = [
        ("SR cut short", vec![0x80, 200, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], RTCP_MALFORMED),
        ("31 reports, none there", vec![0x9f, 201, 0, 1, 0, 0, 0, 1], RTCP_MALFORMED),
        ("length beyond the datagram", vec![0x80, 201, 0xff, 0xff, 0, 0, 0, 1], RTCP_MALFORMED),
        ("version 0", [&[0, 201, 0, 1, 0, 0, 0, 1][..], &SDES].concat(), STUN),
        ("padding before the last", [&[0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4][..], &SDES].concat(), RTCP_MALFORMED),
        ("an extended report that is cut", vec![0x80, 207, 0, 2, 0, 0, 0, 1, 4, 0, 0xff, 0xff], RTCP_MALFORMED),
        (
            "the same behind a report",
            vec![0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 207, 0, 2, 0, 0, 0, 1, 4, 0, 0xff, 0xff],
            RTCP_MALFORMED,
        ),
        (
            "255 SSRCs announced",
            vec![0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 0xff, 0xff, 0xff, 0xff],
            RTCP_MALFORMED,
        ),
        ("an APP alone", with(vec![0x80, 204, 1, 46, 0, 0, 0, 1, b'N', b'A', b'M', b'E'], &[0; 1200]), RTCP_MALFORMED),
        (
            "NACKs alone",
            with(vec![0x81, 205, 0, 252, 0, 0, 0, 1, 0, 0, 0, 2], &[0, 1, 0xff, 0xff].repeat(250)),
            RTCP_MALFORMED,
        ),
    ];
    for (id, data, counted) in cases {
        is_dropped(id, Kind::Rtcp, &data, counted);
    }
}

#[test]
fn rtcp_that_adds_up_is_relayed_as_it_came() {
    let script = b"<script>alert(1)</script>";
    let sdes = [&[0x81, 202, 0, 8, 0, 0, 0, 1, 1, 25][..], script, &[0; 1]].concat();
    let rr = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0xff, 0xff];
    let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    let cases: [(&str, Vec<u8>); 7] = [
        ("SR", report(0)),
        ("SR of ones", report(0xff)),
        ("a name that is a script", [&rr[..], &sdes].concat()),
        ("BYE: signalling decides, not this", BYE.to_vec()),
        ("feedback for video", [&rr[..], &SDES, &nack, &pli].concat()),
        (
            "APP behind a report",
            [&rr[..], &with(vec![0x80, 204, 1, 46, 0, 0, 0, 1, b'N', b'A', b'M', b'E'], &[0; 1200])].concat(),
        ),
        ("an extended report", [&rr[..], &[0x80, 207, 0, 4, 0, 0, 0, 1, 4, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]].concat()),
    ];
    for (id, data) in cases {
        is_relayed(id, Kind::Rtcp, &data);
    }
}

#[test]
fn a_bye_from_a_stranger_ends_nothing() {
    let mut world = World::call();
    world.listener(1);
    world.run(500);
    world.forget_sent();
    world.packet(port(CALLER), Kind::Rtcp, addr("203.0.113.9:4001"), &BYE);
    assert!(world.recorder.sent.is_empty());
    assert_eq!(world.shard.counters().rtcp_foreign, 1);
    world.run(500);
    assert_eq!(world.sent(port(AGENT), Kind::Rtp).len(), 25);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
}

#[test]
fn what_else_comes_to_a_media_port_is_told_apart_by_its_first_byte() {
    const STUN_HEAD: [u8; 20] = *b"\0\x01\0\x08\x21\x12\xa4\x42harden-gvec\0";
    let stun = |method: u8, length: u16, attributes: &[u8]| {
        let mut head = STUN_HEAD;
        head[1] = method;
        head[2..4].copy_from_slice(&length.to_be_bytes());
        [&head[..], attributes].concat()
    };
    let mut response = stun(1, 12, &[0, 0x20, 0, 8, 0, 1, 0x11, 0x11, 0x21, 0x12, 0xa4, 0x43]);
    response[0] = 1;
    let hello = [&[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x36, 1, 0, 0, 0x2a][..], &[0x52; 50]].concat();
    let zrtp = [&[0x10, 0, 0, 1][..], b"ZRTP", &[0, 0, 0, 1], b"PZHello ", &[0; 80]].concat();
    let cases: [(&str, Vec<u8>, Counted); 17] = [
        ("binding without credentials", stun(1, 8, &[0x80, 0x28, 0, 4, 0x8e, 0x5a, 0x55, 0x74]), STUN),
        ("wrong integrity", stun(1, 48, &[0, 6, 0, 9, b'a', b'b', b'c', b'd', b':', b'e', b'f', b'g', b'h']), STUN),
        ("attribute beyond the message", stun(1, 8, &[6, 1, 0xf4, 0x61, 0x62, 0, 0, 0]), STUN),
        ("length beyond the datagram", stun(1, 0xfffc, &[]), STUN),
        ("odd length", stun(1, 5, &[0, 6, 0, 1, 0x61]), STUN),
        ("wrong fingerprint", stun(1, 8, &[0x80, 0x28, 0, 4, 0x8e, 0x5a, 0x55, 0]), STUN),
        ("response that nobody asked for", response, STUN),
        ("allocation", stun(3, 8, &[0, 0x19, 0, 4, 0x11, 0, 0, 0]), STUN),
        ("channel data", vec![0x4f, 0xff, 0xff, 0xff, 0x78], TURN),
        ("hello without a cipher", hello, DTLS),
        ("alert", vec![0x15, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0], DTLS),
        ("ZRTP hello", zrtp, |counters| counters.media_zrtp),
        ("first byte 4", [&[4][..], &[0; 171]].concat(), UNKNOWN),
        ("first byte 15", [&[15][..], &[0; 171]].concat(), UNKNOWN),
        ("first byte 127", [&[127][..], &[0; 171]].concat(), UNKNOWN),
        ("first byte 255", [&[255][..], &[0; 171]].concat(), UNKNOWN),
        ("QUIC", [&[0xc3, 0, 0, 0, 1, 8][..], &[1; 60]].concat(), UNKNOWN),
    ];
    for (id, data, counted) in cases {
        is_dropped(id, Kind::Rtp, &data, counted);
        is_dropped(id, Kind::Rtcp, &data, counted);
    }
    is_dropped("RTCP on the RTP port", Kind::Rtp, &[&BYE[..8], &SDES].concat(), RTCP_ON_RTP);
}

#[test]
fn who_guesses_ssrc_and_sequence_is_heard_by_nobody() {
    let mut world = World::call();
    world.listener(1);
    world.run(1000);
    world.forget_sent();
    let mut stranger = world.voice(CALLER).clone();
    (stranger.hz, stranger.source, stranger.due_ms) = (COLLEAGUE_HZ, addr("203.0.113.66:4000"), 2);
    world.voices.push(stranger);
    let before = world.shard.counters().rtp_foreign;
    world.run(1000);
    world.assert_hears(1, &[CALLER_HZ, AGENT_HZ]);
    assert_eq!(world.shard.counters().rtp_foreign - before, 50);
    assert_eq!(world.sent(port(AGENT), Kind::Rtp).len(), 50, "what the caller said, and no more");
    assert!(world.recorder.sent.iter().all(|sent| sent.to != addr("203.0.113.66:4000")), "no bleed");
}

#[test]
fn a_listeners_key_reaches_nobody() {
    let mut world = World::call();
    world.voices.clear();
    world.listener(1);
    world.packet(listener_port(1), Kind::Rtp, ear(1), &with(head(0x80, 0x80 | 101), &[1, 10, 0, 160]));
    assert!(world.recorder.sent.is_empty());
    assert_eq!(drops(&world.shard.counters()), 1);
}

#[test]
fn double_and_old_packets_pass_the_relay_and_are_not_heard_twice() {
    let mut world = World::call();
    world.voice(AGENT).talks = false;
    world.listener(1);
    world.run(4000);
    world.forget_sent();
    for _ in 0..25 {
        world.run(20);
        let mut last = world.voice(CALLER).clone();
        (last.sequence, last.timestamp) = (last.sequence.wrapping_sub(1), last.timestamp.wrapping_sub(160));
        last.hz = COLLEAGUE_HZ;
        world.from(CALLER, &last.speak());
        (last.sequence, last.timestamp) = (last.sequence.wrapping_sub(101), last.timestamp.wrapping_sub(101 * 160));
        world.from(CALLER, &last.speak());
    }
    assert_eq!(world.sent(port(AGENT), Kind::Rtp).len(), 75, "the relay is transparent");
    world.assert_hears(1, &[CALLER_HZ]);
    assert_eq!(world.heard(1).len(), 25 * 160);
}

#[test]
fn an_encrypted_leg_takes_and_gets_nothing_plain_however_often() {
    let key = |fill| Key::new(Suite::AesCm128HmacSha1_80, &[fill; 30]).expect("30 bytes");
    let mut world = World::call();
    world.voices.clear();
    let public = addr("198.51.100.7:0").ip();
    world.describe(CALLER, |remote| {
        remote.keys = Some(Box::new(SrtpKeys { ours: key(1), theirs: key(2) }));
        remote.latch = Some(public);
    });
    world.recorder.sources.clear();
    let bad_tag = with(good(), &[0; 10]);
    for _ in 0..10_000 {
        world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31000"), &good());
        world.packet(port(CALLER), Kind::Rtp, addr("198.51.100.7:31000"), &bad_tag);
        world.packet(port(CALLER), Kind::Rtcp, addr("198.51.100.7:31001"), &BYE);
    }
    assert!(world.recorder.sent.is_empty() && world.events().is_empty());
    assert!(world.recorder.sources.is_empty(), "dropped before anything is learnt");
    assert_eq!(drops(&world.shard.counters()), 30_000);
    assert_eq!(world.shard.sizes(), (2, 0), "the leg stands");
    let plain = good();
    world.from(AGENT, &plain);
    world.packet(port(AGENT), Kind::Rtcp, addr("10.0.0.2:4001"), &BYE);
    assert!(world.recorder.sent.iter().all(|sent| sent.data != plain && sent.data != BYE), "nothing plain goes there");
}
