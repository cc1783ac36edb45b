//! SRTP held against another implementation, and against whoever loses, reorders, repeats and forges packets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use media::srtp::{
    INBOUND_SOURCES_MAX, Inbound, Key, OUTBOUND_SOURCES_MAX, OVERHEAD, Outbound, Refused, Suite, Unsent,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

const SUITES: [(Suite, ProtectionProfile); 6] = [
    (Suite::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
    (Suite::AesCm128HmacSha1_32, ProtectionProfile::Aes128CmHmacSha1_32),
    (Suite::AesCm256HmacSha1_80, ProtectionProfile::Aes256CmHmacSha1_80),
    (Suite::AesCm256HmacSha1_32, ProtectionProfile::Aes256CmHmacSha1_32),
    (Suite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
    (Suite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
];
const SSRC: u32 = 0x1234_5678;

fn random(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

fn key(suite: Suite, random: &mut StdRng) -> Key {
    let bytes: Vec<u8> = (0..suite.key_length() + suite.salt_length()).map(|_| random.random()).collect();
    Key::new(suite, &bytes).unwrap()
}

fn ends(key: &Key) -> (Outbound, Inbound) {
    (Outbound::new(key).unwrap(), Inbound::new(key).unwrap())
}

fn oracle(key: &Key, profile: ProtectionProfile) -> Context {
    let provider = rtc_crypto::default_provider().unwrap();
    Context::new(key.key(), key.salt(), profile, None, None, provider.crypto()).unwrap()
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = media::rtp::header(false, 0, sequence, u32::from(sequence) * 160, ssrc).to_vec();
    packet.extend_from_slice(payload);
    packet
}

/// With CSRCs, extension and padding as they fall.
fn any_rtp(sequence: u16, random: &mut StdRng) -> Vec<u8> {
    let (csrcs, extended, padded) = (random.random_range(0..=15u8), random.random::<bool>(), random.random::<bool>());
    let mut packet = rtp(SSRC, sequence, &[]);
    packet[0] |= csrcs | u8::from(extended) << 4 | u8::from(padded) << 5;
    packet.extend((0..usize::from(csrcs) * 4).map(|_| random.random::<u8>()));
    if extended {
        // The oracle reads elements of RFC 8285 one by one, so they are whole; of other profiles anything goes.
        let words = random.random_range(0..8u8);
        if random.random() {
            packet.extend([0x12, 0x34, 0, words]);
            packet.extend((0..usize::from(words) * 4).map(|_| random.random::<u8>()));
        } else {
            packet.extend([0xbe, 0xde, 0, words]);
            packet.extend((0..words).flat_map(|id| [(id + 1) << 4 | 2, id, 7, 9]));
        }
    }
    let length = [0, 1, 15, 16, 17, 160, random.random_range(0..1_200)][random.random_range(0..7)];
    packet.extend((0..length).map(|_| random.random::<u8>()));
    if padded {
        let padding = random.random_range(1..=20u8);
        packet.extend((1..padding).map(|_| 0).chain([padding]));
    }
    packet
}

fn any_rtcp(random: &mut StdRng) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(SSRC.to_be_bytes());
    for _ in 0..random.random_range(0..4) {
        let words = random.random_range(0..30u8);
        packet.extend([0x80, 204, 0, words]);
        packet.extend((0..usize::from(words) * 4).map(|_| random.random::<u8>()));
    }
    packet
}

fn sealed(outbound: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [packet, &[0; OVERHEAD]].concat();
    let length = outbound.rtp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn sealed_rtcp(outbound: &mut Outbound, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [packet, &[0; OVERHEAD]].concat();
    let length = outbound.rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn opened(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut packet = packet.to_vec();
    let length = inbound.rtp(&mut packet)?.length;
    packet.truncate(length);
    Ok(packet)
}

fn opened_rtcp(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut packet = packet.to_vec();
    let length = inbound.rtcp(&mut packet)?.length;
    packet.truncate(length);
    Ok(packet)
}

/// State as far as it shows.
fn state(inbound: &Inbound) -> String {
    format!("{inbound:?}")
}

#[test]
fn rtc_srtp_reads_what_we_send_and_we_read_what_it_sends() {
    let mut random = random(1);
    for (suite, profile) in SUITES {
        for _ in 0..20 {
            let key = key(suite, &mut random);
            let ((mut ours, mut from_peer), mut to_peer, mut peer) =
                (ends(&key), oracle(&key, profile), oracle(&key, profile));
            let start: u16 = random.random_range(0..0x8000);
            for n in 0..20 {
                let plain = any_rtp(start + n, &mut random);
                let packet = sealed(&mut ours, &plain);
                assert_eq!(to_peer.decrypt_rtp(&packet).unwrap(), plain, "{suite:?}");
                let packet = peer.encrypt_rtp(&plain).unwrap();
                assert_eq!(opened(&mut from_peer, &packet).unwrap(), plain, "{suite:?}");

                let plain = any_rtcp(&mut random);
                let packet = sealed_rtcp(&mut ours, &plain);
                assert_eq!(to_peer.decrypt_rtcp(&packet).unwrap(), plain, "{suite:?}");
                let packet = peer.encrypt_rtcp(&plain).unwrap();
                assert_eq!(opened_rtcp(&mut from_peer, &packet).unwrap(), plain, "{suite:?}");
            }
        }
    }
}

/// Beyond its first wrap, byte for byte the same.
#[test]
fn rtc_srtp_rolls_over_as_we_do() {
    for (suite, profile) in SUITES {
        let key = key(suite, &mut random(2));
        let ((mut ours, _), mut peer) = (ends(&key), oracle(&key, profile));
        for index in (40_000..300_000u32).step_by(911) {
            let plain = rtp(SSRC, index as u16, b"a payload");
            assert_eq!(sealed(&mut ours, &plain), peer.encrypt_rtp(&plain).unwrap()[..], "{suite:?} {index}");
        }
    }
}

#[test]
fn whatever_is_lost_or_reordered_around_a_roll_over_decrypts() {
    let mut random = random(3);
    for (suite, _) in SUITES {
        for _ in 0..60 {
            let key = key(suite, &mut random);
            let (mut outbound, mut inbound) = ends(&key);
            // Two roll-overs, a third of all packets lost and bursts of up to 20,000, and each late by up to 100.
            let start = u64::from(random.random_range(65_300..65_536u32));
            let mut sent: Vec<(u64, Vec<u8>)> = Vec::new();
            let mut index = start;
            while index < start + 140_000 {
                let plain = rtp(SSRC, index as u16, &index.to_be_bytes());
                sent.push((index + random.random_range(0..100), sealed(&mut outbound, &plain)));
                index += match random.random_range(0..100) {
                    0 => random.random_range(1..20_000),
                    1..30 => random.random_range(1..5),
                    _ => 1,
                };
                if sent.len() > 400 {
                    index += random.random_range(1..4_000);
                }
            }
            sent.sort_by_key(|(at, _)| *at);
            for (_, packet) in &sent {
                assert!(opened(&mut inbound, packet).is_ok(), "{suite:?} from {start}");
            }
        }
    }
}

/// A receiver that missed the beginning: first packets before a roll-over never came.
#[test]
fn a_roll_over_that_nobody_saw_is_made_up_for() {
    for (suite, _) in SUITES {
        let (mut outbound, mut inbound) = ends(&key(suite, &mut random(4)));
        let lost = sealed(&mut outbound, &rtp(SSRC, 65_530, b"lost"));
        for sequence in [2, 3, 0, 1] {
            let packet = sealed(&mut outbound, &rtp(SSRC, sequence, b"first"));
            assert!(opened(&mut inbound, &packet).is_ok(), "{suite:?} {sequence}");
        }
        assert_eq!(opened(&mut inbound, &lost).unwrap()[12..], *b"lost", "late, but before the roll-over");
    }
}

#[test]
fn every_replay_is_refused() {
    let mut random = random(5);
    for (suite, _) in SUITES {
        let (mut outbound, mut inbound) = ends(&key(suite, &mut random));
        let mut seen = Vec::new();
        for n in 0..400u32 {
            let packet = sealed(&mut outbound, &rtp(SSRC, (65_400 + n) as u16, b"payload"));
            let report = sealed_rtcp(&mut outbound, &any_rtcp(&mut random));
            assert!(opened(&mut inbound, &packet).is_ok() && opened_rtcp(&mut inbound, &report).is_ok());
            seen.push((packet, report));
            for (packet, report) in &seen[seen.len().saturating_sub(200)..] {
                assert_eq!(opened(&mut inbound, packet), Err(Refused::Replayed));
                assert_eq!(opened_rtcp(&mut inbound, report), Err(Refused::Replayed));
            }
        }
    }
}

#[test]
fn every_bit_counts_and_a_flipped_one_changes_no_state() {
    let mut random = random(6);
    for (suite, _) in SUITES {
        let (mut outbound, mut inbound) = ends(&key(suite, &mut random));
        opened(&mut inbound, &sealed(&mut outbound, &rtp(SSRC, 9, b"first"))).unwrap();
        opened_rtcp(&mut inbound, &sealed_rtcp(&mut outbound, &any_rtcp(&mut random))).unwrap();
        let packet = sealed(&mut outbound, &rtp(SSRC, 10, b"some payload or other"));
        let report = sealed_rtcp(&mut outbound, &any_rtcp(&mut random));
        let before = state(&inbound);
        for bit in 0..packet.len() * 8 {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&mut inbound, &flipped).is_err(), "{suite:?} bit {bit}");
        }
        for bit in 0..report.len() * 8 {
            let mut flipped = report.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(opened_rtcp(&mut inbound, &flipped).is_err(), "{suite:?} bit {bit}");
        }
        for length in 0..packet.len() {
            assert!(opened(&mut inbound, &packet[..length]).is_err(), "{suite:?} cut to {length}");
        }
        for length in 0..report.len() {
            assert!(opened_rtcp(&mut inbound, &report[..length]).is_err(), "{suite:?} cut to {length}");
        }
        assert_eq!(state(&inbound), before);
        assert!(opened(&mut inbound, &packet).is_ok() && opened_rtcp(&mut inbound, &report).is_ok());
    }
}

/// CVE-2021-41105: 100 of them ended a call elsewhere.
#[test]
fn a_hundred_thousand_forgeries_change_nothing() {
    let mut random = random(7);
    for (suite, _) in SUITES {
        let (mut outbound, mut inbound) = ends(&key(suite, &mut random));
        opened(&mut inbound, &sealed(&mut outbound, &rtp(SSRC, 65_000, b"first"))).unwrap();
        let before = state(&inbound);
        for _ in 0..100_000 / SUITES.len() + 1 {
            let known = random.random::<bool>();
            let ssrc = if known { SSRC } else { random.random() };
            let mut payload = [0; 60];
            random.fill(&mut payload);
            let forged = rtp(ssrc, random.random(), &payload);
            let refused = opened(&mut inbound, &forged).unwrap_err();
            assert!(known || refused == Refused::Unknown, "{refused:?}");
        }
        assert_eq!(state(&inbound), before, "{suite:?}");
        assert!(opened(&mut inbound, &sealed(&mut outbound, &rtp(SSRC, 65_001, b"next"))).is_ok());
    }
}

#[test]
fn another_key_opens_nothing() {
    let mut random = random(8);
    for (suite, _) in SUITES {
        let (mut outbound, _) = ends(&key(suite, &mut random));
        let (_, mut inbound) = ends(&key(suite, &mut random));
        let before = state(&inbound);
        let packet = sealed(&mut outbound, &rtp(SSRC, 1, b"secret"));
        let mut left = packet.clone();
        assert_eq!(inbound.rtp(&mut left), Err(Refused::Unknown));
        assert!(!left.windows(6).any(|window| window == b"secret"));
        assert_eq!(
            opened_rtcp(&mut inbound, &sealed_rtcp(&mut outbound, &any_rtcp(&mut random))),
            Err(Refused::Unknown)
        );
        assert_eq!(state(&inbound), before);
    }
}

#[test]
fn authentic_sources_are_few_at_a_time() {
    let (mut outbound, mut inbound) = ends(&key(Suite::AeadAes128Gcm, &mut random(9)));
    let displaced: Vec<bool> = (0..INBOUND_SOURCES_MAX as u32 + 2)
        .map(|ssrc| inbound.rtp(&mut sealed(&mut outbound, &rtp(ssrc, 1, b""))).unwrap().displaced)
        .collect();
    assert_eq!(displaced, [false, false, false, false, true, true]);
}

/// Two packets under one index would give their key stream away.
#[test]
fn no_index_serves_twice() {
    for (suite, _) in SUITES {
        let (mut outbound, _) = ends(&key(suite, &mut random(10)));
        let mut send = |ssrc, sequence| {
            let mut buffer = [&rtp(ssrc, sequence, b"payload")[..], &[0; OVERHEAD]].concat();
            let length = buffer.len() - OVERHEAD;
            outbound.rtp(&mut buffer, length).map(|_| ())
        };
        assert_eq!(send(SSRC, 1_000), Ok(()));
        assert_eq!(send(SSRC, 1_000), Err(Unsent::Repeated));
        assert_eq!(send(SSRC, 999), Ok(()), "late, but new");
        assert_eq!(send(SSRC, 999), Err(Unsent::Repeated));
        assert_eq!(send(SSRC, 800), Err(Unsent::Repeated), "too old to tell");
        for ssrc in 1..OUTBOUND_SOURCES_MAX as u32 {
            assert_eq!(send(ssrc, 1), Ok(()));
        }
        assert_eq!(send(SSRC + 1, 1), Err(Unsent::Exhausted));
        assert_eq!(send(1, 1), Err(Unsent::Repeated));
        assert_eq!(send(SSRC, 1_001), Ok(()), "those that are known go on");
    }
}

#[test]
fn what_has_no_room_or_is_no_packet_is_not_sent() {
    for (suite, _) in SUITES {
        let (mut outbound, _) = ends(&key(suite, &mut random(11)));
        let mut buffer = rtp(SSRC, 1, b"payload");
        let length = buffer.len();
        assert_eq!(outbound.rtp(&mut buffer, length), Err(Unsent::Malformed));
        assert_eq!(outbound.rtp(&mut buffer, length + 1), Err(Unsent::Malformed));
        assert_eq!(outbound.rtcp(&mut buffer, length), Err(Unsent::Malformed));
        assert_eq!(outbound.rtcp(&mut buffer, 7), Err(Unsent::Malformed));
        assert_eq!(outbound.rtp(&mut [0; 100], 40), Err(Unsent::Malformed));
    }
}
