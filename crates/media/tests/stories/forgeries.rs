//! Forged packets and floods at the port for browsers: from strangers and from the browser's own address, before, during
//! and after set-up. The browser connects all the same, and nothing of it ends its leg.

use media::Event;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::browsers::{EAR, Visit, settings, theirs};
use crate::page::{Page, Wants};
use crate::world::*;

/// A DTLS record (RFC 6347 §4.1).
fn record(kind: u8, epoch: u16, sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut data = vec![kind, 0xfe, 0xfd];
    data.extend(epoch.to_be_bytes());
    data.extend([0, 0, 0, 0, 0, sequence]);
    data.extend((body.len() as u16).to_be_bytes());
    data.extend(body);
    data
}

/// A handshake message of one fragment (RFC 6347 §4.2.2).
fn handshake(kind: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = &(body.len() as u32).to_be_bytes()[1..];
    let head = [&[kind], length, &[0, sequence], &[0, 0, 0], length].concat();
    record(22, 0, sequence, &[&head[..], body].concat())
}

/// Offers the suites of RFC 8827 §6.5 or others, with a random of its own.
fn hello(suites: &[u8], random: u8) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([random; 32]);
    body.extend([0, 0]);
    body.extend((suites.len() as u16).to_be_bytes());
    body.extend(suites);
    body.extend([1, 0]);
    handshake(1, 0, &body)
}

/// A STUN message without authentication, or with somebody else's.
fn stun(kind: u16, attributes: &[u8]) -> Vec<u8> {
    let mut data = kind.to_be_bytes().to_vec();
    data.extend((attributes.len() as u16).to_be_bytes());
    data.extend([0x21, 0x12, 0xa4, 0x42]);
    data.extend(*b"bradening!vc");
    data.extend(attributes);
    data
}

/// Every kind of packet that somebody can make who knows addresses, but no password and no key.
fn forgeries() -> Vec<(&'static str, Vec<u8>)> {
    let username = b"\x00\x06\x00\x09abcd:efgh\x00\x00\x00\x00\x24\x00\x04\x6e\x7f\x1e\xff\x00\x25\x00\x00";
    let integrity = b"\x00\x08\x00\x14aaaaaaaaaaaaaaaaaaaa\x80\x28\x00\x04\x2a\x33\xab\x7f";
    let mut cut = hello(&[0xc0, 0x2b], 1);
    cut.truncate(40);
    let mut lying = handshake(11, 1, &[0; 40]);
    lying[14..17].copy_from_slice(&[0xff, 0xff, 0xff]);
    vec![
        ("close_notify in the clear", record(21, 0, 0, &[1, 0])),
        ("close_notify in the clear, later", record(21, 0, 200, &[2, 0])),
        ("fatal alert in the clear", record(21, 0, 0, &[2, 40])),
        ("alert of the next epoch", record(21, 1, 0, &[0x5a; 26])),
        ("close_notify in the clear, called the next epoch", record(21, 1, 9, &[1, 0])),
        ("hello without encryption", hello(&[0, 0], 0x52)),
        ("hello that could be", hello(&[0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x0a], 7)),
        ("hello that is cut", cut),
        ("hello of a server", handshake(2, 0, &[0xfe; 70])),
        (
            "request to verify",
            handshake(3, 0, &[0xfe, 0xfd, 20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ),
        ("certificate whose length lies", lying),
        ("certificate that is none", handshake(11, 1, &[0, 0, 40, 0, 0, 37, 0x30, 0x82])),
        ("key exchange that is none", handshake(16, 2, &[32; 33])),
        ("change of cipher", record(20, 0, 3, &[1])),
        ("finished in the clear", handshake(20, 4, &[9; 12])),
        ("finished of the next epoch", record(22, 1, 0, &[0x33; 40])),
        ("data of the next epoch", record(23, 1, 1, &[0x44; 60])),
        ("record of DTLS 1.3", vec![0x2f; 60]),
        ("check with another's password", stun(1, &[&username[..], integrity].concat())),
        ("check without any", stun(1, &[])),
        ("answer to a check that nobody made", stun(0x101, b"\x00\x20\x00\x08\x00\x01\x11\x11\x21\x12\xa4\x43")),
        ("length of a check that lies", b"\x00\x01\xff\xfc\x21\x12\xa4\x42bradening!vc".to_vec()),
        ("reports in the clear", b"\x80\xc9\x00\x01\x00\x00\x00\x01\x81\xcb\x00\x01\x00\x00\x00\x01".to_vec()),
        ("media", rtp(111, 1, 960, 7, &[0x55; 80])),
        ("QUIC", b"\xc3\x00\x00\x00\x01\x08\x01\x01\x01\x01\x01\x01\x01\x01".to_vec()),
        ("TURN", b"\x4f\xff\xff\xff\x78".to_vec()),
        ("nothing at all", Vec::new()),
    ]
}

#[track_caller]
fn assert_unharmed(visit: &mut Visit, what: &str) {
    assert!(visit.page.is_connected, "{what}: it did not connect");
    visit.forget();
    visit.run(1_000);
    assert!(!visit.page.is_closed, "{what}: the page was told of an end");
    assert_eq!(visit.gone(), [], "{what}: the leg was ended");
    assert_hears(&visit.heard(0), &[AGENT_HZ, CALLER_HZ]);
}

#[test]
fn forgeries_before_and_during_set_up_do_not_hinder_it() {
    let strangers = addr("203.0.113.66:6666");
    for (what, data) in forgeries() {
        for source in [theirs(), strangers] {
            let mut visit = Visit::offered(Wants::Pcmu, 1);
            for ms in 0..1_500 {
                // before every packet of the browser's, and in between
                if ms < 400 {
                    visit.world.arrives_from(source, &data);
                    visit.world.arrives_from(source, &data);
                }
                visit.run(1);
            }
            assert_unharmed(&mut visit, what);
        }
    }
}

#[test]
fn forgeries_after_set_up_do_not_end_it() {
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    for (what, data) in forgeries() {
        for _ in 0..50 {
            visit.world.arrives_from(theirs(), &data);
        }
        assert_unharmed(&mut visit, what);
    }
    let counters = visit.world.shard.counters();
    assert!(counters.browser_checks_refused > 0, "{counters:?}");
    assert!(counters.browser_rtp_dropped >= 50 && counters.browser_unknown > 0);
}

#[test]
fn what_the_browser_sent_may_come_again_and_again() {
    let mut visit = Visit::offered(Wants::Pcmu, 1);
    for _ in 0..1_500 {
        visit.run(1);
        for data in visit.page.sent.clone().iter().rev().take(4) {
            visit.world.arrives_from(theirs(), data);
        }
    }
    assert_unharmed(&mut visit, "replayed during set-up");
    let sent = visit.page.sent.clone();
    for data in sent.iter().chain(sent.iter().rev()) {
        visit.world.arrives_from(theirs(), data);
    }
    assert_unharmed(&mut visit, "replayed after set-up");
}

#[test]
fn mangled_packets_of_its_own_do_not_end_it() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    visit.run(5_500);
    let sent = visit.page.sent.clone();
    for _ in 0..3_000 {
        let mut data = sent[rng.random_range(0..sent.len())].clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..data.len());
            data[at] ^= 1 << rng.random_range(0..8);
        }
        data.truncate(rng.random_range(1..=data.len()));
        visit.world.arrives_from(theirs(), &data);
    }
    assert_unharmed(&mut visit, "mangled");
}

#[test]
fn dtls_from_another_address_is_a_strangers() {
    let mut visit = Visit::offered(Wants::Pcmu, 1);
    visit.run(1_000);
    let before = visit.world.shard.counters().browser_foreign;
    let hello = hello(&[0xc0, 0x2b], 3);
    visit.world.recorder.browser.clear();
    for n in 0..100 {
        visit.world.arrives_from(addr(&format!("198.51.100.9:{}", 6_000 + n)), &hello);
    }
    assert_eq!(visit.world.shard.counters().browser_foreign, before + 100);
    assert!(visit.world.recorder.browser.is_empty(), "nobody is answered");
}

#[test]
fn a_flood_of_garbage_is_counted_and_nothing_grows() {
    let mut rng = StdRng::seed_from_u64(6);
    let mut visit = Visit::offered(Wants::Pcmu, 1);
    let flood = |visit: &mut Visit, rng: &mut StdRng, count: usize| {
        for n in 0..count {
            let length = rng.random_range(0..200);
            let mut data: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            if let (Some(first), 1) = (data.first_mut(), n % 2) {
                *first = [0, 20, 21, 22, 23, 128, 200][rng.random_range(0..7)];
            }
            let source =
                if n % 3 == 0 { theirs() } else { addr(&format!("203.0.113.{}:{}", n % 200, 1_000 + n % 50_000)) };
            visit.world.arrives_from(source, &data);
        }
    };
    for _ in 0..300 {
        flood(&mut visit, &mut rng, 100);
        visit.run(2);
    }
    visit.run(1_000);
    assert_unharmed(&mut visit, "flooded");
}

#[test]
fn legs_on_one_port_are_told_apart() {
    let mut visit = Visit::connected(Wants::Pcmu, 1);
    let mut second = Page::new(visit.world.now(), addr("198.51.100.10:5000"), Wants::Pcmu);
    let offer = second.offer(1);
    let answer = visit.world.open(media::ListenerId(71), offer).expect("an answer");
    second.answer(&answer);
    for _ in 0..1_000 {
        visit.world.run(1);
        let now = visit.world.now();
        second.wake(now);
        for (_, data) in std::mem::take(&mut second.out) {
            visit.world.arrives_from(second.address, &data);
        }
        let all = std::mem::take(&mut visit.world.recorder.browser);
        let (for_second, for_first) = all.into_iter().partition(|(_, to, _)| *to == second.address);
        visit.world.recorder.browser = for_first;
        for (_, _, data) in Vec::from_iter::<Vec<(usize, _, Vec<u8>)>>(for_second) {
            second.receive(now, crate::browsers::ours(), &data);
        }
        visit.exchange();
    }
    assert!(second.is_connected);
    second.close(visit.world.now());
    for (_, data) in std::mem::take(&mut second.out) {
        visit.world.arrives_from(second.address, &data);
    }
    let gone = |of: u64| {
        let is = |event: &Event| matches!(event, Event::BrowserGone { listener, closed: true } if listener.0 == of);
        visit.world.count(is)
    };
    assert_eq!((gone(71), gone(EAR.0)), (1, 0));
    visit.world.recorder.events.clear();
    visit.world.recorder.browser.clear();
    assert_unharmed(&mut visit, "its neighbour left");
    assert_eq!(settings().browsers.max_legs, 4);
}
